"""Shapes made simpler, valid, or fit for a grid; how well two of them agree.

"Valid" is OGC Simple Features throughout, the rule by which QuPath takes or rejects a file.
Must not know masks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from samdesk.domain.geometry import GRID, FloatArray, Shape, ShapeKind, following

EXPORT_STEPS = 100
"""Steps per pixel in exported files (0.01 px)."""

SMALLEST_PART = 0.01
"""Area in px² below which a part is not exported."""

Keep = NDArray[np.bool_]

_FEWEST_VERTICES = {ShapeKind.AREA: 3, ShapeKind.LINES: 2, ShapeKind.POINTS: 1}


def simplify(shape: Shape, tolerance: float) -> Shape:
    """Drop vertices so that the outline moves by no more than `tolerance`.

    Douglas-Peucker with the topology kept: no part and no hole is lost, and the result is valid.

    Parameters
    ----------
    shape : Shape
        Points come back unchanged.
    tolerance : float
        In image pixels; 0 leaves the shape unchanged.

    Raises
    ------
    ValueError
        When the tolerance is negative or not finite.
    """
    if not 0 <= tolerance < np.inf:
        raise ValueError(f"tolerance must be a finite number >= 0, got {tolerance}")
    if tolerance == 0 or shape.kind is ShapeKind.POINTS:
        return shape
    shape = repair(shape)[0]
    if shape.is_empty:
        return shape
    if shape.kind is ShapeKind.LINES:
        return _of_kind(shape.kind, shapely.simplify(shape.to_shapely(), tolerance))
    # as closed lines: GEOS also drops the end of a ring, and then moves it by up to twice the tolerance
    coords, rings = shape.to_closed_rings()
    lines = shapely.from_ragged_array(shapely.GeometryType.LINESTRING, coords, (rings,))
    simple = shapely.get_parts(shapely.simplify(shapely.multilinestrings(lines), tolerance))
    _, coords, (rings,) = shapely.to_ragged_array(simple)
    return repair(Shape.from_closed_rings(coords, rings, shape.parts))[0]


def repair(shape: Shape) -> tuple[Shape, bool]:
    """Make a shape valid.

    Vertices that are not finite and rings with too few vertices are dropped. Then parts that
    overlap are merged, loops become parts, holes are cut out of the shells that they cross, and
    holes outside their shells become parts. What has no area (or, of lines, no length) is
    dropped, so the result may be empty.

    Returns
    -------
    shape : Shape
        `shape` itself when there was nothing to do.
    changed : bool
    """
    formed = _well_formed(shape)
    if formed.kind is not ShapeKind.POINTS and not formed.is_empty:
        geometry = formed.to_shapely()
        if not shapely.is_valid(geometry):
            return _of_kind(formed.kind, _made_valid(geometry)), True
    return formed, formed is not shape


def snap(shape: Shape) -> Shape:
    """Move the vertices to the document's grid of 1/`GRID` px.

    The result is valid, and empty when nothing is left on the grid; a valid shape that lies on
    the grid already is returned itself.
    """
    return _on_grid(shape, GRID)


def round_for_export(shape: Shape) -> Shape:
    """Round to 0.01 px such that the shape is valid after rounding, and drop parts below 0.01 px².

    Shells are wound counter-clockwise in (x, y) and holes clockwise (RFC 7946, 3.1.6). The
    result may be empty.
    """
    return _wound(without_fragments(_on_grid(shape, EXPORT_STEPS), SMALLEST_PART))


def fill_holes(shape: Shape) -> Shape:
    """Fill all holes; a part that lies in a hole disappears in what surrounds it."""
    if shape.kind is not ShapeKind.AREA:
        return shape
    shape = repair(shape)[0]
    shells = _take_rings(shape, _is_shell(shape))
    if shells is shape or len(shells.rings) == 2:
        return shells
    return _of_kind(ShapeKind.AREA, shapely.union_all(shapely.get_parts(shells.to_shapely())))


def iou(a: Shape, b: Shape) -> float:
    """Area of the intersection over the area of the union, in 0..1; 1 when neither has an area."""
    first, second = (_of_kind(ShapeKind.AREA, repair(shape)[0].to_shapely()).to_shapely() for shape in (a, b))
    common = shapely.intersection(first, second).area
    total = first.area + second.area - common
    return float(common / total) if total else 1.0


def without_fragments(shape: Shape, area: float, *, fill: bool = False) -> Shape:
    """Drop the parts smaller than `area` px²; with `fill`, fill the smaller holes first."""
    if shape.kind is not ShapeKind.AREA or shape.is_empty:
        return shape
    size = np.abs(_signed_areas(shape))
    shell = _is_shell(shape)
    keep = shell | (size >= area) if fill else np.ones(len(size), np.bool_)
    left = np.add.reduceat(np.where(shell, size, -size) * keep, shape.parts[:-1])
    return _take_rings(shape, keep & np.repeat(left >= area, np.diff(shape.parts)))


def without_repeats(shape: Shape) -> Shape:
    """Drop vertices equal to the next one in their ring."""
    return take_vertices(shape, _differs(shape))


def take_vertices(shape: Shape, keep: Keep) -> Shape:
    """The shape with some vertices only; rings may be left with too few (see `repair`)."""
    if keep.all():
        return shape
    kept = np.append(0, np.cumsum(keep))
    return Shape(shape.coords[keep], kept[shape.rings], shape.parts, shape.kind)


def _take_rings(shape: Shape, keep: Keep) -> Shape:
    """The shape with some rings only; parts left with none disappear."""
    if keep.all():
        return shape
    sizes = np.diff(shape.rings)
    kept = np.append(0, np.cumsum(keep))
    return Shape(
        shape.coords[np.repeat(keep, sizes)],
        np.append(0, np.cumsum(sizes[keep])),
        np.unique(kept[shape.parts]),
        shape.kind,
    )


def _differs(shape: Shape) -> Keep:
    """Whether each vertex differs from the next one in its ring."""
    differs: Keep = np.any(shape.coords != shape.coords[following(shape.rings)], axis=1)
    if shape.kind is ShapeKind.LINES:
        differs[shape.rings[1:] - 1] = True  # a closed line ends where it began
    return differs


def _is_shell(shape: Shape) -> Keep:
    shell = np.zeros(len(shape.rings) - 1, np.bool_)
    shell[shape.parts[:-1]] = True
    return shell


def _signed_areas(shape: Shape) -> FloatArray:
    """Area of every ring, positive where it runs counter-clockwise in (x, y); rings must not be empty."""
    # relative to the ring's first vertex: far from the origin the products would cost digits
    local = shape.coords - np.repeat(shape.coords[shape.rings[:-1]], np.diff(shape.rings), axis=0)
    (x0, y0), (x1, y1) = local.T, local[following(shape.rings)].T
    areas: FloatArray = np.add.reduceat(x0 * y1 - x1 * y0, shape.rings[:-1]) / 2
    return areas


def _wound(shape: Shape) -> Shape:
    """Shells counter-clockwise in (x, y), holes clockwise."""
    if shape.kind is not ShapeKind.AREA or shape.is_empty:
        return shape
    wrong = (_signed_areas(shape) > 0) != _is_shell(shape)
    if not wrong.any():
        return shape
    sizes = np.diff(shape.rings)
    index = np.arange(len(shape.coords))
    mirrored = np.repeat(shape.rings[:-1] + shape.rings[1:] - 1, sizes) - index
    return Shape(shape.coords[np.where(np.repeat(wrong, sizes), mirrored, index)], shape.rings, shape.parts)


def _well_formed(shape: Shape) -> Shape:
    """Finite vertices only, rings with enough of them, and no hole without its shell."""
    shape = take_vertices(shape, np.all(np.isfinite(shape.coords), axis=1))
    keep = np.diff(shape.rings) >= _FEWEST_VERTICES[shape.kind]
    if shape.kind is ShapeKind.AREA:
        distinct = np.append(0, np.cumsum(_differs(shape)))[shape.rings]
        keep &= np.diff(distinct) >= _FEWEST_VERTICES[shape.kind]
        keep &= keep[np.repeat(shape.parts[:-1], np.diff(shape.parts))]
    return _take_rings(shape, keep)


def _made_valid(geometry: Any) -> Any:
    try:
        valid = shapely.make_valid(geometry, method="structure", keep_collapsed=False)
        if shapely.is_valid(valid):
            return valid
    except shapely.errors.GEOSException:
        pass
    # GEOS fails where rings cross within the resolution of floats; its other method counts
    # overlaps even-odd, but only rebuilds rings from crossed lines and has not been seen to fail
    return shapely.make_valid(geometry, method="linework")


def _of_kind(kind: ShapeKind, geometry: Any) -> Shape:
    """The shape of those pieces of a geometry that have the dimension of `kind`."""
    shape = Shape.from_shapely(geometry)
    return _wound(shape) if shape.kind is kind else Shape.empty(kind)


def _on_grid(shape: Shape, steps: int) -> Shape:
    rounded = _rounded(shape, steps)
    if shape.kind is ShapeKind.POINTS:
        return repair(rounded)[0]
    fixed, changed = repair(without_repeats(rounded))
    if not changed:
        return shape if np.array_equal(fixed.coords, shape.coords) else fixed
    if shape.kind is ShapeKind.LINES:
        return fixed
    snapped = shapely.set_precision(repair(shape)[0].to_shapely(), 1 / steps, mode="valid_output")
    return _rounded(_of_kind(shape.kind, snapped), steps)


def _rounded(shape: Shape, steps: int) -> Shape:
    coords: FloatArray = np.round(shape.coords * steps) / steps
    return Shape(coords, shape.rings, shape.parts, shape.kind)
