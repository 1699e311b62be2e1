"""Handles, forms and read-outs: what holds for any shape."""

from __future__ import annotations

import math

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from samdesk.app.tools.forms import box_between, is_rectangle
from samdesk.app.tools.handles import VertexHandles, edge_at, handles_of, with_vertex
from samdesk.app.tools.readout import area_text, length_text, size_text
from samdesk.domain.columns import Annotation
from samdesk.domain.ellipse import ellipse_in
from samdesk.domain.geometry import GRID, Bounds, Shape, ShapeKind
from samdesk.domain.outline import snap
from samdesk.domain.shaping import clipped
from samdesk.images.source import PixelSize

STEPS = st.integers(-100 * GRID, 500 * GRID).map(lambda steps: steps / GRID)
PLACES = st.tuples(STEPS, STEPS)
RINGS = st.lists(PLACES, min_size=3, max_size=12)


@given(RINGS, PLACES, st.integers(0, 11))
def test_a_vertex_moved_there_and_back_is_where_it_was(
    ring: list[tuple[float, float]], place: tuple[float, float], index: int
) -> None:
    shape = Shape.polygon(ring)
    index %= len(shape.coords)
    moved = VertexHandles(shape, 0.0).moved(index, *place)
    assert VertexHandles(moved, 0.0).moved(index, *shape.coords[index]) == shape


@given(RINGS, PLACES, st.integers(0, 11))
def test_whatever_is_moved_the_result_is_valid_or_nothing(
    ring: list[tuple[float, float]], place: tuple[float, float], index: int
) -> None:
    shape = snap(Shape.polygon(ring))
    if shape.is_empty:
        return
    grips = handles_of(Annotation(shape), 1e-9)
    if len(grips.points):
        kept = clipped(grips.moved(index % len(grips.points), *place), 400, 300)
        if not kept.is_empty:
            assert shapely.is_valid(kept.to_shapely())
            assert Bounds(0, 0, 400, 300).union(kept.bounds) == Bounds(0, 0, 400, 300)


@given(RINGS, PLACES)
def test_moving_keeps_the_area(ring: list[tuple[float, float]], way: tuple[float, float]) -> None:
    shape = snap(Shape.polygon(ring))
    moved = shape.translated(*way)
    assert snap(moved) == moved
    assert moved.area == shape.area or math.isclose(moved.area, shape.area, rel_tol=1e-9)


@given(RINGS, PLACES)
def test_a_vertex_on_an_edge_does_not_change_the_outline(
    ring: list[tuple[float, float]], place: tuple[float, float]
) -> None:
    shape = snap(Shape.polygon(ring))
    if shape.is_empty:
        return
    found = edge_at(shape, *place, reach=math.inf)
    assert found is not None
    more = with_vertex(shape, *found)
    assert len(more.coords) == len(shape.coords) + 1
    assert more.length == pytest.approx(shape.length)
    assert VertexHandles(more, 0.0).without(found[0] + 1) == shape


@given(PLACES, PLACES, st.booleans())
def test_a_box_lies_between_its_corners(
    start: tuple[float, float], end: tuple[float, float], square: bool
) -> None:
    box = box_between(*start, *end, square=square)
    assert box.contains(*start)
    if square:
        assert box.width == pytest.approx(box.height)
    else:
        assert box.contains(*end)


@given(st.floats(0.5, 50_000), st.floats(0.5, 50_000))
def test_an_ellipse_fills_its_box_and_is_close_to_one(width: float, height: float) -> None:
    box = Bounds(10, 20, 10 + width, 20 + height)
    shape = ellipse_in(box)
    assert shape.bounds == pytest.approx(box, abs=1e-6)
    assert shape.area == pytest.approx(math.pi / 4 * width * height, rel=0.01)
    assert len(shape.coords) <= 720


@pytest.mark.parametrize(
    ("ring", "yes"),
    [
        ([(0, 0), (9, 0), (9, 5), (0, 5)], True),
        ([(0, 5), (0, 0), (9, 0), (9, 5)], True),
        ([(0, 0), (9, 1), (9, 5), (0, 5)], False),
        ([(0, 0), (9, 0), (4, 0), (4, 5)], False),
        ([(0, 0), (9, 0), (9, 5)], False),
    ],
)
def test_rectangles_are_recognized(ring: list[tuple[float, float]], yes: bool) -> None:
    assert is_rectangle(Shape.polygon(ring)) is yes
    assert not is_rectangle(Shape.from_parts([[ring]], ShapeKind.LINES))


def test_a_hole_keeps_three_vertices_and_stays_in_its_shell() -> None:
    hole = [(20, 20), (60, 20), (40, 60)]
    shape = Shape.polygon([(0, 0), (100, 0), (100, 100), (50, 110), (0, 100)], [hole])
    grips = handles_of(Annotation(shape), 0.0)
    assert grips.without(6) is None
    fewer = grips.without(1)
    assert fewer is not None
    assert fewer.to_parts()[0][1].tolist() == [list(map(float, p)) for p in hole]


def test_what_the_image_cuts_and_what_it_does_not() -> None:
    inside = Shape.box(1, 1, 5, 5)
    assert clipped(inside, 10, 10) is inside
    assert clipped(Shape.box(-5, -5, 5, 5), 10, 10).area == 25
    assert clipped(Shape.box(20, 20, 30, 30), 10, 10).is_empty
    line = Shape.from_parts([[[(-5, 5), (15, 5)]]], ShapeKind.LINES)
    assert clipped(line, 10, 10).length == 10
    assert len(clipped(Shape.points([(5, 5), (50, 5)]), 10, 10).coords) == 1


def test_read_outs_are_in_the_unit_of_the_image() -> None:
    half = PixelSize(0.5, 0.5)
    assert size_text(-100, 41, half) == "50 × 20.5 µm"
    assert size_text(100, 41, None) == "100 × 41 px"
    assert length_text([(0, 0), (3000, 4000)], half) == "2.5 mm"
    assert area_text(8_000_000, half) == "2 mm²"
    assert area_text(12_345, PixelSize(0.5, 0.5, unit="um")) == "3,086 µm²"
    assert area_text(10, PixelSize(2, 2, unit="nm")) == "40 nm²"
