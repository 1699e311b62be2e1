"""Gives annotations what was made of them: files beside the project first, then one edit.

In this order, so that an annotation never knows of an object that is not there. Both can be
done again. Lives on the main thread; files move on lane `journal`. Must not know workers.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from samdesk.app.jobs import Job
from samdesk.domain.errors import SamdeskError
from samdesk.domain.tasks import Task
from samdesk.sdk.reconstruction import Reconstruction, load

from .desk import Desk, OpenProject
from .folders import JobFolders
from .objects import objects_dir, place, with_entry
from .record import ReconJob

log = logging.getLogger(__name__)


class Attaching:
    """Attaches the objects of jobs to annotations, when their document is open and can be changed.

    Parameters
    ----------
    desk : Desk
    folders : JobFolders
    attached : callable
        Told on the main thread that the job of this id is done with.
    """

    def __init__(self, desk: Desk, folders: JobFolders, attached: Callable[[str], None]) -> None:
        self._desk = desk
        self._folders = folders
        self._attached = attached
        self._moving: set[str] = set()

    def is_moving(self, job: str) -> bool:
        """Whether objects of this job are on their way to the project."""
        return job in self._moving

    def refuse_when_apart(self, job: ReconJob) -> None:
        """Raise `SamdeskError` when nothing of a job could be attached now; says why."""
        desk, journal = self._desk, self._desk.journal
        if journal is None or journal.path != job.project:
            raise SamdeskError(
                f"{job.image_name} is not open.",
                f"Open it: “{job.title}” is attached to its annotations then.",
            )
        if not desk.editable:
            raise SamdeskError("This document cannot be changed.", journal.reason)
        if not _wanted(job, desk):
            one = len(job.annotations) == 1
            raise SamdeskError(
                f"The annotation{'' if one else 's'} of “{job.title}” {'was' if one else 'were'} deleted.",
                "Undo that, and try again.",
            )

    def attach(self, job: ReconJob, *, opened: bool = False, then: Callable[[], None] = lambda: None) -> None:
        """Attach what a job made, if its document is the open one. Returns at once.

        Parameters
        ----------
        job : ReconJob
        opened : bool
            The document was just opened: annotations that are not in it are gone for good, and
            no undo brings them back.
        then : callable
            Called when the files are where they stay for now.
        """
        desk, journal = self._desk, self._desk.journal
        here = journal is not None and journal.path == job.project and desk.editable
        wanted = _wanted(job, desk) if here else []
        if journal is None or not wanted or job.id in self._moving:
            if here and opened and not wanted:
                self._attached(job.id)
            then()
            return
        self._moving.add(job.id)
        source = self._folders.objects(job.id)

        def move(task: Task) -> list[Reconstruction]:
            folder = objects_dir(journal.path)
            place(source, wanted, folder)
            return _loaded(folder / one for one in wanted)

        def moved(working: Job[list[Reconstruction]]) -> None:
            self._moving.discard(job.id)
            if working.state == "done" and working.result is not None:
                self._tell(job, journal, working.result, opened)
            then()

        desk.jobs.lane("journal").submit(move, done=moved)

    def _tell(self, job: ReconJob, journal: OpenProject, made: list[Reconstruction], opened: bool) -> None:
        desk = self._desk
        if desk.journal is not journal or not desk.editable:
            return  # at the next opening
        by_annotation = {one.annotation: one for one in made}
        known = [desk.document.get(one) for one in by_annotation if one is not None and one in desk.document]
        if not known:
            return
        told = [with_entry(one, entry_of(by_annotation[one.id], job)) for one in known]
        changed = [after for before, after in zip(known, told, strict=True) if after is not before]
        what = "3D object" if len(changed) == 1 else f"{len(changed)} 3D objects"
        told_all = opened or len(known) == len(job.reconstructions)
        if (not changed or desk.do(desk.document.replacing(changed, f"Attach {what}"))) and told_all:
            self._attached(job.id)


def entry_of(made: Reconstruction, job: ReconJob) -> dict[str, Any]:
    """What an annotation keeps of an object."""
    return {
        "id": made.id,
        "engine": made.engine,
        "label": made.label,
        "files": dict(made.files),
        "folder": made.id,
        "job": job.id,
        "made": str(made.provenance.get("made", "")),
    }


def _wanted(job: ReconJob, desk: Desk) -> list[str]:
    """Ids of the objects whose annotations are in the document."""

    def here(one: uuid.UUID) -> bool:
        return one in desk.document

    ids = [job.object_id(number) for number, one in enumerate(job.annotations) if here(one)]
    return [one for one in ids if one in job.reconstructions]


def _loaded(folders: Iterable[Path]) -> list[Reconstruction]:
    """The objects in folders; one that is damaged does not keep the others back."""
    made: list[Reconstruction] = []
    trouble: SamdeskError | None = None
    for folder in folders:
        try:
            made.append(load(folder))
        except SamdeskError as error:
            trouble = error
            log.info("3D object not attached: %s", error)
    if trouble is not None and not made:
        raise trouble
    return made
