"""`ProjectStore`: a project file that is open. Every accepted edit is one durable transaction.

While it is open for writing, SQLite keeps a write-ahead log beside it, so that a crash at any
moment loses nothing that `append` returned for, and an edit log holds what was accepted and is
not written yet; closing leaves exactly one file.
"""

from __future__ import annotations

import os
import sqlite3
import struct
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import shapely

from samdesk.domain.columns import AnnotationClass, Table
from samdesk.domain.columns.ragged import Rows
from samdesk.domain.columns.table import Classes
from samdesk.domain.document import Edit
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Bounds
from samdesk.domain.tasks import Task
from samdesk.formats.atomic import file_error, replacing

from .editlog import EditLog, Record, log_path, read_log
from .lock import ProjectLock
from .opening import (
    check_header,
    damaged,
    examine,
    has_log,
    make,
    project_error,
    reader,
    refusal,
    remove_logs,
    writer,
)
from .rows import (
    BATCH,
    attribute_rows,
    batches,
    color_of_text,
    color_text,
    geometries_of,
    ids_of,
    ids_of_bytes,
    json_text,
    table_of,
)

_DAMAGED = (ValueError, KeyError, TypeError, struct.error, shapely.errors.ShapelyError)

_LARGE_EDIT = 10_000
_CLOSING_WAIT_MS = 500
_PAGES_AT_ONCE = 2000
_COUNT = "SELECT count(*) FROM annotation_attributes"
_INSERT_CLASS = """
INSERT INTO classes (position, name, color)
VALUES ((SELECT ifnull(max(position), 0) + 1 FROM classes), ?, ?) ON CONFLICT (name) DO NOTHING"""
_INSERT_JOURNAL = """
INSERT INTO journal (sequence, time, title, removed, written)
VALUES (?, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), ?, ?, ?)"""
# a log of an earlier version can have two edits of one number
_TAKE_JOURNAL = _INSERT_JOURNAL.replace("INSERT", "INSERT OR IGNORE")
_COMMITTED = "SELECT ifnull(max(sequence), 0) FROM journal"
_BORN = "SELECT last_change FROM gpkg_contents WHERE table_name = 'annotation_attributes'"
_UPSERT_ATTRIBUTES = """
INSERT INTO annotation_attributes (id, position, class, object_type, flags, z, t, name, color, details)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET position = excluded.position, class = excluded.class,
    object_type = excluded.object_type, flags = excluded.flags, z = excluded.z, t = excluded.t,
    name = excluded.name, color = excluded.color, details = excluded.details"""
_UPSERT_GEOMETRY = """
INSERT INTO annotation (fid, geom)
VALUES ((SELECT fid FROM annotation_attributes WHERE id = ?), ?)
ON CONFLICT (fid) DO UPDATE SET geom = excluded.geom"""
_DELETE_GEOMETRY = "DELETE FROM annotation WHERE fid = (SELECT fid FROM annotation_attributes WHERE id = ?)"
_DELETE_ATTRIBUTES = "DELETE FROM annotation_attributes WHERE id = ?"
_SELECT_GEOMETRY = "SELECT fid, geom FROM annotation ORDER BY fid"
_SELECT_ATTRIBUTES = """
SELECT fid, id, position, class, object_type, flags, z, t, name, color, details
FROM annotation_attributes ORDER BY fid"""
_TOUCH = """
UPDATE gpkg_contents SET last_change = strftime('%Y-%m-%dT%H:%M:%fZ', 'now'),
    min_x = min(ifnull(min_x, ?1), ?1), min_y = min(ifnull(min_y, ?2), ?2),
    max_x = max(ifnull(max_x, ?3), ?3), max_y = max(ifnull(max_y, ?4), ?4)
WHERE table_name = 'annotation'"""


