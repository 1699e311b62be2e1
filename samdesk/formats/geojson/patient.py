"""Features of any form that QuPath's reader takes, and a word on whatever makes no sense in them.

Must not know files or tables.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson
import shapely

from samdesk.domain.columns import Attributes, Color
from samdesk.domain.ellipse import ellipse_in
from samdesk.domain.geometry import Bounds, Shape, ShapeKind
from samdesk.formats.row import Pair, Parts, Row, Tell

from . import members
from .geometry import geometry_of


class _Unusable(Exception):  # noqa: N818 - a feature is left out, and the reason is told
    """Why nothing can be made of a feature."""


def patient_rows(raw: bytes, where: str, repaired: Tell, skipped: Tell) -> Iterator[Row]:
    """Yield the rows of one value of a file: none, one, or with nested features many.

    Parameters
    ----------
    raw : bytes
        JSON without NaN literals (see `stream.split`).
    where : str
        What to call the value in reports.
    repaired, skipped : callable
    """
    try:
        value = _loads(raw, where, repaired)
    except (RecursionError, ValueError) as error:
        skipped(f"{where}: it cannot be read ({error})")
        return
    for feature, place in _features(value, where, skipped):
        try:
            row = _PatientFeature(feature, place, repaired).row()
        except _Unusable as reason:
            skipped(f"{place}: {reason}")
        else:
            if row is not None:
                yield row


def _loads(raw: bytes, where: str, repaired: Tell) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        text = raw.decode("utf-8", "replace")
        if "\ufffd" in text:
            repaired(f"{where}: text that is not UTF-8 was replaced")
        return json.loads(text)


def _features(value: Any, where: str, skipped: Tell) -> Iterator[tuple[dict[str, Any], str]]:
    """Every feature within a value and where it is, parents before their children."""
    waiting = [(value, where)]
    while waiting:
        value, where = waiting.pop()
        inner: list[tuple[Any, str]] = []
        name = value.get("type") if isinstance(value, dict) else None
        if isinstance(value, list):
            inner = [(one, f"{where}[{k}]") for k, one in enumerate(value)]
            if not value:
                skipped(f"{where}: it is an empty list")
        elif not isinstance(value, dict):
            skipped(f"{where}: it is not an object")
        elif name == "Feature":
            yield value, where
            inner = _children(value.get("properties"), where, skipped)
        elif name == "FeatureCollection" or isinstance(value.get("features"), list):
            found = _list_or_nothing(value.get("features"), f"{where}.features", skipped)
            inner = [(one, f"{where}.features[{k}]") for k, one in enumerate(found)]
        elif isinstance(name, str) and name in {*_NESTING, "GeometryCollection"}:
            yield {"geometry": value}, where
        else:
            skipped(f"{where}: its type is {_quoted(name)}, not Feature")
        waiting += reversed(inner)


def _children(properties: Any, where: str, skipped: Tell) -> list[tuple[Any, str]]:
    if not isinstance(properties, dict):
        return []
    lists = ((name, properties.get(name)) for name in members.CHILDREN)
    return [
        (one, f"{where}.{name}[{k}]")
        for name, found in lists
        for k, one in enumerate(_list_or_nothing(found, f"{where}.{name}", skipped))
    ]


def _list_or_nothing(value: Any, where: str, skipped: Tell) -> list[Any]:
    if value is None or isinstance(value, list):
        return value or []
    skipped(f"{where}: it is not a list")
    return []


_NESTING = {
    "Point": (ShapeKind.POINTS, 0),
    "MultiPoint": (ShapeKind.POINTS, 1),
    "LineString": (ShapeKind.LINES, 1),
    "MultiLineString": (ShapeKind.LINES, 2),
    "Polygon": (ShapeKind.AREA, 2),
    "MultiPolygon": (ShapeKind.AREA, 3),
}
"""What a geometry is, and in how many lists its vertices lie."""

_PLURALS = {ShapeKind.AREA: "areas", ShapeKind.LINES: "lines", ShapeKind.POINTS: "points"}


class _PatientFeature:
    """One feature of which any member may be missing, of another form, or wrong."""

    def __init__(self, feature: dict[str, Any], where: str, repaired: Tell) -> None:
        self._feature = feature
        self._where = where
        self._repaired = repaired
        properties = feature.get("properties")
        if not isinstance(properties, dict | None):
            self._tell("its properties are not an object; left out")
        self._properties: dict[str, Any] = properties if isinstance(properties, dict) else {}

    def _tell(self, what: str) -> None:
        self._repaired(f"{self._where}: {what}")

    def row(self) -> Row | None:
        """The row; None for the root of a hierarchy, which is no annotation."""
        object_type = self._object_type()
        if object_type == members.ROOT:
            return None
        geometry = self._feature.get("geometry")
        if not isinstance(geometry, dict):
            raise _Unusable("it has no geometry")
        kind, parts = _parts(geometry)
        lost = [_PLURALS[one] for one in sorted(_kinds(geometry) - {kind}, reverse=True)]
        if lost:
            self._tell(f"{' and '.join(lost)} beside its {_PLURALS[kind]} were left out")
        if kind is ShapeKind.AREA and geometry.get(members.ELLIPSE) is True:
            parts = self._ellipse(parts)
        z, t, channel = self._plane(geometry)
        class_name, class_color = self._class(self._properties.get("classification"))
        return Row(
            self._where,
            kind,
            parts,
            self._id(),
            object_type,
            self._locked(),
            z,
            t,
            class_name,
            class_color,
            self._attributes(geometry, channel),
        )

    def _id(self) -> uuid.UUID | None:
        found = self._feature.get("id")
        if found is None or str(found) in members.OLD_TYPES:
            return None
        try:
            return uuid.UUID(found if isinstance(found, str) else "")
        except ValueError:
            self._tell(f"its id {_quoted(found)} is not a UUID; it got a new one")
            return None

    def _object_type(self) -> str:
        properties = self._properties
        for found in (properties.get("objectType"), properties.get("object_type")):
            if found is not None:
                known = members.object_type(found)
                if known is None:
                    self._tell(f"its object type {_quoted(found)} is not known; read as an annotation")
                return known or "annotation"
        by_id = members.OLD_TYPES.get(str(self._feature.get("id")))
        return members.object_type(properties.get("type")) or by_id or "annotation"

    def _locked(self) -> bool:
        found = self._properties.get("isLocked")
        return found is True or (isinstance(found, str) and found.lower() == "true")

    def _plane(self, geometry: dict[str, Any]) -> tuple[int, int, int | None]:
        """z, t, and the channel when there is one."""
        plane = geometry.get("plane")
        if plane is None:
            return 0, 0, None
        if not isinstance(plane, dict):
            self._tell("its plane is not an object; taken as the first")
            return 0, 0, None
        numbers = {}
        for name, default in (("z", 0), ("t", 0), ("c", -1)):
            numbers[name] = _integer(plane.get(name, default))
            if numbers[name] is None:
                self._tell(f"its plane has no number {name}; taken as {default}")
        channel = numbers["c"]
        return numbers["z"] or 0, numbers["t"] or 0, None if channel == -1 else channel

    def _class(self, found: Any) -> tuple[str | None, Color | None]:
        names: list[str] = []
        color = None
        while isinstance(found, dict) and found:  # a class of the old form, then its parents
            if color is None:
                color = self._class_color(found.get("color", found.get("colorRGB")))
            own = found.get("names", found.get("name"))
            names[:0] = [str(one) for one in (own if isinstance(own, list) else [own]) if one is not None]
            found = found.get("parentClass")
        if isinstance(found, str):
            names.insert(0, found)
        elif found:
            self._tell("its classification is neither text nor an object; left out")
        name = _class_name(names)
        if names and name is None:
            self._tell("the name of its class is blank; left unclassified")
        return name, color

    def _class_color(self, found: Any) -> Color | None:
        color = _color(found)
        if color is None and found is not None and found != []:
            self._tell(f"the color {_quoted(found)} of its class is not understood; made from the name")
        return color

    def _attributes(self, geometry: dict[str, Any], channel: int | None) -> Attributes | None:
        properties = self._properties
        name = properties.get("name")
        color = properties.get("color")
        provenance = properties.get(members.PROVENANCE)
        own_color = _color(color) if not isinstance(color, list) or len(color) == 3 else None
        if color is not None and own_color is None:
            self._tell(f"its color {_quoted(color)} is not understood; left out")
        found = Attributes(
            "" if name is None else str(name),
            own_color,
            self._measurements(properties.get("measurements")),
            self._metadata(properties.get("metadata")),
            self._storable(provenance) if isinstance(provenance, dict) else {},
            self._storable(self._extra(geometry, channel)),
        )
        return found if found != Attributes() else None

    def _measurements(self, found: Any) -> dict[str, float]:
        if isinstance(found, list):  # the old form
            pairs = [(one.get("name"), one.get("value")) for one in found if isinstance(one, dict)]
        elif isinstance(found, dict):
            pairs = list(found.items())
        else:
            if found is not None:
                self._tell("its measurements are not a map; left out")
            return {}
        numbers = {}
        for name, value in pairs:
            number = _number(value)
            if number is not None:
                numbers[str(name)] = number
            elif value is not None:
                self._tell(f"its measurement {_quoted(name)} is not a number; left out")
        return numbers

    def _metadata(self, found: Any) -> dict[str, str]:
        if not isinstance(found, dict):
            if found is not None:
                self._tell("its metadata is not a map; left out")
            return {}
        texts = {}
        for name, value in found.items():
            if isinstance(value, dict | list):
                self._tell(f"its metadata {_quoted(name)} is not text; left out")
            elif value is not None:
                texts[name] = value if isinstance(value, str) else json.dumps(value)
        return texts

    def _extra(self, geometry: dict[str, Any], channel: int | None) -> dict[str, Any]:
        """The members that are not understood, by where they were."""
        properties = {k: v for k, v in self._properties.items() if k not in members.PROPERTIES}
        if members.object_type(properties.get("type")):
            del properties["type"]
        provenance = self._properties.get(members.PROVENANCE)
        if provenance is not None and not isinstance(provenance, dict):
            self._tell(f"its member {_quoted(members.PROVENANCE)} is not an object; left out")
        inside = {k: v for k, v in geometry.items() if k not in members.GEOMETRY}
        if geometry.get(members.ELLIPSE) is True:
            inside[members.ELLIPSE] = True
        if channel is not None:
            inside["plane"] = {"c": channel}
        feature = {k: v for k, v in self._feature.items() if k not in members.FEATURE}
        if _NUCLEUS in feature:
            self._check_nucleus(feature)
        extra = {"feature": feature, "properties": properties, "geometry": inside}
        return {where: found for where, found in extra.items() if found}

    def _check_nucleus(self, feature: dict[str, Any]) -> None:
        """Make the second geometry of a cell valid now, since it is written back as it is."""
        if _is_valid(feature[_NUCLEUS]):
            return
        try:
            kind, parts = _parts(feature[_NUCLEUS])
            nucleus = geometry_of(Shape.from_parts(parts, kind))
        except (_Unusable, AttributeError):
            nucleus = None
        if nucleus is None:
            del feature[_NUCLEUS]
            self._tell("its nucleus has no usable geometry; left out")
        else:
            feature[_NUCLEUS] = orjson.loads(orjson.dumps(nucleus, option=orjson.OPT_SERIALIZE_NUMPY))
            self._tell("its nucleus was not valid and was rebuilt")

    def _storable(self, found: dict[str, Any]) -> dict[str, Any]:
        if not found or members.can_be_written(found):
            return found
        self._tell("members that are not known are nested too deeply; left out")
        return {}

    def _ellipse(self, parts: Parts) -> Parts:
        """The ellipse in the box around the parts; QuPath marks one by a member of the geometry."""
        vertices = np.array([vertex for rings in parts for ring in rings for vertex in ring])
        if not len(vertices) or not np.isfinite(vertices).all():
            return parts
        low, high = vertices.min(axis=0), vertices.max(axis=0)
        (ring,) = ellipse_in(Bounds(*low.tolist(), *high.tolist())).to_parts()[0]
        if len(parts) == len(parts[0]) == 1 and len(vertices) > len(ring):
            return parts  # it is as round as that already
        outline = [(float(x), float(y)) for x, y in ring]
        return [[[*outline, outline[0]]]]


_NUCLEUS = "nucleusGeometry"
"""Member of a feature: the second geometry of a cell, which QuPath writes beside the first."""


def _is_valid(geometry: Any) -> bool:
    """Whether this is a polygon or multipolygon that QuPath takes as it is."""
    if not isinstance(geometry, dict) or geometry.keys() != {"type", "coordinates"}:
        return False
    try:
        found = shapely.from_geojson(orjson.dumps(geometry))
    except shapely.errors.ShapelyError:
        return False
    return bool(
        shapely.get_dimensions(found) == 2 and shapely.is_valid(found) and not shapely.is_empty(found)
    )


def _parts(geometry: dict[str, Any]) -> tuple[ShapeKind, Parts]:
    """The parts of a geometry; of a collection, those of its highest dimension."""
    name = geometry.get("type")
    if name == "GeometryCollection":
        found = [_parts(one) for one in geometry.get("geometries") or [] if isinstance(one, dict)]
        if not found:
            raise _Unusable("its geometry is empty")
        highest = min(kind for kind, _ in found)
        parts = [part for kind, inner in found if kind is highest for part in inner]
        if highest is ShapeKind.POINTS:
            parts = [[[vertex for part in parts for ring in part for vertex in ring]]]
        return highest, parts
    if not isinstance(name, str) or name not in _NESTING:
        raise _Unusable(f"its geometry is of type {_quoted(name)}")
    kind, depth = _NESTING[name]
    coordinates = geometry.get("coordinates")
    if kind is ShapeKind.AREA:
        polygons = [coordinates] if depth == 2 else _listed(coordinates)
        return kind, [[_pairs(ring) for ring in _listed(rings)] for rings in polygons]
    if kind is ShapeKind.LINES:
        lines = [coordinates] if depth == 1 else _listed(coordinates)
        return kind, [[_pairs(line)] for line in lines]
    return kind, [[_pairs(coordinates if depth else [coordinates] if coordinates else [])]]


def _kinds(geometry: dict[str, Any]) -> set[ShapeKind]:
    """What there is in a geometry: several things only in a collection."""
    name = geometry.get("type")
    if name == "GeometryCollection":
        inner = [one for one in geometry.get("geometries") or [] if isinstance(one, dict)]
        return set().union(*map(_kinds, inner))
    return {_NESTING[name][0]} if isinstance(name, str) and name in _NESTING else set()


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise _Unusable("its coordinates are not lists")
    return value


def _pairs(ring: Any) -> list[Pair]:
    """Vertices; a third number and what follows it is a height and is dropped, as QuPath does."""
    try:
        return [(float(x), float(y)) for x, y, *_ in map(_listed, _listed(ring))]
    except (TypeError, ValueError, OverflowError) as error:
        raise _Unusable("a coordinate is not a pair of numbers") from error


def _class_name(names: list[str]) -> str | None:
    """The names of a class and those it is derived from, as QuPath shows them."""
    parts = [part.strip() for name in names for part in name.replace("\n", ":").split(":")]
    return ": ".join(part for part in parts if part) or None


def _color(value: Any) -> Color | None:
    """A color from [r, g, b], [r, g, b, a], [packed], packed (as Java's signed int) or "#rrggbb"."""
    try:
        if isinstance(value, str):
            value = int(value.removeprefix("#"), 16) if len(value) == 7 else None
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if isinstance(value, list):
            red, green, blue, *_ = (int(one) & 255 for one in value[:4])
            return red, green, blue
        packed = int(value)
        return packed >> 16 & 255, packed >> 8 & 255, packed & 255
    except (TypeError, ValueError, OverflowError):
        return None


def _integer(value: Any) -> int | None:
    number = _number(value)
    if number is None or not -(2**31) <= number < 2**31:  # NaN too
        return None
    return int(number)


def _number(value: Any) -> float | None:
    if isinstance(value, bool | None):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _quoted(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return f"“{text[:40]}…”" if len(text) > 40 else f"“{text}”"
