"""Image files for tests: small ones of every family, large pyramids, and broken ones.

Everything is made from seeds by the same libraries that users' files are made with.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

from samdesk.domain.geometry import Plane
from samdesk.images.source import ImageSource

Array = NDArray[Any]


def smooth_rgb(width: int, height: int, seed: int = 0, sigma: float = 4.0) -> NDArray[np.uint8]:
    """A color picture without hard edges, which JPEG hardly changes: (height, width, 3)."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
    blurred = cv2.GaussianBlur(noise, (0, 0), sigma)
    return cv2.normalize(blurred, None, 20, 235, cv2.NORM_MINMAX)


def noise(shape: Sequence[int], dtype: Any = np.uint16, seed: int = 0) -> Array:
    """Values over the whole range of the type (floats: -1 to 1)."""
    rng = np.random.default_rng(seed)
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return rng.uniform(-1, 1, shape).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)


def disc(size: int, x: float, y: float, radius: float, steps: int = 8) -> NDArray[np.float32]:
    """A disc of value 1 on 0, the coverage of border pixels exact to 1/steps^2; (x, y) on pixel edges."""
    position = (np.arange(size * steps) + 0.5) / steps
    inside = (position[None] - x) ** 2 + (position[:, None] - y) ** 2 < radius**2
    return inside.reshape(size, steps, size, steps).mean((1, 3), dtype=np.float32)


def check_threads(source: ImageSource, rounds: int = 2) -> None:
    """Assert that four threads reading all blocks at once get what one alone gets."""
    keys = [
        (level, column, row, Plane(z, t), channel)
        for level, grid in enumerate(source.levels)
        for row, column in np.ndindex(grid.rows, grid.columns)
        for z, t in np.ndindex(source.size_z, source.size_t)
        for channel in range(1 if source.kind == "rgb" else len(source.channels))
    ]

    def read(key: tuple[int, int, int, Plane, int]) -> Array:
        return source.read_block(*key)

    alone = [read(key) for key in keys]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(rounds):
            for one, other in zip(alone, pool.map(read, keys), strict=True):
                np.testing.assert_array_equal(one, other)


def centroid(values: Array) -> tuple[float, float]:
    """The center of mass of (h, w) in array pixels, on pixel edges."""
    weights = values.astype(np.float64)
    y, x = np.indices(values.shape) + 0.5
    return float((weights * x).sum() / weights.sum()), float((weights * y).sum() / weights.sum())


