"""How much reading and composing cost beyond the libraries below them; ratios within one run.

Run `python -m tests.bench.test_images_bench`, or pytest with `--benchmark-only`. CPU time of
one thread, warm page cache.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile

from samdesk.domain.geometry import Plane, Region
from samdesk.domain.tasks import Task
from samdesk.images.contrast import ChannelDisplay, Compositor, Display, render_tile
from samdesk.images.pyramid import build_pyramid
from samdesk.images.readers import open_source
from samdesk.images.source import read_region
from samdesk.images.tiles import BlockCache
from tests.images_samples import noise, smooth_rgb, write_pyramid, write_svs, write_zarr

SIDE = 4096
Pair = tuple[Callable[[], object], Callable[[], object]]
"""What is measured, and the reference."""


def best(function: Callable[[], object], rounds: int = 5) -> float:
    """Least CPU seconds of a call."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times)


def all_blocks(path: Path) -> Callable[[], object]:
    source = open_source(path)
    grid = source.levels[0]
    keys = [(c, r) for r in range(grid.rows) for c in range(grid.columns)]
    channels = range(1 if source.kind == "rgb" else len(source.channels))

    def read() -> None:
        for key in keys:
            for channel in channels:
                source.read_block(0, *key, Plane(), channel)

    return read


def raw_segments(path: Path) -> Callable[[], object]:
    """Every tile by tifffile alone: read, decode, nothing else."""
    tif = tifffile.TiffFile(path)
    page = tif.pages[0]
    spans = list(enumerate(zip(page.dataoffsets, page.databytecounts, strict=True)))

    def read() -> None:
        for index, (offset, count) in spans:
            tif.filehandle.seek(offset)
            data = tif.filehandle.read(count)
            if page.compression == 7:
                page.decode(data, index, jpegtables=page.jpegtables)
            else:
                page.decode(data, index)

    return read


def zarr_blocks(array: Any, side: int) -> Callable[[], object]:
    height, width = array.shape[-2:] if array.shape[-1] > 4 else array.shape[:2]
    rows = array.shape[-1] <= 4  # color last

    def read() -> None:
        for y in range(0, height, side):
            for x in range(0, width, side):
                box = (slice(y, y + side), slice(x, x + side))
                array[box] if rows else array[(..., *box)]

    return read


