"""The measurement window: in step with document and selection, sorted, filtered, summed up, saved."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication
from pytestqt.qtbot import QtBot

from samdesk.app.measuring import live
from samdesk.app.settings import Settings
from samdesk.domain.columns import DEFAULT_CLASSES, Annotation
from samdesk.domain.geometry import Shape
from samdesk.sdk import Segmenter
from samdesk.ui import theme
from samdesk.ui.dialogs.measurements.dialog import Measurements
from samdesk.ui.dialogs.measurements.histogram import nice_ticks, tick_text
from samdesk.ui.dialogs.measurements.model import decimals_for, number_text
from samdesk.ui.main_window import MainWindow
from tests.annotation_tables import star_table
from tests.fakes import FakeEngine

AREA = "Area px^2"


@pytest.fixture
def window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qtbot: QtBot) -> Iterator[MainWindow]:
    monkeypatch.setenv("SAMDESK_HOME", str(tmp_path / "home"))
    theme.apply(theme.application(), "light")
    made = MainWindow(Settings(tmp_path / "settings.json"), Segmenter(FakeEngine()))
    made.show()
    qtbot.waitExposed(made)
    path = tmp_path / "picture.png"
    cv2.imwrite(str(path), np.full((300, 400, 3), 90, np.uint8))
    made.workspace.open(path)
    qtbot.waitUntil(lambda: made.workspace.image is not None and made.jobs.idle, timeout=10_000)
    yield made
    made.close()
    made.deleteLater()
    qtbot.wait(1)


def squares(window: MainWindow, *sides: float) -> None:
    w = window.workspace
    names = [one.name for one in DEFAULT_CLASSES]
    w.do(
        w.document.adding(
            Annotation(Shape.box(20 * k, 10, 20 * k + side, 10 + side), class_name=names[k], name=f"cell {k}")
            for k, side in enumerate(sides)
        )
    )


@pytest.fixture
def table(window: MainWindow, qtbot: QtBot) -> Measurements:
    squares(window, 3, 9, 6)
    window.actions_["measure.table"].trigger()
    made = window.dialogs.get("measurements")
    assert isinstance(made, Measurements)
    settle(window, made, qtbot)
    return made


def settle(window: MainWindow, table: Measurements, qtbot: QtBot) -> None:
    qtbot.waitUntil(
        lambda: (
            window.jobs.idle
            and not window.workspace.measuring.is_busy
            and not table._sum_later.isActive()
            and len(table.model.sheet) == len(window.workspace.document)
        ),
        timeout=20_000,
    )


def column(table: Measurements, title: str) -> list[str]:
    place = table.model.titles.index(title)
    return [table.model.index(row, place).data() for row in range(table.model.rowCount())]


def click_heading(table: Measurements, title: str, qtbot: QtBot) -> None:
    header, place = table.view.horizontalHeader(), table.model.titles.index(title)
    table.view.scrollTo(table.model.index(0, place))
    at = QPoint(header.sectionViewportPosition(place) + 30, header.height() // 2)
    qtbot.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=at)


def test_it_shows_every_annotation_and_what_the_column_comes_to(table: Measurements) -> None:
    assert column(table, "Name") == ["cell 0", "cell 1", "cell 2"]
    assert column(table, "Classification") == ["Tumor", "Stroma", "Immune cells"]
    assert column(table, AREA) == ["9", "81", "36"]
    assert table.heading.text() == AREA
    assert "3 annotations" in table.foot.text()
    assert "mean 42.00" in table.foot.text()
    assert [table.sums.topLevelItem(k).text(0) for k in range(4)] == [
        "All",
        "Tumor",
        "Stroma",
        "Immune cells",
    ]
    assert table.histogram.histogram is not None
    assert table.histogram.histogram.counts.sum() == 3
    assert table.histogram.told_at(table.histogram.bars().left() + 1).endswith(": 1")


def test_it_follows_the_document(window: MainWindow, table: Measurements, qtbot: QtBot) -> None:
    w = window.workspace
    w.do(w.document.adding([Annotation(Shape.box(0, 0, 2, 2))]))
    settle(window, table, qtbot)
    assert column(table, AREA) == ["9", "81", "36", "4"]
    w.do(w.document.reclassifying(w.document.ids()[:1], "Region*"))
    settle(window, table, qtbot)
    assert column(table, "Classification")[0] == "Region*"
    assert table._figures is not None
    assert table._figures.all.count == 3
    w.history.undo()
    w.history.undo()
    settle(window, table, qtbot)
    assert column(table, AREA) == ["9", "81", "36"]


def test_headings_sort_up_down_and_back(table: Measurements, qtbot: QtBot) -> None:
    click_heading(table, AREA, qtbot)
    assert column(table, AREA) == ["9", "36", "81"]
    click_heading(table, AREA, qtbot)
    assert column(table, AREA) == ["81", "36", "9"]
    click_heading(table, AREA, qtbot)
    assert column(table, AREA) == ["9", "81", "36"]
    click_heading(table, "Classification", qtbot)
    assert column(table, "Classification") == ["Immune cells", "Stroma", "Tumor"]
    assert table.heading.text() == AREA


def test_rows_and_annotations_are_selected_together(
    window: MainWindow, table: Measurements, qtbot: QtBot
) -> None:
    w, ids = window.workspace, window.workspace.document.ids()
    table.view.selectRow(1)
    assert w.selection.ids == (ids[1],)
    w.selection.set([ids[0], ids[2]])
    assert sorted({one.row() for one in table.view.selectedIndexes()}) == [0, 2]
    qtbot.waitUntil(lambda: "2 selected" in table.foot.text())
    assert table.sums.topLevelItem(1).text(0) == "Selected"
    click_heading(table, AREA, qtbot)
    assert sorted({one.row() for one in table.view.selectedIndexes()}) == [0, 1]
    assert w.selection.ids == (ids[0], ids[2])
    table.view.selectAll()
    assert len(w.selection) == 3


def test_a_double_click_goes_there(window: MainWindow, table: Measurements, qtbot: QtBot) -> None:
    before = window.canvas.view
    at = table.view.visualRect(table.model.index(2, 2)).center()
    qtbot.mouseClick(table.view.viewport(), Qt.MouseButton.LeftButton, pos=at)
    qtbot.mouseDClick(table.view.viewport(), Qt.MouseButton.LeftButton, pos=at)
    assert window.workspace.selection.ids == (window.workspace.document.ids()[2],)
    assert window.canvas.view != before


def test_rows_are_filtered_by_text_class_and_selection(
    window: MainWindow, table: Measurements, qtbot: QtBot
) -> None:
    qtbot.keyClicks(table.search, "cell 1")
    assert column(table, "Name") == ["cell 1"]
    qtbot.keyClick(table.search, Qt.Key.Key_Return)
    assert table.isVisible()
    assert "1 of 3 annotations" in table.foot.text()
    table.search.clear()
    table.scope.setCurrentIndex(table.scope.findText("Tumor"))
    table.scope.activated.emit(table.scope.currentIndex())
    assert column(table, "Name") == ["cell 0"]
    table.scope.setCurrentIndex(1)
    table.scope.activated.emit(1)
    assert column(table, "Name") == []
    window.workspace.selection.set(window.workspace.document.ids()[1:])
    assert column(table, "Name") == ["cell 1", "cell 2"]


def test_columns_can_be_shown_and_hidden(window: MainWindow, table: Measurements, qtbot: QtBot) -> None:
    table.menu.aboutToShow.emit()
    ticks = {action.text(): action for action in table.menu.actions()}
    assert ticks[AREA].isChecked()
    assert not ticks["Num holes"].isChecked()
    ticks["Num holes"].trigger()
    ticks[AREA].trigger()
    settle(window, table, qtbot)
    assert column(table, "Num holes") == ["0", "0", "0"]
    assert AREA not in table.model.titles
    assert table.heading.text() != AREA


def test_measured_intensities_become_columns(window: MainWindow, table: Measurements, qtbot: QtBot) -> None:
    window.workspace.selection.set(window.workspace.document.ids()[:2])
    window.actions_["measure.intensity"].trigger()
    qtbot.waitUntil(lambda: "Mean: Red" in table.model.titles, timeout=10_000)
    assert column(table, "Mean: Red") == ["90", "90", ""]


def test_rows_go_to_the_clipboard_and_to_files(
    window: MainWindow, table: Measurements, tmp_path: Path, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    table.view.selectRow(1)
    qtbot.keyClick(table.view, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    head, row = QGuiApplication.clipboard().text().splitlines()
    assert head.split("\t") == list(table.model.titles)
    assert row.split("\t")[2:4] == ["cell 1", "Stroma"]
    click_heading(table, AREA, qtbot)
    path = tmp_path / "out.tsv"
    monkeypatch.setattr(window.ask, "save_file", lambda *_: path)
    table.save.click()
    qtbot.waitUntil(path.exists, timeout=10_000)
    with path.open(encoding="utf-8", newline="") as file:
        assert [row[AREA] for row in csv.DictReader(file, delimiter="\t")] == ["9", "36", "81"]


def test_an_empty_document_has_headings_and_a_word(window: MainWindow, qtbot: QtBot) -> None:
    window.actions_["measure.table"].trigger()
    table = window.dialogs.get("measurements")
    assert isinstance(table, Measurements)
    qtbot.waitUntil(lambda: AREA in table.model.titles, timeout=10_000)
    assert table.foot.text() == "No annotations"
    assert not table.save.isEnabled()


def test_many_rows_are_sorted_on_a_lane(
    window: MainWindow, table: Measurements, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "AT_ONCE", 100)
    w = window.workspace
    w.do(w.document.adding(star_table(6000, side=400.0)))
    settle(window, table, qtbot)
    click_heading(table, AREA, qtbot)

    def sorted_up() -> bool:
        values = table.model.sheet.numbers(AREA)[table.model.rows]
        return bool((np.diff(values) >= 0).all())

    qtbot.waitUntil(lambda: sorted_up() and window.jobs.idle, timeout=10_000)
    assert not table.model.sheet.pending
    w.select_all()
    qtbot.waitUntil(lambda: "6,003 selected" in table.foot.text(), timeout=10_000)


def test_it_closes_with_its_image_and_measures_no_more(
    window: MainWindow, table: Measurements, qtbot: QtBot
) -> None:
    window.workspace.close_image()
    qtbot.waitUntil(lambda: window.dialogs.get("measurements") is None)
    assert len(window.workspace.measuring.sheet) == 0
    assert not window.actions_["measure.table"].isEnabled()


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [(0, 10, [0, 5, 10]), (9.6, 32.5, [10, 20, 30]), (0, 1, [0, 0.5, 1.0]), (5, 5, []), (-3, 3, [-2, 0, 2])],
)
def test_ticks_are_round(low: float, high: float, ticks: list[float]) -> None:
    assert nice_ticks(low, high) == pytest.approx(ticks)


def test_numbers_are_shown_with_the_digits_they_need() -> None:
    assert decimals_for(np.array([1.0, 30, np.nan])) == 0
    assert [decimals_for(np.array([x])) for x in (0.0123, 1.5, 22.5, 1234.5)] == [4, 3, 2, 1]
    assert number_text(1234.567, 1) == "1,234.6"
    assert number_text(float("nan"), 2) == ""
    assert [tick_text(x, step) for x, step in ((0.5, 0.5), (2e6, 1e6), (20, 10))] == ["0.5", "2e+06", "20"]
