"""Dialogs about classes: name and color of one, and choosing one by its name.

Must not know where they are listed.
"""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, QSize, Qt
from PySide6.QtGui import QColor, QIcon, QKeyEvent
from PySide6.QtWidgets import (
    QColorDialog,
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from samdesk.app.workspace import Workspace
from samdesk.domain.columns import Color, color_of_name
from samdesk.domain.errors import SamdeskError
from samdesk.ui import theme
from samdesk.ui.panels.classes import NO_COLOR

from .book import Window
from .palette import matches


class ColorButton(QPushButton):
    """Shows a color, and lets the user choose another."""

    def __init__(self, color: Color, title: str) -> None:
        super().__init__()
        self._title = title
        self.setIconSize(QSize(16, 16))
        self.color = color
        self.show_color(color)
        self.clicked.connect(self._choose)

    def show_color(self, color: Color) -> None:
        self.color = color
        self.setIcon(theme.swatch(color))
        self.setText("#{:02x}{:02x}{:02x}".format(*color))

    def _choose(self) -> None:
        dialog = QColorDialog(QColor(*self.color), self)
        dialog.setWindowTitle(self._title)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.colorSelected.connect(
            lambda color: self.show_color((color.red(), color.green(), color.blue()))
        )
        dialog.open()


class ClassDialog(QDialog):
    """Name and color of a class.

    Parameters
    ----------
    parent : QWidget
    workspace : Workspace
    name : str
        The class; empty for one that is to be made.
    """

    def __init__(self, parent: QWidget, workspace: Workspace, name: str = "") -> None:
        super().__init__(parent)
        self._workspace, self._of = workspace, name
        self._touched = bool(name)
        self.setWindowTitle("Edit Class" if name else "New Class")
        self.setModal(True)
        self.name = QLineEdit(name)
        self.name.setMinimumWidth(240)
        self.name.selectAll()
        color = workspace.classes.get(name).color if name else color_of_name("1")
        self.color = ColorButton(color, "Color of the Class")
        self.color.clicked.connect(self._touch)
        hint = QLabel(
            "A name that ends in * is for what is to be ignored: never filled, and left out of sums."
        )
        hint.setProperty("role", "muted")
        hint.setWordWrap(True)
        self.trouble = QLabel()
        self.trouble.setStyleSheet(f"color: {theme.colors()['trouble']}")
        self.trouble.setWordWrap(True)
        self.trouble.hide()
        buttons = QDialogButtonBox.StandardButton
        self.buttons = QDialogButtonBox(buttons.Ok | buttons.Cancel)
        for one in self.buttons.buttons():
            one.setIcon(QIcon())
        self.buttons.button(buttons.Ok).setText("Save" if name else "Add")
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        form = QFormLayout()
        form.addRow("Name", self.name)
        form.addRow("Color", self.color)
        layout = QVBoxLayout(self)
        layout.setSpacing(10)
        layout.addLayout(form)
        layout.addWidget(hint)
        layout.addWidget(self.trouble)
        layout.addWidget(self.buttons)
        self.name.textChanged.connect(self._typed)
        self._typed(name)

    def _touch(self) -> None:
        self._touched = True

    def _typed(self, name: str) -> None:
        self.trouble.hide()
        self.buttons.button(QDialogButtonBox.StandardButton.Ok).setEnabled(bool(name.strip()))
        if not self._touched:  # until one is chosen, a color that fits no other name
            self.color.show_color(color_of_name(name.strip() or "1"))

    def accept(self) -> None:
        """Do it; what keeps it from being done is said here, where the name can be changed."""
        classes = self._workspace.classes
        try:
            if not self._of:
                classes.add(self.name.text(), self.color.color)
            elif not classes.change(self._of, self.name.text(), self.color.color) and self._differs():
                return  # the question whether to join two classes was dismissed
        except SamdeskError as error:
            self.trouble.setText(f"{error.message} {error.hint}")
            self.trouble.show()
            return
        super().accept()

    def _differs(self) -> bool:
        return self.name.text().strip() != self._of


class ClassChoice(QDialog):
    """All classes under a search line; Enter gives the marked one to the selection."""

    def __init__(self, parent: QWidget, workspace: Workspace) -> None:
        super().__init__(parent)
        self._workspace = workspace
        self.setWindowTitle("Set Class")
        self.setModal(True)
        self.resize(320, 360)
        self.search = QLineEdit()
        self.search.setPlaceholderText("Type to find a class")
        self.search.setClearButtonEnabled(True)
        self.search.textChanged.connect(self._sift)
        self.search.installEventFilter(self)
        self.view = QListWidget()
        self.view.setIconSize(theme.SWATCH)
        self.view.setUniformItemSizes(True)
        self.view.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.view.itemClicked.connect(lambda _: self.accept())
        layout = QVBoxLayout(self)
        layout.addWidget(self.search)
        layout.addWidget(self.view)
        self._sift("")

    def _sift(self, query: str) -> None:
        self.view.clear()
        rows: list[tuple[str, str | None, Color]] = [("No class", None, NO_COLOR)]
        rows += [(one.name, one.name, one.color) for one in self._workspace.document.classes]
        for title, name, color in rows:
            if matches(query, title):
                item = QListWidgetItem(theme.swatch(color), title)
                item.setData(Qt.ItemDataRole.UserRole, name)
                self.view.addItem(item)
        self.view.setCurrentRow(0)

    def accept(self) -> None:
        if self.view.currentRow() < 0:
            return
        item = self.view.currentItem()
        super().accept()
        name = item.data(Qt.ItemDataRole.UserRole)
        if len(self._workspace.selection):
            self._workspace.set_class(name)
        else:
            self._workspace.choose_class(name)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self.search and isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            step = {Qt.Key.Key_Down: 1, Qt.Key.Key_Up: -1}.get(Qt.Key(event.key()), 0)
            if step:
                row = min(max(self.view.currentRow() + step, 0), self.view.count() - 1)
                self.view.setCurrentRow(row)
                return True
            if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
                self.accept()
                return True
        return super().eventFilter(watched, event)


def make(window: Window, about: str) -> ClassDialog:
    """The dialog for the class of this name; for a new one without a name."""
    return ClassDialog(window, window.workspace, about)


def make_choice(window: Window, about: str) -> ClassChoice:
    """The choice among all classes."""
    return ClassChoice(window, window.workspace)
