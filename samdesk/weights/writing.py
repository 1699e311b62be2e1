"""Small JSON files that several processes read and write: whole or not at all, one writer at a time.

Must not know what is written.
"""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from samdesk.domain.errors import SamdeskError

LOCK_S = 10.0
"""A writer holds the lock for milliseconds; one that holds it for this long hangs."""


@contextmanager
def one_writer(path: Path) -> Iterator[None]:
    """Hold the lock beside `path` while it is read, changed and written.

    Raises
    ------
    SamdeskError
        When the folder cannot be written, or another process does not let go.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(path.name + ".lock"), timeout=LOCK_S)
        lock.acquire()
    except Timeout:
        raise SamdeskError(
            f"Another program has held {path} for {LOCK_S:g} s.", "Close the other samdesk, then try again."
        ) from None
    except OSError as error:
        raise disk_error(path, error) from error
    try:
        yield
    finally:
        lock.release()


def write_json(path: Path, value: Any, *, flush: bool = True) -> None:
    """Write `value` so that a reader, or the next start after a crash, finds the old or the new file.

    Parameters
    ----------
    flush : bool
        Wait for the disk. Not needed for what can be worked out again.

    Raises
    ------
    SamdeskError
        When the file cannot be written.
    """
    fresh: Path | None = None
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-", suffix=".tmp")
        fresh = Path(name)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(value, file, indent=2, ensure_ascii=False)
            file.write("\n")
            if flush:
                file.flush()
                os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        raise disk_error(path, error) from error
    finally:
        if fresh is not None:
            with suppress(OSError):
                fresh.unlink(missing_ok=True)


def disk_error(path: Path, error: OSError) -> SamdeskError:
    """Say in a user's words why `path` could not be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return SamdeskError(
            f"{path} cannot be written: the disk is full.", "Free some space, or set SAMDESK_HOME elsewhere."
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return SamdeskError(
            f"{path} cannot be written: permission is denied.",
            "Change the rights of its folder, or set SAMDESK_HOME to a folder of your own.",
        )
    return SamdeskError(f"{path} cannot be written: {error.strerror or error}.", "Check the disk.")
