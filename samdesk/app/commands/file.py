"""Commands: files, saving and the server.

Must not know widgets.
"""

from __future__ import annotations

from samdesk.app.workspace import Notice

from .table import Command, Context

GEOJSON_FILTER = "GeoJSON (*.geojson *.json *.geojson.gz *.json.gz)"
IMAGE_FILTER = (
    "Images (*.tif *.tiff *.btf *.svs *.ndpi *.mrxs *.scn *.bif *.vms *.vmu *.svslide *.dcm "
    "*.png *.jpg *.jpeg *.bmp *.webp);;samdesk projects (*.gpkg);;All files (*)"
)


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


def _copy_address(c: Context) -> None:
    c.view.copy_text(c.workspace.serving.qupath_url)
    c.workspace.notice.emit(
        Notice("info", f"{c.workspace.serving.qupath_url} is copied.", "Paste it in QuPath's SAM window.")
    )


ROWS = (
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
)  # fmt: skip
