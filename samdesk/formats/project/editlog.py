"""The log of accepted edits beside a project: what is not in the project file yet.

A record is handed to the operating system in one write and not flushed: it outlives the death
of the program, not that of the machine; what is flushed is the project file, which takes each
edit over a moment later. Layout, little-endian: the header ``SDEDITS1``, the length and the
CRC-32 of a JSON object that names the project; then records of ``SDR1``, length, number, CRC-32
of number and contents, contents. Must not know SQLite.
"""

from __future__ import annotations

import os
import struct
import threading
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from samdesk.domain.columns import AnnotationClass, Table
from samdesk.domain.columns.table import Classes
from samdesk.domain.document import Edit
from samdesk.domain.errors import SamdeskError

from .rows import attributes_of, color_of_text, color_text, own_texts

SUFFIX = "-edits"

MOST_ROWS = 10_000
MOST_BYTES = 2 << 20
"""Edits of more rows or more vertices than this are left to the project file alone: to copy them
at once would hold up the window."""

MOST_LOG_BYTES = 256 << 20
"""So much is kept for edits that cannot be written, as on a full disk."""

_MAGIC = b"SDEDITS1"
_HEADER = struct.Struct("<8sII")
_RECORD = struct.Struct("<4sIQI")
_MARK = b"SDR1"
_LENGTH = struct.Struct("<I")
_NUMBER = struct.Struct("<Q")
_COLUMNS = ("ids", "order", "class_id", "object_type", "flags", "kind", "z", "t")
_GEOMETRY = ("row_parts", "part_rings", "ring_coords", "coords")
_VERTEX_BYTES = 8


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """One accepted edit, as far as the project file needs it.

    Attributes
    ----------
    number : int
        In the journal of the project.
    title : str
    removed : ndarray, (m, 16) uint8
        Ids of the rows before.
    after : Table
        The rows after, whole.
    classes : tuple of AnnotationClass or None
        Those of the document from now on; None when they stay.
    is_whole : bool
        False for an edit of which only number and title are here.
    """

    number: int
    title: str
    removed: NDArray[np.uint8]
    after: Table
    classes: Classes | None
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class Found:
    """What a log was found to hold.

    Attributes
    ----------
    owner : str
        What names the project that it belongs to; "" when that cannot be read.
    records : tuple of Record
        Those before the first that is cut off or damaged.
    damaged : bool
        Whether something after them is there and cannot be read; one that is merely cut off was
        never accepted.
    """

    owner: str
    records: tuple[Record, ...]
    damaged: bool


class EditLog:
    """The log of one open project. Takes records on the main thread, lets go of them on another.

    Parameters
    ----------
    project : Path
        The log is a file beside it, made with the first record.
    owner : str
        Names the project, as the file says it.
    """

    def __init__(self, project: Path, owner: str) -> None:
        self.path = log_path(project)
        self._owner = owner
        self._lock = threading.Lock()
        self._file: int | None = None
        self._start = 0
        self._end = 0
        self._last = 0
        self._missed: list[tuple[int, str]] = []
        self._closed = False

    def write(self, number: int, edit: Edit) -> bool:
        """Take an edit; False when only its number could be taken, or nothing.

        Never raises: an edit that is not here is in the project file a moment later.
        """
        try:
            contents = encode(edit)
        except (SamdeskError, ValueError, TypeError):  # what cannot be written is told when it is written
            contents = None
        whole = contents is not None
        parts = contents if contents is not None else [_stub(edit.title)]
        with self._lock:
            if self._closed:
                return False
            if self._end > MOST_LOG_BYTES:
                self._missed.append((number, edit.title))
                return False
            try:
                self._append_missed()
                self._append(number, parts)
            except OSError:
                self._cut(self._end)
                self._missed.append((number, edit.title))
                return False
            self._last = number
        return whole

    def forget(self, number: int) -> None:
        """The project file has all up to this one: when that is all there is, the log becomes empty."""
        with self._lock:
            self._missed = [one for one in self._missed if one[0] > number]
            if self._file is not None and self._last <= number and self._end > self._start:
                self._cut(self._start)

    def close(self, *, keep: bool) -> None:
        """Close the file and, unless it shall be kept, remove it. May be called again."""
        with self._lock:
            self._closed = True
            known, self._file = self._file, None
            if known is not None:
                os.close(known)
            if known is not None and not (keep and self._end > self._start):
                with suppress(OSError):
                    self.path.unlink(missing_ok=True)

    def _append_missed(self) -> None:
        """Note by its title what could not be noted, so that its loss can be told."""
        while self._missed:
            number, title = self._missed[0]
            self._append(number, [_stub(title)])
            self._last = number
            self._missed.pop(0)

    def _append(self, number: int, parts: list[Any]) -> None:
        if self._file is None:
            self._file, self._end = _made(self.path, self._owner)
            self._start = self._end
        crc = zlib.crc32(_NUMBER.pack(number))
        for part in parts:
            crc = zlib.crc32(part, crc)
        length = sum(memoryview(part).nbytes for part in parts)
        data = b"".join((_RECORD.pack(_MARK, length, number, crc), *parts))
        _write_all(self._file, data)
        self._end += len(data)

    def _cut(self, end: int) -> None:
        if self._file is not None:
            with suppress(OSError):
                os.ftruncate(self._file, end)
                os.lseek(self._file, end, os.SEEK_SET)
                self._end = end


def log_path(project: Path) -> Path:
    """Where the log of a project is."""
    return project.with_name(project.name + SUFFIX)


