"""From a picture and a mask to mesh, splats and pose. Must not know files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samdesk.recon.mesh import Mesh
from samdesk.recon.pose import CAMERA_TO_WORLD, FACING, Camera, Pose
from samdesk.recon.splat import Splats

from .cutout import Cutout, cut_out
from .gaussians import splats
from .inflate import inflate
from .surface import textured, triangles


@dataclass(frozen=True, slots=True, eq=False)
class Relief:
    """What came of a mask, in the object frame: x right, z up in the picture, y away from the viewer.

    Attributes
    ----------
    mesh : Mesh
        Closed, with the picture as texture.
    splats : Splats
    pose : Pose
        All objects of a picture share its frame: the picture is 1 high and stands at depth 0,
        its middle in the origin.
    camera : Camera
    """

    mesh: Mesh
    splats: Splats
    pose: Pose
    camera: Camera


def relief(
    pixels: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    stage: Callable[[str, int, int], None] = lambda name, i, n: None,
) -> Relief:
    """Blow up the object under a mask. The same input gives the same object.

    Parameters
    ----------
    pixels : ndarray, (h, w, 3) uint8
        RGB.
    mask : ndarray, (h, w) bool
    stage : callable, optional
        Told the steps of each stage (depth, shape, splat, mesh), as `Report.stage`; may raise.

    Raises
    ------
    EngineError
        When the mask is empty or not of the picture's size.
    """
    stage("depth", 0, 2)
    cutout = cut_out(pixels, mask)
    stage("depth", 1, 2)
    body = inflate(cutout)
    stage("shape", 0, 1)
    surface, faces = triangles(body)
    stage("splat", 0, 1)
    points = splats(cutout, body, surface)
    stage("mesh", 0, 1)
    mesh = textured(cutout, surface, faces)
    stage("mesh", 1, 1)
    height, width = mask.shape
    return Relief(mesh, points, _pose(cutout, width, height), Camera("parallel", 1.0, width / height))


def _pose(cutout: Cutout, width: int, height: int) -> Pose:
    x, y = (corner + cutout.downsample * c for corner, c in zip(cutout.corner, cutout.center, strict=True))
    world = np.array(((x - width / 2) / height, 0.0, (height / 2 - y) / height))
    x, y, z = (float(v) for v in CAMERA_TO_WORLD @ world)  # its own inverse
    return Pose(FACING, (x, y, z), cutout.side * cutout.downsample / height)
