"""The workspace: the open image, its document, where that is stored, and what is selected.

The one object that the window, the demo and tests drive. Lives on the main thread. Must not
know widgets.
"""

from __future__ import annotations

import hashlib
import math
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

from psygnal import Signal

from samdesk import paths
from samdesk.domain.columns import LOCKED, AnnotationClass, Table
from samdesk.domain.document import Document, Selection
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Bounds, Plane, Region, Shape
from samdesk.domain.history import Edit, History
from samdesk.domain.tasks import Task
from samdesk.formats.exchange import is_annotations, is_label_export
from samdesk.formats.project import DamagedError, ImageReference, ProjectStore, folder_of
from samdesk.images.contrast import Display
from samdesk.images.pyramid import build_pyramid, needs_pyramid
from samdesk.images.source import ImageSource, PixelSize
from samdesk.images.tiles import BlockCache
from samdesk.sdk import Image, MaskOptions, Segmenter, chip_downsample, open_image
from samdesk.weights import GatedError, Registry

from .classes import Classes
from .downloads import Downloads, Offer
from .editing import Editing
from .exchange import Exchange, without_locked
from .finding import ExampleTool, FindSession
from .jobs import Job, Jobs
from .journal import PROJECT_SUFFIX, Journal, State, autosave_dir
from .keeping import Keeping
from .looking import LookedAt
from .measuring import Measuring
from .models import CLASSICAL, Models
from .precompute import Preparing, visible_ready_chips
from .project import Projects
from .reconstruction import Reconstructions, SceneObject
from .recovery import Mark
from .refining import Refining
from .review import Batch, Review
from .serving import Serving, Start
from .session import PromptSession
from .settings import Settings
from .showing import Showing
from .snapshots import Snapshots
from .tools import DRAWING, TOOLS, Sketch, Tool

MASK_SETTINGS = ("candidates", "mask_percent", "min_area", "smooth")
"""Settings that decide how an answer becomes a shape."""

NOT_SET_UP = ("start", "missing_module", "missing_weights")
"""Kinds of a `WorkerError` that the settings of the 3D engines can put right."""

FIRST = 100
"""Listeners are told in the order of their priority, this one before all that have none."""

QUICK_S = 0.2
"""So long closing waits for edits that are being written before it says so."""

FLUSH_S = 5.0
"""So long where nobody can be asked."""


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
    def open_folder(self, title: str) -> Path | None: ...
    def new_folder(self, title: str, name: str) -> Path | None:
        """Where a folder of that name, or of another one, shall be made."""
        ...

    def save_file(self, title: str, name: str, filters: str) -> Path | None: ...
    def choose(self, text: str, hint: str, options: Iterable[str]) -> int | None:
        """Index of the chosen option, None when the question was dismissed."""
        ...

    def wait(self, text: str, until: Callable[[], bool]) -> bool:
        """Say what goes on until it has ended; False when the user would rather not wait for that."""
        ...


