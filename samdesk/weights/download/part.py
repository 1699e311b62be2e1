"""The growing file: what was received so far, its hash, and the note from which the next run goes on.

The note says how many bytes are known to be right and what they hash to; whatever a crash or a
power cut left beyond them, or changed in them, is dropped. Must not know HTTP.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from samdesk.domain.errors import SamdeskError
from samdesk.weights.hashing import BLOCK_BYTES, RunningHash, new_hash
from samdesk.weights.writing import disk_error, write_json

NOTE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Note:
    """What is known of a part.

    Attributes
    ----------
    url : str
        The entry's link, not what it was redirected to.
    etag, modified : str
        The server's validators of the whole file; empty when it gave none.
    total : int or None
        Bytes of the whole file.
    size : int
        So many bytes at the beginning are known to be right.
    sha256 : str
        Of those bytes.
    """

    url: str
    etag: str = ""
    modified: str = ""
    total: int | None = None
    size: int = 0
    sha256: str = ""

    @property
    def validator(self) -> str:
        """What `If-Range` may carry: a strong ETag, else the time of the last change; else empty."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.modified


class Part:
    """A `.part` file under way; a context manager that leaves a note behind.

    Parameters
    ----------
    path : Path
    url : str
        The entry's link; a part of another link is dropped.
    algorithms : tuple of str
        What to hash besides SHA-256.
    check : callable
        Raises when the user gave up; asked while what is there is read again.
    note_s : float
        Seconds between two notes while bytes arrive.
    """

    def __init__(
        self,
        path: Path,
        url: str,
        algorithms: tuple[str, ...],
        check: Callable[[], None],
        note_s: float,
    ) -> None:
        self.path = path
        self.note = Note(url)
        self._names = tuple(dict.fromkeys(("sha256", *algorithms)))
        self._hashes: dict[str, RunningHash] = {}
        self._check = check
        self._note_s = note_s
        self._noted_at = 0.0
        self._noted_size = 0
        try:
            self._file = open(path, "r+b" if path.exists() else "w+b", buffering=0)  # noqa: PTH123, SIM115
        except OSError as error:
            raise disk_error(path, error) from error

    def __enter__(self) -> Part:
        try:
            self._take_up()
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file.closed:
            return
        try:
            self._remember()
        except SamdeskError:
            if error is None:
                raise
        finally:
            self._file.close()

    @property
    def size(self) -> int:
        """Bytes received, all of them right."""
        return self.note.size

    def digest(self, algorithm: str) -> str:
        return self._hashes[algorithm].hexdigest()

    def restart(self, etag: str = "", modified: str = "", total: int | None = None) -> None:
        """Drop what was received: another file, or the same one anew."""
        self._empty(Note(self.note.url, etag, modified, total))
        self._remember()

    def append(self, data: bytes) -> None:
        """Write bytes that follow; remembers now and then where it is.

        Raises
        ------
        SamdeskError
            When the disk is full or cannot be written.
        """
        try:
            left = memoryview(data)
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            raise disk_error(self.path, error) from error
        for one in self._hashes.values():
            one.update(data)
        self.note = replace(self.note, size=self.size + len(data))
        now = time.monotonic()
        if self.size - self._noted_size >= NOTE_BYTES or now - self._noted_at >= self._note_s:
            self._remember()

    def flush(self) -> None:
        """Wait until what was received is on the disk."""
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise disk_error(self.path, error) from error

    def finish(self, target: Path) -> None:
        """Give the complete file its name, in one step."""
        try:
            self._file.close()
            self.path.replace(target)
            with suppress(OSError):  # some systems cannot flush a folder
                folder = os.open(target.parent, os.O_RDONLY)
                try:
                    os.fsync(folder)
                finally:
                    os.close(folder)
            self._note_path.unlink(missing_ok=True)
        except OSError as error:
            raise disk_error(target, error) from error

    def discard(self) -> None:
        """Delete what was received, and the note."""
        self._file.close()
        for path in (self.path, self._note_path):
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the file without a note: what becomes of it is the caller's."""
        self._file.close()

    @property
    def _note_path(self) -> Path:
        return self.path.with_name(self.path.name + ".json")

    def _take_up(self) -> None:
        for lost in self.path.parent.glob(f".{self._note_path.name}-*.tmp"):  # of a killed process
            with suppress(OSError):
                lost.unlink(missing_ok=True)
        self._empty(self.note, keep=True)
        known = self._read_note()
        if known is None or not self._hash_again(known.size) or self.digest("sha256") != known.sha256:
            self._empty(self.note)
            return
        self.note = known
        self._noted_size, self._noted_at = known.size, time.monotonic()
        try:
            self._file.truncate(known.size)
        except OSError as error:
            raise disk_error(self.path, error) from error

    def _read_note(self) -> Note | None:
        try:
            read: Any = json.loads(self._note_path.read_bytes())
            known = Note(**read)
        except (OSError, ValueError, TypeError, RecursionError):
            return None
        right = isinstance(known.size, int) and isinstance(known.total, int | None)
        texts = (known.url, known.etag, known.modified, known.sha256)
        if not right or known.size < 0 or not all(isinstance(text, str) for text in texts):
            return None
        return known if known.url == self.note.url else None

    def _hash_again(self, size: int) -> bool:
        self._file.seek(0)
        left = size
        while left:
            self._check()
            block = self._file.read(min(left, BLOCK_BYTES))
            if not block:
                return False
            for one in self._hashes.values():
                one.update(block)
            left -= len(block)
        return True

    def _empty(self, note: Note, keep: bool = False) -> None:
        self._hashes = {name: new_hash(name) for name in self._names}
        self.note = note
        self._noted_size, self._noted_at = 0, time.monotonic()
        if keep:
            return
        try:
            self._file.seek(0)
            self._file.truncate(0)
        except OSError as error:
            raise disk_error(self.path, error) from error

    def _remember(self) -> None:
        self.note = replace(self.note, sha256=self.digest("sha256"))
        write_json(self._note_path, asdict(self.note), flush=False)
        self._noted_size, self._noted_at = self.size, time.monotonic()
