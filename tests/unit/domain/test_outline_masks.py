"""Mask -> shape -> mask: exact, valid, with all holes and parts."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import cv2
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from samdesk.domain.geometry import Region, Shape, ShapeKind
from samdesk.domain.outline import labels_to_shapes, mask_to_shape, round_for_export, shape_to_mask

Mask = NDArray[np.bool_]

quick = settings(deadline=None, max_examples=100)


def picture(*rows: str) -> Mask:
    return np.array([[letter == "#" for letter in row] for row in rows])


@st.composite
def masks(draw: st.DrawFn, largest: int = 12) -> Mask:
    shape = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=largest)
    mask: Mask = draw(hnp.arrays(np.bool_, shape))
    return np.kron(mask, np.ones((2, 2), np.bool_)) if draw(st.booleans()) else mask


@st.composite
def regions(draw: st.DrawFn, width: int, height: int) -> Region:
    x, y = (draw(st.integers(-4000, 80000)) / 4 for _ in "xy")
    return Region(x, y, width, height, draw(st.sampled_from([1.0, 2.0, 3.7, 4.0, 16.0])))


def random_masks(count: int, seed: int) -> Iterator[Mask]:
    """Noise, smooth noise, doubled pixels, speckled blocks and rings, of all densities."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        height, width = rng.integers(1, 41, 2)
        noise = rng.random((height, width))
        density = rng.random()
        match number % 5:
            case 0:
                yield noise < density
            case 1:
                yield cv2.GaussianBlur(noise, (0, 0), 1.5) < 0.35 + 0.3 * density
            case 2:
                yield np.kron(noise[:20, :20] < density, np.ones((2, 3), np.bool_))
            case 3:
                yield (np.indices((height, width)).sum(axis=0) % 2 == 0) ^ (noise < 0.2 * density)
            case _:
                rows, columns = np.indices((height, width))
                yield (np.hypot(rows - height / 2, columns - width / 3) % 6 < 3) ^ (noise < 0.05)


def pixel_union(mask: Mask) -> shapely.Geometry:
    """What the outline must be, computed the slow way: the union of the pixels as squares."""
    y, x = np.nonzero(mask)
    return shapely.normalize(shapely.simplify(shapely.union_all(shapely.box(x, y, x + 1, y + 1)), 0))


