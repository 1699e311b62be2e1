"""`ImageSource`: an image of any size as blocks on the file's own grid, and regions read from it.

Must not know file formats (see `readers`) or colours on a screen (see `contrast`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from samdesk.domain.geometry import FloatArray, Plane, Region

Kind = Literal["rgb", "multichannel", "label"]
Pixels = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution of the image and its block grid, in pixels of this level."""

    width: int
    height: int
    downsample_x: float
    downsample_y: float
    block_width: int
    block_height: int

    @property
    def downsample(self) -> float:
        return (self.downsample_x + self.downsample_y) / 2

    @property
    def columns(self) -> int:
        return -(-self.width // self.block_width)

    @property
    def rows(self) -> int:
        return -(-self.height // self.block_height)


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel's name and display colour (r, g, b in 0..255)."""

    name: str
    color: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class PixelSize:
    """The size of a full-resolution pixel; `unit` is "µm" unless the file says otherwise."""

    x: float
    y: float
    z: float | None = None
    unit: str = "µm"


class ImageSource(Protocol):
    """An open image. Immutable; `read_block` may be called from any thread.

    Attributes
    ----------
    path : Path
    name : str
        What the user calls it.
    levels : tuple of Level
        Finest first; level 0 is full resolution.
    dtype : numpy dtype of the blocks
    kind : {"rgb", "multichannel", "label"}
        "rgb" blocks are (h, w, 3); the others are (h, w), one channel at a time.
    channels : tuple of Channel
        Of length 3 for "rgb".
    size_z, size_t : int
    pixel_size : PixelSize or None
        None when the file gives none.
    magnification : float or None
    identity : str
        Changes when the file does; a key for caches. Made without reading the pixels.
    associated : mapping of name ("label", "macro", "thumbnail") to (h, w, 3) uint8
    """

    path: Path
    name: str
    levels: tuple[Level, ...]
    dtype: np.dtype[Any]
    kind: Kind
    channels: tuple[Channel, ...]
    size_z: int
    size_t: int
    pixel_size: PixelSize | None
    magnification: float | None
    identity: str

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...

    @property
    def associated(self) -> Mapping[str, Pixels]: ...

    def read_block(
        self, level: int, column: int, row: int, plane: Plane = Plane(), channel: int = 0
    ) -> Pixels:
        """Read one block; blocks at the right and lower border are cropped to the level.

        Returns
        -------
        ndarray
            (h, w, 3) for "rgb" (`channel` is ignored), (h, w) otherwise; dtype `self.dtype`.

        Raises
        ------
        SamdeskError
            When the block cannot be read or decoded; names the file, level and block.
        """
        ...

    def close(self) -> None: ...


class BlockReader(Protocol):
    """Where `read_region` gets its blocks; `tiles.BlockCache` is one."""

    def get_block(
        self,
        source: ImageSource,
        level: int,
        column: int,
        row: int,
        plane: Plane = Plane(),
        channel: int = 0,
    ) -> Pixels: ...


class _Uncached:
    def get_block(
        self,
        source: ImageSource,
        level: int,
        column: int,
        row: int,
        plane: Plane = Plane(),
        channel: int = 0,
    ) -> Pixels:
        return source.read_block(level, column, row, plane, channel)


_LEVEL_SLACK = 1.01
"""A level this much coarser than asked for is still the right one: its ratio is rarely a round number."""

_WINDOW = 4096
"""Longest side, in level pixels, of what `read_region` holds at once."""


def best_level(source: ImageSource, downsample: float) -> int:
    """The coarsest level that is not coarser than `downsample` image pixels per pixel."""
    fine = [
        index
        for index, level in enumerate(source.levels)
        if max(level.downsample_x, level.downsample_y) <= downsample * _LEVEL_SLACK
    ]
    return max(fine, key=lambda index: source.levels[index].downsample, default=0)


def read_region(
    source: ImageSource,
    region: Region,
    plane: Plane = Plane(),
    channels: Sequence[int] | None = None,
    cache: BlockReader | None = None,
) -> Pixels:
    """Read a box of the image at any downsample; exact on pixel edges.

    Each array pixel is the mean of the part of the image that it covers (its centre's value
    for "label"), computed from the best level; memory stays bounded at any downsample.

    Parameters
    ----------
    source : ImageSource
    region : Region
        May reach beyond the image.
    plane : Plane, optional
    channels : sequence of int, optional
        Which channels to read; all by default. Ignored for "rgb".
    cache : BlockReader, optional
        Keeps blocks between calls.

    Returns
    -------
    ndarray
        (height, width, 3) for "rgb", (n_channels, height, width) otherwise; `source.dtype`;
        0 outside the image.

    Raises
    ------
    SamdeskError
        When a block cannot be read.
    """
    index = best_level(source, region.downsample)
    level = source.levels[index]
    x_span = _Span.of(region.x, region.downsample, region.width, level.downsample_x, source.width)
    y_span = _Span.of(region.y, region.downsample, region.height, level.downsample_y, source.height)

    def fill(out: Pixels, channel: int) -> None:
        for y_cells, y_part in y_span.chunks():
            for x_cells, x_part in x_span.chunks():
                columns, rows = x_part.window(level.width), y_part.window(level.height)
                window = read_window(source, index, columns, rows, plane, channel, cache)
                x_axis, y_axis = x_part.shifted(columns[0]), y_part.shifted(rows[0])
                resample = _pick if source.kind == "label" else _average
                out[y_cells, x_cells] = resample(window, x_axis, y_axis)

    size = (region.height, region.width)
    if source.kind == "rgb":
        out = np.zeros((*size, 3), source.dtype)
        fill(out, 0)
        return out
    wanted = range(len(source.channels)) if channels is None else channels
    out = np.zeros((len(wanted), *size), source.dtype)
    for position, channel in enumerate(wanted):
        fill(out[position], channel)
    return out


def read_window(
    source: ImageSource,
    index: int,
    columns: tuple[int, int],
    rows: tuple[int, int],
    plane: Plane = Plane(),
    channel: int = 0,
    cache: BlockReader | None = None,
) -> Pixels:
    """Read the pixels of one level in the half-open window `columns` x `rows`, put together from blocks.

    Returns
    -------
    ndarray
        (h, w, 3) for "rgb", (h, w) otherwise; may be part of a shared block: not to be written to.

    Raises
    ------
    SamdeskError
        When a block cannot be read.
    """
    reader = _Uncached() if cache is None else cache
    level = source.levels[index]
    (x0, x1), (y0, y1) = columns, rows
    out: Pixels | None = None
    for row in range(y0 // level.block_height, (y1 - 1) // level.block_height + 1):
        for column in range(x0 // level.block_width, (x1 - 1) // level.block_width + 1):
            block = reader.get_block(source, index, column, row, plane, channel)
            left, top = column * level.block_width, row * level.block_height
            a, b = max(x0, left), min(x1, left + level.block_width)
            c, d = max(y0, top), min(y1, top + level.block_height)
            piece = block[c - top : d - top, a - left : b - left]
            if (a, b, c, d) == (x0, x1, y0, y1):
                return piece
            if out is None:
                out = np.empty((y1 - y0, x1 - x0, *block.shape[2:]), block.dtype)
            out[c - y0 : d - y0, a - x0 : b - x0] = piece
    assert out is not None
    return out


@dataclass(frozen=True, slots=True)
class _Span:
    """The array cells of one axis that lie inside the image, and what each covers in level pixels."""

    first: int
    low: FloatArray
    high: FloatArray

    @classmethod
    def of(cls, start: float, step: float, count: int, downsample: float, full: int) -> _Span:
        edges = np.clip(start + step * np.arange(count + 1), 0, full) / downsample
        whole = np.rint(edges)
        edges = np.where(np.abs(edges - whole) < 1e-6, whole, edges)
        inside = np.flatnonzero(edges[1:] > edges[:-1])
        first = int(inside[0]) if len(inside) else 0
        return cls(first, edges[inside], edges[inside + 1])

    def chunks(self) -> Iterator[tuple[slice, _Span]]:
        """Split so that no part covers much more than `_WINDOW` level pixels."""
        if not len(self.low):
            return
        widest = float((self.high - self.low).max())
        step = max(1, int(_WINDOW / widest))
        for k in range(0, len(self.low), step):
            part = _Span(self.first + k, self.low[k : k + step], self.high[k : k + step])
            yield slice(part.first, part.first + len(part.low)), part

    def window(self, size: int) -> tuple[int, int]:
        """The level pixels it needs, of a level that has `size` of them."""
        start = min(math.floor(self.low[0]), size - 1)
        return start, min(max(math.ceil(self.high[-1]), start + 1), size)

    def shifted(self, origin: int) -> _Span:
        return _Span(self.first, self.low - origin, self.high - origin)

    @property
    def factor(self) -> int:
        """Pixels per cell if all cells cover the same whole number of whole pixels, else 0."""
        covered = self.high - self.low
        whole = (self.low == np.rint(self.low)).all() and (covered == np.rint(covered[0])).all()
        return int(covered[0]) if whole else 0


def _average(window: Pixels, x_span: _Span, y_span: _Span) -> Pixels:
    """The mean over each cell; both spans start at the window's corner."""
    size = (len(x_span.low), len(y_span.low))
    factors = (x_span.factor, y_span.factor)
    fits = (size[0] * factors[0], size[1] * factors[1]) == window.shape[1::-1]
    if fits and factors == (1, 1):
        return window
    if fits and window.dtype in (np.uint8, np.uint16, np.float32):
        mean_of_whole: Pixels = cv2.resize(window, size, interpolation=cv2.INTER_AREA)
        return mean_of_whole
    exact = np.float32 if window.dtype.itemsize <= 2 else np.float64
    mean = _weigh(_weigh(window.astype(exact, copy=False), y_span, 0), x_span, 1)
    return np.rint(mean) if window.dtype.kind in "iu" else mean


def _weigh(array: Pixels, span: _Span, axis: int) -> Pixels:
    """Mean along one axis: the sum of the pixels that each cell meets, weighted by the overlap."""
    first = np.floor(span.low).astype(np.int64)
    reach = int((np.ceil(span.high) - first).max())
    out: Pixels | None = None
    for k in range(reach):
        pixel = first + k
        overlap = np.clip(np.minimum(span.high, pixel + 1) - np.maximum(span.low, pixel), 0, None)
        weight = (overlap / (span.high - span.low)).astype(array.dtype)
        # 0 x NaN is NaN: where a pixel has no weight, take one that has; and a level whose size was
        # rounded down ends before the image does: its last pixel stands in
        pixel = np.minimum(np.where(overlap > 0, pixel, first), array.shape[axis] - 1)
        taken = np.take(array, pixel, axis=axis)
        taken *= weight.reshape([-1 if d == axis else 1 for d in range(array.ndim)])
        out = taken if out is None else np.add(out, taken, out=out)
    assert out is not None
    return out


def _pick(window: Pixels, x_span: _Span, y_span: _Span) -> Pixels:
    """The value at each cell's centre; labels have no mean."""

    def centers(span: _Span, size: int) -> NDArray[np.int64]:
        return np.minimum(np.floor((span.low + span.high) / 2).astype(np.int64), size - 1)

    return window[np.ix_(centers(y_span, window.shape[0]), centers(x_span, window.shape[1]))]
