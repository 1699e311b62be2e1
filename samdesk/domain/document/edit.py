"""`Edit`: rows before and rows after. Must not know the document it belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samdesk.domain.columns.table import ATTRIBUTES_BYTES, Classes, Table, held_bytes
from samdesk.domain.geometry import Bounds


@dataclass(frozen=True, slots=True, eq=False)
class Edit:
    """One change of a document, in columns. Undo, the project file, lists and repaints use it alike.

    Attributes
    ----------
    title : str
        What it does, for the user ("Delete 3 annotations").
    before : Table
        The rows that are replaced or removed, as they are.
    after : Table
        The rows that are added, or take the place of those in `before` with the same id.
    classes : (tuple of AnnotationClass, tuple of AnnotationClass) or None
        The document's classes before and after; None when they stay.
    """

    title: str
    before: Table
    after: Table
    classes: tuple[Classes, Classes] | None = None

    def inverse(self) -> Edit:
        """The edit that takes this one back."""
        classes = self.classes and (self.classes[1], self.classes[0])
        return Edit(self.title, self.after, self.before, classes)

    @property
    def is_empty(self) -> bool:
        """Whether it changes nothing."""
        kept = self.classes is None or self.classes[0] == self.classes[1]
        return kept and not len(self.before) and not len(self.after)

    @property
    def keeps_geometry(self) -> bool:
        """Whether it only changes other columns: same ids, same vertices, same planes, row by row."""
        return self.keeps_ids and bool(self.before.same_geometry(self.after).all())

    @property
    def keeps_ids(self) -> bool:
        """Whether no row comes or goes: the same ids on both sides, row by row."""
        before, after = self.before.ids, self.after.ids
        return before is after or np.array_equal(before, after)

    @property
    def bounds(self) -> Bounds | None:
        """The box around all that changes, in image pixels; None when there is no row."""
        before, after = self.before.bounding_box(), self.after.bounding_box()
        return before.union(after) if before and after else before or after

    def arrays(self) -> list[NDArray[Any]]:
        """Every array it keeps alive; tables of many rows share theirs with the document."""
        return [*self.before.arrays(), *self.after.arrays()]

    @property
    def attributes_nbytes(self) -> int:
        """Estimate for the attributes; those that both sides share count once."""
        tables = {id(table.attributes): table.attributes for table in (self.before, self.after)}
        return ATTRIBUTES_BYTES * sum(map(len, tables.values()))

    @property
    def nbytes(self) -> int:
        """Memory of all that it keeps alive."""
        return held_bytes(self.arrays()) + self.attributes_nbytes
