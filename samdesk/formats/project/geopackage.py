"""The GeoPackage side of a project file: its tables, and rows of vertices as geometry blobs.

Written after OGC 12-128r18, GeoPackage 1.3: a header ``GP`` with the envelope, then
little-endian well-known binary. Coordinates are image pixels as float64, which holds the
document's grid of 1/256 px exactly. Must not know transactions or locks.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from samdesk.domain.geometry import GRID, Shape, ShapeKind

APPLICATION_ID = 0x47504B47  # "GPKG"
USER_VERSION = 10300
UNDEFINED_CARTESIAN = -1

SCHEMA = f"""
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {USER_VERSION};
CREATE TABLE gpkg_spatial_ref_sys (
    srs_name TEXT NOT NULL, srs_id INTEGER PRIMARY KEY NOT NULL, organization TEXT NOT NULL,
    organization_coordsys_id INTEGER NOT NULL, definition TEXT NOT NULL, description TEXT);
INSERT INTO gpkg_spatial_ref_sys VALUES
    ('Undefined Cartesian SRS', -1, 'NONE', -1, 'undefined', 'image pixels: x to the right, y down'),
    ('Undefined geographic SRS', 0, 'NONE', 0, 'undefined', 'undefined geographic coordinates'),
    ('WGS 84 geodetic', 4326, 'EPSG', 4326,
     'GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563,'
     || 'AUTHORITY["EPSG","7030"]],AUTHORITY["EPSG","6326"]],PRIMEM["Greenwich",0,'
     || 'AUTHORITY["EPSG","8901"]],UNIT["degree",0.0174532925199433,AUTHORITY["EPSG","9122"]],'
     || 'AUTHORITY["EPSG","4326"]]', 'longitude and latitude');
CREATE TABLE gpkg_contents (
    table_name TEXT NOT NULL PRIMARY KEY, data_type TEXT NOT NULL, identifier TEXT UNIQUE,
    description TEXT DEFAULT '',
    last_change DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')),
    min_x DOUBLE, min_y DOUBLE, max_x DOUBLE, max_y DOUBLE, srs_id INTEGER,
    CONSTRAINT fk_gc_r_srs_id FOREIGN KEY (srs_id) REFERENCES gpkg_spatial_ref_sys(srs_id));
CREATE TABLE gpkg_geometry_columns (
    table_name TEXT NOT NULL, column_name TEXT NOT NULL, geometry_type_name TEXT NOT NULL,
    srs_id INTEGER NOT NULL, z TINYINT NOT NULL, m TINYINT NOT NULL,
    CONSTRAINT pk_geom_cols PRIMARY KEY (table_name, column_name),
    CONSTRAINT uk_gc_table_name UNIQUE (table_name),
    CONSTRAINT fk_gc_tn FOREIGN KEY (table_name) REFERENCES gpkg_contents(table_name),
    CONSTRAINT fk_gc_srs FOREIGN KEY (srs_id) REFERENCES gpkg_spatial_ref_sys(srs_id));
CREATE TABLE annotation (fid INTEGER PRIMARY KEY NOT NULL, geom GEOMETRY NOT NULL);
CREATE TABLE annotation_attributes (
    fid INTEGER PRIMARY KEY NOT NULL, id TEXT NOT NULL UNIQUE, position INTEGER NOT NULL,
    class TEXT, object_type TEXT NOT NULL, flags INTEGER NOT NULL, z INTEGER NOT NULL,
    t INTEGER NOT NULL, name TEXT, color TEXT, details TEXT);
CREATE TABLE samdesk (schema INTEGER NOT NULL, made_by TEXT NOT NULL);
CREATE TABLE classes (position INTEGER PRIMARY KEY NOT NULL, name TEXT NOT NULL UNIQUE, color TEXT NOT NULL);
CREATE TABLE meta (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL);
CREATE TABLE images (
    id INTEGER PRIMARY KEY NOT NULL, name TEXT NOT NULL, path TEXT NOT NULL, relative_path TEXT,
    identity TEXT NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL);
CREATE TABLE journal (
    sequence INTEGER PRIMARY KEY NOT NULL, time TEXT NOT NULL, title TEXT NOT NULL,
    removed INTEGER NOT NULL, written INTEGER NOT NULL);
INSERT INTO gpkg_contents (table_name, data_type, identifier, description, srs_id) VALUES
    ('annotation', 'features', 'annotation', 'shapes in image pixels', -1),
    ('annotation_attributes', 'attributes', 'annotation_attributes', 'one row per annotation, same fid', 0);
