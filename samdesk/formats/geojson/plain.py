"""Polygons as QuPath writes them, quickly. Whatever is written otherwise is left to `patient`."""

from __future__ import annotations

import re
import uuid
from typing import Annotated, Any, Literal

import msgspec

from samdesk.domain.columns import Attributes
from samdesk.domain.geometry import ShapeKind
from samdesk.formats.row import Pair, Row

from .members import can_be_written

_Int32 = Annotated[int, msgspec.Meta(ge=-(2**31), lt=2**31)]
_Byte = Annotated[int, msgspec.Meta(ge=0, le=255)]
_Rgb = tuple[_Byte, _Byte, _Byte]
_Ring = list[Pair]


class _Plane(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    c: Literal[-1] = -1
    z: _Int32 = 0
    t: _Int32 = 0


class _Polygon(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="Polygon"):
    coordinates: list[_Ring]
    plane: _Plane = _Plane()


class _MultiPolygon(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="MultiPolygon"
):
    coordinates: list[list[_Ring]]
    plane: _Plane = _Plane()


class _Class(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    color: _Rgb
    name: str = ""
    names: tuple[str, ...] = ()


class _Properties(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    objectType: Literal["annotation", "detection", "cell", "tile", "tmaCore"] = "annotation"  # noqa: N815
    classification: _Class | None = None
    isLocked: bool = False  # noqa: N815
    name: str = ""
    color: _Rgb | None = None
    measurements: dict[str, float] = {}
    metadata: dict[str, str] = {}
    samdesk: dict[str, Any] = {}


class _Feature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    type: Literal["Feature"]
    geometry: _Polygon | _MultiPolygon
    id: uuid.UUID | None = None
    properties: _Properties = _Properties()


_decode = msgspec.json.Decoder(_Feature).decode
_decode_many = msgspec.json.Decoder(list[_Feature]).decode
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_CLEAN_NAME = re.compile(r"[^\s:](?:[^:\n]*[^\s:])?(?:: [^\s:](?:[^:\n]*[^\s:])?)*")
"""A class name, or several joined as in `patient`."""


def plain_features(array: bytes) -> list[Any] | None:
    """Read a JSON array of features, for `plain_row`; None when one is not plain, or damaged."""
    try:
        return _decode_many(array)
    except _UNREADABLE:
        return None


def plain_row(value: Any, where: str) -> Row | None:
    """The row of one of `plain_features`, or of a raw feature; None when it is not plain, or damaged."""
    feature = value
    if isinstance(value, msgspec.Raw):
        try:
            feature = _decode(value)
        except _UNREADABLE:
            return None
    geometry, own = feature.geometry, feature.properties
    found = own.classification
    class_name = None
    if found is not None:
        class_name = found.name if found.name and not found.names else ": ".join(found.names)
        if not _CLEAN_NAME.fullmatch(class_name):
            return None
    attributes = None
    if own.name or own.color or own.measurements or own.metadata or own.samdesk:
        if own.samdesk and not can_be_written(own.samdesk):
            return None
        attributes = Attributes(own.name, own.color, own.measurements, own.metadata, own.samdesk)
    return Row(
        where,
        ShapeKind.AREA,
        [geometry.coordinates] if isinstance(geometry, _Polygon) else geometry.coordinates,
        feature.id,
        own.objectType,
        own.isLocked,
        geometry.plane.z,
        geometry.plane.t,
        class_name,
        found.color if found else None,
        attributes,
    )
