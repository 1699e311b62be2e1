"""The check of a 3D engine that was not told all it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from PySide6.QtWidgets import QLineEdit
from pytestqt.qtbot import QtBot

from samdesk.app.jobs import Job, Jobs
from samdesk.recon.client import CheckItem
from samdesk.recon.engines import RECON_ENGINES
from samdesk.ui.dialogs.engines3d import EnginePage
from tests.fakes import FakeAsk

Done = Callable[[Job[tuple[CheckItem, ...]]], None]


class Checks:
    """Finds the same everywhere, and counts how often it was asked to look."""

    def __init__(self, jobs: Jobs, *items: CheckItem) -> None:
        self.jobs, self.items = jobs, items
        self.asked: list[Mapping[str, Any]] = []

    def check(self, engine: str, config: Mapping[str, Any], done: Done) -> Job[tuple[CheckItem, ...]]:
        self.asked.append(config)
        return self.jobs.lane("io").submit(lambda task: self.items, done=done)


def page_of(engine: str, config: Mapping[str, Any], checks: Checks, qtbot: QtBot) -> EnginePage:
    made = EnginePage(RECON_ENGINES[engine], config, checks, FakeAsk(), lambda slot: slot)
    qtbot.addWidget(made)
    return made


def test_without_its_python_nothing_is_examined(jobs: Jobs, qtbot: QtBot) -> None:
    checks = Checks(jobs)
    page = page_of("sam3d", {}, checks, qtbot)
    page.check.click()
    assert checks.asked == []
    assert not page.checking
    lines = {line.strong: line for line in page.found.lines}
    assert list(lines) == ["Python", "Repository", "All else"]
    assert (lines["Python"].word, lines["Python"].text) == ("missing", "not chosen")
    assert "environment that SAM 3D was installed in" in lines["Python"].hint
    assert (lines["All else"].word, lines["All else"].text) == ("not known", "not looked at")
    assert page.state.text() == "2 of 3 are missing."


@pytest.mark.parametrize("named", [True, False])
def test_what_was_not_told_is_listed_once_with_what_was_found(jobs: Jobs, qtbot: QtBot, named: bool) -> None:
    found = [CheckItem("Python", True, "3.11"), CheckItem("Repository", False, "none", "Clone it.")]
    checks = Checks(jobs, *(found if named else found[:1]))
    page = page_of("sam3d", {"python": "/opt/sam3d/python"}, checks, qtbot)
    page.check.click()
    qtbot.waitUntil(lambda: bool(page.items))
    assert [config["python"] for config in checks.asked] == ["/opt/sam3d/python"]
    lines = [(line.strong, line.word, line.text) for line in page.found.lines]
    assert lines == [("Repository", "missing", "none" if named else "not chosen"), ("Python", "ok", "3.11")]


def test_a_path_holds_no_null_character(jobs: Jobs, qtbot: QtBot) -> None:
    page = page_of("sam3d", {}, Checks(jobs), qtbot)
    editor = page.editors["python"]
    assert isinstance(editor, QLineEdit)
    editor.setText("/opt/sam3d\0/python ")
    editor.editingFinished.emit()
    assert page.config == {"python": "/opt/sam3d/python"}
