"""COCO's run lengths: masks as counts of 0 and 1 in turn, column by column, also packed into a text.

A mask here is a crop and where it lies, so that a small object of a large slide stays small. The
packed text holds 5 bits in each character and, from the fourth count on, differences to the count
before last (`rleToString` of pycocotools, `common/maskApi.c`). Must not know files.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .holes import MOST_PIXELS

Mask = NDArray[np.bool_]
Counts = NDArray[np.int64]

BAND = 1 << 24
"""Pixels of a crop that are looked at together."""

_MOST_SIDE = 1 << 24


def encode(crop: Mask, x: int, y: int, width: int, height: int) -> Counts:
    """Run lengths of a mask of `width` x `height` that is empty but for a crop at (x, y)."""
    starts, ends = _runs(crop, x, y, height)
    apart = np.ones(len(starts), np.bool_)
    apart[1:] = starts[1:] != ends[:-1]  # a run that goes on in the next column
    marks = np.stack((starts[apart], ends[np.roll(apart, -1)]), axis=1).ravel() if len(starts) else starts
    edges = np.concatenate(([0], marks, [width * height]))
    counts: Counts = np.diff(edges).astype(np.int64)
    return counts[:-1] if len(counts) > 1 and counts[-1] == 0 else counts


def _runs(crop: Mask, x: int, y: int, height: int) -> tuple[Counts, Counts]:
    """Where the runs of each column begin and end, counted down the columns of the whole mask."""
    starts, ends = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    step = max(BAND // (crop.shape[0] + 2), 1)
    for left in range(0, crop.shape[1], step):
        band = crop[:, left : left + step]
        padded = np.zeros((band.shape[1], band.shape[0] + 2), np.int8)
        padded[:, 1:-1] = band.T
        steps = np.diff(padded, axis=1)
        for found, at in ((starts, steps > 0), (ends, steps < 0)):
            column, row = np.nonzero(at)
            found.append((column + left + x) * height + row + y)
    return np.concatenate(starts), np.concatenate(ends)


def decode(counts: Counts, width: int, height: int) -> tuple[Mask, int, int]:
    """The crop that holds all of a mask, and where it lies (x, y).

    Raises
    ------
    ValueError
        When the counts do not make a mask of that size, or the crop would be larger than
        `MOST_PIXELS`; says why.
    """
    if not (0 < width <= _MOST_SIDE and 0 < height <= _MOST_SIDE):
        raise ValueError(f"a mask cannot be {width} × {height} px")
    if len(counts) and (counts.min() < 0 or counts.max() > width * height):
        raise ValueError("a run is longer than the mask")
    edges = np.cumsum(counts)
    if (edges[-1] if len(edges) else 0) != width * height:
        raise ValueError(f"its runs do not add up to {width} × {height} px")
    starts, ends = edges[0:-1:2], edges[1::2]
    filled = ends > starts
    starts, ends = starts[filled], ends[filled]
    if not len(starts):
        return np.zeros((0, 0), np.bool_), 0, 0
    first, last = starts // height, (ends - 1) // height
    x, right = int(first.min()), int(last.max()) + 1
    top, bottom = 0, height
    if (first == last).all():
        top, bottom = int((starts % height).min()), int(((ends - 1) % height).max()) + 1
    side = bottom - top
    if side * (right - x) > MOST_PIXELS:
        raise ValueError(f"it is larger than {MOST_PIXELS:,} px")
    at = (first - x) * side + starts % height - top
    flips = np.zeros(side * (right - x) + 1, np.int8)
    np.add.at(flips, at, 1)
    np.add.at(flips, at + (ends - starts), -1)
    crop = np.cumsum(flips[:-1], dtype=np.int8).astype(np.bool_).reshape(right - x, side).T
    return crop, x, top


def pack(counts: Counts) -> str:
    """The counts as a text."""
    values = np.array(counts, np.int64)
    values[3:] -= counts[1:-2]
    signs, chars = np.ones(len(values), np.bool_), []
    while signs.any():
        low = values & 0x1F
        values = values >> 5
        more = np.where(low & 0x10, values != -1, values != 0) & signs
        chars.append(np.where(signs, low + 0x20 * more + 48, 0))
        signs = more
    table = np.stack(chars, axis=1) if chars else np.empty((0, 0), np.int64)
    return bytes(table[table > 0].astype(np.uint8)).decode("ascii")


def unpack(text: str) -> Counts:
    """The counts of a text.

    Raises
    ------
    ValueError
        When it holds anything else.
    """
    codes = np.frombuffer(text.encode("latin-1", "replace"), np.uint8).astype(np.int64) - 48
    if not len(codes):
        return np.empty(0, np.int64)
    if codes.min() < 0 or codes.max() > 63 or codes[-1] & 0x20:
        raise ValueError("its packed counts are damaged")
    ends = np.flatnonzero((codes & 0x20) == 0)
    begins = np.concatenate(([0], ends[:-1] + 1))
    digit = np.arange(len(codes)) - np.repeat(begins, ends - begins + 1)
    if digit.max() > 7:
        raise ValueError("its packed counts are damaged")
    values: Counts = np.add.reduceat((codes & 0x1F) << 5 * digit, begins)
    negative = (codes[ends] & 0x10) > 0
    values[negative] -= np.int64(1) << (5 * (digit[ends[negative]] + 1))
    values[1::2], values[2::2] = np.cumsum(values[1::2]), np.cumsum(values[2::2])
    return values


def counts_of(value: Any) -> Counts:
    """The counts of an RLE member, packed or as a list.

    Raises
    ------
    ValueError
        When it is neither.
    """
    if isinstance(value, str):
        return unpack(value)
    if isinstance(value, list) and all(type(one) is int and 0 <= one < 1 << 48 for one in value):
        return np.array(value, np.int64)
    raise ValueError("its counts are no list of numbers")
