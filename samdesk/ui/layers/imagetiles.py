"""The picture as tiles: a ladder of resolutions, each a grid of tiles, made on any thread.

Must not know Qt. Rungs are the file's levels, and between and beyond them levels reduced by
powers of two, so that the screen never needs to shrink a tile much: it stays sharp and
calm, and an image without levels works too. A tile is a block of the file where blocks are
of a handy size, else a box of about `TILE` pixels put together from blocks or cut out of one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from samdesk.domain.geometry import Plane, Region
from samdesk.domain.tasks import Task
from samdesk.images.contrast import Display, compositor
from samdesk.images.source import ImageSource, Level, Pixels, read_region, read_window
from samdesk.images.tiles import BlockCache

from .tiles import TilePixels

TILE = 512
HANDY = (256, 1024)
"""Blocks with sides between these are tiles as they are."""

MOST_READ = 4096
"""A tile never covers more pixels of its level than this on a side: it can be made in a moment."""

LAST_SIZE = 256
"""The ladder ends when the longer side of the image has no more pixels than this."""

SHARPER = 1.001
"""A rung that is coarser than the screen by no more than this is not coarser."""


@dataclass(frozen=True, slots=True)
class Rung:
    """One resolution of the picture and its grid of tiles.

    Attributes
    ----------
    level : int
        The level it is read from.
    reduce : int
        Level pixels per tile pixel on a side; 1, 2, 4...
    downsample_x, downsample_y : float
        Image pixels per tile pixel.
    cell_width, cell_height : int
        Size of a tile in level pixels.
    width, height : int
        Size of the level.
    """

    level: int
    reduce: int
    downsample_x: float
    downsample_y: float
    cell_width: int
    cell_height: int
    width: int
    height: int

    @property
    def downsample(self) -> float:
        return max(self.downsample_x, self.downsample_y)


def make_ladder(levels: Sequence[Level]) -> tuple[Rung, ...]:
    """All rungs of an image, finest first."""
    rungs = []
    for index, level in enumerate(levels):
        last = index == len(levels) - 1
        if last:
            room = max(level.width, level.height) / LAST_SIZE
        else:
            room = levels[index + 1].downsample / level.downsample / 1.5
        rungs.append(_rung(index, level, 1))
        reduce = 2
        while reduce <= room:
            rungs.append(_rung(index, level, reduce))
            reduce *= 2
    return tuple(rungs)


def _rung(index: int, level: Level, reduce: int) -> Rung:
    width, height = _side(level.block_width), _side(level.block_height)
    cell_width, cell_height = _covered(width, reduce), _covered(height, reduce)
    return Rung(
        index,
        reduce,
        level.downsample_x * reduce,
        level.downsample_y * reduce,
        cell_width,
        cell_height,
        level.width,
        level.height,
    )


def _side(block: int) -> int:
    low, high = HANDY
    if block > high:
        return TILE
    return block if block >= low else block * round(TILE / block)


def _covered(side: int, reduce: int) -> int:
    return side * max(1, min(reduce, MOST_READ // side))


def choose_rung(ladder: Sequence[Rung], downsample: float) -> int:
    """The coarsest rung that is at least as sharp as the screen, else the finest."""
    fits = [index for index, rung in enumerate(ladder) if rung.downsample <= downsample * SHARPER]
    return fits[-1] if fits else 0


def render_image_tile(
    source: ImageSource,
    rung: Rung,
    column: int,
    row: int,
    plane: Plane,
    display: Display,
    cache: BlockCache,
    task: Task,
) -> TilePixels:
    """Read, reduce and color one tile: (h, w, 4) uint8 BGRA."""

    def read(channel: int) -> Pixels:
        task.check()
        return _read(source, rung, column, row, plane, channel, cache)

    maker = compositor(source.kind, source.dtype, display)
    if source.kind == "rgb":
        return maker.compose(read(0))
    return maker.compose([read(k) if k in maker.channels else None for k in range(len(source.channels))])


def _read(
    source: ImageSource, rung: Rung, column: int, row: int, plane: Plane, channel: int, cache: BlockCache
) -> Pixels:
    x, y = column * rung.cell_width, row * rung.cell_height
    right, bottom = min(x + rung.cell_width, rung.width), min(y + rung.cell_height, rung.height)
    if rung.reduce == 1:
        return read_window(source, rung.level, (x, right), (y, bottom), plane, channel, cache)
    region = Region(
        x * rung.downsample_x / rung.reduce,
        y * rung.downsample_y / rung.reduce,
        math.ceil((right - x) / rung.reduce),
        math.ceil((bottom - y) / rung.reduce),
        (rung.downsample_x + rung.downsample_y) / 2,
    )
    pixels = read_region(source, region, plane, [channel], cache)
    return pixels if source.kind == "rgb" else pixels[0]
