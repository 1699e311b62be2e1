"""The rows and columns of the measurement table at one moment, for any thread.

Must not know when they change, nor how they are shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from samdesk.domain.columns import UNCLASSIFIED, Table, id_begins, is_ignored
from samdesk.domain.columns.ragged import Mask, Rows
from samdesk.domain.document import Edit, Snapshot
from samdesk.domain.document.snapshot import Ids, as_column
from samdesk.domain.geometry import FloatArray
from samdesk.domain.measure import MEASURES, PIXELS, Scale, column_title, measured
from samdesk.domain.tasks import Task
from samdesk.formats.sheet import Column

from .statistics import Summary, summary

IMAGE, OBJECT_ID, NAME, CLASS = TEXTS = ("Image", "Object ID", "Name", "Classification")
"""The columns that hold texts, which come first."""

SHORT_ID = 8
"""Digits of an id that are shown."""

AT_ONCE = 5000
"""For up to this many rows hulls are measured with the rest; for more they come after it."""


@dataclass(frozen=True, slots=True)
class Ruler:
    """In what is measured.

    Attributes
    ----------
    scale : (float, float)
        Size of a pixel in the unit.
    unit : str
        "µm", or "px" where the image is not calibrated.
    """

    scale: Scale = PIXELS
    unit: str = "px"

    def titles(self) -> dict[str, str]:
        """The columns' names of all measures, by measure."""
        return {name: column_title(name, self.unit) for name in MEASURES}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the table is to show.

    Attributes
    ----------
    text : str
        What names and classes must contain, or ids begin with; case does not matter.
    selected : bool
        Only what is selected.
    class_name : str or None
        Only this class; "" for unclassified, None for all.
    sort : str
        A column; empty for list order. Rows without a value come last.
    backwards : bool
    """

    text: str = ""
    selected: bool = False
    class_name: str | None = None
    sort: str = ""
    backwards: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """All annotations in list order, with what was measured.

    Attributes
    ----------
    image : str
    table : Table
    ruler : Ruler
    measures : mapping of title to ndarray, (n,) float64
    stored : mapping of title to ndarray, (n,) float64
        The measurements that the annotations carry.
    pending : frozenset of str
        Measures whose values are not there yet.
    titles : tuple of str
        All columns; measures that no row has (lengths, where there is no line) are left out.
    """

    image: str = ""
    table: Table = field(default_factory=Table.empty)
    ruler: Ruler = field(default_factory=Ruler)
    measures: Mapping[str, FloatArray] = field(default_factory=dict)
    stored: Mapping[str, FloatArray] = field(default_factory=dict)
    pending: frozenset[str] = frozenset()
    titles: tuple[str, ...] = TEXTS

    def __len__(self) -> int:
        return len(self.table)

    @classmethod
    def of(
        cls,
        image: str,
        table: Table,
        ruler: Ruler,
        measures: Mapping[str, FloatArray],
        stored: Mapping[str, FloatArray],
        pending: frozenset[str] = frozenset(),
    ) -> Sheet:
        """A sheet of these columns, which must not be written any more."""
        for values in (*measures.values(), *stored.values()):
            values.flags.writeable = False
        used = [
            title
            for title, values in measures.items()
            if not len(table) or title in pending or not np.isnan(values).all()
        ]
        titles = (*TEXTS, *used, *(title for title in stored if title not in measures))
        return cls(image, table, ruler, measures, stored, pending, titles)

    def numbers(self, title: str) -> FloatArray:
        """The values of a column, (n,), NaN where there is none; read-only."""
        found = self.measures.get(title, self.stored.get(title))
        return np.full(len(self), np.nan) if found is None else found

    def text(self, title: str, row: int) -> str:
        """The whole text of a cell in one of `TEXTS`."""
        if title == IMAGE:
            return self.image
        if title == OBJECT_ID:
            return str(self.table.id(row))
        if title == CLASS:
            return self.table.class_name(row) or ""
        own = self.table.attributes.get(row)
        return own.name if own else ""

    def column(self, title: str, rows: Rows) -> Column:
        """These rows of a column, for `write_sheet`."""
        if title in TEXTS:
            return lambda first, last: [self.text(title, row) for row in rows[first:last].tolist()]
        values = self.numbers(title)
        return lambda first, last: values[rows[first:last]]

    # Choosing and sorting

    def rows_of(self, snapshot: Snapshot, ids: Ids) -> Rows:
        """The rows of these ids, ascending; those that are not here are left out.

        Parameters
        ----------
        snapshot : Snapshot
            Of the document now.
        """
        column = as_column(ids)
        if len(column) == len(snapshot) == len(self):
            return np.arange(len(self))
        owner, rows = snapshot.locate(column)
        orders = [chunk.table.order[rows[owner == k]] for k, chunk in enumerate(snapshot.chunks)]
        at, known = _places(self.table.order, np.concatenate([np.empty(0, np.int64), *orders]))
        return np.sort(at[known])

    def shown(self, wanted: Wanted, selected: Rows) -> Rows:
        """The rows that are wanted, in the order that is wanted.

        Parameters
        ----------
        selected : ndarray
            Rows of what is selected.
        """
        keep = np.ones(len(self), np.bool_)
        if wanted.selected:
            keep[:] = False
            keep[selected] = True
        if wanted.class_name is not None:
            names = ["", *(one.name for one in self.table.classes)]
            keep &= np.array([name == wanted.class_name for name in names])[self.table.class_id]
        if wanted.text.strip():
            keep &= self._matching(wanted.text.strip().casefold())
        return self.sorted(np.flatnonzero(keep), wanted.sort, wanted.backwards)

    def sorted(self, rows: Rows, title: str, backwards: bool) -> Rows:
        """These rows by a column; equal ones in list order, those without a value last."""
        if not title or title == IMAGE:
            return rows[::-1] if backwards else rows
        key = self._key(title)[rows]
        if not backwards:
            return rows[np.argsort(key, kind="stable")]
        missing = np.isnan(key) if key.dtype.kind == "f" else np.zeros(len(key), np.bool_)
        have = rows[~missing]
        down = np.argsort(key[~missing][::-1], kind="stable")[::-1]
        return np.concatenate((have[::-1][down], rows[missing]))

    def _key(self, title: str) -> NDArray[np.generic]:
        if title == OBJECT_ID:
            return np.ascontiguousarray(self.table.ids[:, :8]).view(">u8").ravel().astype(np.uint64)
        if title == CLASS:
            ranks = _ranks(["", *(one.name for one in self.table.classes)])
            return ranks[self.table.class_id]
        if title == NAME:
            named = {row: own.name for row, own in self.table.attributes.items() if own.name}
            key = np.full(len(self), np.nan)
            if named:
                rows, names = list(named), list(named.values())
                key[rows] = _ranks(names)
            return key
        return self.numbers(title)

    def _matching(self, text: str) -> Mask:
        names = [UNCLASSIFIED, *(one.name for one in self.table.classes)]
        hits: Mask = np.array([text in name.casefold() for name in names])[self.table.class_id]
        hits |= id_begins(self.table.ids, text)
        called = [row for row, own in self.table.attributes.items() if text in own.name.casefold()]
        hits[called] = True
        return hits

    # Summing up

    def counted(self, rows: Rows) -> Rows:
        """These rows without those of classes that are ignored."""
        ignored = np.array([False, *(is_ignored(one.name) for one in self.table.classes)])
        counted: Rows = rows[~ignored[self.table.class_id[rows]]]
        return counted

    def summaries(self, title: str, rows: Rows) -> list[tuple[str, int, Summary]]:
        """Class, number of rows and summary of a column, for each class that any of the rows has.

        Classes that are ignored come last.
        """
        if not len(rows):
            return []
        values = self.numbers(title)[rows]
        classes = self.table.class_id[rows]
        order = np.argsort(classes, kind="stable")
        numbers, firsts = np.unique(classes[order], return_index=True)
        found = []
        for number, part in zip(numbers.tolist(), np.split(order, firsts[1:]), strict=True):
            name = self.table.classes[number - 1].name if number else UNCLASSIFIED
            found.append((name, len(part), summary(values[part])))
        return sorted(found, key=lambda one: is_ignored(one[0]))


def brought_up(
    old: Sheet,
    image: str,
    ruler: Ruler,
    snapshot: Snapshot,
    edits: Iterable[Edit] | None,
    names: Iterable[str],
    task: Task,
    hulls_later: bool = True,
) -> Sheet:
    """The sheet of a document as it is now, of which only what changed is measured.

    Parameters
    ----------
    old : Sheet
    edits : iterable of Edit or None
        All since the old sheet; None when it is of another document.
    names : iterable of str
        Which of `MEASURES`.
    hulls_later : bool
        Leave diameters pending where very many rows need them (`completed` brings them).
    """
    table = snapshot.table()
    task.check()
    at, known = np.zeros(len(table), np.int64), np.zeros(len(table), np.bool_)
    ready: set[str] = set()
    if edits is not None and ruler == old.ruler:
        at, known = _places(old.table.order, table.order)
        known &= ~np.isin(table.order, _reshaped(edits))
        ready = set(old.measures) - old.pending
    fresh, everything = np.flatnonzero(~known), np.arange(len(table))
    titles = {name: title for name, title in ruler.titles().items() if name in set(names)}
    measures, pending = {title: np.full(len(table), np.nan) for title in titles.values()}, set()
    for rows, of in (
        (fresh, [name for name, title in titles.items() if title in ready]),
        (everything, [name for name, title in titles.items() if title not in ready]),
    ):
        if not of:
            continue
        later = {name for name in of if MEASURES[name].hull and hulls_later and len(rows) > AT_ONCE}
        pending |= {titles[name] for name in later}
        for name, values in measured(table.take(rows), set(of) - later, ruler.scale, task).items():
            measures[titles[name]][rows] = values
    for title in ready.intersection(measures):
        measures[title][known] = old.measures[title][at[known]]
    return Sheet.of(image, table, ruler, measures, stored_columns(table, task), frozenset(pending))


def completed(sheet: Sheet, task: Task) -> Sheet:
    """The same with the measures that were pending; those that some rows have already are kept."""
    missing = np.isnan(np.stack([sheet.measures[title] for title in sheet.pending])).any(axis=0)
    rows = np.flatnonzero(missing)
    names = {name: title for name, title in sheet.ruler.titles().items() if title in sheet.pending}
    part = sheet.table if len(rows) == len(sheet) else sheet.table.take(rows)
    found = measured(part, names, sheet.ruler.scale, task)
    measures = dict(sheet.measures)
    for name, title in names.items():
        values = np.array(measures[title])
        values[rows] = found[name]
        measures[title] = values
    return Sheet.of(sheet.image, sheet.table, sheet.ruler, measures, sheet.stored)


def stored_columns(table: Table, task: Task) -> dict[str, FloatArray]:
    """The measurements that annotations carry, each as a column (n,), in the order they are met."""
    found: dict[str, tuple[list[int], list[float]]] = {}
    for number, (row, own) in enumerate(table.attributes.items()):
        if number % 4096 == 0:
            task.check()
        for title, value in own.measurements.items():
            rows, values = found.setdefault(title, ([], []))
            rows.append(row)
            values.append(value)
    columns = {}
    for title, (rows, values) in found.items():
        column = np.full(len(table), np.nan)
        column[rows] = values
        columns[title] = column
    return columns


def _reshaped(edits: Iterable[Edit]) -> NDArray[np.int64]:
    """The places in the list of all that came, went, or has another outline."""
    orders = [np.empty(0, np.int64)]
    for edit in edits:
        if not edit.keeps_geometry:
            orders += [edit.before.order, edit.after.order]
    return np.concatenate(orders)


def _places(known: NDArray[np.int64], sought: NDArray[np.int64]) -> tuple[Rows, Mask]:
    """Where these are in an ascending column, and which of them are there."""
    at = np.searchsorted(known, sought)
    there: Mask = at < len(known)
    there[there] = known[at[there]] == sought[there]
    return np.where(there, at, 0), there


def _ranks(names: list[str]) -> FloatArray:
    """Where each comes in the alphabet, equal ones alike; NaN for an empty one."""
    places = {name: k for k, name in enumerate(sorted(set(names), key=_folded))}
    return np.array([places[name] if name else np.nan for name in names])


def _folded(name: str) -> tuple[str, str]:
    return name.casefold(), name
