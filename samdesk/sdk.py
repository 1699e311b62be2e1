"""`open_image`, `Segmenter`, `load_segmenter`: the road from pixels and prompts to shapes.

Shared by the window, the server, the command line and notebooks. Must not know any of them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Bounds, Plane, Region, Shape
from samdesk.domain.outline import logits_to_shape, repair
from samdesk.domain.prompts import Candidate, Prompts
from samdesk.domain.tasks import Task
from samdesk.engines.base import CHIP, Embedding, Engine, EngineSpec, MaskLogits, engine_spec, load_engine
from samdesk.engines.cache import EmbeddingCache
from samdesk.images.contrast import Display, auto_display, render_region
from samdesk.images.readers import open_source
from samdesk.images.source import ImageSource, PixelSize
from samdesk.images.tiles import BlockCache

BLOCK_CACHE_BYTES = 512 << 20
EMBEDDING_CACHE_BYTES = 1 << 30

BOX_FILLS = 0.8
"""A box may fill this part of a chip; a larger one is looked at from further away, so that
the engine sees what surrounds the object."""

EDGE_PX = 1.5
"""A shape that comes this close (array px) to a chip border inside the image was probably cut."""


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """An open image together with how it is shown; what engines see is what `display` shows.

    Attributes
    ----------
    source : ImageSource
    display : Display
    blocks : BlockCache
        Decoded blocks, shared by all that read the image.
    """

    source: ImageSource
    display: Display
    blocks: BlockCache

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in image pixels."""
        return self.source.width, self.source.height

    @property
    def pixel_size(self) -> PixelSize | None:
        return self.source.pixel_size

    def read(self, region: Region, plane: Plane = Plane()) -> NDArray[np.uint8]:
        """The region as displayed, (height, width, 3) RGB uint8; pixels outside repeat the border."""
        return _repeat_border(
            render_region(self.source, region, plane, self.display, self.blocks), region, self.size
        )

    def close(self) -> None:
        self.source.close()


def _repeat_border(pixels: NDArray[np.uint8], region: Region, size: tuple[int, int]) -> NDArray[np.uint8]:
    whole_w = min(region.width, max(1, int((size[0] - region.x) / region.downsample)))
    whole_h = min(region.height, max(1, int((size[1] - region.y) / region.downsample)))
    if (whole_w, whole_h) == (region.width, region.height):
        return pixels
    inside = pixels[:whole_h, :whole_w]
    bottom, right = region.height - whole_h, region.width - whole_w
    return np.asarray(cv2.copyMakeBorder(inside, 0, bottom, 0, right, cv2.BORDER_REPLICATE), np.uint8)


def open_image(path: str | Path, display: Display | None = None, blocks: BlockCache | None = None) -> Image:
    """Open an image of any size; nothing but what is needed is read.

    Parameters
    ----------
    path : path
        A file, or an OME-Zarr folder.
    display : Display, optional
        Channel ranges and colours; chosen from the pixels when not given.
    blocks : BlockCache, optional
        To share decoded blocks with others.

    Raises
    ------
    SamdeskError
        When the file cannot be read; says why and what would work.
    """
    source = open_source(Path(path))
    try:
        if blocks is None:
            blocks = BlockCache(BLOCK_CACHE_BYTES)
        return Image(source, display or auto_display(source), blocks)
    except BaseException:
        source.close()
        raise


def pixel_text(image: Image, plane: Plane, x: float, y: float) -> str:
    """The stored values of the pixel at (x, y), image pixels; empty outside the image."""
    source, level = image.source, image.source.levels[0]
    if not (0 <= x < source.width and 0 <= y < source.height):
        return ""
    column, row = int(x) // level.block_width, int(y) // level.block_height
    channels = (0,) if source.kind == "rgb" else range(len(source.channels))
    values: list[float] = []
    for channel in channels:
        block = image.blocks.get_block(source, 0, column, row, plane, channel)
        values.extend(np.atleast_1d(block[int(y) % level.block_height, int(x) % level.block_width]))
    return "  ".join(f"{value:g}" for value in values)


