"""`Following`: objects followed frame by frame with an engine that knows single pictures.

What was found on one frame is looked for in a box on the next. Nothing else is remembered, so that
an object which is lost stays lost until somebody says where it is. Must not know files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from samdesk.domain.geometry import Bounds, FloatArray, Region, Shape
from samdesk.domain.outline import logits_to_shape, shape_to_mask
from samdesk.domain.prompts import BoxPrompt, PointPrompt, Prompts
from samdesk.domain.tasks import Task
from samdesk.engines.asked import astray, frame_task, places, prompts_by_frame, refuse_text, says_where
from samdesk.engines.base import CHIP, Embedding, Engine, Frames, MaskLogits, TrackedFrame, TrackPrompt

ROOM, LEAST_ROOM = 0.15, 4.0
"""The box in which an object is looked for reaches beyond the place where it should be by this part
of its size, and by so many px at least."""

LEAST_OVERLAP = 0.3
"""Intersection over union of the box of what is found and the one where it should be. Less is a jump
to something else."""

MOST_CHANGE = 2.0
"""An object that grows or shrinks by a larger factor from one frame to the next is another one."""

LEAST_CONTRAST = 0.4
"""An object must stand out from its surroundings at least by this part of how it did before."""

FAINT = 4.0
"""Objects whose mean color differs from their surroundings by less (of 255) are not judged by it."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """An object as it was on the last frame, in the pixels that the engine sees.

    Attributes
    ----------
    shape : Shape
    contrast : ndarray, (3,) float64
        Mean color inside less that of a rim around it.
    step : (float, float)
        How far its box moved since the frame before.
    """

    shape: Shape
    contrast: FloatArray
    step: tuple[float, float] = (0.0, 0.0)

    @property
    def place(self) -> Bounds:
        """Where its box should be on the next frame, if it moves on as it did."""
        (x, y), box = self.step, self.shape.bounds
        return Bounds(box.x0 + x, box.y0 + y, box.x1 + x, box.y1 + y)


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One frame as the engine sees it.

    Attributes
    ----------
    chip : ndarray, (h, w, 3) RGB uint8
    embedding : Embedding
    scale : (float, float)
        Pixels of the chip per pixel of the frame, along x and y.
    """

    chip: NDArray[np.uint8]
    embedding: Embedding
    scale: tuple[float, float]

    @property
    def whole(self) -> Region:
        return Region(0, 0, self.embedding.width, self.embedding.height)


