"""The command palette: type a few letters, press Enter.

Made from the window's actions; must not know what they do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QColor, QKeyEvent, QKeySequence
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
from samdesk.app.commands.table import why
from samdesk.app.settings import Settings
from samdesk.ui import theme
from samdesk.ui.actions import Actions
from samdesk.ui.dialogs.book import Window

RECENT_SHOWN = 5
"""Commands chosen before that are on top while nothing is typed."""

BEGINS, WORD, INSIDE, INITIALS = range(4)
"""How well a word fits a title: its beginning, that of a word in it, a part, first letters of its words."""


def rank(query: str, title: str) -> int | None:
    """How well a query fits a title, less is better; None when a word of it does not fit.

    Every word of the query may stand anywhere in the title, or be the first letters of its words:
    "ztf" finds “Zoom to Fit”.
    """
    title = title.lower()
    words = title.replace("-", " ").split()
    initials = "".join(word[0] for word in words)
    total = 0
    for sought in query.lower().split():
        if title.startswith(sought):
            total += BEGINS
        elif any(word.startswith(sought) for word in words):
            total += WORD
        elif sought in title:
            total += INSIDE
        elif len(sought) > 1 and initials.startswith(sought):
            total += INITIALS
        else:
            return None
    return total


def matches(query: str, title: str) -> bool:
    """Whether every word of the query fits the title, see `rank`."""
    return rank(query, title) is not None


class Palette(QDialog):
    """A list of commands under a search line; gray ones say what they wait for.

    Parameters
    ----------
    parent : QWidget
    actions : Actions
    settings : Settings
        Remembers what was chosen.
    why : callable
        Says for the name of a condition why it is not met.
    """

    def __init__(
        self, parent: QWidget, actions: Actions, settings: Settings, why: Callable[[str], str]
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Find a Command")
        self.setModal(True)
        self.resize(660, 480)
        self._actions = actions
        self._settings = settings
        self._why = why
        self.search = QLineEdit()
        self.search.setPlaceholderText("Type to find a command")
        self.search.setAccessibleName("Find a command")
        self.search.setClearButtonEnabled(True)
        self.search.textChanged.connect(self._filter)
        self.search.installEventFilter(self)
        self.view = QTreeWidget()
        self.view.setColumnCount(3)
        self.view.setHeaderHidden(True)
        self.view.setAccessibleName("Commands")
        self.view.setRootIsDecorated(False)
        header = self.view.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column in (1, 2):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        self.view.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.view.itemClicked.connect(self._run)
        layout = QVBoxLayout(self)
        layout.addWidget(self.search)
        layout.addWidget(self.view)
        self._filter("")

    def _found(self, query: str) -> list[str]:
        """Ids of commands, best first."""
        recent = [name for name in self._settings["recent_commands"] if name in COMMANDS]
        if not query.strip():
            first = recent[:RECENT_SHOWN]
            return [*first, *(name for name in COMMANDS if name not in first)]
        ranked = []
        for place, name in enumerate(COMMANDS):
            fit = rank(query, self._title(name))
            if fit is not None:
                used = recent.index(name) if name in recent else len(recent)
                ranked.append((fit, used, place, name))
        return [name for *_, name in sorted(ranked)]

    def _title(self, name: str) -> str:
        return self._actions[name].text().replace("&", "")

    def _filter(self, query: str) -> None:
        self.view.clear()
        muted = QColor(theme.colors()["muted"])
        for name in self._found(query):
            action, command = self._actions[name], COMMANDS[name]
            keys = action.shortcut().toString(QKeySequence.SequenceFormat.NativeText)
            menu, reason = command.menu.partition("/")[0], self._why(command.when)
            item = QTreeWidgetItem([self._title(name), menu if action.isEnabled() else reason, keys])
            item.setTextAlignment(2, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            item.setData(0, Qt.ItemDataRole.UserRole, name)
            item.setForeground(1, muted)
            for column in range(3):
                item.setToolTip(column, action.toolTip())
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
        name: str = item.data(0, Qt.ItemDataRole.UserRole)
        self.accept()
        self._settings.remember_command(name)
        self._actions[name].trigger()

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
    return Palette(window, window.actions_, window.settings, lambda when: why(when, window.workspace))
