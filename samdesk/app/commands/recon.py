"""Commands: 3D objects.

Must not know widgets.
"""

from __future__ import annotations

from samdesk.app.jobs import Job
from samdesk.app.reconstruction import EXPORTS, SceneObject
from samdesk.app.workspace import Notice
from samdesk.recon.mesh import MESH_SUFFIXES

from .table import Command, Context


def _export_3d(c: Context) -> None:
    w = c.workspace

    def write(job: Job[tuple[SceneObject, ...]]) -> None:
        if not job.result:
            if job.state == "done":
                w.notice.emit(Notice("info", "The selection has no 3D object.", "Make it 3D first."))
            return
        every = f"3D files ({' '.join(f'*{ending}' for ending in EXPORTS)})"
        ending = ".glb" if any(one.mesh for one in job.result) else ".ply"
        name = f"{job.result[0].title}{ending}"
        path = c.ask.save_file("Export the 3D object", name, ";;".join((every, *EXPORTS.values())))
        if path is not None:
            w.export_3d(job.result, path)

    w.reconstructions.scene(w.selection.ids, write)


def _open_3d(c: Context) -> None:
    files = c.ask.open_files("Open 3D files", f"3D files ({' '.join(f'*{end}' for end in MESH_SUFFIXES)})")
    if files:
        c.view.open_3d_files(files)


ROWS = (
    Command("recon.make", "Make 3D…", ("Ctrl+3",), "3D", "selection", lambda c: c.view.show_dialog("make3d"),
            "Make a 3D object of each selected annotation"),
    Command("recon.selected", "Show in 3D", ("Ctrl+Shift+3",), "3D", "selection",
            lambda c: c.view.show_selected_3d(), "Show the 3D objects of the selection together"),
    Command("recon.export", "Export 3D Object…", (), "3D/2", "selection", _export_3d,
            "Splat PLY, GLB, OBJ, STL or a turning GIF"),
    Command("recon.open", "Open 3D File…", (), "3D/2", "always", _open_3d,
            "Look at a PLY, GLB, OBJ or STL file"),
    Command("recon.view", "Show or Hide the 3D View", ("F3",), "3D/3", "always",
            lambda c: c.view.show_3d()),
    Command("recon.engines", "3D Engines…", (), "3D/3", "always", lambda c: c.view.show_dialog("engines3d"),
            "Set up SAM 3D, and check what is missing"),
)  # fmt: skip
