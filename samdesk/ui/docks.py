"""The docks at the sides of the canvas: made alike, with widths that the user's hands decide.

Must not know what is in them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import QObject, QSize, Qt
from PySide6.QtWidgets import (
    QAbstractItemView,
    QDockWidget,
    QFrame,
    QMainWindow,
    QScrollArea,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from .dock3d import SIZE as SIZE_3D
from .dock3d import Dock3D

PANEL_WIDTH = 270
"""Of the panels at the sides at first, logical pixels."""

LEAST_HEIGHT = 150
"""Of panels that scroll, logical pixels."""

LEFT = Qt.DockWidgetArea.LeftDockWidgetArea
RIGHT = Qt.DockWidgetArea.RightDockWidgetArea


def side_dock(
    window: QMainWindow, name: str, title: str, widget: QWidget, area: Qt.DockWidgetArea
) -> QDockWidget:
    """A dock without a title bar; `name` is what the kept layout knows it by."""
    dock = QDockWidget(title, window)
    dock.setObjectName(name)
    dock.setTitleBarWidget(QWidget())
    dock.setWidget(widget)
    window.addDockWidget(area, dock)
    window.resizeDocks([dock], [PANEL_WIDTH], Qt.Orientation.Horizontal)
    return dock


def split(*panels: tuple[QWidget, int]) -> QSplitter:
    """Panels above each other with handles between, each with its share of the height."""
    splitter = QSplitter(Qt.Orientation.Vertical)
    splitter.setChildrenCollapsible(False)
    for place, (panel, share) in enumerate(panels):
        splitter.addWidget(panel)
        splitter.setStretchFactor(place, share)
    return splitter


def column(*panels: tuple[QWidget, int]) -> QWidget:
    """Panels above each other without margins; those with a share take the room that is left."""
    made = QWidget()
    layout = QVBoxLayout(made)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(0)
    for panel, share in panels:
        layout.addWidget(panel, share)
    return made


class Scrolled(QScrollArea):
    """Lets panels scroll up and down where the dock has less height than they need."""

    def __init__(self, widget: QWidget) -> None:
        super().__init__()
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._inside = widget
        self.setWidget(widget)

    def minimumSizeHint(self) -> QSize:
        bar = self.verticalScrollBar().sizeHint().width()
        return QSize(self._inside.minimumSizeHint().width() + bar, LEAST_HEIGHT)


class Beside3D(QObject):
    """Lets the canvas, and not the panel beside it, give and take the place of the 3D dock."""

    def __init__(self, window: QMainWindow, dock: QDockWidget, dock3d: Dock3D) -> None:
        super().__init__(window)
        self._window, self._dock, self._dock3d = window, dock, dock3d
        self._width_3d, self._width, self._sizes = SIZE_3D[0], PANEL_WIDTH, False
        window.addDockWidget(RIGHT, dock3d)
        window.splitDockWidget(dock3d, dock, Qt.Orientation.Horizontal)
        dock3d.hide()
        dock3d.changing.connect(self._before)
        window.resizeDocks([dock], [PANEL_WIDTH], Qt.Orientation.Horizontal)
        dock3d.visibilityChanged.connect(self._after)

    def _before(self) -> None:
        if not self._window.isVisible():
            return  # a kept layout comes with its own widths
        self._sizes = True
        self._width = self._dock.width()
        if self._dock3d.isVisible() and not self._dock3d.isFloating():
            self._width_3d = self._dock3d.width()

    def _after(self, visible: bool) -> None:
        if not self._sizes:
            return
        self._sizes = False
        widths: dict[QDockWidget, int] = {self._dock: self._width}
        if visible and not self._dock3d.isFloating():
            widths = {self._dock3d: self._width_3d, **widths}
        self._window.resizeDocks(list(widths), list(widths.values()), Qt.Orientation.Horizontal)


class Panes:
    """The parts of the window that F6 goes through, in the order in which they are read.

    Parameters
    ----------
    panes : callable
        Gives them; those that are not visible or not enabled are passed over.
    """

    def __init__(self, panes: Callable[[], Sequence[QWidget]]) -> None:
        self._panes = panes
        self._last: dict[QWidget, QWidget] = {}

    def next(self, focused: QWidget | None, back: bool = False) -> None:
        """Give the keyboard to the pane after that of the focused widget.

        A pane that had the keyboard before gets it where it was, another in its first list if it has one.
        """
        panes = [one for one in self._panes() if one.isVisible() and one.isEnabled() and _stops(one)]
        if not panes:
            return
        held = [place for place, one in enumerate(panes) if focused and _holds(one, focused)]
        if held and focused is not None:
            self._last[panes[held[0]]] = focused
        step = -1 if back else 1
        pane = panes[(held[0] + step) % len(panes) if held else 0]
        stops = _stops(pane)
        last = self._last.get(pane)
        lists = [one for one in stops if isinstance(one, QAbstractItemView)]
        chosen = last if last in stops else (*lists, *stops)[0]
        pane.window().activateWindow()
        chosen.setFocus(Qt.FocusReason.ShortcutFocusReason)


def _holds(pane: QWidget, focused: QWidget) -> bool:
    return pane is focused or pane.isAncestorOf(focused)


def _stops(pane: QWidget) -> list[QWidget]:
    """What Tab stops at in a pane, from its start on."""
    return [
        one
        for one in (pane, *_in_tab_order(pane))
        if one.focusPolicy() & Qt.FocusPolicy.TabFocus and one.isVisible() and one.isEnabled()
    ]


def _in_tab_order(pane: QWidget) -> list[QWidget]:
    found: list[QWidget] = []
    one = pane.nextInFocusChain()
    while one is not None and one is not pane:
        if pane.isAncestorOf(one):
            found.append(one)
        one = one.nextInFocusChain()
    return found
