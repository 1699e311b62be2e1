"""The annotation list: class color, name, area; its selection is the workspace's selection.

Must not know the canvas.
"""

from __future__ import annotations

import uuid
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import (
    QAbstractListModel,
    QItemSelection,
    QItemSelectionModel,
    QModelIndex,
    QPersistentModelIndex,
    QSize,
    Qt,
)
from PySide6.QtCore import Signal as QtSignal
from PySide6.QtGui import QColor, QPainter
from PySide6.QtWidgets import (
    QAbstractItemView,
    QLabel,
    QListView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from samdesk.app.workspace import Workspace
from samdesk.domain.columns import Annotation
from samdesk.sdk import area_text
from samdesk.ui import theme

AREA_ROLE = Qt.ItemDataRole.UserRole + 1
SELECTED_SHOWN = 200
"""With more selected than this the list does not mark each row: finding them would take too long."""


class AnnotationModel(QAbstractListModel):
    """The rows of the document in list order, made on demand."""

    def __init__(self, workspace: Workspace, parent: QWidget) -> None:
        super().__init__(parent)
        self._workspace = workspace
        self._ids: NDArray[np.uint8] = np.empty((0, 16), np.uint8)

    def reload(self) -> None:
        """Follow the document."""
        self.beginResetModel()
        self._ids = self._workspace.document.table().ids
        self.endResetModel()

    def id_at(self, row: int) -> uuid.UUID:
        return uuid.UUID(bytes=self._ids[row].tobytes())

    def row_of(self, identity: uuid.UUID) -> int | None:
        sought = np.frombuffer(identity.bytes, np.uint8)
        found = np.flatnonzero((self._ids == sought).all(axis=1))
        return int(found[0]) if len(found) else None

    def rowCount(self, parent: QModelIndex | QPersistentModelIndex = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self._ids)

    def data(self, index: Any, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        document = self._workspace.document
        identity = self.id_at(index.row())
        if identity not in document:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return _title(document.get(identity))
        if role == Qt.ItemDataRole.DecorationRole:
            one = document.get(identity)
            return theme.swatch(one.color or document.class_color(one.class_name))
        if role == AREA_ROLE:
            return area_text(document.get(identity).shape.area, self._workspace.pixel_size)
        if role == Qt.ItemDataRole.ToolTipRole:
            return _tooltip(document.get(identity))
        return None


class _Rows(QStyledItemDelegate):
    """Paints the area at the right, in the muted color."""

    def paint(self, painter: QPainter, option: Any, index: Any) -> None:
        super().paint(painter, option, index)
        selected = bool(option.state & QStyle.StateFlag.State_Selected)
        painter.save()
        painter.setPen(QColor(theme.colors()["on_accent" if selected else "muted"]))
        painter.drawText(
            option.rect.adjusted(0, 0, -8, 0),
            Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter,
            index.data(AREA_ROLE) or "",
        )
        painter.restore()

    def initStyleOption(self, option: Any, index: Any) -> None:
        super().initStyleOption(option, index)
        width = option.fontMetrics.horizontalAdvance(index.data(AREA_ROLE) or "") + 16
        space = option.rect.width() - width - 28
        option.text = option.fontMetrics.elidedText(option.text, Qt.TextElideMode.ElideRight, max(space, 20))

    def sizeHint(self, option: QStyleOptionViewItem, index: Any) -> QSize:
        return QSize(80, option.fontMetrics.height() + 10)


class AnnotationPanel(QWidget):
    """The list with its heading.

    Attributes
    ----------
    activated : Signal()
        A row was double-clicked: the user wants to see it.
    """

    activated = QtSignal()

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._workspace = workspace
        self._syncing = False
        self.heading = QLabel()
        self.heading.setContentsMargins(10, 8, 10, 4)
        self.view = QListView()
        self.view.setIconSize(theme.SWATCH)
        self.view.setAccessibleName("Annotations")
        self.view.setUniformItemSizes(True)
        self.view.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.model = AnnotationModel(workspace, self)
        self.view.setModel(self.model)
        self.view.setItemDelegate(_Rows(self.view))
        self.view.selectionModel().selectionChanged.connect(self._chosen)
        self.view.doubleClicked.connect(lambda _: self.activated.emit())
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.heading)
        layout.addWidget(self.view)
        self.reload()

    def reload(self) -> None:
        """Follow the document and the selection."""
        self._syncing = True
        self.model.reload()
        self._syncing = False
        count = len(self._workspace.document)
        self.heading.setText(f"<b>Annotations</b>&nbsp;&nbsp;{count:,}" if count else "<b>Annotations</b>")
        self.show_selection()

    def show_selection(self) -> None:
        """Mark the rows of the workspace's selection and scroll to the last of them."""
        if self._syncing:
            return
        self._syncing = True
        ids = self._workspace.selection.ids
        rows = [] if len(ids) > SELECTED_SHOWN else [self.model.row_of(one) for one in ids]
        marked = QItemSelection()
        for row in rows:
            if row is not None:
                marked.select(self.model.index(row), self.model.index(row))
        self.view.selectionModel().select(marked, QItemSelectionModel.SelectionFlag.ClearAndSelect)
        if rows and rows[-1] is not None:
            self.view.scrollTo(self.model.index(rows[-1]))
        self._syncing = False

    def _chosen(self) -> None:
        if self._syncing:
            return
        self._syncing = True
        rows = sorted(index.row() for index in self.view.selectionModel().selectedIndexes())
        self._workspace.selection.set([self.model.id_at(row) for row in rows])
        self._syncing = False


def _title(one: Annotation) -> str:
    title = one.name or one.class_name or "Unclassified"
    return f"{title}  🔒" if one.locked else title


def _tooltip(one: Annotation) -> str:
    lines = [one.class_name or "Unclassified"]
    if one.provenance:
        score = one.provenance.get("score")
        lines.append(f"by {one.provenance.get('engine', '?')}" + (f", score {score:.2f}" if score else ""))
    return "\n".join(lines)
