"""Cancelled, killed, asked for twice, out of room: the next run goes on, and nothing is wrong or left."""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from samdesk.app.jobs import Jobs, MainQueue
from samdesk.domain.errors import SamdeskError
from samdesk.domain.tasks import Cancelled, Task
from samdesk.weights import Registry, Transfer, Weight
from samdesk.weights.download import Patience, download
from tests.unit.weights.conftest import PAYLOAD
from tests.weights_server import Reply, WeightsServer

CHILD = Path(__file__).with_name("download_child.py")
LARGE = random.Random(3).randbytes(6_000_000)
LARGE_SHA256 = hashlib.sha256(LARGE).hexdigest()
SLOW = Reply(LARGE, block=1 << 16, pause_s=0.005)
KILLS = 20


def left(registry: Registry) -> set[str]:
    """Names of what lies in the folder, apart from what is allowed to stay."""
    allowed = {".test.pt.lock", "files.json", "files.json.lock"}
    return {path.name for path in registry.folder.iterdir()} - allowed


def child(registry: Registry, url: str, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(CHILD), str(registry.folder), url, LARGE_SHA256, *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3],
                            env={**os.environ, "PYTHONPATH": "."})  # fmt: skip


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    told, _ = process.communicate(timeout=60)
    return process.returncode, told


def test_a_cancel_at_each_step_leaves_only_the_part(
    server: WeightsServer, registry: Registry, patience: Patience, make: Callable[..., Weight]
) -> None:
    slow = Reply(PAYLOAD, block=30_000, pause_s=0.002)
    weight = make(server.serve("/file", slow))
    threads = threading.active_count()
    for step in itertools.count():
        task, seen = Task(), 0

        def listen(transfer: Transfer, task: Task = task, step: int = step) -> None:
            nonlocal seen
            if seen == step:
                task.cancel()
            seen += 1

        try:
            download(registry, weight, task, listener=listen, patience=patience)
        except Cancelled:
            assert left(registry) <= {"test.pt.part", "test.pt.part.json"}
        if seen <= step:
            break
        download(registry, weight, patience=patience)
        assert registry.path(weight).read_bytes() == PAYLOAD
        assert left(registry) == {"test.pt"}
        registry.remove(weight)
    assert step > 3
    assert registry.path(weight).read_bytes() == PAYLOAD
    assert threading.active_count() <= threads + 1  # the server's own, for the last connection


@pytest.mark.parametrize(
    "reply",
    [
        Reply(PAYLOAD, stall_before=True),
        Reply(PAYLOAD, stall_after=150_000),
        Reply(PAYLOAD, stall_after=0),
        Reply(b"", 503, (("Retry-After", "100"),)),
        Reply(PAYLOAD, block=100, pause_s=0.01),
    ],
    ids=["before the answer", "mid-way", "before the first byte", "while waiting", "while it trickles"],
)
def test_a_cancel_is_heard_although_the_server_is_silent(
    reply: Reply, server: WeightsServer, registry: Registry, make: Callable[..., Weight]
) -> None:
    weight = make(server.serve("/file", reply))
    task, asked, outcome = Task(), threading.Event(), []

    def listen(transfer: Transfer) -> None:
        if server.asked:
            asked.set()

    def run() -> None:
        try:
            download(registry, weight, task, listener=listen, patience=Patience(report_s=0))
        except Cancelled:
            outcome.append("cancelled")

    thread = threading.Thread(target=run)
    thread.start()
    if reply.stall_before or reply.stall_after == 0:
        while not server.asked:
            asked.wait(0.01)
    else:
        assert asked.wait(10)
    task.cancel()
    thread.join(5)
    assert outcome == ["cancelled"]
    assert left(registry) <= {"test.pt.part", "test.pt.part.json"}


def test_a_job_that_is_given_up_leaves_its_lane(
    server: WeightsServer, registry: Registry, make: Callable[..., Weight]
) -> None:
    weight = make(server.serve("/file", Reply(PAYLOAD, stall_after=150_000), Reply(PAYLOAD)))
    queue = MainQueue()
    jobs = Jobs(queue)
    try:
        ended: list[str] = []
        job = jobs.lane("io").submit(
            lambda task: download(registry, weight, task, patience=Patience(report_s=0)),
            title="Download",
            done=lambda job: ended.append(job.state),
        )
        queue.run_until(lambda: "MB" in job.progress.message or "kB" in job.progress.message)
        job.cancel()
        assert job.state == "cancelled"
        assert jobs.lane("io").flush(5)
        again = jobs.lane("io").submit(lambda task: download(registry, weight, task))
        queue.run_until(lambda: again.finished)
        assert again.state == "done"
        assert ended == ["cancelled"]
    finally:
        jobs.close()
    assert registry.path(weight).read_bytes() == PAYLOAD


