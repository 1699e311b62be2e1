"""What renaming a class means elsewhere."""

from __future__ import annotations

from samdesk.app.renames import following, renamed_between, shared_after
from samdesk.domain.columns import AnnotationClass
from samdesk.domain.columns.table import Classes


def classes(*names: str) -> Classes:
    return tuple(AnnotationClass(name, (1, 2, 3)) for name in names)


def test_a_name_that_is_replaced_in_its_place_is_a_rename() -> None:
    assert renamed_between(classes("A", "B"), classes("A", "C")) == {"B": "C"}
    assert renamed_between(classes("A", "B"), classes("B", "A")) == {}  # moved
    assert renamed_between(classes("A", "B"), classes("B")) == {}  # removed or joined
    assert renamed_between(classes("A"), classes("A", "B")) == {}


def test_renames_that_wait_become_one() -> None:
    assert following({}, {"A": "B"}) == {"A": "B"}
    assert following({"A": "B"}, {"B": "C"}) == {"A": "C"}
    assert following({"A": "B"}, {"B": "A"}) == {}  # as when it is undone
    assert following({"A": "B"}, {"D": "E"}) == {"A": "B", "D": "E"}
    assert following({"A": "B"}, {"A": "C"}) == {"A": "B"}  # the image has no such new A


def test_a_project_that_differs_follows_in_what_has_changed() -> None:
    same = classes("A", "B")
    assert shared_after(same, same, classes("B", "C")) == classes("B", "C")
    shared = classes("A", "B", "X")
    assert shared_after(shared, classes("A", "B"), classes("B", "C")) == classes("B", "X", "C")
    assert shared_after(shared, classes("A", "B"), classes("A", "Y")) == classes("A", "Y", "X")
    assert shared_after(shared, classes("A", "B"), classes("A", "X")) == classes("A", "X")
    red = (AnnotationClass("A", (255, 0, 0)),)
    assert shared_after(shared, classes("A"), red) == (*red, *classes("B", "X"))
