"""The folders of reconstructions that are done; what is not done leaves none.

Must not know how they are made.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from samdesk.formats.atomic import replacing

from .job import File3D, Job3D

LEFT_S = 24 * 3600.0
"""A folder that was not finished for so long never will be."""

_RECORD = "job.json"
"""In the folder of every reconstruction that is done; written last, and removed first."""

_ID = re.compile(r"[0-9a-f]{32}")

log = logging.getLogger(__name__)


class Kept:
    """Reconstructions on the disk.

    Parameters
    ----------
    folder : Path
        Holds a folder for each; made when missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def place(self, job: str) -> Path:
        """The folder of a job."""
        return self._folder / job

    def files(self, job: str) -> tuple[File3D, ...]:
        """The files of a job, those of all its objects first."""
        return tuple(_files(self.place(job)))

    def read(self) -> Iterator[Job3D]:
        """All that is there."""
        with contextlib.suppress(OSError):
            for place in self._folder.iterdir():
                if _ID.fullmatch(place.name) and (place / _RECORD).is_file():
                    try:
                        found = Job3D.from_json(json.loads((place / _RECORD).read_text("utf-8")))
                    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
                        log.info("%s is left out: %s", place, error)
                    else:
                        # where it lies and what lies there counts, whatever the record says
                        yield replace(found, id=place.name, files=self.files(place.name))

    def keep(self, job: Job3D) -> None:
        """Finish the folder of a job.

        Raises
        ------
        SamdeskError
            When it cannot be written.
        """
        told = {name: value for name, value in asdict(job).items() if name != "files"}
        with replacing(self.place(job.id) / _RECORD) as fresh:
            fresh.write_text(json.dumps(told, indent=1, ensure_ascii=False), "utf-8")

    def forget(self, job: str) -> None:
        """Remove the folder of a job, if there is one."""
        with contextlib.suppress(OSError):
            (self.place(job) / _RECORD).unlink(missing_ok=True)
        shutil.rmtree(self.place(job), ignore_errors=True)

    def clear_leftovers(self) -> None:
        """Remove what was begun long ago by a program that was ended meanwhile."""
        with contextlib.suppress(OSError):
            for place in self._folder.iterdir():
                is_old = time.time() - place.stat().st_mtime > LEFT_S
                if is_old and not (place / _RECORD).is_file():
                    shutil.rmtree(place, ignore_errors=True)


def _files(place: Path) -> Iterator[File3D]:
    with contextlib.suppress(OSError):
        found = [path for path in place.rglob("*") if path.is_file() and not path.name.startswith(".")]
        for path in sorted(found, key=lambda path: (len(path.parts), str(path))):
            if path.name != _RECORD:
                yield File3D(path.relative_to(place).as_posix(), path.stat().st_size)
