"""The life of a worker process: started, used again, cancelled, idle, and gone with the program."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from samdesk.domain.tasks import Cancelled, Task
from samdesk.recon.client import CheckItem, Stage, WorkerError
from samdesk.recon.pose import Camera, Pose

from .recon_processes import Processes

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="named pipes and signals of POSIX")


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Processes]:
    made = Processes(tmp_path)
    yield made
    made.close()


def test_a_job_is_made_and_the_process_is_used_again(rig: Processes) -> None:
    worker = rig.worker()
    assert worker.pid is None
    assert not worker.running
    made = rig.run(worker)
    pid = worker.pid
    assert rig.stages[:2] == [Stage("load", 0, 1), Stage("load", 1, 1)]
    assert rig.stages[2:] == [Stage("shape", step, 3) for step in range(4)]
    assert made.files == {
        "splat": rig.folder / "0" / "splat.ply",
        "mesh": rig.folder / "0" / "mesh.glb",
    }
    assert made.pose == Pose((1, 0, 0, 0), (0, 0, 2), 1)
    assert made.camera == Camera("perspective", 40, 1.5)
    assert (made.engine, made.version, made.device) == ("standin", "7", "stand-in")
    assert made.details["options"] == {"do": ""}
    assert 0 <= made.seconds < 5
    (preview,) = rig.previews
    points = np.load(preview)
    assert points.shape == (4, 3)
    assert points.dtype == np.float32

    assert rig.run(worker).details == {**made.details, "runs": 2}
    assert worker.pid == pid
    worker.close()
    assert worker.pid is None
    assert rig.nobody_left()
    assert rig.run(worker).details["runs"] == 1


def test_check_tells_what_is_there_and_leaves_no_process(rig: Processes) -> None:
    worker = rig.worker()
    python, *others = worker.check(Task())
    assert python.ok is True
    assert sys.executable in python.detail
    assert others == [
        CheckItem("Weights", True, "none needed"),
        CheckItem("Graphics card", False, "none found", "Buy one."),
        CheckItem("Licence", None, "not known"),
    ]
    assert not worker.running
    rig.run(worker)
    worker.check(Task())
    assert worker.running


def test_the_surroundings_of_another_python_are_clean(
    rig: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of this program's Python or Qt, but what an activated environment has."""
    for name in (
        "PYTHONPATH",
        "PYTHONHOME",
        "LD_LIBRARY_PATH",
        "QT_PLUGIN_PATH",
        "VIRTUAL_ENV",
        "MPLBACKEND",
    ):
        monkeypatch.setenv(name, "/of/the/program")
    monkeypatch.setenv("CONDA_DEFAULT_ENV", "of-the-program")
    python = tmp_path / "an environment" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\necho "Activating…"\nexec "{sys.executable}" "$@"\n', "utf-8")
    python.chmod(0o755)
    worker = rig.worker(replace(rig.spec(), python=python, environment={"ATTN_BACKEND": "sdpa"}))
    told = rig.run(worker, "tell_surroundings").details
    environment = told["environment"]
    assert not [name for name, value in environment.items() if "of/the/program" in value]
    assert "CONDA_DEFAULT_ENV" not in environment
    wanted = {
        "CONDA_PREFIX": str(python.parent.parent),
        "LIDRA_SKIP_INIT": "true",
        "PYTHONUTF8": "1",
        "PYTHONUNBUFFERED": "1",
        "ATTN_BACKEND": "sdpa",
    }
    assert wanted.items() <= environment.items()
    assert environment["PATH"].startswith(f"{python.parent}{os.pathsep}")
    assert told["session"]


def test_only_modules_of_samdesk_come_along_with_it(rig: Processes) -> None:
    """Not the packages that lie beside it, which are for another Python."""
    # not that of the environment: samdesk is installed there, and so on its path
    worker = rig.worker(replace(rig.spec(), python=Path(sys._base_executable)))
    told = rig.run(worker, "tell_surroundings").details
    assert told["stub"]
    program = Path(__file__).parents[2]
    assert not {str(program), str(program / "samdesk" / "recon" / "worker")} & set(told["path"])


def test_cancel_is_heard_between_steps_and_the_process_stays(rig: Processes) -> None:
    worker = rig.worker(cancel_grace_s=30)
    rig.run(worker)
    pid, task, seen = worker.pid, Task(), []

    def moved(stage: Stage) -> None:
        seen.append(stage)
        if len(seen) == 5:
            task.cancel()
            seen.append(time.monotonic())

    with pytest.raises(Cancelled):
        rig.run(worker, "be_slow", task, on_stage=moved)
    assert time.monotonic() - seen[5] < 2
    assert worker.pid == pid
    assert rig.run(worker).details["runs"] == 3


@pytest.mark.parametrize("do", ["hang", "hang_holding_the_lock", "refuse_to_end", "hire_and_hang"])
def test_cancel_ends_a_process_that_does_not_hear(rig: Processes, do: str) -> None:
    worker, task = rig.worker(), Task()
    with pytest.raises(Cancelled):
        rig.run(worker, do, task, on_preview=lambda path: task.cancel())
    assert not worker.running
    assert rig.nobody_left()
    rig.run(worker)


def test_cancel_while_loading(rig: Processes) -> None:
    worker, task = rig.worker(rig.spec(do_load="be_slow"), cancel_grace_s=30), Task()
    with pytest.raises(Cancelled):
        rig.run(worker, "", task, on_stage=lambda stage: task.cancel())
    assert worker.running


def test_cancel_while_loading_without_end(rig: Processes) -> None:
    worker, task = rig.worker(rig.spec(do_load="say_so_and_hang")), Task()
    with pytest.raises(Cancelled):
        rig.run(worker, "", task, on_preview=lambda path: task.cancel())
    assert not worker.running
    assert rig.nobody_left()


