"""The report of an import: the notice that offers it, its lines, searching, copying and saving."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from pytestqt.qtbot import QtBot

from samdesk.app.settings import Settings
from samdesk.sdk import Segmenter
from samdesk.ui import theme
from samdesk.ui.dialogs.imported import ReportDialog
from samdesk.ui.main_window import MainWindow
from tests.fakes import FakeEngine

CASES = 300


@pytest.fixture
def window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qtbot: QtBot) -> Iterator[MainWindow]:
    monkeypatch.setenv("SAMDESK_HOME", str(tmp_path / "home"))
    theme.apply(theme.application(), "light")
    cv2.imwrite(str(tmp_path / "picture.png"), np.full((300, 400, 3), 90, np.uint8))
    made = MainWindow(Settings(tmp_path / "settings.json"), Segmenter(FakeEngine()))
    made.show()
    qtbot.waitExposed(made)
    made.workspace.open(tmp_path / "picture.png")
    qtbot.waitUntil(lambda: made.workspace.image is not None and made.jobs.idle, timeout=10_000)
    yield made
    made.close()
    made.deleteLater()
    qtbot.wait(1)


@pytest.fixture
def report(window: MainWindow, tmp_path: Path, qtbot: QtBot) -> ReportDialog:
    """The dialog after a file of which much was left out, opened by the button of the notice."""
    good = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[0, 0, 9, 0, 9, 9]]}
    bad = [{**good, "segmentation": [["x"]]}, {**good, "segmentation": [], "bbox": [1, 2, 3, 4]}]
    images = [{"id": 1, "file_name": "picture.png", "width": 400, "height": 300}]
    value = {"images": images, "annotations": [good, *bad * CASES], "categories": [{"id": 1, "name": "cell"}]}
    path = tmp_path / "cells.json"
    path.write_text(json.dumps(value))
    window.workspace.open_all([path])
    qtbot.waitUntil(lambda: window.workspace.exchange.last is not None, timeout=10_000)
    window.actions_["file.report"].trigger()
    dialog = window.dialogs.get("imported")
    assert isinstance(dialog, ReportDialog)
    return dialog


def shown(report: ReportDialog) -> list[str]:
    return [report.lines.index(row).data() for row in range(report.lines.rowCount())]


def test_every_line_is_there(report: ReportDialog, window: MainWindow) -> None:
    lines = shown(report)
    assert lines[0] == f"{CASES + 1} annotations read."
    assert f"Repaired ({CASES})" in lines
    assert f"Left out ({CASES})" in lines
    assert len(lines) == 2 * CASES + 5
    assert len(window.workspace.document) == CASES + 1


def test_searching_and_copying(report: ReportDialog, qtbot: QtBot) -> None:
    qtbot.keyClicks(report.search, "annotations[7]")
    found = [line for line in shown(report) if "annotations[7]" in line]
    assert len(found) == 1
    report.view.setCurrentIndex(report.lines.index(shown(report).index(found[0])))
    qtbot.mouseClick(report.copy_button, Qt.MouseButton.LeftButton)
    assert QGuiApplication.clipboard().text() == found[0]
    report.search.clear()
    report.view.clearSelection()
    report.copy()
    assert len(QGuiApplication.clipboard().text().splitlines()) == 2 * CASES + 5


def test_saving(
    report: ReportDialog, window: MainWindow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qtbot: QtBot
) -> None:
    target = tmp_path / "report.txt"
    monkeypatch.setattr(window.ask, "save_file", lambda *_: target)
    qtbot.mouseClick(report.save_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(target.exists, timeout=10_000)
    assert target.read_text("utf-8").splitlines() == shown(report)
