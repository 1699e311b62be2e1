"""The command palette: type a few letters, press Enter.

Made from the window's actions; must not know what they do.
"""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QAction, QKeyEvent, QKeySequence
from PySide6.QtWidgets import QDialog, QLineEdit, QListWidget, QListWidgetItem, QVBoxLayout, QWidget


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
        self.view = QListWidget()
        self.view.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.view.itemActivated.connect(self._run)
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
            item = QListWidgetItem(f"{title}\t{keys}" if keys else title)
            item.setData(Qt.ItemDataRole.UserRole, action)
            if not action.isEnabled():
                item.setFlags(Qt.ItemFlag.NoItemFlags)
            self.view.addItem(item)
        self._select_enabled(range(self.view.count()))

    def _select_enabled(self, rows: Sequence[int]) -> None:
        for row in rows:
            if self.view.item(row).flags() & Qt.ItemFlag.ItemIsEnabled:
                self.view.setCurrentRow(row)
                return

    def _run(self, item: QListWidgetItem | None) -> None:
        if item is None or not item.flags() & Qt.ItemFlag.ItemIsEnabled:
            return
        action: QAction = item.data(Qt.ItemDataRole.UserRole)
        self.accept()
        action.trigger()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self.search and isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            row = self.view.currentRow()
            if event.key() == Qt.Key.Key_Down:
                self._select_enabled(range(row + 1, self.view.count()))
                return True
            if event.key() == Qt.Key.Key_Up:
                self._select_enabled(range(row - 1, -1, -1))
                return True
            if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
                self._run(self.view.currentItem())
                return True
        return super().eventFilter(watched, event)
