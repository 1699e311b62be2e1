"""`Jobs3D`: all reconstructions of a server, and the way of each through the lane.

Those that are done are there after a restart; the others are known until the server ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from samdesk import paths
from samdesk.app.jobs import Job, Jobs
from samdesk.app.reconstruction.seat import WorkerSeat, new_worker
from samdesk.domain.tasks import Cancelled, InnerTask, Task
from samdesk.server.errors import RequestError
from samdesk.server.options import Limits
from samdesk.server.service import Service

from .job import File3D, Job3D
from .kept import Kept
from .making import make_objects
from .prepared import Prepared

LANE = "3d"

KEPT = 200
"""So many reconstructions are kept; the oldest go first."""

KEPT_BYTES = 8 << 30
"""So much of the disk their files may take; the newest stays whatever its size."""

STOP_S = 2.0
"""A job that runs while the server stops has so long to notice."""


class Jobs3D:
    """All reconstructions of a server. For any thread, but for `moved`, which is for an event loop.

    Parameters
    ----------
    jobs : Jobs
    limits : Limits
    folder : Path, optional
        Where they are kept; by default in the user's data.
    seat : WorkerSeat, optional
        Keeps the worker. It is ended with the server, unless it is given here.
    """

    def __init__(
        self, jobs: Jobs, limits: Limits, *, folder: Path | None = None, seat: WorkerSeat | None = None
    ) -> None:
        self._jobs = jobs
        self._limits = limits
        self._kept = Kept(folder or paths.data_dir() / "server" / "3d")
        self._seat = seat or _own_seat()
        self._shares_seat = seat is not None
        self._lock = threading.Lock()
        self._at_work = threading.Lock()  # held while a job uses the worker
        self._known: dict[str, Job3D] = {one.id: one for one in self._kept.read()}
        self._working: dict[str, Job[Any]] = {}
        self._listeners: dict[str, set[Callable[[], None]]] = {}

    # what there is

    def all(self) -> list[Job3D]:
        """Newest first."""
        with self._lock:
            return sorted(self._known.values(), key=lambda one: -one.created)

    def get(self, job: str) -> Job3D | None:
        """A job by its id."""
        with self._lock:
            return self._known.get(job)

    def path(self, job: str, name: str) -> Path | None:
        """A file of a job that is done; None when it has none of this name."""
        known = self.get(job)
        if known is None or all(one.name != name for one in known.files):
            return None  # only what is listed is ever opened, so that no name leads elsewhere
        return self._kept.place(job) / name

    async def moved(self, job: Job3D, timeout: float) -> Job3D | None:
        """What has become of a job: as soon as it is not as given any more, or after `timeout` seconds.

        Returns
        -------
        Job3D or None
            None when it was removed.
        """
        loop, moved = asyncio.get_running_loop(), asyncio.Event()
        wake = partial(_set_on, loop, moved)
        with self._lock:
            self._listeners.setdefault(job.id, set()).add(wake)
        try:
            if self.get(job.id) == job:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(moved.wait(), timeout)
            return self.get(job.id)
        finally:
            with self._lock:
                listeners = self._listeners[job.id]
                listeners.discard(wake)
                if not listeners:
                    del self._listeners[job.id]

    # what is done with them

    def refuse_when_full(self) -> None:
        """Raise `RequestError` when no further job may be started."""
        with self._lock:
            self._refuse_when_full()

    def start(self, prepared: Prepared) -> Job3D:
        """Put a job into the queue; returns at once.

        Raises
        ------
        RequestError
            503 when too many wait already, or the program ends.
        """
        spec, formats = prepared.order.spec, tuple(prepared.order.formats)
        count = len(prepared.shapes)
        made = Job3D(uuid.uuid4().hex, "queued", spec.name, spec.label, formats, count, time.time())
        with self._lock:
            self._refuse_when_full()
            self._known[made.id] = made
        working = self._jobs.lane(LANE).submit(
            lambda task: self._make(made, prepared, task),
            title="Making an object in 3D" if count == 1 else f"Making {count} objects in 3D",
            done=partial(self._ended, made.id),
        )
        if working.finished:  # the program is about to end
            with self._lock:
                del self._known[made.id]
            raise RequestError(503, "The server is stopping.")
        with self._lock:
            now = self._known.get(made.id)
            is_over = now is None or now.is_over
            if not is_over:
                self._working[made.id] = working
        if is_over:  # cancelled in this moment, if not done
            working.cancel()
        return made

    def cancel(self, job: str) -> bool:
        """Give a job up, whether it waits or runs; False when it is over, or there is none."""
        if not self._change(job, state="cancelled", stage="", ended=time.time()):
            return False
        with self._lock:
            working = self._working.pop(job, None)
        if working is not None:
            working.cancel()
        return True

    def remove(self, job: str) -> bool:
        """Forget a job and its files; one that is not over is cancelled. False when there is none."""
        self.cancel(job)
        with self._lock:
            known = self._known.pop(job, None)
        if known is None:
            return False
        self._wake(job)
        self._kept.forget(job)
        return True

    def stop(self) -> None:
        """End of the server: what is not done is cancelled, and the worker ended.

        A job that is started afterwards starts a worker again.
        """
        for one in self.all():
            self.cancel(one.id)
        if self._shares_seat:
            return
        seat, self._seat = self._seat, _own_seat()
        seat.kill()
        if self._at_work.acquire(timeout=STOP_S):
            try:
                seat.leave()
            finally:
                self._at_work.release()

    # on the lane

    def _make(self, job: Job3D, prepared: Prepared, task: Task) -> None:
        with self._at_work:
            self._change(job.id, state="running")
            try:
                told = _Told(task, partial(self._came_to, job.id))
                error = make_objects(prepared, self._kept.place(job.id), self._seat, told)
                self._make_room(self._kept.files(job.id))
                done = replace(
                    job,
                    state="done",
                    percent=100,
                    ended=time.time(),
                    error="" if error is None else error.message,
                    hint="" if error is None else error.hint,
                    files=self._kept.files(job.id),
                )
                self._kept.keep(done)
                if not self._replace(done):
                    raise Cancelled
            except BaseException:
                self._kept.forget(job.id)
                raise

    def _came_to(self, job: str, fraction: float | None, message: str) -> None:
        known = self.get(job)
        if known is not None:
            # 100 is for what is done
            percent = known.percent if fraction is None else min(99, max(known.percent, int(100 * fraction)))
            self._change(job, percent=percent, stage=message or known.stage)

    def _make_room(self, fresh: Iterable[File3D]) -> None:
        """Remove the oldest that are over, and what was never finished."""
        used = sum(one.size for one in fresh)
        over = [one for one in self.all() if one.is_over]
        for number, one in enumerate(over, 1):
            used += one.size
            if number >= KEPT or used > KEPT_BYTES:
                self.remove(one.id)
        self._kept.clear_leftovers()

    def _ended(self, job: str, working: Job[None]) -> None:
        """The lane is through with it; on the main thread."""
        ended: dict[str, Any] = {"stage": "", "ended": time.time()}
        if working.error is not None:
            error = working.error
            self._change(job, state="failed", error=error.message, hint=error.hint, **ended)
        elif working.state == "cancelled":
            self._change(job, state="cancelled", **ended)
        with self._lock:  # not before it is over: see `start`
            self._working.pop(job, None)

    # what is known

    def _change(self, job: str, **members: Any) -> bool:
        """Change a job that is not over; False when it is, or there is none."""
        known = self.get(job)
        return known is not None and self._replace(replace(known, **members))

    def _replace(self, fresh: Job3D) -> bool:
        with self._lock:
            known = self._known.get(fresh.id)
            if known is None or known.is_over:
                return False
            self._known[fresh.id] = fresh
        if fresh != known:
            self._wake(fresh.id)
        return True

    def _wake(self, job: str) -> None:
        with self._lock:
            listeners = list(self._listeners.get(job, ()))
        for wake in listeners:
            wake()

    def _refuse_when_full(self) -> None:
        most = self._limits.reconstructions
        if sum(not one.is_over for one in self._known.values()) >= most:
            raise RequestError(
                503, f"{most} reconstructions are waiting already.", "Ask again when some are done."
            )


class _Told(InnerTask):
    """A task that tells someone else as well how it goes."""

    def __init__(self, task: Task, tell: Callable[[float | None, str], None]) -> None:
        super().__init__(task)
        self._tell = tell

    def progress(self, fraction: float | None, message: str = "") -> None:
        super().progress(fraction, message)
        self._tell(fraction, message)


def _own_seat() -> WorkerSeat:
    return WorkerSeat(paths.state_dir(), new_worker)


def _set_on(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(event.set)


def jobs3d(service: Service) -> Jobs3D:
    """The reconstructions of a server; made when they are first asked for."""
    return service.part(Jobs3D, lambda: Jobs3D(service.jobs, service.options.limits))
