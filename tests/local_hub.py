# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
A Hub on 127.0.0.1, in memory: enough of the real one's HTTP for `huggingface_hub` to create, push, list and download.

Only the standard library, but for PyYAML (which comes with huggingface_hub) in the check of card metadata. Clients set
`HF_ENDPOINT`, `HF_TOKEN` and `HF_HOME` before they import anything, and `HF_HUB_DISABLE_XET=1`: large files go by the
LFS protocol.

    with LocalHub() as hub:
        hub.add_user("me", write="hf_me", read="hf_me_read")
        subprocess.run(..., env={**os.environ, "HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_me", ...})
        hub.repos["me/model"].files()
"""

import base64
import hashlib
import json
import re
import socket
import threading
from collections import Counter
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import yaml


# Larger files go by LFS, as weights do on the real Hub.
LFS_SUFFIXES = (".safetensors", ".bin", ".jpg", ".png")
PIPELINE_TAGS = ("image-to-image", "text-to-image", "text-generation")
LICENSES = ("apache-2.0", "mit", "cc-by-4.0", "cc-by-nc-4.0", "openrail", "other")


@dataclass
class Commit:
    """One commit of a branch: all files of the repository after it."""

    oid: str
    title: str
    files: dict[str, bytes]
    changed: list[str]


@dataclass
class Repo:
    """A model repository: branches of commits."""

    owner: str
    private: bool = False
    gated: bool = False
    branches: dict[str, list[Commit]] = field(default_factory=dict)

    def commit(self, title: str, changes: dict[str, bytes | None], branch: str = "main") -> Commit:
        """`None` deletes a file."""
        commits = self.branches.setdefault(branch, [])
        files = {**(commits[-1].files if commits else {}), **changes}
        files = {name: data for name, data in files.items() if data is not None}
        digest = hashlib.sha1(f"{self.owner}{branch}{len(commits)}{sorted(files)}".encode())
        for name in sorted(files):
            digest.update(files[name])
        commits.append(Commit(digest.hexdigest(), title, files, sorted(changes)))
        return commits[-1]

    def find(self, revision: str) -> Commit | None:
        """A commit by its branch or id."""
        if revision in self.branches:
            return self.branches[revision][-1]
        return next((one for commits in self.branches.values() for one in commits if one.oid == revision), None)

    def files(self, branch: str = "main") -> dict[str, bytes]:
        return self.branches[branch][-1].files

    def titles(self, branch: str = "main") -> list[str]:
        return [commit.title for commit in self.branches[branch]]


class LocalHub:
    """
    The server and what it holds; a context manager.

    `requests` counts the calls of each endpoint, by the names of the methods; `drop_uploads_after` lets so many
    LFS uploads pass and breaks the line in all others; `fail[endpoint, repo_id]` is the status to answer with.
    """

    def __init__(self):
        self.repos: dict[str, Repo] = {}
        self.tokens: dict[str, tuple[str, str]] = {}
        self.access: set[tuple[str, str]] = set()
        self.blobs: dict[str, bytes] = {}
        self.requests: Counter[str] = Counter()
        self.drop_uploads_after: int | None = None
        self.fail: dict[tuple[str, str], int] = {}
        self.lock = threading.RLock()
        handler = type("Handler", (_Handler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self) -> "LocalHub":
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self.server.shutdown()
        self.server.server_close()

    def add_user(self, name: str, write: str | None = None, read: str | None = None) -> None:
        """Tokens of a user, with and without the right to write."""
        for token, role in ((write, "write"), (read, "read")):
            if token:
                self.tokens[token] = (name, role)

    def environment(self, home, token: str | None) -> dict[str, str]:
        """What a fresh process needs to talk to this Hub and no other."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_TOKEN": token or "",
            "HF_HOME": str(home),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }


class _Refusal(Exception):
    def __init__(self, status: int, message: str, code: str | None = None):
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


_MODEL = r"/api/models/(?P<id>[\w.-]+/[\w.-]+)"


