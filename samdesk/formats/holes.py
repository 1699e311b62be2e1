"""Masks of objects with holes, for formats whose polygons hold none. Must not know files."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from samdesk.domain.geometry import Bounds, Region, Shape, ShapeKind
from samdesk.domain.outline import shape_to_mask

from .report import counted

MOST_PIXELS = 1 << 28
"""A larger mask is neither made nor read."""

BAND = 1 << 24
"""Pixels of a mask that are made at once; what is needed to make them is several times as large."""


class Masked(NamedTuple):
    """A mask (h, w) bool, and the pixel of the image where it begins."""

    mask: NDArray[np.bool_]
    x: int
    y: int


class TooLargeError(ValueError):
    """The box of a shape has more than `MOST_PIXELS`."""


def has_holes(shape: Shape) -> bool:
    return shape.kind is ShapeKind.AREA and len(shape.rings) > len(shape.parts)


def mask_of(shape: Shape, within: Bounds | None = None) -> Masked | None:
    """The pixels of a shape in its box; None when it covers none.

    Parameters
    ----------
    shape : Shape
    within : Bounds, optional
        Of whole numbers; what lies outside (of the image) is cut off.

    Raises
    ------
    TooLargeError
    """
    box = shape.bounds if within is None else shape.bounds.intersection(within)
    x, y = math.floor(box.x0), math.floor(box.y0)
    width, height = math.ceil(box.x1) - x, math.ceil(box.y1) - y
    if width <= 0 or height <= 0:
        return None
    if width * height > MOST_PIXELS:
        raise TooLargeError
    mask = np.zeros((height, width), np.bool_)
    step = max(BAND // width, 1)
    for top in range(0, height, step):
        band = mask[top : top + step]
        band[:] = shape_to_mask(shape, Region(x, y + top, width, len(band)))
    return Masked(mask, x, y) if mask.any() else None


def too_large(n: int) -> list[str]:
    """A line for the report, when there are any."""
    return [f"{counted(n, 'annotation')} too large for a mask: more than {MOST_PIXELS:,} px"] if n else []
