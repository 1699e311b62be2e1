"""A day with files of other programs: dropped, imported, looked through, exported, and what is told."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest

from samdesk.domain.geometry import Shape

from .conftest import User
from .hands import Answers, choose, drop, entry, press, shortcut, told

CTRL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
SQUARES = {"Tumor": (20, 30, 60, 90), "Stroma": (100, 40, 180, 80), "Immune cells": (200, 150, 260, 230)}
"""Class to box; in whole pixels, so that every format holds them exactly."""

AREAS = {name: float((x1 - x0) * (y1 - y0)) for name, (x0, y0, x1, y1) in SQUARES.items()}


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    pixels = np.full((300, 400, 3), 60, np.uint8)
    for x0, y0, x1, y1 in SQUARES.values():
        pixels[y0:y1, x0:x1] = 200
    path = tmp_path / "cells.png"
    cv2.imwrite(str(path), pixels)
    return path


def ring(x0: float, y0: float, x1: float, y1: float) -> list[list[float]]:
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]


def geojson(path: Path, *others: object) -> Path:
    """The squares, and whatever else shall be in the file."""
    features = [
        {
            "type": "Feature",
            "id": f"00000000-0000-4000-8000-00000000000{number}",
            "geometry": {"type": "Polygon", "coordinates": [ring(*box)]},
            "properties": {
                "objectType": "annotation",
                "classification": {"name": name, "color": [200, 0, 0]},
            },
        }
        for number, (name, box) in enumerate(SQUARES.items())
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [*features, *others]}), "utf-8")
    return path


def areas(user: User) -> dict[str | None, float]:
    return {one.class_name: one.shape.area for one in user.workspace.document.annotations()}


def lines(user: User) -> list[str]:
    """The report that is open."""
    dialog = user.window.dialogs.get("imported")
    assert dialog is not None
    return [dialog.lines.index(row).data() for row in range(dialog.lines.rowCount())]


def test_an_image_and_its_annotations_are_dropped_together(user: User, picture: Path, tmp_path: Path) -> None:
    bow_tie = {
        "type": "Polygon",
        "coordinates": [[[300, 200], [340, 240], [340, 200], [300, 240], [300, 200]]],
    }
    file = geojson(
        tmp_path / "cells.geojson",
        {"type": "Feature", "geometry": bow_tie, "properties": {"name": "bow tie"}},
        {"type": "Feature", "geometry": None, "properties": {"name": "nothing"}},
        [],
    )
    drop(user, file, picture)
    user.wait(lambda: told(user) == "4 annotations read from cells.geojson. 1 repaired, 2 left out.")
    user.rest()
    assert user.window.windowTitle() == "cells.png – samdesk"
    assert len(user.workspace.document) == 4
    assert {name: areas(user)[name] for name in SQUARES} == AREAS

    # the report is one click away; it names every case, and can be copied
    press(user, "Show Report")
    found = lines(user)
    assert "Repaired (1)" in found
    assert "Left out (2)" in found
    assert any(line.startswith("features[3]") for line in found)
    assert "features[4]: it has no geometry" in found
    assert "features[5]: it is an empty list" in found
    dialog = user.window.dialogs.get("imported")
    QTest.keyClicks(dialog.search, "features[5]")
    press(user, "Copy", dialog)
    assert QGuiApplication.clipboard().text().splitlines()[-1] == "features[5]: it is an empty list"
    dialog.close()

    # one step back and forth
    assert entry(user.window, "Edit", "Undo").text() == "Undo Import cells.geojson"
    shortcut(user, Qt.Key.Key_Z, CTRL)
    assert len(user.workspace.document) == 0
    shortcut(user, Qt.Key.Key_Z, CTRL, SHIFT)
    assert len(user.workspace.document) == 4

    # again: what is here already is asked about
    answers = Answers(user)
    answers.picks = ["Replace", "Keep both"]
    drop(user, file)
    user.wait(lambda: len(user.workspace.document) == 5)  # the one without an id is another each time
    assert answers.questions[0].startswith("3 of 4 annotations in cells.geojson are already here.")
    drop(user, file)
    user.wait(lambda: len(user.workspace.document) == 9)


@pytest.mark.parametrize("name", ["broken.geojson", "broken.coco.json", "notes.geojson", "empty.geojson.gz"])
def test_a_file_that_makes_no_sense_changes_nothing(
    user: User, picture: Path, tmp_path: Path, name: str
) -> None:
    user.open(picture)
    drop(user, geojson(tmp_path / "good.geojson"))
    user.wait(lambda: len(user.workspace.document) == 3)
    before = areas(user)
    bad = tmp_path / name
    whole = geojson(tmp_path / "whole.json").read_text()
    texts = {
        "broken.geojson": whole[:-40],
        "broken.coco.json": '{"images": [], "annotations": [{"segm',
        "notes.geojson": "Remember the milk",
        "empty.geojson.gz": "",
    }
    bad.write_text(texts[name])
    drop(user, bad)
    user.wait(lambda: user.window.notices.notice is not None and user.window.notices.notice.level == "error")
    user.rest()
    assert name in told(user)
    assert user.window.notices.notice.hint
    assert areas(user) == before
    assert entry(user.window, "Edit", "Undo").text() == "Undo Import good.geojson"


def test_every_format_brings_back_what_it_was_given(user: User, picture: Path, tmp_path: Path) -> None:
    user.open(picture)
    drop(user, geojson(tmp_path / "cells.geojson"))
    user.wait(lambda: len(user.workspace.document) == 3)
    answers = Answers(user)
    for name in (
        "a.geojson.gz",
        "a.geojson.zip",
        "a.coco.json",
        "a.labelme.json",
        "a.ome.xml",
        "a.txt",
        "a.labels.png",
    ):
        target = tmp_path / name
        answers.files = [target]
        choose(user, "File", "Export Annotations")
        user.wait(lambda end=f"3 annotations exported to {name}.": told(user).startswith(end))
        choose(user, "Edit", "Select All")
        shortcut(user, Qt.Key.Key_Delete)
        assert len(user.workspace.document) == 0
        answers.files = [target]
        choose(user, "File", "Import Annotations")
        user.wait(lambda: len(user.workspace.document) == 3)
        user.wait(lambda end=f"3 annotations read from {name}.": told(user).startswith(end))
        assert sorted(areas(user).values()) == pytest.approx(sorted(AREAS.values()), abs=0.5), name
        if set(areas(user)) != set(AREAS):
            assert set(areas(user)) == {None}, name  # told in the report of the export
        user.key(Qt.Key.Key_Z, CTRL)
        user.key(Qt.Key.Key_Z, CTRL)
        assert areas(user) == AREAS
    answers.files = [tmp_path / "a.masks"]
    choose(user, "File", "Export Annotations")
    user.wait(lambda: told(user).startswith("3 annotations exported to a.masks."))
    answers.files = [tmp_path / "a.masks"]
    choose(user, "File", "Import Folder of Masks")
    user.wait(lambda: len(user.workspace.document) == 6)
    assert areas(user) == AREAS  # those of the same class have the same area


def test_what_a_file_holds_is_looked_through_first(user: User, picture: Path, tmp_path: Path) -> None:
    user.open(picture)
    answers = Answers(user)
    answers.files = [geojson(tmp_path / "cells.geojson")]
    choose(user, "File", "Import to Review")
    user.wait(lambda: len(user.workspace.review) == 3)
    user.rest()
    assert user.window.find_dock.isVisible()
    assert len(user.workspace.document) == 0
    assert "<b>3</b> found, 3 ticked" in user.window.review.heading.text()

    # while there is something to judge, A and R judge, and do not hide annotations or draw rectangles
    # a key before anything is looked at goes to the first, so that nothing is judged unseen
    shortcut(user, Qt.Key.Key_R)
    assert "<b>3</b> found, 3 ticked" in user.window.review.heading.text()
    user.key(Qt.Key.Key_R)
    user.key(Qt.Key.Key_A)
    assert user.workspace.tool_name == "segment"
    assert "<b>3</b> found, 2 ticked" in user.window.review.heading.text()
    press(user, "Keep 2")
    user.wait(lambda: len(user.workspace.document) == 2)
    assert sum(areas(user).values()) < sum(AREAS.values())
    assert all(AREAS[name] == area for name, area in areas(user).items())
    shortcut(user, Qt.Key.Key_Z, CTRL)
    assert len(user.workspace.document) == 0
    user.key(Qt.Key.Key_R)
    assert user.workspace.tool_name == "rectangle"


def test_annotations_without_an_image_and_what_training_does_not_want(
    user: User, picture: Path, tmp_path: Path
) -> None:
    file = geojson(tmp_path / "cells.geojson")
    drop(user, file)
    assert told(user) == "cells.geojson holds annotations. Open the image they belong to first."
    user.open(picture)
    drop(user, file)
    user.wait(lambda: len(user.workspace.document) == 3)

    # one is of an ignored class, one is selected
    w = user.workspace
    first, second, _ = w.document.ids()
    w.selection.set([first])
    w.set_class("Ignore*")
    answers = Answers(user)
    answers.files = [tmp_path / "train.coco.json"]
    choose(user, "File", "Export Annotations")
    user.wait(lambda: told(user) == "2 annotations exported to train.coco.json. 1 left out.")
    choose(user, "File", "Show Report")
    assert any("Ignore*" in line for line in lines(user))
    user.window.dialogs.get("imported").close()
    assert len(json.loads((tmp_path / "train.coco.json").read_text())["annotations"]) == 2
    w.selection.set([second])
    answers.files = [tmp_path / "one.geojson"]
    choose(user, "File", "Export Selected")
    user.wait(lambda: (tmp_path / "one.geojson").exists())
    (feature,) = json.loads((tmp_path / "one.geojson").read_text())["features"]
    assert Shape.from_parts([feature["geometry"]["coordinates"]]).area == AREAS["Stroma"]
