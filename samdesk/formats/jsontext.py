"""A JSON file as one value, and values of it as what they should be; for formats that are not GeoJSON.

Takes what other programs take for JSON (a byte order mark, NaN, a member twice). Must not know any
format.
"""

from __future__ import annotations

import gzip
import json
import math
import zlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from samdesk.domain.errors import SamdeskError
from samdesk.domain.tasks import Task

from .atomic import file_error

MOST_BYTES = 8 << 30
"""Of the unpacked text."""

_PIECE = 16 << 20
_UNREADABLE = (ValueError, RecursionError)  # msgspec's errors and those of decoding are ValueErrors

Pair = tuple[float, float]


def read_text(path: Path, task: Task) -> bytes:
    """The text of a plain or gzip file.

    Raises
    ------
    SamdeskError
        When it cannot be read, is damaged, or unpacks to more than `MOST_BYTES`.
    """
    pieces: list[bytes] = []
    left = MOST_BYTES
    try:
        size = max(path.stat().st_size, 1)
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            source: Any = gzip.GzipFile(fileobj=file) if packed else file
            while piece := source.read(_PIECE):
                pieces.append(piece)
                left -= len(piece)
                task.progress(file.tell() / size / 4, "Reading the file")
                if left < 0:
                    raise not_read(path, f"it unpacks to more than {MOST_BYTES >> 30} GB")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise not_read(path, f"the gzip stream is damaged ({error})") from error
    except OSError as error:
        raise file_error(path, error, "read") from error
    return b"".join(pieces).removeprefix(b"\xef\xbb\xbf")


def parse(text: bytes, path: Path) -> Any:
    """The value of a whole JSON text.

    Raises
    ------
    SamdeskError
        When it is none.
    """
    try:
        return msgspec.json.decode(text)
    except _UNREADABLE:
        pass
    try:
        return json.loads(text.decode("utf-8", "replace"))
    except RecursionError as error:
        raise not_read(path, "it is nested too deeply") from error
    except ValueError as error:
        raise not_read(path, f"it is not JSON: {str(error)[:200]}") from error


def not_read(path: Path, why: str) -> SamdeskError:
    """The error for a file of which nothing can be made."""
    return SamdeskError(
        f"{path} cannot be read: {why}.", "Nothing was read. Export it again, or check that it is complete."
    )


def number(value: Any) -> float | None:
    """A finite number; None for all else, numbers in quotation marks and true and false included."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def numbers(values: Any) -> list[float] | None:
    """A list of finite numbers; None when it is something else."""
    try:
        found = msgspec.convert(values, list[float])
    except (msgspec.ValidationError, OverflowError):
        return None
    return found if np.isfinite(np.array(found)).all() else None


def pairs(values: Any) -> list[Pair] | None:
    """A list of points [x, y]; None when it is something else."""
    if not isinstance(values, list):
        return None
    try:
        quick = msgspec.convert(values, list[Pair])  # refuses texts, true and false
        if np.isfinite(np.array(quick)).all():
            return quick
    except (msgspec.ValidationError, OverflowError):
        pass
    found: list[Pair] = []
    for value in values:
        if not isinstance(value, list) or len(value) < 2:
            return None
        x, y = number(value[0]), number(value[1])
        if x is None or y is None:
            return None
        found.append((x, y))
    return found


def text_of(value: Any) -> str:
    """A text as it is, a number written out, else an empty text."""
    if isinstance(value, str):
        return value.strip()
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""
