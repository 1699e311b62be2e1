"""The body's surface as Gaussian splats. Must not know files."""

from __future__ import annotations

import cv2
import numpy as np

from samdesk.recon.splat import Splats

from .cutout import Cutout
from .inflate import Body, bilinear
from .surface import Floats, Surface, sheet

FRONT_COUNT, BACK_COUNT = 40_000, 16_000
"""How many splats the two sides would have, were they flat."""
SPARSEST = 16
"""The part of its box that the object covers is taken to be no smaller than one in so many."""
FACING, STEEP = 0.45, 0.55
"""Cosines between surface and viewer: from the first on splats lie as the viewer sees them, up to the
second they sit on the mesh's vertices; between them both, so that there is no gap."""
WIDTH = 0.62
"""Sigma along the surface, by the distance to the next one."""
THICKNESS = 0.15
"""Sigma across the surface, by that along it."""
OPACITY = 0.97


def splats(cutout: Cutout, body: Body, vertices: Surface) -> Splats:
    """Cover front and back evenly as the viewer sees them, and the walls between from the vertices."""
    sides = [_side(cutout, body, front) for front in (True, False)]
    steep = np.abs(vertices.normals[:, 2]) < STEEP
    walls = Surface(vertices.places[steep], vertices.normals[steep])
    return Splats.concat([*sides, _covering(cutout, walls, WIDTH * body.cell, stretched=False)])


def _side(cutout: Cutout, body: Body, front: bool) -> Splats:
    left, top, right, bottom = cutout.box
    area = max(int(np.count_nonzero(cutout.mask)), (right - left) * (bottom - top) / SPARSEST)
    step = float(np.sqrt(area / (FRONT_COUNT if front else BACK_COUNT)))
    columns, rows = np.arange(left + step / 2, right, step), np.arange(top + step / 2, bottom, step)
    x, y = (places.ravel() for places in np.meshgrid(columns, rows))
    over = body.at((x - body.origin[0]) / body.cell, (y - body.origin[1]) / body.cell)[0] > 0
    surface = sheet(body, x[over], y[over], front)
    facing = np.abs(surface.normals[:, 2]) >= FACING
    chosen = Surface(surface.places[facing], surface.normals[facing])
    return _covering(cutout, chosen, WIDTH * step, stretched=True)


def _covering(cutout: Cutout, surface: Surface, sigma: float, stretched: bool) -> Splats:
    """Flat splats of one size, pulled out along the slope if they are spaced as the viewer sees them."""
    places, normals = surface.in_object(cutout)
    sigma_object = sigma / cutout.side
    scales = np.full(places.shape, sigma_object, np.float32)
    if stretched:
        scales[:, 1] /= np.abs(normals[:, 1])
    scales[:, 2] *= THICKNESS
    return Splats(
        places,
        scales,
        _turns(normals),
        _colors(cutout, surface, sigma),
        np.full(len(places), OPACITY, np.float32),
    )


def _turns(normals: Floats) -> Floats:
    """Quaternions that turn the own axes into: level in the picture, down the slope, the normal."""
    x, y, z = normals.T
    about_depth = np.arctan2(-x, -z) / 2
    tilt = np.arctan2(-y, -np.hypot(x, z)) / 2
    c, s = np.cos(about_depth), np.sin(about_depth)
    u, v = np.cos(tilt), np.sin(tilt)
    return np.stack((c * u, c * v, s * u, -s * v), -1)


def _colors(cutout: Cutout, surface: Surface, sigma: float) -> Floats:
    """Colours of the cutout under the places, averaged over what a splat covers; 0..1."""
    colors: Floats = cutout.colors.astype(np.float32) / np.float32(255)
    if sigma > 1:
        colors = np.asarray(cv2.GaussianBlur(colors, (0, 0), sigma / 2), np.float32)
    return np.clip(bilinear(colors, surface.places[:, 0] - 0.5, surface.places[:, 1] - 0.5), 0, 1)
