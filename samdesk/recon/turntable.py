"""Pictures of an object that turns, drawn with NumPy alone: for the command line and the server.

The surface is strewn with points; the nearest one of a pixel wins, and pixels between points take the
nearest one beside them. Must not know windows; needs no graphics card.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from samdesk.domain.errors import SamdeskError
from samdesk.domain.tasks import Task
from samdesk.formats.atomic import replacing

from .mesh.paint import PLAIN, sample
from .mesh.value import Mesh
from .pose import quaternion_matrix
from .splat import Splats

Picture = NDArray[np.uint8]
Floats = NDArray[np.float32]

_FINE = 2  # pixels drawn along a pixel shown
_SPACING = 1.6  # of points in drawn pixels: no block of 3 x 3 is without one, and smaller gaps are closed
_BLOCK = np.ones((3, 3), np.uint8)
_MARGIN = 0.04
_ELEVATION = np.radians(14)
_LIGHT = np.array([-0.45, -0.75, 0.5], np.float32) / np.float32(np.hypot(np.hypot(0.45, 0.75), 0.5))
_SHADE, _SHINE = 0.5, 0.62  # at the terminator, and what is added towards the light
_CREASE = 0.8  # cosine between a triangle and its corners from which on it is drawn flat
_MOST_SPLATS = 300_000
_WIDE = 1.8  # standard deviations of a splat that are drawn
_FAINT = 0.2  # opacity below which a splat is not drawn
_MOST_POINTS = 400_000  # more are thinned
_DENSEST = 3_000_000  # for more the spacing is widened: coarse, but not out of memory
_THINNED = 0.6  # side of a cell that keeps one point, as a part of the spacing


@dataclass(frozen=True, slots=True, eq=False)
class _Points:
    """A surface as points, around the axis of the turn; `normals` are None for what has its own light."""

    places: Floats
    colors: Picture
    normals: Floats | None
    radius: float
    height: float
    fits: bool


def turntable(
    obj: Mesh | Splats,
    side: int = 320,
    frames: int = 36,
    background: tuple[int, int, int] = (255, 255, 255),
    task: Task | None = None,
) -> Iterator[Picture]:
    """Draw one turn about the z axis, from the photograph's view (along +y) on, seen a little from above.

    Parameters
    ----------
    obj : Mesh or Splats
        With z up.
    side : int
        Of each picture in pixels.
    frames : int
        Pictures of the whole turn.
    background : tuple of int
        RGB.

    Yields
    ------
    ndarray, (side, side, 3) uint8

    Raises
    ------
    SamdeskError
        When there is nothing to draw.
    """
    task = task or Task()
    points = _points_of(obj, side)
    behind = np.array(background, np.uint8)
    for number in range(frames):
        task.progress(number / frames, "Turning the object")
        yield _frame(points, 2 * np.pi * number / frames, side, behind)


def write_gif(path: Path, frames: Iterable[Picture], fps: float = 20, comment: str = "") -> None:
    """Write pictures as a GIF that plays again and again, whole or not at all.

    All pictures have one palette, so that nothing flickers.

    Raises
    ------
    SamdeskError
        When it cannot be written, or there are no pictures.
    """
    from PIL import Image

    pictures = list(frames)
    if not pictures:
        raise SamdeskError(f"{path} cannot be written: there are no pictures.")
    few = list(islice(pictures, 0, None, max(1, len(pictures) // 6)))
    palette = Image.fromarray(np.concatenate(few)).quantize(256, Image.Quantize.MEDIANCUT)
    # the background as it is: Pillow looks colours up in steps of 4, and would find what is like it
    colors = np.array(palette.getpalette(), np.int64).reshape(-1, 3)
    corner = pictures[0][0, 0]
    off = np.abs(colors - corner).max(axis=1)
    colors[off <= max(4, off.min())] = corner
    palette.putpalette(colors.ravel().tolist())
    indexed = [Image.fromarray(picture).quantize(palette=palette) for picture in pictures]
    note = " ".join(comment.split()).encode("utf-8")[:250]
    with replacing(path) as fresh:
        indexed[0].save(
            fresh,
            "GIF",
            save_all=True,
            append_images=indexed[1:],
            duration=max(20, round(100 / fps) * 10),  # the format counts in hundredths
            loop=0,
            optimize=False,
            **({"comment": note} if note else {}),
        )


def _points_of(obj: Mesh | Splats, side: int) -> _Points:
    is_mesh = isinstance(obj, Mesh)
    mesh = obj if isinstance(obj, Mesh) else _cards(obj)
    lost = np.flatnonzero(~np.isfinite(mesh.vertices).all(axis=1))
    mesh = replace(mesh, faces=mesh.faces[~np.isin(mesh.faces, lost).any(axis=1)])
    if not len(mesh.faces):
        raise SamdeskError("There is nothing to draw: the object is empty.")
    corners = mesh.vertices[np.unique(mesh.faces)]
    # a few splats float far away
    low, high = np.quantile(corners, (0, 1) if is_mesh else (0.005, 0.995), axis=0).astype(np.float32)
    center = (low + high) / 2
    radius = float(np.quantile(np.hypot(*(corners - center)[:, :2].T), 1 if is_mesh else 0.995))
    frame = _Points(mesh.vertices - center, _NONE, None, radius, float(high[2] - low[2]), is_mesh)
    return _strewn(mesh, frame, _SPACING / _scale(frame, side), shaded=is_mesh)


_NONE = np.empty((0, 3), np.uint8)


def _cards(splats: Splats) -> Mesh:
    """Each splat as a flat diamond along its two long axes."""
    solid = splats.opacities > _FAINT
    if solid.any():
        splats = splats.subset(solid)
    every = -(-len(splats) // _MOST_SPLATS) or 1
    splats = splats.subset(slice(None, None, every))
    axes = quaternion_matrix(splats.rotations).astype(np.float32).transpose(0, 2, 1)
    order = np.argsort(splats.scales, axis=1)[:, ::-1]
    low, high = splats.bounds() if len(splats) < 100 else np.quantile(splats.means, (0.005, 0.995), axis=0)
    widest = float(np.max(high - low)) / 8 or np.inf
    reach = np.minimum((_WIDE * every**0.5) * np.take_along_axis(splats.scales, order, 1), widest)
    long, wide = (
        np.take_along_axis(axes, order[:, k, None, None], 1)[:, 0] * reach[:, k, None] for k in range(2)
    )
    corners = np.stack((long, wide, -long, -wide), 1) + splats.means[:, None]
    first = 4 * np.arange(len(splats), dtype=np.int32)[:, None]
    halves = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    faces = np.concatenate((first + halves[0], first + halves[1]))
    colors = np.rint(255 * np.clip(splats.colors, 0, 1)).astype(np.uint8)
    return Mesh(corners.reshape(-1, 3), faces, colors=np.repeat(colors, 4, axis=0))


def _strewn(mesh: Mesh, frame: _Points, spacing: float, shaded: bool) -> _Points:
    """Points on all triangles, not further from each other than `spacing`."""
    corners, weights = _lattice(frame.places, mesh.faces, spacing)
    places = _blend(frame.places, corners, weights)
    if len(places) > _MOST_POINTS:
        keep = _thinned(places, _THINNED * spacing)
        places, corners, weights = places[keep], corners[keep], weights[keep]
    if mesh.texture is not None and mesh.uv is not None:
        colors = sample(mesh.texture, _blend(mesh.uv, corners, weights))
    elif mesh.colors is not None:
        colors = np.rint(_blend(mesh.colors, corners, weights)).astype(np.uint8)
    else:
        colors = np.broadcast_to(np.array(PLAIN, np.uint8), places.shape)
    normals = _normals(mesh, corners, weights) if shaded else None
    return _Points(places, colors, normals, frame.radius, frame.height, frame.fits)


def _normals(mesh: Mesh, corners: NDArray[np.int32], weights: Floats) -> Floats:
    """As the mesh tells; where it does not, smooth but for edges as sharp as a box has."""
    smooth = mesh.with_normals().normals
    assert smooth is not None
    normals = _blend(smooth, corners, weights)
    if mesh.normals is not None:
        return normals
    a, b, c = (mesh.vertices[corners[:, k]] for k in range(3))
    flat = np.cross(b - a, c - a)
    flat /= np.maximum(np.linalg.norm(flat, axis=1), 1e-20)[:, None]
    least = np.min([np.einsum("ij,ij->i", smooth[corners[:, k]], flat) for k in range(3)], axis=0)
    # corners of the mesh lie on no triangle of their own
    sharp = (least < _CREASE) & flat.any(axis=1)
    return np.where(sharp[:, None], flat, normals)


def _blend(values: Floats | Picture, corners: NDArray[np.int32], weights: Floats) -> Floats:
    mixed: Floats = weights[:, :1] * values[corners[:, 0]]
    for corner in (1, 2):
        mixed += weights[:, corner, None] * values[corners[:, corner]]
    return mixed


def _lattice(places: Floats, faces: NDArray[np.int32], spacing: float) -> tuple[NDArray[np.int32], Floats]:
    """Points that cover all triangles, as corners (k, 3) and their weights (k, 3).

    All corners, and on each triangle that has an edge longer than `spacing` columns across its
    longest edge, each with as many points as the height there wants.
    """
    edges = places[np.roll(faces, -1, 1)] - places[faces]
    lengths = np.linalg.norm(edges, axis=2)
    spacing = max(spacing, _affordable(edges, lengths, spacing))
    large = np.flatnonzero(lengths.max(1) > spacing)
    first = lengths[large].argmax(1)
    order = (first[:, None] + np.arange(3)) % 3  # the longest edge, then the apex
    corners = np.take_along_axis(faces[large], order, 1)
    edge, back = edges[large, first], -edges[large, order[:, 2]]
    base = lengths[large, first]
    foot = np.einsum("ij,ij->i", edge, back) / base**2  # of the height, as a part of the base
    height = np.sqrt(np.maximum(np.einsum("ij,ij->i", back, back) - (foot * base) ** 2, 0))
    columns = np.ceil(base / spacing).astype(np.int64)
    owner, column = _numbered(columns)
    along = (column + 0.5) / columns[owner]
    rise = np.minimum(along / np.maximum(foot[owner], 1e-6), (1 - along) / np.maximum(1 - foot[owner], 1e-6))
    rows = np.ceil(rise * height[owner] / spacing).astype(np.int64).clip(1)
    stack, row = _numbered(rows)
    up = rise[stack] * (row + 0.5) / rows[stack]
    across = along[stack] - up * foot[owner[stack]]
    used = np.unique(faces)
    corners = np.concatenate((np.repeat(used[:, None], 3, 1), corners[owner[stack]]))
    alone = np.broadcast_to(np.array([1, 0, 0]), (len(used), 3))
    weights = np.concatenate((alone, np.stack((1 - across - up, across, up), 1)))
    return corners, weights.astype(np.float32)


def _affordable(edges: Floats, lengths: Floats, spacing: float) -> float:
    """The spacing that no more points than memory can take need."""
    areas = np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1) / 2
    needed = (
        float(areas.sum(dtype=np.float64)) / spacing**2
        + float(lengths.max(1).sum(dtype=np.float64)) / spacing
    )
    return spacing * max(1.0, needed / _DENSEST)


def _numbered(counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For ``counts[i]`` things of each i: its i, and 0, 1, ... within it."""
    owner = np.repeat(np.arange(len(counts)), counts)
    return owner, np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)