@dataclass(frozen=True, slots=True)
class ImageReference:
    """Which image the annotations belong to.

    Attributes
    ----------
    path : Path
        Where it is; when it was moved together with the project, where it is now.
    name : str
    identity : str
        `ImageSource.identity` when it was last seen.
    width, height : int
        In pixels at full resolution.
    """

    path: Path
    name: str
    identity: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Loaded:
    """What is in a project.

    Attributes
    ----------
    table : Table
        In list order.
    classes : tuple of AnnotationClass
    meta : mapping of str to JSON value
    image : ImageReference or None
    """

    table: Table
    classes: Classes
    meta: Mapping[str, Any]
    image: ImageReference | None


class ProjectStore:
    """A project file that is open. Made by `open`; used by one thread at a time, any thread.

    Attributes
    ----------
    path : Path
    recovered : bool
        Whether the file had not been closed (the program or the machine died); what had been
        accepted by then is there.
    reason : str
        Why it is open for reading only; "" when it can be written.
    lost : tuple of str
        What had been accepted when the program died and could not be brought back, in words.
    """

    def __init__(self, path: Path, lock: ProjectLock, reason: str, *, recovered: bool) -> None:
        self.path = path
        self.reason = reason
        self.recovered = recovered
        self.lost: tuple[str, ...] = ()
        self._lock = lock
        self._connection = None if reason else writer(path)
        self._extent: Bounds | None = None
        self._next = 1
        self._log = EditLog(path, "")
        if self._connection is not None:
            self._begin(self._connection)

    @classmethod
    def open(cls, path: str | Path, *, create: bool = False, read_only: bool = False) -> ProjectStore:
        """Open a project file.

        When it is open in another window, or may not be written, it opens for reading only.

        Parameters
        ----------
        path : path-like
        create : bool
            Make the file when there is none.
        read_only : bool

        Raises
        ------
        SamdeskError
            When the file is missing, damaged, not a project, or made by a newer samdesk; it is
            left as it is.
        """
        path = Path(path).absolute()
        lock = ProjectLock(path)
        try:
            missing = not path.exists() or (create and not path.stat().st_size)
            if not missing:
                check_header(path)
            elif not create:
                raise SamdeskError(f"{path} does not exist.", "Check the path.")
            reason = "it was opened for reading" if read_only else _refusal(path) or lock.take()
            if missing:
                make(path, reason)
            recovered = not reason and has_log(path)
            examine(path)
            return cls(path, lock, reason, recovered=recovered)
        except OSError as error:
            lock.release()
            raise file_error(path, error, "opened") from error
        except BaseException:
            lock.release()
            raise

    @property
    def read_only(self) -> bool:
        return bool(self.reason)

    def __enter__(self) -> ProjectStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Reading

    def load(self, task: Task | None = None) -> Loaded:
        """Read everything.

        Raises
        ------
        SamdeskError
            When the file is damaged.
        Cancelled
        """
        task = task or Task()
        with self._connected() as db, _one_state(db):
            classes = _classes(db)
            table = Table.concat(list(_tables(db, classes, task)), share=False)
            table = replace(table, classes=tuple(classes.values()))
            return Loaded(_in_list_order(table), table.classes, _meta(db), _image(db, self.path))

    @property
    def meta(self) -> Mapping[str, Any]:
        """What `set_meta` keeps."""
        with self._connected() as db:
            return _meta(db)

    @property
    def image(self) -> ImageReference | None:
        """What `set_image` keeps."""
        with self._connected() as db:
            return _image(db, self.path)

    @property
    def classes(self) -> Classes:
        """The classes alone, in order."""
        with self._connected() as db:
            return tuple(_classes(db).values())

    def save_copy(self, path: str | Path) -> None:
        """Write all that is in the project to another file, which appears whole or not at all.

        Raises
        ------
        SamdeskError
            When the other file is this one, is open in another window, or cannot be written.
        """
        target = Path(path).absolute()
        lock = ProjectLock(target)
        if reason := refusal(target) or lock.take():
            raise SamdeskError(f"{target} cannot be written: {reason}.", "Choose another name or folder.")
        try:
            with replacing(target) as fresh, self._connected() as db:
                try:
                    db.execute("VACUUM INTO ?", (str(fresh),))
                except sqlite3.Error as error:
                    raise project_error(target, error) from error
                remove_logs(target)
        finally:
            lock.release()

    def back_up(self, path: Path, task: Task) -> None:
        """Write the present state to a new file; a long copy can be cancelled, and leaves nothing then.

        Raises
        ------
        SamdeskError
            When the other file cannot be written.
        Cancelled
        """
        with replacing(path) as fresh, self._connected() as db, closing(sqlite3.connect(fresh)) as copy:
            copy.execute("PRAGMA synchronous = OFF")  # flushed when it takes its name
            db.backup(copy, pages=_PAGES_AT_ONCE, progress=lambda *_: task.check())
            copy.execute("PRAGMA journal_mode = DELETE").fetchone()

    # Writing

    def accept(self, edit: Edit) -> tuple[int, bool]:
        """Note an edit that the document has accepted, so that it outlives the program from now on.

        May be called on one thread while another appends with a number, as only this one counts;
        `append` takes the edit with its number later.

        Returns
        -------
        int
            The number that the edit has from now on.
        bool
            False when it is too large to be noted at once (or the disk is full): it is safe only
            after `append`.
        """
        number = self._next
        self._next += 1
        return number, self._log.write(number, edit)

    def append(self, edit: Edit, number: int | None = None) -> int:
        """Take over an edit that the document has accepted.

        When this returns, the edit is on the disk; when it raises, nothing of it is, and the store
        can still be used.

        Parameters
        ----------
        edit : Edit
        number : int, optional
            The one that `accept` gave it; by default the next, for programs of one thread.

        Returns
        -------
        int
            The number of the edit in the journal of the project.

        Raises
        ------
        SamdeskError
            When the project is open for reading only, or the disk is full or gone.
        """
        is_next = number is None
        with self._transaction() as db:
            _write_classes(db, edit)
            changed = _forget(db, edit.before, edit.after)
            for batch in batches(edit.after):
                db.executemany(_UPSERT_ATTRIBUTES, attribute_rows(batch))
            for batch in batches(edit.after.take(changed)):
                db.executemany(_UPSERT_GEOMETRY, zip(ids_of(batch), geometries_of(batch), strict=True))
            row = (number, edit.title, len(edit.before), len(edit.after))
            number = db.execute(_INSERT_JOURNAL, row).lastrowid or 0
        self._reach(edit.after)
        if is_next:
            self._next = max(self._next, number + 1)
        self._log.forget(number)
        return number

    def set_meta(self, key: str, value: Any) -> None:
        """Keep a JSON value under a name, or forget it when it is None; one transaction."""
        text = json_text(value)
        with self._transaction() as db:
            if value is None:
                db.execute("DELETE FROM meta WHERE key = ?", (key,))
            else:
                db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, text))

    def set_image(self, image: ImageReference | None) -> None:
        """Keep which image the project is about; one transaction."""
        with self._transaction() as db:
            db.execute("DELETE FROM images")
            if image is not None:
                path = image.path.absolute()
                where = (image.name, str(path), _relative(path, self.path.parent))
                size = (image.identity, image.width, image.height)
                db.execute("INSERT INTO images VALUES (1, ?, ?, ?, ?, ?, ?)", (*where, *size))

    def close(self, *, forget: bool = False) -> None:
        """Leave exactly one file, and a log of the edits that could not be written. May be called again.

        Parameters
        ----------
        forget : bool
            Leave no such log: another file has those edits.
        """
        db, self._connection = self._connection, None
        if db is None:
            return
        self._log.close(keep=not forget)
        try:
            # nothing is lost when this fails (full disk, or another program reads the file): the log
            # stays, and the next opening takes it over
            db.execute(f"PRAGMA busy_timeout = {_CLOSING_WAIT_MS}")
            with suppress(sqlite3.Error):
                if self._extent is not None:
                    db.execute(_TOUCH, self._extent)
            with suppress(sqlite3.Error):
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                db.execute("PRAGMA journal_mode = DELETE").fetchone()
            db.close()
        finally:
            self.reason = "it is closed"
            self._lock.release()

    def _begin(self, db: sqlite3.Connection) -> None:
        """Take over what a program that died had accepted, and begin a log of this program's own."""
        try:
            (born,), (committed,) = db.execute(_BORN).fetchone(), db.execute(_COMMITTED).fetchone()
            self._log = EditLog(self.path, str(born))
            self._next = committed + 1
            self._replay(str(born), committed)
        except (sqlite3.Error, SamdeskError, OSError) as error:
            db.close()
            if isinstance(error, sqlite3.Error):
                raise project_error(self.path, error) from error
            if isinstance(error, OSError):
                raise file_error(log_path(self.path), error, "read") from error
            raise

    def _replay(self, born: str, committed: int) -> None:
        found = read_log(self.path)
        if found is None:
            return
        missing = [one for one in found.records if one.number > committed]
        self.recovered = self.recovered or bool(missing)
        strange = found.owner != born or (missing and found.records[0].number > committed + 1)
        if strange and (found.damaged or found.owner):
            aside = _set_aside(self.path)
            self.lost = (f"what is in {aside.name}, which does not belong to this state of the project",)
            return
        lost = []
        for one in missing:
            lost += _not_noted(one.number - self._next)
            self._take(one)
            lost += [] if one.is_whole else [f"“{one.title}”"]
        self.lost = tuple(lost)
        if found.damaged:
            aside = _set_aside(self.path)
            self.lost = (*self.lost, f"what can no longer be read in {aside.name}")
            return
        log_path(self.path).unlink(missing_ok=True)

    def _take(self, record: Record) -> None:
        """Bring the project to the state after a record; one transaction, of which any part may be there."""
        with self._transaction() as db:
            after = record.after
            change = None if record.classes is None else ((), record.classes)
            _write_classes(db, Edit(record.title, Table.empty(), after, change))
            kept = set(ids_of(after))
            gone = [(one,) for one in ids_of_bytes(record.removed) if one not in kept]
            db.executemany(_DELETE_GEOMETRY, gone)
            db.executemany(_DELETE_ATTRIBUTES, gone)
            for batch in batches(after):
                db.executemany(_UPSERT_ATTRIBUTES, attribute_rows(batch))
                db.executemany(_UPSERT_GEOMETRY, zip(ids_of(batch), geometries_of(batch), strict=True))
            row = (record.number, record.title, len(record.removed), len(after))
            db.execute(_TAKE_JOURNAL, row)
        self._reach(after)
        self._next = max(self._next, record.number + 1)

    def _reach(self, after: Table) -> None:
        box = after.bounding_box()
        if box is not None:
            self._extent = box if self._extent is None else self._extent.union(box)

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        """The connection; a store that only reads keeps none, as it would keep the writer from closing."""
        try:
            if self._connection is not None:
                yield self._connection
            else:
                with closing(reader(self.path)) as db:
                    yield db
        except sqlite3.Error as error:
            raise project_error(self.path, error) from error
        except _DAMAGED as error:
            raise damaged(self.path, error) from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        db = self._connection
        if db is None:
            raise SamdeskError(
                f"{self.path} cannot be changed: {self.reason}.",
                "Save a copy, or open it where it can be written.",
            )
        try:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            finally:
                if db.in_transaction:
                    db.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise project_error(self.path, error) from error
        except UnicodeEncodeError as error:
            raise SamdeskError("A name or a text holds half a character.", "Type it again.") from error


