"""The project file: one SQLite file that is also a valid GeoPackage.

Must not know documents on screen, or when to save.
"""

from __future__ import annotations

from .store import ImageReference, Loaded, ProjectStore

__all__ = ["ImageReference", "Loaded", "ProjectStore"]
