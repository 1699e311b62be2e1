"""The one worker process that is kept for the next job. Must not know jobs.

A worker that has loaded its model answers again at once; two of them would not fit into the
memory of one graphics card.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from samdesk.domain.errors import SamdeskError
from samdesk.recon.engines import WorkerSpec

if TYPE_CHECKING:
    from samdesk.recon.client import Worker

MakeWorker = Callable[[WorkerSpec, Path], "Worker"]


def new_worker(spec: WorkerSpec, log: Path) -> Worker:
    """A worker that is not started yet."""
    from samdesk.recon.client import Worker  # starting the window does not need it

    return Worker(spec, log)


class WorkerSeat:
    """Keeps one worker. `kill` and `forgive` are for any thread, the others for lanes.

    Parameters
    ----------
    logs : Path
        Folder of the logs, one for each engine.
    make : callable
        Makes a worker, without starting it.
    """

    def __init__(self, logs: Path, make: MakeWorker) -> None:
        self._logs = logs
        self._make = make
        self._lock = threading.Lock()
        self._worker: Worker | None = None
        self._spec: WorkerSpec | None = None
        self._guests: list[Worker] = []
        self._forgiven = False
        self._closed = False

    def log(self, engine: str) -> Path:
        """Where the worker of an engine writes what it has to say."""
        return self._logs / f"3d-{engine}.log"

    def worker(self, spec: WorkerSpec) -> Worker:
        """The worker for this; another one is closed first. One lane only.

        Raises
        ------
        SamdeskError
            When the program is ending.
        """
        if self._spec != spec:
            self.leave()
        with self._lock:
            self._refuse_when_closed()
            if self._worker is None:
                self._worker, self._spec = self._make(spec, self.log(spec.name)), spec
            if self._forgiven:
                self._worker.forgive()
            self._forgiven = False
            return self._worker

    def leave(self) -> None:
        """Close the worker that is kept; the next job starts one anew."""
        with self._lock:
            worker, self._worker, self._spec = self._worker, None, None
        if worker is not None:
            worker.close()

    @contextmanager
    def guest(self, spec: WorkerSpec) -> Iterator[Worker]:
        """A worker beside the kept one, for something short."""
        with self._lock:
            self._refuse_when_closed()
            worker = self._make(spec, self._logs / f"3d-{spec.name}-check.log")
            self._guests.append(worker)
        try:
            yield worker
        finally:
            worker.close()
            with self._lock:
                self._guests.remove(worker)

    def forgive(self) -> None:
        """The user tries again: the next use forgets the crashes before it."""
        with self._lock:
            self._forgiven = True

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to leave."""
        with self._lock:
            return self._worker is None and not self._guests

    def kill(self) -> None:
        """End of the program: end all processes at once; none starts any more."""
        with self._lock:
            self._closed = True
            workers = [*self._guests, *([self._worker] if self._worker is not None else [])]
        for worker in workers:
            worker.kill()

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise SamdeskError("samdesk is closing.", "The job goes on when samdesk is started again.")
