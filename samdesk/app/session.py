"""The prompt session: prompts collected for one object, and what the engine makes of them.

Lives on the main thread; all inference goes to lane `model`. A result is used only while
its generation is current. Must not know widgets, documents or files.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from psygnal import Signal

from samdesk.domain.columns import Annotation
from samdesk.domain.geometry import Bounds, Plane, Region, ShapeKind
from samdesk.domain.prompts import BoxPrompt, Candidate, PointPrompt, Prompts
from samdesk.domain.tasks import Task
from samdesk.sdk import Image, MaskOptions, Segmenter, chip_downsample, prompts_of, wider_chip

from .ahead import EncodeAhead
from .jobs import Job, Jobs
from .refining import refining_downsample

State = Literal["none", "loading", "cold", "encoding", "busy", "ready"]

STAND_IN_CHIPS = 2
"""Chips that the stand-in encodes in a view for which the model is not ready."""

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
    state : {"none", "loading", "cold", "encoding", "busy", "ready"}
        "loading": the model is not in memory yet; "cold": a prompt here would have to wait for
        the embedding; "encoding": it is being made; "busy": a prompt is being answered;
        "none": no image.
    stand_in : str
        Title of the engine that made the candidates while the chosen one is not ready; else empty.
    class_name : str or None
        Of what will be kept.
    refines : Annotation or None
        The annotation that the candidate will take the place of; not to be painted meanwhile.
    auto : Counting or None
        What was accepted unasked, while that is on.
    """

    candidates: tuple[Candidate, ...] = ()
    index: int = 0
    prompts: Prompts = field(default_factory=Prompts)
    box: Bounds | None = None
    hover: bool = False
    label: str = ""
    state: State = "none"
    stand_in: str = ""
    class_name: str | None = None
    refines: Annotation | None = None
    auto: Counting | None = None

    @property
    def current(self) -> Candidate | None:
        return self.candidates[self.index] if self.candidates else None

    def is_as_it_was(self, candidate: Candidate) -> bool:
        """Whether the candidate is the shape that the annotation has already."""
        return self.refines is not None and candidate.shape is self.refines.shape


@dataclass(frozen=True, slots=True)
class Counting:
    """What became of the clicks since they are accepted unasked.

    Attributes
    ----------
    kept : int
    missed : int
        Nothing was found there, or it could not be asked.
    waiting : int
        Not answered yet.
    """

    kept: int = 0
    missed: int = 0
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class _Click:
    """Prompts that wait for their turn, and what was chosen when they were given."""

    prompts: Prompts
    scale: float
    class_name: str | None


@dataclass(frozen=True, slots=True)
class _Removal:
    """A point that was taken away: what was left, and what was there before."""

    left: Prompts
    prompts: Prompts
    candidates: tuple[Candidate, ...]
    candidates_by: str
    index: int
    chip: Region | None
    waiting: bool


@dataclass(slots=True)
class Counts:
    """What the session did, for reports."""

    answered: int = 0
    dropped: int = 0
    encoded: int = 0
    warm: int = 0
    cold: int = 0
    sketched: int = 0


