"""Background work: lanes, jobs, and the way back to the main thread.

The one file that makes threads. Must not know what the functions do, nor Qt: the window
gives a `dispatch` that runs a function on its own thread, a program without a window uses
`MainQueue`.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable, Generator
from typing import Any, Generic, Literal, TypeVar

from psygnal import Signal

from samdesk.domain.errors import SamdeskError
from samdesk.domain.tasks import Cancelled, Progress, Task

from .remaining import Pace

log = logging.getLogger(__name__)

T = TypeVar("T")
State = Literal["queued", "running", "done", "failed", "cancelled"]
Dispatch = Callable[[Callable[[], None]], None]

REPORT_EVERY_S = 0.05


class _GiveWay(Exception):  # noqa: N818 - not an error: the job goes on later
    """Raised by a function that wants to be called again once more urgent jobs have run."""


class _Steps(Generic[T]):
    """A generator as a function that is called once for every step."""

    def __init__(self, make: Callable[[Task], Generator[None, None, T]]) -> None:
        self._make = make
        self._made: Generator[None, None, T] | None = None

    def __call__(self, task: Task) -> T:
        if self._made is None:
            self._made = self._make(task)
        try:
            next(self._made)
        except StopIteration as end:
            result: T = end.value
            return result
        raise _GiveWay


class Job(Generic[T]):
    """One function on its way through a lane.

    Attributes
    ----------
    title : str
        What the user reads; a job without a title is not shown.
    state : {"queued", "running", "done", "failed", "cancelled"}
    result : the function's value once `state` is "done"
    error : SamdeskError or None
        Why it failed.
    progress : Progress
    """

    def __init__(
        self,
        lane: Lane,
        title: str,
        function: Callable[[Task], T],
        done: Callable[[Job[T]], None] | None,
        discard: Callable[[T], None] | None,
    ) -> None:
        self.title = title
        self.state: State = "queued"
        self.result: T | None = None
        self.error: SamdeskError | None = None
        self.progress = Progress()
        self.started = 0.0
        self._pace: Pace | None = None
        self._lane = lane
        self._function = function
        self._done = done
        self._discard = discard
        self._task = Task(self._reported)
        self._announced = 0.0

    @property
    def finished(self) -> bool:
        return self.state in ("done", "failed", "cancelled")

    def remaining(self, now: float | None = None) -> float | None:
        """Seconds until it will have ended, as far as that can be told from its progress."""
        pace = self._pace
        return None if pace is None else pace.remaining(time.monotonic() if now is None else now)

    def cancel(self) -> None:
        """Give the job up. Returns at once: what still runs stops at its next check, unheard."""
        self._task.cancel()
        self._lane.jobs._finish(self, "cancelled")

    def run(self) -> bool:
        """Run the function; False when it wants to be called again."""
        self.started = self.started or time.monotonic()
        self._lane.jobs._announce(self)
        try:
            result = self._function(self._task)
        except _GiveWay:
            return self.finished
        except Cancelled:
            self._lane.jobs._finish(self, "cancelled")
        except SamdeskError as error:
            self.error = error
            self._lane.jobs._finish(self, "failed")
        except MemoryError:
            self.error = SamdeskError(
                f"“{self.title or 'A background step'}” ran out of memory.",
                "Close other programs, or work on a smaller region.",
            )
            self._lane.jobs._finish(self, "failed")
        except Exception as error:
            log.exception("job %r failed", self.title or self._function)
            self.error = SamdeskError(
                f"“{self.title or 'A background step'}” failed: {error or type(error).__name__}.",
                "The log has the details.",
            )
            self._lane.jobs._finish(self, "failed")
        else:
            self.result = result
            if not self._lane.jobs._finish(self, "done") and self._discard is not None:
                self._discard(result)
        return True

    def _reported(self, progress: Progress) -> None:
        self.progress = progress
        now = time.monotonic()
        if progress.fraction is None:
            self._pace = None
        else:
            pace = self._pace or Pace.started(now, progress.fraction)
            self._pace = pace.reported(now, progress.fraction)
        if now - self._announced >= REPORT_EVERY_S:
            self._announced = now
            self._lane.jobs._announce(self)


class Lane:
    """A queue with its own worker threads; jobs of equal priority run in order."""

    def __init__(self, jobs: Jobs, name: str, workers: int) -> None:
        self.jobs = jobs
        self.name = name
        self._queue: list[tuple[int, int, Job[Any]]] = []
        self._keyed: dict[str, Job[Any]] = {}
        self._serial = itertools.count()
        self._wake = threading.Condition()
        self._closed = False
        self._busy = 0
        self._threads = [
            threading.Thread(target=self._work, name=f"samdesk-{name}-{k}", daemon=True)
            for k in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def submit(
        self,
        function: Callable[[Task], T],
        *,
        title: str = "",
        key: str | None = None,
        done: Callable[[Job[T]], None] | None = None,
        discard: Callable[[T], None] | None = None,
        priority: int = 0,
    ) -> Job[T]:
        """Queue a function.

        Parameters
        ----------
        function : callable
            Receives the `Task` through which it reports progress and learns of a cancel.
        title : str
            Shown to the user; empty for work that is not worth showing.
        key : str, optional
            A newer job with the same key cancels the older one, queued or running.
        done : callable, optional
            Called once on the main thread when the job has ended, however it ended.
        discard : callable, optional
            Receives the result of a function that ended after its job was cancelled; runs on
            the lane's thread. For results that hold a file or a lock.
        priority : int
            Lower runs first.
        """
        job = Job(self, title, function, done, discard)
        older = None
        with self._wake:
            if self._closed:
                job.state = "cancelled"
                return job
            if key is not None:
                older = self._keyed.get(key)
                self._keyed[key] = job
            heapq.heappush(self._queue, (priority, next(self._serial), job))
            self._wake.notify()
        if older is not None and not older.finished:
            older.cancel()
        self.jobs._announce(job)
        return job

    def submit_steps(
        self,
        function: Callable[[Task], Generator[None, None, T]],
        *,
        title: str = "",
        key: str | None = None,
        done: Callable[[Job[T]], None] | None = None,
        priority: int = 0,
    ) -> Job[T]:
        """Queue a generator as one job: at every `yield`, jobs of lower `priority` go first.

        Its result is what the generator returns. Cancelled between two steps, it is not resumed.
        Parameters as in `submit`.
        """
        return self.submit(_Steps(function), title=title, key=key, done=done, priority=priority)

    def forget(self, job: Job[Any]) -> None:
        """Let go of an ended job, and so of its result."""
        for key in [key for key, kept in self._keyed.items() if kept is job]:
            self._keyed.pop(key, None)

    @property
    def idle(self) -> bool:
        with self._wake:
            return not self._queue and not self._busy

    def flush(self, timeout: float) -> bool:
        """Wait until the lane is idle; False when it was not after `timeout` seconds.

        For the end of the program only: it blocks the caller.
        """
        deadline = time.monotonic() + timeout
        with self._wake:
            while self._queue or self._busy:
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._wake.wait(left)
        return True

    def close(self) -> None:
        with self._wake:
            self._closed = True
            waiting = [job for _, _, job in self._queue]
            self._queue.clear()
            self._wake.notify_all()
        for job in waiting:
            job.cancel()

    def join(self, timeout: float) -> None:
        for thread in self._threads:
            thread.join(timeout)

    def _work(self) -> None:
        while True:
            with self._wake:
                while not self._queue and not self._closed:
                    self._wake.wait()
                if not self._queue:
                    return
                priority, _, job = heapq.heappop(self._queue)
                if not self.jobs._begin(job):
                    continue
                self._busy += 1
            ended = True
            try:
                ended = job.run()
            finally:
                with self._wake:
                    if not ended and not self._closed:
                        heapq.heappush(self._queue, (priority, next(self._serial), job))
                    self._busy -= 1
                    self._wake.notify_all()
                del job


LANES = {
    "model": 1,
    "predict": 1,
    "sketch": 1,
    "io": 1,
    "pictures": 1,
    "levels": 1,
    "listing": 1,
    "measure": 2,
    "intensity": 1,
    "journal": 1,
    "tiles": 2,
    "http": 3,
    "weights": 1,
    "3d": 1,
    "3d check": 1,
    "shapes": 1,
    "requests": 2,
    "serve": 1,
}
"""Lane names and their number of threads. Prompts on what is encoded have a lane of their own, as
encoding can take a minute. Sketches are what an engine without a model answers while
the model is not ready. The journal has a lane of its own so that no import
can stand between an accepted edit and the disk, and zoom levels have one so that nothing waits
for them. On `weights` gigabytes are read to be checked or copied, beside the downloads on
`http`. `3d` waits for the one worker process, which can take an hour;
`3d check` for one that only says what it lacks. On `shapes` many annotations are changed at once.
`measure` has two so that sorting a table does not wait for what is measured; `intensity` reads
the pixels of a whole slide.
On `requests` the server decodes what it was sent;
`serve` is the server's own thread for as long as it answers."""


