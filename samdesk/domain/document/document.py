"""`Document`: the one aggregate that changes, and the one door: an Edit.

Lives on the main thread. Must not know files, widgets or undo.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samdesk.domain.columns import (
    DEFAULT_CLASSES,
    DEFAULT_COLOR,
    Annotation,
    AnnotationClass,
    Color,
    Table,
    color_of_name,
)
from samdesk.domain.columns.ragged import Mask
from samdesk.domain.columns.table import Classes, checked_classes, with_classes_of

from .announce import announcement
from .change import applied
from .chunk import IdIndex
from .edit import Edit
from .snapshot import Ids, Snapshot


class Document:
    """All annotations of one image, in list order, and the classes they may have.

    The methods whose names end in "ing" (and `with_classes`) build an `Edit` and change
    nothing; `apply` changes the document and tells the listeners.

    Parameters
    ----------
    classes : sequence of AnnotationClass
        QuPath's defaults when not given.

    Attributes
    ----------
    changed : Signal(Edit)
        Told after the document has changed.

    Examples
    --------
    >>> document = Document()
    >>> edit = document.adding([Annotation(Shape.box(0, 0, 10, 10), class_name="Tumor")])
    >>> document.apply(edit)
    >>> len(document)
    1
    """

    changed = announcement(Edit)

    def __init__(self, classes: Sequence[AnnotationClass] = DEFAULT_CLASSES) -> None:
        self._state = Snapshot.empty(checked_classes(classes))
        self._next_order = 0

    # Reading

    def snapshot(self) -> Snapshot:
        """The annotations as they are now, for any thread; costs nothing."""
        return self._state

    @property
    def classes(self) -> Classes:
        return self._state.classes

    def class_color(self, name: str | None) -> Color:
        """The color of a class; one made from the name when it is not known."""
        if not name:
            return DEFAULT_COLOR
        return next((one.color for one in self.classes if one.name == name), color_of_name(name))

    def __len__(self) -> int:
        return len(self._state)

    def __contains__(self, one: object) -> bool:
        return isinstance(one, uuid.UUID) and bool(self._state.has([one])[0])

    def get(self, one: uuid.UUID) -> Annotation:
        """An annotation by its id; KeyError when there is none."""
        return self._state.get(one)

    def ids(self) -> list[uuid.UUID]:
        """All ids in list order; for very many, ``table().ids`` is a column of them."""
        raw = self._state.table().ids.tobytes()
        return [uuid.UUID(bytes=raw[k : k + 16]) for k in range(0, len(raw), 16)]

    def annotations(self) -> Iterator[Annotation]:
        """All annotations in list order, one at a time, as they are now."""
        return self._state.table().annotations()

    def table(self, ids: Ids | None = None) -> Table:
        """All rows in list order, or those of the given ids in the order given.

        Raises
        ------
        SamdeskError
            When an id is not here.
        """
        return self._state.table(ids)

    def counts(self) -> Mapping[str | None, int]:
        """How many annotations each class has; None is unclassified."""
        return self._state.counts()

    def known(self, table: Table) -> Mask:
        """Which rows of a table have an id that is here already; (n,) bool."""
        return self._state.has(table.ids)

    @property
    def last_id(self) -> uuid.UUID | None:
        """The last one in the list; None when the list is empty."""
        return self._state.last_id()

    def arrays(self) -> list[NDArray[Any]]:
        """Every array the document keeps alive."""
        return self._state.arrays()

    # Building edits

    def adding(self, annotations: Iterable[Annotation] | Table, title: str = "Add annotation") -> Edit:
        """Add at the end of the list. Classes that are new here are added too.

        Raises
        ------
        SamdeskError
            When a shape is empty or not finite.
        """
        after = self._as_table(annotations)
        after = after.with_order(self._new_orders(len(after)))
        return self._edit(title, Table.empty(self.classes), after)

    def removing(self, ids: Ids, title: str = "Delete annotations") -> Edit:
        """Remove annotations; SamdeskError when one is not here."""
        return self._edit(title, self.table(ids), Table.empty(self.classes))

    def replacing(self, annotations: Iterable[Annotation] | Table, title: str = "Change annotations") -> Edit:
        """Give annotations that are here (same ids) new contents; they keep their place in the list.

        Raises
        ------
        SamdeskError
            When one is not here, or a shape is empty or not finite.
        """
        after = self._as_table(annotations)
        before = self.table(after.ids)
        return self._edit(title, before, _sharing(after.with_order(before.order), before))

    def merging(self, table: Table, title: str = "Import annotations") -> Edit:
        """Replace the annotations whose ids are here already, and add the others at the end."""
        after = self._as_table(table)
        known = self.known(after)
        before = self.table(after.ids[known])
        order = self._new_orders(len(after))
        order[known] = before.order
        return self._edit(title, before, after.with_order(order))

    def exchanging(
        self, ids: Ids | Table, annotations: Iterable[Annotation] | Table, title: str = "Change annotations"
    ) -> Edit:
        """Remove annotations and add others as one step.

        Those whose ids are among the removed ones keep their place in the list, the others come at
        its end. Given as a table, what is removed must still be as it is there when the edit is
        applied.

        Raises
        ------
        SamdeskError
            When one is not here, or a shape is empty or not finite.
        """
        before, after = ids if isinstance(ids, Table) else self.table(ids), self._as_table(annotations)
        order = self._new_orders(len(after))
        places = IdIndex(before.ids).find(after.ids)
        stays = places >= 0
        order[stays] = before.order[places[stays]]
        return self._edit(title, before, after.with_order(order))

    def reclassifying(self, ids: Ids, class_name: str | None, title: str = "Set class") -> Edit:
        """Give annotations another class (None: none); those that have it already are left out.

        The class is added when it is new here. Vertices are not copied.
        """
        before = self.table(ids)
        before = before.take(np.flatnonzero(before.class_id != before.with_class(class_name).class_id))
        return self._edit(title, before, before.with_class(class_name) if len(before) else before)

    def with_classes(
        self,
        classes: Iterable[AnnotationClass],
        title: str = "Change classes",
        renamed: Mapping[str, str] | None = None,
    ) -> Edit:
        """Have these classes from now on.

        Annotations of a class that is not listed any more get the class that `renamed` gives
        for its name, or become unclassified.
        """
        new = checked_classes(classes)
        left = {one.name for one in new}
        gone = {one.name: (renamed or {}).get(one.name) for one in self.classes if one.name not in left}
        before = self._of_classes(gone)
        return Edit(title, before, before.recoded(new, gone), (self.classes, new))

    # Changing

    def apply(self, edit: Edit) -> None:
        """Change the document; the only door. Listeners are told when it is done.

        Raises
        ------
        SamdeskError
            When the edit does not fit the document as it is; nothing has changed then.
        """
        self._state = applied(self._state, edit)
        if len(edit.after):
            self._next_order = max(self._next_order, int(edit.after.order.max()) + 1)
        self.changed.emit(edit)

    def replace_all(self, table: Table, classes: Sequence[AnnotationClass] | None = None) -> None:
        """Become this table, as when a file was loaded. Announced as one edit.

        Parameters
        ----------
        table : Table
            Its order is kept where it is unique, else the rows are numbered.
        classes : sequence of AnnotationClass, optional
            Those of the document from now on; by default the table's, or when it has none
            those that are here.
        """
        new = checked_classes(classes if classes is not None else table.classes or self.classes)
        after = table.recoded(with_classes_of(new, _used(table)))
        if not np.diff(np.sort(after.order)).all():
            after = after.with_order(np.arange(len(after)))
        self.apply(Edit("Load", self.table(), after, (self.classes, after.classes)))

    def _as_table(self, annotations: Iterable[Annotation] | Table) -> Table:
        """Columns in terms of the document's classes and those it will need besides."""
        if not isinstance(annotations, Table):
            return Table.from_annotations(annotations, self.classes)
        return annotations.recoded(with_classes_of(self.classes, _used(annotations)))

    def _of_classes(self, names: Iterable[str]) -> Table:
        wanted = set(names)
        numbers = [number for number, one in enumerate(self.classes, 1) if one.name in wanted]
        if not self._state.tally[numbers].any():
            return Table.empty(self.classes)
        everything = self.table()
        return everything.take(np.flatnonzero(np.isin(everything.class_id, numbers)))

    def _new_orders(self, n: int) -> NDArray[np.int64]:
        # taken now, so that two edits built one after the other do not claim the same places
        first = self._next_order
        self._next_order += n
        return np.arange(first, first + n)

    def _edit(self, title: str, before: Table, after: Table) -> Edit:
        classes = with_classes_of(self.classes, after.classes)
        changed = (self.classes, classes) if classes != self.classes else None
        return Edit(title, before, after.recoded(classes), changed)


def _used(table: Table) -> list[AnnotationClass]:
    """The classes that any row has."""
    counts = np.bincount(table.class_id, minlength=len(table.classes) + 1)
    return [one for one, count in zip(table.classes, counts[1:], strict=True) if count]


def _sharing(after: Table, before: Table) -> Table:
    """`after`, with the vertices of `before` when they are the same in every row."""
    return after.with_geometry_of(before) if after.same_geometry(before).all() else after
