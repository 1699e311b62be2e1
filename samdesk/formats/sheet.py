"""Columns as a CSV or TSV file, for spreadsheets and statistics programs.

Must not know what the columns mean.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from samdesk.domain.tasks import Task

from .atomic import replacing

ROWS = 5000
"""Rows written at a time."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")

Column = Callable[[int, int], list[str] | NDArray[Any]]
"""The values of rows first to last - 1: texts, or numbers."""


def delimiter_of(path: Path) -> str:
    """A tab for .tsv and .txt, else a comma."""
    return "\t" if path.suffix.lower() in (".tsv", ".txt") else ","


def write_sheet(
    path: str | Path, titles: Sequence[str], columns: Sequence[Column], rows: int, task: Task | None = None
) -> int:
    """Write a table with its titles in the first row; its ending says what separates the fields.

    UTF-8, lines end as RFC 4180 has it (CR LF). Numbers have a decimal point and all their digits;
    what is not a number (NaN) is an empty field. A text that a spreadsheet would take for a formula (one that
    begins with = + - @, a tab or a carriage return) gets an apostrophe before it.

    Parameters
    ----------
    path : path-like
        .csv, or .tsv or .txt for tabs.
    titles : sequence of str
    columns : sequence of callable
        As many as titles.
    rows : int
    task : Task, optional

    Returns
    -------
    int
        How many rows were written.

    Raises
    ------
    SamdeskError
        When the file cannot be written; the old one stays then.
    """
    path, task = Path(path), task or Task()
    with replacing(path) as fresh, fresh.open("w", encoding="utf-8", newline="") as file:
        for done in _write(file, titles, columns, rows, delimiter_of(path)):
            task.progress(done / max(rows, 1), f"{done:,} of {rows:,} rows")
    return rows


def sheet_text(titles: Sequence[str], columns: Sequence[Column], rows: int) -> str:
    """The same with tabs, as a text for the clipboard."""
    file = io.StringIO(newline="")
    for _ in _write(file, titles, columns, rows, "\t"):
        pass
    return file.getvalue()


def _write(
    file: TextIO, titles: Sequence[str], columns: Sequence[Column], rows: int, delimiter: str
) -> Iterator[int]:
    writer = csv.writer(file, delimiter=delimiter, lineterminator="\r\n")
    writer.writerow(_plain(titles))
    for first in range(0, rows, ROWS):
        yield first
        last = min(first + ROWS, rows)
        fields = [_fields(column(first, last)) for column in columns]
        writer.writerows(zip(*fields, strict=True))


def _fields(values: list[str] | NDArray[Any]) -> list[Any]:
    if isinstance(values, list):
        return _plain(values)
    fields: list[Any] = values.tolist()
    if values.dtype.kind == "f":
        for place in np.flatnonzero((values == np.rint(values)) & (np.abs(values) < 2**53)).tolist():
            fields[place] = int(fields[place])
        for place in np.flatnonzero(np.isnan(values)).tolist():
            fields[place] = ""
    return fields


def _plain(texts: Sequence[str]) -> list[str]:
    return ["'" + text if text.startswith(_FORMULA) else text for text in texts]
