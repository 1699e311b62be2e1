"""Geometry blobs and tables are those of the GeoPackage standard (OGC 12-128r18, version 1.3)."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from samdesk.domain.columns import Annotation, Table
from samdesk.domain.document import Document
from samdesk.domain.geometry import Plane, Shape, ShapeKind
from samdesk.formats.project import ProjectStore
from samdesk.formats.project.geopackage import Ragged, decode, encode
from tests.annotation_tables import shapes, star_table

quick = settings(deadline=None, max_examples=80)


def ragged(table: Table) -> Ragged:
    return Ragged(table.kind, table.row_parts, table.part_rings, table.ring_coords, table.coords)


def table_of(*many: Shape) -> Table:
    return Table.from_annotations([Annotation(shape) for shape in many])


def same(a: Ragged, b: Ragged) -> bool:
    return all(
        np.array_equal(getattr(a, name), getattr(b, name))
        for name in ("kind", "row_parts", "part_rings", "ring_coords", "coords")
    )


@quick
@given(st.lists(shapes(), min_size=1, max_size=8))
def test_shapes_survive_exactly(many: list[Shape]) -> None:
    rows = ragged(table_of(*many))
    assert same(decode(list(encode(rows))), rows)


@quick
@given(shapes())
def test_blobs_are_as_the_standard_says(shape: Shape) -> None:
    table = table_of(shape)
    (blob,) = encode(ragged(table))
    magic, version, flags, srs = struct.unpack_from("<2sBBi", blob)
    assert (magic, version, flags, srs) == (b"GP", 0, 0b0011, -1)
    x0, x1, y0, y1 = struct.unpack_from("<4d", blob, 8)
    geometry = shapely.from_wkb(blob[40:])
    assert geometry.bounds == (x0, y0, x1, y1)
    assert geometry.equals_exact(table.shape(0).to_shapely())
    assert geometry.geom_type == table.shape(0).to_shapely().geom_type


def test_rows_that_are_empty_are_kept() -> None:
    nothing = np.zeros(2, np.int64)
    for kind in ShapeKind:
        rows = Ragged(
            np.array([kind], np.uint8), nothing, nothing[:1], nothing[:1], np.empty((0, 2), np.int32)
        )
        (blob,) = encode(rows)
        assert blob[3] & 0b10000
        assert shapely.from_wkb(blob[8:]).is_empty
        assert same(decode([blob]), Ragged(rows.kind, nothing, nothing[:1], nothing[:1], rows.coords))


@pytest.mark.parametrize(
    "geometry",
    [
        shapely.Polygon([(0, 0), (4, 0), (0, 4)], [[(1, 1), (2, 1), (1, 2)]]),
        shapely.MultiPolygon([shapely.box(0, 0, 1, 1), shapely.box(5, 5, 6, 6)]),
        shapely.LineString([(0, 0), (1, 1)]),
        shapely.MultiPoint([(0, 0), (1, 1)]),
        shapely.force_3d(shapely.box(0, 0, 1, 1)),
        shapely.GeometryCollection([shapely.Point(5, 5), shapely.box(0, 0, 1, 1)]),
    ],
)
@pytest.mark.parametrize("byte_order", [0, 1])
@pytest.mark.parametrize("envelope", [0, 32, 48, 64])
def test_what_other_programs_write_is_read(
    geometry: shapely.Geometry, byte_order: int, envelope: int
) -> None:
    code = {0: 0, 32: 1, 48: 2, 64: 4}[envelope]
    head = b"GP\0" + bytes([byte_order | code << 1]) + struct.pack("<i" if byte_order else ">i", -1)
    blob = head + bytes(envelope) + shapely.to_wkb(geometry, byte_order=byte_order, flavor="iso")
    expected = table_of(Shape.from_shapely(geometry))
    read = decode([blob])
    assert same(
        read,
        ragged(
            Table.from_arrays(read.coords, read.ring_coords, read.part_rings, read.row_parts, kind=read.kind)
        ),
    )
    assert np.array_equal(read.coords, expected.coords)
    assert read.kind.tolist() == expected.kind.tolist()


@pytest.mark.parametrize(
    "damage",
    [
        lambda blob: b"",
        lambda blob: blob[:30],
        lambda blob: b"XX" + blob[2:],
        lambda blob: blob[:41] + b"\xff" + blob[42:],
        lambda blob: blob[:-8],
        lambda blob: blob[:-16],
        lambda blob: blob[:61] + struct.pack("<d", np.nan) + blob[69:],
        lambda blob: blob[:61] + struct.pack("<d", 1e300) + blob[69:],
    ],
)
def test_damaged_blobs_are_refused(damage) -> None:
    (blob,) = encode(ragged(table_of(Shape.box(0, 0, 4, 4))))
    with pytest.raises((ValueError, struct.error, shapely.errors.ShapelyError)):
        decode([damage(blob)])


# The file


@pytest.fixture
def file(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    document = Document()
    with ProjectStore.open(tmp_path / "a.gpkg", create=True) as store:
        for edit in (
            document.adding(star_table(50).with_class("Tumor")),
            document.adding(
                [Annotation(Shape.points([(1, 2)])), Annotation(Shape.box(1, 2, 3, 4), plane=Plane(1, 2))]
            ),
        ):
            document.apply(edit)
            store.append(edit)
    with closing(sqlite3.connect(tmp_path / "a.gpkg")) as db:
        yield db


def test_the_file_is_a_geopackage(file: sqlite3.Connection) -> None:
    """Requirements 2, 3, 6, 10, 11, 13 to 17, 21 to 31 and 118 of the standard, as far as they apply."""
    assert file.execute("PRAGMA application_id").fetchone() == (0x47504B47,)
    assert file.execute("PRAGMA user_version").fetchone() == (10300,)
    assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert file.execute("PRAGMA foreign_key_check").fetchall() == []
    srs = dict(
        file.execute(
            "SELECT srs_id, organization || ' ' || organization_coordsys_id FROM gpkg_spatial_ref_sys"
        )
    )
    assert srs == {-1: "NONE -1", 0: "NONE 0", 4326: "EPSG 4326"}
    contents = file.execute(
        "SELECT table_name, data_type, srs_id FROM gpkg_contents ORDER BY table_name"
    ).fetchall()
    assert contents == [("annotation", "features", -1), ("annotation_attributes", "attributes", 0)]
    assert file.execute("SELECT * FROM gpkg_geometry_columns").fetchall() == [
        ("annotation", "geom", "GEOMETRY", -1, 0, 0)
    ]
    for table in ("annotation", "annotation_attributes"):
        keys = [row for row in file.execute(f"PRAGMA table_info({table})") if row[5]]
        assert [(row[1], row[2]) for row in keys] == [("fid", "INTEGER")]
    assert file.execute("PRAGMA table_info(annotation)").fetchall()[1][1:3] == ("geom", "GEOMETRY")


REQUIRED = {
    "gpkg_spatial_ref_sys": (
        *("srs_name", "srs_id", "organization", "organization_coordsys_id"),
        *("definition", "description"),
    ),
    "gpkg_contents": (
        *("table_name", "data_type", "identifier", "description", "last_change"),
        *("min_x", "min_y", "max_x", "max_y", "srs_id"),
    ),
    "gpkg_geometry_columns": ("table_name", "column_name", "geometry_type_name", "srs_id", "z", "m"),
}


@pytest.mark.parametrize("table", REQUIRED)
def test_its_tables_have_the_columns_of_the_standard(file: sqlite3.Connection, table: str) -> None:
    assert tuple(row[1] for row in file.execute(f"PRAGMA table_info({table})")) == REQUIRED[table]


def test_its_extent_holds_all_shapes_and_its_time_is_told(file: sqlite3.Connection) -> None:
    row = file.execute("SELECT min_x, min_y, max_x, max_y, last_change FROM gpkg_contents").fetchone()
    shapes_box = shapely.union_all(
        [
            shapely.box(*shapely.from_wkb(blob[40:]).bounds)
            for (blob,) in file.execute("SELECT geom FROM annotation")
        ]
    )
    assert shapely.box(*row[:4]).covers(shapes_box)
    assert np.datetime64(row[4].removesuffix("Z")) <= np.datetime64("now") + np.timedelta64(1, "s")


def test_shapes_and_attributes_join_by_their_key(file: sqlite3.Connection) -> None:
    rows = file.execute(
        "SELECT class, z, t, count(*) FROM annotation NATURAL JOIN annotation_attributes GROUP BY class, z, t"
    ).fetchall()
    assert rows == [(None, 0, 0, 1), (None, 1, 2, 1), ("Tumor", 0, 0, 50)]
