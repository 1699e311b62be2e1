"""The cells of the measurement table, and how they are drawn. Must not know where rows come from."""

from __future__ import annotations

import math
import uuid
from typing import Any

import numpy as np
from PySide6.QtCore import QAbstractTableModel, QItemSelectionModel, QModelIndex, QPersistentModelIndex, Qt
from PySide6.QtCore import Signal as QtSignal
from PySide6.QtGui import QColor, QFont, QKeyEvent, QKeySequence
from PySide6.QtWidgets import QAbstractItemView, QFrame, QHeaderView, QTableView, QWidget

from samdesk.app.measuring import TEXTS, Sheet
from samdesk.app.measuring.sheet import CLASS, IMAGE, NAME, OBJECT_ID, SHORT_ID
from samdesk.domain.columns import DEFAULT_COLOR
from samdesk.domain.columns.ragged import Rows
from samdesk.ui import theme
from samdesk.ui.cells import RowCells

LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
NO_INDEX = QModelIndex()
STYLE = (
    "QTableView { border: 0; outline: 0; }"
    "QTableView::item { padding: 0 8px; }"
    "QHeaderView { background: palette(window); border: 0; }"
    "QHeaderView::section { background: palette(window); border: 0; padding: 5px 9px; }"
    "QHeaderView::up-arrow, QHeaderView::down-arrow { image: none; width: 0; height: 0; }"
)
"""The arrow of the sorted column stands in its title: Qt would draw it over the title's end."""

WIDTHS = {IMAGE: 130, OBJECT_ID: 92, NAME: 100, CLASS: 146}
"""Of the columns of texts at first, logical pixels."""

_SAMPLED = 1000
"""So many values of a column decide how many digits it shows."""


def number_text(value: float, decimals: int) -> str:
    """A number for reading; empty when there is none."""
    if math.isnan(value):
        return ""
    return f"{value:,.{decimals}f}" if abs(value) < 1e15 else f"{value:.6g}"


