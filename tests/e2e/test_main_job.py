"""The main job in the real window: open, look, prompt, refine, keep, undo, export, and what was on screen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import QApplication

from samdesk.domain.geometry import Bounds
from samdesk.domain.outline import iou
from samdesk.formats.geojson import read_geojson
from samdesk.images.sample import Slide
from samdesk.ui.panels.classes import COUNT_ROLE

from .conftest import User

CTRL = Qt.KeyboardModifier.ControlModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier


def nucleus_near(slide: Slide, x: float, y: float):
    return min(slide.nuclei, key=lambda n: np.hypot(n.centroid[0] - x, n.centroid[1] - y))


def wheel(user: User, x: float, y: float, notches: int) -> None:
    canvas = user.window.canvas
    sx, sy = canvas.view.to_screen(x, y)
    at = QPointF(sx, sy)
    QApplication.sendEvent(
        canvas,
        QWheelEvent(
            at, QPointF(canvas.mapToGlobal(at)), QPoint(), QPoint(0, 120 * notches), Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
        ),
    )  # fmt: skip


def test_the_main_job(user: User, slide: Slide, tmp_path: Path) -> None:
    user.open(slide.path)
    canvas, document = user.window.canvas, user.workspace.document
    truth = nucleus_near(slide, 3000, 3000)
    x, y = truth.centroid

    # zoom at the cursor: the point under it stays
    before = canvas.view.to_screen(x, y)
    for _ in range(40):
        if canvas.view.scale <= 1.0:
            break
        wheel(user, x, y, 1)
    assert canvas.view.scale <= 1.0
    assert canvas.view.to_screen(x, y) == pytest.approx(before, abs=1.0)
    canvas.show_bounds(Bounds(x - 300, y - 200, x + 300, y + 200))
    user.rest()

    # pan with the arrows and back
    place = canvas.view.to_screen(x, y)
    user.key(Qt.Key.Key_Right)
    assert canvas.view.to_screen(x, y)[0] < place[0]
    user.key(Qt.Key.Key_Left)

    # hover: a preview before any click
    user.move(x - 2, y)
    user.move(x, y)
    user.wait(lambda: user.session.proposal.hover and user.session.proposal.current is not None)
    assert iou(user.session.proposal.current.shape, truth) > 0.85
    assert len(document) == 0

    # click, refine with a second point, keep
    user.click(x, y)
    user.click(x + 6, y + 4)  # beyond the mark of the first, which a click on it takes away
    assert len(user.session.proposal.prompts.points) == 2
    shown = user.session.proposal.current.shape
    assert iou(shown, truth) > 0.85
    user.key(Qt.Key.Key_Return)
    assert len(document) == 1
    kept = document.get(document.ids()[0])
    assert iou(kept.shape, shown) > 0.999
    assert kept.provenance["engine"] == "classical"

    # a box around a gland keeps its hole
    gland = min(slide.glands, key=lambda g: np.hypot(g.centroid[0] - x, g.centroid[1] - y))
    canvas.show_bounds(gland.bounds.expanded(200))
    user.rest()
    user.drag(*gland.bounds.expanded(25))
    user.key(Qt.Key.Key_Return)
    assert len(document) == 2

    # undo and redo
    user.key(Qt.Key.Key_Z, CTRL)
    user.key(Qt.Key.Key_Z, CTRL)
    assert len(document) == 0
    user.key(Qt.Key.Key_Z, CTRL | SHIFT)
    user.key(Qt.Key.Key_Z, CTRL | SHIFT)
    assert len(document) == 2
    assert document.get(kept.id) == kept

    # export, read back: what the file says is what was on screen
    target = tmp_path / "out.geojson"
    user.workspace.exchange.export(target)
    user.wait(target.exists)
    exported = {a.id: a for a in read_geojson(target).table.annotations()}
    assert set(exported) == set(document.ids())
    for one in document.annotations():
        assert iou(exported[one.id].shape, one.shape) > 0.9995  # the file has 0.01 px

    canvas.show_bounds(kept.shape.bounds.expanded(40))
    user.workspace.selection.set([kept.id])
    user.workspace.select_tool("move")
    user.rest()
    _outline_is_on_screen(user, exported[kept.id].shape)


def _outline_is_on_screen(user: User, shape) -> None:
    """Along the exported outline the picture shows the selection's yellow, and inside it does not."""
    canvas = user.window.canvas
    picture = canvas.grab().toImage()
    ratio = picture.devicePixelRatio()

    def yellow(x: float, y: float) -> bool:
        sx, sy = canvas.view.to_screen(x, y)
        color = picture.pixelColor(int(sx * ratio), int(sy * ratio))
        return color.red() > 180 and color.green() > 160 and color.blue() < 140

    ring = shape.to_parts()[0][0]
    hits = [yellow(*point) for point in ring[:: max(1, len(ring) // 60)]]
    assert np.mean(hits) > 0.95
    assert not yellow(*shape.centroid)


def test_negative_point_escape_and_take_back(user: User, slide: Slide) -> None:
    user.open(slide.path)
    truth = nucleus_near(slide, 2500, 5000)
    x, y = truth.centroid
    user.window.canvas.show_bounds(Bounds(x - 200, y - 140, x + 200, y + 140))
    user.rest()
    user.click(x, y)
    away = (truth.bounds.x1 - 3, y)
    user.click(*away, held=Qt.KeyboardModifier.AltModifier)
    assert user.session.proposal.prompts.points[-1].positive is False
    current = user.session.proposal.current
    assert current is None or not current.shape.contains(*away)
    user.click(*away, button=Qt.MouseButton.RightButton)
    assert len(user.session.proposal.prompts.points) == 3
    user.key(Qt.Key.Key_Backspace)
    user.rest()
    assert len(user.session.proposal.prompts.points) == 2
    user.key(Qt.Key.Key_Escape)
    assert not user.session.has_prompts
    assert user.session.proposal.current is None


def test_annotations_come_back_with_their_image(user: User, slide: Slide) -> None:
    user.open(slide.path)
    truth = nucleus_near(slide, 4000, 4000)
    x, y = truth.centroid
    user.window.canvas.show_bounds(Bounds(x - 200, y - 140, x + 200, y + 140))
    user.rest()
    user.click(x, y)
    user.key(Qt.Key.Key_Return)
    kept = list(user.workspace.document.annotations())
    user.wait(lambda: user.workspace.unsaved == 0)
    user.workspace.close_image()
    assert len(user.workspace.document) == 0
    user.open(slide.path)
    assert list(user.workspace.document.annotations()) == kept


def test_a_class_is_given_and_counted(user: User, slide: Slide) -> None:
    user.open(slide.path)
    x, y = nucleus_near(slide, 4000, 4000).centroid
    user.window.canvas.show_bounds(Bounds(x - 200, y - 140, x + 200, y + 140))
    user.rest()
    user.workspace.choose_class("Tumor")
    user.click(x, y)
    user.key(Qt.Key.Key_Return)
    assert user.workspace.document.counts()["Tumor"] == 1
    user.workspace.set_class("Stroma")
    counts = user.workspace.document.counts()
    assert {name: count for name, count in counts.items() if count} == {"Stroma": 1}
    model = user.window.classes.model
    shown = {index.data(): index.data(COUNT_ROLE) for index in map(model.index, range(model.rowCount()))}
    assert shown["Stroma"] == 1
    assert shown["Tumor"] == 0
    user.key(Qt.Key.Key_Delete)
    assert len(user.workspace.document) == 0