class PromptSession:
    """Collects prompts, keeps the newest answer, and encodes ahead.

    Parameters
    ----------
    jobs : Jobs
    segmenter : Segmenter
    stand_in : Segmenter, optional
        Answers first, on a lane of its own, wherever the segmenter is not ready; its candidates
        are marked, and replaced when the segmenter answers.
    commit : callable
        Receives the kept candidate and its prompts on `accept`; says whether it was kept.
    class_now : callable, optional
        Gives the class that the user has chosen for what is kept next.

    Attributes
    ----------
    changed : Signal()
        After anything that `proposal` shows has changed.
    answered : Signal()
        After a prompt (not a hover) was answered, also with nothing.
    lost : Signal(int)
        So many clicks that would have been accepted unasked will not be answered any more.
    """

    changed = Signal()
    answered = Signal()
    lost = Signal(int)

    def __init__(
        self,
        jobs: Jobs,
        segmenter: Segmenter,
        commit: Callable[[Candidate, Prompts], bool],
        stand_in: Segmenter | None = None,
        class_now: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._class_now = class_now
        self._lane = jobs.lane("model")
        self._predictions = jobs.lane("predict")
        self._sketches = jobs.lane("sketch")
        self._segmenter = segmenter
        self._chosen_stand_in = stand_in
        self._commit = commit
        self._image: Image | None = None
        self._plane = Plane()
        self._ahead = EncodeAhead(self._lane, self._encoded_ahead)
        self._sketch_ahead = EncodeAhead(self._sketches, self._sketch_encoded)
        self._asking: list[Job[Any]] = []
        self._scale = 1.0
        self._generation = 0
        self.hover_enabled = True
        self.options = MaskOptions()
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
        self._sketched = self._gave_up = self._hover_fails = False
        self._candidates_by = self._hovered_by = ""
        self._accept_on_answer = False
        self._state: State = "none"
        self._refined: Annotation | None = None
        self._corrected = False
        self._class_then: str | None = None
        self._auto = False
        self._clicks: deque[_Click] = deque()
        self._click: _Click | None = None
        self._removal: _Removal | None = None
        self._auto_kept = self._auto_missed = 0

    # What is looked at

    @property
    def image(self) -> Image | None:
        return self._image

    @property
    def segmenter(self) -> Segmenter:
        return self._segmenter

    def set_image(self, image: Image | None, plane: Plane = Plane()) -> None:
        """Look at another picture (or the same one displayed differently); drops the prompts."""
        self._stop()
        self._image, self._plane = image, plane
        self._give_up_clicks()
        self.drop()

    def set_levels(self, image: Image) -> None:
        """The same picture with more levels: prompts and candidates stay."""
        self._image = image

    def set_segmenter(self, segmenter: Segmenter) -> None:
        """Use another engine from the next prompt on; drops the prompts."""
        self._stop()
        self._segmenter = segmenter
        self._give_up_clicks()
        self.drop()

    def set_stand_in(self, stand_in: Segmenter | None) -> None:
        """Who answers while the segmenter is not ready; None: nobody."""
        self._sketch_ahead.stop()
        self._chosen_stand_in = stand_in

    def set_options(self, options: MaskOptions) -> None:
        """Make shapes another way; a prompt that is there is asked again."""
        if options == self.options:
            return
        self.options = options
        if self._prompts:
            self._ask(self._prompts, self._chip)

    def refresh(self) -> None:
        """The engine has become ready, or has failed to."""
        self._refresh_state()
        self.changed.emit()

    def _stop(self) -> None:
        self._hover_fails = False
        self._removal = None
        self._ahead.stop()
        self._sketch_ahead.stop()
        for job in self._asking:
            job.cancel()
        self._asking = []

    @property
    def _stand_in(self) -> Segmenter | None:
        other = self._chosen_stand_in
        return None if other is None or other.name == self._segmenter.name else other

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
            self._hovered_by if self._preview else self._candidates_by,
            self.class_name,
            self._refined,
            self._counting,
        )

    @property
    def class_name(self) -> str | None:
        """The class of what will be kept: when it was clicked, what it had, or what is chosen now."""
        now = self._class_now()
        if self._refined is not None and now == self._class_then:
            return self._refined.class_name
        return now if self._click is None else self._click.class_name

    @property
    def refined(self) -> Annotation | None:
        """The annotation whose shape is being refined."""
        return self._refined

    @property
    def has_prompts(self) -> bool:
        return bool(self._prompts)

    @property
    def can_accept(self) -> bool:
        return bool(self._candidates) and (self._sketched or not self._waiting)

    def hover(self, x: float, y: float, scale: float) -> None:
        """Preview what a click at (x, y) would give; image px, scale in image px per screen px."""
        self._scale = scale
        inside = self._image is not None and _inside(x, y, self._image)
        self._hover_at = PointPrompt(x, y) if inside and self.hover_enabled else None
        if self._prompts or self._box is not None:
            return
        if self._hover_at is None:
            self._set_hovered(())
        elif not (self._hovering or self._hover_fails):  # once told is enough
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
        if self._auto and self._refined is None:
            if point.positive:
                self._clicked(Prompts((point,)), scale)
            return
        self._scale = scale
        self._accept_on_answer = False
        self._ask(self._to_correct().with_point(point))

    def add_box(self, box: BoxPrompt, scale: float, more: bool = False) -> None:
        """Replace the boxes by a dragged one, cut to the image, or add it (`more`); points stay."""
        self._box = None
        self._accept_on_answer = False
        if self._image is None:
            return
        cut = box.bounds.intersection(Bounds(0, 0, *self._image.size))
        if cut.is_empty:
            self.changed.emit()
            return
        if self._auto and self._refined is None:
            self._clicked(Prompts(boxes=(BoxPrompt(cut),)), scale)
            return
        self._scale = scale
        prompts = self._to_correct()
        before = prompts.boxes if more else ()
        self._ask(replace(prompts, boxes=(*before, BoxPrompt(cut))))

    def take_back(self) -> None:
        """Remove the last point, else the last box; of an annotation that is refined, then the rest.

        Of clicks that wait to be accepted unasked, the last.
        """
        if self._clicks:
            self._clicks.pop()
            self.changed.emit()
            return
        points, boxes = self._prompts.points, self._prompts.boxes
        if points or boxes:
            self._ask_what_is_left(points[:-1], boxes if points else boxes[:-1])
        else:
            self.drop()

    def point_at(self, x: float, y: float, reach: float) -> int | None:
        """The number of the point nearest to (x, y) and no farther than `reach`; image px."""
        away = [math.hypot(point.x - x, point.y - y) for point in self._prompts.points]
        nearest = min(range(len(away)), key=away.__getitem__, default=None)
        return nearest if nearest is not None and away[nearest] <= reach else None

    def remove_point(self, index: int) -> None:
        """Ask again without one of the points; not one that is accepted unasked."""
        if self._click is not None:
            return
        before, points = self._prompts, self._prompts.points
        answer = self._candidates, self._candidates_by, self._index, self._chip, self._waiting
        self._ask_what_is_left((*points[:index], *points[index + 1 :]), before.boxes)
        self._removal = _Removal(self._prompts, before, *answer)

    def put_back(self) -> None:
        """Make undone that a point was removed, with the candidate that was shown then."""
        was, self._removal = self._removal, None
        if was is None or was.left != self._prompts:
            return
        if was.waiting:
            self._ask(was.prompts, was.chip)
            return
        self._generation += 1
        for job in self._asking:
            job.cancel()
        self._asking, self._hovered, self._hovering, self._waiting = [], (), False, False
        self._prompts, self._chip = was.prompts, was.chip
        self._candidates, self._candidates_by, self._index = was.candidates, was.candidates_by, was.index
        self._refresh_state()
        self.changed.emit()

    def move_point(self, index: int, x: float, y: float) -> None:
        """Ask again with one of the points elsewhere; it stays inside the image."""
        if self._image is None or self._click is not None or not _inside(x, y, self._image):
            return
        points = self._prompts.points
        moved = points[index]._replace(x=x, y=y)
        self._accept_on_answer = False
        self._ask(replace(self._to_correct(), points=(*points[:index], moved, *points[index + 1 :])))

    def _ask_what_is_left(self, points: tuple[PointPrompt, ...], boxes: tuple[BoxPrompt, ...]) -> None:
        self._accept_on_answer = False
        left = replace(self._prompts, points=points, boxes=boxes)
        if any(point.positive for point in points) or boxes or left.prior is not None:
            self._ask(left)
        else:
            self.drop()

    # Refining what is there

    def refine(self, annotation: Annotation, scale: float) -> None:
        """Make an area the prompt again; `accept` gives it the shape of the candidate.

        Its prompts come back as far as they still fit it. It is shown as it is, and what the
        engine makes of it comes after that; clicks correct what is shown.

        Parameters
        ----------
        annotation : Annotation
        scale : float
            Image px per screen px.
        """
        if self._image is None or annotation.shape.kind is not ShapeKind.AREA:
            return
        self._give_up_clicks()
        self._reset()
        self._scale = scale
        self._refined, self._class_then = annotation, self._class_now()
        told = prompts_of(annotation.provenance, annotation.shape, self._image.size)
        self._ask(replace(told, prior=annotation.shape))

    def _to_correct(self) -> Prompts:
        """The prompts to add to; from the first correction on, the prior is what was shown then."""
        if self._refined is None or self._corrected:
            return self._prompts
        self._corrected = True
        shown = self._candidates[self._index] if self._candidates else None
        return replace(self._prompts, prior=shown.shape) if shown is not None else self._prompts

    def _as_it_was(self) -> tuple[Candidate, ...]:
        """The annotation as a candidate, as long as nothing was corrected."""
        if self._refined is None or self._corrected or self._chip is None:
            return ()
        told = self._refined.provenance
        score = told.get("score")
        return (
            Candidate(
                self._refined.shape,
                float(score) if isinstance(score, int | float) else 1.0,
                self._chip,
                engine=str(told.get("engine", "")),
            ),
        )

    # Accepting unasked

    @property
    def auto(self) -> bool:
        """Every click and box is accepted when the engine has answered; none is lost meanwhile."""
        return self._auto

    @auto.setter
    def auto(self, on: bool) -> None:
        if on == self._auto:
            return
        self._auto = on
        self._auto_kept = self._auto_missed = 0
        if on and self._prompts and self._refined is None:
            self.accept_when_ready()
        self.changed.emit()

    @property
    def _counting(self) -> Counting | None:
        if not self._auto:
            return None
        return Counting(self._auto_kept, self._auto_missed, self._waiting_clicks)

    @property
    def _waiting_clicks(self) -> int:
        return len(self._clicks) + (self._click is not None)

    def count_kept(self, kept: int) -> None:
        """So many of what was accepted unasked are still there."""
        if kept != self._auto_kept:
            self._auto_kept = kept
            self.changed.emit()

    def _clicked(self, prompts: Prompts, scale: float) -> None:
        self._clicks.append(_Click(prompts, scale, self._class_now()))
        self._next_click()
        self.changed.emit()

    def _next_click(self) -> None:
        if self._clicks and not self._prompts:
            self._click = self._clicks.popleft()
            self._scale = self._click.scale
            self._accept_on_answer = True
            self._ask(self._click.prompts)

    def _conclude(self, failed: bool) -> None:
        """The engine has answered: accept if that was asked for, and go on with the next click."""
        if not self._accept_on_answer:
            return
        self._accept_on_answer = False
        unasked, found = self._click is not None, bool(self._candidates)
        kept = not failed and self.accept()
        if not unasked:
            return
        self._auto_kept += kept
        self._auto_missed += not kept
        if not kept:
            refused = found and not failed
            if refused or self._segmenter.has_failed:  # the others would fare no better
                self._auto_missed += len(self._clicks)
                self._clicks.clear()
            self._reset()
        self._next_click()

    def _give_up_clicks(self) -> None:
        """What waits is missed: it was meant for what is not looked at any more."""
        lost, self._click = self._waiting_clicks, None
        self._clicks.clear()
        if lost:
            self._auto_missed += lost
            self.lost.emit(lost)

    def cycle(self, step: int = 1) -> None:
        """Show the next candidate."""
        if self._candidates:
            self._index = (self._index + step) % len(self._candidates)
            self.changed.emit()

    def accept(self) -> bool:
        """Hand the shown candidate to the document; False when there is none."""
        if not self.can_accept:
            return False
        chosen = self._candidates[self._index]
        as_it_was = self._refined is not None and chosen.shape is self._refined.shape
        if not as_it_was and not self._commit(chosen, self._prompts):
            return False
        self._begin_anew()
        return True

    def accept_when_ready(self) -> None:
        """Accept now, or as soon as the engine has answered; a stand-in's answer does not count."""
        if self._waiting:
            self._accept_on_answer = True
        else:
            self.accept()

    def drop(self) -> None:
        """Forget the prompts, the candidate and the clicks that wait."""
        self._clicks.clear()
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._reset()
        self._refresh_state()
        self.changed.emit()

    # Encode ahead

    def view_rested(self, bounds: Bounds, scale: float) -> None:
        """Encode what the user will probably click on, nearest to the pointer first."""
        if self._image is None or self._prompts:
            return
        self._scale = scale
        image, plane, at = self._image, self._plane, self._hover_at
        if self._segmenter.is_loaded:
            self._ahead.rest(self._segmenter, image, plane, bounds, scale, at)
        if self._stand_in is not None and (self._ahead.active or not self._segmenter.is_loaded):
            self._sketch_ahead.rest(self._stand_in, image, plane, bounds, scale, at, STAND_IN_CHIPS)
        self._refresh_state()
        self.changed.emit()

    def _encoded_ahead(self, chip: Region, job: Job[Any]) -> None:
        self.counts.encoded += job.state == "done"
        if self._waiting and chip == self._chip:
            if job.state == "done":
                self._predict()
            else:
                self._give_up()
        self._look_again()

    def _sketch_encoded(self, chip: Region, job: Job[Any]) -> None:
        self._look_again()

    def _look_again(self) -> None:
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
        self._candidates_by = self._hovered_by = ""
        self._index = self._widened = 0
        self._box = self._chip = self._hover_at = None
        self._hovering = self._waiting = self._gave_up = self._sketched = self._accept_on_answer = False
        self._refined = self._click = None
        self._corrected = False

    @property
    def _preview(self) -> bool:
        return not self._prompts

    def _ask(self, prompts: Prompts, chip: Region | None = None) -> None:
        assert self._image is not None
        self._generation += 1
        image = self._image
        if chip is None:
            chip = self._segmenter.chip(image, prompts, self._downsample, self._chip)
        for job in self._asking:
            job.cancel()
        self._asking = []
        self._prompts, self._chip, self._hovered = prompts, chip, ()
        if not self._candidates:
            self._candidates = self._as_it_was()
        self._waiting, self._sketched, self._gave_up = True, False, False
        warm = self._segmenter.is_warm(image, chip, self._plane)
        self.counts.warm += warm
        self.counts.cold += not warm
        if warm:
            self._ahead.give_way()
            self._predict()
        else:
            self._ahead.need(self._segmenter, image, self._plane, chip)
            self._sketch(prompts, chip)
        self._refresh_state()
        self.changed.emit()

    @property
    def _downsample(self) -> float:
        downsample = chip_downsample(self._scale)
        if self._refined is None:
            return downsample
        return refining_downsample(self._refined.shape.bounds, downsample)

    def _predict(self) -> None:
        """Ask the prompts that wait on the chip, which is encoded now."""
        assert self._chip is not None
        generation = self._generation
        self._asking.append(
            self._predictions.submit(
                self._asked(self._segmenter, self._prompts, self._chip),
                key="prompt",
                done=lambda job: self._arrived(job, generation),
                priority=-1,
            )
        )

    def _sketch(self, prompts: Prompts, chip: Region) -> None:
        """Let the stand-in answer until the model can; not when the model has answered on another chip."""
        other, generation = self._stand_in, self._generation
        if other is None or self._widened:
            return
        self._asking.append(
            self._sketches.submit(
                self._asked(other, prompts, chip),
                key="prompt",
                done=lambda job: self._sketch_arrived(job, generation, other.title),
                priority=-1,
            )
        )

    def _give_up(self) -> None:
        """The chip could not be encoded, which was told; what the stand-in found stays."""
        self._waiting = False
        self._gave_up = True
        if not self._sketched and not self._widened:
            self._candidates = self._as_it_was()
        self.counts.answered += 1
        self._conclude(failed=True)
        self._refresh_state()
        self.changed.emit()
        self.answered.emit()

    def _asked(
        self, segmenter: Segmenter, prompts: Prompts, chip: Region
    ) -> Callable[[Task], list[Candidate]]:
        assert self._image is not None
        image, plane, options = self._image, self._plane, self.options
        return lambda task: segmenter.segment(
            image, prompts, plane=plane, chip=chip, options=options, task=task
        )

    def _sketch_arrived(self, job: Job[list[Candidate]], generation: int, title: str) -> None:
        if generation != self._generation or job.state != "done":
            return
        if not (self._waiting or self._gave_up):
            return
        self.counts.sketched += 1
        self._show(job.result, title)
        self._sketched = bool(self._candidates)
        self.changed.emit()

    def _arrived(self, job: Job[list[Candidate]], generation: int) -> None:
        if generation != self._generation:
            self.counts.dropped += 1
            return
        failed = job.state != "done"
        if not (failed and self._sketched):  # then what the stand-in found stays
            self._show(job.result)
        self._sketched = self._sketched and failed
        wider = None if failed else self._wider()
        if wider is not None:
            self._widened += 1
            self._ask(self._prompts, wider)
            return
        self._waiting = False
        self._refresh_state()
        self.counts.answered += 1
        self._conclude(failed)
        self.changed.emit()
        self.answered.emit()

    def _show(self, candidates: list[Candidate] | None, stand_in: str = "") -> None:
        found, as_it_was = candidates or [], self._as_it_was()
        if as_it_was:  # the engine's first answer is the nearest to the prior
            found = sorted(found, key=lambda one: -one.score)
        self._candidates = (*as_it_was, *found)
        self._candidates_by = stand_in if candidates else ""
        self._index = 0

    def _wider(self) -> Region | None:
        """A chip to ask again on, when the best candidate was cut by the border of this one."""
        assert self._image is not None
        assert self._chip is not None
        if self._widened == WIDEN_MOST or not self._candidates or not self._candidates[0].at_edge:
            return None
        around = self._candidates[0].shape.bounds.union(self._prompts.bounds or self._chip.bounds)
        return wider_chip(self._chip, around, self._image.size)

    def _preview_next(self) -> None:
        """One preview in flight; when it lands, the newest pointer position is asked next."""
        assert self._image is not None
        assert self._hover_at is not None
        point, image, generation = self._hover_at, self._image, self._generation
        prompts = Prompts((point,))
        chip = self._segmenter.chip(image, prompts, chip_downsample(self._scale))
        who, lane, title = self._segmenter, self._predictions, ""
        if not who.is_warm(image, chip, self._plane):
            self._refresh_state()
            other = self._stand_in
            if other is None or not other.is_warm(image, chip, self._plane):
                self._set_hovered(())
                return
            who, lane, title = other, self._sketches, other.title
        self._hovering = True
        self._asking = [
            lane.submit(
                self._asked(who, prompts, chip),
                key="hover",
                done=lambda job: self._previewed(job, generation, point, title),
            )
        ]

    def _previewed(self, job: Job[list[Candidate]], generation: int, point: PointPrompt, title: str) -> None:
        if generation != self._generation or self._prompts:
            return
        self._hovering = False
        self._hover_fails = job.state == "failed"
        if self._hover_at is None:
            return
        self._refresh_state()
        self._set_hovered(tuple(job.result or ())[:1], title)
        if self._hover_at != point and not self._hover_fails:
            self._preview_next()

    def _set_hovered(self, candidates: tuple[Candidate, ...], stand_in: str = "") -> None:
        if candidates != self._hovered:
            self._hovered, self._hovered_by = candidates, stand_in if candidates else ""
            self.changed.emit()

    def _refresh_state(self) -> None:
        before, self._state = self._state, self._state_now()
        if before != self._state:
            self.changed.emit()

    def _state_now(self) -> State:
        image = self._image
        if image is None:
            return "none"
        if not self._segmenter.is_loaded:
            return "loading"
        chip = self._chip if self._waiting else None
        if chip is None and self._hover_at is not None:
            chip = self._segmenter.chip(image, Prompts((self._hover_at,)), chip_downsample(self._scale))
        warm = chip is None or self._segmenter.is_warm(image, chip, self._plane)
        if self._waiting:
            return "busy" if warm else "encoding"
        if chip is not None and warm:
            return "ready"
        return "encoding" if self._ahead.active else "cold" if chip is not None else "ready"


def _inside(x: float, y: float, image: Image) -> bool:
    return 0 <= x < image.size[0] and 0 <= y < image.size[1]
