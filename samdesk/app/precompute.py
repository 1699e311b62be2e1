"""Preparing chips while nothing more urgent is asked, and which chips are ready.

Must not know widgets, nor how chips are encoded.
"""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import Any

from psygnal import Signal

from samdesk.domain.geometry import Bounds, Plane, Region, Shape
from samdesk.domain.tasks import Task
from samdesk.sdk import Image, Segmenter, chip_downsample
from samdesk.sdk.precompute import Prepared, chips_for, duration_text, precompute_steps, ready_chips

from .desk import Choose
from .jobs import Job, Jobs

PRIORITY = 9
"""Behind prompts, previews and encoding ahead, which all come between two chips."""

ASK_FROM = 400
"""More chips than this are prepared only after asking: they take minutes to hours."""


class Preparing:
    """What one window has prepared in the background.

    Attributes
    ----------
    changed : Signal()
        Chips became ready; on the main thread.
    finished : Signal(str)
        Something is prepared; tells how much it was, in words for the user.
    """

    changed = Signal()
    finished = Signal(str)

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._running: list[Job[Any]] = []

    @property
    def running(self) -> bool:
        return bool(self._running)

    def start(
        self,
        segmenter: Segmenter,
        image: Image,
        where: Bounds | Shape,
        what: str,
        downsample: float,
        plane: Plane = Plane(),
        ask: Choose | None = None,
    ) -> Job[Prepared] | None:
        """Prepare all chips that clicks inside `where` look at. Returns at once.

        Parameters
        ----------
        segmenter : Segmenter
        image : Image
        where : Bounds or Shape
            Image pixels.
        what : str
            What the user calls it: "the view".
        downsample : float
            Image pixels per pixel that the engine sees.
        plane : Plane, optional
        ask : Choose, optional
            Asked before something is begun that takes long.

        Returns
        -------
        Job or None
            One job for all chips; None when the user thought better of it.
        """
        chips = chips_for(image, where, downsample)
        if len(chips) > ASK_FROM and ask is not None and not _agreed(ask, len(chips), what):
            return None

        def encode(task: Task) -> Generator[None, None, Prepared]:
            return precompute_steps(segmenter, image, chips, plane, task, self._one_ready)

        job = self._jobs.lane("model").submit_steps(
            encode, title=f"Preparing {what}", done=partial(self._ended, what), priority=PRIORITY
        )
        self._running.append(job)
        return job

    def stop(self) -> None:
        """Give everything up that is being prepared; what is ready stays."""
        for job in list(self._running):
            job.cancel()

    def _one_ready(self, chip: Region) -> None:
        self._jobs.dispatch(self.changed.emit)

    def _ended(self, what: str, job: Job[Prepared]) -> None:
        if job in self._running:
            self._running.remove(job)
        if job.state == "done" and job.result is not None:
            self.finished.emit(prepared_text(what, job.result))


def visible_ready_chips(
    segmenter: Segmenter, image: Image, bounds: Bounds, scale: float, plane: Plane = Plane()
) -> list[Region]:
    """The chips of the present engine, display and plane on which prompts are answered at once.

    Parameters
    ----------
    bounds : Bounds
        The part of the image that is seen.
    scale : float
        Image px per screen px, which decides at what level one segments.
    """
    return ready_chips(segmenter, image, chips_for(image, bounds, chip_downsample(scale)), plane)


def prepared_text(what: str, prepared: Prepared) -> str:
    """What was prepared, in a sentence."""
    if not prepared.total:
        return f"There is nothing to prepare: {what} lies outside the image."
    chips = "1 chip" if prepared.total == 1 else f"{prepared.total:,} chips"
    if not prepared.encoded:
        return f"All of {what} was ready before ({chips})."
    ready = prepared.total - prepared.encoded
    before = f"; {ready:,} were ready before" if ready > 1 else "; 1 was ready before" if ready else ""
    return f"Clicks in {what} are answered at once now: {chips} in {duration_text(prepared.seconds)}{before}."


def _agreed(ask: Choose, count: int, what: str) -> bool:
    answer = ask.choose(
        f"To prepare {what}, {count:,} chips must be encoded.",
        "This goes on in the background, can be cancelled at any time, and goes on from there when "
        "it is started again. From further away there are fewer chips.",
        ("Prepare",),
    )
    return answer == 0
