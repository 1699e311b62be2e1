"""The workspace: the open image, its document, where that is stored, and what is selected.

The one object that the window, the demo and tests drive. Lives on the main thread. Must not
know widgets.
"""

from __future__ import annotations

import hashlib
import math
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

from psygnal import Signal

from samdesk import paths
from samdesk.domain.columns import LOCKED, Annotation, AnnotationClass, Table
from samdesk.domain.document import Document, Selection
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Bounds, Plane, Region, Shape
from samdesk.domain.history import Edit, History
from samdesk.domain.outline import simplify
from samdesk.domain.prompts import Candidate, Prompts
from samdesk.domain.tasks import Task
from samdesk.formats.geojson import Imported, read_geojson, write_geojson
from samdesk.formats.project import ImageReference, ProjectStore
from samdesk.images.contrast import Display
from samdesk.images.pyramid import build_pyramid, needs_pyramid
from samdesk.images.source import ImageSource, PixelSize
from samdesk.images.tiles import BlockCache
from samdesk.sdk import Image, MaskOptions, Segmenter, chip_downsample, open_image, provenance
from samdesk.weights import GatedError, Registry

from .downloads import Downloads, Offer
from .finding import ExampleTool, FindSession
from .jobs import Job, Jobs
from .journal import PROJECT_SUFFIX, Journal, autosave_dir
from .models import CLASSICAL, Models
from .precompute import Preparing, visible_ready_chips
from .reconstruction import Reconstructions, SceneObject
from .recovery import Mark
from .review import Review
from .serving import Serving, Start
from .session import PromptSession
from .settings import Settings
from .tools import TOOLS, Sketch, Tool

GEOJSON_SUFFIXES = (".geojson", ".json", ".geojson.gz", ".json.gz")

MASK_SETTINGS = ("candidates", "mask_percent", "min_area", "smooth")
"""Settings that decide how an answer becomes a shape."""

NOT_SET_UP = ("start", "missing_module", "missing_weights")
"""Kinds of a `WorkerError` that the settings of the 3D engines can put right."""

FLUSH_S = 5.0
"""How long closing waits for edits that are being written."""


Server = Callable[["Workspace", Callable[[str], None]], Job[None]]
"""Answers other programs with a workspace's models; tells its address once it does."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One message for the user, shown in one place.

    Attributes
    ----------
    level : {"info", "warning", "error"}
    text : str
        What happened.
    hint : str
        What can be done.
    command : str
        Id of a command that does it, or empty.
    about : str
        What the command shall show first: the name of a weight or of a setting, or empty.
    """

    level: Literal["info", "warning", "error"]
    text: str
    hint: str = ""
    command: str = ""
    about: str = ""


class Ask(Protocol):
    """Questions that only a person can answer."""

    def open_files(self, title: str, filters: str) -> list[Path]: ...
    def save_file(self, title: str, name: str, filters: str) -> Path | None: ...
    def choose(self, text: str, hint: str, options: Iterable[str]) -> int | None:
        """Index of the chosen option, None when the question was dismissed."""
        ...


@dataclass(frozen=True, slots=True)
class _Opened:
    image: Image
    store: ProjectStore
    table: Table
    classes: tuple[AnnotationClass, ...]

    def close(self) -> None:
        self.image.close()
        self.store.close()


