"""What all readers share: the source they return, its identity, levels, units and error messages.

Must not know any one format.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Plane
from samdesk.images.source import Channel, Kind, Level, Pixels, PixelSize

CONVERT = "Convert it to OME-TIFF, for example with bfconvert (Bio-Formats) or QuPath, and open that."
DAMAGED = "The file may be damaged or incomplete: copy it again from where it came from. " + CONVERT

Color = tuple[int, int, int]
Source = TypeVar("Source", bound="BlockSource")


@dataclass(kw_only=True, eq=False, repr=False)
class BlockSource:
    """The `ImageSource` that readers return; a family of formats says how one block is read.

    Attributes
    ----------
    parts : tuple
        What the reader needs to read each level, parallel to `levels`.
    """

    path: Path
    name: str
    identity: str
    levels: tuple[Level, ...]
    dtype: np.dtype[Any]
    kind: Kind
    channels: tuple[Channel, ...]
    parts: tuple[Any, ...]
    size_z: int = 1
    size_t: int = 1
    pixel_size: PixelSize | None = None
    magnification: float | None = None

    @property
    def width(self) -> int:
        return self.levels[0].width

    @property
    def height(self) -> int:
        return self.levels[0].height

    @property
    def associated(self) -> Mapping[str, Pixels]:
        return {}

    def read_block(
        self, level: int, column: int, row: int, plane: Plane = Plane(), channel: int = 0
    ) -> Pixels:
        """See `ImageSource.read_block`."""
        parts = self.parts
        if not parts:
            raise SamdeskError(f"“{self.path.name}” was closed.", "Open it again.")
        grid = self.levels[level]
        inside = 0 <= column < grid.columns and 0 <= row < grid.rows
        if not (inside and 0 <= plane.z < self.size_z and 0 <= plane.t < self.size_t):
            raise IndexError(f"no block ({column}, {row}) in level {level} at {plane}")
        if not 0 <= channel < len(self.channels):
            raise IndexError(f"no channel {channel}")
        x, y = column * grid.block_width, row * grid.block_height
        window = Window(x, y, min(x + grid.block_width, grid.width), min(y + grid.block_height, grid.height))
        try:
            return self._read(parts[level], grid, window, plane, channel)
        except SamdeskError:
            raise
        except Exception as error:  # decoders raise anything
            raise SamdeskError(
                f"Block ({column}, {row}) of level {level} of “{self.path.name}” cannot be read: "
                f"{reason(error)}.",
                DAMAGED,
            ) from error

    def recovered(self: Source) -> Source:
        """The source after a read has failed, opened again where the library needs that."""
        return self

    def close(self) -> None:
        """Let go of the file; reads that have begun in other threads still end well."""
        self.parts = ()

    def _read(self, part: Any, level: Level, window: Window, plane: Plane, channel: int) -> Pixels:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Facts:
    """What a file says about its image; names and colors have one entry per channel, or none."""

    names: tuple[str | None, ...] = ()
    colors: tuple[Color | None, ...] = ()
    pixel_size: PixelSize | None = None
    magnification: float | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """A half-open box of pixels of one level."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def width(self) -> int:
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        return self.y1 - self.y0


