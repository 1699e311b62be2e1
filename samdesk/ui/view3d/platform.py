"""What the platform can do: a widget that VTK draws into, or only pictures of what it drew elsewhere.

Must not import VTK.
"""

from __future__ import annotations

from PySide6.QtGui import QGuiApplication, QOpenGLContext, QSurfaceFormat

WITH_GL = frozenset({"xcb", "wayland", "windows", "cocoa"})
"""Qt platforms whose windows can hold an OpenGL widget; asking others for GL can end the program."""


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
