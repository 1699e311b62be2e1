"""A scene as VTK actors: which of them are seen in which look.

Made on a lane, shown on the GUI thread. Must not know Qt, cameras or windows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from vtkmodules.vtkRenderingCore import vtkActor

from samdesk.recon.splat import Splats

from .actors import MeshActors, grid_actor, part_points, picture_actor
from .contents import Box, Contents, Floats, Part, union
from .gaussians import SplatCloud

LOOKS = ("splat", "mesh", "both", "points")
"""What objects are drawn as. One that has no splats is drawn as a mesh, and the other way round."""

BEHIND = 0.06
"""The photograph stands this part of the scene's size behind it."""

UNIT_BOX: Box = (np.full(3, -0.5), np.full(3, 0.5))


class SceneActors:
    """Everything that is drawn of a scene.

    Attributes
    ----------
    splats, triangles, points : int
        How many the visible objects have, in the present look.
    """

    def __init__(self, contents: Contents) -> None:
        self.contents = contents
        self._visible = {part.id: True for part in contents.parts}
        self._boxes = {part.id: part.bounds() for part in contents.parts}
        self._outlines = {part.id: part.outline() for part in contents.parts}
        none = Splats.concat([])
        self.cloud = SplatCloud([part.splats if part.splats is not None else none for part in contents.parts])
        self._meshes = {
            part.id: MeshActors(part.mesh)
            for part in contents.parts
            if part.mesh is not None and len(part.mesh.faces)
        }
        self._points = {part.id: actor for part in contents.parts if (actor := part_points(part)) is not None}
        box = self.bounds()
        self.grid = grid_actor(box)
        self.picture: vtkActor | None = None
        if contents.picture is not None and contents.camera is not None:
            size = float((box[1] - box[0]).max())
            depth = float(box[1][1]) + BEHIND * size
            self.picture = picture_actor(contents.picture, contents.camera, depth)
        self.look = self.first_look()
        self._light = False
        self.arrange()

    def first_look(self) -> str:
        """The one that shows most."""
        if any(part.splats is not None for part in self.contents.parts):
            return "splat"
        return "mesh" if self._meshes else "points"

    def has(self, look: str) -> bool:
        """Whether there is something to draw in this look."""
        splats = any(part.splats is not None for part in self.contents.parts)
        return {
            "splat": splats,
            "mesh": bool(self._meshes),
            "both": splats and bool(self._meshes),
            "points": bool(self._points),
        }[look]

    def actors(self) -> Iterator[vtkActor]:
        """All of them, visible or not."""
        for mesh in self._meshes.values():
            yield mesh.actor
            if mesh.light_actor is not None:
                yield mesh.light_actor
        yield from self._points.values()
        yield self.grid
        if self.picture is not None:
            yield self.picture
        yield self.cloud.light_actor
        yield self.cloud.actor

    # What is seen

    def is_visible(self, name: str) -> bool:
        return self._visible.get(name, False)

    def set_visible(self, name: str, visible: bool) -> None:
        if name in self._visible:
            self._visible[name] = visible
            self.arrange()

    def set_look(self, look: str) -> None:
        self.look = look
        self.arrange()

    def set_wireframe(self, wireframe: bool) -> None:
        for mesh in self._meshes.values():
            mesh.set_wireframe(wireframe)

    def set_light(self, light: bool) -> None:
        """Draw what is quick to draw."""
        if light != self._light:
            self._light = light
            self.cloud.set_light(light)
            self._arrange_meshes()

    def arrange(self) -> None:
        """Show and hide the actors as look and visibility say."""
        self.cloud.choose([part.splats is not None and self._draws(part, "splat") for part in self._parts])
        self._arrange_meshes()
        for part in self._parts:
            if part.id in self._points:
                self._points[part.id].SetVisibility(self._draws(part, "points"))

    def bounds(self, visible_only: bool = False) -> Box:
        """Around the objects; the box of side 1 when there are none."""
        boxes: Sequence[Box] = [
            box
            for name, box in self._boxes.items()
            if box is not None and (self._visible[name] or not visible_only)
        ]
        return union(boxes) or UNIT_BOX

    def outline(self) -> Floats:
        """Points that frame the visible objects; the corners of the box of side 1 when there are none."""
        found = [self._outlines[name] for name, visible in self._visible.items() if visible]
        joined = np.concatenate(found) if found else np.empty((0, 3), np.float32)
        return joined if len(joined) else np.stack(UNIT_BOX).astype(np.float32)

    @property
    def splats(self) -> int:
        return len(self.cloud)

    @property
    def triangles(self) -> int:
        return sum(
            len(part.mesh.faces)
            for part in self._parts
            if part.mesh is not None and part.id in self._meshes and self._draws(part, "mesh")
        )

    @property
    def points(self) -> int:
        return sum(
            actor.GetMapper().GetInput().GetNumberOfPoints()
            for actor in self._points.values()
            if actor.GetVisibility()
        )

    @property
    def smooth_edges(self) -> bool:
        """Whether only surfaces are drawn, which are better for several samples per pixel."""
        return not self.splats

    @property
    def _parts(self) -> tuple[Part, ...]:
        return self.contents.parts

    def _arrange_meshes(self) -> None:
        for part in self._parts:
            if part.id in self._meshes:
                self._meshes[part.id].show(self._draws(part, "mesh"), self._light)

    def _draws(self, part: Part, kind: str) -> bool:
        """Whether this object is drawn as splats, mesh or points."""
        if not self._visible[part.id]:
            return False
        has = {"splat": part.splats is not None, "mesh": part.id in self._meshes}
        if not any(has.values()) or self.look == "points":
            return kind == "points"
        if kind == "points":
            return False
        if self.look == "both":
            return has[kind]
        wanted = self.look if has[self.look] else next(name for name, there in has.items() if there)
        return kind == wanted