def chip_at(bounds: Bounds, downsample: float, size: tuple[int, int]) -> Region:
    """The chip of the fixed grid whose middle is nearest to the middle of `bounds`.

    Chips are `CHIP` px on a side and overlap by half. When `bounds` fills more than
    `BOX_FILLS` of a chip, the downsample is doubled until it does not. The last chip of a
    row or column ends at the border of the image; an image smaller than a chip is one chip.

    Parameters
    ----------
    bounds : Bounds
        Image pixels; may be a point.
    downsample : float
        Image pixels per chip pixel.
    size : (int, int)
        Width and height of the image in pixels.
    """
    while max(bounds.width, bounds.height) > BOX_FILLS * CHIP * downsample and (
        max(size) > CHIP * downsample
    ):
        downsample *= 2
    x, width = _chip_span(bounds.center[0], size[0], downsample)
    y, height = _chip_span(bounds.center[1], size[1], downsample)
    return Region(x, y, width, height, downsample)


def _chip_span(middle: float, length: int, downsample: float) -> tuple[float, int]:
    last = length - CHIP * downsample
    if last <= 0:
        return 0.0, max(1, math.ceil(length / downsample))
    step = CHIP * downsample / 2
    nearest = round((middle - step) / step) * step
    return float(min(max(nearest, 0.0), last)), CHIP


def wider_chip(chip: Region, bounds: Bounds, size: tuple[int, int]) -> Region | None:
    """A chip that sees twice as far around `bounds`; None when `chip` sees the whole image already."""
    if chip.bounds.width >= size[0] and chip.bounds.height >= size[1]:
        return None
    return chip_at(bounds, 2 * chip.downsample, size)


def chip_downsample(scale: float) -> float:
    """The downsample at which to segment what is seen at `scale` image px per screen px."""
    return 2.0 ** max(0, round(math.log2(max(scale, 1e-6))))


