"""The 3D view in a real OpenGL widget: fidelity, looks, cameras, files, and what happens without GL."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QSurface, QWheelEvent
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot
from shiboken6 import getAllValidWrappers

from samdesk.app.jobs import Jobs
from samdesk.app.reconstruction.scene import SceneObject
from samdesk.domain.errors import SamdeskError
from samdesk.recon.mesh import Mesh, write_glb
from samdesk.recon.pose import Camera, Pose
from samdesk.recon.splat import Splats, write_splats
from samdesk.ui import theme
from samdesk.ui.bridge import Bridge
from samdesk.ui.view3d.foot import scale_of
from samdesk.ui.view3d.platform import can_embed
from samdesk.ui.view3d.view import View3D, told_apart
from samdesk.ui.view3d.viewpoint import Viewpoint, from_photo, preset
from tests.fakes import FakeAsk

from .splat_reference import PinHole, draw, psnr

RED, GREEN, BLUE, WHITE = (220, 40, 40), (40, 200, 60), (40, 60, 220), (250, 250, 250)
WAIT_MS = 20_000


def shell(n: int, seed: int = 0) -> Splats:
    """A bumpy, coloured surface of flat splats that overlap."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(n, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    colors = np.clip(0.5 + points * 0.6 + rng.normal(0, 0.05, (n, 3)), 0, 1)
    points *= 0.36 + 0.08 * np.sin(9 * points[:, :1])
    scales = np.exp(rng.normal(np.log(0.6 / np.sqrt(n)), 0.5, (n, 3)))
    turns = rng.normal(size=(n, 4))
    turns /= np.linalg.norm(turns, axis=1, keepdims=True)
    arrays = (points, scales, turns, colors, rng.uniform(0.3, 0.99, n))
    return Splats(*(array.astype(np.float32) for array in arrays))


def blob(color: tuple[int, int, int], n: int = 400) -> Splats:
    """A ball of one color."""
    made = shell(n)
    colors = np.tile(np.array(color, np.float32) / 255, (n, 1))
    return replace(made, colors=colors, opacities=np.full(n, 0.95, np.float32), scales=made.scales * 1.5)


def card() -> Mesh:
    """A square that faces the viewer, with a texture of four colors."""
    corners = np.array([[-0.5, 0, -0.5], [0.5, 0, -0.5], [0.5, 0, 0.5], [-0.5, 0, 0.5]], np.float32)
    texture = np.zeros((64, 64, 3), np.uint8)
    texture[:32, :32], texture[:32, 32:] = RED, GREEN
    texture[32:, :32], texture[32:, 32:] = BLUE, WHITE
    uv = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    return Mesh(corners, np.array([[0, 1, 2], [0, 2, 3]]), uv=uv, texture=texture)


def at(x: float, depth: float = 0.0, scale: float = 1.0) -> Pose:
    """A pose that stands x to the right (the camera's x goes left)."""
    return Pose(translation=(-x, 0.0, depth), scale=scale)


