"""Regions: exact on pixel edges at every downsample, whatever the block grid and the level."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samdesk.domain.geometry import Region
from samdesk.images.readers import open_source
from samdesk.images.readers.base import downsample, make_levels
from samdesk.images.readers.flat import FlatSource, from_array
from samdesk.images.source import best_level, read_region
from samdesk.images.tiles import BlockCache
from tests.images_samples import centroid, disc, noise, smooth_rgb, write_pyramid

SIZE = 1024
CENTER = (530.3, 490.8)


@pytest.fixture(scope="module")
def disc_slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float disc of radius 300 as a pyramid with levels 1, 2, 4 and 8."""
    path = tmp_path_factory.mktemp("disc") / "disc.ome.tif"
    return write_pyramid(path, disc(SIZE, *CENTER, 300), 4, 128, compression=None)


def flat(tmp_path: Path, pixels: np.ndarray) -> FlatSource:
    anchor = tmp_path / "pixels"
    anchor.touch()
    return from_array(anchor, pixels)


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 7.3, 16])
@pytest.mark.parametrize("corner", [(0, 0), (-40, 8), (13.37, 5.21)])
def test_a_disc_stays_where_it_is_at_every_downsample(
    disc_slide: Path, factor: float, corner: tuple[float, float]
) -> None:
    source = open_source(disc_slide)
    count = int(SIZE / factor) + 8
    region = Region(*corner, count, count, factor)
    pixels = read_region(source, region)[0]
    ((x, y),) = region.to_image([centroid(pixels)])
    assert x == pytest.approx(CENTER[0], abs=0.05)
    assert y == pytest.approx(CENTER[1], abs=0.05)
    assert pixels.sum() * factor**2 == pytest.approx(np.pi * 300**2, rel=1e-3)


def test_a_gradient_keeps_its_values_at_every_level(tmp_path: Path) -> None:
    ramp = np.add.outer(np.arange(900), np.arange(1000)).astype(np.float32) + 1  # x + y at pixel centers
    source = open_source(write_pyramid(tmp_path / "ramp.ome.tif", ramp, 4, 128, compression="zlib"))
    for factor in (1, 2, 3.5, 4, 8, 11):
        pixels = read_region(source, Region(20, 30, 40, 30, factor))[0]
        x, y = (corner + (np.arange(n) + 0.5) * factor for corner, n in ((20, 40), (30, 30)))
        error = pixels - np.add.outer(y, x)
        between_levels = factor not in (1, 2, 4, 8)  # then pixels of the level are cut
        assert np.abs(error).max() < (factor / 2 if between_levels else 1e-3 * factor)
        assert abs(error.mean()) < 0.01 * factor


def area_mean(image: np.ndarray, x0: float, x1: float, y0: float, y1: float) -> np.ndarray:
    """The mean over the part of a box that lies in the image, pixel by pixel; the slow truth."""

    def weights(low: float, high: float, size: int) -> np.ndarray:
        position = np.arange(size)
        return np.clip(np.minimum(high, position + 1) - np.maximum(low, position), 0, None)

    rows, columns = weights(y0, y1, image.shape[0]), weights(x0, x1, image.shape[1])
    total = rows.sum() * columns.sum()
    weighted = np.einsum("y,x,yx...->...", rows, columns, image.astype(float))
    return weighted / total if total > 1e-9 else np.zeros(image.shape[2:])


@settings(deadline=None, max_examples=60)
@given(
    x=st.floats(-30, 70),
    y=st.floats(-30, 60),
    width=st.integers(1, 12),
    height=st.integers(1, 12),
    factor=st.one_of(st.floats(0.3, 9), st.sampled_from([1.0, 2.0, 3.0, 8.0])),
    dtype=st.sampled_from([np.uint8, np.int16, np.uint32, np.float32]),
)
def test_each_pixel_is_the_mean_of_what_it_covers(
    tmp_path_factory: pytest.TempPathFactory,
    x: float,
    y: float,
    width: int,
    height: int,
    factor: float,
    dtype: type,
) -> None:
    image = noise((41, 53), dtype)
    source = flat(tmp_path_factory.mktemp("mean"), image)
    found = read_region(source, Region(x, y, width, height, factor))[0]
    assert found.dtype == dtype
    scale = float(np.abs(image).max())
    for i in range(height):
        for j in range(width):
            box = (x + j * factor, x + (j + 1) * factor, y + i * factor, y + (i + 1) * factor)
            truth = area_mean(image, *box)
            if 0 < min(box[1], 53) - max(box[0], 0) < 1e-5 or 0 < min(box[3], 41) - max(box[2], 0) < 1e-5:
                continue  # a sliver that the snapping to whole pixels may drop
            assert found[i, j] == pytest.approx(
                truth, abs=0.51 + 1e-4 * scale if dtype != np.float32 else 1e-3
            )