INSERT INTO gpkg_geometry_columns VALUES ('annotation', 'geom', 'GEOMETRY', -1, 0, 0);
"""

_POINT, _LINE, _POLYGON, _MULTI = 1, 2, 3, 3  # the code of a multi-geometry is that of its parts + 3
_HEAD = struct.Struct("<2sBBi")
_SIMPLE = struct.Struct("<2sBBi4dBIII")  # all before the vertices of a polygon without holes
_COUNTED = struct.Struct("<BII")
_LITTLE_XY = 0b0011  # little-endian, envelope of x and y
_LITTLE_EMPTY = 0b10001
_ENVELOPE_BYTES = (0, 32, 48, 48, 64)
_SIMPLE_START = _HEAD.pack(b"GP", 0, _LITTLE_XY, UNDEFINED_CARTESIAN)
_SIMPLE_TYPE = _COUNTED.pack(1, _POLYGON, 1)


@dataclass(frozen=True, slots=True, eq=False)
class Ragged:
    """The vertices of n rows, laid out as in `samdesk.domain.columns.Table`.

    Attributes
    ----------
    kind : ndarray, (n,) uint8
        A `ShapeKind` each.
    row_parts, part_rings, ring_coords : ndarray of offsets
    coords : ndarray, (v, 2) int32
        Steps of 1/GRID px.
    """

    kind: NDArray[np.uint8]
    row_parts: NDArray[Any]
    part_rings: NDArray[Any]
    ring_coords: NDArray[Any]
    coords: NDArray[np.int32]


def encode(rows: Ragged) -> Iterator[bytes]:
    """Yield the geometry blob of each row; nothing is rounded."""
    kinds, row_parts, part_rings = rows.kind.tolist(), rows.row_parts.tolist(), rows.part_rings.tolist()
    vertices, ends = _closed(rows)
    starts = ends.tolist()
    data = memoryview(vertices.tobytes())
    envelopes = _envelopes(rows)
    for row, kind in enumerate(kinds):
        first, last = row_parts[row], row_parts[row + 1]
        ring = part_rings[first]
        if kind == ShapeKind.AREA and last - first == 1 and part_rings[last] - ring == 1:
            start, end = starts[ring], starts[ring + 1]
            head = _SIMPLE.pack(
                b"GP", 0, _LITTLE_XY, UNDEFINED_CARTESIAN, *envelopes[row], 1, _POLYGON, 1, end - start
            )
            yield head + data[start * 16 : end * 16]
            continue
        rings = [range(part_rings[part], part_rings[part + 1]) for part in range(first, last)]
        parts = [[data[starts[one] * 16 : starts[one + 1] * 16] for one in part] for part in rings]
        yield _with_header(_well_known(kind, parts), envelopes[row], empty=not any(map(any, parts)))


def decode(blobs: Sequence[bytes]) -> Ragged:
    """Read geometry blobs.

    Raises
    ------
    ValueError, struct.error, IndexError, shapely.errors.GEOSException
        When a blob is not the geometry it claims to be.
    """
    kinds, parts_of, rings_of, rings = [], [], [], []
    for blob in blobs:
        simple = blob[:8] == _SIMPLE_START and blob[40:49] == _SIMPLE_TYPE
        if simple and len(blob) == _SIMPLE.size + 16 * int.from_bytes(blob[49:53], "little"):
            kinds.append(0)
            parts_of.append(1)
            rings_of.append(1)
            rings.append(blob[_SIMPLE.size : -16])
            continue
        kind, parts = _shape(blob)
        kinds.append(int(kind))
        parts_of.append(len(parts))
        rings_of += map(len, parts)
        rings += [ring for part in parts for ring in part]
    return Ragged(
        np.array(kinds, np.uint8),
        _offsets(parts_of),
        _offsets(rings_of),
        _offsets([len(ring) // 16 for ring in rings]),
        _on_grid(np.frombuffer(b"".join(rings), "<f8").reshape(-1, 2)),
    )


def _on_grid(pixels: NDArray[np.float64]) -> NDArray[np.int32]:
    steps = np.rint(pixels * GRID)
    if not (np.abs(steps) < 2**31).all():  # NaN too
        raise ValueError("a coordinate is out of range")
    return steps.astype(np.int32)


def _offsets(counts: list[int]) -> NDArray[np.int64]:
    return np.concatenate(([0], np.cumsum(np.array(counts, np.int64))))


def _closed(rows: Ragged) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The vertices in pixels with the rings of areas closed, and the offsets of the rings in them."""
    starts = rows.ring_coords[:-1].astype(np.int64)
    counts = np.diff(rows.ring_coords).astype(np.int64)
    parts = np.repeat(rows.kind, np.diff(rows.row_parts))
    closing = (np.repeat(parts, np.diff(rows.part_rings)) == ShapeKind.AREA) & (counts > 0)
    ends = np.concatenate(([0], np.cumsum(counts + closing)))
    index = np.arange(ends[-1]) + np.repeat(starts - ends[:-1], counts + closing)
    index[ends[1:][closing] - 1] = starts[closing]
    return (rows.coords[index] / GRID).astype("<f8"), ends


