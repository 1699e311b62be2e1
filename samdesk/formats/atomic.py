"""Writing a file whole or not at all, and the words for a file that cannot be read or written.

Must not know what is written.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from samdesk.domain.errors import SamdeskError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}


def file_error(path: Path, error: OSError, doing: str) -> SamdeskError:
    """Say in a user's words why `path` could not be read or written.

    Parameters
    ----------
    path : Path
    error : OSError
    doing : {"read", "written", "opened"}
    """
    message = f"{path} cannot be {doing}:"
    if error.errno in _FULL:
        return SamdeskError(f"{message} the disk is full.", "Free some space or choose another folder.")
    if error.errno in _REFUSED:
        return SamdeskError(
            f"{message} permission is denied.", "Choose another folder, or change its rights."
        )
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        what = "its folder" if doing == "written" else "it"
        return SamdeskError(f"{message} {what} does not exist.", "Check the path.")
    if isinstance(error, IsADirectoryError):
        return SamdeskError(f"{message} it is a folder.", "Give the name of a file.")
    return SamdeskError(f"{message} {error.strerror or error}.", "Check the disk or choose another folder.")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give the path of a new file that takes the place of `path` when the block ends well.

    The new file lies in the same folder. It is flushed to the disk before it takes the place of
    the old one; when the block raises (or is cancelled), it is removed and the old file stays.

    Raises
    ------
    SamdeskError
        When the folder or the file cannot be written, or the disk is full.
    """
    target = path.resolve()
    fresh = target.with_name(f".{target.name[:60]}.{secrets.token_hex(4)}.tmp")
    try:
        _refuse(target)
        yield fresh
        _flush(fresh)
        if target.exists():
            shutil.copymode(target, fresh)
        fresh.replace(target)
        with suppress(OSError):  # some systems cannot flush a folder
            _flush(target.parent)
    except OSError as error:
        raise file_error(path, error, "written") from error
    finally:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)


def _refuse(target: Path) -> None:
    """Refuse what a rename would overwrite although the user protected it."""
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a folder", str(target))
    if target.exists() and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, "permission denied", str(target))


def _flush(path: Path) -> None:
    # Windows flushes only through a descriptor that may write
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
