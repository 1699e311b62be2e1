"""The review list: what a search found, to be ticked and kept in one step.

Must not know the canvas, nor how the candidates were found.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import (
    QAbstractTableModel,
    QEvent,
    QModelIndex,
    QPersistentModelIndex,
    QPointF,
    QRectF,
    Qt,
)
from PySide6.QtCore import Signal as QtSignal
from PySide6.QtGui import QColor, QKeyEvent, QPainter, QPen
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QStackedWidget,
    QStyle,
    QStyleOptionViewItem,
    QTableView,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from samdesk.app.describing import size_text
from samdesk.app.review import Column, Review, State
from samdesk.app.workspace import Workspace
from samdesk.ui import theme
from samdesk.ui.cells import RowCells

SCORE, AREA, NOTE = 0, 1, 2
TITLES = ("Score", "Size", "")
ALIGN = (
    Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter,
    Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter,
    Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter,
)
JUDGED = {Qt.Key.Key_A: State.KEPT, Qt.Key.Key_R: State.REJECTED}
NO_INDEX = QModelIndex()
CELL = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemNeverHasChildren
TICKED_CELL = CELL | Qt.ItemFlag.ItemIsUserCheckable
LEAST_ROWS = 6
"""The list keeps so much room, its heading included."""

TICK = 13.0
TICK_LINE = ((0.25, 0.52), (0.43, 0.70), (0.76, 0.30))
STYLE = (
    "QTableView::item { padding: 0 6px; }"
    "QHeaderView { background: palette(window); border: 0; }"
    "QHeaderView::section { background: palette(window); border: 0; padding: 3px 10px; }"
)


class ReviewModel(QAbstractTableModel):
    """What a review shows, best first or in the order of a column.

    Attributes
    ----------
    unscored : bool
        Nobody scored what is here: its names stand in the place of scores.
    """

    def __init__(self, workspace: Workspace, review: Review, parent: QWidget) -> None:
        super().__init__(parent)
        self._workspace = workspace
        self._review = review
        self._order: NDArray[np.int64] = np.empty(0, np.int64)
        self.unscored = False

    def reload(self) -> None:
        """Follow the review."""
        self.beginResetModel()
        self._order = self._review.listed()
        scores = self._review.scores
        self.unscored = bool(len(scores)) and bool(np.isnan(scores).all())
        self.endResetModel()

    def candidate(self, row: int) -> int:
        """The index in the review of what stands in a row."""
        return int(self._order[row])

    def row_of(self, index: int | None) -> int | None:
        found = np.flatnonzero(self._order == (-1 if index is None else index))
        return int(found[0]) if len(found) else None

    def marked(self, index: int) -> None:
        """One candidate is judged otherwise."""
        row = self.row_of(index)
        if row is not None:
            self.dataChanged.emit(self.index(row, SCORE), self.index(row, NOTE))

    # Qt's own

    def rowCount(self, parent: QModelIndex | QPersistentModelIndex = NO_INDEX) -> int:
        return 0 if parent.isValid() else len(self._order)

    def columnCount(self, parent: QModelIndex | QPersistentModelIndex = NO_INDEX) -> int:
        return 0 if parent.isValid() else len(TITLES)

    def flags(self, index: Any) -> Qt.ItemFlag:
        return TICKED_CELL if index.column() == SCORE else CELL

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        if orientation is Qt.Orientation.Horizontal:
            if role == Qt.ItemDataRole.DisplayRole:
                return "Class" if section == SCORE and self.unscored else TITLES[section]
            if role == Qt.ItemDataRole.TextAlignmentRole:
                return ALIGN[section]
        return None

    def data(self, index: Any, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        one = self.candidate(index.row())
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(one, index.column())
        if role == Qt.ItemDataRole.CheckStateRole and index.column() == SCORE:
            rejected = self._review.state(one) is State.REJECTED
            return Qt.CheckState.Unchecked if rejected else Qt.CheckState.Checked
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return ALIGN[index.column()]
        if role == Qt.ItemDataRole.ForegroundRole:
            muted = index.column() == NOTE or self._review.state(one) is State.REJECTED
            return QColor(theme.colors()["muted"]) if muted else None
        if role == Qt.ItemDataRole.ToolTipRole:
            return self._tip(one)
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{self._text(one, index.column())}, {self._review.state(one).name.lower()}"
        return None

    def setData(self, index: Any, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        if role != Qt.ItemDataRole.CheckStateRole:
            return False
        ticked = Qt.CheckState(value) is Qt.CheckState.Checked
        self._review.set(self.candidate(index.row()), State.KEPT if ticked else State.REJECTED)
        return True

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        if column != NOTE:
            self.layoutAboutToBeChanged.emit()
            before = [self.candidate(kept.row()) for kept in self.persistentIndexList()]
            old = self.persistentIndexList()
            by: Column = "area" if column == AREA else "score"
            self._review.list_by(by, order is Qt.SortOrder.DescendingOrder)
            self._order = self._review.listed()
            new = [self.index(self.row_of(one) or 0, k.column()) for one, k in zip(before, old, strict=True)]
            self.changePersistentIndexList(old, new)
            self.layoutChanged.emit()

    def _text(self, one: int, column: int) -> str:
        if column == SCORE:
            score = self._review.scores[one]
            if self.unscored:
                return self._review.note(one) or "Unclassified"
            return "–" if np.isnan(score) else f"{score:.0%}".replace("%", " %")
        if column == AREA:
            return size_text(self._review[one].shape, self._workspace.pixel_size)
        state = self._state(one)
        named = "" if self.unscored else self._review.note(one)
        return " · ".join(part for part in (state, named) if part)

    def _state(self, one: int) -> str:
        if self._review.is_there(one):
            return "exists"
        if self._review.replaces(one):
            return "replaces"
        return "cut" if self._review[one].at_edge else ""

    def _tip(self, one: int) -> str:
        """What there may not be room for, and what the state means."""
        told = ""
        if self._review.is_there(one):
            told = "One of your annotations has this outline already"
        elif self._review.replaces(one):
            told = "Kept, it takes the place of one of your annotations"
        elif self._review[one].at_edge:
            told = "The border of what was looked at cut it: it may go on beyond"
        return "\n".join(part for part in (self._review.note(one), told) if part)


class _Cells(RowCells):
    """Draws the rows alike in all columns, and the tick so that it can be seen on either background."""

    def paint(self, painter: QPainter, option: Any, index: Any) -> None:
        super().paint(painter, option, index)
        state = index.data(Qt.ItemDataRole.CheckStateRole)
        if state is None:
            return
        full = QStyleOptionViewItem(option)
        self.initStyleOption(full, index)
        style, part = full.widget.style(), QStyle.SubElement.SE_ItemViewItemCheckIndicator
        around = QRectF(style.subElementRect(part, full, full.widget))
        box = QRectF(0, 0, TICK, TICK)
        box.moveCenter(around.center())
        chosen = theme.colors()
        selected = bool(full.state & QStyle.StateFlag.State_Selected)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(around.adjusted(-1, -1, 1, 1), QColor(chosen["selected" if selected else "base"]))
        painter.setPen(QPen(QColor(chosen["on_accent" if selected else "muted"]), 1.0))
        painter.setBrush(QColor(chosen["base"]))
        painter.drawRoundedRect(box, 3, 3)
        if Qt.CheckState(state) is Qt.CheckState.Checked:
            pen = QPen(QColor(chosen["text"]), 1.8)
            pen.setCapStyle(Qt.PenCapStyle.RoundCap)
            painter.setPen(pen)
            x, y = box.left(), box.top()
            painter.drawPolyline([QPointF(x + dx * TICK, y + dy * TICK) for dx, dy in TICK_LINE])
        painter.restore()


class ReviewList(QTableView):
    """The rows; A keeps the current one and R rejects it, and both go on to the next.

    Attributes
    ----------
    judged : Signal(int, State)
        The row and what was said about it.
    toggled : Signal(int)
        The tick of this row is to be changed.
    left : Signal()
        The pointer is no more over a row.
    """

    judged = QtSignal(int, object)
    toggled = QtSignal(int)
    left = QtSignal()

    def __init__(self) -> None:
        super().__init__()
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setShowGrid(False)
        self.setTabKeyNavigation(False)
        self.setWordWrap(False)
        self.setCornerButtonEnabled(False)
        self.verticalHeader().hide()
        # all rows alike, so that none has to be asked for its height
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + 8)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setItemDelegate(_Cells(self))
        self.setStyleSheet(STYLE)
        self.setMouseTracking(True)
        self.setAccessibleName("Found candidates")
        self.setAccessibleDescription("A keeps the current one, R rejects it, Space changes its tick")

    def event(self, event: QEvent) -> bool:
        # the window has other uses for these keys
        if (
            isinstance(event, QKeyEvent)
            and event.type() is QEvent.Type.ShortcutOverride
            and event.key() in JUDGED
            and not event.modifiers()
        ):
            event.accept()
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key, row = Qt.Key(event.key()), self.currentIndex().row()
        if event.modifiers() or (key not in JUDGED and key != Qt.Key.Key_Space):
            super().keyPressEvent(event)
        elif row >= 0 and key in JUDGED:
            self.judged.emit(row, JUDGED[key])
        elif row >= 0:
            self.toggled.emit(row)

    def leaveEvent(self, event: QEvent) -> None:
        self.left.emit()
        super().leaveEvent(event)


class ReviewPanel(QWidget):
    """The list, how much is in it, and what to do with it.

    Attributes
    ----------
    looked_at : Signal(Bounds)
        A row became the current one: the user wants it on screen.
    activated : Signal(Bounds)
        A row was double-clicked: the user wants to see it closely.
    """

    looked_at = QtSignal(object)
    activated = QtSignal(object)

    def __init__(self, workspace: Workspace, review: Review) -> None:
        super().__init__()
        self._workspace = workspace
        self._review = review
        self._syncing = False
        self._build(workspace)
        review.changed.connect(self.reload)
        review.marked.connect(self._marked)
        review.pointed.connect(self._pointed)
        self.reload()

    def _build(self, workspace: Workspace) -> None:
        self.heading = QLabel()
        self.all = _small("All", "Tick all that is listed", self._review.keep_all)
        self.none = _small("None", "Tick nothing", self._review.reject_all)
        top = QHBoxLayout()
        top.setContentsMargins(10, 8, 6, 4)
        top.setSpacing(2)
        top.addWidget(self.heading, 1)
        top.addWidget(self.all)
        top.addWidget(self.none)
        self.model = ReviewModel(workspace, self._review, self)
        self.view = ReviewList()
        self.view.setModel(self.model)
        self._lay_out_columns()
        self.view.selectionModel().currentRowChanged.connect(self._chosen)
        self.view.entered.connect(self._entered)
        self.view.left.connect(self._left)
        self.view.judged.connect(self._judged)
        self.view.toggled.connect(self._toggled)
        self.view.doubleClicked.connect(
            lambda index: self.activated.emit(self._review.bounds(self.model.candidate(index.row())))
        )
        self.nothing = QLabel()
        self.nothing.setProperty("role", "muted")
        self.nothing.setWordWrap(True)
        self.nothing.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.nothing.setMargin(16)
        self.stack = QStackedWidget()
        self.stack.setMinimumHeight(LEAST_ROWS * self.view.verticalHeader().defaultSectionSize())
        self.stack.addWidget(self.nothing)
        self.stack.addWidget(self.view)
        self.keep = QPushButton("Keep")
        self.keep.setDefault(True)
        self.keep.clicked.connect(lambda: self._review.accept())
        self.drop = QPushButton("Drop")
        self.drop.setToolTip("Forget all of them; a search that runs is stopped")
        self.drop.clicked.connect(self._forget)
        foot = QHBoxLayout()
        foot.setContentsMargins(10, 8, 10, 10)
        foot.setSpacing(6)
        foot.addWidget(self.keep, 1)
        foot.addWidget(self.drop)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(top)
        layout.addWidget(self.stack, 1)
        layout.addLayout(foot)

    def _lay_out_columns(self) -> None:
        header = self.view.horizontalHeader()
        header.setStretchLastSection(True)
        header.setHighlightSections(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        measure = self.view.fontMetrics().horizontalAdvance
        header.resizeSection(SCORE, measure("100 %") + 48)
        header.resizeSection(AREA, measure("9,999,999 µm²") + 20)
        header.setSortIndicator(SCORE, Qt.SortOrder.DescendingOrder)
        self.view.setSortingEnabled(True)

    # What the review says

    def reload(self) -> None:
        """Follow the review; the current row and the place in the list stay."""
        self._syncing = True
        place = self.view.verticalScrollBar().value()
        self.model.reload()
        self._widen()
        self._show_current(scroll=False)
        self.view.verticalScrollBar().setValue(place)
        self._syncing = False
        self._count()

    def _widen(self) -> None:
        """Names take the room that is left, scores only what they need."""
        header, modes = self.view.horizontalHeader(), QHeaderView.ResizeMode
        mode = modes.Stretch if self.model.unscored else modes.Fixed
        if header.sectionResizeMode(SCORE) is not mode:
            measure = self.view.fontMetrics().horizontalAdvance
            header.setStretchLastSection(not self.model.unscored)
            header.setSectionResizeMode(SCORE, mode)
            if self.model.unscored:
                header.resizeSection(NOTE, measure("replaces") + 20)
                header.resizeSection(AREA, measure("999,999 µm²") + 20)
            else:
                header.resizeSection(AREA, measure("9,999,999 µm²") + 20)
                header.resizeSection(SCORE, measure("100 %") + 48)

    def _marked(self, index: int) -> None:
        self.model.marked(index)
        self._count()

    def _pointed(self) -> None:
        if not self._syncing:
            self._syncing = True
            self._show_current(scroll=True)
            self._syncing = False

    def _show_current(self, scroll: bool) -> None:
        row = self.model.row_of(self._review.current)
        index = self.model.index(row, SCORE) if row is not None else NO_INDEX
        if index != self.view.currentIndex().siblingAtColumn(SCORE):
            self.view.setCurrentIndex(index)
            if scroll and row is not None:
                self.view.scrollTo(index)

    def _count(self) -> None:
        review = self._review
        found, ticked = self.model.rowCount(), len(review.ticked())
        some = found > 0
        if some:
            self.heading.setText(f"<b>{found:,}</b> found, {ticked:,} ticked")
        else:
            self.heading.setText("<b>Found</b>")
            self.nothing.setText(self._why_empty())
        self.heading.setToolTip(review.title)
        self.stack.setCurrentWidget(self.view if some else self.nothing)
        self.keep.setText(f"Keep {ticked:,}" if ticked else "Keep")
        self.keep.setToolTip("Add what is ticked to the annotations, as one step  (Ctrl+Shift+Return)")
        self.keep.setEnabled(bool(ticked) and not review.busy)
        self.drop.setEnabled(bool(len(review)) or review.busy)
        self.all.setEnabled(some and ticked < found)
        self.none.setEnabled(ticked > 0)

    def _why_empty(self) -> str:
        review = self._review
        if review.busy:
            return ""
        if not review.title:
            return "What is found is listed here, to keep or to drop."
        if len(review):
            return f"{len(review):,} found, all with a lower score. Move the slider to see them."
        return "Nothing was found."

    # What the user does

    def _chosen(self, now: QModelIndex, _before: QModelIndex) -> None:
        if self._syncing or not now.isValid():
            return
        self._syncing = True
        self._review.current = self.model.candidate(now.row())
        self._syncing = False
        self.looked_at.emit(self._review.bounds(self._review.current))

    def _entered(self, index: QModelIndex) -> None:
        self._review.hovered = self.model.candidate(index.row())

    def _left(self) -> None:
        self._review.hovered = None

    def _forget(self) -> None:
        self._workspace.finding.stop()
        self._review.clear()

    def _toggled(self, row: int) -> None:
        one = self.model.candidate(row)
        rejected = self._review.state(one) is State.REJECTED
        self._review.set(one, State.KEPT if rejected else State.REJECTED)

    def _judged(self, row: int, state: State) -> None:
        self._review.current = self.model.candidate(row)
        now = self._review.judge(state)
        if now is not None:
            self.looked_at.emit(self._review.bounds(now))


def _small(text: str, tip: str, does: Any) -> QToolButton:
    button = QToolButton()
    button.setText(text)
    button.setToolTip(tip)
    button.setAutoRaise(True)
    button.clicked.connect(lambda: does())
    return button