class Following:
    """A `Tracker` made of any promptable engine; a frame is one chip, reduced where it is larger.

    Prompts are answered by the engine: a box, a prior, or points on an object that is not followed
    just now say where it is; points on one that is correct what was followed to that frame. On a
    frame without prompts the engine is asked for a box where the object should be, and its best
    answer is taken that could be the object: one that is somewhere else, of quite another size, or
    that does not stand out as the object did, could not. Without any the object is lost: it is
    left out until the next prompt on it.

    A score is the engine's own.

    Parameters
    ----------
    engine : Engine
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.name = engine.name
        self.title = f"{engine.title}, frame by frame"
        self.identity, self.device, self.nbytes = engine.identity, engine.device, engine.nbytes

    def track(
        self,
        frames: Frames,
        asked: Sequence[TrackPrompt],
        task: Task,
        *,
        start: int = 0,
        count: int | None = None,
    ) -> Iterator[TrackedFrame]:
        """Follow objects by points, boxes or a prior; see `Tracker.track`."""
        span, said = prompts_by_frame(asked, len(frames), start, count)
        known: set[int] = set()
        for frame in sorted(said):
            for object_id, prompts in said[frame].items():
                refuse_text(self.title, prompts, object_id, frame)
                if object_id not in known and not says_where(prompts):
                    raise astray(object_id, frame)
                known.add(object_id)
        return self._follow(frames, span, said, task)

    def _follow(
        self, frames: Frames, span: range, said: Mapping[int, Mapping[int, Prompts]], task: Task
    ) -> Iterator[TrackedFrame]:
        seen: dict[int, Seen] = {}
        for done, frame in enumerate(span):
            part = frame_task(task, done, len(span))
            part.progress(0.0)
            here = said.get(frame, {})
            found: dict[int, MaskLogits] = {}
            if seen or here:
                view = self._view(frames[frame], part)
                for object_id in sorted({*seen, *here}):
                    part.check()
                    answer = self._look(view, seen.pop(object_id, None), here.get(object_id), part)
                    if answer is not None:
                        found[object_id], seen[object_id] = answer
            yield TrackedFrame(frame, found)

    def _view(self, frame: NDArray[np.uint8], task: Task) -> View:
        height, width = frame.shape[:2]
        factor = min(1.0, CHIP / max(width, height))
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        chip = frame
        if factor < 1:
            chip = np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)
        return View(chip, self._engine.encode(chip, task), (size[0] / width, size[1] / height))

    def _look(
        self, view: View, seen: Seen | None, said: Prompts | None, task: Task
    ) -> tuple[MaskLogits, Seen] | None:
        """What is found of one object, and how it looks there."""
        prompts = None if said is None else _scaled(said, view.scale)
        if prompts is None or (seen is not None and not places(prompts)):
            followed = None if seen is None else self._followed(view, seen, task)
            if prompts is None:
                return followed
            if followed is not None:
                prompts = Prompts(prompts.points, prompts.boxes, prior=followed[1].shape)
        if not says_where(prompts):
            return None
        answers = self._engine.predict(view.embedding, prompts, task)
        shape = _shape(answers[0], view) if answers else Shape.empty()
        if shape.is_empty:
            return None
        return _in_frame(answers[0], view), _as_seen(view, shape, seen)

    def _followed(self, view: View, seen: Seen, task: Task) -> tuple[MaskLogits, Seen] | None:
        place = seen.place
        room = max(LEAST_ROOM, ROOM * max(place.width, place.height))
        box = place.expanded(room).intersection(view.whole.bounds)
        if box.is_empty:
            return None
        for answer in self._engine.predict(view.embedding, Prompts(boxes=(BoxPrompt(box),)), task):
            shape = _shape(answer, view)
            if _could_be(shape, seen):
                now = _as_seen(view, shape, seen)
                if _stands_out(now.contrast, seen.contrast):
                    return _in_frame(answer, view), now
        return None


def _scaled(prompts: Prompts, scale: tuple[float, float]) -> Prompts:
    """The prompts of a frame in the pixels that the engine sees."""
    x, y = scale
    prior = prompts.prior
    return Prompts(
        tuple(PointPrompt(point.x * x, point.y * y, point.positive) for point in prompts.points),
        tuple(
            BoxPrompt(Bounds(box.x0 * x, box.y0 * y, box.x1 * x, box.y1 * y), positive)
            for box, positive in prompts.boxes
        ),
        prior=None if prior is None else Shape(prior.coords * scale, prior.rings, prior.parts, prior.kind),
    )


def _shape(answer: MaskLogits, view: View) -> Shape:
    return logits_to_shape(answer.logits, view.whole, extent=answer.extent)


def _in_frame(answer: MaskLogits, view: View) -> MaskLogits:
    """The answer with what it covers in pixels of the frame."""
    if answer.extent is None:
        return answer
    extent = (answer.extent[0] / view.scale[0], answer.extent[1] / view.scale[1])
    return MaskLogits(answer.logits, answer.score, extent)


def _as_seen(view: View, shape: Shape, before: Seen | None) -> Seen:
    step = (0.0, 0.0)
    if before is not None:
        (x, y), (x_before, y_before) = shape.bounds.center, before.shape.bounds.center
        step = (x - x_before, y - y_before)
    return Seen(shape, _contrast(view.chip, shape), step)


def _could_be(shape: Shape, seen: Seen) -> bool:
    """Whether a shape is about where the object should be, and about as large."""
    if shape.is_empty:
        return False
    here, there = shape.bounds, seen.place
    common = here.intersection(there)
    shared = 0.0 if common.is_empty else common.width * common.height
    overlap = shared / (here.width * here.height + there.width * there.height - shared)
    change = max(shape.area, seen.shape.area) / max(min(shape.area, seen.shape.area), 1e-9)
    return overlap >= LEAST_OVERLAP and change <= MOST_CHANGE


def _stands_out(now: FloatArray, before: FloatArray) -> bool:
    """Whether an object differs from its surroundings as it did; brighter light changes both alike."""
    strength = float(before @ before)
    return strength < FAINT**2 or float(now @ before) >= LEAST_CONTRAST * strength


def _contrast(chip: NDArray[np.uint8], shape: Shape) -> FloatArray:
    """Mean color inside a shape less that of a rim around it and in its holes; (3,) float64."""
    box = shape.bounds
    rim = round(max(LEAST_ROOM, ROOM * max(box.width, box.height)))
    whole = Bounds(0, 0, chip.shape[1], chip.shape[0])
    x0, y0, x1, y1 = (round(edge) for edge in box.expanded(rim + 1).intersection(whole))
    part = chip[y0:y1, x0:x1].astype(np.float64)
    inside = shape_to_mask(shape, Region(x0, y0, x1 - x0, y1 - y0))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * rim + 1, 2 * rim + 1))
    around = (cv2.dilate(inside.view(np.uint8), kernel) > 0) & ~inside
    if not (inside.any() and around.any()):
        return np.zeros(3)
    difference: FloatArray = part[inside].mean(axis=0) - part[around].mean(axis=0)
    return difference
