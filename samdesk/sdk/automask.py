"""`automask`: every object in a part of an image, on one chip or tiled over many.

Must not know those who use it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Bounds, FloatArray, Plane, Region, Shape, ShapeKind
from samdesk.domain.outline import repair
from samdesk.domain.prompts import Candidate
from samdesk.domain.tasks import PartTask, Task
from samdesk.engines.automask import AutomaskOptions, MaskFound, Output, last, rank
from samdesk.engines.automask import automask_steps as automask_chip
from samdesk.engines.base import ENGINES

from .chips import chip_at, clip_to_image, is_cut
from .image import Image
from .precompute import chips_for, click_area
from .seams import joined
from .segmenter import Segmenter

Found = Callable[[list[Candidate]], None]

INSIDE = 0.5
"""A mask belongs to the part that was asked for when this part of its area lies in it."""


def automask(
    segmenter: Segmenter,
    image: Image,
    where: Bounds | Shape | None = None,
    options: AutomaskOptions = AutomaskOptions(),
    *,
    downsample: float = 1.0,
    plane: Plane = Plane(),
    output: Output = "best",
    task: Task | None = None,
    found: Found | None = None,
) -> list[Candidate]:
    """Find every object in a part of an image.

    A part that one chip sees is done at once, with `points_per_side` points across the part.
    A larger one is tiled with the chips of the fixed grid, each asked at `points_per_side`
    points across the chip, but only in its middle: every place is asked once, by the chip that
    sees most of what surrounds it. What a chip's border cut is taken from the chip that sees it
    whole; where none does, the pieces are united.

    Parameters
    ----------
    segmenter : Segmenter
        Its cache keeps the embeddings.
    image : Image
    where : Bounds or Shape, optional
        Image pixels; all of the image when not given. Points are asked only inside. A mask stays
        when at least half of it lies inside: in a box as a whole, so that objects are not cut
        where the view ends; in a shape cut to the shape, as QuPath does with what it detects in
        an annotation.
    options : AutomaskOptions
        Lengths and areas in pixels that the engine sees.
    downsample : float
        Image pixels per pixel that the engine sees.
    plane : Plane
    output : {"best", "single", "all", "largest", "smallest"}
        See `samdesk.engines.automask.OUTPUTS`.
    task : Task, optional
        To report progress, and to cancel before each batch of points.
    found : callable, optional
        Receives all candidates so far, after each batch on one chip or after each tile.
        Provisional: seams are joined at the end, and a better mask may replace one told before.

    Returns
    -------
    list of Candidate
        Valid, inside the image; best first.

    Raises
    ------
    SamdeskError
        When `where` does not meet the image, or the engine cannot run.
    Cancelled
        When the task was cancelled.
    """
    return last(
        automask_steps(
            segmenter,
            image,
            where,
            options,
            downsample=downsample,
            plane=plane,
            output=output,
            task=task,
            found=found,
        )
    )


def automask_steps(
    segmenter: Segmenter,
    image: Image,
    where: Bounds | Shape | None = None,
    options: AutomaskOptions = AutomaskOptions(),
    *,
    downsample: float = 1.0,
    plane: Plane = Plane(),
    output: Output = "best",
    task: Task | None = None,
    found: Found | None = None,
) -> Generator[None, None, list[Candidate]]:
    """As `automask`, one batch of points for every step: a caller that shares its thread takes them."""
    task = task or Task()
    chips = _chips(image, where, downsample)
    segmenter.load(task)
    work = _Work(segmenter, image, where, options, plane, output)
    candidates: list[Candidate] = []
    areas: list[int] = []
    for number, chip in enumerate(chips):
        alone = len(chips) == 1
        encoding, asking = (_tile(task, number, len(chips), share) for share in (0, 1))
        yield
        made = yield from work.chip(chip, encoding, asking, alone, found if alone else None)
        candidates += [candidate for candidate, _ in made]
        areas += [mask.area for _, mask in made]
        if found is not None and not alone:
            found(list(candidates))
    task.check()
    if len(chips) > 1:
        task.progress(None, "Joining the tiles")
        ranks = rank(np.array([one.score for one in candidates]), np.array(areas), output)
        candidates = joined(candidates, ranks.astype(np.float64), image.size, options.crop_nms_thresh)
        candidates = [kept for one in candidates if (kept := work.inside(one)) is not None]
    return sorted(candidates, key=lambda one: -one.score)


def options_for(segmenter: Segmenter, **given: Any) -> AutomaskOptions:
    """The options for an engine: those that are given, and its defaults for the others.

    Stability is a test for the logits of a network; those of an engine without weights are
    distances in pixels, by which every small object is unstable.
    """
    spec = ENGINES.get(segmenter.name)
    if spec is not None and not spec.needs_weights:
        given = {"stability_score_thresh": 0.0, **given}
    return AutomaskOptions(**given)


def _chips(image: Image, where: Bounds | Shape | None, downsample: float) -> list[Region]:
    """The chip that sees all of `where`; or those of the grid that together do."""
    whole = Bounds(0, 0, *image.size)
    asked = whole if where is None else where
    box = (asked.bounds if isinstance(asked, Shape) else asked).intersection(whole)
    if not (box.x0 < box.x1 and box.y0 < box.y1):
        raise SamdeskError(
            "The part to find objects in lies outside the image or is empty.",
            f"{image.source.name} is {image.size[0]} × {image.size[1]} px.",
        )
    x, y = box.center
    chip = chip_at(Bounds(x, y, x, y), downsample, image.size)
    seen = chip.bounds
    if seen.x0 <= box.x0 and seen.y0 <= box.y0 and box.x1 <= seen.x1 and box.y1 <= seen.y1:
        return [chip]
    chips = chips_for(image, asked, downsample)
    return sorted(chips, key=lambda one: (one.y, one.x))


def _tile(task: Task, number: int, count: int, share: float) -> Task:
    """The task of a tile, which takes `share` of what is one tile's."""
    text = f"tile {number + 1:,} of {count:,}: " if count > 1 else ""
    return PartTask(task, number / count, share / count, lambda message: text + message)


