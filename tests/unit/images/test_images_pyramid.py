"""Added levels: the right means, bounded work, and a cache file that is whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Plane, Region
from samdesk.domain.tasks import Cancelled, Progress, Task
from samdesk.images import pyramid
from samdesk.images.pyramid import PyramidSource, build_pyramid, halve, needs_pyramid
from samdesk.images.readers import open_source
from samdesk.images.source import ImageSource, read_region
from tests.images_samples import (
    centroid,
    disc,
    noise,
    smooth_rgb,
    spoil_tiff_level,
    write_pyramid,
    write_zarr,
)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Levels down to 128 px, so that small images have several."""
    monkeypatch.setattr(pyramid, "COARSEST", 128)


@pytest.fixture
def on_disk(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every added level in a cache file."""
    monkeypatch.setattr(pyramid, "IN_MEMORY_PIXELS", 0)


def write_png(path: Path, pixels: np.ndarray) -> Path:
    path.write_bytes(cv2.imencode(".png", pixels[..., ::-1] if pixels.ndim == 3 else pixels)[1].tobytes())
    return path


def level_pixels(source: ImageSource, level: int, plane: Plane = Plane(), channel: int = 0) -> np.ndarray:
    grid = source.levels[level]
    rows = [
        np.concatenate([source.read_block(level, c, r, plane, channel) for c in range(grid.columns)], axis=1)
        for r in range(grid.rows)
    ]
    return np.concatenate(rows)


def check_levels(source: PyramidSource, plane: Plane = Plane(), channel: int = 0) -> None:
    """Every added level is the halved level before it."""
    start = len(source.base.levels)
    assert len(source.levels) > start
    for level in range(start, len(source.levels)):
        expected = halve(level_pixels(source, level - 1, plane, channel), source.kind)
        np.testing.assert_array_equal(level_pixels(source, level, plane, channel), expected)


@settings(deadline=None, max_examples=40)
@given(
    height=st.integers(1, 20),
    width=st.integers(1, 20),
    samples=st.sampled_from([(), (3,)]),
    dtype=st.sampled_from([np.uint8, np.int8, np.uint16, np.int32, np.float32, np.float64]),
)
def test_halving_takes_means(height: int, width: int, samples: tuple[int, ...], dtype: type) -> None:
    pixels = noise((height, width, *samples), dtype)
    found = halve(pixels, "multichannel")
    assert found.dtype == dtype
    padded = np.pad(pixels, [(0, height % 2), (0, width % 2), *[(0, 0)] * len(samples)], mode="edge")
    corners = [padded[y::2, x::2].astype(float) for y in (0, 1) for x in (0, 1)]
    np.testing.assert_allclose(
        found, np.mean(corners, axis=0), atol=0.51 if np.dtype(dtype).kind in "iu" else 1e-6
    )


def test_halving_labels_makes_no_new_ones() -> None:
    labels = noise((33, 21), np.uint16)
    assert set(halve(labels, "label").ravel()) <= set(labels.ravel())


@pytest.mark.parametrize("color", [True, False])
def test_a_picture_gets_levels_in_memory(tmp_path: Path, small: None, color: bool) -> None:
    pixels = smooth_rgb(1301, 903)
    base = open_source(write_png(tmp_path / "p.png", pixels if color else pixels[..., 0]))
    assert needs_pyramid(base)
    source = build_pyramid(base, tmp_path / "cache", Task())
    assert [(v.width, v.height, v.downsample_x, v.downsample_y) for v in source.levels] == [
        (1301, 903, 1, 1),
        (651, 452, 2, 2),
        (326, 226, 4, 4),
        (163, 113, 8, 8),
        (82, 57, 16, 16),
    ]
    check_levels(source)
    assert not needs_pyramid(source)
    assert not (tmp_path / "cache").exists()
    assert (source.identity, source.name, source.channels) == (base.identity, base.name, base.channels)


def test_levels_continue_those_of_the_file(tmp_path: Path, small: None) -> None:
    base = open_source(write_pyramid(tmp_path / "p.ome.tif", smooth_rgb(2000, 1500), 2, 256))
    source = build_pyramid(base, tmp_path, Task())
    assert [level.downsample for level in source.levels] == [1, 2, 4, 8, 16]
    check_levels(source)
    small_enough = open_source(write_png(tmp_path / "s.png", smooth_rgb(100, 90)))
    assert not needs_pyramid(small_enough)
    assert build_pyramid(small_enough, tmp_path, Task()).levels == small_enough.levels


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_every_plane_and_channel_has_its_own(
    tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    if where == "disk":
        monkeypatch.setattr(pyramid, "IN_MEMORY_PIXELS", 0)
    stack = noise((2, 3, 2, 300, 410))
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, stack, imagej=True, metadata={"axes": "TZCYX"})
    source = build_pyramid(open_source(path), tmp_path / "cache", Task())
    assert (source.size_t, source.size_z, len(source.channels)) == (2, 3, 2)
    for t, z, c in np.ndindex(2, 3, 2):
        np.testing.assert_array_equal(
            source.read_block(1, 0, 0, Plane(z, t), c), halve(stack[t, z, c], "multichannel")
        )
        check_levels(source, Plane(z, t), c)


def test_planes_seen_long_ago_make_room(tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyramid, "MEMORY_BYTES", 200_000)
    stack = noise((9, 300, 410))
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, stack, imagej=True, metadata={"axes": "ZYX"})
    source = build_pyramid(open_source(path), tmp_path / "cache", Task())
    for z in (*range(9), 0, 4):
        np.testing.assert_array_equal(source.read_block(1, 0, 0, Plane(z)), halve(stack[z], "multichannel"))
    assert source.parts[-1].planes._nbytes() <= 200_000


@pytest.mark.parametrize("kind", ["png", "gray", "tiff", "zarr", "labels"])
def test_a_large_image_gets_a_cache_file_that_is_used_again(tmp_path: Path, on_disk: None, kind: str) -> None:
    rgb = smooth_rgb(1301, 903)
    path = tmp_path / f"p.{kind}"
    if kind == "tiff":
        tifffile.imwrite(path, rgb, photometric="rgb", compression="zlib", rowsperstrip=10)
    elif kind == "labels":
        labels = noise((903, 1301), np.int32)
        write_zarr(path, labels, "yx", chunk=300, attributes={"image-label": {}})
    elif kind == "zarr":
        write_zarr(path, noise((3, 903, 1301), np.float32), "cyx", chunk=300)
    else:
        write_png(path, rgb if kind == "png" else noise((903, 1301)))
    cache = tmp_path / "cache" / "pyramids"
    source = build_pyramid(open_source(path), cache, Task())
    check_levels(source, channel=len(source.channels) - 1 if source.kind != "rgb" else 0)
    (file,) = cache.iterdir()
    written = file.stat().st_ino
    source.close()

    steps: list[Progress] = []
    again = build_pyramid(open_source(path), cache, Task(steps.append))
    assert not steps  # nothing had to be done
    assert file.stat().st_ino == written
    check_levels(again)


def test_progress_runs_from_nothing_to_the_end(tmp_path: Path, on_disk: None) -> None:
    steps: list[Progress] = []
    build_pyramid(
        open_source(write_png(tmp_path / "p.png", smooth_rgb(3000, 2000))), tmp_path / "c", Task(steps.append)
    )
    fractions = [step.fraction for step in steps if step.fraction is not None]
    assert fractions == sorted(fractions)
    assert fractions[0] == 0
    assert 0.7 < fractions[-1] <= 1
    assert all(step.message for step in steps)


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_a_cancelled_build_leaves_nothing(
    tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    if where == "disk":
        monkeypatch.setattr(pyramid, "IN_MEMORY_PIXELS", 0)
    base = open_source(write_png(tmp_path / "p.png", smooth_rgb(3000, 2000)))

    def stop(step: Progress) -> None:
        if step.fraction and step.fraction > 0.3:
            task.cancel()

    task = Task(stop)
    with pytest.raises(Cancelled):
        build_pyramid(base, tmp_path / "cache", task)
    assert not (tmp_path / "cache").exists() or not list((tmp_path / "cache").iterdir())
    assert base.read_block(0, 0, 0).shape == (512, 512, 3)  # the image itself can still be used


def test_a_block_that_cannot_be_read_stops_the_build(tmp_path: Path, on_disk: None) -> None:
    path = write_pyramid(tmp_path / "p.ome.tif", smooth_rgb(1300, 900), 1, 256)
    base = open_source(path)
    spoil_tiff_level(path, 0)
    with pytest.raises(SamdeskError, match="level 0"):
        build_pyramid(base, tmp_path / "cache", Task())
    assert not list((tmp_path / "cache").iterdir())


def test_a_damaged_cache_file_is_made_again(tmp_path: Path, on_disk: None) -> None:
    path = write_png(tmp_path / "p.png", smooth_rgb(1301, 903))
    cache = tmp_path / "cache"
    build_pyramid(open_source(path), cache, Task()).close()
    (file,) = cache.iterdir()
    for content in (b"", b"II*\0 and so on", file.read_bytes()[:5000]):
        file.write_bytes(content)
        check_levels(build_pyramid(open_source(path), cache, Task()))
        assert [f.name for f in cache.iterdir()] == [file.name]


def test_a_folder_that_cannot_be_written_to_gives_a_message(tmp_path: Path, on_disk: None) -> None:
    base = open_source(write_png(tmp_path / "p.png", smooth_rgb(1301, 903)))
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(SamdeskError, match=r"p\.png") as caught:
        build_pyramid(base, blocked / "cache", Task())
    assert "can still be used" in caught.value.hint


def test_files_used_long_ago_are_removed(tmp_path: Path, on_disk: None) -> None:
    cache = tmp_path / "cache"
    paths = [write_png(tmp_path / f"{k}.png", smooth_rgb(1301, 903, seed=k)) for k in range(4)]
    for age, path in enumerate(paths[:3]):
        before = set(cache.iterdir()) if cache.exists() else set()
        build_pyramid(open_source(path), cache, Task()).close()
        (new,) = set(cache.iterdir()) - before
        os.utime(new, (1e9 - age, 1e9 - age))  # the last one is the oldest
    left_by_crash = cache / "x.partial"
    left_by_crash.touch()
    os.utime(left_by_crash, (1e9, 1e9))
    size = max(file.stat().st_size for file in cache.iterdir())
    build_pyramid(open_source(paths[0]), cache, Task()).close()  # used again: now the newest
    build_pyramid(open_source(paths[3]), cache, Task(), cache_bytes=int(2.5 * size)).close()
    kept = {file.name.split(".")[0] for file in cache.iterdir()}
    assert kept == {open_source(path).identity for path in (paths[0], paths[3])}


def test_a_disc_stays_where_it_is_in_added_levels(tmp_path: Path, on_disk: None) -> None:
    path = tmp_path / "disc.tif"
    tifffile.imwrite(path, disc(1001, 430.3, 510.8, 200), photometric="minisblack")
    source = build_pyramid(open_source(path), tmp_path / "cache", Task())
    for factor in (2, 4, 8):
        region = Region(0, 0, 1008 // factor, 1008 // factor, factor)
        ((x, y),) = region.to_image([centroid(read_region(source, region)[0])])
        assert (x, y) == pytest.approx((430.3, 510.8), abs=0.05)
