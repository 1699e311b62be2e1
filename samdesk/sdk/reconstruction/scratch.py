"""Folders for the time of a job. Must not know what is in them."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from samdesk.formats.atomic import file_error

PREFIX = "samdesk-3d-"
LOCK = ".lock"

FRESH_S = 60.0
"""So soon after a folder was made its owner may not have locked it yet."""


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder that is gone afterwards.

    It is locked meanwhile, so that `clear_leftovers` of another process leaves it alone.

    Raises
    ------
    SamdeskError
        When it cannot be made.
    """
    place = Path(tempfile.gettempdir())
    try:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
    except OSError as error:
        raise file_error(place, error, "written") from error
    lock = FileLock(folder / LOCK)
    try:
        with suppress(OSError, NotImplementedError):  # where nothing can be locked, nothing is cleared
            lock.acquire()
        yield folder
    finally:
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def clear_leftovers() -> None:
    """Remove such folders of processes that were ended before they could do so themselves."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        # one in use cannot be locked, which is an OSError, or a RuntimeError when it is this thread's
        with suppress(OSError, RuntimeError):
            # what is another's is not touched: opening the lock could change a file elsewhere
            if not (_is_ours(folder) and _is_ours(folder / LOCK)) or _is_fresh(folder):
                continue
            with FileLock(folder / LOCK, timeout=0):
                pass
            shutil.rmtree(folder, ignore_errors=True)


def _is_fresh(folder: Path) -> bool:
    return time.time() - folder.stat().st_mtime < FRESH_S


def _is_ours(path: Path) -> bool:
    """Made by this user, and no link to elsewhere; raises `OSError` when it is not there."""
    told = path.lstat()
    return not path.is_symlink() and (not hasattr(os, "getuid") or told.st_uid == os.getuid())
