"""The 3D jobs on disk: a folder each, and which window they belong to.

    3d/<job>/job.json        the job; what else is in its folder is of `samdesk.sdk.reconstruction`
    3d/<job>/starts          how often it was begun and not ended, which only a crash leaves
    3d/<job>/objects/<id>/   what was made, until it is moved beside the project
    3d/.owners/<id>.lock     locked by the operating system while that window lives

All of it blocks: for lanes, and for the very end of the program. Must not know who runs the jobs.
"""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import sys
import threading
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout

from samdesk.domain.errors import SamdeskError
from samdesk.formats.atomic import file_error, replacing
from samdesk.recon.wire import POINTMAP
from samdesk.sdk.reconstruction.damaged import DAMAGED
from samdesk.sdk.reconstruction.folder import is_prepared

from .objects import same_files
from .record import ReconJob

log = logging.getLogger(__name__)

RECORD, STARTS, OBJECTS = "job.json", "starts", "objects"

KEPT = 50
"""So many jobs that have ended are listed; older ones go once nothing would be lost with them."""

_HIDDEN = ".gone-"

_TURN_S = 10.0
"""Another window that takes over jobs is done within this time."""


class JobFolders:
    """The folders of all jobs, as one window sees them; for any thread.

    Parameters
    ----------
    folder : Path
        Made with the first job.

    Attributes
    ----------
    owner : str
        This window.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.owner = uuid.uuid4().hex
        self._owners = folder / ".owners"
        self._mark = FileLock(self._owners / f"{self.owner}.lock", thread_local=False)
        self._turn = threading.RLock()
        self._gone: set[str] = set()
        self._closed = False

    def path(self, job: str) -> Path:
        """The folder of a job."""
        return self.folder / job

    def objects(self, job: str) -> Path:
        """Where the objects of a job are until they are beside its project."""
        return self.folder / job / OBJECTS

    def write(self, job: ReconJob) -> None:
        """Keep a job; its folder is made for a job of this window.

        Does nothing after `close`, nor for one that another window removed or runs again.

        Raises
        ------
        SamdeskError
            When it cannot be written; what was kept before stays.
        """
        with self._turn:
            if self._closed or job.id in self._gone:
                return
            folder = self.path(job.id)
            try:
                if job.owner == self.owner:
                    self._take_mark()
                    folder.mkdir(parents=True, exist_ok=True)
                elif not self._is_free(job.id):
                    return
            except OSError as error:
                raise file_error(folder, error, "written") from error
            self._put(job)

    def read(self, job: str) -> ReconJob:
        """A job as it is on disk.

        Raises
        ------
        SamdeskError
            When there is none, or it is damaged.
        """
        path = self.path(job) / RECORD
        try:
            found = ReconJob.from_json(json.loads(path.read_text("utf-8")))
        except OSError as error:
            raise file_error(path, error, "read") from error
        except DAMAGED as error:
            raise SamdeskError(f"{path} is damaged: {error}.", "Make the object again.") from error
        if found.id != job:
            raise SamdeskError(f"{path} is damaged: it is of another job.", "Make the object again.")
        return found

    def claim(self, job: ReconJob) -> None:
        """Take a job that has ended for this window, to run it again.

        Raises
        ------
        SamdeskError
            When it is gone, or another window runs it.
        """
        with self._turn, self._alone():
            known = self.read(job.id)
            if known.owner not in ("", self.owner) and self._lives(known.owner):
                raise SamdeskError(f"“{job.title}” is being made in another window.", "Look there.")
            self.write(job)

    def take_over(self) -> list[ReconJob]:
        """What there is at the start: jobs that ended, and those that no living window works on.

        The latter are of this window from now on. A job during which the program died is tried
        once more, and has failed when it died again, or before its picture was kept.
        """
        if not self.folder.is_dir():
            return []
        with self._turn:
            try:
                self._take_mark()
                with self._alone():
                    found = [job for job in map(self._taken, self._readable()) if job is not None]
                    self._forget_dead()
                for left in self.folder.glob(f"{_HIDDEN}*"):
                    shutil.rmtree(left, ignore_errors=True)
            except (OSError, SamdeskError) as error:
                log.info("3D jobs not taken over: %s", error)
                return []
        return self._trimmed(found)

    def done_for(self, project: Path, image: str = "") -> list[ReconJob]:
        """Jobs that are done with annotations of this project.

        Those that know it by another name are found by that of its image, as links are followed
        for these only: what strangers' paths lead to may take long to answer.
        """
        if not self.folder.is_dir():
            return []
        try:
            jobs = list(self._readable())
        except OSError as error:
            log.info("3D jobs not read: %s", error)
            return []
        done = [
            job for job in jobs if job.state == "done" and (job.project == project or job.image_name == image)
        ]
        same = same_files({job.project for job in done}, project)
        return [replace(job, project=project) for job in done if job.project in same]

    def note_start(self, job: str) -> None:
        """Remember that a job has begun, for the case that the program dies over it."""
        path = self.path(job) / STARTS
        try:
            path.write_text(str(self.starts(job) + 1), "utf-8")
        except OSError as error:
            raise file_error(path, error, "written") from error

    def note_end(self, job: str) -> None:
        """A job that was begun has ended, however that was."""
        with contextlib.suppress(OSError):
            (self.path(job) / STARTS).unlink(missing_ok=True)

    def starts(self, job: str) -> int:
        """How often a job was begun without an end."""
        try:
            return int((self.path(job) / STARTS).read_text("utf-8"))
        except (OSError, ValueError):
            return 0

    def tidy(self, job: ReconJob) -> None:
        """Delete what was only needed to make the objects of a job that is done, with all of them."""
        if job.state != "done" or job.error:
            return
        folder = self.path(job.id)
        for number in range(len(job.annotations)):
            shutil.rmtree(folder / str(number), ignore_errors=True)
        with contextlib.suppress(OSError):
            (folder / POINTMAP).unlink(missing_ok=True)

    def hide(self, job: str) -> None:
        """Take a job from the list for good; nothing is written for it any more."""
        with self._turn:
            self._gone.add(job)
            folder = self.path(job)
            try:
                folder.rename(self._hidden(job))
            except OSError:  # a file in it is open: what has no record is no job
                with contextlib.suppress(OSError):
                    (folder / RECORD).unlink(missing_ok=True)

    def remove(self, job: str) -> None:
        """Delete all that is left of a job that was hidden; beside the project nothing changes."""
        for folder in (self.path(job), self._hidden(job)):
            shutil.rmtree(folder, ignore_errors=True)

    def close(self, unwritten: Iterable[ReconJob] = (), unprepared: Iterable[ReconJob] = ()) -> None:
        """End of the window: write what is left, and give its jobs to whoever comes next.

        Parameters
        ----------
        unwritten : iterable of ReconJob
        unprepared : iterable of ReconJob
            Jobs whose picture may not be kept yet; without it they have failed.
        """
        with self._turn:
            lost = [job.unkept() for job in unprepared if not is_prepared(self.path(job.id))]
            for job in (*unwritten, *lost, *(replace(job, owner="") for job in lost)):
                try:
                    self.write(job)
                except SamdeskError as error:
                    log.info("3D job not kept: %s", error)
            self._closed = True
            _release(self._mark)

    def _is_free(self, job: str) -> bool:
        """Whether a job that has ended here is on disk and no other window has taken it since."""
        try:
            return self.read(job).owner in ("", self.owner)
        except SamdeskError:
            return False

    def _hidden(self, job: str) -> Path:
        return self.folder / f"{_HIDDEN}{job}"

    def _take_mark(self) -> None:
        if not self._mark.is_locked and not self._closed:
            self._owners.mkdir(parents=True, exist_ok=True)
            self._mark.acquire(timeout=0)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """While no other window takes jobs over."""
        try:
            with FileLock(self.folder / ".turn.lock", timeout=_TURN_S):
                yield
        except (Timeout, NotImplementedError) as error:
            raise SamdeskError(f"{self.folder} is in use by another window.", "Try again.") from error

    def _lives(self, owner: str) -> bool:
        if owner == self.owner:
            return True
        path = self._owners / f"{owner}.lock"
        if not path.is_file():
            return False
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return True
        except (OSError, NotImplementedError):
            return False
        lock.release()
        return False

    def _forget_dead(self) -> None:
        for path in self._owners.glob("*.lock"):
            if not self._lives(path.stem):
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)

    def _readable(self) -> Iterator[ReconJob]:
        for path in sorted(self.folder.iterdir()):
            if path.name.startswith(".") or not path.is_dir():
                continue
            try:
                yield self.read(path.name)
            except SamdeskError as error:
                log.info("left out: %s", error)

    def _put(self, job: ReconJob) -> None:
        with replacing(self.path(job.id) / RECORD) as fresh:
            fresh.write_text(json.dumps(job.to_json(), ensure_ascii=False, indent=1), "utf-8")

    def _taken(self, job: ReconJob) -> ReconJob | None:
        """The job if it is this window's to show; None when it is another's, or cannot be written."""
        if not job.is_busy:
            return job
        if self._lives(job.owner):
            return job if job.owner == self.owner else None
        if not is_prepared(self.path(job.id)):
            job = replace(job.unkept(), owner="")
        elif self.starts(job.id) > 1:
            job = replace(
                job,
                state="failed",
                owner="",
                error=f"samdesk ended twice while “{job.title}” was made.",
                hint="Try again with another engine, or with fewer objects.",
            )
        else:
            job = replace(job, owner=self.owner)
        try:
            self._put(job)
        except SamdeskError as error:
            log.info("3D job not taken over: %s", error)
            return None
        return job

    def _trimmed(self, found: list[ReconJob]) -> list[ReconJob]:
        ended = sorted((job for job in found if not job.is_busy), key=lambda job: -job.created)
        gone = {job.id for job in ended[KEPT:] if job.is_settled}
        for job in gone:
            self.hide(job)
            self.remove(job)
        return [job for job in found if job.id not in gone]


def _release(lock: FileLock) -> None:
    if not lock.is_locked:
        return
    path = Path(lock.lock_file)
    if sys.platform != "win32":  # while it is held, so that nobody takes a file that goes
        path.unlink(missing_ok=True)
    lock.release()
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
