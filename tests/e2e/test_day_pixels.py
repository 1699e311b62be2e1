"""A day with pixels: channels, ranges, gamma, slices and time, and what the models see of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QComboBox, QDialog, QDoubleSpinBox

from samdesk.domain.geometry import Plane, Shape
from samdesk.domain.outline import iou

from .conftest import User
from .hands import choose, color_at, press, shortcut, told

CTRL = Qt.KeyboardModifier.ControlModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier
WIDTH, HEIGHT = 160, 120
CELL = Shape.box(20, 20, 60, 60)
"""Of the first channel in the first slice, 1000 on 100; half as bright below its middle."""

SPOT = (120.0, 40.0)
"""Within a square of the second channel, 3000 on 200; not in the second time point."""

MOVED = (40.0, 95.0)
"""Where the cell is in the other slices."""


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    pixels = np.empty((2, 3, 2, HEIGHT, WIDTH), np.uint16)
    pixels[:, :, 0], pixels[:, :, 1] = 100, 200
    pixels[:, 0, 0, 20:60, 20:60] = 1000
    pixels[:, 1:, 0, 80:110, 20:60] = 1000
    pixels[0, :, 1, 20:60, 100:140] = 3000
    path = tmp_path / "stack.ome.tif"
    tifffile.imwrite(
        path,
        pixels,
        metadata={"axes": "TZCYX", "Channel": {"Name": ["DAPI", "CD3"]}},
        photometric="minisblack",
    )
    return path


def contrast(user: User) -> QDialog:
    shortcut(user, Qt.Key.Key_C, SHIFT)
    dialog = user.window.dialogs.get("contrast")
    assert dialog is not None
    return dialog


def number(dialog: QDialog, name: str) -> QDoubleSpinBox:
    return next(one for one in dialog.findChildren(QDoubleSpinBox) if one.accessibleName() == name)


def write(box: QDoubleSpinBox, text: str) -> None:
    box.setFocus()
    box.selectAll()
    QTest.keyClicks(box, text)
    QTest.keyClick(box, Qt.Key.Key_Return)


def seen_by_models(dialog: QDialog) -> str:
    return next(one for one in dialog.findChildren(QComboBox)).currentText()


def test_what_is_shown_and_what_the_models_see(user: User, stack: Path) -> None:
    user.open(stack)
    inside, spot, dark = (40.0, 40.0), SPOT, (80.0, 100.0)
    first, second = color_at(user, *inside), color_at(user, *spot)
    assert max(first) == max(second) == 255  # auto contrast: the brightest of each channel is full
    assert first != second
    assert color_at(user, *dark) == (0, 0, 0)

    # a channel alone, by keyboard; then all of them again
    dialog = contrast(user)
    names = [dialog.channels.topLevelItem(k).text(1) for k in range(2)]
    assert names == ["DAPI", "CD3"]
    dialog.channels.setFocus()
    QTest.keyClick(dialog.channels, Qt.Key.Key_Return)
    assert color_at(user, *inside) == first
    assert color_at(user, *spot) == (0, 0, 0)
    QTest.keyClick(dialog.channels, Qt.Key.Key_Return)
    assert color_at(user, *spot) == second

    # a range and a gamma, as numbers: 1000 of 0..2000 is a half, and its square a quarter
    write(number(dialog, "Low"), "0")
    write(number(dialog, "High"), "2000")
    assert max(color_at(user, *inside)) == pytest.approx(128, abs=1)
    write(number(dialog, "Gamma"), "2")
    assert max(color_at(user, *inside)) == pytest.approx(64, abs=1)
    assert max(color_at(user, *dark)) == 1  # 100 of 2000, squared
    assert max(color_at(user, *spot)) == 255  # the other channel is as it was

    # none of this is what the models see, which one can look at
    shown = color_at(user, *inside)
    shortcut(user, Qt.Key.Key_M, SHIFT)
    assert color_at(user, *inside) == first
    shortcut(user, Qt.Key.Key_M, SHIFT)
    assert color_at(user, *inside) == shown
    assert seen_by_models(dialog).startswith("Auto contrast")
    dialog.close()

    # a click finds the cell exactly, and its provenance says nothing unusual
    user.click(*inside)
    user.key(Qt.Key.Key_Return)
    (kept,) = user.workspace.document.annotations()
    assert iou(kept.shape, CELL) > 0.9
    assert "contrast" not in kept.provenance

    # from now on the models see this; it is said in what they make, and told of in words
    dialog = contrast(user)
    press(user, "Use Current", dialog)
    assert seen_by_models(dialog) == "The contrast kept by “Use Current”"
    press(user, "Auto", dialog)
    assert max(color_at(user, *inside)) == 255  # the range of this channel is auto again
    shortcut(user, Qt.Key.Key_M, SHIFT)
    assert color_at(user, *inside) == shown
    dialog.close()
    user.click(*spot)
    user.key(Qt.Key.Key_Return)
    found = list(user.workspace.document.annotations())[-1]
    assert found.provenance["contrast"].startswith("kept: DAPI 0 to 2000 gamma 2; CD3 200 to 3000")


def test_slices_and_time_points_have_their_own_annotations(user: User, stack: Path) -> None:
    user.open(stack)
    w, strip = user.workspace, user.window.planes
    assert (strip.z.box.text(), strip.t.box.text()) == ("1 / 3", "1 / 2")
    assert user.window.status.plane.text() == "z 1/3  t 1/2"
    bright = max(color_at(user, *SPOT))
    assert max(color_at(user, *MOVED)) == 0

    # up a slice: the cell is elsewhere; a click finds it there
    user.key(Qt.Key.Key_PageUp)
    assert strip.z.slider.value() == 1
    assert max(color_at(user, *MOVED)) == 255
    user.click(*MOVED)
    user.key(Qt.Key.Key_Return)
    (kept,) = w.document.annotations()
    assert kept.shape.area == pytest.approx(40 * 30, rel=0.1)
    assert kept.plane == Plane(1, 0)

    # in the first slice there is nothing to select, in its own there is
    w.select_tool("move")
    user.key(Qt.Key.Key_PageDown)
    w.selection.clear()
    QTest.mouseClick(user.handle, Qt.MouseButton.LeftButton, pos=user.screen(*MOVED))
    assert len(w.selection) == 0
    write(strip.z.box, "2")
    QTest.mouseClick(user.handle, Qt.MouseButton.LeftButton, pos=user.screen(*MOVED))
    assert list(w.selection.ids) == [kept.id]

    write(strip.z.box, "3")  # while something is selected: Enter is the number's
    assert w.plane.z == 2
    assert user.window.focusWidget() is strip.z.box
    write(strip.z.box, "2")

    # the last time point has no spot; further than the last one cannot go
    user.window.canvas.setFocus()
    for _ in range(3):
        user.key(Qt.Key.Key_PageUp, CTRL)
    assert user.window.status.plane.text() == "z 2/3  t 2/2"
    assert max(color_at(user, *SPOT)) == 0 < bright

    # playing goes round and round, and stops when it is told to
    strip.t.play.click()
    user.wait(lambda: w.plane.t == 0)
    user.wait(lambda: w.plane.t == 1)
    strip.t.play.click()
    assert not strip.t.play.isChecked()


def test_contrast_comes_back_with_the_image(user: User, stack: Path) -> None:
    user.open(stack)
    dialog = contrast(user)
    write(number(dialog, "High"), "4000")
    press(user, "Use Current", dialog)
    write(number(dialog, "Gamma"), "0.5")
    shown = color_at(user, 40, 40)
    choose(user, "File", "Close Image")
    assert user.window.dialogs.get("contrast") is None or not dialog.isVisible()
    assert user.window.empty.isVisible()
    user.open(stack)
    assert color_at(user, 40, 40) == shown
    dialog = contrast(user)
    assert [number(dialog, name).value() for name in ("High", "Gamma")] == [4000, 0.5]
    assert seen_by_models(dialog) == "The contrast kept by “Use Current”"
    shortcut(user, Qt.Key.Key_M, SHIFT)
    linear = max(color_at(user, 40, 40))
    assert (max(shown) / 255) ** 2 == pytest.approx(linear / 255, abs=0.01)

    # everything as it was when the image was first seen
    press(user, "Reset", dialog)
    assert max(color_at(user, 40, 40)) == 255
    assert told(user) == ""
