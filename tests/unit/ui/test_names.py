"""Names on the canvas: whose, where, and when there are too many."""

from __future__ import annotations

from samdesk.domain.columns import Annotation
from samdesk.domain.document import Document
from samdesk.domain.geometry import Bounds, Plane, Shape
from samdesk.ui.layers.names import MOST, Label, labels

ALL = Bounds(0, 0, 1e6, 1e6)


def document(*annotations: Annotation) -> Document:
    made = Document()
    made.apply(made.adding(annotations))
    return made


def test_only_what_has_a_name_and_its_middle_in_view_is_named() -> None:
    made = document(
        Annotation(Shape.box(0, 0, 10, 20), name="one"),
        Annotation(Shape.box(50, 50, 60, 60)),
        Annotation(Shape.box(80, 0, 200, 10), name="beyond"),
        Annotation(Shape.box(0, 0, 10, 10), name="below", plane=Plane(1, 0)),
    )
    assert labels(made.snapshot(), Bounds(0, 0, 100, 100), Plane()) == (Label("one", 5.0, 10.0),)


def test_hidden_classes_have_no_names() -> None:
    made = document(
        Annotation(Shape.box(0, 0, 9, 9), name="a", class_name="Tumor"),
        Annotation(Shape.box(0, 0, 9, 9), name="b"),
    )
    found = labels(made.snapshot(), ALL, Plane(), frozenset({"Tumor"}))
    assert [one.text for one in found] == ["b"]
    assert [one.text for one in labels(made.snapshot(), ALL, Plane(), frozenset({None}))] == ["a"]


def test_too_many_names_are_none() -> None:
    made = document(*(Annotation(Shape.box(k, 0, k + 1, 1), name=str(k)) for k in range(MOST + 1)))
    assert labels(made.snapshot(), ALL, Plane()) == ()
    assert len(labels(made.snapshot(), Bounds(0, 0, MOST, 1), Plane())) == MOST
