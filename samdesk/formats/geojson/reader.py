"""GeoJSON to annotations: all that QuPath's reader takes, and a report instead of a refusal.

A file that is not JSON to its end brings nothing; in one that is, a feature that makes no sense is
left out and named. Must not know how GeoJSON is written.
"""

from __future__ import annotations

import gc
import io
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from samdesk.domain.columns import (
    LOCKED,
    OBJECT_TYPES,
    AnnotationClass,
    Color,
    Repairs,
    Table,
    color_of_name,
    id_bytes,
)
from samdesk.domain.columns.cleaning import LIMIT
from samdesk.domain.columns.table import MOST_CLASSES
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import GRID, ShapeKind
from samdesk.domain.tasks import Task
from samdesk.formats.atomic import file_error

from .patient import patient_rows
from .plain import plain_row
from .report import Imported, ImportReport
from .row import Row
from .stream import Malformed, TextFile, split

BATCH = 1000
"""Features made into columns at a time; the interpreter is free in between."""

HOPELESS = 100_000
"""Values without one feature among them after which a file is given up."""


def read_geojson(path: str | Path, task: Task | None = None) -> Imported:
    """Read annotations from GeoJSON, packed (gzip) or not.

    Parameters
    ----------
    path : path-like
        A FeatureCollection, a Feature, a geometry, or a list of those.
    task : Task, optional

    Returns
    -------
    Imported
        Shapes are valid and on the document's grid; ids are unique. Nested features are flattened,
        parents first.

    Raises
    ------
    SamdeskError
        When the file cannot be read or is not GeoJSON. Nothing is returned of it then.
    Cancelled
    """
    path = Path(path)
    task = task or Task()
    try:
        with TextFile(path) as text:
            return _read(text.read, str(path), lambda: task.progress(text.fraction, "Reading annotations"))
    except OSError as error:
        raise file_error(path, error, "read") from error


def loads(text: str) -> Imported:
    """Read annotations from a text, such as the clipboard's. See `read_geojson`."""
    return _read(io.BytesIO(text.encode("utf-8", "replace")).read, "The text", lambda: None)


def _read(read: Callable[[int], bytes], name: str, progress: Callable[[], None]) -> Imported:
    gathering = _Gathering()
    others: list[str] = []
    progress()
    try:
        with _collector_paused():
            for values in split(read, others):
                for start in range(0, len(values), BATCH):
                    gathering.add(values[start : start + BATCH])
                    progress()
                if gathering.seen >= HOPELESS and not gathering.tables:
                    raise Malformed(f"there is no feature among its first {gathering.seen:,} values")
    except Malformed as error:
        raise _not_geojson(name, error) from error
    return gathering.imported(others)


