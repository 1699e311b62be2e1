"""The images of the open project: small picture, name, number of annotations, and which are missing.

Must not know the canvas or files; what is done with an image is the project's.
"""

from __future__ import annotations

from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

from PySide6.QtCore import (
    QAbstractListModel,
    QEvent,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QPoint,
    QRect,
    QSize,
    QSortFilterProxyModel,
    Qt,
)
from PySide6.QtGui import QColor, QKeyEvent, QPainter, QPixmap
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QLabel,
    QListView,
    QMenu,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from samdesk.app.workspace import Ask, Workspace
from samdesk.formats.project import ProjectImage
from samdesk.ui import theme
from samdesk.ui.bridge import Bridge
from samdesk.ui.fields import Field

ID_ROLE = Qt.ItemDataRole.UserRole + 1
SECOND_ROLE = Qt.ItemDataRole.UserRole + 2
MISSING_ROLE = Qt.ItemDataRole.UserRole + 3
SHOWN_ROLE = Qt.ItemDataRole.UserRole + 4

PICTURE = QSize(48, 40)
"""Of a row, in logical pixels."""

PAD = 8

KEYS = (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Delete, Qt.Key.Key_F2)


class ImageModel(QAbstractListModel):
    """The images of the project in its order."""

    def __init__(self, workspace: Workspace, parent: QWidget) -> None:
        super().__init__(parent)
        self._workspace = workspace
        self._images: tuple[ProjectImage, ...] = ()
        self._pictures: dict[str, QPixmap] = {}

    def reload(self) -> None:
        """Follow the project; rows stay selected while the images are the same."""
        folder = self._workspace.project.folder
        images = folder.images if folder is not None else ()
        if [one.id for one in images] != [one.id for one in self._images]:
            self.beginResetModel()
            self._images = images
            self.endResetModel()
        else:
            self._images = images
            if images:
                self.dataChanged.emit(self.index(0), self.index(len(images) - 1))

    def forget_picture(self, one: str) -> None:
        """The picture of this image is another one now."""
        self._pictures.pop(one, None)
        for row, image in enumerate(self._images):
            if image.id == one:
                self.dataChanged.emit(self.index(row), self.index(row))

    def image(self, one: str) -> ProjectImage | None:
        return next((image for image in self._images if image.id == one), None)

    def rowCount(self, parent: QModelIndex | QPersistentModelIndex = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self._images)

    def flags(self, index: Any) -> Qt.ItemFlag:
        editable = Qt.ItemFlag.ItemIsEditable if self._workspace.project.editable else Qt.ItemFlag.NoItemFlags
        return super().flags(index) | editable

    def data(self, index: Any, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        project, image = self._workspace.project, self._images[index.row()]
        missing = image.id in project.missing
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.EditRole):
            return image.name
        if role == Qt.ItemDataRole.DecorationRole:
            return self._picture(image.id)
        if role == SECOND_ROLE:
            count = project.counts.get(image.id)
            return _counted(count) if not missing else f"Missing · {_counted(count)}" if count else "Missing"
        if role == Qt.ItemDataRole.ToolTipRole:
            state = "It was not found there. Relink it to where it is now." if missing else image.description
            return "\n".join(part for part in (str(image.path), state, ", ".join(image.tags)) if part)
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{image.name}, {self.data(index, SECOND_ROLE)}"
        return {ID_ROLE: image.id, MISSING_ROLE: missing, SHOWN_ROLE: image.id == project.current}.get(role)

    def setData(self, index: Any, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        name = str(value).strip()
        if role != Qt.ItemDataRole.EditRole or not name:
            return False
        self._workspace.project.describe(replace(self._images[index.row()], name=name))
        return True

    def _picture(self, one: str) -> QPixmap | None:
        folder = self._workspace.project.folder
        if one not in self._pictures and folder is not None:
            self._pictures[one] = QPixmap(str(folder.picture_of(one)))
        return self._pictures.get(one)


class _Rows(QStyledItemDelegate):
    """Paints the picture, the name, and below it what there is to say."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Any) -> None:
        colors, rect = theme.colors(), option.rect
        selected = bool(option.state & QStyle.StateFlag.State_Selected)
        painter.save()
        if selected:
            painter.fillRect(rect, QColor(colors["selected"]))
        elif option.state & QStyle.StateFlag.State_MouseOver:
            painter.fillRect(rect, QColor(colors["alternate"]))
        if index.data(SHOWN_ROLE):
            bar = QColor(colors["on_accent" if selected else "accent"])
            painter.fillRect(QRect(rect.left(), rect.top() + 6, 3, rect.height() - 12), bar)
        place = QRect(rect.topLeft() + QPoint(PAD, (rect.height() - PICTURE.height()) // 2), PICTURE)
        self._paint_picture(painter, place, index)
        self._paint_lines(painter, rect.adjusted(PAD + PICTURE.width() + 10, 0, -PAD, 0), index, selected)
        painter.restore()

    def _paint_lines(self, painter: QPainter, text: QRect, index: Any, selected: bool) -> None:
        colors, left = theme.colors(), Qt.AlignmentFlag.AlignLeft
        below = text.adjusted(0, text.height() // 2 + 1, 0, 0)
        text = text.adjusted(0, 0, 0, -(text.height() // 2) - 1)
        font = painter.font()
        font.setBold(bool(index.data(SHOWN_ROLE)))
        painter.setFont(font)
        painter.setPen(QColor(colors["on_accent" if selected else "text"]))
        name = painter.fontMetrics().elidedText(index.data(), Qt.TextElideMode.ElideMiddle, text.width())
        painter.drawText(text, left | Qt.AlignmentFlag.AlignBottom, name)
        font.setBold(False)
        painter.setFont(font)
        second = "trouble" if index.data(MISSING_ROLE) else "muted"
        painter.setPen(QColor(colors["on_accent" if selected else second]))
        painter.drawText(below, left | Qt.AlignmentFlag.AlignTop, index.data(SECOND_ROLE))

    def _paint_picture(self, painter: QPainter, place: QRect, index: Any) -> None:
        picture = index.data(Qt.ItemDataRole.DecorationRole)
        painter.setOpacity(0.35 if index.data(MISSING_ROLE) else 1.0)
        if isinstance(picture, QPixmap) and not picture.isNull():
            size = picture.size().scaled(place.size(), Qt.AspectRatioMode.KeepAspectRatio)
            inside = QRect(QPoint(0, 0), size)
            inside.moveCenter(place.center())
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            painter.drawPixmap(inside, picture)
        else:
            painter.setPen(QColor(theme.colors()["line"]))
            painter.drawRect(place.adjusted(0, 0, -1, -1))
        painter.setOpacity(1.0)

    def updateEditorGeometry(self, editor: QWidget, option: QStyleOptionViewItem, index: Any) -> None:
        editor.setGeometry(
            option.rect.adjusted(PAD + PICTURE.width() + 6, 4, -PAD, -option.rect.height() // 2)
        )

    def sizeHint(self, option: QStyleOptionViewItem, index: Any) -> QSize:
        return QSize(120, max(PICTURE.height() + 12, 2 * option.fontMetrics.height() + 16))


class ProjectPanel(QWidget):
    """The list with a heading, a filter and a button to add images.

    Parameters
    ----------
    workspace : Workspace
    ask : Ask
    bridge : Bridge
    add : callable
        Asks for images and adds them.
    """

    def __init__(self, workspace: Workspace, ask: Ask, bridge: Bridge, add: Any) -> None:
        super().__init__()
        self._workspace, self._ask = workspace, ask
        self.heading = QLabel()
        self.add_button = QToolButton()
        self.add_button.setText("Add…")
        self.add_button.setAutoRaise(True)
        self.add_button.setToolTip("Put more images into the project; they stay where they are")
        self.add_button.clicked.connect(lambda: add())
        top = QHBoxLayout()
        top.setContentsMargins(10, 6, 6, 2)
        top.addWidget(self.heading, 1)
        top.addWidget(self.add_button)
        self.filter = Field()
        self.filter.setPlaceholderText("Filter images")
        self.filter.setAccessibleName("Filter images")
        self.filter.setClearButtonEnabled(True)
        self.filter.installEventFilter(self)
        inset = QHBoxLayout()
        inset.setContentsMargins(8, 2, 8, 6)
        inset.addWidget(self.filter)
        self.model = ImageModel(workspace, self)
        self.shown = QSortFilterProxyModel(self)
        self.shown.setSourceModel(self.model)
        self.shown.setFilterCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self.filter.textChanged.connect(self.shown.setFilterFixedString)
        self.view = QListView()
        self.view.setAccessibleName("Images of the project")
        self.view.setUniformItemSizes(True)
        self.view.setMouseTracking(True)
        self.view.setEditTriggers(QAbstractItemView.EditTrigger.EditKeyPressed)
        self.view.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.view.setModel(self.shown)
        self.view.setItemDelegate(_Rows(self.view))
        self.view.doubleClicked.connect(bridge.guarded(lambda _=None: self.open_current()))
        self.view.customContextMenuRequested.connect(bridge.guarded(self._menu))
        self.view.installEventFilter(self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(top)
        layout.addLayout(inset)
        layout.addWidget(self.view)
        workspace.project.changed.connect(self.reload)
        workspace.project.pictured.connect(self.model.forget_picture)
        self.reload()

    def reload(self) -> None:
        """Follow the project."""
        folder = self._workspace.project.folder
        self.model.reload()
        count = len(folder.images) if folder is not None else 0
        name = folder.name if folder is not None else "Project"
        muted = theme.colors()["muted"]
        told = f"&nbsp;&nbsp;<span style='color: {muted}'>{count:,}</span>" if count else ""
        self.heading.setText(f"<b>{escape(name)}</b>{told}")
        self.heading.setToolTip(str(folder.path) if folder is not None else "")
        self.add_button.setEnabled(self._workspace.project.editable)

    @property
    def chosen(self) -> str:
        """The id of the image that the keyboard is at; "" for none."""
        index = self.view.currentIndex()
        return str(index.data(ID_ROLE)) if index.isValid() else ""

    def open_current(self) -> None:
        """Show the chosen image, or ask where it is when it is missing."""
        if not self.chosen:
            return
        if self.chosen in self._workspace.project.missing:
            self.relink(self.chosen, show=True)
        else:
            self._workspace.project.open_image(self.chosen)

    def relink(self, one: str, show: bool = False) -> None:
        """Ask where an image is now, and show it when it was to be opened."""
        image = self.model.image(one)
        if image is None:
            return
        for path in self._ask.open_files(f"Where is {image.name} now?", "All files (*)")[:1]:
            self._workspace.project.relink(one, Path(path).absolute(), show)

    def remove(self, one: str) -> None:
        """Ask, and take an image out of the project."""
        image = self.model.image(one)
        if image is None:
            return
        hint = "The image stays where it is. Its annotations are kept in the folder “removed” of the project."
        if self._ask.choose(f"Remove {image.name} from the project?", hint, ("Remove",)) == 0:
            self._workspace.project.remove(one)

    def _menu(self, at: QPoint) -> None:
        index = self.view.indexAt(at)
        if not index.isValid():
            return
        one, project = str(index.data(ID_ROLE)), self._workspace.project
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        entries = (
            ("Open", one not in project.missing, lambda: project.open_image(one)),
            ("Relink…", project.editable, lambda: self.relink(one)),
            ("Rename", project.editable, lambda: self.view.edit(index)),
            ("Remove from Project…", project.editable, lambda: self.remove(one)),
        )
        for title, enabled, act in entries:
            action = menu.addAction(title)
            action.setEnabled(enabled)
            action.triggered.connect(lambda _=False, act=act: act())
        menu.popup(self.view.viewport().mapToGlobal(at))

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.ShortcutOverride:
            if watched is self.view and event.key() in KEYS:  # which mean something else over the picture
                event.accept()
                return True
        elif isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            enter = event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
            if watched is self.view and enter and self.view.state() != QListView.State.EditingState:
                self.open_current()
                return True
            if watched is self.view and event.key() == Qt.Key.Key_Delete and self.chosen:
                self.remove(self.chosen)
                return True
            if watched is self.filter and (enter or event.key() == Qt.Key.Key_Down):
                if not self.view.currentIndex().isValid() and self.shown.rowCount():
                    self.view.setCurrentIndex(self.shown.index(0, 0))
                self.view.setFocus()
                if enter:
                    self.open_current()
                return True
        return super().eventFilter(watched, event)


def _counted(count: int | None) -> str:
    if count is None:
        return ""
    return "No annotations" if not count else "1 annotation" if count == 1 else f"{count:,} annotations"
