"""The registry: which weights there are, where their files belong, and what state they are in.

Two files of one schema: the shipped one, and the user's, which adds entries and replaces those
of the same name. Must not know how a file comes here, nor what is in it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from samdesk import paths
from samdesk.domain.errors import SamdeskError

from .ledger import Ledger
from .weight import (
    TYPES,
    Hash,
    Source,
    Weight,
    check_file_name,
    file_name_for,
    weight_from_json,
    weight_to_json,
)
from .writing import disk_error, one_writer, write_json

VERSION = 1

State = Literal["missing", "partial", "ready", "unchecked", "damaged", "gated"]


@dataclass(frozen=True, slots=True)
class _Read:
    """A registry file as it was read: what can be used, and everything, to be written back."""

    document: dict[str, Any]
    weights: tuple[Weight, ...]
    problems: tuple[str, ...]


class Registry:
    """The weights that are known on this computer.

    Reads follow what other processes write. Nothing is ever fetched from here.

    Parameters
    ----------
    shipped : Path
        The registry that came with the program.
    user : Path
        The user's registry; need not exist.
    folder : Path
        Where the files belong; made when something is written.
    """

    def __init__(self, shipped: Path, user: Path, folder: Path) -> None:
        self.shipped = shipped
        self.user = user
        self.folder = folder
        self.ledger = Ledger(folder / "files.json")
        self._shipped_read: _Read | None = None
        self._user_read = _Read({}, (), ())
        self._user_seen: tuple[int, int, int] | None = None
        self._aside = ""

    @property
    def weights(self) -> tuple[Weight, ...]:
        """All entries: the shipped ones in their order, then the user's."""
        self._refresh()
        assert self._shipped_read is not None
        mine = {weight.name.casefold(): weight for weight in self._user_read.weights}
        shipped = self._shipped_read.weights
        merged = [mine.pop(weight.name.casefold(), weight) for weight in shipped]
        return (*merged, *mine.values())

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with the user's registry, in words for the user; empty when nothing is."""
        self._refresh()
        assert self._shipped_read is not None
        aside = (self._aside,) if self._aside else ()
        return aside + self._shipped_read.problems + self._user_read.problems

    def find(self, text: str) -> Weight:
        """The weight that `text` names: by its name, its file, its model type, or a part of its name.

        Of several of one type, the first whose file is ready, else the first.

        Raises
        ------
        SamdeskError
            When there is none, or a part of a name fits several; lists what there is.
        """
        wanted = text.strip().casefold()
        weights = self.weights
        for key in (_name, _file):
            for weight in weights:
                if key(weight) == wanted:
                    return weight
        typed = self.of_type(wanted)
        if typed:
            return next((weight for weight in typed if self.state(weight) == "ready"), typed[0])
        partly = [weight for weight in weights if wanted and wanted in _name(weight)]
        if len(partly) == 1:
            return partly[0]
        if partly:
            raise SamdeskError(f"“{text}” fits several weights.", f"Say which: {_listed(partly)}.")
        raise SamdeskError(f"There is no weight “{text}”.", f"There are: {_listed(weights)}.")

    def of_type(self, type_: str) -> tuple[Weight, ...]:
        """All weights of a model type, the better ones first."""
        return tuple(weight for weight in self.weights if weight.type and weight.type == type_)

    def by_url(self, url: str) -> Weight | None:
        """The first weight that comes from exactly this link."""
        return next((weight for weight in self.weights if weight.url == url.strip()), None)

    def path(self, weight: Weight) -> Path:
        """Where the file of a weight is, or will be."""
        return Path(weight.reference) if weight.reference else self.folder / weight.file

    def part(self, weight: Weight) -> Path:
        """Where a download of it grows."""
        return self.folder / f"{weight.file}.part"

    def state(self, weight: Weight) -> State:
        """How the file of a weight is, from its size and what was found when it was last verified.

        Returns
        -------
        State
            "missing"; "gated": missing, and its licence must be accepted first; "partial": a
            download can be resumed; "ready"; "unchecked": there, but changed or placed by hand
            since the last verification; "damaged".
        """
        path = self.path(weight)
        try:
            status = path.stat()
        except OSError:
            return self._absent(weight)
        finding = self.ledger.finding(path, status)
        if finding is not None and finding.verdict == "damaged":
            return "damaged"
        if weight.size is not None and status.st_size != weight.size:
            return "damaged"
        if finding is None:
            return "unchecked"
        if weight.sha256 is not None and finding.sha256 and finding.sha256 != weight.sha256:
            return "damaged"
        return "ready"

    def _absent(self, weight: Weight) -> State:
        if not weight.reference and self.part(weight).exists():
            return "partial"
        return "gated" if weight.gated else "missing"

    def why_damaged(self, weight: Weight) -> str:
        """Why a file is damaged, in words for the user; empty when it is not known to be."""
        path = self.path(weight)
        finding = self.ledger.finding(path)
        if finding is not None and finding.reason:
            return finding.reason
        with suppress(OSError):
            size = path.stat().st_size
            if weight.size is not None and size != weight.size:
                return f"{path.name} has {size:,} bytes instead of {weight.size:,}."
        return ""

    def size(self, weight: Weight) -> int | None:
        """Bytes: of the file when it is there, else as published; None when neither is known."""
        with suppress(OSError):
            return self.path(weight).stat().st_size
        return weight.size

    def add(
        self,
        name: str,
        *,
        type: str = "",
        url: str = "",
        hash: Hash | None = None,
        size: int | None = None,
        licence: str = "",
        homepage: str = "",
        gated: bool = False,
        about: str = "",
        reference: Path | None = None,
        suffix: str = ".pt",
        replace: bool = False,
    ) -> Weight:
        """Write an entry to the user's registry.

        Parameters
        ----------
        name : str
            What the user reads; the stored file is named after it.
        type : str
            One of `TYPES`, or empty to have it recognised once the file is there.
        url : str
            An http or https link; empty for a file that is here already.
        reference : Path, optional
            A file that is used where it lies.
        suffix : str
            Of the stored file.
        replace : bool
            Take the place of an entry of this name.

        Raises
        ------
        SamdeskError
            When the name is taken, something given makes no sense, or the file cannot be written.
        """
        name = " ".join(name.split())
        _check(name, type, url)
        with one_writer(self.user):
            known = {_name(weight): weight for weight in self.weights}
            old = known.get(name.casefold())
            if old is not None and not replace:
                raise SamdeskError(f"There is a weight “{old.name}” already.", "Choose another name.")
            taken = {weight.file.casefold() for weight in known.values() if weight is not old}
            weight = Weight(
                type=type,
                name=name,
                file=old.file if old is not None else _free(file_name_for(name, suffix), taken, self.folder),
                url=url.strip(),
                hash=hash,
                size=size,
                licence=licence,
                homepage=homepage,
                gated=gated,
                about=about,
                reference=str(reference.absolute()) if reference is not None else "",
            )
            self._write_user([weight], drop=())
        return weight

    def set_type(self, weight: Weight, type_: str) -> Weight:
        """Note the model type that was recognised in the file of a user's weight."""
        if weight.type == type_:
            return weight
        changed = replace(weight, type=type_, source="user")
        with one_writer(self.user):
            self._write_user([changed], drop=())
        return changed

    def remove(self, weight: Weight) -> None:
        """Delete the file of a weight and, when the user added it, its entry.

        A file that is used where it lies stays.

        Raises
        ------
        SamdeskError
            When it is being downloaded, or cannot be deleted.
        """
        self.delete_file(weight)
        if weight.source == "user":
            with one_writer(self.user):
                self._write_user([], drop=(weight.name,))

    def delete_file(self, weight: Weight) -> None:
        """Delete the file of a weight, and what a download left; the entry stays.

        Raises
        ------
        SamdeskError
            When it is being downloaded, or cannot be deleted.
        """
        self.ledger.forget(self.path(weight))
        if weight.reference or not self.folder.is_dir():
            return
        part = self.part(weight)
        target = self.folder / weight.file
        try:
            with self.lock(weight).acquire(timeout=0):
                for path in (target, part, part.with_name(part.name + ".json")):
                    path.unlink(missing_ok=True)
        except Timeout:
            raise SamdeskError(f"{weight.name} is being downloaded.", "Cancel the download first.") from None
        except OSError as error:
            raise disk_error(target, error) from error

    def lock(self, weight: Weight) -> FileLock:
        """The lock of whoever writes the file of a weight; made new on each call, not yet held."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return FileLock(self.folder / f".{weight.file}.lock", thread_local=False)

    def _refresh(self) -> None:
        if self._shipped_read is None:
            self._shipped_read = _read(self.shipped, "shipped")
        seen = _signature(self.user)
        if seen == self._user_seen:
            return
        read = _Read({}, (), ())
        if seen is not None:
            try:
                read = _read(self.user, "user")
            except SamdeskError as error:
                unread = isinstance(error.__cause__, OSError)
                self._aside = error.message if unread else _set_aside(self.user, error.message)
                seen = None if unread else _signature(self.user)
        # in this order, and whole: another thread may be looking
        self._user_read = read
        self._user_seen = seen

    def _write_user(self, added: Iterable[Weight], drop: Iterable[str]) -> None:
        self._user_seen = None  # another process may have written since
        self._refresh()
        if not self._user_read.document and self.user.exists():
            raise SamdeskError(f"{self.user} cannot be changed.", self._aside)
        document = dict(self._user_read.document)
        fresh = {_name(weight): weight_to_json(weight) for weight in added}
        gone = {name.casefold() for name in drop}
        entries: list[Any] = []
        for entry in document.get("weights", []):
            name = entry.get("name") if isinstance(entry, dict) else None
            key = name.casefold() if isinstance(name, str) else None
            if key is not None and key in fresh:
                entries.append({**entry, **fresh.pop(key)})
            elif key is None or key not in gone:
                entries.append(entry)
        document = {"version": VERSION, **document, "weights": [*entries, *fresh.values()]}
        write_json(self.user, document)
        self._refresh()


def default_registry() -> Registry:
    """The registry of this user: shipped with the program, overlaid by the user's.

    Raises
    ------
    SamdeskError
        When the user's data folder cannot be made.
    """
    try:
        folder = paths.data_dir() / "weights"
    except OSError as error:
        raise disk_error(Path(error.filename or "the data folder"), error) from error
    return Registry(shipped_registry(), folder / "weights.json", folder)


def shipped_registry() -> Path:
    """weights.json, in an installed package or a checkout."""
    package = Path(paths.__file__).parent
    installed = package / "weights.json"
    return installed if installed.exists() else package.parent / "weights.json"


def _check(name: str, type_: str, url: str) -> None:
    if not name:
        raise SamdeskError("A weight needs a name.", "Give one that says what it is good for.")
    if type_ and type_ not in TYPES:
        raise SamdeskError(f"There is no model type “{type_}”.", f"There are: {', '.join(TYPES)}.")
    scheme = url.strip().partition(":")[0].lower()
    if url.strip() and scheme not in ("http", "https"):
        raise SamdeskError(
            f"{url.strip()} is not a link that can be downloaded.",
            "Use an http or https link; import a file that is on this computer.",
        )


def _free(file: str, taken: set[str], folder: Path) -> str:
    stem, suffix = Path(file).stem, Path(file).suffix
    number = 1
    while file.casefold() in taken or (folder / file).exists():
        number += 1
        file = f"{stem}_{number}{suffix}"
    check_file_name(file)
    return file


def _read(path: Path, source: Source) -> _Read:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise SamdeskError(f"{path} cannot be read: {error}.", "Install samdesk again.") from error
    if not isinstance(document, dict) or not isinstance(document.get("weights"), list):
        raise SamdeskError(f"{path} cannot be read: it is not a list of weights.", "Install samdesk again.")
    weights: dict[str, Weight] = {}
    problems = []
    for number, entry in enumerate(document["weights"], 1):
        try:
            if not isinstance(entry, dict):
                raise ValueError("it is not an object")
            weight = weight_from_json(entry, source)
            weights.setdefault(_name(weight), weight)
        except ValueError as error:
            problems.append(f"Entry {number} of {path} is left out: {error}.")
    return _Read(document, tuple(weights.values()), tuple(problems))


def _set_aside(path: Path, why: str) -> str:
    stamp = datetime.now().strftime("%Y-%m-%dT%H-%M-%S")
    kept = path.with_name(f"{path.stem}.{stamp}.damaged.json")
    try:
        path.replace(kept)
    except OSError:
        return f"{why} It is left where it is and not used."
    return f"{why} It is kept as {kept.name}; your own weights must be added again."


def _signature(path: Path) -> tuple[int, int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _name(weight: Weight) -> str:
    return weight.name.casefold()


def _file(weight: Weight) -> str:
    return weight.file.casefold()


def _listed(weights: Iterable[Weight]) -> str:
    return "; ".join(f"{weight.name} ({weight.type or 'type not known yet'})" for weight in weights)
