"""Splats drawn by NumPy alone: elliptical weighted averaging, one splat after the other from the back.

Slow and plain, to judge the viewer by. Knows nothing of VTK.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samdesk.recon.pose import quaternion_matrix
from samdesk.recon.splat import Splats

LOW_PASS_PX2 = 0.3
REACH = 3.0


@dataclass(frozen=True)
class PinHole:
    """Where a camera stands (world frame), what it looks at, and how much it sees.

    Attributes
    ----------
    angle : float
        Vertical, in degrees; 0 is a parallel view.
    height : float
        Of a parallel view, in world units.
    """

    position: tuple[float, float, float]
    focal: tuple[float, float, float]
    up: tuple[float, float, float]
    angle: float = 30.0
    height: float = 1.0

    def axes(self) -> NDArray[np.float64]:
        """Rows: right, up, forward."""
        forward = np.subtract(self.focal, self.position)
        forward = forward / np.linalg.norm(forward)
        right = np.cross(forward, self.up)
        right = right / np.linalg.norm(right)
        return np.stack([right, np.cross(right, forward), forward])


def draw(
    splats: Splats, eye: PinHole, width: int, height: int, background: tuple[float, float, float]
) -> NDArray[np.float64]:
    """The picture, (height, width, 3) in 0..1."""
    axes = eye.axes()
    seen = (splats.means.astype(np.float64) - eye.position) @ axes.T
    pixels, jacobian = _project(seen, eye, width, height)
    spread = quaternion_matrix(splats.rotations) * splats.scales[:, None, :].astype(np.float64)
    flat = jacobian @ (axes @ spread)
    covariance = flat @ flat.transpose(0, 2, 1) + LOW_PASS_PX2 * np.eye(2)
    inverse = np.linalg.inv(covariance)
    reach = REACH * np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    low = np.maximum(np.ceil(pixels - reach - 0.5), 0).astype(int)
    high = np.minimum(np.floor(pixels + reach - 0.5) + 1, (width, height)).astype(int)
    picture = np.tile(np.asarray(background, np.float64), (height, width, 1))
    for k in np.argsort(-seen[:, 2], kind="stable"):
        (x0, y0), (x1, y1) = low[k], high[k]
        if x0 >= x1 or y0 >= y1:
            continue
        dx = np.arange(x0, x1) + 0.5 - pixels[k, 0]
        dy = (np.arange(y0, y1) + 0.5 - pixels[k, 1])[:, None]
        (a, b), (_, c) = inverse[k]
        square = a * dx * dx + 2 * b * dx * dy + c * dy * dy
        alpha = (splats.opacities[k] * np.exp(-0.5 * square))[..., None]
        part = picture[y0:y1, x0:x1]
        part += alpha * (np.clip(splats.colors[k], 0, 1) - part)
    return picture


def _project(
    seen: NDArray[np.float64], eye: PinHole, width: int, height: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pixels (y down), and the derivative (n, 2, 3) of pixels by the camera's right, up, forward."""
    x, y, z = seen.T
    jacobian = np.zeros((len(seen), 2, 3))
    if eye.angle:
        focal = height / 2 / np.tan(np.radians(eye.angle) / 2)
        pixels = np.column_stack([width / 2 + focal * x / z, height / 2 - focal * y / z])
        jacobian[:, 0, 0], jacobian[:, 0, 2] = focal / z, -focal * x / z**2
        jacobian[:, 1, 1], jacobian[:, 1, 2] = -focal / z, focal * y / z**2
    else:
        scale = height / eye.height
        pixels = np.column_stack([width / 2 + scale * x, height / 2 - scale * y])
        jacobian[:, 0, 0], jacobian[:, 1, 1] = scale, -scale
    return pixels, jacobian


def psnr(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Peak signal to noise in dB, of pictures in 0..1."""
    return float(-10 * np.log10(np.mean((one - other) ** 2)))
