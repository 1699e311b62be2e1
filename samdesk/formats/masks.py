"""Folders of masks: black pictures in which an object is white, each named after a class.

Every connected part of a mask is an annotation of its own; pixels that touch by a corner are apart.
Must not know documents.
"""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from samdesk.domain.columns import UNCLASSIFIED, Table
from samdesk.domain.columns.ragged import Rows
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import ShapeKind
from samdesk.domain.outline import mask_to_shape
from samdesk.domain.tasks import Task

from . import leaving, painting, pixels
from .atomic import file_error
from .gathering import BATCH, Gathering
from .jsontext import not_read
from .labels import checked, lost, ratio
from .report import ExportReport, Imported, counted
from .row import Row

if TYPE_CHECKING:
    from .exchange import ImageFacts

_PICTURES = (".png", ".tif", ".tiff")
_PNG_PIXELS = 1 << 26
_NUMBERED = re.compile(r"[ _-]?\d+$")
_UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f%]')


# Reading


def read(path: Path, facts: ImageFacts | None, task: Task) -> Imported:
    """Read every PNG and TIFF of a folder; the name without its number is the class.

    A picture that cannot be read, or does not fit the image, is named in the report and brings
    nothing; it is an error when none brings anything.
    """
    gathering = Gathering("masks")
    try:
        files = sorted(one for one in path.iterdir() if one.suffix.lower() in _PICTURES)
    except OSError as error:
        raise file_error(path, error, "read") from error
    for done, file in enumerate(files):
        task.progress(done / len(files), f"Reading {file.name}")
        try:
            mask = pixels.of_file(file)
            if len(np.unique(mask[:: max(mask.shape[0] // 512, 1)])) > 2:
                raise ValueError("it has more than two gray levels: it is no mask")
            scale = ratio(file, mask.shape, facts)
        except OSError as error:
            gathering.skipped.append(f"{file.name}: {file_error(file, error, 'read').message}")
            continue
        except (ValueError, SamdeskError) as error:
            gathering.skipped.append(f"{file.name}: the whole picture: {error}")
            continue
        if scale > 1:
            gathering.notes.append(f"{file.name} is {scale} times smaller than the image; it was scaled.")
        name = _class_of(file)
        parts = mask_to_shape(mask).to_parts()
        if not parts:
            gathering.notes.append(f"{file.name} is empty.")
        for start in range(0, len(parts), BATCH):
            task.check()
            gathering.add([
                Row(f"{file.name}, object {number + 1:,}", ShapeKind.AREA,
                    [[(ring * scale).tolist() for ring in parts[number]]], class_name=name)
                for number in range(start, min(start + BATCH, len(parts)))
            ])  # fmt: skip
    if not gathering.tables and gathering.skipped:
        raise not_read(path, f"none of its pictures is a mask ({gathering.skipped[0]})")
    return gathering.imported()


def _class_of(file: Path) -> str | None:
    name = _NUMBERED.sub("", file.stem.replace(".labels", "")) or file.stem
    name = re.sub(r"%([0-9A-F]{2})", lambda found: chr(int(found[1], 16)), name).strip()
    return name if name and name.lower() not in ("mask", "masks", UNCLASSIFIED.lower()) else None


# Writing


def write(path: Path, table: Table, facts: ImageFacts, task: Task, downsample: int = 1) -> ExportReport:
    """Write a folder with a picture for each class: PNG, or TIFF in tiles where the image is large.

    Raises
    ------
    SamdeskError
        When the folder is there already and has anything in it.
    """
    left: list[str] = []
    rows = leaving.areas(table, "a mask", left)
    rows = leaving.first_plane(table, rows, "a mask", left)
    leaving.refuse_nothing(path, rows, left)
    size = painting.size_at(facts.width, facts.height, checked(downsample))
    classes = np.unique(table.class_id[rows]).tolist()
    seen, merged = 0, 0
    with _folder(path) as fresh:
        for number in classes:
            task.check()
            mine = rows[table.class_id[rows] == number]
            painted = painting.Painted(np.zeros(len(mine), np.bool_))
            name = table.classes[number - 1].name if number else UNCLASSIFIED
            _write_mask(fresh / _file_name(name), table, mine, size, downsample, painted, task)
            seen += int(painted.seen.sum())
            merged += int(painted.covering.sum())
            left += [f"{name}: {line}" for line in lost(painted)]
    notes = ["Annotations of one class that touch come back as one; a label image keeps them apart."]
    if merged:
        notes.append(f"{counted(merged, 'annotation')} lie over others of their class.")
    return leaving.report(path, seen, left, notes)


def _write_mask(
    stem: Path, table: Table, rows: Rows, size: tuple[int, int], downsample: int,
    painted: painting.Painted, task: Task,
) -> None:  # fmt: skip
    white = np.full(len(rows), 255, np.uint32)
    if size[0] * size[1] <= _PNG_PIXELS:
        (canvas,) = painting.tiles(table, rows, white, size, downsample, size, painted, task)
        pixels.write_png(stem.with_name(stem.name + ".png"), canvas.astype(np.uint8))
        return
    made = painting.tiles(table, rows, white, size, downsample, pixels.TILE, painted, task)
    tiles = (tile.astype(np.uint8) for tile in made)
    pixels.write_tiff(stem.with_name(stem.name + ".tif"), tiles, *size, np.uint8)


def _file_name(name: str) -> str:
    """A name that every system takes and `_class_of` turns back."""
    safe = _UNSAFE.sub(lambda found: f"%{ord(found[0]):02X}", name)
    return safe if not _NUMBERED.search(safe) else f"{safe}_1"


@contextmanager
def _folder(path: Path) -> Iterator[Path]:
    """A new folder that takes its place when the block ends well, and is removed when it does not."""
    target = path.resolve()
    fresh = target.with_name(f".{target.name[:60]}.{secrets.token_hex(4)}.tmp")
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise SamdeskError(f"{path} is there already.", "Choose another name, or remove it first.")
        fresh.mkdir()
        yield fresh
        if target.exists():
            target.rmdir()
        fresh.rename(target)
    except OSError as error:
        raise file_error(path, error, "written") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
