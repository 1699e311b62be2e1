"""Comfort: pixels, planes, jobs, palette, preferences, the keyboard, and names of things."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QGuiApplication, QWheelEvent
from PySide6.QtWidgets import QAbstractButton, QApplication, QCheckBox, QDockWidget, QMenu, QWidget
from pytestqt.qtbot import QtBot

from samdesk.app.commands import COMMANDS, WHEN
from samdesk.app.commands.table import WHY
from samdesk.app.jobs import Job, Jobs
from samdesk.app.settings import PAGES, SETTINGS, Settings
from samdesk.domain.columns import Annotation
from samdesk.domain.geometry import Plane, Shape
from samdesk.domain.tasks import Task
from samdesk.sdk import Segmenter
from samdesk.ui import theme
from samdesk.ui.dialogs.palette import rank
from samdesk.ui.dialogs.preferences import Preferences
from samdesk.ui.dialogs.shortcuts import Shortcuts
from samdesk.ui.main_window import MainWindow
from samdesk.ui.panels.jobs import JobBar
from samdesk.ui.panels.planes import PlaneStrip
from tests.fakes import FakeEngine

WAIT_MS = 15_000


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    path = tmp_path / "stack.ome.tif"
    pixels = np.random.default_rng(3).integers(100, 3000, (2, 4, 2, 120, 160)).astype(np.uint16)
    tifffile.imwrite(path, pixels, metadata={"axes": "TZCYX", "Channel": {"Name": ["DAPI", "CD3"]}})
    return path


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path / "settings.json")


@pytest.fixture
def window(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qtbot: QtBot
) -> Iterator[MainWindow]:
    monkeypatch.setenv("SAMDESK_HOME", str(tmp_path / "home"))
    theme.apply(theme.application(), "light")
    made = MainWindow(settings, Segmenter(FakeEngine()))
    made.show()
    qtbot.waitExposed(made)
    yield made
    made.close()
    made.deleteLater()
    qtbot.wait(1)


@pytest.fixture
def opened(window: MainWindow, stack: Path, qtbot: QtBot) -> MainWindow:
    window.workspace.open(stack)
    wait = window.jobs
    qtbot.waitUntil(lambda: window.workspace.image is not None and wait.idle, timeout=WAIT_MS)
    return window


# Pixels


def test_the_contrast_dialog_changes_channels_and_not_what_the_models_see(
    opened: MainWindow, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    w = opened.workspace
    auto = w.image.seen
    opened.show_dialog("contrast")
    dialog = opened.dialogs.get("contrast")
    dialog.gamma.setValue(0.5)
    assert w.image.display.channels[0].gamma == 0.5
    dialog.channels.setFocus()
    qtbot.keyClick(dialog.channels, Qt.Key.Key_Down)
    qtbot.keyClick(dialog.channels, Qt.Key.Key_Return)
    assert w.image.display.shown == (1,)
    qtbot.keyClick(dialog.channels, Qt.Key.Key_Space)
    assert w.image.display.shown == ()
    green = (0, 200, 0)
    monkeypatch.setattr("samdesk.ui.dialogs.contrast.QColorDialog.getColor", lambda *_: theme.QColor(*green))
    dialog.color.click()
    assert w.image.display.channels[1].color == green
    dialog.high.setValue(99.5)
    dialog.auto.click()
    qtbot.waitUntil(lambda: w.image.display.channels[1].high > 2000, timeout=WAIT_MS)
    assert w.image.seen == auto
    dialog.use.click()
    assert w.image.seen == w.image.display != auto
    assert not dialog.use.isEnabled()
    dialog.reset.click()
    assert w.image.display == auto
    assert dialog.use.isEnabled()


def test_contrast_is_copied_to_another_image_with_as_many_channels(opened: MainWindow, qtbot: QtBot) -> None:
    w = opened.workspace
    opened.show_dialog("contrast")
    dialog = opened.dialogs.get("contrast")
    dialog.gamma.setValue(0.5)
    chosen = w.image.display
    dialog.copy()
    dialog.reset.click()
    assert w.image.display != chosen
    dialog.paste()
    assert w.image.display == chosen
    QGuiApplication.clipboard().setText("something else")
    dialog.paste()
    assert "no contrast settings for 2 channels" in opened.notices.notice.text
    assert w.image.display == chosen


def test_the_canvas_can_show_what_the_models_see(opened: MainWindow, qtbot: QtBot) -> None:
    w, seen = opened.workspace, opened.actions_["view.seen"]
    opened.show_dialog("contrast")
    dialog = opened.dialogs.get("contrast")
    dialog.gamma.setValue(2.0)
    seen.trigger()
    assert opened.canvas._image.display == w.image.seen != w.image.display
    assert seen.isChecked()
    assert dialog.preview.isChecked()
    dialog.preview.click()
    assert opened.canvas._image.display == w.image.display
    assert not seen.isChecked()


# Planes


def test_sliders_are_there_for_stacks_and_follow_the_plane_both_ways(
    opened: MainWindow, qtbot: QtBot
) -> None:
    strip = opened.planes
    assert strip.isVisible()
    assert [strip.z.slider.maximum(), strip.t.slider.maximum()] == [3, 1]
    strip.z.box.setValue(3)
    assert opened.workspace.plane == Plane(2, 0)
    opened.actions_["view.z_up"].trigger()
    assert strip.z.slider.value() == 3
    strip.t.slider.setValue(1)
    assert opened.workspace.plane == Plane(3, 1)
    opened.workspace.close_image()
    qtbot.waitUntil(lambda: not strip.isVisible(), timeout=WAIT_MS)


def test_the_wheel_and_playing_go_through_the_slices(qtbot: QtBot) -> None:
    complete = False
    strip = PlaneStrip(lambda: complete)
    qtbot.addWidget(strip)
    planes: list[Plane] = []

    def go(plane: Plane) -> None:
        planes.append(plane)
        strip.show_plane(plane, 3, 1)

    strip.moved.connect(go)
    strip.show_plane(Plane(), 3, 1)
    strip.show()
    assert not strip.t.isVisible()
    for turn in (60, 60, 120):
        _wheel(strip.z, turn)
    assert planes == [Plane(1, 0), Plane(2, 0)]
    strip.z._timer.setInterval(1)
    strip.z.play.click()
    qtbot.wait(20)
    assert planes[2:] == []  # the picture is not complete
    complete = True
    qtbot.waitUntil(lambda: planes[2:5] == [Plane(0, 0), Plane(1, 0), Plane(2, 0)], timeout=WAIT_MS)
    strip.show_plane(Plane(), 1, 1)
    assert not strip.z.play.isChecked()


def _wheel(widget: QWidget, turn: int) -> None:
    none, no_button = Qt.KeyboardModifier.NoModifier, Qt.MouseButton.NoButton
    event = QWheelEvent(
        QPointF(5, 5),
        QPointF(5, 5),
        QPoint(),
        QPoint(0, turn),
        no_button,
        none,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(widget, event)


# Jobs


def test_all_jobs_are_listed_each_with_its_time_and_a_way_to_cancel(jobs: Jobs, qtbot: QtBot) -> None:
    bar = JobBar(jobs)
    qtbot.addWidget(bar)
    bar.show()
    bar.show_list()
    shown = bar._list
    assert shown.empty.isVisible()
    end = threading.Event()

    def work(task: Task) -> None:
        task.progress(0.5, "half")
        while not end.wait(0.005):
            task.check()

    running: list[Job[None]] = [
        jobs.lane(lane).submit(work, title=title)
        for lane, title in (("io", "A"), ("levels", "B"), ("io", "C"))
    ]
    qtbot.waitUntil(
        lambda: [row.title.text() for row in shown._rows] == ["A: half", "B: half", "C"], timeout=WAIT_MS
    )
    assert not shown.empty.isVisible()
    assert shown._rows[2].left.text() == "waiting"
    assert "(+2)" in bar.title.text()
    shown._rows[0].stop.setFocus()
    qtbot.keyClick(shown, Qt.Key.Key_Down)
    shown._rows[1].stop.click()
    qtbot.waitUntil(lambda: [row.job for row in shown._rows] == [running[0], running[2]], timeout=WAIT_MS)
    assert running[1].state == "cancelled"
    end.set()
    qtbot.waitUntil(lambda: not jobs.visible, timeout=WAIT_MS)
    qtbot.waitUntil(shown.empty.isVisible, timeout=WAIT_MS)
    shown.close()
    qtbot.waitUntil(lambda: bar._list is None, timeout=WAIT_MS)


# Palette, shortcuts, preferences


@pytest.mark.parametrize(
    ("query", "better", "worse"),
    [
        ("zoom", "Zoom In", "Full Zoom"),
        ("sel", "Select All", "Go to Selection"),
        ("ztf", "Zoom to Fit", None),
        ("all sel", "Select All", None),
        ("fit", "Zoom to Fit", "Outfit"),
    ],
)
def test_the_palette_knows_what_fits_better(query: str, better: str, worse: str | None) -> None:
    best = rank(query, better)
    assert best is not None
    other = rank(query, worse) if worse else None
    assert worse is None or (other is not None and best < other)
    assert rank(query, "Open the Log") is None


def test_the_palette_begins_with_what_was_chosen_last_and_says_why_not(
    window: MainWindow, qtbot: QtBot
) -> None:
    def rows() -> list[list[str]]:
        window.show_dialog("palette")
        view = window.dialogs.get("palette").view
        return [[view.topLevelItem(k).text(c) for c in range(3)] for k in range(view.topLevelItemCount())]

    by_title = {row[0]: row for row in rows()}
    assert by_title["Zoom to Fit"][1:] == ["Open an image first", "Ctrl+0"]
    assert by_title["About samdesk"][1] == "Help"
    palette = window.dialogs.get("palette")
    palette.search.setText("nothing is called this")
    qtbot.keyClick(palette.search, Qt.Key.Key_Return)
    palette.search.setText("rectangle")
    qtbot.keyClick(palette.search, Qt.Key.Key_Return)
    assert rows()[0][0] == "Rectangle"
    assert window.settings["recent_commands"][0] == "tool.rectangle"
    window.dialogs.get("palette").close()


def test_every_condition_has_its_reason() -> None:
    assert set(WHEN) - {"always"} <= set(WHY)


def test_the_shortcuts_are_grouped_found_and_copied(qtbot: QtBot) -> None:
    dialog = Shortcuts(None)
    qtbot.addWidget(dialog)

    def groups() -> dict[str, list[str]]:
        view = dialog.view
        found = [view.topLevelItem(k) for k in range(view.topLevelItemCount())]
        return {
            one.text(0): [
                one.child(k).text(0) for k in range(one.childCount()) if not one.child(k).isHidden()
            ]
            for one in found
            if not one.isHidden()
        }

    assert {"File", "View", "Mouse"} <= set(groups())
    assert sum(len(rows) for rows in groups().values()) >= sum(1 for one in COMMANDS.values() if one.keys)
    dialog.search.setText("zoom fit")
    assert groups() == {"View": ["Zoom to Fit"]}


def test_preferences_are_found_on_all_pages_and_follow_changes(settings: Settings, qtbot: QtBot) -> None:
    dialog = Preferences(None, settings)
    qtbot.addWidget(dialog)
    dialog.show()

    def shown() -> set[str]:
        return {name for name, editor in dialog.editors.items() if editor.isVisible()}

    assert shown() == {row.name for row in SETTINGS.values() if row.page == "View"}
    dialog.search.setText("memory for")
    assert shown() == {"embeddings_mb", "undo_mb", "blocks_mb"}
    dialog.search.setText("no such thing")
    assert not shown()
    assert dialog._nothing.isVisible()
    dialog.bring("undo_mb")
    assert shown() == {row.name for row in SETTINGS.values() if row.page == "Documents"}
    assert dialog.focusWidget() is dialog.editors["undo_mb"]
    rulers = dialog.editors["rulers"]
    assert isinstance(rulers, QCheckBox)
    settings["rulers"] = True
    assert rulers.isChecked()
    assert {row.page for row in SETTINGS.values() if row.page} <= set(PAGES)


def test_the_recent_files_can_be_cleared(window: MainWindow, tmp_path: Path) -> None:
    there = tmp_path / "a.png"
    there.touch()
    window.settings.remember_file(tmp_path / "gone.png")
    window.settings.remember_file(there)
    menu = next(one for one in window.findChildren(QMenu) if one.title() == "Open Recent")
    menu.fill()
    assert [(one.text(), one.isEnabled()) for one in menu.actions() if one.text()] == [
        ("a.png", True),
        ("gone.png", False),
        ("Clear This List", True),
    ]
    menu.actions()[-1].trigger()
    assert window.settings["recent"] == []
    menu.fill()
    assert not menu.isEnabled()


# Keyboard and names


def test_f6_goes_from_the_picture_to_the_panels_and_back_to_where_it_was(
    opened: MainWindow, qtbot: QtBot
) -> None:
    opened.find_dock.show()
    opened.activateWindow()
    opened.canvas.setFocus()
    w = opened
    panes = [w.stack, w.planes, w.find_panel, w.classes, w.annotations, w.properties, w.toolbar]

    def focused() -> int:
        widget = opened.focusWidget()
        return next(k for k, pane in enumerate(panes) if pane is widget or pane.isAncestorOf(widget))

    seen = []
    for _ in panes:
        opened.actions_["view.next_pane"].trigger()
        seen.append(focused())
    assert seen == [1, 2, 3, 4, 5, 6, 0]
    opened.actions_["view.previous_pane"].trigger()
    assert focused() == 6
    opened.annotations.view.setFocus()
    opened.actions_["view.next_pane"].trigger()
    opened.actions_["view.previous_pane"].trigger()
    assert opened.focusWidget() is opened.annotations.view


def test_everything_that_takes_the_keyboard_has_a_name_and_every_command_a_hint(
    opened: MainWindow, qtbot: QtBot
) -> None:
    opened.find_dock.show()
    opened.dock3d.show()
    for name in ("contrast", "preferences", "shortcuts", "palette"):
        opened.show_dialog(name)
    for action in (opened.actions_[name] for name in COMMANDS):
        assert action.toolTip().strip(), action.objectName()
    nameless = [_where(one) for one in _stops(opened) if not _name(one)]
    assert not nameless, "\n".join(nameless)
    pictures = [one for one in opened.findChildren(QAbstractButton) if one.isVisible() and not one.text()]
    mute = [_where(one) for one in pictures if not one.toolTip() and not one.objectName().startswith("qt_")]
    assert not mute, "\n".join(mute)


def test_the_kept_layout_knows_every_dock(window: MainWindow) -> None:
    names = [dock.objectName() for dock in window.findChildren(QDockWidget)]
    assert all(names)
    assert len(names) == len(set(names))


@pytest.mark.parametrize("chosen", [theme.LIGHT, theme.DARK])
def test_what_is_selected_is_legible(chosen: dict[str, str]) -> None:
    light, dark = (luminance(chosen[name]) for name in ("on_accent", "selected"))
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def luminance(color: str) -> float:
    """Relative luminance as in WCAG 2.2."""
    parts = [int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _stops(window: QWidget) -> list[QWidget]:
    """Every visible widget at which Tab stops, in the window and its dialogs."""
    return [
        one
        for one in window.findChildren(QWidget)
        if one.isVisible()
        and one.focusPolicy() & Qt.FocusPolicy.TabFocus
        and not one.objectName().startswith("qt_")
        and one.focusProxy() is None
    ]


def _name(widget: QWidget) -> str:
    text: Callable[[], str] = getattr(widget, "text", lambda: "")
    told = widget.accessibleName() or widget.toolTip()
    return str(told or text()).strip()


def _where(widget: QWidget) -> str:
    chain: list[str] = []
    one: object = widget
    while isinstance(one, QWidget):
        chain.append(f"{type(one).__name__}:{one.objectName()}")
        one = one.parent()
    return " < ".join(chain[:5])


def test_names_and_rulers_are_painted(opened: MainWindow, qtbot: QtBot) -> None:
    w, canvas = opened.workspace, opened.canvas
    w.do(w.document.adding([Annotation(Shape.box(20, 20, 100, 80), name="Follicle")]))
    qtbot.waitUntil(canvas.is_settled, timeout=WAIT_MS)
    before = canvas.grab().toImage()
    opened.actions_["view.names"].trigger()
    qtbot.waitUntil(lambda: bool(canvas._names._labels), timeout=WAIT_MS)
    named = canvas.grab().toImage()
    assert named != before
    opened.actions_["view.rulers"].trigger()
    assert canvas.grab().toImage() != named
    assert canvas._overview is None or canvas._rulers.thickness > 0