class _Work:
    """What is the same for all chips."""

    def __init__(
        self,
        segmenter: Segmenter,
        image: Image,
        where: Bounds | Shape | None,
        options: AutomaskOptions,
        plane: Plane,
        output: Output,
    ) -> None:
        self._segmenter, self._image, self._where = segmenter, image, where
        self._options, self._plane, self._output = options, plane, output
        self._area = None
        if isinstance(where, Shape):
            if where.kind is not ShapeKind.AREA:
                raise SamdeskError("A line or points have no inside.", "Choose an area.")
            self._area = repair(where)[0].to_shapely()
            shapely.prepare(self._area)

    def chip(
        self, chip: Region, encoding: Task, asking: Task, alone: bool, found: Found | None
    ) -> Generator[None, None, list[tuple[Candidate, MaskFound]]]:
        """The candidates on one chip; cut to what was asked for when the chip is alone."""
        shown: dict[MaskFound, Candidate | None] = {}

        def candidates(masks: list[MaskFound]) -> list[tuple[Candidate, MaskFound]]:
            for mask in masks:
                if mask not in shown:
                    made = self._candidate(mask, chip)
                    shown[mask] = self.inside(made) if alone and made is not None else made
            return [(one, mask) for mask in masks if (one := shown[mask]) is not None]

        def tell(masks: list[MaskFound]) -> None:
            if found is not None:
                found([one for one, _ in candidates(masks)])

        # the pixels are needed for crops only, beside the embedding
        embedding, _ = self._segmenter.embed(self._image, chip, self._plane, encoding)
        crops = self._options.crop_n_layers > 0
        pixels = self._image.read(chip, self._plane) if crops else _blank(chip)
        masks = yield from automask_chip(
            self._segmenter.load(asking),
            pixels,
            self._options,
            asking,
            None if found is None else tell,
            output=self._output,
            embedding=embedding,
            span=self._span(chip) if alone else None,
            wanted=lambda points: self._wanted(points, chip, alone),
        )
        return candidates(masks)

    def inside(self, one: Candidate) -> Candidate | None:
        """The candidate, in a shape cut to it; None when less than half of it was asked for."""
        if self._where is None:
            return one
        outline = one.shape.to_shapely()
        if self._area is None:
            within = shapely.clip_by_rect(outline, *self._where_box())
            return one if within.area >= INSIDE * outline.area else None
        within = shapely.intersection(self._area, outline)
        if within.area < INSIDE * outline.area:
            return None
        if within.area == outline.area:
            return one
        shape = repair(Shape.from_shapely(within))[0]
        return None if shape.is_empty or shape.kind is not ShapeKind.AREA else replace(one, shape=shape)

    def _where_box(self) -> Bounds:
        whole = Bounds(0, 0, *self._image.size)
        where = self._where
        if where is None:
            return whole
        return (where.bounds if isinstance(where, Shape) else where).intersection(whole)

    def _span(self, chip: Region) -> Bounds:
        box = self._where_box()
        (x0, y0), (x1, y1) = chip.to_array([(box.x0, box.y0), (box.x1, box.y1)])
        return Bounds(float(x0), float(y0), float(x1), float(y1))

    def _wanted(self, points: FloatArray, chip: Region, alone: bool) -> NDArray[np.bool_]:
        """Which points of a chip (chip pixels) lie in what was asked for, and are this chip's to ask."""
        x, y = chip.to_image(points).T
        boxes = [self._where_box()] if alone else [self._where_box(), click_area(chip, self._image.size)]
        wanted = np.ones(len(points), np.bool_)
        for box in boxes:
            wanted &= (box.x0 <= x) & (x < box.x1) & (box.y0 <= y) & (y < box.y1)
        if self._area is not None:
            wanted &= shapely.contains_xy(self._area, x, y)
        return wanted

    def _candidate(self, mask: MaskFound, chip: Region) -> Candidate | None:
        shape = clip_to_image(mask.shape.scaled(chip.downsample, chip.x, chip.y), self._image.size)
        if shape.is_empty:
            return None
        cut = is_cut(shape, chip, self._image.size)
        return Candidate(shape, mask.score, chip, cut, self._segmenter.name)


def _blank(chip: Region) -> NDArray[np.uint8]:
    return np.broadcast_to(np.uint8(0), (chip.height, chip.width, 3))
