"""`load_tracker`: from the name of a model, or a weight file, to a `Tracker`.

Must not know the window, the server or the command line.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING

from samdesk.domain.errors import MemoryFullError, SamdeskError
from samdesk.domain.tasks import Task
from samdesk.engines import base
from samdesk.engines.base import EngineSpec, Tracker, engine_spec
from samdesk.sdk.loading import POOL, EnginePool, find_weights, load_segmenter, recognised_type, stamp

from .following import Following

if TYPE_CHECKING:
    from samdesk.weights import Registry


class TrackerPool:
    """The tracker that was used last, kept in memory for the next video. Thread-safe; loads one at a time."""

    def __init__(self) -> None:
        self._loaded: tuple[Hashable, Tracker] | None = None
        self._lock = threading.Lock()

    def load(self, spec: EngineSpec, weights: Path, device: str, task: Task, engines: EnginePool) -> Tracker:
        """The tracker with these weights on this device; errors as its own.

        Where memory is full, the models in `engines` make room.
        """
        with self._lock:
            task.check()
            key = (spec.name, weights.resolve(), stamp(weights), device)
            if self._loaded is None or self._loaded[0] != key:
                self._loaded = None  # before the next takes its place
                self._loaded = (key, _loaded(spec, weights, device, task, engines))
            return self._loaded[1]

    def clear(self) -> None:
        """Let go of the tracker; one in use stays with its user."""
        with self._lock:
            self._loaded = None


TRACKERS = TrackerPool()
"""What the window, the server and the command line of one process share."""


def load_tracker(
    name: str | None = None,
    weights: str | Path | None = None,
    *,
    device: str = "auto",
    registry: Registry | None = None,
    pool: EnginePool = POOL,
    trackers: TrackerPool = TRACKERS,
    task: Task | None = None,
) -> Tracker:
    """A tracker for an engine or model type, loaded now or still in memory.

    An engine that has none of its own follows objects frame by frame, see `Following`.

    Parameters
    ----------
    name, weights, device, registry
        As in `load_segmenter`.
    pool : EnginePool
        Of the engines that follow frame by frame.
    trackers : TrackerPool
    task : Task, optional
        Told how far loading is.

    Raises
    ------
    SamdeskError
        As `load_segmenter`, and when the file cannot be loaded.
    """
    task = task or Task()
    if name is None and weights is None:
        name = "classical"
    spec = None if name is None else engine_spec(name)
    if spec is not None and not spec.tracker:
        segmenter = load_segmenter(name, weights, device=device, registry=registry, pool=pool)
        return Following(segmenter.load(task))
    path, known_type = find_weights(name, weights, registry)
    if spec is None:
        spec = engine_spec(known_type or recognised_type(path, task))
        if not spec.tracker:
            return Following(load_segmenter(spec.name, path, device=device, pool=pool).load(task))
    tracker = trackers.load(spec, path, device, task, pool)
    found = tracker.identity.partition(":")[0]
    if name is not None and name in spec.types and found in spec.types and found != name:
        raise SamdeskError(
            f"{path.name} holds {tracker.title}, not {spec.types[name]}.", f"Ask for {found} instead."
        )
    return tracker


def _loaded(spec: EngineSpec, weights: Path, device: str, task: Task, engines: EnginePool) -> Tracker:
    try:
        return base.load_tracker(spec.name, weights=weights, device=device, task=task)
    except MemoryFullError:
        engines.clear()  # nobody may be using these any more: there may be room now
    return base.load_tracker(spec.name, weights=weights, device=device, task=task)
