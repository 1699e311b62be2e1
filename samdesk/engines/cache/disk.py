"""`DiskCache`: embeddings in a folder, one file each, bounded, shared by all processes that name it.

A file is found by the digest of its key and says in its header what it holds. It is written
under another name and then renamed, so that a reader sees it whole or not at all; no process
waits for another. Must not know images, nor why an embedding is wanted.
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samdesk.engines.base import Embedding, Engine

from .keys import EmbeddingKey, digest

log = logging.getLogger(__name__)

DISK_BYTES = 4 << 30
"""The size of the cache unless the user chose another: some 2,000 chips of SAM, 500 of SAM 2."""

FORMAT = "samdesk embedding 1"

LARGEST_PART = 1 / 4
"""What would take more than this part of the cache is not kept."""

CLEAN_TO = 0.9
"""Cleaning leaves this part of the limit, so that it is not needed again at once."""

RECOUNT_AFTER = 1 / 16
"""After writing this part of the limit the folder is looked through again: others write to it too."""

TOUCH_S = 60.0
"""A file that was read this recently is not marked as used again."""

STALE_S = 3600.0
"""A file that has been in the making for so long was left behind by a process that died."""

HALF_LOW, HALF_HIGH = 2.0**-10, 65504.0
"""Arrays whose largest magnitude lies between are kept as float16: beyond it some become infinite,
below it too few digits are left (the smallest step of float16 is 2^-24)."""

Arrays = Mapping[str, NDArray[Any]]

_OURS = re.compile(r"[0-9a-f]{32}\.safetensors")
_MAKING = re.compile(r"\.[0-9a-f]{32}\.[0-9a-f]{8}\.tmp")


class _Damaged(Exception):  # noqa: N818 - never leaves this module
    """A file that is not what its name says."""


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    nbytes: int
    used: float


class DiskCache:
    """Embeddings by key in `folder`, the least recently used removed first. Thread-safe.

    Never raises for what is wrong with the disk: a file that cannot be read is a miss, and after
    a file could not be written (disk full, folder read-only) nothing more is written until the
    program starts again.

    Parameters
    ----------
    folder : Path
        Made when something is first kept. Files of others in it are left alone.
    limit_bytes : int
        Size of all files together; 0 keeps nothing. May be changed at any time; it holds from
        the next `put` or `trim` on. Several processes together may exceed it by a sixteenth each.
    """

    def __init__(self, folder: Path, limit_bytes: int = DISK_BYTES) -> None:
        self.folder = folder
        self.limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._total: int | None = None
        self._since_count = 0
        self._writable = True

    @property
    def writable(self) -> bool:
        """Whether `put` may keep something."""
        return self._writable and self.limit_bytes > 0

    @property
    def nbytes(self) -> int:
        """Size of all files, as last counted, with what was written here since."""
        with self._lock:
            return self._count() if self._total is None else self._total

    def __contains__(self, key: EmbeddingKey) -> bool:
        return self._path(key.text).exists()

    def get(self, key: EmbeddingKey, engine: Engine) -> Embedding | None:
        """Read the embedding, which counts as used now; None when it is not here or is damaged."""
        text = key.text
        path = self._path(text)
        try:
            read = _read(path, text)
            if read is None:
                return None
            embedding = engine.unpack(*read)
        except FileNotFoundError:
            return None
        except OSError as error:
            log.info("%s not read: %s", path.name, error)
            return None
        except (_Damaged, KeyError, IndexError, ValueError, TypeError) as error:
            log.info("%s removed, it is damaged: %s", path.name, error)
            _remove(path)
            return None
        _touch(path)
        return embedding

    def put(self, key: EmbeddingKey, engine: Engine, embedding: Embedding) -> None:
        """Keep the embedding, unless it is too large or the engine would rather encode again."""
        arrays = engine.pack(embedding)
        if arrays is not None:
            self.write(key, arrays, embedding.width, embedding.height)

    def accepts(self, nbytes: int) -> bool:
        """Whether an embedding of this size is kept."""
        return self.writable and nbytes <= self.limit_bytes * LARGEST_PART

    def write(self, key: EmbeddingKey, arrays: Arrays, width: int, height: int) -> None:
        """Keep what `Engine.pack` gave; as `put`, for a thread that may not use the engine."""
        if not self.writable or _overflowed(arrays):
            return
        data = _encoded(key.text, arrays, width, height)
        if not self.accepts(len(data)):
            return
        try:
            _write_whole(self._path(key.text), data)
        except OSError as error:
            self._writable = False
            log.warning("Embeddings are not kept on disk any more: %s: %s", self.folder, error)
            return
        with self._lock:
            self._added(len(data))

    def trim(self) -> None:
        """Keep to the limit now; for when it was lowered."""
        with self._lock:
            self._clean()

    def clear(self) -> None:
        """Remove all embeddings."""
        with self._lock:
            for file in self._files():
                _remove(file.path)
            self._count()

    def _path(self, text: str) -> Path:
        return self.folder / f"{digest(text)}.safetensors"

    # Counting and cleaning, under the lock

    def _added(self, nbytes: int) -> None:
        self._since_count += nbytes
        if self._total is not None:
            self._total += nbytes
        if (
            self._total is None
            or self._total > self.limit_bytes
            or self._since_count > self.limit_bytes * RECOUNT_AFTER
        ):
            self._clean()

    def _count(self) -> int:
        self._total = sum(file.nbytes for file in self._files())
        self._since_count = 0
        return self._total

    def _clean(self) -> None:
        """Count anew, and remove what was not used for longest when it is too much."""
        files = sorted(self._files(), key=lambda file: file.used)
        total = sum(file.nbytes for file in files)
        if total > self.limit_bytes:
            for file in files:
                if total <= self.limit_bytes * CLEAN_TO:
                    break
                if _remove(file.path):
                    total -= file.nbytes
        self._total, self._since_count = total, 0

    def _files(self) -> Iterator[_File]:
        """The embeddings in the folder; removes what was left half-written long ago."""
        try:
            entries = list(os.scandir(self.folder))
        except OSError:
            return
        for entry in entries:
            made = _OURS.fullmatch(entry.name)
            if not made and not _MAKING.fullmatch(entry.name):
                continue
            try:
                stat = entry.stat()
            except OSError:  # another process has just removed it
                continue
            if made:
                yield _File(Path(entry.path), stat.st_size, stat.st_mtime)
            elif time.time() - stat.st_mtime > STALE_S:
                _remove(Path(entry.path))


def size_on_disk(arrays: Arrays) -> int:
    """About the bytes that these arrays take in a file."""
    return sum(array.size * (2 if array.dtype.kind == "f" else array.itemsize) for array in arrays.values())


def _encoded(text: str, arrays: Arrays, width: int, height: int) -> bytes:
    """The file's bytes; the header tells all that is needed to check and restore the arrays."""
    from safetensors.numpy import save

    kept = {name: _halved(np.asarray(array, order="C")) for name, array in arrays.items()}
    header = {
        "format": FORMAT,
        "key": text,
        "width": str(width),
        "height": str(height),
        "dtypes": json.dumps({name: np.asarray(array).dtype.name for name, array in arrays.items()}),
        "crc32": str(_checksum(kept)),
    }
    return bytes(save(kept, header))


