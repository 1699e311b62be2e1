"""Which part of an image an engine looks at: chips on a fixed grid, and what their borders cut.

Must not know engines or pixels.
"""

from __future__ import annotations

import math

from samdesk.domain.geometry import Bounds, Region, Shape
from samdesk.domain.outline import repair
from samdesk.engines.base import CHIP

BOX_FILLS = 0.8
"""A box may fill this part of a chip; a larger one is looked at from further away, so that
the engine sees what surrounds the object."""

EDGE_PX = 1.5
"""A shape that comes this close (array px) to a chip border inside the image was probably cut."""


def chip_at(bounds: Bounds, downsample: float, size: tuple[int, int]) -> Region:
    """The chip of the fixed grid whose middle is nearest to the middle of `bounds`.

    Chips are `CHIP` px on a side and overlap by half. When `bounds` fills more than
    `BOX_FILLS` of a chip, the downsample is doubled until it does not. The last chip of a
    row or column ends at the border of the image; an image smaller than a chip is one chip.

    Parameters
    ----------
    bounds : Bounds
        Image pixels; may be a point.
    downsample : float
        Image pixels per chip pixel.
    size : (int, int)
        Width and height of the image in pixels.
    """
    while max(bounds.width, bounds.height) > BOX_FILLS * CHIP * downsample and (
        max(size) > CHIP * downsample
    ):
        downsample *= 2
    x, width = _chip_span(bounds.center[0], size[0], downsample)
    y, height = _chip_span(bounds.center[1], size[1], downsample)
    return Region(x, y, width, height, downsample)


def _chip_span(middle: float, length: int, downsample: float) -> tuple[float, int]:
    last = length - CHIP * downsample
    if last <= 0:
        return 0.0, max(1, math.ceil(length / downsample))
    step = CHIP * downsample / 2
    nearest = round((middle - step) / step) * step
    return float(min(max(nearest, 0.0), last)), CHIP


def wider_chip(chip: Region, bounds: Bounds, size: tuple[int, int]) -> Region | None:
    """A chip that sees twice as far around `bounds`; None when `chip` sees the whole image already."""
    if chip.bounds.width >= size[0] and chip.bounds.height >= size[1]:
        return None
    return chip_at(bounds, 2 * chip.downsample, size)


def chip_downsample(scale: float) -> float:
    """The downsample at which to segment what is seen at `scale` image px per screen px."""
    return 2.0 ** max(0, round(math.log2(max(scale, 1e-6))))


def well_inside(bounds: Bounds, chip: Region, whole: Bounds) -> bool:
    margin = (1 - BOX_FILLS) / 2 * CHIP * chip.downsample / 2
    box, inner = chip.bounds, chip.bounds.expanded(-margin)
    x0 = box.x0 if box.x0 <= whole.x0 else inner.x0
    y0 = box.y0 if box.y0 <= whole.y0 else inner.y0
    x1 = box.x1 if box.x1 >= whole.x1 else inner.x1
    y1 = box.y1 if box.y1 >= whole.y1 else inner.y1
    return x0 <= bounds.x0 and y0 <= bounds.y0 and bounds.x1 <= x1 and bounds.y1 <= y1


def clip_to_image(shape: Shape, size: tuple[int, int]) -> Shape:
    """Cut off what reaches beyond the image; (width, height) in pixels."""
    import shapely

    if shape.is_empty:
        return shape
    box = shape.bounds
    if box.x0 >= 0 and box.y0 >= 0 and box.x1 <= size[0] and box.y1 <= size[1]:
        return shape
    inside = shapely.intersection(repair(shape)[0].to_shapely(), shapely.box(0, 0, *size))
    cut = Shape.from_shapely(inside)
    return cut if cut.kind is shape.kind else Shape.empty(shape.kind)


def is_cut(shape: Shape, chip: Region, size: tuple[int, int]) -> bool:
    if shape.is_empty:
        return False
    box, edge, near = shape.bounds, chip.bounds, EDGE_PX * chip.downsample
    return bool(
        (box.x0 < edge.x0 + near and edge.x0 > 0)
        or (box.y0 < edge.y0 + near and edge.y0 > 0)
        or (box.x1 > edge.x1 - near and edge.x1 < size[0])
        or (box.y1 > edge.y1 - near and edge.y1 < size[1])
    )
