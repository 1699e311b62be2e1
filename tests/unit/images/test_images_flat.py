"""PNG, JPEG, BMP and WebP: pixels, depth, transparency, orientation."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from samdesk.domain.geometry import Region
from samdesk.images.readers import open_source
from samdesk.images.source import read_region
from tests.images_samples import exif_orientation, noise, png_chunk, smooth_rgb, write_jpeg


def everything(path: Path) -> np.ndarray:
    source = open_source(path)
    return read_region(source, Region(0, 0, source.width, source.height))


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".webp", ".jpg"])
def test_color_pictures_are_read_as_rgb(tmp_path: Path, suffix: str) -> None:
    rgb = smooth_rgb(700, 530)
    path = tmp_path / f"picture{suffix}"
    flags = [cv2.IMWRITE_WEBP_QUALITY, 101] if suffix == ".webp" else [cv2.IMWRITE_JPEG_QUALITY, 98]
    path.write_bytes(cv2.imencode(suffix, rgb[..., ::-1], flags)[1].tobytes())
    source = open_source(path)
    assert (source.kind, source.dtype, source.width, source.height) == ("rgb", np.uint8, 700, 530)
    assert [channel.name for channel in source.channels] == ["Red", "Green", "Blue"]
    assert source.pixel_size is None
    assert source.name == path.name
    difference = np.abs(everything(path).astype(int) - rgb)
    assert difference.max() == 0 if suffix != ".jpg" else difference.mean() < 2


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("color", [False, True])
def test_png_keeps_its_depth(tmp_path: Path, dtype: type, color: bool) -> None:
    pixels = noise((60, 80, 3) if color else (60, 80), dtype)
    path = tmp_path / "deep.png"
    path.write_bytes(cv2.imencode(".png", pixels[..., ::-1] if color else pixels)[1].tobytes())
    source = open_source(path)
    assert source.dtype == dtype
    assert source.kind == ("rgb" if color else "multichannel")
    found = everything(path)
    np.testing.assert_array_equal(found if color else found[0], pixels)
    if not color:
        assert source.channels[0].color == (255, 255, 255)


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_transparency_is_laid_on_white(tmp_path: Path, suffix: str) -> None:
    bgra = np.full((40, 40, 4), (10, 60, 200, 255), np.uint8)
    bgra[:20, :, 3] = 0
    bgra[20:30, :, 3] = 51
    path = tmp_path / f"glass{suffix}"
    path.write_bytes(cv2.imencode(suffix, bgra, [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes())
    found = everything(path)
    assert found.shape == (40, 40, 3)
    assert (found[:20] == 255).all()
    np.testing.assert_allclose(found[25, 5], (244, 216, 206), atol=1)
    assert tuple(found[35, 5]) == (200, 60, 10)


TURNS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: np.rot90(a, 2),
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("value", TURNS)
def test_jpeg_is_turned_as_its_exif_block_says(tmp_path: Path, value: int) -> None:
    rgb = smooth_rgb(64, 48)
    upright = everything(write_jpeg(tmp_path / "stored.jpg", rgb[..., ::-1]))
    path = write_jpeg(tmp_path / "turned.jpg", rgb[..., ::-1], value)
    np.testing.assert_array_equal(everything(path), TURNS[value](upright))
    opencv = cv2.imread(str(path), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(everything(path), opencv[..., ::-1])


def test_png_is_turned_as_its_exif_chunk_says(tmp_path: Path) -> None:
    gray = noise((30, 50), np.uint16)
    data = cv2.imencode(".png", gray)[1].tobytes()
    path = tmp_path / "turned.png"
    path.write_bytes(data[:33] + png_chunk(b"eXIf", exif_orientation(6)) + data[33:])
    np.testing.assert_array_equal(everything(path)[0], np.rot90(gray, -1))


def test_webp_is_turned_as_its_exif_chunk_says(tmp_path: Path) -> None:
    rgb = smooth_rgb(50, 30)
    lossless = cv2.imencode(".webp", rgb[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes()
    size = b"".join((side - 1).to_bytes(3, "little") for side in (50, 30))
    extended = b"VP8X" + struct.pack("<I", 10) + bytes([0x08, 0, 0, 0]) + size
    exif = exif_orientation(8)
    exif = b"EXIF" + struct.pack("<I", len(exif)) + exif
    body = b"WEBP" + extended + lossless[12:] + exif
    path = tmp_path / "turned.webp"
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    np.testing.assert_array_equal(everything(path), np.rot90(rgb, 1))


def test_names_of_any_script_and_suffixes_of_any_kind(tmp_path: Path) -> None:
    rgb = smooth_rgb(40, 30)
    path = tmp_path / "Präparat 光学 №7.JPG"  # a PNG all the same
    path.write_bytes(cv2.imencode(".png", rgb[..., ::-1])[1].tobytes())
    np.testing.assert_array_equal(everything(path), rgb)


def test_blocks_are_cropped_at_the_border_and_cannot_be_written_to(tmp_path: Path) -> None:
    rgb = smooth_rgb(700, 530)
    path = tmp_path / "picture.png"
    path.write_bytes(cv2.imencode(".png", rgb[..., ::-1])[1].tobytes())
    source = open_source(path)
    level = source.levels[0]
    assert (level.columns, level.rows) == (2, 2)
    block = source.read_block(0, 1, 1)
    np.testing.assert_array_equal(block, rgb[512:, 512:])
    with pytest.raises(ValueError, match="read-only"):
        block[:] = 0
    with pytest.raises(IndexError):
        source.read_block(0, 2, 0)


def test_the_identity_follows_the_file(tmp_path: Path) -> None:
    path = write_jpeg(tmp_path / "a.jpg", smooth_rgb(40, 30))
    first = open_source(path).identity
    assert open_source(path).identity == first
    write_jpeg(path, smooth_rgb(40, 30, seed=1))
    assert open_source(path).identity != first
