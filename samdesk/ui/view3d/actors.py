"""The VTK actors of meshes, points, the photograph and the grid.

Made on a lane, shown on the GUI thread. Must not know Qt.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import vtkmodules.vtkRenderingOpenGL2  # noqa: F401 - without it nothing is drawn
from numpy.typing import NDArray
from vtkmodules.vtkCommonDataModel import vtkImageData, vtkPolyData
from vtkmodules.vtkRenderingAnnotation import vtkAxesActor
from vtkmodules.vtkRenderingCore import vtkActor, vtkPolyDataMapper, vtkTexture

from samdesk.recon.mesh import Mesh
from samdesk.recon.pose import Camera

from .arrays import cells, named, points
from .contents import PREVIEW_COLOR, Box, Floats, Part
from .gaussians import LIGHT_ROWS

LIGHT_FACES = 150_000
"""A mesh of more faces is drawn as points while the view moves on a slow computer."""

PLAIN = (200, 200, 200)
"""Of what has no colors."""

GRID_LINES = 10
AXIS_COLORS = ((0.86, 0.30, 0.33), (0.30, 0.66, 0.40), (0.29, 0.53, 0.92))


class MeshActors:
    """A mesh, and the points that stand for a large one while the view moves."""

    def __init__(self, mesh: Mesh) -> None:
        self.actor = mesh_actor(mesh)
        self.light_actor: vtkActor | None = None
        if len(mesh.faces) > LIGHT_FACES:
            rows = slice(None, None, max(1, len(mesh.vertices) // LIGHT_ROWS))
            colors = mesh.vertex_colors()
            self.light_actor = points_actor(mesh.vertices[rows], None if colors is None else colors[rows], 3)

    def show(self, shown: bool, light: bool) -> None:
        light = light and self.light_actor is not None
        self.actor.SetVisibility(shown and not light)
        if self.light_actor is not None:
            self.light_actor.SetVisibility(shown and light)

    def set_wireframe(self, wireframe: bool) -> None:
        look = self.actor.GetProperty()
        if wireframe:
            look.SetRepresentationToWireframe()
        else:
            look.SetRepresentationToSurface()


def mesh_actor(mesh: Mesh) -> vtkActor:
    """A mesh with its texture or its vertex colors."""
    data = _points(mesh.vertices)
    data.SetPolys(cells(mesh.faces, 3))
    if mesh.normals is not None:
        data.GetPointData().SetNormals(named(mesh.normals, "Normals"))
    actor = vtkActor()
    mapper = vtkPolyDataMapper()
    mapper.SetInputData(data)
    mapper.ScalarVisibilityOff()
    if mesh.texture is not None and mesh.uv is not None:
        data.GetPointData().SetTCoords(named(mesh.uv, "uv"))
        texture = _texture(mesh.texture)
        inside = bool(np.all((mesh.uv >= -1e-3) & (mesh.uv <= 1 + 1e-3)))
        texture.SetEdgeClamp(inside)
        texture.SetRepeat(not inside)
        actor.SetTexture(texture)
    elif mesh.colors is not None:
        _color(data, mapper, mesh.colors)
    actor.SetMapper(mapper)
    look = actor.GetProperty()
    look.SetInterpolationToPhong()
    if mesh.texture is None and mesh.colors is None:
        look.SetColor(*(value / 255 for value in PLAIN))
    # the photograph has its own light and shade already, so that little is added
    look.SetAmbient(0.42)
    look.SetDiffuse(0.66)
    look.SetSpecular(0.0)
    actor.PickableOff()
    return actor


def points_actor(
    places: Floats, colors: NDArray[np.uint8] | None, size: float, color: Sequence[int] = PLAIN
) -> vtkActor:
    """Plain points, round ones when they are large."""
    data = _points(places)
    data.SetVerts(cells(np.arange(len(places)), 1))
    mapper = vtkPolyDataMapper()
    mapper.SetInputData(data)
    mapper.ScalarVisibilityOff()
    if colors is not None:
        _color(data, mapper, colors)
    actor = vtkActor()
    actor.SetMapper(mapper)
    look = actor.GetProperty()
    look.SetPointSize(size)
    look.SetColor(*(value / 255 for value in color))
    if size >= 4:
        look.RenderPointsAsSpheresOn()
        look.SetAmbient(0.3)
        look.SetDiffuse(0.8)
    else:
        look.LightingOff()
    actor.PickableOff()
    return actor


def part_points(part: Part) -> vtkActor | None:
    """An object as points: those of a preview, the middles of its splats, or the corners of its mesh."""
    if part.points is not None:
        return points_actor(part.points, None, 5, part.color or PREVIEW_COLOR)
    if part.splats is not None:
        colors = np.rint(255 * np.clip(part.splats.colors, 0, 1)).astype(np.uint8)
        return points_actor(part.splats.means, colors, 2)
    if part.mesh is not None:
        return points_actor(part.mesh.vertices, part.mesh.vertex_colors(), 2)
    return None


def picture_actor(picture: NDArray[np.uint8], camera: Camera, depth: float) -> vtkActor:
    """The photograph, standing at a depth where the camera saw it, visible from the front only."""
    height = camera.height_at(depth)
    x, z = camera.aspect * height / 2, height / 2
    corners = np.array([[-x, depth, -z], [x, depth, -z], [x, depth, z], [-x, depth, z]], np.float32)
    data = _points(corners)
    data.SetPolys(cells(np.arange(4), 4))
    uv = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    data.GetPointData().SetTCoords(named(uv, "uv"))
    mapper = vtkPolyDataMapper()
    mapper.SetInputData(data)
    actor = vtkActor()
    actor.SetMapper(mapper)
    actor.SetTexture(_texture(picture))
    actor.GetProperty().LightingOff()
    actor.GetProperty().BackfaceCullingOn()
    actor.PickableOff()
    return actor


def grid_actor(box: Box) -> vtkActor:
    """Lines on the ground under a box, a round length apart."""
    low, high = box
    step = round_length(float((high - low).max()) / 5)
    reach = GRID_LINES / 2 * step
    middle = np.round((low + high) / 2 / step) * step
    at = np.linspace(-reach, reach, GRID_LINES + 1)
    ends = np.full_like(at, reach)
    zero = np.full_like(at, low[2])
    one = np.column_stack([np.r_[at, -ends], np.r_[-ends, at], np.r_[zero, zero]])
    other = np.column_stack([np.r_[at, ends], np.r_[ends, at], np.r_[zero, zero]])
    ends_of_lines = np.stack([one, other], 1).reshape(-1, 3)
    ends_of_lines[:, :2] += middle[:2]
    data = _points(ends_of_lines.astype(np.float32))
    data.SetLines(cells(np.arange(len(ends_of_lines)), 2))
    mapper = vtkPolyDataMapper()
    mapper.SetInputData(data)
    actor = vtkActor()
    actor.SetMapper(mapper)
    actor.GetProperty().LightingOff()
    actor.PickableOff()
    return actor


def axes_actor() -> vtkAxesActor:
    """Which way x, y and z point."""
    axes = vtkAxesActor()
    axes.SetShaftTypeToCylinder()
    axes.SetCylinderRadius(0.045)
    axes.SetConeRadius(0.28)
    axes.SetNormalizedTipLength(0.22, 0.22, 0.22)
    axes.SetNormalizedShaftLength(0.78, 0.78, 0.78)
    axes.SetNormalizedLabelPosition(1.25, 1.25, 1.25)
    for name, color in zip("XYZ", AXIS_COLORS, strict=True):
        for kind in ("Shaft", "Tip"):
            look = getattr(axes, f"Get{name}Axis{kind}Property")()
            look.SetColor(*color)
            look.SetAmbient(0.5)
            look.SetDiffuse(0.5)
        getattr(axes, f"Set{name}AxisLabelText")(name.lower())
    return axes


def round_length(most: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that is not above `most`."""
    if not most > 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(most))
    return float(power * next(step for step in (5, 2, 1) if step * power <= most * (1 + 1e-9)))


def _points(places: Floats) -> vtkPolyData:
    data = vtkPolyData()
    data.SetPoints(points(places))
    return data


def _color(data: vtkPolyData, mapper: vtkPolyDataMapper, colors: NDArray[np.uint8]) -> None:
    data.GetPointData().SetScalars(named(colors, "rgb"))
    mapper.ScalarVisibilityOn()
    mapper.SetColorModeToDirectScalars()


def _texture(pixels: NDArray[np.uint8]) -> vtkTexture:
    height, width = pixels.shape[:2]
    image = vtkImageData()
    image.SetDimensions(width, height, 1)
    # its rows go upwards
    image.GetPointData().SetScalars(named(pixels[::-1].reshape(-1, 3), "rgb"))
    texture = vtkTexture()
    texture.SetInputData(image)
    texture.SetColorModeToDirectScalars()
    texture.InterpolateOn()
    texture.MipmapOn()
    texture.EdgeClampOn()
    texture.RepeatOff()
    return texture
