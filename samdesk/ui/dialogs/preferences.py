"""The preferences, made from the settings table; a change takes effect at once.

Must not know what the settings do.
"""

from __future__ import annotations

from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QDoubleSpinBox,
    QFormLayout,
    QGroupBox,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from samdesk.app.settings import SETTINGS, Setting, Settings
from samdesk.ui import theme


class Preferences(QDialog):
    """One group per page of the table, one row per setting."""

    def __init__(self, parent: QWidget | None, settings: Settings) -> None:
        super().__init__(parent)
        self.setWindowTitle("Preferences")
        self.setMinimumWidth(460)
        self._settings = settings
        self.editors: dict[str, QWidget] = {}
        layout = QVBoxLayout(self)
        layout.setSpacing(14)
        for page in dict.fromkeys(row.page for row in SETTINGS.values() if row.page):
            group = QGroupBox(page)
            form = QFormLayout(group)
            for row in SETTINGS.values():
                if row.page == page:
                    self._add(form, row)
            layout.addWidget(group)
        buttons = theme.close_button(self)
        reset = QPushButton("Restore Defaults")
        reset.setAutoDefault(False)
        reset.clicked.connect(self._reset)
        buttons.addButton(reset, QDialogButtonBox.ButtonRole.ResetRole)
        layout.addWidget(buttons)

    def _add(self, form: QFormLayout, row: Setting) -> None:
        make = {"switch": self._switch, "choice": self._choice, "number": self._number}[row.kind]
        editor = make(row)
        editor.setToolTip(row.tip)
        editor.setAccessibleName(row.title)
        self.editors[row.name] = editor
        form.addRow("" if row.kind == "switch" else row.title, editor)

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
