"""Refining: an annotation that is there becomes a prompt again.

What the engine is asked for one annotation, and the job that asks it for many. Must not know
widgets or files.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol
from uuid import UUID

import numpy as np
from psygnal import Signal

from samdesk.domain.columns import LOCKED, Annotation, Table, id_bytes
from samdesk.domain.document import Snapshot
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Bounds, Region, Shape, ShapeKind
from samdesk.domain.outline import iou, simplify
from samdesk.domain.prompts import BoxPrompt, Candidate, Prompts
from samdesk.domain.shaping import reshaped
from samdesk.domain.tasks import Task
from samdesk.sdk import Image, MaskOptions, Segmenter, chip_downsample, refined_provenance

from . import desk
from .jobs import Job
from .review import Batch, Review

LEAST_SIDE = 64
"""Chip pixels that the longer side of an annotation should have, so that the engine sees its outline."""

TOLD_AFTER = 16
"""Answers are shown after so many of them."""

ALIKE = 0.5
"""An answer that agrees less with an annotation, by IoU, may be another object."""

SAME = 0.999
"""What agrees with an annotation by a larger IoU is no change of it."""


def is_refinable(snapshot: Snapshot, ids: Sequence[UUID]) -> bool:
    """Whether the one id is that of an unlocked area."""
    if len(ids) != 1:
        return False
    owner, rows = snapshot.locate(id_bytes(ids))
    if owner[0] < 0:
        return False
    table, row = snapshot.chunks[owner[0]].table, rows[0]
    return bool(table.kind[row] == ShapeKind.AREA and not table.flags[row] & LOCKED)


def refining_downsample(around: Bounds, downsample: float) -> float:
    """Image pixels per chip pixel: as the view shows it, but closer to what is very small there."""
    side = max(around.width, around.height, 1.0)
    closest = 2.0 ** math.floor(math.log2(max(side / LEAST_SIDE, 1.0)))
    return min(downsample, closest)


def best_refined(answers: Sequence[Candidate], prior: Shape) -> Candidate | None:
    """The one with the best score that is still the same object; else what the engine gave first."""
    alike = [one for one in answers if iou(one.shape, prior) > ALIKE]
    return max(alike, key=lambda one: one.score, default=answers[0] if answers else None)


@dataclass(frozen=True, slots=True, eq=False)
class _Asking:
    """The engine asked for one annotation after the other; runs on the lane's thread."""

    segmenter: Segmenter
    image: Image
    table: Table
    downsample: float
    options: MaskOptions
    tolerance: float

    def steps(
        self, task: Task, found: Callable[[Batch, list[int]], None]
    ) -> Generator[None, None, dict[str, int]]:
        """Tells what is found with its rows; returns how many stay as they are, and why."""
        counts = {"same": 0, "nothing": 0}
        new: dict[int, Candidate] = {}
        for number, (row, chip) in enumerate(self._in_order()):
            prior = self.table.shape(row)
            task.progress(number / len(self.table), f"{number + 1:,} of {len(self.table):,}")
            one = self._refined(prior, chip, task)
            if one is None:
                counts["nothing"] += 1
            elif iou(one.shape, prior) > SAME:
                counts["same"] += 1
            else:
                new[row] = one
            if len(new) >= TOLD_AFTER:
                found(*self._batch(new))
                new = {}
            yield
        if new:
            found(*self._batch(new))
        return counts

    def _in_order(self) -> Iterator[tuple[int, Region]]:
        """Row and chip of each; those of one chip together, as that is encoded once."""
        boxes = [Bounds(*map(float, bounds)) for bounds in self.table.bounds]
        whole = Bounds(0, 0, *self.image.size)
        chips = [self._chip(box.intersection(whole)) for box in boxes]
        order = sorted(range(len(boxes)), key=lambda k: (chips[k].downsample, chips[k].y, chips[k].x))
        return ((row, chips[row]) for row in order)

    def _chip(self, box: Bounds) -> Region:
        downsample = refining_downsample(box, self.downsample)
        return self.segmenter.chip(self.image, Prompts(boxes=(BoxPrompt(box),)), downsample)

    def _refined(self, prior: Shape, chip: Region, task: Task) -> Candidate | None:
        plane = self.table.annotation(0).plane
        try:
            answers = self.segmenter.segment(
                self.image, Prompts(prior=prior), plane=plane, chip=chip, options=self.options, task=task
            )
        except SamdeskError:
            if self.segmenter.has_failed:  # the model itself, and so it would for all of them
                raise
            return None
        best = best_refined(answers, prior)
        return best and replace(best, shape=simplify(best.shape, self.tolerance))

    def _batch(self, new: dict[int, Candidate]) -> tuple[Batch, list[int]]:
        """Candidates by row as a batch, and the rows in its order."""
        batch = Batch.of(list(new.values()), self.table.annotation(0).plane)
        row_of = {id(one): row for row, one in new.items()}
        rows = [row_of[id(one)] for one in batch.candidates]
        return replace(batch, replaces=np.ones(len(rows), np.bool_)), rows


class Asker(Protocol):
    """Who is asked, and how answers become shapes; a prompt session is one."""

    options: MaskOptions

    @property
    def segmenter(self) -> Segmenter: ...


