"""SAM 3D Objects as an engine of the worker, in the user's interpreter.

Only the standard library is imported before `load`: an interpreter that lacks everything still
hears `check` say what that is. Must not know the wire or the program.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from samdesk.recon.worker.base import EngineError, Made, Report, Request

from . import card
from .checking import checked, repository_of
from .failures import translated

LABEL = "SAM 3D Objects"


class Sam3dEngine:
    """SAM 3D Objects behind `samdesk.recon.worker.base.WorkerEngine`."""

    title = LABEL
    capabilities = ("splat", "mesh", "pose", "cancel", "steps", "preview")

    def __init__(self) -> None:
        self.version = ""
        self._pipe: Any = None

    def device(self) -> str:
        return card.name()

    def check(self, config: Mapping[str, Any]) -> list[dict[str, Any]]:
        return checked(config)

    def load(self, config: Mapping[str, Any], report: Report) -> dict[str, Any]:
        with translated("loading"):
            from . import loading, making  # noqa: F401 - what `run` will need is told before the long wait
        repository = repository_of(config)
        self.version = loading.commit_of(repository) if repository else ""
        try:
            self._pipe = loading.build(config, report)
        except BaseException:
            self.unload()
            raise
        report.stage("load", 1, 1)
        return {"device": self.device(), "version": self.version, **card.memory()}

    def unload(self) -> None:
        self._pipe = None
        card.give_back()

    def run(self, request: Request, report: Report) -> Made:
        if self._pipe is None:
            raise EngineError("internal", "SAM 3D is not loaded.", "Try again.")
        from .making import make

        return make(self._pipe, request, report, LABEL, self.version)
