"""COCO instances: polygons and run-length masks, one file for any number of images.

Coordinates are ours unchanged: pixel edges. `rleFrPoly` of pycocotools (`common/maskApi.c`) fills
the square 5..15 as the ten pixels 5 to 14. Polygons hold no holes: an object with holes is written
as a run-length mask, whose edges are those of pixels. Must not know documents.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import orjson

from samdesk.domain.columns import UNCLASSIFIED, Attributes, Table
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Bounds, Shape, ShapeKind
from samdesk.domain.outline import mask_to_shape
from samdesk.domain.tasks import Task

from . import leaving, rle
from .atomic import replacing
from .gathering import BATCH, Gathering
from .holes import TooLargeError, has_holes, mask_of, too_large
from .jsontext import not_read, number, numbers, parse, read_text, text_of
from .report import ExportReport, Imported, counted
from .row import Parts, Row

if TYPE_CHECKING:
    from .exchange import ImageFacts

SCORE = "score"

Value = dict[str, Any]


class _File(msgspec.Struct):
    annotations: list[msgspec.Raw] = []
    images: list[Any] = []
    categories: list[Any] = []


# Reading


def read(path: Path, facts: ImageFacts | None, task: Task) -> Imported:
    """Read the annotations of one image.

    It is the image whose file name is that of `facts`, or the only one. Annotations of others
    are counted in the report's notes.
    """
    file = _opened(path, read_text(path, task))
    gathering = Gathering()
    image, size, note = _image(path, file.images, facts)
    if note:
        gathering.notes.append(note)
    names = _category_names(file.categories)
    others = 0
    for start in range(0, len(file.annotations), BATCH):
        batch: list[Row] = []
        task.progress(0.25 + 0.75 * start / len(file.annotations), "Reading annotations")
        for place, raw in enumerate(file.annotations[start : start + BATCH], start):
            where = f"annotations[{place}]"
            value = _value(raw)
            if value is None:
                gathering.skipped.append(f"{where}: it is no annotation")
            elif image is not None and value.get("image_id") != image:
                others += 1
            else:
                try:
                    batch.append(_row(value, where, names, size, gathering))
                except ValueError as error:
                    gathering.skipped.append(f"{where}: {error}")
        gathering.add(batch)
    if others:
        gathering.notes.append(f"{counted(others, 'annotation')} of other images were not read.")
    return gathering.imported()


def _opened(path: Path, text: bytes) -> _File:
    """The file's lists, its annotations still as text where that is possible."""
    try:
        return msgspec.json.decode(text, type=_File)
    except (ValueError, RecursionError):  # a list of results, loose JSON, or damaged
        root = parse(text, path)
    if isinstance(root, list):
        root = {"annotations": root}
    if not isinstance(root, dict) or not isinstance(root.get("annotations"), list):
        raise not_read(path, "it has no list “annotations”, as COCO has")
    lists = [root.get(name) for name in ("images", "categories")]
    images, categories = (one if isinstance(one, list) else [] for one in lists)
    return _File(root["annotations"], images, categories)


def _value(raw: Any) -> Value | None:
    if isinstance(raw, msgspec.Raw):
        try:
            raw = msgspec.json.decode(raw)
        except (ValueError, RecursionError):
            return None
    return raw if isinstance(raw, dict) else None


