"""GeoJSON to annotations: all that QuPath's reader takes, and a report instead of a refusal.

A file that is not JSON to its end brings nothing; in one that is, a feature that makes no sense is
left out and named. Must not know how GeoJSON is written.
"""

from __future__ import annotations

import gc
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from samdesk.domain.errors import SamdeskError
from samdesk.domain.tasks import Task
from samdesk.formats.atomic import file_error
from samdesk.formats.gathering import BATCH, Gathering, TooManyClassesError
from samdesk.formats.report import Imported
from samdesk.formats.row import Row

from .patient import patient_rows
from .plain import plain_features, plain_row
from .stream import Malformed, TextFile, split

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
            return read_stream(
                text.read, str(path), lambda: task.progress(text.fraction, "Reading annotations")
            )
    except OSError as error:
        raise file_error(path, error, "read") from error


def loads(text: str) -> Imported:
    """Read annotations from a text, such as the clipboard's. See `read_geojson`."""
    return read_stream(io.BytesIO(text.encode("utf-8", "replace")).read, "The text", lambda: None)


def read_stream(read: Callable[[int], bytes], name: str, progress: Callable[[], None]) -> Imported:
    """Read annotations from a text that comes in pieces.

    Parameters
    ----------
    read : callable
        Gives the next bytes, fewer than asked only at the end.
    name : str
        What errors call it.
    progress : callable
        Called between pieces; may raise.
    """
    gathering = _Features()
    others: list[str] = []
    progress()
    try:
        with _collector_paused():
            for values in split(read, others, quick=plain_features):
                for start in range(0, len(values), BATCH):
                    gathering.read(values[start : start + BATCH])
                    progress()
                if gathering.seen >= HOPELESS and not gathering.tables:
                    raise Malformed(f"there is no feature among its first {gathering.seen:,} values")
    except Malformed as error:
        raise _not_geojson(name, error) from error
    if others:
        gathering.notes.append(f"Members of the file itself were left out: {', '.join(others)}.")
    return gathering.imported()


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


class _Features(Gathering):
    """The features of a file, read the quick way where they are plain."""

    def __init__(self) -> None:
        super().__init__("features", closed=True)
        self.seen = 0

    def read(self, values: list[Any]) -> None:
        """Take the next values of the file."""
        batch: list[Row] = []
        numbers: list[int] = []
        for number, value in enumerate(values, self.seen):
            where = f"features[{number}]"
            row = plain_row(value, where)
            if row is not None:
                batch.append(row)
            else:
                text = bytes(value) if isinstance(value, msgspec.Raw) else msgspec.json.encode(value)
                batch += patient_rows(text, where, self.repaired.append, self.skipped.append)
            numbers += [number] * (len(batch) - len(numbers))
        self.seen += len(values)
        try:
            self.add(batch, numbers)
        except TooManyClassesError as error:
            raise Malformed(str(error)) from error