def test_outside_the_image_is_zero(tmp_path: Path) -> None:
    source = flat(tmp_path, np.full((50, 60, 3), 200, np.uint8))
    pixels = read_region(source, Region(-20, -10, 100, 100))
    inside = np.zeros((100, 100), bool)
    inside[10:60, 20:80] = True
    np.testing.assert_array_equal(pixels[..., 1] == 200, inside)
    assert not pixels[~inside].any()
    assert not read_region(source, Region(1000, 1000, 5, 5, 4)).any()


def test_a_border_pixel_is_not_darkened_by_the_outside(tmp_path: Path) -> None:
    source = flat(tmp_path, np.full((50, 50), 200, np.uint8))
    pixels = read_region(source, Region(0, 0, 4, 4, 16))[0]
    assert (pixels == 200).all()


def test_a_level_rounded_down_leaves_no_gap_at_the_border(tmp_path: Path) -> None:
    source = flat(tmp_path, np.full((1003, 1003), 90, np.uint8))
    source.levels = make_levels([(1003, 1003), (250, 250)])  # 1003 / 4 = 250.75
    source.parts = (source.parts[0], np.full((250, 250), 90, np.uint8))
    assert source.levels[1].downsample == 4
    pixels = read_region(source, Region(960, 960, 12, 12, 4))[0]
    assert (pixels[:11, :11] == 90).all()  # image pixels 960 to 1004
    assert not pixels[11:].any()
    assert not pixels[:, 11:].any()


def test_a_region_larger_than_the_window_is_read_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = flat(tmp_path, smooth_rgb(700, 500))
    regions = [Region(-3, 7, 90, 70, 8), Region(3.3, 7.9, 90, 70, 6.7), Region(0, 0, 700, 500, 1)]
    whole = [read_region(source, region) for region in regions]
    monkeypatch.setattr("samdesk.images.source._WINDOW", 64)
    for region, expected in zip(regions, whole, strict=True):
        np.testing.assert_array_equal(read_region(source, region), expected)


def test_labels_are_picked_not_mixed(tmp_path: Path) -> None:
    source = flat(tmp_path, np.kron(np.array([[0, 7], [900, 3]], np.uint16), np.ones((9, 9), np.uint16)))
    source.kind = "label"
    assert set(np.unique(read_region(source, Region(0, 0, 5, 5, 3.7)))) <= {0, 3, 7, 900}


def test_not_a_number_stays_where_it_is(tmp_path: Path) -> None:
    image = np.zeros((20, 20), np.float32)
    image[3, 4] = np.nan
    found = read_region(flat(tmp_path, image), Region(0.5, 0.5, 12, 12, 1.5))[0]
    assert np.argwhere(np.isnan(found)).tolist() == [[1, 2], [2, 2]]


def test_the_best_level_is_the_coarsest_that_is_fine_enough(disc_slide: Path) -> None:
    source = open_source(disc_slide)
    downsamples = (0.5, 1, 1.9, 2, 3.99, 4, 8, 100)
    assert [best_level(source, d) for d in downsamples] == [0, 0, 0, 1, 2, 2, 3, 3]


def test_regions_are_the_same_from_a_cache(disc_slide: Path) -> None:
    source, cache = open_source(disc_slide), BlockCache()
    region = Region(400, 400, 200, 200, 1.5)
    for _ in range(2):
        np.testing.assert_array_equal(read_region(source, region, cache=cache), read_region(source, region))
    assert len(cache) == 4


@settings(deadline=None, max_examples=200)
@given(
    width=st.integers(200, 200_000),
    height=st.integers(200, 200_000),
    power=st.integers(0, 5),
    up=st.booleans(),
)
def test_downsamples_snap_to_powers_of_two(width: int, height: int, power: int, up: bool) -> None:
    factor = 2**power
    size = [-(-side // factor) if up else max(1, side // factor) for side in (width, height)]
    assert downsample((width, height), (size[0], size[1])) == (factor, factor)


def test_downsamples_that_are_no_power_of_two_are_ratios_of_sizes() -> None:
    assert downsample((10_000, 9_000), (3_333, 3_000)) == (10_000 / 3_333, 3)
    assert downsample((40_000, 40_000), (9_990, 9_990)) == (40_000 / 9_990, 40_000 / 9_990)
