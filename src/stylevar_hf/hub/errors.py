# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What the Hub refused, in one line each, for the command line."""

import httpx2
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)


LOG_IN = "Log in with `hf auth login`, set HF_TOKEN, or give a token with the right to write."


def explain_hub_error(error: Exception, repo_id: str) -> str:
    """
    One line: what happened to which repository, and what to do.

    Args:
        error (`Exception`):
            What `huggingface_hub` raised.
        repo_id (`str`):
            The repository.

    Returns:
        `str`
    """
    if isinstance(error, RuntimeError) and isinstance(error.__cause__, Exception):  # the upload of one large file
        error = error.__cause__
    status = error.response.status_code if isinstance(error, HfHubHTTPError) and error.response is not None else None
    if isinstance(error, HFValidationError):
        return f"`repo_id` must be a name such as user/my-style, but got {repo_id!r}. {error}"
    if isinstance(error, OfflineModeIsEnabled):
        return f"{repo_id} cannot be reached: HF_HUB_OFFLINE is set. Unset it to publish."
    if isinstance(error, LocalTokenNotFoundError) or status == 401:
        return f"The Hub does not know who publishes to {repo_id} (401): the token is missing or not valid. {LOG_IN}"
    if isinstance(error, GatedRepoError):
        return f"{repo_id} is gated and this account has no access ({status}). Ask for it on its page on the Hub."
    if status == 403:
        return f"This account may not write to {repo_id} (403). Choose your own namespace, or a token that may write."
    if isinstance(error, RevisionNotFoundError):
        return f"`revision` must be a branch of {repo_id}, but there is none of that name (404). Make it first."
    if isinstance(error, RepositoryNotFoundError) or status == 404:
        return f"{repo_id} does not exist, or this account may not see it (404). Check the name and the token."
    if status in (409, 412):
        return f"{repo_id} was changed by someone else at the same time ({status}). Run the command again."
    if isinstance(error, httpx2.HTTPError | ConnectionError | TimeoutError) or (status or 0) >= 500:
        reason = f"{status}" if status else type(error).__name__
        return (
            f"The upload to {repo_id} was interrupted ({reason}); nothing of it can be seen there. Run the command "
            "again: files that have arrived are not sent twice."
        )
    return f"Publishing to {repo_id} failed: {' '.join(str(error).split())}"


__all__ = ["LOG_IN", "explain_hub_error"]
