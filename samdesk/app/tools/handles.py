"""What of a shape can be taken hold of, and what the shape becomes. Must not know tools or documents.

A rectangle and an ellipse are held at their boxes and stay what they are; every other shape is
held at its vertices.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from samdesk.domain.columns import Annotation
from samdesk.domain.ellipse import ellipse_in
from samdesk.domain.geometry import Bounds, FloatArray, IntArray, Shape, ShapeKind, following

from .forms import box_between, is_ellipse, is_rectangle

APART_PX = 10.0
"""Handles are shown where neighboring ones are at least so many screen pixels apart."""

MOST_HANDLES = 2_000
"""Of points, which have no neighbors."""

FEWEST = {ShapeKind.AREA: 3, ShapeKind.LINES: 2, ShapeKind.POINTS: 1}
"""Vertices that a ring keeps."""

_BOX = np.array(((0, 0), (1, 0), (2, 0), (2, 1), (2, 2), (1, 2), (0, 2), (0, 1)))
"""Where the handles of a box are: 0, 1 and 2 are its low side, its middle and its high side."""


class Handles(Protocol):
    """The handles of one shape at one scale.

    Attributes
    ----------
    points : ndarray, (n, 2) float64
        Image pixels.
    stays : bool
        A shape that was changed by its handles is still an ellipse, if it was one.
    """

    @property
    def points(self) -> FloatArray: ...
    @property
    def stays(self) -> bool: ...

    def moved(self, index: int, x: float, y: float) -> Shape:
        """The shape with one handle elsewhere; not checked for being valid."""
        ...

    def without(self, index: int) -> Shape | None:
        """The shape without the vertex at a handle; None where too few would be left."""
        ...


class BoxHandles:
    """Corners and sides of a box; the sides only where there is room."""

    stays = True

    def __init__(self, bounds: Bounds, ellipse: bool, scale: float) -> None:
        self._bounds = bounds
        self._ellipse = ellipse
        room = np.array((bounds.width, bounds.height)) / scale
        shown = np.ones(len(_BOX), bool)
        for axis in (0, 1):
            if room[axis] < 2 * APART_PX:
                shown &= _BOX[:, axis] != 1
        if room.max() < APART_PX:
            shown[:] = False
        self._places = _BOX[shown]
        low, high = np.array(bounds[:2]), np.array(bounds[2:])
        self.points: FloatArray = low + (high - low) * self._places / 2

    def moved(self, index: int, x: float, y: float) -> Shape:
        column, row = self._places[index]
        x0, y0, x1, y1 = self._bounds
        x0, x1 = (x if column == 0 else x0), (x if column == 2 else x1)
        y0, y1 = (y if row == 0 else y0), (y if row == 2 else y1)
        box = box_between(x0, y0, x1, y1)
        return ellipse_in(box) if self._ellipse else Shape.box(*box)

    def without(self, index: int) -> Shape | None:
        return None


class VertexHandles:
    """Vertices that are far enough from their neighbors on screen."""

    stays = False

    def __init__(self, shape: Shape, scale: float) -> None:
        self._shape = shape
        self._vertices = np.flatnonzero(_far_apart(shape, APART_PX * scale))
        self.points: FloatArray = shape.coords[self._vertices]

    def moved(self, index: int, x: float, y: float) -> Shape:
        coords = self._shape.coords.copy()
        coords[self._vertices[index]] = x, y
        return Shape(coords, self._shape.rings, self._shape.parts, self._shape.kind)

    def without(self, index: int) -> Shape | None:
        shape, vertex = self._shape, self._vertices[index]
        ring = int(np.searchsorted(shape.rings, vertex, side="right")) - 1
        if shape.rings[ring + 1] - shape.rings[ring] <= FEWEST[shape.kind]:
            return None
        rings = shape.rings - (np.arange(len(shape.rings)) > ring)
        return Shape(np.delete(shape.coords, vertex, axis=0), rings, shape.parts, shape.kind)


def handles_of(annotation: Annotation, scale: float) -> Handles:
    """The handles of an annotation; `scale` in image pixels per screen pixel."""
    shape = annotation.shape
    if is_ellipse(annotation) or is_rectangle(shape):
        return BoxHandles(shape.bounds, is_ellipse(annotation), scale)
    return VertexHandles(shape, scale)


def edge_at(shape: Shape, x: float, y: float, reach: float) -> tuple[int, float, float] | None:
    """The nearest edge within `reach` of a point.

    Returns
    -------
    (vertex, x, y) or None
        The vertex that the edge starts from, and the place on the edge nearest to the point.
    """
    starts, ends = _edges(shape)
    if not len(starts):
        return None
    a = shape.coords[starts]
    along = shape.coords[ends] - a
    length = (along**2).sum(axis=1)
    part = ((np.array((x, y)) - a) * along).sum(axis=1)
    part = np.clip(np.divide(part, length, out=np.zeros(len(a)), where=length > 0), 0, 1)
    places = a + part[:, None] * along
    distance = np.hypot(*(places - (x, y)).T)
    best = int(distance.argmin())
    if distance[best] > reach:
        return None
    return int(starts[best]), float(places[best, 0]), float(places[best, 1])


def with_vertex(shape: Shape, after: int, x: float, y: float) -> Shape:
    """The shape with one more vertex on the edge that starts from the vertex `after`."""
    ring = int(np.searchsorted(shape.rings, after, side="right")) - 1
    rings = shape.rings + (np.arange(len(shape.rings)) > ring)
    return Shape(np.insert(shape.coords, after + 1, (x, y), axis=0), rings, shape.parts, shape.kind)


def _edges(shape: Shape) -> tuple[IntArray, IntArray]:
    """The vertices that edges start from and end at."""
    if shape.kind is ShapeKind.POINTS or shape.is_empty:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    starts, ends = np.arange(len(shape.coords)), following(shape.rings)
    if shape.kind is ShapeKind.LINES:
        inner = np.ones(len(starts), bool)
        inner[shape.rings[1:] - 1] = False
        starts, ends = starts[inner], ends[inner]
    return starts, ends


def _far_apart(shape: Shape, least: float) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which vertices are at least so far from both neighbors in their ring."""
    if shape.kind is ShapeKind.POINTS:
        return np.full(len(shape.coords), len(shape.coords) <= MOST_HANDLES)
    far = np.ones(len(shape.coords), bool)
    starts, ends = _edges(shape)
    near = np.hypot(*(shape.coords[ends] - shape.coords[starts]).T) < least
    far[starts[near]] = far[ends[near]] = False
    return far
