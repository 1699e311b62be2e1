"""Simplify, repair, snap, round, fill: valid results that say what they changed."""

from __future__ import annotations

import json
import re

import cv2
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from samdesk.domain.geometry import GRID, FloatArray, Shape, ShapeKind
from samdesk.domain.outline import (
    fill_holes,
    iou,
    mask_to_shape,
    repair,
    round_for_export,
    simplify,
    snap,
)

quick = settings(deadline=None, max_examples=100)

BOW_TIE = [(0, 0), (4, 4), (4, 0), (0, 4)]
SQUARE = [(0, 0), (10, 0), (10, 10), (0, 10)]
LINE = [(0, 0), (1, 0.2), (2, 0), (2, 5)]


def is_valid(shape: Shape) -> bool:
    return bool(shapely.is_valid(shape.to_shapely()))


def speckled(seed: int) -> Shape:
    rng = np.random.default_rng(seed)
    noise = rng.random(rng.integers(4, 40, 2)).astype(np.float32)
    sigma = rng.choice([0.0, 1.0, 2.0])
    return mask_to_shape((cv2.GaussianBlur(noise, (0, 0), sigma) if sigma else noise) < 0.5)


@st.composite
def tangles(draw: st.DrawFn) -> Shape:
    """Rings without any manners: crossing, overlapping, degenerate, holes anywhere."""
    vertex = st.tuples(st.integers(0, 24), st.integers(0, 24))
    ring = st.lists(vertex, min_size=0, max_size=7)
    parts = draw(st.lists(st.lists(ring, min_size=1, max_size=3), min_size=1, max_size=3))
    step = draw(st.sampled_from([1.0, 0.31, 0.003, 0.0005]))
    return Shape.from_parts(parts).scaled(step, *draw(st.sampled_from([(0, 0), (0.1, 0.7), (98765.4321, 3)])))


def reversed_rings(shape: Shape) -> Shape:
    return Shape.from_parts([[ring[::-1] for ring in part] for part in shape.to_parts()], shape.kind)


class TestSimplify:
    @given(st.integers(0, 2**32 - 1), st.sampled_from([0.3, 0.5, 0.71, 1.0, 2.5]))
    @settings(deadline=None, max_examples=200)
    def test_stays_within_the_tolerance_and_keeps_parts_and_holes(self, seed: int, tolerance: float) -> None:
        shape = speckled(seed)
        simple = simplify(shape, tolerance)
        assert is_valid(simple)
        assert simple.parts.tolist() == shape.parts.tolist()
        assert len(simple.rings) == len(shape.rings)
        assert len(simple.coords) <= len(shape.coords)
        if not shape.is_empty:
            outline = shapely.boundary(simple.to_shapely())
            assert shapely.distance(outline, shapely.points(shape.coords)).max() <= tolerance + 1e-9

    def test_drops_what_it_may(self) -> None:
        angles = np.linspace(0, 2 * np.pi, 400, endpoint=False)
        disc = Shape.polygon(100 * np.stack((np.cos(angles), np.sin(angles)), axis=1))
        simple = simplify(disc, 0.5)
        assert len(simple.coords) < 60
        assert iou(disc, simple) > 0.99

    def test_zero_changes_nothing(self) -> None:
        shape = Shape.polygon([(0, 0), (1, 0), (2, 0), (2, 2)])
        assert simplify(shape, 0) is shape

    @pytest.mark.parametrize("tolerance", [-1, np.nan, np.inf])
    def test_a_tolerance_that_means_nothing_is_refused(self, tolerance: float) -> None:
        with pytest.raises(ValueError, match="tolerance"):
            simplify(Shape.box(0, 0, 1, 1), tolerance)

    def test_lines_keep_their_ends_and_points_stay(self) -> None:
        line = Shape.from_parts([[LINE], [[(5, 5), (6, 6)]]], ShapeKind.LINES)
        simple = simplify(line, 0.5)
        assert [part[0].tolist() for part in simple.to_parts()] == [
            [[0, 0], [2, 0], [2, 5]],
            [[5, 5], [6, 6]],
        ]
        points = Shape.points([(0, 0), (0, 0.1)])
        assert simplify(points, 5) is points

    def test_an_invalid_shape_is_repaired_first(self) -> None:
        assert simplify(Shape.polygon(BOW_TIE), 0.1).area == 8


