"""Many objects of one image, each into a folder of its own, or all of them as one scene.

One picture is in memory at a time, however many objects there are. Must not know where the outlines
come from, nor who reads what is reported.
"""

from __future__ import annotations

import csv
import hashlib
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, field, fields, replace
from pathlib import Path

from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Bounds, Plane, Region, Shape, ShapeKind
from samdesk.domain.tasks import Task
from samdesk.formats.atomic import file_error, replacing
from samdesk.recon.client import RunResult, Worker, WorkerError
from samdesk.recon.engines import ReconSpec
from samdesk.recon.options import ReconOptions
from samdesk.sdk.image import Image

from .folder import describe, prepare
from .made import KINDS, Reconstruction, is_done
from .picture import Picture, mask_of, picture_of
from .preflight import Preflight, judge
from .publish import STL_MM, publish, record, wanted
from .run import HOPELESS, Outcome, reconstruct
from .scene import refuse_scene, scene_there, write_scene
from .scratch import clear_leftovers, scratch_folder
from .share import Share
from .times import Times

NAME_LENGTH = 40
"""Letters of an object's name that its folder takes over."""

RUN_SHARE = 0.9
"""Of the time of an object, what passes until its engine is done; the rest is for the files."""


@dataclass(frozen=True, slots=True)
class Item:
    """One object to make.

    Attributes
    ----------
    name : str
        Of its folder.
    shape : Shape
    plane : Plane
    annotation : uuid.UUID or None
    class_name : str
    """

    name: str
    shape: Shape
    plane: Plane = field(default_factory=Plane)
    annotation: uuid.UUID | None = None
    class_name: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be made of every item.

    Attributes
    ----------
    spec : ReconSpec
        Of the engine.
    options : ReconOptions
    formats : sequence of str
        Of `samdesk.recon.options.FORMATS`.
    size_mm : float
        Longest side of an STL.
    skip_done : bool
        Leave what is there already, made from the same picture and mask with the same options.
    """

    spec: ReconSpec
    options: ReconOptions
    formats: Sequence[str]
    size_mm: float = STL_MM
    skip_done: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one object; a row of the table of times.

    Attributes
    ----------
    object : str
        Its folder.
    annotation, class_name : str
    state : {"done", "skipped", "failed"}
    seconds : float or None
        That the engine took, without loading; of an object that was skipped, at its time.
    total_s : float
        That all took, from reading the image to the last file.
    crop_x, crop_y, crop_width, crop_height : float or None
        The part of the image that the engine saw, in image pixels.
    downsample : float or None
        Image pixels per pixel of that picture.
    engine, device : str
    error : str
        Why it failed, or what is lacking.
    """

    object: str
    annotation: str
    class_name: str
    state: str
    seconds: float | None = None
    total_s: float = 0.0
    crop_x: float | None = None
    crop_y: float | None = None
    crop_width: float | None = None
    crop_height: float | None = None
    downsample: float | None = None
    engine: str = ""
    device: str = ""
    error: str = ""


