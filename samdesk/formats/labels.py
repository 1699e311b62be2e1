"""Label images: every pixel holds the number of its object, 0 none.

The number is the place of the annotation in the list, counted from 1, of those that are written. A
table beside the picture (``.csv``) says the class, name and id of each. A picture of another size
than the image is scaled when the ratio is a whole one. Must not know documents.
"""

from __future__ import annotations

import csv
import math
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from samdesk.domain.columns import Attributes, Table
from samdesk.domain.columns.ragged import Rows
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Shape, ShapeKind
from samdesk.domain.outline import labels_to_shapes
from samdesk.domain.tasks import Task

from . import leaving, painting, pixels
from .atomic import file_error, replacing
from .gathering import BATCH, Gathering
from .jsontext import not_read, parse, text_of
from .report import ExportReport, Imported, counted
from .row import Row

if TYPE_CHECKING:
    from .exchange import ImageFacts

COLUMNS = ("label", "class", "name", "id")

_MOST_LABELS = 5_000_000
_PNG_PIXELS = 1 << 28


class Entry(NamedTuple):
    """What the table beside the picture says of a label."""

    class_name: str = ""
    name: str = ""
    id: uuid.UUID | None = None


# Reading


def read(path: Path, facts: ImageFacts | None, task: Task) -> Imported:
    """Trace every label of an 8, 16 or 32-bit PNG or TIFF; the pixels of one number are one annotation."""
    task.progress(None, "Reading the label image")
    try:
        image = pixels.of_file(path)
    except OSError as error:
        raise file_error(path, error, "read") from error
    except ValueError as error:
        raise not_read(path, str(error)) from error
    gathering = Gathering("labels")
    scale = ratio(path, image.shape, facts)
    if scale > 1:
        gathering.notes.append(f"The picture is {scale} times smaller than the image; it was scaled.")
    task.progress(0.3, "Tracing outlines")
    _refuse_noise(path, image)
    shapes = labels_to_shapes(image)
    known, note = _beside(path)
    if note:
        gathering.notes.append(note)
    rows: list[Row] = []
    for done, (label, shape) in enumerate(shapes.items()):
        entry = known.get(label, Entry())
        rows.append(_row(f"label {label}", shape, scale, entry))
        if len(rows) >= BATCH:
            task.progress(0.5 + 0.5 * done / len(shapes), "Reading annotations")
            gathering.add(rows)
            rows = []
    gathering.add(rows)
    return gathering.imported()


