"""`Field`, a line to type in, and `Number`: their keys are their own. Must not know what is typed."""

from __future__ import annotations

from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QLineEdit, QSpinBox

OWN = (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Escape)
"""Keys that a plain line leaves to the shortcuts of its window."""


class Field(QLineEdit):
    """Enter and Esc mean here what they mean in a line, and not what they mean in the image."""

    def event(self, event: QEvent) -> bool:
        return _is_kept(event) or super().event(event)


class Number(QSpinBox):
    """As `Field`, for a whole number."""

    def event(self, event: QEvent) -> bool:
        return _is_kept(event) or super().event(event)


def _is_kept(event: QEvent) -> bool:
    """Whether a key would go to a shortcut of the window and is kept from it."""
    ours = isinstance(event, QKeyEvent) and Qt.Key(event.key()) in OWN and not event.modifiers()
    if event.type() != QEvent.Type.ShortcutOverride or not ours:
        return False
    event.accept()
    return True
