"""Shapes made from shapes: merged, cut, grown, turned inside out; one by one, or a table at once.

All results are valid and lie on the document's grid of 1/`GRID` px; where nothing is left, they
are empty. Must not know documents, edits or units other than pixels.
"""

from __future__ import annotations

from .reshaped import EDITED, reshaped
from .rows import (
    Change,
    Reshaped,
    colored_rows,
    filled_rows,
    grown_rows,
    locked_rows,
    merged_rows,
    parts_of_rows,
    reshaped_rows,
    rows_without_fragments,
    simplified_rows,
)
from .shapes import (
    clipped,
    filled,
    intersected,
    inverse,
    merged,
    of_kind,
    parts_of,
    quarter_segments,
    subtracted,
)

__all__ = [
    "EDITED",
    "Change",
    "Reshaped",
    "clipped",
    "colored_rows",
    "filled",
    "filled_rows",
    "grown_rows",
    "intersected",
    "inverse",
    "locked_rows",
    "merged",
    "merged_rows",
    "of_kind",
    "parts_of",
    "parts_of_rows",
    "quarter_segments",
    "reshaped",
    "reshaped_rows",
    "rows_without_fragments",
    "simplified_rows",
    "subtracted",
]
