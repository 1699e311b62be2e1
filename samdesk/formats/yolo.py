"""YOLO segmentation labels: a line per outline, its coordinates in parts of the picture's sides.

Coordinates are ours divided by width and height: 0 is the left edge of the first pixel and 1 the
right edge of the last, as ultralytics makes them of COCO's (`ultralytics/data/converter.py`). A line
holds one outline without holes. The names of the classes are in a file beside it: ``data.yaml``
(read), ``classes.txt`` (read and written). Must not know documents.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from samdesk.domain.columns import UNCLASSIFIED, Table
from samdesk.domain.columns.ragged import Rows
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import ShapeKind
from samdesk.domain.shaping import clipped
from samdesk.domain.tasks import Task

from . import leaving
from .atomic import file_error, replacing
from .gathering import BATCH, Gathering
from .holes import has_holes
from .jsontext import not_read
from .report import ExportReport, Imported, counted
from .row import Pair, Row

if TYPE_CHECKING:
    from .exchange import ImageFacts

NAMES = "classes.txt"

_DIGITS = 8
_LONGEST_LINE = 16 << 20
_LIST = re.compile(r"^names\s*:\s*\[(.*?)\]", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"^names\s*:[ \t]*(?:#.*)?\n((?:[ \t]+\S.*\n?|-.*\n?|[ \t]*\n)+)", re.MULTILINE)
_ENTRY = re.compile(r"^\s*(?:(\d+)\s*:|-)\s*(.*?)\s*$", re.MULTILINE)


# Reading


def read(path: Path, facts: ImageFacts | None, task: Task) -> Imported:
    """Read the lines of a label file; boxes (class and four numbers) become rectangles."""
    if facts is None:
        raise SamdeskError(
            f"{path.name} counts in parts of the picture, whose size is not known.", "Name the image."
        )
    names, note = _names(path.parent)
    gathering = Gathering("lines")
    if note:
        gathering.notes.append(note)
    batch: list[Row] = []
    try:
        size = max(path.stat().st_size, 1)
        with path.open("rb") as file:
            _refuse_other_texts(path, file.read(4096))
            file.seek(0)
            for number in range(1, size + 2):
                line = file.readline(_LONGEST_LINE)
                if not line:
                    break
                where = f"line {number:,}"
                try:
                    row = _row(line, where, names, facts)
                except ValueError as error:
                    gathering.skipped.append(f"{where}: {error}")
                    continue
                if row is not None:
                    batch.append(row)
                if len(batch) >= BATCH:
                    gathering.add(batch)
                    batch = []
                    task.progress(file.tell() / size, "Reading annotations")
    except OSError as error:
        raise file_error(path, error, "read") from error
    gathering.add(batch)
    if not gathering.tables and gathering.skipped:
        raise not_read(path, f"no line of it is a YOLO label ({gathering.skipped[0]})")
    return gathering.imported()


def _refuse_other_texts(path: Path, head: bytes) -> None:
    if b"\0" in head:
        raise not_read(path, "it is no text")


def _row(line: bytes, where: str, names: dict[int, str], facts: ImageFacts) -> Row | None:
    """One line; None for an empty one. ValueError, which says why, when it is no label."""
    words = line.split()
    if not words:
        return None
    try:
        values = np.array([float(word) for word in words])
    except ValueError:
        raise ValueError("it is not made of numbers") from None
    if not np.isfinite(values).all() or not 0 <= values[0] < 1 << 16 or values[0] % 1:
        raise ValueError("it does not begin with the number of a class, or holds no finite numbers")
    kind, numbers = int(values[0]), values[1:]
    if len(numbers) in (4, 5):
        x, y, w, h = numbers[:4]
        numbers = np.array(
            (x - w / 2, y - h / 2, x + w / 2, y - h / 2, x + w / 2, y + h / 2, x - w / 2, y + h / 2)
        )
    if len(numbers) < 6 or len(numbers) % 2:
        raise ValueError(f"{len(numbers)} numbers are no outline")
    if np.abs(numbers).max() > 2:
        raise ValueError("its numbers are no parts of the picture (0 to 1)")
    points = numbers.reshape(-1, 2) * (facts.width, facts.height)
    ring: list[Pair] = [(x, y) for x, y in points.tolist()]
    name = names.get(kind, f"class {kind}")
    return Row(where, ShapeKind.AREA, [[ring]], class_name=None if name == UNCLASSIFIED else name)


def _names(folder: Path) -> tuple[dict[int, str], str]:
    """The names of the classes, from the label's folder or one of the two above it; and a note."""
    for place in (folder, folder.parent, folder.parent.parent):
        for name in ("data.yaml", "data.yml", "dataset.yaml", NAMES, "obj.names"):
            with suppress(OSError):
                text = (place / name).read_text("utf-8", "replace")[: 1 << 20]
                found = _of_yaml(text) if name.endswith(("yaml", "yml")) else dict(enumerate(_lines(text)))
                if found:
                    return found, f"The names of the classes are those of {place.name}/{name}."
    return {}, f"No {NAMES} or data.yaml lies beside it: the classes have numbers for names."


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _of_yaml(text: str) -> dict[int, str]:
    """The member ``names`` of a data.yaml: a list in brackets, a list of lines, or numbered lines."""
    listed = _LIST.search(text)
    if listed:
        return {
            k: _unquoted(one)
            for k, one in enumerate(re.split(r",(?=(?:[^'\"]|'[^']*'|\"[^\"]*\")*$)", listed[1]))
        }
    block = _BLOCK.search(text)
    entries = _ENTRY.findall(block[1]) if block else []
    return {int(key) if key else place: _unquoted(name) for place, (key, name) in enumerate(entries)}


