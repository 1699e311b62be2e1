from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from samdesk.domain.columns import Annotation
from samdesk.domain.document import Document
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Shape
from samdesk.domain.history import Edit, History
from tests.annotation_tables import content, star_table


def box(x: float = 0, **members: Any) -> Annotation:
    return Annotation(Shape.box(x, 0, x + 10, 10), **members)


@pytest.fixture
def document() -> Document:
    return Document()


@pytest.fixture
def history(document: Document) -> History:
    return History(document)


def state(document: Document) -> Any:
    return content(document.table()), document.classes


def test_undo_and_redo_restore_every_byte(document: Document, history: History) -> None:
    one, two = box(class_name="Mitosis", measurements={"Area": 1.0}), box(20)
    states = [state(document)]
    for make in (
        lambda: document.adding([one, two]),
        lambda: document.replacing([replace(one, shape=Shape.box(5, 5, 6, 6), name="moved")]),
        lambda: document.reclassifying([one.id, two.id], "Other class"),
        lambda: document.removing([one.id]),
        lambda: document.with_classes(document.classes[3:]),
        lambda: document.merging(star_table(3)),
    ):
        history.do(make())
        states.append(state(document))
    for _ in range(2):
        for expected in states[-2::-1]:
            history.undo()
            assert state(document) == expected
        assert not history.can_undo
        for expected in states[1:]:
            history.redo()
            assert state(document) == expected
        assert not history.can_redo


def test_titles_say_what_would_happen(document: Document, history: History) -> None:
    assert (history.undo_title, history.redo_title) == ("", "")
    history.do(document.adding([box()], "first"))
    history.do(document.adding([box()], "second"))
    assert (history.undo_title, history.redo_title) == ("second", "")
    history.undo()
    assert (history.undo_title, history.redo_title) == ("first", "second")


def test_a_new_edit_clears_what_could_be_redone(document: Document, history: History) -> None:
    history.do(document.adding([box()]))
    history.undo()
    history.do(document.adding([box()], "other"))
    assert not history.can_redo
    history.redo()
    assert len(document) == 1


def test_nothing_to_undo_or_redo_changes_nothing(document: Document, history: History) -> None:
    told: list[Edit] = []
    document.changed.connect(told.append)
    history.undo()
    history.redo()
    history.do(document.adding([]))
    assert told == []
    assert not history.can_undo


def test_an_edit_that_does_not_fit_leaves_the_history_as_it_was(document: Document, history: History) -> None:
    one = box()
    history.do(document.adding([one]))
    history.do(document.adding([box()]))
    history.undo()
    told: list[int] = []
    history.changed.connect(lambda: told.append(1))
    with pytest.raises(SamdeskError):
        history.do(document.adding([one], "twice"))
    assert (history.can_undo, history.can_redo, told) == (True, True, [])

    document.apply(document.reclassifying([one.id], "Tumor"))
    with pytest.raises(SamdeskError):
        history.undo()
    assert (history.can_undo, history.can_redo, len(document), told) == (True, True, 1, [])


def test_listeners_are_told_when_the_history_is_up_to_date(document: Document, history: History) -> None:
    told: list[tuple[bool, bool]] = []
    history.changed.connect(lambda: told.append((history.can_undo, history.can_redo)))
    history.do(document.adding([box()]))
    history.undo()
    history.redo()
    history.clear()
    assert told == [(True, False), (False, True), (True, False), (False, False)]


def test_an_edit_done_by_a_listener_is_undone_before_the_one_it_answered(
    document: Document, history: History
) -> None:
    def answer(edit: Edit) -> None:
        if edit.title == "first":
            history.do(document.adding([box()], "answer"))

    document.changed.connect(answer)
    history.do(document.adding([box()], "first"))
    assert history.undo_title == "answer"
    document.changed.disconnect(answer)
    history.undo()
    history.undo()
    assert len(document) == 0


def test_a_raising_listener_does_not_lose_the_step(
    document: Document, history: History, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(edit: Edit) -> None:
        raise ValueError("broken listener")

    document.changed.connect(broken)
    history.do(document.adding([box()]))
    assert (history.can_undo, len(document)) == (True, 1)
    history.undo()
    assert (history.can_redo, len(document)) == (True, 0)
    assert caplog.text.count("ValueError: broken listener") == 2


def test_the_oldest_steps_are_forgotten_beyond_the_limit(document: Document) -> None:
    history = History(document, limit_bytes=20_000)
    for _ in range(50):
        history.do(document.adding(star_table(2)))
    assert history.nbytes <= 20_000
    steps = 0
    while history.can_undo:
        history.undo()
        steps += 1
    assert 5 < steps < 50
    assert len(document) == 2 * (50 - steps)


def test_lowering_the_limit_forgets_at_once_and_keeps_the_newest(
    document: Document, history: History
) -> None:
    for k in range(5):
        history.do(document.adding([box()], str(k)))
    told: list[int] = []
    history.changed.connect(lambda: told.append(1))
    history.limit_bytes = 1
    assert told == [1]
    assert history.undo_title == "4"
    history.undo()
    assert not history.can_undo


def test_what_the_document_keeps_anyway_counts_nothing(document: Document, history: History) -> None:
    document.apply(document.adding(star_table(40_000)))
    ids = document.table().ids
    history.do(document.reclassifying(ids, "Tumor"))
    assert history.nbytes < 40_000 * 5
    history.do(document.removing(ids))
    assert history.nbytes > 40_000 * 280
    history.undo()
    assert history.nbytes < 40_000 * 5


def test_a_large_step_is_forgotten_when_it_alone_keeps_memory(document: Document) -> None:
    history = History(document, limit_bytes=8 << 20)
    document.apply(document.adding(star_table(40_000)))
    history.do(document.removing(document.table().ids, "large"))
    assert history.undo_title == "large"
    history.do(document.adding([box()], "small"))
    assert history.undo_title == "small"
    history.undo()
    assert not history.can_undo
    assert history.nbytes < 10_000


def test_history_of_many_steps_counts_exactly(document: Document, history: History) -> None:
    rng = np.random.default_rng(0)
    kept: list[Edit] = []
    for k in range(60):
        edit = document.adding(star_table(int(rng.integers(1, 9)), seed=k))
        history.do(edit)
        kept.append(edit)
        if k % 3 == 0:
            history.undo()
            history.undo()
            history.redo()
            kept = kept[:-1] if k else kept
    assert history.nbytes == sum(edit.nbytes for edit in kept)
    history.clear()
    assert history.nbytes == 0