class TestRepair:
    @given(st.integers(0, 2**32 - 1))
    @settings(deadline=None, max_examples=30)
    def test_a_valid_shape_comes_back_itself(self, seed: int) -> None:
        shape = speckled(seed)
        assert repair(shape) == (shape, False)
        assert repair(shape)[0] is shape

    @given(tangles())
    @settings(deadline=None, max_examples=300)
    def test_anything_becomes_valid_once_and_for_all(self, shape: Shape) -> None:
        repaired, changed = repair(shape)
        assert repaired.kind is ShapeKind.AREA
        assert is_valid(repaired)
        assert repair(repaired)[0] is repaired
        assert changed is (repaired is not shape)

    def test_a_bow_tie_becomes_two_parts(self) -> None:
        repaired, changed = repair(Shape.polygon(BOW_TIE))
        assert changed
        assert len(repaired.parts) - 1 == 2
        assert repaired.area == 8

    def test_overlapping_parts_are_counted_once(self) -> None:
        shape = Shape.from_parts([[SQUARE], [np.array(SQUARE) + 5]])
        assert repair(shape)[0].area == 175

    def test_a_hole_across_the_shell_is_cut_out(self) -> None:
        shape = Shape.polygon(SQUARE, [[(5, 2), (15, 2), (15, 4), (5, 4)]])
        assert repair(shape)[0].area == 90

    def test_a_hole_outside_its_shell_becomes_a_part(self) -> None:
        shape = Shape.polygon(SQUARE, [np.array(SQUARE) + 20])
        assert repair(shape)[0] == Shape.from_parts([[SQUARE], [np.array(SQUARE) + 20]])

    def test_a_part_without_a_shell_goes_with_its_holes(self) -> None:
        shape = Shape.from_parts([[SQUARE[:2], [(1, 1), (1, 2), (2, 2)]], [np.array(SQUARE) + 20]])
        repaired, changed = repair(shape)
        assert changed
        assert repaired == Shape.polygon(np.array(SQUARE) + 20)

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_vertices_that_are_not_finite_are_dropped(self, bad: float) -> None:
        repaired, changed = repair(Shape.polygon([*SQUARE, (bad, 5)]))
        assert changed
        assert repaired == Shape.polygon(SQUARE)

    @pytest.mark.parametrize(
        "ring",
        [
            [],
            [(0, 0)],
            [(0, 0), (1, 1)],
            [(0, 0), (1, 1), (2, 2)],
            [(1, 1)] * 5,
            [(0, 0), (1, 1), (0, 0), (0, 0)],
        ],
    )
    def test_what_has_no_area_is_dropped(self, ring: list[tuple[int, int]]) -> None:
        repaired, changed = repair(Shape.from_parts([[ring]]))
        assert changed
        assert repaired == Shape.empty()

    @pytest.mark.parametrize("seed", [210, 429, 618, 1441, 9245])
    def test_crossings_finer_than_floats_can_hold(self, seed: int) -> None:
        """Seeds whose rings make the first method of GEOS answer wrongly (the last one: fail)."""
        rng = np.random.default_rng(seed)
        scale = (0.0007, 0.0031, 0.011)[seed % 3]
        far = 98765.4321
        x, y = ((0.1, far), (far, 0.1), (far, far))[seed // 3 % 3]
        rings = [rng.integers(0, 60, (rng.integers(8, 30), 2)) for _ in range(rng.integers(1, 4))]
        shape = Shape.from_parts([rings]).scaled(scale, x, y)
        for one in (repair(shape)[0], snap(shape), round_for_export(shape), fill_holes(shape)):
            assert is_valid(one)
        assert repair(shape)[0].area > 0

    def test_lines_and_points(self) -> None:
        lines = Shape.from_parts([[LINE], [[(3, 3), (3, 3)]], [[(1, np.nan), (2, 2)]]], ShapeKind.LINES)
        assert repair(lines) == (Shape.from_parts([[LINE]], ShapeKind.LINES), True)
        assert repair(Shape.points([(1, 2), (np.nan, 3)])) == (Shape.points([(1, 2)]), True)
        points = Shape.points([(1, 2), (1, 2)])
        assert repair(points)[0] is points
        assert repair(Shape.empty()) == (Shape.empty(), False)


class TestSnap:
    @given(st.integers(0, 2**32 - 1))
    @settings(deadline=None, max_examples=30)
    def test_an_outline_on_pixel_edges_comes_back_itself(self, seed: int) -> None:
        shape = speckled(seed)
        assert snap(shape) is shape

    @given(tangles())
    @settings(deadline=None, max_examples=300)
    def test_everything_ends_valid_on_the_grid(self, shape: Shape) -> None:
        snapped = snap(shape)
        assert is_valid(snapped)
        assert (snapped.coords * GRID == np.round(snapped.coords * GRID)).all()
        assert snap(snapped) is snapped

    def test_vertices_move_by_half_a_step_at_most(self) -> None:
        coords = np.random.default_rng(0).uniform(0, 1000, (3, 2))
        assert np.abs(snap(Shape.polygon(coords)).coords - coords).max() <= 0.5 / GRID

    def test_what_lies_within_one_step_vanishes(self) -> None:
        assert snap(Shape.box(0.0001, 0.0001, 0.0015, 0.0015)).is_empty


class TestRoundForExport:
    @given(tangles())
    @settings(deadline=None, max_examples=400)
    def test_everything_ends_valid_in_the_text_of_a_file(self, shape: Shape) -> None:
        rounded = round_for_export(shape)
        text = json.dumps(rounded.coords.tolist())
        written = Shape(json.loads(text) or np.empty((0, 2)), rounded.rings, rounded.parts)
        assert is_valid(written)
        assert not re.search(r"\.\d{3}|e", text)
        for shell, *holes in written.to_parts():
            assert shapely.area(shapely.Polygon(shell, holes)) > 0.0099
            assert shapely.is_ccw(shapely.linearrings(shell))
            assert not any(shapely.is_ccw(shapely.linearrings(hole)) for hole in holes)

    def test_slivers_are_dropped_and_the_rest_kept(self) -> None:
        shape = Shape.from_parts(
            [[SQUARE], [[(20, 0), (30, 0), (30, 0.0009)]], [[(40, 0), (40.09, 0), (40, 0.1)]]]
        )
        assert round_for_export(shape) == Shape.polygon(SQUARE)

    def test_a_frame_counts_without_its_hole(self) -> None:
        for width, kept in ((0.01, False), (0.02, True)):
            hole = [(width, width), (width, 0.2 - width), (0.2 - width, 0.2 - width), (0.2 - width, width)]
            frame = Shape.polygon([(0, 0), (0.2, 0), (0.2, 0.2), (0, 0.2)], [hole])
            assert round_for_export(frame).is_empty is not kept

    def test_a_neck_that_closes_by_rounding_parts_the_shape(self) -> None:
        hourglass = Shape.polygon(
            [(0, 0), (4, 0), (4, 2), (2.001, 2.002), (4, 4), (0, 4), (1.999, 2.002), (0, 2)]
        )
        assert is_valid(hourglass)
        rounded = round_for_export(hourglass)
        assert is_valid(rounded)
        assert len(rounded.parts) - 1 == 2
        assert rounded.area == pytest.approx(hourglass.area, abs=0.05)

    def test_a_round_shape_moves_by_half_a_step_at_most(self) -> None:
        angles = np.linspace(0, 6, 50)
        coords = 70000 + 30 * np.stack((np.cos(angles), np.sin(angles)), axis=1)
        rounded = round_for_export(Shape.polygon(coords))
        assert np.abs(rounded.coords - coords).max() <= 0.005 + 1e-9

    def test_windings_follow_the_standard(self) -> None:
        shape = Shape.polygon(SQUARE, [[(1, 1), (2, 1), (2, 2)]])
        for one in (shape, reversed_rings(shape)):
            shell, hole = round_for_export(one).to_parts()[0]
            assert shapely.is_ccw(shapely.linearrings(shell))
            assert not shapely.is_ccw(shapely.linearrings(hole))

    def test_repeated_vertices_go(self) -> None:
        shape = Shape.polygon([(0, 0), (10, 0), (10.001, 0.001), (10, 10), (0, 10)])
        assert round_for_export(shape) == Shape.polygon(SQUARE)

    def test_lines_and_points_are_rounded(self) -> None:
        closed = Shape.from_parts([[[(0, 0), (1.234, 0), (1.2341, 0), (0, 0)]]], ShapeKind.LINES)
        expected = Shape.from_parts([[[(0, 0), (1.23, 0), (0, 0)]]], ShapeKind.LINES)
        assert round_for_export(closed) == expected
        assert round_for_export(Shape.points([(0.126, 1), (0.126, 1)])) == Shape.points(
            [(0.13, 1), (0.13, 1)]
        )

    def test_nothing_stays_nothing(self) -> None:
        assert round_for_export(Shape.empty()).is_empty


class TestFillHoles:
    def test_holes_and_the_islands_in_them_become_one(self) -> None:
        rings = [np.array(SQUARE) * factor + 50 - 5 * factor for factor in (8, 6, 4, 2)]
        shape = Shape.from_parts([[rings[0], rings[1][::-1]], [rings[2], rings[3][::-1]]])
        assert is_valid(shape)
        filled = fill_holes(shape)
        assert shapely.equals(filled.to_shapely(), shapely.box(10, 10, 90, 90))

    def test_parts_without_holes_stay(self) -> None:
        shape = Shape.from_parts([[SQUARE], [np.array(SQUARE) + 20]])
        assert fill_holes(shape) is shape

    def test_one_part_keeps_its_vertices(self) -> None:
        assert fill_holes(Shape.polygon(SQUARE, [[(1, 1), (1, 2), (2, 2)]])) == Shape.polygon(SQUARE)

    def test_lines_have_none(self) -> None:
        line = Shape.from_parts([[LINE]], ShapeKind.LINES)
        assert fill_holes(line) is line

    @given(st.integers(0, 2**32 - 1))
    @quick
    def test_all_that_was_inside_still_is(self, seed: int) -> None:
        shape = speckled(seed)
        filled = fill_holes(shape)
        assert is_valid(filled)
        assert all(len(part) == 1 for part in filled.to_parts())
        assert shapely.difference(shape.to_shapely(), filled.to_shapely()).area == 0


class TestIou:
    @pytest.mark.parametrize(
        ("other", "expected"),
        [
            (Shape.box(0, 0, 10, 10), 1),
            (Shape.box(5, 0, 15, 10), 50 / 150),
            (Shape.box(10, 0, 20, 10), 0),
            (Shape.polygon(SQUARE, [[(2, 2), (2, 8), (8, 8), (8, 2)]]), 0.64),
            (Shape.empty(), 0),
            (Shape.points([(1, 1)]), 0),
        ],
    )
    def test_against_a_square(self, other: Shape, expected: float) -> None:
        square = Shape.polygon(SQUARE)
        assert iou(square, other) == pytest.approx(expected)
        assert iou(other, square) == pytest.approx(expected)

    def test_two_empty_shapes_agree(self) -> None:
        assert iou(Shape.empty(), Shape.from_parts([[LINE]], ShapeKind.LINES)) == 1

    @given(tangles(), tangles())
    @quick
    def test_a_number_between_0_and_1_for_anything(self, a: Shape, b: Shape) -> None:
        assert 0 <= iou(a, b) <= 1 + 1e-9
        assert iou(a, a) == pytest.approx(1)


def test_coordinates_far_from_the_origin_keep_their_fragments() -> None:
    far: FloatArray = np.array([(0, 0), (0.2, 0), (0.2, 0.2), (0, 0.2)]) + 200_000
    assert round_for_export(Shape.polygon(far)).area == pytest.approx(0.04, rel=1e-3)
