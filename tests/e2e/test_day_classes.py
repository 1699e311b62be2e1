"""A day with classes: given by keys and by the list, made, renamed, hidden, ignored, and taken along."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PySide6.QtCore import Qt

from samdesk.ui.panels.classes import COUNT_ROLE, KEY_ROLE, eye_rect

from .conftest import CTRL, GROUND, Hands, disc_center

QUPATH = {
    "Tumor": (200, 0, 0),
    "Stroma": (150, 200, 150),
    "Immune cells": (160, 90, 160),
    "Necrosis": (50, 50, 50),
    "Other": (255, 200, 0),
    "Region*": (0, 0, 180),
    "Ignore*": (180, 180, 180),
}
"""QuPath's default classes with its colors."""


def draw_three(user: Hands) -> None:
    """Rectangles on bare ground, beside the discs."""
    for x in (180, 380, 580):
        user.key(Qt.Key.Key_R)
        user.stroke((x, 180), (x + 40, 220))


def counts(user: Hands) -> dict[str, int]:
    """What the list shows beside each class."""
    model = user.window.classes.model
    rows = [model.index(row) for row in range(model.rowCount())]
    return {row.data(): row.data(COUNT_ROLE) for row in rows if row.data(COUNT_ROLE)}


def row_of(user: Hands, name: str | None) -> int:
    row: int = user.window.classes.model.row_of(name)
    return row


def test_classes_are_given_with_keys_and_the_list(discs: Hands, tmp_path: Path) -> None:
    user = discs
    panel = user.window.classes

    # QuPath's classes are there, the first nine with a key
    names = user.workspace.classes.names
    assert {name: user.document.class_color(name) for name in names if name in QUPATH} == QUPATH
    keys = [panel.model.index(row).data(KEY_ROLE) for row in range(panel.model.rowCount())]
    assert keys[:4] == ["0", "1", "2", "3"]

    # a number key gives the class to what is selected, and the count stands in the list
    draw_three(user)
    assert counts(user) == {"No class": 3}
    first, second, _ = user.all()
    user.tap(200, 200)
    user.key(Qt.Key.Key_1)
    assert counts(user) == {"No class": 2, "Tumor": 1}
    assert user.last == "Set class Tumor"

    # a double click on a class gives it too; Set Selected gives it to several as one step
    user.tap(400, 200)
    user.row(panel.view, row_of(user, "Stroma"), double=True)
    assert user.document.get(second.id).class_name == "Stroma"
    user.back()
    user.tap(200, 200)
    user.tap(600, 200, held=CTRL)
    user.row(panel.view, row_of(user, "Immune cells"))
    assert counts(user) == {"No class": 1, "Tumor": 1, "Stroma": 1}  # a click alone changes nothing
    user.push(panel.give)
    assert counts(user) == {"Stroma": 1, "Immune cells": 2}
    user.back()
    user.key(Qt.Key.Key_Z, CTRL)
    assert counts(user) == {"No class": 1, "Tumor": 1, "Stroma": 1}
    user.key(Qt.Key.Key_Z, CTRL | Qt.KeyboardModifier.ShiftModifier)

    # without a selection the key chooses the class of what comes next
    user.tap(780, 20)
    assert not user.selected()
    user.key(Qt.Key.Key_4)
    assert user.workspace.active_class == "Necrosis"
    user.key(Qt.Key.Key_S)
    user.click(*disc_center(0, 0))
    assert "Necrosis" in user.window.pill.text()
    user.key(Qt.Key.Key_Return)
    assert counts(user)["Necrosis"] == 1
    user.key(Qt.Key.Key_0)
    assert counts(user) == {"No class": 1, "Stroma": 1, "Immune cells": 2}

    # the file says what QuPath wants; what has no class has no classification
    features = user.exported(tmp_path / "classes.geojson")
    given = {one["id"]: one["properties"].get("classification") for one in features}
    assert given[str(first.id)] == {"name": "Immune cells", "color": [160, 90, 160]}
    assert given[str(second.id)] == {"name": "Stroma", "color": [150, 200, 150]}
    assert given[str(user.all()[3].id)] is None
    user.workspace.choose_class(None)