def tiff_pairs(folder: Path) -> dict[str, Pair]:
    import zarr

    rgb, gray = smooth_rgb(SIDE, SIDE), (noise((SIDE // 2, SIDE // 2)) >> 4)
    pairs: dict[str, Pair] = {}
    for side in (256, 512):
        path = write_pyramid(folder / f"jpeg{side}.ome.tif", rgb, 1, side)
        pairs[f"JPEG tiles of {side} px : raw tifffile"] = (all_blocks(path), raw_segments(path))
        store = zarr.open(tifffile.imread(path, aszarr=True), mode="r")
        pairs[f"JPEG tiles of {side} px : tifffile through zarr"] = (
            all_blocks(path),
            zarr_blocks(store, side),
        )
    path = write_pyramid(folder / "zstd.ome.tif", gray, 1, 512, compression="zstd", predictor=True)
    pairs["16-bit zstd tiles of 512 px : raw tifffile"] = (all_blocks(path), raw_segments(path))
    path = write_svs(folder / "slide.svs", rgb, tile=256)
    pairs["SVS tiles of 256 px : raw tifffile"] = (all_blocks(path), raw_segments(path))
    path = folder / "strips.tif"
    tifffile.imwrite(path, rgb, photometric="rgb")
    pairs["uncompressed strips in blocks of 512 px : tifffile.imread"] = (
        all_blocks(path),
        lambda: tifffile.imread(path),
    )
    return pairs


def zarr_pairs(folder: Path) -> dict[str, Pair]:
    import zarr

    gray = noise((SIDE // 2, SIDE // 2)) >> 4
    pairs: dict[str, Pair] = {}
    for version, shard in ((2, 0), (3, 1024)):
        path = write_zarr(folder / f"{version}.zarr", gray, "yx", version=version, chunk=512, shard=shard)
        array = zarr.open_array(str(path / "0"), mode="r")
        pairs[f"OME-Zarr, zarr {version}, chunks of 512 px : zarr alone"] = (
            all_blocks(path),
            zarr_blocks(array, 512),
        )
    return pairs


def compose_pairs(folder: Path) -> dict[str, Pair]:
    colors = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0))
    ranges = [ChannelDisplay(True, 100.0 * k, 40_000 + 1000.0 * k, color) for k, color in enumerate(colors)]
    display = Display(tuple(ranges))
    blocks = noise((4, 512, 512))

    def by_floats(values: np.ndarray) -> np.ndarray:
        total = np.zeros((512, 512, 3), np.float32)
        for block, channel in zip(values, ranges, strict=True):
            x = np.clip((block.astype(np.float32) - channel.low) / (channel.high - channel.low), 0, 1)
            total += x[..., None] * np.array(channel.color, np.float32)
        bgra = np.full((512, 512, 4), 255, np.uint8)
        bgra[..., :3] = np.clip(total, 0, 255)[..., ::-1]
        return bgra

    ready = Compositor("multichannel", blocks.dtype, display)
    floats = noise((4, 512, 512), np.float32) * 40_000
    ready_floats = Compositor("multichannel", floats.dtype, display)
    rgb = smooth_rgb(512, 512)
    plain = Display(tuple(ChannelDisplay(True, 0, 255, color) for color in colors[:3]))
    ready_rgb = Compositor("rgb", rgb.dtype, plain)

    def many(function: Callable[[], object]) -> Callable[[], object]:
        return lambda: [function() for _ in range(10)]

    return {
        "10 tiles of 4 channels, 16 bit : float numpy": (
            many(lambda: ready.compose(list(blocks))),
            many(lambda: by_floats(blocks)),
        ),
        "10 tiles of 4 channels, float : float numpy": (
            many(lambda: ready_floats.compose(list(floats))),
            many(lambda: by_floats(floats)),
        ),
        "10 tiles of 8-bit color : cv2.cvtColor": (
            many(lambda: ready_rgb.compose(rgb)),
            many(lambda: cv2.cvtColor(rgb, cv2.COLOR_RGB2BGRA)),
        ),
        "10 new tables for 4 channels : float numpy, 10 tiles": (
            many(lambda: Compositor("multichannel", blocks.dtype, display)),
            many(lambda: by_floats(blocks)),
        ),
    }


def region_pairs(folder: Path) -> dict[str, Pair]:
    source = open_source(write_pyramid(folder / "p.ome.tif", smooth_rgb(SIDE, SIDE), 4, 512))
    chip = Region(1000, 1000, 1024, 1024, 2)
    shifted = Region(1000.3, 1000.7, 1024, 1024, 2.5)
    cache = BlockCache()
    plain = Display(tuple(ChannelDisplay(True, 0, 255, (255, 255, 255)) for _ in range(3)))
    pixels = np.array(read_region(source, Region(1000, 1000, 2048, 2048)))
    keys = [(c, r) for r in range(4) for c in range(4)]
    return {
        "chip of 1024 px on a level, cached blocks : cv2.resize of 2048 px to it": (
            lambda: read_region(source, chip, cache=cache),
            lambda: cv2.resize(pixels, (1024, 1024), interpolation=cv2.INTER_AREA),
        ),
        "chip between levels, off the pixel grid : chip on it": (
            lambda: read_region(source, shifted, cache=cache),
            lambda: read_region(source, chip, cache=cache),
        ),
        "16 canvas tiles, uncached : reading their blocks": (
            lambda: [render_tile(source, 1, *key, Plane(), plain) for key in keys],
            lambda: [source.read_block(1, *key) for key in keys],
        ),
    }


def pyramid_pairs(folder: Path) -> dict[str, Pair]:
    rgb = smooth_rgb(SIDE, SIDE)
    png = folder / "p.png"
    png.write_bytes(cv2.imencode(".png", rgb)[1].tobytes())
    flat = open_source(png)
    return {
        "16 MP picture, open : cv2.imdecode": (
            lambda: open_source(png),
            lambda: cv2.imdecode(np.fromfile(png, np.uint8), cv2.IMREAD_UNCHANGED),
        ),
        "16 MP picture, pyramid in memory : cv2.imdecode": (
            lambda: build_pyramid(flat, folder, Task()),
            lambda: cv2.imdecode(np.fromfile(png, np.uint8), cv2.IMREAD_UNCHANGED),
        ),
    }


GROUPS = (tiff_pairs, zarr_pairs, compose_pairs, region_pairs, pyramid_pairs)


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.__name__)
def test_bench_images(benchmark: Any, tmp_path: Path, group: Callable[[Path], dict[str, Pair]]) -> None:
    pairs = group(tmp_path)
    for name, (ours, reference) in pairs.items():
        benchmark.extra_info[name] = report(name, ours, reference)
    benchmark.pedantic(next(iter(pairs.values()))[0], rounds=3)


def report(name: str, ours: Callable[[], object], reference: Callable[[], object]) -> float:
    mine, theirs = best(ours), best(reference)
    print(f"{mine / theirs:7.2f}  {mine * 1e3:9.2f} ms / {theirs * 1e3:9.2f} ms  {name}")
    return mine / theirs


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        for group in GROUPS:
            for name, pair in group(Path(folder)).items():
                report(name, *pair)
