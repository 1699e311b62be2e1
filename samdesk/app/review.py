"""The review: many candidates from one search or file, looked through and then kept in one step.

Lives on the main thread. Its candidates stand in a `Document` of their own, in which the class
says how each is shown, so that whatever paints annotations paints thousands of them. Must not
know widgets, engines or files.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from samdesk.domain.columns import Annotation, AnnotationClass, Table, id_bytes
from samdesk.domain.columns.cleaning import Repairs
from samdesk.domain.document import Document, Snapshot
from samdesk.domain.document.hits import areas
from samdesk.domain.geometry import Bounds, Plane, Region, ShapeKind
from samdesk.domain.outline import iou
from samdesk.domain.prompts import Candidate

SAME_IOU = 0.9
"""A candidate that agrees better than this with an annotation is that annotation again."""

MOST_COMPARED = 100_000_000
"""Imported annotations are compared by outline with those that are there up to so many pairs."""

Column = Literal["score", "area"]
"""What the candidates can be listed by."""


class State(IntEnum):
    """What became of a candidate."""

    PROPOSED = 0  # kept at the end, while its score is high enough
    KEPT = 1  # kept at the end, whatever its score: a person said so
    REJECTED = 2


LOOKS = (
    AnnotationClass("Proposed", (0, 214, 255)),
    AnnotationClass("Kept", (70, 225, 130)),
    AnnotationClass("Rejected", (165, 165, 172)),
    AnnotationClass("Hidden", (0, 0, 0)),
)
"""The classes of the review's document: one for each `State`, then one for what is not shown."""

REJECTED, HIDDEN = LOOKS[State.REJECTED].name, LOOKS[-1].name

