"""`Reconstructions`: the 3D jobs of one window, from an annotation to an object that it knows of.

Lives on the main thread; pictures, records and files are read and written on lane `io`, workers
run on lane `3d`, and objects move beside the project on lane `journal`, so that a project that
is saved under another name takes along what it has. Must not know widgets.
"""

from __future__ import annotations

import itertools
import logging
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from samdesk import paths
from samdesk.app.jobs import Job
from samdesk.domain.errors import SamdeskError
from samdesk.domain.tasks import Task
from samdesk.recon.engines import recon_spec, worker_spec
from samdesk.recon.options import ReconOptions
from samdesk.sdk.reconstruction import Preflight, Times, picture_of, preflight, prepare

from .attaching import Attaching
from .desk import MOST, Desk, Subject, config_of, name_of, refuse_when_lacking, title_of
from .export import SIZE_MM, export_objects
from .folders import JobFolders
from .objects import objects_dir, same_files
from .record import ReconJob
from .scene import SceneObject, scene_in, scene_of_job
from .seat import MakeWorker, WorkerSeat, new_worker
from .work import Outcome, make_objects, times_path

if TYPE_CHECKING:
    from samdesk.recon.client import CheckItem

log = logging.getLogger(__name__)

CLOSING_S = 2.0
"""How long the end of the program waits for the end of workers that were killed."""

KEEPING_S = 1.0
"""How long the end of the program waits for pictures that are still being kept."""

CHECKS = "3d check"
"""Checks of an engine have a lane of their own: a job can take an hour."""


