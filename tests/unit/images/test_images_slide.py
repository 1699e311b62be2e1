"""Slides: routed to the reader that sees the picture, with their facts and associated images."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from samdesk.domain.errors import SamdeskError
from samdesk.images.readers import open_source
from samdesk.images.readers.openslide import AperioSource, SlideSource, _bounds, _cropped
from samdesk.images.readers.tiff import TiffSource
from samdesk.images.source import PixelSize, read_window
from tests.images_samples import (
    check_threads,
    halved,
    smooth_rgb,
    spoil_tiff_level,
    truncate,
    write_philips,
    write_pyramid,
    write_svs,
)

RGB = smooth_rgb(2500, 1700)


@pytest.fixture(scope="module")
def svs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_svs(tmp_path_factory.mktemp("svs") / "slide.svs", RGB)


@pytest.fixture(scope="module")
def philips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_philips(tmp_path_factory.mktemp("philips") / "slide.tiff", RGB)


@pytest.mark.parametrize("thumbnail", [True, False])
def test_aperio_is_read_as_tiff_with_the_slides_facts(tmp_path: Path, thumbnail: bool) -> None:
    source = open_source(write_svs(tmp_path / "slide.svs", RGB, thumbnail=thumbnail))
    assert isinstance(source, AperioSource)
    assert [(v.width, v.height) for v in source.levels] == [(2500, 1700), (625, 425), (156, 106)]
    assert [v.downsample for v in source.levels] == [1, 4, 16]
    assert source.pixel_size == PixelSize(0.499, 0.499)
    assert source.magnification == 20
    assert {name: image.shape for name, image in source.associated.items() if name != "thumbnail"} == {
        "label": (100, 80, 3),
        "macro": (60, 150, 3),
    }
    assert (source.associated["label"] == 200).all()
    block = source.read_block(0, 1, 1)
    assert np.abs(block.astype(int) - RGB[480:960, 480:960]).mean() < 3


def test_other_vendors_are_read_by_openslide(philips: Path) -> None:
    source = open_source(philips)
    assert isinstance(source, SlideSource)
    assert [v.downsample for v in source.levels] == [1, 2]
    assert source.pixel_size == PixelSize(0.25, 0.25)
    for level, truth in enumerate((RGB, halved(RGB))):
        block = source.read_block(level, 1, 1)
        expected = truth[512 : 512 + block.shape[0], 512 : 512 + block.shape[1]]
        assert block.shape == expected.shape
        assert np.abs(block.astype(int) - expected).mean() < 3


def test_the_last_blocks_are_cropped(philips: Path) -> None:
    source = open_source(philips)
    for index, level in enumerate(source.levels):
        block = source.read_block(index, level.columns - 1, level.rows - 1)
        assert block.shape == ((level.height - 1) % 512 + 1, (level.width - 1) % 512 + 1, 3)


def test_the_picture_is_the_box_that_the_slide_names(philips: Path) -> None:
    facts = {"openslide.bounds-x": "700", "openslide.bounds-y": "300"}
    size = {"openslide.bounds-width": "1024", "openslide.bounds-height": "600"}
    assert _bounds(facts | size, (2500, 1700)) == ((700, 300), (1024, 600))
    assert _bounds(facts, (2500, 1700)) == ((0, 0), (2500, 1700))
    whole = {"openslide.bounds-width": "2500", "openslide.bounds-height": "600"}
    assert _bounds(facts | whole, (2500, 1700)) == ((0, 0), (2500, 1700))

    source = open_source(philips)
    assert isinstance(source, SlideSource)
    levels = tuple(_cropped(level, (1024, 600)) for level in source.levels)
    cropped = dataclasses.replace(source, origin=(700, 300), levels=levels)
    assert [(v.width, v.height, v.block_height) for v in levels] == [(1024, 600, 512), (512, 300, 300)]
    for level, truth in ((0, RGB), (1, halved(RGB))):
        found = read_window(cropped, level, (0, levels[level].width), (0, levels[level].height))
        x, y = 700 >> level, 300 >> level
        expected = truth[y : y + levels[level].height, x : x + levels[level].width]
        assert np.abs(found.astype(int) - expected).mean() < 3


def test_a_tiled_ome_tiff_is_not_taken_for_a_slide(tmp_path: Path) -> None:
    source = open_source(write_pyramid(tmp_path / "p.tif", RGB, 3, 256))
    assert type(source) is TiffSource
    assert len(source.levels) == 3


def test_slides_are_read_by_four_threads(philips: Path, svs: Path) -> None:
    for path in (philips, svs):
        check_threads(open_source(path))


@pytest.mark.parametrize("level", [1, 2])
def test_a_slide_with_a_broken_coarse_level_opens_without_it(tmp_path: Path, level: int) -> None:
    path = spoil_tiff_level(write_svs(tmp_path / "slide.svs", RGB), level)
    source = open_source(path)
    assert [v.downsample for v in source.levels] == [d for d in (1, 4, 16) if d != 4**level]
    assert np.abs(source.read_block(0, 0, 0).astype(int) - RGB[:480, :480]).mean() < 3


def test_a_slide_whose_full_resolution_is_broken_does_not_open(tmp_path: Path) -> None:
    for path in (write_svs(tmp_path / "slide.svs", RGB), write_philips(tmp_path / "slide.tiff", RGB)):
        spoil_tiff_level(path, 0)
        with pytest.raises(SamdeskError, match=path.name) as caught:
            open_source(path)
        assert "OME-TIFF" in caught.value.hint


@pytest.mark.parametrize("fraction", [0.02, 0.5])
def test_a_truncated_slide_does_not_open(tmp_path: Path, fraction: float) -> None:
    path = truncate(write_svs(tmp_path / "slide.svs", RGB), fraction)
    with pytest.raises(SamdeskError, match=r"slide\.svs"):
        open_source(path)


def test_closed_slides_say_so(svs: Path, philips: Path) -> None:
    for path in (svs, philips):
        source = open_source(path)
        source.close()
        assert not source.associated
        with pytest.raises(SamdeskError, match="closed"):
            source.read_block(0, 0, 0)
