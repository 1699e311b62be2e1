"""A day with lists and measurements: found, sorted, named, measured in µm, and written as a table."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication

from samdesk.domain.columns import Annotation
from samdesk.domain.geometry import Shape

from .conftest import CTRL, GROUND, INK, SHIFT, UM, Hands, disc_center, disc_radius

DRAWN = {"small": 40, "middle": 80, "large": 120}
"""Squares by name, with their sides in pixels."""


def place_squares(user: Hands) -> dict[str, Annotation]:
    """Squares of exact sizes on bare ground, named and classed, as an import would bring them."""
    made = {}
    for number, (name, side) in enumerate(DRAWN.items()):
        x = 140 + 200 * number
        shape = Shape.box(x, 150, x + side, 150 + side)
        made[name] = Annotation(shape, name=name, class_name="Tumor" if number else "Stroma")
    user.workspace.do(user.document.adding(list(made.values()), "Add squares"))
    user.rest()
    return made


def titles(user: Hands) -> list[str]:
    """What the list of annotations shows, from top to bottom."""
    model = user.window.annotations.model
    return [model.index(row, 0).data() for row in range(model.rowCount())]


def test_annotations_are_found_sorted_named_and_brought_into_view(discs: Hands) -> None:
    user = discs
    panel, properties = user.window.annotations, user.window.properties
    squares = place_squares(user)
    assert titles(user) == ["small", "middle", "large"]
    assert "3" in panel.heading.text()

    # searched by name and by class
    user.into(panel.search, "tumor")
    user.wait(lambda: titles(user) == ["middle", "large"])
    assert "2 of 3" in panel.heading.text()
    user.into(panel.search, "sma")
    user.wait(lambda: titles(user) == ["small"])
    user.key_in(panel.search, Qt.Key.Key_A, CTRL)
    user.key_in(panel.search, Qt.Key.Key_Delete)
    user.wait(lambda: len(titles(user)) == 3)

    # sorted by area, the largest first
    panel.sorts["area"].trigger()
    panel.backwards.trigger()
    user.wait(lambda: titles(user) == ["large", "middle", "small"])

    # a click selects, Shift takes the rows between, Ctrl one more or less; the picture follows
    user.row(panel.view, 0)
    assert user.selected() == [squares["large"]]
    user.row(panel.view, 2, held=SHIFT)
    assert len(user.selected()) == 3
    user.row(panel.view, 1, held=CTRL)
    assert {one.name for one in user.selected()} == {"large", "small"}
    user.back()
    user.key(Qt.Key.Key_M)
    user.tap(160, 160)
    assert user.selected() == [squares["small"]]
    assert [index.row() for index in panel.view.selectionModel().selectedRows()] == [2]

    # a double click brings it into view
    user.window.canvas.zoom_to(0.25)
    user.row(panel.view, 0, double=True)
    user.rest()
    seen = user.window.canvas.view.bounds
    assert seen.union(squares["large"].shape.bounds) == seen
    user.look()

    # F2 renames in the row; one step
    user.workspace.selection.set([squares["small"].id])
    user.key(Qt.Key.Key_F2)
    user.type("tiny")
    user.key_at_focus(Qt.Key.Key_Return)
    user.wait(lambda: user.document.get(squares["small"].id).name == "tiny")
    assert user.last == "Rename annotation"

    # the properties say what it is; notes and class are changed there
    user.back()
    user.key(Qt.Key.Key_Return)
    user.wait(properties.name.hasFocus)
    assert properties.name.text() == "tiny"
    shown = properties.details.text(chosen=False)
    assert f"Area\t{40 * UM * 40 * UM:.0f}" in shown
    user.into(properties.description, "seen twice")
    user.into(properties.name, "least")
    user.key_in(properties.name, Qt.Key.Key_Return)
    user.back()
    one = user.document.get(squares["small"].id)
    assert one.name == "least"
    assert "seen twice" in one.metadata.values()
    panel.backwards.trigger()
    panel.sorts["order"].trigger()
    user.wait(lambda: titles(user) == ["least", "middle", "large"])
    user.undo_all()
    assert len(user.document) == 0


def test_measurements_are_live_and_written_in_um(discs: Hands, tmp_path: Path) -> None:
    user = discs
    squares = place_squares(user)
    user.key(Qt.Key.Key_M, CTRL)
    table = user.dialog("measurements")
    model = table.model
    user.wait(lambda: model.rowCount() == 3)
    area = f"Area {'µ'}m^2"
    assert area in model.titles

    def shown(title: str) -> list[float]:
        column = model.titles.index(title)
        texts = [model.index(row, column).data() for row in range(model.rowCount())]
        return [float(text.replace(",", "")) for text in texts]

    assert shown(area) == pytest.approx([(side * UM) ** 2 for side in DRAWN.values()], rel=1e-3)
    assert shown("Solidity") == pytest.approx([1.0] * 3)
    assert shown("Circularity") == pytest.approx([math.pi / 4] * 3, abs=1e-3)
    assert table.histogram.histogram is not None

    # a disc more: its row comes at once, with the numbers of a disc
    user.back()
    user.key(Qt.Key.Key_S)
    user.click(*disc_center(1, 2))
    user.key(Qt.Key.Key_Return)
    user.wait(lambda: model.rowCount() == 4)
    user.wait(lambda: not user.workspace.measuring.is_busy)
    radius = disc_radius(1, 2) * UM
    user.wait(lambda: shown(area)[3] == pytest.approx(math.pi * radius**2, rel=0.05))
    assert shown("Circularity")[3] == pytest.approx(1.0, abs=0.08)

    # filtered and sorted; a row that is chosen is selected in the picture
    user.into(table.search, "tumor")
    user.wait(lambda: model.rowCount() == 2)
    user.row(table.view, 1)
    assert [one.name for one in user.selected()] == ["large"]
    table.search.clear()
    user.wait(lambda: model.rowCount() == 4)

    # the intensity of channels is measured and kept with the annotations; one step
    user.back()
    user.workspace.selection.clear()
    user.menu("measure.intensity")
    user.wait(lambda: all(one.measurements for one in user.all()))
    user.rest()
    on_disc = user.all()[3].measurements
    red = next(value for name, value in on_disc.items() if "ed" in name and "ean" in name)
    assert red == pytest.approx(INK[0], abs=6)
    beside = user.all()[0].measurements
    assert next(v for n, v in beside.items() if "ed" in n and "ean" in n) == pytest.approx(
        GROUND[0], abs=0.01
    )

    # copied with tabs, written as TSV and CSV with all the digits
    user.wait(lambda: len(model.titles) > 15)
    user.push(table.copy)
    lines = QGuiApplication.clipboard().text().splitlines()
    assert len(lines) == 5
    assert lines[0].split("\t")[: len(model.titles)] == list(model.titles)
    for ending, mark in (("csv", ","), ("tsv", "\t")):
        target = tmp_path / f"table.{ending}"
        user.file(target, lambda: user.push(table.save))
        user.wait(target.exists)
        user.rest()
        with target.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file, delimiter=mark))
        assert [float(row[area]) for row in rows][:3] == [400.0, 1600.0, 3600.0]
        assert [row["Name"] for row in rows] == ["small", "middle", "large", ""]
        assert rows[0]["Classification"] == "Stroma"
        assert rows[0]["Object ID"] == str(squares["small"].id)

    # Undo takes the measured intensities back, then the disc; the table follows
    user.back()
    user.key(Qt.Key.Key_Z, CTRL)
    assert not any(one.measurements for one in user.all())
    user.key(Qt.Key.Key_Z, CTRL)
    user.wait(lambda: model.rowCount() == 3)
    table.close()
    user.wait(lambda: user.window.dialogs.get("measurements") is None)


def test_what_stands_around_the_picture(discs: Hands) -> None:
    user = discs
    canvas, status = user.window.canvas, user.window.status

    # the cursor: its place in µm and the value of the pixel below it
    x, y = disc_center(2, 1)
    user.move(x, y)
    user.wait(lambda: str(INK[0]) in status.place.text())
    told = status.place.text()
    assert all(str(value) in told for value in INK)
    user.move(200, 200)
    user.wait(lambda: str(GROUND[0]) in status.place.text())

    # rulers, scale bar and overview are switched, and the picture stays where it is
    user.key(Qt.Key.Key_1, CTRL)
    user.rest()
    before = canvas.view
    bare = canvas.grab().toImage()
    for command in ("view.rulers", "view.scale_bar"):
        user.menu(command)
        user.rest()
        assert canvas.grab().toImage() != bare
        assert canvas.view == before
        user.menu(command)
    user.rest()
    canvas.zoom_to(0.2)
    user.rest()
    user.menu("view.overview")
    small = canvas.grab().toImage()
    user.menu("view.overview")
    assert canvas.grab().toImage() != small

    # a click in the overview goes there
    rect = canvas._overview_rect()
    assert rect is not None
    center = canvas.view.center_x, canvas.view.center_y
    user.click_in(canvas, QPoint(rect.left() + 4, rect.top() + 4))
    assert canvas.view.center_x < center[0]
    assert canvas.view.center_y < center[1]

    # full resolution, then all of it again
    user.key(Qt.Key.Key_1, CTRL)
    assert canvas.view.scale == 1.0
    user.key(Qt.Key.Key_0, CTRL)
    assert canvas.view.bounds.contains(1, 1)
    assert canvas.view.bounds.contains(799, 599)