def test_a_class_is_made_renamed_moved_and_removed(discs: Hands) -> None:
    user = discs
    panel = user.window.classes
    draw_three(user)
    first = user.all()[0]

    # a new class from the list's button
    user.push(panel.add)
    dialog = user.dialog("class")
    user.into(dialog.name, "Tumor")
    dialog.accept()
    assert dialog.isVisible()  # the name is taken, and the dialog says so
    assert dialog.trouble.isVisible()
    user.into(dialog.name, "Mitosis")
    dialog.color.show_color((10, 200, 90))
    user.key_in(dialog.name, Qt.Key.Key_Return)
    user.wait(lambda: not dialog.isVisible())
    assert "Mitosis" in user.workspace.classes.names
    user.back()
    user.workspace.selection.set([first.id])
    user.row(panel.view, row_of(user, "Mitosis"), double=True)
    assert counts(user)["Mitosis"] == 1

    # renamed with Enter in the list, the annotations go along; one step
    user.row(panel.view, row_of(user, "Mitosis"))
    user.key_in(panel.view, Qt.Key.Key_Return)
    dialog = user.dialog("class")
    user.into(dialog.name, "Dividing")
    user.key_in(dialog.name, Qt.Key.Key_Return)
    user.wait(lambda: not dialog.isVisible())
    assert user.document.get(first.id).class_name == "Dividing"
    assert user.document.class_color("Dividing") == (10, 200, 90)
    user.back()
    user.key(Qt.Key.Key_Z, CTRL)
    assert user.document.get(first.id).class_name == "Mitosis"
    user.key(Qt.Key.Key_Y, CTRL)

    # Alt+Up moves it to the top, where it has the key 1
    user.row(panel.view, row_of(user, "Dividing"))
    for _ in user.workspace.classes.names:
        user.key_in(panel.view, Qt.Key.Key_Up, Qt.KeyboardModifier.AltModifier)
    assert user.workspace.classes.names[0] == "Dividing"
    user.back()
    user.tap(400, 200)
    user.key(Qt.Key.Key_1)
    assert counts(user) == {"No class": 1, "Dividing": 2}

    # removed: its annotations stay, without a class; Undo brings both back
    user.row(panel.view, row_of(user, "Dividing"))
    user.answer("Remove", lambda: user.key_in(panel.view, Qt.Key.Key_Backspace))
    assert "Dividing" not in user.workspace.classes.names
    assert counts(user) == {"No class": 3}
    user.back()
    user.key(Qt.Key.Key_Z, CTRL)
    assert counts(user) == {"No class": 1, "Dividing": 2}


def test_classes_are_hidden_ignored_and_taken_along(discs: Hands, tmp_path: Path) -> None:
    user = discs
    panel = user.window.classes
    draw_three(user)
    first, second, third = user.all()
    for one, name in ((first, "Tumor"), (second, "Region*"), (third, "Tumor")):
        user.workspace.selection.set([one.id])
        user.row(panel.view, row_of(user, name), double=True)
    user.back()
    user.tap(780, 20)

    # filled: the ignored class never is
    user.key(Qt.Key.Key_F, Qt.KeyboardModifier.ShiftModifier)
    user.wait(lambda: user.pixel(200, 200) != GROUND)
    assert user.pixel(400, 200) == GROUND

    # the eye hides a class: not seen, not clickable, and not lost
    row = panel.model.index(row_of(user, "Tumor"))
    panel.view.scrollTo(row)
    user.click_in(panel.view.viewport(), eye_rect(panel.view.visualRect(row)).center())
    assert user.workspace.classes.hidden == {"Tumor"}
    user.wait(lambda: user.pixel(200, 200) == GROUND)
    user.back()
    user.tap(200, 200)
    assert not user.selected()
    assert len(user.document) == 3
    user.menu("classes.show_all")
    user.wait(lambda: user.pixel(200, 200) != GROUND)

    # Space in the list hides and shows; all of a class are selected by one command
    user.row(panel.view, row_of(user, "Region*"))
    user.key_in(panel.view, Qt.Key.Key_Space)
    assert user.workspace.classes.hidden == {"Region*"}
    user.key_in(panel.view, Qt.Key.Key_Space)
    assert not user.workspace.classes.hidden
    user.back()
    user.tap(200, 200)
    user.menu("classes.select")
    assert {one.id for one in user.selected()} == {first.id, third.id}

    # exported, read by another picture, and there once each
    user.workspace.classes.add("Mitosis", (10, 200, 90))
    target = tmp_path / "classes.json"
    user.file(target, lambda: user.menu("classes.export"))
    user.wait(target.exists)
    user.rest()
    user.back()
    assert "Mitosis" in json.dumps(json.loads(target.read_text()))
    names = user.workspace.classes.names
    user.workspace.classes.remove(["Mitosis"])
    user.file(target, lambda: user.menu("classes.import"))
    user.wait(lambda: "Mitosis" in user.workspace.classes.names)
    user.back()
    assert user.workspace.classes.names == names
    assert user.document.class_color("Mitosis") == (10, 200, 90)

    # they stay with the image when it is closed and opened again
    user.wait(lambda: user.workspace.unsaved == 0)
    path = user.workspace.image.source.path
    user.workspace.close_image()
    user.open(path)
    user.look()
    assert user.workspace.classes.names == names
    assert counts(user) == {"Tumor": 2, "Region*": 1}
    assert pytest.approx(1600, rel=0.1) == user.all()[0].shape.area
    user.menu("view.fill")
