"""The annotation list: what an edit patches in equals what looking at all rows gives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samdesk.app import listing as listing_module
from samdesk.app.jobs import Jobs, MainQueue
from samdesk.app.listing import SORTS, Change, Listing, Wanted, arranged, runs
from samdesk.domain.columns import Annotation, IdColumn, Table
from samdesk.domain.document import Document
from samdesk.domain.geometry import Shape
from samdesk.domain.history import History


@pytest.fixture
def main() -> MainQueue:
    return MainQueue()


@pytest.fixture
def jobs(main: MainQueue) -> Iterator[Jobs]:
    made = Jobs(main)
    yield made
    made.close()


def box(side: float = 5, **kept: Any) -> Annotation:
    return Annotation(Shape.box(0, 0, side, side), **kept)


def make(jobs: Jobs, document: Document) -> Listing:
    made = Listing(jobs, document)
    document.changed.connect(made.follow)
    return made


def names(listing: Listing, document: Document) -> list[str]:
    return [one.name for one in document.table(listing.ids(slice(None))).annotations()]


def test_it_is_sorted_by_each_key_both_ways(jobs: Jobs) -> None:
    document = Document()
    listing = make(jobs, document)
    document.apply(
        document.adding(
            [
                box(9, name="b", class_name="Tumor"),
                box(2, name="", class_name="stroma"),
                box(5, name="A", class_name=None),
                box(7, name="c", class_name="Immune cells"),
            ]
        )
    )
    expected = {"order": "b.Ac", "class": "c.bA", "name": "Abc.", "area": ".Acb"}
    for sort in SORTS:
        for backwards in (False, True):
            listing.want(sort=sort, backwards=backwards)
            found = "".join(name or "." for name in names(listing, document))
            assert found == expected[sort][:: -1 if backwards else 1]


def test_a_search_finds_names_classes_and_ids(jobs: Jobs) -> None:
    document = Document()
    listing = make(jobs, document)
    many = [box(name="Left gland", class_name="Tumor"), box(class_name="Stroma"), box(name="tumorous")]
    document.apply(document.adding(many))
    for text, rows in (
        ("TUMOR", [0, 2]),
        ("gland", [0]),
        ("unclass", [2]),
        ("nothing", []),
        ("  ", [0, 1, 2]),
    ):
        listing.want(text=text)
        assert [document.ids().index(one) for one in IdColumn(listing.ids(slice(None)))] == rows
    for digits in (4, 7, 12, 36):
        listing.want(text=str(many[1].id)[:digits].upper())
        assert listing.ids(slice(None)).tobytes() == many[1].id.bytes


def test_classes_can_be_left_out_and_listed_alone(jobs: Jobs) -> None:
    document = Document()
    listing = make(jobs, document)
    document.apply(document.adding([box(class_name=name) for name in ("Tumor", None, "Stroma")]))
    listing.want(hidden=frozenset({"Tumor"}))
    assert len(listing) == 2
    listing.want(hidden=frozenset(), only=frozenset({None}))
    assert len(listing) == 1
    document.apply(document.reclassifying(document.ids()[:1], None))
    assert len(listing) == 2
    listing.set_document(Document())
    assert (len(listing), listing.wanted.only) == (0, None)


def test_a_change_tells_which_rows_came_went_and_changed(jobs: Jobs) -> None:
    document = Document()
    listing = make(jobs, document)
    told: list[Change] = []
    listing.changed.connect(told.append)
    document.apply(document.adding([box() for _ in range(6)]))
    document.apply(document.reclassifying(document.ids()[2:3], "Tumor"))
    removing = document.removing([document.ids()[k] for k in (1, 2, 4)])
    document.apply(removing)
    document.apply(removing.inverse())
    assert told == [
        Change(added=((0, 5),)),
        Change(changed=(2,)),
        Change(removed=((1, 2), (4, 4))),
        Change(added=((1, 2), (4, 4))),
    ]


def test_a_large_document_is_arranged_on_a_lane_and_catches_up(
    jobs: Jobs, main: MainQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing_module, "AT_ONCE", 10)
    document = Document()
    listing = make(jobs, document)
    document.apply(document.adding([box(k + 1) for k in range(20)]))
    assert len(listing) == 20
    listing.want(sort="area", backwards=True)
    assert listing.is_busy
    document.apply(document.removing(document.ids()[:3]))
    document.apply(document.adding([box(100), box(0.5)]))
    main.run_until(lambda: not listing.is_busy, 10)
    sides = [one.shape.bounds.x1 for one in document.table(listing.ids(slice(None))).annotations()]
    assert sides == [100, *range(20, 3, -1), 0.5]


def test_rows_are_found_by_id(jobs: Jobs) -> None:
    document = Document()
    listing = make(jobs, document)
    document.apply(document.adding([box(k % 7 + 1, class_name="AB"[k % 2]) for k in range(1200)]))
    ids = document.table().ids
    for wanted in ({"sort": "order"}, {"sort": "area"}, {"backwards": True}, {"only": frozenset("A")}):
        listing.want(**wanted)
        shown = {one.tobytes(): row for row, one in enumerate(listing.ids(slice(None)))}
        for some in (ids[3:40], ids[5:900], ids[:0]):
            expected = sorted(shown[one.tobytes()] for one in some if one.tobytes() in shown)
            assert listing.rows_of(some).tolist() == expected


def test_runs_of_rows() -> None:
    assert runs(np.array([], int)) == ()
    assert runs(np.array([2, 3, 4, 7, 9, 10])) == ((2, 4), (7, 7), (9, 10))


STEP = st.tuples(
    st.sampled_from(("add", "remove", "class", "rename", "grow", "undo", "redo", "classes", "want")),
    st.integers(0, 1000),
)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(SORTS),
    st.booleans(),
    st.sampled_from((Wanted(), Wanted(text="a"), Wanted(hidden=frozenset({"A", None})))),
    st.lists(STEP, min_size=4, max_size=14),
)
def test_after_any_edits_the_rows_are_those_of_looking_at_all(
    sort: Any, backwards: bool, wanted: Wanted, steps: list[tuple[str, int]]
) -> None:
    jobs = Jobs(MainQueue())
    document = Document()
    history = History(document)
    listing = make(jobs, document)
    listing.want(text=wanted.text, hidden=wanted.hidden, sort=sort, backwards=backwards)
    rows: list[int] = []  # as a view that follows what is told would have them

    def follow(change: Change) -> None:
        nonlocal rows
        if change.whole:
            rows = listing.shown.tolist()
        for first, last in reversed(change.removed):
            del rows[first : last + 1]
        for first, last in change.added:
            rows[first:first] = listing.shown[first : last + 1].tolist()

    listing.changed.connect(follow)
    for verb, seed in steps:
        _step(document, history, listing, verb, np.random.default_rng(seed))
        store, shown = arranged(document.snapshot(), listing.wanted)
        assert listing.ids(slice(None)).tobytes() == store.ids[shown].tobytes()
        assert rows == listing.shown.tolist()
    jobs.close()


def _step(
    document: Document, history: History, listing: Listing, verb: str, rng: np.random.Generator
) -> None:
    ids = document.ids()
    some = [one for one in ids if rng.random() < 0.4]
    if verb == "add":
        classes = ("A", "B", "ab", None)
        made = [
            box(
                float(rng.integers(1, 9)),
                name="xay"[: rng.integers(0, 4)],
                class_name=classes[rng.integers(4)],
            )
            for _ in range(rng.integers(1, 6))
        ]
        history.do(document.adding(made))
    elif verb == "remove":
        history.do(document.removing(some))
    elif verb == "class":
        history.do(document.reclassifying(some, ("A", "new", None)[rng.integers(3)]))
    elif verb in ("rename", "grow"):
        change = {"rename": {"name": "abc"[: rng.integers(0, 4)]}, "grow": {"shape": Shape.box(0, 0, 3, 8)}}
        history.do(document.replacing([replace(document.get(one), **change[verb]) for one in some]))
    elif verb == "classes":
        history.do(document.with_classes([one for one in document.classes if rng.random() < 0.7]))
    elif verb == "want":
        listing.want(backwards=not listing.wanted.backwards)
    elif verb == "undo":
        history.undo()
    else:
        history.redo()


def test_an_empty_table_is_listed(jobs: Jobs) -> None:
    document = Document()
    document.replace_all(Table.empty())
    assert len(Listing(jobs, document)) == 0