def read_log(project: Path) -> Found | None:
    """Read the log of a project as far as it can be read; None when there is none.

    Raises
    ------
    OSError
        When it is there and cannot be opened.
    """
    try:
        data = log_path(project).read_bytes()
    except FileNotFoundError:
        return None
    if not data:
        return None
    owner, at = _owner_of(data)
    if not owner:
        return Found("", (), len(data) >= _HEADER.size)
    records: list[Record] = []
    while at < len(data):
        found, at = _next(data, at)
        if found is None:
            return Found(owner, tuple(records), at >= 0)
        records.append(found)
    return Found(owner, tuple(records), damaged=False)


def encode(edit: Edit) -> list[Any] | None:
    """The contents of a record as pieces of bytes; None when there are too many.

    Raises
    ------
    SamdeskError
        When an annotation holds what JSON cannot.
    """
    rows = len(edit.before) + len(edit.after)
    if rows > MOST_ROWS:
        return None
    after = edit.after
    vertices = after.coords.nbytes if len(after) else 0
    if vertices > MOST_BYTES:
        return None
    columns = [np.ascontiguousarray(getattr(after, name)) for name in (*_COLUMNS, *_GEOMETRY)]
    head = {
        "title": edit.title,
        "removed": len(edit.before),
        "classes": None if edit.classes is None else _class_texts(edit.classes[1]),
        "names": _class_texts(after.classes),
        "own": [(row, *own_texts(own)) for row, own in after.attributes.items()],
        "columns": [(one.dtype.str, one.shape) for one in columns],
    }
    text = orjson.dumps(head)
    removed = np.ascontiguousarray(edit.before.ids)
    pieces = [_LENGTH.pack(len(text)), text, *(one.tobytes() for one in (removed, *columns))]
    return pieces if sum(map(len, pieces)) <= 2 * MOST_BYTES else None


def decode(number: int, contents: bytes) -> Record:
    """Read the contents of a record.

    Raises
    ------
    ValueError, KeyError, TypeError, struct.error
        When they are not what they should be.
    """
    (length,) = _LENGTH.unpack_from(contents)
    head = orjson.loads(contents[4 : 4 + length])
    if head.get("large"):
        return _without_rows(number, head["title"])
    at = 4 + length
    removed = np.frombuffer(contents, np.uint8, head["removed"] * 16, at).reshape(-1, 16)
    at += removed.nbytes
    arrays: dict[str, NDArray[Any]] = {}
    for name, (kind, shape) in zip((*_COLUMNS, *_GEOMETRY), head["columns"], strict=True):
        count = int(np.prod(shape))
        arrays[name] = np.frombuffer(contents, kind, count, at).reshape(shape)
        at += arrays[name].nbytes
    if at != len(contents):
        raise ValueError("a record has another length than it says")
    after = Table.from_arrays(
        arrays["coords"],
        arrays["ring_coords"],
        arrays["part_rings"],
        arrays["row_parts"],
        classes=_classes(head["names"]),
        attributes={row: attributes_of(*texts) for row, *texts in head["own"]},
        ids=arrays["ids"],
        order=arrays["order"],
        class_id=arrays["class_id"],
        object_type=arrays["object_type"],
        flags=arrays["flags"],
        kind=arrays["kind"],
        z=arrays["z"],
        t=arrays["t"],
    )
    classes = None if head["classes"] is None else _classes(head["classes"])
    return Record(number, head["title"], removed, after, classes)


def _without_rows(number: int, title: str) -> Record:
    return Record(number, title, np.empty((0, 16), np.uint8), Table.empty(), None, is_whole=False)


def _stub(title: str) -> bytes:
    """What stands for an edit that is too large: so its loss can be told by its name."""
    try:
        text = orjson.dumps({"large": True, "title": title})
    except TypeError:
        text = orjson.dumps({"large": True, "title": "Change"})
    return _LENGTH.pack(len(text)) + text


def _class_texts(classes: Classes) -> list[tuple[str, str]]:
    return [(one.name, color_text(one.color)) for one in classes]


def _classes(texts: list[tuple[str, str]]) -> Classes:
    return tuple(AnnotationClass(name, color_of_text(color)) for name, color in texts)


def _made(path: Path, owner: str) -> tuple[int, int]:
    """A fresh log with its header, open at its end; and where that is."""
    # O_BINARY exists on Windows only, where line ends would be changed without it
    flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    file = os.open(path, flags, 0o666)
    text = orjson.dumps({"project": owner})
    header = _HEADER.pack(_MAGIC, len(text), zlib.crc32(text)) + text
    try:
        _write_all(file, header)
    except OSError:
        os.close(file)
        raise
    return file, len(header)


def _write_all(file: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(file, left) :]


def _owner_of(data: bytes) -> tuple[str, int]:
    """Whom the log belongs to, "" when that cannot be read; and where its records begin."""
    if len(data) < _HEADER.size:
        return "", 0
    magic, length, crc = _HEADER.unpack_from(data)
    text = data[_HEADER.size : _HEADER.size + length]
    if magic != _MAGIC or len(text) != length or zlib.crc32(text) != crc:
        return "", 0
    return str(orjson.loads(text).get("project", "")), _HEADER.size + length


def _next(data: bytes, at: int) -> tuple[Record | None, int]:
    """The record at a place and where the next one begins; None and -1 where it is cut off, 0 if damaged."""
    if len(data) - at < _RECORD.size:
        return None, -1
    mark, length, number, crc = _RECORD.unpack_from(data, at)
    begin = at + _RECORD.size
    if mark != _MARK:
        return None, 0
    if len(data) - begin < length:
        return None, -1
    contents = data[begin : begin + length]
    if zlib.crc32(contents, zlib.crc32(_NUMBER.pack(number))) != crc:
        return None, 0
    try:
        return decode(number, contents), begin + length
    except (ValueError, KeyError, TypeError, IndexError, struct.error, SamdeskError):
        return None, 0