@dataclass
class Batch:
    """A worker and an image, and what is told of objects while they are made.

    Attributes
    ----------
    worker : Worker
        Stays open.
    image : Image
    out : Path
        Holds a folder for each object; made when missing.
    order : Order
    times : Times or None
    task : Task
        Progress is over all objects.
    on_preflight : callable
        Receives each item and what is to be expected, before it is made.
    on_row : callable
        Receives what became of each item.
    """

    worker: Worker
    image: Image
    out: Path
    order: Order
    times: Times | None = None
    task: Task = field(default_factory=Task)
    on_preflight: Callable[[Item, Preflight], None] = lambda item, found: None
    on_row: Callable[[Row], None] = lambda row: None

    def plan(self, items: Iterable[Item], *, together: bool = False) -> Iterator[tuple[Item, Preflight]]:
        """What is to be expected of each item, or of all of them in one picture; makes nothing.

        Raises
        ------
        SamdeskError
            When there is no scene of them; see `scene`.
        Cancelled
        """
        if together:
            items = list(items)
            self._refuse_scene(items)
            yield items[0], self._judge(items, self.worker.running)
            return
        for number, item in enumerate(items):
            self.task.check()
            yield item, self._judge([item], number > 0 or self.worker.running)

    def each(self, items: Iterable[Item], total: int) -> list[Row]:
        """Make every item from a picture of its own. What fails does not keep the rest from being made.

        Raises
        ------
        SamdeskError
            When no further object could be made either: the engine lacks something.
        Cancelled
        """
        self._begin()
        rows = []
        for number, item in enumerate(items):
            self.task.check()
            name = f"{item.name} ({number + 1:,} of {total:,})" if total > 1 else item.name
            share = Share(self.task, number / max(1, total), (number + 1) / max(1, total), name)
            rows.append(self._told(self._one(item, share)))
        return rows

    def scene(self, items: Sequence[Item]) -> tuple[list[Row], dict[str, Path]]:
        """Make all items from one picture, and put those that were made into one scene.

        An object is in its folder as soon as it is made, so that a run that was stopped can go on.

        Returns
        -------
        rows : list of Row
        files : dict of str to Path
            As `write_scene` gives them.

        Raises
        ------
        SamdeskError
            When the items do not lie in one plane, or the engine does not tell where objects stand.
        Cancelled
        """
        self._refuse_scene(items)
        self._begin()
        started = time.perf_counter()
        picture, seen = self._seen(items)
        rows = []
        visible = {item.name for item in seen}
        for item in items:
            if item.name not in visible:
                error = SamdeskError("It covers no pixel of the picture.", "Choose a larger outline.")
                rows.append(self._told(_row(item, picture.region, error, "failed", started)))
        self.on_preflight(seen[0], self._judge(seen, self.worker.running))
        there = self._there(seen, picture)
        for item in seen:
            if item.name in there:
                row = _row(item, picture.region, there[item.name], "skipped", started)
                rows.append(self._told(row))
        lacking = [item for item in seen if item.name not in there]
        if lacking:
            there |= self._all(lacking, picture, rows, started)
        objects = [there[item.name] for item in seen if item.name in there]
        return rows, self._scene_of(objects) if objects else {}

    # one by one

    def _one(self, item: Item, task: Task) -> Row:
        started = time.perf_counter()
        region: Region | None = None
        try:
            self._check([item])
            picture = picture_of(self.image, [item.shape], self.order.spec, item.plane)
            region = picture.region
            if there := self._there([item], picture):
                return _row(item, region, there[item.name], "skipped", started)
            with scratch_folder() as job:
                prepare(job, picture, [item.shape], task)
                (outcome,) = self._outcomes(job, 1, Share(task, 0.0, RUN_SHARE))
                if isinstance(outcome, WorkerError):
                    raise outcome
                made = self._published(item, outcome, job, 0, Share(task, RUN_SHARE, 1.0))
        except SamdeskError as error:
            if isinstance(error, WorkerError) and error.kind in HOPELESS:
                raise
            return _row(item, region, error, "failed", started)
        return _row(item, region, made, "done", started, self.order.formats)

    # all in one picture

    def _seen(self, items: Sequence[Item]) -> tuple[Picture, list[Item]]:
        """The picture around all items, and those that can be seen in it.

        Raises
        ------
        SamdeskError
            When there is none.
        """
        whole = Bounds(0, 0, *self.image.size)
        inside = [
            item
            for item in items
            if item.shape.kind is ShapeKind.AREA and not item.shape.bounds.intersection(whole).is_empty
        ]
        shapes = [item.shape for item in inside or items]
        picture = picture_of(self.image, shapes, self.order.spec, items[0].plane)
        seen = [item for item in inside if mask_of(picture, item.shape).any()]
        if not seen:
            raise SamdeskError("No object covers a pixel of the picture.", "Make them one by one.")
        return picture, seen

    def _all(
        self, items: Sequence[Item], picture: Picture, rows: list[Row], started: float
    ) -> dict[str, Reconstruction]:
        """Make items from this picture; those that were made, by their names. `rows` receives all."""
        made: dict[str, Reconstruction] = {}

        def became(number: int, outcome: Outcome) -> None:
            nonlocal started
            item = items[number]
            so_far = RUN_SHARE * (number + 1) / len(items)
            try:
                if isinstance(outcome, WorkerError):
                    raise outcome
                one = self._published(item, outcome, job, number, Share(self.task, so_far, so_far))
                row = _row(item, picture.region, one, "done", started, self.order.formats)
                made[item.name] = one
            except SamdeskError as error:
                row = _row(item, picture.region, error, "failed", started)
            rows.append(self._told(row))
            started = time.perf_counter()

        with scratch_folder() as job:
            prepare(job, picture, [item.shape for item in items], self.task)
            self._outcomes(job, len(items), Share(self.task, 0.0, RUN_SHARE), became)
        return made

    def _scene_of(self, objects: Sequence[Reconstruction]) -> dict[str, Path]:
        """The files of the scene of these objects; written unless they are there."""
        turn = "gif" in self.order.formats
        files = scene_there(self.out, objects) if self.order.skip_done else {}
        if files and (not turn or "gif" in files):
            return files
        return write_scene(objects, self.out, turn=turn, task=Share(self.task, RUN_SHARE, 1.0))

    # parts of both

    def _begin(self) -> None:
        _make(self.out)
        clear_leftovers()

    def _refuse_scene(self, items: Sequence[Item]) -> None:
        refuse_scene(self.order.spec)
        if len({item.plane for item in items}) != 1:
            raise SamdeskError("The objects of a scene must lie in one plane.", "Choose one z and t.")

    def _judge(self, items: Sequence[Item], loaded: bool) -> Preflight:
        spec, times = self.order.spec, self.times
        seconds = None if times is None else times.estimate(spec.name, len(items), loaded=loaded)
        return judge(self.image.size, [item.shape for item in items], spec, seconds)

    def _check(self, items: Sequence[Item]) -> None:
        """Tell what is to be expected, and refuse what cannot be made."""
        found = self._judge(items, self.worker.running)
        self.on_preflight(items[0], found)
        for finding in found.findings:
            if finding.level == "error":
                raise SamdeskError(finding.text, finding.hint)

    def _told(self, row: Row) -> Row:
        self.on_row(row)
        return row

    def _there(self, items: Sequence[Item], picture: Picture) -> dict[str, Reconstruction]:
        """What was made of these items before, by their names; nothing when all are to be made."""
        if not self.order.skip_done:
            return {}
        masks = (mask_of(picture, item.shape) for item in items)
        description = describe(picture, masks, self.task)
        there = {}
        for number, item in enumerate(items):
            one = wanted(description, number, self.order.spec, self.order.options)
            if "stl" in self.order.formats:
                one["size_mm"] = self.order.size_mm
            found = is_done(self.out / item.name, one, self.order.formats)
            if found is not None:
                there[item.name] = found
        return there

    def _outcomes(
        self,
        job: Path,
        count: int,
        task: Task,
        on_object: Callable[[int, Outcome], None] | None = None,
    ) -> list[Outcome]:
        options = self.order.options
        return reconstruct(self.worker, job, count, options, times=self.times, task=task, on_object=on_object)

    def _published(self, item: Item, result: RunResult, job: Path, number: int, task: Task) -> Reconstruction:
        order = self.order
        told = record(job, number, order.spec, order.options, result, item.annotation)
        return publish(
            result,
            self.out / item.name,
            order.formats,
            told,
            size_mm=order.size_mm,
            job=job,
            number=number,
            task=task,
        )


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise file_error(folder, error, "written") from error


