"""Encoding chips before they are needed: which ones, and one after the other.

Must not know who waits for them, nor threads: a caller that shares its thread takes the steps.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Bounds, FloatArray, Plane, Region, Shape
from samdesk.domain.tasks import Task
from samdesk.engines.base import CHIP, Embedding, Engine
from samdesk.engines.cache import EmbeddingKey, EmbeddingStore

from .chips import chip_at
from .image import Image
from .segmenter import Segmenter, key_of

RECENT = 8
"""The remaining time is told from as many of the latest chips."""

CHECK_EVERY = 256
"""Chips that are looked up on the disk in one step."""

BORDER_PART = 1e-6
"""A shape that misses a chip's area by this part of a chip may still hold a click that is rounded into it."""

DISK_PART = 0.9
"""What one run may take of the disk cache: more would push out its own first chips."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What `precompute` did.

    Attributes
    ----------
    total : int
        Chips that were asked for; all are ready now.
    encoded : int
        Those that were not ready before.
    seconds : float
        Time spent reading and encoding.
    nbytes : int
        About what the encoded ones take of the disk.
    """

    total: int
    encoded: int
    seconds: float
    nbytes: int


@dataclass(frozen=True, slots=True)
class _Axis:
    """The grid of chips along one axis: which stretch of it looks at which chip.

    Chip k begins at k steps, the last one (`end`) where the border of the image ends it.
    """

    length: int
    step: float
    last: float

    @classmethod
    def of(cls, length: int, downsample: float) -> _Axis:
        return cls(length, CHIP * downsample / 2, length - CHIP * downsample)

    @property
    def end(self) -> int:
        return max(0, math.ceil(self.last / self.step))

    def index(self, at: float) -> int:
        """The chip whose middle is nearest; as `chip_at` rounds."""
        return min(max(round((at - self.step) / self.step), 0), self.end)

    def stretch(self, k: int) -> tuple[float, float]:
        low = 0.0 if k == 0 else (k + 0.5) * self.step
        return low, float(self.length) if k == self.end else (k + 1.5) * self.step

    def stretches(self, low: float, high: float) -> list[tuple[float, float]]:
        return [self.stretch(k) for k in range(self.index(low), self.index(high) + 1)]

    def stretch_of(self, start: float) -> tuple[float, float]:
        """The stretch of the chip that begins at `start`."""
        return self.stretch(self.end if start >= self.last else round(start / self.step))


def chips_for(image: Image, where: Bounds | Shape, downsample: float) -> list[Region]:
    """The chips of the fixed grid that clicks inside `where` will look for, nearest to its middle first.

    Parameters
    ----------
    image : Image
    where : Bounds or Shape
        Image pixels; what lies beyond the image does not count.
    downsample : float
        Image pixels per chip pixel, as for `chip_at`.

    Returns
    -------
    list of Region
        For every point of `where` inside the image, `chip_at` of that point is one of them.
    """
    size = image.size
    box = (where.bounds if isinstance(where, Shape) else where).intersection(Bounds(0, 0, *size))
    if not (box.x0 <= box.x1 and box.y0 <= box.y1):
        return []
    columns = _Axis.of(size[0], downsample).stretches(box.x0, box.x1)
    rows = _Axis.of(size[1], downsample).stretches(box.y0, box.y1)
    areas = np.array([(x0, y0, x1, y1) for y0, y1 in rows for x0, x1 in columns])
    # a chip's column and row are independent of each other: ask for each once
    across = [chip_at(Bounds(sum(x) / 2, 0, sum(x) / 2, 0), downsample, size) for x in columns]
    along = [chip_at(Bounds(0, sum(y) / 2, 0, sum(y) / 2), downsample, size) for y in rows]
    chips = [Region(a.x, b.y, a.width, b.height, a.downsample) for b in along for a in across]
    wanted = np.arange(len(chips))
    if isinstance(where, Shape):
        wanted = wanted[_touched(where, areas, BORDER_PART * CHIP * downsample)]
    away = np.hypot(*((areas[:, :2] + areas[:, 2:]) / 2 - box.center).T)
    return [chips[k] for k in wanted[np.argsort(away[wanted], kind="stable")]]


def _touched(shape: Shape, areas: FloatArray, border: float) -> NDArray[np.bool_]:
    """Which of the boxes (n, 4) the shape meets; those it misses by no more than `border` count."""
    geometry = shape.to_shapely()
    shapely.prepare(geometry)
    grown = areas + np.array((-border, -border, border, border))
    return np.asarray(shapely.intersects(geometry, shapely.box(*grown.T)), bool)


def click_area(chip: Region, size: tuple[int, int]) -> Bounds:
    """The part of the image whose clicks look at this chip of the grid.

    Its middle half; up to the border of the image for the outermost chips.

    Parameters
    ----------
    chip : Region
    size : (int, int)
        Width and height of the image in pixels.
    """
    x0, x1 = _Axis.of(size[0], chip.downsample).stretch_of(chip.x)
    y0, y1 = _Axis.of(size[1], chip.downsample).stretch_of(chip.y)
    return Bounds(x0, y0, x1, y1)


