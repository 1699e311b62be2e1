"""Where the picture of a stage goes: a widget that VTK draws into, or a label with what it drew elsewhere.

Must not know scenes. Imports VTK; made on the GUI thread.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import pyvista
from numpy.typing import NDArray
from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QImage, QPixmap, QResizeEvent
from PySide6.QtWidgets import QLabel, QWidget
from pyvistaqt import QtInteractor
from vtkmodules.vtkCommonCore import vtkLogger
from vtkmodules.vtkRenderingCore import vtkRenderWindow

from samdesk.domain.errors import SamdeskError

Pixels = NDArray[np.uint8]
PLOTTER: dict[str, Any] = {"lighting": "none"}


class Surface(Protocol):
    """A plotter and the widget that shows its picture."""

    @property
    def widget(self) -> QWidget: ...

    @property
    def plotter(self) -> Any: ...

    def refresh(self) -> None:
        """Draw anew, soon."""
        ...

    def picture(self) -> Pixels:
        """Draw now: (h, w, 3) RGB in device pixels."""
        ...

    def close(self) -> None:
        """Give GL back, before the widget is destroyed."""
        ...


class EmbeddedSurface:
    """VTK draws into the widget."""

    def __init__(self, parent: QWidget) -> None:
        self.plotter = QtInteractor(parent, auto_update=False, multi_samples=0, **PLOTTER)
        self.plotter.setAcceptDrops(False)  # it would add what is dropped by itself
        self.plotter.setMinimumSize(1, 1)

    @property
    def widget(self) -> QWidget:
        widget: QWidget = self.plotter
        return widget

    def refresh(self) -> None:
        self.plotter.update()

    def picture(self) -> Pixels:
        # not by way of VTK: it draws nothing while its context is not the current one
        image = self.plotter.grabFramebuffer().convertToFormat(QImage.Format.Format_RGB888)
        rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
        return rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).copy()

    def close(self) -> None:
        self.plotter.close()
        # WORKAROUND pyvistaqt 0.13: it keeps the surface of the context for ever, and PySide takes the next
        # object that lies at the same address for that surface.
        self.plotter._forget_context()
        self.plotter.deleteLater()


class PictureSurface:
    """VTK draws off screen, and a label shows the picture."""

    def __init__(self, parent: QWidget) -> None:
        if not can_draw():
            raise SamdeskError(
                "This computer offers no OpenGL, so 3D objects cannot be shown.",
                "The files can be opened elsewhere: they are beside the project.",
            )
        self.plotter = pyvista.Plotter(off_screen=True, window_size=[64, 64], **PLOTTER)
        self._label = _Label(parent, self._resized)
        self._soon = QTimer(self._label, singleShot=True, interval=0)
        self._soon.timeout.connect(self._draw)

    @property
    def widget(self) -> QWidget:
        return self._label

    def refresh(self) -> None:
        self._soon.start()

    def picture(self) -> Pixels:
        shown = self.plotter.screenshot(return_img=True)
        return np.ascontiguousarray(shown[..., :3], np.uint8)

    def close(self) -> None:
        self._soon.stop()
        self.plotter.close()
        self._label.deleteLater()

    def _resized(self) -> None:
        ratio = self._label.devicePixelRatioF()
        self.plotter.window_size = [
            max(1, round(ratio * side)) for side in (self._label.width(), self._label.height())
        ]
        self._soon.start()

    def _draw(self) -> None:
        pixels = self.picture()
        height, width = pixels.shape[:2]
        image = QImage(pixels.data, width, height, 3 * width, QImage.Format.Format_RGB888)
        shown = QPixmap.fromImage(image)
        shown.setDevicePixelRatio(self._label.devicePixelRatioF())
        self._label.setPixmap(shown)


class _Label(QLabel):
    def __init__(self, parent: QWidget, resized: Callable[[], None]) -> None:
        super().__init__(parent)
        self._resized = resized
        self.setMinimumSize(1, 1)
        self.setFocusPolicy(Qt.FocusPolicy.WheelFocus)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._resized()


def can_draw() -> bool:
    """Whether VTK can draw off screen; asking for a picture without OpenGL would end the program."""
    before = vtkLogger.GetCurrentVerbosityCutoff()
    vtkLogger.SetStderrVerbosity(vtkLogger.VERBOSITY_OFF)  # it tells each thing that it tries
    try:
        window = vtkRenderWindow()
        window.SetOffScreenRendering(True)
        if sys.platform.startswith("linux") and window.GetClassName() == "vtkOSOpenGLRenderWindow":
            return False  # what it takes when nothing else works, whether it is installed or not
        works = bool(window.SupportsOpenGL())
        window.Finalize()
    finally:
        vtkLogger.SetStderrVerbosity(before)
    return works
