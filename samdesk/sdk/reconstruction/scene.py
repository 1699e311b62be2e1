"""All objects of one picture in one frame, as one splat file and one mesh file.

The frame is the world's: x right, y away from the camera, z up (a GLB is y up as always).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import samdesk
from samdesk.domain.errors import SamdeskError
from samdesk.domain.tasks import Task
from samdesk.formats.atomic import file_error, replacing
from samdesk.recon.engines import ReconSpec
from samdesk.recon.mesh import Mesh, read_mesh, write_glb
from samdesk.recon.pose import Pose
from samdesk.recon.splat import Splats, read_splats, write_splats

from .damaged import DAMAGED
from .made import Reconstruction
from .publish import write_turn
from .share import Share

SCENE = {"splat": "scene.ply", "mesh": "scene.glb", "gif": "scene.gif"}
SCENE_JSON = "scene.json"


def refuse_scene(spec: ReconSpec) -> None:
    """Raise `SamdeskError` when an engine's objects cannot be put into one scene."""
    if not spec.poses:
        raise SamdeskError(
            f"{spec.title} does not tell where an object stands, so there is no scene.",
            "Make the objects one by one.",
        )


def write_scene(
    objects: Sequence[Reconstruction], folder: Path, *, turn: bool = False, task: Task | None = None
) -> dict[str, Path]:
    """Write `scene.ply` and `scene.glb`, each when at least one object has a splat or a mesh.

    `scene.json` beside them tells what is in them.

    Parameters
    ----------
    objects : sequence of Reconstruction
        Made from one picture in one job.
    folder : Path
        Exists.
    turn : bool
        Also write a GIF of the scene as it turns.
    task : Task, optional

    Returns
    -------
    dict of str to Path
        "splat", "mesh" and "gif", as far as they were made.

    Raises
    ------
    SamdeskError
        When an engine gave no pose, so that nobody knows where its object stands, or there is
        nothing to put together.
    Cancelled
    """
    task = task or Task()
    poses = [_pose_of(one) for one in objects]
    written: dict[str, Path] = {}
    shown: Mesh | Splats | None = None
    task.progress(0.0, "Putting the scene together")
    splats = [
        read_splats(path).posed(pose)
        for one, pose in zip(objects, poses, strict=True)
        if (path := one.path("splat")) is not None
    ]
    labels = sorted({one.label for one in objects})
    _unlink(folder / SCENE_JSON)  # what it tells is not so from here on
    if splats:
        shown = Splats.concat(splats)
        del splats
        written["splat"] = folder / SCENE["splat"]
        write_splats(written["splat"], shown, [*labels, f"samdesk {samdesk.__version__}"])
    task.progress(0.5, "Putting the scene together")
    meshes = [
        read_mesh(path).posed(pose)
        for one, pose in zip(objects, poses, strict=True)
        if (path := one.path("mesh")) is not None
    ]
    if meshes:
        shown = Mesh.concat(meshes)
        written["mesh"] = folder / SCENE["mesh"]
        write_glb(written["mesh"], shown, _extras(objects, labels))
    if shown is None:
        raise SamdeskError(
            "There is neither a splat nor a mesh to put into a scene.", "Make PLY or GLB files."
        )
    if turn:
        written["gif"] = folder / SCENE["gif"]
        write_turn(written["gif"], shown, ", ".join(labels), Share(task, 0.8, 1.0))
    for kind in SCENE.keys() - written.keys():  # of an earlier scene
        _unlink(folder / SCENE[kind])
    told = {**_extras(objects, labels), "files": {kind: path.name for kind, path in written.items()}}
    with replacing(folder / SCENE_JSON) as fresh:
        fresh.write_text(json.dumps(told, indent=1, ensure_ascii=False), "utf-8")
    return written


def scene_there(folder: Path, objects: Sequence[Reconstruction]) -> dict[str, Path]:
    """The files of a scene of just these objects, as `write_scene` left them; empty when there is none."""
    try:
        told = json.loads((folder / SCENE_JSON).read_text("utf-8"))
        files = {kind: folder / Path(name).name for kind, name in told["files"].items()}
        same = told["objects"] == [{"id": one.id, "made": one.provenance.get("made")} for one in objects]
    except (OSError, *DAMAGED):
        return {}
    return files if same and all(path.is_file() for path in files.values()) else {}


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise file_error(path, error, "written") from error


def _pose_of(one: Reconstruction) -> Pose:
    if one.pose is None:
        raise SamdeskError(
            f"{one.label} does not tell where an object stands, so there is no scene.",
            "The objects are there one by one.",
        )
    return one.pose


def _extras(objects: Sequence[Reconstruction], labels: Sequence[str]) -> Mapping[str, Any]:
    return {
        "label": ", ".join(labels),
        "software": f"samdesk {samdesk.__version__}",
        "units": "relative",
        "objects": [{"id": one.id, "made": one.provenance.get("made")} for one in objects],
    }
