"""Annotations as light values, and as columns: a million of them in a quarter of a gigabyte.

`Annotation` is what a person edits; `Table` is what is kept, moved and compared. Must not
know documents, edits or files.
"""

from __future__ import annotations

from .annotation import (
    DEFAULT_CLASSES,
    DEFAULT_COLOR,
    LOCKED,
    OBJECT_TYPES,
    UNCLASSIFIED,
    Annotation,
    AnnotationClass,
    Attributes,
    Color,
    color_of_name,
    is_ignored,
)
from .cleaning import Repairs
from .ids import IdColumn, id_begins, id_bytes
from .table import Table

__all__ = [
    "DEFAULT_CLASSES",
    "DEFAULT_COLOR",
    "LOCKED",
    "OBJECT_TYPES",
    "UNCLASSIFIED",
    "Annotation",
    "AnnotationClass",
    "Attributes",
    "Color",
    "IdColumn",
    "Repairs",
    "Table",
    "color_of_name",
    "id_begins",
    "id_bytes",
    "is_ignored",
]
