"""Reading meshes from GLB, glTF, OBJ, STL and PLY, with trimesh; brought into the z-up frame.

Must not know engines or windows.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from samdesk.domain.errors import MemoryFullError, SamdeskError
from samdesk.formats.atomic import file_error
from samdesk.recon.ply import read_header

from .glb import to_z_up
from .paint import Bytes, linear_to_srgb, srgb_to_linear
from .value import Mesh

if TYPE_CHECKING:
    import trimesh

MESH_SUFFIXES = (".glb", ".gltf", ".obj", ".stl", ".ply")
"""Endings of the files that can be read; PLY files of splats are not among them."""

_Y_UP = (".glb", ".gltf", ".obj")
_DISPLAYED = ("trimesh", "sam3d.cpp")
"""Programs that write display values where the format wants light; SAM 3D writes by the first."""


def read_mesh(path: Path) -> Mesh:
    """Read all triangles of a file as one mesh.

    Raises
    ------
    SamdeskError
        When it cannot be read, or holds no triangles.
    """
    suffix = path.suffix.lower()
    if suffix not in MESH_SUFFIXES:
        known = ", ".join(MESH_SUFFIXES)
        raise SamdeskError(f"{path} cannot be opened as a 3D object.", f"Files that can: {known}.")
    if suffix == ".ply":
        _refuse_points(path)
    try:
        path.open("rb").close()  # trimesh would say it in other words
        parts = _gltf_parts(path) if suffix in (".glb", ".gltf") else _parts(path)
        mesh = Mesh.concat([part for part in parts if len(part.faces)])
    except OSError as error:
        raise file_error(path, error, "read") from error
    except MemoryError as error:
        raise MemoryFullError(f"{path} cannot be read: it needs more memory than there is.") from error
    except Exception as error:  # what trimesh raises for a damaged file is not told
        reason = str(error).strip().rstrip(".") or type(error).__name__
        raise SamdeskError(
            f"{path} cannot be read as a 3D object: {reason[:200]}.",
            "The file may be damaged, or of a kind that is not supported.",
        ) from error
    if not len(mesh.faces):
        raise SamdeskError(f"{path} holds no triangles.", "Choose a file with a mesh.")
    if not np.isfinite(mesh.vertices).all():
        raise SamdeskError(f"{path} cannot be shown: some of its vertices are infinite or undefined.")
    return _z_up(mesh) if suffix in _Y_UP else mesh


def _refuse_points(path: Path) -> None:
    header = read_header(path)
    if not header.element("face").count:
        what = "splats" if "f_dc_0" in header.element("vertex").names else "points"
        raise SamdeskError(f"{path} holds {what}, no triangles.", "Choose a file with a mesh.")


def _z_up(mesh: Mesh) -> Mesh:
    normals = None if mesh.normals is None else to_z_up(mesh.normals)
    return replace(mesh, vertices=to_z_up(mesh.vertices), normals=normals)


def _parts(path: Path) -> list[Mesh]:
    import trimesh

    scene = trimesh.load_scene(path, process=False)
    parts = []
    for part, _ in _placed(scene):
        if path.suffix.lower() == ".stl":
            part.merge_vertices()  # the format shares none
        parts.append(_mesh_of(part, _colors_of(part)))
    return parts


def _gltf_parts(path: Path) -> list[Mesh]:
    import trimesh
    from trimesh.exchange.gltf import load_glb, load_gltf

    # colours as they lie in the file: trimesh would round them to 8 bit of light
    resolver = trimesh.resolvers.FilePathResolver(str(path))
    with path.open("rb") as file:
        load = load_glb if path.suffix.lower() == ".glb" else load_gltf
        contents = load(file, resolver=resolver)
    raw = {name: _raw_colors(values) for name, values in contents["geometry"].items()}
    generator = _generator(path)
    displayed = any(name in generator for name in _DISPLAYED)
    return [
        _mesh_of(part, _shown(part, raw[name], displayed))
        for part, name in _placed(trimesh.load_scene(contents))
    ]


def _placed(scene: trimesh.Scene) -> list[tuple[trimesh.Trimesh, str]]:
    """Meshes of a scene where their nodes put them, and the names of their geometries."""
    import trimesh

    found = []
    for node in scene.graph.nodes_geometry:
        matrix, name = scene.graph[node]
        part = scene.geometry[name]
        if isinstance(part, trimesh.Trimesh):
            found.append((part.copy(include_cache=True).apply_transform(matrix), name))
    return found


def _mesh_of(part: trimesh.Trimesh, colors: Bytes | None) -> Mesh:
    uv, texture = texture_of(part)
    given = "vertex_normals" in part._cache  # asking for them would make them
    return Mesh(
        np.asarray(part.vertices),
        np.asarray(part.faces),
        np.asarray(part.vertex_normals) if given else None,
        None if texture is not None else colors,
        uv if texture is not None else None,
        texture,
    )


def texture_of(part: trimesh.Trimesh) -> tuple[Any, Bytes | None]:
    """Places and texture of a mesh of trimesh, of any version; None twice where it has none."""
    uv = getattr(part.visual, "uv", None)
    material = getattr(part.visual, "material", None)
    image = getattr(material, "baseColorTexture", None) or getattr(material, "image", None)
    if image is None or uv is None or len(uv) != len(part.vertices):
        return None, None
    return np.asarray(uv), np.asarray(image.convert("RGB"), np.uint8)


def _colors_of(part: trimesh.Trimesh) -> Bytes | None:
    """Display values of vertices, for the formats that know no other."""
    visual = part.visual
    if visual.kind in ("vertex", "face"):
        return np.asarray(visual.vertex_colors, np.uint8)[:, :3]
    beside = part.vertex_attributes.get("color")  # where there is a material too
    if beside is not None and len(beside) == len(part.vertices):
        return np.rint(255 * _whole(beside)).astype(np.uint8)
    material = getattr(visual, "material", None)
    return None if material is None else _uniform(np.asarray(material.main_color, np.uint8)[:3], part)


def _uniform(color: Bytes, part: trimesh.Trimesh) -> Bytes:
    return np.broadcast_to(color, (len(part.vertices), 3))


def _raw_colors(contents: dict[str, Any]) -> NDArray[np.float32] | None:
    """Vertex colours 0..1 as they lie in the file."""
    colors = contents.get("vertex_colors")
    if colors is None:
        colors = getattr(contents.get("visual"), "vertex_attributes", {}).get("color")
    return None if colors is None else _whole(colors)


def _whole(colors: Any) -> NDArray[np.float32]:
    """Colours of any type as 0..1."""
    colors = np.asarray(colors)[:, :3]
    most = np.iinfo(colors.dtype).max if colors.dtype.kind in "iu" else 1
    parts: NDArray[np.float32] = np.clip(np.nan_to_num(colors / most), 0, 1).astype(np.float32)
    return parts


def _shown(part: trimesh.Trimesh, raw: NDArray[np.float32] | None, displayed: bool) -> Bytes | None:
    """Display values of the vertices of a glTF mesh, of their colours and of the material's."""
    factor = getattr(getattr(part.visual, "material", None), "baseColorFactor", None)
    tint = np.ones(3) if factor is None else np.asarray(factor, np.float64)[:3] / 255
    if raw is None:
        return None if factor is None else _uniform(linear_to_srgb(tint), part)
    light = srgb_to_linear(np.rint(255 * raw).astype(np.uint8)) if displayed else raw
    return linear_to_srgb(light * tint)


def _generator(path: Path) -> str:
    """What a glTF file says about the program that wrote it."""
    with path.open("rb") as file:
        head = file.read(20)
        is_binary = head[:4] == b"glTF"
        text = file.read(int.from_bytes(head[12:16], "little")) if is_binary else head + file.read()
    return str(json.loads(text).get("asset", {}).get("generator", ""))
