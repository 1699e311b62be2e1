"""The snapshots of the open project: when each was made, how much it holds, and coming back to one.

Must not know how snapshots are made.
"""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QDialogButtonBox,
    QHeaderView,
    QLabel,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
)

from samdesk.app.snapshots import counted, when
from samdesk.formats.project import Snapshot
from samdesk.ui import theme
from samdesk.ui.dialogs.book import Window

TEXT = "Copies that samdesk made by itself. Restoring one is a step like any other: Undo takes it back."
NONE = "There is no snapshot yet. One is made before the first change of a session and every ten minutes."


class SnapshotsDialog(QDialog):
    """A list, newest first, and a button that restores the chosen one."""

    def __init__(self, window: Window) -> None:
        super().__init__(window)
        self.setWindowTitle("Restore a Snapshot")
        self.resize(460, 360)
        self._window = window
        self.text = QLabel(TEXT)
        self.text.setWordWrap(True)
        self.text.setProperty("role", "muted")
        self.view = QTreeWidget()
        self.view.setAccessibleName("Snapshots")
        self.view.setHeaderLabels(["Made", "Annotations"])
        self.view.setRootIsDecorated(False)
        self.view.setUniformRowHeights(True)
        self.view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.view.header().setStretchLastSection(False)
        self.view.header().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.view.header().setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        self.view.itemActivated.connect(lambda *_: self.restore())
        buttons = theme.close_button(self)
        self.button = buttons.addButton("Restore", QDialogButtonBox.ButtonRole.ActionRole)
        self.button.setDefault(True)
        self.button.clicked.connect(lambda: self.restore())
        layout = QVBoxLayout(self)
        layout.setSpacing(10)
        for one in (self.text, self.view, buttons):
            layout.addWidget(one)
        self.view.currentItemChanged.connect(lambda *_: self._refresh())
        self._refresh()
        self._listening = True
        self.finished.connect(self._stop)
        window.workspace.snapshots.list(self.show_snapshots)

    def show_snapshots(self, found: list[Snapshot]) -> None:
        """List these, newest first."""
        if not self._listening:
            return
        self.view.clear()
        for one in found:
            item = QTreeWidgetItem([when(one.time).capitalize(), f"{one.annotations:,}"])
            item.setTextAlignment(1, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            item.setData(0, Qt.ItemDataRole.UserRole, one)
            item.setToolTip(0, f"{one.path}\n{counted(one.annotations)}")
            self.view.addTopLevelItem(item)
        if not found:
            self.text.setText(NONE)
        else:
            self.view.setCurrentIndex(self.view.model().index(0, 0))
            self.view.setFocus()
        self._refresh()

    def restore(self) -> None:
        """Make the annotations what they were in the chosen snapshot."""
        item = self.view.currentItem()
        if item is not None and self._window.workspace.editable:
            chosen: Snapshot = item.data(0, Qt.ItemDataRole.UserRole)
            self.accept()
            self._window.workspace.snapshots.restore(chosen)

    def _refresh(self) -> None:
        self.button.setEnabled(self.view.currentItem() is not None and self._window.workspace.editable)

    def _stop(self) -> None:
        self._listening = False


def make(window: Window, about: str) -> SnapshotsDialog:
    """The list of snapshots."""
    return SnapshotsDialog(window)
