"""GeoJSON as one of the formats of `samdesk.formats.exchange`. Must not know the others."""

from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from samdesk.domain.columns import Table
from samdesk.domain.errors import SamdeskError
from samdesk.domain.tasks import Task
from samdesk.formats.atomic import file_error
from samdesk.formats.gathering import seen_before
from samdesk.formats.report import ExportReport, Imported, ImportReport, counted

from .reader import read_geojson, read_stream
from .writer import write_geojson
from .zipped import DAMAGED, Entry, entries

if TYPE_CHECKING:
    from samdesk.formats.exchange import ImageFacts


def read(path: Path, facts: ImageFacts | None, task: Task) -> Imported:
    """Read a text, packed (gzip, zip) or not. See `read_geojson`.

    Of a zip archive every entry is read; one that is not GeoJSON is named in the report and brings
    nothing. It is an error when none brings anything.
    """
    try:
        with path.open("rb") as file:
            is_zip = file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")
        return _read_zip(path, task) if is_zip else read_geojson(path, task)
    except OSError as error:
        raise file_error(path, error, "read") from error


def write(path: Path, table: Table, facts: ImageFacts | None, task: Task) -> ExportReport:
    """Write a FeatureCollection; a name that ends in ``.gz`` or ``.zip`` packs it."""
    written = write_geojson(path, table, task)
    lost = len(table) - written
    left_out = (f"{counted(lost, 'annotation')} of which nothing is left at 0.01 px",) if lost else ()
    return ExportReport(path, written, left_out)


def _read_zip(path: Path, task: Task) -> Imported:
    read_: list[Imported] = []
    repaired: list[str] = []
    skipped: list[str] = []
    notes: list[str] = []
    for archive, info in entries(path):
        task.progress(None, f"Reading {info.filename}")
        name = info.filename
        try:
            entry = Entry(archive, info)
            try:
                found = read_stream(entry.read, f"{path.name}/{name}", task.check)
            finally:
                entry.close()
        except SamdeskError as error:
            skipped.append(f"{name}: the whole entry: {error.message}")
            continue
        except (*DAMAGED, zlib.error) as error:
            skipped.append(f"{name}: the whole entry: it is damaged ({error})")
            continue
        read_.append(found)
        repaired += [f"{name}: {line}" for line in found.report.repaired]
        skipped += [f"{name}: {line}" for line in found.report.skipped]
        notes += [f"{name}: {line}" for line in found.report.notes]
    if not read_:
        why = f" {skipped[0]}." if skipped else " It is empty."
        raise SamdeskError(f"{path} holds no GeoJSON.{why}", "Nothing was read.")
    table = Table.concat([one.table for one in read_], share=False)
    table = table.with_order(np.arange(len(table)))
    again = seen_before(table.ids)
    if again.any():
        table = table.with_new_ids(again)
        repaired.append(f"{counted(int(again.sum()), 'id')} of one entry came again in another and are new")
    report = ImportReport(len(table), tuple(repaired), tuple(skipped), tuple(notes))
    return replace(read_[0], table=table, report=report)
