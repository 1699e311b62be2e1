"""`automask`: the chip and its crops, batch by batch. Must not know images or tiles."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from samdesk.domain.geometry import Bounds, FloatArray, Shape
from samdesk.domain.prompts import PointPrompt, Prompts
from samdesk.domain.tasks import PartTask, Task
from samdesk.engines.base import CHIP, Embedding, Engine

from .layout import Crop, crops_of, grid
from .options import AutomaskOptions, Output
from .sift import Masks, sift
from .suppress import rank, suppress
from .tidy import tidy
from .window import Window

T = TypeVar("T")
Wanted = Callable[[FloatArray], NDArray[np.bool_]]


@dataclass(frozen=True, slots=True, eq=False)
class MaskFound:
    """One mask. All coordinates in chip pixels on pixel edges.

    Attributes
    ----------
    shape : Shape
    score, stability : float
        The engine's own opinion, and how little the mask depends on the threshold; 0..1.
    area : int
        Chip pixels of the mask.
    box : Bounds
        Of these pixels.
    point : (float, float)
        Where the engine was asked.
    crop : Bounds
        What the engine saw.
    """

    shape: Shape
    score: float
    stability: float
    area: int
    box: Bounds
    point: tuple[float, float]
    crop: Bounds


Found = Callable[[list[MaskFound]], None]


def automask(
    engine: Engine,
    pixels: NDArray[np.uint8],
    options: AutomaskOptions,
    task: Task,
    found: Found | None = None,
    *,
    output: Output = "best",
    embedding: Embedding | None = None,
    span: Bounds | None = None,
    wanted: Wanted | None = None,
) -> list[MaskFound]:
    """Find every object on a chip.

    Parameters
    ----------
    engine : Engine
    pixels : ndarray, (h, w, 3) uint8 RGB
        The chip.
    options : AutomaskOptions
    task : Task
        Told how many points were asked; checked for cancel before each batch.
    found : callable, optional
        Receives, after each batch, all masks so far. These are provisional: a better one may
        come and take the place of one told before.
    output : Output
    embedding : Embedding, optional
        Of the whole chip; made when not given.
    span : Bounds, optional
        Part of the chip, in chip pixels, over which the grid of points and the crops are laid;
        without crops the engine sees the whole chip all the same. By default the whole chip.
    wanted : callable, optional
        Says which of some points (k, 2), in chip pixels on pixel edges, are to be asked.

    Returns
    -------
    list of MaskFound
        Best first; with `output` "all" in the order of the points.

    Raises
    ------
    Cancelled
        When the task was cancelled.
    """
    return last(
        automask_steps(
            engine,
            pixels,
            options,
            task,
            found,
            output=output,
            embedding=embedding,
            span=span,
            wanted=wanted,
        )
    )


def automask_steps(
    engine: Engine,
    pixels: NDArray[np.uint8],
    options: AutomaskOptions,
    task: Task,
    found: Found | None = None,
    *,
    output: Output = "best",
    embedding: Embedding | None = None,
    span: Bounds | None = None,
    wanted: Wanted | None = None,
) -> Generator[None, None, list[MaskFound]]:
    """As `automask`, one batch of points for every step."""
    height, width = pixels.shape[:2]
    chip = Crop(0, 0, width, height)
    rounds = _rounds(chip, span, options, wanted)
    search = _Search(engine, chip, options, output, task, sum(len(points) for _, points in rounds))
    shown = _Shown()
    masks = Masks()
    for crop, points in rounds:
        task.check()
        if crop != chip or embedding is None:
            view = np.ascontiguousarray(pixels[crop.y0 : crop.y1, crop.x0 : crop.x1])
            embedding = engine.encode(view, search.step(0))
        here = Masks()
        for batch in search.ask(embedding, crop, points):
            here = here.extended(batch)
            if found is not None:
                found(shown.of(masks.extended(search.best(here))))
            yield
        masks = masks.extended(search.best(here))
    if options.crop_n_layers > 0:
        masks = masks.take(suppress(masks.boxes, _closeness(masks), options.crop_nms_thresh))
    if options.min_mask_region_area > 0:
        limit = max(options.box_nms_thresh, options.crop_nms_thresh)
        masks = tidy(masks, options.min_mask_region_area, limit)
    task.check()
    return shown.of(masks)


def last(steps: Generator[None, None, T]) -> T:
    """Take all the steps at once, for a caller that need not share its thread."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            value: T = end.value
            return value


