"""The fault table as the window sees it.

In each: the main thread goes on, one message says what happened, no process is left, and the next
job works.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from samdesk.app.reconstruction import ReconJob
from samdesk.domain.geometry import Shape
from samdesk.recon.client import RunRequest, RunResult, Worker
from samdesk.recon.engines import RECON_ENGINES
from tests.e2e.recon_processes import Processes
from tests.e2e.test_recon_faults import FAULTS, Fault
from tests.recon_rig import ENGINE, Rig, add_stand_in, write_picture

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="named pipes and signals of POSIX")

LONGEST_TURN_S = 0.5
"""Of the main thread; had it waited for a process, it were longer than the patience with a hang."""


class Window(Rig):
    """One window through all that happens, and a leash on its processes."""

    def __init__(self, leash: Processes) -> None:
        super().__init__(leash.folder)
        self.leash = leash
        self.tell(leash=leash.spec().config["leash"])
        self.do = ""
        self.open(write_picture(self.home / "picture.png"))
        (self.one,) = self.add(Shape.box(60, 90, 180, 210))

    def through(self, do: str = "") -> ReconJob:
        """What became of a job; asserts that the main thread went on meanwhile."""
        self.do = do
        beats = [time.monotonic()]
        job = self.make(self.one)

        def ended() -> bool:
            beats.append(time.monotonic())
            return not self.job(job).is_busy

        self.until(ended)
        assert max(after - before for before, after in pairwise(beats)) < LONGEST_TURN_S
        self.settle()
        return self.job(job)


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Window]:
    home = tmp_path_factory.mktemp("faults")
    run = Worker.run

    def told(self: Worker, request: RunRequest, *rest: Any) -> RunResult:
        # in the options of the run, so that the process need not be another one
        return run(self, replace(request, options={**request.options, "do": made.do}), *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAMDESK_HOME", str(home / "home"))
        patch.setattr(Worker, "run", told)
        add_stand_in(patch)
        leash = Processes(home)
        made = Window(leash)
        yield made
        made.close()
        leash.close()


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_the_window_outlives_a_fault(window: Window, fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    patient = RECON_ENGINES[ENGINE]
    monkeypatch.setitem(
        RECON_ENGINES, ENGINE, replace(patient, patience_s=min(patient.patience_s, fault.patience_s))
    )
    told, known = len(window.troubles), len(window.known(window.one))
    job = window.through(fault.do)
    assert (job.state, job.kind) == ("failed", fault.kind)
    assert fault.says in job.error
    assert fault.hints in f"{job.error} {job.hint}"
    assert window.troubles[told:] == [job.error]
    assert window.jobs.visible == ()
    if fault.ends:
        assert window.leash.nobody_left()

    after = window.through()
    assert (after.state, after.error, after.attached) == ("done", "", True)
    assert len(window.known(window.one)) == known + 1
    assert window.troubles[told + 1 :] == []


def test_nothing_is_left_when_the_window_closes_over_a_hang(window: Window) -> None:
    window.do = "refuse_to_end"
    window.running(window.make(window.one))
    begun = time.monotonic()
    window.close()
    assert time.monotonic() - begun < LONGEST_TURN_S
    assert window.leash.nobody_left()
