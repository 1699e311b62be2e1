"""A workspace with 3D jobs, without a window: real files, and a stand-in engine in a real worker process."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from samdesk import paths
from samdesk.app.jobs import Jobs, MainQueue
from samdesk.app.reconstruction import ReconJob
from samdesk.app.settings import Settings
from samdesk.app.workspace import Notice, Workspace
from samdesk.domain.columns import Annotation
from samdesk.domain.geometry import Shape
from samdesk.recon.client import Worker
from samdesk.recon.engines import RECON_ENGINES, ReconField, ReconSpec, WorkerSpec
from samdesk.sdk import Segmenter
from tests.fakes import FakeAsk, FakeEngine

TESTS = Path(__file__).parent
ENGINE = "standin"
WAIT_S = 20.0

TURN_S = 0.005
"""The end of a lane's work is nothing that the main thread is told."""


def add_stand_in(patch: pytest.MonkeyPatch) -> None:
    """Put the stand-in into the table of engines."""
    told = ("do", "do_load", "do_check", "step_s", "leash")
    fields = tuple(ReconField(name, name, "text", "") for name in (*told, "steps"))
    row = ReconSpec(
        ENGINE, "Stand-in", "Stand-in (test)", "recon_standin:StandIn", "", fields=fields, patience_s=10
    )
    patch.setitem(RECON_ENGINES, ENGINE, row)


class Rig:
    """One window's workspace and 3D jobs.

    Parameters
    ----------
    home : Path
        With `SAMDESK_HOME` set to a folder in it.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.main = MainQueue()
        self.jobs = Jobs(self.main)
        self.settings = Settings(home / "settings.json")
        self.workers: list[Worker] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("samdesk.app.reconstruction.queue.new_worker", self._new_worker)
            self.workspace = Workspace(self.jobs, self.settings, Segmenter(FakeEngine()), FakeAsk())
        self.recon = self.workspace.reconstructions
        self.notices: list[Notice] = []
        self.workspace.notice.connect(self.notices.append)
        self.folder = paths.data_dir() / "3d"
        self.finished: list[ReconJob] = []
        self.recon.finished.connect(self.finished.append)
        self.closed = False
        self.tell()

    def _new_worker(self, spec: WorkerSpec, log: Path) -> Worker:
        times = {"cancel_grace_s": 0.3, "term_grace_s": 0.3, "ping_s": 0.2}
        made = Worker(replace(spec, path=(str(TESTS),)), log, **times)
        self.workers.append(made)
        return made

    def tell(self, **told: Any) -> None:
        """What the stand-in is to do from now on."""
        self.settings["recon"] = {ENGINE: {"steps": 2, "step_s": 0, **told}}

    def until(self, condition: Callable[[], bool]) -> None:
        """Turn the main thread until this holds, which is looked at some hundred times a second."""
        end = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < end, "waited in vain"
            with contextlib.suppress(TimeoutError):
                self.main.run_until(condition, TURN_S)

    def settle(self) -> None:
        for _ in range(4):
            self.until(lambda: self.jobs.idle)
            self.main.drain()

    def open(self, path: Path) -> None:
        self.workspace.open(path)
        self.settle()

    def add(self, *shapes: Shape, name: str = "") -> list[uuid.UUID]:
        document = self.workspace.document
        added = [Annotation(shape, name=name) for shape in shapes]
        assert self.workspace.do(document.adding(added))
        return [one.id for one in added]

    def make(self, *ids: uuid.UUID, **more: Any) -> ReconJob:
        return self.recon.make(ids, ENGINE, **more)

    def job(self, job: ReconJob) -> ReconJob:
        """The job as it is now."""
        found = self.recon.get(job.id)
        assert found is not None
        return found

    def running(self, job: ReconJob) -> None:
        """Until the worker has begun with it."""

        def begun() -> bool:
            now = self.recon.get(job.id)
            return now is not None and now.state == "running" and "shape" in now.message

        self.until(begun)

    def known(self, one: uuid.UUID) -> list[dict[str, Any]]:
        """What an annotation knows of its objects."""
        found: list[dict[str, Any]] = self.workspace.document.get(one).provenance.get("reconstructions", [])
        return found

    @property
    def troubles(self) -> list[str]:
        return [one.text for one in self.notices if one.level != "info"]

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.workspace.close()
            self.main.drain()

    def crash(self, job: ReconJob) -> None:
        """End as if this process had died over a job: what is on disk stays as it is."""
        starts = self.folder / job.id / "starts"
        text = starts.read_text("utf-8")
        self.recon._folders.close()  # nothing is written from here on, and the system frees the locks
        self.close()
        starts.write_text(text, "utf-8")


def write_picture(path: Path) -> Path:
    """A picture with something bright in it."""
    pixels = np.full((300, 400, 3), 90, np.uint8)
    cv2.circle(pixels, (120, 150), 60, (40, 180, 220), -1)
    cv2.imwrite(str(path), pixels)
    return path
