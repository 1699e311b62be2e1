"""Shapes painted into numbered pictures, a tile at a time, so that memory holds a tile and not the picture.

Must not know files.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from samdesk.domain.columns import Table
from samdesk.domain.columns.ragged import Rows
from samdesk.domain.geometry import Region
from samdesk.domain.outline import shape_to_mask
from samdesk.domain.tasks import Task

Numbers = NDArray[np.uint32]


@dataclass(slots=True)
class Painted:
    """What became of the rows.

    Attributes
    ----------
    seen : ndarray, (n,) bool
        Which rows have a pixel.
    covering : ndarray, (n,) bool
        Which rows took pixels from others.
    """

    seen: NDArray[np.bool_]
    covering: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        self.covering = np.zeros_like(self.seen)


def size_at(width: int, height: int, downsample: int) -> tuple[int, int]:
    """Width and height of a picture in which every pixel of the image is covered."""
    return math.ceil(width / downsample), math.ceil(height / downsample)


def tiles(
    table: Table,
    rows: Rows,
    numbers: NDArray[np.uint32],
    size: tuple[int, int],
    downsample: int,
    side: int | tuple[int, int],
    painted: Painted,
    task: Task,
) -> Iterator[Numbers]:
    """Paint each row with its number; later rows lie above earlier ones.

    Parameters
    ----------
    rows, numbers : ndarray, (n,)
    size : (int, int)
        Width and height of the picture.
    downsample : int
        Image pixels per pixel of the picture.
    side : int or (int, int)
        Width and height of a tile; those at the end are full too, and empty beyond the picture.
    painted : Painted
        Is told what became of each row.

    Yields
    ------
    ndarray, (side, side) uint32
        From left to right, then from top to bottom.
    """
    across, down = (side, side) if isinstance(side, int) else side
    bounds = table.bounds[rows] / downsample
    x0, y0, x1, y1 = bounds.T
    tops, lefts = range(0, size[1], down), range(0, size[0], across)
    for step, top in enumerate(tops):
        band = np.flatnonzero((y1 > top) & (y0 < top + down))
        for left in lefts:
            task.progress((step + left / size[0]) / len(tops), "Painting")
            canvas = np.zeros((down, across), np.uint32)
            for at in band[(x1[band] > left) & (x0[band] < left + across)].tolist():
                _paint(canvas, table, int(rows[at]), at, numbers[at], (left, top), size, downsample, painted)
            task.check()
            yield canvas


def _paint(
    canvas: Numbers,
    table: Table,
    row: int,
    at: int,
    number: np.uint32,
    origin: tuple[int, int],
    size: tuple[int, int],
    downsample: int,
    painted: Painted,
) -> None:
    """Paint one row into a tile whose first pixel is `origin` of the picture."""
    left, top = origin
    bounds = table.bounds[row].astype(np.float64) / downsample
    right, bottom = min(left + canvas.shape[1], size[0]), min(top + canvas.shape[0], size[1])
    x0, y0 = max(math.floor(bounds[0]), left), max(math.floor(bounds[1]), top)
    x1, y1 = min(math.ceil(bounds[2]), right), min(math.ceil(bounds[3]), bottom)
    if x1 <= x0 or y1 <= y0:
        return
    region = Region(x0 * downsample, y0 * downsample, x1 - x0, y1 - y0, downsample)
    mask = shape_to_mask(table.shape(row), region)
    if not mask.any():
        return
    under = canvas[y0 - top : y1 - top, x0 - left : x1 - left]
    painted.seen[at] = True
    painted.covering[at] |= bool((under[mask] != 0).any())
    under[mask] = number
