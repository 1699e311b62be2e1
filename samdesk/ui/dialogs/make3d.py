"""The Make 3D dialog: what the engine will see, what may go wrong, which engine, and its options.

Must not know how objects are made.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QRectF, QSizeF, Qt, QTimer
from PySide6.QtCore import Signal as QtSignal
from PySide6.QtGui import QColor, QFont, QIcon, QImage, QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from samdesk.app.jobs import Job
from samdesk.app.reconstruction import MOST, ReconJob
from samdesk.app.reconstruction.desk import config_of, name_of, title_of
from samdesk.app.workspace import Workspace
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Plane, Shape, ShapeKind
from samdesk.recon.engines import RECON_ENGINES, ReconSpec
from samdesk.recon.options import ReconOptions
from samdesk.sdk import Image
from samdesk.sdk.reconstruction import Finding, Preflight, mask_of, picture_of
from samdesk.ui import theme
from samdesk.ui.dialogs.book import Window
from samdesk.ui.fold import Fold
from samdesk.weights.transfer import duration_text

from .engines3d import SETTING, Guard, lacking, listed
from .lines import Line, Lines

LAST_ENGINE, LAST_OPTIONS = "engine3d", "options3d"
"""Settings that keep what was chosen last; options without those at their defaults."""

PREFERRED = ("sam3d", "sam3dcpp", "relief")
"""Until one was chosen, the first of these that is set up."""

THUMB = 240
"""Side of the picture in the dialog, in pixels of the screen."""

OUTLINE = (74, 141, 246)
"""The color around the objects in the picture, red, green, blue."""

MOST_LINES = 24
"""With more findings than this the first are shown."""

WIDTH = 600
"""Of the dialog."""

DIMMED = 0.42
"""What is not of the object keeps this part of its brightness in the picture."""


@dataclass(frozen=True, slots=True)
class Option:
    """How one of the `ReconOptions` is asked for.

    Attributes
    ----------
    name, title, tip : str
    low, high : int
        Limits of a number.
    """

    name: str
    title: str
    tip: str
    low: int = 0
    high: int = 0


OPTIONS = (
    Option("seed", "Seed", "The same seed gives the same object again", 0, 2**31 - 1),
    Option("steps_shape", "Steps for the shape", "Fewer are faster and coarser", 1, 200),
    Option("steps_look", "Steps for the look", "Fewer are faster and coarser", 1, 200),
    Option("splat", "Splat", "Gaussian splats: the look of the object, from all sides"),
    Option("mesh", "Mesh", "A surface, for other programs and for printing"),
    Option("distill_shape", "Quick shape", "The distilled model of the shape: a little less detail"),
    Option("distill_look", "Quick look", "The distilled model of the look: a little less detail"),
    Option("light_splat", "Light splat", "An eighth of the Gaussians"),
    Option("layout", "Refine the place", "Fit the object's place to the picture"),
    Option("clean_mesh", "Clean the mesh", "Simplify it and fill its holes; needs CUDA"),
    Option(
        "texture", "Bake a texture", "Instead of vertex colours; its packages are for non-commercial use only"
    ),
    Option("preview", "Early preview", "Show the points of the first stage while the rest is made"),
)
"""In the order in which they are shown; numbers first."""


class Makes(Protocol):
    """Who judges and makes 3D objects in the background."""

    def preflight(
        self, ids: Iterable[uuid.UUID], engine: str, done: Callable[[Job[Preflight]], None]
    ) -> Job[Preflight]: ...
    def make(self, ids: Iterable[uuid.UUID], engine: str, options: ReconOptions) -> ReconJob: ...


class Thumb(QWidget):
    """The picture that the engine will see, the objects in full light and outlined."""

    def __init__(self) -> None:
        super().__init__()
        self.setFixedSize(THUMB, THUMB)
        self.setAccessibleName("The picture for the engine")
        self.picture: QImage | None = None

    def show_picture(self, picture: QImage | None) -> None:
        """Show a picture; None when there is none."""
        self.picture = picture
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        chosen = theme.colors()
        painter = QPainter(self)
        painter.setRenderHints(QPainter.RenderHint.Antialiasing | QPainter.RenderHint.SmoothPixmapTransform)
        painter.setPen(QColor(chosen["line"]))
        painter.setBrush(QColor(chosen["alternate"]))
        painter.drawRoundedRect(self.rect().toRectF().adjusted(0.5, 0.5, -0.5, -0.5), 6, 6)
        if self.picture is None:
            return
        place = QRectF(0, 0, THUMB - 10, THUMB - 10)
        size = QSizeF(self.picture.size()).scaled(place.size(), Qt.AspectRatioMode.KeepAspectRatio)
        place.setSize(size)
        place.moveCenter(self.rect().toRectF().center())
        painter.drawImage(place, self.picture)


def lit_picture(image: Image, plane: Plane, shapes: Sequence[Shape], spec: ReconSpec) -> QImage | None:
    """What an engine will see of these shapes, small, with all but the objects dimmed; reads pixels.

    None when there is nothing to be seen.
    """
    try:
        picture = picture_of(image, shapes, replace(spec, max_side=2 * THUMB), plane)
    except SamdeskError:
        return None  # the findings say why
    areas = [shape for shape in shapes if shape.kind is ShapeKind.AREA]
    mask = np.logical_or.reduce([mask_of(picture, shape) for shape in areas])
    shown = (picture.pixels * DIMMED).astype(np.uint8)
    shown[mask] = picture.pixels[mask]
    edges, _ = cv2.findContours(mask.view(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    wide = max(1, round(max(mask.shape) / THUMB))
    cv2.drawContours(shown, edges, -1, OUTLINE, wide, cv2.LINE_AA)
    return _image(shown)


def _image(pixels: NDArray[np.uint8]) -> QImage:
    height, width = pixels.shape[:2]
    kept = np.ascontiguousarray(pixels)
    return QImage(kept.data, width, height, 3 * width, QImage.Format.Format_RGB888).copy()


class OptionsForm(QWidget):
    """The options that an engine heeds.

    Attributes
    ----------
    changed : Signal()
    """

    changed = QtSignal()

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__()
        known = ReconOptions.from_json(values).to_json()
        self.editors: dict[str, QCheckBox | QSpinBox] = {}
        self._form = QFormLayout()
        self._form.setContentsMargins(0, 0, 0, 0)
        self._form.setVerticalSpacing(8)
        self._form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.FieldsStayAtSizeHint)
        self._switches = QGridLayout()
        self._switches.setContentsMargins(0, 0, 0, 0)
        self._switches.setHorizontalSpacing(24)
        self._switches.setVerticalSpacing(8)
        self._switches.setColumnStretch(2, 1)
        for row in OPTIONS:
            self._add(row, known[row.name])
        layout = QVBoxLayout(self)
        layout.setContentsMargins(18, 2, 0, 0)
        layout.setSpacing(10)
        layout.addLayout(self._form)
        layout.addLayout(self._switches)

    def _add(self, row: Option, value: Any) -> None:
        editor: QCheckBox | QSpinBox
        if isinstance(value, bool):
            editor = QCheckBox(row.title, self)
            editor.setChecked(value)
            editor.toggled.connect(lambda _: self.changed.emit())
        else:
            editor = QSpinBox(self)
            editor.setRange(row.low, row.high)
            editor.setValue(value)
            editor.setFixedWidth(editor.fontMetrics().horizontalAdvance("2147483647") + 44)
            editor.valueChanged.connect(lambda _: self.changed.emit())
            self._form.addRow(row.title, editor)
        editor.setToolTip(row.tip)
        editor.setAccessibleName(row.title)
        editor.setAccessibleDescription(row.tip)
        self.editors[row.name] = editor

    def show_for(self, heeded: Collection[str]) -> None:
        """Offer these options and hide the others."""
        place = 0
        for row in OPTIONS:
            editor, offered = self.editors[row.name], row.name in heeded
            if isinstance(editor, QSpinBox):
                self._form.setRowVisible(editor, offered)
                continue
            self._switches.removeWidget(editor)
            editor.setVisible(offered)
            if offered:
                self._switches.addWidget(editor, *divmod(place, 2))
                place += 1

    @property
    def options(self) -> ReconOptions:
        """What is chosen, also of what is hidden now."""
        return ReconOptions.from_json(
            {
                name: one.isChecked() if isinstance(one, QCheckBox) else one.value()
                for name, one in self.editors.items()
            }
        )


class Make3DDialog(QDialog):
    """Shows what will be made of the selected annotations, and makes it.

    Parameters
    ----------
    workspace : Workspace
        Its selection is taken as it is now.
    makes : Reconstructions
    guard : callable
        Turns what a slot raises into a notice of the window.
    set_up : callable
        Shows the settings of the engine of this name.

    Attributes
    ----------
    made : Signal(ReconJob)
        The job that was begun; the dialog closes.
    """

    made = QtSignal(object)

    def __init__(
        self,
        parent: QWidget | None,
        workspace: Workspace,
        makes: Makes,
        guard: Guard,
        set_up: Callable[[str], object],
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Make 3D")
        self._workspace = workspace
        self._makes = makes
        self._guard = guard
        self._set_up = set_up
        self._ids = tuple(workspace.selection.ids)
        self._annotations = tuple(workspace.document.get(one) for one in self._ids[:MOST])
        self._judging: Job[Preflight] | None = None
        self._drawing: Job[QImage | None] | None = None
        self._judged: Preflight | None = None
        self._failed: SamdeskError | None = None
        self._build()
        self._listen()
        self.choose_engine(self._first_choice())

    # Building

    def _build(self) -> None:
        layout = QVBoxLayout(self)
        layout.setSpacing(12)
        layout.addLayout(self._build_look())
        layout.addLayout(self._build_engine())
        layout.addWidget(self.about)
        self.options = OptionsForm(self._workspace.settings[LAST_OPTIONS])
        self.options.changed.connect(self._guard(self._show_findings))
        self.more = Fold("More", self.options)
        self.more.toggled.connect(lambda _: QTimer.singleShot(0, self, self._fit))
        layout.addWidget(self.more)
        layout.addWidget(self.options)
        layout.addStretch(1)
        layout.addWidget(self._build_buttons())
        self.setMinimumWidth(WIDTH)

    def _build_look(self) -> QHBoxLayout:
        self.thumb = Thumb()
        title = QLabel(title_of(tuple(name_of(one) for one in self._annotations)))
        title.setTextFormat(Qt.TextFormat.PlainText)
        title.setWordWrap(True)
        font = QFont(title.font())
        font.setPointSizeF(font.pointSizeF() * 1.25)
        font.setWeight(QFont.Weight.DemiBold)
        title.setFont(font)
        self.facts = QLabel()
        self.facts.setProperty("role", "muted")
        self.facts.setWordWrap(True)
        self.facts.setMinimumHeight(2 * self.fontMetrics().lineSpacing())
        self.facts.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
        self.findings = Lines("What may go wrong")
        around = QScrollArea()
        around.setFrameShape(QFrame.Shape.NoFrame)
        around.setWidgetResizable(True)
        around.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        around.setWidget(self.findings)
        self.findings.setAutoFillBackground(False)
        around.viewport().setAutoFillBackground(False)
        told = QVBoxLayout()
        told.setSpacing(4)
        told.addWidget(title)
        told.addWidget(self.facts)
        told.addSpacing(4)
        told.addWidget(around, 1)
        row = QHBoxLayout()
        row.setSpacing(14)
        row.addWidget(self.thumb, 0, Qt.AlignmentFlag.AlignTop)
        row.addLayout(told, 1)
        return row

    def _build_engine(self) -> QHBoxLayout:
        self.engine = QComboBox()
        self.engine.setAccessibleName("3D engine")
        for spec in RECON_ENGINES.values():
            self.engine.addItem(spec.label, spec.name)
        self.engine.currentIndexChanged.connect(self._guard(lambda *_: self._engine_chosen()))
        self.set_up = QPushButton("Set Up…")
        self.set_up.setAutoDefault(False)
        self.set_up.setToolTip("Where the engine is, and a check of what it needs")
        self.set_up.clicked.connect(self._guard(lambda *_: self._set_up(self.spec.name)))
        kept = self.set_up.sizePolicy()
        kept.setRetainSizeWhenHidden(True)
        self.set_up.setSizePolicy(kept)
        self.about = QLabel()
        self.about.setProperty("role", "muted")
        self.about.setWordWrap(True)
        self.about.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
        label = QLabel("Engine")
        label.setBuddy(self.engine)
        row = QHBoxLayout()
        row.setSpacing(10)
        row.addWidget(label)
        row.addWidget(self.engine, 1)
        row.addWidget(self.set_up)
        return row

    def _build_buttons(self) -> QDialogButtonBox:
        box = QDialogButtonBox()
        count = len(self._ids)
        self.make = box.addButton(
            "Make 3D" if count == 1 else f"Make {count:,} Objects", QDialogButtonBox.ButtonRole.AcceptRole
        )
        self.make.setDefault(True)
        give_up = box.addButton(QDialogButtonBox.StandardButton.Cancel)
        for one in (self.make, give_up):
            one.setIcon(QIcon())
        box.accepted.connect(self._guard(self._make))
        box.rejected.connect(self.reject)
        return box

    def _listen(self) -> None:
        settings = self._workspace.settings
        settings.changed.connect(self._setting_changed)
        self.finished.connect(self._stop)
        changed, slot = settings.changed, self._setting_changed
        self.destroyed.connect(lambda: changed.disconnect(slot, missing_ok=True))

    # The engine

    @property
    def spec(self) -> ReconSpec:
        """Of the engine that is chosen."""
        return RECON_ENGINES[self.engine.currentData()]

    @property
    def lacks(self) -> tuple[str, ...]:
        """What the chosen engine was not told."""
        return self._lacking(self.spec)

    def choose_engine(self, name: str) -> None:
        """Choose the engine of this name."""
        index = self.engine.findData(name)
        if index == self.engine.currentIndex():
            self._engine_chosen()
        else:
            self.engine.setCurrentIndex(index)

    def _lacking(self, spec: ReconSpec) -> tuple[str, ...]:
        return lacking(spec, config_of(self._workspace.settings, spec.name))

    def _first_choice(self) -> str:
        last = self._workspace.settings[LAST_ENGINE]
        names = [name for name in (last, *PREFERRED) if name in RECON_ENGINES]
        return next(name for name in names if not self._lacking(RECON_ENGINES[name]))

    def _engine_chosen(self) -> None:
        spec = self.spec
        self.about.setText(spec.about)
        self.set_up.setVisible(bool(spec.fields))
        self.options.show_for(spec.options)
        self.more.setVisible(bool(spec.options))
        self._look()
        QTimer.singleShot(0, self, self._fit)

    def _setting_changed(self, name: str) -> None:
        if name == SETTING:
            self._show_findings()

    # The look before the run

    def _look(self) -> None:
        """Ask for the findings and the picture; what was asked for before is given up."""
        self._stop()
        self._judged = self._failed = None
        if len(self._ids) > MOST:
            hint = "Select fewer, or use “samdesk make3d” for many."
            self._failed = SamdeskError(f"At most {MOST:,} objects can be made at once.", hint)
            self._show_findings()
            return
        try:
            self._judging = self._makes.preflight(self._ids, self.spec.name, self._looked)
        except SamdeskError as error:
            self._failed = error
        self._draw()
        self._show_findings()

    def _looked(self, job: Job[Preflight]) -> None:
        if job is self._judging:  # else another engine was chosen since
            self._judging, self._judged, self._failed = None, job.result, job.error
            self._show_findings()

    def _draw(self) -> None:
        """Show the part of the image that the engine will see."""
        image, plane, spec = self._workspace.image, self._annotations[0].plane, self.spec
        shapes = [one.shape for one in self._annotations]
        if image is not None:
            self._drawing = self._workspace.jobs.lane("tiles").submit(
                lambda task: lit_picture(image, plane, shapes, spec), done=self._drawn
            )

    def _drawn(self, job: Job[QImage | None]) -> None:
        if job is self._drawing:
            self._drawing = None
            self.thumb.show_picture(job.result)

    def _stop(self) -> None:
        for job in (self._judging, self._drawing):
            if job is not None:
                job.cancel()
        self._judging = self._drawing = None

    def _show_findings(self) -> None:
        found = self._own_findings()
        if self._judged is not None:
            found += self._judged.findings
        left = len(found) - MOST_LINES
        shown = found if left <= 0 else [*found[:MOST_LINES], Finding("info", f"And {left:,} more.")]
        self.findings.show_lines([Line(one.level, one.text, hint=one.hint) for one in shown])
        self.facts.setText(self._facts())
        self.make.setEnabled(self._judged is not None and all(one.level != "error" for one in found))

    def _own_findings(self) -> list[Finding]:
        found = []
        if self.lacks:
            what = listed(self.lacks)
            found.append(Finding("error", f"{self.spec.title} is not set up.", f"Tell where it is: {what}."))
        if not (self.options.options.splat or self.options.options.mesh):
            found.append(Finding("error", "Nothing is to be made.", "Tick splat or mesh under “More”."))
        if self._failed:
            found.append(Finding("error", self._failed.message, self._failed.hint))
        if not self._workspace.editable:
            hint = "The objects are listed with the jobs, but not kept with the annotations."
            found.append(Finding("warning", "This document cannot be changed.", hint))
        return found

    def _facts(self) -> str:
        judged = self._judged
        if judged is None:
            return "" if self._failed else "Looking at the outline…"
        if judged.crop.is_empty:
            return ""
        if judged.seconds is None:
            time = "How long it takes is learnt from the first run."
        else:
            time = f"It takes about {duration_text(max(judged.seconds, 1))}."
        if judged.downsample > 1:
            return time  # a finding tells the scale
        return f"The engine sees {judged.width:,} × {judged.height:,} px in full resolution.\n{time}"

    # What the user does

    def _make(self) -> None:
        if not self.make.isEnabled():
            return
        options = self.options.options
        job = self._makes.make(self._ids, self.spec.name, options)
        usual = ReconOptions().to_json()
        chosen = {name: value for name, value in options.to_json().items() if value != usual[name]}
        self._workspace.settings[LAST_ENGINE] = self.spec.name
        self._workspace.settings[LAST_OPTIONS] = chosen
        self.made.emit(job)
        self.accept()

    def _fit(self) -> None:
        """As high as its content."""
        self.resize(self.width(), self.sizeHint().height())

    # Qt's events

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() is QEvent.Type.PaletteChange and hasattr(self, "make"):
            self.findings.restyle()


def make(window: Window, about: str) -> Make3DDialog:
    """What will be made of the selection."""
    w = window.workspace
    dialog = Make3DDialog(
        window,
        w,
        w.reconstructions,
        window.bridge.guarded,
        lambda engine: window.show_dialog("engines3d", engine),
    )
    dialog.made.connect(lambda job: window.show_making(job.id))
    return dialog
