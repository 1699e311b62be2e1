"""A program that is killed while it writes loses nothing that it had been told was written."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from random import Random

import numpy as np

from samdesk.domain.columns import Table
from samdesk.domain.document import Document
from samdesk.formats.project import ProjectStore
from tests.unit.formats.crash_child import edits

KILLS = 4
SEED = 5


def run_until_killed(path: Path, first: int, acknowledged: int) -> int:
    """Start the child and kill it after some edits; return the number of the last one that it told."""
    command = [
        sys.executable,
        str(Path(__file__).with_name("crash_child.py")),
        str(path),
        str(SEED),
        str(first),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for _ in range(acknowledged):
            last = int(child.stdout.readline())
        child.kill()
        told = child.stdout.read().split("\n")[:-1]  # told after the one we waited for, but before the end
    return int(told[-1]) if told else last


def same(document: Document, table: Table, classes: object) -> bool:
    mine = document.table()
    return document.classes == classes and len(mine) == len(table) and bool(mine.same_rows(table).all())


def test_kills_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "project.gpkg"
    random = Random(SEED)
    document = Document()
    done = 0  # edits that are in the document
    for _ in range(KILLS):
        last = run_until_killed(path, done, random.randrange(1, 25))
        with ProjectStore.open(path) as store:
            assert store.recovered
            assert not store.read_only
            loaded = store.load()
        with closing(sqlite3.connect(path)) as db:
            (in_journal,) = db.execute("SELECT max(sequence) FROM journal").fetchone()
        assert in_journal in (last + 1, last + 2)  # the last one may be written and not yet told
        made = edits(document, SEED, done)
        while done < in_journal:
            document.apply(next(made))
            done += 1
        assert same(document, loaded.table, loaded.classes)
        assert [one.name for one in tmp_path.iterdir()] == [path.name]
    assert len(document) > 100
    assert np.unique(document.table().order).size == len(document)
