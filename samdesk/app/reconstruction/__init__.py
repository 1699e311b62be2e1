"""3D jobs of the window: a queue on disk, the worker that makes them, and what annotations get of them.

Must not know widgets, nor how objects are drawn.
"""

from __future__ import annotations

from .desk import MOST, Desk, Subject
from .export import EXPORTS, export_objects
from .objects import carry_objects, drop_objects, objects_dir
from .queue import Reconstructions
from .record import ReconJob
from .scene import SceneObject, scene_of

__all__ = [
    "EXPORTS",
    "MOST",
    "Desk",
    "ReconJob",
    "Reconstructions",
    "SceneObject",
    "Subject",
    "carry_objects",
    "drop_objects",
    "export_objects",
    "objects_dir",
    "scene_of",
]