def _refuse_noise(path: Path, image: pixels.Pixels) -> None:
    """Refuse a photograph, of which every pixel would become an object."""
    changes = np.count_nonzero(image[:, 1:] != image[:, :-1])
    if changes > max(image.size // 3, 1000) or changes > 100 * _MOST_LABELS:
        raise not_read(path, "nearly every pixel has another number: it seems to be a photograph")


def _row(where: str, shape: Shape, scale: int, entry: Entry) -> Row:
    parts = [[(ring * scale).tolist() for ring in part] for part in shape.to_parts()]
    own = Attributes(name=entry.name) if entry.name else None
    return Row(where, ShapeKind.AREA, parts, entry.id, class_name=entry.class_name or None, attributes=own)


def ratio(path: Path, shape: tuple[int, ...], facts: ImageFacts | None) -> int:
    """Image pixels for each pixel of a picture (h, w) that covers the image.

    Raises
    ------
    SamdeskError
        When that is no whole number, the same in both directions.
    """
    height, width = shape[:2]
    if facts is None or (width, height) == (facts.width, facts.height):
        return 1
    for scale in {max(round(facts.width / width), 1), max(math.floor(facts.width / width), 1)}:
        for rounded in (math.ceil, math.floor, round):
            if (rounded(facts.width / scale), rounded(facts.height / scale)) == (width, height):
                return scale
    raise SamdeskError(
        f"{path.name} has {width:,} × {height:,} px, the image {facts.width:,} × {facts.height:,}: "
        "neither the same nor a whole part of it.",
        "Open the image that it was made for.",
    )


def _beside(path: Path) -> tuple[dict[int, Entry], str]:
    """What a table beside the picture says of its labels, and a note."""
    stem = _stem(path)
    for name in (f"{stem}.csv", f"{stem}.json"):
        beside = path.with_name(name)
        with suppress(OSError, ValueError, UnicodeDecodeError, csv.Error, SamdeskError):
            found = _of_json(beside) if name.endswith(".json") else _of_csv(beside)
            if found:
                return found, f"Classes and names are those of {name}."
    return {}, ""


def _stem(path: Path) -> str:
    return path.name.rsplit(".", 1)[0]


def _of_csv(path: Path) -> dict[int, Entry]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        return {
            int(row["label"]): Entry(row.get("class") or "", row.get("name") or "", _uuid(row.get("id")))
            for row in rows
            if (row.get("label") or "").strip().isdecimal()
        }


def _of_json(path: Path) -> dict[int, Entry]:
    """{"1": "Tumor"} or {"1": {"class": "Tumor", "name": "a"}}."""
    root = parse(path.read_bytes(), path)
    found: dict[int, Entry] = {}
    for key, value in root.items() if isinstance(root, dict) else ():
        if key.strip().isdecimal():
            said = value if isinstance(value, dict) else {"class": value}
            found[int(key)] = Entry(
                text_of(said.get("class")), text_of(said.get("name")), _uuid(said.get("id"))
            )
    return found


def _uuid(text: object) -> uuid.UUID | None:
    with suppress(ValueError):
        return uuid.UUID(str(text))
    return None


# Writing


def write(path: Path, table: Table, facts: ImageFacts, task: Task, downsample: int = 1) -> ExportReport:
    """Write a 16-bit picture, or a 32-bit TIFF where there are more objects, and the table beside it.

    Memory holds a tile of a TIFF, and the whole of a PNG.

    Raises
    ------
    SamdeskError
        When a table that this did not write is in the place of the one beside the picture.
    """
    left: list[str] = []
    rows = leaving.areas(table, "a label image", left)
    rows = leaving.first_plane(table, rows, "a label image", left)
    leaving.refuse_nothing(path, rows, left)
    _refuse_other_table(path)
    width, height = painting.size_at(facts.width, facts.height, checked(downsample))
    numbers = np.arange(1, len(rows) + 1, dtype=np.uint32)
    dtype = np.uint16 if len(rows) < 1 << 16 else np.uint32
    painted = painting.Painted(np.zeros(len(rows), np.bool_))
    if path.suffix.lower() == ".png":
        if dtype is np.uint32 or width * height > _PNG_PIXELS:
            raise SamdeskError(
                f"{path.name} cannot be written: a PNG holds no more than 65,535 objects and "
                f"{_PNG_PIXELS:,} px here.",
                "Write a TIFF, or at a larger downsample.",
            )
        side = (width, height)
        (canvas,) = painting.tiles(table, rows, numbers, side, downsample, side, painted, task)
        pixels.write_png(path, canvas.astype(np.uint16))
    else:
        size = (width, height)
        made = painting.tiles(table, rows, numbers, size, downsample, pixels.TILE, painted, task)
        pixels.write_tiff(path, (tile.astype(dtype) for tile in made), width, height, dtype)
    _write_beside(path, table, rows, painted)
    return leaving.report(
        path, int(painted.seen.sum()), [*left, *lost(painted)], _notes(path, painted, downsample)
    )


def checked(downsample: int) -> int:
    """The downsample, a whole number from 1 on."""
    if downsample < 1 or downsample != int(downsample):
        raise SamdeskError(f"A downsample of {downsample} makes no sense.", "Give a whole number, 1 or more.")
    return int(downsample)


def lost(painted: painting.Painted) -> list[str]:
    """A line for the objects without a pixel."""
    n = int((~painted.seen).sum())
    return (
        [f"{counted(n, 'annotation')} without a pixel: too small, covered, or outside the image"] if n else []
    )


def has_table(path: Path) -> bool:
    """Whether there is a table beside the picture as it is written here."""
    try:
        return _is_table(path.with_name(f"{_stem(path)}.csv"))
    except OSError:
        return False


def _is_table(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(256).splitlines()[:1] == [",".join(COLUMNS).encode()]


def _refuse_other_table(path: Path) -> None:
    """Raise when the file beside the picture is not such a table, and would be overwritten."""
    beside = path.with_name(f"{_stem(path)}.csv")
    try:
        is_table = _is_table(beside)
    except FileNotFoundError:
        return
    except OSError as error:
        raise file_error(beside, error, "read") from error
    if not is_table:
        raise SamdeskError(
            f"{beside.name} is there already, and is no table of a label image.",
            f"Choose another name than {path.name}: the names of its objects are written to that file.",
        )


def _notes(path: Path, painted: painting.Painted, downsample: int) -> list[str]:
    notes = [f"Classes, names and ids are in {_stem(path)}.csv beside it."]
    if covering := int(painted.covering.sum()):
        notes.append(f"{counted(covering, 'annotation')} lie over others, which lost those pixels.")
    if downsample > 1:
        notes.append(f"One pixel stands for {downsample} × {downsample} of the image.")
    return notes


def _write_beside(path: Path, table: Table, rows: Rows, painted: painting.Painted) -> None:
    with replacing(path.with_name(f"{_stem(path)}.csv")) as fresh:  # noqa: SIM117
        with fresh.open("x", encoding="utf-8", newline="") as file:
            out = csv.writer(file)
            out.writerow(COLUMNS)
            for label, row in enumerate(rows.tolist(), 1):
                if painted.seen[label - 1]:
                    own = table.attributes.get(row)
                    name = own.name if own else ""
                    out.writerow((label, table.class_name(row) or "", name, table.id(row)))
