"""The 3D dock: the view above, the objects and jobs below, and what passes between them.

Must not know how objects are drawn or made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QAbstractButton, QDockWidget, QSplitter, QWidget

from samdesk.app.jobs import Job
from samdesk.app.reconstruction import ReconJob, SceneObject
from samdesk.app.workspace import Ask, Workspace

from . import theme
from .view3d import keep_apart

if TYPE_CHECKING:
    from .panels.recon import ReconPanel
    from .view3d.view import View3D

Guard = Callable[[Callable[..., object]], Callable[..., None]]

SIZE = (460, 700)
"""Of the dock at first, logical pixels."""

TITLE_ICONS = {"qt_dockwidget_floatbutton": "float", "qt_dockwidget_closebutton": "close"}
"""The buttons of the title, by the names that Qt gives them."""


class Dock3D(QDockWidget):
    """What has to do with 3D in the window.

    Parameters
    ----------
    workspace : Workspace
    ask : Ask
        For the names of files.
    guarded : callable
        Turns what a slot raises into a notice.

    Attributes
    ----------
    changing : Signal()
        It is about to be shown or hidden, and the widths are still as they were.
    wanted : Signal()
        Make a 3D object of what is selected.
    """

    changing = Signal()
    wanted = Signal()

    def __init__(self, workspace: Workspace, ask: Ask, guarded: Guard, parent: QWidget) -> None:
        super().__init__("3D", parent)
        self.setObjectName("3d")
        self._workspace = workspace
        self._reconstructions = workspace.reconstructions
        self._ask, self._guarded = ask, guarded
        self._previewing = ""  # the job whose preview was shown last
        self._parts: tuple[View3D, ReconPanel] | None = None
        if keep_apart(self):
            self.topLevelChanged.connect(guarded(lambda _: self.view.rehouse()))
        self.topLevelChanged.connect(lambda _: self._show_title_icons())
        self.visibilityChanged.connect(guarded(lambda _: self.selection_changed()))
        self._reconstructions.finished.connect(guarded(self._finished))
        self._reconstructions.previewed.connect(guarded(self._previewed))

    @property
    def view(self) -> View3D:
        return self._made()[0]

    @property
    def panel(self) -> ReconPanel:
        return self._made()[1]

    def _made(self) -> tuple[View3D, ReconPanel]:
        """View and panel, made when they are first needed: the window comes up without them."""
        if self._parts is None:
            self._parts = self._make()
        return self._parts

    def _make(self) -> tuple[View3D, ReconPanel]:
        from .panels.recon import ReconPanel
        from .view3d.view import View3D

        view = View3D(self._workspace.jobs, self._ask, self._guarded)
        panel = ReconPanel(self._workspace, self._reconstructions, self._guarded)
        both = QSplitter(Qt.Orientation.Vertical)
        both.setChildrenCollapsible(False)
        both.addWidget(view)
        both.addWidget(panel)
        both.setStretchFactor(0, 3)
        both.setStretchFactor(1, 2)
        both.setSizes([SIZE[1] * 3 // 5, SIZE[1] * 2 // 5])
        self.setWidget(both)
        panel.shown.connect(self._guarded(self._show_scene))
        panel.job_shown.connect(self._guarded(self.show_job))
        panel.wanted.connect(self.wanted)
        return view, panel

    def selection_changed(self) -> None:
        """Follow the selection, or what its annotations know; nothing is read while nobody looks."""
        if self.isVisible():
            self.panel.show_selection()

    def show_selected(self) -> None:
        """Show the objects of what is selected."""
        self._reconstructions.scene(self._workspace.selection.ids, lambda read: self._show(read))

    def show_job(self, job: ReconJob) -> None:
        """Show what a job made."""
        image = self._workspace.image
        own = image is not None and image.source.path == job.image
        self._reconstructions.scene_of(job.id, lambda read: self._show(read, own))

    def open_files(self, files: Iterable[Path]) -> None:
        """Show files of splats and meshes."""
        self.show()
        self.view.open_files(list(files))

    def restyle(self) -> None:
        """Follow the appearance."""
        self._show_title_icons()
        for part in self._parts or ():
            part.restyle()

    def close_view(self) -> None:
        """Give GL back, before the window is destroyed."""
        if self._parts is not None:
            self.view.close_view()

    def _show(self, job: Job[tuple[SceneObject, ...]], own: bool = True) -> None:
        if job.state == "done" and job.result:
            self.show()
            self._show_scene(job.result, own)
        else:
            self.view.drop_preview()

    def _show_scene(self, objects: Sequence[SceneObject], own: bool = True) -> None:
        """Show objects; with the unit of the open image when they are of it."""
        size = self._workspace.pixel_size if own else None
        unit_px = objects[0].unit_px if len({one.unit_px for one in objects}) == 1 else None
        unit = None if size is None or unit_px is None else (unit_px * size.x, size.unit)
        self.view.show_scene(objects, unit)

    def _finished(self, job: ReconJob) -> None:
        if job.state == "done" and self.isVisible():
            self.show_job(job)
        elif job.id == self._previewing:
            self.view.drop_preview()

    def _previewed(self, identity: str, path: Path) -> None:
        job = self._reconstructions.get(identity)
        if job is None or not self.isVisible():
            return

        def shown(job_title: str, read: Job[NDArray[np.float32]]) -> None:
            now = self._reconstructions.get(identity)
            if now is not None and now.is_busy and read.state == "done" and read.result is not None:
                self._previewing = identity
                self.view.show_preview(read.result, job_title)

        self._workspace.jobs.lane("io").submit(
            lambda task: np.load(path, allow_pickle=False), key="3d preview", done=partial(shown, job.title)
        )

    def _show_title_icons(self) -> None:
        """In the color of the text; those of the style, which Qt sets again and again, are always dark."""
        for name, icon in TITLE_ICONS.items():
            button = self.findChild(QAbstractButton, name, Qt.FindChildOption.FindDirectChildrenOnly)
            if button is not None:
                button.setIcon(theme.icon(icon))

    # Qt's overrides

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() is QEvent.Type.StyleChange:
            self._show_title_icons()

    def showEvent(self, event: QShowEvent) -> None:
        self._made()  # a kept layout shows it by another way
        super().showEvent(event)
        self._show_title_icons()

    def setVisible(self, visible: bool) -> None:
        if visible:
            self._made()
        if visible != self.isVisible():
            self.changing.emit()
        super().setVisible(visible)
