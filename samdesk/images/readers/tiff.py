"""The TIFF family: plain, tiled, BigTIFF, pyramids, OME-TIFF, ImageJ hyperstacks, Aperio SVS.

tifffile reads the structure once, when the file is opened; after that only its pure decoding
functions are used, on bytes that this module reads itself, because a `TiffFile` must not be
shared between threads. Must not know slides: see `openslide`.
"""

from __future__ import annotations

import logging
import math
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Plane
from samdesk.domain.memory import BytesCache
from samdesk.images.readers.base import (
    BLOCK,
    RGB,
    BlockSource,
    Facts,
    Window,
    block_dtype,
    block_side,
    damaged,
    identity_of,
    make_channels,
    make_levels,
    make_pixel_size,
    micrometers,
    number,
    on_white,
    reason,
    unsupported,
    without_broken_levels,
)
from samdesk.images.readers.ome import read_ome
from samdesk.images.readers.segments import SharedFile, read_rows, read_window
from samdesk.images.source import Kind, Level, Pixels, PixelSize

SEGMENT_CACHE = 256 << 20
"""Bytes of decoded strips and large tiles that a source keeps, because several blocks need each."""

MAX_SEGMENT = 4 << 30
"""The largest strip or tile that is decoded at all."""

MAX_PLAUSIBLE_MICROMETERS = 25.0
"""Resolution tags coarser than this (1016 dpi) are for printing or a program's default."""

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_WHITE_IS_ZERO, _RGB, _PALETTE, _SEPARATED, _YCBCR = 0, 2, 3, 5, 6
_KNOWN_COLORS = {_WHITE_IS_ZERO, 1, _RGB, _PALETTE, 4, _SEPARATED, _YCBCR}
_JPEG = {6, 7, 34892, 33007}
_DECODED_TO_RGB = _JPEG | {33003, 33004, 33005, 34712, 50001, 50002, 52546}


@dataclass(kw_only=True, eq=False, repr=False)
class TiffSource(BlockSource):
    """A TIFF file; each of `parts` is a `_PageStack`."""

    order: PageOrder
    convert: Callable[[Pixels], Pixels] | None = None

    def _read(self, part: _PageStack, level: Level, window: Window, plane: Plane, channel: int) -> Pixels:
        if self.kind == "rgb":
            block = part.read(self.order.page_of(plane, 0), window)
        else:
            page_channel, sample = divmod(channel, part.samples)
            block = part.read(self.order.page_of(plane, page_channel), window, sample)
        if self.convert is not None:
            block = self.convert(block)
        return np.ascontiguousarray(block, self.dtype)


def open_tiff(path: Path) -> TiffSource | None:
    """Open any TIFF: the first image of the file, with its pyramid.

    Returns
    -------
    TiffSource or None
        None when the file is not a TIFF.

    Raises
    ------
    SamdeskError
        When it is one and is damaged, truncated or holds pixels of a kind that is not supported.
    """
    if not path.is_file():
        return None
    with path.open("rb") as file:
        if file.read(4) not in _MAGIC:
            return None
    import tifffile

    with _quiet():
        try:
            with tifffile.TiffFile(path) as tif:
                return without_broken_levels(_source(path, tif))
        except SamdeskError:
            raise
        except Exception as error:  # a damaged file makes tifffile raise anything
            raise damaged(path, f"it is damaged ({reason(error)})") from error


