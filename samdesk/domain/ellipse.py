"""Ellipses, which are kept as polygons with a mark. Must not know tools or files."""

from __future__ import annotations

import math

import numpy as np

from .geometry import Bounds, Shape

ELLIPSE_ERROR = 0.02
"""Pixels that the polygon of an ellipse may lie inside of it."""

FEWEST, MOST = 32, 720
"""Vertices of an ellipse; multiples of 4, so that its polygon touches all four sides of its bounds."""


def ellipse_in(bounds: Bounds) -> Shape:
    """The ellipse that touches the sides of a box, as a polygon."""
    (x, y), rx, ry = bounds.center, bounds.width / 2, bounds.height / 2
    radius = max(rx, ry, 1e-9)
    # a chord lies r (1 - cos(pi / n)) inside of its arc
    turned = max(math.acos(max(1 - ELLIPSE_ERROR / radius, 0.0)), math.pi / MOST)
    count = 4 * math.ceil(max(math.pi / turned, FEWEST) / 4)
    turn = np.arange(count) * (2 * np.pi / count)
    # rounded, so that the extremes lie on the box and not beside it
    unit = np.stack((np.cos(turn), np.sin(turn)), axis=1).round(12)
    return Shape.polygon(unit * (rx, ry) + (x, y))
