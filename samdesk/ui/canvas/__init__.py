"""The canvas: one widget over cached tiles."""

from __future__ import annotations

from samdesk.ui.layers.overlaytiles import Style
from samdesk.ui.layers.view import View

from .canvas import Canvas

__all__ = ["Canvas", "Style", "View"]