class Seen(Protocol):
    """With what contrast models see the picture."""

    @property
    def provenance(self) -> dict[str, Any]: ...


class Searching(Protocol):
    """A search whose results are in the review."""

    def stop(self) -> None: ...


class Desk(desk.Desk, Protocol):
    """The open image with its document and what is found on it; the workspace is one."""

    @property
    def review(self) -> Review: ...
    @property
    def session(self) -> Asker: ...
    @property
    def finding(self) -> Searching: ...
    @property
    def showing(self) -> Seen: ...


class Refining:
    """Asks the model for the selected annotations anew; its answers go to the review.

    Parameters
    ----------
    desk : Desk

    Attributes
    ----------
    finished : Signal(str)
        What is to be told at the end, if anything.
    """

    finished = Signal(str)

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._job: Job[Any] | None = None
        self._run: object | None = None
        desk.review.begun.connect(self._give_up)

    def start(self, scale: float) -> None:
        """Ask for every selected, unlocked area on this plane; scale in image px per screen px.

        Returns at once. What is kept in the review takes the place of the shapes as one step.

        Raises
        ------
        SamdeskError
            When none of them can be refined.
        """
        w = self._desk
        if w.image is None:
            return
        chosen = w.document.table(w.selection.ids.column)
        here = (chosen.z == w.plane.z) & (chosen.t == w.plane.t)
        able = (chosen.kind == ShapeKind.AREA) & ((chosen.flags & LOCKED) == 0) & here
        table = chosen.take(np.flatnonzero(able))
        if not len(table):
            raise SamdeskError(
                "None of what is selected can be refined.", "Select areas on this plane that are not locked."
            )
        self._begin(w.image, table, scale)

    def stop(self) -> None:
        """Give up; what was answered stays in the review."""
        if self._job is not None:
            self._give_up()
            self._desk.review.end()

    def _give_up(self) -> None:
        job, self._job, self._run = self._job, None, None
        if job is not None:
            job.cancel()

    def _begin(self, image: Image, table: Table, scale: float) -> None:
        w = self._desk
        w.finding.stop()
        self.stop()
        w.selection.clear()  # its outlines would hide the new ones
        title = "Refining 1 annotation" if len(table) == 1 else f"Refining {len(table):,} annotations"
        rows: list[int] = []
        w.review.begin(title, 0.0, w.plane, keep=lambda chosen: self._keep(table, rows, chosen))
        review, document = w.review.document, w.document
        run = self._run = object()
        asking = _Asking(
            w.session.segmenter,
            image,
            table,
            chip_downsample(scale),
            w.session.options,
            w.settings["outline_tolerance"],
        )

        def arrived(batch: Batch, of: list[int]) -> None:
            # no other search has begun since, and this is still the same image
            if run is self._run and w.review.document is review and w.document is document:
                rows.extend(of)
                w.review.add(batch)

        def ended(job: Job[dict[str, int]]) -> None:
            if run is not self._run:
                return
            self._run = self._job = None
            if w.review.document is review:
                w.review.end()
                if job.state == "done" and job.result is not None:
                    self._tell(job.result)

        dispatch = w.jobs.dispatch
        self._job = w.jobs.lane("model").submit_steps(
            lambda task: asking.steps(task, lambda batch, of: dispatch(partial(arrived, batch, of))),
            title=title,
            key="refine",
            done=ended,
        )

    def _tell(self, counts: dict[str, int]) -> None:
        told = []
        if counts["same"]:
            told.append(f"{counts['same']:,} fit already")
        if counts["nothing"]:
            told.append(f"nothing was found for {counts['nothing']:,}")
        if told:
            self.finished.emit(f"{', '.join(told).capitalize()}: these stay as they are.")

    def _keep(self, table: Table, rows: list[int], chosen: list[int]) -> bool:
        """Give the annotations that are still as they were and not locked the chosen shapes, as one step."""
        w, new, left = self._desk, [], 0
        seen = w.showing.provenance
        for k in chosen:
            one = table.id(rows[k])
            now = w.document.get(one) if one in w.document else None
            if now is None:
                continue
            if now.locked or now.shape != table.shape(rows[k]):
                left += 1
            else:
                prior = Prompts(prior=now.shape)
                new.append(refined_annotation(now, w.review[k], prior, now.class_name, seen))
        what = "annotation" if len(new) == 1 else f"{len(new):,} annotations"
        if not w.do(w.document.replacing(new, f"Refine {what}")):
            return False
        w.selection.set(one.id for one in new)
        if left:
            were = "annotation was" if left == 1 else "annotations were"
            stay = "it stays as it is" if left == 1 else "these stay as they are"
            self.finished.emit(f"{left:,} {were} changed or locked meanwhile: {stay}.")
        return True


def refined_annotation(
    annotation: Annotation,
    candidate: Candidate,
    prompts: Prompts,
    class_name: str | None,
    seen: Mapping[str, Any],
) -> Annotation:
    """The annotation with the shape of a candidate; its provenance tells of this one.

    `seen` says with what contrast the engine saw the picture.
    """
    new = reshaped(annotation, candidate.shape, edited=False)
    told = refined_provenance(annotation.provenance, candidate, prompts)
    return replace(new, class_name=class_name, provenance={**told, **seen})
