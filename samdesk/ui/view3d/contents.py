"""What a scene consists of, read from its files; runs on a lane.

Must not know Qt or VTK.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from samdesk.app.reconstruction.scene import SceneObject
from samdesk.domain.errors import SamdeskError
from samdesk.domain.tasks import Task
from samdesk.formats.atomic import file_error
from samdesk.recon.mesh import MESH_SUFFIXES, Mesh, read_mesh
from samdesk.recon.pose import Camera
from samdesk.recon.splat import Splats, is_splat, read_splats

Floats = NDArray[np.float32]
Box = tuple[NDArray[np.float64], NDArray[np.float64]]
AnyBox = tuple[NDArray[np.floating], NDArray[np.floating]]

PICTURE_SIDE = 2048
"""The picture behind the objects is made no larger than this."""

OUTLINE = 1000
PREVIEW_COLOR = (74, 141, 246)


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One object, in the frame that the scene shares.

    Attributes
    ----------
    points : ndarray, (n, 3) float32, or None
        Of a preview, which has nothing else.
    """

    id: str
    title: str
    label: str = ""
    splats: Splats | None = None
    mesh: Mesh | None = None
    points: Floats | None = None
    color: tuple[int, int, int] | None = None

    def outline(self) -> Floats:
        """A few hundred of its points, to frame it by."""
        for points in (
            None if self.splats is None else self.splats.means,
            None if self.mesh is None else self.mesh.vertices,
            self.points,
        ):
            if points is not None and len(points):
                few = points[:: max(1, len(points) // OUTLINE)]
                low, high = np.quantile(few, (0.002, 0.998), axis=0)
                return np.clip(few, low.astype(np.float32), high.astype(np.float32))
        return np.empty((0, 3), np.float32)

    def bounds(self) -> Box | None:
        """Its lowest and highest corner."""
        boxes: list[AnyBox] = []
        if self.splats is not None and len(self.splats):
            boxes.append(splat_bounds(self.splats))
        if self.mesh is not None and len(self.mesh.vertices):
            boxes.append(self.mesh.bounds())
        if self.points is not None and len(self.points):
            boxes.append((self.points.min(0), self.points.max(0)))
        return union(boxes)


@dataclass(frozen=True, slots=True, eq=False)
class Contents:
    """All objects of a scene.

    Attributes
    ----------
    camera : Camera or None
        How the photograph was looked at.
    picture : ndarray, (h, w, 3) uint8, or None
        The photograph, RGB.
    """

    parts: tuple[Part, ...] = ()
    camera: Camera | None = None
    picture: NDArray[np.uint8] | None = None


def load(objects: Sequence[SceneObject], task: Task) -> Contents:
    """Read the files of objects.

    Raises
    ------
    SamdeskError
        When a file cannot be read.
    """
    parts = []
    for k, one in enumerate(objects):
        task.progress(k / len(objects))
        parts.append(_part(one))
    source = next((one for one in objects if one.picture is not None and one.camera is not None), None)
    seen = next((one.camera for one in objects if one.camera is not None), None)
    picture = None
    if source is not None and source.picture is not None:
        task.check()
        picture, seen = _read_picture(source.picture), source.camera
    return Contents(tuple(parts), seen, picture)


def object_of(path: Path) -> SceneObject:
    """A file as an object; what it holds is seen from the file.

    Raises
    ------
    SamdeskError
        When no object can be in it.
    """
    if path.suffix.lower() not in MESH_SUFFIXES:
        raise SamdeskError(
            f"{path} cannot be shown in 3D.", f"Files that can: {', '.join(sorted(MESH_SUFFIXES))}."
        )
    if not path.is_file():
        raise file_error(path, FileNotFoundError(), "read")
    if path.suffix.lower() == ".ply" and is_splat(path):
        return SceneObject(str(path), path.name, "", splat=path)
    return SceneObject(str(path), path.name, "", mesh=path)


def union(boxes: Sequence[AnyBox]) -> Box | None:
    """The least box around boxes; None around none."""
    if not boxes:
        return None
    low = reduce(np.minimum, [one[0] for one in boxes])
    high = reduce(np.maximum, [one[1] for one in boxes])
    return low.astype(np.float64), high.astype(np.float64)


def splat_bounds(splats: Splats) -> Box:
    """Around the means, but for the outermost thousandth: a stray splat would make the object small."""
    means = splats.means
    if len(means) < 2000:
        low, high = splats.bounds()
    else:
        sample = means[:: max(1, len(means) // 50_000)]
        low, high = np.quantile(sample, (0.001, 0.999), axis=0)
    return low.astype(np.float64), high.astype(np.float64)


def _part(one: SceneObject) -> Part:
    splats = read_splats(one.splat) if one.splat is not None else None
    mesh = read_mesh(one.mesh).with_normals() if one.mesh is not None else None
    if one.pose is not None:
        splats = splats.posed(one.pose) if splats is not None else None
        mesh = mesh.posed(one.pose) if mesh is not None else None
    return Part(one.id, one.title, one.label, splats, mesh, color=one.color)


def _read_picture(path: Path) -> NDArray[np.uint8]:
    try:
        coded = np.fromfile(path, np.uint8)
    except OSError as error:
        raise file_error(path, error, "read") from error
    pixels = cv2.imdecode(coded, cv2.IMREAD_COLOR) if len(coded) else None
    if pixels is None:
        raise SamdeskError(f"{path} is not a picture that can be read.")
    smaller = PICTURE_SIDE / max(pixels.shape[:2])
    if smaller < 1:
        pixels = cv2.resize(pixels, None, fx=smaller, fy=smaller, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(pixels[..., ::-1])
