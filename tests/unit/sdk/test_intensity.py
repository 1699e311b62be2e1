"""Stored values inside annotations: exact against numpy, whatever the image and the outline."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from samdesk.domain.columns import Annotation, Table
from samdesk.domain.geometry import Plane, Region, Shape
from samdesk.domain.outline import mask_to_shape, shape_to_mask
from samdesk.domain.tasks import Cancelled, Progress, Task
from samdesk.sdk import Image, intensity, open_image
from samdesk.sdk.image import image_of
from samdesk.sdk.intensity import DOWNSAMPLE, measure_intensity
from tests.annotation_tables import star_table
from tests.images_samples import noise, write_pyramid

SIDE = 256


def table_of(*shapes: Shape, plane: Plane = Plane()) -> Table:
    return Table.from_annotations([Annotation(shape, plane=plane) for shape in shapes])


def expected(values: np.ndarray) -> list[float]:
    exact = values.astype(np.float64)
    return [exact.mean(), exact.std(), exact.min(), exact.max(), float(np.median(exact))]


def blob(seed: int, side: int = 60) -> np.ndarray:
    """A mask with holes and several parts."""
    return np.random.default_rng(seed).random((side, side)) < 0.6


@pytest.fixture
def planes(tmp_path: Path) -> tuple[Image, np.ndarray]:
    """Two times, three slices, two channels of 16 bits: (t, z, c, y, x)."""
    values = noise((2, 3, 2, SIDE, SIDE), np.uint16, seed=3)
    path = tmp_path / "planes.ome.tif"
    channels = {"Name": ["DAPI", "FITC"]}
    tifffile.imwrite(path, values, ome=True, tile=(64, 64), metadata={"axes": "TZCYX", "Channel": channels})
    return open_image(path), values


def test_multichannel_values_of_16_bits_are_exact_on_the_annotations_plane(
    planes: tuple[Image, np.ndarray],
) -> None:
    image, values = planes
    mask = blob(1)
    shape = mask_to_shape(mask).translated(70, 90)
    found = measure_intensity(image, table_of(shape, plane=Plane(z=2, t=1)))
    assert found.channels == ("DAPI", "FITC")
    assert found.titles()[:2] == ["Mean: DAPI", "Std: DAPI"]
    assert found.pixels[0] == mask.sum()
    for channel in (0, 1):
        inside = values[1, 2, channel, 90:150, 70:130][mask]
        np.testing.assert_allclose(found.values[0, channel], expected(inside), rtol=1e-12)
    image.close()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.int16])
def test_many_annotations_read_together_measure_as_each_alone(dtype: Any, tmp_path: Path) -> None:
    values = noise((SIDE, SIDE), dtype, seed=5)
    tifffile.imwrite(tmp_path / "a.tif", values, tile=(32, 32))
    image = open_image(tmp_path / "a.tif")
    table = star_table(300, side=float(SIDE))
    found = measure_intensity(image, table)
    for row in range(len(table)):
        inside = values[shape_to_mask(table.shape(row), Region(0, 0, SIDE, SIDE))]
        assert found.pixels[row] == len(inside)
        if len(inside):
            np.testing.assert_allclose(found.values[row, 0], expected(inside), rtol=1e-10)
    image.close()


def test_color_is_measured_by_component_and_brightness_if_wanted() -> None:
    rgb = noise((SIDE, SIDE, 3), np.uint8, seed=7)
    found = measure_intensity(image_of(rgb, "rgb"), table_of(Shape.box(10, 20, 40, 70)), brightness=True)
    assert found.channels == ("Red", "Green", "Blue", "Brightness")
    inside = rgb[20:70, 10:40].reshape(-1, 3)
    for channel in range(3):
        np.testing.assert_allclose(found.values[0, channel], expected(inside[:, channel]), rtol=1e-12)
    np.testing.assert_allclose(found.values[0, 3], expected(inside @ np.array((0.299, 0.587, 0.114))))


def test_only_what_lies_inside_the_image_counts() -> None:
    gray = noise((100, 80), np.uint8, seed=2)
    table = table_of(
        Shape.box(-20, -20, 10, 10),
        Shape.box(75, 95, 500, 500),
        Shape.box(200, 200, 300, 300),
        Shape.points([(5, 5)]),
    )
    found = measure_intensity(image_of(gray, "edge"), table)
    np.testing.assert_allclose(found.values[0, 0], expected(gray[:10, :10]))
    np.testing.assert_allclose(found.values[1, 0], expected(gray[95:, 75:]))
    assert found.pixels.tolist() == [100, 25, 0, 0]
    assert np.isnan(found.values[2:]).all()
    assert found.measurements(2) == {}
    assert DOWNSAMPLE not in found.measurements(0)


def test_a_plane_that_the_image_lacks_is_not_measured() -> None:
    image = image_of(noise((50, 50), np.uint8), "one plane")
    assert measure_intensity(image, table_of(Shape.box(0, 0, 9, 9), plane=Plane(z=4))).pixels[0] == 0


def test_large_annotations_are_read_coarser_and_say_so(tmp_path: Path) -> None:
    gray = np.repeat(np.repeat(noise((128, 128), np.uint8, seed=9), 4, axis=0), 4, axis=1)
    path = write_pyramid(tmp_path / "p.ome.tif", gray, 3, 64, compression=None, photometric="minisblack")
    image = open_image(path)
    table = table_of(Shape.box(0, 0, 512, 512), Shape.box(8, 8, 24, 24))
    found = measure_intensity(image, table, most_pixels=128 * 128)
    assert found.downsample.tolist() == [4, 1]
    assert found.coarse == 1
    np.testing.assert_allclose(found.values[0, 0], expected(gray[::4, ::4]))
    np.testing.assert_allclose(found.values[1, 0], expected(gray[8:24, 8:24]))
    assert found.measurements(0)[DOWNSAMPLE] == 4
    assert measure_intensity(image, table, downsample=2.0).downsample.tolist() == [2, 2]
    image.close()


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_large_annotations_are_summed_up_tile_by_tile_at_full_resolution(
    dtype: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intensity, "AT_ONCE", 100 * 100)
    monkeypatch.setattr(intensity, "TILE", 64)
    values = noise((SIDE, SIDE), dtype, seed=6)
    if dtype == np.float32:
        values[40:50] = np.nan
    tifffile.imwrite(tmp_path / "a.tif", values, tile=(32, 32))
    image = open_image(tmp_path / "a.tif")
    triangle = Shape.polygon([(-30.5, 3), (250, 17.2), (101, 255)])
    found = measure_intensity(image, table_of(triangle, Shape.box(8, 8, 24, 24)))
    mask = shape_to_mask(triangle, Region(0, 0, SIDE, SIDE))
    inside = values[mask]
    assert found.pixels[0] == len(inside)
    exact = expected(inside[np.isfinite(inside)])
    np.testing.assert_allclose(found.values[0, 0, :4], exact[:4], rtol=1e-10)
    np.testing.assert_allclose(found.values[1, 0], expected(values[8:24, 8:24]))
    if dtype == np.float32:  # whose median alone is that of averaged pixels
        assert found.downsample.tolist() == [4, 1]
        assert abs(found.values[0, 0, 4] - exact[4]) < 0.1 * exact[1]
    else:
        assert found.downsample.tolist() == [1, 1]
        assert found.values[0, 0, 4] == exact[4]
    image.close()


def test_large_annotations_of_color_images_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intensity, "AT_ONCE", 100 * 100)
    rgb = noise((SIDE, SIDE, 3), np.uint8, seed=7)
    found = measure_intensity(image_of(rgb, "rgb"), table_of(Shape.box(0, 0, 200, 201)), brightness=True)
    inside = rgb[:201, :200].reshape(-1, 3)
    for channel in range(3):
        np.testing.assert_allclose(found.values[0, channel], expected(inside[:, channel]), rtol=1e-12)
    np.testing.assert_allclose(found.values[0, 3], expected(inside @ np.array((0.299, 0.587, 0.114))))
    assert found.coarse == 0


def test_pixels_without_a_number_are_left_out(tmp_path: Path) -> None:
    values = noise((64, 64), np.float32, seed=4)
    values[:, 10:20] = np.nan
    tifffile.imwrite(tmp_path / "nan.tif", values)
    image = open_image(tmp_path / "nan.tif")
    found = measure_intensity(image, table_of(Shape.box(0, 0, 64, 64), Shape.box(10, 0, 20, 64)))
    np.testing.assert_allclose(found.values[0, 0], expected(values[np.isfinite(values)]))
    assert np.isnan(found.values[1]).all()
    image.close()


class _Counting:
    """A source that counts how often each block is read."""

    def __init__(self, source: Any) -> None:
        self._source = source
        self.reads: Counter[tuple[int, int]] = Counter()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def read_block(self, level: int, column: int, row: int, plane: Plane = Plane(), channel: int = 0) -> Any:
        self.reads[column, row] += 1
        return self._source.read_block(level, column, row, plane, channel)


def test_thousands_of_small_annotations_do_not_read_blocks_thousands_of_times() -> None:
    pixels = np.full((4096, 4096), 7, np.uint8)
    pixels[:, 2048:] = 9
    plain = image_of(pixels, "counted")
    source = _Counting(plain.source)
    image = Image(source, plain.display, plain.blocks)  # whose cache keeps nothing
    found = measure_intensity(image, star_table(3000, side=4096.0))
    assert set(np.unique(found.values[:, 0, 2])) == {7, 9}
    assert max(source.reads.values()) <= 9
    assert source.reads.total() < 4 * len(source.reads) + 16


def test_it_reports_and_can_be_cancelled() -> None:
    image = image_of(np.zeros((3000, 3000), np.uint8), "long")
    told: list[Progress] = []
    task = Task(lambda progress: (told.append(progress), task.cancel()))  # type: ignore[func-returns-value]
    with pytest.raises(Cancelled):
        measure_intensity(image, star_table(500, side=3000.0), task=task)
    assert len(told) == 1
    assert measure_intensity(image, Table.empty()).values.shape == (0, 1, 5)
