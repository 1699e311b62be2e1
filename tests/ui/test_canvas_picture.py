"""What the canvas shows of an image: every pixel in its place, at every scale, without flicker."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PySide6.QtGui import QColor, QPalette
from pytestqt.qtbot import QtBot

from samdesk.domain.geometry import Plane
from samdesk.images.source import PixelSize
from samdesk.ui.canvas import Canvas, View
from samdesk.ui.layers import grid
from samdesk.ui.layers.scalebar import scale_bar

from .sources import ArraySource, coordinates, plain

Show = Callable[[ArraySource], None]
Look = Callable[[], NDArray[np.uint8]]
Settle = Callable[[], None]


def shown_part(
    canvas: Canvas, seen: NDArray[np.uint8], shift: float = 0.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The image pixel under the center (moved by `shift`) of every device pixel of the widget."""
    view = canvas.view
    ys, xs = np.mgrid[: seen.shape[0], : seen.shape[1]] + 0.5 + shift
    left, top = view.origin
    return np.floor((xs + left) * view.device_scale), np.floor((ys + top) * view.device_scale)


@pytest.mark.parametrize("scale", [1.0, 1 / 2.6, 1 / 3, 1 / 16, 1 / 23.7, 1 / 64])
@pytest.mark.parametrize("block", [(512, 512), (1500, 8), (1500, 1300)])
def test_every_pixel_is_in_its_place(
    canvas: Canvas, show: Show, settle: Settle, look: Look, scale: float, block: tuple[int, int]
) -> None:
    show(ArraySource(coordinates(1500, 1300), levels=2, block=block))
    canvas.set_view(View(510.3, 515.7, scale))
    settle()
    seen = look()
    # exact at whole magnifications; else a tile begins at the nearest device pixel
    shifts = (0.0,) if (1 / scale) % 1 == 0 else (-0.5, 0.0, 0.5)
    parts = [shown_part(canvas, seen, shift) for shift in shifts]
    assert np.any([seen[..., 0] == x % 256 for x, _ in parts], axis=0).all()
    assert np.any([seen[..., 1] == y % 256 for _, y in parts], axis=0).all()


@pytest.mark.parametrize("scale", [1.3, 2.0, 2.9, 4.0, 7.7])
def test_no_seam_and_no_shift_when_reduced(
    canvas: Canvas, show: Show, settle: Settle, look: Look, scale: float
) -> None:
    height, width = 2600, 3100
    picture = np.full((height, width, 3), 200, np.uint8)
    ramp = np.linspace(0, 255, width)
    picture[..., 0] = ramp.astype(np.uint8)
    show(ArraySource(picture, levels=3, block=(256, 256)))
    canvas.set_view(View(1555.5, 1300.2, scale))
    settle()
    seen = look()
    x, y = shown_part(canvas, seen)
    inside = (x >= 8) & (x < width - 8) & (y >= 8) & (y < height - 8)
    assert np.abs(seen[..., 1].astype(int) - 200)[inside].max() <= 1
    expected = ramp[np.clip(x, 0, width - 1).astype(int)]
    # half a device pixel of snapping and the rounding of the ramp
    assert np.abs(seen[..., 0] - expected)[inside].max() <= 1.5 + scale * 255 / width


