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
    Annotation,
    AnnotationClass,
    Attributes,
    Color,
    color_of_name,
)
from .cleaning import Repairs
from .table import Table, id_bytes

__all__ = [
    "DEFAULT_CLASSES",
    "DEFAULT_COLOR",
    "LOCKED",
    "OBJECT_TYPES",
    "Annotation",
    "AnnotationClass",
    "Attributes",
    "Color",
    "Repairs",
    "Table",
    "color_of_name",
    "id_bytes",
]
