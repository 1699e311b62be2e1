"""OME-Zarr 0.4 and 0.5: axes, scales, channels, shards, plates, and what is damaged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Plane, Region
from samdesk.images.readers import open_source
from samdesk.images.readers.base import micrometers
from samdesk.images.source import ImageSource, PixelSize, read_region
from tests.images_samples import check_threads, edit_json, noise, smooth_rgb, write_zarr

COLORS = {"omero": {"channels": [{"label": "DAPI", "color": "0000FF"}, {"label": "GFP", "color": "00ff00"}]}}
PRIMARIES = {"omero": {"channels": [{"color": "FF0000"}, {"color": "00FF00"}, {"color": "0000FF"}]}}


def everything(source: ImageSource, plane: Plane = Plane()) -> np.ndarray:
    return read_region(source, Region(0, 0, source.width, source.height), plane)


@pytest.mark.parametrize(("version", "shard"), [(2, 0), (3, 0), (3, 256)])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_five_dimensions(tmp_path: Path, version: int, shard: int, dtype: type) -> None:
    array = noise((2, 2, 3, 300, 410), dtype)
    path = write_zarr(
        tmp_path / "a.zarr",
        array,
        "tczyx",
        version=version,
        levels=3,
        chunk=128,
        shard=shard,
        attributes=COLORS,
    )
    source = open_source(path)
    assert (source.kind, source.dtype, source.size_t, source.size_z) == ("multichannel", dtype, 2, 3)
    assert [(v.width, v.height, v.downsample) for v in source.levels] == [
        (410, 300, 1),
        (205, 150, 2),
        (103, 75, 4),
    ]
    assert [(c.name, c.color) for c in source.channels] == [("DAPI", (0, 0, 255)), ("GFP", (0, 255, 0))]
    assert source.pixel_size == PixelSize(0.5, 0.5, 1.0)
    for t, z in np.ndindex(2, 3):
        np.testing.assert_array_equal(everything(source, Plane(z, t)), array[t, :, z])
    level = source.levels[2]
    np.testing.assert_array_equal(
        source.read_block(2, 0, 0, Plane(2, 1), 1), array[1, 1, 2, ::4, ::4][: level.block_height]
    )


@pytest.mark.parametrize("axes", ["yx", "xy", "zyx", "cyx", "tyx", "czyx", "tcyx"])
def test_axes_of_any_number_and_order(tmp_path: Path, axes: str) -> None:
    sides = {"t": 2, "c": 2, "z": 3, "y": 90, "x": 140}
    array = noise([sides[axis] for axis in axes])
    source = open_source(write_zarr(tmp_path / "a.zarr", array, axes, chunk=64))
    plane = Plane(source.size_z - 1, source.size_t - 1)
    where = {"t": plane.t, "z": plane.z, "c": slice(None), "y": slice(None), "x": slice(None)}
    expected = array[tuple(where[axis] for axis in axes)]
    expected = expected.T if axes == "xy" else expected
    np.testing.assert_array_equal(everything(source, plane), expected.reshape(-1, 90, 140))


@pytest.mark.parametrize("attributes", [{}, PRIMARIES])
def test_three_channels_of_color_are_a_color_picture(tmp_path: Path, attributes: dict[str, Any]) -> None:
    rgb = smooth_rgb(300, 200)
    path = write_zarr(tmp_path / "a.zarr", np.moveaxis(rgb, -1, 0), "cyx", chunk=128, attributes=attributes)
    source = open_source(path)
    assert source.kind == "rgb"
    np.testing.assert_array_equal(everything(source), rgb)


@pytest.mark.parametrize(("unit", "factor"), [("nanometer", 1e-3), ("millimeter", 1e3), ("micrometer", 1)])
def test_units_become_micrometers(tmp_path: Path, unit: str, factor: float) -> None:
    source = open_source(write_zarr(tmp_path / "a.zarr", noise((40, 50)), "yx", scale=2, unit=unit))
    assert source.pixel_size == PixelSize(2 * factor, 2 * factor)


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (2, "\\u00B5m", 2),  # as ImageJ writes it
        (2, "\u03bcm", 2),  # Greek mu
        (2, "\u00b5m", 2),  # micro sign
        (2, "micron", 2),
        (2, "cm", 2e4),
        (1, "inch", 25400),
        (2, "pixel", None),
        (2, "", None),
        (2, None, None),
        (None, "um", None),
        (0, "um", None),
        (-1, "um", None),
        (float("inf"), "um", None),
    ],
)
def test_lengths_of_any_spelling(value: float | None, unit: str | None, expected: float | None) -> None:
    assert micrometers(value, unit) == expected


def test_without_a_unit_there_is_no_pixel_size(tmp_path: Path) -> None:
    assert (
        open_source(write_zarr(tmp_path / "a.zarr", noise((40, 50)), "yx", unit="pixel")).pixel_size is None
    )


def test_a_scale_for_all_levels_multiplies(tmp_path: Path) -> None:
    path = write_zarr(tmp_path / "a.zarr", noise((40, 50)), "yx", scale=2)
    scales = json.loads((path / ".zattrs").read_text())["multiscales"]
    scales[0]["coordinateTransformations"] = [{"type": "scale", "scale": [10, 10]}]
    edit_json(path / ".zattrs", multiscales=scales)
    assert open_source(path).pixel_size == PixelSize(20, 20)


def test_labels_are_known_as_such(tmp_path: Path) -> None:
    array = noise((64, 64), np.int32)
    path = write_zarr(tmp_path / "cells", array, "yx", attributes={"image-label": {"version": "0.4"}})
    assert open_source(path).kind == "label"


@pytest.mark.parametrize("chunk", [64, 1500])
def test_chunks_that_suit_no_screen(tmp_path: Path, chunk: int) -> None:
    array = noise((700, 1600), np.uint8)
    source = open_source(write_zarr(tmp_path / "a.zarr", array, "yx", chunk=chunk))
    assert (source.levels[0].block_width, source.levels[0].block_height) == (512, 512)
    np.testing.assert_array_equal(everything(source)[0], array)


@pytest.mark.parametrize("name", [".zattrs", ".zgroup"])
def test_a_metadata_file_stands_for_its_folder(tmp_path: Path, name: str) -> None:
    path = write_zarr(tmp_path / "a.zarr", noise((40, 50)), "yx")
    assert open_source(path / name).width == 50
    assert open_source(path / name).name == "a.zarr"


def group(path: Path, version: int, attributes: dict[str, Any]) -> None:
    path.mkdir(parents=True, exist_ok=True)
    if version == 2:
        (path / ".zgroup").write_text('{"zarr_format": 2}')
        (path / ".zattrs").write_text(json.dumps(attributes))
    else:
        content = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": attributes}}
        (path / "zarr.json").write_text(json.dumps(content))


@pytest.mark.parametrize("version", [2, 3])
def test_a_plate_opens_at_its_first_field(tmp_path: Path, version: int) -> None:
    plate = tmp_path / "plate.zarr"
    group(plate, version, {"plate": {"wells": [{"path": "B/2"}, {"path": "C/3"}]}})
    group(plate / "B" / "2", version, {"well": {"images": [{"path": "0"}, {"path": "1"}]}})
    array = noise((40, 50))
    write_zarr(plate / "B" / "2" / "0", array, "yx", version=version)
    np.testing.assert_array_equal(everything(open_source(plate))[0], array)


@pytest.mark.parametrize("version", [2, 3])
def test_a_collection_opens_at_its_first_image(tmp_path: Path, version: int) -> None:
    folder = tmp_path / "converted.zarr"
    group(folder, version, {"bioformats2raw.layout": 3})
    array = noise((40, 50))
    write_zarr(folder / "0", array, "yx", version=version)
    source = open_source(folder)
    np.testing.assert_array_equal(everything(source)[0], array)
    assert source.name == "converted.zarr"


def test_a_chunk_that_was_never_written_is_empty(tmp_path: Path) -> None:
    array = noise((256, 256), np.uint8) | 1
    path = write_zarr(tmp_path / "a.zarr", array, "yx", chunk=128)
    found = [file for file in (path / "0").rglob("*") if file.is_file() and file.name in ("1.1", "1")]
    found[-1].unlink()
    pixels = everything(open_source(path))[0]
    assert (pixels == 0).any()
    assert (pixels == array).any()


def test_blocks_are_the_same_from_four_threads(tmp_path: Path) -> None:
    array = noise((700, 900))
    for version, chunk in ((2, 128), (3, 128), (3, 1200)):
        path = write_zarr(tmp_path / f"{version}-{chunk}.zarr", array, "yx", version=version, chunk=chunk)
        check_threads(open_source(path))


def test_a_missing_coarse_level_is_done_without(tmp_path: Path) -> None:
    array = noise((400, 400))
    path = write_zarr(tmp_path / "a.zarr", array, "yx", levels=3)
    shutil.rmtree(path / "1")
    assert [level.downsample for level in open_source(path).levels] == [1, 4]


def test_a_damaged_coarse_level_is_done_without(tmp_path: Path) -> None:
    path = write_zarr(tmp_path / "a.zarr", noise((900, 900)), "yx", levels=2, chunk=512)
    for file in (path / "1").rglob("*"):
        if file.is_file() and not file.name.startswith(".z"):
            file.write_bytes(b"\x55" * 100)
    assert len(open_source(path).levels) == 1


def test_damage_is_named(tmp_path: Path) -> None:
    def fresh(name: str) -> Path:
        return write_zarr(tmp_path / name, noise((100, 100)), "yx")

    cut = fresh("cut.zarr")
    (cut / ".zattrs").write_text('{"multiscales": [{"da')
    gone = fresh("gone.zarr")
    shutil.rmtree(gone / "0")
    spoiled = fresh("spoiled.zarr")
    for file in (spoiled / "0").rglob("*"):
        if file.is_file() and not file.name.startswith(".z"):
            file.write_bytes(b"\x55" * 100)
    other = fresh("other.zarr")
    (other / ".zattrs").write_text("{}")
    odd = fresh("odd.zarr")
    scales = json.loads((odd / ".zattrs").read_text())["multiscales"]
    scales[0]["axes"] = [{"name": "q"}, {"name": "x"}]
    edit_json(odd / ".zattrs", multiscales=scales)
    outside = fresh("outside.zarr")
    scales = json.loads((outside / ".zattrs").read_text())["multiscales"]
    scales[0]["datasets"][0]["path"] = "../gone.zarr"
    edit_json(outside / ".zattrs", multiscales=scales)
    plate = fresh("plate.zarr")
    edit_json(plate / ".zattrs", plate=["not what it should be"])
    for path in (cut, gone, spoiled, other, odd, outside, plate):
        with pytest.raises(SamdeskError, match=path.name) as caught:
            open_source(path)
        assert caught.value.hint


def test_the_identity_follows_the_metadata(tmp_path: Path) -> None:
    path = write_zarr(tmp_path / "a.zarr", noise((100, 100)), "yx")
    before = open_source(path).identity
    assert open_source(path).identity == before
    edit_json(path / ".zattrs", note="edited")
    assert open_source(path).identity != before
