"""`ReconJob`: one 3D job as a value, in memory and as JSON. Must not know where it is kept."""

from __future__ import annotations

import math
import os
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from samdesk.recon.options import ReconOptions

ReconState = Literal["queued", "running", "done", "failed", "cancelled"]

_ON_DISK = ("queued", "done", "failed", "cancelled")
"""Running is not kept: a job that was running when the program ended is a queued one."""


@dataclass(frozen=True, slots=True)
class ReconJob:
    """One or more annotations on their way to 3D objects; several become one scene.

    Attributes
    ----------
    id : str
        Name of its folder.
    title : str
        What is made, for the user: "Tumor", "3 objects".
    engine : str
        Row of `samdesk.recon.engines.RECON_ENGINES`.
    state : {"queued", "running", "done", "failed", "cancelled"}
    fraction : float or None
        Done part in 0..1 while it runs; None while it cannot be told.
    message : str
        The stage in words, while it runs.
    error, hint : str
        Why it failed, or why not all of its objects were made; and what can be done.
    kind : str
        Of the failure, as `samdesk.recon.client.WorkerError.kind`; empty for others.
    image : Path
    image_name, image_identity : str
        As `ImageSource` has them.
    project : Path
        The project file that the annotations are in.
    annotations : tuple of uuid.UUID
    names : tuple of str
        What the user calls each annotation.
    options : ReconOptions
    created : float
        Seconds since the epoch.
    seconds : float
        How long it took, once it is done.
    reconstructions : tuple of str
        Ids of what was made, once it is done; see `object_id`.
    attached : bool
        Whether the annotations know of them; False while their document is closed or cannot be
        changed.
    owner : str
        The window that it waits or runs in; empty once it has ended.
    """

    id: str
    title: str
    engine: str
    state: ReconState
    image: Path
    image_name: str
    image_identity: str
    project: Path
    annotations: tuple[uuid.UUID, ...]
    names: tuple[str, ...]
    options: ReconOptions = field(default_factory=ReconOptions)
    created: float = field(default_factory=time.time)
    fraction: float | None = None
    message: str = ""
    error: str = ""
    hint: str = ""
    kind: str = ""
    seconds: float = 0.0
    reconstructions: tuple[str, ...] = ()
    attached: bool = False
    owner: str = ""

    @property
    def is_busy(self) -> bool:
        return self.state in ("queued", "running")

    @property
    def can_retry(self) -> bool:
        """Whether trying again could bring more."""
        return self.state in ("failed", "cancelled") or (
            self.state == "done" and (bool(self.error) or not self.attached)
        )

    def unkept(self) -> ReconJob:
        """What it becomes when its picture was not kept before the program ended."""
        error = f"samdesk ended before the picture of “{self.title}” was kept."
        return replace(self, state="failed", error=error, hint="Make the object again.")

    def object_id(self, number: int) -> str:
        """The id of what is made of the annotation of this number."""
        return f"{self.id}-{number}"

    @property
    def is_settled(self) -> bool:
        """Whether nothing would be lost with its folder."""
        return self.state in ("failed", "cancelled") or self.attached

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "title": self.title,
            "engine": self.engine,
            "state": "queued" if self.state == "running" else self.state,
            "image": {"path": str(self.image), "name": self.image_name, "identity": self.image_identity},
            "project": str(self.project),
            "annotations": [str(one) for one in self.annotations],
            "names": list(self.names),
            "options": self.options.to_json(),
            "created": self.created,
            "error": self.error,
            "hint": self.hint,
            "kind": self.kind,
            "seconds": self.seconds,
            "reconstructions": list(self.reconstructions),
            "attached": self.attached,
            "owner": self.owner,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ReconJob:
        """Read what `to_json` wrote.

        Raises
        ------
        ValueError, KeyError, TypeError, ArithmeticError
            When it is not a job.
        """
        state, image = values["state"], values["image"]
        annotations = tuple(uuid.UUID(str(one)) for one in values["annotations"])
        names = tuple(str(one) for one in values["names"])
        made = tuple(str(one) for one in values["reconstructions"])
        created, seconds = float(values["created"]), float(values["seconds"])
        if state not in _ON_DISK or not annotations or len(names) != len(annotations):
            raise ValueError("not a 3D job")
        if (state == "done" and not made) or not math.isfinite(created + seconds):
            raise ValueError("not a 3D job")
        return cls(
            id=str(values["id"]),
            title=str(values["title"]),
            engine=str(values["engine"]),
            state=state,
            image=_path(image["path"]),
            image_name=str(image["name"]),
            image_identity=str(image["identity"]),
            project=_path(values["project"]),
            annotations=annotations,
            names=names,
            options=ReconOptions.from_json(dict(values["options"])),
            created=created,
            error=str(values["error"]),
            hint=str(values["hint"]),
            kind=str(values["kind"]),
            seconds=seconds,
            reconstructions=made,
            attached=bool(values["attached"]),
            owner=str(values["owner"]),
        )


def _path(text: str) -> Path:
    os.fsencode(text)  # raises for what no file can be called
    if "\0" in text:
        raise ValueError("not the name of a file")
    return Path(text)
