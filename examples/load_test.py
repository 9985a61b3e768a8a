# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
#
# /// script
# requires-python = ">=3.11"
# dependencies = ["stylevar-hf[serve]", "httpx2"]
# ///
"""
What a server of this machine can do, measured on loopback: pictures a second and latency against batch size 1, what
becomes of ten times as many clients as it has places, and its memory over many requests.

    python examples/load_test.py --model stylevar-small --requests 64 --long-run 2000
"""

import argparse
import asyncio
import io
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2 as httpx
import numpy as np
import PIL.Image


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="folder or Hub id (default: the one of the package)")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--requests", type=int, default=64, help="pictures of each measurement (default: 64)")
    parser.add_argument("--clients", type=int, default=16, help="that ask at once (default: 16)")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 4, 8], help="(default: 1 4 8)")
    parser.add_argument("--places", type=int, default=8, help="of the queue in the overload test (default: 8)")
    parser.add_argument(
        "--long-run", type=int, default=0, help="requests over which memory is watched (default: none)"
    )
    return parser.parse_args()


@contextmanager
def served(args: argparse.Namespace, max_batch_size: int, max_waiting: int) -> Iterator[tuple[str, int]]:
    """Address and process id of a server of its own."""
    command = [sys.executable, "-m", "stylevar_hf.cli", "serve", "--port", "0", "--device", args.device]
    command += ["--max-batch-size", str(max_batch_size), "--max-waiting", str(max_waiting)]
    command += ["--model", args.model] if args.model else []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().strip(), process.pid
        finally:
            process.terminate()


def make_files(side: int = 256) -> list[tuple[str, bytes]]:
    """A content and a style of noise, as JPEG."""
    files = []
    for seed in range(2):
        buffer = io.BytesIO()
        pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
        PIL.Image.fromarray(pixels).save(buffer, format="JPEG")
        files.append(("image[]", buffer.getvalue()))
    return files


async def ask_all(address: str, number: int, clients: int, retry: bool) -> tuple[Counter, list[float], float]:
    """Statuses, the seconds of each picture, and the seconds of all; each client asks again as soon as it may."""
    files, statuses, latencies = make_files(), Counter(), []
    seeds = iter(range(number))
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)

    async def client(http: httpx.AsyncClient) -> None:
        for seed in seeds:
            start = time.perf_counter()
            while True:
                data = {"seed": str(seed), "size": "model"}
                answer = await http.post(f"{address}/v1/images/edits", files=files, data=data)
                statuses[answer.status_code] += 1
                if answer.status_code != 429 or not retry:
                    break
                await asyncio.sleep(float(answer.headers["retry-after"]))
            if answer.status_code == 200:
                latencies.append(time.perf_counter() - start)

    start = time.perf_counter()
    async with httpx.AsyncClient(timeout=600, limits=limits) as http:
        await asyncio.gather(*(client(http) for _ in range(clients)))
    return statuses, latencies, time.perf_counter() - start


def resident_megabytes(pid: int) -> float:
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return int(re.search(r"VmRSS:\s+(\d+)", file.read())[1]) / 1024


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]


def main() -> None:
    args = parse_args()
    report = {"cpus": os.cpu_count(), "throughput": [], "overload": {}, "memory": {}}
    # 1. Throughput and latency
    for size in args.batch_sizes:
        with served(args, size, 2 * args.clients) as (address, _):
            asyncio.run(ask_all(address, size, size, retry=False))  # the first batch is slower
            statuses, latencies, seconds = asyncio.run(ask_all(address, args.requests, args.clients, retry=False))
        row = {
            "batch": size,
            "images_per_second": round(statuses[200] / seconds, 2),
            "p50": round(statistics.median(latencies), 3),
            "p99": round(quantile(latencies, 0.99), 3),
            "statuses": dict(statuses),
        }
        report["throughput"].append(row)
    # 2. Ten times as many clients as places
    with served(args, max(args.batch_sizes), args.places) as (address, _):
        clients = 10 * args.places
        statuses, latencies, seconds = asyncio.run(ask_all(address, clients, clients, retry=True))
        report["overload"] = {
            "places": args.places,
            "clients": clients,
            "painted": len(latencies),
            "refused_and_asked_again": statuses[429],
            "other": sum(count for status, count in statuses.items() if status not in (200, 429)),
            "seconds": round(seconds, 1),
        }
    # 3. Memory
    if args.long_run:
        with served(args, max(args.batch_sizes), 2 * args.clients) as (address, pid):
            sizes = []
            for _ in range(10):
                asyncio.run(ask_all(address, args.long_run // 10, args.clients, retry=False))
                sizes.append(round(resident_megabytes(pid), 1))
        report["memory"] = {"requests": args.long_run // 10 * 10, "megabytes_after_each_tenth": sizes}
    json.dump(report, sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
