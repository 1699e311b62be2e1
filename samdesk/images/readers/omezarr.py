"""OME-Zarr (NGFF) 0.1 to 0.5: zarr 2 and zarr 3, sharded or not, images, labels, plates.

The metadata is read here from .zattrs or zarr.json; zarr reads the arrays. Must not know other
zarr layouts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Plane
from samdesk.domain.memory import BytesCache
from samdesk.images.readers.base import (
    RGB,
    BlockSource,
    Window,
    block_dtype,
    block_side,
    damaged,
    identity_of,
    make_channels,
    make_levels,
    make_pixel_size,
    micrometers,
    number,
    reason,
    unsupported,
    without_broken_levels,
)
from samdesk.images.readers.segments import read_window
from samdesk.images.source import Kind, Level, Pixels, PixelSize

CHUNK_CACHE = 256 << 20
"""Bytes of decoded large chunks that a source keeps, because several blocks need each."""

_METADATA = ("zarr.json", ".zattrs", ".zgroup")


@dataclass(kw_only=True, eq=False, repr=False)
class ZarrSource(BlockSource):
    """An OME-Zarr image; each of `parts` is a zarr array. `axes` are its dimensions, as in "tczyx"."""

    axes: str
    cache: BytesCache[Pixels]

    def _read(self, part: Any, level: Level, window: Window, plane: Plane, channel: int) -> Pixels:
        if self.kind == "rgb":
            planes = [self._plane(part, level, window, plane, c) for c in range(3)]
            return np.stack(planes, axis=-1)
        return self._plane(part, level, window, plane, channel)

    def _plane(self, part: Any, level: Level, window: Window, plane: Plane, channel: int) -> Pixels:
        height, width = (part.chunks[self.axes.index(axis)] for axis in "yx")
        if width <= level.block_width and height <= level.block_height:
            return self._pixels(part, window, plane, channel)

        def fetch(column: int, row: int) -> Pixels:
            key = (level.width, plane, channel, column, row)
            chunk = self.cache.get(key)
            if chunk is None:
                x, y = column * width, row * height
                whole = Window(x, y, min(x + width, level.width), min(y + height, level.height))
                chunk = self._pixels(part, whole, plane, channel)
                self.cache.put(key, chunk)
            return chunk

        return read_window(window, width, height, fetch)

    def _pixels(self, part: Any, window: Window, plane: Plane, channel: int) -> Pixels:
        where = {
            "t": plane.t,
            "c": channel,
            "z": plane.z,
            "y": slice(window.y0, window.y1),
            "x": slice(window.x0, window.x1),
        }
        pixels = np.asarray(part[tuple(where[axis] for axis in self.axes)])
        if self.axes.index("x") < self.axes.index("y"):
            pixels = pixels.T
        return np.ascontiguousarray(pixels, self.dtype)


def open_zarr(path: Path) -> ZarrSource | None:
    """Open the first image of an OME-Zarr folder, or of one of the metadata files in it.

    Returns
    -------
    ZarrSource or None
        None when there is no zarr metadata.

    Raises
    ------
    SamdeskError
        When there is, and it is no OME-Zarr image or is damaged.
    """
    folder = path.parent if path.name in _METADATA else path
    if not any((folder / name).is_file() for name in _METADATA):
        return None
    try:
        image = _first_image(folder)
        attributes = _attributes(image)
        if not attributes.get("multiscales"):
            raise unsupported(folder, "its zarr metadata describes no OME-Zarr image (no “multiscales”)")
        return without_broken_levels(_source(folder, image, attributes))
    except SamdeskError:
        raise
    except Exception as error:  # whatever a damaged file makes zarr raise
        raise damaged(folder, f"its OME-Zarr metadata is damaged ({reason(error)})") from error


def _first_image(folder: Path) -> Path:
    """Where the image is: here, in the first well of a plate, or in the first of a collection."""
    attributes = _attributes(folder)
    if "plate" in attributes and attributes["plate"].get("wells"):
        return _first_image(_inside(folder, attributes["plate"]["wells"][0].get("path")))
    if "well" in attributes and attributes["well"].get("images"):
        return _inside(folder, attributes["well"]["images"][0].get("path"))
    if "multiscales" not in attributes and "bioformats2raw.layout" in attributes:
        return _inside(folder, "0")
    return folder


def _inside(folder: Path, name: object) -> Path:
    inner = folder / str(name)
    if not inner.resolve().is_relative_to(folder.resolve()) or inner == folder or not inner.is_dir():
        raise damaged(folder, f"it refers to an image “{name}” that is not there")
    return inner


def _attributes(folder: Path) -> Mapping[str, Any]:
    """The OME attributes of a group, of zarr 3 (zarr.json, under "ome") or zarr 2 (.zattrs)."""
    try:
        if (folder / "zarr.json").is_file():
            attributes = json.loads((folder / "zarr.json").read_bytes()).get("attributes", {})
            found = attributes.get("ome", attributes)
        elif (folder / ".zattrs").is_file():
            found = json.loads((folder / ".zattrs").read_bytes())
        else:
            found = {}
        if not isinstance(found, dict):
            raise ValueError("not an object")
    except (ValueError, AttributeError) as error:
        raise damaged(folder, f"its zarr metadata is damaged ({reason(error)})") from error
    return found


def _axes(scales: Mapping[str, Any]) -> str:
    """One letter per dimension; versions before 0.3 named none and had always these five."""
    given = scales.get("axes", list("tczyx"))
    names = [axis["name"] if isinstance(axis, dict) else axis for axis in given]
    axes = "".join(str(name)[:1].lower() for name in names)
    if len(set(axes)) != len(axes) or not {"x", "y"} <= set(axes) <= set("tczyx"):
        raise ValueError(f"its axes are {', '.join(map(str, names))}")
    return axes


def _arrays(image: Path, datasets: Sequence[Mapping[str, Any]]) -> list[Any]:
    """The arrays that can be opened; the first one must be among them."""
    import zarr

    arrays = []
    for dataset in datasets:
        try:
            arrays.append(zarr.open_array(str(_inside(image, dataset["path"])), mode="r"))
        except Exception as error:  # a coarse level can be done without
            if not arrays:
                why = f"its full resolution is missing or damaged ({reason(error)})"
                raise damaged(image, why) from error
    return arrays


def _source(folder: Path, image: Path, attributes: Mapping[str, Any]) -> ZarrSource:
    scales = attributes["multiscales"][0]
    axes = _axes(scales)
    arrays = _arrays(image, scales["datasets"])
    x, y = axes.index("x"), axes.index("y")
    first = arrays[0]
    size = dict(zip(axes, first.shape, strict=True))
    others = [k for k in range(len(axes)) if k not in (x, y)]
    arrays = [a for a in arrays if all(a.shape[k] == first.shape[k] for k in others)]
    sizes = [(array.shape[x], array.shape[y]) for array in arrays]
    blocks = [(block_side(array.chunks[x]), block_side(array.chunks[y])) for array in arrays]
    omero = attributes.get("omero", {}).get("channels", [])
    count = size.get("c", 1)
    dtype = block_dtype(first.dtype)
    if dtype.kind not in "uif":
        raise unsupported(folder, f"pixels of type {dtype} are not supported")
    colors = [_color(channel.get("color")) for channel in omero]
    kind = _kind(attributes, dtype, count, colors)
    names = [str(channel["label"]) if channel.get("label") else None for channel in omero]
    return ZarrSource(
        path=folder,
        name=folder.name,
        identity=_identity(image, scales),
        levels=make_levels(sizes, blocks),
        dtype=dtype,
        kind=kind,
        channels=RGB if kind == "rgb" else make_channels(count, names[:count], colors[:count]),
        parts=tuple(arrays),
        size_z=size.get("z", 1),
        size_t=size.get("t", 1),
        pixel_size=_pixel_size(scales, axes),
        axes=axes,
        cache=BytesCache[Pixels](CHUNK_CACHE),
    )


def _kind(attributes: Mapping[str, Any], dtype: np.dtype[Any], count: int, colors: Sequence[object]) -> Kind:
    if "image-label" in attributes:
        return "label"
    # three 8-bit channels in red, green and blue, or of which nothing is said, are a color picture
    if dtype == np.uint8 and count == 3 and list(colors) in ([], [channel.color for channel in RGB]):
        return "rgb"
    return "multichannel"


def _pixel_size(scales: Mapping[str, Any], axes: str) -> PixelSize | None:
    """From the scale of level 0, times the one for all levels."""
    factors = [1.0] * len(axes)
    given = False
    for owner in (scales["datasets"][0], scales):
        for transform in owner.get("coordinateTransformations", ()):
            if transform.get("type") == "scale":
                factors = [a * b for a, b in zip(factors, transform["scale"], strict=True)]
                given = True
    if not given:
        return None
    units = [axis.get("unit") if isinstance(axis, dict) else None for axis in scales["axes"]]
    each = zip(axes, factors, units, strict=True)
    sizes = {axis: micrometers(number(factor), unit) for axis, factor, unit in each}
    return make_pixel_size(sizes["x"], sizes["y"], sizes.get("z"))


def _color(text: object) -> tuple[int, int, int] | None:
    try:
        value = int(str(text).lstrip("#")[:6], 16)
    except ValueError:
        return None
    return value >> 16, value >> 8 & 255, value & 255


def _identity(image: Path, scales: Mapping[str, Any]) -> str:
    """A folder has no size or date of its own: its metadata files stand for it."""
    folders = [image, *(image / str(dataset["path"]) for dataset in scales["datasets"])]
    files = [folder / name for folder in folders for name in (*_METADATA, ".zarray")]
    stats = [(str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in files if f.is_file()]
    return identity_of(image, stats)
