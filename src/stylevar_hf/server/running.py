# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The server's process."""

import socket
from collections.abc import Callable

import uvicorn

from ..pipeline_stylevar import StyleVARPipeline
from .app import build_app
from .settings import ServerSettings


MAX_CONNECTIONS = 900  # a process may usually open 1024 files


def serve(
    pipe: StyleVARPipeline,
    settings: ServerSettings | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
    grace_seconds: int = 60,
    on_start: Callable[[str], None] = lambda address: None,
) -> None:
    """
    Serves until SIGINT or SIGTERM. Then nothing new is accepted, and what has been accepted is painted and answered.

    Args:
        pipe ([`StyleVARPipeline`]): The model.
        settings ([`ServerSettings`], *optional*): The limits.
        host (`str`, *optional*, defaults to `"127.0.0.1"`): The address to listen on, `"0.0.0.0"` for all.
        port (`int`, *optional*, defaults to 8000): 0 for any that is free.
        grace_seconds (`int`, *optional*, defaults to 60): How long open requests may take at the end.
        on_start (`Callable[[str], None]`, *optional*): Told the address when connections are accepted.

    Raises:
        OSError: If the port is taken.
    """
    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise OSError(f"`port` must be free, but got {port} on {host} ({error.strerror}). Choose another.") from error
    config = uvicorn.Config(
        build_app(pipe, settings),
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=grace_seconds,
    )
    with listener:
        shown = f"[{host}]" if ":" in host else host
        on_start(f"http://{shown}:{listener.getsockname()[1]}")
        uvicorn.Server(config).run(sockets=[listener])


__all__ = ["serve"]
