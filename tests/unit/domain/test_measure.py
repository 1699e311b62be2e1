"""Measures of outlines against shapely, and against figures whose measures are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from samdesk.domain import measure
from samdesk.domain.columns import Annotation, Table
from samdesk.domain.geometry import Shape, ShapeKind
from samdesk.domain.measure import MEASURES, column_title, measured
from samdesk.domain.tasks import Cancelled, Progress, Task
from tests.annotation_tables import shapes, star_table

FAR = 2**22  # px; a large slide is 2**18


def one(shape: Shape, scale: tuple[float, float] = (1.0, 1.0)) -> dict[str, float]:
    table = Table.from_annotations([Annotation(shape)])
    return {name: float(values[0]) for name, values in measured(table, MEASURES, scale).items()}


def scaled(shape: Shape, scale: tuple[float, float]) -> shapely.Geometry:
    return Shape(shape.coords * np.array(scale), shape.rings, shape.parts, shape.kind).to_shapely()


def disc(x: float, y: float, radius: float, corners: int = 720) -> Shape:
    angle = 2 * np.pi * np.arange(corners) / corners
    return Shape.polygon(np.stack((x + radius * np.cos(angle), y + radius * np.sin(angle)), axis=1))


scales = st.tuples(st.sampled_from([1.0, 0.25, 0.497]), st.sampled_from([1.0, 0.25, 2.0]))


@settings(max_examples=60, deadline=None)
@given(st.lists(shapes(), min_size=1, max_size=5), scales)
def test_all_rows_measure_as_shapely_says(drawn: list[Shape], scale: tuple[float, float]) -> None:
    table = Table.from_annotations([Annotation(shape) for shape in drawn])
    found = measured(table, MEASURES, scale)
    for row in range(len(table)):
        shape = table.shape(row)
        truth, is_area = scaled(shape, scale), shape.kind is ShapeKind.AREA
        np.testing.assert_allclose(found["area"][row], truth.area if is_area else np.nan)
        np.testing.assert_allclose(found["perimeter"][row], truth.length if is_area else np.nan)
        lines = shape.kind is ShapeKind.LINES
        np.testing.assert_allclose(found["length"][row], truth.length if lines else np.nan)
        center = [found["centroid_x"][row], found["centroid_y"][row]]
        np.testing.assert_allclose(center, shapely.get_coordinates(truth.centroid)[0], atol=1e-9)
        low_x, low_y, high_x, high_y = truth.bounds
        np.testing.assert_allclose(found["width"][row], high_x - low_x, atol=1e-12)
        np.testing.assert_allclose(found["height"][row], high_y - low_y, atol=1e-12)
        assert found["vertices"][row] == len(shape.coords)
        if is_area:
            assert found["parts"][row] == len(shape.parts) - 1
            assert found["holes"][row] == len(shape.rings) - len(shape.parts)
            np.testing.assert_allclose(found["solidity"][row], truth.area / truth.convex_hull.area)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(3, 40), scales)
def test_diameters_are_those_of_all_pairs(seed: int, corners: int, scale: tuple[float, float]) -> None:
    found = measured(table := star_table(6, corners, seed=seed), MEASURES, scale)
    for row in range(len(table)):
        hull = shapely.get_coordinates(scaled(table.shape(row), scale).convex_hull)[:-1]
        apart = hull[:, None] - hull
        largest = np.hypot(apart[..., 0], apart[..., 1]).max()
        edge = np.roll(hull, -1, axis=0) - hull
        normal = np.stack((-edge[:, 1], edge[:, 0])) / np.hypot(edge[:, 0], edge[:, 1])
        width = np.ptp(hull @ normal, axis=0).min()
        np.testing.assert_allclose(found["max_diameter"][row], largest)
        np.testing.assert_allclose(found["min_diameter"][row], width)
        np.testing.assert_allclose(found["aspect"][row], largest / width)


@pytest.mark.parametrize("at", [0.0, FAR])
def test_a_rectangle(at: float) -> None:
    found = one(Shape.box(at, at, at + 30, at + 40))
    assert found == {
        "centroid_x": at + 15, "centroid_y": at + 20, "area": 1200, "perimeter": 140,
        "length": pytest.approx(math.nan, nan_ok=True),
        "circularity": pytest.approx(4 * math.pi * 1200 / 140**2),
        "solidity": 1, "max_diameter": 50, "min_diameter": 30, "aspect": pytest.approx(5 / 3),
        "width": 30, "height": 40, "vertices": 4, "parts": 1, "holes": 0,
    }  # fmt: skip


@pytest.mark.parametrize("at", [0.0, FAR])
def test_a_disc(at: float) -> None:
    found = one(disc(at, at, 200.0))
    assert found["area"] == pytest.approx(math.pi * 200**2, rel=1e-4)
    assert found["perimeter"] == pytest.approx(2 * math.pi * 200, rel=1e-4)
    assert found["circularity"] == pytest.approx(1, abs=1e-3)
    assert found["solidity"] == pytest.approx(1, abs=1e-4)
    assert found["max_diameter"] == pytest.approx(400, abs=0.01)
    assert found["min_diameter"] == pytest.approx(400, abs=0.01)
    assert (found["centroid_x"], found["centroid_y"]) == pytest.approx((at, at), abs=1e-3)


def test_no_digits_are_lost_far_from_the_corner_of_the_image() -> None:
    near = star_table(50, side=100.0)
    far = Table.from_arrays(near.coords + FAR * 256, near.ring_coords)
    here, there = measured(near, MEASURES), measured(far, MEASURES)
    for name in set(MEASURES) - {"centroid_x", "centroid_y"}:
        np.testing.assert_array_equal(here[name], there[name])
    np.testing.assert_allclose(there["centroid_x"] - FAR, here["centroid_x"], atol=1e-8)


def test_pixels_that_are_not_square_are_measured_as_they_lie() -> None:
    found = one(disc(100, 100, 50), scale=(0.5, 1.0))
    assert found["area"] == pytest.approx(math.pi * 25 * 50, rel=1e-3)
    assert found["max_diameter"] == pytest.approx(100, rel=1e-3)
    assert found["min_diameter"] == pytest.approx(50, rel=1e-3)
    assert (found["centroid_x"], found["centroid_y"]) == pytest.approx((50, 100), abs=1e-2)


def test_holes_count_in_area_and_perimeter_but_not_in_circularity() -> None:
    outer, inner = disc(0, 0, 100), disc(0, 0, 50)
    found = one(Shape.polygon(outer.coords, [inner.coords]))
    assert found["area"] == pytest.approx(math.pi * 7500, rel=1e-3)
    assert found["perimeter"] == pytest.approx(2 * math.pi * 150, rel=1e-3)
    assert found["circularity"] == pytest.approx(1, abs=1e-3)
    assert found["holes"] == 1


def test_areas_of_several_parts_have_no_circularity() -> None:
    found = one(Shape.from_parts([[s.coords] for s in (Shape.box(0, 0, 10, 10), Shape.box(20, 0, 30, 10))]))
    assert math.isnan(found["circularity"])
    assert (found["area"], found["max_diameter"]) == (200, pytest.approx(math.hypot(30, 10)))
    assert found["solidity"] == pytest.approx(200 / 300)


def test_rows_measure_the_same_alone_and_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    table = star_table(97)
    whole = measured(table, MEASURES)
    monkeypatch.setattr(measure, "BLOCK", 100)
    monkeypatch.setattr(measure, "HULL_BLOCK", 7)
    for name, values in measured(table, MEASURES).items():
        np.testing.assert_array_equal(values, whole[name])
    part = measured(table.take([5, 3]), MEASURES)
    assert all((part[name] == whole[name][[5, 3]]).all() for name in ("area", "max_diameter"))


def test_an_empty_table_and_a_flat_ring_have_no_measures_to_fail_on() -> None:
    assert all(len(values) == 0 for values in measured(Table.empty(), MEASURES).values())
    flat = Table.from_arrays(np.array([[0, 0], [1, 1], [2, 2]]) * 256, [0, 3])
    found = measured(flat, MEASURES)
    assert np.isnan(found["max_diameter"][0])
    assert found["area"][0] == 0


def test_it_reports_and_can_be_cancelled_between_blocks() -> None:
    told: list[Progress] = []
    task = Task(told.append)
    measured(star_table(20_000, 5), MEASURES, task=task)
    fractions = [progress.fraction or 0 for progress in told]
    assert fractions == sorted(fractions)
    assert fractions[-1] > 0.5
    task.cancel()
    with pytest.raises(Cancelled):
        measured(star_table(10), ["area"], task=task)


def test_columns_are_called_as_in_qupath() -> None:
    assert [column_title(name, "µm") for name in ("area", "max_diameter", "solidity")] == [
        "Area µm^2",
        "Max diameter µm",
        "Solidity",
    ]
    assert column_title("centroid_x") == "Centroid X px"
