"""Coarser levels for images that lack them: in memory, or in a tiled cache file when large.

Must not know colors on a screen, nor which thread it runs on.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Plane
from samdesk.domain.tasks import Task
from samdesk.images.readers.base import BLOCK, BlockSource, Window, make_levels
from samdesk.images.readers.tiff import open_tiff
from samdesk.images.source import ImageSource, Kind, Level, Pixels, read_window
from samdesk.images.tiles import BlockCache

COARSEST = 1024
"""Levels are added until the longest side is no longer than this."""

IN_MEMORY_PIXELS = 100_000_000
"""Planes up to this size get their coarser levels in memory, larger ones in a cache file."""

MEMORY_BYTES = 1 << 30
"""What the coarser levels of the planes seen last may take in memory together."""

CACHE_BYTES = 20 << 30
"""What the cache files may take on disk together; the least recently used ones go first."""

_SUFFIX = ".pyramid.tif"
_PARTIAL = ".partial"
_STAGE = "Preparing the overview"


def needs_pyramid(source: ImageSource) -> bool:
    """Whether showing the whole image would read far more pixels than a screen has."""
    return max(source.levels[-1].width, source.levels[-1].height) > 2 * COARSEST


def build_pyramid(
    source: ImageSource, cache_dir: Path, task: Task, cache_bytes: int = CACHE_BYTES
) -> PyramidSource:
    """Add coarser levels, each half the size of the one before, by area means.

    Parameters
    ----------
    source : ImageSource
        The result takes it over: closing that closes this.
    cache_dir : Path
        Where the cache file of a large image goes; made when it is not there. A file made
        earlier for the same image is used again.
    task : Task
        Progress and cancel; a cancelled build leaves no file.
    cache_bytes : int, optional
        Bound for all cache files in `cache_dir`.

    Returns
    -------
    PyramidSource
        Its first levels are those of `source`.

    Raises
    ------
    SamdeskError
        When a block cannot be read, or the cache file cannot be written.
    Cancelled
    """
    coarsest = source.levels[-1]
    sizes = _sizes(coarsest)
    if not sizes:
        return PyramidSource.of(source, ())
    if coarsest.width * coarsest.height <= IN_MEMORY_PIXELS:
        planes = _PlanePyramids(source, sizes)
        for channel in _channels(source):
            planes.of(Plane(), channel, task)
        return PyramidSource.of(source, [_InMemory(planes, k) for k in range(len(sizes))])
    cached = _cached(source, cache_dir, sizes) or _write(source, cache_dir, sizes, task)
    _prune(cache_dir, cache_bytes, keep=cached.path)
    return PyramidSource.of(source, [_InSource(cached, k) for k in range(len(sizes))])


@dataclass(kw_only=True, eq=False, repr=False)
class PyramidSource(BlockSource):
    """A source with added levels; each of `parts` can `read` a window of its level."""

    base: ImageSource

    @classmethod
    def of(cls, base: ImageSource, extra: Any) -> PyramidSource:
        coarsest = base.levels[-1]
        relative = make_levels([(coarsest.width, coarsest.height), *_sizes(coarsest)][: len(extra) + 1])
        added = (
            Level(
                level.width,
                level.height,
                coarsest.downsample_x * 2**k,
                coarsest.downsample_y * 2**k,
                level.block_width,
                level.block_height,
            )
            for k, level in enumerate(relative)
            if k
        )
        return cls(
            path=base.path,
            name=base.name,
            identity=base.identity,
            levels=(*base.levels, *added),
            dtype=base.dtype,
            kind=base.kind,
            channels=base.channels,
            parts=(*(_InSource(base, k) for k in range(len(base.levels))), *extra),
            size_z=base.size_z,
            size_t=base.size_t,
            pixel_size=base.pixel_size,
            magnification=base.magnification,
            base=base,
        )

    @property
    def associated(self) -> Any:
        return self.base.associated

    def close(self) -> None:
        super().close()
        self.base.close()

    def _read(self, part: Any, level: Level, window: Window, plane: Plane, channel: int) -> Pixels:
        pixels: Pixels = part.read(level, window, plane, channel)
        return pixels


@dataclass(frozen=True, slots=True)
class _InSource:
    source: ImageSource
    index: int

    def read(self, level: Level, window: Window, plane: Plane, channel: int) -> Pixels:
        column, row = window.x0 // level.block_width, window.y0 // level.block_height
        return self.source.read_block(self.index, column, row, plane, channel)


@dataclass(frozen=True, slots=True)
class _InMemory:
    planes: _PlanePyramids
    index: int

    def read(self, level: Level, window: Window, plane: Plane, channel: int) -> Pixels:
        pixels = self.planes.of(plane, channel)[self.index]
        return pixels[window.y0 : window.y1, window.x0 : window.x1]


def _sizes(level: Level) -> list[tuple[int, int]]:
    """Sizes (w, h) of the levels to add."""
    sizes = []
    width, height = level.width, level.height
    while max(width, height) > COARSEST:
        width, height = -(-width // 2), -(-height // 2)
        sizes.append((width, height))
    return sizes


def _channels(source: ImageSource) -> range:
    return range(1 if source.kind == "rgb" else len(source.channels))


def halve(pixels: Pixels, kind: Kind) -> Pixels:
    """Half the size, rounded up: means of 2 x 2 pixels; labels, which have no mean, are picked."""
    if kind == "label":
        return np.ascontiguousarray(pixels[::2, ::2])
    height, width = pixels.shape[:2]
    if height % 2 or width % 2:
        pixels = np.pad(pixels, [(0, height % 2), (0, width % 2), *[(0, 0)] * (pixels.ndim - 2)], mode="edge")
    half = (pixels.shape[1] // 2, pixels.shape[0] // 2)
    if pixels.dtype in (np.uint8, np.uint16, np.int16, np.float32, np.float64):
        half_size: Pixels = cv2.resize(pixels, half, interpolation=cv2.INTER_AREA)
        return half_size
    mean: Pixels = pixels.reshape(half[1], 2, half[0], 2, *pixels.shape[2:]).mean(axis=(1, 3))
    return np.rint(mean).astype(pixels.dtype) if pixels.dtype.kind in "iu" else mean.astype(pixels.dtype)


class _Halving:
    """Tiles of half the resolution of a level, made from its blocks in bounded memory."""

    def __init__(self, source: ImageSource, level: int, kind: Kind) -> None:
        self._source = source
        self._level = level
        self._kind = kind
        self._blocks = BlockCache(128 << 20)

    def tile(self, x: int, y: int, plane: Plane, channel: int) -> Pixels:
        """The tile of `BLOCK` px whose corner is (x, y), cropped to the level."""
        grid = self._source.levels[self._level]
        columns = 2 * x, min(2 * (x + BLOCK), grid.width)
        rows = 2 * y, min(2 * (y + BLOCK), grid.height)
        window = read_window(self._source, self._level, columns, rows, plane, channel, self._blocks)
        return halve(window, self._kind)


class _PlanePyramids:
    """The coarser levels of one plane and channel after another, made when first asked for."""

    def __init__(self, source: ImageSource, sizes: list[tuple[int, int]]) -> None:
        self._source = source
        self._sizes = sizes
        self._lock = threading.Lock()
        self._made: dict[tuple[Plane, int], list[Pixels]] = {}

    def of(self, plane: Plane, channel: int, task: Task | None = None) -> list[Pixels]:
        key = (plane, 0 if self._source.kind == "rgb" else channel)
        with self._lock:
            levels = self._made.pop(key, None) or self._make(plane, key[1], task or Task())
            self._made[key] = levels  # at the end: the order is that of use
            while len(self._made) > 1 and self._nbytes() > MEMORY_BYTES:
                self._made.pop(next(iter(self._made)))
            return levels

    def _nbytes(self) -> int:
        return sum(level.nbytes for levels in self._made.values() for level in levels)

    def _make(self, plane: Plane, channel: int, task: Task) -> list[Pixels]:
        source, (width, height) = self._source, self._sizes[0]
        samples = (3,) if source.kind == "rgb" else ()
        first = np.empty((height, width, *samples), source.dtype)
        halving = _Halving(source, len(source.levels) - 1, source.kind)
        for y in range(0, height, BLOCK):
            task.progress(y / height, _STAGE)
            for x in range(0, width, BLOCK):
                task.check()
                tile = halving.tile(x, y, plane, channel)
                first[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
        levels = [first]
        while len(levels) < len(self._sizes):
            levels.append(halve(levels[-1], source.kind))
        for level in levels:
            level.flags.writeable = False
        return levels


# the cache file: a TIFF whose pages, or runs of pages, are the added levels


def _target(source: ImageSource, cache_dir: Path) -> Path:
    return cache_dir / f"{source.identity}{_SUFFIX}"


def _cached(source: ImageSource, cache_dir: Path, sizes: Sequence[tuple[int, int]]) -> ImageSource | None:
    """The cache file made earlier for this image, if it is there and fits."""
    target = _target(source, cache_dir)
    try:
        found = open_tiff(target)
        if found is None or [(level.width, level.height) for level in found.levels] != list(sizes):
            return None
        os.utime(target)  # seen now: see _prune
    except (OSError, SamdeskError):
        return None
    fits = (found.dtype, found.size_z, found.size_t) == (source.dtype, source.size_z, source.size_t)
    return found if fits and len(found.channels) == len(source.channels) else None


def _write(source: ImageSource, cache_dir: Path, sizes: Sequence[tuple[int, int]], task: Task) -> ImageSource:
    """Write the cache file beside its place, then put it there; nothing stays when that fails."""
    target = _target(source, cache_dir)
    partial = cache_dir / f"{source.identity}.{uuid.uuid4().hex}{_PARTIAL}"
    total = sum(width * height for width, height in sizes)
    finer, level, done = source, len(source.levels) - 1, 0
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        for k, size in enumerate(sizes):
            halving = _Halving(finer, level, source.kind)
            _append_level(partial, k, size, source, halving, task, (done / total, size[0] * size[1] / total))
            done += size[0] * size[1]
            if finer is not source:
                finer.close()
            finer, level = _reopened(partial), k
        finer.close()
        _put(partial, target)
    except OSError as error:
        needed = 1.1 * total * source.dtype.itemsize * len(source.channels) * source.size_z * source.size_t
        raise SamdeskError(
            f"The overview of “{source.name}” cannot be written to {cache_dir}: {error.strerror or error}.",
            "The image can still be used, only slower when zoomed out. The overview needs a folder "
            f"that can be written to, with up to {needed / 1e9:.1f} GB of free space.",
        ) from error
    finally:
        if finer is not source:
            finer.close()  # on Windows a file that is open cannot be removed
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    return _reopened(target)


def _append_level(
    file: Path,
    index: int,
    size: tuple[int, int],
    source: ImageSource,
    halving: _Halving,
    task: Task,
    share: tuple[float, float],
) -> None:
    """Append one level, all planes of it; `share` is the part of the whole task: start and extent."""
    import tifffile

    width, height = size
    rgb = source.kind == "rgb"
    planes = [Plane(z, t) for t in range(source.size_t) for z in range(source.size_z)]
    pages = [(plane, channel) for plane in planes for channel in _channels(source)]

    def tiles() -> Iterator[Pixels]:
        for number, (plane, channel) in enumerate(pages):
            for y in range(0, height, BLOCK):
                part = (number + y / height) / len(pages)
                task.progress(share[0] + share[1] * part, _STAGE)
                for x in range(0, width, BLOCK):
                    task.check()
                    yield halving.tile(x, y, plane, channel)

    leading = (source.size_t, source.size_z) if rgb else (source.size_t, source.size_z, len(source.channels))
    with tifffile.TiffWriter(file, bigtiff=True, append=index > 0) as writer:
        writer.write(
            tiles(),
            shape=(*leading, height, width, *((3,) if rgb else ())),
            dtype=source.dtype,
            tile=(BLOCK, BLOCK),
            photometric="rgb" if rgb else "minisblack",
            planarconfig="contig" if rgb else None,
            compression="zstd",
            compressionargs={"level": 1},
            predictor=True,
            subfiletype=int(index > 0),
            metadata={"axes": "TZYXS" if rgb else "TZCYX"},
            maxworkers=1,  # the jobs own the threads
        )


def _reopened(file: Path) -> ImageSource:
    source = open_tiff(file)
    if source is None:
        raise OSError("the file was changed while it was written")
    return source


def _put(partial: Path, target: Path) -> None:
    try:
        partial.replace(target)
    except PermissionError:  # on Windows, when another window has the file open
        if not target.exists():
            raise


def _prune(cache_dir: Path, limit: int, keep: Path) -> None:
    """Remove the files used longest ago until the rest fits, and what a crash left behind."""
    day_ago = time.time() - 86400
    for file in cache_dir.glob(f"*{_PARTIAL}"):
        with suppress(OSError):
            if file.stat().st_mtime < day_ago:
                file.unlink()
    found = []
    for file in cache_dir.glob(f"*{_SUFFIX}"):
        with suppress(OSError):
            found.append((file != keep, file.stat().st_mtime, file.stat().st_size, file))
    used = sum(size for _, _, size, _ in found)
    for removable, _, size, file in sorted(found, key=lambda entry: entry[1]):
        if used <= limit:
            return
        if removable:
            with suppress(OSError):
                file.unlink()
                used -= size
