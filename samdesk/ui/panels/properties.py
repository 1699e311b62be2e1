"""What is selected: name, class, description and color of one, or a summary of several.

What the words and numbers are is decided in `samdesk.app.describing`. Must not know the canvas.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from PySide6.QtCore import QEvent, QObject, QPoint, Qt
from PySide6.QtCore import Signal as QtSignal
from PySide6.QtGui import QColor, QFocusEvent, QGuiApplication, QKeyEvent, QKeySequence, QShowEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QColorDialog,
    QComboBox,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QMenu,
    QPlainTextEdit,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from samdesk.app.describing import DESCRIPTION, Summary, details, measures, provenance_text, shape_text
from samdesk.app.jobs import Job
from samdesk.app.workspace import Workspace
from samdesk.domain.columns import Annotation
from samdesk.sdk import area_text
from samdesk.ui import theme
from samdesk.ui.fields import Field
from samdesk.ui.fold import Fold
from samdesk.ui.panels.classes import NO_COLOR

AT_ONCE = 500
"""Up to so many selected annotations are summed up at once, more on a lane."""

_SETTING = "properties"
_LINES = 2
_MOST = 16_777_215
"""Qt's largest height of a widget."""


class _Description(QPlainTextEdit):
    """Several lines; tells when they have been left."""

    def __init__(self, left: Callable[[], None]) -> None:
        super().__init__()
        self._left = left
        self.setTabChangesFocus(True)
        self.setPlaceholderText("What should be known about it")
        self.setToolTip("QuPath calls this the description")
        self.setAccessibleName("Description")
        self.setFixedHeight(_LINES * self.fontMetrics().lineSpacing() + 14)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self._left()


