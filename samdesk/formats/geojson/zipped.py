"""GeoJSON in zip archives, every entry of them as QuPath reads it. Must not know features.

An archive says how large its entries are before they are unpacked, and may lie: both what it says
and what comes out are bounded.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

from samdesk.domain.errors import SamdeskError

MOST_BYTES = 16 << 30
"""Unpacked bytes of all entries together."""

MOST_RATIO = 200
"""Unpacked bytes for each packed one, of archives that unpack to more than `ALWAYS_BYTES`. GeoJSON has
about 5, of outlines that repeat each other 30."""

ALWAYS_BYTES = 64 << 20

MOST_ENTRIES = 100_000

_HIDDEN = ("__MACOSX/", ".")
DAMAGED = (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, EOFError)
"""What `zipfile` raises for archives that are cut off, encrypted or packed in a way it does not know."""


def entries(path: Path) -> Iterator[tuple[zipfile.ZipFile, zipfile.ZipInfo]]:
    """The files of an archive, in its order.

    Raises
    ------
    SamdeskError
        When it is damaged, or would unpack to more than the limits.
    OSError
    """
    try:
        archive = zipfile.ZipFile(path)
    except DAMAGED as error:
        raise SamdeskError(
            f"{path} cannot be read as a zip archive: {error}.", "Nothing was read. Pack it again."
        ) from error
    with archive:
        found = [one for one in archive.infolist() if not one.is_dir() and not _is_hidden(one.filename)]
        _refuse_bomb(path, found)
        for one in found:
            yield archive, one


def _is_hidden(name: str) -> bool:
    return name.startswith(_HIDDEN[0]) or name.rsplit("/", 1)[-1].startswith(_HIDDEN[1])


def _refuse_bomb(path: Path, found: list[zipfile.ZipInfo]) -> None:
    unpacked = sum(one.file_size for one in found)
    packed = max(path.stat().st_size, 1)
    if len(found) > MOST_ENTRIES:
        raise _bomb(path, f"it holds {len(found):,} files, more than {MOST_ENTRIES:,}")
    if unpacked > MOST_BYTES:
        raise _bomb(path, f"it unpacks to {unpacked / 1e9:,.0f} GB")
    if unpacked > ALWAYS_BYTES and unpacked > MOST_RATIO * packed:
        raise _bomb(path, f"it unpacks to {unpacked // packed:,} times its size")


def _bomb(path: Path, why: str) -> SamdeskError:
    return SamdeskError(f"{path} was not unpacked: {why}.", "Unpack it yourself, and import what is in it.")


class Entry:
    """Reads one entry, and counts what comes out of it."""

    def __init__(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
        self._file = archive.open(info)
        self._left = info.file_size

    def read(self, size: int) -> bytes:
        """The next bytes, fewer than asked only at the end."""
        found = self._file.read(size)
        self._left -= len(found)
        if self._left < 0:
            raise zipfile.BadZipFile("an entry is larger than the archive says")
        return found

    def close(self) -> None:
        self._file.close()
