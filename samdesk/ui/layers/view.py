"""`View`: which part of the image is on screen, and at what scale.

Plain arithmetic; must not know Qt, images or widgets. Screen coordinates are logical
pixels of the widget, device coordinates are physical ones; both start at the top-left.
The picture is placed on whole device pixels, so that everything drawn from one view (image,
tiles, live outlines) meets exactly, and pixel edges are sharp at whole magnifications.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from samdesk.domain.geometry import Bounds, FloatArray

CLOSEST = 1 / 64
"""Smallest scale: one image pixel as 64 logical screen pixels."""

FARTHEST_PX = 100
"""At the largest scale the longer side of the image takes this many logical pixels."""

FIT_MARGIN = 0.02
"""Part of the widget left free on each side by `fitted`."""


def scale_limits(image_width: float, image_height: float) -> tuple[float, float]:
    """The smallest and the largest scale at which an image of this size may be seen."""
    return CLOSEST, max(1.0, max(image_width, image_height) / FARTHEST_PX)


@dataclass(frozen=True, slots=True)
class View:
    """A window on the image.

    Attributes
    ----------
    center_x, center_y : float
        Image pixels in the middle of the widget.
    scale : float
        Image pixels per logical screen pixel; small is close.
    width, height : float
        Size of the widget in logical pixels.
    dpr : float
        Device pixels per logical pixel.
    """

    center_x: float = 0.0
    center_y: float = 0.0
    scale: float = 1.0
    width: float = 1.0
    height: float = 1.0
    dpr: float = 1.0

    @property
    def device_scale(self) -> float:
        """Image pixels per device pixel."""
        return self.scale / self.dpr

    @property
    def device_size(self) -> tuple[int, int]:
        """Width and height in device pixels."""
        return math.ceil(self.width * self.dpr - 1e-6), math.ceil(self.height * self.dpr - 1e-6)

    @property
    def origin(self) -> tuple[int, int]:
        """Where the widget's top-left corner is, in device pixels counted from the image's corner."""
        return (
            math.floor(self.center_x / self.device_scale - self.width * self.dpr / 2 + 0.5),
            math.floor(self.center_y / self.device_scale - self.height * self.dpr / 2 + 0.5),
        )

    @property
    def bounds(self) -> Bounds:
        """The part of the image plane that is visible."""
        (x, y), (w, h), step = self.origin, self.device_size, self.device_scale
        return Bounds(x * step, y * step, (x + w) * step, (y + h) * step)

    def to_device(self, points: ArrayLike) -> FloatArray:
        """Convert image pixels (n, 2) to device pixels (n, 2)."""
        return np.asarray(points, np.float64) / self.device_scale - self.origin

    def to_screen(self, x: float, y: float) -> tuple[float, float]:
        """Convert a point in image pixels to logical pixels."""
        left, top = self.origin
        return (x / self.device_scale - left) / self.dpr, (y / self.device_scale - top) / self.dpr

    def to_image(self, x: float, y: float) -> tuple[float, float]:
        """Convert a point in logical pixels to image pixels."""
        left, top = self.origin
        return (x * self.dpr + left) * self.device_scale, (y * self.dpr + top) * self.device_scale

    def zoomed(
        self,
        factor: float,
        anchor: tuple[float, float] | None = None,
        limits: tuple[float, float] = (CLOSEST, math.inf),
    ) -> View:
        """Come closer by `factor` (> 1) or step back (< 1); the point under `anchor` stays.

        Parameters
        ----------
        factor : float
        anchor : (x, y), optional
            Logical pixels; the middle of the widget by default.
        limits : (float, float)
            Smallest and largest scale.
        """
        scale = min(max(self.scale / factor, limits[0]), limits[1])
        x, y = anchor or (self.width / 2, self.height / 2)
        dx, dy = x - self.width / 2, y - self.height / 2
        change = self.scale - scale
        return replace(
            self, center_x=self.center_x + dx * change, center_y=self.center_y + dy * change, scale=scale
        )

    def panned(self, dx: float, dy: float) -> View:
        """Move the picture by (dx, dy) logical pixels."""
        return replace(
            self, center_x=self.center_x - dx * self.scale, center_y=self.center_y - dy * self.scale
        )

    def sized(self, width: float, height: float, dpr: float) -> View:
        """The same center and scale in a widget of another size."""
        return replace(self, width=max(width, 1.0), height=max(height, 1.0), dpr=dpr)

    def showing(self, bounds: Bounds, margin: float = FIT_MARGIN) -> View:
        """Center `bounds` and show all of it, as close as the closest scale allows."""
        free = 1 - 2 * margin
        scale = max(bounds.width / (self.width * free), bounds.height / (self.height * free), CLOSEST)
        x, y = bounds.center
        return replace(self, center_x=x, center_y=y, scale=scale)

    def fitted(self, image_width: float, image_height: float) -> View:
        """Show the complete image."""
        return self.showing(Bounds(0, 0, image_width, image_height))

    def kept_on(self, image_width: float, image_height: float) -> View:
        """The nearest view that obeys the limits of the image: its center lies on it."""
        low, high = scale_limits(image_width, image_height)
        return replace(
            self,
            center_x=min(max(self.center_x, 0.0), image_width),
            center_y=min(max(self.center_y, 0.0), image_height),
            scale=min(max(self.scale, low), high),
        )
