"""The command palette: type a few letters, press Enter.

Made from the window's actions; must not know what they do.
"""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QAction, QKeyEvent, QKeySequence
from PySide6.QtWidgets import (
    QDialog,
    QHeaderView,
    QLineEdit,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from samdesk.app.commands import COMMANDS
from samdesk.ui.dialogs.book import Window


def matches(query: str, title: str) -> bool:
    """Whether every word of the query begins a word of the title, or stands inside it."""
    title = title.lower()
    return all(word in title for word in query.lower().split())


class Palette(QDialog):
    """A list of commands under a search line; disabled ones are shown gray."""

    def __init__(self, parent: QWidget, actions: Sequence[QAction]) -> None:
        super().__init__(parent)
        self.setWindowTitle("Find a Command")
        self.setModal(True)
        self.resize(520, 420)
        self._actions = list(actions)
        self.search = QLineEdit()
        self.search.setPlaceholderText("Type to find a command")
        self.search.setClearButtonEnabled(True)
        self.search.textChanged.connect(self._filter)
        self.search.installEventFilter(self)
        self.view = QTreeWidget()
        self.view.setColumnCount(2)
        self.view.setHeaderHidden(True)
        self.view.setRootIsDecorated(False)
        self.view.setUniformRowHeights(True)
        self.view.header().setStretchLastSection(False)
        self.view.header().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.view.header().setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        self.view.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.view.itemClicked.connect(self._run)
        layout = QVBoxLayout(self)
        layout.addWidget(self.search)
        layout.addWidget(self.view)
        self._filter("")

    def _filter(self, query: str) -> None:
        self.view.clear()
        for action in self._actions:
            title = action.text().replace("&", "")
            if not matches(query, title):
                continue
            keys = action.shortcut().toString(QKeySequence.SequenceFormat.NativeText)
            item = QTreeWidgetItem([title, keys])
            item.setTextAlignment(1, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            item.setData(0, Qt.ItemDataRole.UserRole, action)
            if not action.isEnabled():
                item.setFlags(Qt.ItemFlag.NoItemFlags)
            self.view.addTopLevelItem(item)
        self._select_enabled(range(self.view.topLevelItemCount()))

    def _select_enabled(self, rows: Sequence[int]) -> None:
        for row in rows:
            item = self.view.topLevelItem(row)
            if item is not None and item.flags() & Qt.ItemFlag.ItemIsEnabled:
                self.view.setCurrentItem(item)
                return

    def _run(self, item: QTreeWidgetItem | None, _column: int = 0) -> None:
        if item is None or not item.flags() & Qt.ItemFlag.ItemIsEnabled:
            return
        action: QAction = item.data(0, Qt.ItemDataRole.UserRole)
        self.accept()
        action.trigger()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self.search and isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            current = self.view.currentItem()
            row = -1 if current is None else self.view.indexOfTopLevelItem(current)
            if event.key() == Qt.Key.Key_Down:
                self._select_enabled(range(row + 1, self.view.topLevelItemCount()))
                return True
            if event.key() == Qt.Key.Key_Up:
                self._select_enabled(range(row - 1, -1, -1))
                return True
            if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
                self._run(self.view.currentItem())
                return True
        return super().eventFilter(watched, event)


def make(window: Window, about: str) -> Palette:
    """The palette over all commands."""
    return Palette(window, [window.actions_[name] for name in COMMANDS])
