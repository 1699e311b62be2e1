"""`SceneObject`: a 3D object as the viewer needs it; and the scene of several annotations.

Reads files: for lanes. Must not know how objects are drawn.
"""

from __future__ import annotations

import logging
import math
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from samdesk.domain.columns import DEFAULT_COLOR, Annotation, Color, id_bytes
from samdesk.domain.document import Snapshot
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Region
from samdesk.recon.pose import Camera, Pose
from samdesk.sdk.reconstruction import Reconstruction, load
from samdesk.sdk.reconstruction.damaged import DAMAGED

from .desk import name_of
from .objects import PROVENANCE, entries, is_name, objects_dir
from .record import ReconJob

log = logging.getLogger(__name__)

REACH = 3**0.5 / 2
"""How far an object of size 1 gets from its centre, however it is turned."""

BESIDE = 1.25
"""From the centre of an object of size 1 to that of the next one beside it."""


@dataclass(frozen=True, slots=True)
class SceneObject:
    """One object of a scene.

    Attributes
    ----------
    id : str
    title : str
        The name that is shown.
    label : str
        What made it: "Relief (not SAM 3D)".
    splat, mesh : Path or None
    pose : Pose or None
        In the frame that all objects of the scene share; None to show it as it is.
    camera : Camera or None
        How `picture` was looked at.
    picture : Path or None
        What the engine was shown, to stand behind the object.
    color : (r, g, b) or None
        Of its annotation.
    unit_px : float or None
        Image pixels in one unit of the scene, where that can be told.
    """

    id: str
    title: str
    label: str
    splat: Path | None = None
    mesh: Path | None = None
    pose: Pose | None = None
    camera: Camera | None = None
    picture: Path | None = None
    color: Color | None = None
    unit_px: float | None = None


def scene_of(
    annotations: Iterable[Annotation],
    project: Path,
    color: Callable[[Annotation], Color] | None = None,
) -> tuple[SceneObject, ...]:
    """The newest object of each annotation that has one, all in one frame.

    Parameters
    ----------
    annotations : iterable of Annotation
    project : Path
        The project file that they are in.
    color : callable, optional
        By default that of the annotation itself.

    Raises
    ------
    SamdeskError
        When annotations have objects, but the files of none can be read; says why not.
    """
    folder = objects_dir(project)
    found: list[tuple[SceneObject, Reconstruction]] = []
    trouble: SamdeskError | None = None
    for annotation in annotations:
        try:
            newest = _newest(annotation, folder)
        except SamdeskError as error:
            trouble = _noted(error)
            continue
        if newest is not None:
            own = color(annotation) if color is not None else annotation.color
            found.append((scene_object(newest, name_of(annotation), own), newest))
    if trouble is not None and not found:
        raise trouble
    return side_by_side(in_one_frame(found))


def scene_in(state: Snapshot, ids: Iterable[uuid.UUID], project: Path) -> tuple[SceneObject, ...]:
    """As `scene_of`, for those of the ids that are there; in the colors of their classes."""
    column = id_bytes(ids)
    table = state.table(column[state.has(column)])
    of_class = {one.name: one.color for one in state.classes}
    rows = sorted(row for row, own in table.attributes.items() if PROVENANCE in own.provenance)
    some = map(table.annotation, rows)
    return scene_of(some, project, lambda one: one.color or of_class.get(one.class_name or "", DEFAULT_COLOR))


def scene_of_job(job: ReconJob, objects: Path) -> tuple[SceneObject, ...]:
    """All objects that a job made, attached or not.

    Parameters
    ----------
    job : ReconJob
    objects : Path
        Where its objects are until they are beside the project.

    Raises
    ------
    SamdeskError
        When the files of none can be read; says why not.
    """
    folders = (objects_dir(job.project), objects)
    found: list[SceneObject] = []
    trouble: SamdeskError | None = None
    for number, name in enumerate(job.names):
        one = job.object_id(number)
        if one in job.reconstructions:
            folder = next((folder / one for folder in folders if (folder / one).is_dir()), folders[0] / one)
            try:
                found.append(scene_object(load(folder), name))
            except SamdeskError as error:
                trouble = _noted(error)
    if trouble is not None and not found:
        raise trouble
    return side_by_side(found)


