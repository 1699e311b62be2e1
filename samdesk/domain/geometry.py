"""Bounds, planes, regions and shapes: all coordinates of the program.

One frame everywhere: full-resolution image pixels, x right, y down, integers on pixel
**edges** (pixel 5 spans 5..6). Only `Region` converts to and from array pixels. Must not
know files, widgets or models.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

GRID = 256
"""Steps per pixel of the grid on which a document keeps coordinates (1/256 px)."""


class Plane(NamedTuple):
    """The z slice and the time point, both from 0."""

    z: int = 0
    t: int = 0


class Bounds(NamedTuple):
    """An axis-aligned box in image pixels, edges included."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def width(self) -> float:
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        return self.y1 - self.y0

    @property
    def center(self) -> tuple[float, float]:
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2

    @property
    def is_empty(self) -> bool:
        return not (self.x1 > self.x0 and self.y1 > self.y0)

    def intersects(self, other: Bounds) -> bool:
        return self.x0 <= other.x1 and other.x0 <= self.x1 and self.y0 <= other.y1 and other.y0 <= self.y1

    def intersection(self, other: Bounds) -> Bounds:
        return Bounds(
            max(self.x0, other.x0), max(self.y0, other.y0), min(self.x1, other.x1), min(self.y1, other.y1)
        )

    def union(self, other: Bounds) -> Bounds:
        return Bounds(
            min(self.x0, other.x0), min(self.y0, other.y0), max(self.x1, other.x1), max(self.y1, other.y1)
        )

    def expanded(self, by: float) -> Bounds:
        return Bounds(self.x0 - by, self.y0 - by, self.x1 + by, self.y1 + by)

    def contains(self, x: float, y: float) -> bool:
        return self.x0 <= x <= self.x1 and self.y0 <= y <= self.y1


@dataclass(frozen=True, slots=True)
class Region:
    """A box of the image seen at one downsample, as an array of `width` x `height` pixels.

    Attributes
    ----------
    x, y : float
        Top-left corner in image pixels.
    width, height : int
        Size in array pixels.
    downsample : float
        Image pixels per array pixel, >= 1 for a reduced view.
    """

    x: float
    y: float
    width: int
    height: int
    downsample: float = 1.0

    @property
    def bounds(self) -> Bounds:
        return Bounds(
            self.x, self.y, self.x + self.width * self.downsample, self.y + self.height * self.downsample
        )

    def to_array(self, points: ArrayLike) -> FloatArray:
        """Convert image pixels (n, 2) to array pixels (n, 2); both on pixel edges."""
        return (np.asarray(points, np.float64) - (self.x, self.y)) / self.downsample

    def to_image(self, points: ArrayLike) -> FloatArray:
        """Convert array pixels (n, 2) to image pixels (n, 2); both on pixel edges."""
        return np.asarray(points, np.float64) * self.downsample + (self.x, self.y)


class ShapeKind(IntEnum):
    """What the rings of a shape mean."""

    AREA = 0  # polygons: the first ring of a part is its shell, the others are holes
    LINES = 1  # every ring is an open polyline, one per part
    POINTS = 2  # every vertex is a point of its own, all in one ring


def following(rings: IntArray) -> IntArray:
    """For every vertex the index of the next one in its ring, given the ring offsets (r + 1,)."""
    after = np.arange(1, rings[-1] + 1)
    filled = rings[1:] > rings[:-1]
    after[rings[1:][filled] - 1] = rings[:-1][filled]
    return after