# names and times


def name_item(text: str, shape: Shape, taken: set[str]) -> str:
    """A name for an object's folder: what it is called, and a few digits of its outline.

    The same outline gets the same name in every run, wherever it stands in a file; `taken` receives
    the name, so that no two objects of one run have the same.
    """
    plain = re.sub(r"\W+", "-", text).strip("-_")[:NAME_LENGTH].rstrip("-_") or "object"
    digits = hashlib.sha256((shape.coords.round(2) + 0.0).tobytes()).hexdigest()[:8]
    name = f"{plain}-{digits}"
    number = 1
    while name.casefold() in taken:
        number += 1
        name = f"{plain}-{digits}-{number}"
    taken.add(name.casefold())
    return name


def write_times(path: Path, rows: Iterable[Row]) -> None:
    """Write the table of times, CSV with a header, whole or not at all."""
    with replacing(path) as fresh, fresh.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(one.name for one in fields(Row))
        for row in rows:
            table.writerow("" if value is None else value for value in astuple(row))


def _row(
    item: Item,
    region: Region | None,
    result: Reconstruction | SamdeskError,
    state: str,
    started: float,
    formats: Sequence[str] = (),
) -> Row:
    made = result if isinstance(result, Reconstruction) else None
    row = Row(
        item.name,
        "" if item.annotation is None else str(item.annotation),
        item.class_name,
        state,
        None if made is None else round(made.seconds, 3),
        round(time.perf_counter() - started, 3),
        engine="" if made is None else made.label,
        device="" if made is None else str(made.provenance.get("device", "")),
        error=_lacking(result, formats) if isinstance(result, Reconstruction) else str(result),
    )
    if region is None:
        return row
    box = region.bounds
    return replace(
        row,
        crop_x=box.x0,
        crop_y=box.y0,
        crop_width=round(box.width, 2),
        crop_height=round(box.height, 2),
        downsample=round(region.downsample, 4),
    )


def _lacking(made: Reconstruction, formats: Sequence[str]) -> str:
    lacking = [one.upper() for one in formats if KINDS[one] not in made.files]
    return f"The engine gave nothing for {', '.join(lacking)}." if lacking else ""
