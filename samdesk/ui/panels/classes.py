"""The class list: click sets the class of what comes next, double click gives it to the selection.

Must not know the canvas.
"""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from samdesk.app.workspace import Workspace
from samdesk.ui import theme

NAME_ROLE = Qt.ItemDataRole.UserRole
NO_COLOR = (200, 200, 205)


class ClassPanel(QWidget):
    """All classes with color and count, and a button that gives the current one to the selection."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._workspace = workspace
        heading = QLabel("<b>Classes</b>")
        self.give = QPushButton("Set Selected")
        self.give.setToolTip("Give this class to the selected annotations (double click does the same)")
        self.give.clicked.connect(self._give)
        self.view = QListWidget()
        self.view.setIconSize(theme.SWATCH)
        self.view.setAccessibleName("Classes")
        self.view.setUniformItemSizes(True)
        self.view.currentItemChanged.connect(self._chosen)
        self.view.itemDoubleClicked.connect(self._give)
        top = QHBoxLayout()
        top.setContentsMargins(10, 8, 10, 4)
        top.addWidget(heading)
        top.addStretch()
        top.addWidget(self.give)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(top)
        layout.addWidget(self.view)
        self.reload()

    def reload(self) -> None:
        """Follow the document's classes and counts."""
        counts = self._workspace.document.counts()
        self.view.blockSignals(True)
        self.view.clear()
        self._add("No class", None, NO_COLOR, counts.get(None, 0))
        for one in self._workspace.document.classes:
            self._add(one.name, one.name, one.color, counts.get(one.name, 0))
        self.view.blockSignals(False)
        self.show_state()

    def show_state(self) -> None:
        """Follow the active class and the selection."""
        self.view.blockSignals(True)
        for row in range(self.view.count()):
            if self.view.item(row).data(NAME_ROLE) == self._workspace.active_class:
                self.view.setCurrentRow(row)
        self.view.blockSignals(False)
        self.give.setEnabled(bool(self._workspace.selection.ids) and self._workspace.editable)

    def _add(self, title: str, name: str | None, color: tuple[int, int, int], count: int) -> None:
        item = QListWidgetItem(theme.swatch(color), f"{title}  ({count:,})" if count else title)
        item.setData(NAME_ROLE, name)
        self.view.addItem(item)

    def _chosen(self, item: QListWidgetItem | None, _previous: Any = None) -> None:
        if item is not None:
            self._workspace.choose_class(item.data(NAME_ROLE))

    def _give(self, *_: Any) -> None:
        self._workspace.set_class(self._workspace.active_class)
