"""Frames of reference in 3D: the object's, the camera's, the world's; and how a pose joins them.

Must not know files or engines.

- Object frame: every object in a box of about 1 (``-0.5..0.5``), right-handed, z up. Splats and
  meshes in memory are in this frame, or posed in the world's.
- Camera frame: PyTorch3D's, x left, y up, z forward, the camera in the origin. What SAM 3D gives.
- World frame: what is shown and exported as a scene: x right, y away from the camera, z up. The
  camera frame turned: ``world = (-x, z, y)``. Looking along +y shows the photograph's view.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

CAMERA_TO_WORLD = np.array([[-1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
"""Column form, a half turn about (0, 1, 1); its own inverse."""

FACING = (0.0, 0.0, 0.5**0.5, 0.5**0.5)
"""The rotation of a pose whose object frame is parallel to the world frame."""

_LARGEST = 1e18
"""Points are kept in single precision, where the square of this is still a number."""


def quaternion_matrix(quaternion: ArrayLike) -> FloatArray:
    """Rotation matrices in column form (``R @ p``) of quaternions (..., 4) w, x, y, z of any length.

    Returns
    -------
    ndarray, (..., 3, 3) float64
    """
    q = np.asarray(quaternion, np.float64)
    w, x, y, z = np.moveaxis(q / np.linalg.norm(q, axis=-1, keepdims=True), -1, 0)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return np.stack([np.stack(row, -1) for row in rows], -2)


def quaternion_product(first: ArrayLike, second: ArrayLike) -> FloatArray:
    """``first * second`` (w, x, y, z; broadcast): the rotation `second`, then `first`."""
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    aw, ax, ay, az = np.moveaxis(a, -1, 0)
    bw, bx, by, bz = np.moveaxis(b, -1, 0)
    return np.stack(
        np.broadcast_arrays(
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ),
        -1,
    )


@dataclass(frozen=True, slots=True)
class Pose:
    """Where an object stands in front of the camera, in PyTorch3D's convention for row vectors.

    ``camera = (scale * object) @ R(rotation) + translation``; so the column form of the rotation
    is the transpose of ``R``.

    Attributes
    ----------
    rotation : (w, x, y, z)
        Unit quaternion.
    translation : (x, y, z)
        Camera frame, relative units (SAM 3D's scale is not metric).
    scale : float
    """

    rotation: tuple[float, float, float, float] = FACING
    translation: tuple[float, float, float] = (0.0, 0.0, 0.0)
    scale: float = 1.0

    @property
    def world_rotation(self) -> FloatArray:
        """Column form (3, 3) of the rotation from the object's to the world frame."""
        turned: FloatArray = CAMERA_TO_WORLD @ quaternion_matrix(self.rotation).T
        return turned

    @property
    def world_quaternion(self) -> FloatArray:
        """`world_rotation` as (w, x, y, z), to be multiplied on the left of a splat's rotation."""
        w, x, y, z = self.rotation
        return quaternion_product(FACING, (w, -x, -y, -z))

    def to_world(self, points: ArrayLike) -> FloatArray:
        """Points (n, 3) of the object frame in the world frame."""
        scaled = self.scale * np.asarray(points, np.float64)
        placed: FloatArray = scaled @ self.world_rotation.T + CAMERA_TO_WORLD @ np.asarray(self.translation)
        return placed

    def to_json(self) -> dict[str, Any]:
        return {
            "rotation_wxyz": list(self.rotation),
            "translation": list(self.translation),
            "scale": self.scale,
            "convention": "pytorch3d row vectors; camera x left, y up, z forward; relative units",
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Pose:
        """Read what `to_json` wrote.

        Raises
        ------
        ValueError, KeyError, TypeError
        """
        rotation = tuple(_number(v) for v in values["rotation_wxyz"])
        translation = tuple(_number(v) for v in values["translation"])
        if len(rotation) != 4 or len(translation) != 3:
            raise ValueError("not a pose")
        if not math.hypot(*rotation) > 1 / _LARGEST:
            raise ValueError("not a rotation")
        w, x, y, z = rotation
        tx, ty, tz = translation
        return cls((w, x, y, z), (tx, ty, tz), _positive(values["scale"]))


@dataclass(frozen=True, slots=True)
class Camera:
    """How the picture was looked at; the camera is the origin of the camera frame, looking along +y.

    Attributes
    ----------
    kind : {"parallel", "perspective"}
    extent : float
        Height of the picture: in world units for "parallel", as the vertical angle in degrees
        for "perspective".
    aspect : float
        Width of the picture by its height.
    """

    kind: Literal["parallel", "perspective"] = "parallel"
    extent: float = 1.0
    aspect: float = 1.0

    def height_at(self, depth: float) -> float:
        """Height of the picture in world units at a depth (y) in front of the camera."""
        if self.kind == "parallel":
            return self.extent
        return float(2 * depth * np.tan(np.radians(self.extent) / 2))

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "extent": self.extent, "aspect": self.aspect}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Camera:
        """Read what `to_json` wrote.

        Raises
        ------
        ValueError, KeyError, TypeError
        """
        kind = values["kind"]
        if kind not in ("parallel", "perspective"):
            raise ValueError(f"no camera is {kind}")
        extent = _positive(values["extent"])
        if kind == "perspective" and extent >= 180:
            raise ValueError("no camera sees 180 degrees")
        return cls(kind, extent, _positive(values["aspect"]))


def _number(value: Any) -> float:
    """A number that can be computed with.

    Raises
    ------
    ValueError, TypeError
    """
    try:
        number = float(value)
    except OverflowError as error:
        raise ValueError("a number is too large") from error
    if not abs(number) < _LARGEST:  # nor is it NaN
        raise ValueError(f"{number} cannot be computed with")
    return number


def _positive(value: Any) -> float:
    number = _number(value)
    if not number > 1 / _LARGEST:
        raise ValueError(f"{number} is not above 0")
    return number