@dataclass(frozen=True, slots=True)
class PageOrder:
    """How many planes there are, and where each is among the pages of a series."""

    size_z: int
    size_t: int
    size_c: int
    step_z: int
    step_t: int
    step_c: int

    def page_of(self, plane: Plane, channel: int) -> int:
        return plane.z * self.step_z + plane.t * self.step_t + channel * self.step_c

    @classmethod
    def of(cls, series: Any) -> PageOrder:
        """From the axes that tifffile found; axes of unknown meaning are taken for z, then for t."""
        axes, shape = series.get_axes(False), series.get_shape(False)
        inner = math.prod(series.keyframe.shape)
        count = next(k for k in range(len(shape) + 1) if math.prod(shape[k:]) == inner)
        sizes = {"Z": 1, "T": 1, "C": 1}
        steps = {"Z": 0, "T": 0, "C": 0}
        step = 1
        for axis, size in reversed(list(zip(axes[:count], shape[:count], strict=True))):
            role = axis
            if role not in sizes:
                free = [name for name in "ZT" if name not in axes and sizes[name] == 1]
                role = free[0] if free and axis not in "PRMV" else ""  # positions: the first is shown
            if role and size > 1:
                sizes[role], steps[role] = size, step
            step *= size
        return cls(sizes["Z"], sizes["T"], sizes["C"], steps["Z"], steps["T"], steps["C"])


