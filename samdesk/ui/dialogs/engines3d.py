"""The settings of the 3D engines: one page each, made from the table, and a check of what they need.

A change takes effect at once. Must not know how an engine is checked or run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Protocol

from PySide6.QtCore import QEvent, Qt
from PySide6.QtCore import Signal as QtSignal
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QFont
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QSpinBox,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from samdesk.app.jobs import Job
from samdesk.app.reconstruction.desk import config_of
from samdesk.app.settings import Settings
from samdesk.recon.client import CheckItem
from samdesk.recon.engines import RECON_ENGINES, ReconField, ReconSpec
from samdesk.ui import theme
from samdesk.ui.dialogs.book import Window
from samdesk.ui.fold import Fold

from .lines import Level, Line, Lines

Guard = Callable[[Callable[..., object]], Callable[..., None]]
Checked = Job[tuple[CheckItem, ...]]

SETTING = "recon"
"""The setting that keeps what was told: {engine: {field: value}}, without what is at its default."""

MOST = 1 << 16
"""The largest number that a field takes."""

INTERPRETER = "python"
"""The field of the interpreter that an engine is installed in. Without it there is nothing to look at: in
samdesk's own interpreter the engine is not."""

ORDER = (False, None, True)
"""What is missing comes first, as it asks for something to be done."""

WORDS = {True: "ok", False: "missing", None: "not known"}


class AskPlaces(Protocol):
    """Where files and folders are; only a person knows."""

    def open_files(self, title: str, filters: str) -> list[Path]: ...
    def open_folder(self, title: str) -> Path | None: ...


class Checks(Protocol):
    """Who can check an engine in the background."""

    def check(self, engine: str, config: Mapping[str, Any], done: Callable[[Checked], None]) -> Checked: ...


def lacking(spec: ReconSpec, config: Mapping[str, Any]) -> tuple[str, ...]:
    """Titles of what an engine needs and was not told."""
    return tuple(one.title for one in _untold(spec, config))


def _untold(spec: ReconSpec, config: Mapping[str, Any]) -> list[ReconField]:
    return [one for one in spec.fields if one.needed and not config.get(one.name, one.default)]


def not_told(spec: ReconSpec, config: Mapping[str, Any]) -> tuple[CheckItem, ...]:
    """What a check knows to be missing without a look at the computer."""
    missing = _untold(spec, config)
    items = [CheckItem(one.title, False, "not chosen", f"{one.tip}.") for one in missing]
    if any(one.name == INTERPRETER for one in missing):
        items.append(CheckItem("All else", None, "not looked at", "Choose the Python first."))
    return tuple(items)


class PathEdit(QLineEdit):
    """The path of a file or folder; what is dropped on it is taken as a path and not as a link."""

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if any(url.isLocalFile() for url in event.mimeData().urls()):
            event.acceptProposedAction()
        else:
            super().dragEnterEvent(event)

    def dropEvent(self, event: QDropEvent) -> None:
        found = [url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile()]
        if not found:
            super().dropEvent(event)
            return
        self.setText(found[0])
        self.editingFinished.emit()
        event.acceptProposedAction()


def line_of(item: CheckItem) -> Line:
    """A line of what a check found."""
    level: Level = "ok" if item.ok else "unknown" if item.ok is None else "error"
    return Line(level, item.detail, item.name, "" if item.ok else item.hint, WORDS[item.ok])