@pytest.mark.parametrize("scale", [1 / 3.3, 0.8, 1.3, 2.9])
def test_a_picture_drawn_in_bands_is_the_same(
    canvas: Canvas, show: Show, settle: Settle, look: Look, scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    show(ArraySource(np.random.default_rng(0).integers(0, 255, (1300, 1500, 3), np.uint8), levels=2))
    canvas.set_view(View(700.3, 610.7, scale))
    settle()
    seen = look()
    monkeypatch.setattr(grid, "BAND", 10_000)
    canvas.update()
    assert (look() == seen).all()


def test_nothing_is_drawn_outside_the_image(canvas: Canvas, show: Show, look: Look) -> None:
    show(ArraySource(plain(333, 201, (10, 200, 30)), levels=2, block=(64, 64)))
    canvas.set_view(View(333, 201, 0.5))
    seen = look()
    x, y = shown_part(canvas, seen)
    green = (seen == (10, 200, 30)).all(axis=2)
    np.testing.assert_array_equal(green, (x < 333) & (y < 201))


def test_without_an_image_there_is_only_the_palette(canvas: Canvas, look: Look) -> None:
    palette = canvas.palette()
    for tone in (40, 240):
        palette.setColor(QPalette.ColorRole.Window, QColor(tone, tone, tone))
        canvas.setPalette(palette)
        seen = look()
        assert len(np.unique(seen.reshape(-1, 3), axis=0)) == 1
        assert abs(int(seen[0, 0, 0]) - tone) < 20
    assert canvas.is_settled()


def test_a_new_image_is_fitted_and_stays_so_until_the_view_is_moved(
    canvas: Canvas, show: Show, qtbot: QtBot
) -> None:
    show(ArraySource(plain(2000, 1000), levels=2))
    assert canvas.view.scale == pytest.approx(2000 / (400 * 0.96))
    canvas.resize(500, 300)
    qtbot.waitUntil(lambda: canvas.view.width == 500)
    assert canvas.view.scale == pytest.approx(2000 / (500 * 0.96))
    canvas.pan_by(10, 0)
    scale = canvas.view.scale
    canvas.resize(450, 320)
    qtbot.waitUntil(lambda: canvas.view.width == 450)
    assert canvas.view.scale == scale


def test_a_change_of_display_keeps_the_old_picture_until_the_new_one_is_there(
    canvas: Canvas, show: Show, settle: Settle, look: Look
) -> None:
    source = ArraySource(plain(600, 500, (200, 100, 50)), levels=2)
    show(source)
    before = look()
    canvas._cache.clear()
    source.gate.clear()
    canvas.set_display(source.display.with_channel(0, high=400.0))
    np.testing.assert_array_equal(look(), before)
    source.gate.set()
    settle()
    assert look()[150, 200].tolist() == [128, 100, 50]


def test_a_change_of_plane_shows_the_other_plane(canvas: Canvas, settle: Settle, look: Look) -> None:
    stack = np.zeros((2, 3, 1, 300, 400), np.uint8)
    stack[:] = np.arange(6).reshape(2, 3, 1, 1, 1) * 40
    source = ArraySource(stack)
    canvas.set_image(source, source.display, Plane(1, 0))
    settle()
    assert look()[150, 200].tolist() == [40, 0, 0]
    canvas.set_plane(Plane(2, 1))
    settle()
    assert look()[150, 200].tolist() == [200, 0, 0]


def test_the_coarse_picture_is_there_while_the_fine_one_is_made(
    canvas: Canvas, show: Show, settle: Settle, look: Look
) -> None:
    source = ArraySource(plain(4000, 3000, (90, 160, 230)), levels=3)
    show(source)
    source.gate.clear()
    canvas.set_view(View(2000, 1500, 1.0))
    assert not canvas.is_settled()
    seen = look()
    assert np.abs(seen.astype(int) - (90, 160, 230)).max() <= 2
    source.gate.set()
    settle()


def test_the_middle_is_read_first_and_what_left_the_screen_is_not(
    canvas: Canvas, show: Show, settle: Settle
) -> None:
    source = ArraySource(plain(9000, 9000), levels=4, block=(256, 256))
    show(source)
    source.gate.clear()
    source.reads.clear()
    canvas.set_view(View(1000, 1000, 4.0))
    canvas.grab()
    canvas.set_view(View(8000, 8000, 1.0))
    canvas.grab()
    source.gate.set()
    settle()
    assert sum(1 for level, *_ in source.reads if level == 2) <= 2  # those that were being read
    fine = [read for read in source.reads if read[0] == 0]
    away = [np.hypot(c * 256 + 128 - 8000, r * 256 + 128 - 8000) for _, c, r in fine]
    assert away[0] < 300
    assert max(away[:4]) < 500


def test_more_levels_change_neither_view_nor_picture(
    canvas: Canvas, show: Show, settle: Settle, look: Look
) -> None:
    picture = coordinates(1400, 1200)
    show(ArraySource(picture, block=(1400, 1200)))
    canvas.set_view(View(600, 500, 1.0))
    settle()
    before, view = look(), canvas.view
    better = ArraySource(picture, levels=3, block=(256, 256), identity="better")
    better.gate.clear()
    canvas.replace_source(better)
    assert canvas.view == view
    np.testing.assert_array_equal(look(), before)
    better.gate.set()
    settle()
    np.testing.assert_array_equal(look(), before)
    assert better.reads


def test_another_image_shows_nothing_of_the_first(
    canvas: Canvas, show: Show, settle: Settle, look: Look
) -> None:
    first, second = (plain(600, 500, color) for color in ((250, 10, 10), (10, 10, 250)))
    show(ArraySource(first))
    source = ArraySource(second, identity="second")
    source.gate.clear()
    canvas.set_image(source, source.display)
    assert not (look()[..., 0] > 245).any() or look()[150, 200].tolist() != [250, 10, 10]
    source.gate.set()
    settle()
    assert look()[150, 200].tolist() == [10, 10, 250]


def test_a_broken_block_is_told_once_and_the_rest_is_shown(
    canvas: Canvas, settle: Settle, look: Look, qtbot: QtBot
) -> None:
    source = ArraySource(plain(600, 300, (200, 100, 50)), block=(300, 300))
    source.broken = {(0, 1, 0)}
    failures: list[object] = []
    canvas.failed.connect(failures.append)
    canvas.set_image(source, source.display)
    canvas.set_view(View(300, 150, 1.0))
    settle()
    canvas.pan_by(30, 0)
    settle()
    seen = look()
    assert seen[150, 100].tolist() == [200, 100, 50]
    assert seen[150, 380].tolist() != [200, 100, 50]
    qtbot.waitUntil(lambda: bool(failures))
    assert [str(one) for one in failures] == ["Block 1, 0 of level 0 cannot be read. Copy the file again."]


def test_a_block_of_an_image_that_was_left_is_not_reported(
    canvas: Canvas, show: Show, settle: Settle, look: Look
) -> None:
    failures: list[object] = []
    canvas.failed.connect(failures.append)
    first = ArraySource(plain(600, 300))
    first.broken = {(0, 0, 0), (0, 1, 0)}
    first.gate.clear()
    canvas.set_image(first, first.display)
    look()
    second = ArraySource(plain(600, 300, (1, 2, 3)), identity="second")
    canvas.set_image(second, second.display)
    first.gate.set()
    settle()
    assert look()[150, 200].tolist() == [1, 2, 3]
    assert failures == []


def test_settled_is_told_when_the_picture_is_complete(canvas: Canvas, qtbot: QtBot) -> None:
    source = ArraySource(plain(600, 500), levels=2)
    with qtbot.waitSignal(canvas.settled, timeout=10_000):
        canvas.set_image(source, source.display)
    assert canvas.is_settled()


def test_a_hidden_canvas_gets_its_picture_too(canvas: Canvas, qtbot: QtBot, look: Look) -> None:
    canvas.hide()
    source = ArraySource(plain(600, 500, (200, 100, 50)), levels=2)
    canvas.set_image(source, source.display)
    canvas.grab()
    with qtbot.waitSignal(canvas.settled, timeout=10_000):
        pass
    assert look()[150, 200].tolist() == [200, 100, 50]


def test_the_scale_bar_and_the_overview_can_be_switched(
    canvas: Canvas, show: Show, settle: Settle, look: Look
) -> None:
    canvas.resize(700, 500)
    show(ArraySource(plain(4000, 3000), levels=3))
    canvas.set_view(View(1000, 1000, 1.0))
    settle()
    bare = look()
    canvas.show_scale_bar = True
    with_bar = (look() != bare).any(axis=2)
    ys, xs = np.nonzero(with_bar)
    assert ys.min() > 400
    assert xs.max() < 250
    canvas.show_scale_bar = False
    canvas.show_overview = True
    with_overview = (look() != bare).any(axis=2)
    ys, xs = np.nonzero(with_overview)
    assert ys.max() < 200
    assert xs.min() > 500


@pytest.mark.parametrize(
    ("scale", "pixel_size", "length", "label"),
    [
        (1.0, None, 100, "100 px"),
        (1 / 64, None, 128, "2 px"),
        (15.0, None, 2000 / 15, "2\u202f000 px"),
        (1.0, PixelSize(0.25, 0.25), 80, "20 µm"),
        (40.0, PixelSize(0.25, 0.25), 100, "1 mm"),
        (0.02, PixelSize(0.1, 0.1), 100, "200 nm"),
        (2.0, PixelSize(3.0, 3.0, unit="mm"), 500 / 6, "500 mm"),
    ],
)
def test_the_scale_bar_is_a_round_length(
    scale: float, pixel_size: PixelSize | None, length: float, label: str
) -> None:
    assert scale_bar(scale, pixel_size) == (pytest.approx(length), label)
