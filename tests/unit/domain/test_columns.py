from __future__ import annotations

import uuid
from dataclasses import replace

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from samdesk.domain.columns import (
    DEFAULT_CLASSES,
    Annotation,
    AnnotationClass,
    Repairs,
    Table,
    cleaning,
    color_of_name,
    id_bytes,
)
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import GRID, Plane, Shape, ShapeKind
from tests.annotation_tables import CLASSES, NAMED, annotations, content, shapes, star_coords, star_table

quick = settings(deadline=None, max_examples=60)


# Annotation


def test_annotation_keeps_nothing_of_what_its_maker_may_change() -> None:
    measurements = {"Area": 1.0}
    annotation = Annotation(Shape.box(0, 0, 1, 1), measurements=measurements)
    measurements["Area"] = 2.0
    assert annotation.measurements == {"Area": 1.0}


def test_changing_a_value_read_from_a_table_does_not_change_the_table() -> None:
    table = Table.from_annotations([Annotation(Shape.box(0, 0, 1, 1), measurements={"Area": 1.0})])
    table.annotation(0).measurements["Area"] = 2.0  # type: ignore[index]
    assert table.annotation(0).measurements == {"Area": 1.0}


def test_empty_class_name_is_unclassified() -> None:
    assert Annotation(Shape.box(0, 0, 1, 1), class_name="").class_name is None


def test_every_annotation_gets_an_id_of_its_own() -> None:
    one, two = Annotation(Shape.box(0, 0, 1, 1)), Annotation(Shape.box(0, 0, 1, 1))
    assert one.id != two.id
    assert one != two
    assert len({one, two, replace(one, name="x")}) == 3


def test_color_of_name_is_the_same_in_every_run() -> None:
    assert color_of_name("Mitosis") == (242, 120, 27)
    assert color_of_name("Mitosis") != color_of_name("Mitoses")


def test_default_classes_have_names_of_their_own() -> None:
    assert len({one.name for one in DEFAULT_CLASSES}) == len(DEFAULT_CLASSES) == 9


# Round trips


@quick
@given(st.lists(annotations(), max_size=6))
def test_annotations_survive_columns(many: list[Annotation]) -> None:
    table = Table.from_annotations(many, CLASSES)
    assert list(table.annotations()) == many
    assert len(table) == len(many)
    assert table.classes[:2] == CLASSES


@quick
@given(st.lists(annotations(), max_size=6), st.data())
def test_take_and_concat_are_those_of_a_list(many: list[Annotation], data: st.DataObject) -> None:
    split = data.draw(st.integers(0, len(many)))
    both = Table.concat([Table.from_annotations(many[:split]), Table.from_annotations(many[split:])])
    assert list(both.annotations()) == many
    rows = data.draw(st.lists(st.integers(0, max(len(many) - 1, 0)), max_size=6 if many else 0))
    assert list(both.take(rows).annotations()) == [many[row] for row in rows]


@quick
@given(shapes())
def test_bounds_hold_the_shape(shape: Shape) -> None:
    table = Table.from_annotations([Annotation(shape)])
    assert tuple(table.bounds[0]) == shape.bounds
    assert table.bounding_box() == shape.bounds


@pytest.mark.parametrize("x", [70_000 + 1 / GRID, -70_000 - 1 / GRID, 8_000_000 + 3 / GRID])
def test_bounds_far_away_are_rounded_outward(x: float) -> None:
    x0, y0, x1, y1 = Table.from_annotations([Annotation(Shape.box(x, 0, x + 1, 1))]).bounds[0].astype(float)
    assert x0 <= x < x + 1 <= x1
    assert x1 - x0 - 1 <= 2 * np.spacing(np.float32(abs(x) + 1))
    assert (y0, y1) == (0, 1)


def test_an_empty_table() -> None:
    table = Table.empty(CLASSES)
    assert (len(table), table.bounding_box(), list(table.annotations())) == (0, None, [])
    assert len(Table.concat([])) == 0
    assert len(Table.concat([table, table])) == 0


# Snapping and repairing


tenths = st.integers(-90, 90).map(lambda k: k / 10)