class _Handler(BaseHTTPRequestHandler):
    hub: LocalHub
    protocol_version = "HTTP/1.1"
    routes = (
        ("GET", r"/api/whoami-v2", "whoami"),
        ("POST", r"/api/repos/create", "create"),
        ("POST", r"/api/validate-yaml", "validate_yaml"),
        ("GET", _MODEL + r"(/revision/(?P<revision>[^/]+))?", "info"),
        ("GET", _MODEL + r"/tree/(?P<revision>[^/]+)(?P<path>/.*)?", "tree"),
        ("POST", _MODEL + r"/preupload/(?P<revision>[^/]+)", "preupload"),
        ("POST", _MODEL + r"/commit/(?P<revision>[^/]+)", "commit"),
        ("POST", rf"{_MODEL}/branch/(?P<branch>[^/]+)", "branch"),
        ("POST", r"/(?P<id>[\w.-]+/[\w.-]+)\.git/info/lfs/objects/batch", "lfs_batch"),
        ("PUT", r"/lfs-storage/(?P<oid>\w+)", "lfs_put"),
        ("GET", r"/(?P<id>[\w.-]+/[\w.-]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)", "resolve"),
    )

    def log_message(self, *_) -> None:
        """Tests are quiet."""

    def do_GET(self) -> None:
        self._dispatch("GET")

    def do_HEAD(self) -> None:
        self._dispatch("GET")

    def do_POST(self) -> None:
        self._dispatch("POST")

    def do_PUT(self) -> None:
        self._dispatch("PUT")

    def _dispatch(self, method: str) -> None:
        url = urlsplit(self.path)
        self.query = parse_qs(url.query)
        found = [(re.fullmatch(pattern, url.path), name) for route, pattern, name in self.routes if route == method]
        match, name = next(((match, name) for match, name in found if match), (None, ""))
        if match is None:
            return self._answer(404, {"error": f"no route {method} {url.path}"}, code="EntryNotFound")
        fields = {key: None if value is None else unquote(value) for key, value in match.groupdict().items()}
        self.body = b"" if name == "lfs_put" else self._read_body()
        with self.hub.lock:
            self.hub.requests[name] += 1
        try:
            if (name, fields.get("id") or "") in self.hub.fail:
                status = self.hub.fail[name, fields.get("id") or ""]
                raise _Refusal(status, HTTPStatus(status).phrase)
            getattr(self, name)(**fields)
        except _Refusal as refusal:
            self._answer(refusal.status, {"error": refusal.message}, code=refusal.code)

    def _read_body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _answer(self, status: int, body: object = None, code: str | None = None, headers: dict | None = None) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        if status >= 400 and isinstance(body, dict):
            self.send_header("X-Error-Message", str(body.get("error", "")))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    # Who asks, and for what

    def _user(self) -> tuple[str, str] | None:
        """Name and role behind the token; `None` without one."""
        header = self.headers.get("Authorization") or ""
        token = header.removeprefix("Bearer ").strip()
        if not token:
            return None
        if token not in self.hub.tokens:
            raise _Refusal(401, "Invalid credentials in Authorization header")
        return self.hub.tokens[token]

    def _writer(self, namespace: str | None = None) -> str:
        user = self._user()
        if user is None:
            raise _Refusal(401, "Invalid username or password.")
        if user[1] != "write" or namespace not in (None, user[0]):
            raise _Refusal(403, "You don't have the rights to create or change a model under this namespace")
        return user[0]

    def _repo(self, identifier: str) -> Repo:
        repo, user = self.hub.repos.get(identifier), self._user()
        hidden = repo is not None and repo.private and (user is None or user[0] != repo.owner)
        if repo is None or hidden:
            # The real Hub does not tell strangers what does not exist from what they may not see.
            raise _Refusal(404 if user else 401, "Repository not found", "RepoNotFound")
        return repo

    def _commit_of(self, repo: Repo, revision: str) -> Commit:
        commit = repo.find(revision)
        if commit is None:
            raise _Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit

    # Endpoints

    def whoami(self) -> None:
        user = self._user()
        if user is None:
            raise _Refusal(401, "Invalid username or password.")
        self._answer(200, {"type": "user", "name": user[0], "auth": {"accessToken": {"role": user[1]}}, "orgs": []})

    def create(self) -> None:
        asked = json.loads(self.body)
        name = self._writer(asked.get("organization"))
        identifier = f"{asked.get('organization') or name}/{asked['name']}"
        url = f"{self.hub.url}/{identifier}"
        with self.hub.lock:
            if identifier in self.hub.repos:
                return self._answer(409, {"error": "You already created this model repo", "url": url})
            private = bool(asked.get("private")) or asked.get("visibility") == "private"
            repo = self.hub.repos[identifier] = Repo(name, private)
            repo.commit("initial commit", {".gitattributes": b"*.safetensors filter=lfs\n"})
        self._answer(200, {"url": url, "name": identifier, "id": identifier})

    def validate_yaml(self) -> None:
        errors = card_errors(json.loads(self.body)["content"])
        self._answer(400 if errors else 200, {"errors": [{"message": error} for error in errors], "warnings": []})

    def info(self, id: str, revision: str | None = None) -> None:
        repo = self._repo(id)
        commit = self._commit_of(repo, revision or "main")
        siblings = [{"rfilename": name} for name in sorted(commit.files)]
        facts = {"id": id, "modelId": id, "sha": commit.oid, "private": repo.private, "siblings": siblings, "tags": []}
        self._answer(200, {**facts, "gated": "auto" if repo.gated else False, "downloads": 0, "likes": 0})

    def tree(self, id: str, revision: str, path: str | None = None) -> None:
        commit = self._commit_of(self._repo(id), revision)
        prefix = f"{path.strip('/')}/" if path and path.strip("/") else ""
        entries = [
            {"type": "file", "path": name, "size": len(data), "oid": _git_oid(data)}
            for name, data in sorted(commit.files.items())
            if name.startswith(prefix)
        ]
        if prefix and not entries:
            raise _Refusal(404, f"{path} does not exist", "EntryNotFound")
        self._answer(200, entries)

    def branch(self, id: str, branch: str) -> None:
        repo = self._repo(id)
        self._writer(repo.owner)
        if branch in repo.branches:
            raise _Refusal(409, "Reference already exists")
        repo.branches[branch] = list(repo.branches["main"])
        self._answer(200, {})

    def preupload(self, id: str, revision: str) -> None:
        repo = self._repo(id)
        self._writer(repo.owner)
        commit = repo.find(revision)
        if commit is None:
            raise _Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        files = []
        for asked in json.loads(self.body)["files"]:
            name = asked["path"]
            there = commit.files.get(name)
            mode = "lfs" if name.endswith(LFS_SUFFIXES) else "regular"
            known = hashlib.sha256(there).hexdigest() if there and mode == "lfs" else there and _git_oid(there)
            files.append({"path": name, "uploadMode": mode, "shouldIgnore": False, "oid": known or None})
        self._answer(200, {"files": files})

    def commit(self, id: str, revision: str) -> None:
        repo = self._repo(id)
        self._writer(repo.owner)
        lines = [json.loads(line) for line in self.body.splitlines()]
        header, changes = lines[0]["value"], {}
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                changes[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                if value["oid"] not in self.hub.blobs:
                    raise _Refusal(400, f"LFS pointer pointed to a file that does not exist: {value['path']}")
                changes[value["path"]] = self.hub.blobs[value["oid"]]
            elif line["key"] == "deletedFile":
                changes[value["path"]] = None
        with self.hub.lock:
            if header.get("parentCommit") not in (None, self._commit_of(repo, revision).oid):
                raise _Refusal(412, "A commit has happened since. Please refresh and try again.")
            commit = repo.commit(header["summary"], changes, revision)
        self._answer(
            200, {"success": True, "commitOid": commit.oid, "commitUrl": f"{self.hub.url}/{id}/commit/{commit.oid}"}
        )

    def lfs_batch(self, id: str) -> None:
        self._writer(self._repo(id).owner)
        objects = []
        for asked in json.loads(self.body)["objects"]:
            entry = {"oid": asked["oid"], "size": asked["size"]}
            if asked["oid"] not in self.hub.blobs:
                entry["actions"] = {"upload": {"href": f"{self.hub.url}/lfs-storage/{asked['oid']}"}}
            objects.append(entry)
        self._answer(200, {"transfer": "basic", "objects": objects})

    def lfs_put(self, oid: str) -> None:
        with self.hub.lock:
            left = self.hub.drop_uploads_after
            if left is not None:
                self.hub.drop_uploads_after = max(left - 1, 0)
        if left == 0:  # the line breaks in the middle of the file
            self.rfile.read(min(64, int(self.headers.get("Content-Length") or 0)))
            self.close_connection = True
            return self.connection.shutdown(socket.SHUT_RDWR)
        data = self._read_body()
        if hashlib.sha256(data).hexdigest() != oid:
            raise _Refusal(400, "the content does not have this hash")
        self.hub.blobs[oid] = data
        self._answer(200, {})

    def resolve(self, id: str, revision: str, path: str) -> None:
        repo = self._repo(id)
        if repo.gated:
            user = self._user()
            if user is None or (user[0] != repo.owner and (id, user[0]) not in self.hub.access):
                raise _Refusal(403 if user else 401, f"Access to model {id} is restricted", "GatedRepo")
        commit = self._commit_of(repo, revision)
        headers = {"X-Repo-Commit": commit.oid}
        if path not in commit.files:
            return self._answer(404, {"error": "Entry not found"}, code="EntryNotFound", headers=headers)
        data = commit.files[path]
        headers["ETag"] = f'"{hashlib.sha256(data).hexdigest()}"'
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if asked and data:
            first, last = int(asked[1]), min(int(asked[2] or len(data) - 1), len(data) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
            return self._answer(206, data[first : last + 1], headers=headers)
        self._answer(200, data, headers={**headers, "Accept-Ranges": "bytes"})


def _git_oid(data: bytes) -> str:
    """Git's name of a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def card_errors(content: str) -> list[str]:
    """What the real Hub finds wrong with the metadata of a model card, as far as these tests need it."""
    match = re.match(r"---\r?\n(.*?)\r?\n---\r?\n", content, re.DOTALL)
    if match is None:
        return []  # a card without metadata is allowed
    try:
        data = yaml.safe_load(match[1])
    except yaml.YAMLError as error:
        return [f"the metadata are no YAML: {error}"]
    if not isinstance(data, dict):
        return ["the metadata must be a mapping"]
    errors = []
    if data.get("license", "other") not in LICENSES:
        errors.append(f'"license" must be one of {list(LICENSES)}')
    if data.get("license_name") and data.get("license") != "other":
        errors.append('"license_name" is for license: other')
    if data.get("pipeline_tag", PIPELINE_TAGS[0]) not in PIPELINE_TAGS:
        errors.append(f'"pipeline_tag" must be one of {list(PIPELINE_TAGS)}')
    for key in ("tags", "datasets", "metrics"):
        values = data.get(key, [])
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            errors.append(f'"{key}" must be a list of strings')
    for key in ("datasets", "base_model"):
        values = data.get(key) or []
        for value in [values] if isinstance(values, str) else values:
            if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", str(value)):
                errors.append(f'"{key}" must be ids, but got {value!r}')
    return errors + _model_index_errors(data.get("model-index"))


def _model_index_errors(index: object) -> list[str]:
    if index is None:
        return []
    errors = []
    for model in index:
        if not isinstance(model.get("name"), str):
            errors.append('"model-index[].name" is required')
        for result in model.get("results", ()):
            if not result.get("task", {}).get("type"):
                errors.append('"model-index[].results[].task.type" is required')
            if not {"type", "name"} <= set(result.get("dataset", {})):
                errors.append('"model-index[].results[].dataset" needs "type" and "name"')
            for metric in result.get("metrics", ()):
                if not isinstance(metric.get("type"), str) or metric.get("value") is None:
                    errors.append('"model-index[].results[].metrics[]" needs "type" and "value"')
    return errors


__all__ = ["Commit", "LocalHub", "Repo", "card_errors"]
