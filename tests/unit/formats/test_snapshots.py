"""Snapshots: consistent copies, kept while they are of use, and no more."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from samdesk.domain.columns import Annotation
from samdesk.domain.document import Document
from samdesk.domain.geometry import Shape
from samdesk.domain.tasks import Cancelled, Task
from samdesk.formats.project import (
    DamagedError,
    ProjectStore,
    keep_snapshot,
    load_snapshot,
    newest_good_snapshot,
    put_aside,
    snapshots_of,
)
from samdesk.formats.project import snapshots as module
from samdesk.formats.project.snapshots import snapshots_dir, superfluous
from tests.annotation_tables import star_table

NOW = datetime(2026, 3, 5, 14, 30)


def grown(store: ProjectStore, count: int = 1) -> None:
    document = Document()
    store.append(document.adding([Annotation(Shape.box(0, 0, 9, 9)) for _ in range(count)]))


def test_a_snapshot_is_the_state_of_its_moment(tmp_path: Path) -> None:
    with ProjectStore.open(tmp_path / "a.gpkg", create=True) as store:
        assert keep_snapshot(store, Task(), NOW) is None  # nothing to keep
        grown(store, 3)
        (tmp_path / "a.snapshots").mkdir()
        (tmp_path / "a.snapshots" / ".2026.gpkg.ab12.tmp").write_bytes(b"of a program that was killed")
        path = keep_snapshot(store, Task(), NOW)
        assert path == tmp_path / "a.snapshots" / "2026-03-05T14-30-00.gpkg"
        assert keep_snapshot(store, Task(), NOW + timedelta(hours=1)) is None  # nothing has changed
        grown(store)
        assert len(load_snapshot(path, Task()).table) == 3
        keep_snapshot(store, Task(), NOW + timedelta(hours=2))
        found = [(one.time.hour, one.annotations) for one in snapshots_of(store.path)]
        assert found == [(16, 4), (14, 3)]
    assert sorted(one.name for one in path.parent.iterdir()) == [
        "2026-03-05T14-30-00.gpkg",
        "2026-03-05T16-30-00.gpkg",
    ]
    with ProjectStore.open(path) as copy:
        assert not copy.recovered


def test_a_copy_that_is_cancelled_leaves_nothing(tmp_path: Path) -> None:
    with ProjectStore.open(tmp_path / "a.gpkg", create=True) as store:
        store.append(Document().adding(star_table(20_000)))
        task = Task()
        task.cancel()
        with pytest.raises(Cancelled):
            keep_snapshot(store, task, NOW)
        assert list(snapshots_dir(store.path).iterdir()) == []
        grown(store)  # and the project can still be used


def test_the_last_ones_and_one_a_day_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = [NOW - timedelta(days=day, minutes=10 * k) for day in range(9) for k in range(8)]
    files = [tmp_path / f"{time.strftime('%Y-%m-%dT%H-%M-%S')}.gpkg" for time in sorted(times)]
    gone = superfluous(files)
    kept = [path for path in files if path not in gone]
    assert kept[-5:] == files[-5:]
    assert len(kept) == 5 + 6
    assert len({path.stem[:10] for path in kept}) == 7
    for path in kept:
        path.write_bytes(bytes(100))
    monkeypatch.setattr(module, "MOST_BYTES", 350)
    assert [path for path in kept if path not in superfluous(kept)] == kept[-3:]
    monkeypatch.setattr(module, "MOST_BYTES", 50)
    assert [path for path in kept if path not in superfluous(kept)] == kept[-1:]


def test_the_newest_good_one_takes_the_place_of_a_damaged_project(tmp_path: Path) -> None:
    path = tmp_path / "a.gpkg"
    with ProjectStore.open(path, create=True) as store:
        grown(store)
        keep_snapshot(store, Task(), NOW)
        grown(store)
        broken = keep_snapshot(store, Task(), NOW + timedelta(hours=1))
    assert broken is not None
    broken.write_bytes(broken.read_bytes()[:5000])
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DamagedError):
        ProjectStore.open(path)
    good = newest_good_snapshot(path)
    assert good is not None
    assert (good.time, good.annotations) == (NOW, 1)
    aside = put_aside(path)
    assert aside.name == "a.damaged1.gpkg"
    assert not path.exists()
