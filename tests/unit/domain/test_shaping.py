"""Shapes made from shapes: valid, on the grid, and with the areas that sets have."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import affinity

from samdesk.domain.columns import Annotation, Table
from samdesk.domain.geometry import GRID, Bounds, Shape, ShapeKind
from samdesk.domain.outline import cleanup, repair, simplify, snap
from samdesk.domain.shaping import (
    Change,
    filled,
    filled_rows,
    grown_rows,
    intersected,
    inverse,
    locked_rows,
    merged,
    merged_rows,
    of_kind,
    parts_of,
    parts_of_rows,
    quarter_segments,
    reshaped,
    reshaped_rows,
    rows_without_fragments,
    simplified_rows,
    subtracted,
)
from samdesk.domain.tasks import Cancelled, Task
from tests.annotation_tables import annotations, shapes, star_table

quick = settings(deadline=None, max_examples=40)


@st.composite
def areas(draw: st.DrawFn) -> Shape:
    """Blobs with a hole now and then, on the grid, near each other."""
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 24))
    angle = np.sort(rng.uniform(0, 2 * np.pi, n)) + np.arange(n) * 1e-3
    turned = np.stack((np.cos(angle), np.sin(angle)), axis=1)
    middle = rng.uniform(20, 60, 2)
    outline = middle + rng.uniform(8, 24, (n, 1)) * turned
    blob = shapely.Polygon(np.round(outline * GRID) / GRID).buffer(0)
    if rng.random() < 0.5:
        blob = blob.difference(shapely.Point(middle).buffer(3))
    return merged([Shape.from_shapely(blob)])


def is_fine(shape: Shape) -> bool:
    """Valid and on the grid, or empty."""
    on_grid = np.array_equal(shape.coords * GRID, np.round(shape.coords * GRID))
    return on_grid and (shape.is_empty or bool(shapely.is_valid(shape.to_shapely())))


def slack(*many: Shape) -> float:
    """Area by which the grid may change shapes: half a step, along every outline."""
    return sum(shape.length for shape in many if not shape.is_empty) * 2 / GRID + 1e-6


def changed(shape: Shape, change: Change) -> Shape:
    """What becomes of a shape, alone in a table; empty when nothing would be left."""
    found = change(Table.from_annotations([Annotation(shape)]))
    return found.shape(0) if len(found) else Shape.empty(shape.kind)


def grown(shape: Shape, distance: float, within: Bounds | None = None) -> Shape:
    return changed(shape, grown_rows(distance, within))


class TestSets:
    @given(areas(), areas())
    @quick
    def test_the_area_of_a_union_is_that_of_the_parts_less_what_they_share(self, a: Shape, b: Shape) -> None:
        both, common = merged([a, b]), intersected([a, b])
        assert is_fine(both)
        assert is_fine(common)
        assert both.area <= a.area + b.area + slack(a, b)
        assert both.area + common.area == pytest.approx(a.area + b.area, abs=2 * slack(a, b))

    @given(areas(), areas())
    @quick
    def test_what_is_cut_out_and_what_is_left_make_the_whole(self, a: Shape, b: Shape) -> None:
        left, common = subtracted(a, [b]), intersected([a, b])
        assert is_fine(left)
        assert left.area + common.area == pytest.approx(a.area, abs=2 * slack(a, b))
        whole = merged([left, common]) if not (left.is_empty or common.is_empty) else a
        assert whole.area == pytest.approx(a.area, abs=2 * slack(a, b))

    @given(areas())
    @quick
    def test_an_inverse_covers_the_rest_and_back(self, shape: Shape) -> None:
        box = Bounds(-10, -10, 90, 90)
        rest = inverse(shape, box)
        assert is_fine(rest)
        assert rest.area == pytest.approx(10_000 - shape.area, abs=slack(shape))
        assert inverse(rest, box).area == pytest.approx(shape.area, abs=2 * slack(shape))

    def test_lines_and_points_are_put_together(self) -> None:
        line = Shape.from_parts([[[(0, 0), (5, 5)]]], ShapeKind.LINES)
        assert len(merged([line, line.translated(3, 0)]).to_parts()) == 2
        points = merged([Shape.points([(0, 0), (1, 1)]), Shape.points([(1, 1), (2, 2)])])
        assert sorted(points.coords.tolist()) == [[0, 0], [1, 1], [2, 2]]
        with pytest.raises(ValueError, match="cannot be one shape"):
            merged([line, points])

    def test_lines_and_points_are_cut_by_areas(self) -> None:
        line = Shape.from_parts([[[(0, 5), (30, 5)]]], ShapeKind.LINES)
        assert subtracted(line, [Shape.box(10, 0, 20, 10)]).length == 20
        assert subtracted(line, [Shape.box(-1, 0, 40, 10)]) == Shape.empty(ShapeKind.LINES)
        points = subtracted(Shape.points([(5, 5), (15, 5)]), [Shape.box(10, 0, 20, 10)])
        assert points.coords.tolist() == [[5, 5]]

    def test_nothing_in_common_is_empty(self) -> None:
        a, b = Shape.box(0, 0, 5, 5), Shape.box(5, 0, 10, 5)
        assert intersected([a, b]).is_empty  # an edge has no area
        assert intersected([a, Shape.points([(1, 1)])]).is_empty
        assert subtracted(a, [a]).is_empty
        assert merged([]).is_empty


class TestGrown:
    @given(areas(), st.floats(0.1, 12))
    @quick
    def test_it_contains_what_it_grew_from_and_comes_back_no_smaller(self, shape: Shape, by: float) -> None:
        larger = grown(shape, by)
        assert is_fine(larger)
        assert larger.area >= shape.area
        assert subtracted(shape, [larger]).area <= slack(shape, larger)
        closed = grown(larger, -by)
        assert subtracted(shape, [closed]).area <= slack(shape, larger) + 0.1 * shape.length

    @given(areas(), st.floats(0.1, 12), st.floats(0.1, 12))
    @quick
    def test_more_is_more_and_less_is_less(self, shape: Shape, one: float, other: float) -> None:
        few, more = sorted((one, other))
        assert grown(shape, few).area <= grown(shape, more).area + slack(shape) * 2
        smaller = grown(shape, -few)
        assert is_fine(smaller)
        assert grown(shape, -more).area <= smaller.area + slack(shape) * 2 <= shape.area + slack(shape) * 3

    def test_no_point_is_farther_away_than_asked(self) -> None:
        spike = Shape.polygon([(0, 0), (100, 1), (0, 2)])  # a mitre would reach far
        assert grown(spike, 5).bounds.x1 <= 105 + 1 / GRID

    def test_a_circle_grows_round(self) -> None:
        point = Shape.points([(50, 50)])
        for radius in (0.5, 5, 60):
            away = np.hypot(*(grown(point, radius).coords - 50).T)
            disc = grown(point, radius)
            assert away == pytest.approx(radius, abs=2 / GRID)
            assert disc.area == pytest.approx(np.pi * radius**2, rel=0.06)
        assert grown(point, -1).is_empty
        assert quarter_segments(1e9) == 32

    def test_it_stays_inside(self) -> None:
        assert grown(Shape.box(0, 0, 5, 5), 3, Bounds(0, 0, 100, 100)).bounds == (0, 0, 8, 8)

    def test_holes_shrink_before_they_close(self) -> None:
        ring = Shape.polygon([(0, 0), (40, 0), (40, 40), (0, 40)], [[(10, 10), (30, 10), (30, 30), (10, 30)]])
        assert len(grown(ring, 5).rings) == 3
        assert len(grown(ring, 11).rings) == 2

    @pytest.mark.parametrize("by", [float("nan"), float("inf")])
    def test_a_distance_is_a_number(self, by: float) -> None:
        with pytest.raises(ValueError, match="finite"):
            grown(Shape.box(0, 0, 1, 1), by)


class TestParts:
    @given(shapes())
    @quick
    def test_the_parts_are_the_whole(self, shape: Shape) -> None:
        parts = parts_of(shape)
        assert sum(part.area for part in parts) == pytest.approx(shape.area)
        assert np.array_equal(np.concatenate([part.coords for part in parts]), shape.coords)
        assert all(part.kind is shape.kind for part in parts)

    def test_small_parts_go_and_holes_are_filled(self) -> None:
        hole = [(2, 2), (4, 2), (4, 4), (2, 4)]
        shape = Shape.from_parts(
            [[[(0, 0), (10, 0), (10, 10), (0, 10)], hole], [[(20, 0), (22, 0), (22, 2)]]]
        )
        assert filled(shape).area == 102
        assert changed(shape, rows_without_fragments(3)).area == 96
        assert changed(shape, rows_without_fragments(97)).is_empty
        assert changed(shape, simplified_rows(0)) == shape


def test_an_annotation_keeps_all_but_its_shape() -> None:
    extra = {"geometry": {"isEllipse": True, "crs": 1}, "properties": {"quality": 2}}
    one = Annotation(Shape.box(0, 0, 4, 4), class_name="Tumor", provenance={"engine": "x"}, extra=extra)
    other = reshaped(one, Shape.box(0, 0, 8, 4))
    assert (other.id, other.class_name) == (one.id, "Tumor")
    assert other.provenance == {"engine": "x", "edited": True}
    assert other.extra == {"geometry": {"crs": 1}, "properties": {"quality": 2}}
    moved = reshaped(one, one.shape.translated(3, 3), moved=True, edited=False)
    assert (moved.extra, moved.provenance) == (extra, {"engine": "x"})


class TestRows:
    """Many at once are what each would be alone."""

    @given(st.lists(annotations(), min_size=1, max_size=6, unique_by=lambda one: one.id))
    @quick
    def test_they_are_what_each_would_be(self, many: list[Annotation]) -> None:
        table = Table.from_annotations(many)
        changes: list[tuple[Change, Callable[[Shape], Shape]]] = [
            (grown_rows(3.5), lambda shape: buffered(shape, 3.5)),
            (grown_rows(-2.0), lambda shape: buffered(shape, -2)),
            (grown_rows(3.5, pixel=(1.0, 2.5)), lambda shape: buffered(shape, 3.5, 2.5)),
            (simplified_rows(1.0), lambda shape: snap(simplify(shape, 1.0))),
            (rows_without_fragments(30.0), lambda shape: cleanup.without_fragments(shape, 30)),
            (filled_rows, filled),
        ]
        for change, alone in changes:
            found = reshaped_rows(table, change, Task())
            after = {one.id: one for one in found.after.annotations()}
            assert found.before.ids.tolist() == found.after.ids.tolist()
            assert not found.before.same_geometry(found.after).any()
            vanished = 0
            for one in table.annotations():
                shape = alone(one.shape)
                vanished += shape.is_empty
                if one.id in after:
                    now = after[one.id]
                    assert now == reshaped(one, now.shape)
                    assert is_fine(now.shape)
                    assert _differs(now.shape, shape) <= slack(shape)
                else:
                    assert shape.is_empty or _differs(one.shape, shape) <= slack(shape)
            assert vanished == found.vanished

    def test_all_are_merged_however_many(self) -> None:
        table = star_table(700, side=400.0, validate=True)
        whole = merged_rows(table, Task())
        alone = merged([table.shape(row) for row in range(len(table))])
        assert is_fine(whole)
        assert _differs(whole, alone) <= slack(whole)

    def test_parts_become_rows_with_what_the_whole_had(self) -> None:
        two = Shape.from_parts([[[(0, 0), (5, 0), (5, 5)]], [[(9, 9), (12, 9), (12, 12)]]])
        many = [
            Annotation(two, class_name="Tumor", name="pair", locked=False),
            Annotation(Shape.box(0, 0, 1, 1)),
        ]
        parts, rows = parts_of_rows(Table.from_annotations(many))
        assert rows.tolist() == [0]
        made = list(parts.annotations())
        assert [one.class_name for one in made] == ["Tumor", "Tumor"]
        assert [one.name for one in made] == ["pair", "pair"]
        assert sum(one.shape.area for one in made) == two.area
        assert len({one.id for one in made} | {many[0].id}) == 3

    def test_locking_changes_the_flag_only(self) -> None:
        table = star_table(3)
        locked = locked_rows(table, True)
        assert all(one.locked for one in locked.annotations())
        assert locked_rows(locked, False).same_rows(table).all()

    def test_cancelled_it_stops(self) -> None:
        task = Task()
        task.cancel()
        with pytest.raises(Cancelled):
            reshaped_rows(star_table(10), grown_rows(1), task)

    def test_the_ids_of_what_vanishes_do_not_matter(self) -> None:
        small, large = (
            Annotation(Shape.box(0, 0, 2, 2), id=uuid.UUID(int=5)),
            Annotation(Shape.box(0, 0, 9, 9)),
        )
        found = reshaped_rows(Table.from_annotations([small, large]), grown_rows(-2), Task())
        assert (found.vanished, len(found.after)) == (1, 1)
        assert found.after.id(0) == large.id


def buffered(shape: Shape, distance: float, height: float = 1.0) -> Shape:
    """By shapely itself; `height` of a pixel whose width is 1."""
    geometry = affinity.scale(repair(shape)[0].to_shapely(), 1, height, origin=(0, 0))
    made = shapely.buffer(geometry, distance, quad_segs=quarter_segments(abs(distance)))
    return of_kind(ShapeKind.AREA, affinity.scale(made, 1, 1 / height, origin=(0, 0)))


def _differs(a: Shape, b: Shape) -> float:
    """How much of either is not in the other: area, or for lines the difference of lengths."""
    if a.kind is not b.kind or a.is_empty or b.is_empty:
        return 0.0 if a.is_empty and b.is_empty else np.inf
    if a.kind is ShapeKind.AREA:
        return float(a.to_shapely().symmetric_difference(b.to_shapely()).area)
    return abs(a.length - b.length) if a.kind is ShapeKind.LINES else float(np.abs(a.coords - b.coords).max())