class Reconstructions:
    """The 3D jobs that this window knows of: its own, and all that have ended.

    Parameters
    ----------
    desk : Desk
        The workspace.
    folder : Path, optional
        Where jobs are kept.
    make_worker : callable, optional
        By default `new_worker`.

    Attributes
    ----------
    changed : Signal()
        There is another job, one less, or one is in another state.
    progressed : Signal(str)
        The job of this id came further.
    previewed : Signal(str, Path)
        A file of points, (n, 3) float32 .npy, of an object that this job is making.
    finished : Signal(ReconJob)
        Its objects are there.
    """

    changed = Signal()
    progressed = Signal(str)
    previewed = Signal(str, Path)
    finished = Signal(ReconJob)

    def __init__(self, desk: Desk, folder: Path | None = None, make_worker: MakeWorker | None = None) -> None:
        self._desk = desk
        self._lanes = desk.jobs
        self._folders = JobFolders(folder or paths.data_dir() / "3d")
        self._seat = WorkerSeat(paths.state_dir(), make_worker or new_worker)
        self._known: dict[str, ReconJob] = {}
        self._working: dict[str, Job[Any]] = {}
        self._preparing: set[str] = set()
        self._unwritten: dict[str, ReconJob] = {}
        self._attaching = Attaching(desk, self._folders, self._attached)
        self._closed = False
        self._lanes.changed.connect(self._job_moved)

    # what there is

    @property
    def jobs(self) -> tuple[ReconJob, ...]:
        """Newest first."""
        return tuple(sorted(self._known.values(), key=lambda job: -job.created))

    def get(self, job: str) -> ReconJob | None:
        """A job by its id."""
        return self._known.get(job)

    def pending_for(self, project: Path) -> tuple[ReconJob, ...]:
        """Jobs that are done, but that the annotations in this project do not know of, oldest first."""
        found = [job for job in self._known.values() if job.project == project]
        waiting = [job for job in found if job.state == "done" and not job.attached]
        return tuple(sorted(waiting, key=lambda job: job.created))

    def log(self, job: str) -> Path:
        """Where the worker of a job writes what it has to say."""
        known = self._known.get(job)
        return self._seat.log(known.engine if known is not None else "")

    def folder(self, job: str) -> Path:
        """Where a job's files are: beside the project once its annotations know of them."""
        known = self._known.get(job)
        if known is not None and known.attached and known.reconstructions:
            return objects_dir(known.project)
        return self._folders.path(job)

    def scene(
        self, ids: Iterable[uuid.UUID], done: Callable[[Job[tuple[SceneObject, ...]]], None]
    ) -> Job[tuple[SceneObject, ...]] | None:
        """The objects of these annotations, read in the background; None when no project is open."""
        journal = self._desk.journal
        if journal is None:
            return None
        chosen, state, project = tuple(ids), self._desk.document.snapshot(), journal.path
        return self._lanes.lane("io").submit(
            lambda task: scene_in(state, chosen, project), key="3d scene", done=done
        )

    def scene_of(
        self, job: str, done: Callable[[Job[tuple[SceneObject, ...]]], None]
    ) -> Job[tuple[SceneObject, ...]] | None:
        """The objects that a job made, read in the background; None for a job that made none."""
        known = self._known.get(job)
        if known is None or not known.reconstructions:
            return None
        objects = self._folders.objects(job)
        return self._lanes.lane("io").submit(
            lambda task: scene_of_job(known, objects), key="3d scene", done=done
        )

    # what can be done; all return at once

    def subject(self, ids: Iterable[uuid.UUID]) -> Subject:
        """What would be made of these annotations.

        Raises
        ------
        SamdeskError
            When nothing can be: no image is open, none of them is here, or they are too many.
        """
        image, journal, document = self._desk.image, self._desk.journal, self._desk.document
        if image is None or journal is None:
            raise SamdeskError("No image is open.", "Open one, and outline an object in it.")
        first = tuple(itertools.islice(ids, MOST + 1))
        if len(first) > MOST:
            raise SamdeskError(
                f"At most {MOST} objects can be made at once.",
                "Select fewer, or use “samdesk make3d” for many.",
            )
        chosen = tuple(document.get(one) for one in first if one in document)
        if not chosen:
            raise SamdeskError("No annotation is selected.", "Select the object to be made in 3D.")
        if len({one.plane for one in chosen}) > 1:
            raise SamdeskError(
                "The annotations lie in different slices or time points.",
                "Make those of one plane at a time.",
            )
        return Subject(image, journal.path, chosen, chosen[0].plane)

    def preflight(
        self, ids: Iterable[uuid.UUID], engine: str, done: Callable[[Job[Preflight]], None]
    ) -> Job[Preflight]:
        """Judge what would be made, before anything is started.

        Parameters
        ----------
        ids : iterable of uuid.UUID
        engine : str
        done : callable
            Receives the ended job with the `Preflight`; a newer call cancels an older.

        Raises
        ------
        SamdeskError
            As `subject`.
        """
        subject, spec, times = self.subject(ids), recon_spec(engine), times_path(self._folders.folder)
        shapes = [one.shape for one in subject.annotations]

        def look(task: Task) -> Preflight:
            return preflight(subject.image, shapes, spec, subject.plane, Times(times))

        return self._lanes.lane("io").submit(look, key="3d preflight", done=done)

    def make(
        self,
        ids: Iterable[uuid.UUID],
        engine: str,
        options: ReconOptions = ReconOptions(),
        title: str = "",
    ) -> ReconJob:
        """Make one object of each annotation, all in one scene.

        Parameters
        ----------
        ids : iterable of uuid.UUID
        engine : str
        options : ReconOptions
        title : str
            By default made from the names of the annotations.

        Raises
        ------
        SamdeskError
            As `subject`, or when there is no such engine or it was not set up; there is no job
            then.
        """
        spec, subject = recon_spec(engine), self.subject(ids)
        refuse_when_lacking(spec, config_of(self._desk.settings, engine))
        source = subject.image.source
        names = tuple(name_of(one) for one in subject.annotations)
        job = ReconJob(
            id=uuid.uuid4().hex,
            title=title or title_of(names),
            engine=spec.name,
            state="queued",
            image=source.path,
            image_name=source.name,
            image_identity=source.identity,
            project=subject.project,
            annotations=tuple(one.id for one in subject.annotations),
            names=names,
            options=options,
            owner=self._folders.owner,
        )
        self._known[job.id] = job
        self._prepare(job, subject)
        self.changed.emit()
        return job

    def cancel(self, job: str) -> None:
        """Give a job up; its worker is told, and stopped when it does not listen."""
        working = self._working.get(job)
        if working is None:
            return
        working.cancel()
        if working.state == "cancelled":
            self._cancelled(job)

    def retry(self, job: str) -> None:
        """Try again what failed, was cancelled, or could not be given to the annotations.

        Raises
        ------
        SamdeskError
            When the annotations cannot be given it now; says what to do first.
        """
        known = self._known.get(job)
        if known is None or not known.can_retry or job in self._working:
            return
        if known.state == "done" and not known.error:
            self._attaching.refuse_when_apart(known)
            self._attaching.attach(known)
            return
        self._seat.forgive()
        blank: dict[str, Any] = {"fraction": None, "message": "", "error": "", "hint": "", "kind": ""}
        again = replace(known, state="queued", owner=self._folders.owner, **blank)

        def claimed(working: Job[None]) -> None:
            if self._working.get(job) is working and working.state == "failed":
                del self._working[job]
                self._known[job] = known  # not written down: it is another window's, or gone
                self.changed.emit()
            else:
                self._prepared(job, working)

        self._known[job] = again
        self._working[job] = self._lanes.lane("io").submit(
            lambda task: self._folders.claim(again), done=claimed
        )
        self.changed.emit()

    def remove(self, job: str) -> None:
        """Forget a job; what its annotations have of it stays. One that runs is cancelled first."""
        if self._known.pop(job, None) is None:
            return
        self._unwritten.pop(job, None)
        working = self._working.pop(job, None)
        if working is not None:
            working.cancel()
        # what is being moved beside the project at this moment gets there first
        lane = "journal" if self._attaching.is_moving(job) else "io"

        def hidden(hiding: Job[None]) -> None:
            # on the worker's lane, as it may write there for some seconds after it was told
            self._lanes.lane("3d").submit(lambda task: self._folders.remove(job))

        self._lanes.lane(lane).submit(lambda task: self._folders.hide(job), done=hidden)
        self.changed.emit()

    def check(
        self, engine: str, config: Mapping[str, Any], done: Callable[[Job[tuple[CheckItem, ...]]], None]
    ) -> Job[tuple[CheckItem, ...]]:
        """Find out what an engine lacks, were it told this.

        Parameters
        ----------
        engine : str
        config : mapping
            As on its settings page, kept or not.
        done : callable
            Receives the ended job, whose result are the items; a newer call cancels an older.

        Raises
        ------
        SamdeskError
            When there is no such engine.
        """
        spec = worker_spec(engine, config)

        def look(task: Task) -> tuple[CheckItem, ...]:
            with self._seat.guest(spec) as worker:
                return worker.check(task)

        return self._lanes.lane(CHECKS).submit(look, key="check", done=done)

    def export(
        self,
        objects: Sequence[SceneObject],
        path: Path,
        size_mm: float = SIZE_MM,
        done: Callable[[Job[None]], None] | None = None,
    ) -> Job[None]:
        """Write objects into one file of a kind in `EXPORTS`; a job that the user sees.

        Parameters
        ----------
        objects : sequence of SceneObject
        path : Path
        size_mm : float
            Longest side of an STL.
        done : callable, optional
            Receives the ended job.
        """
        return self._lanes.lane("io").submit(
            lambda task: export_objects(objects, path, size_mm, task),
            title=f"Exporting {path.name}",
            done=done,
        )

    # the window's life

    def restore(self) -> None:
        """List what there is on disk, and go on with what waits there. Once, at the start."""

        def listed(job: Job[list[ReconJob]]) -> None:
            for one in sorted(job.result or (), key=lambda one: one.created):
                if one.id in self._known or self._closed:
                    continue
                self._known[one.id] = one
                if one.state == "queued":
                    self._start(one.id)
            self.changed.emit()

        self._lanes.lane("io").submit(lambda task: self._folders.take_over(), done=listed)

    def document_opened(self) -> None:
        """Give the annotations of the document that was just opened what was made for them."""
        journal = self._desk.journal
        if journal is None:
            return
        project, image = journal.path, self._desk.image
        name = "" if image is None else image.source.name
        other_names = {one.project for one in self._known.values() if one.image_name == name}

        def look(task: Task) -> tuple[list[ReconJob], set[Path]]:
            return self._folders.done_for(project, name), same_files(other_names, project)

        def listed(job: Job[tuple[list[ReconJob], set[Path]]]) -> None:
            done, same = job.result or ([], set())
            found = {one.id: one for one in done}
            for one in [one for one in self._known.values() if one.project in same - {project}]:
                if one.id not in found:
                    self._change(one.id, project=project)
            for one in found.values():
                if one.id not in self._unwritten and not self._known.get(one.id, one).is_busy:
                    self._known[one.id] = one
            for one in self.pending_for(project):
                if one.id in found or one.id in self._unwritten:
                    self._attaching.attach(one, opened=True)
            self.changed.emit()

        # from the disk, as another window may have made, attached or removed some
        self._lanes.lane("io").submit(look, done=listed)

    def project_moved(self, old: Path, new: Path) -> None:
        """The open project is saved under another name, and its objects with it."""
        moved = [job for job in self._known.values() if job.project == old]
        for job in moved:
            self._change(job.id, project=new)
        for job in self.pending_for(new) if moved else ():
            self._attaching.attach(job)

    def close(self) -> None:
        """End of the window: no process is left, and what was not done goes on at the next start."""
        if self._closed:
            return
        self._closed = True
        self._lanes.changed.disconnect(self._job_moved)
        if self._preparing:
            self._lanes.lane("io").flush(KEEPING_S)
        for working in self._working.values():
            working.cancel()
        self._seat.kill()
        if not self._seat.is_empty:
            # whoever used a worker learns in a moment that it is gone
            self._lanes.lane("3d").submit(lambda task: self._seat.leave())
            for lane in ("3d", CHECKS):
                self._lanes.lane(lane).flush(CLOSING_S)
        for job in self._known.values():
            if job.state == "running":
                self._folders.note_end(job.id)
        unprepared = [self._known[job] for job in self._preparing & self._known.keys()]
        self._folders.close(self._unwritten.values(), unprepared)

    # the way of a job

    def _prepare(self, job: ReconJob, subject: Subject) -> None:
        """Keep the picture at once: the image may be closed before its turn comes."""
        spec, folder = recon_spec(job.engine), self._folders.path(job.id)
        shapes = [one.shape for one in subject.annotations]

        def look(task: Task) -> None:
            self._folders.write(job)  # first, so that nobody takes a folder for one that was left
            picture = picture_of(subject.image, shapes, spec, subject.plane)
            prepare(folder, picture, shapes, task)

        self._preparing.add(job.id)
        self._working[job.id] = self._lanes.lane("io").submit(look, done=partial(self._prepared, job.id))

    def _prepared(self, job: str, working: Job[None]) -> None:
        if self._closed or self._working.get(job) is not working:
            return
        del self._working[job]
        self._preparing.discard(job)
        if working.state == "done":
            self._start(job)
        elif working.error is not None:
            self._failed(job, working.error)
        else:
            self._cancelled(job)

    def _start(self, job: str) -> None:
        known = self._known[job]

        def work(task: Task) -> Outcome:
            # what the user told the engine while the job was waiting counts
            config = config_of(self._desk.settings, known.engine)
            preview, stage = partial(self._preview, job), partial(self._staged, job)
            return make_objects(known, self._folders, self._seat, config, task, preview, stage)

        self._working[job] = self._lanes.lane("3d").submit(
            work, title=f"Making {known.title} in 3D", done=partial(self._ended, job)
        )

    def _ended(self, job: str, working: Job[Outcome]) -> None:
        if self._closed or self._working.get(job) is not working:
            return
        del self._working[job]
        if working.state == "done" and working.result is not None:
            self._done(job, working.result)
        elif working.error is not None:
            self._failed(job, working.error)
        else:
            self._cancelled(job)

    def _done(self, job: str, outcome: Outcome) -> None:
        error = outcome.error
        known = self._change(
            job,
            state="done",
            fraction=None,
            message="",
            seconds=outcome.seconds,
            reconstructions=outcome.reconstructions,
            attached=False,
            owner="",
            error="" if error is None else error.message,
            hint="" if error is None else error.hint,
        )
        self._lanes.lane("io").submit(lambda task: self._folders.tidy(known))
        self.changed.emit()
        # told when the files have moved, so that nobody reads them where they were
        self._attaching.attach(known, then=lambda: self.finished.emit(self._known.get(job, known)))

    def _failed(self, job: str, error: SamdeskError) -> None:
        self._change(
            job,
            state="failed",
            fraction=None,
            message="",
            error=error.message,
            hint=error.hint,
            kind=str(getattr(error, "kind", "")),
            owner="",
        )
        self.changed.emit()

    def _cancelled(self, job: str) -> None:
        self._working.pop(job, None)
        self._preparing.discard(job)
        if job in self._known:
            self._change(job, state="cancelled", fraction=None, message="", owner="")
            self.changed.emit()

    def _attached(self, job: str) -> None:
        if job in self._known:
            self._change(job, attached=True)
            self.changed.emit()

    def _job_moved(self, moved: Job[Any]) -> None:
        for job, working in self._working.items():
            if working is moved and moved.state == "running":
                known, told = self._known[job], moved.progress
                starts = known.state != "running"
                self._known[job] = replace(
                    known, state="running", fraction=told.fraction, message=told.message
                )
                if starts:
                    self.changed.emit()
                self.progressed.emit(job)
                return

    def _preview(self, job: str, path: Path) -> None:
        """Called on the lane's thread."""
        working = self._working.get(job)

        def tell() -> None:
            if self._working.get(job) is working and not self._closed:
                self.previewed.emit(job, path)

        self._lanes.dispatch(tell)

    def _staged(self, job: str) -> None:
        """Called on the lane's thread."""
        working = self._working.get(job)
        if working is not None:
            self._lanes.dispatch(lambda: self._lanes.changed.emit(working))

    def _change(self, job: str, **changes: Any) -> ReconJob:
        """Make a job another, and write that down in the background."""
        known = self._known[job] = replace(self._known[job], **changes)
        self._unwritten[job] = known

        def write(task: Task) -> None:
            try:
                self._folders.write(known)
            except SamdeskError as error:  # what is lost is a line of a list
                log.info("3D job not kept: %s", error)

        def written(writing: Job[None]) -> None:
            if writing.state == "done" and self._unwritten.get(job) is known:
                del self._unwritten[job]

        self._lanes.lane("io").submit(write, done=written)
        return known