def scene_object(made: Reconstruction, title: str, color: Color | None = None) -> SceneObject:
    """A reconstruction on its own."""
    splat, mesh, picture = (_there(made.path(kind)) for kind in ("splat", "mesh", "picture"))
    frame = _Frame.of(made)
    unit_px = frame.unit_px if frame is not None and made.pose is not None else None
    return SceneObject(
        made.id, title, made.label, splat, mesh, made.pose, made.camera, picture, color, unit_px
    )


def in_one_frame(found: Sequence[tuple[SceneObject, Reconstruction]]) -> tuple[SceneObject, ...]:
    """Objects of several pictures of one image in the frame of the first one's picture.

    This can be told for pictures that were looked at in parallel, as their scale is that of the
    image; all others stay as they are.
    """
    if not found:
        return ()
    first = _Frame.of(found[0][1])
    return tuple(_moved(one, _Frame.of(made), first) for one, made in found)


def side_by_side(objects: Sequence[SceneObject]) -> tuple[SceneObject, ...]:
    """Objects of which nobody knows where they stand, in a row to the right of the others.

    They would stand inside each other otherwise. One alone stays as it is.
    """
    placed = [one.pose for one in objects if one.pose is not None]
    if len(placed) == len(objects) or len(objects) == 1:
        return tuple(objects)
    first = placed[0] if placed else Pose()
    size = max((pose.scale for pose in placed), default=1.0)
    step = BESIDE * size
    x = max((REACH * pose.scale - pose.translation[0] for pose in placed), default=-step)
    row = []
    for one in objects:
        if one.pose is None:
            x += step
            pose = Pose(translation=(-x, *first.translation[1:]), scale=size)  # the camera's x is left
            one = replace(one, pose=pose, camera=None, picture=None)
        row.append(one)
    return tuple(row)


@dataclass(frozen=True, slots=True)
class _Frame:
    """The world frame of a picture, in terms of its image: where its origin is, and its unit."""

    image: str
    x: float
    y: float
    unit_px: float
    camera: Camera

    @classmethod
    def of(cls, made: Reconstruction) -> _Frame | None:
        image, camera = made.provenance.get("image"), made.camera
        region = _region(made.provenance.get("region"))
        if region is None or camera is None or camera.kind != "parallel" or not isinstance(image, dict):
            return None
        x, y = region.bounds.center
        return cls(str(image.get("identity")), x, y, region.bounds.height / camera.extent, camera)


def _moved(one: SceneObject, own: _Frame | None, first: _Frame | None) -> SceneObject:
    if own is None or first is None or own == first or own.image != first.image:
        return one
    pose = one.pose or Pose()
    larger = own.unit_px / first.unit_px
    right, up = (own.x - first.x) / first.unit_px, (first.y - own.y) / first.unit_px
    x, y, z = (larger * value for value in pose.translation)
    moved = Pose(pose.rotation, (x - right, y + up, z), larger * pose.scale)
    return replace(one, pose=moved, camera=first.camera, picture=None, unit_px=first.unit_px)


def _region(values: Any) -> Region | None:
    try:
        x, y, downsample = (float(values[name]) for name in ("x", "y", "downsample"))
        region = Region(x, y, int(values["width"]), int(values["height"]), downsample)
        bounds = region.bounds
    except DAMAGED:
        return None
    is_whole = math.isfinite(bounds.width) and math.isfinite(bounds.height) and not bounds.is_empty
    return region if is_whole else None


def _newest(annotation: Annotation, folder: Path) -> Reconstruction | None:
    """The last one whose files are there; None for an annotation without any."""
    trouble: SamdeskError | None = None
    for entry in reversed(entries(annotation)):
        name = entry.get("folder", entry["id"])
        try:
            return load(folder / name) if is_name(name) else None
        except SamdeskError as error:
            trouble = trouble or error
    if trouble is not None:
        raise trouble
    return None


def _noted(error: SamdeskError) -> SamdeskError:
    """An error that may be told to nobody, as there are other objects to show."""
    log.info("3D object not shown: %s", error)
    return error


def _there(path: Path | None) -> Path | None:
    return path if path is not None and path.is_file() else None