def _refusal(path: Path) -> str:
    """Say why the file cannot be written, and what is therefore not in it; "" when it can be."""
    reason, log = refusal(path), log_path(path)
    if reason and log.exists() and log.stat().st_size:
        reason += f"; the last changes are in {log.name} and come in where both can be written"
    return reason


def _not_noted(count: int) -> list[str]:
    """What to tell about numbers that are missing between two records, if there are any."""
    if count < 1:
        return []
    return ["1 edit that could not be noted" if count == 1 else f"{count:,} edits that could not be noted"]


def _set_aside(project: Path) -> Path:
    """Keep a log that cannot be taken over, under a name of its own."""
    log = log_path(project)
    for number in count(1):
        aside = log.with_name(f"{log.name}.aside{number}")
        if not aside.exists():
            log.replace(aside)
            return aside
    raise AssertionError


@contextmanager
def _one_state(db: sqlite3.Connection) -> Iterator[None]:
    """Let all statements inside see the same state of the file."""
    db.execute("BEGIN")
    try:
        yield
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def _tables(db: sqlite3.Connection, classes: dict[str, AnnotationClass], task: Task) -> Iterator[Table]:
    (total,) = db.execute(_COUNT).fetchone()
    geometries, attributes = db.execute(_SELECT_GEOMETRY), db.execute(_SELECT_ATTRIBUTES)
    done = 0
    while True:
        task.progress(done / max(total, 1), "Reading the project")
        blobs, values = geometries.fetchmany(BATCH), attributes.fetchmany(BATCH)
        if [fid for fid, _ in blobs] != [row[0] for row in values]:
            raise ValueError("shapes and attributes do not belong together")
        if not blobs:
            return
        yield table_of([blob for _, blob in blobs], [row[1:] for row in values], classes)
        done += len(blobs)


