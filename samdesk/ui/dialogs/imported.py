"""The report of the last import or export: every line of it, to read, search, copy and save.

Must not know formats.
"""

from __future__ import annotations

from PySide6.QtCore import QAbstractListModel, QModelIndex, QPersistentModelIndex, Qt
from PySide6.QtGui import QFont, QGuiApplication, QIcon, QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QDialogButtonBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListView,
    QPushButton,
    QVBoxLayout,
)

from samdesk.app.exchange import Told
from samdesk.domain.tasks import Task
from samdesk.formats.atomic import replacing

from .book import Window

Index = QModelIndex | QPersistentModelIndex

WIDTH, HEIGHT = 640, 460
_MOST_COPIED = 100_000


def make(window: Window, about: str) -> QDialog:
    """The dialog with the last report."""
    return ReportDialog(window)


class _Lines(QAbstractListModel):
    """Lines of text; a title is a line that follows an empty one."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self._all = lines
        self._titles = {0} | {k + 1 for k, line in enumerate(lines) if not line}
        self._shown = list(range(len(lines)))

    def show_only(self, words: str) -> None:
        """Show the lines that contain a text, and the titles; without one all."""
        wanted = words.casefold()
        self.beginResetModel()
        self._shown = [
            k
            for k, line in enumerate(self._all)
            if not wanted or ((k in self._titles or wanted in line.casefold()) and line)
        ]
        self.endResetModel()

    def text(self, rows: list[int]) -> str:
        """These rows, a line each."""
        return "\n".join(self._all[self._shown[row]] for row in rows)

    def rowCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self._shown)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if not index.isValid():
            return None
        number = self._shown[index.row()]
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return self._all[number]
        if role == Qt.ItemDataRole.FontRole and number in self._titles:
            font = QFont()
            font.setBold(True)
            return font
        return None


class ReportDialog(QDialog):
    """What was repaired, what was left out, and what is to be known.

    Parameters
    ----------
    window : Window
    """

    def __init__(self, window: Window) -> None:
        super().__init__(window)
        self._window = window
        told = window.workspace.exchange.last
        self.setWindowTitle(told.title if told else "Import Report")
        self.resize(WIDTH, HEIGHT)
        self.lines = _Lines(_lines_of(told))
        self.view = QListView()
        self.view.setModel(self.lines)
        self.view.setAccessibleName("Report")
        self.view.setUniformItemSizes(True)
        self.view.setSpacing(1)
        self.view.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.view.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.search = QLineEdit()
        self.search.setPlaceholderText("Search in the report")
        self.search.setAccessibleName("Search in the report")
        self.search.setClearButtonEnabled(True)
        self.search.textChanged.connect(self.lines.show_only)
        where = QLabel(str(told.path) if told else "Nothing was imported or exported yet.")
        where.setWordWrap(True)
        where.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.copy_button = QPushButton("Copy")
        self.copy_button.setToolTip("Copy the selected lines, or all when none is selected")
        self.copy_button.clicked.connect(self.copy)
        self.save_button = QPushButton("Save as Text…")
        self.save_button.clicked.connect(self.save)
        for button in (self.copy_button, self.save_button):
            button.setAutoDefault(False)
        close = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        close.button(QDialogButtonBox.StandardButton.Close).setIcon(QIcon())
        close.rejected.connect(self.reject)
        below = QHBoxLayout()
        below.addWidget(self.copy_button)
        below.addWidget(self.save_button)
        below.addStretch()
        below.addWidget(close)
        layout = QVBoxLayout(self)
        layout.addWidget(where)
        layout.addWidget(self.search)
        layout.addWidget(self.view, 1)
        layout.addLayout(below)
        QShortcut(QKeySequence.StandardKey.Copy, self.view, self.copy).setContext(
            Qt.ShortcutContext.WidgetShortcut
        )
        self.view.setFocus()

    def copy(self) -> None:
        """Put the selected lines, or all that are shown, on the clipboard."""
        QGuiApplication.clipboard().setText(self.lines.text(self._chosen()[:_MOST_COPIED]))

    def save(self) -> None:
        """Write all that is shown into a text file, which the user names."""
        path = self._window.ask.save_file("Save the report", "report.txt", "Text (*.txt)")
        if path is None:
            return
        text = self.lines.text(list(range(self.lines.rowCount())))

        def write(task: Task) -> None:
            with replacing(path) as fresh:
                fresh.write_text(f"{text}\n", "utf-8")

        self._window.workspace.jobs.lane("io").submit(write, title=f"Saving {path.name}")

    def _chosen(self) -> list[int]:
        rows = sorted(index.row() for index in self.view.selectionModel().selectedRows())
        return rows or list(range(self.lines.rowCount()))


def _lines_of(told: Told | None) -> list[str]:
    return list(told.report.full()) if told else []
