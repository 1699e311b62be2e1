"""The state after an edit. Must not know who announces it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samdesk.domain.columns.ragged import Rows
from samdesk.domain.columns.table import Classes, Table, class_numbers
from samdesk.domain.errors import SamdeskError

from .chunk import Chunk, IdIndex
from .edit import Edit
from .snapshot import Snapshot

MERGE_BYTES = 4 << 20
MERGE_PART = 16
"""Chunks are merged up to this size, or up to this part of the document: so there are few,
and an edit hardly ever copies many rows that it does not change."""

_MOSTLY_DEAD = 4
_LARGE_PART = 8


def applied(state: Snapshot, edit: Edit) -> Snapshot:
    """The state after an edit; `state` stays as it is.

    A row of which only class, type or flags change is changed in place: columns are copied,
    vertices and indexes stay. So does a row come back that was removed. Other rows die where
    they are, and new ones become a chunk of their own.

    Raises
    ------
    SamdeskError
        When the rows before are not here as given, when an id would be here twice, or when a
        class that is used would be missing.
    """
    classes = edit.classes[1] if edit.classes else state.classes
    before, after = edit.before.recoded(state.classes), edit.after.recoded(classes)
    dying = _found(state, edit)
    if any(_has_equal(dying.rows_in(number)) for number in range(len(state.chunks))):
        raise _twice()
    by_id = None if edit.keeps_ids else IdIndex(after.ids)
    if by_id is not None and by_id.has_duplicates:
        raise _twice()
    living = _places(state, before, after, dying, aligned=by_id is None)
    tally = _tally(state, before, after, classes)
    chunks = []
    for number, chunk in enumerate(state.chunks):
        left: Chunk | None = chunk.recoded(classes)
        out, into = dying.rows_in(number), living.of(number)
        if left is not None and (len(out) or len(into)):
            left = left.changed(out, living.rows[into], after, into)
            left = left and _compacted(left, len(out))
        if left is not None:
            chunks.append(left)
    new = after.take(living.of(-1))
    if len(new):
        chunks.append(Chunk.of(new, by_id if new is after else None))
    new_state = Snapshot(classes, _merged(chunks), tally)
    if by_id is None and not len(new):
        new_state.keep_places(state, after, living.owner, living.rows)
    return new_state


@dataclass(frozen=True, slots=True)
class _Places:
    """For each row of a table, where it is in the document.

    Attributes
    ----------
    owner : ndarray, (n,) int64
        Chunk number, -1 for none.
    rows : ndarray, (n,) int64
    """

    owner: Rows
    rows: Rows

    def of(self, number: int) -> Rows:
        """Which rows of the table are in this chunk."""
        return np.flatnonzero(self.owner == number)

    def rows_in(self, number: int) -> Rows:
        """Their rows in this chunk."""
        return self.rows[self.of(number)]

    def settle(self, number: int, chunk: Chunk, table: Table, which: Rows, at: Rows) -> None:
        """Place those rows of the table that are the same as the chunk's but for class, type and flags."""
        if not len(which):
            return
        now, then = table.take(which), chunk.table.take(at)
        fits = now.same_geometry(then) & now.same_attributes(then) & (now.order == then.order)
        self.owner[which[fits]] = number
        self.rows[which[fits]] = at[fits]


def _found(state: Snapshot, edit: Edit) -> _Places:
    """Where the rows before are; raises when they are not as given."""
    places = _Places(*state.locate(edit.before.ids))
    known = bool((places.owner >= 0).all()) and (edit.classes is None or edit.classes[0] == state.classes)
    if not known or not (
        state.knows(edit.before) or state.rows_at(places.owner, places.rows).same_rows(edit.before).all()
    ):
        raise SamdeskError(
            f"“{edit.title}” does not fit any more: what it would change has changed since.",
            "Do it again on the annotations as they are now.",
        )
    return places


def _has_equal(rows: Rows) -> bool:
    if (rows[1:] > rows[:-1]).all():
        return False
    rows = np.sort(rows)
    return bool((rows[1:] == rows[:-1]).any())


def _places(state: Snapshot, before: Table, after: Table, dying: _Places, aligned: bool) -> _Places:
    """Where the rows after can live without new vertices; raises when an id would be there twice.

    `aligned` says that before and after have the same ids, row by row.
    """
    places = _Places(np.full(len(after), -1, np.int64), np.full(len(after), -1, np.int64))
    if aligned:  # what is before is as it is in the chunks: no chunk needs a look
        fits = after.same_geometry(before) & after.same_attributes(before) & (after.order == before.order)
        places = _Places(np.where(fits, dying.owner, -1), np.where(fits, dying.rows, -1))
    for number, chunk in enumerate(state.chunks):
        sought = places.of(-1)
        if not len(sought):
            break
        found = chunk.find_any(after.ids[sought])
        sought, found = sought[found >= 0], found[found >= 0]
        if not aligned:
            _refuse_strangers(chunk, found, dying.rows_in(number))
        places.settle(number, chunk, after, sought, found)
    return places


def _refuse_strangers(chunk: Chunk, found: Rows, dying: Rows) -> None:
    """Raise when one of the rows found is alive and does not die."""
    stays = chunk.is_alive(found)
    if stays.any():
        leaving = np.zeros(len(chunk.table), np.bool_)
        leaving[dying] = True
        if (stays & ~leaving[found]).any():
            raise _twice()


def _tally(state: Snapshot, before: Table, after: Table, classes: Classes) -> NDArray[np.int64]:
    kept = state.tally - np.bincount(before.class_id, minlength=len(state.tally))
    numbers = class_numbers(state.classes, classes)
    lost = np.flatnonzero((numbers < 0) & (kept > 0))
    if len(lost):
        raise SamdeskError(
            f"The class “{state.classes[lost[0] - 1].name}” is in use.",
            "Give its annotations another class first.",
        )
    tally = np.bincount(after.class_id, minlength=len(classes) + 1)
    tally[numbers[numbers >= 0]] += kept[numbers >= 0]
    return tally


def _compacted(chunk: Chunk, died: int) -> Chunk:
    """Only the live rows, when most have died and it costs little, or no more than the edit did."""
    if chunk.live * _MOSTLY_DEAD > len(chunk.table):
        return chunk
    cheap = chunk.live_nbytes <= MERGE_BYTES or died * _LARGE_PART >= len(chunk.table)
    if not cheap:
        return chunk
    return Chunk.of(Table.concat([chunk.live_table()], share=False))


def _merged(chunks: list[Chunk]) -> tuple[Chunk, ...]:
    """Largest first; the small ones merged so that each is more than twice the next.

    So there are few chunks, and each row is copied a few times in its life.
    """
    chunks = sorted(chunks, key=lambda chunk: chunk.live_nbytes, reverse=True)
    most = max(MERGE_BYTES, sum(chunk.live_nbytes for chunk in chunks) / MERGE_PART)
    for k in range(len(chunks) - 1, 0, -1):
        large, small = chunks[k - 1].live_nbytes, chunks[k].live_nbytes
        if large <= 2 * small and large + small <= most:
            pair = Table.concat([chunks[k - 1].live_table(), chunks[k].live_table()], share=False)
            return _merged([*chunks[: k - 1], Chunk.of(pair), *chunks[k + 1 :]])
    return tuple(chunks)


def _twice() -> SamdeskError:
    return SamdeskError(
        "An annotation with the same id would be there twice.",
        "Give one of them a new id, or replace the other.",
    )
