"""What a 3D job does on its lane: run the worker, and put what it made into folders that stay.

Blocks for as long as that takes. Must not know the main thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samdesk.domain.errors import SamdeskError
from samdesk.domain.tasks import InnerTask, Task
from samdesk.recon.engines import recon_spec, worker_spec

from .folders import JobFolders
from .record import ReconJob
from .seat import WorkerSeat


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a job that ended.

    Attributes
    ----------
    reconstructions : tuple of str
        Ids of the objects that were made.
    seconds : float
    error : SamdeskError or None
        Why some could not be made.
    """

    reconstructions: tuple[str, ...]
    seconds: float
    error: SamdeskError | None = None


def make_objects(
    job: ReconJob,
    folders: JobFolders,
    seat: WorkerSeat,
    config: Mapping[str, Any],
    task: Task,
    on_preview: Callable[[Path], None],
    on_stage: Callable[[], None],
) -> Outcome:
    """Make all objects of a prepared job; what was made before is kept.

    Parameters
    ----------
    job : ReconJob
    folders : JobFolders
    seat : WorkerSeat
    config : mapping
        Of the engine.
    task : Task
    on_preview : callable
        Receives a file of points.
    on_stage : callable
        Told whenever the task's progress has another message.

    Raises
    ------
    SamdeskError
        When none could be made.
    Cancelled
    """
    from samdesk.sdk.reconstruction import Times, is_prepared, reconstruct

    folder = folders.path(job.id)
    if not is_prepared(folder):
        raise SamdeskError(f"The picture of “{job.title}” is not there any more.", "Make the object again.")
    started = time.monotonic()
    task = _Staged(task, on_stage)
    worker = seat.worker(worker_spec(job.engine, config))
    folders.note_start(job.id)
    try:
        outcomes = reconstruct(
            worker,
            folder,
            len(job.annotations),
            job.options,
            times=Times(times_path(folders.folder)),
            task=task,
            on_preview=lambda number, path: on_preview(path),
        )
        task.progress(1.0, "Keeping the files")
        ids = tuple(_publish(job, folders, outcomes, task))
    finally:
        folders.note_end(job.id)
    return _outcome(job, ids, [one for one in outcomes if isinstance(one, SamdeskError)], started)


class _Staged(InnerTask):
    """The task of a job that tells each new stage.

    Progress that comes soon after other progress is not announced; a stage may well be followed
    by nothing for minutes.
    """

    def __init__(self, task: Task, on_stage: Callable[[], None]) -> None:
        super().__init__(task)
        self._on_stage = on_stage
        self._stage = ""

    def progress(self, fraction: float | None, message: str = "") -> None:
        self._whole.progress(fraction, message)
        if message != self._stage:
            self._stage = message
            self._on_stage()


def times_path(folder: Path) -> Path:
    """Where the durations of engines are kept."""
    return folder / "times.json"


def _publish(job: ReconJob, folders: JobFolders, outcomes: list[Any], task: Task) -> list[str]:
    from samdesk.sdk.reconstruction import publish, record

    spec, folder = recon_spec(job.engine), folders.path(job.id)
    formats = [one for one, asked in (("ply", job.options.splat), ("glb", job.options.mesh)) if asked]
    made = []
    for number, result in enumerate(outcomes):
        if isinstance(result, SamdeskError):
            continue
        told = record(folder, number, spec, job.options, result, job.annotations[number])
        target = folders.objects(job.id) / job.object_id(number)
        made.append(publish(result, target, formats, told, job=folder, number=number, task=task).id)
    return made


def _outcome(job: ReconJob, ids: tuple[str, ...], errors: list[SamdeskError], started: float) -> Outcome:
    if errors and not ids:
        raise errors[0]
    error = None
    if errors:
        error = SamdeskError(
            f"{len(ids)} of {len(job.annotations)} objects were made: {errors[0].message}", errors[0].hint
        )
    return Outcome(ids, time.monotonic() - started, error)
