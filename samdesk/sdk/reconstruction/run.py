"""Running a prepared job through a worker: one object after the other, one picture for all.

Must not know where the results go. Processes are `samdesk.recon.client`'s.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from samdesk.domain.tasks import Task
from samdesk.formats.atomic import replacing
from samdesk.recon import wire
from samdesk.recon.client import RunRequest, RunResult, Stage, Worker, WorkerError
from samdesk.recon.options import ReconOptions
from samdesk.recon.pose import Camera, Pose

from .damaged import DAMAGED
from .folder import RESULT_JSON
from .made import duration
from .times import STAGES, Times

HOPELESS = frozenset({"start", "stopped_trying", "missing_weights", "missing_module", "protocol"})
"""Kinds of errors that the next object would meet as well."""

Outcome = RunResult | WorkerError
"""What became of one object."""


def reconstruct(
    worker: Worker,
    folder: Path,
    count: int,
    options: ReconOptions,
    *,
    engine: str = "",
    times: Times | None = None,
    task: Task | None = None,
    on_object: Callable[[int, Outcome], None] | None = None,
    on_preview: Callable[[int, Path], None] | None = None,
) -> list[Outcome]:
    """Make the objects of a job that `prepare` wrote.

    All share one pointmap, so that their poses share one frame. An object that is done in this
    folder already, by the same engine with the same options, is not made again. One that fails
    does not keep the others from being made.

    Parameters
    ----------
    worker : Worker
    folder : Path
        Of the job.
    count : int
        Objects in it.
    options : ReconOptions
    engine : str
        Under which name times and results are kept; by default that of the worker's engine.
    times : Times, optional
        Gives progress its measure, and learns from each object.
    task : Task, optional
        Progress is over all objects.
    on_object : callable, optional
        Receives the number of an object and what became of it, as soon as that is known.
    on_preview : callable, optional
        Receives the number of an object and a file of points, see `wire.PREVIEW`.

    Returns
    -------
    list
        For each object its result, or the error that it ended with.

    Raises
    ------
    Cancelled
        What was done until then stays in the folder, and is found there the next time.
    """
    task = task or Task()
    engine = engine or worker.spec.name
    outcomes: list[Outcome] = []
    for number in range(count):
        task.check()
        course = _Course(engine, number, count, times, task)
        outcome: Outcome | None = finished(folder, number, engine, options)
        if outcome is None and outcomes and _is_hopeless(outcomes[-1]):
            outcome = outcomes[-1]
        if outcome is None:
            outcome = _run(worker, folder, number, count, options, course, on_preview)
            if isinstance(outcome, RunResult):
                keep(folder, number, engine, options, outcome)
                course.learn(outcome)
        outcomes.append(outcome)
        if on_object is not None:
            on_object(number, outcome)
        if isinstance(outcome, RunResult):
            task.progress((number + 1) / count)
    return outcomes


def _run(
    worker: Worker,
    folder: Path,
    number: int,
    count: int,
    options: ReconOptions,
    course: _Course,
    on_preview: Callable[[int, Path], None] | None,
) -> Outcome:
    request = RunRequest(
        f"{folder.name}-{number}",
        folder,
        wire.IMAGE,
        f"{number}/{wire.MASK}",
        str(number),
        options.to_json(),
        wire.POINTMAP if count > 1 else "",
    )

    def previewed(path: Path) -> None:
        if on_preview is not None:
            on_preview(number, path)

    try:
        return worker.run(request, course.task, course.stage, previewed)
    except WorkerError as error:
        return error


def _is_hopeless(outcome: Outcome) -> bool:
    return isinstance(outcome, WorkerError) and outcome.kind in HOPELESS


class _Course:
    """The way of one object through its stages: tells progress, never backwards, and takes the time."""

    def __init__(self, engine: str, number: int, count: int, times: Times | None, task: Task) -> None:
        self.task = task
        self._engine = engine
        self._number = number
        self._count = count
        self._times = times
        self._fraction = 0.0
        self._stages: dict[str, float] = {}
        self._stage = ""
        self._since = time.perf_counter()

    def stage(self, stage: Stage) -> None:
        self._turn_to(stage.name)
        if self._times is not None:
            part = stage.i / stage.n if stage.n else 0.0
            told = self._times.fraction(self._engine, stage.name, part, first=self._number == 0)
            self._fraction = max(self._fraction, told or 0.0)
        words = STAGES.get(stage.name, stage.name.capitalize())
        if self._count > 1:
            words = f"{words} ({self._number + 1} of {self._count})"
        self.task.progress((self._number + self._fraction) / self._count, words)

    def learn(self, result: RunResult) -> None:
        self._turn_to("")
        if self._times is not None:
            self._times.note(self._engine, result.seconds, self._stages)

    def _turn_to(self, name: str) -> None:
        now = time.perf_counter()
        if self._stage:
            self._stages[self._stage] = self._stages.get(self._stage, 0.0) + now - self._since
        self._stage, self._since = name, now


# what is done stays done


def keep(folder: Path, number: int, engine: str, options: ReconOptions, result: RunResult) -> None:
    """Note beside an object's files how they were made, so that `finished` finds them."""
    values = {
        "engine": engine,
        "options": options.to_json(),
        "files": {kind: path.name for kind, path in result.files.items()},
        "pose": None if result.pose is None else result.pose.to_json(),
        "camera": None if result.camera is None else result.camera.to_json(),
        "seconds": result.seconds,
        "title": result.engine,
        "version": result.version,
        "device": result.device,
        "details": dict(result.details),
    }
    with replacing(folder / str(number) / RESULT_JSON) as fresh:
        fresh.write_text(json.dumps(values, indent=1, ensure_ascii=False), "utf-8")


def finished(folder: Path, number: int, engine: str, options: ReconOptions) -> RunResult | None:
    """What `keep` noted of an object, when it was made so and its files are there."""
    out = folder / str(number)
    with suppress(OSError, *DAMAGED):
        values = json.loads((out / RESULT_JSON).read_text("utf-8"))
        if values["engine"] == engine and values["options"] == options.to_json():
            result = _result(values, out)
            if result.files and all(path.is_file() for path in result.files.values()):
                return result
    return None


def _result(values: Mapping[str, Any], out: Path) -> RunResult:
    pose, camera = values["pose"], values["camera"]
    return RunResult(
        {kind: out / Path(name).name for kind, name in values["files"].items()},
        None if pose is None else Pose.from_json(pose),
        None if camera is None else Camera.from_json(camera),
        duration(values["seconds"]),
        str(values["title"]),
        str(values["version"]),
        str(values["device"]),
        dict(values["details"]),
    )
