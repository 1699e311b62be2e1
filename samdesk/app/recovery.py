"""The mark that a window leaves while it runs, so that the next start learns of a crash.

Must not know what was open beyond its paths.
"""

from __future__ import annotations

import contextlib
import json
import uuid
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout


@dataclass(frozen=True, slots=True)
class Crashed:
    """What was open in a window that ended without closing.

    Attributes
    ----------
    image : Path
    annotations : Path or None
        The file of its annotations.
    """

    image: Path
    annotations: Path | None = None

    @property
    def again(self) -> Path:
        """What to open to go on: the annotations know their image, whichever it was opened by."""
        return self.annotations if self.annotations is not None and self.annotations.exists() else self.image


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

    def set(self, image: Path | None, annotations: Path | None = None) -> None:
        """Note what is open, and where its annotations are."""
        noted = {
            "image": str(image) if image else None,
            "annotations": str(annotations) if annotations else None,
        }
        with contextlib.suppress(OSError):
            self._path.write_text(json.dumps(noted), "utf-8")

    def remove(self) -> None:
        """The window closed properly."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
        self._lock.release()
        with contextlib.suppress(OSError):
            Path(self._lock.lock_file).unlink(missing_ok=True)

    def take_crashed(self) -> list[Crashed]:
        """What was open in windows that ended without closing; each is told once."""
        found = []
        for path in sorted(self._folder.glob("*.json")):
            lock = FileLock(path.with_suffix(".lock"))
            if path == self._path:
                continue
            with contextlib.suppress(Timeout, OSError, ValueError, AttributeError, TypeError):
                lock.acquire(timeout=0)
                noted = json.loads(path.read_text("utf-8"))
                path.unlink()
                image, annotations = noted.get("image"), noted.get("annotations")
                if image:
                    found.append(Crashed(Path(image), Path(annotations) if annotations else None))
            if lock.is_locked:
                lock.release()
                with contextlib.suppress(OSError):
                    Path(lock.lock_file).unlink(missing_ok=True)
        return found
