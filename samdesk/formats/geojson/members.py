"""The members of a QuPath feature that are understood here. Must not know how they are read or written."""

from __future__ import annotations

from typing import Any

import orjson

from samdesk.domain.columns import OBJECT_TYPES

FEATURE = frozenset({"type", "id", "geometry", "properties"})
ELLIPSE = "isEllipse"
"""Of a geometry: QuPath takes it for the ellipse in its box."""

GEOMETRY = frozenset({"type", "coordinates", "geometries", "plane", ELLIPSE})
CHILDREN = ("childObjects", "children")
PROVENANCE = "samdesk"
PROPERTIES = frozenset(
    {
        "objectType",
        "object_type",
        "name",
        "color",
        "classification",
        "isLocked",
        "measurements",
        "metadata",
        PROVENANCE,
        *CHILDREN,
    }
)
"""Of the properties, besides ``type``, which is an alias of ``objectType`` only when it names one."""

ROOT = "root"
TYPES = {name.lower(): name for name in (*OBJECT_TYPES, ROOT)}
"""Kinds of object by their names in small letters."""

OLD_TYPES = {
    "PathAnnotationObject": "annotation",
    "PathDetectionObject": "detection",
    "PathCellObject": "cell",
    "PathTileObject": "tile",
    "TMACoreObject": "tmaCore",
    "PathRootObject": ROOT,
}
"""Their names in older files, where they may stand in the place of the id."""


def object_type(name: object) -> str | None:
    """The kind of object of this name; None when there is none."""
    return (TYPES.get(name.lower()) or OLD_TYPES.get(name)) if isinstance(name, str) else None


def can_be_written(value: Any) -> bool:
    """Whether the encoder takes a value, as deep in a feature as it will be (its depth is limited)."""
    try:
        orjson.dumps([[[[[[value]]]]]])
    except TypeError:
        return False
    return True
