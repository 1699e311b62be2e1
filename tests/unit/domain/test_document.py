from __future__ import annotations

import logging
import threading
import uuid
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from samdesk.domain.columns import (
    DEFAULT_CLASSES,
    DEFAULT_COLOR,
    Annotation,
    AnnotationClass,
    Table,
    color_of_name,
    id_bytes,
    ragged,
)
from samdesk.domain.document import Document, Edit, Selection, Snapshot, change, chunk
from samdesk.domain.document import snapshot as snapshots
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import GRID, Bounds, Plane, Shape, ShapeKind
from samdesk.domain.history import History
from tests.annotation_tables import annotations, content, shapes, star_table

quick = settings(deadline=None, max_examples=40)


def box(x: float = 0, y: float = 0, size: float = 10, **members: Any) -> Annotation:
    return Annotation(Shape.box(x, y, x + size, y + size), **members)


def filled(*many: Annotation) -> Document:
    document = Document()
    document.apply(document.adding(many))
    return document


# Against a plain model


class DocumentMachine(RuleBasedStateMachine):
    """A document with history and selection, against a dict and a list of older dicts."""

    def __init__(self) -> None:
        super().__init__()
        self.document = Document()
        self.history = History(self.document)
        self.selection = Selection(self.document)
        self.model: dict[uuid.UUID, Annotation] = {}
        self.selected: list[uuid.UUID] = []
        self.undo: list[tuple[dict[uuid.UUID, Annotation], Any]] = []
        self.redo: list[tuple[dict[uuid.UUID, Annotation], Any]] = []
        self.watched: list[tuple[Snapshot, Any]] = []

    def do(self, edit: Edit, model: dict[uuid.UUID, Annotation]) -> None:
        if not edit.is_empty:
            self.undo.append((self.model, self.state()))
            self.redo = []
        self.history.do(edit)
        self.become(model)

    def become(self, model: dict[uuid.UUID, Annotation]) -> None:
        self.model = model
        self.selected = [one for one in self.selected if one in model]

    def state(self) -> Any:
        return content(self.document.table()), self.document.classes

    def some(self, data: st.DataObject) -> list[uuid.UUID]:
        return data.draw(st.lists(st.sampled_from(list(self.model)), unique=True, max_size=4))

    @rule(many=st.lists(annotations(), max_size=4, unique_by=lambda one: one.id))
    def add(self, many: list[Annotation]) -> None:
        many = [one for one in many if one.id not in self.model]
        self.do(self.document.adding(many), {**self.model, **{one.id: one for one in many}})

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        ids = self.some(data)
        model = {one: annotation for one, annotation in self.model.items() if one not in ids}
        self.do(self.document.removing(ids), model)

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def replace(self, data: st.DataObject) -> None:
        many = [replace(data.draw(annotations()), id=one) for one in self.some(data)]
        self.do(self.document.replacing(many), {**self.model, **{one.id: one for one in many}})

    @precondition(lambda self: self.model)
    @rule(data=st.data(), name=st.sampled_from([None, "Tumor", "Other", "New"]))
    def reclassify(self, data: st.DataObject, name: str | None) -> None:
        ids = self.some(data)
        model = {**self.model, **{one: replace(self.model[one], class_name=name) for one in ids}}
        self.do(self.document.reclassifying(ids, name), model)

    @precondition(lambda self: self.model)
    @rule(data=st.data(), new=annotations())
    def merge(self, data: st.DataObject, new: Annotation) -> None:
        many = [replace(data.draw(annotations()), id=one) for one in self.some(data)]
        many = [*many, new] if new.id not in self.model else many
        edit = self.document.merging(Table.from_annotations(many))
        self.do(edit, {**self.model, **{one.id: one for one in many}})

    @precondition(lambda self: self.model)
    @rule(data=st.data(), new=st.lists(annotations(), max_size=2, unique_by=lambda one: one.id))
    def exchange(self, data: st.DataObject, new: list[Annotation]) -> None:
        gone = self.some(data)
        stays = [replace(data.draw(annotations()), id=one) for one in gone[: len(gone) // 2]]
        new = [one for one in new if one.id not in self.model]
        edit = self.document.exchanging(gone, [*new, *stays])
        left = {one.id: one for one in stays}
        model = {one: left.get(one, a) for one, a in self.model.items() if one in left or one not in gone} | {
            one.id: one for one in new
        }
        self.do(edit, model)

    @precondition(lambda self: self.document.classes)
    @rule(data=st.data())
    def drop_a_class(self, data: st.DataObject) -> None:
        gone = data.draw(st.sampled_from([one.name for one in self.document.classes]))
        target = data.draw(st.sampled_from([None, "Replacement"]))
        left = [one for one in self.document.classes if one.name != gone]
        if target:
            left = [*(one for one in left if one.name != target), AnnotationClass(target, (1, 2, 3))]
        model = {
            one: replace(a, class_name=target) if a.class_name == gone else a for one, a in self.model.items()
        }
        renamed = {gone: target} if target else None
        if gone != target:
            self.do(self.document.with_classes(left, renamed=renamed), model)

    @precondition(lambda self: self.undo)
    @rule()
    def take_back(self) -> None:
        model, then = self.undo.pop()
        self.redo.append((self.model, self.state()))
        self.history.undo()
        self.become(model)
        assert self.state() == then

    @precondition(lambda self: self.redo)
    @rule()
    def do_again(self) -> None:
        model, then = self.redo.pop()
        self.undo.append((self.model, self.state()))
        self.history.redo()
        self.become(model)
        assert self.state() == then

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def select(self, data: st.DataObject) -> None:
        ids = self.some(data)
        self.selection.set([uuid.uuid4(), *ids, *ids])
        self.selected = ids

    @rule()
    def watch(self) -> None:
        snapshot = self.document.snapshot()
        self.watched.append((snapshot, content(snapshot.table())))

    @invariant()
    def is_the_model(self) -> None:
        assert list(self.document.annotations()) == list(self.model.values())
        assert len(self.document) == len(self.model)
        assert self.document.last_id == (self.document.ids() or [None])[-1]
        assert list(self.selection.ids) == self.selected
        assert (self.history.can_undo, self.history.can_redo) == (bool(self.undo), bool(self.redo))
        counts: dict[str | None, int] = dict.fromkeys([None, *(one.name for one in self.document.classes)], 0)
        for one in self.model.values():
            counts[one.class_name] += 1
        assert self.document.counts() == counts

    @invariant()
    def places_are_found(self) -> None:
        window, plane = Bounds(-5, -5, 20, 20), Plane(1, 0)
        found = self.document.snapshot().query(window, plane)
        expected = [
            one.id
            for one in self.document.annotations()
            if one.plane == plane and one.shape.bounds.intersects(window)
        ]
        assert [found.id(row) for row in range(len(found))] == expected
        assert self.document.snapshot().count(window, plane) == len(expected)

    def teardown(self) -> None:
        for snapshot, then in self.watched:
            assert content(snapshot.table()) == then
        while self.history.can_undo:
            self.history.undo()
        assert self.state() == (content(Table.empty(DEFAULT_CLASSES)), DEFAULT_CLASSES)


class LargeDocumentMachine(DocumentMachine):
    """The same, with a handful of rows treated as if they were very many."""

    def __init__(self) -> None:
        self.sizes = (ragged.SHARE_BYTES, chunk.GRID_FROM, change.MERGE_BYTES, snapshots.KEPT_FROM)
        ragged.SHARE_BYTES, chunk.GRID_FROM, change.MERGE_BYTES, snapshots.KEPT_FROM = 8, 1, 3_000, 1
        self.gathered, ragged.GATHERED = ragged.GATHERED, 2
        super().__init__()

    def teardown(self) -> None:
        try:
            super().teardown()
        finally:
            ragged.SHARE_BYTES, chunk.GRID_FROM, change.MERGE_BYTES, snapshots.KEPT_FROM = self.sizes
            ragged.GATHERED = self.gathered


TestDocumentMachine = DocumentMachine.TestCase
TestLargeDocumentMachine = LargeDocumentMachine.TestCase
TestDocumentMachine.settings = settings(deadline=None, max_examples=40, stateful_step_count=25)
TestLargeDocumentMachine.settings = settings(deadline=None, max_examples=40, stateful_step_count=25)


# List order and ids


def test_the_list_keeps_its_order_when_one_is_replaced_and_when_a_removal_is_undone() -> None:
    many = [box(10 * k, name=str(k)) for k in range(5)]
    document = filled(*many)
    history = History(document)
    history.do(document.replacing([replace(many[1], shape=Shape.box(0, 0, 3, 3))]))
    history.do(document.removing([many[0].id, many[3].id]))
    assert [one.name for one in document.annotations()] == ["1", "2", "4"]
    history.do(document.adding([box(name="new")]))
    history.undo()
    history.undo()
    assert document.ids() == [one.id for one in many]


def test_removed_rows_come_back_one_by_one() -> None:
    many = [box(10 * k, name=str(k)) for k in range(8)]
    document = filled(*many)
    removals = []
    for k in (2, 5, 7):
        removals.append(document.removing([many[k].id]))
        document.apply(removals[-1])
    document.apply(removals[1].inverse())
    assert [one.name for one in document.annotations()] == ["0", "1", "3", "4", "5", "6"]
    assert document.last_id == many[6].id
    assert document.snapshot().hit(55, 5) == [many[5].id]
    assert document.snapshot().hit(75, 5) == []
    assert many[7].id not in document


def test_two_edits_built_one_after_the_other_both_fit() -> None:
    document = Document()
    one, two = document.adding([box(name="one")]), document.adding([box(name="two")])
    document.apply(two)
    document.apply(one)
    assert [annotation.name for annotation in document.annotations()] == ["one", "two"]
    assert document.table().order.tolist() == [0, 1]


def test_get_and_membership() -> None:
    annotation = box(name="x")
    document = filled(annotation)
    assert document.get(annotation.id) == annotation
    assert annotation.id in document
    assert uuid.uuid4() not in document
    assert "x" not in document
    with pytest.raises(KeyError):
        document.get(uuid.uuid4())
    with pytest.raises(SamdeskError, match="no annotation"):
        document.table([annotation.id, uuid.uuid4()])


def test_table_of_ids_comes_in_the_order_of_the_ids() -> None:
    many = [box(k) for k in range(4)]
    document = filled(*many[:2])
    document.apply(document.adding(many[2:]))
    ids = [many[k].id for k in (3, 0, 2)]
    assert [one.id for one in document.table(ids).annotations()] == ids
    assert content(document.table(id_bytes(ids))) == content(document.table(ids))


def test_ids_that_differ_in_one_half_only_are_told_apart() -> None:
    ids = [uuid.UUID(int=high << 64 | low) for high in range(40) for low in range(40)]
    document = filled(*(box(id=one) for one in ids))
    assert document.snapshot().has(ids).all()
    assert not document.snapshot().has([uuid.UUID(int=41 << 64), uuid.UUID(int=(1 << 64) + 40)]).any()


def test_ids_with_the_same_search_key_are_told_apart() -> None:
    # the key is high * K ^ low: these all have key 0
    factor = 0x9E3779B97F4A7C15
    ids = [uuid.UUID(int=high << 64 | high * factor % 2**64) for high in range(50)]
    document = filled(*(box(k, id=one) for k, one in enumerate(ids[:49])))
    assert [document.get(one).id for one in ids[:49]] == ids[:49]
    assert ids[49] not in document


# What does not fit


def refused(document: Document, edit: Edit, match: str) -> None:
    before, told = content(document.table()), []
    document.changed.connect(told.append)
    with pytest.raises(SamdeskError, match=match):
        document.apply(edit)
    document.changed.disconnect(told.append)
    assert content(document.table()) == before
    assert told == []


def test_an_edit_built_before_another_change_is_refused() -> None:
    one, two = box(), box(20)
    document = filled(one, two)
    stale = [
        document.removing([one.id, two.id]),
        document.replacing([replace(one, name="late")]),
        document.reclassifying([one.id], "Tumor"),
    ]
    document.apply(document.replacing([replace(one, shape=Shape.box(0, 0, 11, 11))]))
    for edit in stale:
        refused(document, edit, "does not fit any more")
    document.apply(document.removing([one.id]))
    for edit in stale:
        refused(document, edit, "does not fit any more")


def test_an_id_is_never_there_twice() -> None:
    one, two = box(), box()
    document = filled(one)
    refused(document, document.adding([one]), "twice")
    refused(document, document.adding([two, replace(two, name="again")]), "twice")
    refused(document, document.replacing([one, replace(one, name="again")]), "twice")
    refused(document, document.removing([one.id, one.id]), "twice")


def test_a_class_in_use_cannot_vanish() -> None:
    document = filled(box(class_name="Tumor"))
    nothing = Table.empty()
    edit = Edit("Drop", nothing, nothing, (document.classes, document.classes[1:]))
    refused(document, edit, "in use")
    refused(document, Edit("Odd", nothing, nothing, (document.classes[1:], document.classes)), "fit")
    stranger = Table.from_annotations([box(class_name="Unheard of")])
    refused(document, Edit("Odd", nothing, stranger), "no class named")


def test_shapes_that_are_nothing_are_refused_before_anything_changes() -> None:
    document = Document()
    with pytest.raises(SamdeskError, match="empty"):
        document.adding([box(size=0.001)])
    with pytest.raises(SamdeskError, match="no annotation"):
        document.replacing([box()])
    assert len(document) == 0


# Announcing


def test_listeners_are_told_after_the_change() -> None:
    document = Document()
    seen: list[tuple[int, str]] = []
    document.changed.connect(lambda edit: seen.append((len(document), edit.title)))
    document.apply(document.adding([box(), box()], "Add two"))
    assert seen == [(2, "Add two")]


def test_a_raising_listener_is_logged_and_silences_nobody(caplog: pytest.LogCaptureFixture) -> None:
    document = Document()
    told: list[str] = []

    def broken(edit: Edit) -> None:
        raise ValueError("broken listener")

    document.changed.connect(broken)
    document.changed.connect(lambda edit: told.append(edit.title))
    with caplog.at_level(logging.ERROR):
        document.apply(document.adding([box()], "one"))
        document.apply(document.adding([box()], "two"))
    assert told == ["one", "two"]
    assert len(document) == 2
    assert caplog.text.count("ValueError: broken listener") == 2


def test_what_a_listener_changes_is_told_to_all_in_order() -> None:
    document = Document()
    first: list[str] = []
    second: list[str] = []

    def answer(edit: Edit) -> None:
        first.append(edit.title)
        if edit.title == "one":
            document.apply(document.adding([box()], "two"))

    document.changed.connect(answer)
    document.changed.connect(lambda edit: second.append(edit.title))
    document.apply(document.adding([box()], "one"))
    assert first == second == ["one", "two"]


# Classes


def test_new_classes_come_and_go_with_the_edit_that_needs_them() -> None:
    document = Document()
    history = History(document)
    history.do(document.adding([box(class_name="Mitosis")]))
    assert document.classes == (*DEFAULT_CLASSES, AnnotationClass("Mitosis", color_of_name("Mitosis")))
    history.undo()
    assert document.classes == DEFAULT_CLASSES


def test_known_classes_keep_the_color_of_the_document() -> None:
    document = Document()
    table = Table.from_annotations(
        [box(class_name="Tumor"), box(class_name="New")],
        tuple(AnnotationClass(name, (9, 9, 9)) for name in ("Unused", "Tumor", "New")),
    )
    document.apply(document.adding(table))
    assert document.class_color("Tumor") == (200, 0, 0)
    assert document.class_color("New") == (9, 9, 9)
    assert "Unused" not in document.counts()
    assert document.class_color(None) == DEFAULT_COLOR
    assert document.class_color("Never seen") == color_of_name("Never seen")


def test_renaming_a_class_renames_it_everywhere() -> None:
    document = filled(box(class_name="Tumor"), box(class_name="Stroma"), box(class_name="Tumor"), box())
    classes = (AnnotationClass("Neoplasm", (200, 0, 0)), *document.classes[1:])
    edit = document.with_classes(classes, renamed={"Tumor": "Neoplasm"})
    assert len(edit.before) == 2
    document.apply(edit)
    assert [one.class_name for one in document.annotations()] == ["Neoplasm", "Stroma", "Neoplasm", None]
    document.apply(document.with_classes([classes[1], classes[0]]))
    assert document.counts() == {None: 1, "Stroma": 1, "Neoplasm": 2}
    document.apply(document.with_classes(classes))
    document.apply(edit.inverse())
    assert [one.class_name for one in document.annotations()] == ["Tumor", "Stroma", "Tumor", None]


def test_reclassifying_leaves_out_what_has_the_class_already() -> None:
    one, two = box(class_name="Tumor"), box()
    document = filled(one, two)
    assert len(document.reclassifying([one.id, two.id], "Tumor").before) == 1
    assert document.reclassifying([one.id], "Tumor").is_empty
    assert document.reclassifying([], "New class").is_empty


# Edits


def test_edit_knows_what_it_touches() -> None:
    annotation = box(0, 0)
    document = filled(annotation)
    moved = document.replacing([replace(annotation, shape=Shape.box(50, 60, 70, 80))])
    assert moved.bounds == Bounds(0, 0, 70, 80)
    assert not moved.keeps_geometry
    named = document.replacing([replace(annotation, name="x")])
    assert named.keeps_geometry
    assert named.before.coords is named.after.coords
    assert document.reclassifying([annotation.id], "Tumor").keeps_geometry
    assert document.with_classes(document.classes[1:]).bounds is None
    assert document.adding([]).is_empty


def test_replace_all_becomes_the_table_and_tells_it() -> None:
    document = filled(box(), box())
    told: list[Edit] = []
    document.changed.connect(told.append)
    classes = (AnnotationClass("A", (1, 1, 1)),)
    loaded = Table.from_annotations([box(class_name="A"), box()], classes)
    document.replace_all(loaded.with_order(np.array([7, 3])))
    assert document.ids() == [loaded.id(1), loaded.id(0)]
    assert document.classes == classes
    assert (len(told[0].before), len(told[0].after)) == (2, 2)
    document.apply(document.adding([box(name="later")]))
    assert [one.name for one in document.annotations()][-1] == "later"
    document.replace_all(loaded.with_order(np.array([7, 7])), ())
    assert document.ids() == [loaded.id(0), loaded.id(1)]


def test_merging_replaces_what_is_known_and_adds_the_rest() -> None:
    one, two = box(name="one"), box(name="two")
    document = filled(one, two)
    table = Table.from_annotations([box(name="three"), replace(one, name="uno")])
    assert document.known(table).tolist() == [False, True]
    document.apply(document.merging(table))
    assert [annotation.name for annotation in document.annotations()] == ["uno", "two", "three"]


# Places


@quick
@given(
    st.lists(st.builds(Annotation, shapes()), max_size=8),
    st.tuples(st.integers(-45, 120), st.integers(-45, 80)),
    st.sampled_from([0.0, 0.25, 3.0]),
)
def test_hit_is_what_shapely_says(many: list[Annotation], at: tuple[int, int], tolerance: float) -> None:
    document = filled(*many)
    point = shapely.Point(at)
    expected = [
        (one.shape.area if one.shape.kind is ShapeKind.AREA else 0.0, -k, one.id)
        for k, one in enumerate(many)
        if shapely.distance(one.shape.to_shapely(), point) <= tolerance
    ]
    assert document.snapshot().hit(*at, tolerance=tolerance) == [one for _, _, one in sorted(expected)]


def test_hit_looks_through_holes_and_counts_edges() -> None:
    ring = Annotation(
        Shape.polygon([(0, 0), (30, 0), (30, 30), (0, 30)], [[(10, 10), (20, 10), (20, 20), (10, 20)]])
    )
    inner = box(14, 14, 2)
    snapshot = filled(inner, ring).snapshot()
    assert snapshot.hit(5, 5) == [ring.id]
    assert snapshot.hit(15, 15) == [inner.id]
    assert snapshot.hit(12, 15) == []
    assert snapshot.hit(12, 15, tolerance=2) == [inner.id, ring.id]
    assert snapshot.hit(0, 7) == [ring.id]
    assert snapshot.hit(-1, 7, tolerance=0.99) == []
    assert snapshot.hit(5, 5, Plane(1, 0)) == []


def test_tolerance_is_the_distance_to_the_edge_and_not_to_the_box() -> None:
    triangle = Annotation(Shape.polygon([(0, 0), (100, 0), (0, 100)]))
    line = Annotation(Shape.from_parts([[[(200, 0), (300, 100), (300, 0)]]], ShapeKind.LINES))
    snapshot = filled(triangle, line).snapshot()
    away = 53  # (53, 53) is 6 / sqrt(2) = 4.243 px beyond the slanted edge
    assert snapshot.hit(away, away, tolerance=4.24) == []
    assert snapshot.hit(away, away, tolerance=4.25) == [triangle.id]
    assert snapshot.hit(200 + away, away + 6, tolerance=4.24) == []
    assert snapshot.hit(200 + away, away + 6, tolerance=4.25) == [line.id]
    assert snapshot.hit(250, 0, tolerance=30) == []


@pytest.mark.parametrize("seed", range(4))
def test_the_grid_finds_what_brute_force_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = chunk.GRID_FROM + 7_000
    corner = rng.normal(0, [1, 3_000, 90_000, 1_000][seed], (n, 2))
    size = rng.choice([0.1, 3, 50, 3_000], (n, 1)) * rng.uniform(0.1, 1, (n, 2))
    unit = np.array([(0, 0), (1, 0), (1, 1), (0, 1)])
    coords = (corner[:, None] + np.maximum(size, 1 / GRID)[:, None] * unit).reshape(-1, 2)
    document = Document()
    table = Table.from_arrays(coords, np.arange(n + 1) * 4, z=rng.integers(0, 2, n))
    document.apply(document.adding(table))
    gone = table.ids[rng.random(n) < 0.3]
    document.apply(document.removing(gone))
    snapshot, live = document.snapshot(), document.table()
    for _ in range(30):
        x0, y0 = rng.normal(0, [1, 3_000, 90_000, 1_000][seed], 2)
        width, height = rng.choice([0, 1, 100, 2_000, 400_000], 2)
        window = Bounds(x0, y0, x0 + width, y0 + height)
        b = live.bounds.astype(float)
        meets = (b[:, 0] <= window.x1) & (b[:, 2] >= x0) & (b[:, 1] <= window.y1) & (b[:, 3] >= y0)
        expected = live.take(np.flatnonzero(meets & (live.z == 1)))
        assert content(snapshot.query(window, Plane(1, 0))) == content(expected)
        assert snapshot.count(window, Plane(1, 0)) == len(expected)


def test_a_chunk_of_equal_points_has_a_grid_too() -> None:
    n = chunk.GRID_FROM
    document = Document()
    document.apply(
        document.adding(Table.from_arrays(np.zeros((n, 2)), np.arange(n + 1), kind=ShapeKind.POINTS))
    )
    assert document.snapshot().count(Bounds(-1, -1, 1, 1)) == n
    assert document.snapshot().count(Bounds(1, 1, 2, 2)) == 0


# Snapshots and storage


def test_a_snapshot_is_good_on_another_thread_while_the_document_changes() -> None:
    document = Document()
    document.apply(document.adding(star_table(5_000, side=2_000)))
    snapshot = document.snapshot()
    expected = content(snapshot.table())
    window = Bounds(500, 500, 900, 900)
    inside = content(snapshot.query(window))
    failures: list[str] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            if content(snapshot.query(window)) != inside or content(snapshot.table()) != expected:
                failures.append("the snapshot changed")

    thread = threading.Thread(target=read)
    thread.start()
    try:
        for k in range(60):
            ids = document.table().ids[k:3_000:60]
            document.apply(document.reclassifying(ids, "Tumor"))
            document.apply(document.removing(ids[:5]))
            document.apply(document.adding(star_table(20, seed=k)))
    finally:
        stop.set()
        thread.join()
    assert failures == []
    assert len(document) == 5_000 + 60 * 15


def test_many_small_edits_leave_few_chunks_and_never_copy_the_large_one() -> None:
    document = Document()
    large = star_table(20_000)
    assert large.nbytes > change.MERGE_BYTES
    document.apply(document.adding(large))
    vertices = document.snapshot().chunks[0].table.coords
    for k in range(300):
        document.apply(document.adding([box(k)]))
        document.apply(document.removing([large.id(3 * k)]))
        document.apply(document.reclassifying([large.id(3 * k + 1)], "Tumor"))
        moved = replace(large.annotation(3 * k + 2), shape=Shape.box(k, k, k + 5, k + 5))
        document.apply(document.replacing([moved]))
    chunks = document.snapshot().chunks
    assert chunks[0].table.coords is vertices
    assert len(chunks) <= 10
    assert len(document) == 20_000
    assert document.counts()["Tumor"] == 300


def test_chunks_stay_few_when_a_very_small_one_came_first() -> None:
    document = filled(box())
    for k in range(200):
        document.apply(document.adding(star_table(1, vertices=40, seed=k)))
        if k % 20 == 0:
            document.apply(document.adding(star_table(300, seed=k)))
    assert len(document.snapshot().chunks) <= 12
    assert len(document) == 1 + 200 + 10 * 300


def test_reclassifying_and_removing_many_copies_no_vertices() -> None:
    document = Document()
    document.apply(document.adding(star_table(20_000)))
    document.apply(document.adding([box()]))
    vertices = document.snapshot().chunks[0].table.coords
    ids = document.table().ids[::3]
    for edit in (document.reclassifying(ids, "Tumor"), document.removing(ids)):
        held = {id(array) for array in edit.arrays()}
        assert id(vertices) in held
        assert sum(a.nbytes for a in edit.arrays() if a is not vertices) < 0.7 * vertices.nbytes
        before = content(document.table())
        document.apply(edit)
        assert document.snapshot().chunks[0].table.coords is vertices
        document.apply(edit.inverse())
        assert document.snapshot().chunks[0].table.coords is vertices
        assert content(document.table()) == before


def known(document: Document, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the document says, where nothing is kept that was found before."""
    state = document.snapshot()
    with monkeypatch.context() as patch:
        patch.setattr(snapshots, "KEPT_FROM", 1 << 60)
        return content(Snapshot(state.classes, state.chunks, state.tally).table())


@pytest.mark.parametrize("part", [1, 3])
def test_what_is_done_to_very_many_is_found_where_it_is(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    document = Document()
    history = History(document)
    document.apply(document.adding(star_table(20_000)))
    for k in (5, 17_000, 300):  # rows of other chunks, between the others
        one = document.get(document.table().id(k))
        history.do(document.replacing([replace(one, shape=one.shape.translated(3, 2))]))
    ids = document.table().ids[::-part]
    for name in ("Tumor", None, "New"):
        before = known(document, monkeypatch)
        history.do(document.reclassifying(ids, name))
        after = known(document, monkeypatch)
        assert content(document.table()) == after
        history.undo()
        assert content(document.table()) == before
        history.redo()
        assert content(document.table()) == after
        assert content(document.table(ids)) == content(document.table().take(np.arange(20_000)[::-part]))
    history.do(document.removing(ids))
    assert len(document) == 20_000 - len(ids)
    while history.can_undo:
        history.undo()
    assert content(document.table()) == known(document, monkeypatch)


def test_very_many_rows_that_have_changed_since_are_noticed() -> None:
    document = Document()
    document.apply(document.adding(star_table(8_000)))
    ids = document.table().ids
    stale = document.reclassifying(ids, "Tumor")
    document.apply(document.reclassifying(ids[:1], "Stroma"))
    refused(document, stale, "does not fit")
    document.apply(document.reclassifying(ids, "Tumor"))
    refused(document, stale, "does not fit")
    twice = np.concatenate((ids, ids[:1]))
    refused(document, document.reclassifying(twice, "Stroma"), "twice")


def test_a_table_of_everything_keeps_no_vertices_in_the_document() -> None:
    document = Document()
    document.apply(document.adding(star_table(20_000)))
    document.apply(document.adding([box()]))
    gathered = document.table()
    assert len(gathered.coords) == 20_000 * 30 + 4
    held = {id(array) for array in document.table().arrays()}
    assert id(gathered.coords) not in held
    assert id(document.snapshot().chunks[0].table.coords) in held


def test_a_selection_knows_whether_an_edit_may_touch_it() -> None:
    many = [box(k) for k in range(40)]
    document = filled(*many)
    selection = Selection(document)
    edit = document.reclassifying([many[3].id], "Tumor")
    assert not selection.is_touched(edit)
    selection.set([many[5].id, many[3].id])
    assert selection.is_touched(edit)
    assert not selection.is_touched(document.reclassifying([many[4].id], "Tumor"))
    selection.set_all()
    assert selection.is_touched(edit)


def test_what_is_mostly_deleted_gives_its_memory_back() -> None:
    document = Document()
    document.apply(document.adding(star_table(20_000)))
    keep = document.table().take(np.arange(0, 20_000, 10))
    document.apply(document.removing(document.table().ids[np.arange(20_000) % 10 > 0]))
    assert content(document.table()) == content(keep)
    assert sum(array.nbytes for array in document.arrays()) < 2_000 * 350


# Selection


def test_selection_follows_the_document() -> None:
    one, two, three = box(), box(), box()
    document = filled(one, two, three)
    selection = Selection(document)
    told: list[tuple[uuid.UUID, ...]] = []
    selection.changed.connect(lambda: told.append(selection.ids))
    selection.set([two.id, one.id, two.id])
    assert selection.ids == (two.id, one.id)
    selection.set([two.id, one.id])
    selection.toggle(three.id)
    selection.toggle(two.id)
    assert two.id not in selection
    assert selection.ids == (one.id, three.id)
    document.apply(document.reclassifying([one.id], "Tumor"))
    removal = document.removing([one.id])
    document.apply(removal)
    assert selection.ids == (three.id,)
    document.apply(removal.inverse())
    selection.toggle(uuid.uuid4())
    assert len(selection) == 1
    selection.clear()
    selection.clear()
    assert [len(ids) for ids in told] == [2, 3, 2, 1, 0]