def _in_list_order(table: Table) -> Table:
    order = np.argsort(table.order, kind="stable")
    return table if (np.diff(order) == 1).all() else table.take(order)


def _classes(db: sqlite3.Connection) -> dict[str, AnnotationClass]:
    rows = db.execute("SELECT name, color FROM classes ORDER BY position")
    return {name: AnnotationClass(name, color_of_text(color)) for name, color in rows}


def _meta(db: sqlite3.Connection) -> dict[str, Any]:
    return {key: orjson.loads(value) for key, value in db.execute("SELECT key, value FROM meta")}


def _image(db: sqlite3.Connection, project: Path) -> ImageReference | None:
    row = db.execute("SELECT path, relative_path, name, identity, width, height FROM images").fetchone()
    if row is None:
        return None
    path, relative, *others = row
    where = Path(path)
    if relative and (project.parent / relative).exists():
        where = (project.parent / relative).resolve()
    return ImageReference(where, *others)


def _relative(path: Path, folder: Path) -> str | None:
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # on another drive
        return None


def _write_classes(db: sqlite3.Connection, edit: Edit) -> None:
    if edit.classes is not None:
        db.execute("DELETE FROM classes")
        found = edit.classes[1]
    else:
        found = tuple(edit.after.classes[number - 1] for number in np.unique(edit.after.class_id) if number)
    db.executemany(_INSERT_CLASS, [(one.name, color_text(one.color)) for one in found])


def _forget(db: sqlite3.Connection, before: Table, after: Table) -> Rows:
    """Delete the rows that are gone, and return the rows of `after` whose geometry must be written."""
    if len(before) and np.array_equal(before.ids, after.ids):
        return np.flatnonzero(~before.same_geometry(after))
    if len(before) > _LARGE_EDIT and db.execute(_COUNT).fetchone() == (len(before),):
        db.execute("DELETE FROM annotation")
        db.execute("DELETE FROM annotation_attributes")
    elif len(before):
        kept = set(ids_of(after))
        gone = [(one,) for one in ids_of(before) if one not in kept]
        db.executemany(_DELETE_GEOMETRY, gone)
        db.executemany(_DELETE_ATTRIBUTES, gone)
    return np.arange(len(after))
