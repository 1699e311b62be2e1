"""Objects as one file that other programs read. Blocks: for lanes. Must not know jobs or annotations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import samdesk
from samdesk.domain.errors import SamdeskError
from samdesk.domain.tasks import Task

from .scene import SceneObject

if TYPE_CHECKING:
    from samdesk.recon.mesh import Mesh
    from samdesk.recon.splat import Splats

EXPORTS = {
    ".ply": "Gaussian splat (*.ply)",
    ".glb": "Mesh with colours (*.glb)",
    ".obj": "Mesh with material (*.obj)",
    ".stl": "Mesh for printing (*.stl)",
    ".gif": "Turntable (*.gif)",
}
"""Suffixes that `export_objects` knows, and what the user reads for them."""

SIZE_MM = 50.0


def export_objects(
    objects: Sequence[SceneObject], path: Path, size_mm: float = SIZE_MM, task: Task | None = None
) -> None:
    """Write objects into one file; the suffix says what it becomes.

    One object alone is written in its own frame, several stand as in their scene. A PLY holds
    splats, or meshes where there is no splat at all.

    Parameters
    ----------
    objects : sequence of SceneObject
    path : Path
        Replaced when it is there.
    size_mm : float
        Longest side of an STL.
    task : Task, optional

    Raises
    ------
    SamdeskError
        When the suffix is not one of `EXPORTS`, nothing in the objects can become it, or a file
        cannot be read or written.
    Cancelled
    """
    from samdesk.recon import mesh as meshes
    from samdesk.recon.splat import write_splats
    from samdesk.recon.turntable import turntable, write_gif

    task, kind = task or Task(), path.suffix.lower()
    if kind not in EXPORTS:
        raise SamdeskError(
            f"{path.name} is of no kind that can be written.", f"Choose of: {', '.join(EXPORTS)}."
        )
    label = f"{', '.join(sorted({one.label for one in objects}))}, made by samdesk {samdesk.__version__}"
    task.progress(None, "Reading the objects")
    if kind == ".ply" and any(one.splat for one in objects):
        write_splats(path, _splats(objects, task), [label])
    elif kind == ".gif" and not any(one.mesh for one in objects):
        write_gif(path, turntable(_splats(objects, task), task=task), comment=label)
    else:
        mesh = _meshes(objects, path, task)
        task.progress(None, f"Writing {path.name}")
        if kind == ".ply":
            meshes.write_ply(path, mesh, [label])
        elif kind == ".glb":
            meshes.write_glb(path, mesh, {"label": label})
        elif kind == ".obj":
            meshes.write_obj(path, mesh, [label])
        elif kind == ".stl":
            meshes.write_stl(path, mesh, size_mm, label)
        else:
            write_gif(path, turntable(mesh, task=task), comment=label)


def _splats(objects: Sequence[SceneObject], task: Task) -> Splats:
    from samdesk.recon.splat import Splats, read_splats

    read = []
    for one in objects:
        task.check()
        if one.splat is not None:
            splats = read_splats(one.splat)
            read.append(splats if one.pose is None or len(objects) == 1 else splats.posed(one.pose))
    if not read:
        raise SamdeskError("There is no splat to be written.", "Make the object again, with a splat.")
    return Splats.concat(read)


def _meshes(objects: Sequence[SceneObject], path: Path, task: Task) -> Mesh:
    from samdesk.recon.mesh import Mesh, read_mesh

    read = []
    for one in objects:
        task.check()
        if one.mesh is not None:
            mesh = read_mesh(one.mesh)
            read.append(mesh if one.pose is None or len(objects) == 1 else mesh.posed(one.pose))
    if not read:
        raise SamdeskError(f"There is no mesh for {path.name}.", "Make the object again, with a mesh.")
    return Mesh.concat(read)
