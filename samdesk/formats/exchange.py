"""The formats in which annotations come and go, as a table, and which of them a file is in.

A format is one module with a function that reads and one that writes, named by "module:function"
and loaded when it is wanted. Must not know documents on screen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from samdesk.domain.columns import Table
from samdesk.domain.errors import SamdeskError
from samdesk.domain.tasks import Task

from .atomic import file_error
from .report import ExportReport, Imported, counted
from .sniffing import head_of, root_members

__all__ = ["FORMATS", "ExportReport", "Format", "ImageFacts", "Imported", "read", "recognise", "write"]


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What formats need to know of the image that annotations belong to.

    Attributes
    ----------
    name : str
        The name of its file.
    width, height : int
        In full-resolution pixels.
    """

    name: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Format:
    """A row of the table.

    Attributes
    ----------
    id : str
        Stable name, such as "coco".
    title : str
        What the user reads.
    suffixes : tuple of str
        Endings of the names of its files, in small letters; the first is what an export gets.
    reading, writing : str
        "module:function" below this package; empty where the format is not read or written.
    folder : bool
        A folder of files in place of a file.
    picture : bool
        Its files are pictures, which are opened as images unless they are imported by a command.
    reduced : bool
        May be written at a whole-numbered downsample.
    """

    id: str
    title: str
    suffixes: tuple[str, ...]
    reading: str
    writing: str
    folder: bool = False
    picture: bool = False
    reduced: bool = False

    def has_name(self, path: Path) -> bool:
        """Whether a file of this name may be of this format."""
        return path.name.lower().endswith(self.suffixes)


FORMATS = {
    row.id: row
    for row in (
        Format("geojson", "GeoJSON", (".geojson", ".geojson.gz", ".geojson.zip", ".json", ".json.gz", ".zip"),
               "geojson.exchange:read", "geojson.exchange:write"),
        Format("coco", "COCO instances", (".coco.json", ".json", ".json.gz"), "coco:read", "coco:write"),
        Format("labelme", "labelme", (".labelme.json", ".json"), "labelme:read", "labelme:write"),
        Format("yolo", "YOLO segmentation", (".txt",), "yolo:read", "yolo:write"),
        Format("ome", "OME-XML regions", (".ome.xml", ".xml", ".ome.tif", ".ome.tiff"),
               "omexml:read", "omexml:write"),
        Format("labels", "Label image", (".labels.tif", ".labels.png", ".tif", ".tiff", ".png"),
               "labels:read", "labels:write", picture=True, reduced=True),
        Format("masks", "Masks, a picture for each class", (".masks",), "masks:read", "masks:write",
               folder=True, reduced=True),
    )
}  # fmt: skip

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_COCO = {"images", "categories", "annotations", "licenses"}
_LABELME = {"shapes", "imagePath", "imageData", "imageHeight", "imageWidth", "lineColor", "fillColor"}
_COCO_RESULT = {"segmentation", "category_id", "image_id"}


def recognise(path: str | Path) -> Format:
    """Tell the format of a file or folder, by its name and, where that says little, by how it begins.

    No more than the beginning is read, whatever the size.

    Raises
    ------
    SamdeskError
        When it is not there, cannot be read, or is none that is known.
    """
    path = Path(path)
    name = path.name.lower()
    try:
        if path.is_dir():
            if name.endswith(".zarr") or not _has_picture(path):
                raise _unknown(path)
            return FORMATS["masks"]
        head = head_of(path)
    except OSError as error:
        raise file_error(path, error, "read") from error
    if head.startswith(_ZIP) or name.endswith(".geojson"):
        return FORMATS["geojson"]
    if name.endswith((".json", ".gz")):
        return FORMATS[_json_format(head)]
    if b"<OME" in head or name.endswith((".ome.tif", ".ome.tiff", ".ome.xml")):
        return FORMATS["ome"]
    for one in FORMATS.values():
        if one.has_name(path) and not name.endswith((".xml", ".zip")):
            return one
    if head.lstrip()[:1] in (b"{", b"["):
        return FORMATS[_json_format(head)]
    raise _unknown(path)


def is_annotations(path: Path) -> bool:
    """Whether a file that was dropped or given holds annotations and no image to open."""
    if path.is_dir():
        return not path.name.lower().endswith(".zarr") and _has_picture(path) and not _has_slide(path)
    name = path.name.lower()
    if name.endswith((".ome.tif", ".ome.tiff", ".zarr.zip")):
        return False
    if name.endswith((".labels.tif", ".labels.png")):
        return True
    return any(one.has_name(path) and not one.picture for one in FORMATS.values())


