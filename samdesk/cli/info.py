"""`samdesk info`: what is in an image. Must not know the other commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from samdesk.images.readers import open_source
from samdesk.images.source import ImageSource


def run_info(path: Path, as_json: bool) -> int:
    """Print a description of the image at `path`."""
    source = open_source(path)
    try:
        found = describe(source)
    finally:
        source.close()
    if as_json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        for name, value in found.items():
            lines = value if isinstance(value, list) else [value]
            for number, line in enumerate(lines):
                print(f"{name if not number else '':<12} {line}")
    return 0


def describe(source: ImageSource) -> dict[str, Any]:
    """The facts about an image, as JSON values."""
    size = source.pixel_size
    return {
        "image": str(source.path),
        "size": f"{source.width} × {source.height} px",
        "planes": f"{source.size_z} z, {source.size_t} t",
        "pixels": f"{source.kind}, {source.dtype}",
        "channels": [
            f"{c.name} (#{c.color[0]:02x}{c.color[1]:02x}{c.color[2]:02x})" for c in source.channels
        ],
        "pixel size": f"{size.x:g} × {size.y:g} {size.unit}" if size else "not given",
        "magnification": f"{source.magnification:g}×" if source.magnification else "not given",
        "levels": [
            f"{level.width} × {level.height}, 1:{level.downsample:g}, "
            f"blocks {level.block_width} × {level.block_height}"
            for level in source.levels
        ],
        "associated": sorted(source.associated),
    }
