"""Regions of OME-XML, in a file of its own or in the header of an OME-TIFF, by `ome_types`.

Coordinates are ours unchanged: the schema (2016-06, ROI.xsd) has X of a rectangle as its left edge
and of a mask as the left side, so pixel k spans k to k + 1. It leaves open where a vertex or a
point lies in a pixel; they are taken to be in that same frame. Polygons hold no holes: an object
with holes is written as a mask. The class is a tag of the region. Must not know documents.
"""

from __future__ import annotations

import math
import re
import uuid
import zlib
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import ParseError

import numpy as np
import tifffile
from ome_types import OME, from_xml, model, to_xml
from xsdata.formats.dataclass.parsers.config import ParserConfig

from samdesk.domain.columns import LOCKED, Attributes, Table
from samdesk.domain.geometry import Shape, ShapeKind
from samdesk.domain.outline import mask_to_shape
from samdesk.domain.tasks import Task

from . import leaving
from .atomic import file_error, replacing
from .gathering import BATCH, Gathering
from .holes import MOST_PIXELS, TooLargeError, has_holes, mask_of, too_large
from .jsontext import not_read
from .report import ExportReport, Imported, counted
from .row import Pair, Parts, Row

if TYPE_CHECKING:
    from .exchange import ImageFacts

_MOST_BYTES = 1 << 30
_MOST_PLAIN = 1 << 20
"""Bytes of a mask that are written as they are, which every program reads; larger ones are packed, as
the XML writer takes minutes and gigabytes for tens of megabytes."""
_SHAPES = re.compile(r"<(?:\w+:)?(?:Polygon|Polyline|Line|Ellipse|Point|Mask|Rectangle|Label)\s[^>]*ID=")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML 1.0 file holds, not even escaped (section 2.2 of the standard)."""

_CORNERS = 256
"""Of an ellipse made a polygon."""

Member = dict[str, Any]

_UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, LookupError, ParseError, RecursionError)
"""What `ome_types` and the parsers below it raise for texts that are not OME-XML."""


# Reading


def read(path: Path, facts: ImageFacts | None, task: Task) -> Imported:
    """Read the regions of an image: the one named as in `facts`, else the first of the file."""
    task.progress(None, "Reading the regions")
    try:
        text = _text(path)
        ome = from_xml(text, parser_kwargs={"config": ParserConfig(fail_on_converter_warnings=True)})
    except OSError as error:
        raise file_error(path, error, "read") from error
    except _UNREADABLE as error:
        first = (str(error).splitlines() or ["it is damaged"])[0][:200]
        raise not_read(path, f"it is not OME-XML that is valid ({first})") from error
    gathering = Gathering("regions")
    lost = len(_SHAPES.findall(text)) - sum(
        len(found) for roi in ome.rois for found in _by_plane(roi).values()
    )
    if lost > 0:
        gathering.skipped += ["a shape that the schema does not allow where it stands"] * lost
    rois = _of_image(ome, facts, gathering)
    tags = {one.id: one.value for one in _tags(ome)}
    rows: list[Row] = []
    anywhere = 0
    for place, roi in enumerate(rois):
        for (z, t), shapes in _by_plane(roi).items():
            anywhere += z is None or t is None
            rows += _rows(roi, place, shapes, (z or 0, t or 0), tags, gathering)
        if len(rows) >= BATCH:
            task.progress(place / len(rois), "Reading annotations")
            gathering.add(rows)
            rows = []
    gathering.add(rows)
    if anywhere:
        gathering.notes.append(f"{counted(anywhere, 'region')} of every plane: put into the first.")
    return gathering.imported()


def _text(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(4)
    if head[:2] in (b"II", b"MM"):
        with tifffile.TiffFile(path) as tiff:
            found = tiff.ome_metadata
        if not found:
            raise ValueError("the TIFF has no OME-XML")
        text = str(found)
    else:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"it is larger than {_MOST_BYTES >> 30} GB")
        text = path.read_text("utf-8-sig", "replace")
    if "<!DOCTYPE" in text[:100_000] or "<!ENTITY" in text[:100_000]:
        raise ValueError("it declares entities, which are not read")
    return text


def _of_image(ome: OME, facts: ImageFacts | None, gathering: Gathering) -> list[Any]:
    """The regions of the image that is meant; those that no image names are of it, too."""
    named = [one for one in ome.images if facts and one.name == facts.name]
    chosen = (named or ome.images)[:1]
    mine = {ref.id for one in chosen for ref in one.roi_refs}
    others = {ref.id for one in ome.images if one not in chosen for ref in one.roi_refs} - mine
    if others:
        gathering.notes.append(f"{counted(len(others), 'region')} of other images were not read.")
    return [roi for roi in ome.rois if roi.id not in others]


def _tags(ome: OME) -> list[Any]:
    held = ome.structured_annotations
    return list(held.tag_annotations) if held is not None else []


def _by_plane(roi: Any) -> dict[tuple[int | None, int | None], list[Any]]:
    found: dict[tuple[int | None, int | None], list[Any]] = defaultdict(list)
    if roi.union is not None:
        for kind in ("polygons", "polylines", "lines", "ellipses", "points", "masks", "rectangles", "labels"):
            for shape in getattr(roi.union, kind):
                found[shape.the_z, shape.the_t].append(shape)
    return found


def _rows(
    roi: Any,
    place: int,
    shapes: list[Any],
    plane: tuple[int, int],
    tags: dict[str, Any],
    gathering: Gathering,
) -> Iterator[Row]:
    """The shapes of one plane as one annotation for each kind: areas, lines and points."""
    where = f"regions[{place}]"
    parts: dict[ShapeKind, Parts] = defaultdict(list)
    for shape in shapes:
        try:
            kind, found = _parts(shape)
        except ValueError as error:
            gathering.skipped.append(f"{where}, a {type(shape).__name__.lower()}: {error}")
            continue
        parts[kind] += found
    names = [tags[ref.id] for ref in roi.annotation_refs if tags.get(ref.id)]
    texts = [shape.text for shape in shapes if shape.text]
    name = roi.name or (texts[0] if texts else "")
    for kind, found in parts.items():
        if kind is ShapeKind.POINTS:
            found = [[[pair for part in found for ring in part for pair in ring]]]
        one = None
        if len(parts) == 1:
            with suppress(ValueError):
                one = uuid.UUID(roi.id.rpartition(":")[2])
        yield Row(
            where,
            kind,
            found,
            one,
            locked=any(shape.locked for shape in shapes),
            z=plane[0],
            t=plane[1],
            class_name=": ".join(names) or None,
            attributes=Attributes(name=name) if name else None,
        )


def _parts(shape: Any) -> tuple[ShapeKind, Parts]:
    kind, rings = _rings(shape)
    transform = shape.transform
    if transform is not None:
        a, b, c, d = transform.a00, transform.a01, transform.a10, transform.a11
        dx, dy = transform.a02, transform.a12
        rings = [
            [[(a * x + b * y + dx, c * x + d * y + dy) for x, y in ring] for ring in part] for part in rings
        ]
    return kind, rings


def _rings(shape: Any) -> tuple[ShapeKind, Parts]:
    if isinstance(shape, model.Polygon):
        return ShapeKind.AREA, [[_points(shape.points)]]
    if isinstance(shape, model.Polyline):
        return ShapeKind.LINES, [[_points(shape.points)]]
    if isinstance(shape, model.Line):
        return ShapeKind.LINES, [[[(shape.x1, shape.y1), (shape.x2, shape.y2)]]]
    if isinstance(shape, model.Point):
        return ShapeKind.POINTS, [[[(shape.x, shape.y)]]]
    if isinstance(shape, model.Rectangle):
        x0, y0, x1, y1 = shape.x, shape.y, shape.x + shape.width, shape.y + shape.height
        return ShapeKind.AREA, [[[(x0, y0), (x1, y0), (x1, y1), (x0, y1)]]]
    if isinstance(shape, model.Ellipse):
        angle = np.arange(_CORNERS) * 2 * math.pi / _CORNERS
        xs, ys = shape.x + shape.radius_x * np.cos(angle), shape.y + shape.radius_y * np.sin(angle)
        return ShapeKind.AREA, [[list(zip(xs.tolist(), ys.tolist(), strict=True))]]
    if isinstance(shape, model.Mask):
        return ShapeKind.AREA, _mask(shape)
    raise ValueError("a text without an outline is no annotation")


def _points(text: str) -> list[Pair]:
    try:
        values = np.array(text.replace(",", " ").split(), np.float64)
    except ValueError:
        raise ValueError("its points are no numbers") from None
    if len(values) % 2:
        raise ValueError("its points are no pairs")
    return [(x, y) for x, y in values.reshape(-1, 2).tolist()]


def _mask(shape: Any) -> Parts:
    width, height = round(shape.width), round(shape.height)
    if width <= 0 or height <= 0 or width * height > MOST_PIXELS:
        raise ValueError(f"a mask of {width} × {height} px")
    packed, most = shape.bin_data.value, (width * height + 7) // 8
    if shape.bin_data.compression.value == "zlib":
        try:
            packed = zlib.decompressobj().decompress(packed, most)
        except zlib.error:
            raise ValueError("its bits are damaged") from None
    elif shape.bin_data.compression.value != "none":
        raise ValueError(f"packed by {shape.bin_data.compression.value}, which is not read")
    if len(packed) < most:
        raise ValueError("it has too few bits")
    bits = np.unpackbits(np.frombuffer(packed, np.uint8, most), count=width * height)
    found = mask_to_shape(bits.reshape(height, width)).translated(shape.x, shape.y)
    return [[ring.tolist() for ring in part] for part in found.to_parts()]


# Writing


def write(path: Path, table: Table, facts: ImageFacts, task: Task) -> ExportReport:
    """Write a file with one region for each annotation, and no image."""
    rows: list[model.ROI] = []
    holes = large = 0
    tags = [
        model.TagAnnotation(id=f"Annotation:{number}", value=_NOT_XML.sub("", one.name))
        for number, one in enumerate(table.classes, 1)
    ]
    for row in range(len(table)):
        if row % BATCH == 0:
            task.progress(0.7 * row / len(table), f"{row:,} annotations")
        shape = table.shape(row)
        try:
            roi = _region(table, row, shape)
        except TooLargeError:
            large += 1
            continue
        if roi is not None:
            holes += has_holes(shape)
            rows.append(roi)
    left = []
    if lost := len(table) - len(rows) - large:
        left.append(f"{counted(lost, 'annotation')} of which nothing is left at 0.01 px")
    left += too_large(large)
    leaving.refuse_nothing(path, np.array(rows, object), left)
    used = set(np.unique(table.class_id).tolist())
    kept = [tag for number, tag in enumerate(tags, 1) if number in used]
    ome = OME(rois=rows, structured_annotations=model.StructuredAnnotations(tag_annotations=kept))
    task.progress(0.8, "Writing")
    with replacing(path) as fresh:
        fresh.write_text('<?xml version="1.0" encoding="UTF-8"?>\n' + to_xml(ome), "utf-8")
    notes = []
    if holes:
        n = counted(holes, "annotation")
        notes.append(f"{n} with holes: written as masks, with edges on whole pixels.")
    names = [table.classes[number - 1].name for number in used if number]
    names += [own.name for own in table.attributes.values()]
    if odd := sum(bool(_NOT_XML.search(name)) for name in names):
        notes.append(f"Characters that XML cannot hold were left out of {counted(odd, 'name')}.")
    notes.append("Colors and measurements are not written to this format; GeoJSON keeps them.")
    return leaving.report(path, len(rows), left, notes)


def _region(table: Table, row: int, shape: Shape) -> model.ROI | None:
    own = table.attributes.get(row)
    one, number = table.id(row), int(table.class_id[row])
    name = (_NOT_XML.sub("", own.name) if own else "") or None
    locked = bool(table.flags[row] & LOCKED)
    common: Member = {"the_z": int(table.z[row]), "the_t": int(table.t[row]), "locked": locked or None}
    union = _masked(shape) if has_holes(shape) else _outlined(shape)
    if not union:
        return None
    kind, made, members = union
    shapes = [made(id=f"Shape:{one}:{k}", text=name, **common, **member) for k, member in enumerate(members)]
    refs = [model.AnnotationRef(id=f"Annotation:{number}")] if number else []
    held = model.ROI.Union(**{kind: shapes})
    return model.ROI(id=f"ROI:{one}", name=name, union=held, annotation_refs=refs)


def _outlined(shape: Shape) -> tuple[str, Any, list[Member]] | None:
    """The list of the union, the kind of its members, and what those are made of."""
    if shape.kind is ShapeKind.POINTS:
        return "points", model.Point, [{"x": x, "y": y} for x, y in np.round(shape.coords, 2).tolist()]
    rings = leaving.rounded_rings(shape)
    if not rings:
        return None
    members: list[Member] = [{"points": " ".join(f"{x:.12g},{y:.12g}" for x, y in ring)} for ring in rings]
    if shape.kind is ShapeKind.LINES:
        return "polylines", model.Polyline, members
    return "polygons", model.Polygon, members


def _masked(shape: Shape) -> tuple[str, Any, list[Member]] | None:
    found = mask_of(shape)
    if found is None:
        return None
    mask, x, y = found
    packed = np.packbits(mask).tobytes()
    compression = model.BinData_Compression.NONE
    if len(packed) > _MOST_PLAIN:
        packed, compression = zlib.compress(packed), model.BinData_Compression.ZLIB
    data = model.BinData(value=packed, big_endian=True, length=len(packed), compression=compression)
    height, width = mask.shape
    return "masks", model.Mask, [{"bin_data": data, "x": x, "y": y, "width": width, "height": height}]
