"""The mark that a window leaves while it runs, so that the next start learns of a crash.

Must not know what was open beyond its path.
"""

from __future__ import annotations

import contextlib
import json
import uuid
from pathlib import Path

from filelock import FileLock, Timeout


class Mark:
    """A file that names the open image, locked while this process lives.

    Parameters
    ----------
    folder : Path
        Where the marks of all windows are.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._path = folder / f"{uuid.uuid4().hex}.json"
        self._lock = FileLock(self._path.with_suffix(".lock"))
        self._lock.acquire(timeout=0)

    def set(self, image: Path | None) -> None:
        """Note what is open."""
        with contextlib.suppress(OSError):
            self._path.write_text(json.dumps({"image": str(image) if image else None}), "utf-8")

    def remove(self) -> None:
        """The window closed properly."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
        self._lock.release()
        with contextlib.suppress(OSError):
            Path(self._lock.lock_file).unlink(missing_ok=True)

    def take_crashed(self) -> list[Path]:
        """The images that were open in windows that ended without closing; each is told once."""
        found = []
        for path in sorted(self._folder.glob("*.json")):
            lock = FileLock(path.with_suffix(".lock"))
            if path == self._path:
                continue
            with contextlib.suppress(Timeout, OSError, ValueError):
                lock.acquire(timeout=0)
                image = json.loads(path.read_text("utf-8")).get("image")
                path.unlink()
                if image:
                    found.append(Path(image))
            if lock.is_locked:
                lock.release()
                with contextlib.suppress(OSError):
                    Path(lock.lock_file).unlink(missing_ok=True)
        return found
