"""A long session in short: the counts of the singletons of Python stay level.

PySide6 6.12 loses a reference of None at every void call below Python 3.12, until the
process is aborted; the pin in pyproject.toml keeps it away.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from PySide6.QtCore import QObject

from samdesk.domain.columns import Annotation
from samdesk.domain.document import Document, Selection
from samdesk.domain.geometry import Shape
from samdesk.ui.canvas import Canvas

from .sources import ArraySource, plain

SLACK = 300


def test_void_calls_and_repaints_keep_the_references_of_none(
    canvas: Canvas, show: Callable[[ArraySource], None], settle: Callable[[], None]
) -> None:
    canvas.resize(64, 64)
    show(ArraySource(plain(300, 200), levels=2))
    document = Document()
    selection = Selection(document)
    one = Annotation(Shape.box(10, 10, 90, 90))
    document.apply(document.adding([one]))
    selection.set([one.id])
    canvas.set_document(document, selection)
    settle()
    canvas.show_scale_bar = True
    canvas.repaint()
    nothing, true = sys.getrefcount(None), sys.getrefcount(True)
    thing = QObject()
    for _ in range(20_000):
        thing.setObjectName("x")
    called = sys.getrefcount(None)
    for _ in range(5_000):
        canvas.repaint()
    assert abs(called - nothing) < SLACK
    assert abs(sys.getrefcount(None) - called) < SLACK
    assert abs(sys.getrefcount(True) - true) < SLACK