class Segmenter:
    """An engine with its embedding cache: prompts in image pixels in, candidates out.

    The engine is loaded when it is first needed, on the thread that needs it. Holds no state
    between calls other than the cache. May be used from one thread at a time; the cache may
    be shared.

    Parameters
    ----------
    engine : Engine or EngineSpec
        An engine, or the row of the table that says how to load it.
    cache : EmbeddingCache, optional
    options : mapping, optional
        Passed to the engine when it is loaded.
    """

    def __init__(
        self,
        engine: Engine | EngineSpec,
        cache: EmbeddingCache | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = engine.name
        self.title = engine.title
        self.cache = EmbeddingCache(EMBEDDING_CACHE_BYTES) if cache is None else cache
        self._engine = None if isinstance(engine, EngineSpec) else engine
        self._options = dict(options or {})

    @property
    def engine(self) -> Engine:
        if self._engine is None:
            self._engine = load_engine(self.name, **self._options)
        return self._engine

    def chip(
        self, image: Image, prompts: Prompts, downsample: float = 1.0, keep: Region | None = None
    ) -> Region:
        """The chip for these prompts; `keep` is preferred while all prompts lie well inside it."""
        whole = Bounds(0, 0, *image.size)
        bounds = prompts.bounds or whole
        if keep is not None and _well_inside(bounds, keep, whole):
            return keep
        return chip_at(bounds, downsample, image.size)

    def is_warm(self, image: Image, chip: Region, plane: Plane = Plane()) -> bool:
        """Whether prompts on this chip are answered without encoding."""
        return self._key(image, chip, plane) in self.cache

    def embed(
        self, image: Image, chip: Region, plane: Plane = Plane(), task: Task | None = None
    ) -> tuple[Embedding, dict[str, float]]:
        """The chip's embedding, from the cache or made now, and the milliseconds each stage took."""
        task = task or Task()
        key = self._key(image, chip, plane)
        known = self.cache.get(key)
        if known is not None:
            return known, {"read": 0.0, "encode": 0.0}
        task.check()
        started = time.perf_counter()
        pixels = image.read(chip, plane)
        task.check()
        read = time.perf_counter()
        embedding = self.engine.encode(pixels, task)
        encoded = time.perf_counter()
        self.cache.put(key, embedding)
        return embedding, {"read": 1e3 * (read - started), "encode": 1e3 * (encoded - read)}

    def segment(
        self,
        image: Image,
        prompts: Prompts,
        *,
        downsample: float = 1.0,
        plane: Plane = Plane(),
        chip: Region | None = None,
        task: Task | None = None,
    ) -> list[Candidate]:
        """Find the object that the prompts describe.

        Parameters
        ----------
        image : Image
        prompts : Prompts
            Image pixels on pixel edges; must meet the image.
        downsample : float
            Image pixels per pixel that the engine sees; larger sees further.
        plane : Plane
        chip : Region, optional
            Where to look; by default the chip of the grid nearest to the prompts.
        task : Task, optional
            To report progress and to cancel between the stages.

        Returns
        -------
        list of Candidate
            Best first; empty when nothing was found. Shapes are valid and inside the image.

        Raises
        ------
        SamdeskError
            When there is no prompt, or a prompt lies outside the image.
        """
        task = task or Task()
        _check_prompts(prompts, image)
        chip = chip or self.chip(image, prompts, downsample)
        embedding, timings = self.embed(image, chip, plane, task)
        task.check()
        started = time.perf_counter()
        answers = self.engine.predict(embedding, prompts.in_array(chip), task)
        timings["predict"] = 1e3 * (time.perf_counter() - started)
        task.check()
        started = time.perf_counter()
        found = [self._candidate(answer, chip, image.size) for answer in answers]
        timings["outline"] = 1e3 * (time.perf_counter() - started)
        return [replace(one, timings=timings) for one in found if not one.shape.is_empty]

    def _candidate(self, answer: MaskLogits, chip: Region, size: tuple[int, int]) -> Candidate:
        shape = clip_to_image(logits_to_shape(answer.logits, chip), size)
        return Candidate(shape, answer.score, chip, _is_cut(shape, chip, size), self.name)

    def _key(self, image: Image, chip: Region, plane: Plane) -> tuple[Any, ...]:
        return image.source.identity, image.display.key, plane, chip, self.name


def _well_inside(bounds: Bounds, chip: Region, whole: Bounds) -> bool:
    margin = (1 - BOX_FILLS) / 2 * CHIP * chip.downsample / 2
    box, inner = chip.bounds, chip.bounds.expanded(-margin)
    x0 = box.x0 if box.x0 <= whole.x0 else inner.x0
    y0 = box.y0 if box.y0 <= whole.y0 else inner.y0
    x1 = box.x1 if box.x1 >= whole.x1 else inner.x1
    y1 = box.y1 if box.y1 >= whole.y1 else inner.y1
    return x0 <= bounds.x0 and y0 <= bounds.y0 and bounds.x1 <= x1 and bounds.y1 <= y1


def _check_prompts(prompts: Prompts, image: Image) -> None:
    width, height = image.size
    if not prompts:
        raise SamdeskError("There is no prompt.", "Give at least one point or one box.")
    for point in prompts.points:
        if not (0 <= point.x <= width and 0 <= point.y <= height):
            raise SamdeskError(
                f"The point {point.x:g}, {point.y:g} lies outside the image.",
                f"{image.source.name} is {width} × {height} px.",
            )
    for box in prompts.boxes:
        if box.bounds.intersection(Bounds(0, 0, width, height)).is_empty:
            raise SamdeskError(
                "The box {:g}, {:g}, {:g}, {:g} lies outside the image or is empty.".format(*box.bounds),
                f"{image.source.name} is {width} × {height} px.",
            )


def clip_to_image(shape: Shape, size: tuple[int, int]) -> Shape:
    """Cut off what reaches beyond the image; (width, height) in pixels."""
    import shapely

    if shape.is_empty:
        return shape
    box = shape.bounds
    if box.x0 >= 0 and box.y0 >= 0 and box.x1 <= size[0] and box.y1 <= size[1]:
        return shape
    inside = shapely.intersection(repair(shape)[0].to_shapely(), shapely.box(0, 0, *size))
    cut = Shape.from_shapely(inside)
    return cut if cut.kind is shape.kind else Shape.empty(shape.kind)


def _is_cut(shape: Shape, chip: Region, size: tuple[int, int]) -> bool:
    if shape.is_empty:
        return False
    box, edge, near = shape.bounds, chip.bounds, EDGE_PX * chip.downsample
    return bool(
        (box.x0 < edge.x0 + near and edge.x0 > 0)
        or (box.y0 < edge.y0 + near and edge.y0 > 0)
        or (box.x1 > edge.x1 - near and edge.x1 < size[0])
        or (box.y1 > edge.y1 - near and edge.y1 < size[1])
    )


def provenance(candidate: Candidate, prompts: Prompts) -> dict[str, Any]:
    """How a candidate came to be, as JSON values to keep with the annotation."""
    return {
        "engine": candidate.engine,
        "score": round(candidate.score, 4),
        "downsample": candidate.region.downsample,
        "points": [[p.x, p.y, int(p.positive)] for p in prompts.points],
        "boxes": [list(b.bounds) for b in prompts.boxes],
    }


def load_segmenter(name: str = "classical", options: Mapping[str, Any] | None = None) -> Segmenter:
    """Load an engine by its name in `samdesk.engines.base.ENGINES`.

    Raises
    ------
    SamdeskError
        When there is no such engine, or it cannot run here.
    """
    return Segmenter(engine_spec(name), options=options)
