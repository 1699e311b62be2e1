"""Writing OBJ with its material and texture, STL in millimetres, and PLY.

Must not know engines or windows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from samdesk.domain.errors import SamdeskError
from samdesk.formats.atomic import replacing
from samdesk.recon.ply import header_text

from .glb import refuse_unfit, to_y_up, unit_normals
from .paint import png
from .value import Mesh

_BLOCK = 1 << 15
_MATERIAL = "object"
_FACET = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("unused", "<u2")])


def write_obj(path: Path, mesh: Mesh, comments: Sequence[str] = ()) -> None:
    """Write a mesh, y up, as OBJ; beside it the material (.mtl) and the texture (_texture.png).

    Either all files are written or none. Vertex colours follow the coordinates, as most programs
    take them.

    Raises
    ------
    SamdeskError
        When it cannot be written, or there is nothing to write.
    """
    refuse_unfit(path, mesh)
    # a blank ends a name in some readers
    stem = "_".join(path.stem.split())
    library, picture = path.with_name(f"{stem}.mtl"), path.with_name(f"{stem}_texture.png")
    # what is entered first takes its place last: the OBJ file never names a file that is not there
    with ExitStack() as stack:
        fresh = stack.enter_context(replacing(path))
        fresh_library = stack.enter_context(replacing(library))
        if mesh.texture is not None and mesh.uv is not None:
            stack.enter_context(replacing(picture)).write_bytes(png(mesh.texture))
        fresh_library.write_text(_material(mesh, picture.name, comments), "utf-8")
        with fresh.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(f"# {line}\n" for line in _lines(comments))
            file.write(f"mtllib {library.name}\no object\n")
            file.writelines(_obj_rows(mesh))


def write_stl(path: Path, mesh: Mesh, size_mm: float, comment: str = "") -> None:
    """Write a mesh for printing: z up, its longest side `size_mm` long, its lowest corner at 0.

    Parameters
    ----------
    comment : str
        For the file's header, of which 60 characters are kept.

    Raises
    ------
    SamdeskError
        When it cannot be written, there is nothing to write, or it has no size.
    """
    refuse_unfit(path, mesh)
    if not (np.isfinite(size_mm) and size_mm > 0):
        raise SamdeskError(f"{path} cannot be written: {size_mm} mm is not a size.", "Give more than 0 mm.")
    low, high = mesh.bounds()
    longest = float((high - low).max())
    if longest <= 0:
        raise SamdeskError(f"{path} cannot be written: the mesh is a single point.")
    corners = ((mesh.vertices - low) * (size_mm / longest))[mesh.faces]
    facets = np.zeros(len(corners), _FACET)
    facets["corners"] = corners
    facets["normal"] = _facet_normals(corners)
    # "solid" at the start would say that the file is text
    head = f"samdesk, mm. {' '.join(comment.split())}".encode("ascii", "replace")[:80].ljust(80)
    with replacing(path) as fresh, fresh.open("wb") as file:
        file.write(head + np.array([len(facets)], "<u4").tobytes())
        file.write(facets.tobytes())


def write_ply(path: Path, mesh: Mesh, comments: Sequence[str] = ()) -> None:
    """Write a mesh as PLY, z up, with normals and colours of its vertices.

    Raises
    ------
    SamdeskError
        When it cannot be written, or there is nothing to write.
    """
    refuse_unfit(path, mesh)
    colors = mesh.vertex_colors()
    kinds = [(name, "<f4") for name in ("x", "y", "z", "nx", "ny", "nz")]
    names = ", ".join(f"float {name}" for name, _ in kinds)
    if colors is not None:
        kinds += [(name, "u1") for name in ("red", "green", "blue")]
        names += ", uchar red, uchar green, uchar blue"
    rows = np.empty(len(mesh.vertices), kinds)
    normals = unit_normals(mesh)
    for axis in range(3):
        rows["xyz"[axis]] = mesh.vertices[:, axis]
        rows[f"n{'xyz'[axis]}"] = normals[:, axis]
        if colors is not None:
            rows[("red", "green", "blue")[axis]] = colors[:, axis]
    faces = np.empty(len(mesh.faces), [("count", "u1"), ("rows", "<i4", 3)])
    faces["count"], faces["rows"] = 3, mesh.faces
    elements = (
        ("vertex", len(rows), names),
        ("face", len(faces), "list uchar int vertex_indices"),
    )
    with replacing(path) as fresh, fresh.open("wb") as file:
        file.write(header_text("binary_little_endian", elements, tuple(comments)))
        file.write(rows.tobytes())
        file.write(faces.tobytes())


def _facet_normals(corners: NDArray[np.floating]) -> NDArray[np.floating]:
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    lengths = np.linalg.norm(across, axis=1, keepdims=True)
    normals: NDArray[np.floating] = across / np.where(lengths > 0, lengths, 1)
    return normals


def _lines(comments: Sequence[str]) -> list[str]:
    return [" ".join(comment.split()) for comment in comments]


def _material(mesh: Mesh, picture: str, comments: Sequence[str]) -> str:
    lines = [f"# {line}" for line in _lines(comments)]
    lines += [f"newmtl {_MATERIAL}", "Ka 1 1 1", "Kd 1 1 1", "Ks 0 0 0", "d 1", "illum 1"]
    if mesh.is_textured:
        lines.append(f"map_Kd {picture}")
    return "\n".join([*lines, ""])


def _obj_rows(mesh: Mesh) -> Iterator[str]:
    places = to_y_up(mesh.vertices)
    if mesh.colors is not None and not mesh.is_textured:
        yield from _formatted("v %.7g %.7g %.7g %.4f %.4f %.4f\n", np.hstack((places, mesh.colors / 255)))
    else:
        yield from _formatted("v %.7g %.7g %.7g\n", places)
    if mesh.is_textured and mesh.uv is not None:
        yield from _formatted("vt %.6f %.6f\n", mesh.uv)
    yield from _formatted("vn %.4f %.4f %.4f\n", to_y_up(unit_normals(mesh)))
    yield f"usemtl {_MATERIAL}\n"
    corner = "%d/%d/%d" if mesh.is_textured else "%d//%d"
    rows = np.repeat(mesh.faces + 1, 3 if mesh.is_textured else 2, axis=1)
    yield from _formatted(f"f {corner} {corner} {corner}\n", rows)


def _formatted(row: str, table: NDArray[np.number]) -> Iterator[str]:
    for start in range(0, len(table), _BLOCK):
        part = table[start : start + _BLOCK]
        yield (row * len(part)) % tuple(part.ravel().tolist())