class EnginePage(QWidget):
    """What one engine is, what it has to be told, and whether that is enough.

    Attributes
    ----------
    changed : Signal()
        The user told something else.
    """

    changed = QtSignal()

    def __init__(
        self, spec: ReconSpec, config: Mapping[str, Any], checks: Checks, ask: AskPlaces, guard: Guard
    ) -> None:
        super().__init__()
        self.spec = spec
        self._checks = checks
        self._ask = ask
        self._guard = guard
        self._job: Checked | None = None
        self._trouble = False
        self._fresh = False
        self.items: tuple[CheckItem, ...] = ()
        self._values = {one.name: _told(one, config) for one in spec.fields}
        self.editors: dict[str, QWidget] = {}
        self._build()
        self._show_state()

    @property
    def config(self) -> dict[str, Any]:
        """What was told, without what is at its default."""
        return {one.name: v for one in self.spec.fields if (v := self._values[one.name]) != one.default}

    @property
    def checking(self) -> bool:
        return self._job is not None

    # Building

    def _build(self) -> None:
        title = QLabel(self.spec.label)
        font = QFont(title.font())
        font.setPointSizeF(font.pointSizeF() * 1.25)
        font.setWeight(QFont.Weight.DemiBold)
        title.setFont(font)
        about = QLabel(self.spec.about)
        about.setWordWrap(True)
        self.links = QLabel()
        self.links.setTextFormat(Qt.TextFormat.RichText)
        self.links.setOpenExternalLinks(True)
        self.links.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
        self.links.setAccessibleName("Licence")
        inside = QWidget()
        within = QVBoxLayout(inside)
        within.setContentsMargins(16, 4, 12, 4)
        within.setSpacing(6)
        within.addWidget(title)
        within.addWidget(about)
        within.addWidget(self.links)
        within.addSpacing(6)
        self._build_fields(within)
        self.found = Lines("What the check found")
        within.addWidget(self.found)
        within.addStretch(1)
        self.area = QScrollArea()
        self.area.setFrameShape(QFrame.Shape.NoFrame)
        self.area.setWidgetResizable(True)
        self.area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.area.setWidget(inside)
        self.area.verticalScrollBar().rangeChanged.connect(self._grown)
        self.area.verticalScrollBar().actionTriggered.connect(lambda _: self._scrolled())
        inside.setAutoFillBackground(False)
        self.area.viewport().setAutoFillBackground(False)
        below = self._check_row()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(self.area, 1)
        layout.addLayout(below)
        self._color()

    def _build_fields(self, layout: QVBoxLayout) -> None:
        needed = [one for one in self.spec.fields if one.needed]
        more = [one for one in self.spec.fields if not one.needed]
        if needed:
            layout.addLayout(self._form(needed))
        if more:
            below = QWidget()
            below.setLayout(self._form(more))
            self.more = Fold("More", below)
            layout.addWidget(self.more)
            layout.addWidget(below)
            # what was set is seen
            self.more.setChecked(any(one.name in self.config for one in more))

    def _form(self, rows: Sequence[ReconField]) -> QFormLayout:
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.setVerticalSpacing(8)
        widest = max(self.fontMetrics().horizontalAdvance(one.title) for one in self.spec.fields)
        for row in rows:
            editor = self._editor(row)
            if row.kind == "switch":
                form.addRow("", editor)
                continue
            label = QLabel(row.title)
            label.setMinimumWidth(widest)
            label.setBuddy(self.editors[row.name])
            form.addRow(label, editor)
        return form

    def _editor(self, row: ReconField) -> QWidget:
        make = {
            "file": self._place,
            "folder": self._place,
            "text": self._text,
            "number": self._number,
            "switch": self._switch,
            "choice": self._choice,
        }[row.kind]
        return make(row)

    def _named(self, row: ReconField, editor: QWidget) -> None:
        editor.setToolTip(row.tip)
        editor.setAccessibleName(row.title)
        editor.setAccessibleDescription(row.tip)
        self.editors[row.name] = editor

    def _place(self, row: ReconField) -> QWidget:
        edit = PathEdit(str(self._values[row.name]))
        edit.setPlaceholderText("Needed" if row.needed else "")
        edit.editingFinished.connect(lambda: self._set(row.name, _plain(edit.text())))
        self._named(row, edit)
        choose = QPushButton("Choose…")
        choose.setAutoDefault(False)
        choose.setAccessibleName(f"Choose {row.title}")
        choose.clicked.connect(self._guard(lambda *_: self._choose(row, edit)))
        line = QHBoxLayout()
        line.setSpacing(6)
        line.addWidget(edit, 1)
        line.addWidget(choose)
        tip = QLabel(row.tip)
        tip.setProperty("role", "muted")
        tip.setWordWrap(True)
        both = QWidget()
        layout = QVBoxLayout(both)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addLayout(line)
        layout.addWidget(tip)
        return both

    def _text(self, row: ReconField) -> QWidget:
        edit = QLineEdit(str(self._values[row.name]))
        edit.editingFinished.connect(lambda: self._set(row.name, _plain(edit.text())))
        self._named(row, edit)
        return edit

    def _number(self, row: ReconField) -> QWidget:
        box = QSpinBox()
        box.setKeyboardTracking(False)
        box.setRange(0, MOST)
        box.setValue(int(self._values[row.name]))
        box.valueChanged.connect(lambda value: self._set(row.name, value))
        self._named(row, box)
        return box

    def _switch(self, row: ReconField) -> QWidget:
        box = QCheckBox(row.title)
        box.setChecked(bool(self._values[row.name]))
        box.toggled.connect(lambda on: self._set(row.name, on))
        self._named(row, box)
        return box

    def _choice(self, row: ReconField) -> QWidget:
        box = QComboBox()
        for value, title in row.choices:
            box.addItem(title, value)
        box.setCurrentIndex(max(0, box.findData(self._values[row.name])))
        box.currentIndexChanged.connect(lambda index: self._set(row.name, box.itemData(index)))
        self._named(row, box)
        return box

    def _check_row(self) -> QVBoxLayout:
        self.check = QPushButton("Check")
        self.check.setToolTip("Look for everything that the engine needs; nothing is loaded or fetched")
        self.check.setMinimumWidth(self.fontMetrics().horizontalAdvance("Cancel") + 40)
        self.check.clicked.connect(self._guard(lambda *_: self._pressed()))
        self.state = QLabel()
        self.state.setWordWrap(True)
        self.state.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.progress = QProgressBar()
        self.progress.setRange(0, 0)
        self.progress.setTextVisible(False)
        self.progress.setFixedHeight(3)
        self.progress.setAccessibleName("Checking")
        kept = self.progress.sizePolicy()
        kept.setRetainSizeWhenHidden(True)
        self.progress.setSizePolicy(kept)
        row = QHBoxLayout()
        row.setSpacing(10)
        row.addWidget(self.check)
        row.addWidget(self.state, 1)
        both = QVBoxLayout()
        both.setContentsMargins(16, 0, 12, 0)
        both.setSpacing(6)
        both.addWidget(self.progress)
        both.addLayout(row)
        return both

    # What the user does

    def _set(self, name: str, value: object) -> None:
        if self._values[name] == value:
            return
        self._values[name] = value
        self._fresh = False
        self.stop()
        self._show_items(())
        self._show_state()
        self.changed.emit()

    def _choose(self, row: ReconField, edit: QLineEdit) -> None:
        title = f"{row.title} of {self.spec.title}"
        if row.kind == "folder":
            found = self._ask.open_folder(title)
        else:
            found = next(iter(self._ask.open_files(title, "All files (*)")), None)
        if found is not None:
            edit.setText(str(found))
            self._set(row.name, str(found))

    def _pressed(self) -> None:
        if self._job is not None:
            self.stop()
        else:
            self.start()

    def start(self) -> None:
        """Check in the background; without an interpreter only what was not told is listed."""
        self.stop()
        self._show_items(())
        if any(one.name == INTERPRETER for one in _untold(self.spec, self.config)):
            self._fresh = True
            self._show_items(not_told(self.spec, self.config))
        else:
            self._job = self._checks.check(self.spec.name, self.config, self._checked)
        self._show_state()

    def stop(self) -> None:
        """Give up the check that is under way."""
        job, self._job = self._job, None
        if job is not None:
            job.cancel()
            self._show_state()

    def _checked(self, job: Checked) -> None:
        if job is not self._job:
            return  # given up, or another one was begun since
        self._job = None
        if job.result is not None:
            self._fresh = True
            found = {item.name for item in job.result}
            untold = [item for item in not_told(self.spec, self.config) if item.name not in found]
            self._show_items([*untold, *job.result])
        self._show_state(f"{job.error.message} {job.error.hint}".strip() if job.error else "")

    def _grown(self, _low: int, high: int) -> None:
        """Bring what was found into view, until the user scrolls."""
        if self._fresh:
            self.area.verticalScrollBar().setValue(min(self.found.geometry().top(), high))

    def _scrolled(self) -> None:
        self._fresh = False

    # What is shown

    def _show_items(self, items: Sequence[CheckItem]) -> None:
        self.items = tuple(sorted(items, key=lambda item: ORDER.index(item.ok)))
        self.found.show_lines([line_of(item) for item in self.items])

    def _show_state(self, failed: str = "") -> None:
        self.check.setText("Cancel" if self.checking else "Check")
        self.progress.setVisible(self.checking)
        text, self._trouble = (failed, True) if failed else self._summary()
        self.state.setText(text)
        self._color()

    def _summary(self) -> tuple[str, bool]:
        items = self.items
        if self.checking:
            return "Checking…", False
        if not items:
            missing = lacking(self.spec, self.config)
            return (f"Not set up: {listed(missing)} {_are(missing)} missing." if missing else ""), False
        bad = sum(item.ok is False for item in items)
        unsure = sum(item.ok is None for item in items)
        if bad:
            return f"{bad} of {len(items)} {'is' if bad == 1 else 'are'} missing.", True
        if unsure:
            return "Nothing is missing; not everything could be looked at.", False
        return "All is there.", False

    def _color(self) -> None:
        chosen = theme.colors()
        self.state.setStyleSheet(f"color: {theme.colors()['trouble'] if self._trouble else chosen['muted']};")
        self.progress.setStyleSheet(
            f"QProgressBar {{ border: 0; background: {chosen['line']}; }}"
            f"QProgressBar::chunk {{ background: {chosen['accent']}; }}"
        )
        pages = ((self.spec.licence, self.spec.licence_page), ("Home page", self.spec.homepage))
        facts = [
            f'<a style="color: {chosen["accent"]}" href="{escape(page)}">{escape(title)}</a>'
            for title, page in pages
            if page
        ]
        self.links.setText(f'<span style="color: {chosen["muted"]}">{" · ".join(facts)}</span>')
        self.links.setVisible(bool(facts))

    def restyle(self) -> None:
        """Take the colors of the present theme."""
        self._color()
        self.found.restyle()