@dataclass(frozen=True, slots=True)
class _Opened:
    image: Image
    store: ProjectStore
    table: Table
    classes: tuple[AnnotationClass, ...]
    meta: Mapping[str, Any]

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
        self.showing = Showing(self)
        self.classes = Classes(self)
        self.snapshots = Snapshots(self)
        self.looking = LookedAt()
        self.project = Projects(self)
        self._opening: Path | None = None
        self._import_later: list[Path] = []
        self._levels: Job[ImageSource] | None = None
        self.scale = 1.0
        self.selecting = False
        self._tools: dict[str, Tool] = {}
        self._new_document()
        self.embeddings = segmenter.cache
        self.embeddings.later = lambda write: jobs.lane("io").submit(lambda task: write(), priority=9)
        self._stand_in = segmenter
        self.keeping = Keeping(self)
        self.session = PromptSession(jobs, segmenter, self.keeping.keep, class_now=lambda: self.active_class)
        self.session.auto = settings["auto_accept"]
        self.session.hover_enabled = settings["hover"]
        self.session.options = _mask_options(settings)
        self.session.set_stand_in(segmenter if settings["stand_in"] else None)
        self.session.lost.connect(self._clicks_lost)
        self.models = Models(jobs, settings, self.session, segmenter, self.embeddings, registry)
        self.models.failed.connect(lambda error: self.notice.emit(Notice("error", error.message, error.hint)))
        self._downloads: Downloads | None = None
        self.offer = Offer(self.models, lambda: self.downloads, ask)
        self.preparing = Preparing(jobs)
        self.models.changed.connect(self._model_changed)
        self.preparing.finished.connect(lambda text: self.notice.emit(Notice("info", text)))
        self.review = Review(self.keeping.keep_found)
        self.refining = Refining(self)
        self.refining.finished.connect(lambda text: self.notice.emit(Notice("info", text)))
        self.reconstructions = Reconstructions(self)
        self.exchange = Exchange(self)
        self.exchange.told.connect(
            lambda level, text, hint, command: self.notice.emit(Notice(level, text, hint, command))
        )
        self.editing = Editing(self)
        self.measuring = Measuring(self)
        self.editing.told.connect(lambda level, text, hint: self.notice.emit(Notice(level, text, hint)))
        self.finding = FindSession(jobs, segmenter, self.review, lambda: self.document.snapshot())
        self.finding.options = self.session.options
        self._tools = {name: spec.make(self) for name, spec in TOOLS.items()}
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
        self.image_changed.connect(self._refresh_tool)
        self.plane_changed.connect(self._refresh_tool)
        self.classes.hidden_changed.connect(self._refresh_tool)

    @property
    def downloads(self) -> Downloads:
        """What is under way for weights; made when it is first needed, because it reads the registry."""
        if self._downloads is None:
            self._downloads = Downloads(self.jobs, self.models.registry)
        return self._downloads

    def _starter(self, load_server: Callable[[], Server] | None) -> Callable[[], Start] | None:
        return None if load_server is None else lambda: partial(load_server(), self)

    def tell(
        self,
        level: Literal["info", "warning", "error"],
        text: str,
        hint: str = "",
        command: str = "",
        about: str = "",
    ) -> None:
        """Give the user a message; the parameters are those of a `Notice`."""
        self.notice.emit(Notice(level, text, hint, command, about))

    # Opening and closing

    def open(self, path: Path) -> None:
        """Open an image, a project or a file with annotations, by its name. Returns at once."""
        path = path.expanduser().absolute()
        if path == self._opening:
            return
        folder = folder_of(path)
        if folder is not None:
            self.project.open(folder, path.stem if path.suffix == PROJECT_SUFFIX else "")
        elif path.exists() and is_annotations(path):
            if self._opening is not None:
                self._import_later.append(path)
            else:
                self.exchange.import_files([path])
        elif path.suffix.lower() == PROJECT_SUFFIX:
            self._open_project(path)
        elif self.image is not None and self.image.source.path == path:
            self.notice.emit(Notice("info", f"{path.name} is already open."))
        elif self.image is not None and self.ask is not None and is_label_export(path):
            self._ask_about_labels(path, self.image.source.name, self.ask)
        else:
            self._open_at_home(path)

    def _open_at_home(self, path: Path) -> None:
        """Open an image with the annotations it has: in its project, unless another one is open."""
        store = self.project.store_of(path) or self.store_path(path)
        folder = folder_of(store)
        if folder is None or self.project.is_open or not path.exists():
            self._open_image(path, store)
            return
        self._opening = path

        def alone() -> None:
            if self._opening == path:
                self._open_image(path, self.store_path(path))

        self.project.open(folder, store.stem, alone)

    def open_kept(self, image: Path, annotations: Path) -> None:
        """Open an image whose annotations are in this file. Returns at once."""
        self._open_image(image, annotations)

    def open_last(self) -> None:
        """Open what was open when the last window was closed, where it was left. Returns at once."""
        kept = self.settings["session"]
        project, image = (str(kept.get(name) or "") for name in ("project", "image"))
        has_project = bool(project) and Path(project).exists()
        if has_project:
            self.project.open(Path(project), str(kept.get("shown") or ""))
        if image and Path(image).exists() and not kept.get("shown"):
            self.looking.go_on = True
            if has_project:  # beside which it was shown, whatever project it is in
                self.open_kept(Path(image), self.store_path(Path(image)))
            else:
                self.open(Path(image))

    def _remember_session(self) -> None:
        """Note what is open, for the next start."""
        folder, image = self.project.folder, self.image
        self.settings["session"] = {
            "project": str(folder.path) if folder else "",
            "shown": self.project.current,
            "image": str(image.source.path) if image else "",
        }

    def open_all(self, files: Iterable[Path]) -> None:
        """Open the first image, and import the files with annotations into it."""
        given = sorted(files, key=is_annotations)
        images = [path for path in given if not is_annotations(path)]

        def open_first() -> None:
            for path in (*images[:1], *given[len(images) :]):
                self.open(path)

        if len(images) > 1 and self.project.editable:
            self.project.add_images(images, open_first)
            return
        open_first()
        if len(images) > 1:
            left = ", ".join(path.name for path in images[1:4])
            text = f"A window shows one image: {left} was not opened."
            self.tell("info", text, "A project holds several: File, Project, New Project.")

    def store_path(self, image: Path) -> Path:
        """Where the annotations of this image are kept: as the user saved them, else in the data folder."""
        saved = self.settings["projects"].get(str(image))
        # of an image in a project without annotations there is no file yet
        if saved and (Path(saved).exists() or folder_of(Path(saved))):
            return Path(saved)
        digest = hashlib.sha256(str(image).encode()).hexdigest()[:12]
        return autosave_dir() / f"{image.stem[:60]}-{digest}{PROJECT_SUFFIX}"

    def _ask_about_labels(self, path: Path, shown: str, ask: Ask) -> None:
        """A label image that was exported is a picture, and annotations too."""
        hint = f"Its objects can be added to {shown}."
        options = ("Import as Annotations", "Open as an Image")
        answer = ask.choose(f"{path.name} is a label image that was exported.", hint, options)
        if answer == 0:
            self.exchange.import_files([path])
        elif answer == 1:
            self._open_at_home(path)

    def _open_project(self, path: Path) -> None:
        if self.journal is not None and self.journal.path == path:
            self.notice.emit(Notice("info", f"{path.name} is already open."))
            return

        def find(task: Task) -> tuple[ImageReference | None, bool]:
            with self._offering(path), ProjectStore.open(path, read_only=True) as store:
                known = store.image
                return known, known is not None and known.path.exists()

        def found(job: Job[tuple[ImageReference | None, bool]]) -> None:
            if isinstance(job.error, DamagedError):
                self.snapshots.offer(path, job.error, lambda: self._open_project(path))
            if job.state != "done" or job.result is None:
                return
            known, is_there = job.result
            if known is not None and is_there:
                self._open_image(known.path, path)
            else:
                self._locate_image(path, known)

        self.jobs.lane("journal").submit(find, done=found)

    @contextmanager
    def _offering(self, project: Path) -> Iterator[None]:
        """On the journal's lane: look for a snapshot when the project turns out to be damaged."""
        try:
            yield
        except DamagedError as error:
            self.snapshots.look_for(project, error)
            raise

    def _locate_image(self, project: Path, known: ImageReference | None) -> None:
        """Ask where the image of a project is now."""
        where = str(known.path) if known else "none is noted"
        text = f"The image of {project.name} was not found: {where}."
        if self.ask is None or self.ask.choose(text, "Where is it now?", ("Locate Image…",)) != 0:
            self.tell("error", text, "Put it back, or open the project again and locate it.")
            return
        name = known.name if known else "the image"
        for path in self.ask.open_files(f"Locate {name}", "All files (*)")[:1]:
            self._open_image(path.absolute(), project)

    def _open_image(self, path: Path, store: Path) -> None:
        blocks = self.blocks
        self._opening = path

        def opened(job: Job[Image]) -> None:
            if job.state == "done" and job.result is not None:
                self._open_store(job.result, store)
            else:
                self._end_opening(path)
                self._import_later.clear()
                self.looking.go_on = False

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
                with self._offering(path):
                    store = ProjectStore.open(path, create=True)
                    loaded = store.load(task)
            except BaseException:
                image.close()
                if store is not None:
                    store.close()
                raise
            return _Opened(image, store, loaded.table, loaded.classes, loaded.meta)

        def loaded(job: Job[_Opened]) -> None:
            self._end_opening(image.source.path)
            if job.state == "cancelled":
                image.close()
            if isinstance(job.error, DamagedError):
                self.snapshots.offer(path, job.error, lambda: self._open_image(image.source.path, path))
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
            self._import_later.clear()
            self.looking.go_on = False
            return
        self._close_image()
        self.image, self.plane = self.showing.opened(opened.image, opened.meta), Plane()
        self.journal = Journal(self.jobs, opened.store)
        self.journal.changed.connect(self.saved_changed.emit)
        self._new_document()
        self.document.replace_all(opened.table, opened.classes or None)
        # the first to be told: what is on the screen is safe already
        self.document.changed.connect(self._edited, priority=FIRST)
        self.looking.opened(opened.meta)
        self.classes.opened(opened.meta)
        self._look_at_image()
        self.image_changed.emit()
        self._tell_about_store(opened)  # before the store is told about this image
        self._remember()
        self.showing.keep()
        self._build_levels()
        self.reconstructions.document_opened()
        later, self._import_later = self._import_later, []
        self.exchange.import_files(later)

    def _end_opening(self, path: Path) -> None:
        if self._opening == path:
            self._opening = None

    def _remember(self) -> None:
        assert self.image is not None
        assert self.journal is not None
        source = self.image.source
        self.settings.remember_file(source.path)
        self.mark.set(source.path, self.journal.path)
        self.journal.note_image(
            ImageReference(source.path, source.name, source.identity, source.width, source.height)
        )

    def _tell_about_store(self, opened: _Opened) -> None:
        name, count = opened.image.source.name, len(opened.table)
        known, source = opened.store.image, opened.image.source
        if opened.store.lost:
            lost = ", ".join(opened.store.lost)
            self.tell(
                "warning",
                f"samdesk did not close properly last time. Not kept of {name}: {lost}.",
                f"The other {count:,} annotations are here.",
            )
        if opened.store.read_only:
            self.notice.emit(
                Notice("warning", f"{opened.store.path.name} is open for reading only.", opened.store.reason)
            )
        elif opened.store.recovered and not opened.store.lost:
            self.notice.emit(
                Notice(
                    "info",
                    f"samdesk did not close properly last time. All {count} accepted annotations of "
                    f"{name} are here.",
                )
            )
        if known is not None and not _is_same(known, source):
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
        self.document.changed.connect(self._refresh_tool)
        self.selection.changed.connect(self._refresh_tool)

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
            self.looking.keep(journal)
            journal.close()
        if image is not None:
            self.jobs.lane("io").submit(lambda task: image.close())

    def close_image(self) -> None:
        """Close the image; its annotations are in their file already."""
        if not self.may_close():
            return
        self._close_image()
        self._new_document()
        self.classes.opened({})
        self.mark.set(None)
        self.image_changed.emit()

    def may_close(self) -> bool:
        """Whether the image may be closed; asks when something was found and not kept yet, or edits
        cannot be written, or take long."""
        return self._may_drop_found() and self._may_close_journal()

    def _may_drop_found(self) -> bool:
        """Whether the search may be given up and the review ended; asks, and may keep what is ticked."""
        ask, review = self.ask, self.review
        if ask is None or self.image is None or not (self.finding.busy or len(review.ticked())):
            return True
        name, ticked, busy = self.image.source.name, len(review.ticked()), self.finding.busy
        hint = "The search is still running, and ends." if busy else "What is not kept is lost."
        if not ticked:
            if ask.choose(f"The search in {name} is still running.", "It ends.", ("Stop It",)) != 0:
                return False
            self.finding.stop()
            review.clear()
            return True
        are = "candidate in {} is" if ticked == 1 else "candidates in {} are"
        text = f"{ticked:,} {are.format(name)} ticked and not kept yet."
        answer = ask.choose(text, hint, ("Keep the Ticked", "Drop"))
        if answer is None:
            return False
        self.finding.stop()
        if answer == 0 and len(review.ticked()):
            return review.accept()
        review.clear()
        return True

    def _may_close_journal(self) -> bool:
        journal, ask = self.journal, self.ask
        if journal is None or ask is None or self.image is None:
            return journal is None or journal.flush(FLUSH_S)
        name = self.image.source.name
        while not journal.flush(QUICK_S):
            what = f"{_changes(journal.unsaved) if journal.unsaved else 'the annotations'} of {name}"
            if journal.busy:
                if not ask.wait(f"Writing {what}", lambda: not journal.busy):
                    return False
                continue
            hint, close = _what_becomes_of(journal.unsaved, journal.unsafe)
            answer = ask.choose(f"{what} could not be written to the disk.", hint, ("Try Again", close))
            if answer is None:
                return False
            if answer == 1:
                return True
        return True

    def close(self) -> None:
        """End of the window: everything accepted is on disk when this returns."""
        self._remember_session()
        self.serving.close()
        journal = self.journal
        self._close_image()
        self.project.close()
        self.reconstructions.close()
        (journal or self.jobs.lane("journal")).flush(30.0)
        self.mark.remove()
        self.jobs.close()

    # Editing

    @property
    def pixel_size(self) -> PixelSize | None:
        """Of the open image, where it says."""
        return self.image.pixel_size if self.image else None

    @property
    def hidden(self) -> frozenset[str | None]:
        """Names of the classes that are not shown."""
        return self.classes.hidden

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

    def review_imported(self, table: Table, title: str) -> None:
        """Look through annotations of a file before they are added as one step. Returns at once.

        They keep ids, classes and measurements; one whose id is here already takes the place of
        that annotation when it is kept.

        Parameters
        ----------
        table : Table
        title : str
            Of the step: "Import cells.geojson".
        """
        document, known = self.document, self.document.snapshot()

        def keep(rows: list[int]) -> bool:
            chosen, locked = without_locked(document, table.take(rows))
            if len(chosen) and not self.do(document.merging(chosen, title)):
                return False
            if locked:
                what = "annotation is locked and was" if locked == 1 else "annotations are locked and were"
                self.tell("info", f"{locked:,} {what} left as before.", "Unlock first: Ctrl+K.")
            return True

        def ready(job: Job[Batch]) -> None:
            if job.state == "done" and job.result is not None and self.document is document:
                self.finding.stop()
                self.review.begin(title, plane=self.plane, keep=keep, any_score=True)
                self.review.add(job.result)
                self.review.end()

        self.jobs.lane("io").submit(
            lambda task: Batch.of_table(table, known), title=title, key="review", done=ready
        )

    def select_at(self, x: float, y: float, tolerance: float, add: bool = False) -> None:
        """Select what lies under a click; clicking again takes what lies below it.

        A candidate of the review goes first.
        """
        index = self.review.at(x, y, tolerance, self.plane)
        if index is not None:
            self.review.current = index
            return
        hits = self.classes.visible(self.document.snapshot().hit(x, y, self.plane, tolerance))
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

    def select_all(self) -> None:
        """Select everything that is not hidden."""
        if self.hidden:
            self.classes.select_all_of({None, *self.classes.names} - self.hidden)
        else:
            self.selection.set_all()

    def select_tool(self, name: str) -> None:
        if name != self.tool_name:
            self.tool.leave()
            self.tool.drop()
            self.show_sketch(None)
            self.tool_name = name
            self.tool.refresh()
            self.tool_changed.emit()

    def set_selecting(self, on: bool) -> None:
        """Whether drawing tools select what lies inside, instead of adding an annotation."""
        self.selecting = on
        if on and self.tool_name not in DRAWING:
            self.select_tool(DRAWING[0])
        self.tool_changed.emit()

    def look_at_scale(self, scale: float) -> None:
        """Note at how many image pixels per screen pixel the picture is shown."""
        if scale != self.scale:
            self.scale = scale
            self.tool.refresh()

    def _refresh_tool(self, *_: Any) -> None:
        if self._tools:
            self.tool.refresh()

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

    def _clicks_lost(self, count: int) -> None:
        what = "A click was" if count == 1 else f"{count:,} clicks were"
        self.tell("info", f"{what} not answered in time.", "Nothing was added there; click again.")

    def _look_at_image(self) -> None:
        self.session.set_image(self.image, self.plane)
        self.finding.set_image(self.image, self.plane)

    def set_display(self, display: Display) -> None:
        """Show the image like this; the models see it only where they see what is displayed."""
        if self.image is not None:
            self.showing.preview(False)
            image = replace(self.image, display=display)
            self.show_image_as(image, models_too=image.model_display is None)

    def show_image_as(self, image: Image, models_too: bool) -> None:
        """Go on with the same image, shown otherwise; to the models it is another one if they see that."""
        self.image = image
        if models_too:
            self.preparing.stop()
            self._look_at_image()
        else:
            self.session.set_levels(image)
            self.finding.set_levels(image)
        self.showing.keep()
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
    def saving(self) -> State:
        """Whether all that was accepted is safe, is being written, or could not be written."""
        return self.journal.state if self.journal else "saved"

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
            self.project.share_classes(edit)
            self.project.count_shown()
        self.keeping.edited(edit)

    @property
    def has_name(self) -> bool:
        """Whether the user chose where the annotations are kept: in a file, or in a project."""
        return self.journal is not None and self.journal.path.parent != autosave_dir()

    def save(self) -> None:
        """Say where everything is kept already. Returns at once."""
        if self.journal is None:
            return
        if self.journal.read_only:
            self.tell("warning", "This document cannot be changed.", self.journal.reason, "file.save_copy")
            return
        self.retry_saving()
        if self.saving == "failed":
            what = f"{_changes(self.unsaved)} could not be written yet."
            self.tell("warning", what, "Make room on the disk.", "save.retry")
            return
        folder = self.project.folder if self.project.current else None
        where = f"the project {folder.name}" if folder else self.journal.path.name
        text = f"Everything is saved: every change is kept in {where} at once."
        self.tell("info", text, "A copy goes to a file of its own.", "file.save_copy")

    def save_as(self, path: Path) -> None:
        """Keep the annotations under this name from now on. Returns at once.

        Those of an image in a project stay in it; the file becomes a copy.
        """
        named = self._named(path)
        if named is None:
            return
        if self.project.current:
            self.save_copy(named)
        elif self.journal is not None and named != self.journal.path:
            self.keep_in(named)

    def save_copy(self, path: Path) -> None:
        """Write the annotations to another file, and go on in the one they are in. Returns at once."""
        named = self._named(path)
        if self.journal is None or named is None:
            return
        self.journal.copy(named, lambda: self.tell("info", f"A copy was saved as {named.name}."))

    def _named(self, path: Path) -> Path | None:
        """The name with its ending; None (with a notice) when it must not be written."""
        if path.suffix.lower() != PROJECT_SUFFIX:
            path = path.with_name(path.name + PROJECT_SUFFIX)
            if path.exists():
                hint = "Choose it by its full name to replace it."
                self.tell("warning", f"{path.name} exists already.", hint)
                return None
        folder = folder_of(path)
        if folder is not None:
            hint = "Choose a place outside of that folder."
            self.tell("warning", f"{path.name} belongs to the project {folder.name}.", hint)
            return None
        return path

    def keep_in(self, path: Path) -> None:
        """Keep the annotations in this file from now on. Returns at once."""
        journal, image = self.journal, self.image
        if journal is None or image is None:
            return
        old = journal.path

        def moved() -> None:
            self.settings.remember_project(image.source.path, path)
            self.reconstructions.project_moved(old, path)
            if self.journal is not journal:  # it was closed meanwhile
                return
            self.mark.set(image.source.path, path)
            if self.project.current:
                self.project.changed.emit()
                self.project.bring_classes()
            else:
                self.tell("info", f"Saved as {path.name}; further changes are written there at once.")

        journal.move(path, moved)

    # Interchange

    def export_3d(self, objects: Sequence[SceneObject], path: Path) -> None:
        """Write 3D objects into one file; its ending says what it becomes. Returns at once."""

        def exported(job: Job[None]) -> None:
            if job.state == "done":
                self.notice.emit(Notice("info", f"Exported to {path.name}."))

        self.reconstructions.export(objects, path, self.settings["stl_mm"], exported)

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
        elif name == "auto_accept":
            self.keeping.count_anew()
            self.session.auto = self.settings["auto_accept"]
        elif name == "annotations":
            self.tool.refresh()
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
        return self.document.table(ids).bounding_box()