def decimals_for(values: Any) -> int:
    """How many decimals show four or so digits of these numbers; none for whole numbers."""
    known = values[:: max(1, len(values) // _SAMPLED)]
    known = np.abs(known[np.isfinite(known)])
    if not len(known) or (known == np.rint(known)).all():
        return 0
    return int(np.clip(3 - math.floor(math.log10(max(float(np.median(known)), 1e-6))), 1, 4))


class MeasurementModel(QAbstractTableModel):
    """Rows of a sheet, in any order; a cell is made when it is looked at."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.sheet = Sheet()
        self.rows: Rows = np.empty(0, np.int64)
        self.titles: tuple[str, ...] = ()
        self._sorted = ("", False)
        self._decimals: dict[str, int] = {}
        self._places: Rows | None = None

    def show_rows(self, sheet: Sheet, rows: Rows, titles: tuple[str, ...]) -> None:
        """Show these rows and columns of a sheet."""
        alike = len(rows) == len(self.rows) and titles == self.titles
        if not alike:
            self.beginResetModel()
        self.sheet, self.rows, self.titles = sheet, rows, titles
        self._decimals, self._places = {}, None
        if not alike:
            self.endResetModel()
        elif len(rows):
            self.dataChanged.emit(self.index(0, 0), self.index(len(rows) - 1, len(titles) - 1))

    def show_sorted(self, title: str, backwards: bool) -> None:
        """Mark the column by which the rows are sorted."""
        if (title, backwards) != self._sorted:
            self._sorted = (title, backwards)
            self.headerDataChanged.emit(Qt.Orientation.Horizontal, 0, max(0, len(self.titles) - 1))

    def _heading(self, title: str) -> str:
        by, backwards = self._sorted
        if title != by:
            return title
        arrow = "▾" if backwards else "▴"
        return f"{title} {arrow}" if title in TEXTS else f"{arrow} {title}"

    def id_at(self, place: int) -> uuid.UUID:
        return self.sheet.table.id(int(self.rows[place]))

    def places_of(self, rows: Rows) -> Rows:
        """Where these rows of the sheet stand, ascending; those that are not shown are left out."""
        if len(rows) == len(self.sheet):
            return np.arange(len(self.rows))
        if self._places is None:
            self._places = np.full(len(self.sheet), -1, np.int64)
            self._places[self.rows] = np.arange(len(self.rows))
        places = self._places[rows]
        return np.sort(places[places >= 0])

    def decimals(self, title: str) -> int:
        if title not in self._decimals:
            self._decimals[title] = decimals_for(self.sheet.numbers(title))
        return self._decimals[title]

    # Qt's own

    def rowCount(self, parent: QModelIndex | QPersistentModelIndex = NO_INDEX) -> int:
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: QModelIndex | QPersistentModelIndex = NO_INDEX) -> int:
        return 0 if parent.isValid() else len(self.titles)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        if orientation is Qt.Orientation.Horizontal and section < len(self.titles):
            title = self.titles[section]
            if role == Qt.ItemDataRole.DisplayRole:
                return self._heading(title)
            if role == Qt.ItemDataRole.ToolTipRole:
                return f"{title}\nClick to sort"
            if role == Qt.ItemDataRole.TextAlignmentRole:
                return LEFT if title in TEXTS else RIGHT
        return None

    def data(self, index: Any, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        title, row = self.titles[index.column()], int(self.rows[index.row()])
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return self._text(title, row)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return LEFT if title in TEXTS else RIGHT
        if role == Qt.ItemDataRole.DecorationRole and title == CLASS:
            return theme.swatch(self._color(row))
        if role == Qt.ItemDataRole.FontRole and title == OBJECT_ID:
            font = QFont("monospace")
            font.setStyleHint(QFont.StyleHint.Monospace)
            return font
        if role == Qt.ItemDataRole.ForegroundRole and title in (IMAGE, OBJECT_ID):
            return QColor(theme.colors()["muted"])
        if role == Qt.ItemDataRole.ToolTipRole and title in TEXTS:
            return self.sheet.text(title, row)
        return None

    def _text(self, title: str, row: int) -> str:
        if title not in TEXTS:
            value = float(self.sheet.numbers(title)[row])
            if math.isnan(value) and title in self.sheet.pending:
                return "…"
            return number_text(value, self.decimals(title))
        text = self.sheet.text(title, row)
        if title == CLASS:
            return text or "Unclassified"
        return text[:SHORT_ID] if title == OBJECT_ID else text

    def _color(self, row: int) -> tuple[int, int, int]:
        own = self.sheet.table.attributes.get(row)
        number = int(self.sheet.table.class_id[row])
        of_class = self.sheet.table.classes[number - 1].color if number else DEFAULT_COLOR
        return (own.color if own else None) or of_class


class MeasurementView(QTableView):
    """The table; rows can be chosen, columns resized.

    Attributes
    ----------
    copied : Signal()
        The user wants to copy rows.
    """

    copied = QtSignal()

    def __init__(self, model: MeasurementModel) -> None:
        super().__init__()
        self.setModel(model)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setShowGrid(False)
        self.setAlternatingRowColors(True)
        self.setTabKeyNavigation(False)
        self.setWordWrap(False)
        self.setCornerButtonEnabled(False)
        self.setCornerWidget(QWidget())  # else the style frames the empty corner
        self.setIconSize(theme.SWATCH)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setItemDelegate(RowCells(self))
        self.setStyleSheet(STYLE)
        self.setAccessibleName("Measurements")
        self.verticalHeader().hide()
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + 8)
        header = self.horizontalHeader()
        # with that of the table it would look at every row to say whether a column is selected
        header.setSelectionModel(QItemSelectionModel(model, header))
        header.setHighlightSections(False)
        header.setSectionsClickable(True)
        header.setSortIndicatorShown(True)
        header.setSortIndicatorClearable(True)
        header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        header.setMinimumSectionSize(56)

    def fit_columns(self, titles: tuple[str, ...], known: dict[str, int]) -> None:
        """Give columns the width that was chosen, or one that their title needs."""
        measure = self.fontMetrics().horizontalAdvance
        for column, title in enumerate(titles):
            width = known.get(title) or WIDTHS.get(title) or max(measure(f"▴ {title}") + 26, 84)
            self.setColumnWidth(column, width)

    # Qt's own

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.matches(QKeySequence.StandardKey.Copy):
            self.copied.emit()  # Qt would copy one cell
        else:
            super().keyPressEvent(event)
