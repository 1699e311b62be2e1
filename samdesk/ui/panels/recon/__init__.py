"""The 3D panel: `rows` holds its lists and how they are drawn."""

from .panel import ReconPanel

__all__ = ["ReconPanel"]
