"""The review: many candidates from one search, looked through and then kept in one step.

Lives on the main thread. Its candidates stand in a `Document` of their own, in which the class
says how each is shown, so that whatever paints annotations paints thousands of them. Must not
know widgets, engines or files.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from samdesk.domain.columns import Annotation, AnnotationClass, Table
from samdesk.domain.columns.cleaning import Repairs
from samdesk.domain.document import Document, Snapshot
from samdesk.domain.document.hits import areas
from samdesk.domain.geometry import Bounds, Plane, ShapeKind
from samdesk.domain.outline import iou
from samdesk.domain.prompts import Candidate

SAME_IOU = 0.9
"""A candidate that agrees better than this with an annotation is that annotation again."""


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
    """

    candidates: tuple[Candidate, ...]
    table: Table
    areas: NDArray[np.float64]
    there: NDArray[np.bool_]

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
        return cls(left, table, areas(table), already_there(table, plane, known))


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
        Where the candidates are.
    document : Document
        The candidates as annotations; see `LOOKS`.
    """

    changed = Signal()
    marked = Signal(int)
    pointed = Signal()

    def __init__(self, commit: Callable[[list[Candidate]], bool]) -> None:
        self._commit = commit
        self._min_score = 0.5
        self.busy = False
        self._new("", 0.0, Plane())

    def _new(self, title: str, floor: float, plane: Plane) -> None:
        self.title, self.floor, self.plane = title, floor, plane
        self.document = Document(LOOKS)
        self._candidates: list[Candidate] = []
        self._ids = np.empty((0, 16), np.uint8)
        self._scores = np.empty(0)
        self._areas = np.empty(0)
        self._there = np.empty(0, np.bool_)
        self._states = np.empty(0, np.int8)
        self._looks = np.empty(0, np.int8)
        self._current: int | None = None
        self._hovered: int | None = None

    # Filling

    def begin(self, title: str, floor: float = 0.0, plane: Plane = Plane()) -> None:
        """Drop what is here and wait for the results of another search."""
        self._new(title, floor, plane)
        self.busy = True
        self.changed.emit()

    def add(self, batch: Batch, gone: Sequence[Candidate] = ()) -> None:
        """Take more results; those that are among the annotations already begin as rejected.

        Parameters
        ----------
        batch : Batch
        gone : sequence of Candidate
            Given before, and not to be seen again.
        """
        if not batch.candidates and not gone:
            return
        self._take_out(gone)
        self._candidates += batch.candidates
        self._ids = np.concatenate((self._ids, batch.table.ids))
        self._scores = np.append(self._scores, [one.score for one in batch.candidates])
        self._areas = np.append(self._areas, batch.areas)
        self._there = np.append(self._there, batch.there)
        states = np.where(batch.there, State.REJECTED, State.PROPOSED).astype(np.int8)
        self._states = np.append(self._states, states)
        self._looks = np.append(self._looks, np.zeros(len(states), np.int8))
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
        for name in ("_ids", "_scores", "_areas", "_there", "_states", "_looks"):
            setattr(self, name, getattr(self, name)[keep])

    def end(self) -> None:
        """No more will come."""
        if self.busy:
            self.busy = False
            self.changed.emit()

    def clear(self) -> None:
        """Drop all candidates."""
        if self.busy or self.title or self._candidates:
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
        """In the order of arrival, as all that is indexed here; (n,)."""
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

    def bounds(self, index: int) -> Bounds:
        """Its box in image pixels."""
        return self._candidates[index].shape.bounds

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
        return np.asarray((self._scores >= self._min_score) | (self._states == State.KEPT))

    def at(self, x: float, y: float, tolerance: float = 0.0) -> int | None:
        """The shown candidate under a point (image pixels), the smallest where there are several."""
        for one in self.document.snapshot().hit(x, y, self.plane, tolerance):
            index = self._index_of(one)
            if self.is_shown(index):
                return index
        return None

    def _index_of(self, one: uuid.UUID) -> int:
        return int(np.argmax((self._ids == np.frombuffer(one.bytes, np.uint8)).all(axis=1)))

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
        shown, good = self._shown, self._scores >= score
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

    # Ending

    def accept(self) -> bool:
        """Hand all that is ticked to the document as one step; False when nothing was kept."""
        chosen: list[Any] = self.ticked().tolist()
        if not chosen or not self._commit([self._candidates[k] for k in chosen]):
            return False
        self.clear()
        return True