def halved(pixels: Array) -> Array:
    """Half the size, rounded up, by area means."""
    height, width = pixels.shape[:2]
    padded = np.pad(pixels, [(0, height % 2), (0, width % 2), *[(0, 0)] * (pixels.ndim - 2)], mode="edge")
    half = cv2.resize(padded, (padded.shape[1] // 2, padded.shape[0] // 2), interpolation=cv2.INTER_AREA)
    return np.asarray(half)


def write_pyramid(
    path: Path,
    rgb: Array,
    levels: int,
    tile: int = 512,
    *,
    compression: str | None = "jpeg",
    pixel_size: float = 0.25,
    **options: Any,
) -> Path:
    """A pyramidal OME-TIFF with SubIFDs, each level half the size of the one before.

    `rgb` is (h, w, 3) uint8, or (h, w) of any type with ``photometric="minisblack"``.
    """
    axes = "YXS" if rgb.ndim == 3 else "YX"
    color = {"photometric": "rgb" if rgb.ndim == 3 else "minisblack"}
    tiles = {"tile": (tile, tile), "compression": compression, "maxworkers": 1, **color, **options}
    size = {"PhysicalSizeX": pixel_size, "PhysicalSizeY": pixel_size}
    with tifffile.TiffWriter(path, bigtiff=True, ome=True) as writer:
        writer.write(rgb, subifds=levels - 1, metadata={"axes": axes, **size}, **tiles)
        for _ in range(levels - 1):
            rgb = halved(rgb)
            writer.write(rgb, subfiletype=1, metadata=None, **tiles)
    return path


def write_svs(path: Path, rgb: NDArray[np.uint8], *, thumbnail: bool = True, tile: int = 240) -> Path:
    """A file laid out as Aperio's: levels 1, 4 and 16, a label and a macro image."""
    height, width = rgb.shape[:2]
    head = f"Aperio Image Library v11.2.1 \r\n{width}x{height}"
    tiles: dict[str, Any] = {
        "tile": (tile, tile),
        "compression": "jpeg",
        "compressionargs": {"level": 95},
        "photometric": "rgb",
        "metadata": None,
    }
    strips: dict[str, Any] = {"rowsperstrip": 16, "photometric": "rgb", "metadata": None}
    with tifffile.TiffWriter(path) as writer:
        text = f"{head} [0,0 {width}x{height}] ({tile}x{tile}) JPEG/RGB Q=70|AppMag = 20|MPP = 0.4990"
        writer.write(rgb, description=text, **tiles)
        if thumbnail:
            small = cv2.resize(rgb, (width // 5, height // 5), interpolation=cv2.INTER_AREA)
            writer.write(small, description=f"{head} -> thumbnail", compression="jpeg", **strips)
        for factor in (4, 16):
            small = cv2.resize(rgb, (width // factor, height // factor), interpolation=cv2.INTER_AREA)
            writer.write(small, description=f"{head} -> {factor}", **tiles)
        label, macro = np.full((100, 80, 3), 200, np.uint8), np.full((60, 150, 3), 100, np.uint8)
        text = "Aperio Image Library\r\n"
        writer.write(label, description=text + "label 80x100", subfiletype=1, compression="lzw", **strips)
        writer.write(macro, description=text + "macro 150x60", subfiletype=9, compression="jpeg", **strips)
    return path


def write_philips(path: Path, rgb: NDArray[np.uint8]) -> Path:
    """A slide in Philips TIFF: levels 1 and 2, 0.25 µm."""

    def attribute(name: str, where: str, kind: str, value: str) -> str:
        group, element = where.split(",")
        return (
            f'<Attribute Name="{name}" Group="{group}" Element="{element}" PMSVR="{kind}">{value}</Attribute>'
        )

    def spacing(mm: float) -> str:
        both = f"&quot;{mm}&quot; &quot;{mm}&quot;"
        return attribute("DICOM_PIXEL_SPACING", "0x0028,0x0030", "IDoubleArray", both)

    def array(name: str, where: str, members: str) -> str:
        return attribute(name, where, "IDataObjectArray", f"<Array>{members}</Array>")

    def thing(kind: str, members: str) -> str:
        return f'<DataObject ObjectType="{kind}">{members}</DataObject>'

    name = "PIIM_PIXEL_DATA_REPRESENTATION_NUMBER"
    levels = "".join(
        thing("PixelDataRepresentation", spacing(mm) + attribute(name, "0x1001,0x8B02", "IUInt16", str(k)))
        for k, mm in enumerate((0.00025, 0.0005))
    )
    name = "PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE"
    image = attribute("PIM_DP_IMAGE_TYPE", "0x301D,0x1004", "IString", "WSI") + spacing(0.00025)
    image += array(name, "0x1001,0x8B01", levels)
    images = array("PIM_DP_SCANNED_IMAGES", "0x301D,0x1003", thing("DPScannedImage", image))
    xml = '<?xml version="1.0" encoding="UTF-8" ?>' + thing("DPUfsImport", images)
    options: dict[str, Any] = {
        "tile": (512, 512),
        "compression": "jpeg",
        "compressionargs": {"level": 95},
        "photometric": "rgb",
        "software": "Philips DP v1.0",
        "metadata": None,
    }
    with tifffile.TiffWriter(path) as writer:
        writer.write(rgb, description=xml, **options)
        writer.write(halved(rgb), subfiletype=1, **options)
    return path


def write_zarr(
    path: Path,
    array: Array,
    axes: str,
    *,
    version: int = 2,
    levels: int = 1,
    chunk: int = 256,
    shard: int = 0,
    scale: float = 0.5,
    unit: str = "micrometer",
    attributes: dict[str, Any] | None = None,
) -> Path:
    """An OME-Zarr image: 0.4 for zarr 2, 0.5 for zarr 3; every level takes each second pixel."""
    import zarr

    group = zarr.open_group(str(path), mode="w", zarr_format=version)
    kinds = {"t": "time", "c": "channel"}
    described = [
        {"name": axis, "type": kinds[axis]}
        if axis in kinds
        else {"name": axis, "type": "space", "unit": unit}
        for axis in axes
    ]
    datasets = []
    for level in range(levels):
        step = tuple(slice(None, None, 2**level) if axis in "yx" else slice(None) for axis in axes)
        part = array[step]

        def sides(side: int) -> tuple[int, ...]:
            return tuple(side if axis in "yx" else 1 for axis in axes)

        more = {"shards": sides(shard)} if shard else {}
        target = group.create_array(
            str(level), shape=part.shape, chunks=sides(chunk), dtype=part.dtype, **more
        )
        target[...] = part
        factors = [scale * 2**level if axis in "yx" else 1.0 for axis in axes]
        transform = {"type": "scale", "scale": factors}
        datasets.append({"path": str(level), "coordinateTransformations": [transform]})
    content = {"multiscales": [{"axes": described, "datasets": datasets}], **(attributes or {})}
    group.attrs.update(content if version == 2 else {"ome": {"version": "0.5", **content}})
    return path


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def write_lying_png(path: Path, width: int, height: int) -> Path:
    """A PNG of a few bytes whose header claims that size in color."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = (
        png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(bytes(1000))) + png_chunk(b"IEND", b"")
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    return path


def exif_orientation(value: int) -> bytes:
    """An EXIF block that holds only the orientation."""
    return b"II*\0" + struct.pack("<IHHHII", 8, 1, 0x0112, 3, 1, value) + bytes(4)


def write_jpeg(path: Path, bgr: Array, orientation: int = 1) -> Path:
    encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    block = b"Exif\0\0" + exif_orientation(orientation)
    marker = b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block
    path.write_bytes(encoded[:2] + marker + encoded[2:])
    return path


def truncate(path: Path, fraction: float = 0.5) -> Path:
    """Keep only the first part of a file."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * fraction)])
    return path


def spoil_tiff_level(path: Path, level: int) -> Path:
    """Overwrite the tiles of one level with bytes that no decoder takes."""
    with tifffile.TiffFile(path) as tif:
        page = tif.series[0].levels[level].keyframe
        spans = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    with path.open("r+b") as file:
        for offset, count in spans:
            file.seek(offset)
            file.write(b"\x55" * count)
    return path


def edit_json(path: Path, **changes: Any) -> None:
    """Change members of a JSON file."""
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | changes))
