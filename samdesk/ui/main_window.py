"""The window: puts canvas, panels and actions around one workspace, and passes events between them.

Decides nothing itself: verbs are in `samdesk.app.commands`, state is in the workspace.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from PySide6.QtCore import QByteArray, QEvent, QMimeData, QRect, Qt, QTimer, QUrl
from PySide6.QtGui import QCloseEvent, QDesktopServices, QDragEnterEvent, QDropEvent, QGuiApplication, QIcon
from PySide6.QtWidgets import QMenu, QStackedWidget

from samdesk import paths
from samdesk.app.commands import Context
from samdesk.app.jobs import Jobs
from samdesk.app.looking import Place
from samdesk.app.recovery import Crashed
from samdesk.app.session import Proposal
from samdesk.app.settings import Settings
from samdesk.app.tools import Pointer
from samdesk.app.workspace import Notice, Server, Workspace
from samdesk.domain.document import Edit
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Bounds
from samdesk.recon.mesh import MESH_SUFFIXES
from samdesk.sdk import Segmenter

from . import theme
from .actions import Actions
from .bridge import Bridge
from .canvas import Canvas, Style, View
from .dialogs.ask import WindowAsk
from .dialogs.book import Dialogs, Window
from .dock3d import Dock3D
from .docks import LEFT, RIGHT, Beside3D, Panes, Scrolled, column, side_dock, split
from .panels.annotations import AnnotationPanel
from .panels.candidate import CandidatePill
from .panels.classes import ClassPanel
from .panels.empty import EmptyState
from .panels.find import FindPanel
from .panels.model import ModelButton
from .panels.notices import NoticeBar
from .panels.planes import PlaneStrip
from .panels.project import ProjectPanel
from .panels.properties import PropertiesPanel
from .panels.review import ReviewPanel
from .panels.status import StatusBar
from .readout import Readout
from .recent import RecentMenu
from .toolbar import ToolBar

log = logging.getLogger(__name__)

WARM_MS = 60
"""The marks of prepared areas follow the view after this long."""

REST_MS = 300
"""After this long without moving, the view rests and chips are encoded ahead."""

ABOUT = {"weights.show": "weights", "app.preferences": "preferences"}
"""Commands of notices whose dialogs can begin with what the notice is about."""

SHAPE_MENU = ("objects.merge", "objects.split", "objects.subtract", "objects.intersect", "objects.invert",
              "objects.fill_holes", "objects.fragments", "objects.simplify", "objects.grow")  # fmt: skip

SERVER_MENU = ("server.copy", "server.docs", "server.answer")


class MainWindow(Window):
    """One window with one workspace.

    Parameters
    ----------
    settings : Settings
    segmenter : Segmenter
        The engine behind the Segment tool.
    load_server : callable, optional
        As in `Workspace`.
    """

    def __init__(
        self,
        settings: Settings,
        segmenter: Segmenter,
        load_server: Callable[[], Server] | None = None,
    ) -> None:
        super().__init__()
        self.setWindowIcon(QIcon(str(paths.resource("icons/samdesk.svg"))))
        self.setMinimumSize(720, 480)
        self.setAcceptDrops(True)
        self.settings = settings
        self.bridge = Bridge(self)
        self.jobs = Jobs(self.bridge)
        self.ask = WindowAsk(self, settings)
        self.workspace = Workspace(self.jobs, settings, segmenter, self.ask, load_server=load_server)
        self.actions_ = Actions(Context(self.workspace, self, self.ask), self, self.bridge)
        self.dialogs = Dialogs(self)
        self._serving_trouble = ""
        self._project_shown: Path | None = None
        self._drawing = False
        self._is_ending = False
        self._told_at_opening: Notice | None = None
        self._build()
        self._connect()
        self._restore_layout()
        self._image_changed()

    # Building

    def _build(self) -> None:
        self.canvas = Canvas(self.jobs, cache=self.workspace.blocks)
        self.pill = CandidatePill(self.canvas, lambda: self.canvas.foot_taken)
        self.empty = EmptyState()
        self.stack = QStackedWidget()
        self.stack.addWidget(self.empty)
        self.stack.addWidget(self.canvas)
        self.planes = PlaneStrip(self.canvas.is_settled)
        center = column((self.stack, 1), (self.planes, 0))
        self.setCentralWidget(center)
        self.notices = NoticeBar(center, self._notice_room)
        self.annotations = AnnotationPanel(self.workspace, self.bridge.guarded)
        self.classes = ClassPanel(self.workspace, self.bridge.guarded)
        self.properties = PropertiesPanel(self.workspace, self.bridge.guarded)
        panels = split((self.classes, 3), (self.annotations, 4), (self.properties, 3))
        self.dock = side_dock(self, "annotations", "Annotations", panels, RIGHT)
        self._build_find()
        self._build_project()
        self._build_3d()
        self.status = StatusBar(self.jobs)
        self.status.server.fill([self.actions_[name] for name in SERVER_MENU])
        self.setStatusBar(self.status)
        self.actions_.fill(self.menuBar())
        self._build_recent_menu()
        self.model_button = ModelButton(
            self.workspace.models,
            self.bridge.guarded,
            tuple(self.actions_[name] for name in ("weights.show", "model.open")),
        )
        self.toolbar = ToolBar(self.actions_, self.model_button)
        self.addToolBar(self.toolbar)
        self.panes = Panes(
            lambda: (
                *(self.stack, self.planes, self.notices, self.project_dock, self.find_panel, self.review),
                *(self.classes, self.annotations, self.properties, self.dock3d, self.toolbar),
            )
        )
        self.readout = Readout(self.workspace, self.status.place, lambda: self.canvas.view.scale)
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST_MS)
        self._warm = QTimer(self, singleShot=True, interval=WARM_MS)

    def _notice_room(self) -> QRect:
        return self.canvas.room if self.stack.currentWidget() is self.canvas else self.stack.rect()

    def _build_find(self) -> None:
        self.find_panel = FindPanel(self.workspace, self.workspace.finding, self.looking_at)
        self.review = ReviewPanel(self.workspace, self.workspace.review)
        both = column((self.find_panel, 0), (self.review, 1))
        self.find_dock = side_dock(self, "find", "Find", Scrolled(both), LEFT)
        self.find_dock.hide()
        self.canvas.set_review(self.workspace.review, self.workspace.finding)

    def _build_project(self) -> None:
        add = self.bridge.guarded(lambda: self.actions_["project.add"].trigger())
        self.project_panel = ProjectPanel(self.workspace, self.ask, self.bridge, add)
        self.project_dock = side_dock(self, "project", "Project", self.project_panel, LEFT)
        self.project_dock.hide()

    def _build_3d(self) -> None:
        self.dock3d = Dock3D(self.workspace, self.ask, self.bridge.guarded, self)
        Beside3D(self, self.dock, self.dock3d)
        self.dock3d.wanted.connect(lambda: self.actions_["recon.make"].trigger())

    def _build_recent_menu(self) -> None:
        file_menu = self.menuBar().findChild(QMenu, "menu.File")
        assert file_menu is not None
        recent = RecentMenu(self.settings, self.bridge.guarded(self.workspace.open), self)
        file_menu.insertMenu(file_menu.actions()[1], recent)
        file_menu.aboutToShow.connect(recent.fill)

    def _connect(self) -> None:
        w, guard = self.workspace, self.bridge.guarded
        w.image_changed.connect(self._image_changed)
        w.levels_changed.connect(self._levels_changed)
        w.display_changed.connect(self._display_changed)
        w.plane_changed.connect(self._plane_changed)
        w.tool_changed.connect(self._tool_changed)
        w.sketch_changed.connect(self._sketch_changed)
        w.class_changed.connect(self.classes.show_state)
        w.class_changed.connect(self.annotations.show_wanted)
        self.annotations.menu_wanted.connect(self._annotation_menu)
        self.annotations.several_to_rename.connect(self.properties.open)
        self.properties.left.connect(self.canvas.setFocus)
        w.classes.hidden_changed.connect(self._hidden_changed)
        self.classes.dialog.connect(guard(self.show_dialog))
        self.classes.command.connect(lambda name: self.actions_[name].trigger())
        w.saved_changed.connect(self._show_saved)
        w.project.changed.connect(self._project_changed)
        w.notice.connect(self.notices.show_notice)
        w.models.changed.connect(self._model_changed)
        w.offer.shown.connect(lambda weight: self.dialogs.show("weights", weight.name))
        w.serving.changed.connect(self._serving_changed)
        w.session.changed.connect(self._session_changed)
        self.review.looked_at.connect(self.bring_into_view)
        w.review.begun.connect(lambda: self.find_dock.show())
        w.review.changed.connect(self.actions_.refresh)
        w.class_changed.connect(self._show_pill)
        self.review.activated.connect(self.show_bounds)
        w.showing.changed.connect(self._display_changed)
        self.planes.moved.connect(guard(w.set_plane))
        self.bridge.failed.connect(self._failed)
        self.settings.changed.connect(self._setting_changed)
        self.notices.command.connect(guard(self._do_about))
        self.empty.command.connect(lambda name: self.actions_[name].trigger())
        self.empty.chosen.connect(guard(w.open))
        self.empty.sample.connect(guard(self.open_sample))
        self.annotations.activated.connect(lambda: self.actions_["view.center"].trigger())
        self.canvas.pointer.connect(guard(self._pointer))
        self.canvas.turned.connect(guard(lambda pointer, units: w.tool.wheel(pointer, units)))
        self.canvas.view_changed.connect(self._view_changed)
        self.canvas.hovered.connect(self.readout.show)
        self.canvas.failed.connect(guard(self._tile_failed))
        self.canvas.overlay_opacity_changed.connect(self._opacity_turned)
        self._rest.timeout.connect(guard(self._rested))
        self._warm.timeout.connect(guard(self._show_warm))
        w.preparing.changed.connect(self._warm_changed)

    # What the workspace says

    def _image_changed(self) -> None:
        w = self.workspace
        image = w.image
        self.dialogs.image_changed()
        self.notices.forget("info", "warning", "error")  # they were about another image
        if image is None:
            self.canvas.set_image(None, None)
            self.empty.show_recent(self.settings["recent"])
            self.stack.setCurrentWidget(self.empty)
            self.setWindowTitle("samdesk")
        else:
            self.stack.setCurrentWidget(self.canvas)
            self.canvas.set_image(image.source, w.showing.display, w.plane)
            self._go_on()
            self.canvas.setFocus()
            self.setWindowTitle(f"{image.source.name} – samdesk")
        self.canvas.set_document(w.document, w.selection)
        w.document.changed.connect(self._document_changed)
        w.selection.changed.connect(self._selection_changed)
        w.history.changed.connect(self.actions_.refresh)
        self.dock.setEnabled(image is not None)
        self.find_dock.setEnabled(image is not None)
        self.annotations.reload()
        self.classes.reload()
        self.properties.refresh()
        self.dock3d.selection_changed()
        self._tool_changed()
        self._show_plane()
        self._show_saved()
        self._session_changed()
        self._rest.start()
        QTimer.singleShot(0, self, self._opening_told)

    def _opening_told(self) -> None:
        """What was told about the image just opened stays while it is worked on."""
        self._told_at_opening = self.notices.notice

    def _document_changed(self, edit: Edit) -> None:
        if self.notices.notice is not self._told_at_opening:
            self.notices.forget("warning")  # what was not possible was followed by what was
        self._show_drawn(edit)
        self.annotations.follow(edit)
        self.classes.reload()
        if edit.classes is not None or self.workspace.selection.is_touched(edit):
            self.properties.refresh()
        self.dock3d.selection_changed()
        self.actions_.refresh()

    def _show_drawn(self, edit: Edit) -> None:
        """What was just drawn is seen, also where its like is hidden."""
        w = self.workspace
        if len(edit.after) != 1 or len(edit.before):
            return
        drawn = edit.after.class_name(0)
        if not self.settings["annotations"]:
            self.settings["annotations"] = True
            w.tell("info", "The annotations are shown again, to see what was added.", "A hides them.")
        if drawn in w.classes.hidden:
            w.classes.show([drawn])
            named = f"“{drawn}” is" if drawn else "What has no class is"
            w.tell("info", f"{named} shown again, to see what was added.")

    def _selection_changed(self) -> None:
        self.annotations.show_selection()
        self.properties.refresh()
        self.find_panel.show_selection()
        self.dock3d.selection_changed()
        self.classes.show_state()
        self.actions_.refresh()

    def _hidden_changed(self) -> None:
        self._apply_style()
        self.annotations.show_wanted()
        self.actions_.refresh()

    def _levels_changed(self) -> None:
        if self.workspace.image is not None:
            self.canvas.replace_source(self.workspace.image.source)

    def _project_changed(self) -> None:
        folder = self.workspace.project.folder
        if (folder.path if folder else None) != self._project_shown:
            self._project_shown = folder.path if folder else None
            self.project_dock.setVisible(folder is not None)
        self.actions_.refresh()

    def _display_changed(self) -> None:
        display = self.workspace.showing.display
        if display is not None:
            self.canvas.set_display(display)
            self._rest.start()
        dialog = self.dialogs.get("contrast")
        if dialog is not None:
            dialog.follow()  # type: ignore[attr-defined]
        self.actions_.refresh()

    def _plane_changed(self) -> None:
        self.canvas.set_plane(self.workspace.plane)
        self._show_plane()
        self._rest.start()

    def _show_plane(self) -> None:
        image = self.workspace.image
        sizes = (image.source.size_z, image.source.size_t) if image else (1, 1)
        self.planes.show_plane(self.workspace.plane, *sizes)
        shown = [
            f"{axis} {position + 1}/{size}"
            for axis, position, size in zip("zt", self.workspace.plane, sizes, strict=True)
            if size > 1
        ]
        self.status.plane.setText("  ".join(shown))

    def _tool_changed(self) -> None:
        tool = self.workspace.tool
        self.canvas.set_cursor_kind(tool.cursor)
        self.canvas.set_panning(tool.pans)
        self.actions_.refresh()

    def _sketch_changed(self) -> None:
        self.canvas.set_sketch(self.workspace.sketch)
        if self.workspace.tool.busy != self._drawing:
            self._drawing = not self._drawing
            self.actions_.refresh()

    def _session_changed(self) -> None:
        proposal: Proposal = self.workspace.session.proposal
        self.canvas.set_proposal(proposal)
        self._show_pill()
        self._warm_changed()
        self.status.show_engine(proposal)
        self.actions_.refresh()

    def _show_pill(self) -> None:
        proposal = self.workspace.session.proposal
        self.pill.show_proposal(proposal, self.workspace.document.class_color(proposal.class_name))

    def _model_changed(self) -> None:
        self._session_changed()
        self._rest.start()

    def _warm_changed(self) -> None:
        if not self._warm.isActive():  # restarted, it would never end while the view is moved
            self._warm.start()

    def _show_warm(self) -> None:
        self.canvas.set_warm(self.workspace.ready_chips(*self.looking_at()))

    def _show_saved(self) -> None:
        w = self.workspace
        read_only = w.journal is not None and w.journal.read_only
        self.status.show_saved(w.unsaved, read_only, w.image is not None)
        if w.journal is not None and not read_only:
            self.status.show_keeping(w.saving, w.unsaved, w.journal.path, w.journal.saved_at)
        self.actions_.refresh()

    def _serving_changed(self) -> None:
        serving, shown = self.workspace.serving, self.notices.notice
        self.status.server.show_state(serving)
        if shown is not None and (
            (serving.is_on and shown.text == self._serving_trouble)
            or (serving.state == "off" and _is_of_server(shown))
        ):
            self.notices.dismiss()  # it is no longer true
        if serving.error is not None:
            self._serving_trouble = serving.error.message
        self._show_switch()
        self.actions_.refresh()

    def _show_switch(self) -> None:
        dialog = self.dialogs.get("preferences")
        if dialog is not None and self.workspace.serving.available:
            dialog.show_switch("serve", self.workspace.serving.wanted)  # type: ignore[attr-defined]

    def _do_about(self, command: str, about: str) -> None:
        """The command of a notice."""
        dialog = ABOUT.get(command)
        if about and dialog:
            self.dialogs.show(dialog, about)
        elif about and command == "file.open_again":
            self.workspace.looking.go_on = True
            self.workspace.open(Path(about))
        else:
            self.actions_[command].trigger()

    def _failed(self, error: SamdeskError) -> None:
        self.notices.show_notice(Notice("error", error.message, error.hint))

    def _tile_failed(self, error: Exception) -> None:
        raise error

    def _opacity_turned(self, opacity: float) -> None:
        self.settings["opacity"] = max(10, round(100 * opacity))

    def _setting_changed(self, name: str) -> None:
        if name == "appearance":
            self.restyle()
        self._apply_view_settings()
        self._warm_changed()
        self.actions_.refresh()

    def _apply_view_settings(self) -> None:
        self.canvas.show_scale_bar = self.settings["scale_bar"]
        self.canvas.show_overview = self.settings["overview"]
        self.canvas.show_rulers = self.settings["rulers"]
        self.canvas.show_names = self.settings["names"]
        self.canvas.set_annotations_visible(self.settings["annotations"])
        self._apply_style()
        self.canvas.set_overlay_opacity(self.settings["opacity"] / 100)

    def _apply_style(self) -> None:
        self.canvas.set_style(Style(fill=self.settings["fill"], hidden=self.workspace.classes.hidden))

    def restyle(self) -> None:
        """Follow the appearance chosen in the preferences, or a change of the system's."""
        theme.apply(theme.application(), self.settings["appearance"])
        self.actions_.restyle()
        self.pill.restyle()
        self.find_panel.restyle()
        self.project_panel.reload()
        self.dock3d.restyle()
        self.notices.restyle()
        self.planes.restyle()
        self.toolbar.restyle()
        self.dialogs.restyle()
        self.empty.show_recent(self.settings["recent"])
        self._session_changed()
        self.classes.restyle()
        self.classes.reload()
        self.annotations.restyle()
        self.properties.refresh()

    # What the canvas says

    def _pointer(self, pointer: Pointer, kind: str) -> None:
        tool = self.workspace.tool
        if kind == "leave":
            tool.leave()
        elif kind in ("press", "double"):
            if pointer.button == "right" and not self._tool_takes_right():
                if not tool.busy:
                    self._context_menu(pointer)
            else:
                tool.press(pointer)
                self.canvas.set_panning(tool.pans)
        elif kind == "move":
            tool.move(pointer)
            if not pointer.button and self.workspace.session.proposal.state == "cold":
                self._rest.start()
        elif kind == "release":
            tool.release(pointer)
        self.canvas.set_cursor_kind(self.workspace.tool.cursor)

    def _tool_takes_right(self) -> bool:
        return self.workspace.tool_name == "segment"

    def _context_menu(self, pointer: Pointer) -> None:
        w = self.workspace
        hits = w.classes.visible(w.document.snapshot().hit(pointer.x, pointer.y, w.plane, 4 * pointer.scale))
        if not any(one in w.selection for one in hits):  # else the menu is for all that is selected
            w.select_at(pointer.x, pointer.y, 4 * pointer.scale)
        self._annotation_menu()

    def _annotation_menu(self) -> None:
        """What can be done to what is selected, at the cursor."""
        menu = QMenu(self)
        classes = menu.addMenu("Set Class")
        classes.setEnabled(self.actions_["edit.delete"].isEnabled())
        for one in self.workspace.document.classes:
            action = classes.addAction(theme.swatch(one.color), one.name)
            action.triggered.connect(lambda _=False, name=one.name: self.workspace.set_class(name))
        classes.addSeparator()
        classes.addAction("No class").triggered.connect(lambda: self.workspace.set_class(None))
        shape = menu.addMenu("Shape")
        shape.setEnabled(self.actions_["objects.split"].isEnabled())
        shape.addActions([self.actions_[name] for name in SHAPE_MENU])
        menu.addAction(self.actions_["segment.refine"])
        for name in ("edit.copy", "edit.lock", "edit.delete", "view.center", "recon.make"):
            menu.addAction(self.actions_[name])
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(self.cursor().pos())

    def _view_changed(self, view: View) -> None:
        self.status.zoom.setText(f"{100 / view.scale:.3g} %")
        self.notices.place()  # beside the overview, which comes and goes
        self.workspace.look_at_scale(view.scale)
        self._warm_changed()
        self._rest.start()

    def _go_on(self) -> None:
        """Look where the image was left, when that is wanted."""
        place = self.workspace.looking.take()
        if place is not None:
            view = self.canvas.view
            self.canvas.set_view(replace(view, center_x=place.x, center_y=place.y, scale=place.scale))

    def _rested(self) -> None:
        if self.workspace.image is not None:
            view = self.canvas.view
            self.workspace.looking.note(Place(view.center_x, view.center_y, view.scale))
        if self.workspace.image is not None and self.workspace.tool_name in ("segment", "segment_box"):
            view = self.canvas.view
            self.workspace.session.view_rested(view.bounds, view.scale)

    # What commands ask of the window (samdesk.app.commands.View)

    def fit(self) -> None:
        self.canvas.fit()

    def looking_at(self) -> tuple[Bounds, float]:
        return self.canvas.view.bounds, self.canvas.view.scale

    def zoom_to(self, scale: float) -> None:
        self.canvas.zoom_to(scale)

    def zoom_by(self, factor: float) -> None:
        self.canvas.zoom_by(factor)

    def show_bounds(self, bounds: Bounds) -> None:
        self.canvas.show_bounds(bounds)

    def show_properties(self) -> None:
        self.dock.show()
        self.properties.open()

    def rename_selected(self) -> None:
        self.dock.show()
        self.annotations.rename()

    def show_project(self) -> None:
        self.project_dock.setVisible(not self.project_dock.isVisible())
        if self.project_dock.isVisible():
            self.project_panel.view.setFocus()

    def show_find(self) -> None:
        searching = self.workspace.finding.busy
        self.find_dock.setVisible(not self.find_dock.isVisible() or searching)
        if self.find_dock.isVisible():
            self.find_panel.words.setFocus()

    def show_jobs(self) -> None:
        self.status.jobs.show_list()

    def next_pane(self, back: bool = False) -> None:
        self.panes.next(self.focusWidget(), back)

    def bring_into_view(self, bounds: Bounds) -> None:
        seen = self.canvas.view.bounds
        if seen.union(bounds) != seen:
            x, y = bounds.center
            self.canvas.set_view(replace(self.canvas.view, center_x=x, center_y=y))

    def show_making(self, job: str) -> None:
        self.dock3d.show()
        self.dock3d.panel.choose_job(job)

    def show_3d(self) -> None:
        self.dock3d.setVisible(not self.dock3d.isVisible())

    def show_selected_3d(self) -> None:
        self.dock3d.show()
        self.dock3d.show_selected()

    def open_3d_files(self, files: list[Path]) -> None:
        self.dock3d.open_files(files)

    def open_log(self) -> None:
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(paths.state_dir() / "samdesk.log")))

    def open_link(self, url: str) -> None:
        QDesktopServices.openUrl(QUrl(url))

    def copy_text(self, text: str, mime: str = "") -> None:
        data = QMimeData()
        data.setText(text)
        if mime:
            data.setData(mime, QByteArray(text.encode()))
        QGuiApplication.clipboard().setMimeData(data)

    def clipboard(self, mime: str = "") -> str:
        data = QGuiApplication.clipboard().mimeData()
        if mime and data.hasFormat(mime):
            return bytes(data.data(mime).data()).decode("utf-8", "replace")
        return data.text()

    def open_folder(self) -> None:
        if self.workspace.journal is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self.workspace.journal.path.parent)))

    def close_window(self) -> None:
        self.close()

    # Files

    def open_sample(self) -> None:
        """Make the sample slide when it is not there yet, and open it."""
        from samdesk.images.sample import sample_slide

        def made(job: Any) -> None:
            if job.state == "done":
                self.workspace.open(job.result)

        self.jobs.lane("io").submit(
            lambda task: sample_slide(paths.cache_dir() / "samples", task=task).path,
            title="Making the sample slide",
            key="sample",
            done=made,
        )

    def open_all(self, files: list[Path]) -> None:
        """Open images, projects and GeoJSON files; 3D files in the 3D view."""
        solid = [path for path in files if path.suffix.lower() in MESH_SUFFIXES]
        if solid:
            self.dock3d.open_files(solid)
        self.workspace.open_all([path for path in files if path not in solid])

    def raise_floating(self) -> None:
        """Bring what floats in front of the window; at the start it would be behind it."""
        if self.dock3d.isFloating() and self.dock3d.isVisible():
            QTimer.singleShot(0, self.dock3d, self.dock3d.raise_)

    def tell_crashed(self, crashed: list[Crashed]) -> None:
        """Say which images were open when samdesk ended without closing, and offer to go on."""
        if crashed:
            images = [one.image.name for one in crashed[:3]]
            if len(crashed) > 3:
                images.append("others")
            names = " and ".join((", ".join(images[:-1]), images[-1])) if images[1:] else images[0]
            were = "was" if len(crashed) == 1 else "were"
            self.notices.show_notice(
                Notice(
                    "warning",
                    f"samdesk did not close properly while {names} {were} open.",
                    "Nothing that was accepted is lost.",
                    "file.open_again",
                    str(crashed[-1].again),
                )
            )

    # Qt's events

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        files = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
        self.bridge.guarded(self.open_all)(files)
        event.acceptProposedAction()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() is QEvent.Type.ThemeChange and self.settings["appearance"] == "system":
            self.restyle()

    def end(self) -> None:
        """Close without a question, whatever dialog is open; what was accepted is kept already."""
        self._is_ending = True
        self.close()
        theme.application().exit()

    def closeEvent(self, event: QCloseEvent) -> None:
        if not self._is_ending and not self.workspace.may_close():
            event.ignore()
            return
        self._save_layout()
        self.hide()
        self._rest.stop()
        self._warm.stop()
        self.dock3d.close_view()
        self.canvas.set_document(None)
        self.canvas.set_image(None)
        self.workspace.close()
        event.accept()

    def _save_layout(self) -> None:
        self.settings["window"] = {
            "geometry": bytes(self.saveGeometry().toBase64().data()).decode(),
            "state": bytes(self.saveState().toBase64().data()).decode(),
        }

    def _restore_layout(self) -> None:
        kept = self.settings["window"]
        self.resize(1400, 900)
        if kept:
            self.restoreGeometry(QByteArray.fromBase64(kept.get("geometry", "").encode()))
            self.restoreState(QByteArray.fromBase64(kept.get("state", "").encode()))
        self.project_dock.hide()  # until a project is open
        self._apply_view_settings()


def _is_of_server(notice: Notice) -> bool:
    """Whether it tells what another program asked for."""
    return notice.command == "weights.show" and bool(notice.about)
