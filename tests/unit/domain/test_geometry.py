"""Bounds, regions and shapes: one frame, and values that cannot change."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from samdesk.domain.geometry import Bounds, Plane, Region, Shape, ShapeKind, following

FRAME = [(0, 0), (10, 0), (10, 8), (0, 8)]
HOLE = [(2, 2), (2, 4), (5, 4), (5, 2)]
ISLAND = [(20, 20), (22, 20), (21, 23)]


def framed() -> Shape:
    return Shape.from_parts([[FRAME, HOLE], [ISLAND]])


def test_a_plane_starts_at_the_first_slice() -> None:
    assert Plane() == (0, 0)


class TestBounds:
    def test_sizes(self) -> None:
        box = Bounds(1, 2, 4, 10)
        assert (box.width, box.height, box.center) == (3, 8, (2.5, 6))

    @pytest.mark.parametrize(
        ("box", "empty"),
        [
            (Bounds(0, 0, 1, 1), False),
            (Bounds(0, 0, 0, 1), True),
            (Bounds(2, 0, 1, 1), True),
            (Bounds(math.nan, 0, 1, 1), True),
        ],
    )
    def test_emptiness(self, box: Bounds, empty: bool) -> None:
        assert box.is_empty is empty

    def test_touching_boxes_intersect_in_an_empty_box(self) -> None:
        a, b = Bounds(0, 0, 2, 2), Bounds(2, 1, 3, 3)
        assert a.intersects(b)
        assert a.intersection(b).is_empty
        assert not a.intersects(Bounds(2.01, 0, 3, 1))

    def test_union_expansion_and_containment(self) -> None:
        assert Bounds(0, 0, 1, 1).union(Bounds(3, -2, 4, 0)) == Bounds(0, -2, 4, 1)
        assert Bounds(0, 0, 1, 1).expanded(2) == Bounds(-2, -2, 3, 3)
        assert Bounds(0, 0, 1, 1).contains(1, 0)
        assert not Bounds(0, 0, 1, 1).contains(1.1, 0)


class TestRegion:
    def test_array_edges_are_image_edges(self) -> None:
        region = Region(100, 50, 8, 4, 2.5)
        assert region.bounds == Bounds(100, 50, 120, 60)
        assert region.to_image([(0, 0), (8, 4)]).tolist() == [[100, 50], [120, 60]]
        assert region.to_array([(100, 50), (120, 60)]).tolist() == [[0, 0], [8, 4]]

    @given(
        st.floats(-1e5, 1e5), st.floats(-1e5, 1e5), st.sampled_from([1.0, 2.0, 3.7, 16.0]), st.floats(0, 1024)
    )
    @settings(deadline=None, max_examples=50)
    def test_there_and_back(self, x: float, y: float, downsample: float, at: float) -> None:
        region = Region(x, y, 1024, 1024, downsample)
        back = region.to_array(region.to_image([(at, at)]))
        assert back == pytest.approx(at, abs=1e-9)


class TestShape:
    def test_offsets_tell_rings_and_parts(self) -> None:
        shape = framed()
        assert shape.rings.tolist() == [0, 4, 8, 11]
        assert shape.parts.tolist() == [0, 2, 3]
        assert [[len(ring) for ring in part] for part in shape.to_parts()] == [[4, 4], [3]]

    def test_measures_take_holes_off(self) -> None:
        shape = framed()
        assert shape.area == 80 - 6 + 3
        assert Shape.polygon(FRAME, [HOLE]).length == 36 + 10
        assert Shape.box(1, 2, 3, 6).centroid == (2, 4)
        assert shape.bounds == Bounds(0, 0, 22, 23)
        assert shape.contains(1, 1)
        assert not shape.contains(3, 3)

    def test_closed_and_open_rings_are_the_same(self) -> None:
        assert Shape.polygon([*FRAME, FRAME[0]]) == Shape.polygon(FRAME)

    def test_shapely_and_back(self) -> None:
        shape = framed()
        geometry = shape.to_shapely()
        assert geometry.geom_type == "MultiPolygon"
        assert Shape.from_shapely(geometry) == shape
        assert Shape.polygon(FRAME).to_shapely().geom_type == "Polygon"

    @pytest.mark.parametrize(
        ("shape", "kind"),
        [
            (Shape.from_parts([[[(0, 0), (3, 4)]]], ShapeKind.LINES), "LineString"),
            (Shape.from_parts([[[(0, 0), (3, 4)]], [[(5, 5), (6, 6)]]], ShapeKind.LINES), "MultiLineString"),
            (Shape.points([(1, 2)]), "Point"),
            (Shape.points([(1, 2), (3, 4)]), "MultiPoint"),
        ],
    )
    def test_lines_and_points_through_shapely(self, shape: Shape, kind: str) -> None:
        geometry = shape.to_shapely()
        assert geometry.geom_type == kind
        assert Shape.from_shapely(geometry) == shape
        assert shape.area == 0
        assert not shape.contains(*shape.coords[0])

    def test_a_line_has_a_length(self) -> None:
        assert Shape.from_parts([[[(0, 0), (3, 4)]]], ShapeKind.LINES).length == 5

    def test_the_highest_dimension_of_a_mixture_is_kept(self) -> None:
        mixture = shapely.GeometryCollection(
            [shapely.Point(0, 0), shapely.box(0, 0, 1, 1), shapely.LineString([(0, 0), (9, 9)])]
        )
        shape = Shape.from_shapely(mixture)
        assert (shape.kind, shape.area) == (ShapeKind.AREA, 1)

    def test_heights_are_dropped(self) -> None:
        shape = Shape.from_shapely(shapely.Polygon([(0, 0, 5), (1, 0, 5), (1, 1, 5)]))
        assert shape.coords.tolist() == [[0, 0], [1, 0], [1, 1]]

    def test_empty(self) -> None:
        shape = Shape.empty()
        assert shape.is_empty
        assert shape.area == 0
        assert all(math.isnan(edge) for edge in shape.bounds)
        assert shape.to_shapely().is_empty
        assert Shape.from_shapely(shape.to_shapely()) == shape
        assert Shape.from_shapely(shapely.Polygon()).is_empty

    def test_closed_rings_there_and_back(self) -> None:
        shape = framed()
        coords, rings = shape.to_closed_rings()
        assert rings.tolist() == [0, 5, 10, 14]
        assert (coords[rings[:-1]] == coords[rings[1:] - 1]).all()
        assert Shape.from_closed_rings(coords, rings, shape.parts) == shape

    def test_arrays_are_read_only_and_the_callers_stays_writable(self) -> None:
        mine = np.array(FRAME, np.float64)
        shape = Shape(mine, np.array([0, 4]), np.array([0, 1]))
        with pytest.raises(ValueError, match="read-only"):
            shape.coords[0] = 5
        mine[0] = 7
        assert shape.coords[0].tolist() == [0, 0]

    def test_moving_and_scaling(self) -> None:
        shape = framed()
        assert shape.translated(3, -1).bounds == Bounds(3, -1, 25, 22)
        assert shape.scaled(2, 100, 0).bounds == Bounds(100, 0, 144, 46)
        assert shape.scaled(2).area == 4 * shape.area

    def test_equality_and_hash_follow_the_values(self) -> None:
        assert framed() == framed()
        assert hash(framed()) == hash(framed())
        assert framed() != framed().translated(1, 0)
        assert Shape.polygon(ISLAND) != Shape.from_parts([[ISLAND]], ShapeKind.LINES)
        assert framed() != "framed"


@given(st.lists(st.integers(0, 5), max_size=8))
@settings(deadline=None, max_examples=50)
def test_following_walks_each_ring_once_around(sizes: list[int]) -> None:
    rings = np.cumsum([0, *sizes])
    after = following(rings)
    for start, end in pairwise(rings):
        assert after[start:end].tolist() == np.roll(np.arange(start, end), -1).tolist()
