"""Candidates as clients want them: GeoJSON, QuPath's reply, COCO RLE, PNG, polygons.

Pure functions, for a lane where there are many shapes. Must not know requests.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from samdesk.domain.geometry import FloatArray, IntArray, Region, Shape, ShapeKind
from samdesk.domain.outline import repair, shape_to_mask
from samdesk.domain.prompts import Candidate
from samdesk.formats.geojson.geometry import geometry_of
from samdesk.sdk import clip_to_image

Member = dict[str, Any]
Size = tuple[int, int]
Parts = list[list[list[list[float]]]]
Strategy = Literal["best", "largest", "smallest", "merge", "all"]

CUT = 0.5
"""How much of both sides is taken off the corner of a rectangle that shall not be one."""


def pick(candidates: Sequence[Candidate], strategy: Strategy) -> list[Candidate]:
    """Of the candidates for one object, those that a client wants.

    Parameters
    ----------
    candidates : sequence of Candidate
    strategy : {"best", "largest", "smallest", "merge", "all"}
        By score or by area; "merge" makes one of all, with the best score, and "all" keeps them
        as they are.

    Returns
    -------
    list of Candidate
        None of them empty.
    """
    found = [one for one in candidates if not one.shape.is_empty]
    if strategy == "all" or not found:
        return found
    if strategy == "merge":
        merged = _merged(found)
        return [] if merged.shape.is_empty else [merged]
    wanted: Mapping[str, Callable[[Candidate], float]] = {
        "best": lambda one: one.score,
        "largest": lambda one: one.shape.area,
        "smallest": lambda one: -one.shape.area,
    }
    return [max(found, key=wanted[strategy])]


def _merged(candidates: Sequence[Candidate]) -> Candidate:
    best = max(candidates, key=lambda one: one.score)
    if len(candidates) == 1:
        return best
    areas = [repair(one.shape)[0].to_shapely() for one in candidates]
    return replace(
        best,
        shape=Shape.from_shapely(shapely.union_all(areas)),
        at_edge=any(one.at_edge for one in candidates),
    )


def qupath_features(
    candidates: Sequence[Candidate],
    model: str,
    size: Size,
    *,
    plane: tuple[int, int] | None = None,
    object_id: int | None = None,
) -> list[Member]:
    """What QuPath's SAM extension reads: annotations with their quality, none of which it would refuse.

    One that it refuses costs all the others of the reply. It would take an exact rectangle for a
    prompt when it is asked again, so such a one has a corner cut.

    Parameters
    ----------
    candidates : sequence of Candidate
        Image pixels; those of which nothing is left after rounding to 0.01 px are left out.
    model : str
        Told as "sam_model".
    size : (width, height)
        Of the image; what reaches beyond it is cut off.
    plane : (z, t), optional
        Of a frame.
    object_id : int, optional
        Which object of the request it is. QuPath makes a class of it where there is none, so only
        for frames, where it looks for it.

    Returns
    -------
    list of dict
        GeoJSON features of plain values, without nulls.
    """
    features = []
    for one in candidates:
        parts = polygons(clip_to_image(one.shape, size))
        if not parts:
            continue
        geometry = _geometry(_no_rectangle(parts))
        if plane is not None:
            z, t = plane
            geometry["plane"] = {"c": -1, "z": z, "t": t}
        properties: Member = {"objectType": "annotation", "label": "object", "quality": _score(one)}
        properties["sam_model"] = model
        if object_id is not None:
            properties["object_idx"] = object_id
        features.append({"type": "Feature", "geometry": geometry, "properties": properties})
    return features


def geojson(
    candidates: Sequence[Candidate], model: str, size: Size, *, prompts: Sequence[int] | None = None
) -> Member:
    """A FeatureCollection that QuPath and samdesk import.

    Parameters
    ----------
    candidates, model, size
        As in `qupath_features`.
    prompts : sequence of int, optional
        For each candidate the number of the prompt that it answers; told as "prompt".

    Returns
    -------
    dict
        Of plain values, without nulls.
    """
    features = []
    for number, one in enumerate(candidates):
        parts = polygons(clip_to_image(one.shape, size))
        if not parts:
            continue
        score = _score(one)
        properties: Member = {
            "objectType": "annotation",
            "measurements": {"Score": round(score, 4)},
            "score": score,
            "model": model,
            "at_edge": bool(one.at_edge),
        }
        if prompts is not None:
            properties["prompt"] = prompts[number]
        features.append({"type": "Feature", "geometry": _geometry(parts), "properties": properties})
    return {"type": "FeatureCollection", "features": features}


def polygons(shape: Shape) -> Parts:
    """A shape as the coordinates of a GeoJSON MultiPolygon: parts, rings, [x, y].

    The first ring of a part is its outline and the others are holes; every ring ends where it
    began; rounded to 0.01 px and valid. Empty when nothing is left.
    """
    geometry = geometry_of(shape) if shape.kind is ShapeKind.AREA else None
    if geometry is None:
        return []
    parts = geometry["coordinates"]
    if geometry["type"] == "Polygon":
        parts = [parts]
    return [[ring.tolist() for ring in part] for part in parts]


def _geometry(parts: Parts) -> Member:
    if len(parts) == 1:
        return {"type": "Polygon", "coordinates": parts[0]}
    return {"type": "MultiPolygon", "coordinates": parts}


def _no_rectangle(parts: Parts) -> Parts:
    """The same with a corner cut when it is an axis-aligned rectangle, whatever its vertices."""
    if len(parts) != 1 or len(parts[0]) != 1:
        return parts
    ring = np.array(parts[0][0])
    (x0, y0), (x1, y1) = low, high = ring.min(axis=0), ring.max(axis=0)
    on_side = (ring == low) | (ring == high)
    corners = np.unique(ring[on_side.all(axis=1)], axis=0)
    if not on_side.any(axis=1).all() or len(corners) != 4:
        return parts
    across, down = _cut(x1 - x0), _cut(y1 - y0)
    cut = np.array([(x0, y0), (x1, y0), (x1, y1 - down), (x1 - across, y1), (x0, y1), (x0, y0)]).round(2)
    again = (cut[1:] == cut[:-1]).all(axis=1)  # of a side of 0.01 px nothing is left
    return [[cut[np.append(True, ~again)].tolist()]]


def _cut(side: float) -> float:
    """How much of a side is taken off: half of one that is short, on the grid of 0.01 px."""
    return min(CUT, max(0.01, math.floor(side * 50) / 100))


def _score(candidate: Candidate) -> float:
    score = float(candidate.score)
    return score if math.isfinite(score) else 0.0


def mask_of(shape: Shape, size: Size) -> NDArray[np.bool_]:
    """The pixels of an image of (width, height) whose centers a shape covers: (height, width) bool."""
    return shape_to_mask(shape, Region(0, 0, *size))


def png(shape: Shape, size: Size) -> bytes:
    """The mask of a shape on an image of (width, height) as a PNG file: 8 bits, 255 inside and 0 outside."""
    return png_file(mask_of(shape, size).view(np.uint8) * np.uint8(255))


def png_file(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG file of pixels, (h, w) gray or (h, w, 3) BGR uint8."""
    made, data = cv2.imencode(".png", pixels)
    assert made
    return bytes(data.data)