def _rounds(
    chip: Crop, span: Bounds | None, options: AutomaskOptions, wanted: Wanted | None
) -> list[tuple[Crop, FloatArray]]:
    """What to encode, and the points to ask there; nothing where no point is wanted."""
    area = chip if span is None else _whole_pixels(span, chip)
    rounds = []
    for crop in crops_of(area, options):
        points = grid(crop, options.points_in_layer(crop.layer))
        if wanted is not None:
            points = points[wanted(points)]
        if len(points):
            rounds.append((chip if crop.layer == 0 else crop, points))
    return rounds


def _whole_pixels(span: Bounds, chip: Crop) -> Crop:
    x0, y0 = max(math.floor(span.x0), 0), max(math.floor(span.y0), 0)
    x1, y1 = min(math.ceil(span.x1), chip.x1), min(math.ceil(span.y1), chip.y1)
    return Crop(min(x0, chip.x1 - 1), min(y0, chip.y1 - 1), max(x1, x0 + 1), max(y1, y0 + 1))


def _closeness(masks: Masks) -> NDArray[np.float64]:
    """Higher for what was seen in a smaller crop."""
    return np.array([1 / window.sampling.crop.area for window in masks.windows], np.float64)


class _Search:
    """What stays the same from crop to crop, and how far the whole is."""

    def __init__(
        self, engine: Engine, chip: Crop, options: AutomaskOptions, output: Output, task: Task, total: int
    ) -> None:
        self._engine, self._chip, self._options = engine, chip, options
        self._output, self._task = output, task
        self._total, self._done = total, 0

    def ask(self, embedding: Embedding, crop: Crop, points: FloatArray) -> Iterator[Masks]:
        """The masks of each batch of points (chip pixels) that are good enough."""
        shift = self._shift(embedding, crop)
        size = self._options.points_per_batch
        for first in range(0, len(points), size):
            self._task.progress(self._done / self._total, self._asked())
            asked = points[first : first + size] + shift
            prompts = [Prompts((PointPrompt(float(x) - crop.x0, float(y) - crop.y0),)) for x, y in asked]
            step = self.step(len(asked))
            batch = self._engine.predict_batch(embedding, prompts, step, multimask=self._output != "single")
            self._done += len(asked)
            yield sift(batch, asked, crop, self._chip, self._options)

    def step(self, points: int) -> Task:
        """The task for what asks the next points; 0 for what must come before."""
        said = (lambda message: message) if points == 0 else (lambda message: self._asked())
        return PartTask(self._task, self._done / self._total, points / self._total, said)

    def _asked(self) -> str:
        return f"Asked {self._done} of {self._total} points"

    def best(self, masks: Masks) -> Masks:
        """Those of a crop that stay where masks overlap."""
        if self._output == "all":
            return masks
        ranks = rank(masks.scores, masks.areas, self._output)
        return masks.take(suppress(masks.boxes, ranks, self._options.box_nms_thresh))

    def _shift(self, embedding: Embedding, crop: Crop) -> FloatArray:
        """From the middle of a grid cell to where the packages ask, in chip pixels.

        Their grids are in pixel indices and their prompt encoders add half a pixel of the
        model's input, which is `CHIP` px on the side that `extent` covers.
        """
        extent: tuple[float, float] | None = (crop.width, crop.height)
        if extent != (CHIP, CHIP):
            # one prompt tells whether the engine stretches the crop or pads it
            middle = Prompts((PointPrompt(crop.width / 2, crop.height / 2),))
            extent = self._engine.predict_batch(embedding, [middle], self.step(0), multimask=False).extent
        width, height = extent or (crop.width, crop.height)
        return np.array((0.5 * width / CHIP, 0.5 * height / CHIP))


class _Shown:
    """Masks with their outlines; an outline is made once for as long as its mask is shown."""

    def __init__(self) -> None:
        self._made: dict[Window, MaskFound] = {}

    def of(self, masks: Masks) -> list[MaskFound]:
        known, self._made = self._made, {}
        for index, window in enumerate(masks.windows):
            self._made[window] = known.get(window) or _found(masks, index)
        return [one for one in self._made.values() if not one.shape.is_empty]


def _found(masks: Masks, index: int) -> MaskFound:
    window = masks.windows[index]
    x0, y0, x1, y1 = (float(value) for value in masks.boxes[index])
    x, y = (float(value) for value in masks.points[index])
    return MaskFound(
        shape=window.shape(),
        score=float(np.clip(masks.scores[index], 0, 1)),
        stability=float(masks.stabilities[index]),
        area=int(masks.areas[index]),
        box=Bounds(x0, y0, x1 + 1, y1 + 1),
        point=(x, y),
        crop=Bounds(*(float(value) for value in window.sampling.crop[:4])),
    )
