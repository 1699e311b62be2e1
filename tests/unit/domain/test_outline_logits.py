"""Logits -> shape: sub-pixel, in the right place at every resolution, closed at the border."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from samdesk.domain.geometry import Bounds, FloatArray, Region, Shape
from samdesk.domain.outline import (
    iou,
    logits_to_shape,
    mask_to_shape,
    round_for_export,
    shape_to_mask,
    snap,
)

Logits = NDArray[np.float32]

quick = settings(deadline=None, max_examples=100)


def centers(size: int, step: float = 1.0) -> tuple[FloatArray, FloatArray]:
    """Positions (x, y) of the samples of a size x size array with cells of `step` array pixels."""
    middle: FloatArray = (np.arange(size, dtype=np.float64) + 0.5) * step
    return middle[None, :], middle[:, None]


def disc_coverage(size: int, x: float, y: float, radius: float) -> FloatArray:
    """Covered part of every pixel, from 32 exact chords per pixel row."""
    rows = (np.arange(size * 32) + 0.5) / 32
    half = np.sqrt(np.maximum(radius**2 - (rows - y) ** 2, 0))[:, None]
    column = np.arange(size)
    covered = np.clip(np.minimum(column + 1, x + half) - np.maximum(column, x - half), 0, 1)
    coverage: FloatArray = covered.reshape(size, 32, size).mean(axis=1)
    return coverage


def errors(shape: Shape, region: Region, x: float, y: float, area: float) -> tuple[float, float]:
    """Distance of the centroid in array pixels, and relative error of the area."""
    ((cx, cy),) = region.to_array([shape.centroid])
    return float(np.hypot(cx - x, cy - y)), abs(shape.area / region.downsample**2 / area - 1)


@pytest.mark.parametrize("downsample", [1, 4, 16])
@pytest.mark.parametrize("radius", [10, 15, 20, 35, 50, 100])
class TestDiscs:
    """Discs at random places; errors in array pixels (one is `downsample` image pixels)."""

    def places(self, radius: int) -> tuple[int, FloatArray]:
        size = 4 * int(np.ceil((radius + 6) / 2))
        return size, size / 2 + np.random.default_rng(radius).uniform(-2, 2, (3, 2))

    def test_from_coverage_at_full_resolution(self, radius: int, downsample: int) -> None:
        size, places = self.places(radius)
        region = Region(1000.25, 77, size, size, downsample)
        for x, y in places:
            shape = logits_to_shape(disc_coverage(size, x, y, radius) - 0.5, region)
            centroid, area = errors(shape, region, x, y, np.pi * radius**2)
            assert centroid < 0.05
            assert radius < 20 or area < 0.01

    def test_from_coverage_at_quarter_resolution(self, radius: int, downsample: int) -> None:
        size, places = self.places(radius)
        region = Region(1000.25, 77, 4 * size, 4 * size, downsample)
        for x, y in places:
            shape = logits_to_shape(disc_coverage(size, x, y, radius) - 0.5, region)
            centroid, area = errors(shape, region, 4 * x, 4 * y, np.pi * (4 * radius) ** 2)
            assert centroid < 0.05 * 4
            assert radius < 20 or area < 0.01

    def test_from_smooth_scores_at_quarter_resolution(self, radius: int, downsample: int) -> None:
        size, places = self.places(radius)
        region = Region(1000.25, 77, size, size, downsample)
        columns, rows = centers(size // 4, 4)
        for x, y in places:
            shape = logits_to_shape(radius - np.hypot(columns - x, rows - y), region)
            centroid, area = errors(shape, region, x, y, np.pi * radius**2)
            assert centroid < 0.05
            assert radius < 20 or area < 0.01

    def test_a_mask_is_exact(self, radius: int, downsample: int) -> None:
        size, places = self.places(radius)
        region = Region(1000.25, 77, size, size, downsample)
        columns, rows = centers(size)
        for x, y in places:
            mask = np.hypot(columns - x, rows - y) < radius
            at_row, at_column = np.nonzero(mask)
            shape = mask_to_shape(mask, region)
            centroid, area = errors(
                shape, region, at_column.mean() + 0.5, at_row.mean() + 0.5, int(mask.sum())
            )
            assert centroid < 1e-6
            assert area < 1e-9


class TestPlace:
    @given(
        st.floats(-1, 1),
        st.floats(-1, 1),
        st.floats(-3, 3),
        st.sampled_from([(16, 16), (16, 8), (64, 16), (4, 32)]),
        st.sampled_from([1.0, 2.5, 16.0]),
    )
    @quick
    def test_a_slope_is_cut_on_its_exact_line(
        self, across: float, down: float, offset: float, sizes: tuple[int, int], downsample: float
    ) -> None:
        """Where the score is linear there is nothing to approximate, whatever the resolution."""
        rows_of_samples, side = sizes
        region = Region(100, 200, 64, 64, downsample)
        x = (np.arange(side) + 0.5) * 64 / side
        y = (np.arange(rows_of_samples)[:, None] + 0.5) * 64 / rows_of_samples
        if max(abs(across), abs(down)) < 0.01:
            across = 1.0
        shape = logits_to_shape(across * (x - 32) + down * (y - 32) + offset, region)
        # between the outermost centers, where the samples are not continued
        inner = Bounds(32 / side, 32 / rows_of_samples, 64 - 32 / side, 64 - 32 / rows_of_samples)
        box = shapely.box(*inner)
        far = 1e4
        normal = np.array((across, down)) / np.hypot(across, down)
        foot = np.array((32, 32)) - normal * offset / np.hypot(across, down)
        along = np.array((-normal[1], normal[0]))
        half_plane = shapely.Polygon(
            [
                foot - far * along,
                foot + far * along,
                foot + far * (along + normal),
                foot + far * (normal - along),
            ]
        )
        found = Shape(region.to_array(shape.coords), shape.rings, shape.parts).to_shapely()
        expected = shapely.intersection(half_plane, box)
        assert shapely.symmetric_difference(shapely.intersection(found, box), expected).area < 1e-4

    def test_a_mask_like_score_lies_on_pixel_edges(self) -> None:
        logits = np.full((8, 8), -3.0)
        logits[2:5, 3:7] = 3
        assert logits_to_shape(logits, Region(0, 0, 8, 8)).bounds == Bounds(3, 2, 7, 5)
        assert logits_to_shape(logits, Region(10, 20, 32, 32, 2)).bounds == Bounds(34, 36, 66, 60)

    @given(
        hnp.arrays(
            np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=10), elements=st.integers(-3, 3)
        ).map(lambda values: values + np.float32(0.25))
    )
    @quick
    def test_every_sample_keeps_its_side(self, logits: Logits) -> None:
        height, width = logits.shape
        region = Region(3, 4, width, height, 2)
        assert (shape_to_mask(logits_to_shape(logits, region), region) == (logits > 0)).all()

    @given(st.integers(0, 2**32 - 1))
    @settings(deadline=None, max_examples=20)
    def test_agrees_with_upsampling(self, seed: int) -> None:
        noise = np.random.default_rng(seed).standard_normal((24, 30)).astype(np.float32)
        logits = cv2.GaussianBlur(noise, (0, 0), 2)
        large = cv2.resize(logits, (30 * 16, 24 * 16), interpolation=cv2.INTER_LINEAR)
        region = Region(0, 0, 30 * 16, 24 * 16)
        mask = shape_to_mask(logits_to_shape(logits, region), region)
        assert np.mean(mask != (large > 0)) < 0.005

    def test_only_what_is_near_the_object_matters(self) -> None:
        columns, rows = centers(200)
        logits = 12 - np.hypot(columns - 90.3, rows - 41.8)
        shape = logits_to_shape(logits, Region(0, 0, 200, 200))
        cut = logits_to_shape(logits[20:70, 70:110], Region(70, 20, 40, 50))
        assert cut.bounds == pytest.approx(shape.bounds)
        assert iou(shape, cut) == pytest.approx(1)


class TestTopology:
    def test_an_annulus_keeps_its_hole(self) -> None:
        columns, rows = centers(80)
        distance = np.hypot(columns - 40.2, rows - 39.6)
        shape = logits_to_shape(np.minimum(30 - distance, distance - 12), Region(0, 0, 80, 80))
        assert [len(part) for part in shape.to_parts()] == [2]
        assert shape.area == pytest.approx(np.pi * (30**2 - 12**2), rel=0.01)
        assert not shape.contains(40, 40)

    def test_parts_and_islands_are_kept(self) -> None:
        columns, rows = centers(100)
        distance = np.hypot(columns - 40, rows - 40)
        rings = np.cos(distance / 2) * (distance < 30) - (distance >= 30)
        other = 8 - np.hypot(columns - 86, rows - 86)
        shape = logits_to_shape(np.maximum(rings, other), Region(0, 0, 100, 100))
        assert sorted(len(part) for part in shape.to_parts()) == [1, 1, 2, 2]

    def test_small_parts_and_small_holes_go_when_asked(self) -> None:
        logits = np.full((40, 40), -1.0)
        logits[5:25, 5:25] = 1
        logits[10:12, 10:12] = -1
        logits[30:32, 30:32] = 1
        region = Region(0, 0, 160, 160, 4)
        assert len(logits_to_shape(logits, region).rings) - 1 == 3
        cell = 4 * 4
        kept = logits_to_shape(logits, region, min_area_px=3 * cell)
        assert len(kept.rings) - 1 == 3
        assert len(logits_to_shape(logits, region, min_area_px=5 * cell).rings) - 1 == 1
        assert logits_to_shape(logits, region, min_area_px=401 * cell).is_empty

    def test_the_threshold_moves_the_outline(self) -> None:
        columns, rows = centers(60)
        logits = (-np.hypot(columns - 30, rows - 30)).astype(np.float32)
        for radius in (5, 10, 20):
            shape = logits_to_shape(logits, Region(0, 0, 60, 60), threshold=-radius)
            assert shape.area == pytest.approx(np.pi * radius**2, rel=0.02)


class TestBorder:
    def test_all_above_is_the_region(self) -> None:
        region = Region(7, 9, 30, 20, 2)
        assert shapely.equals(
            logits_to_shape(np.ones((5, 6)), region).to_shapely(), shapely.box(*region.bounds)
        )
        assert len(logits_to_shape(np.ones((5, 6)), region).coords) == 4

    @pytest.mark.parametrize(
        "logits", [np.zeros((5, 6)), -np.ones((5, 6)), np.full((5, 6), np.nan), np.ones((0, 3))]
    )
    def test_none_above_is_empty(self, logits: FloatArray) -> None:
        assert logits_to_shape(logits, Region(0, 0, 6, 5)).is_empty

    @pytest.mark.parametrize("size", [(1, 1), (1, 5), (5, 1)])
    def test_one_row_or_one_sample_fills_the_region(self, size: tuple[int, int]) -> None:
        region = Region(10, 10, 8, 8)
        assert logits_to_shape(np.ones(size), region).bounds == region.bounds

    @pytest.mark.parametrize("side", range(4))
    def test_a_cut_object_closes_exactly_on_the_border(self, side: int) -> None:
        columns, rows = centers(40)
        x, y = [(0, 20), (40, 20), (20, 0), (20, 40)][side]
        shape = logits_to_shape(12 - np.hypot(columns - x, rows - y), Region(100, 50, 40, 40))
        flush = [shape.bounds.x0 == 100, shape.bounds.x1 == 140, shape.bounds.y0 == 50, shape.bounds.y1 == 90]
        assert flush == [one == side for one in range(4)]
        assert shape.area == pytest.approx(np.pi * 12**2 / 2, rel=0.02)

    def test_an_object_across_all_borders_has_straight_sides(self) -> None:
        columns, rows = centers(40)
        shape = logits_to_shape(24 - np.hypot(columns - 20, rows - 20), Region(0, 0, 40, 40))
        assert shape.bounds == Bounds(0, 0, 40, 40)
        x, y = shape.coords.T
        assert all(np.count_nonzero(side) == 2 for side in (x == 0, x == 40, y == 0, y == 40))


class TestOddScores:
    @given(
        hnp.arrays(
            np.float32,
            hnp.array_shapes(min_dims=2, max_dims=2, max_side=12),
            elements=st.sampled_from([-2, -1, -0.5, 0, 0.5, 1, 2]),
        )
    )
    @settings(deadline=None, max_examples=300)
    def test_valid_though_samples_lie_on_the_threshold(self, logits: Logits) -> None:
        height, width = logits.shape
        shape = logits_to_shape(logits, Region(0.1, 0.7, width, height, 3.7))
        for one in (shape, snap(shape), round_for_export(shape)):
            assert shapely.is_valid(one.to_shapely())

    @given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 1.0, 2.0]))
    @quick
    def test_noise_is_valid_before_and_after_rounding(self, seed: int, smooth: float) -> None:
        rng = np.random.default_rng(seed)
        logits = rng.standard_normal(rng.integers(2, 40, 2)).astype(np.float32)
        if smooth:
            logits = cv2.GaussianBlur(logits, (0, 0), smooth)
        x, y = rng.uniform(0, 1e5, 2)
        region = Region(x, y, logits.shape[1], logits.shape[0], rng.choice([0.25, 1.0, 16.0]))
        shape = logits_to_shape(logits, region)
        for one in (shape, snap(shape), round_for_export(shape)):
            assert shapely.is_valid(one.to_shapely())

    @pytest.mark.parametrize("nothing", [np.nan, -np.inf])
    def test_infinite_scores_end_the_object_between_the_samples(self, nothing: float) -> None:
        logits = np.full((6, 6), nothing, np.float32)
        logits[1:4, 2:5] = 5
        shape = logits_to_shape(logits, Region(0, 0, 6, 6))
        assert shape.bounds == Bounds(2, 1, 5, 4)
        logits[1:4, 2:5] = np.inf
        assert logits_to_shape(logits, Region(0, 0, 6, 6)) == shape

    @pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int8])
    def test_any_number_type_and_memory_order_will_do(self, dtype: type[np.generic]) -> None:
        logits = np.round(np.random.default_rng(3).standard_normal((9, 7)) * 5).astype(np.float32) + 0.5
        region = Region(0, 0, 7, 9)
        if dtype is np.int8:
            logits = np.trunc(logits)
        shape = logits_to_shape(logits, region)
        assert logits_to_shape(logits.astype(dtype), region) == shape
        assert logits_to_shape(np.asfortranarray(logits), region) == shape

    def test_a_threshold_that_float32_cannot_hold(self) -> None:
        logits = np.full((4, 4), np.float32(0.1))
        assert logits_to_shape(logits, Region(0, 0, 4, 4), threshold=0.1).is_empty

    def test_other_dimensions_are_refused(self) -> None:
        with pytest.raises(ValueError, match=r"\(h, w\)"):
            logits_to_shape(np.ones((1, 4, 4)), Region(0, 0, 4, 4))
