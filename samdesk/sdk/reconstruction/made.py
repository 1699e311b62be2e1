"""`Reconstruction`: a 3D object as it lies in its folder. Must not know how it was made."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samdesk.domain.errors import SamdeskError
from samdesk.formats.atomic import file_error
from samdesk.recon.pose import Camera, Pose

from .damaged import DAMAGED

PROVENANCE = "provenance.json"
"""In every folder of a reconstruction; what lacks it is none."""

SCHEMA = "samdesk reconstruction 1"

KINDS = {"ply": "splat", "glb": "mesh", "obj": "obj", "stl": "stl", "gif": "gif"}
"""Of each of `samdesk.recon.options.FORMATS`, the name under which its file is listed."""

FILES = {
    "splat": "splat.ply",
    "mesh": "mesh.glb",
    "obj": "mesh.obj",
    "stl": "mesh.stl",
    "gif": "turntable.gif",
    "picture": "picture.png",
    "mask": "mask.png",
}
"""How the files are called. An OBJ has its MTL and PNG beside it."""


@dataclass(frozen=True, slots=True, eq=False)
class Reconstruction:
    """A 3D object made from an annotation.

    Attributes
    ----------
    folder : Path
        Its last part is the `id`.
    files : mapping of str to str
        Kinds (see `FILES`) to names in the folder.
    engine, label, version : str
        Of the engine; the label is how the object is called wherever it is shown.
    pose : Pose or None
        Where it stands in front of the camera of its picture.
    camera : Camera or None
    seconds : float
        That it took, without loading.
    provenance : mapping
        All that is known of how it was made, as JSON values.
    annotation : uuid.UUID or None
    """

    folder: Path
    files: Mapping[str, str]
    engine: str
    label: str
    version: str
    pose: Pose | None
    camera: Camera | None
    seconds: float
    provenance: Mapping[str, Any]
    annotation: uuid.UUID | None = None

    @property
    def id(self) -> str:
        return self.folder.name

    def path(self, kind: str) -> Path | None:
        """The file of a kind; None when there is none."""
        name = self.files.get(kind)
        return None if name is None else self.folder / name

    def to_json(self) -> dict[str, Any]:
        """What `provenance.json` holds."""
        return {"schema": SCHEMA, **self.provenance, "files": dict(self.files)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any], folder: Path) -> Reconstruction:
        """Read what `to_json` gave; members that are not understood stay in `provenance`.

        Raises
        ------
        Exception
            One of `DAMAGED`, when it is nothing of the kind.
        """
        if values["schema"] != SCHEMA:
            raise ValueError(f"unknown schema “{values['schema']}”")
        files = {str(kind): _plain_name(name) for kind, name in values["files"].items()}
        pose, camera = values.get("pose"), values.get("camera")
        annotation = None
        with suppress(ValueError):
            annotation = uuid.UUID(str(values.get("annotation")))
        return cls(
            folder,
            files,
            str(values["engine"]),
            str(values["label"]),
            str(values.get("version", "")),
            None if pose is None else Pose.from_json(pose),
            None if camera is None else Camera.from_json(camera),
            duration(values.get("seconds", 0.0)),
            {name: value for name, value in values.items() if name not in ("schema", "files")},
            annotation,
        )


def load(folder: Path) -> Reconstruction:
    """The reconstruction in a folder.

    Raises
    ------
    SamdeskError
        When there is none, or its `provenance.json` cannot be understood.
    """
    path = folder / PROVENANCE
    try:
        return Reconstruction.from_json(json.loads(path.read_text("utf-8")), folder)
    except OSError as error:
        raise file_error(path, error, "read") from error
    except DAMAGED as error:
        raise SamdeskError(
            f"{path} does not describe a 3D object: {error}.", "Make the object again."
        ) from error


def is_done(folder: Path, wanted: Mapping[str, Any], formats: Sequence[str]) -> Reconstruction | None:
    """The reconstruction in a folder when it is what would be made.

    Parameters
    ----------
    folder : Path
    wanted : mapping
        What `samdesk.sdk.reconstruction.wanted` says of the object to be made.
    formats : sequence of str
        The files that are to be there.
    """
    try:
        found = load(folder)
    except SamdeskError:
        return None
    kept = {name: found.provenance.get(name) for name in wanted}
    files = [found.path(KINDS[one]) for one in formats]
    same = _essence(kept) == _essence(wanted)
    return found if same and all(path is not None and path.is_file() for path in files) else None


def _essence(record: Mapping[str, Any]) -> str:
    """What an object depends on: neither what the image is called nor which files are made of it."""
    told = dict(record)
    image = told.get("image")
    if isinstance(image, Mapping):
        told["image"] = image.get("crop_sha256")
    options = told.get("options")
    if isinstance(options, Mapping):
        unlike = ("splat", "mesh", "preview")
        told["options"] = {name: value for name, value in options.items() if name not in unlike}
    return json.dumps(told, sort_keys=True)


def duration(value: Any) -> float:
    """Seconds that a file tells.

    Raises
    ------
    ValueError, TypeError, OverflowError
        When it is no duration.
    """
    seconds = float(value)
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError(f"{seconds} s is no duration")
    return seconds


def _plain_name(name: Any) -> str:
    """A name of a file in the folder itself: what a stranger's file says must not lead elsewhere."""
    text = str(name)
    if not text or text in (".", "..") or "/" in text or "\\" in text or ":" in text:
        raise ValueError(f"“{text}” is not the name of a file")
    return text