class Workspace:
    """One window's worth of state.

    Parameters
    ----------
    jobs, settings
    segmenter : Segmenter
        The classical engine.
    ask : Ask, optional
    registry : Registry, optional
        By default the user's, read when it is first needed.
    load_server : callable, optional
        Loads what answers other programs; None when this build cannot.

    Attributes
    ----------
    image_changed : Signal()
        Another image was opened, or the image was closed; document and selection are new.
    levels_changed : Signal()
        The same image, now with more levels.
    display_changed, plane_changed, tool_changed, class_changed, saved_changed : Signal()
    sketch_changed : Signal()
        What the tool paints.
    notice : Signal(Notice)
    """

    image_changed = Signal()
    levels_changed = Signal()
    display_changed = Signal()
    plane_changed = Signal()
    tool_changed = Signal()
    sketch_changed = Signal()
    class_changed = Signal()
    saved_changed = Signal()
    notice = Signal(Notice)

    def __init__(
        self,
        jobs: Jobs,
        settings: Settings,
        segmenter: Segmenter,
        ask: Ask | None = None,
        registry: Registry | None = None,
        load_server: Callable[[], Server] | None = None,
    ) -> None:
        self.jobs = jobs
        self.settings = settings
        self.ask = ask
        self.blocks = BlockCache(int(settings["blocks_mb"]) << 20)
        self.image: Image | None = None
        self.plane = Plane()
        self.journal: Journal | None = None
        self.active_class: str | None = None
        self._opening: Path | None = None
        self._import_later: list[Path] = []
        self._levels: Job[ImageSource] | None = None
        self._new_document()
        self.embeddings = segmenter.cache
        self.embeddings.later = lambda write: jobs.lane("io").submit(lambda task: write(), priority=9)
        self._stand_in = segmenter
        self.session = PromptSession(jobs, segmenter, self._keep)
        self.session.hover_enabled = settings["hover"]
        self.session.options = _mask_options(settings)
        self.session.set_stand_in(segmenter if settings["stand_in"] else None)
        self.models = Models(jobs, settings, self.session, segmenter, self.embeddings, registry)
        self.models.failed.connect(lambda error: self.notice.emit(Notice("error", error.message, error.hint)))
        self._downloads: Downloads | None = None
        self.offer = Offer(self.models, lambda: self.downloads, ask)
        self.preparing = Preparing(jobs)
        self.models.changed.connect(self._model_changed)
        self.preparing.finished.connect(lambda text: self.notice.emit(Notice("info", text)))
        self.review = Review(self._keep_found)
        self.reconstructions = Reconstructions(self)
        self.finding = FindSession(jobs, segmenter, self.review, lambda: self.document.snapshot())
        self.finding.options = self.session.options
        self._tools: dict[str, Tool] = {name: spec.make(self) for name, spec in TOOLS.items()}
        self._tools["example"] = ExampleTool(self.finding, positive=True)
        self._tools["counterexample"] = ExampleTool(self.finding, positive=False)
        self.tool_name = "segment"
        self.sketch: Sketch | None = None
        self.serving = Serving(jobs, settings, self._starter(load_server))
        self.serving.started.connect(self._tell_serving)
        self.serving.failed.connect(self._serving_failed)
        self.mark = Mark(paths.state_dir() / "windows")
        jobs.failed.connect(self._job_failed)
        settings.changed.connect(self._setting_changed)

    @property
    def downloads(self) -> Downloads:
        """What is under way for weights; made when it is first needed, because it reads the registry."""
        if self._downloads is None:
            self._downloads = Downloads(self.jobs, self.models.registry)
        return self._downloads

    def _starter(self, load_server: Callable[[], Server] | None) -> Callable[[], Start] | None:
        return None if load_server is None else lambda: partial(load_server(), self)

    # Opening and closing

    def open(self, path: Path) -> None:
        """Open an image, a project or a GeoJSON file, by its name. Returns at once."""
        path = path.expanduser().absolute()
        if path == self._opening:
            return
        if _is_geojson(path) and path.is_file():
            if self._opening is not None:
                self._import_later.append(path)
            else:
                self.import_geojson(path)
        elif path.suffix.lower() == PROJECT_SUFFIX:
            self._open_project(path)
        elif self.image is not None and self.image.source.path == path:
            self.notice.emit(Notice("info", f"{path.name} is already open."))
        else:
            self._open_image(path, self.store_path(path))

    def open_all(self, files: Iterable[Path]) -> None:
        """Open the first image, and import the GeoJSON files into it."""
        given = sorted(files, key=_is_geojson)
        images = [path for path in given if not _is_geojson(path)]
        for path in (*images[:1], *given[len(images) :]):
            self.open(path)
        if len(images) > 1:
            left = ", ".join(path.name for path in images[1:4])
            self.notice.emit(Notice("info", f"A window shows one image: {left} was not opened."))

    def store_path(self, image: Path) -> Path:
        """Where the annotations of this image are kept: as the user saved them, else in the data folder."""
        saved = self.settings["projects"].get(str(image))
        if saved and Path(saved).exists():
            return Path(saved)
        digest = hashlib.sha256(str(image).encode()).hexdigest()[:12]
        return autosave_dir() / f"{image.stem[:60]}-{digest}{PROJECT_SUFFIX}"

    def _open_project(self, path: Path) -> None:
        if self.journal is not None and self.journal.path == path:
            self.notice.emit(Notice("info", f"{path.name} is already open."))
            return

        def find(task: Task) -> Path:
            store = ProjectStore.open(path, read_only=True)
            try:
                return _image_of(store)
            finally:
                store.close()

        def found(job: Job[Path]) -> None:
            if job.state == "done" and job.result is not None:
                self._open_image(job.result, path)

        self.jobs.lane("journal").submit(find, done=found)

    def _open_image(self, path: Path, store: Path) -> None:
        blocks = self.blocks
        self._opening = path

        def opened(job: Job[Image]) -> None:
            if job.state == "done" and job.result is not None:
                self._open_store(job.result, store)
            else:
                self._end_opening(path)
                self._import_later.clear()

        self.jobs.lane("io").submit(
            lambda task: open_image(path, blocks=blocks),
            title=f"Opening {path.name}",
            key="open",
            done=opened,
            discard=Image.close,
        )

    def _open_store(self, image: Image, path: Path) -> None:
        # on the journal's lane, so that it comes after the closing of a store that was in use
        def load(task: Task) -> _Opened:
            store = None
            try:
                store = ProjectStore.open(path, create=True)
                loaded = store.load(task)
            except BaseException:
                image.close()
                if store is not None:
                    store.close()
                raise
            return _Opened(image, store, loaded.table, loaded.classes)

        def loaded(job: Job[_Opened]) -> None:
            self._end_opening(image.source.path)
            if job.state == "cancelled":
                image.close()
            self._opened(job)

        self.jobs.lane("journal").submit(
            load,
            title=f"Reading annotations of {image.source.name}",
            key="load",
            done=loaded,
            discard=_Opened.close,
        )

    def _opened(self, job: Job[_Opened]) -> None:
        if job.state != "done" or job.result is None:
            return
        opened = job.result
        if not self.may_close():
            opened.close()
            return
        self._close_image()
        self.image, self.plane = opened.image, Plane()
        self.journal = Journal(self.jobs, opened.store)
        self.journal.changed.connect(self.saved_changed.emit)
        self._new_document()
        self.document.replace_all(opened.table, opened.classes or None)
        self.document.changed.connect(self._edited)
        self._look_at_image()
        self.image_changed.emit()
        self._tell_about_store(opened)  # before the store is told about this image
        self._remember()
        self._build_levels()
        self.reconstructions.document_opened()
        later, self._import_later = self._import_later, []
        for path in later:
            self.import_geojson(path)

    def _end_opening(self, path: Path) -> None:
        if self._opening == path:
            self._opening = None

    def _remember(self) -> None:
        assert self.image is not None
        assert self.journal is not None
        source = self.image.source
        self.settings.remember_file(source.path)
        self.mark.set(source.path)
        self.journal.note_image(
            ImageReference(source.path, source.name, source.identity, source.width, source.height)
        )

    def _tell_about_store(self, opened: _Opened) -> None:
        name, count = opened.image.source.name, len(opened.table)
        known = opened.store.image
        if opened.store.read_only:
            self.notice.emit(
                Notice("warning", f"{opened.store.path.name} is open for reading only.", opened.store.reason)
            )
        elif opened.store.recovered:
            self.notice.emit(
                Notice(
                    "info",
                    f"samdesk did not close properly last time. All {count} accepted annotations of "
                    f"{name} are here.",
                )
            )
        if known is not None and known.identity != opened.image.source.identity:
            self.notice.emit(
                Notice(
                    "warning",
                    f"{name} has changed since it was annotated.",
                    "Check that the annotations still fit.",
                )
            )

    def _build_levels(self) -> None:
        assert self.image is not None
        source = self.image.source
        if not needs_pyramid(source):
            return

        def built(job: Job[ImageSource]) -> None:
            if job.state == "done" and job.result and self.image and self.image.source is source:
                self.image = replace(self.image, source=job.result)
                self.session.set_levels(self.image)
                self.finding.set_levels(self.image)
                self.levels_changed.emit()

        self._levels = self.jobs.lane("levels").submit(
            lambda task: build_pyramid(source, paths.cache_dir() / "pyramids", task),
            title=f"Preparing zoom levels of {source.name}",
            key="levels",
            done=built,
            discard=_close_source,
        )

    def _new_document(self) -> None:
        self.document = Document()
        self.selection = Selection(self.document)
        self.history = History(self.document, limit_bytes=int(self.settings["undo_mb"]) << 20)

    def _close_image(self) -> None:
        self.preparing.stop()
        self.session.set_image(None)
        self.finding.set_image(None)
        if self._levels is not None:
            self._levels.cancel()
            self._levels = None
        image, journal = self.image, self.journal
        self.image = self.journal = None
        if journal is not None:
            self.document.changed.disconnect(self._edited)
            journal.close()
        if image is not None:
            self.jobs.lane("io").submit(lambda task: image.close())

    def close_image(self) -> None:
        """Close the image; its annotations are in their file already."""
        if not self.may_close():
            return
        self._close_image()
        self._new_document()
        self.mark.set(None)
        self.image_changed.emit()

    def may_close(self) -> bool:
        """Whether nothing would be lost by closing the image; asks when edits cannot be saved."""
        journal = self.journal
        while journal is not None and not journal.flush(FLUSH_S):
            if self.ask is None:
                return False
            what = "1 change" if journal.unsaved == 1 else f"{journal.unsaved:,} changes"
            answer = self.ask.choose(
                f"{what} could not be saved in {journal.path.name}.",
                "Make room on the disk and try again, or export the annotations first.",
                ("Try Again", "Close Without Saving"),
            )
            if answer is None:
                return False
            if answer == 1:
                return True
        return True

    def close(self) -> None:
        """End of the window: everything accepted is on disk when this returns."""
        self.serving.close()
        self._close_image()
        self.reconstructions.close()
        self.jobs.lane("journal").flush(timeout=30.0)
        self.mark.remove()
        self.jobs.close()

    # Editing

    @property
    def pixel_size(self) -> PixelSize | None:
        """Of the open image, where it says."""
        return self.image.pixel_size if self.image else None

    @property
    def editable(self) -> bool:
        return self.journal is not None and not self.journal.read_only

    def do(self, edit: Edit) -> bool:
        """Apply an edit as one undoable step; False (with a notice) when the document is read-only."""
        if not self.editable:
            why = self.journal.reason if self.journal else "No image is open."
            self.notice.emit(Notice("warning", "This document cannot be changed.", why))
            return False
        if not edit.is_empty:
            self.history.do(edit)
        return True

    def _keep(self, candidate: Candidate, prompts: Prompts) -> bool:
        if self.image is None:
            return False
        shape = simplify(candidate.shape, self.settings["outline_tolerance"])
        annotation = Annotation(
            shape=shape,
            class_name=self.active_class,
            plane=self.plane,
            provenance=provenance(candidate, prompts),
        )
        if not self.do(self.document.adding([annotation], "Add annotation")):
            return False
        self.selection.set([annotation.id])
        return True

    def _keep_found(self, candidates: list[Candidate]) -> bool:
        tolerance, prompts = self.settings["outline_tolerance"], self.finding.asked
        found = [
            Annotation(
                shape=simplify(one.shape, tolerance),
                class_name=self.active_class,
                plane=self.review.plane,
                provenance=provenance(one, prompts),
            )
            for one in candidates
        ]
        count = f"{len(found):,} annotations" if len(found) > 1 else "annotation"
        return self.do(self.document.adding(found, f"Add {count}"))

    def select_at(self, x: float, y: float, tolerance: float, add: bool = False) -> None:
        """Select what lies under a click; clicking again takes what lies below it.

        A candidate of the review goes first.
        """
        index = self.review.at(x, y, tolerance) if self.plane == self.review.plane else None
        if index is not None:
            self.review.current = index
            return
        hits = self.document.snapshot().hit(x, y, self.plane, tolerance)
        if not hits:
            if not add:
                self.selection.clear()
            return
        if add:
            self.selection.toggle(hits[0])
            return
        below = (
            (hits.index(self.selection.ids[0]) + 1) % len(hits)
            if (len(self.selection.ids) == 1 and self.selection.ids[0] in hits)
            else 0
        )
        self.selection.set([hits[below]])

    def delete_selected(self) -> None:
        chosen = self.document.table(self.selection.ids)
        unlocked = chosen.ids[(chosen.flags & LOCKED) == 0]
        if len(unlocked) < len(chosen):
            self.notice.emit(Notice("info", "Locked annotations were not deleted.", "Unlock them first."))
        if len(unlocked):
            what = "annotation" if len(unlocked) == 1 else f"{len(unlocked)} annotations"
            self.do(self.document.removing(unlocked, f"Delete {what}"))

    def choose_class(self, name: str | None) -> None:
        """The class of what is kept next."""
        self.active_class = name
        self.class_changed.emit()

    def set_class(self, name: str | None) -> None:
        """Give a class to what is selected."""
        if self.selection.ids:
            self.do(self.document.reclassifying(self.selection.ids, name, f"Set class {name or 'none'}"))

    def change_selected(self, title: str, change: Callable[[Annotation], Annotation]) -> None:
        """Replace each selected annotation by what `change` makes of it, as one step."""
        chosen = [self.document.get(i) for i in self.selection.ids]
        if chosen:
            self.do(self.document.replacing([change(one) for one in chosen], title))

    def select_all(self) -> None:
        self.selection.set(self.document.ids())

    def select_tool(self, name: str) -> None:
        if name != self.tool_name:
            self.tool.leave()
            self.tool.drop()
            self.show_sketch(None)
            self.tool_name = name
            self.tool.refresh()
            self.tool_changed.emit()

    def show_sketch(self, sketch: Sketch | None) -> None:
        """Paint this over the picture; None for nothing."""
        if sketch is not self.sketch:
            self.sketch = sketch
            self.sketch_changed.emit()

    @property
    def tool(self) -> Tool:
        return self._tools[self.tool_name]

    # Looking

    def _model_changed(self) -> None:
        self.finding.set_segmenter(self.session.segmenter)
        if self.models.is_loading or self.models.current == CLASSICAL:
            self.preparing.stop()

    def _look_at_image(self) -> None:
        self.session.set_image(self.image, self.plane)
        self.finding.set_image(self.image, self.plane)

    def set_display(self, display: Display) -> None:
        if self.image is not None:
            self.preparing.stop()
            self.image = replace(self.image, display=display)
            self._look_at_image()
            self.display_changed.emit()

    def set_plane(self, plane: Plane) -> None:
        if self.image is None:
            return
        source = self.image.source
        plane = Plane(min(max(plane.z, 0), source.size_z - 1), min(max(plane.t, 0), source.size_t - 1))
        if plane != self.plane:
            self.plane = plane
            self._look_at_image()
            self.plane_changed.emit()

    # Preparing

    def prepare(self, where: Bounds | Shape, what: str, scale: float) -> None:
        """Encode what clicks inside `where` will need; scale in image px per screen px. Returns at once."""
        if self.image is not None:
            self.preparing.start(
                self.session.segmenter, self.image, where, what, chip_downsample(scale), self.plane, self.ask
            )

    def ready_chips(self, bounds: Bounds, scale: float) -> list[Region]:
        """The chips in view on which prompts are answered at once, if the user wants to see them."""
        if self.image is None or not self.settings["warm_chips"]:
            return []
        return visible_ready_chips(self.session.segmenter, self.image, bounds, scale, self.plane)

    # Keeping

    @property
    def unsaved(self) -> int:
        """Accepted edits that are not on disk yet."""
        return self.journal.unsaved if self.journal else 0

    def retry_saving(self) -> None:
        if self.journal is not None:
            self.journal.retry()

    def _edited(self, edit: Edit) -> None:
        if self.journal is not None:
            self.journal.write(edit)
            self.saved_changed.emit()

    def save_as(self, path: Path) -> None:
        """Keep the project under this name from now on. Returns at once."""
        journal, image = self.journal, self.image
        if journal is None or image is None:
            return
        if path.suffix.lower() != PROJECT_SUFFIX:
            path = path.with_name(path.name + PROJECT_SUFFIX)
            if path.exists():
                self.notice.emit(
                    Notice(
                        "warning", f"{path.name} exists already.", "Choose it by its full name to replace it."
                    )
                )
                return
        old = journal.path
        if path == old:
            return

        def saved() -> None:
            if journal.path != path:
                return
            self.reconstructions.project_moved(old, path)
            if self.settings["projects"].get(str(image.source.path)) != str(path):
                self.settings.remember_project(image.source.path, path)
                text = f"Saved as {path.name}; further changes are written there at once."
                self.notice.emit(Notice("info", text))

        journal.changed.connect(saved)
        journal.move(path)

    # Interchange

    def export_geojson(self, path: Path) -> None:
        """Write all annotations as GeoJSON. Returns at once; a notice tells the end."""
        table = self.document.table()

        def exported(job: Job[int]) -> None:
            if job.state == "done":
                what = "1 annotation" if job.result == 1 else f"{job.result:,} annotations"
                self.notice.emit(Notice("info", f"{what} exported to {path.name}."))

        self.jobs.lane("io").submit(
            lambda task: write_geojson(path, table, task), title=f"Exporting {path.name}", done=exported
        )

    def export_3d(self, objects: Sequence[SceneObject], path: Path) -> None:
        """Write 3D objects into one file; its ending says what it becomes. Returns at once."""

        def exported(job: Job[None]) -> None:
            if job.state == "done":
                self.notice.emit(Notice("info", f"Exported to {path.name}."))

        self.reconstructions.export(objects, path, self.settings["stl_mm"], exported)

    def import_geojson(self, path: Path) -> None:
        """Add the annotations of a GeoJSON file as one undoable step. Returns at once."""
        if self.image is None:
            self.notice.emit(
                Notice("info", f"{path.name} holds annotations.", "Open the image they belong to first.")
            )
            return
        document = self.document

        def imported(job: Job[Imported]) -> None:
            if job.state == "done" and job.result is not None and self.document is document:
                self._add_imported(path, job.result)

        self.jobs.lane("io").submit(
            lambda task: read_geojson(path, task), title=f"Importing {path.name}", done=imported
        )

    def _add_imported(self, path: Path, imported: Imported) -> None:
        table = imported.table
        known = self.document.known(table)
        if known.any() and self.ask is not None:
            answer = self.ask.choose(
                f"{int(known.sum())} of {len(table)} annotations in {path.name} are already here.",
                "Replace them by the imported ones, or keep both?",
                ("Replace", "Keep both"),
            )
            if answer is None:
                return
            if answer == 1:
                table = table.with_new_ids(known)
        edit = self.document.merging(table, f"Import {path.name}")
        if self.do(edit):
            level: Literal["info", "warning"] = (
                "warning" if imported.report.repaired or imported.report.skipped else "info"
            )
            self.notice.emit(Notice(level, imported.report.summary()))

    # Signals of others

    def _job_failed(self, job: Job[Any]) -> None:
        if job.error is None or self.serving.owns(job):
            return
        missing = getattr(job.error, "weight", "")
        if missing:
            self._tell_missing(missing)
            return
        command = "save.retry" if self.unsaved else ""
        if isinstance(job.error, GatedError):
            command = "weights.show"
        if getattr(job.error, "kind", "") in NOT_SET_UP:
            command = "recon.engines"
        self.notice.emit(Notice("error", job.error.message, job.error.hint, command))

    def _tell_missing(self, weight: str) -> None:
        text = f"QuPath or another program asked for “{weight}”, which is not on this computer."
        hint = "Download it, and ask there again."
        self.notice.emit(Notice("error", text, hint, "weights.show", weight))

    def _tell_serving(self) -> None:
        where = self.serving.qupath_url
        text = f"QuPath's SAM extension finds samdesk at {where}"
        self.notice.emit(Notice("info", text, "Other programs of this computer, too.", "server.copy"))

    def _serving_failed(self, error: SamdeskError) -> None:
        # unasked, as another window may answer already, it is no more than news
        level: Literal["info", "error"] = "error" if self.serving.asked else "info"
        self.notice.emit(Notice(level, error.message, error.hint, "app.preferences", "serve_port"))

    def _setting_changed(self, name: str) -> None:
        if name == "hover":
            self.session.hover_enabled = self.settings["hover"]
        elif name == "undo_mb":
            self.history.limit_bytes = int(self.settings["undo_mb"]) << 20
        elif name == "blocks_mb":
            self.blocks.limit_bytes = int(self.settings["blocks_mb"]) << 20
        elif name in MASK_SETTINGS:
            self.session.set_options(_mask_options(self.settings))
            self.finding.options = self.session.options
        elif name == "stand_in":
            self.session.set_stand_in(self._stand_in if self.settings["stand_in"] else None)
        elif name == "device":
            self.models.reload()
        elif name == "embeddings_mb":
            self.embeddings.memory.limit_bytes = int(self.settings["embeddings_mb"]) << 20
        elif name == "embeddings_disk_mb" and self.embeddings.disk is not None:
            self.embeddings.disk.limit_bytes = int(self.settings["embeddings_disk_mb"]) << 20
            trim = self.embeddings.disk.trim
            self.jobs.lane("io").submit(lambda task: trim(), key="trim embeddings")

    def annotations_bounds(self, ids: Iterable[uuid.UUID]) -> Bounds | None:
        """The box around these annotations."""
        return self.document.table(list(ids)).bounding_box()


def _mask_options(settings: Settings) -> MaskOptions:
    share = settings["mask_percent"] / 100
    return MaskOptions(
        multimask={"auto": None, "several": True, "one": False}[settings["candidates"]],
        threshold=math.log(share / (1 - share)),
        min_area_px=settings["min_area"],
        smooth_px=settings["smooth"],
    )


def _is_geojson(path: Path) -> bool:
    return path.name.lower().endswith(GEOJSON_SUFFIXES)


def _close_source(source: ImageSource) -> None:
    source.close()


def _image_of(store: ProjectStore) -> Path:
    image = store.image
    if image is not None and image.path.exists():
        return image.path
    raise SamdeskError(
        f"The image of {store.path.name} was not found: {image.path if image else 'none is noted'}.",
        "Put the image back, or open it where it is now and import the annotations.",
    )