def _halved(array: NDArray[Any]) -> NDArray[Any]:
    """As float16 where that loses nothing but digits; else the same."""
    if array.dtype not in (np.float32, np.float64) or not array.size:
        return array
    largest = max(float(array.max()), -float(array.min()))  # NaN and infinity fail both tests
    fits = largest == 0 or HALF_LOW <= largest <= HALF_HIGH
    return array.astype(np.float16) if fits else array


def _overflowed(arrays: Arrays) -> bool:
    """Whether an engine rounded to float16 what does not fit it: better encode again."""
    return any(array.dtype == np.float16 and bool(np.isinf(array).any()) for array in arrays.values())


def _checksum(arrays: Arrays) -> int:
    total = 0
    for name in sorted(arrays):
        total = zlib.crc32(arrays[name].reshape(-1).view(np.uint8).data, total)
    return total


def _read(path: Path, text: str) -> tuple[dict[str, NDArray[Any]], int, int] | None:
    """The arrays with width and height of the chip; None when the file is about something else."""
    if not path.stat().st_size:
        raise _Damaged("it is empty")
    from safetensors import SafetensorError, safe_open  # after the test: not there without models

    try:
        with safe_open(path, "numpy") as file:
            header = file.metadata() or {}
            if header.get("format") != FORMAT or header.get("key") != text:
                return None
            arrays: dict[str, NDArray[Any]] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise _Damaged(str(error)) from error
    if str(_checksum(arrays)) != header["crc32"]:
        raise _Damaged("its checksum differs")
    dtypes = json.loads(header["dtypes"])
    restored = {name: array.astype(dtypes[name], copy=False) for name, array in arrays.items()}
    return restored, int(header["width"]), int(header["height"])


def _write_whole(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    making = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.tmp")
    try:
        # no flush to the disk: a file that a power cut leaves incomplete fails its checksum
        making.write_bytes(data)
        making.replace(path)
    except OSError:
        _remove(making)
        raise


def _remove(path: Path) -> bool:
    """Whether the file is gone now; on Windows one that is being read stays."""
    with suppress(OSError):
        path.unlink(missing_ok=True)
        return True
    return False


def _touch(path: Path) -> None:
    with suppress(OSError):
        if time.time() - path.stat().st_mtime > TOUCH_S:
            os.utime(path)
