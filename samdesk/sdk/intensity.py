"""What the stored pixels inside annotations say: mean, spread, least, largest, median per channel.

Never what is displayed. Must not know windows or documents.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samdesk.domain.columns import Table
from samdesk.domain.columns.ragged import Rows
from samdesk.domain.geometry import Bounds, FloatArray, Plane, Region, ShapeKind
from samdesk.domain.outline import shape_to_mask
from samdesk.domain.tasks import Task
from samdesk.images.source import ImageSource, Pixels, read_region

from .image import Image

STATISTICS = ("Mean", "Std", "Min", "Max", "Median")

MOST_PIXELS = 1 << 28
"""An annotation whose box has more pixels than this is read at a coarser resolution."""

AT_ONCE = 4_000_000
"""An annotation whose box has more pixels than this is read tile by tile."""

TILE = 1024
"""Side, in pixels of the resolution that is read, of these tiles, and of the squares whose annotations
are read together."""

MOST_LEVELS = 1 << 18
"""Where pixels can have no more values than this, how often each occurs is counted: the median of all
tiles comes of that."""

BRIGHTNESS = (0.299, 0.587, 0.114)
"""Of red, green and blue in the brightness (Rec. ITU-R BT.601)."""


@dataclass(frozen=True, slots=True, eq=False)
class Intensities:
    """What was measured in n rows.

    Attributes
    ----------
    channels : tuple of str
        Of length c; with "Brightness" at the end where it was asked for.
    values : ndarray, (n, c, 5) float64
        In the order of `STATISTICS`, in stored values; NaN where an annotation covers no pixel.
    pixels : ndarray, (n,) int64
        How many pixels were inside.
    downsample : ndarray, (n,) float64
        Image pixels per pixel that was read; where it was read twice (see `measure_intensity`), of
        the median alone.
    """

    channels: tuple[str, ...]
    values: FloatArray
    pixels: NDArray[np.int64]
    downsample: FloatArray

    @property
    def coarse(self) -> int:
        """How many rows were read at less than full resolution."""
        return int(np.count_nonzero((self.downsample > 1) & (self.pixels > 0)))

    def titles(self) -> list[str]:
        """The names of the measurements: "Mean: DAPI" and so on, channel by channel."""
        return [f"{statistic}: {channel}" for channel in self.channels for statistic in STATISTICS]

    def measurements(self, row: int) -> dict[str, float]:
        """What to keep with an annotation; empty where it covers no pixel.

        "Intensity downsample" is among it where the row was not read at full resolution.
        """
        if not self.pixels[row]:
            return {}
        kept = dict(zip(self.titles(), self.values[row].ravel().tolist(), strict=True))
        if self.downsample[row] > 1:
            kept[DOWNSAMPLE] = float(self.downsample[row])
        return kept


DOWNSAMPLE = "Intensity downsample"


def measure_intensity(
    image: Image,
    table: Table,
    *,
    downsample: float = 1.0,
    most_pixels: int = MOST_PIXELS,
    brightness: bool = False,
    task: Task | None = None,
) -> Intensities:
    """Measure the stored values inside the areas of a table, on each one's plane.

    A pixel is inside when its center is (`shape_to_mask`). Annotations near each other are read
    together, so that each block of the image is read about once.

    Parameters
    ----------
    image : Image
    table : Table
        Lines and points cover no pixel; nor does what lies outside the image or on a plane that it
        lacks.
    downsample : float
        The finest resolution to read, in image pixels per pixel; 1 is full resolution.
    most_pixels : int
        Where the box of an annotation has more pixels, twice the downsample is tried, and so on;
        `Intensities.downsample` says what it came to.
    brightness : bool
        Measure the brightness of color images besides.
    task : Task, optional
        Receives progress, and cancels between two groups of annotations.

    Returns
    -------
    Intensities
        Mean, standard deviation (of all the pixels inside: divided by their number), least, largest
        and median, accumulated in float64. Pixels without a number (NaN) are left out. Where the box
        has more than `AT_ONCE` pixels and there are more than `MOST_LEVELS` values that pixels can have (as
        in images of floats), the median is that of a coarser resolution, and it alone.

    Raises
    ------
    SamdeskError
        When a block cannot be read.
    """
    task = task or Task()
    source = image.source
    channels = [channel.name for channel in source.channels]
    brightness = brightness and source.kind == "rgb"
    if brightness:
        channels.append("Brightness")
    found = Intensities(
        tuple(channels),
        np.full((len(table), len(channels), len(STATISTICS)), np.nan),
        np.zeros(len(table), np.int64),
        _downsamples(table, downsample, most_pixels),
    )
    done = 0
    for rows in _groups(source, table, found.downsample):
        task.progress(done / len(table), f"Measured {done:,} of {len(table):,}")
        if len(rows) == 1 and _box_pixels(table, rows, found.downsample[rows])[0] > AT_ONCE:
            _measure_large(image, table, int(rows[0]), found, brightness, task, done)
        else:
            _measure_group(image, table, rows, found, brightness, task)
        done += len(rows)
    return found


def _downsamples(table: Table, finest: float, most_pixels: int) -> FloatArray:
    """The resolution for each row: `finest`, doubled as often as its box asks for."""
    pixels = _box_pixels(table, np.arange(len(table)), finest)
    with np.errstate(divide="ignore"):
        times = np.ceil(np.log2(pixels / most_pixels) / 2)
    found: FloatArray = finest * 2.0 ** np.maximum(times, 0)
    return found


def _box_pixels(table: Table, rows: Rows, downsample: float | FloatArray) -> FloatArray:
    """How many pixels the boxes of these rows have."""
    size = table.bounds[rows, 2:].astype(np.float64) - table.bounds[rows, :2]
    pixels: FloatArray = size[:, 0] / downsample * (size[:, 1] / downsample)
    return pixels


def _groups(source: ImageSource, table: Table, downsamples: FloatArray) -> Iterator[Rows]:
    """Rows to read together: of one plane and resolution, their middles in one square; neighbors in turn."""
    x0, y0, x1, y1 = table.bounds.astype(np.float64).T
    here = (
        (table.kind == ShapeKind.AREA)
        & ((x1 > 0) & (y1 > 0) & (x0 < source.width) & (y0 < source.height))
        & ((table.z >= 0) & (table.z < source.size_z) & (table.t >= 0) & (table.t < source.size_t))
    )
    rows = np.flatnonzero(here)
    if not len(rows):
        return
    side = TILE * downsamples
    column = np.floor((x0 + x1) / 2 / side)
    # back and forth, so that a square follows one beside it
    line = np.floor((y0 + y1) / 2 / side)
    snake = np.where(line % 2 == 0, column, -column)
    large = np.maximum(x1 - x0, y1 - y0) > side
    alone = np.where(large, np.arange(len(table)), -1)
    keys = (alone, snake, line, downsamples, table.z, table.t)
    order = rows[np.lexsort([key[rows] for key in keys])]
    changes = np.zeros(len(order) - 1, np.bool_)
    for key in keys:
        changes |= key[order][1:] != key[order][:-1]
    yield from np.split(order, np.flatnonzero(changes) + 1)


def _measure_group(
    image: Image, table: Table, rows: Rows, found: Intensities, brightness: bool, task: Task
) -> None:
    source, downsample = image.source, float(found.downsample[rows[0]])
    plane = Plane(int(table.z[rows[0]]), int(table.t[rows[0]]))
    boxes = [_region(source, Bounds(*map(float, table.bounds[row])), downsample) for row in rows]
    whole = _region(source, _around([box.bounds for box in boxes]), downsample)
    place, owner = [], []
    for number, (row, box) in enumerate(zip(rows.tolist(), boxes, strict=True)):
        if number % 256 == 0:
            task.check()
        down, across = np.nonzero(shape_to_mask(table.shape(row), box))
        left, top = round((box.x - whole.x) / downsample), round((box.y - whole.y) / downsample)
        place.append((down + top) * whole.width + across + left)
        owner.append(np.full(len(down), number))
    inside, whose = np.concatenate(place), np.concatenate(owner)
    found.pixels[rows] = np.bincount(whose, minlength=len(rows))
    if not len(inside):
        return
    for channel, pixels in _channels(image, whole, plane, inside, brightness):
        task.check()
        found.values[rows, channel] = _statistics(pixels, whose, len(rows))


def _measure_large(
    image: Image, table: Table, row: int, found: Intensities, brightness: bool, task: Task, done: int
) -> None:
    """Sum up a row tile by tile; where values cannot be counted, with the median of a coarser one."""
    source, downsample = image.source, float(found.downsample[row])
    plane, shape = Plane(int(table.z[row]), int(table.t[row])), table.shape(row)
    levels = [_levels(source.dtype, 1)] * len(source.channels)
    if brightness:
        levels.append(_levels(source.dtype, 1000))
    if None in levels:
        coarse = _downsamples(table.take([row]), downsample, AT_ONCE)
        rough = replace(found, downsample=np.broadcast_to(coarse, found.downsample.shape))
        _measure_group(image, table, np.array([row]), rough, brightness, task)
        found.downsample[row] = coarse[0]
    medians = found.values[row, :, STATISTICS.index("Median")].tolist()
    sums = [_Counted(one) if one else _Summed(median) for one, median in zip(levels, medians, strict=True)]
    covered = 0
    tiles = [*_tiles(_region(source, shape.bounds, downsample))]
    for number, tile in enumerate(tiles):
        part = (done + number / len(tiles)) / len(table)
        task.progress(part, f"Measured {done:,} of {len(table):,}")
        inside = np.flatnonzero(shape_to_mask(shape, tile))
        covered += len(inside)
        if len(inside):
            for channel, pixels in _channels(image, tile, plane, inside, brightness):
                sums[channel].add(pixels)
    found.pixels[row] = covered
    found.values[row] = [one.statistics() for one in sums]


def _tiles(region: Region) -> Iterator[Region]:
    """The region in squares of a grid from the image's corner, so that blocks are not read twice."""
    side = region.downsample
    x0, y0 = round(region.x / side), round(region.y / side)
    x1, y1 = x0 + region.width, y0 + region.height
    for top in range(y0 // TILE * TILE, y1, TILE):
        for left in range(x0 // TILE * TILE, x1, TILE):
            x, y = max(left, x0), max(top, y0)
            width, height = min(left + TILE, x1) - x, min(top + TILE, y1) - y
            yield Region(x * side, y * side, width, height, side)


@dataclass(frozen=True, slots=True)
class _Levels:
    """The values that pixels can have: multiples of 1 / `scale`, so many of them from `first` on."""

    first: int
    scale: int
    number: int


def _levels(dtype: np.dtype[Any], scale: int) -> _Levels | None:
    """Of pixels of integers, or of what is made of them; None when there are more than `MOST_LEVELS`."""
    if dtype.kind not in "iu":
        return None
    limits = np.iinfo(dtype)
    number = (int(limits.max) - int(limits.min)) * scale + 1
    return _Levels(int(limits.min) * scale, scale, number) if number <= MOST_LEVELS else None


class _Counted:
    """The statistics of all pixels so far, from how often each value occurs."""

    def __init__(self, levels: _Levels) -> None:
        self._levels = levels
        self._counts = np.zeros(levels.number, np.int64)

    def add(self, pixels: Pixels) -> None:
        whole = np.rint(pixels * self._levels.scale) if pixels.dtype.kind == "f" else pixels
        places = whole.astype(np.int64) - self._levels.first
        self._counts += np.bincount(places, minlength=self._levels.number)

    def statistics(self) -> tuple[float, ...]:
        """`STATISTICS`, NaN without pixels."""
        n = int(self._counts.sum())
        if not n:
            return (math.nan,) * len(STATISTICS)
        some = np.flatnonzero(self._counts)
        counts, values = self._counts[some], (some + self._levels.first) / self._levels.scale
        mean = float(counts @ values) / n
        spread = float(counts @ (values - mean) ** 2) / n
        low, high = values[np.searchsorted(np.cumsum(counts), ((n - 1) // 2, n // 2), side="right")]
        return mean, math.sqrt(spread), float(values[0]), float(values[-1]), float(low + high) / 2


class _Summed:
    """The statistics of all pixels so far, but for the median, which is given."""

    def __init__(self, median: float) -> None:
        self._median = median
        self._n = 0
        self._mean = self._spread = 0.0
        self._low, self._high = math.inf, -math.inf

    def add(self, pixels: Pixels) -> None:
        exact = pixels.astype(np.float64)
        exact = exact[np.isfinite(exact)]
        n = len(exact)
        if not n:
            return
        mean = float(exact.mean())
        # Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample
        # variances", 1979: no digits are lost where the spread is small beside the mean
        step, whole = mean - self._mean, self._n + n
        self._spread += float(((exact - mean) ** 2).sum()) + step**2 * self._n * n / whole
        self._mean += step * n / whole
        self._n = whole
        self._low, self._high = min(self._low, float(exact.min())), max(self._high, float(exact.max()))

    def statistics(self) -> tuple[float, ...]:
        """`STATISTICS`, NaN without pixels."""
        if not self._n:
            return (math.nan,) * len(STATISTICS)
        return self._mean, math.sqrt(self._spread / self._n), self._low, self._high, self._median


def _channels(
    image: Image, region: Region, plane: Plane, inside: Rows, brightness: bool
) -> Iterator[tuple[int, Pixels]]:
    """The values at these places of a region, channel by channel: only one is held at a time."""
    source = image.source
    if source.kind == "rgb":
        values = read_region(source, region, plane, cache=image.blocks).reshape(-1, 3)
        values = values.take(inside, axis=0)
        yield from ((channel, values[:, channel]) for channel in range(3))
        if brightness:
            yield 3, values.astype(np.float64) @ np.array(BRIGHTNESS)
        return
    for channel in range(len(source.channels)):
        pixels = read_region(source, region, plane, [channel], cache=image.blocks)
        yield channel, pixels.reshape(-1)[inside]


def _region(source: ImageSource, bounds: Bounds, downsample: float) -> Region:
    """The pixels, on a grid from the image's corner, that a box meets inside the image."""
    inside = bounds.intersection(Bounds(0, 0, source.width, source.height))
    left, top = math.floor(inside.x0 / downsample), math.floor(inside.y0 / downsample)
    width = max(1, math.ceil(inside.x1 / downsample) - left)
    height = max(1, math.ceil(inside.y1 / downsample) - top)
    return Region(left * downsample, top * downsample, width, height, downsample)


def _around(boxes: list[Bounds]) -> Bounds:
    around = boxes[0]
    for box in boxes[1:]:
        around = around.union(box)
    return around


def _statistics(values: Pixels, owner: NDArray[Any], n: int) -> FloatArray:
    """`STATISTICS` of the values of each owner, (n, 5); the owners in ascending order."""
    if values.dtype.kind == "f":
        numbers = np.isfinite(values)
        if not numbers.all():
            values, owner = values[numbers], owner[numbers]
    count = np.bincount(owner, minlength=n)
    ends = np.cumsum(count)
    exact = values.astype(np.float64)
    out = np.full((n, len(STATISTICS)), np.nan)
    some = count > 0
    with np.errstate(invalid="ignore"):
        mean = np.bincount(owner, exact, n) / count
        # in two passes: no digits are lost where the spread is small beside the mean
        spread = np.bincount(owner, (exact - mean[owner]) ** 2, n) / count
    ordered = _ordered(values, owner, n)[: len(values)]
    first, last, count = (ends - count)[some], ends[some] - 1, count[some]
    low, high = first + (count - 1) // 2, first + count // 2
    out[:, 0], out[:, 1] = mean, np.sqrt(spread)
    out[some, 2], out[some, 3] = ordered[first], ordered[last]
    out[some, 4] = (ordered[low].astype(np.float64) + ordered[high]) / 2
    return out


def _ordered(values: Pixels, owner: NDArray[Any], n: int) -> Pixels:
    """The values of each owner in ascending order, owner by owner."""
    if n == 1:
        return np.sort(values, kind="stable")  # by radix where there are few bits
    if values.dtype.kind == "u" and values.dtype.itemsize <= 2:
        joined: Pixels = np.sort(owner << 16 | values) & 0xFFFF
        return joined
    by_owner: Pixels = values[np.lexsort((values, owner))]
    return by_owner
