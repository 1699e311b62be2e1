"""`Uploads`: the frames that clients send one by one before they ask about all of them.

A folder for each sequence, below one folder of ours; nothing is ever read or written elsewhere.
Must not know requests, nor what is in a frame beyond its size.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from samdesk.domain.errors import SamdeskError
from samdesk.images.readers.picture import read_header

from .errors import RequestError
from .options import Limits

FRAME_BYTES = 64 << 20
"""Of one frame."""

QUIET_S = 600.0
"""A sequence that nobody touched for so long makes room for a new one when the space is used up."""

_FOLDER = re.compile(r"[A-Za-z0-9_-]{1,64}")
_FRAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,79}\.(?:jpe?g|png)", re.IGNORECASE)
_MARK = "frames-"
"""Begins the names of our folders and files: then no name of a client has a meaning for the system."""

log = logging.getLogger(__name__)


class Uploads:
    """Sequences of frames on the disk, removed when they are not used any more. Thread-safe.

    How long a sequence was unused is told by the times of its folder, so that the next start of
    the program goes on from there.

    Parameters
    ----------
    folder : callable
        Gives the folder for all sequences; asked when it is first needed.
    limits : Limits
        `pixels` of a frame, `upload_bytes` of all frames, `upload_age_s`.
    """

    def __init__(self, folder: Callable[[], Path], limits: Limits) -> None:
        self._where = folder
        self._limits = limits
        self._lock = threading.Lock()
        self._bytes: Counter[str] = Counter()  # by sequence
        self._using: Counter[str] = Counter()
        self._counted = False

    # all of these are for a lane: they use the disk

    def add(self, sequence: str, name: str, data: bytes) -> None:
        """Keep a frame; one of the same name is replaced, and never seen half written.

        Parameters
        ----------
        sequence : str
            Up to 64 letters, digits, "-" and "_".
        name : str
            Of a file, ending with .jpg, .jpeg or .png; frames are sorted by it.
        data : bytes

        Raises
        ------
        RequestError
            422 when a name is not allowed or it is no JPEG or PNG, 413 when it is too large or
            no space is left for it.
        """
        _check_names(sequence, name)
        self._check_picture(name, data)
        try:
            folder = self._reserved(sequence, len(data))
            before = self._write(folder, name, data)
        except OSError as error:
            raise SamdeskError(
                f"The frame “{name}” cannot be kept: {error.strerror or error}.",
                "Is there space left on the disk?",
            ) from error
        self._release(sequence, before)

    @contextmanager
    def frames(self, sequence: str) -> Iterator[list[Path]]:
        """The frames of a sequence, in no order; they stay at least as long as this is used.

        Raises
        ------
        RequestError
            422 when the name is not allowed, 404 when there is no such sequence.
        """
        _check_sequence(sequence)
        with self._lock:
            self._using[sequence] += 1
        try:
            folder = self._folder(sequence)
            found = sorted(folder.glob(f"{_MARK}*")) if folder.is_dir() else []
            if not found:
                raise RequestError(
                    404, f"No frames were uploaded as “{sequence}”.", "Upload them first; unused ones go."
                )
            self._touch(folder)
            yield found
            self._touch(folder)
        finally:
            with self._lock:
                self._using[sequence] -= 1

    def remove(self, sequence: str) -> None:
        """Delete a sequence, if it is there."""
        _check_sequence(sequence)
        self._delete(sequence)

    def sweep(self) -> None:
        """Delete what was not used for too long."""
        for _, sequence in self._quiet(self._limits.upload_age_s):
            self._delete(sequence)

    # within

    def _check_picture(self, name: str, data: bytes) -> None:
        if len(data) > FRAME_BYTES:
            raise RequestError(
                413, f"The frame “{name}” is too large.", f"Send at most {FRAME_BYTES >> 20} MB for each."
            )
        try:
            header = read_header(data)
        except ValueError as error:
            raise RequestError(422, f"The frame “{name}” cannot be read: {error}.") from error
        if header is None or header.format not in ("JPEG", "PNG"):
            raise RequestError(422, f"The frame “{name}” is neither JPEG nor PNG.")
        if header.width * header.height > self._limits.pixels:
            raise RequestError(
                413,
                f"The frame “{name}” has {header.width:,} × {header.height:,} px.",
                f"Send at most {self._limits.pixels / 1e6:,g} megapixels.",
            )

    def _reserved(self, sequence: str, size: int) -> Path:
        """The folder of a sequence, once there is space for `size` bytes more."""
        self.sweep()
        with self._lock:
            self._count()
            over = self._bytes.total() + size - self._limits.upload_bytes
        if over > 0:
            self._make_room(over, sequence)
        with self._lock:
            if self._bytes.total() + size > self._limits.upload_bytes:
                raise RequestError(
                    413,
                    "No space is left for more frames.",
                    f"{self._limits.upload_bytes / 1e9:,.3g} GB may be kept, and all are in use.",
                )
            self._bytes[sequence] += size
        return self._folder(sequence)

    def _write(self, folder: Path, name: str, data: bytes) -> int:
        """Write a frame for which space is reserved; the bytes of the one that it replaces."""
        part = folder / f".{secrets.token_hex(8)}.part"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / (_MARK + name)
            before = path.stat().st_size if path.exists() else 0
            part.write_bytes(data)
            part.replace(path)
        except OSError:
            self._release(folder.name.removeprefix(_MARK), len(data))
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            raise
        return before

    def _release(self, sequence: str, size: int) -> None:
        with self._lock:
            self._bytes[sequence] -= size

    def _make_room(self, size: int, sequence: str) -> None:
        for _, other in self._quiet(QUIET_S):
            if size <= 0:
                return
            if other != sequence:
                size -= self._bytes[other]
                self._delete(other)

    def _quiet(self, age_s: float) -> list[tuple[float, str]]:
        """Sequences that nobody uses, nor used for so long; the one used longest ago first."""
        latest = time.time() - age_s
        with self._lock:
            used = {one for one, count in self._using.items() if count}
        found = []
        for folder in self._folders():
            with contextlib.suppress(OSError):
                found.append((folder.stat().st_mtime, folder.name.removeprefix(_MARK)))
        return sorted((at, name) for at, name in found if at < latest and name not in used)

    def _delete(self, sequence: str) -> None:
        folder = self._folder(sequence)
        shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():  # as on Windows, while a frame is read
            log.info("the frames in %s could not be removed yet", folder)
            return
        with self._lock:
            del self._bytes[sequence]

    def _count(self) -> None:
        """Take in what an earlier run left."""
        if self._counted:
            return
        for folder in self._folders():
            for path in folder.iterdir():
                with contextlib.suppress(OSError):
                    self._bytes[folder.name.removeprefix(_MARK)] += path.stat().st_size
        self._counted = True

    def _folders(self) -> list[Path]:
        where = self._where()
        if not where.is_dir():
            return []
        return [one for one in where.iterdir() if one.name.startswith(_MARK) and one.is_dir()]

    def _folder(self, sequence: str) -> Path:
        return self._where() / (_MARK + sequence)

    @staticmethod
    def _touch(folder: Path) -> None:
        with contextlib.suppress(OSError):
            os.utime(folder)


def _check_names(sequence: str, name: str) -> None:
    _check_sequence(sequence)
    if not _FRAME.fullmatch(name):
        raise RequestError(
            422, f"“{name[:100]}” is no name for a frame.", "Name it as 001.jpg: letters, digits, - _ . only."
        )


def _check_sequence(sequence: str) -> None:
    if not _FOLDER.fullmatch(sequence):
        raise RequestError(
            422, f"“{sequence[:100]}” is no name for a sequence.", "Use up to 64 letters, digits, - and _."
        )
