"""What the platform can do: a widget that VTK draws into, or only pictures of what it drew elsewhere.

Must not import VTK.
"""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication, QOpenGLContext, QSurfaceFormat
from PySide6.QtWidgets import QWidget

WITH_GL = frozenset({"xcb", "wayland", "windows", "cocoa"})
"""Qt platforms whose windows can hold an OpenGL widget; asking others for GL can end the program."""


APART = frozenset({"xcb"})
"""Those of them where a part of a window was seen to work with a native window of its own."""


def share_surface_format() -> None:
    """Ask for OpenGL of the kind that VTK needs; to be called before the first window is made.

    On Wayland a widget whose format is not that of its window stays black.
    """
    wanted = QSurfaceFormat()
    wanted.setRenderableType(QSurfaceFormat.RenderableType.OpenGL)
    wanted.setProfile(QSurfaceFormat.OpenGLContextProfile.CoreProfile)
    wanted.setVersion(3, 2)
    wanted.setSwapBehavior(QSurfaceFormat.SwapBehavior.DoubleBuffer)
    for set_size in (wanted.setRedBufferSize, wanted.setGreenBufferSize, wanted.setBlueBufferSize):
        set_size(8)
    wanted.setAlphaBufferSize(8)
    wanted.setDepthBufferSize(8)
    wanted.setStencilBufferSize(0)
    wanted.setSamples(0)
    QSurfaceFormat.setDefaultFormat(wanted)


def can_embed() -> bool:
    """Whether a widget with OpenGL would work here."""
    if QGuiApplication.platformName().partition("-")[0] not in WITH_GL:
        return False
    return QOpenGLContext().create()


def keep_apart(widget: QWidget) -> bool:
    """Give a widget that will hold OpenGL a native window, where that is known to work.

    Qt composes a window that holds OpenGL by means of OpenGL, all of it and for good: without a graphics
    card a canvas in the same window would be drawn ten times slower.

    Returns
    -------
    bool
        Whether it was done. The view is then to be rehoused whenever the widget begins or ceases to float.
    """
    if QGuiApplication.platformName() not in APART:
        return False
    # else all beside it get one too, and no menu of theirs knows which window it belongs to
    QGuiApplication.setAttribute(Qt.ApplicationAttribute.AA_DontCreateNativeWidgetSiblings)
    widget.setAttribute(Qt.WidgetAttribute.WA_DontCreateNativeAncestors)
    widget.setAttribute(Qt.WidgetAttribute.WA_NativeWindow)
    return True
