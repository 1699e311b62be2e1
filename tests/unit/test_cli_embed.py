"""`samdesk embed`: what is asked for, what is kept, and how the end is told."""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import pytest

from samdesk.cli.embed import add_arguments, embedded_text, encode_chips
from samdesk.cli.place import downsample_of, plane_of, region_of
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Bounds, Plane
from samdesk.engines.cache import DiskCache, EmbeddingStore
from samdesk.engines.classical import ClassicalEngine
from samdesk.sdk import Image, Segmenter, open_image
from samdesk.sdk.precompute import Prepared, chips_for
from tests.fakes import FakeEngine


@pytest.fixture
def image(tmp_path: Path) -> Image:
    path = tmp_path / "picture.png"
    cv2.imwrite(str(path), np.full((900, 2000, 3), 90, np.uint8))
    return open_image(path)


def test_what_was_encoded_once_is_found_by_the_next(image: Image, tmp_path: Path) -> None:
    disk = DiskCache(tmp_path / "embeddings")
    chips = chips_for(image, region_of(image, None), 1.0)
    for expected in (len(chips), 0):
        engine = FakeEngine()
        segmenter = Segmenter(engine, cache=EmbeddingStore(disk=disk))
        prepared = encode_chips(segmenter, image, chips, Plane(), disk)
        assert (prepared.total, prepared.encoded, engine.encoded) == (len(chips), expected, expected)
    assert disk.nbytes > 0


def test_an_engine_that_keeps_nothing_on_disk_is_refused_after_one_chip(image: Image, tmp_path: Path) -> None:
    disk = DiskCache(tmp_path / "embeddings")
    segmenter = Segmenter(ClassicalEngine(), cache=EmbeddingStore(disk=disk))
    with pytest.raises(SamdeskError, match="keeps nothing on disk"):
        encode_chips(segmenter, image, chips_for(image, Bounds(0, 0, 10, 10), 1.0), Plane(), disk)


def test_a_folder_that_cannot_be_written_is_told(
    image: Image, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    disk = DiskCache(tmp_path / "file" / "embeddings")
    segmenter = Segmenter(FakeEngine(), cache=EmbeddingStore(disk=disk))
    with pytest.raises(SamdeskError, match="cannot be written"):
        encode_chips(segmenter, image, chips_for(image, Bounds(0, 0, 10, 10), 1.0), Plane(), disk)
    caplog.clear()


def test_options() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    options = parser.parse_args(["a.tif", "--engine", "vit_b", "--region", "1,2,3,4", "--downsample", "2"])
    assert (options.image, options.region, options.downsample) == (Path("a.tif"), "1,2,3,4", 2.0)
    assert (options.weights, options.device, options.z, options.cache_mb) == (None, "auto", 0, None)


def test_regions_are_cut_to_the_image(image: Image) -> None:
    assert region_of(image, None) == Bounds(0, 0, 2000, 900)
    assert region_of(image, "100,50,300,200") == Bounds(100, 50, 400, 250)
    assert region_of(image, "1900,-50,300,100") == Bounds(1900, 0, 2000, 50)


@pytest.mark.parametrize("text", ["", "1,2,3", "a,b,c,d", "5,5,0,10", "9000,0,10,10", "nan,0,10,10"])
def test_regions_that_make_no_sense_are_refused(image: Image, text: str) -> None:
    with pytest.raises(SamdeskError):
        region_of(image, text)


def test_levels_and_planes(image: Image) -> None:
    assert downsample_of(image, None, None) == 1.0
    assert downsample_of(image, None, 4.0) == 4.0
    for level, downsample in ((2.0, None), (None, -1.0), (None, float("nan"))):
        with pytest.raises(SamdeskError):
            downsample_of(image, level, downsample)
    assert plane_of(image, 0, 0) == Plane()
    with pytest.raises(SamdeskError):
        plane_of(image, 1, 0)


def test_the_end_tells_time_and_size(tmp_path: Path) -> None:
    disk = DiskCache(tmp_path, 10 << 30)
    text = embedded_text(Prepared(1200, 30, 45.0, 60 << 20), disk)
    assert text.splitlines()[0] == "1,200 chips are ready: 30 encoded in 45.0 s (1.50 s each), 60 MB"
    assert str(tmp_path) in text
    assert embedded_text(Prepared(3, 0, 0.0, 0), disk).startswith("3 chips are ready\n")
