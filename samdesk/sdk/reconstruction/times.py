"""How long 3D engines take, learnt from what they did. Must not know engines or workers."""

from __future__ import annotations

import json
import logging
import math
import statistics
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from samdesk.domain.errors import SamdeskError
from samdesk.formats.atomic import replacing

from .damaged import DAMAGED

log = logging.getLogger(__name__)

KEPT = 20
"""Of the latest objects of an engine the durations are kept."""

STAGES = {
    "load": "Loading the model",
    "depth": "Estimating the depth",
    "shape": "Finding the shape",
    "look": "Finding the look",
    "splat": "Making the splat",
    "mesh": "Making the mesh",
    "layout": "Finding its place",
    "export": "Writing the files",
}
"""Stages of an engine in their usual order, in words for the user."""

FIRST_GUESS = {
    "depth": 5.0,
    "shape": 35.0,
    "look": 30.0,
    "splat": 10.0,
    "mesh": 10.0,
    "layout": 5.0,
    "export": 5.0,
}
"""Shares of the stages until an engine's own were learnt; loading is then not counted."""

ONCE = frozenset({"load", "depth"})
"""Stages that only the first of several objects goes through."""


class Times:
    """Durations in one small file; used by one thread at a time.

    What another window learns in the meantime is kept: `note` reads the file again. A file that
    is damaged or cannot be written is no obstacle, only a loss of what was learnt.

    Parameters
    ----------
    path : Path
        Made by the first `note`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._engines = self._read()

    def estimate(self, engine: str, n: int, *, loaded: bool = False) -> float | None:
        """Seconds that objects will about take.

        Parameters
        ----------
        engine : str
        n : int
            How many objects.
        loaded : bool
            The engine is; otherwise the time of loading it is counted too.

        Returns
        -------
        float or None
            None when nothing was learnt yet.
        """
        known = self._engines.get(engine, {})
        if not known.get("seconds"):
            return None
        loading = 0.0 if loaded or not n else known["stages"].get("load", 0.0)
        return float(loading + n * statistics.median(known["seconds"]))

    def note(self, engine: str, seconds: float, stages: Mapping[str, float]) -> None:
        """Learn from one object.

        Parameters
        ----------
        engine : str
        seconds : float
            Of the object, without loading.
        stages : mapping of str to float
            Seconds of each stage that there was, in their order.
        """
        self._engines = self._read()
        known = self._engines.get(engine, {})
        recent = [*known.get("seconds", []), round(seconds, 3)][-KEPT:]
        # a stage that was left out this time keeps its weight for the next
        weights = dict(known.get("stages", {}))
        for name, took in stages.items():
            weights[name] = round((weights.get(name, took) + took) / 2, 4)
        self._engines[engine] = {"seconds": recent, "stages": weights}
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(self._path) as fresh:
                fresh.write_text(json.dumps(self._engines, indent=1), "utf-8")
        except (SamdeskError, OSError) as error:
            log.info("times not kept: %s", error)

    def fraction(self, engine: str, stage: str, part: float = 0.0, *, first: bool = True) -> float | None:
        """Overall progress in 0..1 of one object whose engine is `part` (0..1) through a stage.

        Parameters
        ----------
        engine, stage : str
        part : float
        first : bool
            The engine is not loaded, and the picture's depth not known.

        Returns
        -------
        float or None
            None for a stage of which nothing is known.
        """
        weights = self._engines.get(engine, {}).get("stages") or FIRST_GUESS
        weights = {name: w for name, w in weights.items() if first or name not in ONCE}
        if stage not in weights:
            return 0.0 if stage in ONCE else None
        order = sorted(weights, key=_place)
        total = sum(weights.values())
        before = sum(weights[name] for name in order[: order.index(stage)])
        return min(1.0, (before + min(1.0, max(0.0, part)) * weights[stage]) / total) if total else None

    def _read(self) -> dict[str, dict[str, Any]]:
        with suppress(OSError, *DAMAGED):
            read = json.loads(self._path.read_text("utf-8"))
            return {str(name): _checked(values) for name, values in read.items()}
        return {}


def _place(stage: str) -> int:
    return list(STAGES).index(stage) if stage in STAGES else len(STAGES)


def _checked(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "seconds": [float(one) for one in values.get("seconds", []) if _is_duration(one)][-KEPT:],
        "stages": {str(k): float(v) for k, v in values.get("stages", {}).items() if _is_duration(v)},
    }


def _is_duration(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and value >= 0
