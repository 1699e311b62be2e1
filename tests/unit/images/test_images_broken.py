"""Bad files: each gives a message that names the file and the reason, and a hint that helps."""

from __future__ import annotations

import random
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from samdesk.domain.errors import SamdeskError
from samdesk.images.readers import READERS, SUFFIXES, open_source
from tests.images_samples import (
    noise,
    smooth_rgb,
    spoil_tiff_level,
    truncate,
    write_jpeg,
    write_lying_png,
    write_pyramid,
    write_svs,
)

RGB = smooth_rgb(640, 480)


def refused(path: Path) -> SamdeskError:
    with pytest.raises(SamdeskError, match=re.escape(path.name)) as caught:
        open_source(path)
    assert caught.value.hint
    return caught.value


def test_a_missing_file(tmp_path: Path) -> None:
    assert "does not exist" in refused(tmp_path / "nowhere.png").message


@pytest.mark.parametrize("suffix", [".png", ".tif", ".svs", ".jpg", ".xyz"])
def test_an_empty_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"empty{suffix}"
    path.touch()
    assert "empty" in refused(path).message


@pytest.mark.parametrize("suffix", [".png", ".tif", ".svs", ".jpg", ".webp", ".bmp", ".zarr", ".xyz", ""])
@pytest.mark.parametrize("content", [b"x", b"BM", b"II*\0", b"text of some length" * 9, bytes(5000)])
def test_a_file_of_no_known_format(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"other{suffix}"
    path.write_bytes(content)
    assert "OME-TIFF" in refused(path).hint


def test_an_empty_folder(tmp_path: Path) -> None:
    path = tmp_path / "folder.zarr"
    path.mkdir()
    assert "folder" in refused(path).message


@pytest.mark.parametrize(("side", "memory"), [(10**6, "3 TB"), (30_000, "2.7 GB")])
def test_a_png_that_lies_is_refused_before_memory_is_taken(tmp_path: Path, side: int, memory: str) -> None:
    message = refused(write_lying_png(tmp_path / "lie.png", side, side)).message
    assert f"{side:,} × {side:,} px" in message
    assert memory in message


def test_a_picture_too_large_for_its_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "large.bmp"
    path.write_bytes(cv2.imencode(".bmp", RGB)[1].tobytes())
    data = bytearray(path.read_bytes())
    data[18:26] = (40_000).to_bytes(4, "little") * 2
    path.write_bytes(data)
    error = refused(path)
    assert "40,000 × 40,000" in error.message
    assert "4.8 GB" in error.message
    assert "OME-TIFF" in error.hint


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp"])
@pytest.mark.parametrize("fraction", [0.004, 0.1, 0.6, 0.995])
def test_a_truncated_picture(tmp_path: Path, suffix: str, fraction: float) -> None:
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(cv2.imencode(suffix, RGB)[1].tobytes())
    refused(truncate(path, fraction))


def test_a_jpeg_without_its_end_but_with_that_of_its_thumbnail(tmp_path: Path) -> None:
    path = write_jpeg(tmp_path / "cut.jpg", RGB)
    data = path.read_bytes()
    thumbnail = b"\xff\xe2" + (4).to_bytes(2, "big") + b"\xff\xd9"
    path.write_bytes(data[:2] + thumbnail + data[2:])
    assert open_source(path).width == 640
    assert "truncated" in refused(truncate(path)).message


def test_a_png_whose_data_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "bad.png"
    data = bytearray(cv2.imencode(".png", RGB)[1].tobytes())
    data[len(data) // 2 : len(data) // 2 + 50] = b"\x55" * 50
    path.write_bytes(data)
    assert "damaged" in refused(path).message


@pytest.mark.parametrize(
    "options", [{}, {"compression": "zlib"}, {"tile": (128, 128), "compression": "jpeg"}]
)
@pytest.mark.parametrize("fraction", [0.001, 0.3, 0.9])
def test_a_truncated_tiff(tmp_path: Path, options: dict[str, object], fraction: float) -> None:
    path = tmp_path / "cut.tif"
    tifffile.imwrite(path, RGB, photometric="rgb", **options)
    error = refused(truncate(path, fraction))
    assert "truncated" in error.message or "damaged" in error.message


@pytest.mark.parametrize("fraction", [0.2, 0.6])
def test_a_truncated_hyperstack_does_not_open_as_its_first_planes(tmp_path: Path, fraction: float) -> None:
    path = tmp_path / "cut.tif"
    tifffile.imwrite(path, noise((8, 2, 90, 90)), imagej=True, metadata={"axes": "ZCYX"})
    refused(truncate(path, fraction))


@pytest.mark.parametrize("level", [1, 2])
def test_a_tiff_with_a_broken_coarse_level_opens_without_it(tmp_path: Path, level: int) -> None:
    path = spoil_tiff_level(write_pyramid(tmp_path / "p.ome.tif", smooth_rgb(1200, 900), 3, 128), level)
    assert [v.downsample for v in open_source(path).levels] == [d for d in (1, 2, 4) if d != 2**level]


def test_a_tiff_cut_off_within_its_coarse_levels_opens_without_them(tmp_path: Path) -> None:
    path = write_pyramid(tmp_path / "p.ome.tif", smooth_rgb(1200, 900), 3, 128, compression="zlib")
    source = open_source(truncate(path, 0.97))
    assert [level.downsample for level in source.levels] == [1, 2]


def test_a_tiff_whose_full_resolution_is_broken(tmp_path: Path) -> None:
    path = spoil_tiff_level(write_pyramid(tmp_path / "p.ome.tif", smooth_rgb(1200, 900), 3, 128), 0)
    assert "full resolution" in refused(path).message


def test_a_block_that_breaks_later_names_its_place(tmp_path: Path) -> None:
    path = tmp_path / "spot.tif"
    tifffile.imwrite(path, smooth_rgb(2048, 2048), photometric="rgb", tile=(512, 512), compression="jpeg")
    with tifffile.TiffFile(path) as tif:
        offset, count = tif.pages[0].dataoffsets[2], tif.pages[0].databytecounts[2]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\x55" * count)
    source = open_source(path)
    assert source.read_block(0, 0, 0).shape == (512, 512, 3)
    with pytest.raises(SamdeskError, match=r"Block \(2, 0\) of level 0 of “spot.tif”"):
        source.read_block(0, 2, 0)


def test_a_file_that_shrinks_while_it_is_open(tmp_path: Path) -> None:
    path = tmp_path / "shrinks.tif"
    tifffile.imwrite(path, smooth_rgb(2048, 2048), photometric="rgb")
    source = open_source(path)
    truncate(path, 0.3)
    assert source.read_block(0, 0, 0).shape == (512, 512, 3)
    with pytest.raises(SamdeskError, match="ends before"):
        source.read_block(0, 3, 3)


def test_pixels_that_are_not_supported_are_named(tmp_path: Path) -> None:
    path = tmp_path / "complex.tif"
    tifffile.imwrite(path, noise((40, 50), np.float32).astype(np.complex64))
    assert "not supported" in refused(path).message
    path = tmp_path / "lab.tif"
    tifffile.imwrite(path, noise((40, 50, 3), np.uint8), photometric="cielab", planarconfig="contig")
    assert "CIELAB" in refused(path).message


def test_a_tiff_compressed_in_one_huge_piece_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "huge.tif"
    tifffile.imwrite(path, noise((64, 64), np.uint8), compression="zlib")
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tif:
        tags = tif.pages[0].tags
        for name in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            at = tags[name].valueoffset
            data[at : at + 4] = (1_000_000 if tags[name].dtype == 4 else 60_000).to_bytes(4, "little")
    path.write_bytes(data)
    refused(path)


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "bmp", "tif", "ome.tif", "svs"])
def test_random_damage_gives_pixels_or_a_message(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"noise.{kind}"
    small = smooth_rgb(300, 200)
    if kind == "tif":
        tifffile.imwrite(path, small, photometric="rgb", compression="zlib", rowsperstrip=20)
    elif kind == "ome.tif":
        write_pyramid(path, small, 2, 128)
    elif kind == "svs":
        write_svs(path, small, tile=128)
    else:
        path.write_bytes(cv2.imencode(f".{kind}", small)[1].tobytes())
    whole = path.read_bytes()
    rng = random.Random(kind)
    for _ in range(25):
        data = bytearray(whole)
        for _ in range(rng.choice((1, 4, 20))):
            near = min(600, len(data))
            places = (rng.randrange(near), -1 - rng.randrange(near), rng.randrange(len(data)))
            data[rng.choice(places)] = rng.randrange(256)
        path.write_bytes(data)
        outcome = ""
        try:
            source = open_source(path)
            for level in range(len(source.levels)):
                assert source.read_block(level, 0, 0).ndim in (2, 3)
            source.close()
        except SamdeskError as error:
            outcome = error.message
        assert not outcome or path.name in outcome


def test_the_table_names_functions_that_are_there() -> None:
    for reader in READERS:
        assert reader.suffixes
        assert reader.target.count(":") == 1
    assert {".png", ".ome.tif"[4:], ".svs", ".zarr", ".webp"} <= set(SUFFIXES)
