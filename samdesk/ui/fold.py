"""A heading that folds away what is seldom needed. Must not know what that is."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QToolButton, QWidget

STYLE = (
    "QToolButton, QToolButton:checked { border: 0; background: transparent; padding: 3px 4px 3px 0; }"
    "QToolButton:hover, QToolButton:focus { color: palette(highlight); }"
)


class Fold(QToolButton):
    """Shows or hides the widget below it; folded at first."""

    def __init__(self, text: str, folded: QWidget) -> None:
        super().__init__()
        self._folded = folded
        self.setText(text)
        self.setCheckable(True)
        self.setAutoRaise(True)
        self.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.setIconSize(QSize(10, 10))
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setStyleSheet(STYLE)
        self.toggled.connect(self._turn)
        self._turn(False)

    def _turn(self, on: bool) -> None:
        self.setArrowType(Qt.ArrowType.DownArrow if on else Qt.ArrowType.RightArrow)
        self._folded.setVisible(on)
