"""From stored values to colors: display ranges, histograms, and the compositor that canvas and models share.

Every channel has one table from stored value to packed BGRA; channels are added. Floats and
32-bit integers are first brought to 16 bits over their display range. Must not know files or widgets.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from samdesk.domain.geometry import Plane, Region
from samdesk.domain.tasks import Task
from samdesk.images.source import BlockReader, ImageSource, Kind, Pixels, read_region

LOW_PERCENT, HIGH_PERCENT = 0.1, 99.9
"""The part of the pixels that auto contrast shows as black, and as full."""

BINS = 256
"""Bins of a histogram."""

_SAMPLES = 1_000_000
_WHOLE_LEVEL = 4_000_000


@dataclass(frozen=True, slots=True)
class ChannelDisplay:
    """How one channel is shown: full color at `high`, black at `low`, between them the `gamma` power.

    For "rgb" images the color is that of the component, whatever is set here.
    """

    visible: bool
    low: float
    high: float
    color: tuple[int, int, int]
    gamma: float = 1.0


@dataclass(frozen=True, slots=True)
class Display:
    """How an image is shown, one entry per channel."""

    channels: tuple[ChannelDisplay, ...]

    @property
    def key(self) -> str:
        """A hash that is the same in every run, for caches of what was drawn."""
        return hashlib.blake2b(repr(self.channels).encode(), digest_size=8).hexdigest()

    @property
    def shown(self) -> tuple[int, ...]:
        """The channels that are visible."""
        return tuple(k for k, channel in enumerate(self.channels) if channel.visible)

    def only(self, index: int) -> Display:
        """The same with this channel alone; asked again while it is alone, with all of them."""
        alone = self.shown == (index,)
        return Display(
            tuple(replace(one, visible=alone or k == index) for k, one in enumerate(self.channels))
        )

    def told(self, names: Sequence[str]) -> str:
        """The visible channels with their ranges, in words; `names` of all channels."""
        parts = []
        for k in self.shown:
            one = self.channels[k]
            gamma = f" gamma {one.gamma:g}" if one.gamma != 1 else ""
            parts.append(f"{names[k]} {one.low:g} to {one.high:g}{gamma}")
        return "; ".join(parts)

    def to_json(self) -> list[dict[str, Any]]:
        """As JSON values; `from_json` reads them."""
        return [{**asdict(one), "color": list(one.color)} for one in self.channels]

    @classmethod
    def from_json(cls, value: Any, channels: int) -> Display | None:
        """What `to_json` gave for an image of so many channels; None for anything else."""
        if not isinstance(value, list) or len(value) != channels:
            return None
        try:
            return cls(tuple(_channel_of(one) for one in value))
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError):
            return None

    def with_channel(self, index: int, **changes: Any) -> Display:
        """The same with one channel's fields changed."""
        channels = list(self.channels)
        channels[index] = replace(channels[index], **changes)
        return Display(tuple(channels))


def _channel_of(value: dict[str, Any]) -> ChannelDisplay:
    low, high, gamma = float(value["low"]), float(value["high"]), float(value["gamma"])
    red, green, blue = (min(max(int(part), 0), 255) for part in value["color"])
    if not (np.isfinite([low, high, gamma]).all() and high > low and gamma > 0):
        raise ValueError(value)
    return ChannelDisplay(bool(value["visible"]), low, high, (red, green, blue), gamma)


def auto_display(source: ImageSource, plane: Plane = Plane(), task: Task | None = None) -> Display:
    """A display range that suits the image.

    8-bit color and labels are shown as they are; everything else between the 0.1 and the 99.9
    percentile of the coarsest level, or of blocks spread over it where that is large. The
    components of a color image share one range, which keeps its white white.

    Raises
    ------
    SamdeskError
        When a block cannot be read.
    Cancelled
    """
    colors = [channel.color for channel in source.channels]
    if source.kind == "label" or (source.kind == "rgb" and source.dtype == np.uint8):
        return Display(tuple(ChannelDisplay(True, 0.0, 255.0, color) for color in colors))
    pairs = zip(auto_ranges(source, plane, task), colors, strict=True)
    return Display(tuple(ChannelDisplay(True, low, high, color) for (low, high), color in pairs))


def auto_ranges(
    source: ImageSource, plane: Plane = Plane(), task: Task | None = None
) -> list[tuple[float, float]]:
    """The 0.1 and the 99.9 percentile of every channel; from the samples that `auto_display` takes.

    The components of a color image share one range.

    Raises
    ------
    SamdeskError
        When a block cannot be read.
    Cancelled
    """
    ranges = []
    for channel in range(1 if source.kind == "rgb" else len(source.channels)):
        if task is not None:
            task.check()
        ranges.append(_auto_range(_samples(source, channel, plane)))
    return ranges * len(source.channels) if source.kind == "rgb" else ranges


