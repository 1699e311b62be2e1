"""`Job3D`: what is known of a reconstruction. Must not know how it is made, nor where it is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

State = Literal["queued", "running", "done", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class File3D:
    """A file of a reconstruction.

    Attributes
    ----------
    name : str
        As "mesh.glb"; of several objects "0/mesh.glb" and "scene.glb".
    size : int
        Bytes.
    """

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Job3D:
    """A reconstruction on its way, or at its end.

    Attributes
    ----------
    id : str
        32 hexadecimal digits.
    state : {"queued", "running", "done", "failed", "cancelled"}
    engine, label : str
        The engine, and how what it makes is to be called.
    formats : tuple of str
        That were asked for.
    objects : int
        How many.
    created : float
        Unix time in seconds.
    stage : str
        What is being done, in words for the user.
    percent : int
        0..100.
    error, hint : str
        Why it failed; of one that is done, why some of its objects are missing.
    ended : float or None
        Unix time in seconds.
    files : tuple of File3D
        Once it is done.
    """

    id: str
    state: State
    engine: str
    label: str
    formats: tuple[str, ...]
    objects: int
    created: float
    stage: str = ""
    percent: int = 0
    error: str = ""
    hint: str = ""
    ended: float | None = None
    files: tuple[File3D, ...] = ()

    @property
    def is_over(self) -> bool:
        return self.state in ("done", "failed", "cancelled")

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(one.size for one in self.files)

    def result(self, format: str) -> str | None:
        """The name of the file of a format, of the scene when there are several objects."""
        name = {"ply": "splat.ply", "gif": "turntable.gif"}.get(format, f"mesh.{format}")
        if self.objects > 1:
            name = f"scene.{format}"
        return next((one.name for one in self.files if one.name == name), None)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Job3D:
        """Read what `dataclasses.asdict` gave, of one that is done; its files are not among it.

        Raises
        ------
        KeyError, TypeError, ValueError, OverflowError
            When it is nothing of the kind.
        """
        return cls(
            str(values["id"]),
            "done",
            str(values["engine"]),
            str(values["label"]),
            tuple(str(one) for one in values["formats"]),
            int(values["objects"]),
            float(values["created"]),
            percent=100,
            error=str(values["error"]),
            hint=str(values["hint"]),
            ended=float(values["ended"]),
        )