def _unquoted(text: str) -> str:
    text = text.strip()
    if text[:1] in ("'", '"') and text[-1:] == text[:1] and len(text) > 1:
        return text[1:-1].replace("''", "'") if text[0] == "'" else text[1:-1]
    return text.split(" #")[0].strip()


# Writing


def write(path: Path, table: Table, facts: ImageFacts, task: Task) -> ExportReport:
    """Write a label file, and ``classes.txt`` beside it.

    The names that are in ``classes.txt`` already keep their numbers; new ones come after them.
    """
    left: list[str] = []
    rows = leaving.areas(table, "YOLO", left)
    rows = leaving.first_plane(table, rows, "YOLO", left)
    leaving.refuse_nothing(path, rows, left)
    called = _called(table, rows)
    names = _numbered(path, [*dict.fromkeys(called.values())])
    labels = {number: names.index(name) for number, name in called.items()}
    cut = holes = several = lost = outside = written = 0
    with replacing(path) as fresh, fresh.open("xb") as file:
        for done, row in enumerate(rows.tolist()):
            if done % BATCH == 0:
                task.progress(done / len(rows), f"{written:,} annotations written")
            whole = table.shape(row)
            shape = clipped(whole, facts.width, facts.height)
            if shape.is_empty:
                outside += 1
                continue
            rings = leaving.rounded_rings(shape)
            if not rings:
                lost += 1
                continue
            written += 1
            cut += shape.bounds != whole.bounds
            holes += has_holes(shape)
            several += len(rings) > 1
            label = labels[int(table.class_id[row])]
            for ring in rings:
                parts = np.array(ring) / (facts.width, facts.height)
                numbers = np.round(parts.ravel(), _DIGITS).tolist()
                file.write(f"{label} {' '.join(map(str, numbers))}\n".encode())
    with replacing(path.with_name(NAMES)) as fresh:
        fresh.write_text("".join(f"{name}\n" for name in names), "utf-8")
    if outside:
        left.append(f"{counted(outside, 'annotation')} outside the image")
    if lost:
        left.append(f"{counted(lost, 'annotation')} of which nothing is left at 0.01 px")
    if holes:
        left.append(f"the holes of {counted(holes, 'annotation')}: a YOLO outline has none, they are filled")
    notes = [f"The names of the classes are in {NAMES} beside it.", *_told(table, called)]
    if cut:
        notes.append(f"{counted(cut, 'annotation')} cut off at the edge of the image.")
    if several:
        notes.append(
            f"{counted(several, 'annotation')} of several parts: a line each, so they come back apart."
        )
    notes.append("Names, colors and measurements are not part of this format; GeoJSON keeps them.")
    return leaving.report(path, written, left, notes)


def _called(table: Table, rows: Rows) -> dict[int, str]:
    """The name for each class that any of the rows has, which must fit on a line of its own."""
    return {
        number: " ".join(table.classes[number - 1].name.split()) if number else UNCLASSIFIED
        for number in np.unique(table.class_id[rows]).tolist()
    }


def _told(table: Table, called: Mapping[int, str]) -> list[str]:
    """Lines for the classes whose names did not fit on a line as they are."""
    other = [name for number, name in called.items() if number and table.classes[number - 1].name != name]
    shared = [name for name, n in Counter(called.values()).items() if n > 1]
    lines = []
    if other:
        lines.append(f"Class names are on one line each, with single spaces: {_quoted(other)}.")
    if shared:
        lines.append(f"Classes whose names are the same then are one class: {_quoted(shared)}.")
    return lines


def _quoted(names: list[str]) -> str:
    more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
    return ", ".join(f"“{name}”" for name in dict.fromkeys(names[:5])) + more


def _numbered(path: Path, used: list[str]) -> list[str]:
    """The names in the order of their numbers: those that are in the file already come first."""
    beside = path.with_name(NAMES)
    known: list[str] = []
    if beside.exists():
        try:
            known = _lines(beside.read_text("utf-8", "replace"))
        except OSError as error:
            raise file_error(beside, error, "read") from error
    return [*known, *(name for name in used if name not in known)]
