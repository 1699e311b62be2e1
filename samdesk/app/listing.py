"""The list of annotations: which of them it shows, and in which order.

Follows edits without looking at all rows, so that a million rows cost a millisecond. Lives on
the main thread; what must look at all rows of a large document is done on a lane. Must not
know widgets.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from samdesk.domain.columns import UNCLASSIFIED, Attributes, Table, id_begins
from samdesk.domain.document import Document, Edit, Snapshot
from samdesk.domain.measure import measured
from samdesk.domain.tasks import Task

from .jobs import Job, Jobs

Sort = Literal["order", "class", "name", "area"]
"""By what the list is sorted; "order" is the order in which annotations were made."""

SORTS: tuple[Sort, ...] = get_args(Sort)

AT_ONCE = 20_000
"""Documents of up to this many annotations are arranged at once, larger ones on a lane."""

PATCHED = 500
"""Edits of up to this many rows are patched in; after larger ones all is arranged anew."""

RUNS = 8
"""A change of more runs of rows than this is told as a whole."""

Slots = NDArray[np.int32]
"""Places in a `_Store`."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the list is to show.

    Attributes
    ----------
    text : str
        What names and classes must contain, or ids begin with; case does not matter.
    sort : {"order", "class", "name", "area"}
        Annotations without a name come last.
    backwards : bool
    only : frozenset of str or None, optional
        Classes that alone are listed; None in it stands for unclassified.
    hidden : frozenset of str or None
        Classes that are not listed.
    """

    text: str = ""
    sort: Sort = "order"
    backwards: bool = False
    only: frozenset[str | None] | None = None
    hidden: frozenset[str | None] = frozenset()

    @property
    def is_plain(self) -> bool:
        """Whether all annotations are listed."""
        return not self.text.strip() and self.only is None and not self.hidden

    def takes_class(self, name: str | None) -> bool:
        return name not in self.hidden and (self.only is None or name in self.only)


@dataclass(frozen=True, slots=True)
class Change:
    """What became of the rows of the list.

    Attributes
    ----------
    removed : tuple of (first, last)
        Runs of rows that went, counted as before the change, in order.
    added : tuple of (first, last)
        Runs of rows that came, counted as after the change, in order.
    changed : tuple of int
        Rows that say something else now, counted as after the change.
    whole : bool
        Whether anything may have changed; the others are empty then.
    """

    removed: tuple[tuple[int, int], ...] = ()
    added: tuple[tuple[int, int], ...] = ()
    changed: tuple[int, ...] = ()
    whole: bool = False


class _Store:
    """What the list knows of every annotation, in list order; those that are gone keep their slot."""

    def __init__(self, table: Table, wanted: Wanted, task: Task | None = None) -> None:
        n = len(table)
        self.count = n
        room = n + n // 8 + 1024
        self.orders = _roomy(table.order, room)
        self.ids = _roomy(table.ids, room)
        self.alive = _roomy(np.ones(n, np.bool_), room)
        self.names_of_classes: list[str | None] = []
        self._numbers: dict[str | None, int] = {}
        self.codes = _roomy(self._codes(table), room)
        self.names = _names(table) if wanted.text or wanted.sort == "name" else None
        self.areas = _roomy(_areas(table, task), room) if wanted.sort == "area" else None

    def _codes(self, table: Table) -> NDArray[np.uint16]:
        """The classes of the rows as numbers that stay when the document numbers its classes anew."""
        numbers = []
        for name in (None, *(one.name for one in table.classes)):
            if name not in self._numbers:
                self._numbers[name] = len(self.names_of_classes)
                self.names_of_classes.append(name)
            numbers.append(self._numbers[name])
        return np.array(numbers, np.uint16)[table.class_id]

    def slots_of(self, orders: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Where these orders are, or would be; and which of them are there."""
        known = self.orders[: self.count]
        at = np.searchsorted(known, orders)
        found = at < self.count
        found[found] = known[at[found]] == orders[found]
        return at, found

    def drop(self, table: Table) -> None:
        """Take the rows of a table out."""
        at, found = self.slots_of(table.order)
        self.alive[at[found]] = False

    def put(self, table: Table) -> Slots | None:
        """Take the rows of a table in; says where, or None when there is no room for them."""
        table = table.take(np.argsort(table.order))
        at, found = self.slots_of(table.order)
        new = np.flatnonzero(~found)
        if len(new) and ((at[new] < self.count).any() or self.count + len(new) > len(self.orders)):
            return None
        at[new] = np.arange(self.count, self.count + len(new))
        self.count += len(new)
        self.orders[at], self.ids[at], self.alive[at] = table.order, table.ids, True
        self.codes[at] = self._codes(table)
        if self.areas is not None:
            self.areas[at] = _areas(table)
        if self.names is not None:
            for row, slot in enumerate(at.tolist()):
                self.names[slot] = _name(table.attributes.get(row))
        return at.astype(np.int32)

    def takes(self, slots: Slots, wanted: Wanted) -> NDArray[np.bool_]:
        """Which of these the list shows."""
        shown: NDArray[np.bool_] = self.alive[slots]
        if wanted.is_plain:
            return shown
        names, codes = self.names_of_classes, self.codes[slots]
        shown &= np.array([wanted.takes_class(name) for name in names], np.bool_)[codes]
        text = wanted.text.strip().casefold()
        if not text:
            return shown
        hits = np.array([text in (name or UNCLASSIFIED).casefold() for name in names], np.bool_)[codes]
        hits |= id_begins(self.ids[slots], text)
        found: NDArray[np.bool_] = shown & (hits | self._named(slots, text))
        return found

    def _named(self, slots: Slots, text: str) -> NDArray[np.bool_]:
        """Which of these have a name that contains the text."""
        assert self.names is not None
        names = self.names
        if len(slots) <= PATCHED:
            return np.array([text in names.get(slot, "") for slot in slots.tolist()], np.bool_)
        named = np.zeros(self.count, np.bool_)
        named[[slot for slot, name in names.items() if text in name]] = True
        return np.asarray(named[slots])

    def key(self, wanted: Wanted) -> Callable[[int], Any]:
        """What the list is sorted by, with the order last, so that no two are the same."""
        orders = self.orders
        if wanted.sort == "class":
            ranks = self._ranks()
            return lambda slot: (int(ranks[self.codes[slot]]), int(orders[slot]))
        if wanted.sort == "name":
            names = self.names or {}
            return lambda slot: (not names.get(slot), names.get(slot, ""), int(orders[slot]))
        if wanted.sort == "area":
            sizes = self.areas
            assert sizes is not None
            return lambda slot: (float(sizes[slot]), int(orders[slot]))
        return lambda slot: int(orders[slot])

    def sorted(self, slots: Slots, wanted: Wanted) -> Slots:
        """These slots (in list order) as the list has them."""
        if wanted.sort == "class":
            slots = slots[np.argsort(self._ranks()[self.codes[slots]], kind="stable")]
        elif wanted.sort == "area":
            assert self.areas is not None
            slots = slots[np.argsort(self.areas[slots], kind="stable")]
        elif wanted.sort == "name":
            names = self.names or {}
            here = np.zeros(self.count, np.bool_)
            here[[slot for slot, name in names.items() if name]] = True
            named = slots[here[slots]].tolist()
            named.sort(key=lambda slot: names[slot])
            slots = np.concatenate((np.array(named, np.int32), slots[~here[slots]]))
        return slots[::-1].copy() if wanted.backwards else slots

    def _ranks(self) -> NDArray[np.int64]:
        """Where the classes come by name; unclassified last."""
        names = self.names_of_classes
        ranks = np.empty(len(names), np.int64)
        by_name = sorted(range(len(names)), key=lambda k: (names[k] is None, (names[k] or "").casefold(), k))
        ranks[by_name] = np.arange(len(names))
        return ranks


