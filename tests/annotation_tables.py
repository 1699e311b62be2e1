"""Tables and annotations for tests: bulk ones made by numpy, small ones drawn by hypothesis."""

from __future__ import annotations

import uuid
from typing import Any

import numpy as np
from hypothesis import strategies as st

from samdesk.domain.columns import OBJECT_TYPES, Annotation, AnnotationClass, Attributes, Table
from samdesk.domain.geometry import GRID, Plane, Shape, ShapeKind


def star_coords(n: int, vertices: int = 30, side: float = 40_000.0, seed: int = 0) -> np.ndarray:
    """Star-shaped outlines about 22 px wide, all over a square; (n * vertices, 2) int32 grid steps."""
    rng = np.random.default_rng(seed)
    angle = 2 * np.pi * (np.arange(vertices) + rng.uniform(0, 0.8, (n, vertices))) / vertices
    radius = rng.uniform(8, 14, (n, 1)) * rng.uniform(0.8, 1.0, (n, vertices))
    middle = rng.uniform(0, side, (n, 1, 2))
    outline = middle + radius[..., None] * np.stack((np.cos(angle), np.sin(angle)), axis=-1)
    return np.rint(outline * GRID).astype(np.int32).reshape(-1, 2)


def star_table(n: int, vertices: int = 30, side: float = 40_000.0, seed: int = 0, **columns: Any) -> Table:
    coords = star_coords(n, vertices, side, seed)
    return Table.from_arrays(coords, np.arange(n + 1) * vertices, **columns)


def content(table: Table) -> tuple[Any, ...]:
    """All that a table says, byte for byte, however it is stored."""
    columns = (table.ids, table.order, table.class_id, table.object_type, table.flags, table.kind)
    places = (table.z, table.t, table.bounds, table.coords)
    offsets = (table.row_parts, table.part_rings, table.ring_coords)
    return (
        tuple(array.tobytes() for array in (*columns, *places)),
        tuple(array.astype(np.int64).tobytes() for array in offsets),
        table.classes,
        dict(table.attributes),
    )


steps = st.integers(-40 * GRID, 40 * GRID)


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    """Valid shapes on the grid: areas with holes and parts, lines, points."""
    x, y = draw(steps) / GRID, draw(steps) / GRID
    kind = draw(st.sampled_from(list(ShapeKind)))
    if kind is ShapeKind.POINTS:
        return Shape.points(
            draw(st.lists(st.tuples(steps, steps), min_size=1, max_size=4)) / np.float64(GRID)
        )
    if kind is ShapeKind.LINES:
        ends = draw(st.lists(st.tuples(steps, steps), min_size=2, max_size=4, unique=True))
        line = np.array(ends) / GRID
        return Shape.from_parts([[line]] * draw(st.integers(1, 2)), kind)
    parts = []
    for k in range(draw(st.integers(1, 2))):
        left, size = x + 50 * k, draw(st.integers(2, 40))
        shell = [(left, y), (left + size, y), (left + size, y + size), (left, y + size)]
        inner = [(left + 0.5, y + 0.5), (left + 1, y + 0.5), (left + 0.5, y + 1)]
        parts.append([shell, inner] if draw(st.booleans()) else [shell])
    return Shape.from_parts(parts)


texts = st.sampled_from(["", "a", "β \u2028 \"'"])


def annotations(names: tuple[str | None, ...] = (None, "Tumor", "Stroma", "Mitosis")) -> Any:
    return st.builds(
        Annotation,
        shapes(),
        id=st.builds(uuid.UUID, int=st.integers(0, 2**128 - 1)),
        class_name=st.sampled_from(names),
        name=texts,
        plane=st.builds(Plane, st.integers(0, 2), st.integers(0, 2)),
        object_type=st.sampled_from(OBJECT_TYPES),
        locked=st.booleans(),
        color=st.sampled_from([None, (1, 2, 3)]),
        measurements=st.sampled_from([{}, {"Area µm^2": 1.5}, {"nothing": float("inf")}]),
        metadata=st.sampled_from([{}, {"note": "x"}]),
        provenance=st.sampled_from([{}, {"engine": "classical", "points": [[1, 2, 1]]}]),
        extra=st.sampled_from([{}, {"properties": {"quality": 0.5}}]),
    )


CLASSES = (AnnotationClass("Tumor", (200, 0, 0)), AnnotationClass("Stroma", (150, 200, 150)))
NAMED = Attributes(name="named")
