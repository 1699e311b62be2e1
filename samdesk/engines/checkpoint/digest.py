"""`file_digest`: the SHA-256 of a file, remembered so that gigabytes are read once only.

Must not know what is in the file.
"""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

from samdesk import paths
from samdesk.domain.errors import SamdeskError
from samdesk.domain.tasks import Task
from samdesk.formats.atomic import file_error, replacing

_log = logging.getLogger(__name__)

BLOCK_BYTES = 4 << 20
"""Read at once; small enough that a cancelled task returns within a few milliseconds."""

REMEMBERED = 200
"""So many files are remembered; the one hashed longest ago is forgotten first."""

_MEMORY = "digests.json"


def file_digest(path: Path, task: Task | None = None) -> str:
    """The SHA-256 of a file's bytes, 64 lower-case hexadecimal digits.

    Remembered by path, size and time of change in `paths.cache_dir()`: a file that did not
    change is not read again, by this or the next process.

    Raises
    ------
    SamdeskError
        When the file cannot be read.
    Cancelled
        When the task was cancelled.
    """
    task = task or Task()
    key = str(path.resolve())
    try:
        stamp = _stamp(path)
        known = _recall().get(key)
        if isinstance(known, list) and known[:2] == stamp and _is_digest(known[-1]):
            return str(known[-1])
        digest = _hash(path, stamp[0], task)
        if _stamp(path) == stamp:
            _remember(key, [*stamp, digest])
    except OSError as error:
        raise file_error(path, error, "read") from error
    return digest


def _stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _hash(path: Path, size: int, task: Task) -> str:
    sha = hashlib.sha256()
    block = memoryview(bytearray(BLOCK_BYTES))
    done = 0
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(block):
            sha.update(block[:count])
            done += count
            task.progress(min(1.0, done / max(size, 1)), f"Checking {path.name}")
    return sha.hexdigest()


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 64


def _recall() -> dict[str, Any]:
    try:
        found = json.loads((paths.cache_dir() / _MEMORY).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _remember(key: str, entry: list[Any]) -> None:
    # two processes may write at once: each file is whole, and a lost entry is only hashed again
    entries = _recall()
    entries.pop(key, None)
    entries[key] = entry
    kept = dict(list(entries.items())[-REMEMBERED:])
    try:
        with replacing(paths.cache_dir() / _MEMORY) as fresh:
            fresh.write_text(json.dumps(kept, indent=0), encoding="utf-8")
    except (OSError, SamdeskError) as error:
        _log.info("The digest is not remembered: %s", error)