def test_cancel_while_the_interpreter_starts(rig: Processes, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexec sleep 600\n", "utf-8")
    python.chmod(0o755)
    started = time.monotonic()

    class Impatient(Task):
        @property
        def cancelled(self) -> bool:
            return time.monotonic() - started > 0.2

    with pytest.raises(Cancelled):
        rig.run(rig.worker(replace(rig.spec(), python=python)), "", Impatient())
    assert time.monotonic() - started < 5
    with pytest.raises(Cancelled):
        rig.worker(replace(rig.spec(), python=python)).check(Impatient())


def test_what_a_listener_raises_stops_the_job(rig: Processes) -> None:
    """As `Task.progress` does once the task was cancelled."""
    worker = rig.worker(cancel_grace_s=30)

    def moved(stage: Stage) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        rig.run(worker, "be_slow", on_stage=moved)
    assert worker.running
    rig.run(worker)


def test_a_cancel_that_comes_too_late_costs_no_process(rig: Processes) -> None:
    """The result is on its way already."""
    worker = rig.worker(cancel_grace_s=30)

    def moved(stage: Stage) -> None:
        if stage == Stage("shape", 3, 3):
            raise Cancelled

    with pytest.raises(Cancelled):
        rig.run(worker, on_stage=moved)
    pid = worker.pid
    rig.run(worker)
    assert worker.pid == pid


def test_kill_comes_from_another_thread_and_cancels(rig: Processes) -> None:
    worker, busy = rig.worker(cancel_grace_s=60), threading.Event()

    def end() -> None:
        busy.wait()
        worker.kill()

    thread = threading.Thread(target=end)
    thread.start()
    with pytest.raises(Cancelled):
        rig.run(worker, "refuse_to_end", on_preview=lambda path: busy.set())
    thread.join()
    assert rig.nobody_left()
    rig.run(worker)


def test_an_idle_engine_gives_its_memory_back_and_loads_again(rig: Processes) -> None:
    worker = rig.worker(rig.spec(idle_s=0.05, tell_unload=True))
    assert rig.run(worker).details["loads"] == 1
    pid = worker.pid
    assert rig.said() == b"unloaded\n"
    assert rig.run(worker).details["loads"] == 2
    assert worker.pid == pid


def test_unload_keeps_the_process(rig: Processes) -> None:
    worker = rig.worker(rig.spec(tell_unload=True), cancel_grace_s=30)
    worker.unload()
    assert not worker.running
    rig.run(worker)
    worker.unload()
    assert rig.said() == b"unloaded\n"
    assert rig.run(worker).details["loads"] == 2


def test_a_new_process_for_every_object_where_it_is_wanted(rig: Processes) -> None:
    worker = rig.worker(rig.spec(restart=True))
    for _ in range(2):
        assert rig.run(worker).details["runs"] == 1
        assert not worker.running
        assert rig.nobody_left()


def test_a_process_that_died_while_idle_is_started_again(rig: Processes) -> None:
    worker = rig.worker()
    for _ in range(4):
        rig.run(worker)
        assert worker.pid is not None
        os.killpg(worker.pid, signal.SIGKILL)
        assert rig.nobody_left()
        while worker.running:
            os.sched_yield()
    assert rig.run(worker).details["runs"] == 1


def test_the_folder_of_the_results_has_to_be_writable(rig: Processes) -> None:
    rig.folder.joinpath("0").write_text("in the way", "utf-8")
    worker = rig.worker()
    with pytest.raises(Exception, match="cannot be written") as caught:
        rig.run(worker)
    assert str(rig.folder / "0") in str(caught.value)
    assert not isinstance(caught.value, WorkerError)


def test_the_log_has_to_be_writable(rig: Processes) -> None:
    rig.log.parent.write_text("in the way", "utf-8")
    with pytest.raises(WorkerError, match="cannot be written") as caught:
        rig.run(rig.worker())
    assert str(rig.log.parent) in caught.value.message


PROGRAM = """
import json, sys
from pathlib import Path
from samdesk.domain.tasks import Task
from samdesk.recon.client import RunRequest, Worker
from samdesk.recon.engines import WorkerSpec
folder, config, path, patience_s, do = json.loads(sys.argv[1])
spec = WorkerSpec("standin", "recon_standin:StandIn", config=config, path=path, patience_s=patience_s)
worker = Worker(spec, Path(folder) / "log", ping_s=0.05)
request = RunRequest("job", Path(folder), "image.png", "mask.png", "0", {"do": do})
worker.run(request, Task(), lambda stage: None, lambda path: print("at work", flush=True))
print("idle", flush=True)
input()
"""


@pytest.mark.parametrize(
    ("do", "patience_s"),
    [
        ("", 60.0),
        ("be_slow", 60.0),
        ("hire_and_hang", 60.0),
        ("refuse_to_end", 60.0),
        ("hang_holding_the_lock", 0.4),
    ],
)
def test_the_worker_goes_with_the_program(rig: Processes, do: str, patience_s: float) -> None:
    """However it goes; even where the worker cannot look at its pipe."""
    spec = rig.spec()
    told = json.dumps([str(rig.folder), dict(spec.config), spec.path, patience_s, do])
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, told], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert program.stdin is not None
    assert program.stdout is not None
    with program.stdin, program.stdout:
        assert program.stdout.readline() == "at work\n"
        if not do:
            assert program.stdout.readline() == "idle\n"
        program.kill()
        assert program.wait() == -signal.SIGKILL
    assert rig.nobody_left()
