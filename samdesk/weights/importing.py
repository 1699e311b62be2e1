"""`import_file`: a file that is on this computer becomes a weight, by copy or where it lies.

Must not know the network.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from samdesk.domain.errors import SamdeskError
from samdesk.domain.tasks import Task

from .hashing import BLOCK_BYTES, new_hash
from .registry import Registry
from .verification import Recognise, check_contents, hash_file
from .weight import Hash, Weight
from .writing import disk_error

SUFFIXES = (".pt", ".pth", ".safetensors", ".bin", ".ckpt")


def import_file(
    registry: Registry,
    path: Path,
    *,
    name: str = "",
    type: str = "",
    reference: bool = False,
    licence: str = "",
    about: str = "",
    task: Task | None = None,
    recognise: Recognise | None = None,
) -> Weight:
    """Add a file as a weight of the user. The file itself is never changed, moved or deleted.

    Parameters
    ----------
    path : Path
        A checkpoint.
    name : str
        What the user reads; the file's name when empty.
    type : str
        Model type; recognised when empty.
    reference : bool
        Use the file where it lies in place of a copy in our folder.
    recognise : callable, optional
        Tells the model type of a file.

    Raises
    ------
    SamdeskError
        When there is no such file, it is not what it should be, or the name is taken.
    Cancelled
    """
    task = task or Task()
    path = path.expanduser().absolute()
    _check_file(path)
    suffix = path.suffix.lower() if path.suffix.lower() in SUFFIXES else ".pt"
    name = name or path.stem.replace("_", " ")
    # found out before anything is written: what is refused leaves no entry
    wanted = Weight(type, name, "file.pt")
    found = check_contents(wanted, path, str(path), recognise)
    if not found:
        raise SamdeskError(f"The model type of {path} is not known.", "Say which with --type.")
    size = path.stat().st_size
    if reference:
        digest = hash_file(path, wanted, task)["sha256"]
        return _entered(registry, name, found, digest, size, licence, about, path, suffix)
    _sweep(registry.folder)
    fresh = registry.folder / f".import-{os.getpid()}-{path.stem[:40]}.tmp"
    try:
        digest = _copy(path, fresh, task)
        task.check()
        weight = _entered(registry, name, found, digest, size, licence, about, None, suffix)
        target = registry.path(weight)
        try:
            fresh.replace(target)
        except OSError:
            registry.remove(weight)
            raise
        registry.ledger.note(target, "ready", sha256=digest, type_=found)
        return weight
    except OSError as error:
        raise disk_error(fresh, error) from error
    finally:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)


def _entered(
    registry: Registry,
    name: str,
    type_: str,
    digest: str,
    size: int,
    licence: str,
    about: str,
    reference: Path | None,
    suffix: str,
) -> Weight:
    weight = registry.add(
        name,
        type=type_,
        hash=Hash("sha256", digest),
        size=size,
        licence=licence,
        about=about,
        reference=reference,
        suffix=suffix,
    )
    if reference is not None:
        registry.ledger.note(reference, "ready", sha256=digest, type_=type_)
    return weight


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise SamdeskError(f"{path} is a folder.", "Give the file of weights in it.")
    try:
        empty = path.stat().st_size == 0
        with path.open("rb"):
            pass
    except FileNotFoundError:
        raise SamdeskError(f"There is no file {path}.", "Check the path.") from None
    except OSError as error:
        raise SamdeskError(f"{path} cannot be read: {error.strerror}.", "Change its rights.") from error
    if empty:
        raise SamdeskError(f"{path} is empty.", "Fetch it again from where it came.")


def _sweep(folder: Path) -> None:
    """Delete what imports that were killed left; one under way wrote within the last hour."""
    for lost in folder.glob(".import-*.tmp"):
        with suppress(OSError):
            if time.time() - lost.stat().st_mtime > 3600:
                lost.unlink(missing_ok=True)


def _copy(path: Path, fresh: Path, task: Task) -> str:
    """Copy, flush, and give the SHA-256."""
    sha = new_hash("sha256")
    fresh.parent.mkdir(parents=True, exist_ok=True)
    done, total = 0, max(1, path.stat().st_size)
    with path.open("rb", buffering=0) as source, fresh.open("wb", buffering=0) as copy:
        while block := source.read(BLOCK_BYTES):
            left = memoryview(block)
            while left:
                left = left[copy.write(left) :]
            sha.update(block)
            done += len(block)
            task.progress(min(1.0, done / total), f"Copying {path.name}")
        os.fsync(copy.fileno())
    return sha.hexdigest()
