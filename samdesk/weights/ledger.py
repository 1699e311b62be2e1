"""What was found out about the files on disk: which were verified, and which are damaged.

A file is known by its path, size and time of change, so that a state can be told without
reading gigabytes. Losing the ledger costs a verification, nothing else. Must not know the
registry.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from .writing import one_writer, write_json

Verdict = Literal["ready", "damaged"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a verification found.

    Attributes
    ----------
    size : int
        Bytes, when it was looked at.
    mtime_ns : int
        Time of the last change, when it was looked at.
    verdict : {"ready", "damaged"}
    sha256 : str
        Of the whole file; empty when it was not read to its end.
    type : str
        Model type that was recognised; empty when none was.
    reason : str
        Why it is damaged, in words for the user.
    """

    size: int
    mtime_ns: int
    verdict: Verdict
    sha256: str = ""
    type: str = ""
    reason: str = ""


class Ledger:
    """The findings about the files of one folder, and about files used where they lie.

    Parameters
    ----------
    path : Path
        The file that keeps them; several processes may share it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._findings: dict[str, Finding] = {}

    def finding(self, file: Path, status: os.stat_result | None = None) -> Finding | None:
        """What is known of `file` as it is now; None when it changed since, or was never looked at."""
        self._refresh()
        known = self._findings.get(self._key(file))
        if known is None:
            return None
        try:
            status = status or file.stat()
        except OSError:
            return None
        return known if (known.size, known.mtime_ns) == (status.st_size, status.st_mtime_ns) else None

    def note(
        self, file: Path, verdict: Verdict, *, sha256: str = "", type_: str = "", reason: str = ""
    ) -> Finding:
        """Remember what was found about `file` as it is now."""
        status = file.stat()
        finding = Finding(status.st_size, status.st_mtime_ns, verdict, sha256, type_, reason)
        self._change({self._key(file): finding})
        return finding

    def forget(self, file: Path) -> None:
        self._refresh()
        if self._key(file) in self._findings:
            self._change({self._key(file): None})

    def _key(self, file: Path) -> str:
        return file.name if file.parent == self._path.parent else str(file)

    def _change(self, changes: Mapping[str, Finding | None]) -> None:
        with one_writer(self._path):
            self._refresh()
            kept = {**self._findings, **changes}
            self._findings = {name: finding for name, finding in kept.items() if finding is not None}
            write_json(self._path, {name: asdict(f) for name, f in self._findings.items()}, flush=False)
            self._seen = _signature(self._path)

    def _refresh(self) -> None:
        now = _signature(self._path)
        if now != self._seen or now is None:
            self._findings = _read(self._path)
            self._seen = now


def _signature(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _read(path: Path) -> dict[str, Finding]:
    try:
        read = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(read, dict):
        return {}
    found = {name: _finding(value) for name, value in read.items()}
    return {name: finding for name, finding in found.items() if finding is not None}


def _finding(value: Any) -> Finding | None:
    if not isinstance(value, dict) or value.get("verdict") not in ("ready", "damaged"):
        return None
    size, mtime = value.get("size"), value.get("mtime_ns")
    if not isinstance(size, int) or not isinstance(mtime, int):
        return None
    sha256, type_, reason = (str(value.get(key) or "") for key in ("sha256", "type", "reason"))
    return Finding(size, mtime, value["verdict"], sha256, type_, reason)
