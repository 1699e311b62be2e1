"""Every verb of the program is a row here: menus, shortcuts, palette and README come from it.

Must not know widgets: a command receives a `Context`, whose `view` and `ask` the window provides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import shapely

from samdesk.domain.geometry import Bounds, Plane, Shape
from samdesk.recon.mesh import MESH_SUFFIXES

from .jobs import Job
from .reconstruction import EXPORTS, SceneObject
from .workspace import Ask, Notice, Workspace

GEOJSON_FILTER = "GeoJSON (*.geojson *.json *.geojson.gz *.json.gz)"
IMAGE_FILTER = (
    "Images (*.tif *.tiff *.btf *.svs *.ndpi *.mrxs *.scn *.bif *.vms *.vmu *.svslide *.dcm "
    "*.png *.jpg *.jpeg *.bmp *.webp);;samdesk projects (*.gpkg);;All files (*)"
)
WEIGHT_FILTER = "Weights (*.pt *.pth *.safetensors *.ckpt);;All files (*)"

PREPARE_EXACTLY = 200
"""Up to so many annotations their outlines decide what is prepared, beyond it the box around them."""


class View(Protocol):
    """What commands may ask of the window."""

    def fit(self) -> None: ...
    def looking_at(self) -> tuple[Bounds, float]: ...
    def zoom_to(self, scale: float) -> None: ...
    def zoom_by(self, factor: float) -> None: ...
    def show_bounds(self, bounds: Bounds) -> None: ...
    def show_palette(self) -> None: ...
    def show_preferences(self) -> None: ...
    def show_contrast(self) -> None: ...
    def show_find(self) -> None: ...
    def show_weights(self) -> None: ...
    def show_shortcuts(self) -> None: ...
    def show_about(self) -> None: ...
    def show_make3d(self) -> None: ...
    def show_3d(self) -> None: ...
    def show_selected_3d(self) -> None: ...
    def show_engines3d(self) -> None: ...
    def open_3d_files(self, files: list[Path]) -> None: ...
    def open_log(self) -> None: ...
    def open_link(self, url: str) -> None: ...
    def copy_text(self, text: str) -> None: ...
    def open_folder(self) -> None: ...
    def close_window(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Context:
    """What a command acts on."""

    workspace: Workspace
    view: View
    ask: Ask


@dataclass(frozen=True, slots=True)
class Command:
    """A row of the table.

    Attributes
    ----------
    id : str
        Stable name, "group.verb".
    title : str
        What the user reads in menu and palette.
    keys : tuple of str
        Shortcuts in Qt's portable text form; the first is shown.
    menu : str
        Menu it stands in, as "Menu" or "Menu/section"; a new section gets a separator.
    when : str
        Name in `WHEN`.
    """

    id: str
    title: str
    keys: tuple[str, ...]
    menu: str
    when: str
    run: Callable[[Context], object]
    tip: str = ""


WHEN: dict[str, Callable[[Workspace], bool]] = {
    "always": lambda w: True,
    "image": lambda w: w.image is not None,
    "annotations": lambda w: len(w.document) > 0,
    "selection": lambda w: bool(w.selection.ids) and not w.session.has_prompts,
    "editable selection": lambda w: bool(w.selection.ids) and w.editable and not w.session.has_prompts,
    "candidate": lambda w: w.session.can_accept and w.editable,
    "prompts": lambda w: w.session.has_prompts or w.session.proposal.box is not None,
    "several candidates": lambda w: len(w.session.proposal.candidates) > 1 and w.session.has_prompts,
    "undo": lambda w: w.history.can_undo and w.editable,
    "redo": lambda w: w.history.can_redo and w.editable,
    "z": lambda w: w.image is not None and w.image.source.size_z > 1,
    "t": lambda w: w.image is not None and w.image.source.size_t > 1,
    "unsaved": lambda w: w.unsaved > 0,
    "server": lambda w: w.serving.available,
    "serving": lambda w: w.serving.is_on,
}


def _open(c: Context) -> None:
    for path in c.ask.open_files("Open an image or a project", IMAGE_FILTER)[:1]:
        c.workspace.open(path)


def _save(c: Context) -> None:
    image = c.workspace.image
    if image is None:
        return
    name = f"{image.source.path.name}.gpkg"
    path = c.ask.save_file("Save the project", name, "samdesk projects (*.gpkg)")
    if path is not None:
        c.workspace.save_as(path)


def _prepare_view(c: Context) -> None:
    bounds, scale = c.view.looking_at()
    c.workspace.prepare(bounds, "the view", scale)


def _prepare_selection(c: Context) -> None:
    w = c.workspace
    where: Bounds | Shape | None = w.annotations_bounds(w.selection.ids)
    if where is None:
        return
    chosen = [w.document.get(i).shape.to_shapely() for i in w.selection.ids[:PREPARE_EXACTLY]]
    what = "the annotation" if len(chosen) == 1 else f"{len(w.selection.ids):,} annotations"
    if len(chosen) == len(w.selection.ids):
        where = Shape.from_shapely(shapely.union_all(chosen))
    w.prepare(where, what, c.view.looking_at()[1])


def _prepare_image(c: Context) -> None:
    if c.workspace.image is not None:
        c.workspace.prepare(Bounds(0, 0, *c.workspace.image.size), "the image", c.view.looking_at()[1])


def _import(c: Context) -> None:
    for path in c.ask.open_files("Import annotations", GEOJSON_FILTER):
        c.workspace.import_geojson(path)


def _export(c: Context) -> None:
    image = c.workspace.image
    if image is None:
        return
    path = c.ask.save_file("Export annotations", f"{image.source.path.stem}.geojson", GEOJSON_FILTER)
    if path is not None:
        c.workspace.export_geojson(path)


def _open_weights(c: Context) -> None:
    for path in c.ask.open_files("Open a weight file", WEIGHT_FILTER)[:1]:
        c.workspace.models.open_file(path)


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


def _copy_address(c: Context) -> None:
    c.view.copy_text(c.workspace.serving.qupath_url)
    c.workspace.notice.emit(
        Notice("info", f"{c.workspace.serving.qupath_url} is copied.", "Paste it in QuPath's SAM window.")
    )


def _drop(c: Context) -> None:
    c.workspace.tool.leave()
    c.workspace.session.drop()


def _lock(c: Context) -> None:
    chosen = [c.workspace.document.get(i) for i in c.workspace.selection.ids]
    lock = not all(one.locked for one in chosen)
    c.workspace.change_selected("Lock" if lock else "Unlock", lambda one: replace(one, locked=lock))


def _center(c: Context) -> None:
    bounds = c.workspace.annotations_bounds(c.workspace.selection.ids)
    if bounds is not None:
        c.view.show_bounds(bounds)


def _step(dz: int, dt: int) -> Callable[[Context], None]:
    def run(c: Context) -> None:
        z, t = c.workspace.plane
        c.workspace.set_plane(Plane(z + dz, t + dt))

    return run


def _toggle(setting: str) -> Callable[[Context], None]:
    def run(c: Context) -> None:
        c.workspace.settings[setting] = not c.workspace.settings[setting]

    return run


COMMANDS = {
    row.id: row
    for row in (
        Command("file.open", "Open…", ("Ctrl+O",), "File", "always", _open),
        Command("file.save_as", "Save Project As…", ("Ctrl+S", "Ctrl+Shift+S"), "File", "image", _save,
                "Every change is kept at once; this chooses where"),
        Command("file.folder", "Show Project in Folder", (), "File", "image", lambda c: c.view.open_folder()),
        Command("file.import", "Import Annotations…", ("Ctrl+I",), "File/2", "image", _import),
        Command("file.export", "Export GeoJSON…", ("Ctrl+E",), "File/2", "annotations", _export),
        Command("save.retry", "Try Saving Again", (), "File/2", "unsaved",
                lambda c: c.workspace.retry_saving()),
        Command("server.answer", "Answer QuPath and Other Programs", (), "File/3", "server",
                lambda c: c.workspace.serving.toggle(),
                "Programs of this computer may ask the models of this window"),
        Command("server.copy", "Copy Address for QuPath", (), "File/3", "serving", _copy_address,
                "For Extensions > SAM in QuPath, as its server"),
        Command("server.docs", "Server Documentation", (), "File/3", "serving",
                lambda c: c.view.open_link(f"{c.workspace.serving.url}/docs"),
                "What programs can ask, in the browser"),
        Command("file.close", "Close Image", ("Ctrl+W",), "File/4", "image",
                lambda c: c.workspace.close_image()),
        Command("app.quit", "Quit", ("Ctrl+Q",), "File/4", "always", lambda c: c.view.close_window()),
        Command("edit.undo", "Undo", ("Ctrl+Z",), "Edit", "undo", lambda c: c.workspace.history.undo()),
        Command("edit.redo", "Redo", ("Ctrl+Shift+Z", "Ctrl+Y"), "Edit", "redo",
                lambda c: c.workspace.history.redo()),
        Command("edit.delete", "Delete", ("Del", "Backspace"), "Edit/2", "editable selection",
                lambda c: c.workspace.delete_selected()),
        Command("edit.lock", "Lock or Unlock", ("Ctrl+K",), "Edit/2", "editable selection", _lock),
        Command("edit.select_all", "Select All", ("Ctrl+Alt+A",), "Edit/3", "annotations",
                lambda c: c.workspace.select_all()),
        Command("edit.deselect", "Select None", ("Ctrl+Alt+R",), "Edit/3", "selection",
                lambda c: c.workspace.selection.clear()),
        Command("app.preferences", "Preferences…", ("Ctrl+,",), "Edit/4", "always",
                lambda c: c.view.show_preferences()),
        Command("tool.move", "Move", ("M",), "Segment", "always", lambda c: c.workspace.select_tool("move")),
        Command("tool.segment", "Segment", ("S",), "Segment", "always",
                lambda c: c.workspace.select_tool("segment")),
        Command("segment.accept", "Keep the Candidate", ("Return", "Enter"), "Segment/2", "candidate",
                lambda c: c.workspace.session.accept()),
        Command("segment.drop", "Drop the Candidate", ("Esc",), "Segment/2", "prompts", _drop),
        Command("segment.take_back", "Take Back the Last Point", ("Backspace",), "Segment/2", "prompts",
                lambda c: c.workspace.session.take_back()),
        Command("segment.next", "Next Candidate", ("X",), "Segment/2", "several candidates",
                lambda c: c.workspace.session.cycle()),
        Command("weights.show", "Weights…", (), "Segment/4", "always", lambda c: c.view.show_weights(),
                "Download, check and remove the files of models, or add one of your own"),
        Command("model.open", "Open Weight File…", (), "Segment/4", "always", _open_weights),
        Command("segment.hover", "Preview Under the Cursor", (), "Segment/3", "always", _toggle("hover")),
        Command("prepare.view", "Prepare This View", ("Shift+P",), "Segment/5", "image", _prepare_view,
                "Encode it now, so that clicks are answered at once"),
        Command("prepare.selection", "Prepare the Selection", (), "Segment/5", "selection",
                _prepare_selection),
        Command("prepare.image", "Prepare the Whole Image", (), "Segment/5", "image", _prepare_image),
        Command("view.warm", "Show Prepared Areas", (), "View/2", "image", _toggle("warm_chips")),
        Command("find.show", "Find…", ("Ctrl+F",), "Segment/6", "image", lambda c: c.view.show_find(),
                "Search by words or example, or outline everything"),
        Command("view.fit", "Zoom to Fit", ("Ctrl+0", "Home"), "View", "image", lambda c: c.view.fit()),
        Command("view.full", "Full Resolution (1:1)", ("Ctrl+1",), "View", "image",
                lambda c: c.view.zoom_to(1.0)),
        Command("view.in", "Zoom In", ("+", "="), "View", "image", lambda c: c.view.zoom_by(1.5)),
        Command("view.out", "Zoom Out", ("-",), "View", "image", lambda c: c.view.zoom_by(1 / 1.5)),
        Command("view.center", "Go to Selection", ("Ctrl+Return",), "View", "selection", _center),
        Command("view.contrast", "Brightness and Contrast…", ("Shift+C",), "View/2", "image",
                lambda c: c.view.show_contrast()),
        Command("view.annotations", "Show Annotations", ("A",), "View/2", "image", _toggle("annotations")),
        Command("view.fill", "Fill Annotations", ("Shift+F",), "View/2", "image", _toggle("fill")),
        Command("view.scale_bar", "Scale Bar", (), "View/2", "image", _toggle("scale_bar")),
        Command("view.overview", "Overview", (), "View/2", "image", _toggle("overview")),
        Command("view.z_up", "Next z Slice", ("PgUp",), "View/3", "z", _step(1, 0)),
        Command("view.z_down", "Previous z Slice", ("PgDown",), "View/3", "z", _step(-1, 0)),
        Command("view.t_up", "Next Time Point", ("Ctrl+PgUp",), "View/3", "t", _step(0, 1)),
        Command("view.t_down", "Previous Time Point", ("Ctrl+PgDown",), "View/3", "t", _step(0, -1)),
        Command("recon.make", "Make 3D…", ("Ctrl+3",), "3D", "selection", lambda c: c.view.show_make3d(),
                "Make a 3D object of each selected annotation"),
        Command("recon.selected", "Show in 3D", ("Ctrl+Shift+3",), "3D", "selection",
                lambda c: c.view.show_selected_3d(), "Show the 3D objects of the selection together"),
        Command("recon.export", "Export 3D Object…", (), "3D/2", "selection", _export_3d,
                "Splat PLY, GLB, OBJ, STL or a turning GIF"),
        Command("recon.open", "Open 3D File…", (), "3D/2", "always", _open_3d,
                "Look at a PLY, GLB, OBJ or STL file"),
        Command("recon.view", "Show or Hide the 3D View", ("F3",), "3D/3", "always",
                lambda c: c.view.show_3d()),
        Command("recon.engines", "3D Engines…", (), "3D/3", "always", lambda c: c.view.show_engines3d(),
                "Set up SAM 3D, and check what is missing"),
        Command("help.palette", "Find a Command…", ("Ctrl+L", "Ctrl+Shift+P"), "Help", "always",
                lambda c: c.view.show_palette()),
        Command("help.shortcuts", "Keyboard Shortcuts", ("F1",), "Help", "always",
                lambda c: c.view.show_shortcuts()),
        Command("help.log", "Open the Log", (), "Help/2", "always", lambda c: c.view.open_log()),
        Command("help.about", "About samdesk", (), "Help/2", "always", lambda c: c.view.show_about()),
    )
}  # fmt: skip

MENUS = ("File", "Edit", "Segment", "View", "3D", "Help")

POINTER_HELP = (
    ("Move over the image", "Preview what a click would give"),
    ("Click", "Find the object here; more clicks refine it"),
    ("Alt+click, right click", "Take this part away"),
    ("Drag", "Find the object in this box"),
    ("Shift+drag", "Add a box for another part of the object"),
    ("Double click", "Find and keep"),
    ("Wheel, pinch", "Zoom at the cursor"),
    ("Middle drag, Space+drag, arrows", "Move the view"),
    ("Ctrl+wheel", "Annotation opacity"),
)
"""What the mouse does with the Segment tool; for the shortcuts page and the README."""


def shortcut_table() -> str:
    """The shortcuts as a Markdown table, for the README."""
    rows = [f"| {gesture} | {does} |" for gesture, does in POINTER_HELP]
    rows += [
        f"| {', '.join(f'`{k}`' for k in command.keys)} | {command.title.rstrip('…')} |"
        for command in COMMANDS.values()
        if command.keys
    ]
    return "\n".join(["| Keys or mouse | What it does |", "|---|---|", *rows])
