"""Commands: files, saving and the server.

Must not know widgets.
"""

from __future__ import annotations

import os
from pathlib import Path

from samdesk.app.exchange import export_filter, import_filter
from samdesk.app.workspace import Notice

from .table import Command, Context

_DOUBLE = (".ome.tif", ".ome.tiff", ".ome.btf", ".ome.zarr", ".zarr.zip", ".labels.tif", ".labels.png")
"""Endings of images that are taken off whole."""

IMAGE_FILTER = (
    "Images (*.tif *.tiff *.btf *.svs *.ndpi *.mrxs *.scn *.bif *.vms *.vmu *.svslide *.dcm "
    "*.png *.jpg *.jpeg *.bmp *.webp);;samdesk projects (*.gpkg samdesk-project.json);;All files (*)"
)


def _open(c: Context) -> None:
    for path in c.ask.open_files("Open an image or a project", IMAGE_FILTER)[:1]:
        c.workspace.open(path)


def _save(c: Context) -> None:
    if c.workspace.has_name:
        c.workspace.save()
    else:
        _save_as(c)


def _save_as(c: Context) -> None:
    path = _asked_place(c, "Save the annotations")
    if path is not None:
        c.workspace.save_as(path)


def _save_copy(c: Context) -> None:
    path = _asked_place(c, "Save a copy of the annotations")
    if path is not None:
        c.workspace.save_copy(path)


def _asked_place(c: Context, title: str) -> Path | None:
    image = c.workspace.image
    if image is None:
        return None
    return c.ask.save_file(title, beside(image.source.path, ".gpkg"), "samdesk annotations (*.gpkg)")


def beside(image: Path, ending: str) -> str:
    """What is proposed as the name of a file about an image: beside it, named like it.

    Only the name where files cannot be written there; a dialog begins in the folder of the last one then.
    """
    name = image.name
    bare = next((name[: -len(one)] for one in _DOUBLE if name.lower().endswith(one)), image.stem)
    named = f"{bare}{ending}"
    return str(image.with_name(named)) if os.access(image.parent, os.W_OK) else named


def _import(c: Context) -> None:
    c.workspace.exchange.import_files(c.ask.open_files("Import annotations", import_filter()))


def _import_to_review(c: Context) -> None:
    files = c.ask.open_files("Import annotations to look through", import_filter())[:1]
    c.workspace.exchange.import_files(files, review=True)


def _import_masks(c: Context) -> None:
    folder = c.ask.open_folder("Import a folder of masks")
    if folder is not None:
        c.workspace.exchange.import_files([folder])


def _export(c: Context, only_selected: bool = False) -> None:
    image = c.workspace.image
    if image is None:
        return
    name = beside(image.source.path, ".geojson")
    path = c.ask.save_file("Export annotations", name, export_filter())
    if path is None:
        return
    downsample = c.workspace.exchange.ask_downsample(path)
    if downsample is not None:
        c.workspace.exchange.export(path, only_selected=only_selected, downsample=downsample)


def _copy_address(c: Context) -> None:
    c.view.copy_text(c.workspace.serving.qupath_url)
    c.workspace.notice.emit(
        Notice("info", f"{c.workspace.serving.qupath_url} is copied.", "Paste it in QuPath's SAM window.")
    )


ROWS = (
    Command("file.open", "Open…", ("Ctrl+O",), "File", "always", _open),
    Command("file.save", "Save", ("Ctrl+S",), "File", "image", _save,
            "Every change is kept at once; this says where, or lets you choose it"),
    Command("file.save_as", "Save Annotations As…", ("Ctrl+Shift+S",), "File", "image of no project",
            _save_as, "Every change is kept at once; this chooses where"),
    Command("file.save_copy", "Save a Copy As…", (), "File", "image", _save_copy,
            "What is changed later does not come into the copy"),
    Command("file.folder", "Show Annotations in Folder", (), "File", "image", lambda c: c.view.open_folder()),
    Command("file.import", "Import Annotations…", ("Ctrl+I",), "File/2", "image", _import,
            "GeoJSON, COCO, labelme, YOLO, OME-XML or a label image"),
    Command("file.import_masks", "Import Folder of Masks…", (), "File/2", "image", _import_masks,
            "Black and white pictures, each named after a class"),
    Command("file.import_review", "Import to Review…", (), "File/2", "image", _import_to_review,
            "Look through the annotations of a file before they are added"),
    Command("file.export", "Export Annotations…", ("Ctrl+E",), "File/2", "annotations", _export,
            "GeoJSON for QuPath, or a format for training"),
    Command("file.export_selected", "Export Selected…", (), "File/2", "selection",
            lambda c: _export(c, only_selected=True)),
    Command("file.report", "Show Report", (), "File/2", "always", lambda c: c.view.show_dialog("imported"),
            "What the last import or export repaired or left out"),
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
