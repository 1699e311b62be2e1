"""One shape as a GeoJSON geometry. Must not know features."""

from __future__ import annotations

from typing import Any

import numpy as np

from samdesk.domain.geometry import FloatArray, Shape, ShapeKind
from samdesk.domain.outline import round_for_export

Member = dict[str, Any]

_SINGLE = {ShapeKind.AREA: "Polygon", ShapeKind.LINES: "LineString", ShapeKind.POINTS: "Point"}


def geometry_of(shape: Shape) -> Member | None:
    """One shape as a GeoJSON geometry, valid after rounding to 0.01 px; None when nothing is left."""
    shape = round_for_export(shape)
    if shape.is_empty:
        return None
    shape = Shape(shape.coords + 0.0, shape.rings, shape.parts, shape.kind)  # no -0.0
    parts = shape.to_parts()
    if shape.kind is ShapeKind.AREA:
        parts = [[np.concatenate((ring, ring[:1])) for ring in rings] for rings in parts]
    elif shape.kind is ShapeKind.POINTS:
        parts = [[vertex] for vertex in shape.coords]
    return member(shape.kind, parts)


def member(kind: ShapeKind, parts: list[list[FloatArray]]) -> Member:
    """A geometry from its parts: an area's rings, else the one array of a line or of a point."""
    coordinates: list[Any] = list(parts) if kind is ShapeKind.AREA else [part[0] for part in parts]
    if len(coordinates) == 1:
        return {"type": _SINGLE[kind], "coordinates": coordinates[0]}
    return {"type": f"Multi{_SINGLE[kind]}", "coordinates": coordinates}
