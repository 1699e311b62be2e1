"""From where a scene is looked at: a value, and how turning, moving and zooming change it.

Must not know Qt or VTK.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from samdesk.recon.pose import Camera

FloatArray = NDArray[np.float64]
Vector = tuple[float, float, float]

ANGLE = 30.0
"""Vertical angle in degrees of views that are not the photograph's."""

ROOM = 1.15
"""A fitted object leaves this much room around it."""

LEAST_HEIGHT, MOST_HEIGHT = 1e-5, 1e5

PRESETS = {
    "home": (25.0, 15.0),
    "front": (0.0, 0.0),
    "left": (-90.0, 0.0),
    "back": (180.0, 0.0),
    "right": (90.0, 0.0),
    "top": (0.0, 90.0),
}
"""Azimuth and elevation in degrees. From the front is the photograph's side."""


@dataclass(frozen=True, slots=True)
class Viewpoint:
    """A camera without roll in the world frame (x right, y away, z up).

    Attributes
    ----------
    azimuth : float
        Degrees; 0 looks along +y, 90 stands on the side of +x.
    elevation : float
        Degrees above the ground, -90..90.
    target : (x, y, z)
        What is in the middle of the view.
    height : float
        What the view spans at the target, from its lower to its upper edge.
    angle : float
        Vertical angle in degrees; 0 is a parallel view.
    """

    azimuth: float = 0.0
    elevation: float = 0.0
    target: Vector = (0.0, 0.0, 0.0)
    height: float = 1.0
    angle: float = ANGLE

    @property
    def axes(self) -> FloatArray:
        """Rows: to the right, up, forward."""
        a, e = np.radians((self.azimuth, self.elevation))
        right = np.array([np.cos(a), np.sin(a), 0.0])
        forward = np.array([-np.sin(a) * np.cos(e), np.cos(a) * np.cos(e), -np.sin(e)])
        return np.stack([right, np.cross(right, forward), forward])

    @property
    def distance(self) -> float:
        """From the eye to the target; of a parallel view, as if it had the usual angle."""
        return float(self.height / 2 / np.tan(np.radians(self.angle or ANGLE) / 2))

    @property
    def position(self) -> FloatArray:
        position: FloatArray = np.asarray(self.target) - self.distance * self.axes[2]
        return position

    def turned(self, azimuth: float, elevation: float, pivot: ArrayLike) -> Viewpoint:
        """Go around `pivot` by degrees; it keeps its place in the view."""
        turned = replace(
            self,
            azimuth=(self.azimuth + azimuth + 180) % 360 - 180,
            elevation=float(np.clip(self.elevation + elevation, -90, 90)),
        )
        middle = np.asarray(pivot, np.float64)
        away = self.axes @ (np.asarray(self.target) - middle)
        return replace(turned, target=_vector(middle + away @ turned.axes))

    def moved(self, across: float, up: float) -> Viewpoint:
        """Shift the view's middle by parts of the view's height."""
        right, upward, _ = self.axes
        return replace(
            self, target=_vector(np.asarray(self.target) + self.height * (across * right + up * upward))
        )

    def zoomed(self, factor: float, across: float = 0.0, up: float = 0.0) -> Viewpoint:
        """See `factor` times as much; what is `across`, `up` of the middle (in heights) stays there."""
        height = float(np.clip(self.height * factor, LEAST_HEIGHT, MOST_HEIGHT))
        kept = 1 - height / self.height
        return replace(self.moved(kept * across, kept * up), height=height)

    def fitted(self, points: ArrayLike, aspect: float) -> Viewpoint:
        """The same direction, with points (n, 3) filling a view `aspect` times as wide as high."""
        cloud = np.asarray(points, np.float64)
        middle = (cloud.min(0) + cloud.max(0)) / 2
        across, up, forward = self.axes @ (cloud - middle).T
        reach = np.maximum(np.abs(across) / aspect, np.abs(up)) * ROOM
        if not self.angle:
            height = 2 * float(reach.max())
        else:
            slope = np.tan(np.radians(self.angle) / 2)
            height = 2 * float((reach - slope * forward).max())
        return replace(self, target=_vector(middle), height=max(height, LEAST_HEIGHT))

    def around(self, points: ArrayLike, aspect: float) -> Viewpoint:
        """Far enough away that `points` stay in view all the way round their middle."""
        fits = [replace(self, azimuth=float(a)).fitted(points, aspect) for a in range(0, 360, 15)]
        return replace(max(fits, key=lambda one: one.height), azimuth=self.azimuth)


def preset(name: str, points: ArrayLike, aspect: float) -> Viewpoint:
    """One of `PRESETS`, so that all these points are seen."""
    azimuth, elevation = PRESETS[name]
    return Viewpoint(azimuth, elevation).fitted(points, aspect)


def from_photo(camera: Camera, depth: float, aspect: float) -> Viewpoint:
    """Where the photograph was taken from, with all of the picture in a view of this aspect.

    Parameters
    ----------
    camera : Camera
    depth : float
        Of what is looked at: the view is turned about this place.
    aspect : float
        Width of the view by its height.
    """
    wider = max(1.0, camera.aspect / aspect)
    if camera.kind == "parallel":
        return Viewpoint(target=(0.0, depth, 0.0), height=camera.extent * wider, angle=0.0)
    slope = np.tan(np.radians(camera.extent) / 2) * wider
    angle = float(np.degrees(2 * np.arctan(slope)))
    return Viewpoint(target=(0.0, depth, 0.0), height=float(2 * depth * slope), angle=angle)


def _vector(point: FloatArray) -> Vector:
    x, y, z = point.tolist()
    return x, y, z
