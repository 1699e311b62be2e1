"""The rows of the Weights dialog and how they are drawn. Must not know what can be done with them."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, QRectF, Qt
from PySide6.QtGui import QColor, QPainter
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QHeaderView,
    QStyle,
    QTableView,
    QWidget,
)

from samdesk.app.downloads import TYPE_TITLES, Downloads, Standing
from samdesk.ui import theme
from samdesk.ui.cells import RowCells, paint_progress
from samdesk.weights import Weight
from samdesk.weights.transfer import size_text

NAME, TYPE, SIZE, STATE, LICENCE = range(5)
TITLES = ("Name", "Type", "Size", "State", "Licence")
LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
NO_INDEX = QModelIndex()
BAR = 3.0
STYLE = (
    "QTableView { border: 0; outline: 0; }"
    "QTableView::item { padding: 0 8px; }"
    "QHeaderView { background: palette(window); border: 0; }"
    "QHeaderView::section { background: palette(window); border: 0; padding: 5px 11px; }"
)


class WeightsModel(QAbstractTableModel):
    """All weights in the order of the registry, and how each stands."""

    def __init__(self, downloads: Downloads, parent: QWidget) -> None:
        super().__init__(parent)
        self._downloads = downloads
        self._rows: list[tuple[Weight, Standing, int | None]] = []

    def reload(self) -> None:
        """Read the registry and the state of every file again."""
        rows = [self._row(weight) for weight in self._downloads.registry.weights]
        if [row[0].name for row in rows] == [row[0].name for row in self._rows]:
            self._rows = rows
            if rows:
                self.dataChanged.emit(self.index(0, NAME), self.index(len(rows) - 1, LICENCE))
            return
        self.beginResetModel()
        self._rows = rows
        self.endResetModel()

    def refresh(self, name: str) -> None:
        """Follow one weight."""
        weights = self._downloads.registry.weights
        if [weight.name for weight in weights] != [row[0].name for row in self._rows]:
            self.reload()
            return
        row = self.row_of(name)
        if row is not None:
            self._rows[row] = self._row(weights[row])
            self.dataChanged.emit(self.index(row, NAME), self.index(row, LICENCE))

    def _row(self, weight: Weight) -> tuple[Weight, Standing, int | None]:
        return weight, self._downloads.standing(weight), self._downloads.registry.size(weight)

    def row_of(self, name: str) -> int | None:
        return next((number for number, row in enumerate(self._rows) if row[0].name == name), None)

    def weight(self, row: int) -> Weight:
        return self._rows[row][0]

    def standing(self, row: int) -> Standing:
        return self._rows[row][1]

    # Qt's own

    def rowCount(self, parent: QModelIndex | QPersistentModelIndex = NO_INDEX) -> int:
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: QModelIndex | QPersistentModelIndex = NO_INDEX) -> int:
        return 0 if parent.isValid() else len(TITLES)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        if orientation is Qt.Orientation.Horizontal:
            if role == Qt.ItemDataRole.DisplayRole:
                return TITLES[section]
            if role == Qt.ItemDataRole.TextAlignmentRole:
                return RIGHT if section == SIZE else LEFT
        return None

    def data(self, index: Any, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        weight, standing, size = self._rows[index.row()]
        column = index.column()
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return self._text(weight, standing, size, column)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return RIGHT if column == SIZE else LEFT
        if role == Qt.ItemDataRole.ForegroundRole:
            return self._color(standing, column)
        if role == Qt.ItemDataRole.ToolTipRole:
            return {NAME: weight.about, STATE: standing.detail, TYPE: TYPE_TITLES.get(weight.type, "")}.get(
                column, ""
            )
        return None

    def _text(self, weight: Weight, standing: Standing, size: int | None, column: int) -> str:
        if column == SIZE:
            return size_text(size) if size else "?"
        return {
            NAME: weight.name,
            TYPE: weight.type or "?",
            STATE: standing.text,
            LICENCE: weight.licence or "?",
        }[column]

    def _color(self, standing: Standing, column: int) -> QColor | None:
        if column == STATE and standing.trouble:
            return QColor(theme.colors()["trouble"])
        quiet = column in (TYPE, SIZE, LICENCE) or (column == STATE and not standing.is_here)
        busy = column == STATE and standing.is_busy
        return QColor(theme.colors()["muted"]) if quiet and not busy else None


class _Cells(RowCells):
    """Draws rows alike in all columns, and a thin bar under the state of what is under way."""

    def paint(self, painter: QPainter, option: Any, index: Any) -> None:
        super().paint(painter, option, index)
        model = index.model()
        if index.column() != STATE or not isinstance(model, WeightsModel):
            return
        standing = model.standing(index.row())
        if not standing.is_busy or standing.fraction is None:
            return
        selected = bool(option.state & QStyle.StateFlag.State_Selected)
        bar = QRectF(option.rect).adjusted(11, 0, -11, 0)
        bar.setTop(bar.bottom() - BAR - 2)
        bar.setHeight(BAR)
        paint_progress(painter, bar, standing.fraction, selected)


class WeightsTable(QTableView):
    """The table; one row can be chosen."""

    def __init__(self, model: WeightsModel) -> None:
        super().__init__()
        self.setModel(model)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setShowGrid(False)
        self.setTabKeyNavigation(False)
        self.setWordWrap(False)
        self.setCornerButtonEnabled(False)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setItemDelegate(_Cells(self))
        self.setStyleSheet(STYLE)
        self.setAccessibleName("Weights")
        self.verticalHeader().hide()
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + 12)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setSectionsClickable(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        measure = self.fontMetrics().horizontalAdvance
        for column, widest in (
            (TYPE, "sam2_bp"),
            (SIZE, "99.9 MB"),
            (STATE, "100 %, 99.9 MB/s, 99 min left"),
            (LICENCE, "see the homepage"),
        ):
            header.resizeSection(column, measure(widest) + 28)
