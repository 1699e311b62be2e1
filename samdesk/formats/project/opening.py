"""Opening and making project files without harm to what is there, and SQLite's errors in words.

Must not know annotations.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from samdesk import __version__
from samdesk.domain.columns import DEFAULT_CLASSES
from samdesk.domain.errors import SamdeskError
from samdesk.formats.atomic import replacing

from .editlog import SUFFIX as EDITS_SUFFIX
from .geopackage import APPLICATION_ID, SCHEMA
from .rows import color_text

SCHEMA_VERSION = 1
"""Raised whenever an older program could not read the file any more."""

_HEADER_BYTES = 100
_MAGIC = b"SQLite format 3\0"
_CACHE_KIB = 128 << 10  # keeps the index of ids in memory during a large import
_LOG_BYTES = 16 << 20  # what is left of the log of a large edit at the next one
_WAIT_S = 10.0
_TABLES = {
    *("annotation", "annotation_attributes", "classes", "meta", "images", "journal"),
    *("gpkg_contents", "gpkg_geometry_columns", "gpkg_spatial_ref_sys"),
}

_FROM_A_COPY = "Open a copy or an export of it."


class DamagedError(SamdeskError):
    """A project file, or what is left of one, cannot be read any more.

    Attributes
    ----------
    snapshot : Snapshot or None
        What could take its place, once somebody has looked for it.
    """

    snapshot: object = None


def refusal(path: Path) -> str:
    """Say why the file cannot be written; "" when it can, as far as its rights tell."""
    if path.exists() and not os.access(path, os.W_OK):
        return "the file may not be written"
    return "" if os.access(path.parent, os.W_OK) else "its folder cannot be written"


def _header(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEADER_BYTES)


def has_log(path: Path) -> bool:
    """Tell whether the file was left with a write-ahead log (SQLite's file format, section 1.3.3)."""
    return _header(path)[18] == 2


def check_header(path: Path) -> None:
    """Refuse a file that is no GeoPackage before SQLite touches it."""
    header = _header(path)
    if not header:
        raise DamagedError(f"{path} is empty.", "Open another file, or delete this one and start anew.")
    if not header.startswith(_MAGIC) or header[68:72] != APPLICATION_ID.to_bytes(4, "big"):
        raise _not_ours(path)
    if len(header) < _HEADER_BYTES:
        raise DamagedError(f"{path} is damaged: it is cut off.", _FROM_A_COPY)


def examine(path: Path) -> None:
    """Refuse a file that is damaged, not a project, or of a newer program; nothing is written."""
    try:
        with closing(reader(path)) as db:
            tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if "samdesk" not in tables:
                raise _not_ours(path)
            schema, made_by = db.execute("SELECT schema, made_by FROM samdesk").fetchone() or (None, "")
            if not isinstance(schema, int):
                raise DamagedError(
                    f"{path} is damaged: it does not say which version it is of.", _FROM_A_COPY
                )
            if schema > SCHEMA_VERSION:
                raise SamdeskError(
                    f"{path} was made by a newer samdesk ({made_by}).", "Update samdesk to open it."
                )
            (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        raise project_error(path, error) from error
    missing = _TABLES - tables
    if found != "ok" or missing:
        raise DamagedError(
            f"{path} is damaged: {found if found != 'ok' else f'it has no {missing}'}.", _FROM_A_COPY
        )


def remove_logs(path: Path) -> None:
    """Remove what a crash left of a file that is replaced: SQLite would take it for the new one's."""
    for suffix in ("-wal", "-shm", "-journal", EDITS_SUFFIX):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def make(path: Path, reason: str) -> None:
    """Write an empty project, with the classes a new document has; `reason` says why that cannot be."""
    if reason:
        raise SamdeskError(f"{path} cannot be made: {reason}.", "Choose another folder or name.")
    try:
        remove_logs(path)
        with replacing(path) as fresh, closing(sqlite3.connect(fresh, isolation_level=None)) as db:
            db.executescript(
                f"PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY; BEGIN; {SCHEMA} COMMIT;"
            )
            db.execute("INSERT INTO samdesk VALUES (?, ?)", (SCHEMA_VERSION, f"samdesk {__version__}"))
            classes = [(name, color_text(color)) for name, color in DEFAULT_CLASSES]
            db.executemany("INSERT INTO classes (name, color) VALUES (?, ?)", classes)
    except sqlite3.Error as error:
        raise project_error(path, error) from error


def writer(path: Path) -> sqlite3.Connection:
    """Open for writing, with a write-ahead log that is flushed at each commit."""
    db = _connect(path, "rw")
    try:
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA journal_mode = WAL").fetchone()
        db.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}").fetchone()
        db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    except sqlite3.Error as error:
        db.close()
        raise project_error(path, error) from error
    return db


def reader(path: Path) -> sqlite3.Connection:
    """Open for reading, wherever the file lies."""
    db = _connect(path, "ro")
    try:
        db.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        db.close()
        log = path.with_name(path.name + "-wal")
        if log.exists() and log.stat().st_size:
            raise
        # the header announces a log, but there is none, and the folder cannot take one
        return _connect(path, "ro&immutable=1")
    return db


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        timeout=_WAIT_S,
        check_same_thread=False,
    )


def _not_ours(path: Path) -> SamdeskError:
    return SamdeskError(
        f"{path} is not a samdesk project.", "Open a file that samdesk saved; GeoJSON can be imported."
    )


def damaged(path: Path, error: Exception) -> SamdeskError:
    return DamagedError(f"{path} is damaged: {error}.", _FROM_A_COPY)


def project_error(path: Path, error: sqlite3.Error) -> SamdeskError:
    """Say an error of SQLite's in a user's words."""
    name = getattr(error, "sqlite_errorname", "")
    if name == "SQLITE_FULL":
        return SamdeskError(f"{path} cannot be written: the disk is full.", "Free some space and try again.")
    if name.startswith("SQLITE_IOERR"):
        return SamdeskError(
            f"{path} cannot be read or written: the disk is full or not there ({name}).",
            "Free some space or connect the disk, and try again.",
        )
    if name.startswith(("SQLITE_READONLY", "SQLITE_PERM", "SQLITE_CANTOPEN")):
        return SamdeskError(
            f"{path} cannot be opened: its folder cannot be written ({name}).",
            "Copy the project, with the file of the same name and -wal, to another folder.",
        )
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return SamdeskError(f"{path} is in use by another program.", "Close it there and try again.")
    return damaged(path, error)
