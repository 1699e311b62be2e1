"""The body's surface as a closed mesh with the picture on it. Must not know files."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.measure import marching_cubes

from samdesk.recon.mesh import Mesh

from .cutout import Cutout, Picture
from .inflate import BACK, FRONT, Body, Numbers

Floats = NDArray[np.float32]

CLEAR = 0.02
"""No node is nearer to the surface than this many cells, so that no two vertices fall together."""
TEXTURE = 256
"""Pixels that the longest side of a texture should have."""
ROUNDS = 2
"""Newton steps that carry the vertices from the lattice's straight lines onto the surface."""


@dataclass(frozen=True, slots=True, eq=False)
class Surface:
    """Places on the body with their directions outwards.

    Attributes
    ----------
    places : ndarray, (n, 3) float32
        x right, y down in pixels of the cutout; z towards the viewer from the outline's plane.
    normals : ndarray, (n, 3) float32
        Of the same axes, unit.
    """

    places: Floats
    normals: Floats

    def in_object(self, cutout: Cutout) -> tuple[Floats, Floats]:
        """Places and normals in the object frame, where the longest side of the box spans 1."""
        x, y = cutout.center
        places = (self.places - np.array((x, y, 0), np.float32)) / np.float32(cutout.side)
        return _turned(places), _turned(self.normals)


def triangles(body: Body) -> tuple[Surface, NDArray[np.int32]]:
    """The closed surface: its vertices, and the three of each face, counter-clockwise from outside."""
    high = np.sqrt(body.square.max())
    z = np.arange(-np.ceil(BACK * high) - 1, np.ceil(FRONT * high) + 2, dtype=np.float32)
    steep = np.where(z > 0, 1 / FRONT**2, 1 / BACK**2).astype(np.float32)
    volume = body.square[None] - (steep * z * z)[:, None, None]
    least = CLEAR * np.maximum(1, 2 * np.abs(z) * steep)[:, None, None]
    unclear = np.abs(volume) < least
    volume[unclear] = np.copysign(np.broadcast_to(least, volume.shape)[unclear], volume[unclear])
    found, faces, _, _ = marching_cubes(volume, 0.0, gradient_direction="ascent")
    vertices = found[:, ::-1] + np.array((0, 0, z[0]), np.float32)
    for _ in range(ROUNDS):
        value, slope = _implicit(body, vertices)
        move = (value / np.maximum(1e-6, np.einsum("ij,ij->i", slope, slope)))[:, None] * slope
        length = np.linalg.norm(move, axis=1, keepdims=True)
        vertices = vertices - move * np.minimum(1, 0.5 / np.maximum(length, 1e-6))
    return _surface(body, vertices), np.ascontiguousarray(faces, np.int32)


def sheet(body: Body, x: Numbers, y: Numbers, front: bool) -> Surface:
    """The places of one side over places (n,) in pixels of the cutout, all inside the outline."""
    x, y = (x - body.origin[0]) / body.cell, (y - body.origin[1]) / body.cell
    square = body.at(x, y)[0]
    z = np.sqrt(np.maximum(square, 0)) * (FRONT if front else -BACK)
    return _surface(body, np.stack((x, y, z), -1).astype(np.float32))


def textured(cutout: Cutout, surface: Surface, faces: NDArray[np.int32]) -> Mesh:
    """The mesh in the object frame; the back has the picture of the front, mirrored."""
    height, width = cutout.mask.shape
    places, normals = surface.in_object(cutout)
    uv = np.stack((surface.places[:, 0] / width, 1 - surface.places[:, 1] / height), -1)
    return Mesh(places, faces, normals, None, uv, _enlarged(cutout.colors))


def _enlarged(picture: Picture) -> Picture:
    """A small picture larger, for its pixels are not to be seen."""
    times = -(-TEXTURE // max(picture.shape))
    return np.asarray(cv2.resize(picture, None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC), np.uint8)


def _implicit(body: Body, vertices: Floats) -> tuple[Floats, Floats]:
    """How far inside, and the slope of that; cells squared, and per cell."""
    x, y, z = vertices.T
    square, right, down = body.at(x, y)
    steep = np.where(z > 0, 1 / FRONT**2, 1 / BACK**2)
    return square - steep * z * z, np.stack((right, down, -2 * steep * z), -1).astype(np.float32)


def _surface(body: Body, vertices: Floats) -> Surface:
    _, slope = _implicit(body, vertices)
    normals = -slope / np.maximum(1e-12, np.linalg.norm(slope, axis=1, keepdims=True))
    places = vertices * np.float32(body.cell) + np.array((*body.origin, 0), np.float32)
    return Surface(places.astype(np.float32), normals.astype(np.float32))


def _turned(vectors: Floats) -> Floats:
    """From picture axes (right, down, towards the viewer) to the object's (right, away, up)."""
    return np.stack((vectors[:, 0], -vectors[:, 2], -vectors[:, 1]), -1)