def _envelopes(rows: Ragged) -> list[list[float]]:
    """(min x, max x, min y, max y) of each row in pixels; NaN where a row is empty."""
    starts = rows.ring_coords[rows.part_rings[rows.row_parts]].astype(np.int64)
    filled = np.diff(starts) > 0
    boxes = np.full((len(rows.kind), 4), np.nan)
    if filled.any():
        at = starts[:-1][filled]
        boxes[filled, 0::2] = np.minimum.reduceat(rows.coords, at) / GRID
        boxes[filled, 1::2] = np.maximum.reduceat(rows.coords, at) / GRID
    return boxes.tolist()


def _with_header(body: bytes, envelope: list[float], *, empty: bool) -> bytes:
    if empty:
        return _HEAD.pack(b"GP", 0, _LITTLE_EMPTY, UNDEFINED_CARTESIAN) + body
    return _SIMPLE_START + struct.pack("<4d", *envelope) + body


def _well_known(kind: int, parts: list[list[memoryview]]) -> bytes:
    """Little-endian WKB of one shape; its parts hold the vertices of their rings as bytes."""
    code = {ShapeKind.AREA: _POLYGON, ShapeKind.LINES: _LINE, ShapeKind.POINTS: _POINT}[ShapeKind(kind)]
    if kind == ShapeKind.AREA:
        bodies = [_polygon(rings) for rings in parts]
    elif kind == ShapeKind.LINES:
        bodies = [_COUNTED.pack(1, _LINE, len(rings[0]) // 16) + rings[0] for rings in parts]
    else:
        vertices = b"".join(ring for rings in parts for ring in rings)
        bodies = [
            struct.pack("<BI", 1, _POINT) + vertices[at : at + 16] for at in range(0, len(vertices), 16)
        ]
    if len(bodies) == 1:
        return bodies[0]
    return _COUNTED.pack(1, code + _MULTI, len(bodies)) + b"".join(bodies)


def _polygon(rings: list[memoryview]) -> bytes:
    counted = [struct.pack("<I", len(ring) // 16) + ring for ring in rings]
    return _COUNTED.pack(1, _POLYGON, len(rings)) + b"".join(counted)


def _shape(blob: bytes) -> tuple[ShapeKind, list[list[bytes]]]:
    """Read any geometry blob as the open rings of its parts."""
    if blob[:2] != b"GP" or len(blob) < 13:
        raise ValueError("a geometry has no GeoPackage header")
    body = blob[8 + _ENVELOPE_BYTES[blob[3] >> 1 & 7] :]
    code, parts, end = _read(body, 0)
    if end != len(body):  # not as this program writes it
        other = Shape.from_shapely(shapely.from_wkb(body))
        return other.kind, [[ring.astype("<f8").tobytes() for ring in part] for part in other.to_parts()]
    if code == _POINT:
        return ShapeKind.POINTS, [[b"".join(rings[0] for rings in parts)]] if parts else []
    if code == _LINE:
        return ShapeKind.LINES, parts
    return ShapeKind.AREA, [[ring[:-16] for ring in rings] for rings in parts]


def _read(body: bytes, at: int) -> tuple[int, list[list[bytes]], int]:
    """Read a little-endian geometry of two dimensions: type, parts and end, which is -1 for any other."""
    order, code = struct.unpack_from("<BI", body, at)
    if order != 1 or not _POINT <= code <= _POLYGON + _MULTI:
        return 0, [], -1
    if code == _POINT:
        return code, [[body[at + 5 : at + 21]]], at + 21
    (count,) = struct.unpack_from("<I", body, at + 5)
    at += 9
    if code == _LINE:
        return code, [[body[at : at + 16 * count]]], at + 16 * count
    if code == _POLYGON:
        rings = []
        for _ in range(count):
            (vertices,) = struct.unpack_from("<I", body, at)
            rings.append(body[at + 4 : at + 4 + 16 * vertices])
            at += 4 + 16 * vertices
        return code, [rings], at
    parts: list[list[bytes]] = []
    for _ in range(count):
        _, part, at = _read(body, at)
        if at < 0:
            return 0, [], -1
        parts += part
    return code - _MULTI, parts, at