def test_kills_at_random_moments_cost_nothing(server: WeightsServer, registry: Registry) -> None:
    url = server.serve("/file", SLOW)
    registry.folder.mkdir()
    rng = random.Random(11)
    for _ in range(KILLS):
        process = child(registry, url)
        assert process.stdout is not None
        assert process.stdout.readline() == "begin\n"
        try:
            process.wait(rng.uniform(0, 0.15))
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate()
        target = registry.folder / "test.pt"
        if target.exists():
            assert target.read_bytes() == LARGE
            target.unlink()
    assert ended(child(registry, url))[0] == 0
    assert (registry.folder / "test.pt").read_bytes() == LARGE
    assert any("range" in one.headers for one in server.asked)
    assert left(registry) - {n for n in left(registry) if n.startswith(".files.json-")} == {"test.pt"}


def test_processes_that_want_the_same_file_fetch_it_once(server: WeightsServer, registry: Registry) -> None:
    url = server.serve("/file", SLOW)
    registry.folder.mkdir()
    processes = [child(registry, url) for _ in range(3)]
    assert [ended(process)[0] for process in processes] == [0, 0, 0]
    assert (registry.folder / "test.pt").read_bytes() == LARGE
    assert len(server.asked) == 1


def test_several_files_at_once(
    server: WeightsServer, registry: Registry, patience: Patience, make: Callable[..., Weight]
) -> None:
    slow = Reply(PAYLOAD, block=30_000, pause_s=0.005)
    weights = [make(server.serve(f"/{n}", slow), name=f"Weight {n}", file=f"weight_{n}.pt") for n in range(4)]
    threads = [
        threading.Thread(target=download, args=(registry, weight), kwargs={"patience": patience})
        for weight in weights
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert [registry.state(weight) for weight in weights] == ["ready"] * 4
    assert all(registry.path(weight).read_bytes() == PAYLOAD for weight in weights)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on what a process may write")
def test_a_disk_that_fills_up_mid_way_keeps_what_came(server: WeightsServer, registry: Registry) -> None:
    url = server.serve("/file", replace(SLOW, pause_s=0, chunked=True))
    registry.folder.mkdir()
    status, told = ended(child(registry, url, "2000000"))
    assert status == 3
    assert "the disk is full" in told
    part = registry.folder / "test.pt.part"
    assert part.stat().st_size > 1_900_000
    assert not (registry.folder / "test.pt").exists()
    server.serve("/file", SLOW)
    assert ended(child(registry, url))[0] == 0
    assert (registry.folder / "test.pt").read_bytes() == LARGE
    assert "range" in server.asked[-1].headers


def test_a_folder_that_cannot_be_written(
    server: WeightsServer, registry: Registry, patience: Patience, make: Callable[..., Weight]
) -> None:
    registry.folder.write_text("a file where the folder should be")
    with pytest.raises(SamdeskError, match="cannot be written"):
        download(registry, make(server.serve("/file", Reply(PAYLOAD))), patience=patience)


def test_a_file_in_use_is_not_removed(
    server: WeightsServer, registry: Registry, make: Callable[..., Weight]
) -> None:
    weight = make(server.link("/file"))
    with registry.lock(weight), pytest.raises(SamdeskError, match="being downloaded"):
        registry.remove(weight)


def test_removing_takes_the_file_and_what_a_download_left(
    server: WeightsServer, registry: Registry, patience: Patience, make: Callable[..., Weight]
) -> None:
    good = Reply(PAYLOAD)
    weight = make(server.serve("/file", replace(good, drop_after=9999), Reply(b"", 404), good))
    with pytest.raises(SamdeskError):
        download(registry, weight, patience=patience)
    assert registry.state(weight) == "partial"
    registry.remove(weight)
    assert left(registry) == set()
    download(registry, weight, patience=patience)
    registry.remove(weight)
    assert left(registry) == set()
    assert registry.state(weight) == "missing"


def test_what_is_told_on_the_way(
    server: WeightsServer, registry: Registry, patience: Patience, make: Callable[..., Weight]
) -> None:
    weight = make(server.serve("/file", Reply(PAYLOAD, block=30_000, pause_s=0.002)))
    told: list[Transfer] = []
    progress = []
    download(registry, weight, Task(progress.append), listener=told.append, patience=patience)
    assert [told[0].stage, told[-2].stage, told[-1].stage] == ["waiting", "checking", "done"]
    counts = [one.received for one in told if one.stage == "receiving"]
    assert counts == sorted(counts)
    assert counts[-1] == len(PAYLOAD)
    assert all(one.total == len(PAYLOAD) for one in told[1:])
    moving = [one for one in told if one.rate]
    assert moving
    assert moving[0].remaining_s is not None
    assert "MB" in moving[-1].message or "kB" in moving[-1].message
    assert len(progress) == len(told)