def _image(
    path: Path, images: list[Any], facts: ImageFacts | None
) -> tuple[Any, tuple[int, int] | None, str]:
    """The id of the image that is meant, its size, and a note; the id is None for all annotations."""
    known = [one for one in images if isinstance(one, dict) and _is_key(one.get("id"))]
    if not known:
        return None, None, "The file names no image: its annotations are taken to be of this one."
    name = facts.name if facts else ""
    fitting = [one for one in known if _base(one.get("file_name")) == name]
    if not fitting:
        fitting = [one for one in known if Path(_base(one.get("file_name"))).stem == Path(name).stem]
    if not fitting and len(known) > 1:
        listed = ", ".join(_base(one.get("file_name")) or "?" for one in known[:5])
        raise SamdeskError(
            f"{path.name} holds annotations of {len(known):,} images, and none is called {name or 'so'}: "
            f"{listed}{' …' if len(known) > 5 else ''}",
            "Open one of those images, and import the file again.",
        )
    chosen = (fitting or known)[0]
    width, height = number(chosen.get("width")), number(chosen.get("height"))
    size = (int(width), int(height)) if width and height and width > 0 and height > 0 else None
    if facts and size and size != (facts.width, facts.height):
        raise SamdeskError(
            f"{path.name} is for an image of {size[0]:,} × {size[1]:,} px, and this one has "
            f"{facts.width:,} × {facts.height:,}.",
            "Open the image that it was made for.",
        )
    note = "" if fitting or not name else f"The annotations are those of {_base(chosen.get('file_name'))}."
    return chosen["id"], size, note


