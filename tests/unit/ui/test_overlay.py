"""Annotations as pixels: exact places, seams, colors, and what is left out."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterable

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from samdesk.domain.columns import Annotation, AnnotationClass, id_bytes
from samdesk.domain.document import Document, Snapshot
from samdesk.domain.geometry import Bounds, Plane, Shape, ShapeKind
from samdesk.domain.tasks import Cancelled, Task
from samdesk.ui.layers.overlay import cells_touched
from samdesk.ui.layers.overlaytiles import TILE, IdSet, Style, render_overlay_tile, tile_bounds
from samdesk.ui.layers.rings import Rings

SETTINGS = settings(deadline=None, max_examples=40)
CLASSES = (AnnotationClass("Tumor", (200, 0, 0)), AnnotationClass("Stroma", (150, 200, 150)))
NONE = IdSet()


def snapshot(*annotations: Annotation) -> Snapshot:
    document = Document(CLASSES)
    document.apply(document.adding(annotations))
    return document.snapshot()


def render(
    source: Snapshot,
    scale: float = 1.0,
    cell: tuple[int, int] = (0, 0),
    *,
    style: Style = Style(),
    skip: Iterable[uuid.UUID] = (),
    selected: Iterable[uuid.UUID] = (),
    dpr: float = 1.0,
    plane: Plane = Plane(),
) -> NDArray[np.uint8] | None:
    return render_overlay_tile(source, plane, style, IdSet(skip), IdSet(selected), dpr, scale, *cell, Task())


def drawn(tile: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    assert tile is not None
    return tile


def colors_in(tile: NDArray[np.uint8], *colors: tuple[int, int, int]) -> list[bool]:
    """Whether there are opaque pixels of these RGB colors."""
    solid = tile[tile[..., 3] > 250][:, 2::-1].astype(int)
    return [bool((np.abs(solid - color).max(axis=1) <= 3).any()) for color in colors]


@pytest.mark.parametrize(("dpr", "width"), [(1.0, 2.0), (1.5, 3.0), (2.0, 4.0)])
def test_the_outline_of_pixels_5_to_15_runs_along_their_edges(dpr: float, width: float) -> None:
    source = snapshot(Annotation(Shape.box(5, 5, 15, 15)))
    scale = 1 / (16 * dpr)
    alpha = drawn(render(source, scale, dpr=dpr))[..., 3] / 255
    zoom = round(16 * dpr)
    centers = np.arange(TILE) + 0.5
    for across in (alpha[10 * zoom], alpha[:, 10 * zoom]):
        for edge in (5 * zoom, 15 * zoom):
            near = slice(edge - zoom, edge + zoom)
            line = across[near]
            assert line.sum() == pytest.approx(width, abs=0.5)
            assert (line * centers[near]).sum() / line.sum() == pytest.approx(edge, abs=0.1)
            assert across[edge - 1] > 0.97
            assert across[edge] > 0.97


def test_tiles_join_without_a_seam() -> None:
    star = np.array([(300, 200), (700, 330), (900, 310), (640, 520), (720, 900), (500, 600), (210, 760)]) / 4
    away = TILE / 4 / 2

    def four(shape: Shape) -> NDArray[np.uint8]:
        source = snapshot(Annotation(shape))
        cells = [[render(source, 0.25, (x, y)) for x in (0, 1)] for y in (0, 1)]
        blank = np.zeros((TILE, TILE, 4), np.uint8)
        return np.block([[[blank if c is None else c] for c in row] for row in cells])

    here = four(Shape.polygon(star))
    shifted = four(Shape.polygon(star - away))
    half = TILE // 2
    apart = np.abs(here[half:, half:].astype(int) - shifted[:-half, :-half])
    assert apart.max() <= 16  # a line that is cut at a border is drawn with another rounding
    assert np.count_nonzero(apart) < 1e-3 * apart.size


def test_areas_are_filled_but_their_holes_are_not() -> None:
    shape = Shape.polygon(
        [(20, 20), (220, 20), (220, 220), (20, 220)], [[(80, 80), (160, 80), (160, 160), (80, 160)]]
    )
    tile = drawn(render(snapshot(Annotation(shape)), style=Style(fill=True, fill_opacity=0.5)))
    assert tile[50, 50].tolist() == [0, 0, 128, 128]  # premultiplied
    assert tile[120, 120].tolist() == [0, 0, 0, 0]
    assert not drawn(render(snapshot(Annotation(shape))))[50, 50].any()


def test_overlapping_areas_do_not_cancel() -> None:
    source = snapshot(Annotation(Shape.box(20, 20, 200, 200)), Annotation(Shape.box(100, 100, 300, 300)))
    tile = drawn(render(source, style=Style(fill=True)))
    assert tile[150, 150, 3] == tile[50, 50, 3] > 0


def test_small_areas_stay_visible_on_large_ones() -> None:
    small = Annotation(Shape.box(100, 100, 130, 130), class_name="Stroma")
    large = Annotation(Shape.box(10, 10, 400, 400), class_name="Tumor")
    for order in ((small, large), (large, small)):
        tile = drawn(render(snapshot(*order), style=Style(fill=True, fill_opacity=0.5)))
        assert tile[115, 115].tolist() == [75, 100, 75, 128]
        zoomed_out = drawn(render(snapshot(*order), scale=20.0, style=Style(fill=True)))
        assert colors_in(zoomed_out, (150, 200, 150)) == [True]


def test_colors_come_from_selection_then_self_then_class_then_default() -> None:
    plain = Annotation(Shape.box(10, 10, 40, 40))
    tumor = Annotation(Shape.box(60, 10, 90, 40), class_name="Tumor")
    own = Annotation(Shape.box(110, 10, 140, 40), class_name="Tumor", color=(1, 2, 3))
    chosen = Annotation(Shape.box(160, 10, 190, 40), class_name="Tumor", color=(1, 2, 3))
    tile = drawn(render(snapshot(plain, tumor, own, chosen), selected=[chosen.id]))
    found = tile[25, [10, 60, 110, 160], 2::-1].astype(int)
    assert np.abs(found - [(255, 0, 0), (200, 0, 0), (1, 2, 3), (255, 255, 0)]).max() <= 3


def test_hidden_classes_and_what_is_painted_live_are_left_out() -> None:
    plain = Annotation(Shape.box(10, 10, 40, 40))
    tumor = Annotation(Shape.box(60, 10, 90, 40), class_name="Tumor")
    stroma = Annotation(Shape.box(110, 10, 140, 40), class_name="Stroma")
    source = snapshot(plain, tumor, stroma)
    tile = drawn(render(source, style=Style(hidden=frozenset({"Tumor"})), skip=[stroma.id]))
    assert colors_in(tile, (255, 0, 0), (200, 0, 0), (150, 200, 150)) == [True, False, False]
    assert render(source, style=Style(hidden=frozenset({"Tumor", None})), skip=[stroma.id]) is None


def test_only_the_plane_is_drawn() -> None:
    source = snapshot(Annotation(Shape.box(10, 10, 40, 40), plane=Plane(2, 1)))
    assert render(source) is None
    assert render(source, plane=Plane(2, 1)) is not None


def test_an_annotation_of_any_size_leaves_a_mark() -> None:
    rng = np.random.default_rng(4)
    places = rng.uniform(0, 500, (300, 2))
    sizes = np.geomspace(0.01, 30, 300)
    for kind in (ShapeKind.AREA, ShapeKind.LINES, ShapeKind.POINTS):
        for (x, y), size in zip(places[::10], sizes[::10], strict=True):
            ring = [(x, y), (x + size, y), (x + size, y + size)]
            tile = drawn(render(snapshot(Annotation(Shape.from_parts([[ring]], kind)))))
            assert tile[..., 3].max() > 200


def test_a_tiny_annotation_is_a_square_where_it_is() -> None:
    tile = drawn(render(snapshot(Annotation(Shape.box(1000, 600, 1020, 620))), scale=10.0))
    ys, xs = np.nonzero(tile[..., 3])
    assert (xs.min(), xs.max(), ys.min(), ys.max()) == (100, 101, 60, 61)


def test_dots_at_a_border_are_cut_and_do_not_wrap() -> None:
    source = snapshot(Annotation(Shape.box(-4, 300, 4, 308)), Annotation(Shape.box(5115, 700, 5125, 710)))
    left = drawn(render(source, scale=10.0))
    assert set(np.nonzero(left[..., 3])[1].tolist()) == {0, 511}
    right = drawn(render(source, scale=10.0, cell=(1, 0)))
    assert set(np.nonzero(right[..., 3])[1].tolist()) == {0}


def test_lines_are_open() -> None:
    line = Shape.from_parts([[[(50, 50), (250, 50), (250, 250)]]], ShapeKind.LINES)
    tile = drawn(render(snapshot(Annotation(line))))
    assert tile[50, 150, 3] > 250
    assert tile[150, 250, 3] > 250
    assert not tile[145:155, 145:155].any()


def test_points_are_discs_on_their_vertices() -> None:
    tile = drawn(render(snapshot(Annotation(Shape.points([(100, 100), (200.5, 300)])))))
    assert set(np.unique(tile[97:103, 97:103, 3])) == {255}
    weight = tile[280:320, 180:220, 3].astype(float)
    ys, xs = np.mgrid[280:320, 180:220] + 0.5
    assert (weight * xs).sum() / weight.sum() == pytest.approx(200.5, abs=0.1)
    assert (weight * ys).sum() / weight.sum() == pytest.approx(300, abs=0.1)
    assert weight.sum() / 255 == pytest.approx(np.pi * 4.5**2, rel=0.15)


def test_an_outline_that_reaches_far_beyond_the_tile_is_where_it_should_be() -> None:
    far = Shape.polygon([(-100_000, -100_000), (100_000, 100_000), (-100_000, 100_000)])
    source = snapshot(Annotation(far))
    tile = drawn(render(source, 1 / 64, (3, 3), style=Style(fill=True)))
    on = tile[..., 3]
    diagonal = np.arange(TILE)
    assert on[diagonal, diagonal].min() > 240
    assert on[300, 100] == round(255 * 0.25)
    assert on[100, 300] == 0


def test_many_vertices_in_one_pixel_cost_no_detail() -> None:
    angle = np.linspace(0, 2 * np.pi, 20_000, endpoint=False)
    circle = 3000 + 2500 * np.stack((np.cos(angle), np.sin(angle)), axis=1)
    alpha = drawn(render(snapshot(Annotation(Shape.polygon(circle))), scale=16.0))[..., 3] > 127
    ys, xs = np.nonzero(alpha)
    away = np.hypot(xs + 0.5 - 187.5, ys + 0.5 - 187.5) - 156.25
    assert np.abs(away).max() < 1.8
    assert abs(away.mean()) < 0.15


def test_a_cancelled_tile_stops() -> None:
    task = Task()
    task.cancel()
    source = snapshot(Annotation(Shape.box(10, 10, 40, 40)))
    with pytest.raises(Cancelled):
        render_overlay_tile(source, Plane(), Style(), NONE, NONE, 1.0, 1.0, 0, 0, task)


@SETTINGS
@given(st.lists(st.uuids(), max_size=20, unique=True), st.lists(st.uuids(), max_size=20))
def test_an_id_set_holds_its_ids_and_no_others(inside: list[uuid.UUID], others: list[uuid.UUID]) -> None:
    tested = [*inside, *others]
    holds = IdSet(inside).holds(id_bytes(tested))
    assert holds.tolist() == [one in set(inside) for one in tested]


star_rings = st.lists(st.floats(5, 100), min_size=3, max_size=12).map(
    lambda radii: np.array(
        [
            (50 + r * np.cos(2 * np.pi * k / len(radii)), 50 + r * np.sin(2 * np.pi * k / len(radii)))
            for k, r in enumerate(radii)
        ]
    )
)


@SETTINGS
@given(star_rings, st.floats(0, 60), st.floats(10, 80))
def test_a_clipped_area_is_the_part_inside_the_box(
    ring: NDArray[np.float64], low: float, size: float
) -> None:
    box = Bounds(low, low, low + size, low + size)
    cut = Rings(ring, np.array([0, len(ring)])).clipped(box, closed=True).points
    expected = shapely.area(
        shapely.intersection(shapely.make_valid(shapely.Polygon(ring)), shapely.box(*box))
    )
    x, y = cut.T if len(cut) else np.zeros((2, 1))
    area = abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2
    assert area == pytest.approx(expected, abs=1e-6)
    assert len(cut) == 0 or (cut.min() >= low - 1e-9 and cut.max() <= low + size + 1e-9)


@SETTINGS
@given(st.lists(st.tuples(st.floats(0, 40), st.floats(0, 40)), min_size=1, max_size=60), st.floats(0.5, 4))
def test_thinning_keeps_firsts_and_loses_no_vertex_by_more_than_a_cell(
    points: list[tuple[float, float]], step: float
) -> None:
    rings = Rings(np.array(points), np.array([0, len(points) // 2, len(points) // 2, len(points)]))
    thin = rings.thinned(step)
    assert len(thin) == 3
    for before, after in zip(rings.rings(), thin.rings(), strict=True):
        assert (len(before) == 0) == (len(after) == 0)
        if len(before):
            assert (after[0] == before[0]).all()
            nearest = np.linalg.norm(before[:, None] - after[None], axis=2).min(axis=1)
            assert nearest.max() <= step * np.sqrt(2) + 1e-9


def test_striding_keeps_about_as_many_vertices_as_asked() -> None:
    rings = Rings(np.random.default_rng(0).uniform(0, 9, (133, 2)), np.array([0, 100, 103, 133]))
    assert rings.strided(8).counts.tolist() == [8, 3, 8]


def test_tiles_are_made_without_qt() -> None:
    names = ("view", "tiles", "rings", "overlaytiles", "imagetiles")
    modules = ", ".join(f"samdesk.ui.layers.{name}" for name in names)
    script = f"import sys, {modules}; sys.exit('PySide6' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


side = st.floats(-3000, 3000)


@given(
    st.lists(st.tuples(side, side, st.floats(0, 900), st.floats(0, 900)), min_size=1, max_size=5),
    st.sampled_from((0.5, 1.0, 1.37)),
)
def test_the_tiles_an_edit_reaches_are_those_whose_bounds_meet_it(
    places: list[tuple[float, float, float, float]], scale: float
) -> None:
    boxes = np.array([(x, y, x + w, y + h) for x, y, w, h in places])
    found = cells_touched(boxes, scale, margin=4.0)
    assert found is not None
    for column in range(-14, 18):
        for row in range(-14, 18):
            x0, y0, x1, y1 = tile_bounds(column, row, scale).expanded(4.0 * scale)
            meets = ((boxes[:, 0] < x1) & (boxes[:, 2] > x0) & (boxes[:, 1] < y1) & (boxes[:, 3] > y0)).any()
            assert not meets or (column, row) in found
    assert len(found) < 8_000