def arranged(snapshot: Snapshot, wanted: Wanted, task: Task | None = None) -> tuple[_Store, Slots]:
    """All that the list needs of a document: what it knows, and what it shows. For any thread."""
    task = task or Task()
    table = snapshot.table()
    task.check()
    store = _Store(table, wanted, task)
    task.check()
    slots = np.arange(store.count, dtype=np.int32)
    if not wanted.is_plain:
        slots = slots[store.takes(slots, wanted)]
    task.check()
    return store, store.sorted(slots, wanted)


@dataclass(slots=True)
class _Arranging:
    """A document being arranged on the lane, and the edits that came meanwhile."""

    wanted: Wanted
    job: Job[Any] | None = None
    edits: list[Edit] = field(default_factory=list)


class Listing:
    """Which annotations of a document the list shows, and in which order.

    Parameters
    ----------
    jobs : Jobs
    document : Document

    Attributes
    ----------
    changed : Signal(Change)
    """

    changed = Signal(Change)

    def __init__(self, jobs: Jobs, document: Document) -> None:
        self._jobs = jobs
        self._document = document
        self._wanted = Wanted()
        self._store = _Store(Table.empty(), self._wanted)
        self._shown: Slots = np.empty(0, np.int32)
        self._places: Slots | None = None
        self._under_way: _Arranging | None = None
        self.arrange(fresh=True)

    # Reading

    @property
    def wanted(self) -> Wanted:
        return self._wanted

    @property
    def is_busy(self) -> bool:
        """Whether the rows are being arranged; those from before are here until then."""
        return self._under_way is not None

    @property
    def shown(self) -> Slots:
        """What stands for each row; read-only."""
        return self._shown

    def __len__(self) -> int:
        return len(self._shown)

    def ids(self, rows: NDArray[Any] | slice) -> NDArray[np.uint8]:
        """The ids of these rows, (n, 16)."""
        return self._store.ids[self._shown[rows]]

    def ids_of_slots(self, slots: Slots) -> NDArray[np.uint8]:
        """The ids that stand behind `shown`, (n, 16)."""
        return self._store.ids[slots]

    def rows_of(self, ids: NDArray[np.uint8]) -> NDArray[np.int64]:
        """The rows of these ids, sorted; those that are not shown are left out.

        Parameters
        ----------
        ids : ndarray, (n, 16) uint8
        """
        snapshot = self._document.snapshot()
        if len(self) <= len(ids) == len(snapshot):  # everything is chosen, and nothing is listed that is gone
            return np.arange(len(self))
        owner, rows = snapshot.locate(ids)
        orders = [chunk.table.order[rows[owner == k]] for k, chunk in enumerate(snapshot.chunks)]
        at, found = self._store.slots_of(np.concatenate([np.empty(0, np.int64), *orders]))
        return np.sort(self._rows(at[found]))

    def _rows(self, slots: NDArray[Any]) -> NDArray[np.int64]:
        """The rows of these slots, those that are not shown left out."""
        if len(slots) > PATCHED:
            rows = self._row_of_slot()[slots]
            return np.asarray(rows[rows >= 0], np.int64)
        # a few are looked up in the order of the rows, which needs no column of places
        rows, there = self._rows_before(self._shown, slots), np.zeros(len(slots), np.bool_)
        inside = np.flatnonzero(rows < len(self))
        there[inside] = self._shown[rows[inside]] == slots[inside]
        return rows[there]

    def _rows_before(self, shown: Slots, slots: NDArray[Any]) -> NDArray[np.int64]:
        """The rows of these slots, or those before which they belong."""
        wanted = self._wanted
        view = shown[::-1] if wanted.backwards else shown
        if wanted.sort == "order":
            rows = np.searchsorted(view, slots, side="right" if wanted.backwards else "left")
        else:
            key, find = self._store.key(wanted), bisect_right if wanted.backwards else bisect_left
            rows = np.array([find(view, key(slot), key=key) for slot in slots.tolist()], np.int64)
        return np.asarray(len(shown) - rows if wanted.backwards else rows, np.int64)

    def _row_of_slot(self) -> Slots:
        if self._places is None:
            self._places = np.full(self._store.count, -1, np.int32)
            self._places[self._shown] = np.arange(len(self._shown), dtype=np.int32)
        return self._places

    # Changing

    def set_document(self, document: Document) -> None:
        """Show another document; what is wanted stays, except classes, which were of the old one."""
        self._document = document
        self._wanted = replace(self._wanted, text="", only=None, hidden=frozenset())
        self.arrange(fresh=True)

    def want(self, **changes: Any) -> None:
        """Show something else, or in another order; the arguments are those of `Wanted`."""
        wanted = replace(self._wanted, **changes)
        if wanted != self._wanted:
            self._wanted = wanted
            self.arrange()

    def arrange(self, fresh: bool = False) -> None:
        """Look at all rows anew; a large document on a lane, with what is here shown until then.

        With `fresh` what is here is of another document, and goes at once.
        """
        self._cancel()
        snapshot, wanted = self._document.snapshot(), self._wanted
        if len(snapshot) <= AT_ONCE:
            self._become(*arranged(snapshot, wanted))
            return
        if fresh:
            self._become(_Store(Table.empty(), wanted), np.empty(0, np.int32))
        under_way = self._under_way = _Arranging(wanted)

        def done(job: Job[tuple[_Store, Slots]]) -> None:
            if self._under_way is not under_way:
                return
            self._under_way = None
            if job.state == "done" and job.result is not None:
                self._caught_up(*job.result, under_way.edits)

        under_way.job = self._jobs.lane("listing").submit(
            lambda task: arranged(snapshot, wanted, task), key="arrange", done=done
        )

    def _caught_up(self, store: _Store, shown: Slots, edits: Iterable[Edit]) -> None:
        self._store, self._shown, self._places = store, shown, None
        for edit in edits:
            if self._patch(edit) is None:
                self.arrange()
                break
        self.changed.emit(Change(whole=True))

    def _cancel(self) -> None:
        if self._under_way is not None and self._under_way.job is not None:
            self._under_way.job.cancel()
        self._under_way = None

    def _become(self, store: _Store, shown: Slots) -> None:
        self._store, self._shown, self._places = store, shown, None
        self.changed.emit(Change(whole=True))

    def follow(self, edit: Edit) -> None:
        """Follow a change that the document has made."""
        if self._under_way is not None:
            self._under_way.edits.append(edit)
            if len(edit.before) + len(edit.after) > PATCHED:
                self.arrange()
            return
        change = None
        if len(edit.before) + len(edit.after) <= PATCHED:
            change = self._patch(edit)
        if change is None:
            self.arrange()
        elif change != Change():
            self.changed.emit(change)

    def _patch(self, edit: Edit) -> Change | None:
        """Take a change over without looking at all rows; None when that cannot be."""
        store, wanted, old = self._store, self._wanted, self._shown
        if edit.classes is not None and wanted.sort == "class":
            return None  # ranks of the others change with a class that is new
        at, found = store.slots_of(edit.before.order)
        gone = np.sort(self._rows(at[found]))
        store.drop(edit.before)
        slots = store.put(edit.after)
        if slots is None:
            return None
        left = np.delete(old, gone) if len(gone) else old
        come = slots[store.takes(slots, wanted)]
        come = np.array(sorted(come.tolist(), key=store.key(wanted), reverse=wanted.backwards), np.int32)
        rows = self._rows_before(left, come)
        added = rows + np.arange(len(rows))
        if np.array_equal(gone, added) and np.array_equal(old[gone], come):
            return Change(changed=tuple(added.tolist()))
        self._shown, self._places = np.insert(left, rows, come), None
        removed, coming = runs(gone), runs(added)
        if len(removed) + len(coming) > RUNS:
            return Change(whole=True)
        return Change(removed, coming)


def _roomy(values: NDArray[Any], room: int) -> NDArray[Any]:
    """The values at the start of an array that has room for more."""
    made = np.zeros((room, *values.shape[1:]), values.dtype)
    made[: len(values)] = values
    return made


def _name(attributes: Attributes | None) -> str:
    return attributes.name.casefold() if attributes is not None else ""


def _names(table: Table) -> dict[int, str]:
    """The names that there are, by row, in one case."""
    return {row: one.name.casefold() for row, one in table.attributes.items() if one.name}


def _areas(table: Table, task: Task | None = None) -> NDArray[np.float64]:
    """In px², 0 for lines and points."""
    return np.asarray(np.nan_to_num(measured(table, ["area"], task=task)["area"]))


def runs(rows: NDArray[Any]) -> tuple[tuple[int, int], ...]:
    """Sorted rows as (first, last) of those without gaps."""
    if not len(rows):
        return ()
    cuts = np.flatnonzero(np.diff(rows) != 1)
    firsts = np.concatenate((rows[:1], rows[cuts + 1]))
    lasts = np.concatenate((rows[cuts], rows[-1:]))
    return tuple(zip(firsts.tolist(), lasts.tolist(), strict=True))