class TestMaskToShape:
    @given(masks())
    @quick
    def test_equals_the_union_of_the_pixels(self, mask: Mask) -> None:
        shape = mask_to_shape(mask)
        if not mask.any():
            assert shape.is_empty
            return
        assert shapely.equals_exact(shapely.normalize(shape.to_shapely()), pixel_union(mask))

    def test_2000_random_masks_round_trip_and_are_valid_after_rounding(self) -> None:
        rng = np.random.default_rng(7)
        for mask in random_masks(2000, seed=20):
            height, width = mask.shape
            x, y = rng.uniform(-1e4, 1e5, 2)
            region = Region(x, y, width, height, rng.choice([1.0, 1.7, 4.0, 16.0]))
            shape = mask_to_shape(mask, region)
            rounded = round_for_export(shape)
            assert shape.area == pytest.approx(mask.sum() * region.downsample**2, rel=1e-9)
            assert len(shape.parts) == cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)[0]
            assert (shape_to_mask(shape, region) == mask).all()
            assert (shape_to_mask(rounded, region) == mask).all()
            assert shapely.is_valid(shape.to_shapely())
            assert shapely.is_valid(rounded.to_shapely())
            assert (rounded.coords == np.round(rounded.coords, 2)).all()
            assert len(rounded.rings) == len(shape.rings)

    @given(masks())
    @quick
    def test_shells_run_one_way_and_holes_the_other(self, mask: Mask) -> None:
        for shell, *holes in mask_to_shape(mask).to_parts():
            assert shapely.is_ccw(shapely.linearrings(shell))
            assert not any(shapely.is_ccw(shapely.linearrings(hole)) for hole in holes)

    @given(masks())
    @quick
    def test_every_vertex_is_a_corner(self, mask: Mask) -> None:
        for part in mask_to_shape(mask).to_parts():
            for ring in part:
                before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
                assert ((before != 0) ^ (after != 0)).all()

    def test_a_pixel_is_the_square_it_covers(self) -> None:
        assert mask_to_shape(picture("...", "..#")) == Shape.box(2, 1, 3, 2)

    def test_pixels_that_touch_by_a_corner_are_parts_in_reading_order(self) -> None:
        shape = mask_to_shape(picture(".#.", "#.#", ".#."))
        assert [part[0][0].tolist() for part in shape.to_parts()] == [[1, 0], [0, 1], [2, 1], [1, 2]]

    def test_parts_come_in_reading_order_from_a_large_mask_too(self) -> None:
        mask = cv2.GaussianBlur(np.random.default_rng(1).random((600, 700)), (0, 0), 2) > 0.52
        shape = mask_to_shape(mask)
        assert len(shape.parts) > 500
        firsts = shape.coords[shape.rings[shape.parts[:-1]]]
        assert (np.lexsort((firsts[:, 0], firsts[:, 1])) == np.arange(len(firsts))).all()

    def test_a_checkerboard_is_as_many_parts_as_pixels(self) -> None:
        mask = np.indices((9, 9)).sum(axis=0) % 2 == 0
        shape = mask_to_shape(mask)
        assert len(shape.parts) - 1 == 41
        assert shapely.is_valid(shape.to_shapely())

    def test_holes_that_touch_by_a_corner_stay_two_holes(self) -> None:
        shape = mask_to_shape(picture("#####", "#.###", "##.##", "#####"))
        assert [len(part) for part in shape.to_parts()] == [3]
        assert shape.area == 18

    def test_a_hole_that_touches_the_outside_by_a_corner_stays_a_hole(self) -> None:
        shape = mask_to_shape(picture("###.", "#.##", "####"))
        assert [len(part) for part in shape.to_parts()] == [2]
        assert shapely.is_valid(shape.to_shapely())

    def test_islands_in_holes_are_parts(self) -> None:
        mask = np.zeros((13, 13), np.bool_)
        for inset in range(6):
            mask[inset : 13 - inset, inset : 13 - inset] = inset % 2 == 0
        shape = mask_to_shape(mask)
        assert [len(part) for part in shape.to_parts()] == [2, 2, 2]
        assert shape.area == mask.sum()

    def test_a_full_mask_is_the_region(self) -> None:
        region = Region(12.5, 30, 7, 5, 4)
        assert mask_to_shape(np.ones((5, 7), np.bool_), region) == Shape.box(12.5, 30, 40.5, 50)

    @pytest.mark.parametrize("size", [(0, 0), (0, 4), (3, 0), (4, 4)])
    def test_an_empty_mask_is_an_empty_shape(self, size: tuple[int, int]) -> None:
        assert mask_to_shape(np.zeros(size, np.bool_)).is_empty

    @given(masks())
    @quick
    def test_any_number_type_and_memory_order_will_do(self, mask: Mask) -> None:
        shape = mask_to_shape(mask)
        assert mask_to_shape(mask.astype(np.uint8) * 255) == shape
        assert mask_to_shape(mask.astype(np.float32) * 0.1) == shape
        assert mask_to_shape(mask.astype(np.int64) * -300) == shape
        assert mask_to_shape(np.asfortranarray(mask)) == shape
        assert mask_to_shape(np.repeat(mask, 2, axis=1)[:, ::2]) == shape
        assert mask_to_shape(mask.tolist()) == shape

    def test_a_coarse_mask_covers_the_whole_region(self) -> None:
        shape = mask_to_shape(picture(".#", ".."), Region(100, 200, 64, 32, 2))
        assert shape == Shape.box(164, 200, 228, 232)

    def test_the_mask_is_left_alone(self) -> None:
        mask = picture("#.#", ".#.")
        before = mask.copy()
        mask.flags.writeable = False
        mask_to_shape(mask)
        assert (mask == before).all()

    def test_other_dimensions_are_refused(self) -> None:
        with pytest.raises(ValueError, match=r"\(h, w\)"):
            mask_to_shape(np.ones((2, 3, 1)))


class TestLabelsToShapes:
    @given(
        hnp.arrays(np.int32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 5))
    )
    @quick
    def test_each_label_is_traced_as_its_own_mask(self, labels: NDArray[np.int32]) -> None:
        shapes = labels_to_shapes(labels)
        assert list(shapes) == [label for label in np.unique(labels).tolist() if label]
        for label, shape in shapes.items():
            assert shape == mask_to_shape(labels == label)

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64])
    def test_large_numbers_and_empty_images(self, dtype: type[np.integer]) -> None:
        highest = int(np.iinfo(dtype).max)
        labels = np.zeros((3, 4), dtype)
        assert labels_to_shapes(labels) == {}
        assert labels_to_shapes(labels[:0]) == {}
        labels[1, 2:] = highest
        assert labels_to_shapes(labels) == {highest: Shape.box(2, 1, 4, 2)}

    def test_an_object_at_both_sides_is_not_joined_around(self) -> None:
        labels = np.array([[0, 0, 5], [5, 0, 0]])
        assert labels_to_shapes(labels)[5] == mask_to_shape(labels == 5)


def by_counting(shape: Shape, region: Region) -> Mask:
    """Even-odd at every pixel center in exact fractions, one ray to the left per pixel."""
    points = [(Fraction(x), Fraction(y)) for x, y in region.to_array(shape.coords).tolist()]
    edges = []
    for start, end in zip(shape.rings[:-1], shape.rings[1:], strict=True):
        ring = points[start:end]
        edges += list(zip(ring, ring[1:] + ring[:1], strict=True))
    mask = np.zeros((region.height, region.width), np.bool_)
    for row, column in np.ndindex(*mask.shape):
        x, y = column + Fraction(1, 2), row + Fraction(1, 2)
        for (x0, y0), (x1, y1) in edges:
            if (y0 <= y) != (y1 <= y) and x0 + (y - y0) * (x1 - x0) / (y1 - y0) <= x:
                mask[row, column] ^= True
    return mask


