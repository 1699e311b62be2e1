"""A disc through the whole road: file, level, chip, logits, shape, document, GeoJSON, and back.

The picture shows the disc by the covered part of each pixel, the engine answers with what is
bright: whatever shift or growth is found was made on the road.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from samdesk.domain.columns import Annotation
from samdesk.domain.document import Document
from samdesk.domain.geometry import Bounds, Shape
from samdesk.domain.prompts import BoxPrompt, Prompts
from samdesk.formats.geojson import read_geojson, write_geojson
from samdesk.sdk import Segmenter, open_image
from tests.fakes import BrightEngine


def picture(size: int, *discs: tuple[float, float, float, int]) -> NDArray[np.uint8]:
    """Discs (x, y, radius, 255 or 0) drawn one over the other by coverage."""
    ys, xs = np.mgrid[:size, :size].astype(np.float32) + np.float32(0.5)
    drawn = np.zeros((size, size), np.float32)
    for x, y, radius, value in discs:
        covered = np.clip(radius - np.hypot(xs - np.float32(x), ys - np.float32(y)) + 0.5, 0, 1)
        drawn += covered * (value - drawn)
    return np.round(drawn).astype(np.uint8)


def through_the_road(folder: Path, pixels: NDArray[np.uint8], downsample: float) -> Shape:
    tifffile.imwrite(
        folder / "disc.tif", pixels, tile=(256, 256), compression="zlib", photometric="minisblack"
    )
    image = open_image(folder / "disc.tif")
    side = pixels.shape[0]
    prompts = Prompts(boxes=(BoxPrompt(Bounds(0, 0, side, side)),))
    segmenter = Segmenter(BrightEngine())
    chip = segmenter.chip(image, Prompts(boxes=(BoxPrompt(Bounds(0, 0, 1, 1)),)), downsample)
    assert chip.downsample == downsample
    (found,) = segmenter.segment(image, prompts, chip=chip)
    image.close()
    document = Document()
    document.apply(document.adding([Annotation(found.shape)]))
    write_geojson(folder / "disc.geojson", document)
    (back,) = read_geojson(folder / "disc.geojson").table.annotations()
    return back.shape


@pytest.mark.parametrize("downsample", [1, 4, 16])
@pytest.mark.parametrize("radius", [10, 20, 35, 60, 100])
def test_a_disc_keeps_its_place_and_area(tmp_path: Path, radius: float, downsample: int) -> None:
    """Errors are in pixels that the engine sees, against the disc that the mask shows."""
    size = int(2.6 * radius) * downsample
    x, y, r = size / 2 + 0.37 * downsample, size / 2 - 0.21 * downsample, radius * downsample
    shape = through_the_road(tmp_path, picture(size, (x, y, r, 255)), downsample)
    assert len(shape.parts) == len(shape.rings) == 2
    error = np.hypot(shape.centroid[0] - x, shape.centroid[1] - y) / downsample
    assert error < 0.05
    if radius >= 20:
        assert shape.area == pytest.approx(np.pi * r * r, rel=0.01)


@pytest.mark.parametrize("downsample", [1, 4, 16])
def test_holes_and_parts_are_kept(tmp_path: Path, downsample: int) -> None:
    d = downsample
    pixels = picture(
        200 * d, (60 * d, 60 * d, 40 * d, 255), (60 * d, 60 * d, 20 * d, 0), (150 * d, 140 * d, 25 * d, 255)
    )
    shape = through_the_road(tmp_path, pixels, d)
    assert len(shape.parts) - 1 == 2
    assert len(shape.rings) - 1 == 3
    assert shape.area == pytest.approx(np.pi * (40**2 - 20**2 + 25**2) * d * d, rel=0.01)
    assert not shape.contains(60 * d, 60 * d)
    assert shape.contains(90 * d, 60 * d)
    assert shape.contains(150 * d, 140 * d)
