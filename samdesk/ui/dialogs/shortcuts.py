"""The shortcuts page and the about box, made from the command table.

Must not know what the commands do.
"""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication, QKeySequence
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QHeaderView,
    QLabel,
    QLineEdit,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

import samdesk
from samdesk.app.commands import COMMANDS, MENUS, POINTER_HELP, shortcut_table
from samdesk.ui import theme
from samdesk.ui.dialogs.book import Window

from .palette import matches

POINTER_GROUP = "Mouse"


class Shortcuts(QDialog):
    """A searchable table of keys and mouse gestures, menu by menu."""

    def __init__(self, parent: QWidget | None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keyboard and Mouse")
        self.resize(600, 660)
        self.search = QLineEdit()
        self.search.setPlaceholderText("Search")
        self.search.setAccessibleName("Search keys and commands")
        self.search.setClearButtonEnabled(True)
        self.search.textChanged.connect(self._filter)
        self.view = QTreeWidget()
        self.view.setAccessibleName("Keys and mouse gestures")
        self.view.setColumnCount(2)
        self.view.setHeaderLabels(["What it does", "Keys or mouse"])
        self.view.setRootIsDecorated(False)
        self.view.setIndentation(14)
        self.view.header().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.view.header().setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        self.view.header().setStretchLastSection(False)
        self._fill()
        buttons = theme.close_button(self)
        copy = QPushButton("Copy All")
        copy.setAutoDefault(False)
        copy.setToolTip("Copy the complete table as text, to print it or keep it")
        copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(shortcut_table()))
        buttons.addButton(copy, QDialogButtonBox.ButtonRole.ActionRole)
        layout = QVBoxLayout(self)
        for one in (self.search, self.view, buttons):
            layout.addWidget(one)

    def _fill(self) -> None:
        native = QKeySequence.SequenceFormat.NativeText
        groups: dict[str, list[tuple[str, str, str]]] = {menu: [] for menu in MENUS}
        for command in COMMANDS.values():
            if command.keys:
                keys = ", ".join(QKeySequence(key).toString(native) for key in command.keys)
                row = (command.title.rstrip("…"), keys, command.tip)
                groups[command.menu.partition("/")[0]].append(row)
        groups[POINTER_GROUP] = [(does, gesture, "") for gesture, does in POINTER_HELP]
        heading = self.font()
        heading.setBold(True)
        for title, rows in groups.items():
            if not rows:
                continue
            group = QTreeWidgetItem([title])
            group.setFont(0, heading)
            group.setFlags(Qt.ItemFlag.ItemIsEnabled)
            self.view.addTopLevelItem(group)
            for does, keys, tip in rows:
                item = QTreeWidgetItem([does, keys])
                item.setToolTip(0, tip)
                group.addChild(item)
        self.view.expandAll()

    def _filter(self, query: str) -> None:
        for number in range(self.view.topLevelItemCount()):
            group = self.view.topLevelItem(number)
            assert group is not None
            found = False
            for row in range(group.childCount()):
                item = group.child(row)
                assert item is not None
                fits = matches(query, f"{item.text(0)} {item.text(1)} {group.text(0)}")
                item.setHidden(not fits)
                found = found or fits
            group.setHidden(not found)


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
