"""The 3D dock in its window: docked and floating, its title, and previews of jobs that come to nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication, QSurface
from PySide6.QtWidgets import QAbstractButton, QDockWidget
from pytestqt.qtbot import QtBot

from samdesk.app.reconstruction import ReconJob
from samdesk.app.settings import Settings
from samdesk.recon.mesh import Mesh, write_ply
from samdesk.sdk import Segmenter
from samdesk.ui import theme
from samdesk.ui.dock3d import TITLE_ICONS
from samdesk.ui.main_window import MainWindow
from samdesk.ui.view3d.platform import APART, can_embed
from tests.fakes import FakeEngine

RED, GREEN, BLUE = (220, 40, 40), (40, 200, 60), (40, 60, 220)
WAIT_MS = 20_000


class Rig:
    """A window without an image."""

    def __init__(self, folder: Path, qtbot: QtBot) -> None:
        self.folder, self.qtbot = folder, qtbot
        self.window = self.open()

    def open(self) -> MainWindow:
        self.settings = Settings(self.folder / "settings.json")
        made = MainWindow(self.settings, Segmenter(FakeEngine()))
        made.resize(1100, 700)
        made.show()
        made.raise_floating()
        self.qtbot.waitExposed(made)
        return made

    def close(self) -> None:
        self.window.close()
        self.window.deleteLater()
        self.qtbot.wait(1)

    def until(self, condition: Callable[[], object]) -> None:
        self.qtbot.waitUntil(lambda: bool(condition()), timeout=WAIT_MS)

    def show_card(self, color: tuple[int, int, int]) -> None:
        """Show a square that fills most of the view, and wait until it is on the screen."""
        path = self.folder / f"{color}.ply"
        corners = np.array([[-1, 0, -1], [1, 0, -1], [1, 0, 1], [-1, 0, 1]], np.float32)
        colors = np.tile(np.array(color, np.uint8), (4, 1))
        write_ply(path, Mesh(corners, np.array([[0, 1, 2], [0, 2, 3]]), colors=colors).with_normals())
        view = self.window.dock3d.view
        self.window.dock3d.open_files([path])
        self.until(lambda: view.scene is not None and view.scene.contents.parts[0].id == str(path))
        view.preset("front")
        self.until(lambda: self.seen(color))

    def seen(self, color: tuple[int, int, int]) -> bool:
        """Whether the screen, and not only OpenGL, has this color in the middle of the view."""
        picture = self.window.dock3d.view.surface.widget
        screen = QGuiApplication.primaryScreen()
        at = picture.mapToGlobal(picture.rect().center())
        found = screen.grabWindow(0, at.x(), at.y(), 1, 1).toImage().pixelColor(0, 0).getRgb()
        return max(abs(a - b) for a, b in zip(found[:3], color, strict=True)) < 60


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qtbot: QtBot) -> Iterator[Rig]:
    monkeypatch.setenv("SAMDESK_HOME", str(tmp_path / "home"))
    theme.apply(theme.application(), "light")
    made = Rig(tmp_path, qtbot)
    yield made
    made.close()
    theme.apply(theme.application(), "light")


def test_the_rest_of_the_window_is_not_drawn_by_opengl_and_the_view_is_seen_wherever_it_is(rig: Rig) -> None:
    if QGuiApplication.platformName() not in APART or not can_embed():
        pytest.skip("needs X11 with OpenGL")
    window, dock = rig.window, rig.window.dock3d
    rig.show_card(RED)
    for floating, color in ((True, BLUE), (False, GREEN)):
        dock.setFloating(floating)
        dock.resize(420, 560)
        rig.show_card(color)
        dock.close()
        dock.show()
        rig.show_card(RED)
    assert window.windowHandle().surfaceType() is QSurface.SurfaceType.RasterSurface
    dock.close()
    dock.close_view()
    assert window.windowHandle().surfaceType() is QSurface.SurfaceType.RasterSurface


def test_its_widths_are_kept_and_a_floating_one_takes_none(rig: Rig) -> None:
    window, dock = rig.window, rig.window.dock3d
    assert window.dock.width() == 270
    window.show_3d()
    rig.until(lambda: dock.width() == 460)
    assert window.dock.width() == 270
    canvas = window.stack.width()
    dock.setFloating(True)
    dock.resize(333, 500)
    for _ in range(2):
        window.show_3d()
    dock.setFloating(False)
    rig.until(lambda: (dock.width(), window.dock.width(), window.stack.width()) == (460, 270, canvas))
    window.show_3d()
    rig.until(lambda: window.stack.width() > canvas)
    window.show_3d()
    rig.until(lambda: (dock.width(), window.dock.width(), window.stack.width()) == (460, 270, canvas))


def test_it_floats_in_front_of_the_window_after_a_restart(rig: Rig) -> None:
    dock = rig.window.dock3d
    rig.window.show_3d()
    dock.setFloating(True)
    dock.move(300, 200)
    rig.close()
    rig.window = rig.open()
    dock = rig.window.dock3d
    rig.until(rig.window.windowHandle().isExposed)
    assert (dock.isFloating(), dock.isVisible()) == (True, True)
    rig.until(lambda: QGuiApplication.topLevelAt(dock.geometry().center()) is dock.windowHandle())


def test_the_buttons_of_the_title_have_the_color_of_the_text(rig: Rig) -> None:
    dock = rig.window.dock3d
    dock.show()

    def legible() -> bool:
        buttons = {name: dock.findChild(QAbstractButton, name) for name in TITLE_ICONS}
        return all(
            buttons[name].icon().cacheKey() == theme.icon(icon).cacheKey()
            for name, icon in TITLE_ICONS.items()
        )

    for change in (
        lambda: None,
        lambda: dock.setFloating(True),
        lambda: rig.settings.__setitem__("appearance", "dark"),
        lambda: dock.setFloating(False),
        dock.close,
        dock.show,
    ):
        change()
        assert legible()


def test_the_preview_goes_when_its_job_ends_without_an_object(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    dock, known = rig.window.dock3d, rig.window.workspace.reconstructions
    view = dock.view
    dock.show()
    points = rig.folder / "points.npy"
    np.save(points, np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32))
    job = ReconJob("1", "Cup", "relief", "running", points, "cup.png", "", points, (), ())
    other = replace(job, id="2")
    monkeypatch.setattr(known, "get", {"1": job, "2": other}.get)
    known.previewed.emit("1", points)
    rig.until(lambda: not view.busy and view.scene is not None)
    assert view.about.whole == "Preview · 200 points"
    known.finished.emit(replace(other, state="cancelled"))
    assert view.scene is not None
    known.finished.emit(replace(job, state="failed"))
    assert view.scene is None
    assert "drop a PLY" in view.said.text()


def test_only_the_3d_dock_has_a_window_of_its_own(rig: Rig) -> None:
    docks = [one for one in rig.window.findChildren(QDockWidget) if one is not rig.window.dock3d]
    assert docks
    assert not any(one.testAttribute(Qt.WidgetAttribute.WA_NativeWindow) for one in docks)