def _is_key(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _base(name: Any) -> str:
    return name.replace("\\", "/").rsplit("/", 1)[-1] if isinstance(name, str) else ""


def _category_names(categories: list[Any]) -> dict[Any, str]:
    found = [one for one in categories if isinstance(one, dict) and _is_key(one.get("id"))]
    return {one["id"]: text_of(one.get("name")) or str(one["id"]) for one in found}


def _row(
    value: Value, where: str, names: Mapping[Any, str], size: tuple[int, int] | None, gathering: Gathering
) -> Row:
    """One annotation; ValueError, which says why, when nothing can be made of it."""
    parts = _parts(value.get("segmentation"), size)
    if not parts:
        box = value.get("bbox")
        sides = numbers(box)
        if sides is None or len(sides) != 4:
            raise ValueError("it has no outline, no mask and no box")
        x, y, w, h = sides
        parts = [[[(x, y), (x + w, y), (x + w, y + h), (x, y + h)]]]
        gathering.repaired.append(f"{where}: it has no outline; its box was taken")
    category = value.get("category_id")
    name = names.get(category) if _is_key(category) else None
    if name is None and _is_key(category):
        name = f"category {category}"
    score = number(value.get("score"))
    metadata = {"iscrowd": "1"} if value.get("iscrowd") == 1 else {}
    own = Attributes("", None, {SCORE: score} if score is not None else {}, metadata)
    has_own = score is not None or bool(metadata)
    named = name if name and name != UNCLASSIFIED else None
    return Row(where, ShapeKind.AREA, parts, class_name=named, attributes=own if has_own else None)


def _parts(segmentation: Any, size: tuple[int, int] | None) -> Parts:
    """Polygons or a mask as parts; empty when there is neither."""
    if isinstance(segmentation, dict):
        sides = numbers(segmentation.get("size"))
        if sides is None or len(sides) != 2:
            raise ValueError("its mask has no size")
        height, width = map(int, sides)
        if size is not None and size != (width, height):
            raise ValueError(f"its mask has {width} × {height} px, the image {size[0]} × {size[1]}")
        crop, x, y = rle.decode(rle.counts_of(segmentation.get("counts")), width, height)
        shape = mask_to_shape(crop).translated(x, y)
        return [[ring.tolist() for ring in part] for part in shape.to_parts()]
    if not isinstance(segmentation, list):
        return []
    rings: Parts = []
    for ring in segmentation if segmentation and isinstance(segmentation[0], list) else [segmentation]:
        flat = numbers(ring)
        if flat is None or len(flat) % 2:
            raise ValueError("its outline is no list of coordinates")
        if len(flat) >= 6:
            rings.append([list(zip(flat[0::2], flat[1::2], strict=True))])
    return rings


# Writing


def write(path: Path, table: Table, facts: ImageFacts, task: Task) -> ExportReport:
    """Write the areas of a table as instances of one image."""
    left: list[str] = []
    rows = leaving.areas(table, "COCO", left)
    rows = leaving.first_plane(table, rows, "COCO", left)
    leaving.refuse_nothing(path, rows, left)
    used = np.unique(table.class_id[rows]).tolist()
    names = {number: table.classes[number - 1].name if number else UNCLASSIFIED for number in used}
    categories = {number: place for place, number in enumerate(sorted(used, key=lambda k: (k == 0, k)), 1)}
    image = {"id": 1, "file_name": facts.name, "width": facts.width, "height": facts.height}
    listed = [{"id": categories[n], "name": names[n], "supercategory": ""} for n in categories]
    tally = _Tally()
    with replacing(path) as fresh, fresh.open("xb") as file:
        file.write(b'{"images":[' + orjson.dumps(image) + b'],"categories":' + orjson.dumps(listed))
        file.write(b',"annotations":[')
        for done, row in enumerate(rows.tolist()):
            if done % BATCH == 0:
                task.progress(done / len(rows), f"{tally.written:,} annotations written")
            found = _annotation(table, row, facts, tally)
            if found is not None:
                found |= {"id": tally.written, "image_id": 1, "category_id": categories[table.class_id[row]]}
                file.write((b",\n" if tally.written > 1 else b"\n") + orjson.dumps(found))
        file.write(b"\n]}\n")
    return leaving.report(path, tally.written, [*left, *tally.left()], [*tally.notes(facts)])


class _Tally:
    """What became of the rows."""

    def __init__(self) -> None:
        self.written = self.holes = self.outside = self.lost = self.large = 0

    def left(self) -> Iterator[str]:
        if self.lost:
            yield f"{counted(self.lost, 'annotation')} of which nothing is left in the image"
        yield from too_large(self.large)

    def notes(self, facts: ImageFacts) -> Iterator[str]:
        if self.holes:
            n = counted(self.holes, "annotation")
            yield f"{n} with holes: written as masks, with edges on whole pixels, as polygons hold no holes."
        if self.outside:
            yield f"{counted(self.outside, 'mask')} cut off at the edge of the image."
        yield "Names, colors and measurements but the score are not part of this format; GeoJSON keeps them."


def _annotation(table: Table, row: int, facts: ImageFacts, tally: _Tally) -> Value | None:
    shape = table.shape(row)
    own = table.attributes.get(row)
    found: Value = {"iscrowd": int(own is not None and own.metadata.get("iscrowd") == "1")}
    if found["iscrowd"] or has_holes(shape):
        try:
            made = _run_lengths(shape, facts, tally)
        except TooLargeError:
            tally.large += 1
            return None
        tally.holes += made is not None and not found["iscrowd"]
    else:
        made = _polygons(shape)
    if made is None:
        tally.lost += 1
        return None
    tally.written += 1
    score = None if own is None else own.measurements.get(SCORE, own.provenance.get("score"))
    if number(score) is not None:
        found[SCORE] = score
    return found | made


def _polygons(shape: Shape) -> Value | None:
    rings = leaving.rounded_rings(shape)
    if not rings:
        return None
    area = sum(leaving.area_of(np.array(ring)) for ring in rings)
    x0, y0, x1, y1 = shape.bounds
    outlines = [[value for pair in ring for value in pair] for ring in rings]
    return {"segmentation": outlines, "area": round(area, 4), "bbox": _rounded(x0, y0, x1 - x0, y1 - y0)}


def _rounded(*values: float) -> list[float]:
    return [round(value, 2) for value in values]


def _run_lengths(shape: Shape, facts: ImageFacts, tally: _Tally) -> Value | None:
    bounds = shape.bounds
    found = mask_of(shape, Bounds(0, 0, facts.width, facts.height))
    if found is None:
        return None
    mask, x0, y0 = found
    tally.outside += bounds.x0 < 0 or bounds.y0 < 0 or bounds.x1 > facts.width or bounds.y1 > facts.height
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = (x0 + columns[0], y0 + rows[0], np.ptp(columns) + 1, np.ptp(rows) + 1)
    counts = rle.encode(mask, x0, y0, facts.width, facts.height)
    return {
        "segmentation": {"size": [facts.height, facts.width], "counts": rle.pack(counts)},
        "area": int(mask.sum()),
        "bbox": [float(side) for side in box],
    }