def _frozen(values: ArrayLike, dtype: Any) -> NDArray[Any]:
    array = np.ascontiguousarray(values, dtype)
    if array.flags.writeable:
        array = array.copy() if array is values else array
        array.flags.writeable = False
    return array


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """Polygons with holes (or lines, or points) in full-resolution image pixels.

    Attributes
    ----------
    coords : ndarray, (n, 2) float64, read-only
        The vertices of all rings, one after the other; rings are open (the first vertex
        is not repeated).
    rings : ndarray, (r + 1,) int64, read-only
        Ring k is ``coords[rings[k]:rings[k + 1]]``.
    parts : ndarray, (p + 1,) int64, read-only
        Part j owns rings ``parts[j]`` to ``parts[j + 1]``; its first ring is the shell.
    kind : ShapeKind
    """

    coords: FloatArray
    rings: IntArray
    parts: IntArray
    kind: ShapeKind = ShapeKind.AREA
    _cache: dict[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "coords", _frozen(self.coords, np.float64).reshape(-1, 2))
        object.__setattr__(self, "rings", _frozen(self.rings, np.int64))
        object.__setattr__(self, "parts", _frozen(self.parts, np.int64))

    @classmethod
    def empty(cls, kind: ShapeKind = ShapeKind.AREA) -> Shape:
        return cls(np.empty((0, 2)), np.zeros(1, np.int64), np.zeros(1, np.int64), kind)

    @classmethod
    def from_parts(cls, parts: Iterable[Sequence[ArrayLike]], kind: ShapeKind = ShapeKind.AREA) -> Shape:
        """Build from parts, each a sequence of open or closed rings (k, 2)."""
        coords, rings, ends = [], [0], [0]
        for part in parts:
            for ring in part:
                vertices = np.asarray(ring, np.float64).reshape(-1, 2)
                if kind is ShapeKind.AREA and len(vertices) > 1 and (vertices[0] == vertices[-1]).all():
                    vertices = vertices[:-1]
                coords.append(vertices)
                rings.append(rings[-1] + len(vertices))
            ends.append(len(rings) - 1)
        return cls(
            np.concatenate(coords) if coords else np.empty((0, 2)), np.array(rings), np.array(ends), kind
        )

    @classmethod
    def from_closed_rings(cls, coords: ArrayLike, rings: ArrayLike, parts: ArrayLike) -> Shape:
        """Build an area from offsets like those of the class, but with every ring's first vertex repeated."""
        offsets = np.asarray(rings, np.int64)
        opened = np.delete(np.asarray(coords, np.float64), offsets[1:] - 1, axis=0)
        return cls(opened, offsets - np.arange(len(offsets)), np.asarray(parts, np.int64))

    @classmethod
    def polygon(cls, shell: ArrayLike, holes: Iterable[ArrayLike] = ()) -> Shape:
        """One polygon from its shell (k, 2) and holes."""
        return cls.from_parts([[shell, *holes]])

    @classmethod
    def box(cls, x0: float, y0: float, x1: float, y1: float) -> Shape:
        return cls.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])

    @classmethod
    def points(cls, coords: ArrayLike) -> Shape:
        return cls.from_parts([[coords]], ShapeKind.POINTS)

    @classmethod
    def from_shapely(cls, geometry: Any) -> Shape:
        """Take the parts of highest dimension of a shapely geometry: polygons, else lines, else points."""
        singles = shapely.get_parts(shapely.get_parts(np.atleast_1d(geometry)))
        singles = singles[~shapely.is_empty(singles)]
        if not len(singles):
            return cls.empty()
        dimensions = shapely.get_dimensions(singles)
        kind = ShapeKind(2 - int(dimensions.max()))
        keep = singles[dimensions == dimensions.max()]
        if kind is ShapeKind.AREA:
            _, coords, (rings, parts) = shapely.to_ragged_array(keep, include_z=False)
            return cls.from_closed_rings(coords, rings, parts)
        if kind is ShapeKind.LINES:
            return cls.from_parts([[shapely.get_coordinates(g)] for g in keep], kind)
        return cls.points(shapely.get_coordinates(keep))

    def to_shapely(self) -> Any:
        """The same shape as a shapely Polygon, MultiPolygon, (Multi)LineString or (Multi)Point."""
        if self.kind is ShapeKind.POINTS:
            return shapely.MultiPoint(self.coords) if len(self.coords) != 1 else shapely.Point(self.coords[0])
        if self.kind is ShapeKind.LINES:
            lines = [shapely.LineString(rings[0]) for rings in self.to_parts()]
            return lines[0] if len(lines) == 1 else shapely.MultiLineString(lines)
        polygons = shapely.from_ragged_array(
            shapely.GeometryType.POLYGON, self.coords, (self.rings, self.parts)
        )
        return polygons[0] if len(polygons) == 1 else shapely.MultiPolygon(polygons)

    def to_closed_rings(self) -> tuple[FloatArray, IntArray]:
        """Coordinates with every ring's first vertex repeated, and ring offsets to match."""
        coords = np.insert(self.coords, self.rings[1:], self.coords[self.rings[:-1]], axis=0)
        return coords, self.rings + np.arange(len(self.rings))

    def to_parts(self) -> list[list[FloatArray]]:
        """The open rings (k, 2), grouped by part."""
        ring = [self.coords[a:b] for a, b in zip(self.rings[:-1], self.rings[1:], strict=True)]
        return [ring[a:b] for a, b in zip(self.parts[:-1], self.parts[1:], strict=True)]

    @property
    def is_empty(self) -> bool:
        return len(self.coords) == 0

    @property
    def bounds(self) -> Bounds:
        """The tight box; all NaN when the shape is empty."""
        if self.is_empty:
            return Bounds(math.nan, math.nan, math.nan, math.nan)
        low, high = self.coords.min(axis=0), self.coords.max(axis=0)
        return Bounds(float(low[0]), float(low[1]), float(high[0]), float(high[1]))

    @property
    def area(self) -> float:
        """Area in px^2, holes taken off; 0 for lines and points."""
        return float(self._geometry().area) if self.kind is ShapeKind.AREA else 0.0

    @property
    def length(self) -> float:
        """Perimeter (holes included) or line length in px."""
        return float(self._geometry().length)

    @property
    def centroid(self) -> tuple[float, float]:
        point = self._geometry().centroid
        return float(point.x), float(point.y)

    def contains(self, x: float, y: float) -> bool:
        """Whether the point lies inside the area (False in a hole)."""
        return self.kind is ShapeKind.AREA and bool(shapely.contains_xy(self._geometry(), x, y))

    def translated(self, dx: float, dy: float) -> Shape:
        return Shape(self.coords + np.array((dx, dy)), self.rings, self.parts, self.kind)

    def scaled(self, factor: float, x: float = 0.0, y: float = 0.0) -> Shape:
        """Multiply by `factor`, then shift by (x, y)."""
        return Shape(self.coords * factor + np.array((x, y)), self.rings, self.parts, self.kind)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Shape):
            return NotImplemented
        return (
            self.kind == other.kind
            and np.array_equal(self.coords, other.coords)
            and np.array_equal(self.rings, other.rings)
            and np.array_equal(self.parts, other.parts)
        )

    def __hash__(self) -> int:
        return hash((self.coords.tobytes(), self.rings.tobytes(), self.kind))

    def _geometry(self) -> Any:
        if "geometry" not in self._cache:
            self._cache["geometry"] = self.to_shapely()
        return self._cache["geometry"]
