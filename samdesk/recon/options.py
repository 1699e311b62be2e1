"""What can be asked of a 3D engine. Must not know engines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

FORMATS = ("ply", "glb", "obj", "stl", "gif")
"""Files that can be made of an object: splat PLY, GLB, OBJ with MTL and PNG, STL, turntable GIF."""


@dataclass(frozen=True, slots=True)
class ReconOptions:
    """Options of one reconstruction; an engine ignores those that it does not have.

    Attributes
    ----------
    seed : int
    steps_shape, steps_look : int
        Solver steps of the two stages of SAM 3D.
    distill_shape, distill_look : bool
        Use the distilled shortcut models: fewer steps, a little less detail.
    splat, mesh : bool
        What to make.
    light_splat : bool
        The decoder with 4 instead of 32 Gaussians per voxel.
    clean_mesh : bool
        Simplify the mesh and fill its holes (needs CUDA).
    texture : bool
        Bake a texture instead of vertex colours. Off: the packages for it are non-commercial.
    layout : bool
        Refine the pose against the picture.
    preview : bool
        Report the points of the first stage.
    """

    seed: int = 42
    steps_shape: int = 25
    steps_look: int = 25
    distill_shape: bool = False
    distill_look: bool = False
    splat: bool = True
    mesh: bool = True
    light_splat: bool = False
    clean_mesh: bool = False
    texture: bool = False
    layout: bool = True
    preview: bool = True

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ReconOptions:
        """Read what `to_json` wrote; what is unknown or of another type is left at its default."""
        known: dict[str, Any] = {}
        for field in fields(cls):
            value = values.get(field.name, field.default)
            known[field.name] = value if type(value) is type(field.default) else field.default
        return cls(**known)
