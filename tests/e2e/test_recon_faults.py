"""The fault table: harm done inside the real worker process, and what becomes of it.

In each: one message that says what happened, no process left, and the next job works.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from samdesk.domain.tasks import Cancelled, Task
from samdesk.recon.childprocess import LOG_MAX
from samdesk.recon.client import WorkerError

from .recon_processes import Processes

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="named pipes and signals of POSIX")


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Processes]:
    made = Processes(tmp_path)
    yield made
    made.close()


@dataclass(frozen=True)
class Fault:
    """What is done, and what is to come of it."""

    do: str
    kind: str
    says: str
    hints: str = ""
    ends: bool = True  # whether the process has to go
    patience_s: float = 60.0

    def __str__(self) -> str:
        return self.do


FAULTS = (
    Fault("segfault", "crash", "segmentation fault", "in segfault"),
    Fault("abort", "crash", "a library gave up", "in abort"),
    Fault("divide", "crash", "floating point exception", "spconv"),
    Fault("bus_error", "crash", "bus error", "in bus_error"),
    Fault("killed", "crash", "the system ended it", "ran out of memory"),
    Fault("exit_well", "crash", "ended without a result", "may have ended it"),
    Fault("exit_badly", "crash", "exit code 3", "last words 59"),
    Fault("stray", "crash", "exit code 4"),
    Fault("forked_stray", "crash", "exit code 5"),
    Fault("stop_in_the_middle", "crash", "ended without a result"),
    Fault("hang_holding_the_lock", "hang", "no progress for 0.5 seconds", "not answer any", patience_s=0.5),
    Fault("refuse_to_end", "hang", "no progress for 0.5 seconds", "in refuse_to_end", patience_s=0.5),
    Fault("hire_and_hang", "hang", "no progress for 0.5 seconds", "still answered", patience_s=0.5),
    Fault("break_the_wire", "protocol", "not a message", "progress 12 %"),
    Fault("count_in_letters", "protocol", "step a of 3"),
    Fault("count_without_end", "protocol", "Infinity is not a number"),
    Fault("take_no_time", "protocol", "nan seconds", ends=False),
    Fault("never_end_a_line", "protocol", "a line of more than 1048576 bytes"),
    Fault("fill_memory", "oom", "no memory left", "smaller picture"),
    Fault("fill_card", "oom", "The graphics card ran out of memory.", "fewer steps"),
    Fault("break_card", "cuda", "an illegal address", "restarted"),
    Fault("fail", "internal", "ValueError: the sky fell", "log", ends=False),
    Fault("quit_python", "internal", "SystemExit: enough", ends=False),
    Fault("miss_module", "missing_module", "surely_not_installed", sys.executable, ends=False),
    Fault("say_what_cannot_be_said", "internal", "cannot be sent", ends=False),
    Fault("name_a_missing_file", "protocol", "nothing.glb", ends=False),
    Fault("name_a_file_elsewhere", "protocol", "image.png", ends=False),
    Fault("stand_nowhere", "protocol", "not a rotation", ends=False),
)


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_fault_is_told_and_the_next_job_works(rig: Processes, fault: Fault) -> None:
    worker = rig.worker(rig.spec(patience_s=fault.patience_s))
    with pytest.raises(WorkerError) as caught:
        rig.run(worker, fault.do)
    error = caught.value
    assert error.kind == fault.kind
    assert fault.says in error.message
    assert fault.hints in f"{error.hint} {error}"
    assert error.message.endswith(".")
    assert "Traceback" not in error.message
    pid = worker.pid
    assert worker.running is not fault.ends
    if fault.ends:
        assert rig.nobody_left()

    worker.spec = rig.spec()
    made = rig.run(worker)
    assert made.files["splat"].is_file()
    assert worker.pid == pid or fault.ends
    worker.close()
    assert rig.nobody_left()


@pytest.mark.parametrize(
    ("do", "kind", "says"),
    [
        ("segfault", "crash", "segmentation fault"),
        ("hang", "hang", "no progress"),
        ("miss_module", "missing_module", "surely_not_installed"),
        ("fill_memory", "oom", "no memory left"),
    ],
)
def test_a_fault_while_loading_is_told(rig: Processes, do: str, kind: str, says: str) -> None:
    worker = rig.worker(rig.spec(patience_s=0.3 if do == "hang" else 60.0, do_load=do))
    with pytest.raises(WorkerError, match=says) as caught:
        rig.run(worker)
    assert caught.value.kind == kind
    worker.close()
    assert rig.nobody_left()


@pytest.mark.parametrize("do", ["chatter", "speak_of_others", "count_too_far"])
def test_rubbish_that_can_be_told_apart_does_no_harm(rig: Processes, do: str) -> None:
    """What libraries and their children print ends in the log; nothing reads the program's words."""
    worker = rig.worker()
    made = rig.run(worker, do)
    assert made.files["mesh"].is_file()
    assert all(stage.i <= stage.n for stage in rig.stages)
    if do == "chatter":
        log = rig.log.read_text("utf-8")
        for words in ("printed by Python", "written to 1", "put by C", "printed by a grandchild"):
            assert words in log


