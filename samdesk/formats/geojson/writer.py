"""Annotations to GeoJSON that QuPath takes, a batch at a time.

One invalid ring makes QuPath refuse a whole file, so every geometry is checked after it was
rounded. Must not know how GeoJSON is read.
"""

from __future__ import annotations

import gzip
import math
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import orjson
import shapely
from numpy.typing import NDArray

from samdesk.domain.columns import (
    DEFAULT_CLASSES,
    LOCKED,
    OBJECT_TYPES,
    Annotation,
    Attributes,
    Repairs,
    Table,
)
from samdesk.domain.document import Document, Snapshot
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import GRID, FloatArray, ShapeKind
from samdesk.domain.outline.cleanup import EXPORT_STEPS, SMALLEST_PART
from samdesk.domain.tasks import Task
from samdesk.formats.atomic import replacing

from . import members
from .geometry import Member, geometry_of, member

Source = Document | Snapshot | Table | Iterable[Annotation]

BATCH = 1000
"""Features encoded at a time; the interpreter is held for less than 10 ms."""

_GZIP_LEVEL = 5
_EPOCH = (1980, 1, 1, 0, 0, 0)


def write_geojson(path: str | Path, source: Source, task: Task | None = None) -> int:
    """Write a FeatureCollection by QuPath's rules.

    The file appears whole or not at all: when anything fails, or the task is cancelled, the old
    file stays. Memory does not grow with the number of annotations.

    Parameters
    ----------
    path : path-like
        With a name that ends in ``.gz`` or ``.zip`` it is packed, always to the same bytes. The
        entry of a zip archive is named after it.
    source : Document, Snapshot, Table or iterable of Annotation
        A document only on its own thread; a snapshot or a table on any. Annotations by themselves
        have no class colors: the default classes have theirs, others one made from the name.
    task : Task, optional

    Returns
    -------
    int
        How many annotations were written. Those of which nothing is left after rounding to 0.01 px
        are left out, because QuPath refuses a file with an empty geometry.

    Raises
    ------
    SamdeskError
        When the file cannot be written.
    Cancelled
    """
    path = Path(path)
    task = task or Task()
    total = len(source) if isinstance(source, Document | Snapshot | Table) else None
    done = written = 0
    with replacing(path) as fresh, ExitStack() as opened:
        file: BinaryIO = opened.enter_context(fresh.open("xb"))
        if path.suffix.lower() == ".gz":
            packed = gzip.GzipFile("", "wb", _GZIP_LEVEL, file, mtime=0)
            file = cast(BinaryIO, opened.enter_context(packed))
        elif path.suffix.lower() == ".zip":
            archive = opened.enter_context(zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED))
            info = zipfile.ZipInfo(_entry_name(path), _EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            file = cast(BinaryIO, opened.enter_context(archive.open(info, "w", force_zip64=True)))
        file.write(b'{"type":"FeatureCollection","features":[')
        for batch in _batches(source):
            features = encode(batch)
            if features:
                file.write((b",\n" if written else b"\n") + b",\n".join(features))
            done += len(batch)
            written += len(features)
            task.progress(done / total if total else None, f"{written:,} annotations written")
        file.write(b"\n]}\n")
    return written


def _entry_name(path: Path) -> str:
    name = path.name[: -len(".zip")]
    return name if name.lower().endswith((".geojson", ".json")) else f"{name}.geojson"


def dumps(annotations: Source) -> str:
    """Give a FeatureCollection as text, for the clipboard and for other programs."""
    features = [feature for batch in _batches(annotations) for feature in encode(batch)]
    return '{"type":"FeatureCollection","features":[' + b",".join(features).decode() + "]}"


def encode(table: Table) -> list[bytes]:
    """Encode each row that has a geometry after rounding as one Feature."""
    common = _CommonProperties(table)
    hexes = table.ids.tobytes().hex()
    features = []
    for row, geometry in enumerate(_geometries(table)):
        if geometry is None:
            continue
        h = hexes[row * 32 : row * 32 + 32]
        feature: Member = {
            "type": "Feature",
            "id": f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}",
            "geometry": geometry,
        }
        z, t = int(table.z[row]), int(table.t[row])
        if z or t:
            geometry["plane"] = {"c": -1, "z": z, "t": t}
        own = table.attributes.get(row)
        if own is None:
            feature["properties"] = common.encoded(row)
        else:
            feature["properties"] = _properties(common.members(row), own)
            _add_unknown(feature, own.extra)
        features.append(_encoded(feature))
    return features


def _batches(source: Source) -> Iterator[Table]:
    if isinstance(source, Document | Snapshot):
        source = source.table()
    if isinstance(source, Table):
        for start in range(0, len(source), BATCH):
            yield source.take(np.arange(start, min(start + BATCH, len(source))))
        return
    waiting = iter(source)
    while batch := list(islice(waiting, BATCH)):
        # shapes that vanish on the grid are dropped, as all are that have nothing to write
        yield Table.from_annotations(batch, DEFAULT_CLASSES, Repairs())


def _encoded(feature: Member) -> bytes:
    try:
        return orjson.dumps(feature, option=orjson.OPT_SERIALIZE_NUMPY)
    except TypeError as error:
        raise SamdeskError(
            f"The annotation {feature['id']} holds something that JSON cannot: {error}.",
            "Its provenance and its members from other programs may hold text, numbers, lists and maps.",
        ) from error


# Properties


