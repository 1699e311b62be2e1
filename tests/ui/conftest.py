"""A Qt application with or without a display, background jobs, and a canvas to look at."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from PySide6.QtGui import QImage
from pytestqt.qtbot import QtBot

from samdesk.app.jobs import Jobs
from samdesk.ui.bridge import Bridge
from samdesk.ui.canvas import Canvas

from .sources import ArraySource

if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

SETTLE_MS = 20_000


@pytest.fixture
def jobs(qapp: object) -> Iterator[Jobs]:
    made = Jobs(Bridge())
    yield made
    made.close()


@pytest.fixture
def canvas(qtbot: QtBot, jobs: Jobs) -> Canvas:
    """An empty canvas of 400 x 300 on the screen, without scale bar and overview."""
    made = Canvas(jobs)
    made.show_scale_bar = made.show_overview = False
    qtbot.addWidget(made)
    made.resize(400, 300)
    with qtbot.waitExposed(made):
        made.show()
    return made


@pytest.fixture
def settle(qtbot: QtBot, canvas: Canvas) -> Callable[[], None]:
    """Wait until every visible tile is there."""
    return lambda: qtbot.waitUntil(canvas.is_settled, timeout=SETTLE_MS)


@pytest.fixture
def show(canvas: Canvas, settle: Callable[[], None]) -> Callable[[ArraySource], None]:
    """Show a source and wait until it is complete."""

    def shown(source: ArraySource) -> None:
        canvas.set_image(source, source.display)
        settle()

    return shown


@pytest.fixture
def look(canvas: Canvas) -> Callable[[], NDArray[np.uint8]]:
    """What the canvas shows, (h, w, 3) RGB in device pixels."""

    def pixels() -> NDArray[np.uint8]:
        # not `grab`: that has the colors of the screen, and a virtual one may have few
        picture = QImage(*canvas.view.device_size, QImage.Format.Format_RGB32)
        picture.setDevicePixelRatio(canvas.devicePixelRatioF())
        canvas.render(picture)
        rows = np.frombuffer(picture.constBits(), np.uint8).reshape(picture.height(), picture.width(), 4)
        return rows[..., 2::-1].copy()

    return pixels