def coco_rle(shape: Shape, size: Size) -> Member:
    """The mask of a shape on an image of (width, height) as COCO's compressed run lengths.

    Returns
    -------
    dict
        "size": [height, width]; "counts": text, as pycocotools writes and reads it.
    """
    width, height = size
    return {"size": [height, width], "counts": _compressed(_run_lengths(shape, size))}


def coco_rle_uncompressed(shape: Shape, size: Size) -> Member:
    """As `coco_rle`, but "counts" is a list of int: pixels outside, inside, outside, ... column by column."""
    width, height = size
    return {"size": [height, width], "counts": _run_lengths(shape, size).tolist()}


def _run_lengths(shape: Shape, size: Size) -> IntArray:
    """Lengths of the runs of 0 and 1 in turn, the first of 0, down one column after the other."""
    width, height = size
    changes = _changes(shape, size)
    changes = changes[changes < width * height]
    return np.diff(np.concatenate(([0], changes, [width * height]))).astype(np.int64)


def _changes(shape: Shape, size: Size) -> IntArray:
    """Where the mask changes, as ascending indices in column order; the number of pixels may be the last."""
    height = size[1]
    box = _whole(shape, size)
    if box is None:
        return np.empty(0, np.int64)
    left, top, right, bottom = box
    inside = mask_of(shape, size)[top:bottom, left:right]
    columns = np.zeros((right - left, bottom - top + 2), np.bool_)
    columns[:, 1:-1] = inside.T
    column, row = np.nonzero(columns[:, 1:] != columns[:, :-1])
    # a run to the end of a column may go on at the start of the next one: that is no change
    at, times = np.unique((column + left) * height + row + top, return_counts=True)
    once: IntArray = at[times == 1]
    return once


def _whole(shape: Shape, size: Size) -> tuple[int, int, int, int] | None:
    """The pixels that the shape meets as (left, top, right, bottom); None when there are none."""
    if shape.is_empty:
        return None
    corners: FloatArray = np.array(shape.bounds).reshape(2, 2)
    left, top = np.clip(np.floor(corners[0]), 0, size).astype(int)
    right, bottom = np.clip(np.ceil(corners[1]), 0, size).astype(int)
    return (int(left), int(top), int(right), int(bottom)) if right > left and bottom > top else None


def _compressed(counts: IntArray) -> str:
    """Run lengths as text: differences to the count two before, 5 bits per character, lowest first.

    Bit 5 of a character says that another follows, and its bit 4 is the sign where none does.

    Source of the format: https://github.com/cocodataset/cocoapi (rleToString)
    """
    left = counts.copy()
    left[3:] -= counts[1:-2]
    columns: list[NDArray[np.int64]] = []
    going = np.ones(len(left), np.bool_)
    written: list[NDArray[np.bool_]] = []
    while going.any():
        digit = left & 31
        left = left >> 5
        more = np.where(digit & 16, left != -1, left != 0)
        columns.append((digit | more << 5) + 48)
        written.append(going)
        going = going & more
    text = np.stack(columns, axis=1)[np.stack(written, axis=1)]
    return text.astype(np.uint8).tobytes().decode("ascii")
