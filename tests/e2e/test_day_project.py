"""A day with a project: images by reference, snapshots, moved files, crashes, and the next morning."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from time import monotonic
from typing import Any

import cv2
import numpy as np
import pytest
from PySide6.QtCore import Qt, QTimer
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLineEdit, QProgressDialog
from pytestqt.qtbot import QtBot

from samdesk.domain.columns import Annotation
from samdesk.domain.geometry import Shape
from samdesk.formats.project import FOLDER_FILE, ProjectStore
from samdesk.ui.main_window import MainWindow

from .conftest import User
from .hands import Answers, choose, drop, press, shortcut, started, told

CTRL = Qt.KeyboardModifier.ControlModifier
WAIT_S = 30.0
CELLS = ((40, 50), (130, 60), (90, 120))
"""Centers of discs of radius 18 in every picture."""


def picture(path: Path) -> Path:
    pixels = np.full((170, 190, 3), 50, np.uint8)
    for center in CELLS:
        cv2.circle(pixels, center, 18, (210, 210, 210), -1)
    path.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(path), pixels)
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    return [picture(tmp_path / "images" / f"{name}.png") for name in ("liver", "kidney", "spleen")]


def keep(user: User, *cells: int) -> None:
    """Click these cells and keep what is found."""
    user.workspace.select_tool("segment")
    for one in cells:
        user.click(*CELLS[one])
        shortcut(user, Qt.Key.Key_Return)


def shown(user: User) -> list[tuple[str, float, str | None]]:
    return [(str(one.id), one.shape.area, one.class_name) for one in user.workspace.document.annotations()]


def go_to(user: User, name: str) -> None:
    """Open an image by typing a part of its name over the list of images."""
    panel = user.window.project_panel
    panel.filter.setFocus()
    panel.filter.clear()
    QTest.keyClicks(panel.filter, name)
    QTest.keyClick(panel.filter, Qt.Key.Key_Return)
    user.wait(lambda: user.window.windowTitle() == f"{name}.png – samdesk")
    user.rest()
    panel.filter.clear()


def rows(user: User) -> list[str]:
    """Names and what is said of them, as the list shows it."""
    model = user.window.project_panel.shown
    told = [model.index(row, 0).data(Qt.ItemDataRole.AccessibleTextRole) for row in range(model.rowCount())]
    return [str(one) for one in told]


def begin(user: User, answers: Answers, folder: Path, images: list[Path]) -> None:
    """A new project with these images, by the menu."""
    answers.files = [folder]
    choose(user, "File", "Project", "New Project")
    user.wait(user.window.project_dock.isVisible)
    answers.files = list(images)
    choose(user, "File", "Project", "Add Images to Project")
    user.wait(lambda: len(rows(user)) == len(images))
    user.rest()


def test_a_project_is_kept_moved_and_found_again(
    home: Path, qtbot: QtBot, pictures: list[Path], tmp_path: Path
) -> None:
    study = tmp_path / "study"
    with started(qtbot) as user:
        begin(user, Answers(user), study, pictures)
        assert rows(user) == [f"{name}.png, No annotations" for name in ("liver", "kidney", "spleen")]
        go_to(user, "liver")
        keep(user, 0, 1)
        go_to(user, "kidney")
        assert shown(user) == []
        keep(user, 2)
        user.workspace.set_class("Tumor")
        user.wait(lambda: user.window.status.saved.text() == "Saved")
        user.wait(lambda: rows(user)[:2] == ["liver.png, 2 annotations", "kidney.png, 1 annotation"])
        kidney = shown(user)

        # a name that suits better, typed while an annotation is selected: Enter is the name's
        panel = user.window.project_panel
        panel.view.setFocus()
        QTest.keyClick(panel.view, Qt.Key.Key_F2)
        editor = panel.view.findChild(QLineEdit)
        assert editor is not None
        QTest.keyClicks(editor, "Right kidney")
        QTest.keyClick(editor, Qt.Key.Key_Return)
        user.wait(lambda: rows(user)[1] == "Right kidney, 1 annotation")
        assert user.window.focusWidget() is panel.view
        user.window.zoom_by(2.0)
        place = user.window.canvas.view
        user.bot.wait(350)  # where one looks is noted when the view rests

    # the next morning: the same image, at the same place
    with started(qtbot) as user:
        user.wait(lambda: user.window.windowTitle() == "kidney.png – samdesk")
        user.rest()
        assert shown(user) == kidney
        view = user.window.canvas.view
        assert (view.center_x, view.center_y, view.scale) == pytest.approx(
            (place.center_x, place.center_y, place.scale)
        )
        assert [row.split(", ")[1] for row in rows(user)] == [
            "2 annotations",
            "1 annotation",
            "No annotations",
        ]

    # the whole tree moves: paths are relative, nothing is missing
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for one in ("study", "images"):
        (tmp_path / one).rename(moved / one)
    with started(qtbot, moved / "study" / FOLDER_FILE) as user:
        user.wait(lambda: len(rows(user)) == 3)
        user.rest()
        go_to(user, "liver")
        assert len(shown(user)) == 2
        liver = shown(user)

        # one image goes elsewhere: it is told, and relinked by opening it again
        (moved / "images" / "spleen.png").rename(tmp_path / "renamed.png")
        panel = user.window.project_panel
        panel.view.setCurrentIndex(panel.shown.index(2, 0))
        panel.view.setFocus()
        QTest.keyClick(panel.view, Qt.Key.Key_Return)
        user.wait(lambda: rows(user)[2] == "spleen.png, Missing")
        assert "spleen.png was not found" in told(user)
        assert shown(user) == liver  # what was shown stays
        answers = Answers(user)
        answers.files = [tmp_path / "renamed.png"]
        QTest.keyClick(panel.view, Qt.Key.Key_Return)
        assert answers.questions == ["Where is spleen.png now?"]
        user.wait(lambda: "Missing" not in rows(user)[2])
        user.wait(lambda: told(user) == "spleen.png was found and relinked.")
        QTest.keyClick(panel.view, Qt.Key.Key_Return)
        user.wait(lambda: user.workspace.image.source.path == tmp_path / "renamed.png")
        user.rest()

        # taken out: the image stays, its annotations are kept
        answers.picks = ["Remove"]
        panel.view.setCurrentIndex(panel.shown.index(0, 0))
        QTest.keyClick(panel.view, Qt.Key.Key_Delete)
        user.wait(lambda: len(rows(user)) == 2)
        user.rest()
        assert (moved / "images" / "liver.png").exists()
        (kept,) = (moved / "study" / "removed").glob("**/*.gpkg")
        with ProjectStore.open(kept, read_only=True) as store:
            assert len(store.load().table) == 2


def test_a_snapshot_takes_a_mistake_back_on_another_day(
    home: Path, qtbot: QtBot, pictures: list[Path]
) -> None:
    with started(qtbot, pictures[0]) as user:
        user.wait(lambda: user.workspace.image is not None)
        user.rest()
        keep(user, 0, 1, 2)
        good = shown(user)
    with started(qtbot, pictures[0]) as user:
        user.wait(lambda: len(user.workspace.document) == 3)
        user.rest()
        choose(user, "Edit", "Select All")
        shortcut(user, Qt.Key.Key_Delete)
        user.wait(lambda: user.window.status.saved.text() == "Saved")
    with started(qtbot, pictures[0]) as user:  # undo is of no help any more
        user.wait(lambda: user.workspace.image is not None)
        user.rest()
        assert shown(user) == []
        choose(user, "File", "Restore a Snapshot")
        dialog = user.window.dialogs.get("snapshots")
        user.wait(lambda: dialog.view.topLevelItemCount() > 0)
        counts = [dialog.view.topLevelItem(k).text(1) for k in range(dialog.view.topLevelItemCount())]
        assert "3" in counts
        dialog.view.setCurrentItem(dialog.view.topLevelItem(counts.index("3")))
        press(user, "Restore", dialog)
        user.wait(lambda: len(user.workspace.document) == 3)
        assert sorted(shown(user)) == sorted(good)
        assert "Undo takes it back." in told(user)
        shortcut(user, Qt.Key.Key_Z, CTRL)
        assert shown(user) == []


def test_what_a_newer_samdesk_made_is_refused_and_left_as_it_is(
    user: User, pictures: list[Path], tmp_path: Path
) -> None:
    begin(user, Answers(user), tmp_path / "study", pictures[:1])
    choose(user, "File", "Project", "Close Project")
    user.open(pictures[1])
    keep(user, 0)
    answers = Answers(user)
    answers.files = [tmp_path / "kept.gpkg"]
    choose(user, "File", "Save Annotations As")
    user.wait(lambda: "Saved as kept.gpkg" in told(user))
    choose(user, "File", "Close Image")
    user.rest()

    file = tmp_path / "study" / FOLDER_FILE
    newer = json.loads(file.read_text()) | {"version": 99, "made_by": "samdesk 9.9"}
    file.write_text(json.dumps(newer))
    store = tmp_path / "kept.gpkg"
    with closing(sqlite3.connect(store)) as db, db:
        db.execute("UPDATE samdesk SET schema = 99")
    for one in (file, store):
        before = one.read_bytes()
        user.window.notices.dismiss()
        drop(user, one)
        user.wait(lambda: "newer samdesk" in told(user))
        user.rest()
        assert "Update samdesk" in told(user)
        assert user.window.empty.isVisible()
        assert not user.window.project_dock.isVisible()
        assert one.read_bytes() == before
        assert not list(tmp_path.glob("kept.gpkg-*"))


def test_closing_while_much_is_being_written_says_so_and_does_not_hang(
    home: Path, qtbot: QtBot, pictures: list[Path]
) -> None:
    gate = threading.Event()
    seen: list[str] = []

    def act(window: MainWindow, does: Callable[[QProgressDialog], object]) -> None:
        """As soon as the window says what it waits for."""
        (box,) = [one for one in window.findChildren(QProgressDialog) if one.isVisible()] or [None]
        if box is None:
            QTimer.singleShot(20, window, lambda: act(window, does))
            return
        seen.append(box.labelText())
        does(box)

    with started(qtbot, pictures[0]) as user:
        window = user.window
        user.wait(lambda: user.workspace.image is not None)
        user.rest()
        user.window.jobs.lane("journal").submit(lambda task: gate.wait(20))  # a slow disk
        squares = [
            Annotation(Shape.box(x, y, x + 5, y + 5)) for x in range(0, 150, 6) for y in range(0, 90, 6)
        ]
        user.workspace.do(user.workspace.document.adding(squares))

        # thinking better of it keeps the window as it is
        act(window, lambda box: box.cancel())
        window.close()
        assert window.isVisible()
        assert len(user.workspace.document) == len(squares)
        act(window, lambda box: gate.set())
        window.close()
        assert not window.isVisible()
        assert seen == ["Writing 1 change of liver.png…"] * 2
    with started(qtbot) as user:
        user.wait(lambda: len(user.workspace.document) == len(squares))


class Program:
    """`python -m samdesk` in a process of its own, which can be asked and killed."""

    def __init__(self, *files: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.driven_window", *map(str, files)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self.until("window is not None")

    def ask(self, expression: str) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{expression}\n")
        return json.loads(self._process.stdout.readline())

    def do(self, statement: str) -> None:
        answer = self.ask(f"do {statement}")
        assert answer is None, answer

    def until(self, expression: str) -> None:
        end = monotonic() + WAIT_S
        while (answer := self.ask(expression)) is not True:
            assert monotonic() < end, (expression, answer)

    def rest(self) -> None:
        self.until("workspace.image is not None and canvas.is_settled() and window.jobs.idle")

    def keep(self, x: float, y: float) -> None:
        """Click a cell and keep it with Enter; nothing is waited for after that."""
        count = self.ask("len(workspace.document)")
        self.do("window.activateWindow()")
        self.until("window.isActiveWindow()")
        self.do(f"point({x}, {y})")
        self.until("workspace.session.can_accept")
        self.do("key('Return')")
        assert self.ask("len(workspace.document)") == count + 1

    @property
    def shown(self) -> list[list[Any]]:
        found: list[list[Any]] = self.ask(
            "[(str(one.id), one.shape.area, one.class_name) for one in workspace.document.annotations()]"
        )
        return found

    @property
    def told(self) -> str:
        return str(self.ask("window.notices.notice and window.notices.notice.text"))

    def kill(self) -> None:
        """End it as nothing can prevent; at once."""
        self._process.send_signal(signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
        self._end()

    def end(self) -> int:
        """End it as a log out does; the exit status."""
        self._process.send_signal(signal.SIGTERM)
        return self._end()

    def leave(self) -> int:
        """Close the window; the exit status."""
        with suppress(ValueError):
            self.ask("do window.close()")
        return self._end()

    def _end(self) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        status = self._process.wait(timeout=WAIT_S)
        self._process.stdout.close()
        return status

    @property
    def runs(self) -> bool:
        return self._process.poll() is None


@pytest.fixture
def programs() -> Iterator[list[Program]]:
    made: list[Program] = []
    yield made
    for one in made:
        if one.runs:
            one.kill()


def test_a_killed_program_goes_on_where_it_was(
    home: Path, pictures: list[Path], programs: list[Program]
) -> None:
    first = Program(pictures[0])
    programs.append(first)
    first.rest()
    for cell in CELLS[:2]:
        first.keep(*cell)
    first.do("workspace.set_class('Tumor')")
    accepted = first.shown
    assert len(accepted) == 2
    assert accepted[1][2] == "Tumor"
    first.kill()

    # it says so, and goes on with a click
    again = Program()
    programs.append(again)
    assert again.told == "samdesk did not close properly while liver.png was open."
    assert again.ask("window.empty.isVisible()")
    again.do("window.notices._button.click()")
    again.rest()
    assert again.shown == accepted
    again.keep(*CELLS[2])
    accepted = again.shown
    again.kill()

    # a second time; and closed as it should be, it leaves nothing to tell
    third = Program()
    programs.append(third)
    assert "liver.png" in third.told
    third.do("window.notices._button.click()")
    third.rest()
    assert third.shown == accepted
    assert third.leave() == 0
    assert not list((home / "state" / "windows").iterdir())


@pytest.mark.skipif(os.name != "posix", reason="programs are ended by messages there")
def test_a_program_that_the_system_ends_closes_properly(
    home: Path, pictures: list[Path], programs: list[Program]
) -> None:
    first = Program(pictures[0])
    programs.append(first)
    first.rest()
    first.keep(*CELLS[0])
    accepted = first.shown
    qt = "__import__('PySide6', fromlist=['QtCore', 'QtWidgets'])"
    first.do(f"{qt}.QtCore.QTimer.singleShot(0, lambda: window.ask.choose('Sure?', '', ['Yes']))")
    first.until(f"any(one.isVisible() for one in window.findChildren({qt}.QtWidgets.QMessageBox))")
    assert first.end() == 0  # whatever it was asking
    assert not list((home / "state" / "windows").iterdir())
    again = Program(pictures[0])
    programs.append(again)
    again.rest()
    assert again.told == "None"
    assert again.shown == accepted
    assert again.leave() == 0