class _Details(QTreeWidget):
    """Names and values, which can be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.setColumnCount(2)
        self.setHeaderHidden(True)
        self.setRootIsDecorated(False)
        self.setUniformRowHeights(True)
        self.setAccessibleName("Measurements and metadata")
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.customContextMenuRequested.connect(self._menu)
        self.header().setStretchLastSection(False)
        self.header().setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
        self.header().setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        self.header().setMaximumSectionSize(180)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        for bar in (self.setVerticalScrollBarPolicy, self.setHorizontalScrollBarPolicy):
            bar(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setStyleSheet("QTreeView { background: transparent; } QTreeView::item { padding: 2px 0; }")

    def show_rows(self, rows: Sequence[tuple[str, str]]) -> None:
        """Show these names and values, as high as they are."""
        self.clear()
        muted = QColor(theme.colors()["muted"])
        for name, value in rows:
            item = QTreeWidgetItem([name, value])
            item.setForeground(0, muted)
            item.setTextAlignment(1, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            item.setToolTip(0, name)
            item.setToolTip(1, value)
            self.addTopLevelItem(item)
        self.setFixedHeight(max(len(rows), 1) * max(self.sizeHintForRow(0), 18) + 2)

    def text(self, chosen: bool = True) -> str:
        """The rows as lines of "name, tab, value": those that are marked, or all."""
        items = [one for k in range(self.topLevelItemCount()) if (one := self.topLevelItem(k))]
        marked = [one for one in items if one.isSelected()] if chosen else items
        return "\n".join(f"{one.text(0)}\t{one.text(1)}" for one in marked or items)

    def copy(self, chosen: bool = True) -> None:
        QGuiApplication.clipboard().setText(self.text(chosen))

    def _menu(self, at: QPoint) -> None:
        menu = QMenu(self)
        menu.addAction("Copy", self.copy).setEnabled(bool(self.selectedItems()))
        menu.addAction("Copy All", lambda: self.copy(False))
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(self.viewport().mapToGlobal(at))

    def event(self, event: QEvent) -> bool:
        # else the shortcut of the window would copy annotations
        copying = isinstance(event, QKeyEvent) and event.matches(QKeySequence.StandardKey.Copy)
        if event.type() == QEvent.Type.ShortcutOverride and copying:
            event.accept()
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.matches(QKeySequence.StandardKey.Copy):
            self.copy()
        else:
            super().keyPressEvent(event)


class PropertiesPanel(QWidget):
    """Folds away under its heading.

    Parameters
    ----------
    workspace : Workspace
    guard : callable
        Makes a slot whose errors are told to the user.

    Attributes
    ----------
    left : Signal()
        The user is done with a field: the keyboard is for the picture again.
    """

    left = QtSignal()

    def __init__(
        self, workspace: Workspace, guard: Callable[[Callable[..., object]], Callable[..., None]]
    ) -> None:
        super().__init__()
        self._workspace = workspace
        self._guard = guard
        self._of: uuid.UUID | None = None
        self._stale = True
        self._job: Job[Any] | None = None
        self._build_fields()
        self._build_body()
        self.fold = Fold("Properties", self.body)
        font = self.fold.font()
        font.setBold(True)
        self.fold.setFont(font)
        self.fold.toggled.connect(self._folded)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        top = QHBoxLayout()
        top.setContentsMargins(8, 4, 8, 4)
        top.addWidget(self.fold)
        top.addStretch()
        layout.addLayout(top)
        layout.addWidget(self.body, 1)
        self.fold.setChecked(bool(workspace.settings[_SETTING]))
        self._folded(self.fold.isChecked())
        self.refresh()

    def _build_fields(self) -> None:
        guard = self._guard
        self.name = Field()
        self.name.setAccessibleName("Name")
        self.name.setPlaceholderText("No name")
        self.name.editingFinished.connect(guard(self._rename))
        self.name.returnPressed.connect(self.left.emit)
        self.name.installEventFilter(self)
        self.kind = QComboBox()
        self.kind.setAccessibleName("Class")
        self.kind.setIconSize(theme.SWATCH)
        self.kind.setPlaceholderText("Several classes")
        self.kind.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.kind.setMinimumContentsLength(6)
        self.kind.activated.connect(guard(lambda row: self._workspace.set_class(self.kind.itemData(row))))
        self.description = _Description(guard(self._describe))
        self.description.installEventFilter(self)
        self.locked = QCheckBox("Locked")
        self.locked.setToolTip("Keeps it from being changed or deleted")
        self.locked.clicked.connect(
            guard(lambda *_: self._workspace.editing.set_locked(self.locked.isChecked()))
        )
        self.color = QToolButton()
        self.color.setIconSize(theme.SWATCH)
        self.color.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.color.setToolTip("A color of its own; without one it has that of its class")
        self.color.clicked.connect(guard(lambda *_: self._choose_color()))
        self.reset = QToolButton()
        self.reset.setText("Reset")
        self.reset.setToolTip("Take the color of the class again")
        self.reset.clicked.connect(guard(lambda *_: self._set_color(None)))

    def _build_body(self) -> None:
        self.nothing = QLabel("Select an annotation to see what it is.")
        self.nothing.setProperty("role", "muted")
        self.nothing.setWordWrap(True)
        self.told = QLabel()
        self.told.setProperty("role", "muted")
        self.told.setWordWrap(True)
        self.told.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.details = _Details()
        row = QHBoxLayout()
        row.setSpacing(6)
        for one in (self.color, self.reset):
            row.addWidget(one)
        row.addStretch()
        row.addWidget(self.locked)
        self.form = QFormLayout()
        self.form.setHorizontalSpacing(10)
        self.form.setVerticalSpacing(6)
        self.form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.form.addRow("Name", self.name)
        self.form.addRow("Class", self.kind)
        self.form.addRow("Notes", self.description)
        self.form.addRow("Color", row)
        self.fields = QWidget()
        inner = QVBoxLayout(self.fields)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(8)
        inner.addLayout(self.form)
        inner.addWidget(self.told)
        inner.addWidget(self.details)
        body = QWidget()
        layout = QVBoxLayout(body)
        layout.setContentsMargins(10, 2, 10, 10)
        layout.addWidget(self.nothing)
        layout.addWidget(self.fields)
        layout.addStretch()
        self.body = QScrollArea()
        self.body.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.body.setFrameShape(QFrame.Shape.NoFrame)
        self.body.setWidgetResizable(True)
        self.body.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.body.setWidget(body)

    # Following

    def refresh(self, *_: object) -> None:
        """Follow the selection and the document; at once when it is seen, else when it will be."""
        if self._job is not None:
            self._job.cancel()
            self._job = None
        self._keep_typed()
        self._stale = not self.isVisible() or not self.fold.isChecked()
        if self._stale:
            return
        ids = self._workspace.selection.ids
        self.nothing.setVisible(not ids)
        self.fields.setVisible(bool(ids))
        one = self._workspace.document.get(ids[0]) if len(ids) == 1 else None
        self._of = one.id if one else None
        for field in (self.name, self.description):
            self.form.setRowVisible(field, one is not None)
        self.fields.setEnabled(self._workspace.editable)
        if one is not None:
            self._show_one(one)
        elif ids:
            self._sum_up()

    def _show_one(self, one: Annotation) -> None:
        w = self._workspace
        if self.name.text() != one.name:
            self.name.setText(one.name)
            self.name.setCursorPosition(0)
        text = one.metadata.get(DESCRIPTION, "")
        if self.description.toPlainText() != text:
            self.description.setPlainText(text)
        self._show_class([one.class_name])
        self._show_color(one.color or w.document.class_color(one.class_name), one.color is not None)
        self.locked.setTristate(False)
        self.locked.setChecked(one.locked)
        made = provenance_text(one.provenance)
        self.told.setText(shape_text(one) + (f"\nMade by {made}" if made else ""))
        rows = [*measures(w.document.table([one.id]), w.pixel_size), *details(one)]
        plane = [f"{axis} {at + 1}" for axis, at in zip("zt", one.plane, strict=True) if at]
        if plane:
            rows.append(("Plane", ", ".join(plane)))
        self.details.show_rows([*rows, ("Id", str(one.id))])

    def _sum_up(self) -> None:
        w = self._workspace
        ids, snapshot = w.selection.ids, w.document.snapshot()
        if len(ids) <= AT_ONCE:
            self._show_several(Summary.of(snapshot.table(ids)))
            return
        self.told.setText(f"{len(ids):,} annotations")
        self.details.show_rows([])

        def done(job: Job[Summary]) -> None:
            if job is self._job and job.state == "done" and job.result is not None:
                self._job = None
                self._show_several(job.result)

        self._job = w.jobs.lane("listing").submit(
            lambda task: Summary.of(snapshot.table(ids), task), key="sum up", done=done
        )

    def _show_several(self, found: Summary) -> None:
        w = self._workspace
        self._show_class(list(found.classes))
        classes = list(found.classes)
        color = w.document.class_color(classes[0]) if len(classes) == 1 else NO_COLOR
        self._show_color(color, found.count <= AT_ONCE)
        self.color.setEnabled(found.count <= AT_ONCE)
        self.locked.setTristate(0 < found.locked < found.count)
        states = Qt.CheckState
        self.locked.setCheckState(
            states.Unchecked
            if not found.locked
            else states.Checked
            if found.locked == found.count
            else states.PartiallyChecked
        )
        self.told.setText(f"{found.count:,} annotations")
        rows = [("Area together", area_text(found.area, w.pixel_size))] if found.area else []
        rows += [(name or "Unclassified", f"{count:,}") for name, count in found.classes.items()]
        self.details.show_rows(rows)

    def _show_class(self, names: list[str | None]) -> None:
        self.kind.clear()
        self.kind.addItem(theme.swatch(NO_COLOR), "No class", None)
        for one in self._workspace.document.classes:
            self.kind.addItem(theme.swatch(one.color), one.name, one.name)
        self.kind.setCurrentIndex(self.kind.findData(names[0]) if len(names) == 1 else -1)

    def _show_color(self, color: tuple[int, int, int], own: bool) -> None:
        self.color.setEnabled(True)
        self.color.setIcon(theme.swatch(color))
        self.color.setText("Its own" if own and self._of else "Of the class" if self._of else "Choose…")
        self.reset.setVisible(own)

    def _folded(self, on: bool) -> None:
        self.setMaximumHeight(_MOST if on else self.fold.sizeHint().height() + 8)
        self.setMinimumHeight(150 if on else self.fold.sizeHint().height() + 8)
        if on != bool(self._workspace.settings[_SETTING]):
            self._workspace.settings[_SETTING] = on
        if on and self._stale:
            self.refresh()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if self._stale:
            self.refresh()

    # What the user does

    def open(self) -> None:
        """Unfold, and let the keyboard into the first field."""
        self.fold.setChecked(True)
        self.refresh()
        first = self.name if self._of is not None else self.kind
        first.setFocus(Qt.FocusReason.ShortcutFocusReason)
        if first is self.name:
            self.name.selectAll()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self.name and isinstance(event, QKeyEvent) and _is_escape(event) and self._of:
            self.name.setText(self._workspace.document.get(self._of).name)
            self.left.emit()
            return True
        if watched is self.description and isinstance(event, QKeyEvent):
            if _is_escape(event):
                self.left.emit()
                return True
            if event.type() == QEvent.Type.ShortcutOverride and event.key() == Qt.Key.Key_Escape:
                event.accept()
                return True
        return super().eventFilter(watched, event)

    def _keep_typed(self) -> None:
        """Keep what was typed for the annotation that was shown, before another one is."""
        if self._of is not None and [self._of] != list(self._workspace.selection.ids[:2]):
            self._guard(self._rename)()
            self._guard(self._describe)()

    def _rename(self) -> None:
        name = self.name.text().strip()
        self._change("Rename annotation", lambda one: replace(one, name=name))

    def _describe(self) -> None:
        text = self.description.toPlainText().strip()

        def change(one: Annotation) -> Annotation:
            others = {name: value for name, value in one.metadata.items() if name != DESCRIPTION}
            return replace(one, metadata={**others, DESCRIPTION: text} if text else others)

        self._change("Change notes", change)

    def _change(self, title: str, change: Callable[[Annotation], Annotation]) -> None:
        """Change the annotation that is shown, unless that would leave it as it is."""
        document = self._workspace.document
        if self._of is None or self._of not in document:
            return
        one = document.get(self._of)
        changed = change(one)
        if changed != one:
            self._workspace.do(document.replacing([changed], title))

    def _choose_color(self) -> None:
        dialog = QColorDialog(self)
        dialog.setWindowTitle("Color of the Annotation")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.colorSelected.connect(
            self._guard(lambda color: self._set_color((color.red(), color.green(), color.blue())))
        )
        dialog.open()

    def _set_color(self, color: tuple[int, int, int] | None) -> None:
        self._workspace.editing.set_color(color)


def _is_escape(event: QKeyEvent) -> bool:
    return event.type() == QEvent.Type.KeyPress and event.key() == Qt.Key.Key_Escape
