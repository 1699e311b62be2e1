"""Ids as a column that reads like a sequence: a million of them without a million values.

Must not know what the ids are of.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

LEAST_DIGITS = 4
"""Digits that a text must have to be taken for the beginning of an id."""

_HEX = re.compile(r"[0-9a-f-]+")


class IdColumn(Sequence[uuid.UUID]):
    """An immutable sequence of ids; each is made when it is asked for.

    Is equal to any sequence of the same ids in the same order.

    Parameters
    ----------
    column : ndarray, (n, 16) uint8
        The bytes of the UUIDs; must not be written afterwards.

    Examples
    --------
    >>> one = uuid.uuid4()
    >>> IdColumn.of([one]) == (one,)
    True
    """

    __slots__ = ("column",)

    def __init__(self, column: NDArray[np.uint8]) -> None:
        self.column = column

    @classmethod
    def of(cls, ids: Iterable[uuid.UUID]) -> IdColumn:
        """Make it of ids as values."""
        return ids if isinstance(ids, IdColumn) else cls(id_bytes(ids))

    def __len__(self) -> int:
        return len(self.column)

    @overload
    def __getitem__(self, at: int) -> uuid.UUID: ...
    @overload
    def __getitem__(self, at: slice) -> IdColumn: ...
    def __getitem__(self, at: int | slice) -> uuid.UUID | IdColumn:
        if isinstance(at, slice):
            return IdColumn(self.column[at])
        return uuid.UUID(bytes=self.column[at].tobytes())

    def __iter__(self) -> Iterator[uuid.UUID]:
        raw = self.column.tobytes()
        return (uuid.UUID(bytes=raw[k : k + 16]) for k in range(0, len(raw), 16))

    def __contains__(self, one: object) -> bool:
        if not isinstance(one, uuid.UUID) or not len(self):
            return False
        first, second = np.frombuffer(one.bytes, np.uint64)
        halves = np.ascontiguousarray(self.column).view(np.uint64)
        return bool((halves[halves[:, 0] == first, 1] == second).any())

    def holds(self, ids: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Which of a few ids are here, without sorting what may be a million; (m,) bool.

        Parameters
        ----------
        ids : ndarray, (m, 16) uint8
        """
        wanted = np.zeros(1 << 16, np.bool_)
        wanted[ids.view(np.uint16)[:, 0]] = True
        near = self.column[wanted[self.column.view(np.uint16)[:, 0]]]
        known = {one.tobytes() for one in near}
        return np.array([one.tobytes() in known for one in ids], np.bool_)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, IdColumn):
            return self.column is other.column or np.array_equal(self.column, other.column)
        if not isinstance(other, Sequence) or len(self) != len(other):
            return False
        return all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    def __hash__(self) -> int:
        return hash(self.column.tobytes())

    def __repr__(self) -> str:
        return f"IdColumn({len(self)} ids)"


def id_bytes(ids: Iterable[uuid.UUID]) -> NDArray[np.uint8]:
    """UUIDs as a column, (n, 16) uint8."""
    if isinstance(ids, IdColumn):
        return ids.column
    return np.frombuffer(b"".join(one.bytes for one in ids), np.uint8).reshape(-1, 16)


def id_begins(ids: NDArray[np.uint8], text: str) -> NDArray[np.bool_]:
    """Which ids begin with these hexadecimal digits; none where the text is no such, or too short.

    Parameters
    ----------
    ids : ndarray, (n, 16) uint8
    text : str
        At least `LEAST_DIGITS`, in lower case, with hyphens or without.

    Returns
    -------
    ndarray, (n,) bool
    """
    digits = text.replace("-", "")
    if not LEAST_DIGITS <= len(digits) <= 2 * ids.shape[1] or not _HEX.fullmatch(text):
        return np.zeros(len(ids), np.bool_)
    whole = np.frombuffer(bytes.fromhex(digits[: len(digits) // 2 * 2]), np.uint8)
    begin = (ids[:, : len(whole)] == whole).all(axis=1)
    if len(digits) % 2:
        begin &= ids[:, len(whole)] >> 4 == int(digits[-1], 16)
    return np.asarray(begin)
