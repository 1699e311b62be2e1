"""What a job does on its lane: run the worker, and put what it made into a folder.

Blocks for as long as that takes. Must not know jobs or their states.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from samdesk import paths
from samdesk.app.reconstruction.seat import WorkerSeat
from samdesk.domain.errors import SamdeskError
from samdesk.domain.tasks import Task
from samdesk.formats.atomic import file_error, replacing
from samdesk.recon.engines import worker_spec
from samdesk.sdk.reconstruction import (
    FILES,
    Order,
    Outcome,
    Reconstruction,
    Share,
    Times,
    prepare,
    publish,
    reconstruct,
    record,
    write_scene,
)
from samdesk.sdk.reconstruction.scratch import clear_leftovers, scratch_folder

from .prepared import Prepared

RUN_SHARE = 0.9
"""Of the time of a job, what passes until the engine is done; the rest is for the files."""


def make_objects(prepared: Prepared, target: Path, seat: WorkerSeat, task: Task) -> SamdeskError | None:
    """Make all objects of a job: one into `target` itself, several below it with their scene.

    Parameters
    ----------
    prepared : Prepared
    target : Path
        A folder that is not there yet. When this raises, something may be left of it.
    seat : WorkerSeat
    task : Task

    Returns
    -------
    SamdeskError or None
        Why some could not be made.

    Raises
    ------
    SamdeskError
        When none could be made.
    Cancelled
    """
    order, shapes = prepared.order, prepared.shapes
    clear_leftovers()
    with scratch_folder() as scratch:
        prepare(scratch, prepared.picture, shapes, task)
        outcomes = reconstruct(
            seat.worker(worker_spec(order.spec.name, prepared.config)),
            scratch,
            len(shapes),
            order.options,
            times=Times(paths.data_dir() / "3d" / "times.json"),  # the window's
            task=Share(task, 0.0, RUN_SHARE),
        )
        errors = [one for one in outcomes if isinstance(one, SamdeskError)]
        if len(errors) == len(outcomes):
            raise errors[0]
        keeping = Share(task, RUN_SHARE, 1.0)
        if len(shapes) == 1:
            _publish(order, scratch, 0, outcomes[0], target, order.formats, keeping)
        else:
            _publish_scene(order, scratch, outcomes, target, keeping)
    if not errors:
        return None
    made = len(outcomes) - len(errors)
    return SamdeskError(f"{made} of {len(outcomes)} objects were made: {errors[0].message}", errors[0].hint)


def _publish_scene(order: Order, job: Path, outcomes: Sequence[Outcome], target: Path, task: Task) -> None:
    """Keep each object in a folder of its number, and beside them the scene and the mask of all."""
    try:
        target.mkdir(parents=True)
    except OSError as error:
        raise file_error(target, error, "written") from error
    # a scene is put together from splats or meshes, and one GIF shows all of it
    formats = [one for one in order.formats if one != "gif"]
    if not {"ply", "glb"} & set(formats):
        formats.append("glb")
    objects = []
    for number, outcome in enumerate(outcomes):
        if not isinstance(outcome, SamdeskError):
            share = Share(task, 0.5 * number / len(outcomes), 0.5 * (number + 1) / len(outcomes))
            objects.append(_publish(order, job, number, outcome, target / str(number), formats, share))
    _join_masks(objects, target / FILES["mask"])
    write_scene(objects, target, turn="gif" in order.formats, task=Share(task, 0.5, 1.0))


def _publish(
    order: Order,
    job: Path,
    number: int,
    outcome: Outcome,
    target: Path,
    formats: Sequence[str],
    task: Task,
) -> Reconstruction:
    if isinstance(outcome, SamdeskError):
        raise outcome
    told = record(job, number, order.spec, order.options, outcome)
    return publish(outcome, target, formats, told, size_mm=order.size_mm, job=job, number=number, task=task)


def _join_masks(objects: Sequence[Reconstruction], target: Path) -> None:
    """One mask of all objects, as they were seen in one picture."""
    joined: NDArray[np.uint8] | None = None
    for path in (one.path("mask") for one in objects):
        if path is not None:
            mask = np.asarray(cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_GRAYSCALE), np.uint8)
            joined = mask if joined is None else np.maximum(joined, mask)
    if joined is not None:
        with replacing(target) as fresh:
            fresh.write_bytes(cv2.imencode(".png", joined)[1].tobytes())
