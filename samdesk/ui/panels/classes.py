"""The class list: click sets the class of what comes next, double click gives it to the selection.

Must not know the canvas.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6.QtCore import (
    QAbstractListModel,
    QEvent,
    QItemSelectionModel,
    QModelIndex,
    QPersistentModelIndex,
    QPoint,
    QRect,
    QRectF,
    QSize,
    Qt,
)
from PySide6.QtCore import Signal as QtSignal
from PySide6.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter
from PySide6.QtWidgets import (
    QAbstractItemView,
    QColorDialog,
    QHBoxLayout,
    QLabel,
    QListView,
    QMenu,
    QPushButton,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from samdesk.app.workspace import Workspace
from samdesk.ui import theme
from samdesk.ui.cells import paint_back, tinted
from samdesk.ui.fields import Field

NO_COLOR = (200, 200, 205)
"""The swatch of unclassified annotations."""

FILTER_FROM = 12
"""A line to search in appears with more classes than this."""

NAME_ROLE = Qt.ItemDataRole.UserRole
COLOR_ROLE = Qt.ItemDataRole.UserRole + 1
COUNT_ROLE = Qt.ItemDataRole.UserRole + 2
KEY_ROLE = Qt.ItemDataRole.UserRole + 3
HIDDEN_ROLE = Qt.ItemDataRole.UserRole + 4

_EDGE = 8
_KEY_WIDTH = 14
_EYE = 16
_DIM = 0.45
_RIM = 0.45
_SMALL = 0.82

KEYS = {
    Qt.Key.Key_Space: "toggle",
    Qt.Key.Key_T: "toggle",
    Qt.Key.Key_S: "show",
    Qt.Key.Key_H: "hide",
    Qt.Key.Key_Backspace: "remove",
    Qt.Key.Key_Delete: "remove",
    Qt.Key.Key_Return: "edit",
    Qt.Key.Key_Enter: "edit",
    Qt.Key.Key_F2: "edit",
}
"""What keys do in the list, as QuPath has them."""

MOVES = {Qt.Key.Key_Up: -1, Qt.Key.Key_Down: 1}
"""With Alt: the class moves up or down."""


class ClassModel(QAbstractListModel):
    """No class and all classes, with their counts."""

    def __init__(self, workspace: Workspace, parent: QWidget) -> None:
        super().__init__(parent)
        self._workspace = workspace
        self._names: list[str | None] = [None]
        self._counts: dict[str | None, int] = {}

    def follow(self) -> bool:
        """Take over classes and counts; True when rows came or went."""
        document = self._workspace.document
        names = [None, *(one.name for one in document.classes)]
        self._counts = dict(document.counts())
        if names == self._names:
            self.dataChanged.emit(self.index(0), self.index(len(names) - 1))
            return False
        self.beginResetModel()
        self._names = names
        self.endResetModel()
        return True

    def name_at(self, row: int) -> str | None:
        return self._names[row]

    def row_of(self, name: str | None) -> int | None:
        return self._names.index(name) if name in self._names else None

    def rowCount(self, parent: QModelIndex | QPersistentModelIndex = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self._names)

    def data(self, index: Any, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        name, classes = self._names[index.row()], self._workspace.classes
        if role == Qt.ItemDataRole.DisplayRole:
            return name or "No class"
        if role == NAME_ROLE:
            return name
        if role == COLOR_ROLE:
            return self._workspace.document.class_color(name) if name else NO_COLOR
        if role == COUNT_ROLE:
            return self._counts.get(name, 0)
        if role == KEY_ROLE:
            return classes.key_of(name)
        if role == HIDDEN_ROLE:
            return name in classes.hidden
        if role == Qt.ItemDataRole.ToolTipRole:
            return self._tip(name)
        if role == Qt.ItemDataRole.AccessibleTextRole:
            hidden = ", hidden" if name in classes.hidden else ""
            return f"{name or 'No class'}, {self._counts.get(name, 0)} annotations{hidden}"
        return None

    def _tip(self, name: str | None) -> str:
        key = self._workspace.classes.key_of(name)
        lines = [name or "No class"]
        if key:
            lines.append(f"{key} gives it to the selection, or to what comes next")
        if name and name.endswith("*"):
            lines.append("Ignored: never filled, and left out of sums")
        return "\n".join(lines)


class _Rows(QStyledItemDelegate):
    """Swatch and name; at the right, muted, count, key and the eye."""

    def paint(self, painter: QPainter, option: Any, index: Any) -> None:
        painter.save()
        text = paint_back(painter, option)
        selected = bool(option.state & QStyle.StateFlag.State_Selected)
        muted = text if selected else QColor(theme.colors()["muted"])
        hidden, rect = index.data(HIDDEN_ROLE), option.rect
        center = Qt.AlignmentFlag.AlignVCenter
        side = theme.SWATCH.width()
        place = QRect(rect.left() + _EDGE, rect.center().y() - side // 2 + 1, side, side)
        painter.setOpacity(_DIM if hidden else 1)
        theme.swatch(index.data(COLOR_ROLE)).paint(painter, place)
        painter.setOpacity(1)

        right = eye_rect(rect).left() - 4
        if hidden or selected or option.state & QStyle.StateFlag.State_MouseOver:
            ratio = painter.device().devicePixelRatioF()
            eye = tinted("eye-off" if hidden else "eye", muted.name(), _EYE, ratio)
            painter.drawPixmap(eye_rect(rect).topLeft(), eye)
        key = QRect(right - _KEY_WIDTH, rect.center().y() - _KEY_WIDTH // 2, _KEY_WIDTH, _KEY_WIDTH + 1)
        if index.data(KEY_ROLE):
            _paint_key(painter, key, index.data(KEY_ROLE), muted)
        painter.setPen(muted)
        count = f"{index.data(COUNT_ROLE):,}" if index.data(COUNT_ROLE) else ""
        room = option.fontMetrics.horizontalAdvance(count)
        counted = QRect(key.left() - 8 - room, rect.top(), room, rect.height())
        painter.drawText(counted, center | Qt.AlignmentFlag.AlignRight, count)
        left = place.right() + 9
        named = QRect(left, rect.top(), counted.left() - 6 - left, rect.height())
        painter.setPen(muted if hidden or index.data(NAME_ROLE) is None else text)
        name = option.fontMetrics.elidedText(index.data(), Qt.TextElideMode.ElideRight, named.width())
        painter.drawText(named, center, name)
        painter.restore()

    def sizeHint(self, option: QStyleOptionViewItem, index: Any) -> QSize:
        return QSize(120, option.fontMetrics.height() + 9)


def _paint_key(painter: QPainter, place: QRect, text: str, color: QColor) -> None:
    """A key as on a keyboard, so that it is not taken for a count."""
    painter.save()
    rim = QColor(color)
    rim.setAlphaF(_RIM)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(rim)
    painter.drawRoundedRect(QRectF(place).adjusted(0.5, 0.5, -0.5, -0.5), 3, 3)
    font = painter.font()
    font.setPointSizeF(font.pointSizeF() * _SMALL)
    painter.setFont(font)
    painter.setPen(color)
    painter.drawText(place, Qt.AlignmentFlag.AlignCenter, text)
    painter.restore()


def eye_rect(row: QRect) -> QRect:
    """Where the eye of a row is."""
    return QRect(row.right() - _EDGE - _EYE, row.center().y() - _EYE // 2 + 1, _EYE, _EYE)


class _View(QListView):
    """Tells which eye was clicked, and which keys were pressed that mean something here."""

    eye = QtSignal(int)
    pressed_key = QtSignal(str)
    moved = QtSignal(int)

    def event(self, event: QEvent) -> bool:
        # else the shortcuts of the window would take the keys
        if event.type() == QEvent.Type.ShortcutOverride and isinstance(event, QKeyEvent) and _meaning(event):
            event.accept()
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        meant = _meaning(event)
        if isinstance(meant, int):
            self.moved.emit(meant)
        elif meant:
            self.pressed_key.emit(meant)
        else:
            super().keyPressEvent(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        row = self._eye_at(event.position().toPoint())
        if row is None or event.button() is not Qt.MouseButton.LeftButton:
            super().mousePressEvent(event)
        else:
            self.eye.emit(row)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        row = self._eye_at(event.position().toPoint())
        if row is None:
            super().mouseDoubleClickEvent(event)
        else:
            self.eye.emit(row)

    def _eye_at(self, point: QPoint) -> int | None:
        index = self.indexAt(point)
        if not index.isValid() or not eye_rect(self.visualRect(index)).adjusted(-4, -6, 8, 6).contains(point):
            return None
        return index.row()


def _meaning(event: QKeyEvent) -> str | int:
    key = Qt.Key(event.key())
    if event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier == Qt.KeyboardModifier.AltModifier:
        return MOVES.get(key, "")
    if event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier:
        return ""
    return KEYS.get(key, "")


class ClassPanel(QWidget):
    """All classes, with what can be done to them.

    Parameters
    ----------
    workspace : Workspace
    guard : callable
        Makes a slot whose errors are told to the user.

    Attributes
    ----------
    dialog : Signal(str, str)
        A dialog is wanted: its name, and what it is about.
    command : Signal(str)
        A command is wanted, by its id.
    """

    dialog = QtSignal(str, str)
    command = QtSignal(str)

    def __init__(
        self, workspace: Workspace, guard: Callable[[Callable[..., object]], Callable[..., None]]
    ) -> None:
        super().__init__()
        self._workspace = workspace
        self._guard = guard
        self._syncing = False
        self.give = QPushButton("Set Selected")
        self.give.setToolTip("Give this class to the selected annotations (double click does the same)")
        self.give.clicked.connect(guard(lambda *_: self._give()))
        self.add = QToolButton()
        self.add.setAutoRaise(True)
        self.add.setIconSize(QSize(16, 16))
        self.add.setToolTip("New class")
        self.add.setAccessibleName("New class")
        self.add.clicked.connect(lambda: self.dialog.emit("class", ""))
        self.filter = Field()
        self.filter.setPlaceholderText("Find a class")
        self.filter.setClearButtonEnabled(True)
        self.filter.setAccessibleName("Find a class")
        self.filter.textChanged.connect(lambda _: self._sift())
        self.view = _View()
        self.view.setAccessibleName("Classes")
        self.view.setUniformItemSizes(True)
        self.view.setMouseTracking(True)
        self.view.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.view.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.model = ClassModel(workspace, self)
        self.view.setModel(self.model)
        self.view.setItemDelegate(_Rows(self.view))
        self.view.selectionModel().currentChanged.connect(guard(lambda *_: self._chosen()))
        self.view.doubleClicked.connect(guard(lambda _: self._give()))
        self.view.customContextMenuRequested.connect(self._menu)
        self.view.eye.connect(guard(self._turn_eye))
        self.view.pressed_key.connect(guard(lambda verb: getattr(self, f"_{verb}")()))
        self.view.moved.connect(guard(self._move))
        workspace.classes.hidden_changed.connect(self.show_state)
        top = QHBoxLayout()
        top.setContentsMargins(10, 8, 6, 4)
        top.addWidget(QLabel("<b>Classes</b>"))
        top.addStretch()
        top.addWidget(self.give)
        top.addWidget(self.add)
        searching = QHBoxLayout()
        searching.setContentsMargins(8, 0, 8, 6)
        searching.addWidget(self.filter)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(top)
        layout.addLayout(searching)
        layout.addWidget(self.view)
        self.restyle()
        self.reload()

    # Following

    def restyle(self) -> None:
        """Take icons in the colors of the present theme."""
        self.add.setIcon(theme.icon("add"))

    def reload(self) -> None:
        """Follow the document's classes and counts."""
        self._syncing = True
        many = len(self._workspace.document.classes) > FILTER_FROM
        if self.model.follow():
            self.filter.setVisible(many)
            if not many:
                self.filter.clear()
            self._sift()
        self._syncing = False
        self.show_state()

    def show_state(self) -> None:
        """Follow the active class, the selection and what is hidden."""
        row = self.model.row_of(self._workspace.active_class)
        if row is not None and row != self.view.currentIndex().row():
            self._syncing = True
            self.view.selectionModel().setCurrentIndex(
                self.model.index(row), QItemSelectionModel.SelectionFlag.ClearAndSelect
            )
            self._syncing = False
        self.give.setEnabled(len(self._workspace.selection) > 0 and self._workspace.editable)
        self.add.setEnabled(self._workspace.editable)
        self.view.viewport().update()

    def _sift(self) -> None:
        words = self.filter.text().casefold().split()
        for row in range(self.model.rowCount()):
            name = (self.model.name_at(row) or "No class").casefold()
            self.view.setRowHidden(row, not all(word in name for word in words))

    # What the user does

    @property
    def chosen(self) -> list[str | None]:
        """The classes that are marked in the list, in its order."""
        rows = sorted(index.row() for index in self.view.selectionModel().selectedIndexes())
        return [self.model.name_at(row) for row in rows]

    @property
    def _chosen_names(self) -> list[str]:
        return [name for name in self.chosen if name is not None]

    def _chosen(self) -> None:
        index = self.view.currentIndex()
        if not self._syncing and index.isValid():
            self._workspace.choose_class(self.model.name_at(index.row()))

    def _give(self) -> None:
        self._workspace.set_class(self._workspace.active_class)

    def _turn_eye(self, row: int) -> None:
        name = self.model.name_at(row)
        # the eye of a class that is marked stands for all that are
        self._workspace.classes.toggle(self.chosen if name in self.chosen else [name])

    def _toggle(self) -> None:
        self._workspace.classes.toggle(self.chosen)

    def _show(self) -> None:
        self._workspace.classes.show(self.chosen)

    def _hide(self) -> None:
        self._workspace.classes.hide(self.chosen)

    def _remove(self) -> None:
        if self._workspace.editable:
            self._workspace.classes.remove(self._chosen_names)

    def _edit(self) -> None:
        if len(self._chosen_names) == 1 and self._workspace.editable:
            self.dialog.emit("class", self._chosen_names[0])

    def _move(self, steps: int) -> None:
        if len(self._chosen_names) == 1 and self._workspace.editable:
            self._workspace.classes.move(self._chosen_names[0], steps)

    def _recolor(self) -> None:
        """Let the user choose another color of the class that is marked."""
        (name,) = self._chosen_names
        dialog = QColorDialog(QColor(*self._workspace.classes.get(name).color), self)
        dialog.setWindowTitle(f"Color of {name}")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.colorSelected.connect(
            self._guard(
                lambda color: self._workspace.classes.recolor(
                    name, (color.red(), color.green(), color.blue())
                )
            )
        )
        dialog.open()

    def _menu(self, at: QPoint) -> None:
        menu = self.make_menu()
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(self.view.viewport().mapToGlobal(at))

    def make_menu(self) -> QMenu:
        """What can be done to the classes that are marked."""
        w, classes, menu = self._workspace, self._workspace.classes, QMenu(self)
        names, chosen = self._chosen_names, self.chosen
        one, rest = len(names) == 1, w.document.classes
        place = classes.names.index(names[0]) if one else 0

        def row(title: str, run: Callable[[], object], when: bool = True) -> None:
            action = menu.addAction(title)
            action.setEnabled(when)
            action.triggered.connect(self._guard(lambda *_: run()))

        hidden = bool(chosen) and set(chosen) <= classes.hidden
        row("Set Selected", self._give, len(w.selection) > 0 and w.editable)
        row("Select All of This Class", lambda: classes.select_all_of(chosen), bool(chosen))
        menu.addSeparator()
        row("Show\tSpace" if hidden else "Hide\tSpace", self._toggle, bool(chosen))
        row("Show Only This", lambda: classes.show_only(chosen), bool(chosen))
        row("Show All", classes.show_all, bool(classes.hidden))
        menu.addSeparator()
        row("Rename…\tF2", self._edit, one and w.editable)
        row("Change Color…", self._recolor, one and w.editable)
        row("Move Up\tAlt+Up", lambda: self._move(-1), one and w.editable and place > 0)
        row("Move Down\tAlt+Down", lambda: self._move(1), one and w.editable and place < len(rest) - 1)
        row("Remove\tBackspace", self._remove, bool(names) and w.editable)
        menu.addSeparator()
        row("New Class…", lambda: self.dialog.emit("class", ""), w.editable)
        row("Add QuPath's Defaults", classes.reset, w.editable)
        row("Import Classes…", lambda: self.command.emit("classes.import"), w.editable)
        row("Export Classes…", lambda: self.command.emit("classes.export"))
        return menu
