"""The 3D panel: the objects of the selected annotations, and the jobs that make objects.

Must not know the viewer nor the workers: what is to be shown is told by signals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from PySide6.QtCore import (
    QSize,
    Qt,
    QUrl,
)
from PySide6.QtCore import Signal as QtSignal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from samdesk.app.jobs import Job
from samdesk.app.reconstruction import ReconJob, Reconstructions, SceneObject, scene_of
from samdesk.app.reconstruction.objects import entries
from samdesk.app.workspace import Workspace
from samdesk.domain.columns import Annotation, Color
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import ShapeKind
from samdesk.domain.tasks import Task
from samdesk.ui import theme

from .rows import JobModel, ObjectModel, RowList

Guard = Callable[[Callable[..., object]], Callable[..., None]]
Looked = tuple[tuple[SceneObject, ...], str]
"""Objects, and what to say when there are none."""

OBJECT_ROWS = 4
"""The list of objects grows up to so many rows; beyond it scrolls."""

MOST_SELECTED = 100
"""Of more than these that are selected, the first are looked at."""

MOST_TOLD = 300
"""Of a longer error the beginning is shown; the log has the rest."""

NO_SELECTION = "Select an annotation to see its 3D objects."
NO_OBJECTS = "The selection has none yet."

VERBS = {
    "queued": "Cancel",
    "running": "Cancel",
    "done": "Show",
    "failed": "Try Again",
    "cancelled": "Try Again",
}


class ReconPanel(QWidget):
    """Objects of the selection above, jobs below.

    Parameters
    ----------
    workspace : Workspace
    reconstructions : Reconstructions
    guard : callable
        Turns what a slot raises into a notice of the window.

    Attributes
    ----------
    wanted : Signal()
        Make a 3D object of what is selected.
    shown : Signal(tuple of SceneObject)
        Show these together.
    job_shown : Signal(ReconJob)
        Show what this job made.
    """

    wanted = QtSignal()
    shown = QtSignal(object)
    job_shown = QtSignal(object)

    def __init__(self, workspace: Workspace, reconstructions: Reconstructions, guard: Guard) -> None:
        super().__init__()
        self._workspace = workspace
        self._reconstructions = reconstructions
        self._guard = guard
        self._looking: Job[Looked] | None = None
        self._build()
        reconstructions.changed.connect(self.reload)
        reconstructions.progressed.connect(self._progressed)
        self.restyle()
        self.reload()
        self.show_selection()

    # Building

    def _build(self) -> None:
        above, between = self._build_objects(), self._build_jobs()
        self._build_foot()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(above)
        layout.addWidget(self.none)
        layout.addWidget(self.objects)
        layout.addLayout(between)
        layout.addWidget(self.no_jobs)
        layout.addWidget(self.jobs, 1)
        layout.addWidget(self.detail)
        layout.addWidget(self.foot)
        layout.addStretch()

    def _build_objects(self) -> QHBoxLayout:
        self.heading = QLabel("<b>3D Objects</b>")
        self.make = QPushButton("Make 3D…")
        self.make.setToolTip("Make a 3D object of each selected annotation")
        self.make.clicked.connect(lambda: self.wanted.emit())
        self.show_them = QPushButton("Show")
        self.show_them.setToolTip("Show the marked objects together, or all when none is marked")
        self.show_them.clicked.connect(self._guard(lambda *_: self._show_objects()))
        self.object_model = ObjectModel(self)
        self.objects = RowList("3D objects of the selection")
        self.objects.setModel(self.object_model)
        self.objects.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.objects.acted.connect(self._guard(self._show_objects))
        self.none = _quiet_label()
        top = QHBoxLayout()
        top.setContentsMargins(10, 8, 10, 4)
        top.setSpacing(6)
        top.addWidget(self.heading, 1)
        top.addWidget(self.show_them)
        top.addWidget(self.make)
        return top

    def _build_jobs(self) -> QHBoxLayout:
        self.job_model = JobModel(self._reconstructions, self)
        self.jobs = RowList("3D jobs")
        self.jobs.setAccessibleDescription("Enter cancels, shows or tries again; Delete removes")
        self.jobs.setModel(self.job_model)
        self.jobs.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.jobs.customContextMenuRequested.connect(self._menu)
        self.jobs.selectionModel().currentChanged.connect(lambda *_: self._show_current())
        self.jobs.acted.connect(self._guard(self._act))
        self.jobs.removed.connect(self._guard(self._remove))
        self.no_jobs = _quiet_label()
        self.no_jobs.setText("Nothing was made yet.")
        top = QHBoxLayout()
        top.setContentsMargins(10, 8, 10, 4)
        top.addWidget(QLabel("<b>3D Jobs</b>"), 1)
        return top

    def _build_foot(self) -> None:
        self.detail = QLabel()
        self.detail.setWordWrap(True)
        self.detail.setTextFormat(Qt.TextFormat.PlainText)
        self.detail.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.detail.setContentsMargins(10, 6, 10, 0)
        self.detail.setAccessibleName("What went wrong")
        self.act = self._button("Try Again", self._act)
        self.act.setMinimumWidth(self.act.sizeHint().width())  # the same for every verb
        self.again = self._button("Try Again", self._again)
        self.log = self._button("Show Log", self._show_log)
        self.log.setToolTip("Open what the engine wrote")
        self.reveal = self._icon_button("Show in Folder", self._reveal)
        self.remove = self._icon_button("Remove from this list", self._remove)
        self.foot = QWidget()
        row = QHBoxLayout(self.foot)
        row.setContentsMargins(10, 8, 10, 10)
        row.setSpacing(6)
        for one in (self.act, self.again, self.log):
            row.addWidget(one)
        row.addStretch()
        row.addWidget(self.reveal)
        row.addWidget(self.remove)

    def _button(self, text: str, does: Callable[[], object]) -> QPushButton:
        button = QPushButton(text)
        button.clicked.connect(self._guard(lambda *_: does()))
        return button

    def _icon_button(self, text: str, does: Callable[[], object]) -> QToolButton:
        button = QToolButton()
        button.setAutoRaise(True)
        button.setIconSize(QSize(18, 18))
        button.setToolTip(text)
        button.setAccessibleName(text)
        button.clicked.connect(self._guard(lambda *_: does()))
        return button

    # What is shown

    @property
    def job(self) -> ReconJob | None:
        """The job of the current row."""
        row = self.jobs.currentIndex().row()
        return self.job_model.job(row) if 0 <= row < self.job_model.rowCount() else None

    def choose_job(self, identity: str) -> None:
        """Make this job's row the current one."""
        row = self.job_model.row_of(identity)
        if row is not None:
            self.jobs.setCurrentIndex(self.job_model.index(row))

    def reload(self) -> None:
        """Follow the list of jobs; a new one becomes the current one."""
        kept, known = self.job, self.job_model.ids
        self.job_model.reload()
        some = self.job_model.rowCount() > 0
        self.jobs.setVisible(some)
        self.no_jobs.setVisible(not some)
        if some:
            newest = self.job_model.ids[0]
            self.choose_job(newest if kept is None or newest not in known else kept.id)
        self._show_current()

    def show_selection(self) -> None:
        """Follow the workspace's selection, and what is attached to it; reads the files in the background."""
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        w = self._workspace
        chosen = [w.document.get(one) for one in w.selection.ids[:MOST_SELECTED]]
        self.make.setEnabled(any(one.shape.kind is ShapeKind.AREA for one in chosen))
        with_objects = [one for one in chosen if entries(one)]
        if w.journal is None or not with_objects:
            self._show_objects_of((), NO_OBJECTS if chosen else NO_SELECTION)
            return
        document, project = w.document, w.journal.path

        def color(one: Annotation) -> Color:
            return one.color or document.class_color(one.class_name)

        def look(task: Task) -> Looked:
            try:
                return scene_of(with_objects, project, color), NO_OBJECTS
            except SamdeskError as error:
                return (), str(error)  # told here, and not in a notice at every selection

        self._looking = w.jobs.lane("io").submit(look, done=self._looked)

    def _looked(self, job: Job[Looked]) -> None:
        if job is self._looking:  # else something else was selected since
            self._looking = None
            self._show_objects_of(*(job.result or ((), NO_OBJECTS)))

    def _show_objects_of(self, objects: Sequence[SceneObject], nothing: str) -> None:
        self.object_model.show_objects(objects)
        some = bool(objects)
        self.objects.setVisible(some)
        self.none.setVisible(not some)
        self.none.setText(nothing)
        self.show_them.setEnabled(some)
        self.objects.setMaximumHeight(min(len(objects), OBJECT_ROWS) * self.objects.row_height)

    def restyle(self) -> None:
        """Take the icons and colors of the present theme."""
        self.reveal.setIcon(theme.icon("open"))
        self.remove.setIcon(theme.icon("delete"))
        self.detail.setStyleSheet(f"color: {theme.colors()['trouble']};")

    def _progressed(self, identity: str) -> None:
        self.job_model.refresh(identity)

    def _show_current(self) -> None:
        job = self.job
        state, error = (job.state, job.error) if job is not None else ("", "")
        again = job is not None and job.state == "done" and job.can_retry
        # the foot comes last, lest it be wide for a moment and the dock remain so
        self.again.setVisible(again)
        self.log.setVisible(state == "failed")
        self.detail.setVisible(bool(error))
        self.foot.setVisible(job is not None)
        if job is not None:
            self.act.setText(VERBS[job.state])
            self.reveal.setEnabled(not job.is_busy)
            self.remove.setEnabled(not job.is_busy)
            told = f"{job.error}\n{job.hint}".strip()
            self.detail.setText(told if len(told) <= MOST_TOLD else f"{told[:MOST_TOLD]}…")
            self.detail.setToolTip(told)

    def _menu(self, place: Any) -> None:
        job = self.job
        if job is None:
            return
        menu = QMenu(self)
        for text, possible, does in (
            (VERBS[job.state], True, self._act),
            ("Try Again", self.again.isVisible(), self._again),
            ("Show Log", not job.is_busy, self._show_log),
            ("Show in Folder", self.reveal.isEnabled(), self._reveal),
            ("Remove from This List", self.remove.isEnabled(), self._remove),
        ):
            if possible:
                menu.addAction(text).triggered.connect(self._guard(lambda _=False, does=does: does()))
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(self.jobs.viewport().mapToGlobal(place))

    # What the user does

    def _show_objects(self) -> None:
        marked = sorted(index.row() for index in self.objects.selectionModel().selectedIndexes())
        objects = self.object_model.objects
        chosen = tuple(objects[row] for row in marked) or objects
        if chosen:
            self.shown.emit(chosen)

    def _act(self) -> None:
        job = self.job
        if job is None:
            return
        if job.is_busy:
            self._reconstructions.cancel(job.id)
        elif job.state == "done":
            self.job_shown.emit(job)
        else:
            self._reconstructions.retry(job.id)

    def _again(self) -> None:
        if self.job is not None:
            self._reconstructions.retry(self.job.id)

    def _remove(self) -> None:
        job = self.job
        if job is not None and not job.is_busy:
            self._reconstructions.remove(job.id)

    def _reveal(self) -> None:
        if self.job is not None:
            folder = self._reconstructions.folder(self.job.id)
            if not folder.is_dir():
                raise SamdeskError(f"{folder} is not there any more.", "Make the object again.")
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder)))

    def _show_log(self) -> None:
        if self.job is not None:
            log = self._reconstructions.log(self.job.id)
            if not log.is_file():
                raise SamdeskError("There is no log of it.", "Its engine was not started.")
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(log)))


def _quiet_label() -> QLabel:
    label = QLabel()
    label.setProperty("role", "muted")
    label.setWordWrap(True)
    label.setContentsMargins(10, 2, 10, 6)
    return label
