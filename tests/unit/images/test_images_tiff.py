"""The TIFF family: every layout gives the pixels, planes and facts that were written."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile

from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Plane, Region
from samdesk.images.readers import open_source
from samdesk.images.source import ImageSource, PixelSize, read_region
from tests.images_samples import check_threads, noise, smooth_rgb, write_pyramid


def everything(source: ImageSource, plane: Plane = Plane()) -> np.ndarray:
    return read_region(source, Region(0, 0, source.width, source.height), plane)


LAYOUTS: dict[str, dict[str, Any]] = {
    "one strip": {},
    "strips": {"rowsperstrip": 37},
    "deflate strips": {"rowsperstrip": 37, "compression": "zlib", "predictor": True},
    "one lzw strip": {"rowsperstrip": 1000, "compression": "lzw"},
    "tiles": {"tile": (256, 256)},
    "small zstd tiles": {"tile": (64, 128), "compression": "zstd", "predictor": True},
    "large deflate tiles": {"tile": (1536, 1536), "compression": "zlib"},
    "bigtiff": {"bigtiff": True, "tile": (128, 128)},
    "big-endian": {"byteorder": ">"},
    "big-endian tiles": {"byteorder": ">", "tile": (128, 128), "compression": "zlib", "predictor": True},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.int16, np.float32, np.float64])
def test_gray_of_every_layout_and_type(tmp_path: Path, layout: str, dtype: type) -> None:
    pixels = noise((611, 743), dtype)
    path = tmp_path / "gray.tif"
    tifffile.imwrite(path, pixels, photometric="minisblack", **LAYOUTS[layout])
    source = open_source(path)
    assert (source.kind, source.dtype, len(source.channels)) == ("multichannel", dtype, 1)
    assert source.channels[0].color == (255, 255, 255)
    assert max(source.levels[0].block_width, source.levels[0].block_height) <= 1024
    np.testing.assert_array_equal(everything(source)[0], pixels)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_color_of_every_layout(tmp_path: Path, layout: str, planar: str, dtype: type) -> None:
    pixels = noise((611, 743, 3), dtype)
    path = tmp_path / "color.tif"
    stored = pixels if planar == "contig" else np.moveaxis(pixels, -1, 0)
    tifffile.imwrite(path, stored, photometric="rgb", planarconfig=planar, **LAYOUTS[layout])
    source = open_source(path)
    assert (source.kind, source.dtype) == ("rgb", dtype)
    np.testing.assert_array_equal(everything(source), pixels)


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("layout", ["one strip", "deflate strips", "small zstd tiles"])
def test_many_channels_within_a_page(tmp_path: Path, planar: str, layout: str) -> None:
    pixels = noise((5, 300, 340))
    path = tmp_path / "channels.tif"
    stored = pixels if planar == "separate" else np.ascontiguousarray(np.moveaxis(pixels, 0, -1))
    tifffile.imwrite(path, stored, photometric="minisblack", planarconfig=planar, **LAYOUTS[layout])
    source = open_source(path)
    assert (source.kind, len(source.channels), source.size_z) == ("multichannel", 5, 1)
    np.testing.assert_array_equal(everything(source), pixels)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_hyperstack_of_imagej(tmp_path: Path, compression: str | None) -> None:
    stack = noise((3, 4, 2, 70, 90))
    path = tmp_path / "stack.tif"
    metadata = {"axes": "TZCYX", "spacing": 2.5, "unit": "um"}
    with tifffile.TiffWriter(path, imagej=True) as writer:
        writer.write(stack, metadata=metadata, resolution=(4, 5), compression=compression)
    source = open_source(path)
    assert (source.size_t, source.size_z, len(source.channels)) == (3, 4, 2)
    assert source.pixel_size == PixelSize(0.25, 0.2, 2.5, "µm")
    for t, z in np.ndindex(3, 4):
        np.testing.assert_array_equal(everything(source, Plane(z, t)), stack[t, z])
    with pytest.raises(IndexError):
        source.read_block(0, 0, 0, Plane(4, 0))


def test_imagej_colors_are_those_of_its_tables(tmp_path: Path) -> None:
    ramp = np.arange(256, dtype=np.uint8)
    zero = np.zeros_like(ramp)
    tables = [np.stack([ramp, zero, ramp]), np.stack([zero, ramp, ramp])]
    path = tmp_path / "colors.tif"
    metadata = {"axes": "CYX", "LUTs": tables, "mode": "composite", "unit": "micron"}
    tifffile.imwrite(path, noise((2, 40, 50)), imagej=True, metadata=metadata, resolution=(2, 2))
    source = open_source(path)
    assert [channel.color for channel in source.channels] == [(255, 0, 255), (0, 255, 255)]
    assert source.pixel_size == PixelSize(0.5, 0.5)


@pytest.mark.parametrize("bits", [8, 16])
def test_pages_of_one_size_are_a_stack(tmp_path: Path, bits: int) -> None:
    stack = noise((6, 50, 60), f"u{bits // 8}")
    path = tmp_path / "pages.tif"
    with tifffile.TiffWriter(path) as writer:
        for page in stack:
            writer.write(page, contiguous=False, metadata=None, compression="zlib")
    source = open_source(path)
    assert (source.size_z, source.size_t) == (6, 1)
    for z in range(6):
        np.testing.assert_array_equal(everything(source, Plane(z))[0], stack[z])


def test_ome_tiff_with_channels_planes_names_colors_and_units(tmp_path: Path) -> None:
    stack = noise((2, 3, 4, 90, 80))
    path = tmp_path / "stack.ome.tif"
    metadata = {
        "axes": "TCZYX",
        "PhysicalSizeX": 325.0,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": 0.325,
        "PhysicalSizeYUnit": "µm",
        "PhysicalSizeZ": 0.001,
        "PhysicalSizeZUnit": "mm",
        "Channel": {
            "Name": ["DAPI", "GFP", "Cy5"],
            "Color": [0x0000FFFF, 0x00FF00FF, 0xFF00FFFF - (1 << 32)],
        },
    }
    tifffile.imwrite(path, stack, ome=True, tile=(64, 64), photometric="minisblack", metadata=metadata)
    source = open_source(path)
    assert (source.size_t, source.size_z) == (2, 4)
    assert [channel.name for channel in source.channels] == ["DAPI", "GFP", "Cy5"]
    assert [channel.color for channel in source.channels] == [(0, 0, 255), (0, 255, 0), (255, 0, 255)]
    assert source.pixel_size is not None
    np.testing.assert_allclose(
        (source.pixel_size.x, source.pixel_size.y, source.pixel_size.z), (0.325, 0.325, 1)
    )
    for t, z in np.ndindex(2, 4):
        np.testing.assert_array_equal(everything(source, Plane(z, t)), stack[t, :, z])


def test_ome_channels_of_which_nothing_is_said_get_colors(tmp_path: Path) -> None:
    path = tmp_path / "plain.ome.tif"
    tifffile.imwrite(path, noise((3, 40, 50)), ome=True, photometric="minisblack", metadata={"axes": "CYX"})
    channels = open_source(path).channels
    assert len({channel.color for channel in channels}) == 3
    assert [channel.name for channel in channels] == ["Channel 1", "Channel 2", "Channel 3"]


@pytest.mark.parametrize("compression", ["jpeg", "zlib", "lzw", None])
def test_pyramid_in_subifds(tmp_path: Path, compression: str | None) -> None:
    rgb = smooth_rgb(1301, 901)
    source = open_source(write_pyramid(tmp_path / "p.ome.tif", rgb, 4, 256, compression=compression))
    assert [(level.width, level.height) for level in source.levels] == [
        (1301, 901),
        (651, 451),
        (326, 226),
        (163, 113),
    ]
    assert [level.downsample_x for level in source.levels] == [1, 2, 4, 8]
    assert [level.downsample_y for level in source.levels] == [1, 2, 4, 8]
    assert (source.levels[0].block_width, source.levels[0].block_height) == (256, 256)
    assert source.pixel_size == PixelSize(0.25, 0.25)
    difference = np.abs(everything(source).astype(int) - rgb)
    assert difference.mean() < 3 if compression == "jpeg" else difference.max() == 0
    with tifffile.TiffFile(source.path) as tif:
        for index, level in enumerate(tif.series[0].levels):
            block = source.read_block(index, 0, 0)
            np.testing.assert_array_equal(block, level.asarray()[: block.shape[0], : block.shape[1]])


@pytest.mark.parametrize("space", ["ycbcr", "rgb"])
def test_jpeg_of_either_color_space(tmp_path: Path, space: str) -> None:
    rgb = smooth_rgb(300, 200)
    path = tmp_path / "jpeg.tif"
    options = {"compression": "jpeg", "compressionargs": {"level": 98, "outcolorspace": space}}
    tifffile.imwrite(path, rgb, photometric="rgb", tile=(128, 128), **options)
    with tifffile.TiffFile(path) as tif:
        assert tif.pages[0].photometric.name == space.upper()
    source = open_source(path)
    assert source.kind == "rgb"
    assert np.abs(everything(source).astype(int) - rgb).mean() < 2


def test_jpeg_tiles_that_share_their_tables(tmp_path: Path) -> None:
    """As scanners write them: quantization and Huffman tables once, in a tag."""
    rgb = smooth_rgb(256, 128)
    tiles, shared = [], b""
    for x in (0, 128):
        data = imagecodecs.jpeg_encode(np.ascontiguousarray(rgb[:, x : x + 128]), level=95)
        tables, rest, position = b"", b"", 2
        while data[position + 1] != 0xDA:
            size = 2 + int.from_bytes(data[position + 2 : position + 4], "big")
            segment = data[position : position + size]
            if segment[1] in (0xDB, 0xC4):
                tables += segment
            elif segment[1] != 0xE0:  # JFIF, which is not used in TIFF
                rest += segment
            position += size
        shared = b"\xff\xd8" + tables + b"\xff\xd9"
        tiles.append(b"\xff\xd8" + rest + data[position:])
    path = tmp_path / "shared.tif"
    options = {"compression": "jpeg", "jpegtables": shared, "photometric": "ycbcr", "subsampling": (2, 2)}
    tifffile.imwrite(path, iter(tiles), shape=rgb.shape, dtype=np.uint8, tile=(128, 128), **options)
    source = open_source(path)
    assert np.abs(everything(source).astype(int) - rgb).mean() < 3


@pytest.mark.parametrize("reduced", [0, 1])
@pytest.mark.parametrize("factor", [2, 5])
def test_pyramid_in_pages(tmp_path: Path, reduced: int, factor: int) -> None:
    rgb = smooth_rgb(1200, 800)
    path = tmp_path / "pages.tif"
    with tifffile.TiffWriter(path) as writer:
        for power in range(3):
            step = factor**power
            kind = reduced if power else 0
            part = np.ascontiguousarray(rgb[::step, ::step])
            writer.write(part, tile=(128, 128), photometric="rgb", subfiletype=kind, metadata=None)
    source = open_source(path)
    assert [level.downsample for level in source.levels] == [1, factor, factor**2]
    assert source.size_z == 1


def test_a_second_picture_of_another_shape_is_no_level(tmp_path: Path) -> None:
    path = tmp_path / "two.tif"
    with tifffile.TiffWriter(path) as writer:
        for size in ((800, 600), (400, 400), (100, 50)):
            writer.write(smooth_rgb(*size), tile=(128, 128), photometric="rgb", metadata=None)
    assert len(open_source(path).levels) == 1


def test_palette_becomes_color(tmp_path: Path) -> None:
    index = noise((100, 120), np.uint8)
    table = noise((3, 256), np.uint16, seed=1)
    path = tmp_path / "palette.tif"
    tifffile.imwrite(path, index, photometric="palette", colormap=table)
    source = open_source(path)
    assert (source.kind, source.dtype) == ("rgb", np.uint8)
    np.testing.assert_array_equal(everything(source), (table >> 8).T[index])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_white_is_zero_is_turned_round(tmp_path: Path, dtype: type) -> None:
    pixels = noise((60, 70), dtype)
    path = tmp_path / "white.tif"
    tifffile.imwrite(path, pixels, photometric="miniswhite")
    np.testing.assert_array_equal(everything(open_source(path))[0], np.iinfo(dtype).max - pixels)


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_bits_become_black_and_white(tmp_path: Path, photometric: str) -> None:
    bits = noise((60, 71), np.uint8) > 128
    path = tmp_path / "bits.tif"
    tifffile.imwrite(path, bits, photometric=photometric)
    source = open_source(path)
    assert source.dtype == np.uint8
    light = bits if photometric == "minisblack" else ~bits
    np.testing.assert_array_equal(everything(source)[0], np.where(light, 255, 0))


def test_half_floats_become_floats(tmp_path: Path) -> None:
    pixels = noise((60, 70), np.float16)
    path = tmp_path / "half.tif"
    tifffile.imwrite(path, pixels)
    source = open_source(path)
    assert source.dtype == np.float32
    np.testing.assert_array_equal(everything(source)[0], pixels)


@pytest.mark.parametrize(
    ("extra", "expected"),
    [("unassalpha", (244, 216, 206)), ("assocalpha", (255, 255, 214)), ("unspecified", (200, 60, 10))],
)
def test_transparency_is_laid_on_white_where_it_is_meant(
    tmp_path: Path, extra: str, expected: tuple[int, int, int]
) -> None:
    rgba = np.full((40, 50, 4), (200, 60, 10, 51), np.uint8)
    path = tmp_path / "glass.tif"
    tifffile.imwrite(path, rgba, photometric="rgb", extrasamples=[extra])
    source = open_source(path)
    assert source.kind == "rgb"
    np.testing.assert_allclose(everything(source)[5, 5], expected, atol=1)


def test_printing_colors_become_screen_colors(tmp_path: Path) -> None:
    cmyk = np.zeros((40, 50, 4), np.uint8)
    cmyk[:, 25:] = (0, 255, 255, 0)
    cmyk[20:, :25] = (0, 0, 0, 255)
    path = tmp_path / "cmyk.tif"
    tifffile.imwrite(path, cmyk, photometric="separated", planarconfig="contig")
    found = everything(open_source(path))
    assert [tuple(found[y, x]) for y, x in ((0, 0), (0, 40), (30, 0))] == [(255,) * 3, (255, 0, 0), (0,) * 3]


@pytest.mark.parametrize(
    ("per_cm", "unit", "size"),
    [(40_000, "CENTIMETER", 0.25), (25_400, "INCH", 1.0), (300, "INCH", None), (40_000, "NONE", None)],
)
def test_resolution_tags_count_only_where_they_are_plausible(
    tmp_path: Path, per_cm: int, unit: str, size: float | None
) -> None:
    path = tmp_path / "tagged.tif"
    tifffile.imwrite(path, noise((40, 50), np.uint8), resolution=(per_cm, per_cm), resolutionunit=unit)
    assert open_source(path).pixel_size == (None if size is None else PixelSize(size, size))


def test_a_plane_that_the_file_lacks_is_empty(tmp_path: Path) -> None:
    stack = noise((2, 60, 70))
    path = tmp_path / "lacks.ome.tif"
    tifffile.imwrite(path, stack, ome=True, photometric="minisblack", metadata={"axes": "ZYX"})
    data = path.read_bytes()
    assert data.count(b'SizeZ="2"') == 1
    path.write_bytes(data.replace(b'SizeZ="2"', b'SizeZ="3"'))
    source = open_source(path)
    assert source.size_z == 3
    np.testing.assert_array_equal(everything(source, Plane(1))[0], stack[1])
    assert not everything(source, Plane(2)).any()


def test_an_image_over_several_files_is_one(tmp_path: Path) -> None:
    """Planes of one OME image in two files that name each other."""
    stack = noise((2, 60, 70))
    paths = [tmp_path / f"z{z}.ome.tif" for z in range(2)]
    ids = ["urn:uuid:00000000-0000-0000-0000-00000000000" + str(z) for z in range(2)]
    planes = "".join(
        f'<TiffData FirstZ="{z}" IFD="0" PlaneCount="1">'
        f'<UUID FileName="{path.name}">{ids[z]}</UUID></TiffData>'
        for z, path in enumerate(paths)
    )
    for z, path in enumerate(paths):
        xml = (
            '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="{ids[z]}"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" '
            'Type="uint16" SizeX="70" SizeY="60" SizeZ="2" SizeC="1" SizeT="1">'
            f'<Channel ID="Channel:0:0" SamplesPerPixel="1"/>{planes}</Pixels></Image></OME>'
        )
        tifffile.imwrite(path, stack[z], description=xml, metadata=None, compression="zlib")
    source = open_source(paths[0])
    assert source.size_z == 2
    for z in range(2):
        np.testing.assert_array_equal(everything(source, Plane(z))[0], stack[z])


def test_a_tile_that_was_never_written_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "sparse.tif"

    def tiles():
        yield np.full((128, 128), 7, np.uint8)
        yield None
        yield np.full((128, 128), 9, np.uint8)
        yield None

    tifffile.imwrite(
        path, tiles(), shape=(256, 256), dtype=np.uint8, tile=(128, 128), compression="zlib", photometric=1
    )
    found = everything(open_source(path))[0]
    assert [found[y, x] for y in (0, 200) for x in (0, 200)] == [7, 0, 9, 0]


def test_blocks_are_the_same_from_four_threads(tmp_path: Path) -> None:
    rgb = smooth_rgb(1500, 1100)
    paths = [write_pyramid(tmp_path / "jpeg.ome.tif", rgb, 3, 128, compression="jpeg")]
    paths.append(tmp_path / "strips.tif")
    tifffile.imwrite(paths[1], rgb, photometric="rgb", compression="zlib", rowsperstrip=50)
    paths.append(tmp_path / "raw.tif")
    tifffile.imwrite(paths[2], noise((4, 900, 1000)), photometric="minisblack", planarconfig="separate")
    for path in paths:
        check_threads(open_source(path))


def test_closing_while_others_read_ends_in_pixels_or_a_message(tmp_path: Path) -> None:
    source = open_source(write_pyramid(tmp_path / "p.ome.tif", smooth_rgb(1500, 1100), 2, 128))
    expected = source.read_block(0, 0, 0)

    def read(_: int) -> np.ndarray | str:
        try:
            return source.read_block(0, 0, 0)
        except SamdeskError as error:
            return error.message

    with ThreadPoolExecutor(4) as pool:
        results = pool.map(read, range(200))
        source.close()
        found = list(results)
    for result in found:
        if isinstance(result, str):
            assert "was closed" in result
        else:
            np.testing.assert_array_equal(result, expected)
    assert isinstance(found[-1], str)