def ready_chips(
    segmenter: Segmenter, image: Image, chips: Sequence[Region], plane: Plane = Plane()
) -> list[Region]:
    """Those of `chips` that need not be encoded: in memory, or on the disk and so there in no time.

    None while the engine is not loaded: only then is known which weights it has.
    """
    if not segmenter.is_loaded:
        return []
    engine, store = segmenter.engine, segmenter.cache
    return [chip for chip in chips if store.has(key_of(engine, image, chip, plane))]


def precompute(
    segmenter: Segmenter,
    image: Image,
    chips: Sequence[Region],
    plane: Plane = Plane(),
    task: Task | None = None,
    done: Callable[[Region], None] | None = None,
) -> Prepared:
    """Encode those of `chips` that are not kept yet, in their order.

    Parameters
    ----------
    segmenter : Segmenter
        Its store keeps the embeddings: on disk where it has one, else in memory.
    image : Image
    chips : sequence of Region
    plane : Plane, optional
    task : Task, optional
        Is told how many are ready and how long it will take, and is asked before each chip
        whether to go on; what was encoded until then stays.
    done : callable, optional
        Receives each chip that was encoded, on this thread.

    Raises
    ------
    SamdeskError
        When the engine cannot be loaded, the image cannot be read, or the room for embeddings
        is used up.
    """
    steps = precompute_steps(segmenter, image, chips, plane, task or Task(), done)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            prepared: Prepared = end.value
            return prepared


def precompute_steps(
    segmenter: Segmenter,
    image: Image,
    chips: Sequence[Region],
    plane: Plane,
    task: Task,
    done: Callable[[Region], None] | None = None,
) -> Generator[None, None, Prepared]:
    """As `precompute`, one chip for every step."""
    engine, store = segmenter.load(task), segmenter.cache
    work = _Work(engine, store, image, plane)
    missing: list[Region] = []
    for k, chip in enumerate(chips):
        if k % CHECK_EVERY == CHECK_EVERY - 1:
            task.progress(None, "looking for what is ready")
            yield
        if not store.is_kept(work.key(chip)):
            missing.append(chip)
    pace: deque[float] = deque(maxlen=RECENT)
    for chip in missing:
        left = len(missing) - work.kept
        ready = len(chips) - left
        if not work.has_room:
            raise _no_room(ready, len(chips))
        task.progress(ready / len(chips), _progress_text(ready, len(chips), pace, left))
        pace.append(work.prepare(chip, task))
        if done is not None:
            done(chip)
        yield
    if work.kept < len(missing):
        raise _no_room(len(chips) - len(missing) + work.kept, len(chips))
    task.progress(1.0, f"{len(chips):,} of {len(chips):,}")
    return Prepared(len(chips), work.encoded, work.seconds, work.nbytes)


class _Work:
    """Encodes chips and counts what that took."""

    def __init__(self, engine: Engine, store: EmbeddingStore, image: Image, plane: Plane) -> None:
        self._engine, self._store, self._image, self._plane = engine, store, image, plane
        self.encoded = self.kept = 0
        self.seconds = 0.0
        self.nbytes = 0
        self.has_room = True

    def key(self, chip: Region) -> EmbeddingKey:
        return key_of(self._engine, self._image, chip, self._plane)

    def prepare(self, chip: Region, task: Task) -> float:
        """Have the chip's embedding kept; the seconds that took."""
        key, started = self.key(chip), time.perf_counter()
        embedding = self._store.memory.get(key)
        if embedding is None:
            pixels = self._image.read(chip, self._plane)
            task.check()
            embedding = self._engine.encode(pixels, task)
            self.encoded += 1
        self._keep(key, embedding)
        seconds = time.perf_counter() - started
        self.seconds += seconds
        return seconds

    def _keep(self, key: EmbeddingKey, embedding: Embedding) -> None:
        nbytes = self._store.put(key, self._engine, embedding, soon=False)
        self.nbytes += nbytes
        disk = self._store.disk
        if nbytes and disk is not None:
            self.has_room = self.nbytes + nbytes <= DISK_PART * disk.limit_bytes
        else:
            self.has_room = self._store.is_warm(key)
        self.kept += bool(nbytes) or self.has_room


def _no_room(ready: int, total: int) -> SamdeskError:
    return SamdeskError(
        f"The room for prepared chips is used up: {ready:,} of {total:,} are ready.",
        "Allow a larger cache, or prepare a smaller part or a coarser level.",
    )


def _progress_text(ready: int, total: int, pace: Sequence[float], left: int) -> str:
    counted = f"{ready:,} of {total:,}"
    if not pace:
        return counted
    return f"{counted}, {duration_text(left * sum(pace) / len(pace))} left"


def duration_text(seconds: float) -> str:
    """A duration as one would say it: "about 3 min"."""
    if seconds < 10:
        return "a few seconds"
    if seconds < 90:
        return f"about {round(seconds / 5) * 5} s"
    if seconds < 5400:
        return f"about {round(seconds / 60)} min"
    return f"about {round(seconds / 3600)} h"
