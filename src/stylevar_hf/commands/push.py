# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""`stylevar push`: a folder to the Hub, in one commit."""

import argparse
import contextlib
import json
import sys
import time

from .base import Command, add_reporting_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="a saved model, an adapter, or the output of a training")
    parser.add_argument("--repo-id", metavar="USER/NAME", required=True, help="the repository; made if missing")
    parser.add_argument("--private", action="store_true", help="make a new repository private, refuse a public one")
    parser.add_argument(
        "--adapter", action="store_true", help="publish the LoRA adapter in DIR (default: if DIR holds no model)"
    )
    parser.add_argument(
        "--merged",
        metavar="DIR",
        nargs="?",
        const=True,
        help="with an adapter: put base and adapter in one into the folder merged/ of the repository, from this "
        "folder or, without one, merged now",
    )
    parser.add_argument("--base-model", metavar="USER/NAME", help="the repository of the adapter's base")
    parser.add_argument(
        "--license", metavar="ID", help="the weights' licence, such as apache-2.0, cc-by-nc-4.0 or other"
    )
    parser.add_argument("--license-name", metavar="NAME", help="its name, with --license other")
    parser.add_argument("--license-link", metavar="URL", help="where its text is, with --license other")
    parser.add_argument(
        "--datasets",
        metavar="ID",
        nargs="+",
        help="the training data: procedural, omnistyle, imagepulse or ids on the Hub",
    )
    parser.add_argument("--max-shard-size", metavar="SIZE", default="5GB", help="split larger weights (default: 5GB)")
    parser.add_argument("--revision", metavar="BRANCH", help="branch to commit to, made if missing (default: main)")
    parser.add_argument("--create-pr", action="store_true", help="open a pull request instead")
    parser.add_argument("--message", metavar="TEXT", help="the message of the commit")
    parser.add_argument("--token", help="a token that may write (default: HF_TOKEN or that of `hf auth login`)")
    parser.add_argument("--overwrite", action="store_true", help="add a commit to a repository that holds files")
    parser.add_argument("--dry-run", action="store_true", help="list what would go up, with sizes, and touch nothing")
    add_reporting_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    from ..hub.errors import explain_hub_error

    try:
        validate_repo_id(args.repo_id)
    except HFValidationError as error:
        raise ValueError(explain_hub_error(error, args.repo_id)) from error
    return _list_files(args) if args.dry_run else _publish(args)


def _list_files(args: argparse.Namespace) -> int:
    from ..hub.publishing import prepared_upload

    with _quiet_libraries(args.quiet), prepared_upload(args.folder, args.repo_id, **_options(args)) as upload:
        sizes = upload.sizes()
        if args.json:
            summary = {"repo_id": args.repo_id, "kind": upload.kind, "files": sizes, "notices": upload.notices}
            sys.stdout.write(json.dumps(summary, indent=2) + "\n")
            return 0
        if not args.quiet:
            sys.stderr.write("".join(f"stylevar: {notice}\n" for notice in upload.notices))
        width = max(len(f"{size:,}") for size in sizes.values())
        sys.stdout.write("".join(f"{size:>{width},}  {name}\n" for name, size in sizes.items()))
        sys.stdout.write(f"{sum(sizes.values()):>{width},}  bytes in {len(sizes)} files would go to {args.repo_id}\n")
    return 0


def _publish(args: argparse.Namespace) -> int:
    import httpx2
    from huggingface_hub import get_token
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    from ..hub.errors import LOG_IN, explain_hub_error
    from ..hub.publishing import push_folder

    if not (args.token or get_token()):
        raise ValueError(f"`token` must be given to publish, but there is none on this machine. {LOG_IN}")
    start = time.perf_counter()
    try:
        with _quiet_libraries(args.quiet):
            commit = push_folder(
                args.folder,
                args.repo_id,
                private=args.private or None,
                token=args.token,
                revision=args.revision,
                create_pr=args.create_pr,
                commit_message=args.message,
                exist_ok=args.overwrite,
                keep_existing=False,
                **_options(args),
            )
    except (HfHubHTTPError, httpx2.HTTPError, OfflineModeIsEnabled, ConnectionError, RuntimeError) as error:
        raise OSError(explain_hub_error(error, args.repo_id)) from error
    url = commit.pr_url or commit.commit_url
    if args.json:
        summary = {"url": url, "commit": commit.oid, "seconds": round(time.perf_counter() - start, 3)}
        sys.stdout.write(json.dumps(summary, indent=2) + "\n")
    elif not args.quiet:
        sys.stdout.write(f"{url}\n")
    return 0


def _options(args: argparse.Namespace) -> dict:
    """What both the list and the commit are made from."""
    names = ("base_model", "merged", "max_shard_size", "license", "license_name", "license_link", "datasets")
    return {"adapter": args.adapter or None, **{name: getattr(args, name) for name in names}}


@contextlib.contextmanager
def _quiet_libraries(quiet: bool):
    """No progress bars of the libraries where none are wanted."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    disabled_before = are_progress_bars_disabled()
    if quiet:
        disable_progress_bars()
    try:
        yield
    finally:
        if quiet and not disabled_before:
            enable_progress_bars()


COMMAND = Command(
    name="push",
    summary="publish a model or an adapter on the Hub, in one commit",
    example="stylevar push stylevar-sft --repo-id me/stylevar-sft --license other --dry-run\n"
    "stylevar push my-style --repo-id me/my-style --base-model me/stylevar-sft --merged",
    add_arguments=add_arguments,
    run=run,
    flags={
        "folder": "DIR",
        "repo_id": "--repo-id",
        "adapter": "--adapter",
        "merged": "--merged",
        "base_model": "--base-model",
        "license": "--license",
        "max_shard_size": "--max-shard-size",
        "private": "--private",
        "revision": "--revision",
        "token": "--token",
        "exist_ok=True": "--overwrite",
    },
)