def _thinned(places: Floats, cell: float) -> NDArray[np.intp]:
    """One point of each cell of a grid."""
    cells = np.floor((places - places.min(0)) / cell).astype(np.int64)
    keys = (cells[:, 0] << 42) | (cells[:, 1] << 21) | cells[:, 2]
    return np.unique(keys, return_index=True)[1]


def _scale(points: _Points, side: int) -> float:
    """Drawn pixels for a unit of length, so that the whole turn is in the picture."""
    wide = 2 * points.radius
    high = points.height * np.cos(_ELEVATION) + wide * np.sin(_ELEVATION)
    return float(side * _FINE * (1 - 2 * _MARGIN) / max(wide, high, 1e-12))


def _frame(points: _Points, angle: float, side: int, behind: NDArray[np.uint8]) -> Picture:
    size = side * _FINE
    view = _view(angle)
    seen = points.places @ (view.T * np.float32(_scale(points, side)))
    x = (seen[:, 0] + size / 2).astype(np.int32)
    y = (size / 2 - seen[:, 2]).astype(np.int32)
    order = _far_to_near(seen[:, 1])
    pixel = (y * np.int32(size) + x)[order]
    if not points.fits:
        inside = (x >= 0) & (x < size) & (y >= 0) & (y < size)
        order, pixel = order[inside[order]], pixel[inside[order]]
    rank = np.zeros((size, size), np.float32)
    # of several values for a pixel the last one stays; whole numbers are exact up to 2**24
    rank.ravel()[pixel] = np.arange(1, len(pixel) + 1, dtype=np.float32)
    nearest = cv2.morphologyEx(rank, cv2.MORPH_CLOSE, _BLOCK).astype(np.int32).ravel()
    drawn = np.flatnonzero(nearest)
    picture = np.empty((size * size, 3), np.float32)
    picture[:] = behind
    picture[drawn] = _lit(points, order[nearest[drawn] - 1], view)
    shown = cv2.resize(picture.reshape(size, size, 3), (side, side), interpolation=cv2.INTER_AREA)
    frame: Picture = np.rint(shown).astype(np.uint8)
    return frame


def _view(angle: float) -> Floats:
    """Turns the object's frame into right, away and up as seen."""
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    c, s = np.cos(_ELEVATION), np.sin(_ELEVATION)
    nod = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    view: Floats = (nod @ turn).astype(np.float32)
    return view


def _far_to_near(depth: Floats) -> NDArray[np.intp]:
    low, high = float(depth.min()), float(depth.max())
    steps = (65535 / max(high - low, 1e-12)) * (high - depth)
    return np.argsort(steps.astype(np.uint16), kind="stable")  # 16 bits are sorted by counting


def _lit(points: _Points, rows: NDArray[np.intp], view: Floats) -> Floats:
    colors = points.colors[rows].astype(np.float32)
    if points.normals is None:
        return colors
    normals = points.normals[rows] @ view.T
    # an inner side is lit as an outer one
    normals *= np.where(normals[:, 1:2] > 0, np.float32(-1), np.float32(1))
    lengths = np.sqrt(np.einsum("ij,ij->i", normals, normals))
    facing = (normals @ _LIGHT) / np.where(lengths > 0, lengths, np.float32(1))
    bright = _SHADE + _SHINE * np.clip(facing, 0, 1)
    lit: Floats = np.minimum(colors * bright[:, None], 255)
    return lit
