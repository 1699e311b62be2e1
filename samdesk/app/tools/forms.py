"""Rectangles and ellipses: made and recognized. Must not know tools or documents."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from samdesk.domain.columns import Annotation
from samdesk.domain.geometry import Bounds, Shape, ShapeKind

ELLIPSE: Mapping[str, Any] = {"geometry": {"isEllipse": True}}
"""Marks a polygon as the ellipse in its bounds; QuPath's reader knows the member."""


def box_between(x0: float, y0: float, x1: float, y1: float, square: bool = False) -> Bounds:
    """The box with corners at a start (x0, y0) and an end; a square grows from its start."""
    if square:
        side = max(abs(x1 - x0), abs(y1 - y0))
        x1, y1 = x0 + math.copysign(side, x1 - x0), y0 + math.copysign(side, y1 - y0)
    return Bounds(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))


def is_ellipse(annotation: Annotation) -> bool:
    geometry = annotation.extra.get("geometry")
    marked = isinstance(geometry, Mapping) and geometry.get("isEllipse") is True
    return marked and annotation.shape.kind is ShapeKind.AREA


def is_rectangle(shape: Shape) -> bool:
    """Whether it is one box with sides along the axes and no vertices but its corners."""
    if shape.kind is not ShapeKind.AREA or len(shape.coords) != 4 or len(shape.rings) != 2:
        return False
    along = np.roll(shape.coords, -1, axis=0) == shape.coords
    turns = (along != np.roll(along, -1, axis=0)).all()
    return bool((along.sum(axis=1) == 1).all() and turns)
