"""Annotations of a file, a batch at a time, made into one table with a report.

Must not know any format: it receives rows whose rings need not be valid.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterable
from dataclasses import replace
from itertools import chain

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
from samdesk.domain.geometry import ShapeKind

from .report import Imported, ImportReport
from .row import Row

BATCH = 1000
"""Annotations made into columns at a time; the interpreter is free in between."""


class TooManyClassesError(Exception):
    """A file names more classes than a document can have."""


class Gathering:
    """Tables of what has been read so far, with class numbers that stay what they are.

    Parameters
    ----------
    member : str
        What the list of annotations is called in the file, for reports: "features".
    closed : bool
        Whether rings end where they begin in this format, so that one that does not is repaired.

    Attributes
    ----------
    repaired, skipped, notes : list of str
        Lines of the report; readers add theirs.
    """

    def __init__(self, member: str = "annotations", closed: bool = False) -> None:
        self.tables: list[Table] = []
        self.repaired: list[str] = []
        self.skipped: list[str] = []
        self.notes: list[str] = []
        self._member = member
        self._closed = closed
        self._numbers: list[NDArray[np.int64]] = []
        self._class_ids: dict[str, int] = {}
        self._class_colors: list[Color | None] = []

    def add(self, batch: list[Row], numbers: list[int] | None = None) -> None:
        """Take the next rows.

        Parameters
        ----------
        batch : list of Row
        numbers : list of int, optional
            Where each stands in the list of the file; by default one after the other.
        """
        if not batch:
            return
        if numbers is None:
            first = sum(map(len, self._numbers))
            numbers = list(range(first, first + len(batch)))
        repairs = Repairs()
        table, unclosed = self._table(batch, repairs)
        dropped = set(repairs.dropped)
        for number in unclosed if self._closed else ():
            if number not in dropped:
                self.repaired.append(f"{batch[number].where}: a ring was not closed")
        for number in repairs.repaired:
            self.repaired.append(f"{batch[number].where}: its rings crossed or overlapped and were rebuilt")
        for number in repairs.dropped:
            self.skipped.append(f"{batch[number].where}: {_reason(batch[number])}")
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
            raise TooManyClassesError(f"it has more than {MOST_CLASSES:,} classes")
        if number > len(self._class_colors):
            self._class_colors.append(color)
        elif color is not None and self._class_colors[number - 1] is None:
            self._class_colors[number - 1] = color
        return number

    def imported(self) -> Imported:
        """All that was read, with the ids made unique."""
        classes = tuple(
            AnnotationClass(name, color or color_of_name(name))
            for name, color in zip(self._class_ids, self._class_colors, strict=True)
        )
        table = replace(Table.concat(self.tables, share=False), classes=classes)
        table = table.with_order(np.arange(len(table)))
        again = seen_before(table.ids)
        if again.any():
            numbers = np.concatenate(self._numbers)
            self.repaired += [
                f"{self._member}[{numbers[row]}]: its id {table.id(row)} was there before; it got a new one"
                for row in np.flatnonzero(again).tolist()
            ]
            table = table.with_new_ids(again)
        repaired, skipped = self._as_in_file(self.repaired), self._as_in_file(self.skipped)
        return Imported(table, ImportReport(len(table), repaired, skipped, tuple(self.notes)))

    def _as_in_file(self, lines: list[str]) -> tuple[str, ...]:
        """The lines in the order of the file; those that name no place of the list come last."""
        head = f"{self._member}["

        def place(line: str) -> float:
            number = line[len(head) :].partition("]")[0] if line.startswith(head) else ""
            return int(number) if number.isdecimal() else math.inf

        return tuple(sorted(lines, key=place))


def _reason(row: Row) -> str:
    """Why nothing is left of a row."""
    vertices = np.array([vertex for part in row.parts for ring in part for vertex in ring])
    if not len(vertices):
        return "its geometry is empty"
    if not np.isfinite(vertices).all():
        return "a coordinate is not a finite number"
    if np.abs(vertices).max() > LIMIT:
        return f"a coordinate lies more than {LIMIT:,} px from the origin"
    return f"it is too small to have {'an area' if row.kind is ShapeKind.AREA else 'a length'}"


def seen_before(ids: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which rows have the id of an earlier row; (n,) bool."""
    halves = np.ascontiguousarray(ids).view(np.uint64)
    order = np.lexsort((halves[:, 0], halves[:, 1]))  # stable: equal ids stay in the order of the file
    again = np.zeros(len(ids), np.bool_)
    again[order[1:]] = (halves[order[1:]] == halves[order[:-1]]).all(axis=1)
    return again


def _offsets(counts: Iterable[int]) -> NDArray[np.int64]:
    return np.concatenate(([0], np.cumsum(np.fromiter(counts, np.int64))))
