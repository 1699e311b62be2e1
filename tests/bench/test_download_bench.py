"""The downloader beside curl on the same file from the same server, and how fast a cancel is heard.

Run with ``python -m tests.bench.test_download_bench [MEGABYTES]``. The server is a process of its
own that sends with sendfile; the file lies in the page cache. curl writes the file and does not
hash it; ours is written, hashed, flushed to the disk and renamed.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from samdesk.domain.tasks import Cancelled, Task
from samdesk.weights import Hash, Registry, Transfer, Weight
from samdesk.weights.download import Patience, download
from tests.weights_server import Reply, weights_server

ROUNDS = 5
CANCELS = 60


def serve_forever(path: str) -> None:
    """Send one file to everybody who asks."""
    size = Path(path).stat().st_size
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nContent-Type: application/octet-stream\r\n"
    head += 'ETag: "one"\r\nConnection: close\r\n\r\n'
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(server.getsockname()[1], flush=True)
        while True:
            plug, _ = server.accept()
            with plug, open(path, "rb") as file:  # noqa: PTH123
                plug.recv(65536)
                plug.sendall(head.encode())
                sent = 0
                while sent < size:
                    sent += os.sendfile(plug.fileno(), file.fileno(), sent, size - sent)


def compare(megabytes: int = 1000) -> dict[str, float]:
    """Median seconds over rounds in turn, and ratios of the medians."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "source.bin"
        block = os.urandom(1 << 20)
        sha = hashlib.sha256()
        with source.open("wb") as file:
            for number in range(megabytes):
                data = number.to_bytes(8, "big") + block[8:]
                sha.update(data)
                file.write(data)
        command = [sys.executable, "-m", "tests.bench.test_download_bench", "--serve", str(source)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            url = f"http://127.0.0.1:{server.stdout.readline().strip()}/file"
            try:
                return _rounds(folder, url, sha.hexdigest(), megabytes << 20)
            finally:
                server.kill()


def _rounds(folder: Path, url: str, sha256: str, size: int) -> dict[str, float]:
    (folder / "shipped.json").write_text('{"version": 1, "weights": []}')
    registry = Registry(folder / "shipped.json", folder / "w" / "weights.json", folder / "w")
    weight = Weight("vit_b", "Bench", "bench.pt", url, Hash("sha256", sha256), size, source="shipped")
    target = folder / "curl.bin"
    curl, hashed, ours = [], [], []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        subprocess.run(["curl", "-s", "-o", str(target), url], check=True)
        curl.append(time.perf_counter() - started)
        with target.open("rb") as file:
            assert hashlib.file_digest(file, "sha256").hexdigest() == sha256
        hashed.append(time.perf_counter() - started)
        target.unlink()
        started = time.perf_counter()
        download(registry, weight)
        ours.append(time.perf_counter() - started)
        registry.remove(weight)
    found = {
        "curl, s": statistics.median(curl),
        "curl and its hash, s": statistics.median(hashed),
        "ours with hash, s": statistics.median(ours),
    }
    found["ours / curl"] = found["ours with hash, s"] / found["curl, s"]
    found["ours / curl and its hash"] = found["ours with hash, s"] / found["curl and its hash, s"]
    return found


def cancels() -> dict[str, float]:
    """Milliseconds from a cancel to the return of `download`, while the server is silent mid-way."""
    took = []
    payload = os.urandom(400_000)
    with tempfile.TemporaryDirectory() as name, weights_server() as server:
        folder = Path(name)
        (folder / "shipped.json").write_text('{"version": 1, "weights": []}')
        registry = Registry(folder / "shipped.json", folder / "weights.json", folder / "w")
        url = server.serve("/file", Reply(payload, stall_after=200_000))
        for number in range(CANCELS):
            weight = Weight("vit_b", f"Bench {number}", f"b{number}.pt", url, source="shipped")
            took.append(_cancel(registry, weight, 200_000))
    took.sort()
    return {
        "cancel while stalled, median ms": statistics.median(took),
        "cancel while stalled, p95 ms": took[int(0.95 * len(took))],
        "cancel while stalled, worst ms": took[-1],
    }


def _cancel(registry: Registry, weight: Weight, stalls_at: int) -> float:
    task, there, ended = Task(), threading.Event(), []

    def listen(transfer: Transfer) -> None:
        if transfer.received >= stalls_at:
            there.set()

    def run() -> None:
        try:
            download(registry, weight, task, listener=listen, patience=Patience(report_s=0))
        except Cancelled:
            ended.append(time.perf_counter())

    thread = threading.Thread(target=run)
    thread.start()
    assert there.wait(20)
    time.sleep(random.uniform(0.01, 0.06))  # at any moment of a wait
    started = time.perf_counter()
    task.cancel()
    thread.join()
    return 1e3 * (ended[0] - started)


def test_beside_curl(benchmark) -> None:  # type: ignore[no-untyped-def]
    assert shutil.which("curl")
    found = benchmark.pedantic(compare, args=(200,), rounds=1)
    benchmark.extra_info.update(found)
    assert found["ours / curl"] > 0


def test_cancel_while_stalled(benchmark) -> None:  # type: ignore[no-untyped-def]
    found = benchmark.pedantic(cancels, rounds=1)
    benchmark.extra_info.update(found)
    assert found["cancel while stalled, p95 ms"] > 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve_forever(sys.argv[2])
    for label, value in {**compare(*map(int, sys.argv[1:])), **cancels()}.items():
        print(f"{label:<32} {value:8.2f}")