_HIDDEN = len(LOOKS) - 1


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Candidates made ready for a review; can be made on any thread, so that `Review.add` is quick.

    Attributes
    ----------
    candidates : tuple of Candidate
    table : Table
        Their shapes, row by row.
    areas : ndarray, (n,) float64
        px².
    there : ndarray, (n,) bool
        Which of them are among the annotations already.
    replaces : ndarray, (n,) bool
        Which of them, when kept, take the place of an annotation.
    scores : ndarray, (n,) float64
        NaN for what nobody scored; it is shown whatever the lowest score.
    notes : sequence of str
        What is said about each beside its score; empty where nothing is said of any.
    """

    candidates: Sequence[Candidate]
    table: Table
    areas: NDArray[np.float64]
    there: NDArray[np.bool_]
    replaces: NDArray[np.bool_]
    scores: NDArray[np.float64]
    notes: Sequence[str] = ()

    @classmethod
    def of(
        cls, candidates: Sequence[Candidate], plane: Plane = Plane(), known: Snapshot | None = None
    ) -> Batch:
        """Take candidates on a plane; those that have no area are left out.

        Parameters
        ----------
        candidates : sequence of Candidate
        plane : Plane
        known : Snapshot, optional
            The annotations that are there already.
        """
        repairs = Repairs()
        rows = [Annotation(one.shape, plane=plane, class_name=LOOKS[0].name) for one in candidates]
        table = Table.from_annotations(rows, LOOKS, repairs)
        lost = set(repairs.dropped)
        left = tuple(one for k, one in enumerate(candidates) if k not in lost)
        scores = np.array([one.score for one in left], np.float64)
        nothing = np.zeros(len(left), np.bool_)
        return cls(left, table, areas(table), already_there(table, plane, known), nothing, scores)

    @classmethod
    def of_table(cls, table: Table, known: Snapshot | None = None) -> Batch:
        """Take annotations of a file; what they are beside their shapes is shown, and kept by others.

        Parameters
        ----------
        table : Table
        known : Snapshot, optional
            The annotations that are there already: those of the same id would be replaced, and
            those of the same outline are there.
        """
        scores = np.full(len(table), np.nan)
        for row, own in table.attributes.items():
            scores[row] = _score_of(own.provenance.get("score"))
        here = np.zeros(len(table), np.bool_) if known is None else known.has(table.ids)
        there = np.zeros(len(table), np.bool_)
        if known is not None and 0 < len(table) * len(known) <= MOST_COMPARED:
            for z, t in np.unique(np.stack((table.z, table.t), axis=1), axis=0).tolist():
                rows = np.flatnonzero((table.z == z) & (table.t == t))
                there[rows] = already_there(table.take(rows), Plane(z, t), known)
        proposed = np.full(len(table), State.PROPOSED + 1, np.uint16)
        proposed.flags.writeable = False
        return cls(
            _Imported(table, scores),
            replace(table, classes=LOOKS, class_id=proposed, attributes={}),
            areas(table),
            there & ~here,
            here,
            scores,
            _Named(
                ("", *(one.name for one in table.classes)),
                table.class_id,
                {row: own.name for row, own in table.attributes.items() if own.name},
            ),
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Imported(Sequence[Candidate]):
    """Rows of a table as candidates that nobody found; made when they are asked for."""

    table: Table
    scores: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.table)

    @overload
    def __getitem__(self, index: int) -> Candidate: ...
    @overload
    def __getitem__(self, index: slice) -> _Imported: ...
    def __getitem__(self, index: int | slice) -> Candidate | _Imported:
        if isinstance(index, slice):
            rows = np.arange(len(self))[index]
            return _Imported(self.table.take(rows), self.scores[rows])
        shape = self.table.shape(index)
        box = shape.bounds
        around = Region(box.x0, box.y0, max(1, round(box.width)), max(1, round(box.height)))
        return Candidate(shape, float(np.nan_to_num(self.scores[index], nan=1.0)), around)


@dataclass(frozen=True, slots=True, eq=False)
class _Named(Sequence[str]):
    """A column of numbers as names, a few of which have one of their own before it."""

    names: Sequence[str]
    numbers: NDArray[Any]
    own: Mapping[int, str]

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> _Named: ...
    def __getitem__(self, index: int | slice) -> str | _Named:
        if isinstance(index, slice):
            rows = range(len(self))[index]
            own = {k: self.own[row] for k, row in enumerate(rows) if row in self.own}
            return _Named(self.names, self.numbers[index], own)
        named = self.names[int(self.numbers[index])]
        return ", ".join(part for part in (self.own.get(index, ""), named) if part)


def _score_of(value: object) -> float:
    """A score of a file, in 0..1; NaN where there is none."""
    return min(max(float(value), 0.0), 1.0) if isinstance(value, int | float) else np.nan


def already_there(table: Table, plane: Plane, known: Snapshot | None) -> NDArray[np.bool_]:
    """Which rows agree with an annotation by an IoU above `SAME_IOU`; (n,) bool."""
    there = np.zeros(len(table), np.bool_)
    box = table.bounding_box()
    if known is None or box is None:
        return there
    others = known.query(box, plane)
    others = others.take(np.flatnonzero(others.kind == ShapeKind.AREA))
    ours, theirs = areas(table), areas(others)
    for row in range(len(table)):
        x0, y0, x1, y1 = table.bounds[row]
        low, high = SAME_IOU * ours[row], ours[row] / SAME_IOU
        b = others.bounds
        near = (b[:, 0] < x1) & (b[:, 2] > x0) & (b[:, 1] < y1) & (b[:, 3] > y0)
        near &= (theirs > low) & (theirs < high)
        shape = table.shape(row)
        there[row] = any(iou(shape, others.shape(int(other))) > SAME_IOU for other in np.flatnonzero(near))
    return there


class Review:
    """Candidates with what is to become of each.

    A candidate is shown when its score reaches `min_score`, or when a person kept it. What is
    shown and not rejected is ticked, and `accept` hands over all that is ticked at once.

    Parameters
    ----------
    commit : callable
        Receives the ticked candidates on `accept`; says whether they were kept.

    Attributes
    ----------
    begun : Signal()
        What is here is to be looked through now.
    changed : Signal()
        Candidates came or went, or others are shown.
    marked : Signal(int)
        The state of one candidate changed, and it is shown as before.
    pointed : Signal()
        Another candidate is the current one, or the one under the pointer.
    title : str
        What was searched for.
    busy : bool
        More candidates may come.
    floor : float
        Lower scores were not searched for.
    plane : Plane
        Where the candidates of a search are.
    document : Document
        The candidates as annotations; see `LOOKS`.
    """

    begun = Signal()
    changed = Signal()
    marked = Signal(int)
    pointed = Signal()

    def __init__(self, commit: Callable[[list[Candidate]], bool]) -> None:
        self._commit = commit
        self._min_score = 0.5
        self._search_score: float | None = None  # while it is another for what is here
        self._column: Column = "score"
        self._descending = True
        self.busy = False
        self._new("", 0.0, Plane())

    def _new(self, title: str, floor: float, plane: Plane) -> None:
        self.title, self.floor, self.plane = title, floor, plane
        self._min_score, self._search_score = self.search_score, None
        self.document = Document(LOOKS)
        self._keep: Callable[[list[int]], bool] | None = None
        self._candidates: Sequence[Candidate] = []
        self._notes: Sequence[str] = ()
        self._ids = np.empty((0, 16), np.uint8)
        self._planes = np.empty((0, 2), np.int32)
        self._scores = np.empty(0)
        self._areas = np.empty(0)
        self._there = np.empty(0, np.bool_)
        self._replaces = np.empty(0, np.bool_)
        self._order: NDArray[np.int64] | None = None
        self._listed: NDArray[np.int64] | None = None
        self._states = np.empty(0, np.int8)
        self._looks = np.empty(0, np.int8)
        self._current: int | None = None
        self._hovered: int | None = None

    # Filling

    def begin(
        self,
        title: str,
        floor: float = 0.0,
        plane: Plane = Plane(),
        keep: Callable[[list[int]], bool] | None = None,
        any_score: bool = False,
    ) -> None:
        """Drop what is here and wait for the results of another search.

        Parameters
        ----------
        title : str
        floor : float
        plane : Plane
        keep : callable, optional
            Receives the indexes of what is ticked on `accept` in place of `commit`, and says
            whether it was kept.
        any_score : bool
            Let the lowest score be 0 for what comes now; searches keep theirs.
        """
        self._new(title, floor, plane)
        if any_score:
            self._search_score, self._min_score = self._min_score, 0.0
        self._keep = keep
        self.busy = True
        self.changed.emit()
        self.begun.emit()

    def add(self, batch: Batch, gone: Sequence[Candidate] = ()) -> None:
        """Take more results; those that are among the annotations already begin as rejected.

        Parameters
        ----------
        batch : Batch
        gone : sequence of Candidate
            Given before, and not to be seen again.
        """
        if not len(batch.candidates) and not gone:
            return
        self._take_out(gone)
        if len(self._candidates):
            self._candidates = [*self._candidates, *batch.candidates]
        else:  # what makes them when they are asked for may stay
            self._candidates, self._notes = batch.candidates, batch.notes
        planes = np.stack((batch.table.z, batch.table.t), axis=1)
        self._ids = np.concatenate((self._ids, batch.table.ids))
        self._planes = np.concatenate((self._planes, planes))
        self._scores = np.append(self._scores, batch.scores)
        self._areas = np.append(self._areas, batch.areas)
        self._there = np.append(self._there, batch.there)
        self._replaces = np.append(self._replaces, batch.replaces)
        states = np.where(batch.there, State.REJECTED, State.PROPOSED).astype(np.int8)
        self._states = np.append(self._states, states)
        self._looks = np.append(self._looks, np.zeros(len(states), np.int8))
        self._order = None
        self.document.apply(self.document.adding(batch.table))
        self._look()
        self.changed.emit()

    def _take_out(self, gone: Sequence[Candidate]) -> None:
        shapes = {id(one.shape) for one in gone}
        keep = np.array([id(one.shape) not in shapes for one in self._candidates], np.bool_)
        if keep.all():
            return
        self.document.apply(self.document.removing(self._ids[~keep]))
        moved = np.cumsum(keep) - 1
        for name in ("_current", "_hovered"):
            index = getattr(self, name)
            if index is not None:
                setattr(self, name, int(moved[index]) if keep[index] else None)
        self._candidates = [one for one, stays in zip(self._candidates, keep, strict=True) if stays]
        for name in ("_ids", "_planes", "_scores", "_areas", "_there", "_replaces", "_states", "_looks"):
            setattr(self, name, getattr(self, name)[keep])
        self._order = self._listed = None

    def end(self) -> None:
        """No more will come."""
        if self.busy:
            self.busy = False
            self.changed.emit()

    def clear(self) -> None:
        """Drop all candidates."""
        if self.busy or self.title or len(self._candidates):
            self.busy = False
            self._new("", 0.0, Plane())
            self.changed.emit()

    # Reading

    def __len__(self) -> int:
        return len(self._candidates)

    def __getitem__(self, index: int) -> Candidate:
        return self._candidates[index]

    @property
    def scores(self) -> NDArray[np.float64]:
        """In the order of arrival, as all that is indexed here, NaN where there is none; (n,)."""
        return self._scores

    @property
    def areas(self) -> NDArray[np.float64]:
        """In px²; (n,)."""
        return self._areas

    def state(self, index: int) -> State:
        return State(int(self._states[index]))

    def is_there(self, index: int) -> bool:
        """Whether it is among the annotations already."""
        return bool(self._there[index])

    def replaces(self, index: int) -> bool:
        """Whether it takes the place of an annotation when it is kept."""
        return bool(self._replaces[index])

    def note(self, index: int) -> str:
        """What is said about it beside its score, or nothing."""
        return self._notes[index] if index < len(self._notes) else ""

    def bounds(self, index: int) -> Bounds:
        """Its box in image pixels."""
        return self._candidates[index].shape.bounds

    def plane_of(self, index: int) -> Plane:
        return Plane(*self._planes[index].tolist())

    def is_shown(self, index: int) -> bool:
        return bool(self._shown[index])

    def shown(self) -> NDArray[np.int64]:
        """Indexes of what is shown, in the order of arrival; (k,)."""
        return np.flatnonzero(self._shown)

    def ticked(self) -> NDArray[np.int64]:
        """Indexes of what `accept` would keep; (k,)."""
        return np.flatnonzero(self._shown & (self._states != State.REJECTED))

    @property
    def _shown(self) -> NDArray[np.bool_]:
        return np.asarray(~(self._scores < self._min_score) | (self._states == State.KEPT))

    def at(self, x: float, y: float, tolerance: float = 0.0, plane: Plane | None = None) -> int | None:
        """The shown candidate under a point (image pixels), the smallest where there are several.

        On the plane of the search when none is given.
        """
        for one in self.document.snapshot().hit(x, y, plane or self.plane, tolerance):
            index = self._index_of(one)
            if self.is_shown(index):
                return index
        return None

    def _index_of(self, one: uuid.UUID) -> int:
        return int(np.argmax((self._ids == id_bytes([one])).all(axis=1)))

    # Listing

    def list_by(self, column: Column, descending: bool = True) -> None:
        """The order in which one goes from a candidate to the next; announced by nobody."""
        if (column, descending) != (self._column, self._descending):
            self._column, self._descending = column, descending
            self._order = self._listed = None

    def listed(self) -> NDArray[np.int64]:
        """Indexes of what is shown, in the order that was chosen, at first best first; (k,)."""
        if self._order is None:
            values = self._areas if self._column == "area" else self._scores
            self._order = np.argsort(-values if self._descending else values, kind="stable")
            self._listed = None
        if self._listed is None:
            self._listed = self._order[self._shown[self._order]]
        return self._listed

    # Judging

    @property
    def min_score(self) -> float:
        """Lower scores are not shown, unless a person kept them."""
        return self._min_score

    @min_score.setter
    def min_score(self, score: float) -> None:
        if score != self._min_score:
            self._min_score = score
            self._look()
            self.changed.emit()

    @property
    def search_score(self) -> float:
        """The lowest score that the next search is asked for."""
        return self._min_score if self._search_score is None else self._search_score

    def set(self, index: int, state: State) -> None:
        """Say what is to become of one candidate."""
        before = self.is_shown(index)
        self._states[index] = state
        self._look()
        if self.is_shown(index) == before:
            self.marked.emit(index)
        else:
            self.changed.emit()

    def keep_all(self) -> None:
        """Tick all that is shown."""
        self._judge(self._shown & (self._states == State.REJECTED), State.KEPT)

    def reject_all(self) -> None:
        """Tick nothing."""
        self._judge(self._shown, State.REJECTED)

    def keep_above(self, score: float) -> None:
        """Tick what is shown and has at least this score, and nothing else."""
        shown, good = self._shown, ~(self._scores < score)
        self._states[shown & good & (self._states == State.REJECTED)] = State.KEPT
        self._judge(shown & ~good, State.REJECTED)

    def _judge(self, which: NDArray[np.bool_], state: State) -> None:
        self._states[which] = state
        self._look()
        self.changed.emit()

    def _look(self) -> None:
        """Give every candidate in the document the class that it is shown by."""
        looks = np.where(self._shown, self._states, _HIDDEN).astype(np.int8)
        other = looks != self._looks
        if ((looks == _HIDDEN) != (self._looks == _HIDDEN)).any():
            self._listed = None
        self._looks = looks
        for look in np.unique(looks[other]):
            ids = self._ids[other & (looks == look)]
            self.document.apply(self.document.reclassifying(ids, LOOKS[look].name))
        for name in ("_current", "_hovered"):
            index = getattr(self, name)
            if index is not None and looks[index] == _HIDDEN:
                setattr(self, name, None)

    # Looking at one

    @property
    def current(self) -> int | None:
        """The candidate that the user looks at."""
        return self._current

    @current.setter
    def current(self, index: int | None) -> None:
        self._point("_current", index)

    @property
    def hovered(self) -> int | None:
        """The candidate under the pointer."""
        return self._hovered

    @hovered.setter
    def hovered(self, index: int | None) -> None:
        self._point("_hovered", index)

    def _point(self, name: str, index: int | None) -> None:
        if index != getattr(self, name):
            setattr(self, name, index)
            self.pointed.emit()

    def step(self, by: int = 1) -> int | None:
        """Go to the next candidate of the list, or with -1 back; stays at the ends.

        Begins with the first when there was none. Gives the index of the one it came to.
        """
        listed = self.listed()
        if len(listed):
            found = np.flatnonzero(listed == (-1 if self._current is None else self._current))
            row = min(max(int(found[0]) + by, 0), len(listed) - 1) if len(found) else 0
            self.current = int(listed[row])
        return self._current

    def judge(self, state: State) -> int | None:
        """Say what is to become of the current candidate, and go on to the next.

        With no current one it goes to the first, so that nothing is judged unseen. Gives the
        index of the one it came to.
        """
        index = self._current
        if index is None:
            return self.step()
        listed = self.listed()
        below = listed[int(np.flatnonzero(listed == index)[0]) + 1 :]
        self.set(index, state)
        if len(below):
            self.current = int(below[0])
        return self._current

    # Ending

    def accept(self) -> bool:
        """Hand all that is ticked to the document as one step; False when nothing was kept."""
        chosen: list[Any] = self.ticked().tolist()
        if not chosen or not self._commits(chosen):
            return False
        self.clear()
        return True

    def _commits(self, chosen: list[int]) -> bool:
        if self._keep is not None:
            return self._keep(chosen)
        return self._commit([self._candidates[k] for k in chosen])
