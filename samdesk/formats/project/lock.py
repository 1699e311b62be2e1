"""Who may write a project: the one window that holds the lock beside it.

The lock is the operating system's, so it goes when its process dies, whatever is left on the
disk. Must not know SQLite.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout


class ProjectLock:
    """The right to write a project file, once it is taken.

    Parameters
    ----------
    path : Path
        Of the project; the lock is a file beside it with ``.lock`` added to the name.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(path.name + ".lock")
        # the window opens and closes a project on different threads
        self._lock = FileLock(self._path, timeout=0, thread_local=False)

    def take(self) -> str:
        """Try to take it; return why not, or "" when it is taken."""
        try:
            self._lock.acquire()
        except Timeout:
            return "it is open in another window"
        except (OSError, NotImplementedError):
            return "its folder cannot be written"
        return ""

    def release(self) -> None:
        """Give it back and remove its file; does nothing when it was not taken."""
        if not self._lock.is_locked:
            return
        if sys.platform != "win32":  # while it is held: whoever waits for it notices that the file is gone
            self._path.unlink(missing_ok=True)
        self._lock.release()
        with suppress(OSError):
            if sys.platform == "win32":
                self._path.unlink(missing_ok=True)
