"""The preferences, made from the settings table; a change takes effect at once.

A switch may show what is instead of what is wished: `follow`. Must not know what the settings do.
"""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QSignalBlocker, Qt
from PySide6.QtGui import QFontMetrics, QShowEvent
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QDoubleSpinBox,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)
from shiboken6 import isValid

from samdesk.app.settings import PAGES, SETTINGS, Setting, Settings
from samdesk.ui import theme
from samdesk.ui.dialogs.book import Window

from .palette import matches

OTHER_HEIGHT = 180
"""Of the dialog's frame, margins, search line and buttons, logical pixels."""

TALLEST = 560
"""Of what is shown of a page, logical pixels."""


STYLE_WIDTH = 28
"""What a scroll bar takes beside a page, and styles add once they are known."""


class _Page(QWidget):
    """The rows of one page under its title."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self.title = QLabel(title)
        self.title.setProperty("role", "heading")
        self.form = QFormLayout()
        self.form.setVerticalSpacing(8)
        self._rows: list[tuple[int, str]] = []
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 10)
        layout.setSpacing(10)
        layout.addWidget(self.title)
        layout.addLayout(self.form)

    def add(self, row: Setting, title: QLabel, editor: QWidget) -> None:
        choices = " ".join(text for _, text in row.choices)
        self._rows.append((self.form.rowCount(), f"{row.page} {row.title} {row.tip} {choices}"))
        self.form.addRow(title, editor)

    def show_matching(self, query: str) -> bool:
        """Show the rows that match; whether there is one."""
        found = [matches(query, text) for _, text in self._rows]
        for (row, _), fits in zip(self._rows, found, strict=True):
            self.form.setRowVisible(row, fits)
        return any(found)


class Preferences(QDialog):
    """A page at a time, or whatever is searched for on all of them.

    Attributes
    ----------
    about : str
        The setting to begin with, when it is shown.
    """

    def __init__(self, parent: QWidget | None, settings: Settings) -> None:
        super().__init__(parent)
        self.setWindowTitle("Preferences")
        self._settings = settings
        self.about = ""
        self.editors: dict[str, QWidget] = {}
        self._followed: dict[str, Callable[[bool], object]] = {}
        self.search = QLineEdit()
        self.search.setPlaceholderText("Search all preferences")
        self.search.setAccessibleName("Search all preferences")
        self.search.setClearButtonEnabled(True)
        self.search.textChanged.connect(lambda _: self._show_pages())
        self.contents = QListWidget()
        self.contents.setAccessibleName("Pages")
        self.pages = {name: _Page(name) for name in PAGES if any(r.page == name for r in SETTINGS.values())}
        self.contents.addItems(list(self.pages))
        self.contents.setFixedWidth(self.contents.sizeHintForColumn(0) + 36)
        self.contents.currentRowChanged.connect(lambda _: self._chosen())
        titles = QFontMetrics(self.font())
        self._title_width = max(titles.horizontalAdvance(row.title) for row in SETTINGS.values() if row.page)
        for row in SETTINGS.values():
            if row.page:
                self._add(self.pages[row.page], row)
        self._nothing = QLabel("No preference is called that.")
        self._nothing.setProperty("role", "muted")
        self._area = self._scrolling()
        middle = QHBoxLayout()
        middle.setSpacing(16)
        middle.addWidget(self.contents)
        middle.addWidget(self._area, 1)
        layout = QVBoxLayout(self)
        layout.setSpacing(12)
        layout.addWidget(self.search)
        layout.addLayout(middle, 1)
        layout.addWidget(self._buttons())
        self.contents.setCurrentRow(0)
        self._show_pages()
        settings.changed.connect(self._setting_changed)

    def _buttons(self) -> QDialogButtonBox:
        buttons = theme.close_button(self)
        reset = QPushButton("Restore Defaults")
        reset.setAutoDefault(False)
        reset.setToolTip("Set every preference on all pages back")
        reset.clicked.connect(self._reset)
        buttons.addButton(reset, QDialogButtonBox.ButtonRole.ResetRole)
        return buttons

    def follow(self, name: str, on: bool, turn: Callable[[bool], object]) -> None:
        """Have a switch show what is, which `show_switch` tells, and turn that instead of the setting.

        Parameters
        ----------
        name : str
        on : bool
        turn : callable
            Receives what the user chose, and keeps the setting.
        """
        self._followed[name] = turn
        self.show_switch(name, on)

    def show_switch(self, name: str, on: bool) -> None:
        """Show that a switch is on or off, without turning anything."""
        box = self.editors[name]
        assert isinstance(box, QCheckBox)
        blocker = QSignalBlocker(box)
        box.setChecked(on)
        blocker.unblock()

    def bring(self, name: str) -> None:
        """Show a setting's page, and let the keyboard write into the setting."""
        editor = self.editors[name]
        self.search.clear()
        self.contents.setCurrentRow(list(self.pages).index(SETTINGS[name].page))
        self._area.ensureWidgetVisible(editor)
        editor.setFocus(Qt.FocusReason.OtherFocusReason)
        if isinstance(editor, QDoubleSpinBox):
            editor.selectAll()

    def _chosen(self) -> None:
        self.search.clear()
        self._show_pages()

    def _show_pages(self) -> None:
        query = self.search.text().strip()
        chosen = self.contents.currentItem()
        found = False
        for name, page in self.pages.items():
            fits = page.show_matching(query)
            shown = fits if query else chosen is not None and chosen.text() == name
            page.setVisible(shown)
            found = found or shown
        self._nothing.setVisible(not found)
        self._area.verticalScrollBar().setValue(0)

    def _add(self, page: _Page, row: Setting) -> None:
        make = {"switch": self._switch, "choice": self._choice, "number": self._number}[row.kind]
        editor = make(row)
        editor.setToolTip(row.tip)
        editor.setAccessibleName(row.title)
        self.editors[row.name] = editor
        title = QLabel("" if row.kind == "switch" else row.title)
        title.setToolTip(row.tip)
        title.setBuddy(editor)
        title.setMinimumWidth(self._title_width)  # so that all pages are aligned
        page.add(row, title, editor)

    def _scrolling(self) -> QScrollArea:
        """The pages at the height of the tallest, or as much of it as the screen has room for."""
        pages = QWidget()
        column = QVBoxLayout(pages)
        column.setContentsMargins(0, 0, 16, 0)  # where a scroll bar would be
        for page in self.pages.values():
            column.addWidget(page)
        column.addWidget(self._nothing)
        column.addStretch()
        area = QScrollArea()
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setWidgetResizable(True)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setWidget(pages)
        tallest = max(page.sizeHint().height() for page in self.pages.values())
        room = self.screen().availableGeometry().height() - OTHER_HEIGHT
        area.setMinimumHeight(min(tallest, TALLEST, room))
        area.setMinimumWidth(pages.sizeHint().width() + STYLE_WIDTH)
        return area

    def _switch(self, row: Setting) -> QWidget:
        box = QCheckBox(row.title)
        box.setChecked(self._settings[row.name])
        box.toggled.connect(lambda on: self._set(row.name, on))
        return box

    def _choice(self, row: Setting) -> QWidget:
        box = QComboBox()
        for value, title in row.choices:
            box.addItem(title, value)
        box.setCurrentIndex(box.findData(self._settings[row.name]))
        box.currentIndexChanged.connect(lambda index: self._set(row.name, box.itemData(index)))
        return box

    def _number(self, row: Setting) -> QWidget:
        box = QDoubleSpinBox()
        whole = isinstance(row.default, int)
        box.setKeyboardTracking(False)
        box.setDecimals(0 if whole else 2)
        box.setSingleStep(1 if whole else 0.25)
        box.setRange(row.low, row.high)
        box.setSuffix(f" {row.unit}" if row.unit else "")
        box.setValue(self._settings[row.name])
        box.valueChanged.connect(lambda value: self._set(row.name, int(value) if whole else value))
        return box

    def _set(self, name: str, value: object) -> None:
        if name in self._followed and isinstance(value, bool):
            self._followed[name](value)
        else:
            self._settings[name] = value

    def _setting_changed(self, name: str) -> None:
        """Follow what was changed elsewhere, by a key or in another window."""
        if isValid(self) and name in self.editors and name not in self._followed:
            blocker = QSignalBlocker(self.editors[name])
            _show(self.editors[name], self._settings[name])
            blocker.unblock()

    def _reset(self) -> None:
        for name, editor in self.editors.items():
            default = SETTINGS[name].default
            _show(editor, default)
            self._settings[name] = default  # what is shown may not be what is wished

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if self.about:
            self.bring(self.about)


def _show(editor: QWidget, value: object) -> None:
    if isinstance(editor, QCheckBox):
        editor.setChecked(bool(value))
    elif isinstance(editor, QComboBox):
        editor.setCurrentIndex(editor.findData(value))
    elif isinstance(editor, QDoubleSpinBox) and isinstance(value, int | float):
        editor.setValue(value)


def make(window: Window, about: str) -> Preferences:
    """The preferences, with the setting of this name in view."""
    dialog, serving = Preferences(window, window.settings), window.workspace.serving
    if serving.available:
        dialog.follow("serve", serving.wanted, lambda on: serving.start() if on else serving.stop())
    dialog.about = about
    return dialog
