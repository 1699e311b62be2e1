"""Writing GLB: one mesh, y up, matt, with linear colours as the format wants them.

Written here and not by trimesh, whose vertex colours are 8 bit of light: that loses dark tones.
Must not know engines or windows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samdesk.domain.errors import SamdeskError
from samdesk.formats.atomic import replacing

from .paint import png, srgb_to_linear
from .value import Mesh

_FLOAT, _USHORT, _UINT = 5126, 5123, 5125
_VERTEX_DATA, _INDICES = 34962, 34963
_MATTER = {"metallicFactor": 0.0, "roughnessFactor": 1.0}
_LARGEST = (1 << 32) - (1 << 20)


def write_glb(path: Path, mesh: Mesh, extras: Mapping[str, Any] | None = None) -> None:
    """Write a mesh with its normals and its texture or vertex colours, whole or not at all.

    Parameters
    ----------
    extras : mapping, optional
        JSON values that are kept in the file's `asset` and `scene`.

    Raises
    ------
    SamdeskError
        When it cannot be written, or there is nothing to write.
    """
    refuse_unfit(path, mesh)
    document, data = _document(mesh.with_normals(), dict(extras or {}))
    head = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 4)
    size = 12 + 8 + len(head) + 8 + len(data)
    if size > _LARGEST:
        raise SamdeskError(f"{path} cannot be written: the mesh is too large for a GLB file.")
    with replacing(path) as fresh, fresh.open("wb") as file:
        file.write(b"glTF" + np.array([2, size, len(head)], "<u4").tobytes() + b"JSON" + head)
        file.write(np.array([len(data)], "<u4").tobytes() + b"BIN\0")
        file.write(data)


def refuse_unfit(path: Path, mesh: Mesh) -> None:
    """Raise `SamdeskError` for a mesh that no file can hold."""
    if not len(mesh.faces):
        raise SamdeskError(f"{path} cannot be written: the mesh has no faces.")
    if not np.isfinite(mesh.vertices).all():
        raise SamdeskError(f"{path} cannot be written: some vertices are infinite or undefined.")


def to_y_up(vectors: NDArray[np.floating]) -> NDArray[np.floating]:
    """Vectors of a z-up frame in the y-up frame of GLB and OBJ files: (x, z, -y)."""
    return np.stack((vectors[:, 0], vectors[:, 2], -vectors[:, 1]), 1)


def to_z_up(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The way back: (x, -z, y)."""
    return np.stack((vectors[:, 0], -vectors[:, 2], vectors[:, 1]), 1)


def unit_normals(mesh: Mesh) -> NDArray[np.floating]:
    """Normals of length 1, as readers want them."""
    normals = mesh.with_normals().normals
    assert normals is not None
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    fine = np.isfinite(lengths) & (lengths > 0)
    up = np.array([0.0, 0.0, 1.0], np.float32)
    return np.where(fine, normals / np.where(fine, lengths, 1), up)


class _Bin:
    """The binary part, and what is told about it."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[dict[str, int]] = []
        self.accessors: list[dict[str, Any]] = []

    def view(self, data: bytes, target: int | None = None) -> int:
        self.views.append({"buffer": 0, "byteOffset": len(self.data), "byteLength": len(data)})
        if target is not None:
            self.views[-1]["target"] = target
        self.data += data + bytes(-len(data) % 4)
        return len(self.views) - 1

    def accessor(self, values: NDArray[Any], kind: int, shape: str, target: int, **more: Any) -> int:
        self.accessors.append(
            {
                "bufferView": self.view(values.tobytes(), target),
                "componentType": kind,
                "count": len(values),
                "type": shape,
                **more,
            }
        )
        return len(self.accessors) - 1

    def floats(self, values: NDArray[np.floating], **more: Any) -> int:
        shape = f"VEC{values.shape[1]}"
        return self.accessor(values.astype("<f4"), _FLOAT, shape, _VERTEX_DATA, **more)


def _document(mesh: Mesh, extras: dict[str, Any]) -> tuple[dict[str, Any], bytearray]:
    bin_ = _Bin()
    places = to_y_up(mesh.vertices).astype(np.float32)
    corners = {"min": places.min(0).tolist(), "max": places.max(0).tolist()}
    attributes = {
        "POSITION": bin_.floats(places, **corners),
        "NORMAL": bin_.floats(to_y_up(unit_normals(mesh))),
    }
    material: dict[str, Any] = {"pbrMetallicRoughness": dict(_MATTER), "doubleSided": True}
    more: dict[str, Any] = {}
    if mesh.texture is not None and mesh.uv is not None:
        # the format's places count from the top
        attributes["TEXCOORD_0"] = bin_.floats(np.stack((mesh.uv[:, 0], 1 - mesh.uv[:, 1]), 1))
        material["pbrMetallicRoughness"]["baseColorTexture"] = {"index": 0}
        picture = bin_.view(png(mesh.texture))
        more = {
            "textures": [{"source": 0, "sampler": 0}],
            "images": [{"bufferView": picture, "mimeType": "image/png"}],
            "samplers": [{"magFilter": 9729, "minFilter": 9987, "wrapS": 10497, "wrapT": 10497}],
        }
    elif mesh.colors is not None:
        attributes["COLOR_0"] = bin_.floats(srgb_to_linear(mesh.colors))
    # the largest number of a type means "start anew"
    small = len(mesh.vertices) < 65535
    rows = mesh.faces.ravel().astype("<u2" if small else "<u4")
    indices = bin_.accessor(rows, _USHORT if small else _UINT, "SCALAR", _INDICES)
    noted = {"extras": extras} if extras else {}
    return {
        "asset": {"version": "2.0", "generator": "samdesk", **noted},
        "scene": 0,
        "scenes": [{"nodes": [0], **noted}],
        "nodes": [{"mesh": 0, "name": "object"}],
        "meshes": [
            {
                "name": "object",
                "primitives": [{"attributes": attributes, "indices": indices, "material": 0, "mode": 4}],
            }
        ],
        "materials": [material],
        **more,
        "accessors": bin_.accessors,
        "bufferViews": bin_.views,
        "buffers": [{"byteLength": len(bin_.data)}],
    }, bin_.data