@dataclass(frozen=True, slots=True)
class _Page:
    """Where the segments of one page are; a missing segment has no bytes."""

    file: SharedFile
    offsets: Sequence[int]
    counts: Sequence[int]
    tables: bytes | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _PageStack:
    """The pages of one level, all of one layout.

    Attributes
    ----------
    pages : sequence of _Page or None
        None where the file lacks the plane.
    keyframe : tifffile.TiffPage
        The layout, and the function that decodes a segment.
    segment_width, segment_height : int
    samples : int
        Channels that a page holds, one after the other in a pixel, or plane by plane if `planar`.
    block : (int, int)
        Width and height of the blocks to offer.
    raw : dtype or None
        Of pages that are plain rows of pixels.
    shared : bool
        Whether several blocks are cut from each segment.
    fill : number
        What missing planes and segments are read as.
    """

    pages: Sequence[_Page | None]
    keyframe: Any
    segment_width: int
    segment_height: int
    samples: int
    planar: bool
    block: tuple[int, int]
    raw: np.dtype[Any] | None
    shared: bool
    fill: float
    cache: BytesCache[Pixels]

    @property
    def width(self) -> int:
        return int(self.keyframe.imagewidth)

    @property
    def height(self) -> int:
        return int(self.keyframe.imagelength)

    def read(self, index: int, window: Window, sample: int | None = None) -> Pixels:
        """(h, w) of one sample, or all of them as (h, w) or (h, w, samples)."""
        page = self.pages[index]
        if page is None:
            shape = (window.height, window.width, 1 if sample is not None else self.samples)
            pixels = np.full(shape, self.fill, self.keyframe.dtype)
        elif not self.planar:
            pixels = self._read_plane(page, index, window, 0)
            if sample is not None:
                pixels = pixels[..., sample : sample + 1]
        else:
            wanted = range(self.samples) if sample is None else (sample,)
            pixels = np.concatenate([self._read_plane(page, index, window, k) for k in wanted], axis=2)
        return pixels[..., 0] if pixels.shape[2] == 1 else pixels

    def _read_plane(self, page: _Page, index: int, window: Window, plane: int) -> Pixels:
        """(h, w, samples of one plane)."""
        samples = 1 if self.planar else self.samples
        if self.raw is not None:
            offset = page.offsets[0] + plane * self.width * self.height * self.raw.itemsize
            return read_rows(page.file, offset, self.width, window, self.raw, samples)
        columns = -(-self.width // self.segment_width)
        rows = -(-self.height // self.segment_height)

        def fetch(column: int, row: int) -> Pixels:
            number = (plane * rows + row) * columns + column
            key = (self.width, index, number)
            segment = self.cache.get(key) if self.shared else None
            if segment is None:
                segment = self._decode(page, number)
                if self.shared:
                    self.cache.put(key, segment)
            return segment

        return read_window(window, self.segment_width, self.segment_height, fetch)

    def _decode(self, page: _Page, number: int) -> Pixels:
        size = page.counts[number]
        data = page.file.read(page.offsets[number], size) if size and page.offsets[number] else None
        options: dict[str, Any] = {}
        if self.keyframe.compression in _JPEG:
            options = {"jpegtables": page.tables, "jpegheader": self.keyframe.jpegheader}
        segment, _, shape = self.keyframe.decode(data, number, **options)
        if segment is None:
            return np.full(shape[1:], self.fill, self.keyframe.dtype)
        pixels: Pixels = segment[0]
        return pixels


def _source(path: Path, tif: Any) -> TiffSource:
    if not tif.series:
        raise damaged(path, "it holds no image")
    main = tif.series[0]
    if tif.is_imagej and main.kind != "imagej":
        raise damaged(path, "the file is truncated: it lacks planes that its ImageJ header lists")
    page = main.keyframe
    order = PageOrder.of(main)
    _check_supported(path, page)
    kind = _kind(page, order)
    files = _Files()
    cache = BytesCache[Pixels](SEGMENT_CACHE)
    levels = [_stack(series, kind, files, cache) for series in _pyramid(tif)]
    missing = [_missing_bytes(level) for level in levels]
    if missing[0]:
        raise damaged(path, f"the file is truncated: at least {missing[0]:,} bytes are missing")
    levels = [level for level, lacks in zip(levels, missing, strict=True) if not lacks]
    convert, dtype = _conversion(page, kind)
    facts = _facts(tif, page)
    count = order.size_c * levels[0].samples
    sizes = [(level.width, level.height) for level in levels]
    return TiffSource(
        path=path,
        name=path.name,
        identity=identity_of(path),
        levels=make_levels(sizes, [level.block for level in levels]),
        dtype=dtype,
        kind=kind,
        channels=RGB if kind == "rgb" else make_channels(count, facts.names[:count], facts.colors[:count]),
        parts=tuple(levels),
        size_z=order.size_z,
        size_t=order.size_t,
        pixel_size=facts.pixel_size,
        magnification=facts.magnification,
        order=order,
        convert=convert,
    )


# structure


def _pyramid(tif: Any) -> list[Any]:
    """The series of the first image, finest first: SubIFDs, or pages of decreasing size."""
    main = tif.series[0]
    found = list(main.levels)
    if main.kind not in ("ome", "imagej"):  # there, another series is another image
        found += [level for series in tif.series[1:] for level in series.levels]
    levels: list[Any] = [main]
    for series in sorted(found[1:], key=lambda s: -int(s.keyframe.imagewidth)):
        page, previous = series.keyframe, levels[-1].keyframe
        smaller = page.imagewidth < previous.imagewidth and page.imagelength < previous.imagelength
        if smaller and len(series) == len(main) and _is_reduction(main.keyframe, page):
            levels.append(series)
    return levels


def _is_reduction(full: Any, page: Any) -> bool:
    """Whether a page shows the same picture as another, smaller."""
    same = (full.dtype, full.samplesperpixel) == (page.dtype, page.samplesperpixel)
    made_for_it = page.is_tiled or page.is_reduced or page.is_subifd
    (low_x, high_x), (low_y, high_y) = (
        (whole / (part + 1), whole / max(part - 1, 0.5))  # sizes are rounded
        for whole, part in ((full.imagewidth, page.imagewidth), (full.imagelength, page.imagelength))
    )
    return bool(same and made_for_it and low_x <= high_y and low_y <= high_x)


class _Files:
    """The files of a series, each opened once."""

    def __init__(self) -> None:
        self._by_path: dict[str, SharedFile] = {}

    def of(self, page: Any) -> SharedFile:
        path = page.parent.filehandle.path
        if path not in self._by_path:
            self._by_path[path] = SharedFile(Path(path))
        return self._by_path[path]


def _stack(series: Any, kind: Kind, files: _Files, cache: BytesCache[Pixels]) -> _PageStack:
    page = series.keyframe
    samples = int(page.samplesperpixel)
    planar = samples > 1 and page.planarconfig == 2
    tiled = page.is_tiled
    width = int(page.tilewidth if tiled else page.imagewidth)
    height = int(page.tilelength if tiled else min(page.rowsperstrip, page.imagelength))
    block = (block_side(width), block_side(height)) if tiled else (BLOCK, BLOCK)
    pages = _pages(series, files)
    raw = page.is_final and not tiled and all(p is None or _in_one_piece(p) for p in pages)
    return _PageStack(
        pages=pages,
        keyframe=page,
        segment_width=width,
        segment_height=height,
        samples=samples,
        planar=planar,
        block=block,
        raw=np.dtype(page.dtype).newbyteorder(page.parent.byteorder) if raw else None,
        shared=width > block[0] or height > block[1] or (samples > 1 and not planar and kind != "rgb"),
        fill=page.nodata,
        cache=cache,
    )


def _pages(series: Any, files: _Files) -> list[_Page | None]:
    first = series[0]
    start = series.dataoffset if series.keyframe.is_final else None
    size = series.keyframe.nbytes
    count = math.prod(series.get_shape(False)) // max(1, math.prod(series.keyframe.shape))
    if start is not None and first is not None and count > 1:  # pages without directories of their own
        file = files.of(first)
        return [_Page(file, (start + k * size,), (size,)) for k in range(count)]
    return [None if page is None else _page(page, files) for page in series]


def _page(page: Any, files: _Files) -> _Page:
    tables = page.jpegtables if page.keyframe.compression in _JPEG else None
    return _Page(files.of(page), page.dataoffsets, page.databytecounts, tables)


def _in_one_piece(page: _Page) -> bool:
    pairs = zip(page.offsets[:-1], page.counts[:-1], page.offsets[1:], strict=False)
    return all(offset + count == following for offset, count, following in pairs)


def _missing_bytes(stack: _PageStack) -> int:
    """How far the data reaches beyond the end of its file."""
    missing = 0
    for page in stack.pages:
        if page is None:
            continue
        if stack.raw is not None:
            end = page.offsets[0] + int(stack.keyframe.nbytes)
        else:
            end = max(map(sum, zip(page.offsets, page.counts, strict=False)), default=0)
        missing = max(missing, end - page.file.size)
    return missing


# pixels


def _check_supported(path: Path, page: Any) -> None:
    if page.dtype is None or np.dtype(page.dtype).kind not in "buif":
        raise unsupported(path, f"pixels of {page.bitspersample} bits in this format are not supported")
    if page.imagedepth > 1:
        raise unsupported(path, "volumes within one TIFF page are not supported")
    photometric = int(page.photometric)
    if photometric not in _KNOWN_COLORS:
        name = getattr(page.photometric, "name", photometric)
        raise unsupported(path, f"the color space {name} is not supported")
    if photometric == _YCBCR and int(page.compression) not in _DECODED_TO_RGB:
        raise unsupported(path, "YCbCr colors without JPEG compression are not supported")
    length = page.tilewidth * page.tilelength if page.is_tiled else page.imagewidth * page.rowsperstrip
    size = min(length, page.imagewidth * page.imagelength) * page.samplesperpixel * page.dtype.itemsize
    if not page.is_final and size > MAX_SEGMENT:
        raise unsupported(path, f"it is compressed in pieces of {size / 1e9:,.1f} GB")


def _kind(page: Any, order: PageOrder) -> Kind:
    photometric, samples = int(page.photometric), int(page.samplesperpixel)
    colors = photometric in (_RGB, _YCBCR) and samples >= 3
    palette = photometric == _PALETTE and samples == 1 and order.size_c == 1 and _colormap(page) is not None
    return "rgb" if colors or palette or (photometric == _SEPARATED and samples == 4) else "multichannel"


def _colormap(page: Any) -> Pixels | None:
    """(n, 3) uint8, or None."""
    table = page.colormap
    return None if table is None else (np.asarray(table) >> 8).astype(np.uint8).T


def _conversion(page: Any, kind: Kind) -> tuple[Callable[[Pixels], Pixels] | None, np.dtype[Any]]:
    """What makes display values of stored ones, and their dtype."""
    stored: np.dtype[Any] = np.dtype(page.dtype)
    dtype = block_dtype(stored)
    photometric = int(page.photometric)
    if kind == "rgb" and photometric == _PALETTE:
        table = _colormap(page)
        assert table is not None
        return lambda block: np.take(table, block, axis=0, mode="clip"), np.dtype(np.uint8)
    if kind == "rgb" and photometric == _SEPARATED:
        return _from_cmyk, dtype
    if kind == "rgb" and page.samplesperpixel > 3:
        return _alpha(page), dtype
    if stored.char == "?":
        white, black = (0, 255) if photometric == _WHITE_IS_ZERO else (255, 0)
        return lambda block: np.where(block, np.uint8(white), np.uint8(black)), dtype
    if photometric == _WHITE_IS_ZERO and stored.kind == "u":
        top = stored.type((1 << int(page.bitspersample)) - 1)
        return lambda block: top - block, dtype
    return None, dtype


def _alpha(page: Any) -> Callable[[Pixels], Pixels]:
    kinds = [int(sample) for sample in page.extrasamples or ()]
    if page.samplesperpixel == 4 and kinds[:1] in ([1], [2]):  # associated: multiplied in already
        return lambda block: on_white(block, premultiplied=kinds[0] == 1)
    return lambda block: block[..., :3]


def _from_cmyk(block: Pixels) -> Pixels:
    top = np.iinfo(block.dtype).max if block.dtype.kind == "u" else 1.0
    light = top - block.astype(np.float32)
    mixed = light[..., :3] * light[..., 3:] / top
    return np.rint(mixed).astype(block.dtype) if block.dtype.kind == "u" else mixed.astype(block.dtype)


# metadata


def _facts(tif: Any, page: Any) -> Facts:
    if tif.is_ome and tif.ome_metadata:
        return read_ome(tif.ome_metadata)
    if tif.is_imagej and tif.imagej_metadata:
        return _imagej_facts(tif.imagej_metadata, page)
    description = page.description or ""
    if description.startswith("Aperio"):
        size = _aperio(description, "MPP")
        return Facts(pixel_size=make_pixel_size(size, size), magnification=_aperio(description, "AppMag"))
    return Facts(pixel_size=_tagged_pixel_size(page))


def _aperio(description: str, key: str) -> float | None:
    found = re.search(rf"\|\s*{key}\s*=\s*([\d.]+)", description)
    return number(found[1]) if found else None


def _imagej_facts(metadata: dict[str, Any], page: Any) -> Facts:
    unit = str(metadata.get("unit", ""))
    steps = [1 / per_unit if per_unit else None for per_unit in _resolution(page)]
    x, y = (micrometers(step, unit) for step in steps)
    z = micrometers(number(metadata.get("spacing")), unit)
    tables = [np.asarray(table) for table in metadata.get("LUTs", ())]
    colors = [(int(t[0, -1]), int(t[1, -1]), int(t[2, -1])) for t in tables if t.ndim == 2 and len(t) == 3]
    return Facts(colors=tuple(colors), pixel_size=make_pixel_size(x, y, z))


def _tagged_pixel_size(page: Any) -> PixelSize | None:
    unit = {2: "inch", 3: "cm"}.get(int(page.tags.valueof(296, 2)))
    steps = [1 / per_unit if per_unit else None for per_unit in _resolution(page)]
    x, y = (micrometers(step, unit) for step in steps)
    plausible = x and y and max(x, y) <= MAX_PLAUSIBLE_MICROMETERS
    return make_pixel_size(x, y) if plausible else None


def _resolution(page: Any) -> tuple[float | None, float | None]:
    """Pixels per unit along x and y."""

    def rational(code: int) -> float | None:
        value = page.tags.valueof(code)
        return value[0] / value[1] if value and value[1] else None

    return rational(282), rational(283)


_quieted = threading.local()


class _QuietFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return not getattr(_quieted, "on", False)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep tifffile's log from this thread: what it says there, a `SamdeskError` says to the user."""
    logger = logging.getLogger("tifffile")
    if not any(isinstance(known, _QuietFilter) for known in logger.filters):
        logger.addFilter(_QuietFilter())
    _quieted.on = True
    try:
        yield
    finally:
        _quieted.on = False
