"""GeoJSON and the project file against the plain ways: CPU seconds and ratios, in one run.

Run with ``python -m tests.bench.test_formats_bench [ANNOTATIONS]``. The plain ways do less: they check no
geometry, keep no document and flush nothing to the disk.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import geojson

from samdesk.domain.columns import Table
from samdesk.domain.document import Document
from samdesk.formats.geojson import read_geojson, write_geojson
from samdesk.formats.project import ProjectStore
from tests.annotation_tables import star_table

FIGURES = dict[str, tuple[float, float]]


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    started = time.process_time()
    result = function()
    return time.process_time() - started, result


def measure(annotations: int) -> FIGURES:
    """CPU seconds of samdesk and of the plain way, by what was done."""
    table = star_table(annotations).with_class("Tumor")
    with tempfile.TemporaryDirectory() as folder:
        return {**of_geojson(table, Path(folder)), **of_project(table, Path(folder))}


def of_geojson(table: Table, folder: Path) -> FIGURES:
    path, plain = folder / "a.geojson", folder / "plain.geojson"
    write, _ = timed(lambda: write_geojson(path, table))
    pack, _ = timed(lambda: write_geojson(folder / "a.geojson.gz", table))
    read, imported = timed(lambda: read_geojson(path))
    unpack, _ = timed(lambda: read_geojson(folder / "a.geojson.gz"))
    assert len(imported.table) == len(table)
    json_read, tree = timed(lambda: json.loads(path.read_bytes()))
    json_write, _ = timed(lambda: plain.write_text(json.dumps(tree)))
    objects_read, collection = timed(lambda: geojson.loads(path.read_bytes()))
    objects_write, _ = timed(lambda: plain.write_text(geojson.dumps(collection)))
    return {
        "read, against json": (read, json_read),
        "read, against geojson": (read, objects_read),
        "read .gz, against geojson": (unpack, objects_read),
        "write, against json": (write, json_write),
        "write, against geojson": (write, objects_write),
        "write .gz, against geojson": (pack, objects_write),
    }


def of_project(table: Table, folder: Path) -> FIGURES:
    path = folder / "a.gpkg"
    document = Document()
    edit = document.adding(table)
    with ProjectStore.open(path, create=True) as store:
        append, _ = timed(lambda: store.append(edit))
        load, loaded = timed(store.load)
        document.apply(edit)
        assert loaded.table.same_rows(document.table()).all()
        reclassify, _ = timed(lambda: store.append(document.reclassifying(document.ids(), "Stroma")))
        copy, _ = timed(lambda: store.save_copy(folder / "copy.gpkg"))
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute("SELECT * FROM annotation_attributes NATURAL JOIN annotation").fetchall()
    with closing(sqlite3.connect(folder / "plain.db")) as db:
        columns = ", ".join(f"c{k}" for k in range(1, len(rows[0])))
        db.execute(f"CREATE TABLE plain (fid INTEGER PRIMARY KEY, {columns})")
        marks = ", ".join("?" * len(rows[0]))
        insert, _ = timed(lambda: db.executemany(f"INSERT INTO plain VALUES ({marks})", rows))
        db.commit()
        select, _ = timed(lambda: db.execute("SELECT * FROM plain").fetchall())
        update, _ = timed(lambda: db.execute("UPDATE plain SET c3 = 'Stroma'"))
    return {
        "append, against plain SQLite": (append, insert),
        "load, against plain SQLite": (load, select),
        "set class of all, against plain SQLite": (reclassify, update),
        "save a copy, against insert": (copy, insert),
    }


def report(annotations: int) -> FIGURES:
    """Measure and print a line for each figure."""
    figures = measure(annotations)
    print(f"\n{annotations:,} annotations of 30 vertices, CPU s")
    for name, (ours, plain) in figures.items():
        print(f"{name:<40} {ours:7.2f} {plain:7.2f}   ratio {ours / max(plain, 1e-6):6.2f}")
    return figures


def test_formats(benchmark: Any) -> None:
    figures = benchmark.pedantic(lambda: report(20_000), rounds=1)
    benchmark.extra_info.update({name: ours / max(plain, 1e-6) for name, (ours, plain) in figures.items()})
    assert all(ours > 0 for ours, _ in figures.values())


if __name__ == "__main__":
    report(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
