"""The two kinds of search, as steps that a lane runs: for words and examples, and for everything.

Must not know who waits for the results.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Protocol

import shapely

from samdesk.app.review import Batch
from samdesk.domain.document import Snapshot
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Bounds, Plane, Shape
from samdesk.domain.prompts import BoxPrompt, Candidate, Prompts
from samdesk.domain.tasks import Task
from samdesk.engines.automask import AutomaskOptions
from samdesk.engines.base import CHIP
from samdesk.sdk import Image, MaskOptions, Segmenter
from samdesk.sdk.automask import automask_steps

from .gathering import Gathering
from .looks import FILLS, Look, Where, many_looks, single_look

SMALLEST_EXAMPLE = 4.0
"""Sides of an example in chip pixels; of a smaller one the engine sees nothing."""


class Found(Protocol):
    """Takes what is new, and what was told before and holds no more; on any thread."""

    def __call__(self, batch: Batch, gone: Sequence[Candidate] = ()) -> None: ...


Steps = Callable[[Task, Found], Generator[None, None, None]]


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """One search for words or examples; runs on the lane's thread."""

    segmenter: Segmenter
    image: Image
    plane: Plane
    prompts: Prompts
    where: Where
    floor: float
    known: Snapshot
    options: MaskOptions

    def steps(self, task: Task, found: Found) -> Generator[None, None, None]:
        """Search one chip after the other; what is new on each goes to `found`."""
        gathering = Gathering(self.where.bounds, self.where.shapes)
        looks = self._planned()
        for number, look in enumerate(looks):
            if len(looks) > 1:
                task.progress(number / len(looks), f"part {number + 1:,} of {len(looks):,}")
            new = gathering.take(self._on(look, task), look.core)
            if number == len(looks) - 1:
                new += gathering.rest()
            found(Batch.of(new, self.plane, self.known))
            yield

    def _on(self, look: Look, task: Task) -> list[Candidate]:
        prompts = self._prompts_on(look)
        if not prompts:
            return []
        return self.segmenter.find(
            self.image,
            prompts,
            plane=self.plane,
            chip=look.chip,
            min_score=self.floor,
            options=self.options,
            task=task,
        )

    def _planned(self) -> list[Look]:
        where, size = self.where, self.image.size
        bounds = where.bounds.intersection(Bounds(0, 0, *size))
        if bounds.is_empty:
            raise SamdeskError("There is nothing of the image in the view.", "Move the view onto the image.")
        examples = [box.bounds for box in self.prompts.boxes if box.positive]
        if self.prompts.text:
            return self._covering(bounds, size)
        if not examples:
            raise SamdeskError("There is nothing to search for.", "Give a text, or a box around one example.")
        # an example tells something only on the chip where it lies
        if where.whole_view:
            look = single_look(bounds, where.downsample, size)
            if not self._prompts_on(look):
                raise SamdeskError(
                    "No example lies in the view.", "Draw one here, or search the whole image."
                )
        else:
            for one in examples:
                bounds = bounds.union(one)
            look = single_look(bounds, where.downsample, size)
        if max(max(box.width, box.height) for box in examples) < SMALLEST_EXAMPLE * look.chip.downsample:
            raise SamdeskError(
                "The example is too small to be seen from as far away as this search looks.",
                "Zoom in and search in the view, or say in words what to find.",
            )
        return [look]

    def _covering(self, bounds: Bounds, size: tuple[int, int]) -> list[Look]:
        where = self.where
        if where.whole_view or max(bounds.width, bounds.height) <= FILLS * CHIP * where.downsample:
            return [single_look(bounds, where.downsample, size)]
        looks = many_looks(bounds, where.downsample, size)
        if not where.shapes:
            return looks
        areas = shapely.union_all([one.to_shapely() for one in where.shapes])
        shapely.prepare(areas)
        return [look for look in looks if shapely.intersects(areas, shapely.box(*look.chip.bounds))]

    def _prompts_on(self, look: Look) -> Prompts:
        """The words, and the examples whose middle lies on the chip, cut to it; nothing to search
        for where neither is left."""
        chip = look.chip.bounds.intersection(Bounds(0, 0, *self.image.size))
        boxes = tuple(
            BoxPrompt(box.bounds.intersection(chip), box.positive)
            for box in self.prompts.boxes
            if chip.contains(*box.bounds.center)
        )
        if not self.prompts.text and not any(box.positive for box in boxes):
            return Prompts()
        return Prompts(boxes=boxes, text=self.prompts.text)


@dataclass(frozen=True, slots=True, eq=False)
class Everything:
    """One automask; runs on the lane's thread."""

    segmenter: Segmenter
    image: Image
    plane: Plane
    where: Where
    options: AutomaskOptions
    known: Snapshot

    def steps(self, task: Task, found: Found) -> Generator[None, None, None]:
        """Find everything; what was told before may be taken back for something better."""
        told: dict[Shape, Candidate] = {}

        def tell(so_far: Sequence[Candidate]) -> None:
            nonlocal told
            now = {one.shape: told.get(one.shape, one) for one in so_far}
            new = [one for shape, one in now.items() if shape not in told]
            gone = [one for shape, one in told.items() if shape not in now]
            told = now
            found(Batch.of(new, self.plane, self.known), gone)

        everything = yield from automask_steps(
            self.segmenter,
            self.image,
            self._region(),
            self.options,
            downsample=self._downsample(),
            plane=self.plane,
            task=task,
            found=tell,
        )
        tell(everything)

    def _region(self) -> Bounds | Shape:
        shapes = self.where.shapes
        if len(shapes) < 2:
            return shapes[0] if shapes else self.where.bounds.intersection(Bounds(0, 0, *self.image.size))
        return Shape.from_shapely(shapely.union_all([one.to_shapely() for one in shapes]))

    def _downsample(self) -> float:
        where = self.where
        if where.whole_view:
            return single_look(where.bounds, where.downsample, self.image.size).chip.downsample
        return where.downsample
