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
    QGroupBox,
    QLabel,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from samdesk.app.settings import SETTINGS, Setting, Settings
from samdesk.ui import theme
from samdesk.ui.dialogs.book import Window

OTHER_HEIGHT = 140
"""Of the dialog's frame, margins and buttons, logical pixels."""


class Preferences(QDialog):
    """One group per page of the table, one row per setting.

    Attributes
    ----------
    about : str
        The setting to begin with, when it is shown.
    """

    def __init__(self, parent: QWidget | None, settings: Settings) -> None:
        super().__init__(parent)
        self.setWindowTitle("Preferences")
        self.setMinimumWidth(460)
        self._settings = settings
        self.about = ""
        self.editors: dict[str, QWidget] = {}
        self._followed: dict[str, Callable[[bool], object]] = {}
        layout = QVBoxLayout(self)
        layout.setSpacing(14)
        pages = QWidget()
        column = QVBoxLayout(pages)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(14)
        titles = QFontMetrics(self.font())
        self._title_width = max(titles.horizontalAdvance(row.title) for row in SETTINGS.values() if row.page)
        for page in dict.fromkeys(row.page for row in SETTINGS.values() if row.page):
            group = QGroupBox(page)
            form = QFormLayout(group)
            for row in SETTINGS.values():
                if row.page == page:
                    self._add(form, row)
            column.addWidget(group)
        self._area = self._scrolling(pages)
        layout.addWidget(self._area)
        buttons = theme.close_button(self)
        reset = QPushButton("Restore Defaults")
        reset.setAutoDefault(False)
        reset.clicked.connect(self._reset)
        buttons.addButton(reset, QDialogButtonBox.ButtonRole.ResetRole)
        layout.addWidget(buttons)

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
        """Scroll to a setting's group, and let the keyboard write into the setting."""
        editor = self.editors[name]
        group = editor.parentWidget()
        assert group is not None
        self._area.ensureWidgetVisible(group, 0, 0)
        editor.setFocus(Qt.FocusReason.OtherFocusReason)
        if isinstance(editor, QDoubleSpinBox):
            editor.selectAll()

    def _add(self, form: QFormLayout, row: Setting) -> None:
        make = {"switch": self._switch, "choice": self._choice, "number": self._number}[row.kind]
        editor = make(row)
        editor.setToolTip(row.tip)
        editor.setAccessibleName(row.title)
        self.editors[row.name] = editor
        title = QLabel("" if row.kind == "switch" else row.title)
        title.setMinimumWidth(self._title_width)  # so that all groups are aligned
        form.addRow(title, editor)

    def _scrolling(self, pages: QWidget) -> QScrollArea:
        """The pages at their full height, or as much of it as the screen has room for."""
        area = QScrollArea()
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setWidgetResizable(True)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(pages)
        room = self.screen().availableGeometry().height() - OTHER_HEIGHT
        area.setMinimumHeight(min(pages.sizeHint().height(), room))
        area.setMinimumWidth(pages.sizeHint().width() + area.verticalScrollBar().sizeHint().width())
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

    def _reset(self) -> None:
        for name, editor in self.editors.items():
            default = SETTINGS[name].default
            if isinstance(editor, QCheckBox):
                editor.setChecked(default)
            elif isinstance(editor, QComboBox):
                editor.setCurrentIndex(editor.findData(default))
            elif isinstance(editor, QDoubleSpinBox):
                editor.setValue(default)
            self._settings[name] = default  # what is shown may not be what is wished

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if self.about:
            self.bring(self.about)


def make(window: Window, about: str) -> Preferences:
    """The preferences, with the setting of this name in view."""
    dialog, serving = Preferences(window, window.settings), window.workspace.serving
    if serving.available:
        dialog.follow("serve", serving.wanted, lambda on: serving.start() if on else serving.stop())
    dialog.about = about
    return dialog
