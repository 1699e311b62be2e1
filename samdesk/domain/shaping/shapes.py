"""Shapes made from shapes, one at a time. Must not know annotations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import shapely

from samdesk.domain.geometry import Bounds, Shape, ShapeKind
from samdesk.domain.outline import fill_holes, repair, snap

ROUNDNESS_PX = 0.02
"""How far the chords of a grown corner may lie from the arc, in image pixels."""

MOST_SEGMENTS = 32
"""Chords in a quarter of a circle; at this number a circle of 300 px is round within 0.1 px."""


def merged(shapes: Sequence[Shape]) -> Shape:
    """Everything that any of the shapes covers; of lines and points, all of them.

    Raises
    ------
    ValueError
        When areas, lines and points are mixed.
    """
    shapes = [shape for shape in shapes if not shape.is_empty]
    kind = _one_kind(shapes)
    if kind is ShapeKind.AREA:
        return of_kind(kind, shapely.union_all(_geometries(shapes)))
    if kind is ShapeKind.LINES:
        return snap(Shape.from_parts([part for shape in shapes for part in shape.to_parts()], kind))
    return snap(Shape.points(np.unique(np.concatenate([shape.coords for shape in shapes]), axis=0)))


def subtracted(shape: Shape, others: Sequence[Shape]) -> Shape:
    """What none of the others covers; of a line its pieces outside, of points those outside."""
    areas = [one for one in others if one.kind is ShapeKind.AREA and not one.is_empty]
    if shape.is_empty or not areas:
        return shape
    cover = shapely.union_all(_geometries(areas))
    return of_kind(shape.kind, shapely.difference(_geometries([shape])[0], cover))


def intersected(shapes: Sequence[Shape]) -> Shape:
    """What all of the shapes cover; empty when one of them is not an area."""
    if not shapes or any(shape.is_empty or shape.kind is not ShapeKind.AREA for shape in shapes):
        return Shape.empty()
    return of_kind(ShapeKind.AREA, shapely.intersection_all(_geometries(shapes)))


def inverse(shape: Shape, bounds: Bounds) -> Shape:
    """What of `bounds` (the image) the area does not cover."""
    return subtracted(Shape.box(*bounds), [shape])


def quarter_segments(radius: float, error: float = ROUNDNESS_PX) -> int:
    """Chords for a quarter of a circle, so that they are no farther than `error` from the arc."""
    if radius <= 2 * error:
        return 2
    # the middle of a chord over the angle 2a lies radius * (1 - cos(a)) inside the arc
    half = math.acos(1 - error / radius)
    return min(max(math.ceil(math.pi / 4 / half), 2), MOST_SEGMENTS)


def clipped(shape: Shape, width: int, height: int) -> Shape:
    """The part on an image of this size, valid and on the document's grid; may be empty.

    A shape that lies on the image keeps its vertices, as far as they are on the grid.
    """
    image = Bounds(0, 0, width, height)
    shape = snap(shape)
    if shape.is_empty or image.union(shape.bounds) == image:
        return shape
    if shape.kind is ShapeKind.POINTS:
        inside = ((shape.coords >= 0) & (shape.coords <= (width, height))).all(axis=1)
        return Shape.points(shape.coords[inside]) if inside.any() else Shape.empty(shape.kind)
    return of_kind(shape.kind, shapely.intersection(_geometries([shape])[0], shapely.box(*image)))


def parts_of(shape: Shape) -> list[Shape]:
    """Its polygons, its lines or its points, each as a shape of its own."""
    if shape.kind is ShapeKind.POINTS:
        return [Shape.points(point[None]) for point in shape.coords]
    parts = shape.to_parts()
    return [shape] if len(parts) == 1 else [Shape.from_parts([part], shape.kind) for part in parts]


def filled(shape: Shape) -> Shape:
    """Without holes; what lies in a hole disappears in what surrounds it."""
    return snap(fill_holes(shape))


def of_kind(kind: ShapeKind, geometry: Any) -> Shape:
    """The pieces of a shapely geometry that have the dimension of `kind`, on the grid."""
    pieces = shapely.get_parts(shapely.get_parts(np.atleast_1d(geometry)))
    shape = Shape.from_shapely(pieces[shapely.get_dimensions(pieces) == 2 - kind])
    return snap(shape) if not shape.is_empty else Shape.empty(kind)


def _geometries(shapes: Sequence[Shape]) -> Any:
    """As shapely geometries that are valid, as shapely's operations need them."""
    return np.array([repair(shape)[0].to_shapely() for shape in shapes], object)


def _one_kind(shapes: Sequence[Shape]) -> ShapeKind:
    kinds = {shape.kind for shape in shapes}
    if len(kinds) > 1:
        raise ValueError("areas, lines and points cannot be one shape")
    return kinds.pop() if kinds else ShapeKind.AREA