def _told(row: ReconField, config: Mapping[str, Any]) -> Any:
    """What was told, or the default for what is missing or of another type."""
    value = config.get(row.name, row.default)
    return value if type(value) is type(row.default) else row.default


def _plain(text: str) -> str:
    """What was written, without the character that no path can hold."""
    return text.replace("\0", "").strip()


def listed(words: Sequence[str]) -> str:
    """Words as they stand in a sentence."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def _are(words: Sequence[str]) -> str:
    return "is" if len(words) == 1 else "are"


class EnginesDialog(QDialog):
    """A page for each row of the table of 3D engines.

    Parameters
    ----------
    settings : Settings
        Keeps what is told.
    checks : Reconstructions, or whoever can check
    guard : callable
        Turns what a slot raises into a notice of the window.
    engine : str
        The page to begin with.
    """

    def __init__(
        self,
        parent: QWidget | None,
        settings: Settings,
        checks: Checks,
        ask: AskPlaces,
        guard: Guard,
        engine: str = "",
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("3D Engines")
        self.resize(780, 600)
        self.setMinimumSize(640, 460)
        self._settings = settings
        self.pages: dict[str, EnginePage] = {}
        self.names = QListWidget()
        self.names.setAccessibleName("3D engines")
        self.names.setFrameShape(QFrame.Shape.NoFrame)
        self.names.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.stack = QStackedWidget()
        for spec in RECON_ENGINES.values():
            self._add(spec, config_of(settings, spec.name), checks, ask, guard)
        self.names.setFixedWidth(self.names.sizeHintForColumn(0) + 24)
        self.names.currentRowChanged.connect(self.stack.setCurrentIndex)
        both = QHBoxLayout()
        both.addWidget(self.names)
        both.addWidget(self.stack, 1)
        layout = QVBoxLayout(self)
        layout.setSpacing(10)
        layout.addLayout(both, 1)
        layout.addWidget(theme.close_button(self))
        self.finished.connect(self._stop)
        self.show_engine(engine or next((n for n in self.pages if self.pages[n].spec.fields), ""))

    def _add(
        self, spec: ReconSpec, config: Mapping[str, Any], checks: Checks, ask: AskPlaces, guard: Guard
    ) -> None:
        page = EnginePage(spec, config, checks, ask, guard)
        page.changed.connect(guard(lambda: self._keep(page)))
        self.pages[spec.name] = page
        self.names.addItem(spec.title)
        self.stack.addWidget(page)

    @property
    def page(self) -> EnginePage:
        """The page on top."""
        return list(self.pages.values())[self.stack.currentIndex()]

    def show_engine(self, name: str) -> None:
        """Turn to the page of an engine."""
        names = list(self.pages)
        self.names.setCurrentRow(names.index(name) if name in names else 0)
        self.page.check.setDefault(True)

    def _keep(self, page: EnginePage) -> None:
        kept = {name: told for name, told in self._settings[SETTING].items() if name != page.spec.name}
        self._settings[SETTING] = {**kept, page.spec.name: page.config} if page.config else kept

    def _stop(self) -> None:
        for page in self.pages.values():
            page.stop()

    # Qt's events

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() is QEvent.Type.PaletteChange and hasattr(self, "pages"):
            for page in self.pages.values():
                page.restyle()


def make(window: Window, about: str) -> EnginesDialog:
    """The settings of the 3D engines, at the page of this one."""
    w = window.workspace
    return EnginesDialog(window, window.settings, w.reconstructions, window.ask, window.bridge.guarded, about)
