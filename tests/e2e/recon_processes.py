"""Workers with the stand-in engine, and a leash on every process that comes of them."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from samdesk.domain.tasks import Task
from samdesk.recon.client import RunRequest, RunResult, Stage, Worker
from samdesk.recon.engines import WorkerSpec

TESTS = Path(__file__).parents[1]
GONE_S = 10.0


class Processes:
    """Real processes, with short patience.

    Attributes
    ----------
    folder : Path
        Of the jobs.
    log : Path
    stages : list of Stage
    previews : list of Path
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log" / "standin.log"
        self.stages: list[Stage] = []
        self.previews: list[Path] = []
        self._fifo = folder / "leash"
        os.mkfifo(self._fifo)
        self._leash = os.open(self._fifo, os.O_RDONLY | os.O_NONBLOCK)
        self._workers: list[Worker] = []

    def spec(self, patience_s: float = 60.0, idle_s: float = 600.0, **config: Any) -> WorkerSpec:
        return WorkerSpec(
            "standin",
            "recon_standin:StandIn",
            config={"leash": str(self._fifo), **config},
            path=(str(TESTS),),
            patience_s=patience_s,
            idle_s=idle_s,
        )

    def worker(self, spec: WorkerSpec | None = None, **times: float) -> Worker:
        times = {"cancel_grace_s": 0.15, "term_grace_s": 0.15, "ping_s": 0.2} | times
        worker = Worker(spec or self.spec(), self.log, **times)
        self._workers.append(worker)
        return worker

    def run(
        self,
        worker: Worker,
        do: str = "",
        task: Task | None = None,
        on_stage: Callable[[Stage], object] | None = None,
        on_preview: Callable[[Path], object] | None = None,
    ) -> RunResult:
        request = RunRequest("job", self.folder, "image.png", "mask.png", "0", {"do": do})
        return worker.run(
            request, task or Task(), on_stage or self.stages.append, on_preview or self.previews.append
        )

    def said(self) -> bytes:
        """Wait for what is written into the leash; empty when nobody holds it any more."""
        until = time.monotonic() + GONE_S
        while True:
            try:
                return os.read(self._leash, 100)
            except BlockingIOError:
                poll = select.poll()
                poll.register(self._leash, select.POLLIN)
                if not poll.poll(1000 * max(0.0, until - time.monotonic())):
                    raise AssertionError("a process is left") from None

    def nobody_left(self) -> bool:
        """Whether every process that was started has ended; waits for it."""
        return self.said() == b""

    def close(self) -> None:
        for worker in self._workers:
            worker.close()
        try:
            assert self.nobody_left()
        finally:
            os.close(self._leash)
