"""A triangle mesh as a value. Must not know files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from samdesk.recon.pose import Pose

from .paint import PLAIN, atlas, sample

Floats = NDArray[np.float32]

_KINDS = {
    "vertices": (np.float32, 3),
    "faces": (np.int32, 3),
    "normals": (np.float32, 3),
    "colors": (np.uint8, 3),
    "uv": (np.float32, 2),
}


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """Triangles in the object's or the world frame, z up; see `samdesk.recon.pose`.

    Arrays of other types are converted.

    Attributes
    ----------
    vertices : ndarray, (n, 3) float32
    faces : ndarray, (m, 3) int32
        Rows of `vertices`, counterclockwise as seen from outside.
    normals : ndarray, (n, 3) float32, or None
    colors : ndarray, (n, 3) uint8, or None
        As displayed (sRGB).
    uv : ndarray, (n, 2) float32, or None
        Places in the texture; (0, 0) is its lower left corner.
    texture : ndarray, (h, w, 3) uint8, or None
        As displayed, its first row on top. When there is one, `colors` do not count.
    """

    vertices: Floats
    faces: NDArray[np.int32]
    normals: Floats | None = None
    colors: NDArray[np.uint8] | None = None
    uv: Floats | None = None
    texture: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            values = getattr(self, field.name)
            if values is None:
                continue
            kind, columns = _KINDS.get(field.name, (np.uint8, 3))
            values = np.ascontiguousarray(values, kind)
            object.__setattr__(self, field.name, values)
            rows = len(self.vertices) if field.name not in ("faces", "texture") else len(values)
            shape = (rows, columns) if field.name != "texture" else (*values.shape[:2], columns)
            if values.shape != shape or (field.name == "texture" and not values.size):
                raise ValueError(f"{field.name} of shape {values.shape}")
        if len(self.faces) and not 0 <= self.faces.min() <= self.faces.max() < len(self.vertices):
            raise ValueError("faces without vertices")

    @property
    def is_textured(self) -> bool:
        return self.texture is not None and self.uv is not None

    def posed(self, pose: Pose) -> Mesh:
        """This mesh, given in the object frame, in the world frame."""
        turn = pose.world_rotation.T.astype(np.float32)
        normals = None if self.normals is None else self.normals @ turn
        return replace(self, vertices=pose.to_world(self.vertices).astype(np.float32), normals=normals)

    def bounds(self) -> tuple[Floats, Floats]:
        """Lowest and highest corner along each axis; zeros when there are no vertices."""
        if not len(self.vertices):
            return np.zeros(3, np.float32), np.zeros(3, np.float32)
        return self.vertices.min(0), self.vertices.max(0)

    def with_normals(self) -> Mesh:
        """This mesh, smooth where it has no normals.

        Vertices at one place, as along the seam of a texture, get one normal.
        """
        if self.normals is not None:
            return self
        a, b, c = (self.vertices[self.faces[:, corner]] for corner in range(3))
        across = np.cross(b - a, c - a).astype(np.float64)  # as long as twice the area
        place, count = _places(self.vertices)
        rows = place[self.faces].ravel()
        sums = np.empty((count, 3))
        for axis in range(3):
            sums[:, axis] = np.bincount(rows, np.repeat(across[:, axis], 3), count)
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        up = np.array([0.0, 0.0, 1.0])
        normals = np.where(lengths > 0, sums / np.where(lengths > 0, lengths, 1), up)
        return replace(self, normals=normals[place].astype(np.float32))

    def vertex_colors(self) -> NDArray[np.uint8] | None:
        """A colour for each vertex, from the texture where there is one; None when it has none."""
        if self.texture is not None and self.uv is not None:
            return sample(self.texture, self.uv)
        return self.colors

    @staticmethod
    def concat(parts: Sequence[Mesh]) -> Mesh:
        """One mesh of all parts, which have one frame, in their order.

        Textures are put into one. Where not every part has a texture of its own size, or none has
        one, vertices have colours instead; where no part has a colour, none has.
        """
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return Mesh(np.empty((0, 3), np.float32), np.empty((0, 3), np.int32))
        starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
        faces = [part.faces + start for part, start in zip(parts, starts, strict=False)]
        joined = Mesh(
            np.concatenate([part.vertices for part in parts]),
            np.concatenate(faces).astype(np.int32),
            _all_normals(parts),
        )
        return _painted(joined, parts)


def _all_normals(parts: Sequence[Mesh]) -> Floats | None:
    if all(part.normals is None for part in parts):
        return None
    normals = [part.with_normals().normals for part in parts]
    return np.concatenate([each for each in normals if each is not None])


def _painted(joined: Mesh, parts: Sequence[Mesh]) -> Mesh:
    textures, uvs = [], []
    for part in parts:
        # a texture that repeats cannot be a part of another
        if part.texture is None or part.uv is None or np.any((part.uv < -1e-4) | (part.uv > 1 + 1e-4)):
            break
        textures.append(part.texture)
        uvs.append(part.uv)
    if parts and len(textures) == len(parts):
        texture, places = atlas(textures)
        uv = [uv * scale + offset for uv, (scale, offset) in zip(uvs, places, strict=True)]
        return replace(joined, uv=np.concatenate(uv), texture=texture)
    colors = [part.vertex_colors() for part in parts]
    if all(each is None for each in colors):
        return joined
    plain = np.array(PLAIN, np.uint8)
    filled = [
        np.broadcast_to(plain, part.vertices.shape) if each is None else each
        for part, each in zip(parts, colors, strict=True)
    ]
    return replace(joined, colors=np.concatenate(filled))


def _places(vertices: Floats) -> tuple[NDArray[np.intp], int]:
    """Number the places of vertices, and count them."""
    bits = (vertices + np.float32(0)).view(np.uint32).astype(np.uint64)  # no minus zero
    # 64 bits mixed of 96: that two places of a million meet is a chance of one in 10**7
    with np.errstate(over="ignore"):
        mixed = bits[:, 0] * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(29)) ^ bits[:, 1]) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(32)) ^ bits[:, 2]) * np.uint64(0x94D049BB133111EB)
    found, place = np.unique(mixed, return_inverse=True)
    return place, len(found)