@quick
@given(st.lists(st.lists(st.tuples(tenths, tenths), min_size=3, max_size=9), min_size=1, max_size=4))
def test_any_polygon_becomes_valid_on_the_grid_or_is_reported(rings: list[list[tuple[float, float]]]) -> None:
    many = [Annotation(Shape.polygon(ring)) for ring in rings]
    repairs = Repairs()
    table = Table.from_annotations(many, repairs=repairs)
    kept = [one for row, one in enumerate(many) if row not in repairs.dropped]
    assert [table.id(row) for row in range(len(table))] == [one.id for one in kept]
    for annotation, original in zip(table.annotations(), kept, strict=True):
        geometry = annotation.shape.to_shapely()
        assert geometry.is_valid
        assert annotation.shape.area > 0
        whole = shapely.make_valid(original.shape.to_shapely(), method="structure")
        assert geometry.symmetric_difference(whole).area <= original.shape.length / GRID


def test_coordinates_are_rounded_to_the_grid() -> None:
    triangle = np.array([(0.001, 0.0019), (10.002, 0.003), (5.00195, 9.9)])
    table = Table.from_annotations([Annotation(Shape.polygon(triangle))])
    assert table.coords.tolist() == [[0, 0], [2561, 1], [1280, 2534]]


def test_a_bow_tie_is_repaired_and_reported() -> None:
    repairs = Repairs()
    fine, tie = Shape.box(0, 0, 4, 4), Shape.polygon([(0, 0), (10, 10), (10, 0), (0, 10)])
    table = Table.from_annotations([Annotation(s) for s in (fine, tie, fine)], repairs=repairs)
    assert (repairs.dropped, repairs.repaired) == ([], [1])
    assert table.shape(1).to_shapely().is_valid
    assert table.shape(1).area == 50
    assert (table.shape(0), table.shape(2)) == (fine, fine)


def test_overlapping_parts_are_united() -> None:
    overlapping = Shape.from_parts([[[(0, 0), (4, 0), (4, 4), (0, 4)]], [[(2, 0), (6, 0), (6, 4), (2, 4)]]])
    assert Table.from_annotations([Annotation(overlapping)]).shape(0).area == 24


def test_repeated_and_closing_vertices_are_dropped() -> None:
    ring = [(0, 0), (0, 0), (4, 0), (4, 0.0001), (4, 4), (0, 4), (0, 0)]
    shape = Shape(np.array(ring), np.array([0, 7]), np.array([0, 1]))
    assert Table.from_annotations([Annotation(shape)]).shape(0) == Shape.box(0, 0, 4, 4)


def test_a_ring_may_begin_where_the_ring_before_it_ends() -> None:
    many = [Shape.polygon([(0, 0), (4, 0), (0, 4)]), Shape.polygon([(0, 4), (4, 4), (4, 8)])]
    table = Table.from_annotations([Annotation(shape) for shape in many])
    assert [table.shape(0), table.shape(1)] == many


def test_points_may_lie_on_each_other() -> None:
    points = Shape.points([(1, 1), (1, 1), (2, 2)])
    assert Table.from_annotations([Annotation(points)]).shape(0) == points


def test_a_degenerate_hole_goes_and_a_degenerate_shell_takes_its_holes_along() -> None:
    shell, small = [(0, 0), (9, 0), (9, 9), (0, 9)], [(1, 1), (1.0001, 1), (1, 1.0001)]
    hole = [(2, 2), (3, 2), (3, 3)]
    shape = Shape.from_parts([[shell, small], [small, hole]])
    assert Table.from_annotations([Annotation(shape)]).shape(0) == Shape.polygon(shell)


BAD = [
    Shape.box(0, 0, 0.001, 5),
    Shape.polygon([(0, 0), (1, 1), (2, 2)]),
    Shape.polygon([(5, 5), (np.nan, 5), (9, 5), (9, 9)]),
    Shape.polygon([(5, 5), (9, -np.inf), (9, 9), (5, 9)]),
    Shape.box(0, 0, 9e6, 1),
    Shape.from_parts([[[(1, 1), (1, 1)]]], ShapeKind.LINES),
    Shape.empty(),
    Shape.empty(ShapeKind.POINTS),
]


@pytest.mark.parametrize("shape", BAD)
def test_a_shape_of_which_nothing_is_left_is_refused_or_reported(shape: Shape) -> None:
    good = Annotation(Shape.box(0, 0, 4, 4), name="good", class_name="Tumor")
    with pytest.raises(SamdeskError, match="1 of 2 shapes"):
        Table.from_annotations([Annotation(shape), good])
    repairs = Repairs()
    table = Table.from_annotations([Annotation(shape, name="bad"), good], repairs=repairs)
    assert repairs.dropped == [0]
    assert list(table.annotations()) == [good]


