"""All splats of a scene as one VTK actor, drawn from back to front.

Must not know Qt, nor where the splats come from.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import vtkmodules.vtkRenderingOpenGL2  # noqa: F401 - without it the mappers draw nothing
from numpy.typing import NDArray
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkCommonDataModel import vtkPolyData
from vtkmodules.vtkRenderingCore import vtkActor, vtkPointGaussianMapper

from samdesk.recon.splat import Splats

from .arrays import cells, named, points

LOW_PASS_PX2 = 0.3
"""Added to the variance on the screen, so that no splat is thinner than a pixel can show."""

REACH = 3.0
"""Standard deviations that a splat is drawn up to."""

TURNED = 0.9999
"""Cosine of the turn (0.8 degrees) from which on the order is made anew while the view moves."""

LIGHT_ROWS = 40_000
"""So many splats are drawn at most while the view moves on a slow computer."""

LIGHT_SHADER = """
//VTK::Color::Impl
if (dot(offsetVCVSOutput.xy, offsetVCVSOutput.xy) > 1.7) { discard; }
opacity = 1.0;
"""
"""An opaque ellipse of about 1.3 standard deviations."""


class SplatCloud:
    """The splats of several objects in one frame.

    Several translucent actors would be drawn one after the other, whatever is in front: so all
    splats are in one.

    Parameters
    ----------
    parts : sequence of Splats
        One for each object.

    Attributes
    ----------
    actor, light_actor : vtkActor
        The true splats, and what stands for them while the view moves.
    """

    def __init__(self, parts: Sequence[Splats]) -> None:
        self._all = Splats.concat(parts)
        self._ends = np.cumsum([0, *(len(part) for part in parts)])
        self._chosen = (True,) * len(parts)
        self._true, self._light = _Drawn(), _Drawn()
        self._light.mapper.SetSplatShaderCode(LIGHT_SHADER)
        self.actor, self.light_actor = _actor(self._true.mapper), _actor(self._light.mapper)
        self.actor.ForceTranslucentOn()
        self.light_actor.ForceOpaqueOn()
        self._is_light = False
        self._along: NDArray[np.float64] | None = None
        self._fill(self._all)

    def __len__(self) -> int:
        """The number of splats that are drawn."""
        return len(self._splats)

    def choose(self, visible: Sequence[bool]) -> None:
        """Draw only some of the objects."""
        chosen = tuple(visible)
        if chosen != self._chosen:
            self._chosen = chosen
            rows = np.repeat(np.asarray(chosen, bool), np.diff(self._ends))
            self._fill(self._all if rows.all() else self._all.subset(rows))

    def set_light(self, light: bool) -> None:
        """Draw fewer and opaque ones, which need no order."""
        self._is_light = light
        self._show()

    def set_size(self, width: int, height: int) -> None:
        """Follow the size of the view in device pixels."""
        # in units of the view's half width and height
        x, y = 4 * LOW_PASS_PX2 / width**2, 4 * LOW_PASS_PX2 / height**2
        for drawn in (self._true, self._light):
            drawn.mapper.SetLowpassMatrix(x, 0.0, y)

    def sort(self, direction: Sequence[float], exactly: bool) -> bool:
        """Bring the splats into the order from back to front.

        Parameters
        ----------
        direction : (x, y, z)
            In which the camera looks; of length 1.
        exactly : bool
            Follow even the smallest turn.

        Returns
        -------
        bool
            Whether they had to be sorted.
        """
        if self._is_light or not len(self):
            return False
        along = np.asarray(direction, np.float64)
        if self._along is not None and float(along @ self._along) > (1 - 1e-12 if exactly else TURNED):
            return False
        self._along = along
        self._true.order[:] = back_to_front(self._splats.means, along)
        self._true.reordered()
        return True

    def _fill(self, splats: Splats) -> None:
        self._splats = splats
        self._along = None
        self._true.fill(splats)
        step = max(1, -(-len(splats) // LIGHT_ROWS))
        self._light.fill(splats.subset(slice(None, None, step)))
        self._light.mapper.SetScaleFactor(step**0.5)
        self._show()

    def _show(self) -> None:
        there = len(self) > 0
        self.actor.SetVisibility(there and not self._is_light)
        self.light_actor.SetVisibility(there and self._is_light)


class _Drawn:
    """Splats as VTK draws them, in an order that NumPy writes and VTK reads in one place.

    The order always has all splats: with fewer, VTK 9.7 writes beyond the end of its buffers. So
    what is hidden is left out of the arrays as well.

    Attributes
    ----------
    order : ndarray, (n,) int32
        The cells' connectivity, where VTK reads it; a cell is a point.
    """

    def __init__(self) -> None:
        self._data = vtkPolyData()
        self.order: NDArray[np.int32] = np.empty(0, np.int32)
        self.mapper = mapper = vtkPointGaussianMapper()
        mapper.SetInputData(self._data)
        mapper.EmissiveOff()
        mapper.AnisotropicOn()
        mapper.SetScaleArray("scale")
        mapper.SetRotationArray("rotation")
        mapper.SetScaleFactor(1.0)
        mapper.SetBoundScale(REACH)
        mapper.SetScalarModeToUsePointFieldData()
        mapper.SelectColorArray("rgba")
        mapper.SetColorModeToDirectScalars()

    def fill(self, splats: Splats) -> None:
        """Draw these."""
        data = self._data
        data.SetPoints(points(splats.means))
        shades = np.column_stack([splats.colors, splats.opacities])
        for array in (
            named(np.rint(255 * np.clip(shades, 0, 1)).astype(np.uint8), "rgba"),
            named(splats.scales.astype(np.float32, copy=False), "scale"),
            named(splats.rotations.astype(np.float32, copy=False), "rotation"),
        ):
            data.GetPointData().AddArray(array)
        data.SetVerts(cells(np.arange(len(splats)), 1))
        self.order = vtk_to_numpy(data.GetVerts().GetConnectivityArray())
        data.Modified()

    def reordered(self) -> None:
        """Tell VTK that `order` was written."""
        verts = self._data.GetVerts()
        for one in (verts.GetConnectivityArray(), verts, self._data):
            one.Modified()


def back_to_front(means: NDArray[np.float32], along: NDArray[np.float64]) -> NDArray[np.int64]:
    """Rows in the order of their depth along a direction, the farthest first.

    The depth is told apart in 65,536 steps: for 16 bits NumPy sorts in linear time.
    """
    depth = means @ along.astype(np.float32)
    low, high = float(depth.min()), float(depth.max())
    keys = ((high - depth) * np.float32(65535 / max(high - low, 1e-30))).astype(np.uint16)
    return np.argsort(keys, kind="stable")


def _actor(mapper: vtkPointGaussianMapper) -> vtkActor:
    actor = vtkActor()
    actor.SetMapper(mapper)
    actor.GetProperty().LightingOff()
    actor.PickableOff()
    return actor
