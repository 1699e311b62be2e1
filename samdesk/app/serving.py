"""Serving: the switch with which the window's models answer QuPath and other programs of this computer.

Lives on the main thread. Must not know the web stack, which is loaded in the background when it is
first needed, nor widgets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from psygnal import Signal

from samdesk.domain.errors import SamdeskError
from samdesk.domain.tasks import Task

from .jobs import Job, Jobs
from .settings import Settings

LANE = "serve"

ServingState = Literal["off", "starting", "on", "failed"]
Start = Callable[[Callable[[str], None]], Job[None]]

RESTARTS = ("serve_port", "device")
"""Settings that a running server takes over by starting anew."""


class Serving:
    """The server of one window.

    Parameters
    ----------
    jobs : Jobs
    settings : Settings
        Remembers whether the server is wanted, and its port.
    load : callable, optional
        Returns what starts the server: given a function that receives the address once it
        answers, that starts a job which lasts until it is cancelled. Runs on a lane, as
        loading takes a second. None: this build has no server.

    Attributes
    ----------
    changed : Signal()
        State or address changed.
    started : Signal()
        It answers, after a person asked for it in this window.
    failed : Signal(SamdeskError)
        It could not start, or ended by itself.
    state : {"off", "starting", "on", "failed"}
    url : str
        As "http://localhost:8000"; empty unless it is on.
    error : SamdeskError or None
        Why it failed.
    asked : bool
        Whether a person asked for it in this window; else it is a wish of an earlier one.
    """

    changed = Signal()
    started = Signal()
    failed = Signal(SamdeskError)

    def __init__(self, jobs: Jobs, settings: Settings, load: Callable[[], Start] | None) -> None:
        self._jobs = jobs
        self._settings = settings
        self._load = load
        self._job: Job[Any] | None = None
        self._attempt: object | None = None  # a server given up may still tell that it answers
        self.state: ServingState = "off"
        self.url = ""
        self.error: SamdeskError | None = None
        self.asked = False
        jobs.failed.connect(self._job_failed)
        settings.changed.connect(self._setting_changed)

    @property
    def available(self) -> bool:
        """Whether this build has a server."""
        return self._load is not None

    @property
    def is_on(self) -> bool:
        return self.state == "on"

    @property
    def wanted(self) -> bool:
        """Whether it answers or is about to."""
        return self.state in ("starting", "on")

    @property
    def qupath_url(self) -> str:
        """What QuPath's SAM extension is told; empty unless the server is on."""
        return f"{self.url}/sam/" if self.url else ""

    def restore(self) -> None:
        """Answer as the last time."""
        if self.available and self._settings["serve"] and not self.wanted:
            self._begin()

    def start(self) -> None:
        """Answer from now on, and in the windows to come; returns at once."""
        if not self.available or self.wanted:
            return
        self.asked = True
        self._begin()
        self._settings["serve"] = True

    def stop(self) -> None:
        """Answer no more; what is under way has two seconds to end."""
        self._end()
        self._become("off")
        self._settings["serve"] = False

    def toggle(self) -> None:
        """The other of the two."""
        if self.wanted:
            self.stop()
        else:
            self.start()

    def close(self) -> None:
        """End of the window: as `stop`, but the wish is kept."""
        self._end()
        self._become("off")

    def owns(self, job: Job[Any]) -> bool:
        """Whether this is the server's own job, whose failure is told by `failed`."""
        return job is self._job

    def _begin(self) -> None:
        self._end()
        self._become("starting")
        # on the server's own lane, so that it comes after the end of one that ran before
        self._job = self._jobs.lane(LANE).submit(self._loading, done=self._loaded)

    def _loading(self, task: Task) -> Start:
        assert self._load is not None
        return self._load()

    def _loaded(self, job: Job[Start]) -> None:
        if job is not self._job or job.result is None:
            return
        attempt = self._attempt = object()

        def ready(url: str) -> None:
            if self._attempt is attempt:
                self._ready(url)

        try:
            self._job = job.result(ready)
        except SamdeskError as error:
            self._fail(error)

    def _ready(self, url: str) -> None:
        self._become("on", url)
        if self.asked:
            self.started.emit()

    def _end(self) -> None:
        job, self._job, self._attempt = self._job, None, None
        if job is not None:
            job.cancel()

    def _job_failed(self, job: Job[Any]) -> None:
        if job is self._job and job.error is not None:
            self._fail(job.error)

    def _fail(self, error: SamdeskError) -> None:
        self._attempt = None
        self._become("failed", error=error)
        self.failed.emit(error)

    def _become(self, state: ServingState, url: str = "", error: SamdeskError | None = None) -> None:
        self.state, self.url, self.error = state, url, error
        self.changed.emit()

    def _setting_changed(self, name: str) -> None:
        if name == "serve" and self.available:
            if self._settings["serve"]:
                self.start()
            elif self.state != "off":
                self.stop()
        elif (name in RESTARTS and self.wanted) or (name == "serve_port" and self.state == "failed"):
            self._begin()