def test_validated_arrays_are_those_of_the_annotations() -> None:
    many = [Annotation(shape) for shape in (Shape.box(0, 0, 4, 4), BAD[0], Shape.box(1, 1, 2, 2))]
    expected = Table.from_annotations(many, repairs=Repairs())
    repairs = Repairs()
    coords = np.concatenate([one.shape.coords for one in many])
    ids = id_bytes(one.id for one in many)
    table = Table.from_arrays(coords, [0, 4, 8, 12], ids=ids, order=[0, 1, 2], validate=True, repairs=repairs)
    assert content(table) == content(expected)
    assert repairs.dropped == [1]
    assert table.order.tolist() == [0, 2]


def test_trusted_arrays_still_need_finite_coordinates() -> None:
    with pytest.raises(SamdeskError, match="not numbers"):
        Table.from_arrays(np.array([(0, 0), (1, 0), (np.nan, 1)]), [0, 3])


def test_integers_are_steps_and_floats_are_pixels() -> None:
    triangle = np.array([(0, 0), (256, 0), (0, 512)], np.int32)
    assert Table.from_arrays(triangle, [0, 3]).shape(0).coords.tolist() == [[0, 0], [1, 0], [0, 2]]
    assert Table.from_arrays(triangle.astype(float), [0, 3]).shape(0).coords.tolist()[1] == [256, 0]


# Classes


def test_unknown_classes_are_added_with_a_color() -> None:
    table = Table.from_annotations([Annotation(Shape.box(0, 0, 1, 1), class_name="Mitosis")], CLASSES)
    assert table.classes == (*CLASSES, AnnotationClass("Mitosis", color_of_name("Mitosis")))
    assert table.class_name(0) == "Mitosis"


def test_classes_are_joined_by_name() -> None:
    box = Shape.box(0, 0, 1, 1)
    one = Table.from_annotations([Annotation(box, class_name="B"), Annotation(box, class_name="A")])
    two = Table.from_annotations([Annotation(box, class_name="A"), Annotation(box)])
    both = Table.concat([one, two])
    assert [one.name for one in both.classes] == ["B", "A"]
    assert [both.class_name(row) for row in range(4)] == ["B", "A", "A", None]


def test_with_class_shares_everything_else() -> None:
    table = star_table(10, classes=CLASSES)
    changed = table.with_class("Mitosis", (1, 2, 3))
    assert changed.classes[-1] == AnnotationClass("Mitosis", (1, 2, 3))
    assert set(changed.class_id) == {3}
    assert [a is b for a, b in zip(table.arrays(), changed.arrays(), strict=True)].count(False) == 1
    assert set(changed.with_class(None).class_id) == {0}
    assert set(table.class_id) == {0}


def test_recoding_needs_every_class_that_is_used() -> None:
    table = star_table(2, classes=CLASSES).with_class("Stroma")
    assert table.recoded(CLASSES[1:]).class_id.tolist() == [1, 1]
    assert table.recoded(CLASSES[:1], {"Stroma": None}).class_id.tolist() == [0, 0]
    assert table.recoded(CLASSES[:1], {"Stroma": "Tumor"}).class_id.tolist() == [1, 1]
    with pytest.raises(SamdeskError, match="Stroma"):
        table.recoded(CLASSES[:1])


@pytest.mark.parametrize("names", [("A", "A"), ("",)])
def test_classes_need_names_of_their_own(names: tuple[str, ...]) -> None:
    with pytest.raises(SamdeskError, match="class"):
        Table.empty(tuple(AnnotationClass(name, (0, 0, 0)) for name in names))


def test_an_unknown_kind_of_object_is_refused() -> None:
    with pytest.raises(SamdeskError, match="glomerulus"):
        Table.from_annotations([Annotation(Shape.box(0, 0, 1, 1), object_type="glomerulus")])


# Storage


def test_columns_are_read_only() -> None:
    table = star_table(3)
    for array in table.arrays():
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 0


def test_a_polygon_of_30_vertices_takes_290_bytes() -> None:
    assert star_table(20_000).nbytes / 20_000 < 291


