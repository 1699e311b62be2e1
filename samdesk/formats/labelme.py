"""labelme's JSON: a list of shapes of one image, of any version.

Coordinates are ours unchanged: labelme's canvas draws pixel k from k to k + 1, so that what a person
outlines there lies on pixel edges (its `shape_to_mask` fills with Pillow, which counts the pixels on
the outline too, and so gives masks half a pixel larger all round). A mask's two points are its
first and last pixel. An object of several parts is several shapes with one ``group_id``; one with
holes is a mask. Must not know documents.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import orjson

from samdesk.domain.columns import UNCLASSIFIED, Attributes, Table
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Shape, ShapeKind
from samdesk.domain.outline import mask_to_shape
from samdesk.domain.tasks import Task

from . import leaving
from .atomic import replacing
from .gathering import BATCH, Gathering
from .holes import TooLargeError, has_holes, mask_of, too_large
from .jsontext import not_read, number, pairs, parse, read_text, text_of
from .pixels import of_png
from .report import ExportReport, Imported, counted
from .row import Pair, Parts, Row

if TYPE_CHECKING:
    from .exchange import ImageFacts

VERSION = "5.5.0"
"""Of labelme, whose files these are like; it warns of files without one."""

_CORNERS = 64
"""Of a circle made a polygon, at least; more so that it deviates by less than `_DEVIATION` px."""
_DEVIATION = 0.01

Value = dict[str, Any]


# Reading


def read(path: Path, facts: ImageFacts | None, task: Task) -> Imported:
    """Read the shapes of a file; those of one group and label become one annotation."""
    root = parse(read_text(path, task), path)
    shapes = root.get("shapes") if isinstance(root, dict) else None
    if not isinstance(shapes, list):
        raise not_read(path, "it has no list “shapes”, as labelme has")
    gathering = Gathering("shapes")
    _check_size(path, root, facts, gathering)
    rows: list[Row] = []
    groups: dict[tuple[Any, ...], int] = {}
    for place, value in enumerate(shapes):
        if place % BATCH == 0:
            task.progress(0.25 + 0.75 * place / len(shapes), "Reading annotations")
        where = f"shapes[{place}]"
        try:
            row = _row(value, where)
        except ValueError as error:
            gathering.skipped.append(f"{where}: {error}")
            continue
        group = value.get("group_id")
        key = (str(group), row.class_name, row.kind)
        known = groups.get(key) if group is not None else None
        if known is None:
            groups[key] = len(rows)
            rows.append(row)
        elif row.kind is ShapeKind.POINTS:
            rows[known].parts[0][0].extend(row.parts[0][0])
        else:
            rows[known].parts.extend(row.parts)
    for start in range(0, len(rows), BATCH):
        gathering.add(rows[start : start + BATCH])
        task.check()
    flags = root.get("flags")
    if isinstance(flags, dict) and any(flags.values()):
        names = ", ".join(str(name) for name, on in flags.items() if on)
        gathering.notes.append(f"Flags of the image were left out: {names[:200]}.")
    return gathering.imported()


def _check_size(path: Path, root: Value, facts: ImageFacts | None, gathering: Gathering) -> None:
    width, height = number(root.get("imageWidth")), number(root.get("imageHeight"))
    if facts is None or not width or not height:
        return
    if (width, height) != (facts.width, facts.height):
        raise SamdeskError(
            f"{path.name} is for an image of {width:,.0f} × {height:,.0f} px, and this one has "
            f"{facts.width:,} × {facts.height:,}.",
            "Open the image that it was made for.",
        )
    named = text_of(root.get("imagePath")).replace("\\", "/").rsplit("/", 1)[-1]
    if named and named != facts.name:
        gathering.notes.append(f"The shapes were drawn on {named[:100]}.")


def _row(value: Any, where: str) -> Row:
    """One shape; ValueError, which says why, when nothing can be made of it."""
    if not isinstance(value, dict):
        raise ValueError("it is no shape")
    points = pairs(value.get("points"))
    if not points:
        raise ValueError("its points are no list of coordinates")
    label = text_of(value.get("label"))
    kind, parts = _parts(text_of(value.get("shape_type")) or "polygon", points, value)
    metadata = {}
    if described := text_of(value.get("description")):
        metadata["description"] = described
    flags = value.get("flags")
    if isinstance(flags, dict):
        metadata |= {f"flag {name}": "yes" for name, on in flags.items() if on is True}
    return Row(
        where,
        kind,
        parts,
        class_name=None if label in ("", UNCLASSIFIED) else label,
        attributes=Attributes(metadata=metadata) if metadata else None,
    )


def _parts(kind: str, points: list[Pair], value: Value) -> tuple[ShapeKind, Parts]:
    if kind == "mask":
        return ShapeKind.AREA, _mask(points, value.get("mask"))
    if kind in ("point", "points"):
        return ShapeKind.POINTS, [[points]]
    if kind in ("line", "linestrip"):
        return ShapeKind.LINES, [[points]]
    if kind in ("polygon", "oriented_rectangle"):
        return ShapeKind.AREA, [[points]]
    if len(points) != 2:
        raise ValueError(f"a {kind} with {counted(len(points), 'point')} is not known")
    (x0, y0), (x1, y1) = points
    if kind == "rectangle":
        return ShapeKind.AREA, [[[(x0, y0), (x1, y0), (x1, y1), (x0, y1)]]]
    if kind == "circle":
        return ShapeKind.AREA, [[_circle(x0, y0, math.hypot(x1 - x0, y1 - y0))]]
    raise ValueError(f"shapes of the type “{kind[:40]}” are not known")


def _circle(x: float, y: float, radius: float) -> list[Pair]:
    # the corners lie outside by as much as the sides lie inside, so that the area is the circle's
    corners = int(min(max(_CORNERS, math.pi / math.sqrt(2 * _DEVIATION / max(radius, 1))), 4096))
    angle = 2 * math.pi / corners
    reach = radius * math.sqrt(angle / math.sin(angle))
    return [(x + reach * math.cos(k * angle), y + reach * math.sin(k * angle)) for k in range(corners)]


def _mask(points: list[Pair], text: Any) -> Parts:
    if not isinstance(text, str):
        raise ValueError("its mask is missing")
    try:
        pixels = of_png(base64.b64decode(text, validate=True))
    except binascii.Error:
        raise ValueError("its mask is no base64 text") from None
    shape = mask_to_shape(pixels).translated(math.floor(points[0][0]), math.floor(points[0][1]))
    return [[ring.tolist() for ring in part] for part in shape.to_parts()]


# Writing


def write(path: Path, table: Table, facts: ImageFacts, task: Task) -> ExportReport:
    """Write a file that labelme opens beside the image; the picture itself is not in it."""
    left: list[str] = []
    rows = leaving.first_plane(table, np.arange(len(table)), "labelme", left)
    leaving.refuse_nothing(path, rows, left)
    holes = large = written = 0
    head: Value = {"version": VERSION, "flags": {}, "imagePath": facts.name, "imageData": None}
    head |= {"imageHeight": facts.height, "imageWidth": facts.width}
    with replacing(path) as fresh, fresh.open("xb") as file:
        file.write(orjson.dumps(head)[:-1] + b',"shapes":[')
        for done, row in enumerate(rows.tolist()):
            if done % BATCH == 0:
                task.progress(done / len(rows), f"{written:,} annotations written")
            shape = table.shape(row)
            holed = has_holes(shape)
            try:
                found = [*(_masks(shape) if holed else _outlines(shape))]
            except TooLargeError:
                large += 1
                continue
            if not found:
                continue
            holes += holed
            common = _common(table, row, group=row + 1 if len(found) > 1 else None)
            lines = [orjson.dumps({**common, **one}) for one in found]
            file.write((b",\n" if written else b"\n") + b",\n".join(lines))
            written += 1
        file.write(b"\n]}\n")
    if lost := len(rows) - written - large:
        left.append(f"{counted(lost, 'annotation')} of which nothing is left")
    left += too_large(large)
    notes = []
    if holes:
        n = counted(holes, "annotation")
        notes.append(
            f"{n} with holes: written as masks, with edges on whole pixels, as polygons hold no holes."
        )
    notes.append("Names, colors and measurements are not part of this format; GeoJSON keeps them.")
    return leaving.report(path, written, left, notes)


def _common(table: Table, row: int, group: int | None) -> Value:
    own = table.attributes.get(row)
    metadata = own.metadata if own else {}
    return {
        "label": table.class_name(row) or UNCLASSIFIED,
        "group_id": group,
        "description": metadata.get("description", ""),
        "flags": {
            name[5:]: True for name, on in metadata.items() if name.startswith("flag ") and on == "yes"
        },
    }


def _outlines(shape: Shape) -> Iterator[Value]:
    if shape.kind is ShapeKind.POINTS:
        yield from ({"shape_type": "point", "points": [one]} for one in np.round(shape.coords, 2).tolist())
        return
    for ring in leaving.rounded_rings(shape):
        line = "line" if len(ring) == 2 else "linestrip"
        kind = "polygon" if shape.kind is ShapeKind.AREA else line
        yield {"shape_type": kind, "points": ring}


def _masks(shape: Shape) -> Iterator[Value]:
    found = mask_of(shape)
    if found is not None:
        mask, x, y = found
        height, width = mask.shape
        png = cv2.imencode(".png", mask.view(np.uint8) * 255)[1].tobytes()
        text = base64.b64encode(png).decode()
        yield {"shape_type": "mask", "points": [[x, y], [x + width - 1, y + height - 1]], "mask": text}