@st.composite
def star(draw: st.DrawFn, corners: int) -> Shape:
    """A star-shaped polygon around (10, 10) with a hole of half its size."""
    radii = np.array([draw(st.floats(1, 14)) for _ in range(corners)])
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False) + draw(st.floats(0, 1))
    shell = np.stack((radii * np.cos(angles), radii * np.sin(angles)), axis=1)
    return Shape.polygon(shell + 10, [shell[::-1] / 2 + 10])


class TestShapeToMask:
    @given(
        st.lists(
            st.lists(st.tuples(st.integers(-8, 48), st.integers(-8, 48)), min_size=3, max_size=7),
            min_size=1,
            max_size=3,
        ),
        st.sampled_from([1.0, 2.0, 4.0]),
    )
    @quick
    def test_any_rings_on_a_grid_equal_exact_counting(
        self, rings: list[list[tuple[int, int]]], downsample: float
    ) -> None:
        shape = Shape.from_parts([[np.array(ring) / 4] for ring in rings])
        region = Region(-0.5, 0.25, 11, 12, downsample)
        assert (shape_to_mask(shape, region) == by_counting(shape, region)).all()

    @given(star(9), st.data())
    @quick
    def test_float_polygons_equal_point_in_polygon(self, shape: Shape, data: st.DataObject) -> None:
        region = data.draw(regions(20, 22))
        shape = Shape(region.to_image(shape.coords), shape.rings, shape.parts)
        x, y = region.to_image(np.stack(np.meshgrid(np.arange(20), np.arange(22)), axis=-1) + 0.5).T
        inside = shapely.contains_xy(shape.to_shapely(), x.T, y.T)
        near = shapely.dwithin(shapely.boundary(shape.to_shapely()), shapely.points(x.T, y.T), 1e-6)
        assert ((shape_to_mask(shape, region) == inside) | near).all()

    @given(st.integers(0, 2**32 - 1))
    @settings(deadline=None, max_examples=30)
    def test_neighbors_share_no_pixel_and_leave_none_out(self, seed: int) -> None:
        points = np.random.default_rng(seed).uniform(0, 24, (20, 2))
        corners = np.array([(0, 0), (24, 0), (24, 24), (0, 24)])
        triangles = shapely.get_parts(shapely.delaunay_triangles(shapely.MultiPoint([*points, *corners])))
        region = Region(0, 0, 24, 24)
        covered = np.zeros((24, 24), int)
        for one in triangles:
            covered += shape_to_mask(Shape.from_shapely(one), region)
        assert (covered == 1).all()

    @given(masks(8), st.data())
    @quick
    def test_a_window_shows_what_the_whole_shows(self, mask: Mask, data: st.DataObject) -> None:
        height, width = mask.shape
        shape = mask_to_shape(mask)
        x, y = data.draw(st.integers(-3, width)), data.draw(st.integers(-3, height))
        padded = np.pad(mask, ((3, 12), (3, 12)))
        window = shape_to_mask(shape, Region(x, y, 10, 9))
        assert (window == padded[y + 3 : y + 12, x + 3 : x + 13]).all()

    def test_a_center_on_the_edge_belongs_to_the_right_and_the_lower_side(self) -> None:
        mask = shape_to_mask(Shape.box(1.5, 0.5, 3.5, 2.5), Region(0, 0, 5, 4))
        assert (mask == picture(".##..", ".##..", ".....", ".....")).all()

    def test_a_shape_far_outside_covers_nothing(self) -> None:
        for x, y in ((-1e9, 0), (1e9, 0), (0, -1e9), (0, 1e9)):
            assert not shape_to_mask(Shape.box(x, y, x + 3, y + 3), Region(0, 0, 5, 5)).any()

    def test_a_shape_around_the_region_covers_it(self) -> None:
        assert shape_to_mask(Shape.box(-1e6, -1e6, 1e6, 1e6), Region(0, 0, 5, 5)).all()

    @pytest.mark.parametrize(
        "shape",
        [
            Shape.empty(),
            Shape.points([(2, 2), (3, 3)]),
            Shape.from_parts([[[(0, 0), (5, 0), (5, 5)]]], ShapeKind.LINES),
        ],
    )
    def test_what_has_no_area_covers_nothing(self, shape: Shape) -> None:
        mask = shape_to_mask(shape, Region(0, 0, 6, 5))
        assert mask.shape == (5, 6)
        assert mask.dtype == np.bool_
        assert not mask.any()