def without_broken_levels(source: Source) -> Source:
    """Try one block of each level; drop the coarse levels that cannot be read.

    Raises
    ------
    SamdeskError
        When level 0 cannot be read.
    """
    index = 0
    while index < len(source.levels):
        level = source.levels[index]
        try:
            source.read_block(index, level.columns // 2, level.rows // 2)
        except SamdeskError as error:
            if index == 0:
                why = f"its full resolution cannot be read ({reason(error.__cause__ or error)})"
                raise damaged(source.path, why) from error
            keep = [k for k in range(len(source.levels)) if k != index]
            levels, parts = (tuple(values[k] for k in keep) for values in (source.levels, source.parts))
            source = dataclasses.replace(source.recovered(), levels=levels, parts=parts)
        else:
            index += 1
    return source


def reason(error: BaseException) -> str:
    """An exception in words, on one line and without a full stop."""
    text = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return text if len(text) <= 200 else text[:199] + "…"


def damaged(path: Path, why: str) -> SamdeskError:
    return SamdeskError(f"“{path.name}” cannot be opened: {why}.", DAMAGED)


def unsupported(path: Path, why: str) -> SamdeskError:
    return SamdeskError(f"“{path.name}” cannot be opened: {why}.", CONVERT)


def identity_of(path: Path, *more: object) -> str:
    """A key that changes when the file is replaced or written to, or read in another way (`more`)."""
    stat = path.stat()
    text = "\0".join(map(str, (path.resolve(), stat.st_size, stat.st_mtime_ns, *more)))
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


def make_levels(
    sizes: Sequence[tuple[int, int]], blocks: Sequence[tuple[int, int]] | None = None
) -> tuple[Level, ...]:
    """Levels from their sizes (w, h), finest first, and block sizes (w, h); 512 px squares by default.

    The downsample is the ratio of the sizes, or the power of two that the level's size is a
    rounding of: 10 px of 81 were made by halving three times, and the last column is partial.
    """
    blocks = blocks or [(BLOCK, BLOCK)] * len(sizes)
    return tuple(
        Level(*size, *downsample(sizes[0], size), min(size[0], block[0]), min(size[1], block[1]))
        for size, block in zip(sizes, blocks, strict=True)
    )


def downsample(full: tuple[int, int], size: tuple[int, int]) -> tuple[float, float]:
    """The ratio of two sizes (w, h), snapped as `make_levels` says."""

    def rounds_to(big: int, small: int, factor: float) -> bool:
        return small in (max(1, math.floor(big / factor)), math.ceil(big / factor))

    ratios = [big / small for big, small in zip(full, size, strict=True)]
    power = 2.0 ** round(math.log2(max(ratios)))
    pairs = list(zip(full, size, strict=True))
    if all(rounds_to(big, small, power) for big, small in pairs):
        return power, power
    each = []
    for (big, small), ratio in zip(pairs, ratios, strict=True):
        nearest = 2.0 ** round(math.log2(ratio))
        each.append(nearest if rounds_to(big, small, nearest) else ratio)
    return each[0], each[1]


def block_dtype(stored: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype of the blocks made of stored values: native, no bits and no half floats."""
    native: np.dtype[Any] = np.dtype(stored).newbyteorder("=")
    other: dict[str, np.dtype[Any]] = {"?": np.dtype(np.uint8), "e": np.dtype(np.float32)}
    return other.get(native.char, native)


BLOCK = 512
"""Side of the blocks of an image that has no grid of its own, or one that does not suit a screen."""


def block_side(segment: int) -> int:
    """The side of the blocks to offer when the file keeps tiles of that side.

    The file's own where it suits a screen; a whole multiple of a small tile; part of a very large one.
    """
    if segment > 2 * BLOCK:
        return BLOCK
    return segment * max(1, BLOCK // segment) if segment < BLOCK // 2 else segment


PALETTE: tuple[Color, ...] = (
    (255, 0, 0),
    (0, 255, 0),
    (0, 0, 255),
    (0, 255, 255),
    (255, 0, 255),
    (255, 255, 0),
    (255, 128, 0),
    (128, 128, 255),
)
RGB = (
    Channel("Red", (255, 0, 0)),
    Channel("Green", (0, 255, 0)),
    Channel("Blue", (0, 0, 255)),
)
WHITE = (255, 255, 255)


def make_channels(
    count: int, names: Iterable[str | None] = (), colors: Iterable[Color | None] = ()
) -> tuple[Channel, ...]:
    """Channels with what the file says of them, and names and colors for those it says nothing of."""
    given_names = [*names, *[None] * count]
    given_colors = [*colors, *[None] * count]
    if count == 1:
        return (Channel(given_names[0] or "Gray", given_colors[0] or WHITE),)
    return tuple(
        Channel(given_names[k] or f"Channel {k + 1}", given_colors[k] or PALETTE[k % len(PALETTE)])
        for k in range(count)
    )


_MICROMETERS = {
    "µm": 1.0,
    "um": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "micrometre": 1.0,
    "nm": 1e-3,
    "nanometer": 1e-3,
    "nanometre": 1e-3,
    "å": 1e-4,
    "angstrom": 1e-4,
    "pm": 1e-6,
    "picometer": 1e-6,
    "picometre": 1e-6,
    "mm": 1e3,
    "millimeter": 1e3,
    "millimetre": 1e3,
    "cm": 1e4,
    "centimeter": 1e4,
    "centimetre": 1e4,
    "dm": 1e5,
    "decimeter": 1e5,
    "decimetre": 1e5,
    "m": 1e6,
    "meter": 1e6,
    "metre": 1e6,
    "km": 1e9,
    "kilometer": 1e9,
    "kilometre": 1e9,
    "in": 25400.0,
    "inch": 25400.0,
    '"': 25400.0,
    "ft": 304800.0,
    "foot": 304800.0,
    "mil": 25.4,
}


def micrometers(value: float | None, unit: str | None) -> float | None:
    """A length in µm, or None when it is not a positive length or the unit is not one of length."""
    name = (unit or "").replace("\\u00B5", "µ").replace("\u03bc", "µ").strip()
    factor = _MICROMETERS.get(name) or _MICROMETERS.get(name.lower())
    if value is None or factor is None or not math.isfinite(value) or value <= 0:
        return None
    return value * factor


def number(text: object) -> float | None:
    """A finite number as files write it, decimal commas too; None when it is none."""
    try:
        value = float(str(text).replace(",", "."))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def make_pixel_size(x: float | None, y: float | None, z: float | None = None) -> PixelSize | None:
    """The pixel size from lengths in µm; None unless both x and y are known."""
    return PixelSize(x, y, z) if x and y else None


def on_white(rgba: Pixels, premultiplied: bool = False) -> Pixels:
    """Lay (h, w, 4) on white, where transparent: (h, w, 3); integers of any depth, or floats in 0..1."""
    integer = rgba.dtype.kind in "ui"
    white = np.iinfo(rgba.dtype).max if integer else 1.0
    color, alpha = rgba[..., :3], rgba[..., 3:]
    if (alpha == white).all():
        return np.ascontiguousarray(color)
    weight = alpha.astype(np.float32) / np.float32(white)
    mixed = color * (1 if premultiplied else weight) + white * (1 - weight)
    laid: Pixels = np.clip(np.rint(mixed), 0, white) if integer else mixed
    return laid.astype(rgba.dtype)