def _not_geojson(name: str, error: Malformed) -> SamdeskError:
    place = "" if error.byte is None else f" (byte {error.byte:,}, about feature {error.feature:,})"
    return SamdeskError(
        f"{name} cannot be read as GeoJSON: {error.reason}{place}.",
        "Nothing was read. Export it again, or check that it is complete.",
    )


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Keep the cyclic collector from walking through a million fresh lists that hold no cycle."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class _Gathering:
    """Tables of what has been read so far, with class numbers that stay what they are."""

    def __init__(self) -> None:
        self.seen = 0
        self.tables: list[Table] = []
        self._numbers: list[NDArray[np.int64]] = []
        self._repaired: list[str] = []
        self._skipped: list[str] = []
        self._class_ids: dict[str, int] = {}
        self._class_colors: list[Color | None] = []

    def add(self, values: list[msgspec.Raw]) -> None:
        """Take the next values of the file."""
        batch: list[Row] = []
        numbers: list[int] = []
        for number, value in enumerate(values, self.seen):
            where = f"features[{number}]"
            row = plain_row(value, where)
            if row is not None:
                batch.append(row)
            else:
                batch += patient_rows(bytes(value), where, self._repaired.append, self._skipped.append)
            numbers += [number] * (len(batch) - len(numbers))
        self.seen += len(values)
        if not batch:
            return
        repairs = Repairs()
        table, unclosed = self._table(batch, repairs)
        dropped = set(repairs.dropped)
        for number in unclosed:
            if number not in dropped:
                self._repaired.append(f"{batch[number].where}: a ring was not closed")
        for number in repairs.repaired:
            self._repaired.append(f"{batch[number].where}: its rings crossed or overlapped and were rebuilt")
        for number in repairs.dropped:
            self._skipped.append(f"{batch[number].where}: {_reason(batch[number])}")
        if len(table):
            self.tables.append(table)
            self._numbers.append(np.delete(numbers, repairs.dropped))

    def _table(self, batch: list[Row], repairs: Repairs) -> tuple[Table, list[int]]:
        """The rows in columns, and which of them had rings that were not closed."""
        _, kinds, parts, ids, types, locked, z, t, names, colors, attributes = zip(*batch, strict=True)
        rings = [ring for row in parts for part in row for ring in part]
        coords = np.fromiter(chain.from_iterable(chain.from_iterable(rings)), np.float64).reshape(-1, 2)
        ring_coords = _offsets(map(len, rings))
        part_rings = _offsets(len(part) for row in parts for part in row)
        row_parts = _offsets(map(len, parts))
        table = Table.from_arrays(
            coords,
            ring_coords,
            part_rings,
            row_parts,
            ids=id_bytes(one or uuid.uuid4() for one in ids),
            class_id=[self._class_id(*named) for named in zip(names, colors, strict=True)],
            object_type=list(map(OBJECT_TYPES.index, types)),
            flags=np.where(locked, LOCKED, 0),
            kind=kinds,
            z=z,
            t=t,
            attributes={row: found for row, found in enumerate(attributes) if found is not None},
            validate=True,
            repairs=repairs,
        )
        filled = np.flatnonzero(np.diff(ring_coords))
        ends_differ = coords[ring_coords[filled]] != coords[ring_coords[filled + 1] - 1]
        owners = np.searchsorted(part_rings[row_parts], filled[ends_differ.any(axis=1)], side="right") - 1
        return table, [row for row in np.unique(owners).tolist() if kinds[row] is ShapeKind.AREA]

    def _class_id(self, name: str | None, color: Color | None) -> int:
        if name is None:
            return 0
        number = self._class_ids.setdefault(name, len(self._class_ids) + 1)
        if number > MOST_CLASSES:
            raise Malformed(f"it has more than {MOST_CLASSES:,} classes")
        if number > len(self._class_colors):
            self._class_colors.append(color)
        elif color is not None and self._class_colors[number - 1] is None:
            self._class_colors[number - 1] = color
        return number

    def imported(self, others: list[str]) -> Imported:
        """All that was read, with the ids made unique."""
        classes = tuple(
            AnnotationClass(name, color or color_of_name(name))
            for name, color in zip(self._class_ids, self._class_colors, strict=True)
        )
        table = replace(Table.concat(self.tables, share=False), classes=classes)
        table = table.with_order(np.arange(len(table)))
        again = _seen_before(table.ids)
        if again.any():
            numbers = np.concatenate(self._numbers)
            self._repaired += [
                f"features[{numbers[row]}]: its id {table.id(row)} was there before; it got a new one"
                for row in np.flatnonzero(again).tolist()
            ]
            table = table.with_new_ids(again)
        notes = (f"Members of the file itself were left out: {', '.join(others)}.",) if others else ()
        report = ImportReport(len(table), tuple(self._repaired), tuple(self._skipped), notes)
        return Imported(table, report)


def _reason(row: Row) -> str:
    """Why nothing is left of a row."""
    vertices = np.array([vertex for part in row.parts for ring in part for vertex in ring])
    if not len(vertices):
        return "its geometry is empty"
    if not np.isfinite(vertices).all():
        return "a coordinate is not a finite number"
    if np.abs(vertices).max() > LIMIT:
        return f"a coordinate lies more than {LIMIT:,} px from the origin"
    return f"it has no {'area' if row.kind is ShapeKind.AREA else 'length'} on the grid of 1/{GRID} px"


def _seen_before(ids: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which rows have the id of an earlier row; (n,) bool."""
    halves = np.ascontiguousarray(ids).view(np.uint64)
    order = np.lexsort((halves[:, 0], halves[:, 1]))  # stable: equal ids stay in the order of the file
    again = np.zeros(len(ids), np.bool_)
    again[order[1:]] = (halves[order[1:]] == halves[order[:-1]]).all(axis=1)
    return again


def _offsets(counts: Iterable[int]) -> NDArray[np.int64]:
    return np.concatenate(([0], np.cumsum(np.fromiter(counts, np.int64))))
