"""The prompt session: prompts collected for one object, and what the engine makes of them.

Lives on the main thread; all inference goes to lane `model`. A result is used only while
its generation is current. Must not know widgets, documents or files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from psygnal import Signal

from samdesk.domain.geometry import Bounds, Plane, Region
from samdesk.domain.prompts import BoxPrompt, Candidate, PointPrompt, Prompts
from samdesk.sdk import Image, Segmenter, chip_downsample, wider_chip

from .jobs import Job, Jobs

State = Literal["none", "cold", "encoding", "busy", "ready"]

AHEAD_CHIPS = 4
"""Chips encoded around the middle of a resting view."""

WIDEN_MOST = 3
"""How often the downsample is doubled for an object that reaches beyond the chip."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """What the canvas paints live: everything about the object that is being prompted.

    Attributes
    ----------
    candidates : tuple of Candidate
        Best first; empty while the engine has not answered.
    index : int
        Which of them is shown.
    prompts : Prompts
        What the user has given so far.
    box : Bounds or None
        The box being dragged.
    hover : bool
        True when the candidates are only a preview of a click that was not made.
    label : str
        The engine's title.
    state : {"none", "cold", "encoding", "busy", "ready"}
        "cold": a prompt here would have to wait for the embedding; "encoding": it is being made;
        "busy": a prompt is being answered; "none": no image.
    """

    candidates: tuple[Candidate, ...] = ()
    index: int = 0
    prompts: Prompts = field(default_factory=Prompts)
    box: Bounds | None = None
    hover: bool = False
    label: str = ""
    state: State = "none"

    @property
    def current(self) -> Candidate | None:
        return self.candidates[self.index] if self.candidates else None


@dataclass(slots=True)
class Counts:
    """What the session did, for reports."""

    answered: int = 0
    dropped: int = 0
    encoded: int = 0
    warm: int = 0


class PromptSession:
    """Collects prompts, keeps the newest answer, and encodes ahead.

    Parameters
    ----------
    jobs : Jobs
    segmenter : Segmenter
    commit : callable
        Receives the kept candidate and its prompts on `accept`; says whether it was kept.

    Attributes
    ----------
    changed : Signal()
        After anything that `proposal` shows has changed.
    answered : Signal()
        After a prompt (not a hover) was answered, also with nothing.
    """

    changed = Signal()
    answered = Signal()

    def __init__(
        self, jobs: Jobs, segmenter: Segmenter, commit: Callable[[Candidate, Prompts], bool]
    ) -> None:
        self._lane = jobs.lane("model")
        self._segmenter = segmenter
        self._commit = commit
        self._image: Image | None = None
        self._plane = Plane()
        self._ahead: list[Job[Any]] = []
        self._asking: list[Job[Any]] = []
        self._scale = 1.0
        self._generation = 0
        self.hover_enabled = True
        self.counts = Counts()
        self._prompts = Prompts()
        self._candidates: tuple[Candidate, ...] = ()
        self._hovered: tuple[Candidate, ...] = ()
        self._index = 0
        self._widened = 0
        self._box: Bounds | None = None
        self._chip: Region | None = None
        self._hover_at: PointPrompt | None = None
        self._hovering = False
        self._waiting = False
        self._accept_on_answer = False
        self._state: State = "none"

    # What is looked at

    @property
    def image(self) -> Image | None:
        return self._image

    @property
    def segmenter(self) -> Segmenter:
        return self._segmenter

    def set_image(self, image: Image | None, plane: Plane = Plane()) -> None:
        """Look at another picture (or the same one displayed differently); drops the prompts."""
        for job in (*self._ahead, *self._asking):
            job.cancel()
        self._ahead, self._asking = [], []
        self._image, self._plane = image, plane
        self.drop()

    def set_levels(self, image: Image) -> None:
        """The same picture with more levels: prompts and candidates stay."""
        self._image = image

    def set_segmenter(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter
        self.drop()

    # What the user does

    @property
    def proposal(self) -> Proposal:
        return Proposal(
            self._hovered if self._preview else self._candidates,
            0 if self._preview else self._index,
            self._prompts,
            self._box,
            self._preview,
            self._segmenter.title,
            self._state,
        )

    @property
    def has_prompts(self) -> bool:
        return bool(self._prompts)

    @property
    def can_accept(self) -> bool:
        return bool(self._candidates) and not self._waiting

    def hover(self, x: float, y: float, scale: float) -> None:
        """Preview what a click at (x, y) would give; image px, scale in image px per screen px."""
        self._scale = scale
        inside = self._image is not None and _inside(x, y, self._image)
        self._hover_at = PointPrompt(x, y) if inside and self.hover_enabled else None
        if self._prompts or self._box is not None:
            return
        if self._hover_at is None:
            self._set_hovered(())
        elif not self._hovering:
            self._preview_next()

    def leave(self) -> None:
        self._hover_at = None
        if self._box is not None:
            self._box = None
            self.changed.emit()
        self._set_hovered(())

    def drag(self, box: Bounds) -> None:
        """Show the box that is being dragged."""
        self._box = box
        self._hovered = ()
        self.changed.emit()

    def add_point(self, point: PointPrompt, scale: float) -> None:
        """Add a click; without any candidate a negative click does nothing."""
        if self._image is None or not _inside(point.x, point.y, self._image):
            return
        if not point.positive and not self._prompts:
            return
        self._scale = scale
        self._ask(self._prompts.with_point(point))

    def add_box(self, box: BoxPrompt, scale: float) -> None:
        """Replace the box by a dragged one, cut to the image; points stay."""
        self._box = None
        if self._image is None:
            return
        cut = box.bounds.intersection(Bounds(0, 0, *self._image.size))
        if cut.is_empty:
            self.changed.emit()
            return
        self._scale = scale
        self._ask(Prompts(self._prompts.points, (BoxPrompt(cut),)))

    def take_back(self) -> None:
        """Remove the last point, else the box."""
        points = self._prompts.points
        left = Prompts(points[:-1], self._prompts.boxes if points else ())
        if any(point.positive for point in left.points) or left.boxes:
            self._ask(left)
        else:
            self.drop()

    def cycle(self, step: int = 1) -> None:
        """Show the next candidate."""
        if self._candidates:
            self._index = (self._index + step) % len(self._candidates)
            self.changed.emit()

    def accept(self) -> bool:
        """Hand the shown candidate to the document; False when there is none."""
        if not self.can_accept:
            return False
        if not self._commit(self._candidates[self._index], self._prompts):
            return False
        self.drop()
        return True

    def accept_when_ready(self) -> None:
        """Accept now, or as soon as the running prompt is answered."""
        if not self.accept() and self._waiting:
            self._accept_on_answer = True

    def drop(self) -> None:
        """Forget the prompts and the candidate."""
        self._reset()
        self._refresh_state()
        self.changed.emit()

    # Encode ahead

    def view_rested(self, bounds: Bounds, scale: float) -> None:
        """Encode what the user will probably click on, nearest to the pointer first."""
        if self._image is None or self._prompts:
            return
        self._scale = scale
        image, plane, segmenter = self._image, self._plane, self._segmenter
        cold = [
            chip for chip in self._chips_ahead(bounds, scale) if not segmenter.is_warm(image, chip, plane)
        ]
        if not cold:
            self._refresh_state()
            self.changed.emit()
            return

        self._state = "encoding"
        self.changed.emit()
        self._stop_ahead()
        self._ahead = [self._encode_later(image, chip, plane) for chip in cold]

    def _encode_later(self, image: Image, chip: Region, plane: Plane) -> Job[Any]:
        segmenter = self._segmenter
        return self._lane.submit(
            lambda task: segmenter.embed(image, chip, plane, task), done=self._encoded_ahead, priority=5
        )

    def _stop_ahead(self) -> None:
        for job in self._ahead:
            job.cancel()
        self._ahead = []

    def _chips_ahead(self, bounds: Bounds, scale: float) -> list[Region]:
        assert self._image is not None
        whole = Bounds(0, 0, *self._image.size)
        seen = bounds.intersection(whole)
        if seen.is_empty:
            return []
        downsample = chip_downsample(scale)
        middle = self._hover_at[:2] if self._hover_at else seen.center
        xs = {seen.center[0], seen.x0 + seen.width / 4, seen.x1 - seen.width / 4}
        ys = {seen.center[1], seen.y0 + seen.height / 4, seen.y1 - seen.height / 4}
        around = sorted(
            ((x, y) for x in xs for y in ys),
            key=lambda p: (p[0] - middle[0]) ** 2 + (p[1] - middle[1]) ** 2,
        )
        chips: list[Region] = []
        for x, y in [middle, *around]:
            chip = self._segmenter.chip(self._image, Prompts((PointPrompt(x, y),)), downsample)
            if chip not in chips:
                chips.append(chip)
        return chips[:AHEAD_CHIPS]

    def _encoded_ahead(self, job: Job[Any]) -> None:
        if job not in self._ahead:
            return
        self._ahead.remove(job)
        self.counts.encoded += job.state == "done"
        if self._prompts:
            return
        self._refresh_state()
        if self._hover_at is not None and not self._hovering:
            self._preview_next()
        self.changed.emit()

    # Asking the engine

    def _reset(self) -> None:
        self._generation += 1
        self._prompts = Prompts()
        self._candidates = self._hovered = ()
        self._index = self._widened = 0
        self._box = self._chip = self._hover_at = None
        self._hovering = self._waiting = self._accept_on_answer = False
        self._state = "none" if self._image is None else "ready"

    @property
    def _preview(self) -> bool:
        return not self._prompts

    def _ask(self, prompts: Prompts, chip: Region | None = None) -> None:
        assert self._image is not None
        self._generation += 1
        generation, image, plane = self._generation, self._image, self._plane
        segmenter = self._segmenter
        if chip is None:
            chip = segmenter.chip(image, prompts, chip_downsample(self._scale), self._chip)
        self._stop_ahead()
        self._prompts, self._chip, self._hovered = prompts, chip, ()
        self._waiting = True
        warm = segmenter.is_warm(image, chip, plane)
        self.counts.warm += warm
        self._state = "busy" if warm else "encoding"
        self.changed.emit()
        self._asking = [
            self._lane.submit(
                lambda task: segmenter.segment(image, prompts, plane=plane, chip=chip, task=task),
                key="prompt",
                done=lambda job: self._arrived(job, generation),
                priority=-1,
            )
        ]

    def _arrived(self, job: Job[list[Candidate]], generation: int) -> None:
        if generation != self._generation:
            self.counts.dropped += 1
            return
        self._candidates = tuple(job.result or ())
        self._index = 0
        wider = self._wider()
        if wider is not None:
            self._widened += 1
            self._ask(self._prompts, wider)
            return
        self._waiting = False
        self._state = "ready"
        self.counts.answered += 1
        if self._accept_on_answer:
            self._accept_on_answer = False
            self.accept()
        self.changed.emit()
        self.answered.emit()

    def _wider(self) -> Region | None:
        """A chip to ask again on, when the best candidate was cut by the border of this one."""
        assert self._image is not None
        assert self._chip is not None
        if self._widened == WIDEN_MOST or not self._candidates or not self._candidates[0].at_edge:
            return None
        return wider_chip(self._chip, self._candidates[0].shape.bounds, self._image.size)

    def _preview_next(self) -> None:
        """One preview in flight; when it lands, the newest pointer position is asked next."""
        assert self._image is not None
        assert self._hover_at is not None
        point, image, plane = self._hover_at, self._image, self._plane
        generation, segmenter, prompts = self._generation, self._segmenter, Prompts((self._hover_at,))
        chip = segmenter.chip(image, prompts, chip_downsample(self._scale))
        if not segmenter.is_warm(image, chip, plane):
            self._set_hovered((), "encoding" if self._ahead else "cold")
            return
        self._hovering = True
        self._asking = [
            self._lane.submit(
                lambda task: segmenter.segment(image, prompts, plane=plane, chip=chip, task=task),
                key="hover",
                done=lambda job: self._previewed(job, generation, point),
            )
        ]

    def _previewed(self, job: Job[list[Candidate]], generation: int, point: PointPrompt) -> None:
        if generation != self._generation or self._prompts:
            return
        self._hovering = False
        if self._hover_at is None:
            return
        self._set_hovered(tuple(job.result or ())[:1], "ready")
        if self._hover_at != point:
            self._preview_next()

    def _set_hovered(self, candidates: tuple[Candidate, ...], state: State | None = None) -> None:
        state = state or self._state
        if (candidates, state) != (self._hovered, self._state):
            self._hovered, self._state = candidates, state
            self.changed.emit()

    def _refresh_state(self) -> None:
        if self._image is None:
            self._state = "none"
        elif self._waiting:
            self._state = "busy"
        elif self._hover_at is not None:
            chip = self._segmenter.chip(self._image, Prompts((self._hover_at,)), chip_downsample(self._scale))
            warm = self._segmenter.is_warm(self._image, chip, self._plane)
            self._state = "ready" if warm else "encoding" if self._ahead else "cold"
        else:
            self._state = "encoding" if self._ahead else "ready"


def _inside(x: float, y: float, image: Image) -> bool:
    return 0 <= x < image.size[0] and 0 <= y < image.size[1]