class _CommonProperties:
    """The properties that many rows of a table share, each combination encoded once."""

    def __init__(self, table: Table) -> None:
        self._keys = list(
            zip(table.object_type.tolist(), table.flags.tolist(), table.class_id.tolist(), strict=True)
        )
        self._classes = table.classes
        self._encoded: dict[tuple[int, int, int], orjson.Fragment] = {}

    def encoded(self, row: int) -> orjson.Fragment:
        key = self._keys[row]
        if key not in self._encoded:
            self._encoded[key] = orjson.Fragment(orjson.dumps(self.members(row)))
        return self._encoded[key]

    def members(self, row: int) -> Member:
        object_type, flags, class_id = self._keys[row]
        found: Member = {"objectType": OBJECT_TYPES[object_type]}
        if class_id:
            name, color = self._classes[class_id - 1]
            found["classification"] = {**_class_name(name), "color": list(color)}
        if flags & LOCKED:
            found["isLocked"] = True
        return found


def _class_name(name: str) -> Member:
    names = [part.strip() for part in name.replace("\n", ":").split(":")]
    names = [part for part in names if part] or ["Unnamed"]  # QuPath refuses a file with a blank name
    return {"names": names} if len(names) > 1 else {"name": names[0]}


def _properties(found: Member, own: Attributes) -> Member:
    if own.name:
        found["name"] = own.name
    if own.color is not None:
        found["color"] = list(own.color)
    if own.measurements:
        found["measurements"] = {str(name): _number(value) for name, value in own.measurements.items()}
    if own.metadata:
        found["metadata"] = {str(name): str(value) for name, value in own.metadata.items()}
    if own.provenance:
        found[members.PROVENANCE] = dict(own.provenance)
    return found


def _number(value: float) -> float | str:
    value = float(value)
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _add_unknown(feature: Member, extra: Mapping[str, Any]) -> None:
    """Write the members back that came from a file and are not understood here."""
    for holder, where, known in (
        (feature, "feature", members.FEATURE),
        (feature["properties"], "properties", members.PROPERTIES),
        (feature["geometry"], "geometry", members.GEOMETRY),
    ):
        for name, value in extra.get(where, {}).items():
            if name not in known:
                holder.setdefault(name, value)
    ellipse = extra.get("geometry", {}).get(members.ELLIPSE) is True
    if ellipse and feature["geometry"]["type"] == "Polygon":  # a null there is an error to QuPath
        feature["geometry"][members.ELLIPSE] = True
    channel = extra.get("geometry", {}).get("plane", {}).get("c")
    if channel is not None:
        plane = feature["geometry"].setdefault("plane", {"c": -1, "z": 0, "t": 0})
        plane["c"] = channel


# Geometry


def _geometries(table: Table) -> list[Member | None]:
    """The geometry of each row, valid after rounding; None where nothing is left."""
    areas = np.flatnonzero(table.kind == ShapeKind.AREA)
    plain: list[Member | None] = _areas(table.take(areas)) if len(areas) else []
    geometries: list[Member | None] = [None] * len(table)
    for row, geometry in zip(areas.tolist(), plain, strict=True):
        geometries[row] = geometry
    for row in np.flatnonzero(table.kind != ShapeKind.AREA).tolist():
        geometries[row] = geometry_of(table.shape(row))
    return geometries


def _areas(table: Table) -> list[Member | None]:
    """Polygons and multipolygons, checked all at once; only what fails is rebuilt one by one."""
    coords, ring_ends = _rounded_and_closed(table)
    valid = _valid_rows(table, coords, ring_ends).tolist()
    row_parts, part_rings, ends = table.row_parts.tolist(), table.part_rings.tolist(), ring_ends.tolist()
    geometries: list[Member | None] = []
    for row, good in enumerate(valid):
        if not good:
            geometries.append(geometry_of(table.shape(row)))
            continue
        parts = [
            [coords[ends[ring] : ends[ring + 1]] for ring in range(part_rings[p], part_rings[p + 1])]
            for p in range(row_parts[row], row_parts[row + 1])
        ]
        geometries.append(member(ShapeKind.AREA, parts))
    return geometries


def _rounded_and_closed(table: Table) -> tuple[FloatArray, NDArray[np.int64]]:
    """Vertices (v, 2) in px at 0.01 px with the first of each ring repeated, and the offsets of the rings."""
    counts = np.diff(table.ring_coords).astype(np.int64)
    starts = table.ring_coords[:-1].astype(np.int64)
    ends = np.concatenate(([0], np.cumsum(counts + 1)))
    index = np.arange(ends[-1]) + np.repeat(starts - ends[:-1], counts + 1)
    index[ends[1:] - 1] = starts
    rounded = np.rint(table.coords[index] * (EXPORT_STEPS / GRID)) / EXPORT_STEPS
    return rounded + 0.0, ends  # no -0.0


def _valid_rows(table: Table, coords: FloatArray, ring_ends: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which rows are valid and have no part below `SMALLEST_PART`; (n,) bool."""
    part_rings, row_parts = table.part_rings.astype(np.int64), table.row_parts.astype(np.int64)
    parts = shapely.from_ragged_array(shapely.GeometryType.POLYGON, coords, (ring_ends, part_rings))
    good = shapely.is_valid(parts) & (shapely.area(parts) >= SMALLEST_PART)
    valid: NDArray[np.bool_] = np.logical_and.reduceat(good, row_parts[:-1])
    several = np.flatnonzero(valid & (np.diff(row_parts) > 1))
    if len(several):
        chosen = [parts[row_parts[row] : row_parts[row + 1]] for row in several]
        valid[several] = shapely.is_valid([shapely.multipolygons(one) for one in chosen])
    return valid