def test_a_flood_of_words_does_not_fill_the_disk(rig: Processes) -> None:
    worker = rig.worker()
    rig.run(worker, "flood")
    rig.run(worker)
    assert rig.log.stat().st_size <= LOG_MAX
    with pytest.raises(WorkerError) as caught:
        rig.run(worker, "exit_badly")
    assert len(caught.value.last_lines) == 50
    assert caught.value.last_lines[-1] == "last words 59"


def test_a_crash_loop_stops_after_two_restarts(rig: Processes) -> None:
    worker = rig.worker()
    pids = set()
    for _ in range(3):
        with pytest.raises(WorkerError, match="segmentation"):
            rig.run(worker, "segfault", on_stage=lambda stage: pids.add(worker.pid))
    assert len(pids - {None}) == 3  # None when it has ended before its last words are read
    with pytest.raises(WorkerError, match="failed 3 times in a row") as caught:
        rig.run(worker)
    assert caught.value.kind == "stopped_trying"
    assert str(rig.log) in caught.value.hint
    assert not worker.running

    worker.forgive()
    assert rig.run(worker).details["runs"] == 1


def test_crashes_with_successes_between_are_no_loop(rig: Processes) -> None:
    worker = rig.worker()
    for _ in range(4):
        with pytest.raises(WorkerError, match="exit code 4"):
            rig.run(worker, "stray")
        rig.run(worker)


@pytest.mark.parametrize(
    ("script", "kind", "says"),
    [
        ('#!/bin/sh\necho \'{"type":"hello","protocol":99}\'\ncat > /dev/null\n', "protocol", "version 99"),
        ("#!/bin/sh\nexec yes\n", "protocol", "did not start the 3D worker"),
        ("#!/bin/sh\nexec cat > /dev/null\n", "hang", "no answer within 0.2 seconds"),
        ("#!/bin/sh\necho no such option >&2\nexit 2\n", "crash", "could not start: exit code 2"),
        ("not a program\n", "start", "Exec format error"),
    ],
    ids=["wrong version", "rubbish", "silent", "refuses", "no program"],
)
def test_what_is_not_the_right_python_is_told(
    rig: Processes, tmp_path: Path, script: str, kind: str, says: str
) -> None:
    python = tmp_path / "python"
    python.write_text(script, "utf-8")
    python.chmod(0o755)
    worker = rig.worker(replace(rig.spec(), python=python), start_s=0.2 if kind == "hang" else 60.0)
    with pytest.raises(WorkerError, match=says) as caught:
        rig.run(worker)
    assert caught.value.kind == kind
    assert not worker.running
    (item,) = worker.check(Task())
    assert item.ok is False
    assert says in item.detail


@pytest.mark.parametrize("name", ["nothing", "", "python"], ids=["missing", "folder", "not executable"])
def test_a_python_that_cannot_be_run_is_named(rig: Processes, tmp_path: Path, name: str) -> None:
    python = tmp_path / name
    if name == "python":
        python.write_text("#!/bin/sh\n", "utf-8")
        python.chmod(0o644)
    worker = rig.worker(replace(rig.spec(), python=python))
    for _ in range(4):  # nothing was started, so nothing is a crash
        with pytest.raises(WorkerError) as caught:
            rig.run(worker)
        assert caught.value.kind == "start"
        assert str(python) in caught.value.message


@pytest.mark.parametrize(
    ("target", "kind", "says"),
    [
        ("recon_nowhere:StandIn", "missing_module", "recon_nowhere"),
        ("recon_standin:Nobody", "internal", "Nobody"),
    ],
)
def test_an_engine_that_cannot_be_imported_is_told(rig: Processes, target: str, kind: str, says: str) -> None:
    worker = rig.worker(replace(rig.spec(), target=target))
    with pytest.raises(WorkerError, match=says) as caught:
        rig.run(worker)
    assert caught.value.kind == kind
    assert not worker.running
    python, engine = worker.check(Task())
    assert python.ok is True
    assert engine.ok is False
    assert says in engine.detail


@pytest.mark.parametrize("do", ["segfault", "fail", "check_in_numbers"])
def test_a_check_that_fails_is_an_item_and_no_error(rig: Processes, do: str) -> None:
    worker = rig.worker(rig.spec(do_check=do))
    for _ in range(3):
        python, engine = worker.check(Task())
        assert python.ok is True
        assert engine.ok is False
        assert engine.detail
    assert not worker.running
    rig.run(worker)  # what a check did is not held against it


def test_a_cancelled_hang_is_no_crash(rig: Processes) -> None:
    worker = rig.worker(cancel_grace_s=0.05)
    for _ in range(3):
        task = Task()
        with pytest.raises(Cancelled):
            rig.run(worker, "hang", task, on_preview=lambda path, task=task: task.cancel())
        assert rig.nobody_left()
    rig.run(worker)
