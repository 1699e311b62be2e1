"""Ids as a column read like the sequence they stand for; a selection keeps to them."""

from __future__ import annotations

import uuid

import numpy as np

from samdesk.domain.columns import Annotation, IdColumn, id_begins, id_bytes
from samdesk.domain.document import Document, Selection
from samdesk.domain.geometry import Shape

IDS = [uuid.UUID(int=k * 2**70 + k) for k in range(5)]


def test_it_is_equal_to_the_sequence_of_its_ids() -> None:
    column = IdColumn.of(IDS)
    assert column == IDS
    assert tuple(IDS) == column
    assert column != IDS[:4]
    assert column != [*IDS[:4], IDS[0]]
    assert column != 5
    assert column == IdColumn.of(column)
    assert hash(column) == hash(IdColumn.of(IDS))
    assert list(column) == IDS
    assert (column[0], column[-1], column[1:3]) == (IDS[0], IDS[4], IDS[1:3])
    assert id_bytes(column) is column.column


def test_it_knows_what_it_holds() -> None:
    column = IdColumn.of(IDS[::2])
    assert [one in column for one in IDS] == [True, False, True, False, True]
    assert column.holds(id_bytes(IDS)).tolist() == [True, False, True, False, True]
    assert "x" not in column
    assert IDS[0] not in IdColumn.of([])
    assert IdColumn.of([]).holds(id_bytes(IDS)).tolist() == [False] * 5
    assert IdColumn(column.column[::2]).holds(id_bytes(IDS)).tolist() == [True, False, False, False, True]


def test_a_selection_loses_what_leaves_and_keeps_its_order() -> None:
    document = Document()
    selection = Selection(document)
    document.apply(document.adding([Annotation(Shape.box(0, 0, 5, 5)) for _ in range(60)]))
    ids = document.ids()
    selection.set_all()
    assert selection.ids == ids
    document.apply(document.removing(ids[3:5]))
    assert selection.ids == [*ids[:3], *ids[5:]]
    selection.set(document.table().ids[::-1])
    document.apply(document.removing(ids[10:50]))
    assert selection.ids == [*ids[:49:-1], *ids[9:4:-1], *ids[2::-1]]
    document.apply(document.reclassifying(ids[:2], "Tumor"))
    assert len(selection) == len(document)
    selection.toggle(ids[0])
    selection.toggle(ids[0])
    assert selection.ids[-1] == ids[0]
    selection.set([ids[0], uuid.uuid4(), ids[0]])
    assert selection.ids == (ids[0],)
    selection.set(np.empty((0, 16), np.uint8))
    assert not selection.ids


def test_ids_are_found_by_their_first_digits() -> None:
    ids = [uuid.UUID("12345678-9abc-4def-8000-000000000000"), uuid.UUID(int=0)]
    for text, found in (
        ("1234", [True, False]),
        ("12345", [True, False]),
        ("12346", [False, False]),
        ("12345678-9abc-4", [True, False]),
        (str(ids[0]), [True, False]),
        (f"{ids[1]}0", [False, False]),
        ("123", [False, False]),
        ("tumor", [False, False]),
        ("----", [False, False]),
    ):
        assert id_begins(id_bytes(ids), text).tolist() == found