def is_label_export(path: Path) -> bool:
    """Whether this is a label image with the table that an export writes beside it."""
    if path.suffix.lower() not in (".tif", ".tiff", ".png") or not path.with_suffix(".csv").is_file():
        return False
    has_table: Callable[[Path], bool] = _loaded("labels:has_table")
    return has_table(path)


def for_writing(path: str | Path, id: str | None = None) -> Format:
    """The format of a file that is to be written: as given, else by its name.

    Raises
    ------
    SamdeskError
        When there is none for that name.
    """
    if id is not None and id in FORMATS:
        return FORMATS[id]
    name = Path(path).name.lower()
    fitting = [
        (len(ending), one)
        for one in FORMATS.values()
        for ending in one.suffixes
        if name.endswith(ending) and not ending.startswith(".ome.tif")
    ]
    if id is not None or not fitting:
        known = ", ".join(one.suffixes[0] for one in FORMATS.values())
        what = f"“{id}” is not a format" if id is not None else f"{Path(path).name} has no known ending"
        raise SamdeskError(f"{what} in which annotations can be written.", f"Known endings: {known}.")
    longest = max(length for length, _ in fitting)
    return next(one for length, one in fitting if length == longest)


def read(path: str | Path, facts: ImageFacts | None = None, task: Task | None = None) -> Imported:
    """Read annotations from a file of any known format.

    Parameters
    ----------
    path : path-like
    facts : ImageFacts, optional
        The image they are for; formats that count in parts of the picture need it.
    task : Task, optional

    Raises
    ------
    SamdeskError
        When nothing can be made of the file. Nothing is returned of it then.
    Cancelled
    """
    path = Path(path)
    reading: Callable[..., Imported] = _loaded(recognise(path).reading)
    found = reading(path, facts, task or Task())
    return found if facts is None else _with_remark(found, facts)


def _with_remark(found: Imported, facts: ImageFacts) -> Imported:
    """Tell how many lie wholly beside the image: they may belong to another one."""
    left, top, right, bottom = found.table.bounds.T
    outside = int(((right < 0) | (bottom < 0) | (left > facts.width) | (top > facts.height)).sum())
    if not outside:
        return found
    note = f"{counted(outside, 'annotation')} outside the image: is it the one they belong to?"
    return replace(found, report=replace(found.report, notes=(*found.report.notes, note)))


def write(
    path: str | Path,
    table: Table,
    facts: ImageFacts | None = None,
    task: Task | None = None,
    *,
    id: str | None = None,
    downsample: int = 1,
) -> ExportReport:
    """Write annotations in the format of that name. The file appears whole or not at all.

    Parameters
    ----------
    path : path-like
    table : Table
    facts : ImageFacts, optional
        The image they belong to; all formats but GeoJSON need it.
    task : Task, optional
    id : str, optional
        Of a format; by default the one that the name tells.
    downsample : int
        Image pixels per pixel of a label image or a mask.

    Raises
    ------
    SamdeskError
        When the format does not take them, or the file cannot be written.
    Cancelled
    """
    chosen = for_writing(path, id)
    if facts is None and chosen.id != "geojson":
        raise SamdeskError(
            f"{chosen.title} needs the size of the image.", "Name the image, or write GeoJSON."
        )
    more = {"downsample": downsample} if chosen.reduced else {}
    writing: Callable[..., ExportReport] = _loaded(chosen.writing)
    report = writing(Path(path), table, facts, task or Task(), **more)
    return replace(report, lost=len(table) - report.written)


def _loaded(name: str) -> Any:
    module, _, function = name.partition(":")
    return getattr(import_module(f"{__package__}.{module}"), function)


def _json_format(head: bytes) -> str:
    members, is_list = root_members(head)
    if is_list:
        return "coco" if members & _COCO_RESULT else "geojson"
    if members & {"features", "geometry", "coordinates"}:
        return "geojson"
    if members & _LABELME:
        return "labelme"
    return "coco" if members & _COCO else "geojson"


def _has_picture(folder: Path) -> bool:
    return any(one.suffix.lower() in (".png", ".tif", ".tiff") for one in folder.iterdir())


def _has_slide(folder: Path) -> bool:
    return any(one.suffix.lower() in (".mrxs", ".vms", ".vmu", ".dcm") for one in folder.iterdir())


def _unknown(path: Path) -> SamdeskError:
    return SamdeskError(
        f"{path.name} holds no annotations in a format that is known here.",
        f"Known are {', '.join(one.title for one in FORMATS.values())}.",
    )
