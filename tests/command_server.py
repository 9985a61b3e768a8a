# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Commands of this package without their imports, which take longer than what the tests do with them: one process imports
everything once, and each command runs in a fork of it, with the folder, environment and files of its caller.

    python command_server.py serve SOCKET           until it is told to stop
    python command_server.py run SOCKET stylevar|accelerate|FILE.py ARGUMENT...
"""

import json
import os
import runpy
import signal
import socket
import sys
import traceback
from pathlib import Path


PRELOADED = (
    "cli",
    "training.sft.sft_trainer",
    "training.grpo.grpo_trainer",
    "training.vq.vq_trainer",
    "evaluation.run.runner",
)
COMMAND_SECONDS = 900  # many times what any command takes


def serve(path: str) -> None:
    from importlib import import_module

    for name in PRELOADED:
        import_module(f"stylevar_hf.{name}")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        while True:
            connection, _ = listener.accept()
            with connection:
                answer(connection)


def answer(connection: socket.socket) -> None:
    """Run one command and tell its exit code."""
    size, descriptors, _, _ = socket.recv_fds(connection, 8, 3)
    request = json.loads(connection.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL))
    child = os.fork()
    if child == 0:
        os._exit(run_here(request, descriptors))
    for descriptor in descriptors:
        os.close(descriptor)
    _, status = os.waitpid(child, 0)
    connection.sendall(str(os.waitstatus_to_exitcode(status)).encode())


def run_here(request: dict, descriptors: list[int]) -> int:
    """Run the command in this process; its exit code."""
    signal.alarm(COMMAND_SECONDS)
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    program, *arguments = sys.argv = request["command"]
    try:
        if program == "stylevar":
            from stylevar_hf.cli import main

            sys.path.insert(0, "")
            return main(arguments) or 0
        if program == "accelerate":  # starts the process that it launches afresh
            from accelerate.commands.accelerate_cli import main

            return main() or 0
        sys.path.insert(0, str(Path(program).parent))
        runpy.run_path(program, run_name="__main__")
        return 0
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)  # noqa: T201
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def run(path: str, command: list[str]) -> int:
    """Have a command run by the server; its exit code."""
    request = json.dumps({"folder": os.getcwd(), "environment": dict(os.environ), "command": command}).encode()
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(path)
        socket.send_fds(server, [len(request).to_bytes(8, "big")], [0, 1, 2])
        server.sendall(request)
        return int(server.recv(16) or 1)


if __name__ == "__main__":
    mode, socket_path, *rest = sys.argv[1:]
    sys.exit(serve(socket_path) if mode == "serve" else run(socket_path, rest) & 0xFF)