class Rig:
    """A view, and what is on it."""

    def __init__(self, folder: Path, jobs: Jobs, qtbot: QtBot, embedded: bool | None = None) -> None:
        self.folder, self.jobs, self.qtbot = folder, jobs, qtbot
        self.ask = FakeAsk()
        self.raised: list[object] = []
        self.told: list[str] = []
        bridge = jobs.dispatch
        assert isinstance(bridge, Bridge)
        self.bridge = bridge
        bridge.failed.connect(self.raised.append)
        jobs.failed.connect(lambda job: self.told.append(str(job.error)))
        self.view = View3D(jobs, self.ask, bridge.guarded, embedded=embedded)
        self.view.resize(420, 360)
        with qtbot.waitExposed(self.view):
            self.view.show()

    def until(self, condition: Callable[[], object]) -> None:
        self.qtbot.waitUntil(lambda: bool(condition()), timeout=WAIT_MS)

    def splat(self, name: str, splats: Splats, pose: Pose | None = None) -> SceneObject:
        path = self.folder / f"{name}.ply"
        write_splats(path, splats)
        return SceneObject(name, name.title(), "Relief (not SAM 3D)", splat=path, pose=pose)

    def mesh(self, name: str, mesh: Mesh, pose: Pose | None = None) -> SceneObject:
        path = self.folder / f"{name}.glb"
        write_glb(path, mesh.with_normals())
        return SceneObject(name, name.title(), "", mesh=path, pose=pose)

    def show(self, *objects: SceneObject) -> None:
        self.view.show_scene(objects)
        self.settle()

    def settle(self) -> None:
        self.until(lambda: not self.view.busy and self.jobs.idle)

    def pixels(self) -> NDArray[np.uint8]:
        assert self.view.surface is not None
        return self.view.surface.picture()

    def part_of(self, color: tuple[int, int, int], off: int = 60) -> float:
        """How much of the picture has about this color."""
        away = np.abs(self.pixels().astype(int) - color).max(2)
        return float((away < off).mean())

    def drag(self, by: QPoint, modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        assert self.view.surface is not None
        widget = self.view.surface.widget
        start = widget.rect().center()
        self.qtbot.mousePress(widget, Qt.MouseButton.LeftButton, modifier, start)
        for k in (1, 2):
            event_at = start + by * k / 2
            self.qtbot.mouseMove(widget, event_at)
        self.qtbot.mouseRelease(widget, Qt.MouseButton.LeftButton, modifier, start + by)


@pytest.fixture
def rig(tmp_path: Path, jobs: Jobs, qtbot: QtBot) -> Iterator[Rig]:
    if not can_embed():
        pytest.skip("needs a display with OpenGL")
    yield from _rig(tmp_path, jobs, qtbot, None)


@pytest.fixture
def pictures(tmp_path: Path, jobs: Jobs, qtbot: QtBot) -> Iterator[Rig]:
    """As on a platform without OpenGL widgets."""
    yield from _rig(tmp_path, jobs, qtbot, False)


def _rig(folder: Path, jobs: Jobs, qtbot: QtBot, embedded: bool | None) -> Iterator[Rig]:
    theme.apply(theme.application(), "light")
    made = Rig(folder, jobs, qtbot, embedded)
    yield made
    made.view.close_view()
    jobs.close()
    made.view.close()
    made.view.deleteLater()
    qtbot.wait(1)
    assert made.raised == []


def fidelity(rig: Rig, splats: Splats) -> float:
    assert rig.view.stage is not None
    seen = rig.view.stage.viewpoint
    shown = rig.pixels() / 255.0
    back = tuple(int(theme.colors()["alternate"][k : k + 2], 16) / 255 for k in (1, 3, 5))
    eye = PinHole(tuple(seen.position), seen.target, tuple(seen.axes[1]), seen.angle, seen.height)
    return psnr(shown, draw(splats, eye, shown.shape[1], shown.shape[0], back))


def test_splats_are_drawn_as_the_reference_draws_them_and_again_after_a_move(rig: Rig) -> None:
    splats = shell(20_000)
    rig.show(rig.splat("shell", splats))
    surface = rig.view.surface
    assert surface is not None
    rig.view.resize(
        rig.view.size() + surface.widget.size().scaled(0, 0, Qt.AspectRatioMode.IgnoreAspectRatio)
    )
    outside = rig.view.size() - surface.widget.size()
    rig.view.resize(800 + outside.width(), 600 + outside.height())
    rig.until(lambda: rig.pixels().shape == (600, 800, 3))
    assert fidelity(rig, splats) >= 50
    before = rig.view.stage.viewpoint
    rig.drag(QPoint(160, -60))
    rig.view._rested()
    assert abs(rig.view.stage.viewpoint.azimuth - before.azimuth) > 45
    assert fidelity(rig, splats) >= 50
    rig.view._place(replace(rig.view.stage.viewpoint, angle=0.0))
    assert fidelity(rig, splats) >= 50


def test_one_order_for_all_objects_and_each_can_be_hidden(rig: Rig) -> None:
    near, far = rig.splat("near", blob(RED), at(0, 1)), rig.splat("far", blob(BLUE), at(0, 3))
    rig.show(near, far)
    view = rig.view
    view.preset("front")
    assert rig.part_of(RED) > 0.05
    assert rig.part_of(BLUE) < 0.02
    view.set_visible("near", False)
    assert rig.part_of(RED) == 0
    assert rig.part_of(BLUE) > 0.05
    assert len(view.scene.cloud) == 400
    view.set_visible("far", False)
    assert rig.part_of(BLUE) == 0
    actions = view.bar.objects.menu().actions()
    assert [(a.text(), a.isChecked()) for a in actions] == [("Near", False), ("Far", False)]
    actions[0].trigger()
    assert rig.part_of(RED) > 0.05
    view.preset("back")
    view.set_visible("far", True)
    assert rig.part_of(BLUE) > 0.05
    assert rig.part_of(RED) < 0.02


def test_a_texture_is_the_right_way_up_and_wires_are_thin(rig: Rig) -> None:
    rig.show(rig.mesh("card", card()))
    view = rig.view
    view.preset("front")
    pixels = rig.pixels().astype(int)
    height, width = pixels.shape[:2]
    y, x = height // 2, width // 2
    for color, dy, dx in ((RED, -40, -40), (GREEN, -40, 40), (BLUE, 40, -40), (WHITE, 40, 40)):
        assert np.abs(pixels[y + dy, x + dx] - color).max() < 60
    view.bar.wireframe.setChecked(True)
    assert rig.part_of(RED) < 0.02
    assert view.scene.look == "mesh"
    assert not view.bar.looks["splat"].isEnabled()
    assert "2 triangles" in view.about.whole


def test_splats_mesh_both_and_points(rig: Rig) -> None:
    made = rig.splat("ball", blob(RED))
    tetra = Mesh(
        np.array([[-0.5, -0.4, -0.5], [0.5, -0.4, -0.5], [0, -0.4, 0.5]], np.float32),
        np.array([[0, 1, 2]]),
        colors=np.tile(np.array(BLUE, np.uint8), (3, 1)),
    )
    rig.show(replace(made, mesh=rig.mesh("tetra", tetra).mesh))
    view = rig.view
    view.preset("front")
    assert view.about.whole == "Relief (not SAM 3D) · 400 splats"
    seen = {}
    for look in ("splat", "mesh", "both", "points"):
        view.bar.looks[look].trigger()
        seen[look] = (rig.part_of(RED) > 0.02, rig.part_of(BLUE) > 0.02)
    assert seen == {
        "splat": (True, False),
        "mesh": (False, True),
        "both": (True, True),
        "points": (False, False),
    }
    assert rig.part_of(RED) > 0.0005
    view.bar.looks["mesh"].trigger()
    rig.show(rig.mesh("tetra", tetra))
    assert view.about.whole == "Tetra · 1 triangle"


@pytest.mark.parametrize("camera", [Camera("parallel", 1.0, 1.5), Camera("perspective", 40.0, 1.5)])
def test_the_picture_stands_behind_where_the_camera_saw_it(rig: Rig, camera: Camera) -> None:
    picture = np.zeros((200, 300, 3), np.uint8)
    picture[:] = GREEN
    picture[:100, :150] = BLUE
    path = rig.folder / "picture.png"
    assert cv2.imwrite(str(path), picture[..., ::-1])
    depth = 2.0 if camera.kind == "perspective" else 0.0
    ball = rig.splat("ball", blob(RED), at(0.3 * camera.height_at(depth), depth, 0.3))
    rig.show(replace(ball, camera=camera, picture=path))
    view = rig.view
    view.bar.picture.setChecked(True)
    view.bar.photo.trigger()
    pixels = rig.pixels().astype(int)
    height, width = pixels.shape[:2]
    assert width / height < 1.5  # so that all of the picture's width is seen, with room above
    top, bottom = (height - width / 1.5) / 2, (height + width / 1.5) / 2
    for color, x, y in (
        (BLUE, 4, top + 4),
        (GREEN, width - 4, top + 4),
        (GREEN, 4, bottom - 4),
        (BLUE, width // 2 - 6, height // 2 - 6),
        (GREEN, width // 2 - 6, height // 2 + 6),
    ):
        assert np.abs(pixels[round(y), x] - color).max() < 30
    assert (np.abs(pixels[round(top) - 5] - GREEN).max(1) > 60).all()
    rows, columns = np.nonzero(np.abs(pixels - RED).max(2) < 60)
    assert abs(columns.mean() / width - (0.5 + 0.3 / 1.5)) < 0.02
    assert abs(rows.mean() / height - 0.5) < 0.02
    view.preset("back")
    assert rig.part_of(GREEN) < 0.01  # it is not in the way from behind


def test_mouse_wheel_and_keys(rig: Rig) -> None:
    rig.show(rig.splat("ball", blob(RED)))
    view = rig.view
    start = view.stage.viewpoint
    rig.drag(QPoint(50, 0))
    assert view.stage.viewpoint.azimuth == pytest.approx(start.azimuth - 20)
    rig.drag(QPoint(50, 0), Qt.KeyboardModifier.ShiftModifier)
    assert view.stage.viewpoint.azimuth == pytest.approx(start.azimuth - 20)
    assert view.stage.viewpoint.target != start.target
    widget = view.surface.widget
    height = view.stage.viewpoint.height
    QApplication.sendEvent(
        widget,
        QWheelEvent(
            QPointF(30, 30), QPointF(30, 30), QPoint(), QPoint(0, 120), Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
        ),
    )  # fmt: skip
    assert view.stage.viewpoint.height < height
    rig.qtbot.keyClick(widget, Qt.Key.Key_Home)
    rig.qtbot.keyClick(widget, Qt.Key.Key_Left)
    assert view.stage.viewpoint.azimuth == pytest.approx(start.azimuth + 10)
    rig.qtbot.mouseDClick(widget, Qt.MouseButton.LeftButton)
    assert view.stage.viewpoint == start
    view.bar.turn.setChecked(True)
    rig.until(lambda: view.stage.viewpoint.azimuth != start.azimuth)
    rig.qtbot.mousePress(widget, Qt.MouseButton.LeftButton)
    assert not view.bar.turn.isChecked()
    rig.qtbot.mouseRelease(widget, Qt.MouseButton.LeftButton)


def test_what_is_slow_is_drawn_lighter_until_it_rests(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.show(rig.splat("ball", blob(RED)))
    view = rig.view
    rig.pixels()
    true, light = view.scene.cloud.actor, view.scene.cloud.light_actor
    monkeypatch.setattr("samdesk.ui.view3d.stage.SLOW_S", 1e9)
    rig.drag(QPoint(20, 0))
    assert (true.GetVisibility(), light.GetVisibility()) == (1, 0)
    monkeypatch.setattr("samdesk.ui.view3d.stage.SLOW_S", 0.0)
    rig.drag(QPoint(20, 0))
    assert (true.GetVisibility(), light.GetVisibility()) == (0, 1)
    assert rig.part_of(RED) > 0.05
    rig.until(lambda: true.GetVisibility() and not light.GetVisibility())


def test_a_turn_as_gif_and_mp4_and_a_still(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    movies = {".gif": (5, 20, 120), ".mp4": (6, 30, 160)}
    monkeypatch.setattr("samdesk.ui.view3d.movie.MOVIES", movies)
    rig.show(rig.splat("red", blob(RED), at(-0.6)), rig.splat("blue", blob(BLUE), at(0.6)))
    view = rig.view
    before = view.stage.viewpoint
    rig.ask.files = [rig.folder / "turn.gif"]
    view.bar.save_turn.trigger()
    assert "Recording" in view.about.whole
    view.resize(view.width() + 40, view.height())
    rig.settle()
    with Image.open(rig.folder / "turn.gif") as gif:
        assert (gif.n_frames, gif.size[0]) == (5, 120)
        assert b"Relief (not SAM 3D)" in gif.info["comment"]
    assert view.stage.viewpoint == before
    view.export_turntable(rig.folder / "turn.mp4")
    rig.settle()
    film = cv2.VideoCapture(str(rig.folder / "turn.mp4"))
    assert (film.get(cv2.CAP_PROP_FRAME_COUNT), film.get(cv2.CAP_PROP_FRAME_WIDTH)) == (6, 160)
    film.release()
    view.take_picture(rig.folder / "still.png")
    rig.settle()
    assert np.array_equal(cv2.imread(str(rig.folder / "still.png"))[..., ::-1], rig.pixels())
    with pytest.raises(SamdeskError, match="cannot be written"):
        view.take_picture(rig.folder / "still.txt")
    view.export_turntable(rig.folder / "other.gif")
    view._cancel.click()
    rig.settle()
    assert not (rig.folder / "other.gif").exists()
    assert rig.told == []


def test_a_recording_is_not_disturbed_and_the_newest_is_shown_after_it(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("samdesk.ui.view3d.movie.MOVIES", {".gif": (6, 20, 120)})
    view = rig.view
    red, blue, green = (rig.splat(name, blob(c)) for name, c in (("r", RED), ("b", BLUE), ("g", GREEN)))
    rig.show(red)
    view.show_scene([blue])  # on its way when the recording begins
    view.export_turntable(rig.folder / "turn.gif")
    view._record()
    view.show_scene([replace(green, label="Other")])
    view.show_scene([replace(green, label="Newest")])
    view.show_preview(np.zeros((9, 3)), "Cup")
    view.drop_preview()
    rig.settle()
    assert view.about.whole.startswith(("Newest", "Saved"))
    assert rig.part_of(GREEN) > 0.05
    assert view.stage.viewpoint == preset("home", view.scene.outline(), view._aspect)
    with Image.open(rig.folder / "turn.gif") as gif:
        assert gif.n_frames == 6
        assert gif.info["comment"] == b"Relief (not SAM 3D)"
        for k in range(6):
            gif.seek(k)
            away = np.abs(np.asarray(gif.convert("RGB")).astype(int) - RED).max(2)
            assert (away < 60).mean() > 0.05
    view.export_turntable(rig.folder / "given_up.gif")
    view.show_scene([red])
    view._cancel.click()
    rig.settle()
    assert rig.part_of(RED) > 0.05


def test_a_preview_that_comes_to_nothing_goes_again(rig: Rig) -> None:
    view, points = rig.view, np.random.default_rng(0).normal(size=(500, 3))
    view.show_preview(points, "Cup")
    view.drop_preview()
    assert not view.busy
    assert "drop a PLY" in view.said.text()
    view.show_preview(points, "Cup")
    rig.settle()
    view.drop_preview()
    assert view.scene is None
    assert "drop a PLY" in view.said.text()
    rig.show(rig.splat("ball", blob(RED)))
    rig.drag(QPoint(60, 20))
    place = view.stage.viewpoint
    for _ in range(2):
        view.show_preview(points, "Cup")
        rig.settle()
    assert view.about.whole == "Preview · 500 points"
    view.drop_preview()
    assert [part.id for part in view.scene.contents.parts] == ["ball"]
    assert view.stage.viewpoint == place
    assert rig.part_of(RED) > 0.05
    view.drop_preview()
    assert view.scene is not None


def test_the_keyboard_reaches_the_toolbar_and_leaves_the_picture(rig: Rig) -> None:
    rig.show(rig.splat("ball", blob(RED)))
    view = rig.view
    view.activateWindow()
    view.surface.widget.setFocus()
    rig.until(view.surface.widget.hasFocus)
    reached = []
    for _ in range(9):
        rig.qtbot.keyClick(view.focusWidget(), Qt.Key.Key_Tab, Qt.KeyboardModifier.ShiftModifier)
        reached.append(view.focusWidget())
    names = [view.bar.widgetForAction(one) for one in (view.bar.turn, view.bar.home, view.bar.looks["splat"])]
    assert set(names) <= set(reached)
    view.bar.widgetForAction(view.bar.looks["points"]).setFocus()
    before = rig.part_of(RED)
    rig.qtbot.keyClick(view.focusWidget(), Qt.Key.Key_Space)
    assert view.scene.look == "points"
    assert rig.part_of(RED) < before


def test_what_was_saved_is_told_for_a_moment(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.view._said.setInterval(1)
    rig.show(rig.splat("ball", blob(RED)))
    told: list[str] = []
    monkeypatch.setattr(rig.view.about, "say", told.append)
    rig.view.take_picture(rig.folder / "still.png")
    rig.until(lambda: "Saved." in told and told[-1] == "Relief (not SAM 3D) · 400 splats")


def dropped(paths: list[Path]) -> QMimeData:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    return data


def test_files_are_dropped_on_it_and_a_bad_one_leaves_what_is_shown(rig: Rig) -> None:
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    picture = dropped([rig.folder / "slide.tif"])
    enter = QDragEnterEvent(QPoint(9, 9), Qt.DropAction.CopyAction, picture, left, none)
    QApplication.sendEvent(rig.view, enter)
    assert not enter.isAccepted()
    mixed = dropped([rig.folder / "slide.tif", rig.folder / "a.ply"])
    enter = QDragEnterEvent(QPoint(9, 9), Qt.DropAction.CopyAction, mixed, left, none)
    QApplication.sendEvent(rig.view, enter)
    assert not enter.isAccepted()  # the window opens both
    good = [rig.splat("a", blob(RED)).splat, rig.mesh("b", card()).mesh]
    data = dropped(good)
    rig.view.dropEvent(QDropEvent(QPointF(9, 9), Qt.DropAction.CopyAction, data, left, none))
    rig.settle()
    assert [part.title for part in rig.view.scene.contents.parts] == ["a.ply", "b.glb"]
    bad = rig.folder / "bad.glb"
    bad.write_bytes(b"no mesh")
    rig.view.open_files([bad])
    rig.settle()
    assert "bad.glb" in rig.told[0]
    assert [part.title for part in rig.view.scene.contents.parts] == ["a.ply", "b.glb"]


def test_the_last_wanted_scene_is_shown_and_its_place_is_kept(rig: Rig) -> None:
    assert "drop a PLY" in rig.view.said.text()
    rig.view.show_preview(np.random.default_rng(0).normal(size=(500, 3)), "Cup")
    assert rig.view.said.text() == "Preparing the 3D view…"
    ball = rig.splat("ball", blob(RED))
    rig.view.show_scene([ball])
    rig.settle()
    assert [part.id for part in rig.view.scene.contents.parts] == ["ball"]
    rig.drag(QPoint(60, 20))
    place = rig.view.stage.viewpoint
    rig.show(ball)
    assert rig.view.stage.viewpoint == place
    rig.view.show_preview(np.random.default_rng(0).normal(size=(500, 3)), "Cup")
    rig.settle()
    assert rig.view.about.whole == "Preview · 500 points"
    assert rig.part_of((74, 141, 246)) > 0.005
    rig.view.show_scene([])
    assert rig.view.scene is None


def test_a_closed_view_keeps_no_wrapper_of_a_surface_that_is_gone(rig: Rig) -> None:
    rig.show(rig.splat("shell", shell(50)))
    before = surfaces()
    rig.view.close_view()
    rig.qtbot.wait(1)
    assert before - surfaces() == 1  # else PySide takes a later object at that address for the surface


def surfaces() -> int:
    return sum(type(wrapper) is QSurface for wrapper in getAllValidWrappers())


def test_it_follows_the_appearance_and_can_be_used_again(rig: Rig) -> None:
    ball = rig.splat("ball", blob(RED))
    rig.show(ball)
    view = rig.view
    for name, color in (("light", theme.LIGHT["alternate"]), ("dark", theme.DARK["base"])):
        theme.apply(theme.application(), name)
        view.restyle()
        assert "#{:02x}{:02x}{:02x}".format(*rig.pixels()[2, 2]) == color
    view.bar.backdrop_chosen.emit("white")
    assert rig.pixels()[2, 2].tolist() == [255, 255, 255]
    plain = rig.pixels()
    view.bar.grid.setChecked(True)
    view.bar.axes.setChecked(True)
    changed = np.abs(rig.pixels().astype(int) - plain).max(2) > 20
    assert changed.mean() > 0.003
    assert changed[-60:, :60].sum() > 30
    assert round(view.stage._corner.GetViewport()[2] * rig.pixels().shape[1]) >= 84  # room for the letters
    view.close_view()
    assert view.surface is None
    rig.show(ball)
    assert rig.part_of(RED) > 0.05
    theme.apply(theme.application(), "light")


def test_without_gl_widgets_it_shows_pictures(pictures: Rig) -> None:
    pictures.show(pictures.splat("red", blob(RED), at(-0.6)), pictures.splat("blue", blob(BLUE), at(0.6)))
    view = pictures.view
    pictures.until(lambda: not view.surface.widget.pixmap().isNull())
    shown = view.surface.widget.pixmap()
    assert (shown.width(), shown.height()) == (view.surface.widget.width(), view.surface.widget.height())
    pixels = np.split(pictures.pixels()[:, : 2 * (shown.width() // 2)].astype(int), 2, axis=1)
    for half, color in zip(pixels, (RED, BLUE), strict=True):
        assert (np.abs(half - color).max(2) < 60).mean() > 0.05
    before = view.stage.viewpoint
    pictures.drag(QPoint(50, 0))
    assert view.stage.viewpoint.azimuth != before.azimuth


def test_a_missing_library_is_told(pictures: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("samdesk.ui.view3d.surface", raising=False)
    monkeypatch.setitem(sys.modules, "samdesk.ui.view3d.surface", None)
    pictures.show(pictures.splat("ball", blob(RED)))
    assert "Install pyvista" in pictures.told[0]
    assert "cannot be shown" in pictures.view.said.text()


BARE = """
import sys
from pathlib import Path
from PySide6.QtWidgets import QApplication
from samdesk.app.jobs import Jobs
from samdesk.ui.bridge import Bridge
from samdesk.ui.view3d.view import View3D
from tests.fakes import FakeAsk
app = QApplication([])
bridge = Bridge()
jobs = Jobs(bridge)
told = []
bridge.failed.connect(lambda error: told.append(str(error)))
view = View3D(jobs, FakeAsk(), bridge.guarded)
view.show()
view.open_files([Path(sys.argv[1])])
while view.busy:
    app.processEvents()
app.processEvents()
print(view.said.text() if view.surface is None else "drawn", len(told))
view.close_view()
jobs.close()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="OpenGL can be taken away on Linux only")
def test_a_computer_without_any_opengl_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "ball.ply"
    write_splats(path, blob(RED))
    bare = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    bare |= {"QT_QPA_PLATFORM": "offscreen", "__EGL_VENDOR_LIBRARY_FILENAMES": str(tmp_path / "none.json")}
    ran = subprocess.run(
        [sys.executable, "-c", BARE, str(path)], env=bare, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("This computer offers no OpenGL")
    assert ran.stdout.split()[-1] == "1"


# Arithmetic


def test_turning_keeps_the_pivot_where_it_is_seen() -> None:
    pivot = np.array([0.2, -0.1, 0.3])
    view = Viewpoint(20, 10, (0.5, 0.4, -0.2), 1.3)
    for other in (view.turned(33, -20, pivot), view.turned(-170, 75, pivot)):
        assert other.axes @ (pivot - other.position) == pytest.approx(view.axes @ (pivot - view.position))
    assert view.turned(0, 500, pivot).elevation == 90


def test_zooming_keeps_what_is_under_the_pointer() -> None:
    view = Viewpoint(20, 10, (0.5, 0.4, -0.2), 1.3)
    closer = view.zoomed(0.5, 0.4, -0.3)
    right, up, _ = view.axes
    for one in (view, closer):
        spot = np.asarray(one.target) + one.height * (0.4 * right - 0.3 * up)
        assert spot == pytest.approx(np.asarray(view.target) + view.height * (0.4 * right - 0.3 * up))


@pytest.mark.parametrize("name", ["home", "front", "left", "back", "right", "top"])
def test_a_preset_shows_all_of_it_and_fills_the_view(name: str) -> None:
    points = np.random.default_rng(3).uniform((-1, -0.2, 0), (3, 0.5, 0.7), (500, 3))
    view = preset(name, points, 1.6)
    across, up, depth = view.axes @ (points - view.position).T
    slope = np.tan(np.radians(view.angle) / 2)
    reach = np.maximum(np.abs(across) / (1.6 * slope * depth), np.abs(up) / (slope * depth)).max()
    assert 0.8 < reach < 1
    expected = {
        "front": (0, 1, 0),
        "left": (1, 0, 0),
        "back": (0, -1, 0),
        "right": (-1, 0, 0),
        "top": (0, 0, -1),
    }
    if name in expected:
        assert view.axes[2] == pytest.approx(expected[name], abs=1e-12)
        assert view.axes[1] == pytest.approx((0, 1, 0) if name == "top" else (0, 0, 1), abs=1e-12)


def test_the_photograph_is_seen_from_where_it_was_taken() -> None:
    seen = from_photo(Camera("perspective", 50.0, 1.2), 2.5, 0.8)
    assert seen.position == pytest.approx((0, 0, 0), abs=1e-12)
    assert seen.height == pytest.approx(Camera("perspective", 50.0, 1.2).height_at(2.5) * 1.2 / 0.8)
    flat = from_photo(Camera("parallel", 1.0, 1.2), 0.3, 2.0)
    assert (flat.height, flat.angle, flat.target) == (1.0, 0.0, (0.0, 0.3, 0.0))


def test_what_has_the_same_name_is_told_apart() -> None:
    assert told_apart(["Cup", "Annotation", "Annotation"]) == ["Cup", "Annotation 1", "Annotation 2"]
    assert told_apart([]) == []


def test_the_scale_is_round_and_says_that_it_is_relative() -> None:
    assert scale_of(300, None) == (60.0, "0.2 relative units")
    length, text = scale_of(300, (512.0, "µm"))
    assert text == "100 µm"
    assert length == pytest.approx(300 * 100 / 512)
