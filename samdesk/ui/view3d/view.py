"""The 3D view as a widget: toolbar, picture, and one quiet line below.

Must not import VTK itself: that takes seconds, and happens on a lane when the first scene is shown.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QSize, Qt, QTimer
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QStackedLayout, QToolButton, QVBoxLayout, QWidget

from samdesk.app.jobs import Job, Jobs
from samdesk.app.reconstruction.scene import SceneObject
from samdesk.app.workspace import Ask
from samdesk.domain.errors import SamdeskError
from samdesk.domain.tasks import Task
from samdesk.recon.mesh import MESH_SUFFIXES
from samdesk.ui import theme

from .contents import Contents, Part, load, object_of
from .foot import Elided, ScaleMark
from .movie import MOVIES, STILLS, Recording, check_suffix, write_movie, write_picture
from .platform import can_embed
from .steering import Guard, Steering
from .toolbar import LOOKS, Shown, ViewBar
from .viewpoint import Viewpoint, from_photo, preset

if TYPE_CHECKING:
    from .scene import SceneActors
    from .stage import Backdrop, Stage
    from .surface import Surface

NOTHING = "Select an annotation and make it 3D,\nor drop a PLY, GLB, OBJ or STL file here."
PREPARING = "Preparing the 3D view…"

REST_MS = 180
"""The view is drawn in full again when it has not moved for so long."""

SAID_MS = 3000
"""What was just done is told for so long."""

PREVIEW = "preview"
"""The id of what is still being made."""

SPIN_DEGREES_PER_S = 36.0
SPIN_MS = 30

BLACK = ("#000000", "#3a3a40", "#ececee")
WHITE = ("#ffffff", "#d4d4da", "#1d1d1f")


class View3D(QWidget):
    """Shows one scene.

    Parameters
    ----------
    jobs : Jobs
    ask : Ask
        For the names of files.
    guarded : callable
        Turns what a slot raises into a notice.
    embedded : bool, optional
        Whether VTK draws into the widget; by default as the platform can.
    """

    def __init__(
        self,
        jobs: Jobs,
        ask: Ask,
        guarded: Guard,
        parent: QWidget | None = None,
        embedded: bool | None = None,
    ) -> None:
        super().__init__(parent)
        self._jobs = jobs
        self._ask = ask
        self._guarded = guarded
        self._embedded = embedded
        self._surface: Surface | None = None
        self._stage: Stage | None = None
        self._unit: tuple[float, str] | None = None
        self._named = ""  # the preset that is followed when the size changes
        self._steering: Steering | None = None
        self._backdrop = ""
        self._turn: Recording | None = None
        self._spun_at = 0.0
        self._loading: Job[Any] | None = None
        self._after: Callable[[], None] | None = None  # what is done when the recording is over
        self._preview_wanted = False
        self._before_preview: _Seen | None = None
        self._rest = QTimer(self, singleShot=True, interval=REST_MS)
        self._rest.timeout.connect(guarded(self._rested))
        self._spin = QTimer(self, interval=SPIN_MS)
        self._spin.timeout.connect(guarded(self._spun))
        self._said = QTimer(self, singleShot=True, interval=SAID_MS)
        self._said.timeout.connect(guarded(self._tell))
        self.setAcceptDrops(True)
        self.setMinimumSize(372, 220)
        self._build()
        self._connect()
        self.restyle()

    # What is shown

    @property
    def scene(self) -> SceneActors | None:
        """What is shown, None before the first scene."""
        return self._stage.scene if self._stage is not None else None

    @property
    def stage(self) -> Stage | None:
        """The renderer behind the view, None before the first scene."""
        return self._stage

    @property
    def surface(self) -> Surface | None:
        return self._surface

    @property
    def unit(self) -> tuple[float, str] | None:
        """How long one unit of the scene is, where that is known."""
        return self._unit

    @property
    def busy(self) -> bool:
        """Whether something is being read or recorded."""
        return self._loading is not None or self._turn is not None

    def show_scene(self, objects: Sequence[SceneObject], unit: tuple[float, str] | None = None) -> None:
        """Read and show objects; they replace what is shown, unless one of them cannot be read.

        While a turn is recorded they wait until it is over; of several the last are shown.

        Parameters
        ----------
        objects : sequence of SceneObject
            None of them clears the view.
        unit : (float, str), optional
            How long one unit of the world frame is, where that is known: (12.5, "µm").
        """
        if not objects:
            self.clear()
            return
        wanted = tuple(objects)
        self._load(lambda task: load(wanted, task), unit)

    def open_files(self, paths: Sequence[Path]) -> None:
        """Show files of splats and meshes."""
        chosen = tuple(paths)
        self._load(lambda task: load([object_of(path) for path in chosen], task))

    def show_preview(self, points: NDArray[np.floating], title: str) -> None:
        """Show the points of an object that is still being made."""
        part = Part(PREVIEW, title, "Preview", points=np.asarray(points, np.float32))
        self._load(lambda task: Contents((part,)), preview=True)

    def drop_preview(self) -> None:
        """Nothing comes of the object that was being made: show again what was shown before its preview."""
        if not self._preview_wanted:
            return  # something else is wanted by now
        if self._turn is not None:
            self._after = self.drop_preview
            return
        self._preview_wanted = False
        self._forget_loading()
        if self._stage is None or not _is_preview(self.scene):
            self._show_page()
            self._tell()
        elif self._before_preview is None:
            self.clear()
        else:
            self._show_again(self._before_preview)

    def clear(self) -> None:
        """Show nothing; at once, also while a turn is recorded."""
        self._after = None
        self._preview_wanted, self._before_preview = False, None
        self._forget_loading()
        self._stop()
        if self._stage is not None:
            self._stage.show(None)
        self._unit = None
        self._say(NOTHING)
        self._tell()

    def set_visible(self, name: str, visible: bool) -> None:
        """Show or hide one object."""
        if self.scene is None or self._stage is None:
            return
        self.scene.set_visible(name, visible)
        self._stage.look_changed()
        self._tell()
        self._refresh()

    def set_look(self, look: str) -> None:
        """Draw "splat", "mesh", "both" or "points"."""
        if self.scene is None or self._stage is None or not self.scene.has(look):
            return
        self.scene.set_look(look)
        self._stage.look_changed()
        self._tell()
        self._refresh()

    # From where

    def preset(self, name: str) -> None:
        """Look from "home", "front", "left", "back", "right" or "top"."""
        if self.scene is not None:
            self._named = name
            self._place(preset(name, self.scene.outline(), self._aspect))

    def look_from_photo(self) -> None:
        """Look from where the picture was taken; from the front when that is not known."""
        if self.scene is None:
            return
        camera = self.scene.contents.camera
        if camera is None:
            self.preset("front")
            return
        self._named = "photo"
        low, high = self.scene.bounds()
        self._place(from_photo(camera, float((low[1] + high[1]) / 2), self._aspect))

    # Files

    def take_picture(self, path: Path | None = None) -> None:
        """Save what is seen; asks for a name when there is none."""
        if self._surface is None or self.scene is None:
            return
        path = path or self._ask.save_file("Save Picture", "view.png", "Pictures (*.png *.jpg *.tif *.webp)")
        if path is None:
            return
        target = check_suffix(path, STILLS)
        self._rested()
        pixels = self._surface.picture()
        self._jobs.lane("io").submit(
            lambda task: write_picture(target, pixels), title=f"Saving {target.name}", done=self._saved
        )

    def export_turntable(self, path: Path | None = None) -> None:
        """Save one turn as a GIF or MP4; asks for a name when there is none."""
        if self._surface is None or self.scene is None or self._stage is None or self._turn is not None:
            return
        path = path or self._ask.save_file(
            "Save Turntable", "turntable.gif", "Films (*.gif *.mp4);;GIF (*.gif);;MP4 (*.mp4)"
        )
        if path is None:
            return
        target = check_suffix(path, tuple(MOVIES))
        self._stop()
        self._rested()
        before = self._stage.viewpoint
        self._turn = Recording(target, before, before.around(self.scene.outline(), self._aspect))
        self._tell()
        self._record_soon.start()

    # The window's

    def restyle(self) -> None:
        """Follow the appearance."""
        chosen = theme.colors()
        self.bar.restyle()
        self._cancel.setIcon(theme.icon("close"))
        self.setStyleSheet(
            f"#said {{ background: {_plain(chosen)}; }} #foot {{ background: {chosen['window']}; }}"
        )
        self._show_backdrop()
        self.scale.update()

    def rehouse(self) -> None:
        """The view is in another native window: make anew what OpenGL held for the one before."""
        if self._surface is None:
            return
        widget = self._surface.widget
        shown, focused = self._pages.currentIndex(), widget.hasFocus()
        self._pages.removeWidget(widget)
        widget.setParent(None)  # or Qt would go on with the textures of the other window
        self._pages.addWidget(widget)
        self._pages.setCurrentIndex(shown)
        if focused:
            widget.setFocus()

    def close_view(self) -> None:
        """Stop, and give GL back; before the window is destroyed. It can be used again."""
        self._after = None
        self._preview_wanted, self._before_preview = False, None
        self._forget_loading()
        self._stop()
        self._rest.stop()
        if self._stage is not None:
            self._stage.close()
            self._stage = None
        if self._surface is not None:
            surface, self._surface = self._surface, None
            if self._steering is not None:
                self._steering.let_go()
            self._pages.removeWidget(surface.widget)
            surface.close()
        self._say(NOTHING)
        self._tell()

    # Building

    def _build(self) -> None:
        self.bar = ViewBar()
        self.said = QLabel(NOTHING)
        self.said.setObjectName("said")
        self.said.setProperty("role", "muted")
        self.said.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.said.setWordWrap(True)
        self.said.setMargin(24)
        self._page = QWidget()
        self._pages = QStackedLayout(self._page)
        self._pages.setContentsMargins(0, 0, 0, 0)
        self._pages.addWidget(self.said)
        self.about = Elided()
        self.scale = ScaleMark()
        self._cancel = QToolButton()
        self._cancel.setAutoRaise(True)
        self._cancel.setAccessibleName("Stop recording")
        self._cancel.setToolTip("Stop recording")
        self._cancel.setIconSize(QSize(12, 12))
        self._cancel.setFixedSize(20, 18)
        self._cancel.hide()
        foot = QWidget()
        foot.setObjectName("foot")
        foot.setFixedHeight(max(18, self.fontMetrics().height()) + 9)  # or the picture would jump
        line = QHBoxLayout(foot)
        line.setContentsMargins(10, 4, 10, 5)
        line.setSpacing(8)
        line.addWidget(self.about, 1)
        line.addWidget(self._cancel)
        line.addWidget(self.scale)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.bar)
        layout.addWidget(self._page, 1)
        layout.addWidget(foot)

    def _connect(self) -> None:
        bar, guard = self.bar, self._guarded
        bar.look_chosen.connect(guard(self.set_look))
        bar.side_chosen.connect(guard(self.preset))
        bar.backdrop_chosen.connect(guard(self._set_backdrop))
        bar.object_toggled.connect(guard(self.set_visible))
        bar.photo.triggered.connect(guard(lambda *_: self.look_from_photo()))
        bar.turn.toggled.connect(guard(self._set_spinning))
        bar.wireframe.toggled.connect(guard(lambda on: self._on_stage(lambda s: s.set_wireframe(on))))
        bar.grid.toggled.connect(guard(lambda on: self._on_stage(lambda s: s.set_grid(on))))
        bar.axes.toggled.connect(guard(lambda on: self._on_stage(lambda s: s.set_axes(on))))
        bar.picture.toggled.connect(guard(lambda on: self._on_stage(lambda s: s.set_picture(on))))
        bar.open.triggered.connect(guard(lambda *_: self._choose_files()))
        bar.save_picture.triggered.connect(guard(lambda *_: self.take_picture()))
        bar.save_turn.triggered.connect(guard(lambda *_: self.export_turntable()))
        self._cancel.clicked.connect(guard(lambda *_: self._stop_recording()))
        self._record_soon = QTimer(self, singleShot=True, interval=0)
        self._record_soon.timeout.connect(guard(self._record))

    def _choose_files(self) -> None:
        endings = " ".join(f"*{suffix}" for suffix in MESH_SUFFIXES)
        paths = self._ask.open_files("Open 3D Files", f"3D objects ({endings})")
        if paths:
            self.open_files(paths)

    # Loading

    def _load(
        self,
        read: Callable[[Task], Contents],
        unit: tuple[float, str] | None = None,
        preview: bool = False,
    ) -> None:
        if preview and self._after is not None and not self._preview_wanted:
            return  # what waits is more than that
        self._preview_wanted = preview
        if self._turn is not None:
            self._after = lambda: self._load(read, unit, preview)
            return
        if self._surface is None:
            self._say(PREPARING)
        self.about.say("Reading…" if self._surface is not None else "")
        self._forget_loading()
        self._loading = self._jobs.lane("io").submit(
            lambda task: _prepare(read, task), done=lambda job: self._loaded(job, unit)
        )

    def _forget_loading(self) -> None:
        if self._loading is not None:
            job, self._loading = self._loading, None
            job.cancel()

    def _loaded(self, job: Job[SceneActors], unit: tuple[float, str] | None) -> None:
        if job is not self._loading:
            return  # another scene is wanted by now, or none
        if self._turn is not None:
            if self._after is None:  # else something newer waits
                self._after = lambda: self._loaded(job, unit)
            return
        if job.state != "done" or job.result is None:
            self._loading = None
            if self.scene is None and job.error is not None:
                self._say(str(job.error))
            self._tell()
            return
        if self._surface is None:
            try:
                self._make_stage()
            except BaseException:
                self._loading = None
                raise
            # OpenGL starts with a frame of nothing; all at once would hold the window up for longer
            QTimer.singleShot(0, self, self._guarded(lambda: self._loaded(job, unit)))
            return
        self._loading = None
        self._show(job.result, unit)

    def _show(self, scene: SceneActors, unit: tuple[float, str] | None) -> None:
        assert self._stage is not None
        before = self._stage.scene
        if not _is_preview(scene):
            self._before_preview = None
        elif before is not None and not _is_preview(before):
            self._before_preview = _Seen(before, self._stage.viewpoint, self._unit, self._named)
        self._unit = unit
        self._stage.show(scene)
        self._show_page()
        if before is None or _ids(before) != _ids(scene):
            self.preset("home")
        self._tell()
        self._refresh()

    def _show_again(self, seen: _Seen) -> None:
        assert self._stage is not None
        self._before_preview = None
        self._unit, self._named = seen.unit, seen.named
        self._stage.show(seen.scene)
        self._place(seen.viewpoint)
        self._tell()

    def _make_stage(self) -> None:
        if self._surface is not None:
            return
        from .stage import Stage
        from .surface import EmbeddedSurface, PictureSurface

        embedded = can_embed() if self._embedded is None else self._embedded
        try:
            self._surface = EmbeddedSurface(self._page) if embedded else PictureSurface(self._page)
        except SamdeskError as error:
            self._say(str(error))
            raise
        self._stage = Stage(self._surface.plotter)
        self._steering = Steering(self, self._surface.widget, self._guarded)
        self._surface.widget.setAccessibleName("3D view")
        self._pages.addWidget(self._surface.widget)
        self._pages.setCurrentWidget(self._surface.widget)
        self._stage.set_wireframe(self.bar.wireframe.isChecked())
        self._stage.set_grid(self.bar.grid.isChecked())
        self._stage.set_axes(self.bar.axes.isChecked())
        self._stage.set_picture(self.bar.picture.isChecked())
        self._show_backdrop()

    def _say(self, text: str) -> None:
        self.said.setText(text)
        self._pages.setCurrentWidget(self.said)

    def _show_page(self) -> None:
        """Show the picture, or that there is none."""
        if self._surface is not None and self.scene is not None:
            self._pages.setCurrentWidget(self._surface.widget)
        else:
            self._say(NOTHING)

    # Telling

    def _tell(self) -> None:
        """Bring toolbar and foot up to date."""
        self._said.stop()
        scene, recording = self.scene, self._turn
        self.bar.set_ready(scene is not None and recording is None)
        self._cancel.setVisible(recording is not None)
        if scene is None:
            self.about.say("")
            self.scale.clear()
            self.bar.set_objects(())
            return
        if recording is None:
            self.bar.set_looks(scene.look, [look for look in LOOKS if scene.has(look)])
            self.bar.set_photo(scene.contents.camera is not None, scene.picture is not None)
        self.bar.set_objects(
            [
                Shown(part.id, title, scene.is_visible(part.id))
                for part, title in zip(
                    scene.contents.parts,
                    told_apart([part.title for part in scene.contents.parts]),
                    strict=True,
                )
            ]
        )
        self.about.say(_about(scene) if recording is None else recording.text)
        self.about.setToolTip("\n".join(part.title for part in scene.contents.parts))
        self._show_scale()

    def _show_scale(self) -> None:
        if self._stage is not None and self._surface is not None and self.scene is not None:
            height = max(self._surface.widget.height(), 1)
            self.scale.show_scale(height / self._stage.viewpoint.height, self._unit)

    def _colors(self) -> tuple[str, str, str]:
        """Of background, grid and letters."""
        if self._backdrop:
            return BLACK if self._backdrop == "black" else WHITE
        chosen = theme.colors()
        return _plain(chosen), chosen["line"], chosen["text"]

    def _set_backdrop(self, name: str) -> None:
        self._backdrop = name
        self._show_backdrop()

    def _show_backdrop(self) -> None:
        if self._stage is not None:
            self._stage.set_backdrop(_backdrop(self._colors()))
            self._refresh()

    def _on_stage(self, change: Callable[[Stage], None]) -> None:
        if self._stage is not None:
            change(self._stage)
            self._refresh()

    def _refresh(self) -> None:
        if self._surface is not None:
            self._surface.refresh()

    # Moving

    @property
    def _aspect(self) -> float:
        """Width of the picture by its height."""
        widget = self._surface.widget if self._surface is not None else self
        shown = widget if widget.isVisible() or self._surface is None else self
        return max(shown.width(), 1) / max(shown.height(), 1)

    @property
    def steerable(self) -> Viewpoint | None:
        """From where the scene is seen; None without one, and while a turn is recorded."""
        return self._stage.viewpoint if self._stage is not None and self.scene and not self._turn else None

    def take_hold(self) -> None:
        """Stop turning."""
        self.bar.turn.setChecked(False)

    def resized(self) -> None:
        """The picture has another size: a view that was chosen by name is fitted anew."""
        if self._named == "photo":
            self.look_from_photo()
        elif self._named:
            self.preset(self._named)
        self._show_scale()

    def pivot(self) -> NDArray[np.float64]:
        """The middle of what is seen."""
        assert self.scene is not None
        low, high = self.scene.bounds(visible_only=True)
        middle: NDArray[np.float64] = (low + high) / 2
        return middle

    def _place(self, viewpoint: Viewpoint) -> None:
        if self._stage is not None:
            self._stage.set_viewpoint(viewpoint)
            self._show_scale()
            self._refresh()

    def steer(self, viewpoint: Viewpoint) -> None:
        """Go on in small steps: drawn lighter where that is needed, until the view rests."""
        if self._stage is None:
            return
        self._named = ""
        self._stage.set_moving(True)
        self._rest.start()
        self._place(viewpoint)

    def _rested(self) -> None:
        self._rest.stop()
        if self._stage is not None:
            self._stage.set_moving(False)
            self._refresh()

    def _set_spinning(self, on: bool) -> None:
        if on and self.scene is not None:
            self._spun_at = time.perf_counter()
            self._spin.start()
        else:
            self._spin.stop()

    def _spun(self) -> None:
        if self._stage is None or self.scene is None or not self.isVisible():
            return
        now = time.perf_counter()
        degrees = SPIN_DEGREES_PER_S * min(now - self._spun_at, 0.2)
        self._spun_at = now
        self.steer(self._stage.viewpoint.turned(degrees, 0.0, self.pivot()))

    def _stop(self) -> None:
        """Neither spin nor record."""
        self.bar.turn.setChecked(False)
        self._stop_recording()

    # Recording

    def _record(self) -> None:
        recording = self._turn
        if recording is None or self._stage is None or self._surface is None:
            return
        self._stage.set_viewpoint(recording.next())
        recording.add(self._surface.picture())
        if recording.complete:
            frames, target, note = recording.frames, recording.path, self._note()
            self._jobs.lane("io").submit(
                lambda task: write_movie(target, frames, task, note),
                title=f"Saving {target.name}",
                done=self._saved,
            )
            self._stop_recording()
            return
        self.about.say(recording.text)
        self._record_soon.start()

    def _stop_recording(self) -> None:
        if self._turn is not None:
            before, self._turn = self._turn.before, None
            self._record_soon.stop()
            self._place(before)
            self._tell()
            after, self._after = self._after, None
            if after is not None:
                after()

    def _note(self) -> str:
        labels = {part.label for part in self.scene.contents.parts} if self.scene is not None else set()
        return ", ".join(sorted(label for label in labels if label))

    def _saved(self, job: Job[None]) -> None:
        if job.state == "done" and not self.busy:
            self.about.say("Saved.")
            self._said.start()

    # Qt's events

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._show_scale()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if _dropped(event):
            event.acceptProposedAction()
        else:
            event.ignore()  # the window may want it

    def dropEvent(self, event: QDropEvent) -> None:
        self._guarded(self.open_files)(_dropped(event))
        event.acceptProposedAction()


def _prepare(read: Callable[[Task], Contents], task: Task) -> SceneActors:
    """Read a scene and make what VTK draws; the first time this imports VTK."""
    os.environ["QT_API"] = "pyside6"  # of several that may be installed, the one that this program uses
    try:
        from . import surface  # noqa: F401 - for the widget, which is made on the GUI thread
        from .scene import SceneActors
    except ImportError as error:
        raise SamdeskError(
            f"3D objects cannot be shown: {error}.",
            "Install pyvista and pyvistaqt; on Linux they need the system's libGL and libEGL.",
        ) from error
    contents = read(task)
    task.check()
    return SceneActors(contents)


def _plain(chosen: dict[str, str]) -> str:
    """The usual background in this appearance."""
    return chosen["base"] if chosen is theme.DARK else chosen["alternate"]


def _backdrop(colors: tuple[str, str, str]) -> Backdrop:
    from .stage import Backdrop

    return Backdrop(*colors)


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """A scene as it was looked at."""

    scene: SceneActors
    viewpoint: Viewpoint
    unit: tuple[float, str] | None
    named: str


def _is_preview(scene: SceneActors | None) -> bool:
    return scene is not None and _ids(scene) == [PREVIEW]


def told_apart(titles: Sequence[str]) -> list[str]:
    """Titles with a number each where several are the same."""
    repeated = {title for title, times in Counter(titles).items() if times > 1}
    seen: Counter[str] = Counter()
    apart = []
    for title in titles:
        seen[title] += 1
        apart.append(f"{title} {seen[title]}" if title in repeated else title)
    return apart


def _ids(scene: SceneActors) -> list[str]:
    return [part.id for part in scene.contents.parts]


def _about(scene: SceneActors) -> str:
    """What is seen, in one line."""
    parts = scene.contents.parts
    labels = dict.fromkeys(part.label for part in parts if part.label)
    words = [", ".join(labels) or (parts[0].title if len(parts) == 1 else f"{len(parts)} objects")]
    for count, name in ((scene.splats, "splat"), (scene.triangles, "triangle"), (scene.points, "point")):
        if count:
            words.append(f"{count:,} {name}{'s' if count > 1 else ''}")
    return " · ".join(words)


def _dropped(event: QDropEvent) -> list[Path]:
    """The files, when all of them can be shown; what is mixed is for the window."""
    paths = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
    return paths if all(path.suffix.lower() in MESH_SUFFIXES for path in paths) else []
