"""An annotation of a file on its way into columns. Must not know any format, or tables."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import NamedTuple

from samdesk.domain.columns import Attributes, Color
from samdesk.domain.geometry import ShapeKind

Pair = tuple[float, float]
Parts = list[list[list[Pair]]]
Tell = Callable[[str], None]
"""Receives a line for the report: where, and what."""


class Row(NamedTuple):
    """An annotation as a file has it: rings may be closed or not, and need not be valid.

    `id` is None where a new one is needed; `where` is what the annotation is called in reports.
    """

    where: str
    kind: ShapeKind
    parts: Parts
    id: uuid.UUID | None = None
    object_type: str = "annotation"
    locked: bool = False
    z: int = 0
    t: int = 0
    class_name: str | None = None
    class_color: Color | None = None
    attributes: Attributes | None = None
