"""Classes whose name ends in "*" are drawn but never filled, in the tiles and painted live."""

from __future__ import annotations

import pytest
from PySide6.QtGui import QColor, QImage, QPainter
from pytestqt.qtbot import QtBot

from samdesk.domain.columns import Annotation, is_ignored
from samdesk.domain.document import Document
from samdesk.domain.geometry import Plane, Shape
from samdesk.domain.tasks import Task
from samdesk.ui.layers.live import Outline, paint_annotation
from samdesk.ui.layers.overlaytiles import IdSet, Style, render_overlay_tile
from samdesk.ui.layers.view import View

BOX = Shape.box(50, 50, 150, 150)


@pytest.mark.parametrize("name", ["Tumor", "Region*"])
def test_only_what_is_not_ignored_is_filled_in_tiles(name: str) -> None:
    document = Document()
    document.apply(document.adding([Annotation(BOX, class_name=name)]))
    tile = render_overlay_tile(
        document.snapshot(), Plane(), Style(fill=True), IdSet(), IdSet(), 1.0, 1.0, 0, 0, Task()
    )
    assert tile is not None
    assert tile[50, 100, 3] > 0
    assert (tile[100, 100, 3] == 0) == is_ignored(name)


@pytest.mark.parametrize("filled", [True, False])
def test_only_what_is_not_ignored_is_filled_live(filled: bool, qtbot: QtBot) -> None:
    picture = QImage(200, 200, QImage.Format.Format_ARGB32_Premultiplied)
    picture.fill(0)
    painter = QPainter(picture)
    view = View(100, 100, 1.0, 200, 200)
    paint_annotation(painter, view, Outline(BOX, filled), (255, 0, 0), Style(fill=True))
    painter.end()
    assert (QColor(picture.pixelColor(100, 100)).alpha() > 0) == filled
    assert QColor(picture.pixelColor(50, 100)).alpha() > 0
