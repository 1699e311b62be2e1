"""Is a file what it should be: its size, its hash, and the model type that it holds.

What recognises a checkpoint is given by the caller, so that nothing here loads a model. Must not
know the network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Protocol

from samdesk.domain.errors import SamdeskError
from samdesk.domain.tasks import Task

from .hashing import BLOCK_BYTES, new_hash
from .ledger import Finding
from .registry import Registry
from .weight import Weight
from .writing import disk_error


class Recognised(Protocol):
    """What recognising a checkpoint gives."""

    @property
    def type(self) -> str: ...


Recognise = Callable[[Path], Recognised]
"""Tells the model type of a file, or raises SamdeskError saying what the file seems to be."""

PAGE_HEADS = (b"<!doctype html", b"<html", b"<head", b"<body", b"<script")


def verify(
    registry: Registry, weight: Weight, task: Task | None = None, recognise: Recognise | None = None
) -> Finding:
    """Read the whole file of a weight and remember what was found.

    A file in our folder that is not what it should be is put aside under another name when the
    user supplied it; otherwise it stays, marked as damaged, until it is downloaded again.

    Returns
    -------
    Finding
        Of a file that is right.

    Raises
    ------
    SamdeskError
        When it is missing or not what it should be; says how.
    Cancelled
    """
    task = task or Task()
    path = registry.path(weight)
    hashes = hash_file(path, weight, task)
    try:
        check_size_and_hash(weight, path.stat().st_size, hashes, path.name)
        type_ = check_contents(weight, path, path.name, recognise)
    except SamdeskError as error:
        if weight.source == "user" and not weight.reference and not weight.url:
            kept = put_aside(path, path)
            registry.ledger.forget(path)
            raise SamdeskError(error.message, f"{error.hint} It is kept as {kept.name}.".strip()) from error
        registry.ledger.note(path, "damaged", sha256=hashes["sha256"], reason=error.message)
        raise
    return registry.ledger.note(path, "ready", sha256=hashes["sha256"], type_=type_)


def hash_file(path: Path, weight: Weight, task: Task) -> dict[str, str]:
    """All hashes of a file that are of use for `weight`, by algorithm.

    Raises
    ------
    SamdeskError
        When it cannot be read.
    Cancelled
    """
    names = {"sha256"} | ({weight.hash.algorithm} if weight.hash is not None else set())
    hashes = {name: new_hash(name) for name in names}
    try:
        total = max(1, path.stat().st_size)
        done = 0
        with path.open("rb", buffering=0) as file:
            while block := file.read(BLOCK_BYTES):
                for one in hashes.values():
                    one.update(block)
                done += len(block)
                task.progress(min(1.0, done / total), f"Checking {path.name}")
    except FileNotFoundError:
        hint = "It was moved or deleted: import it again." if weight.reference else "Download it first."
        raise SamdeskError(f"The file of {weight.name} is not there: {path}.", hint) from None
    except OSError as error:
        raise SamdeskError(
            f"{path} cannot be read: {error.strerror or error}.", "Check the disk and the rights of the file."
        ) from error
    return {name: one.hexdigest() for name, one in hashes.items()}


def check_size_and_hash(weight: Weight, size: int, hashes: Mapping[str, str], name: str) -> None:
    """Raise SamdeskError when a file does not have the published size and hash."""
    if size == 0:
        raise SamdeskError(f"{name} is empty.", "Download it again, or check the link.")
    if weight.size is not None and size < weight.size:
        raise SamdeskError(
            f"{name} is cut off: it has {size:,} of {weight.size:,} bytes.", "Download it again."
        )
    if weight.size is not None and size > weight.size:
        raise SamdeskError(
            f"{name} has {size:,} bytes instead of {weight.size:,}: it is another file.", "Download it again."
        )
    if weight.hash is not None and hashes[weight.hash.algorithm] != weight.hash.value:
        raise SamdeskError(
            f"{name} is not the file that was published: its {weight.hash.algorithm} is "
            f"{hashes[weight.hash.algorithm][:16]}… and should be {weight.hash.value[:16]}….",
            "Download it again; if that does not help, tell whoever gave you the link.",
        )


def check_contents(weight: Weight, path: Path, name: str, recognise: Recognise | None) -> str:
    """The model type that a file holds; that of the entry when nothing recognises it.

    Raises
    ------
    SamdeskError
        When it is a page, holds no model that can be run, or one of another type.
    """
    with path.open("rb") as file:
        head = file.read(512).lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith(PAGE_HEADS):
        raise SamdeskError(
            f"{name} is a web page and not a file of weights.",
            "Open the link in a browser to see why; a login may be needed.",
        )
    if recognise is None:
        return weight.type
    try:
        found = recognise(path).type
    except SamdeskError as error:
        raise SamdeskError(error.message.replace(str(path), name), error.hint) from error
    if weight.type and found != weight.type:
        raise SamdeskError(
            f"{name} holds a model of type {found} and not {weight.type}.",
            f"Add it under its own type: {found}.",
        )
    return found


def put_aside(path: Path, target: Path) -> Path:
    """Take a file out of use without deleting it; gives its new place beside `target`."""
    stamp = datetime.now().strftime("%Y-%m-%dT%H-%M-%S")
    kept = target.with_name(f"{target.name}.{stamp}.aside")
    try:
        path.replace(kept)
    except OSError as error:
        raise disk_error(path, error) from error
    with suppress(OSError):
        path.with_name(path.name + ".json").unlink(missing_ok=True)
    return kept