class Jobs:
    """All lanes, and the list of jobs that the user sees.

    Parameters
    ----------
    dispatch : callable
        Runs a function on the main thread, in order; may be called from any thread.

    Attributes
    ----------
    changed : Signal(Job)
        On the main thread, whenever a job with a title starts, moves or ends.
    failed : Signal(Job)
        On the main thread, for every job that failed.
    """

    changed = Signal(object)
    failed = Signal(object)

    def __init__(self, dispatch: Dispatch) -> None:
        self.dispatch = dispatch
        self._lock = threading.Lock()
        self._visible: list[Job[Any]] = []
        self._running: set[Job[Any]] = set()
        self._lanes: dict[str, Lane] = {}

    def lane(self, name: str) -> Lane:
        with self._lock:
            if name not in self._lanes:
                self._lanes[name] = Lane(self, name, LANES[name])
            return self._lanes[name]

    @property
    def visible(self) -> tuple[Job[Any], ...]:
        """Unfinished jobs with a title, oldest first."""
        with self._lock:
            return tuple(self._visible)

    @property
    def idle(self) -> bool:
        with self._lock:
            lanes = list(self._lanes.values())
        return all(lane.idle for lane in lanes)

    def close(self, timeout: float = 2.0) -> None:
        """Cancel everything and end the threads; a thread that does not stop is left behind as a daemon."""
        with self._lock:
            lanes = list(self._lanes.values())
            running = list(self._running)
        for lane in lanes:
            lane.close()
        for job in running:
            job.cancel()
        for lane in lanes:
            lane.join(timeout)

    def _announce(self, job: Job[Any]) -> None:
        with self._lock:
            if job.finished:
                return
            self._running.add(job)
            if job.title and job not in self._visible:
                self._visible.append(job)
        if job.title:
            self.dispatch(lambda: self.changed.emit(job))

    def _begin(self, job: Job[Any]) -> bool:
        with self._lock:
            if job.finished:
                return False
            job.state = "running"
            return True

    def _finish(self, job: Job[Any], state: State) -> bool:
        with self._lock:
            if job.finished:
                return False
            job.state = state
            self._running.discard(job)
            job._lane.forget(job)
            if job in self._visible:
                self._visible.remove(job)
        self.dispatch(lambda: self._tell(job))
        return True

    def _tell(self, job: Job[Any]) -> None:
        try:
            if job._done is not None:
                job._done(job)
        finally:
            if job.state == "failed":
                self.failed.emit(job)
            if job.title:
                self.changed.emit(job)


class MainQueue:
    """A main thread without a window: functions wait here until `run_until` or `drain` runs them."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def __call__(self, function: Callable[[], None]) -> None:
        self._queue.put(function)

    def drain(self) -> None:
        """Run what is waiting now."""
        while True:
            try:
                self._queue.get_nowait()()
            except queue.Empty:
                return

    def run_until(self, condition: Callable[[], bool], timeout: float = 60.0) -> None:
        """Run functions as they arrive until `condition` holds.

        Raises
        ------
        TimeoutError
            When it does not hold after `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while not condition():
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"waited {timeout:g} s")
            try:
                self._queue.get(timeout=min(left, 0.1))()
            except queue.Empty:
                continue