def _mask_options(settings: Settings) -> MaskOptions:
    share = settings["mask_percent"] / 100
    return MaskOptions(
        multimask={"auto": None, "several": True, "one": False}[settings["candidates"]],
        threshold=math.log(share / (1 - share)),
        min_area_px=settings["min_area"],
        smooth_px=settings["smooth"],
    )


def _changes(count: int) -> str:
    return "1 change" if count == 1 else f"{count:,} changes"


def _what_becomes_of(unwritten: int, unsafe: int) -> tuple[str, str]:
    """What happens to edits that could not be written when their image is closed, and how to call that."""
    one = unwritten == 1
    if not unsafe:
        kept = "It is kept, and is written" if one else "They are kept, and are written"
        now = "it" if one else "them"
        return f"{kept} when the image is opened again. Make room on the disk to write {now} now.", "Close"
    lost = "It" if one else f"{unsafe:,} of them"
    hint = f"{lost} cannot be kept for the next time, and would be lost."
    return f"{hint} Make room on the disk, or export the annotations first.", "Close Without Saving"


def _close_source(source: ImageSource) -> None:
    source.close()


def _is_same(known: ImageReference, source: ImageSource) -> bool:
    """Whether this is the image that was annotated; of one that was moved only the size can tell."""
    if known.path == source.path:
        return known.identity == source.identity
    return (known.width, known.height) == (source.width, source.height)
