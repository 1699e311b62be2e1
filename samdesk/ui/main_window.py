"""The window: puts canvas, panels and actions around one workspace, and passes events between them.

Decides nothing itself: verbs are in `samdesk.app.commands`, state is in the workspace.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from PySide6.QtCore import QByteArray, QEvent, QSize, Qt, QTimer, QUrl
from PySide6.QtGui import QCloseEvent, QDesktopServices, QDragEnterEvent, QDropEvent, QGuiApplication, QIcon
from PySide6.QtWidgets import (
    QDockWidget,
    QMenu,
    QSizePolicy,
    QSplitter,
    QStackedWidget,
    QToolBar,
    QVBoxLayout,
    QWidget,
)

from samdesk import paths
from samdesk.app.commands import Context
from samdesk.app.jobs import Jobs
from samdesk.app.session import Proposal
from samdesk.app.settings import Settings
from samdesk.app.tools import Pointer
from samdesk.app.workspace import Notice, Server, Workspace
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Bounds
from samdesk.recon.mesh import MESH_SUFFIXES
from samdesk.sdk import Segmenter, pixel_text

from . import theme
from .actions import Actions
from .bridge import Bridge
from .canvas import Canvas, Style, View
from .dialogs.ask import WindowAsk
from .dialogs.book import Dialogs, Window
from .dock3d import SIZE as SIZE_3D
from .dock3d import Dock3D
from .panels.annotations import AnnotationPanel
from .panels.candidate import CandidatePill
from .panels.classes import ClassPanel
from .panels.empty import EmptyState
from .panels.find import FindPanel
from .panels.model import ModelButton
from .panels.notices import NoticeBar
from .panels.review import ReviewPanel
from .panels.status import StatusBar

log = logging.getLogger(__name__)

WARM_MS = 60
"""The marks of prepared areas follow the view after this long."""

PANEL_WIDTH = 270
"""Of the panels at the sides at first, logical pixels."""

REST_MS = 300
"""After this long without moving, the view rests and chips are encoded ahead."""

VALUES_UP_TO = 4.0
"""Pixel values are shown up to this many image pixels per screen pixel: beyond it the pixel under
the cursor is not the one that is seen."""

TOOLBAR = ("tool.move", "tool.segment", "", "edit.undo", "edit.redo", "", "view.fit", "view.full",
           "view.contrast", "view.annotations", "", "recon.make", "file.export")  # fmt: skip


ABOUT = {"weights.show": "weights", "app.preferences": "preferences"}
"""Commands of notices whose dialogs can begin with what the notice is about."""

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
        self._build()
        self._connect()
        self._restore_layout()
        self._image_changed()

    # Building

    def _build(self) -> None:
        self.canvas = Canvas(self.jobs, cache=self.workspace.blocks)
        self.pill = CandidatePill(self.canvas)
        self.empty = EmptyState()
        self.stack = QStackedWidget()
        self.stack.addWidget(self.empty)
        self.stack.addWidget(self.canvas)
        center = QWidget()
        layout = QVBoxLayout(center)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.stack, 1)
        self.setCentralWidget(center)
        self.notices = NoticeBar(center)
        self.annotations = AnnotationPanel(self.workspace)
        self.classes = ClassPanel(self.workspace)
        panels = QSplitter(Qt.Orientation.Vertical)
        panels.setChildrenCollapsible(False)
        panels.addWidget(self.classes)
        panels.addWidget(self.annotations)
        panels.setStretchFactor(0, 2)
        panels.setStretchFactor(1, 3)
        self.dock = QDockWidget("Annotations", self)
        self.dock.setObjectName("annotations")
        self.dock.setTitleBarWidget(QWidget())
        self.dock.setWidget(panels)
        self.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, self.dock)
        self.resizeDocks([self.dock], [PANEL_WIDTH], Qt.Orientation.Horizontal)
        self._build_find()
        self._build_3d()
        self.status = StatusBar(self.jobs)
        self.status.server.fill([self.actions_[name] for name in SERVER_MENU])
        self.setStatusBar(self.status)
        self.actions_.fill(self.menuBar())
        self._build_recent_menu()
        self._build_toolbar()
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST_MS)
        self._warm = QTimer(self, singleShot=True, interval=WARM_MS)

    def _build_find(self) -> None:
        self.find_panel = FindPanel(self.workspace, self.workspace.finding, self.looking_at)
        self.review = ReviewPanel(self.workspace, self.workspace.review)
        both = QWidget()
        layout = QVBoxLayout(both)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.find_panel)
        layout.addWidget(self.review, 1)
        self.find_dock = QDockWidget("Find", self)
        self.find_dock.setObjectName("find")
        self.find_dock.setTitleBarWidget(QWidget())
        self.find_dock.setWidget(both)
        self.addDockWidget(Qt.DockWidgetArea.LeftDockWidgetArea, self.find_dock)
        self.resizeDocks([self.find_dock], [PANEL_WIDTH], Qt.Orientation.Horizontal)
        self.find_dock.hide()
        self.canvas.set_review(self.workspace.review, self.workspace.finding)

    def _build_3d(self) -> None:
        self.dock3d = Dock3D(self.workspace, self.ask, self.bridge.guarded, self)
        self.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, self.dock3d)
        self.splitDockWidget(self.dock3d, self.dock, Qt.Orientation.Horizontal)
        self.dock3d.hide()
        self._width_3d, self._panel_width, self._sizes_3d = SIZE_3D[0], PANEL_WIDTH, False
        self.dock3d.changing.connect(self._before_3d)
        self.resizeDocks([self.dock], [PANEL_WIDTH], Qt.Orientation.Horizontal)
        self.dock3d.visibilityChanged.connect(self._size_3d)
        self.dock3d.wanted.connect(lambda: self.actions_["recon.make"].trigger())

    def _before_3d(self) -> None:
        if not self.isVisible():
            return  # a kept layout comes with its own widths
        self._sizes_3d = True
        self._panel_width = self.dock.width()
        if self.dock3d.isVisible() and not self.dock3d.isFloating():
            self._width_3d = self.dock3d.width()

    def _size_3d(self, visible: bool) -> None:
        """Let the canvas and not the panel beside it give and take the place of the 3D dock."""
        if not self._sizes_3d:
            return
        self._sizes_3d = False
        widths = {self.dock: self._panel_width}
        if visible and not self.dock3d.isFloating():
            widths = {self.dock3d: self._width_3d, **widths}
        self.resizeDocks(list(widths), list(widths.values()), Qt.Orientation.Horizontal)

    def _build_recent_menu(self) -> None:
        file_menu = self.menuBar().findChild(QMenu, "menu.File")
        assert file_menu is not None
        self._recent = QMenu("Open Recent", self)
        after = file_menu.actions()[1]
        file_menu.insertMenu(after, self._recent)
        file_menu.aboutToShow.connect(self._fill_recent)

    def _fill_recent(self) -> None:
        self._recent.clear()
        for name in self.settings["recent"]:
            path = Path(name)
            action = self._recent.addAction(path.name)
            action.setToolTip(name)
            action.triggered.connect(self.bridge.guarded(lambda _=False, p=path: self.workspace.open(p)))
        self._recent.setEnabled(not self._recent.isEmpty())

    def _build_toolbar(self) -> None:
        bar = QToolBar("Tools")
        bar.setObjectName("tools")
        bar.setMovable(False)
        bar.setIconSize(QSize(20, 20))
        bar.setContextMenuPolicy(Qt.ContextMenuPolicy.PreventContextMenu)
        for name in TOOLBAR:
            if name:
                bar.addAction(self.actions_[name])
                bar.widgetForAction(self.actions_[name]).setProperty("quiet", not name.startswith("tool."))
            else:
                bar.addSeparator()
        space = QWidget()
        space.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        bar.addWidget(space)
        more = tuple(self.actions_[name] for name in ("weights.show", "model.open"))
        self.model_button = ModelButton(self.workspace.models, self.bridge.guarded, more)
        bar.addWidget(self.model_button)
        bar.addSeparator()
        bar.addAction(self.actions_["help.palette"])
        self.addToolBar(bar)

    def _connect(self) -> None:
        w, guard = self.workspace, self.bridge.guarded
        w.image_changed.connect(self._image_changed)
        w.levels_changed.connect(self._levels_changed)
        w.display_changed.connect(self._display_changed)
        w.plane_changed.connect(self._plane_changed)
        w.tool_changed.connect(self._tool_changed)
        w.class_changed.connect(self.classes.show_state)
        w.saved_changed.connect(self._show_saved)
        w.notice.connect(self.notices.show_notice)
        w.models.changed.connect(self._model_changed)
        w.offer.shown.connect(lambda weight: self.dialogs.show("weights", weight.name))
        w.serving.changed.connect(self._serving_changed)
        w.session.changed.connect(self._session_changed)
        self.review.looked_at.connect(self._bring_into_view)
        self.review.activated.connect(self.show_bounds)
        self.bridge.failed.connect(self._failed)
        self.settings.changed.connect(self._setting_changed)
        self.notices.command.connect(guard(self._do_about))
        self.empty.command.connect(lambda name: self.actions_[name].trigger())
        self.empty.chosen.connect(guard(w.open))
        self.empty.sample.connect(guard(self.open_sample))
        self.annotations.activated.connect(lambda: self.actions_["view.center"].trigger())
        self.canvas.pointer.connect(guard(self._pointer))
        self.canvas.view_changed.connect(self._view_changed)
        self.canvas.hovered.connect(self._hovered)
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
        if image is None:
            self.canvas.set_image(None, None)
            self.empty.show_recent(self.settings["recent"])
            self.stack.setCurrentWidget(self.empty)
            self.setWindowTitle("samdesk")
        else:
            self.stack.setCurrentWidget(self.canvas)
            self.canvas.set_image(image.source, image.display, w.plane)
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
        self.dock3d.selection_changed()
        self._tool_changed()
        self._show_plane()
        self._show_saved()
        self._session_changed()
        self._rest.start()

    def _document_changed(self, _edit: Any) -> None:
        self.annotations.reload()
        self.classes.reload()
        self.dock3d.selection_changed()
        self.actions_.refresh()

    def _selection_changed(self) -> None:
        self.annotations.show_selection()
        self.find_panel.show_selection()
        self.dock3d.selection_changed()
        self.classes.show_state()
        self.actions_.refresh()

    def _levels_changed(self) -> None:
        if self.workspace.image is not None:
            self.canvas.replace_source(self.workspace.image.source)

    def _display_changed(self) -> None:
        if self.workspace.image is not None:
            self.canvas.set_display(self.workspace.image.display)
            self._rest.start()

    def _plane_changed(self) -> None:
        self.canvas.set_plane(self.workspace.plane)
        self._show_plane()
        self._rest.start()

    def _show_plane(self) -> None:
        image = self.workspace.image
        sizes = (image.source.size_z, image.source.size_t) if image else (1, 1)
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

    def _session_changed(self) -> None:
        proposal: Proposal = self.workspace.session.proposal
        self.canvas.set_proposal(proposal)
        self.pill.show_proposal(proposal)
        self._warm_changed()
        self.status.show_engine(proposal)
        self.actions_.refresh()

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
        self.canvas.set_annotations_visible(self.settings["annotations"])
        self.canvas.set_style(Style(fill=self.settings["fill"]))
        self.canvas.set_overlay_opacity(self.settings["opacity"] / 100)

    def restyle(self) -> None:
        """Follow the appearance chosen in the preferences, or a change of the system's."""
        theme.apply(theme.application(), self.settings["appearance"])
        self.actions_.restyle()
        self.pill.restyle()
        self.find_panel.restyle()
        self.dock3d.restyle()
        self.notices.restyle()
        self.empty.show_recent(self.settings["recent"])
        self._session_changed()
        self.classes.reload()

    # What the canvas says

    def _pointer(self, pointer: Pointer, kind: str) -> None:
        tool = self.workspace.tool
        if kind == "leave":
            tool.leave()
        elif kind in ("press", "double"):
            if pointer.button == "right" and not self._tool_takes_right():
                self._context_menu(pointer)
            else:
                tool.press(pointer)
        elif kind == "move":
            tool.move(pointer)
            if not pointer.button and self.workspace.session.proposal.state == "cold":
                self._rest.start()
        elif kind == "release":
            tool.release(pointer)

    def _tool_takes_right(self) -> bool:
        return self.workspace.tool_name == "segment"

    def _context_menu(self, pointer: Pointer) -> None:
        self.workspace.select_at(pointer.x, pointer.y, 4 * pointer.scale)
        menu = QMenu(self)
        classes = menu.addMenu("Set Class")
        classes.setEnabled(self.actions_["edit.delete"].isEnabled())
        for one in self.workspace.document.classes:
            action = classes.addAction(theme.swatch(one.color), one.name)
            action.triggered.connect(lambda _=False, name=one.name: self.workspace.set_class(name))
        classes.addSeparator()
        classes.addAction("No class").triggered.connect(lambda: self.workspace.set_class(None))
        for name in ("edit.lock", "edit.delete", "view.center", "recon.make"):
            menu.addAction(self.actions_[name])
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(self.cursor().pos())

    def _view_changed(self, view: View) -> None:
        self.status.zoom.setText(f"{100 / view.scale:.3g} %")
        self._warm_changed()
        self._rest.start()

    def _hovered(self, x: float | None, y: float | None) -> None:
        image = self.workspace.image
        if x is None or y is None or image is None:
            self.status.place.setText("")
            return
        text = f"{x:,.1f}, {y:,.1f} px"
        size = image.pixel_size
        if size is not None:
            text += f"   {x * size.x:,.1f}, {y * size.y:,.1f} {size.unit}"
        self.status.place.setText(text)
        if self.canvas.view.scale <= VALUES_UP_TO:
            plane = self.workspace.plane
            self.jobs.lane("tiles").submit(
                lambda task: pixel_text(image, plane, x, y),
                key="pixel values",
                done=lambda job: self._show_values(text, job.result),
            )

    def _show_values(self, place: str, values: str | None) -> None:
        if values and self.status.place.text() == place:
            self.status.place.setText(f"{place}   {values}")

    def _rested(self) -> None:
        if self.workspace.image is not None and self.workspace.tool_name == "segment":
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

    def show_find(self) -> None:
        self.find_dock.setVisible(not self.find_dock.isVisible())
        if self.find_dock.isVisible():
            self.find_panel.words.setFocus()

    def _bring_into_view(self, bounds: Bounds) -> None:
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

    def copy_text(self, text: str) -> None:
        QGuiApplication.clipboard().setText(text)

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

    def tell_crashed(self, images: list[Path]) -> None:
        """Say which images were open when samdesk ended without closing."""
        if images:
            names = ", ".join(path.name for path in images[:3])
            self.notices.show_notice(
                Notice(
                    "warning",
                    f"samdesk did not close properly while {names} was open.",
                    "Nothing that was accepted is lost: open the image again.",
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

    def closeEvent(self, event: QCloseEvent) -> None:
        if not self.workspace.may_close():
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
        self._apply_view_settings()


def _is_of_server(notice: Notice) -> bool:
    """Whether it tells what another program asked for."""
    return notice.command == "weights.show" and bool(notice.about)
