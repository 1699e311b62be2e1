"""The shortcuts page and the about box, made from the command table.

Must not know what the commands do.
"""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import (
    QDialog,
    QHeaderView,
    QLabel,
    QLineEdit,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

import samdesk
from samdesk.app.commands import COMMANDS, POINTER_HELP
from samdesk.ui import theme
from samdesk.ui.dialogs.book import Window

from .palette import matches


class Shortcuts(QDialog):
    """A searchable table of keys and mouse gestures."""

    def __init__(self, parent: QWidget | None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keyboard and Mouse")
        self.resize(560, 620)
        search = QLineEdit()
        search.setPlaceholderText("Search")
        search.setClearButtonEnabled(True)
        search.textChanged.connect(self._filter)
        self.view = QTreeWidget()
        self.view.setColumnCount(2)
        self.view.setHeaderLabels(["What it does", "Keys or mouse"])
        self.view.setRootIsDecorated(False)
        self.view.header().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.view.header().setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        self.view.header().setStretchLastSection(False)
        for gesture, does in POINTER_HELP:
            self.view.addTopLevelItem(QTreeWidgetItem([does, gesture]))
        for command in COMMANDS.values():
            if command.keys:
                native = QKeySequence.SequenceFormat.NativeText
                keys = ", ".join(QKeySequence(key).toString(native) for key in command.keys)
                self.view.addTopLevelItem(QTreeWidgetItem([command.title.rstrip("…"), keys]))
        buttons = theme.close_button(self)
        layout = QVBoxLayout(self)
        for one in (search, self.view, buttons):
            layout.addWidget(one)

    def _filter(self, query: str) -> None:
        for row in range(self.view.topLevelItemCount()):
            item = self.view.topLevelItem(row)
            if item is not None:
                item.setHidden(not matches(query, f"{item.text(0)} {item.text(1)}"))


class About(QDialog):
    """What this is, and what it does not do with your data."""

    def __init__(self, parent: QWidget | None) -> None:
        super().__init__(parent)
        self.setWindowTitle("About samdesk")
        text = QLabel(
            f"<p style='font-size:16pt'><b>samdesk</b> {samdesk.__version__}</p>"
            "<p>Desktop annotation of large images.<br>Everything stays on this computer.</p>"
            "<p>Apache License 2.0</p>"
        )
        text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        text.setContentsMargins(12, 4, 60, 4)
        buttons = theme.close_button(self)
        layout = QVBoxLayout(self)
        layout.addWidget(text)
        layout.addWidget(buttons)


def make(window: Window, about: str) -> Shortcuts:
    """The table of keys."""
    return Shortcuts(window)


def make_about(window: Window, about: str) -> About:
    """The about box."""
    return About(window)
