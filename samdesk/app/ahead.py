"""Encoding ahead: the chips of a resting view, and those that the pan is heading for.

Lives on the main thread; the work goes to a lane. Must not know prompts, candidates or widgets.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from samdesk.domain.geometry import Bounds, Plane, Region
from samdesk.domain.prompts import PointPrompt, Prompts
from samdesk.domain.tasks import Cancelled, Task
from samdesk.sdk import Image, Segmenter, chip_downsample

from .jobs import Job, Lane

AHEAD_CHIPS = 4
"""Chips encoded around the middle of a resting view."""

HEADING_CHIPS = 2
"""Chips encoded beyond the view, where the last pan was heading."""

PRIORITY = 5
"""Of what may be needed."""

NEEDED = -1
"""Of what a prompt waits for."""


class EncodeAhead:
    """Keeps a lane busy with what will probably be needed, and nothing else.

    Parameters
    ----------
    lane : Lane
    encoded : callable
        Called on the main thread with each chip and its job when that has ended.
    """

    def __init__(self, lane: Lane, encoded: Callable[[Region, Job[Any]], None]) -> None:
        self._lane = lane
        self._encoded = encoded
        self._jobs: dict[Region, Job[Any]] = {}
        self._failing = False
        self._rested: tuple[float, float, float] | None = None

    @property
    def active(self) -> bool:
        return bool(self._jobs)

    def rest(
        self,
        segmenter: Segmenter,
        image: Image,
        plane: Plane,
        bounds: Bounds,
        scale: float,
        pointer: PointPrompt | None = None,
        limit: int = AHEAD_CHIPS + HEADING_CHIPS,
    ) -> None:
        """Encode what is cold in the view, nearest to the pointer first; what runs already goes on."""
        wanted = self._chips(segmenter, image, bounds, scale, pointer)[:limit]
        cold = [chip for chip in wanted if not segmenter.is_warm(image, chip, plane)]
        if self._failing:  # once is enough: a prompt tries again, and tells
            cold = []
        self._keep(cold)
        for chip in cold:
            self._start(segmenter, image, plane, chip, PRIORITY)

    def need(self, segmenter: Segmenter, image: Image, plane: Plane, chip: Region) -> None:
        """A prompt waits for this chip: encode it and no other; when it is under way already, it goes on."""
        self._keep([chip])
        known = self._jobs.get(chip)
        if known is not None and known.state == "queued":  # it stands behind everything else
            self._jobs.pop(chip).cancel()
        self._start(segmenter, image, plane, chip, NEEDED)

    def give_way(self) -> None:
        """A prompt is asked on a chip that is ready: nothing else is worth the effort now."""
        self._keep([])

    def stop(self) -> None:
        """Another picture, or another engine."""
        self._keep([])
        self._failing = False
        self._rested = None

    def _keep(self, chips: list[Region]) -> None:
        for chip in [chip for chip in self._jobs if chip not in chips]:
            self._jobs.pop(chip).cancel()

    def _start(self, segmenter: Segmenter, image: Image, plane: Plane, chip: Region, priority: int) -> None:
        if chip not in self._jobs:
            self._jobs[chip] = self._lane.submit(
                lambda task: _embed(segmenter, image, chip, plane, task),
                done=lambda job: self._done(chip, job),
                priority=priority,
            )

    def _done(self, chip: Region, job: Job[Any]) -> None:
        if self._jobs.get(chip) is not job:
            return
        del self._jobs[chip]
        if job.state != "cancelled":
            self._failing = job.state == "failed"
        if self._failing:
            self._keep([])
        self._encoded(chip, job)

    def _chips(
        self,
        segmenter: Segmenter,
        image: Image,
        bounds: Bounds,
        scale: float,
        pointer: PointPrompt | None,
    ) -> list[Region]:
        seen = bounds.intersection(Bounds(0, 0, *image.size))
        if seen.is_empty:
            return []
        downsample = chip_downsample(scale)

        def chip_of(x: float, y: float) -> Region:
            return segmenter.chip(image, Prompts((PointPrompt(x, y),)), downsample)

        middle = pointer[:2] if pointer else seen.center
        chips = _distinct(chip_of(x, y) for x, y in _around(seen, middle))[:AHEAD_CHIPS]
        beyond = [chip_of(x, y) for x, y in self._heading(seen, downsample, image.size)]
        return _distinct([*chips, *beyond])

    def _heading(self, seen: Bounds, downsample: float, size: tuple[int, int]) -> list[tuple[float, float]]:
        """Points half a view and a whole view beyond the middle, where the last pan was heading."""
        before, (x, y) = self._rested, seen.center
        self._rested = (x, y, downsample)
        if before is None or before[2] != downsample:
            return []
        dx, dy = x - before[0], y - before[1]
        far = math.hypot(dx / seen.width, dy / seen.height)
        if far < 0.05:
            return []
        steps = [(x + k * dx / far, y + k * dy / far) for k in (0.5, 1.0)]
        return [(px, py) for px, py in steps if 0 <= px < size[0] and 0 <= py < size[1]]


def _embed(segmenter: Segmenter, image: Image, chip: Region, plane: Plane, task: Task) -> None:
    if segmenter.has_failed:  # told already by whoever tried to load it
        raise Cancelled
    segmenter.embed(image, chip, plane, task)


def _around(seen: Bounds, middle: tuple[float, float]) -> list[tuple[float, float]]:
    xs = {seen.center[0], seen.x0 + seen.width / 4, seen.x1 - seen.width / 4}
    ys = {seen.center[1], seen.y0 + seen.height / 4, seen.y1 - seen.height / 4}
    places = ((x, y) for x in xs for y in ys)
    return [
        middle,
        *sorted(places, key=lambda p: (p[0] - middle[0]) ** 2 + (p[1] - middle[1]) ** 2),
    ]


def _distinct(chips: Any) -> list[Region]:
    return list(dict.fromkeys(chips))