def test_many_rows_share_vertices_and_few_do_not() -> None:
    table = star_table(20_000)
    many, few = table.take(np.arange(0, 20_000, 2)), table.take([3, 1])
    kept = {id(array) for array in table.arrays()}
    assert any(array is table.coords for array in many.arrays())
    assert not any(id(array) in kept for array in few.arrays())
    assert few.nbytes < 1000


def test_sharing_does_not_change_what_a_table_says() -> None:
    table = star_table(20_000, classes=CLASSES, attributes={5: NAMED, 19_999: NAMED})
    rows = np.random.default_rng(0).permutation(20_000)[:9_000]
    shared = table.take(rows)
    again = Table.concat([shared, table.take([7]), shared.take(np.arange(8_000, 0, -1))])
    wanted = [*rows, 7, *rows[np.arange(8_000, 0, -1)]]
    assert again.shape(9_001) == table.shape(wanted[9_001])
    for row in (0, 8_999, 9_000, 9_001, 17_000):
        assert again.annotation(row) == table.annotation(int(wanted[row]))
    slow = [table.coords[30 * row : 30 * row + 30] for row in wanted]
    assert np.array_equal(again.coords, np.concatenate(slow))


def test_equal_values_are_kept_once() -> None:
    table = star_table(5_000, z=3)
    assert table.z.strides == (0,)
    assert table.annotation(4_999).plane == Plane(3, 0)
    mixed = Table.concat([table, star_table(2_000, z=4)])
    assert mixed.z.tolist() == [3] * 5_000 + [4] * 2_000


def test_new_ids_are_random_uuids() -> None:
    table = star_table(4)
    mask = np.array([True, False, True, False])
    fresh = table.with_new_ids(mask)
    assert ((fresh.ids == table.ids).all(axis=1) == ~mask).all()
    assert {fresh.id(row).version for row in range(4)} == {4}
    assert {fresh.id(row).variant for row in range(4)} == {uuid.RFC_4122}
    assert not (table.with_new_ids().ids == table.ids).all(axis=1).any()


@quick
@given(st.lists(annotations(), min_size=1, max_size=4, unique_by=lambda one: one.id), st.data())
def test_same_rows_sees_every_difference(many: list[Annotation], data: st.DataObject) -> None:
    table = Table.from_annotations(many, CLASSES)
    row = data.draw(st.integers(0, len(many) - 1))
    other = data.draw(annotations())
    field = data.draw(st.sampled_from([f for f in Annotation.__dataclass_fields__ if f != "_"]))
    changed = list(many)
    changed[row] = replace(many[row], **{field: getattr(other, field)})
    same = table.same_rows(Table.from_annotations(changed))
    assert same.tolist() == [a == b for a, b in zip(many, changed, strict=True)]


def test_large_copies_are_made_in_blocks() -> None:
    coords = star_coords(50_000)
    table = Table.from_arrays(coords, np.arange(50_001) * 30)
    backward = table.take(np.arange(49_999, -1, -1))
    assert np.array_equal(backward.coords.reshape(-1, 30, 2), coords.reshape(-1, 30, 2)[::-1])


near = st.integers(-6, 6)
far = st.integers(-(2**31), 2**31 - 1)


@given(
    st.one_of(
        st.lists(st.lists(st.tuples(near, near), min_size=3, max_size=9), min_size=1, max_size=6),
        st.lists(st.lists(st.tuples(far, far), min_size=3, max_size=5), min_size=1, max_size=3),
    )
)
def test_what_is_taken_for_valid_without_a_full_test_is_valid(rings: list[list[tuple[int, int]]]) -> None:
    ends = np.cumsum([0, *map(len, rings)])
    steps = np.array([vertex for ring in rings for vertex in ring], np.int32)
    rows = np.arange(len(rings) + 1)
    geometry = cleaning.Geometry.of(rows, rows, ends, steps)
    taken = cleaning.star_shaped(geometry)
    assert shapely.is_valid(cleaning.polygons(geometry))[taken].all()


def test_a_cell_is_taken_for_valid_and_a_pentagram_is_not() -> None:
    turn = 2 * np.pi * np.arange(5) / 5
    points = np.stack((np.cos(turn), np.sin(turn)), axis=1) * 1000
    coords = np.concatenate((points, points[[0, 2, 4, 1, 3]])).astype(np.int32)
    geometry = cleaning.Geometry.of(np.arange(3), np.arange(3), np.array([0, 5, 10]), coords)
    assert cleaning.star_shaped(geometry).tolist() == [True, False]
