"""Where the objects of a project lie, and what its annotations know of them.

They are folders beside the project file, ``name.3d/<id>/``, and an entry for each in the
provenance of its annotation. Must not know jobs or workers.
"""

from __future__ import annotations

import contextlib
import errno
import secrets
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from samdesk.domain.columns import Annotation
from samdesk.domain.errors import SamdeskError
from samdesk.domain.tasks import Task
from samdesk.formats.atomic import file_error

PROVENANCE = "reconstructions"
"""Member of an annotation's provenance: a list of entries, the newest last."""

_NEVER = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS}
"""A rename that failed so fails as a copy too."""


def objects_dir(project: Path) -> Path:
    """The folder of the objects of a project; there when there is an object.

    Beside the file itself, by whatever link it was opened.
    """
    file = _resolved(project)
    return file.with_name(f"{file.stem}.3d")


def same_files(paths: Iterable[Path], path: Path) -> set[Path]:
    """Those that lead to the same file as `path`, links followed."""
    file = _resolved(path)
    return {one for one in paths if one in (path, file) or _resolved(one) == file}


def entries(annotation: Annotation) -> list[Mapping[str, Any]]:
    """What an annotation knows of its objects, oldest first; what is no entry is left out."""
    found = annotation.provenance.get(PROVENANCE)
    if not isinstance(found, list):
        return []
    return [one for one in found if isinstance(one, Mapping) and is_name(one.get("id"))]


def is_name(name: object) -> bool:
    """Whether it names a thing inside a folder, and nothing outside of it."""
    if not isinstance(name, str) or not name or name in (".", ".."):
        return False
    return not any(character in name for character in "/\\:\0")


def with_entry(annotation: Annotation, entry: Mapping[str, Any]) -> Annotation:
    """The annotation with one object more; as it is when it knows of this one."""
    known = annotation.provenance.get(PROVENANCE)
    before = list(known) if isinstance(known, list) else []
    if any(one["id"] == entry["id"] for one in entries(annotation)):
        return annotation
    return replace(annotation, provenance={**annotation.provenance, PROVENANCE: [*before, dict(entry)]})


def place(source: Path, ids: Iterable[str], folder: Path) -> None:
    """Move objects from one folder into another; each appears whole or not at all.

    One that is there already stays, so that this can be done again.

    Raises
    ------
    SamdeskError
        When the folder cannot be written; `source` is left as it was for what was not moved.
    """
    for one in ids:
        target = folder / one
        if target.is_dir():
            continue
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _rename(source / one, target)
        except OSError as error:
            if not (source / one).is_dir():
                raise SamdeskError(
                    f"{source / one} is not there any more.", "Make the object again."
                ) from error
            if error.errno in _NEVER:
                raise file_error(target, error, "written") from error
            _copy(source / one, target, Task())  # to another disk
            shutil.rmtree(source / one, ignore_errors=True)


def carry_objects(old: Path, new: Path, task: Task, *, old_goes: bool = False) -> None:
    """Take the objects of a project along when it is saved under another name.

    Those that are there already stay. Each appears whole or not at all.

    Parameters
    ----------
    old, new : Path
        The project files.
    task : Task
    old_goes : bool
        Whether `drop_objects` follows for the old one: then no bytes are copied on the same disk.

    Raises
    ------
    SamdeskError
        When they cannot be written; those beside `old` are all there then.
    Cancelled
    """
    source, target = objects_dir(old), objects_dir(new)
    if source == target or not source.is_dir():
        return
    try:
        found = sorted(path for path in source.iterdir() if path.is_dir() and not path.name.startswith("."))
        if found:
            target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise file_error(target, error, "written") from error
    for number, path in enumerate(found):
        task.progress(number / len(found), "Copying the 3D objects")
        if not (target / path.name).is_dir():
            _copy(path, target / path.name, task, link=old_goes)


def drop_objects(project: Path) -> None:
    """Delete all objects of a project that goes away."""
    shutil.rmtree(objects_dir(project), ignore_errors=True)


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # links in a circle
        return path


def _rename(source: Path, target: Path) -> None:
    source.rename(target)


def _copy(source: Path, target: Path, task: Task, *, link: bool = False) -> None:
    fresh = target.with_name(f".{target.name[:60]}.{secrets.token_hex(4)}.tmp")
    try:
        fresh.mkdir()
        for path in sorted(source.rglob("*")):
            task.check()
            copied = fresh / path.relative_to(source)
            if path.is_dir():
                copied.mkdir()
            else:
                _copy_file(path, copied, link)
        fresh.rename(target)
    except OSError as error:
        raise file_error(target, error, "written") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _copy_file(path: Path, copied: Path, link: bool) -> None:
    if link:
        with contextlib.suppress(OSError):
            copied.hardlink_to(path)
            return
    shutil.copyfile(path, copied)
