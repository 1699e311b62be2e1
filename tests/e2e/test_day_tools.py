"""A day with the tools: drawing, painting, changing and refining annotations by hand."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication

from samdesk.domain.geometry import ShapeKind
from samdesk.domain.outline import iou

from .conftest import ALT, CTRL, GROUND, SHIFT, Hands, disc_center, disc_radius

EDGE = 1.5
"""Image pixels by which a place that was clicked may be off: the screen has whole pixels."""


def test_shapes_are_drawn_as_in_qupath_and_exported_as_it_wants_them(discs: Hands, tmp_path: Path) -> None:
    user = discs

    # a rectangle; then the hand is back at Move, and the shape is selected
    user.key(Qt.Key.Key_R)
    user.stroke((20, 20), (180, 60))
    (rectangle,) = user.all()
    assert rectangle.shape.area == pytest.approx(160 * 40, rel=0.03)
    assert user.workspace.tool_name == "move"
    assert user.selected() == [rectangle]
    assert user.last == "Add rectangle"

    # a circle with Shift, a class given with its key
    user.key(Qt.Key.Key_O)
    user.stroke((250, 250), (330, 310), held=SHIFT)
    (circle,) = user.selected()
    assert circle.shape.bounds.width == pytest.approx(circle.shape.bounds.height, abs=0.2)
    assert circle.shape.area == pytest.approx(math.pi * 40**2, rel=0.05)
    user.key(Qt.Key.Key_1)
    assert user.document.get(circle.id).class_name == "Tumor"

    # a line, a polygon of clicks that a double click ends, a freehand polyline, points
    user.key(Qt.Key.Key_L)
    user.stroke((500, 200), (600, 200))
    (line,) = user.selected()
    assert line.shape.kind is ShapeKind.LINES
    user.key(Qt.Key.Key_P)
    for corner in ((400, 400), (470, 400), (470, 470)):
        user.tap(*corner)
    assert len(user.document) == 3  # it is still being drawn
    user.twice(400, 470)
    (polygon,) = user.selected()
    assert polygon.shape.area == pytest.approx(70 * 70, rel=0.05)
    user.key(Qt.Key.Key_V)
    user.stroke((620, 20), (700, 60), (780, 20))
    (polyline,) = user.selected()
    assert polyline.shape.kind is ShapeKind.LINES
    user.key(Qt.Key.Key_Period)
    for x in (620, 660, 700):
        user.tap(x, 380)
    user.tap(660, 380, held=ALT)
    user.key(Qt.Key.Key_Return)
    points = user.all()[-1]
    assert points.shape.kind is ShapeKind.POINTS
    assert len(points.shape.coords) == 2

    # Esc drops what is being drawn, and adds nothing
    user.key(Qt.Key.Key_P)
    user.tap(50, 500)
    user.tap(90, 540)
    user.key(Qt.Key.Key_Escape)
    assert len(user.document) == 6

    # what QuPath reads: one Feature each, with its own kinds of geometry
    features = user.exported(tmp_path / "shapes.geojson")
    assert [one["geometry"]["type"] for one in features] == [
        "Polygon", "Polygon", "LineString", "Polygon", "LineString", "MultiPoint",
    ]  # fmt: skip
    assert [one["id"] for one in features] == [str(one.id) for one in user.all()]
    assert features[1]["geometry"]["isEllipse"] is True
    assert features[1]["properties"]["classification"] == {"name": "Tumor", "color": [200, 0, 0]}
    assert {one["properties"]["objectType"] for one in features} == {"annotation"}
    ring = features[0]["geometry"]["coordinates"][0]
    assert ring[0] == ring[-1]

    # nothing is left after everything was taken back
    user.undo_all()
    assert len(user.document) == 0


def test_an_area_is_painted_and_its_outline_changed(discs: Hands) -> None:
    user = discs
    user.workspace.settings["brush_px"] = 40
    scale = user.window.canvas.view.scale

    # a stroke makes an area, another that begins inside adds to it, Alt takes away
    user.key(Qt.Key.Key_B)
    user.stroke((200, 200), (300, 200))
    (painted,) = user.all()
    width = 40 * scale
    assert painted.shape.area == pytest.approx(100 * width + math.pi * width**2 / 4, rel=0.03)
    user.stroke((300, 200), (300, 300))
    (grown,) = user.all()
    assert grown.id == painted.id
    assert grown.shape.area > 1.5 * painted.shape.area
    user.stroke((250, 150), (250, 250), held=ALT)
    (cut,) = user.all()
    assert len(cut.shape.to_parts()) == 2
    assert user.last == "Erase from annotation"
    user.key(Qt.Key.Key_Z, CTRL)
    assert user.all() == [grown]

    # elsewhere begins another one, with Shift it goes on with the selected one
    user.stroke((500, 200), (520, 200))
    assert len(user.document) == 2
    user.stroke((500, 400), (520, 400), held=SHIFT)
    assert len(user.document) == 2
    (both,) = user.selected()
    assert len(both.shape.to_parts()) == 2

    # the wand takes a disc whose color is all the same
    user.key(Qt.Key.Key_W)
    x, y = disc_center(3, 2)
    user.tap(x, y, held=CTRL)
    user.wait(lambda: len(user.document) == 3)
    (wand,) = user.selected()
    assert wand.shape.contains(x, y)
    assert wand.shape.area == pytest.approx(math.pi * disc_radius(3, 2) ** 2, rel=0.05)

    # Move: drag the body, a handle, and with Space the picture
    user.key(Qt.Key.Key_R)
    user.stroke((600, 20), (700, 80))
    (box,) = user.selected()
    user.stroke((650, 50), (680, 70))
    (moved,) = user.selected()
    assert moved.id == box.id
    assert moved.shape.area == box.shape.area
    assert moved.shape.bounds.x0 - box.shape.bounds.x0 == pytest.approx(30, abs=EDGE)
    corner = (moved.shape.bounds.x1, moved.shape.bounds.y1)
    user.stroke(corner, (corner[0] + 20, corner[1] + 40))
    (stretched,) = user.selected()
    assert stretched.shape.bounds.width == pytest.approx(120, abs=2 * EDGE)
    assert stretched.shape.bounds.height == pytest.approx(100, abs=2 * EDGE)
    assert user.last == "Change size"

    # a locked one is neither moved nor deleted
    user.key(Qt.Key.Key_K, CTRL)
    (locked,) = user.selected()
    user.stroke((680, 70), (600, 70))
    user.key(Qt.Key.Key_Delete)
    assert locked.id in user.document
    assert user.document.get(locked.id).shape == stretched.shape
    user.undo_all()
    assert len(user.document) == 0


def test_areas_are_merged_cut_split_and_grown(discs: Hands) -> None:
    user = discs
    um = 0.5
    for x in (100, 150):
        user.key(Qt.Key.Key_R)
        user.stroke((x, 300), (x + 100, 400))
    first, second = user.all()

    # merge: one annotation with the first one's id, one step
    user.tap(110, 350)
    user.tap(240, 350, held=CTRL)
    assert {one.id for one in user.selected()} == {first.id, second.id}
    user.menu("objects.merge")
    (merged,) = user.all()
    assert merged.id == first.id
    assert merged.shape.area == pytest.approx(150 * 100, rel=0.03)
    assert user.last == "Merge 2 annotations"

    # subtract: the first selected one loses what the others cover
    user.key(Qt.Key.Key_R)
    user.stroke((170, 280), (180, 420))
    knife = user.selected()[0]
    user.tap(110, 350)
    user.tap(175, 290, held=CTRL)
    user.menu("objects.subtract")
    left = user.document.get(merged.id)
    assert len(left.shape.to_parts()) == 2
    assert user.document.get(knife.id) == knife

    # split: every part an annotation of its own
    user.tap(110, 350)
    user.menu("objects.split")
    assert len(user.document) == 3

    # expand by 5 µm in the dialog: 10 px on every side
    user.tap(110, 350)
    (half,) = user.selected()
    user.menu("objects.grow")
    dialog = user.dialog("shaping")
    assert dialog.number.suffix() == " µm"
    dialog.number.setValue(5.0)
    user.wait(lambda: user.workspace.sketch is not None and "vertices" in dialog.outcome.text())
    user.push(dialog.apply)
    user.rest()
    wide = user.document.get(half.id)
    assert wide.shape.bounds.x0 == pytest.approx(half.shape.bounds.x0 - 5 / um, abs=0.1)
    assert user.last == "Resize annotation"

    # duplicate, cut and paste keep shapes, and never an id twice
    user.look()
    user.key(Qt.Key.Key_D, SHIFT)
    (copy,) = user.selected()
    assert copy.shape == wide.shape
    assert copy.id != wide.id
    user.key(Qt.Key.Key_X, CTRL)
    assert copy.id not in user.document
    assert '"FeatureCollection"' in QGuiApplication.clipboard().text()
    user.key(Qt.Key.Key_V, CTRL)
    (pasted,) = user.selected()
    assert iou(pasted.shape, wide.shape) > 0.999  # GeoJSON has 0.01 px
    assert len({one.id for one in user.all()}) == 4

    # a ring: its hole is filled
    user.key(Qt.Key.Key_O)
    user.stroke((400, 250), (480, 330), held=SHIFT)
    outer = user.selected()[0]
    user.key(Qt.Key.Key_O)
    user.stroke((420, 270), (460, 310), held=SHIFT)
    inner = user.selected()[0]
    user.workspace.selection.set([outer.id, inner.id])
    user.menu("objects.subtract")
    assert len(user.document.get(outer.id).shape.to_parts()[0]) == 2
    user.workspace.selection.set([outer.id])
    user.menu("objects.fill_holes")
    assert user.document.get(outer.id).shape.area == pytest.approx(outer.shape.area, rel=1e-3)
    user.undo_all()
    assert len(user.document) == 0


def test_a_drawn_outline_is_refined_and_refined_again(discs: Hands, tmp_path: Path) -> None:
    user = discs
    x, y = disc_center(1, 1)
    radius = disc_radius(1, 1)
    disc = math.pi * radius**2

    # a rough polygon around a disc, with a class and a name
    user.key(Qt.Key.Key_P)
    for corner in ((x - 44, y - 44), (x + 44, y - 44), (x + 44, y + 44)):
        user.tap(*corner)
    user.twice(x - 44, y + 44)
    user.key(Qt.Key.Key_2)
    (rough,) = user.selected()
    assert rough.class_name == "Stroma"
    assert rough.provenance == {}
    assert rough.shape.area > 1.5 * disc

    # Shift+R makes it a prompt again: it is shown as it is, then as the model sees it
    user.refine()
    assert user.session.refined is not None
    assert user.window.pill.isVisible()
    assert "Refining" in user.window.pill.text()
    assert "as it is" in user.window.pill.text()
    assert user.session.proposal.current.shape == rough.shape
    user.key(Qt.Key.Key_X)
    shown = user.session.proposal.current
    assert shown is not None
    assert shown.shape.area == pytest.approx(disc, rel=0.05)
    user.key(Qt.Key.Key_Return)
    (refined,) = user.all()
    assert refined.id == rough.id
    assert refined.class_name == "Stroma"
    assert refined.shape.area == pytest.approx(disc, rel=0.05)
    assert refined.provenance["engine"] == "classical"
    assert user.last == "Refine annotation"

    # once more, with a point that takes a corner away: the prompts stay with the annotation
    user.workspace.selection.set([refined.id])
    user.refine()
    user.click(x, y + 10)
    user.key(Qt.Key.Key_Return)
    (again,) = user.all()
    assert again.id == rough.id
    assert len(again.provenance["points"]) == 1

    # opened a third time the point is there again, and Esc leaves all as it was
    user.workspace.selection.set([refined.id])
    user.refine()
    assert len(user.session.proposal.prompts.points) == 1
    user.key(Qt.Key.Key_Escape)
    assert user.all() == [again]

    # the file tells how it came to be; each refinement is taken back by one key
    (feature,) = user.exported(tmp_path / "refined.geojson")
    assert feature["id"] == str(rough.id)
    assert "classical" in str(feature["properties"])
    user.back()
    user.key(Qt.Key.Key_Z, CTRL)
    assert user.all() == [refined]
    user.key(Qt.Key.Key_Z, CTRL)
    (back,) = user.all()
    assert iou(back.shape, rough.shape) == pytest.approx(1.0)
    assert back.class_name == "Stroma"
    assert user.pixel(x + 60, y + 60) == GROUND
