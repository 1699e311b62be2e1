"""The annotation list: class color, name, area; its selection is the workspace's selection.

Which rows there are, and in which order, is decided in `samdesk.app.listing`. Must not know the
canvas.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import (
    QAbstractListModel,
    QEvent,
    QItemSelection,
    QItemSelectionModel,
    QModelIndex,
    QPersistentModelIndex,
    QPoint,
    QRect,
    QSize,
    Qt,
)
from PySide6.QtCore import Signal as QtSignal
from PySide6.QtGui import QAction, QActionGroup, QColor, QKeyEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QMenu,
    QStyle,
    QStyledItemDelegate,
    QTableView,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from samdesk.app.describing import size_text
from samdesk.app.listing import Change, Listing, Sort, runs
from samdesk.app.workspace import Workspace
from samdesk.domain.columns import Annotation, Color, IdColumn
from samdesk.ui import theme
from samdesk.ui.cells import paint_back, tinted
from samdesk.ui.fields import Field

AREA_ROLE = Qt.ItemDataRole.UserRole + 1
ROW_ROLE = Qt.ItemDataRole.UserRole + 2

MARKED = 2000
"""With more selected than this (but not all) rows are marked one by one when they are painted:
finding them all would take too long."""

SORT_TITLES: dict[Sort, str] = {"order": "Order Made", "class": "Class", "name": "Name", "area": "Area"}

LISTED = {"all": "All Classes", "visible": "Visible Classes", "active": "Active Class"}

_EDGE = 8
_LOCK = 13
_KEPT_ROWS = 500
_BLOCK = 64


@dataclass(frozen=True, slots=True)
class Row:
    """What a row says.

    Attributes
    ----------
    title : str
        The name; without one the class.
    beside : str
        The class, of what has a name.
    area : str
        Of a line its length, of points their number.
    color : (r, g, b)
    locked : bool
    tip : str
    """

    title: str
    beside: str
    area: str
    color: Color
    locked: bool
    tip: str


class AnnotationModel(QAbstractListModel):
    """The rows of the listing, made on demand.

    Attributes
    ----------
    is_changing : bool
        Whether rows come and go just now: what the view deselects then, the user did not.
    """

    def __init__(self, workspace: Workspace, parent: QWidget) -> None:
        super().__init__(parent)
        self._workspace = workspace
        self.listing = Listing(workspace.jobs, workspace.document)
        self._shown = self.listing.shown
        self._rows: dict[int, Row | None] = {}
        self._marks: dict[int, bool] | None = None
        self.is_changing = False
        self.listing.changed.connect(self._follow)

    def _follow(self, change: Change) -> None:
        self.is_changing = True
        try:
            self._take_over(change)
        finally:
            self.is_changing = False

    def _take_over(self, change: Change) -> None:
        self._rows.clear()
        if self._marks:
            self._marks.clear()
        if change.whole:
            self.beginResetModel()
            self._shown = self.listing.shown
            self.endResetModel()
            return
        nothing = QModelIndex()
        for first, last in reversed(change.removed):
            self.beginRemoveRows(nothing, first, last)
            self._shown = np.delete(self._shown, slice(first, last + 1))
            self.endRemoveRows()
        for first, last in change.added:
            self.beginInsertRows(nothing, first, last)
            come = self.listing.shown[first : last + 1]
            self._shown = np.insert(self._shown, first, come)
            self.endInsertRows()
        self._shown = self.listing.shown
        for row in change.changed:
            self.dataChanged.emit(self.index(row), self.index(row))

    def refresh(self) -> None:
        """Say the rows anew: colors of classes may have changed."""
        self._rows.clear()

    def mark_each(self, each: bool) -> None:
        """Whether rows are looked up in the selection one by one."""
        self._marks = {} if each else None

    def is_marked(self, row: int) -> bool:
        """Whether a row is selected, where the view does not know it."""
        if self._marks is None:
            return False
        if row not in self._marks:  # looked up together with the rows around it
            first = row - row % _BLOCK
            ids = self.listing.ids_of_slots(self._shown[first : first + _BLOCK])
            self._marks.update(enumerate(self._workspace.selection.ids.holds(ids).tolist(), first))
        return self._marks[row]

    def id_at(self, row: int) -> uuid.UUID:
        return IdColumn(self.listing.ids_of_slots(self._shown[row : row + 1]))[0]

    def row_of(self, identity: uuid.UUID) -> int | None:
        rows = self.listing.rows_of(IdColumn.of([identity]).column)
        return int(rows[0]) if len(rows) else None

    def rowCount(self, parent: QModelIndex | QPersistentModelIndex = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self._shown)

    def flags(self, index: QModelIndex | QPersistentModelIndex) -> Qt.ItemFlag:
        flags = super().flags(index)
        return flags | Qt.ItemFlag.ItemIsEditable if self._workspace.editable else flags

    def data(self, index: Any, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if role not in _ROLES:
            return None
        number = index.row()
        if role == Qt.ItemDataRole.EditRole:
            one = self._get(number)
            return one.name if one else ""
        if number not in self._rows:
            if len(self._rows) > _KEPT_ROWS:
                self._rows.clear()
            self._rows[number] = self._row(number)
        row = self._rows[number]
        return None if row is None else _ROLES[role](row)

    def setData(self, index: Any, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        one, name = self._get(index.row()), str(value).strip()
        if role != Qt.ItemDataRole.EditRole or one is None or name == one.name:
            return False
        edit = self._workspace.document.replacing([replace(one, name=name)], "Rename annotation")
        return self._workspace.do(edit)

    def _get(self, row: int) -> Annotation | None:
        try:
            return self._workspace.document.get(self.id_at(row))
        except KeyError:  # gone, while a large list is being arranged
            return None

    def _row(self, number: int) -> Row | None:
        one, document = self._get(number), self._workspace.document
        if one is None:
            return None
        size = size_text(one.shape, self._workspace.pixel_size)
        named = one.class_name or "Unclassified"
        color = one.color or document.class_color(one.class_name)
        return Row(one.name or named, named if one.name else "", size, color, one.locked, _tooltip(one))


_ROLES: dict[int, Callable[[Row], Any]] = {
    Qt.ItemDataRole.DisplayRole: lambda row: row.title,
    Qt.ItemDataRole.EditRole: lambda row: row.title,
    Qt.ItemDataRole.ToolTipRole: lambda row: row.tip,
    AREA_ROLE: lambda row: row.area,
    ROW_ROLE: lambda row: row,
}


class _Rows(QStyledItemDelegate):
    """Swatch, name and class; lock and area at the right, in the muted color."""

    def paint(self, painter: QPainter, option: Any, index: Any) -> None:
        row: Row | None = index.data(ROW_ROLE)
        if index.model().is_marked(index.row()):
            option.state |= QStyle.StateFlag.State_Selected
        painter.save()
        text = paint_back(painter, option)
        if row is not None:
            self._paint_row(painter, option, row, text)
        painter.restore()

    def _paint_row(self, painter: QPainter, option: Any, row: Row, text: QColor) -> None:
        selected = bool(option.state & QStyle.StateFlag.State_Selected)
        muted = text if selected else QColor(theme.colors()["muted"])
        rect, metrics, center = option.rect, option.fontMetrics, Qt.AlignmentFlag.AlignVCenter
        side = theme.SWATCH.width()
        place = QRect(rect.left() + _EDGE, rect.center().y() - side // 2 + 1, side, side)
        theme.swatch(row.color).paint(painter, place)
        painter.setPen(muted)
        wide = metrics.horizontalAdvance(row.area)
        right = rect.right() - _EDGE - wide
        painter.drawText(QRect(right, rect.top(), wide + 1, rect.height()), center, row.area)
        if row.locked:
            right -= _LOCK + 6
            lock = tinted("lock", muted.name(), _LOCK, painter.device().devicePixelRatioF())
            painter.drawPixmap(right, rect.center().y() - _LOCK // 2, lock)
        left = text_left(rect)
        room = right - 8 - left
        title = metrics.elidedText(row.title, Qt.TextElideMode.ElideRight, room)
        painter.setPen(text)
        painter.drawText(QRect(left, rect.top(), room, rect.height()), center, title)
        taken = metrics.horizontalAdvance(title) + 8
        if row.beside and room - taken > 24:
            beside = metrics.elidedText(row.beside, Qt.TextElideMode.ElideRight, room - taken)
            painter.setPen(muted)
            painter.drawText(QRect(left + taken, rect.top(), room - taken, rect.height()), center, beside)

    def createEditor(self, parent: QWidget, option: Any, index: Any) -> QWidget:
        editor = Field(parent)
        editor.setPlaceholderText(index.data() or "")
        editor.setAccessibleName("Name")
        return editor

    def updateEditorGeometry(self, editor: QWidget, option: Any, index: Any) -> None:
        editor.setGeometry(option.rect.adjusted(text_left(option.rect) - option.rect.left() - 5, 1, -4, -1))


def text_left(row: QRect) -> int:
    """Where the name of a row begins."""
    return row.left() + _EDGE + theme.SWATCH.width() + 9


class _View(QTableView):
    """A list of any length: other than a QListView it does not visit all rows to lay them out."""

    entered_row = QtSignal()

    def __init__(self, hint: Callable[[], str]) -> None:
        super().__init__()
        self._hint = hint
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setMouseTracking(True)
        self.setTabKeyNavigation(False)
        self.setCornerButtonEnabled(False)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        for header in (self.horizontalHeader(), self.verticalHeader()):
            header.hide()
            header.setHighlightSections(False)
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.verticalHeader().setMinimumSectionSize(1)
        self.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + 10)

    def keyboardSearch(self, search: str) -> None:
        """Do nothing: letters are shortcuts here, and a search would visit all rows."""

    def event(self, event: QEvent) -> bool:
        # else the shortcuts of the window would take the key
        if event.type() == QEvent.Type.ShortcutOverride and isinstance(event, QKeyEvent) and _is_enter(event):
            event.accept()
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if _is_enter(event) and self.state() != QAbstractItemView.State.EditingState:
            self.entered_row.emit()
        else:
            super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        hint = "" if self.model().rowCount() else self._hint()
        if hint:
            painter = QPainter(self.viewport())
            painter.setPen(QColor(theme.colors()["muted"]))
            room = self.viewport().rect().adjusted(20, 16, -20, -16)
            flags = Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop | Qt.TextFlag.TextWordWrap
            painter.drawText(room, flags, hint)
            painter.end()


def _is_enter(event: QKeyEvent) -> bool:
    plain = not event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
    return plain and event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)


class AnnotationPanel(QWidget):
    """The list with its heading, a line to search in, and what it is sorted by.

    Parameters
    ----------
    workspace : Workspace
    guard : callable
        Makes a slot whose errors are told to the user.

    Attributes
    ----------
    activated : Signal()
        A row was double-clicked, or Enter was pressed: the user wants to see it.
    menu_wanted : Signal()
        The context menu of what is selected is wanted, at the cursor.
    several_to_rename : Signal()
        Several are selected: they cannot be renamed in their rows.
    """

    activated = QtSignal()
    menu_wanted = QtSignal()
    several_to_rename = QtSignal()

    def __init__(
        self, workspace: Workspace, guard: Callable[[Callable[..., object]], Callable[..., None]]
    ) -> None:
        super().__init__()
        self._workspace = workspace
        self._guard = guard
        self._syncing = False
        self._listed = "all"
        self.heading = QLabel()
        self.search = Field()
        self.search.setPlaceholderText("Find by name, class or id")
        self.search.setAccessibleName("Find annotations")
        self.search.setClearButtonEnabled(True)
        self.search.textChanged.connect(guard(lambda text: self.model.listing.want(text=text.strip())))
        self.sort = QToolButton()
        self.sort.setAutoRaise(True)
        self.sort.setIconSize(QSize(16, 16))
        self.sort.setToolTip("Sort and filter")
        self.sort.setAccessibleName("Sort and filter")
        self.sort.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.sort.setStyleSheet("QToolButton::menu-indicator { image: none; }")
        self.view = _View(self._hint)
        self.view.setAccessibleName("Annotations")
        self.view.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.view.customContextMenuRequested.connect(guard(self._menu))
        self.model = AnnotationModel(workspace, self)
        self.view.setModel(self.model)
        self.view.setItemDelegate(_Rows(self.view))
        self.view.selectionModel().selectionChanged.connect(guard(lambda *_: self._chosen()))
        self.view.doubleClicked.connect(lambda _: self.activated.emit())
        self.view.entered_row.connect(self.activated.emit)
        self.model.listing.changed.connect(self._rows_changed)
        self._build_sort_menu()
        top = QHBoxLayout()
        top.setContentsMargins(10, 8, 6, 4)
        top.addWidget(self.heading)
        top.addStretch()
        top.addWidget(self.sort)
        searching = QHBoxLayout()
        searching.setContentsMargins(8, 0, 8, 6)
        searching.addWidget(self.search)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(top)
        layout.addLayout(searching)
        layout.addWidget(self.view)
        self.restyle()
        self.reload()

    def _build_sort_menu(self) -> None:
        menu = QMenu(self.sort)
        menu.addSection("Sort By")
        self.sorts = self._choice(menu, SORT_TITLES, lambda name: self.model.listing.want(sort=name))
        self.backwards = menu.addAction("Last First")
        self.backwards.setCheckable(True)
        self.backwards.toggled.connect(self._guard(lambda on: self.model.listing.want(backwards=bool(on))))
        menu.addSection("List")
        self.lists = self._choice(menu, LISTED, self._list)
        self.sort.setMenu(menu)

    def _choice(
        self, menu: QMenu, titles: dict[Any, str], chosen: Callable[[Any], object]
    ) -> dict[Any, QAction]:
        group, made = QActionGroup(menu), {}
        for name, title in titles.items():
            action = made[name] = menu.addAction(title)
            action.setCheckable(True)
            action.setChecked(name == next(iter(titles)))
            action.triggered.connect(self._guard(lambda _=False, name=name: chosen(name)))
            group.addAction(action)
        return made

    # Following

    def restyle(self) -> None:
        """Take the icons and colors of the present theme."""
        self.sort.setIcon(theme.icon("sort"))
        self._show_heading()

    def reload(self) -> None:
        """Follow another document."""
        self.search.blockSignals(True)
        self.search.clear()
        self.search.blockSignals(False)
        self.model.listing.set_document(self._workspace.document)
        self.show_wanted()

    def follow(self, edit: Any) -> None:
        """Follow a change of the document."""
        if edit.classes is not None:
            self.model.refresh()
            self.view.viewport().update()
        self.model.listing.follow(edit)
        self._show_heading()

    def show_wanted(self) -> None:
        """List the classes that are wanted: what is visible or active may have changed."""
        w, listed = self._workspace, self._listed
        self.model.listing.want(
            only=frozenset({w.active_class}) if listed == "active" else None,
            hidden=w.classes.hidden if listed == "visible" else frozenset(),
        )

    def _list(self, listed: str) -> None:
        self._listed = listed
        self.show_wanted()

    def _rows_changed(self, change: Change) -> None:
        self._show_heading()
        if change.whole or change.added:
            self.show_selection(scroll=change.whole)

    def _show_heading(self) -> None:
        count, listed = len(self._workspace.document), self.model.rowCount()
        muted = theme.colors()["muted"]
        of = f"{count:,}" if listed == count or self.model.listing.is_busy else f"{listed:,} of {count:,}"
        number = f"&nbsp;&nbsp;<span style='color: {muted}'>{of}</span>" if count else ""
        self.heading.setText(f"<b>Annotations</b>{number}")

    def _hint(self) -> str:
        if self.model.listing.is_busy:
            return "Making the list…"
        if len(self._workspace.document):
            return "Nothing here fits what is searched for."
        if self._workspace.image is None:
            return ""
        return "No annotations yet.\nClick an object in the image, and press Enter to keep its outline."

    def show_selection(self, scroll: bool = True) -> None:
        """Mark the rows of the workspace's selection, and scroll to the last of them."""
        if self._syncing:
            return
        self._syncing = True
        try:
            self._mark(scroll)
        finally:
            self._syncing = False

    def _mark(self, scroll: bool) -> None:
        ids, model = self._workspace.selection.ids, self.model
        each = MARKED < len(ids) < len(self._workspace.document)
        model.mark_each(each)
        rows = np.empty(0, np.int64) if each else model.listing.rows_of(ids.column)
        marked = QItemSelection()
        for first, last in runs(rows):
            marked.merge(
                QItemSelection(model.index(first), model.index(last)),
                QItemSelectionModel.SelectionFlag.Select,
            )
        self.view.selectionModel().select(marked, QItemSelectionModel.SelectionFlag.ClearAndSelect)
        if scroll and 0 < len(rows) <= MARKED:
            newest = model.row_of(ids[-1])
            if newest is not None:
                index = model.index(newest)
                self.view.selectionModel().setCurrentIndex(index, QItemSelectionModel.SelectionFlag.NoUpdate)
                self.view.scrollTo(index)
        self.view.viewport().update()

    # What the user does

    def _chosen(self) -> None:
        if self._syncing or self.model.is_changing:
            return
        self._syncing = True
        self.model.mark_each(False)
        ids, selection = self.model.listing.ids(self._rows()), self._workspace.selection
        if self.model.listing.is_busy:  # some of the rows may be gone
            selection.set(ids)
        else:
            selection.set_known(ids)
        self._syncing = False

    def _rows(self) -> NDArray[np.int64]:
        """The rows that are marked, in the order of the list."""
        marked = self.view.selectionModel().selection()
        spans = sorted((marked.at(k).top(), marked.at(k).bottom()) for k in range(marked.count()))
        return np.concatenate([np.empty(0, np.int64), *(np.arange(a, b + 1) for a, b in spans)])

    def _menu(self, at: QPoint) -> None:
        if len(self._workspace.selection):
            self.menu_wanted.emit()

    def rename(self) -> None:
        """Let the user type another name in the row of what is selected."""
        ids = self._workspace.selection.ids
        row = self.model.row_of(ids[0]) if len(ids) == 1 else None
        if row is None:
            self.several_to_rename.emit()
            return
        index = self.model.index(row)
        self.view.scrollTo(index)
        self.view.setFocus()
        self.view.edit(index)


def _tooltip(one: Annotation) -> str:
    lines = [one.class_name or "Unclassified"]
    if one.name:
        lines.insert(0, one.name)
    if one.provenance:
        score = one.provenance.get("score")
        lines.append(f"by {one.provenance.get('engine', '?')}" + (f", score {score:.2f}" if score else ""))
    return "\n".join(lines)