def histogram(
    source: ImageSource, channel: int = 0, plane: Plane = Plane()
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The distribution of a channel's values, from the same samples as `auto_display`.

    Returns
    -------
    counts : (256,) int64
    edges : (257,) float64
        0..256 for 8 bits, else from the least to the greatest sampled value.

    Raises
    ------
    SamdeskError
        When a block cannot be read.
    """
    values = _samples(source, channel, plane)
    if source.kind == "rgb":
        values = values.reshape(-1, 3)[:, channel]
    low, high = _extremes(values)
    limits = (0.0, 256.0) if source.dtype == np.uint8 else (low, high if high > low else low + 1)
    counts, edges = np.histogram(values, BINS, limits)
    return counts.astype(np.int64), edges.astype(np.float64)


def _samples(source: ImageSource, channel: int, plane: Plane) -> Pixels:
    """Finite values as they are stored: (n,), or (n, 3) flattened for "rgb"."""
    index = len(source.levels) - 1
    level = source.levels[index]
    columns: Sequence[int] = range(level.columns)
    rows: Sequence[int] = range(level.rows)
    if level.width * level.height > _WHOLE_LEVEL:
        columns, rows = (sorted({(2 * k + 1) * n // 8 for k in range(4)}) for n in (len(columns), len(rows)))
    width = 3 if source.kind == "rgb" else 1
    parts = []
    for row in rows:
        for column in columns:
            block = source.read_block(index, column, row, plane, channel).reshape(-1, width)
            step = max(1, len(block) * len(rows) * len(columns) // _SAMPLES)
            parts.append(block[::step])
    values = np.concatenate(parts).reshape(-1)
    return values[np.isfinite(values)] if values.dtype.kind == "f" else values


def _extremes(values: Pixels) -> tuple[float, float]:
    return (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)


def _auto_range(values: Pixels) -> tuple[float, float]:
    if not len(values):
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(values, (LOW_PERCENT, HIGH_PERCENT)))
    if high <= low:  # what there is to see is less than a thousandth of the image
        low, high = _extremes(values)
    if high <= low:  # one value everywhere
        low, high = min(low, 0.0), max(low, 1.0)
    return low, high


class Compositor:
    """Makes colors of stored values; its tables are built once. Thread-safe.

    Parameters
    ----------
    kind : {"rgb", "multichannel", "label"}
    dtype : numpy dtype
        Of the blocks.
    display : Display

    Attributes
    ----------
    channels : tuple of int
        The channels whose blocks are used; never empty.
    """

    def __init__(self, kind: Kind, dtype: np.dtype[Any], display: Display) -> None:
        self.display = display
        self._kind = kind
        self._dtype = np.dtype(dtype)
        self.channels: tuple[int, ...] = display.shown or (0,)
        self._plain = kind == "rgb" and dtype == np.uint8 and all(map(_is_plain, display.channels))
        if kind == "label":
            self._tables = [_label_table()]
        elif kind == "rgb":
            primaries = ((255, 0, 0), (0, 255, 0), (0, 0, 255))
            self._tables = [
                self._table(replace(channel, color=color))
                for channel, color in zip(display.channels, primaries, strict=True)
            ]
        else:
            self._tables = [self._table(channel) for channel in display.channels]

    def compose(self, blocks: Pixels | Sequence[Pixels | None]) -> NDArray[np.uint8]:
        """Compose one picture.

        Parameters
        ----------
        blocks : ndarray or sequence
            (h, w, 3) for "rgb"; else (h, w) for every channel, where those that are not in
            `channels` may be None.

        Returns
        -------
        ndarray, (h, w, 4) uint8
            BGRA, opaque.
        """
        if self._kind == "rgb":
            color = np.asarray(blocks)
            if self._plain:
                plain: NDArray[np.uint8] = cv2.cvtColor(color, cv2.COLOR_RGB2BGRA)
                return plain
            blocks = [color[..., k] for k in range(3)]
        out: NDArray[np.uint8] | None = None
        for channel in range(3) if self._kind == "rgb" else self.channels:
            block = blocks[channel]
            assert block is not None
            packed = np.take(self._tables[channel], self._index(block, channel), mode="clip")
            layer = packed.view(np.uint8).reshape(*block.shape, 4)
            out = layer if out is None else cv2.add(out, layer, dst=out)
        assert out is not None
        return out

    def rgb(self, blocks: Pixels | Sequence[Pixels | None]) -> NDArray[np.uint8]:
        """As `compose`, but (h, w, 3) uint8 RGB."""
        if self._plain:
            return np.array(blocks, np.uint8)
        rgb: NDArray[np.uint8] = cv2.cvtColor(self.compose(blocks), cv2.COLOR_BGRA2RGB)
        return rgb

    def _table(self, channel: ChannelDisplay) -> NDArray[np.uint32]:
        """Packed BGRA for every index that `_index` makes."""
        if self._dtype in (np.uint8, np.uint16):
            values = np.arange(np.iinfo(self._dtype).max + 1, dtype=np.float32)
        elif self._dtype in (np.int8, np.int16):
            unsigned = np.dtype(f"u{self._dtype.itemsize}")
            stored = np.arange(np.iinfo(unsigned).max + 1).astype(unsigned).view(self._dtype)
            values = stored.astype(np.float32)
        else:
            values = np.linspace(channel.low, channel.high, 1 << 16, dtype=np.float64)
        span = channel.high - channel.low
        shade = np.clip((values - channel.low) / (span if span > 0 else 1), 0, 1)
        if channel.gamma != 1:
            shade **= channel.gamma
        if not channel.visible:
            shade *= 0
        red, green, blue = channel.color
        bgra = np.empty((len(values), 4), np.uint8)
        bgra[:, :3] = np.rint(shade[:, None] * (blue, green, red))
        bgra[:, 3] = 255
        return bgra.view(np.uint32)[:, 0]

    def _index(self, block: Pixels, channel: int) -> Pixels:
        if self._kind == "label":
            return _label_index(block)
        if self._dtype.itemsize <= 2 and self._dtype.kind in "iu":
            return block if self._dtype.kind == "u" else block.view(f"u{self._dtype.itemsize}")
        shown = self.display.channels[channel]
        span = shown.high - shown.low
        steps: Pixels = block.astype(np.float32 if self._dtype == np.float32 else np.float64)
        steps -= shown.low
        steps *= 65535 / span if span > 0 else 0
        np.nan_to_num(steps, copy=False, nan=0.0, posinf=65535.0, neginf=0.0)
        np.clip(steps, 0, 65535, out=steps)
        return np.rint(steps, out=steps).astype(np.uint16)


def _is_plain(channel: ChannelDisplay) -> bool:
    return channel.visible and (channel.low, channel.high, channel.gamma) == (0, 255, 1)


def _label_index(block: Pixels) -> Pixels:
    """Labels to 16 bits: 0 only for 0, and neighbours in number apart."""
    wide = block.astype(np.int64)
    return np.where(wide == 0, 0, 1 + (wide - 1) % 65535).astype(np.uint16)


def _label_table() -> NDArray[np.uint32]:
    """Hues apart by the golden ratio, which keeps any run of labels distinct; 0 is black."""
    number = np.arange(1 << 16)
    hue = (number * 0.6180339887498949 % 1 * 180).astype(np.uint8)
    value = (255 - 50 * (number // 7 % 3)).astype(np.uint8)
    hsv = np.stack([hue, np.full_like(hue, 200), value], axis=-1)[None]
    bgra = cv2.cvtColor(cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR), cv2.COLOR_BGR2BGRA)[0]
    bgra[0, :3] = 0
    return np.ascontiguousarray(bgra).view(np.uint32)[:, 0]


@functools.lru_cache(maxsize=16)
def compositor(kind: Kind, dtype: np.dtype[Any], display: Display) -> Compositor:
    """The compositor of that display, built once."""
    return Compositor(kind, dtype, display)


def render_region(
    source: ImageSource,
    region: Region,
    plane: Plane,
    display: Display,
    cache: BlockReader | None = None,
) -> NDArray[np.uint8]:
    """A box of the image in colors: what a model sees.

    Returns
    -------
    ndarray, (height, width, 3) uint8
        RGB; black outside the image.

    Raises
    ------
    SamdeskError
        When a block cannot be read.
    """
    maker = compositor(source.kind, source.dtype, display)
    if source.kind == "rgb":
        picture = maker.rgb(read_region(source, region, plane, cache=cache))
    else:
        blocks: list[Pixels | None] = [None] * len(source.channels)
        for channel, pixels in zip(
            maker.channels, read_region(source, region, plane, maker.channels, cache), strict=True
        ):
            blocks[channel] = pixels
        picture = maker.rgb(blocks)
    return picture


def render_tile(
    source: ImageSource,
    level: int,
    column: int,
    row: int,
    plane: Plane,
    display: Display | Compositor,
    cache: BlockReader | None = None,
) -> NDArray[np.uint8]:
    """One block of a level in colors: what the canvas draws.

    Returns
    -------
    ndarray, (h, w, 4) uint8
        BGRA, opaque, contiguous; the caller owns it.

    Raises
    ------
    SamdeskError
        When the block cannot be read.
    """
    maker = display if isinstance(display, Compositor) else compositor(source.kind, source.dtype, display)

    def read(channel: int) -> Pixels:
        if cache is None:
            return source.read_block(level, column, row, plane, channel)
        return cache.get_block(source, level, column, row, plane, channel)

    if source.kind == "rgb":
        return maker.compose(read(0))
    return maker.compose([read(k) if k in maker.channels else None for k in range(len(source.channels))])
