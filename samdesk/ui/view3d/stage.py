"""A renderer with its scene, lights and camera: what VTK is told, wherever its picture goes.

Must not know Qt. All of it runs on the GUI thread.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from vtkmodules.vtkRenderingCore import vtkLight, vtkRenderer

from .actors import axes_actor
from .scene import SceneActors
from .viewpoint import ANGLE, Viewpoint

SLOW_S = 0.04
"""A view whose frames take longer is drawn lighter while it moves."""

SAMPLES = 4
AXES_PART = 0.17
"""Of the shorter side of the view, for the small axes in the corner."""

AXES_LEAST = 84
"""Logical pixels that they have at least, as their letters have one size."""

PLAIN_DPI = 72
"""Of a screen whose logical pixels are device pixels, as VTK counts."""


@dataclass(frozen=True, slots=True)
class Backdrop:
    """Colors as "#rrggbb"."""

    back: str
    line: str
    ink: str


class Stage:
    """What is seen, and from where.

    Parameters
    ----------
    plotter : pyvista plotter
        With a render window; its first renderer is used.
    """

    def __init__(self, plotter: Any) -> None:
        self.window = plotter.render_window
        self.renderer: vtkRenderer = plotter.renderer
        plotter.renderer.camera.is_set = True  # or PyVista would choose a view of its own
        self.scene: SceneActors | None = None
        self.viewpoint = Viewpoint()
        self._moving = False
        self._wireframe = self._grid = self._picture = False
        self._backdrop = Backdrop("#ffffff", "#d4d4da", "#1d1d1f")
        self._costs: list[float] = []
        self._began = 0.0
        self._size = (0, 0)
        self.window.SetMultiSamples(0)
        # blending that knows no order would show what is behind through what is in front
        self.renderer.SetUseOIT(False)
        self.renderer.TwoSidedLightingOn()
        self._set_lights()
        self._corner = self._make_corner()
        self._observed = [
            (self.renderer, self.renderer.AddObserver("StartEvent", self._before)),
            (self.renderer, self.renderer.AddObserver("EndEvent", self._after)),
        ]

    def close(self) -> None:
        """Let go of the scene; before the window is destroyed."""
        for what, tag in self._observed:
            what.RemoveObserver(tag)
        self._observed = []
        self.show(None)

    # What is seen

    def show(self, scene: SceneActors | None) -> None:
        """Replace the scene."""
        if self.scene is not None:
            for actor in self.scene.actors():
                self.renderer.RemoveActor(actor)
        self.scene = scene
        self._costs.clear()
        self._size = (0, 0)
        if scene is not None:
            for actor in scene.actors():
                self.renderer.AddActor(actor)
            scene.set_wireframe(self._wireframe)
        self._arrange()

    def set_wireframe(self, wireframe: bool) -> None:
        self._wireframe = wireframe
        if self.scene is not None:
            self.scene.set_wireframe(wireframe)

    def set_grid(self, shown: bool) -> None:
        self._grid = shown
        self._arrange()

    def set_axes(self, shown: bool) -> None:
        self._corner.SetDraw(shown)

    def set_picture(self, shown: bool) -> None:
        """The photograph behind the objects."""
        self._picture = shown
        self._arrange()

    def set_backdrop(self, colors: Backdrop) -> None:
        self.renderer.SetBackground(*_rgb(colors.back))
        self._backdrop = colors
        for axis in "XYZ":
            caption = getattr(self._axes, f"Get{axis}AxisCaptionActor2D")().GetCaptionTextProperty()
            caption.SetColor(*_rgb(colors.ink))
        self._arrange()

    def look_changed(self) -> None:
        """Follow what was changed in the scene itself."""
        self._costs.clear()
        self._arrange()

    # From where

    @property
    def size(self) -> tuple[int, int]:
        """Of the view, in device pixels."""
        width, height = self.window.GetSize()
        return max(width, 1), max(height, 1)

    def set_viewpoint(self, viewpoint: Viewpoint) -> None:
        self.viewpoint = viewpoint
        camera = self.renderer.GetActiveCamera()
        camera.SetPosition(*self._eye())
        camera.SetFocalPoint(*viewpoint.target)
        camera.SetViewUp(*viewpoint.axes[1])
        camera.SetParallelProjection(viewpoint.angle == 0)
        camera.SetParallelScale(viewpoint.height / 2)
        camera.SetViewAngle(viewpoint.angle or ANGLE)

    def set_moving(self, moving: bool) -> None:
        """While it moves, a scene that is slow to draw is drawn lighter."""
        self._moving = moving
        if self.scene is not None:
            self.scene.set_light(moving and self.slow)

    @property
    def slow(self) -> bool:
        """Whether true frames take long. The first one does not count: it fetches everything."""
        return bool(self._costs) and min(self._costs) > SLOW_S

    def _eye(self) -> NDArray[np.float64]:
        view = self.viewpoint
        if view.angle or self.scene is None:
            return view.position
        # a parallel view sees what is behind its eye, but VTK does not draw it
        low, high = self.scene.bounds()
        far = float(np.linalg.norm(high - low) + np.linalg.norm((low + high) / 2 - view.target))
        eye: NDArray[np.float64] = np.asarray(view.target) - max(2 * far, view.distance) * view.axes[2]
        return eye

    # What VTK calls

    def _before(self, *_: Any) -> None:
        self._began = time.perf_counter()
        size = self.size
        if self.scene is None:
            return
        cloud = self.scene.cloud
        if size != self._size:
            self._size = size
            cloud.set_size(*size)
            self._place_corner(size)
        camera = self.renderer.GetActiveCamera()
        self.renderer.ResetCameraClippingRange(*self._reach())
        cloud.sort(camera.GetDirectionOfProjection(), exactly=not self._moving)
        self._turn_corner()

    def _after(self, *_: Any) -> None:
        if self.scene is None or (self._moving and self.slow):
            return
        self.window.WaitForCompletion()  # the commands are only queued until here
        self._costs = [*self._costs[-2:], time.perf_counter() - self._began]

    def _reach(self) -> tuple[float, ...]:
        """The box within which something may be drawn, as VTK writes it."""
        assert self.scene is not None
        low, high = self.scene.bounds()
        room = 0.25 * float((high - low).max())  # splats are wide, and some stand apart
        low, high = low - room, high + room
        for actor, shown in ((self.scene.grid, self._grid), (self.scene.picture, self._picture)):
            if actor is not None and shown:
                box = np.asarray(actor.GetBounds()).reshape(3, 2)
                low, high = np.minimum(low, box[:, 0]), np.maximum(high, box[:, 1])
        return tuple(np.stack([low, high], 1).ravel().tolist())

    # Furniture

    def _arrange(self) -> None:
        if self.scene is None:
            return
        self.scene.grid.SetVisibility(self._grid)
        self.scene.grid.GetProperty().SetColor(*_rgb(self._backdrop.line))
        if self.scene.picture is not None:
            self.scene.picture.SetVisibility(self._picture)
        # several samples per pixel make splats twice as slow and no better
        self.window.SetMultiSamples(SAMPLES if self.scene.smooth_edges else 0)

    def _set_lights(self) -> None:
        self.renderer.RemoveAllLights()
        for position, strength in (((-0.5, 0.8, 1.0), 0.75), ((0.7, 0.1, 0.8), 0.4)):
            light = vtkLight()
            light.SetLightTypeToCameraLight()
            light.SetPosition(*position)
            light.SetFocalPoint(0, 0, 0)
            light.SetIntensity(strength)
            self.renderer.AddLight(light)

    def _make_corner(self) -> vtkRenderer:
        """The small axes, in a layer above the scene."""
        corner = vtkRenderer()
        corner.SetLayer(1)
        corner.InteractiveOff()
        corner.SetDraw(False)
        self._axes = axes_actor()
        for axis in "XYZ":
            caption = getattr(self._axes, f"Get{axis}AxisCaptionActor2D")()
            caption.GetTextActor().SetTextScaleModeToNone()
            text = caption.GetCaptionTextProperty()
            text.SetFontSize(13)
            text.BoldOff()
            text.ItalicOff()
            text.ShadowOff()
        corner.AddActor(self._axes)
        self.window.SetNumberOfLayers(2)
        self.window.AddRenderer(corner)
        return corner

    def _place_corner(self, size: tuple[int, int]) -> None:
        side = max(AXES_PART * min(size), AXES_LEAST * self.window.GetDPI() / PLAIN_DPI)
        self._corner.SetViewport(0.0, 0.0, side / size[0], side / size[1])

    def _turn_corner(self) -> None:
        camera = self._corner.GetActiveCamera()
        _, up, forward = self.viewpoint.axes
        camera.SetPosition(*(-6 * forward))
        camera.SetFocalPoint(0, 0, 0)
        camera.SetViewUp(*up)
        camera.SetParallelProjection(True)
        camera.SetParallelScale(1.5)
        self._corner.ResetCameraClippingRange()


def _rgb(color: str) -> tuple[float, float, float]:
    r, g, b = (int(color[k : k + 2], 16) / 255 for k in (1, 3, 5))
    return r, g, b
