"""What an engine in the worker has to offer, and what it is given.

Standard library only. Must not know the wire or the program at its other end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol


class Stopped(Exception):  # noqa: N818 - not an error: the user wanted it
    """Raised inside an engine once its job was cancelled."""


class EngineError(Exception):
    """What an engine cannot do, in words for the user.

    Parameters
    ----------
    kind : str
        One of `samdesk.recon.wire.ERROR_KINDS`.
    message, hint : str
        What happened, and what can be done.
    """

    def __init__(self, kind: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.hint = hint


class Report(Protocol):
    """The way back from a working engine; any thread."""

    def check(self) -> None:
        """Raise `Stopped` when the job was cancelled."""
        ...

    def stage(self, name: str, i: int, n: int) -> None:
        """Say that step `i` of `n` of a stage is done (0 at its start), then as `check`.

        Names that the program weighs: load, depth, shape, look, splat, mesh, layout, export.
        """
        ...

    def preview(self, file: str) -> None:
        """Say that `file` in the out folder holds points, (n, 3) float32 .npy, object frame."""
        ...


@dataclass(frozen=True)
class Request:
    """One object to reconstruct.

    Attributes
    ----------
    image : Path
        RGB PNG, upright.
    mask : Path
        Grey PNG of 0 and 255, of the image's size.
    out : Path
        Existing folder for what is made; files appear there whole or not at all.
    options : mapping
        `ReconOptions.to_json()`.
    pointmap : Path or None
        Where the shared pointmap of the picture is (or, when missing, is to be kept).
    """

    image: Path
    mask: Path
    out: Path
    options: Mapping[str, Any]
    pointmap: Path | None = None


@dataclass(frozen=True)
class Made:
    """What came of a request.

    Attributes
    ----------
    files : mapping of str to str
        "splat" and "mesh" to file names in the out folder. A splat is in the object frame; a
        GLB is y up, ``(x, z, -y)`` of it.
    pose, camera : mapping or None
        As `Pose.to_json` and `Camera.to_json` of `samdesk.recon.pose`.
    details : mapping
        What else is worth keeping: "gaussians", "vram_peak", "version", "seed_used", …
    """

    files: Mapping[str, str]
    pose: Mapping[str, Any] | None = None
    camera: Mapping[str, Any] | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


class WorkerEngine(Protocol):
    """One engine. Made without arguments; the constructor imports and loads nothing."""

    title: str
    version: str
    capabilities: tuple[str, ...]
    """Of: splat, mesh, pose, cancel, steps, preview."""

    def device(self) -> str:
        """Where it runs, as far as it is known without loading."""
        ...

    def check(self, config: Mapping[str, Any]) -> list[dict[str, Any]]:
        """What it needs and whether it is there: {"name", "ok", "detail", "hint"} each.

        ``ok`` is True, False, or None where it cannot be told.
        """
        ...

    def load(self, config: Mapping[str, Any], report: Report) -> dict[str, Any]:
        """Load what is needed; called before the first `run` and after `unload`.

        Returns
        -------
        dict
            "device", and "vram_used", "vram_total" in bytes where there is such memory.

        Raises
        ------
        EngineError, Stopped
        """
        ...

    def run(self, request: Request, report: Report) -> Made:
        """Reconstruct one object.

        Raises
        ------
        EngineError, Stopped
        """
        ...

    def unload(self) -> None:
        """Give the memory back."""
        ...
