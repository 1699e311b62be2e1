"""Simplify, expand or shrink, remove fragments: one number, and what it would give in the picture.

Must not know how shapes are changed.
"""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QIcon, QShowEvent
from PySide6.QtWidgets import (
    QCheckBox,
    QDialog,
    QDialogButtonBox,
    QDoubleSpinBox,
    QFormLayout,
    QLabel,
    QVBoxLayout,
)
from shiboken6 import isValid

from samdesk.app.editing import OPERATIONS, Preview
from samdesk.app.tools import Sketch
from samdesk.ui import theme

from .book import Window

WAIT_MS = 120
"""The preview follows the number after this long."""


MARGIN = 24
"""To the corner of the picture, in logical pixels."""


class ShapingDialog(QDialog):
    """Changes the shapes of what is selected by a number.

    Parameters
    ----------
    window : Window
    operation : str
        Of a row in `OPERATIONS`.
    """

    def __init__(self, window: Window, operation: str) -> None:
        super().__init__(window)
        self._window = window
        self._workspace = window.workspace
        self._name = operation
        self._row = OPERATIONS[operation]
        self._unit = self._workspace.editing.unit
        self._sketch: Sketch | None = None
        self._asked = 0
        self.setWindowTitle(self._row.title)
        self._build()
        self._wait = QTimer(self, singleShot=True, interval=WAIT_MS)
        self._wait.timeout.connect(window.bridge.guarded(self._ask))
        self.number.valueChanged.connect(lambda _value: self._wait.start())
        self.inside.toggled.connect(lambda _on: self._wait.start())
        self._workspace.selection.changed.connect(self._again)
        self._workspace.document.changed.connect(self._again)
        self._workspace.sketch_changed.connect(self._sketch_changed)
        self._ask()

    def _build(self) -> None:
        about = QLabel(f"{self._row.tip}.")
        about.setWordWrap(True)
        about.setMinimumWidth(280)
        self.number = QDoubleSpinBox()
        self.number.setRange(self._row.low, self._row.high)
        self.number.setDecimals(2 if self._row.power == 1 else 1)
        self.number.setSuffix(f" {self._unit.name}" + ("²" if self._row.power == 2 else ""))
        self.number.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)
        self.number.setValue(self._remembered())
        self.number.setMinimumWidth(130)
        self.inside = QCheckBox("Stay inside the image")
        self.inside.setChecked(True)
        self.inside.setVisible(self._name == "grow")
        self.outcome = QLabel(" ")
        self.outcome.setTextFormat(Qt.TextFormat.PlainText)
        self.outcome.setAccessibleName("Result")
        self.outcome.setMinimumHeight(2 * self.fontMetrics().lineSpacing())
        self.outcome.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self.buttons = QDialogButtonBox()
        self.buttons.addButton(QDialogButtonBox.StandardButton.Cancel).setIcon(QIcon())
        self.apply = self.buttons.addButton("Apply", QDialogButtonBox.ButtonRole.AcceptRole)
        self.apply.setDefault(True)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        form = QFormLayout()
        form.addRow(f"{self._row.label}:", self.number)
        if self._name == "grow":
            form.addRow("", self.inside)
        layout = QVBoxLayout(self)
        layout.setSpacing(12)
        layout.addWidget(about)
        layout.addLayout(form)
        layout.addWidget(self.outcome)
        layout.addStretch(1)
        layout.addWidget(self.buttons)
        self.number.setFocus()
        self.number.selectAll()
        self.restyle()

    def restyle(self) -> None:
        """Take the colors of the present theme."""
        self.outcome.setStyleSheet(f"color: {theme.colors()['muted']}")

    def accept(self) -> None:
        """Change the shapes; large selections are changed in the background."""
        self._remember()
        self._end()
        super().accept()
        change = partial(self._workspace.editing.apply, self._name, self.number.value())
        self._window.bridge.guarded(lambda: change(inside=self.inside.isChecked()))()

    def reject(self) -> None:
        self._end()
        super().reject()

    def showEvent(self, event: QShowEvent) -> None:
        """In a corner of the picture, so that it does not cover what is changed."""
        super().showEvent(event)
        picture = self._window.centralWidget() or self._window
        corner = picture.mapToGlobal(picture.rect().bottomRight())
        self.move(corner.x() - self.width() - MARGIN, corner.y() - self.height() - MARGIN)

    # The number

    @property
    def _key(self) -> str:
        return f"{self._name} {self._unit.name}"

    def _remembered(self) -> float:
        value = self._workspace.settings["shaping"].get(self._key)
        if isinstance(value, int | float):
            return float(value)
        return self._row.px if self._unit.name == "px" else self._row.um

    def _remember(self) -> None:
        known = self._workspace.settings["shaping"]
        if known.get(self._key) != self.number.value():
            self._workspace.settings["shaping"] = {**known, self._key: self.number.value()}

    # The preview

    def _again(self, *_what: object) -> None:
        if isValid(self) and self._asked >= 0:
            self._wait.start()

    def _ask(self) -> None:
        self.apply.setEnabled(bool(self._workspace.selection.ids) and self._workspace.editable)
        if not self._workspace.selection.ids:
            self._show_sketch(None)
            self.outcome.setText("Nothing is selected.")
            return
        self._asked += 1
        asked = self._asked
        bounds, _scale = self._window.looking_at()

        def shown(preview: Preview) -> None:
            if isValid(self) and self._asked == asked:
                self._show(preview)

        self._workspace.editing.preview(
            self._name, self.number.value(), bounds, shown, inside=self.inside.isChecked()
        )

    def _show(self, preview: Preview) -> None:
        before, after = preview.vertices
        unchanged = not preview.ids and before == after
        lines = ["Nothing would change." if unchanged else f"{before:,} vertices → {after:,}"]
        if preview.vanished:
            one = preview.vanished == 1
            what = "1 annotation" if one else f"{preview.vanished:,} annotations"
            lines.append(f"{what} would vanish, and {'stays as it is' if one else 'stay as they are'}.")
        self.outcome.setText("\n".join(lines))
        self._show_sketch(Sketch(preview.shapes, preview.ids) if preview.shapes else None)

    def _show_sketch(self, sketch: Sketch | None) -> None:
        self._sketch = sketch
        self._workspace.show_sketch(sketch)

    def _sketch_changed(self) -> None:
        # the tool under the pointer has shown its own: come back when it rests
        if isValid(self) and self._asked >= 0 and self._workspace.sketch is not self._sketch:
            self._wait.start()

    def _end(self) -> None:
        """No more previews."""
        if self._asked < 0:
            return
        self._asked = -1
        self._wait.stop()
        for signal in (self._workspace.selection.changed, self._workspace.document.changed):
            signal.disconnect(self._again, missing_ok=True)
        self._workspace.sketch_changed.disconnect(self._sketch_changed, missing_ok=True)
        self._workspace.editing.stop_preview()
        self._show_sketch(None)
        self._workspace.tool.refresh()


def make(window: Window, about: str) -> ShapingDialog:
    """What is selected, to be changed by the operation of this name."""
    return ShapingDialog(window, about)
