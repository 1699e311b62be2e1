"""The workspace over real files: open, keep, save elsewhere, read-only, import, close."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from samdesk import paths
from samdesk.app.commands.table import why
from samdesk.app.finding import Where
from samdesk.app.jobs import Jobs, MainQueue
from samdesk.app.review import Batch, State
from samdesk.app.settings import Settings
from samdesk.app.workspace import Notice, Workspace
from samdesk.domain.columns import Annotation
from samdesk.domain.geometry import Bounds, Region, Shape
from samdesk.domain.prompts import Candidate
from samdesk.formats.geojson import read_geojson
from samdesk.formats.project import ProjectStore, editlog
from samdesk.sdk import Segmenter
from tests.fakes import FakeAsk, FakeEngine


class Rig:
    """A workspace without a window."""

    def __init__(self, home: Path) -> None:
        self.main = MainQueue()
        self.jobs = Jobs(self.main)
        self.ask = FakeAsk()
        self.settings = Settings(home / "settings.json")
        self.workspace = Workspace(self.jobs, self.settings, Segmenter(FakeEngine()), self.ask)
        self.notices: list[Notice] = []
        self.workspace.notice.connect(self.notices.append)

    def settle(self) -> None:
        for _ in range(3):
            self.main.run_until(lambda: self.jobs.idle, 20)
            self.main.drain()

    def open(self, path: Path) -> None:
        self.workspace.open(path)
        self.settle()

    def add(self, *shapes: Shape) -> None:
        document = self.workspace.document
        assert self.workspace.do(document.adding([Annotation(shape) for shape in shapes]))
        self.settle()

    def close(self) -> None:
        self.workspace.close()
        self.main.drain()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SAMDESK_HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.fixture
def picture(home: Path) -> Path:
    path = home / "picture.png"
    cv2.imwrite(str(path), np.full((300, 400, 3), 90, np.uint8))
    return path


@pytest.fixture
def rig(home: Path) -> Iterator[Rig]:
    made = Rig(home)
    yield made
    made.close()


BOX = Shape.box(10, 10, 30, 40)


def test_an_accepted_edit_is_on_disk_and_comes_back(rig: Rig, picture: Path, home: Path) -> None:
    rig.open(picture)
    rig.add(BOX)
    assert rig.workspace.unsaved == 0
    kept = list(rig.workspace.document.annotations())
    rig.close()
    again = Rig(home)
    again.open(picture)
    assert list(again.workspace.document.annotations()) == kept
    assert [n for n in again.notices if n.level != "info"] == []
    again.close()


def test_a_new_document_has_the_default_classes(rig: Rig, picture: Path) -> None:
    rig.open(picture)
    assert "Tumor" in [one.name for one in rig.workspace.document.classes]


def test_a_second_window_reads_only_and_says_so(rig: Rig, picture: Path, home: Path) -> None:
    rig.open(picture)
    rig.add(BOX)
    second = Rig(home)
    second.open(picture)
    assert len(second.workspace.document) == 1
    assert not second.workspace.editable
    assert any("reading only" in n.text for n in second.notices)
    assert why("editable", second.workspace) == "This document cannot be changed"
    assert why("editable selection", rig.workspace) == "Select an annotation first"
    assert not second.workspace.do(second.workspace.document.removing(second.workspace.document.ids()))
    assert len(second.workspace.document) == 1
    second.close()


def test_save_as_moves_the_document_and_later_edits_follow(rig: Rig, picture: Path, home: Path) -> None:
    rig.open(picture)
    rig.add(BOX)
    before = rig.workspace.journal.path
    target = home / "study" / "mine"
    target.parent.mkdir()
    rig.workspace.save_as(target)
    rig.workspace.do(rig.workspace.document.adding([Annotation(Shape.box(1, 1, 5, 5))]))
    rig.settle()
    assert rig.workspace.journal.path.name == "mine.gpkg"
    assert not before.exists()
    rig.workspace.close_image()
    rig.settle()
    assert sorted(p.name for p in target.parent.iterdir()) == ["mine.gpkg"]
    rig.open(picture)
    assert rig.workspace.journal.path.name == "mine.gpkg"
    assert len(rig.workspace.document) == 2


def test_a_project_finds_its_image_beside_it(rig: Rig, picture: Path, home: Path) -> None:
    rig.open(picture)
    rig.add(BOX)
    rig.workspace.save_as(home / "p.gpkg")
    rig.settle()
    rig.workspace.close_image()
    rig.settle()
    moved = home / "elsewhere"
    moved.mkdir()
    for name in ("p.gpkg", "picture.png"):
        shutil.move(home / name, moved / name)
    rig.open(moved / "p.gpkg")
    assert rig.workspace.image.source.path == moved / "picture.png"
    assert len(rig.workspace.document) == 1


def test_a_project_without_its_image_says_which(rig: Rig, picture: Path, home: Path) -> None:
    rig.open(picture)
    rig.workspace.save_as(home / "p.gpkg")
    rig.settle()
    rig.workspace.close_image()
    rig.settle()
    picture.unlink()
    rig.open(home / "p.gpkg")
    assert rig.notices[-1].level == "error"
    assert "picture.png" in rig.notices[-1].text


def test_a_bad_image_leaves_the_open_one_alone(rig: Rig, picture: Path, home: Path) -> None:
    rig.open(picture)
    rig.add(BOX)
    bad = home / "bad.tif"
    bad.write_bytes(b"II*\0garbage")
    rig.open(bad)
    assert rig.notices[-1].level == "error"
    assert "bad.tif" in rig.notices[-1].text
    assert rig.workspace.image.source.path == picture
    assert len(rig.workspace.document) == 1


def test_a_crash_is_told_and_nothing_accepted_is_lost(rig: Rig, picture: Path, home: Path) -> None:
    rig.open(picture)
    rig.add(BOX)
    store = rig.workspace.journal.path
    copies = home / "crashed"
    copies.mkdir()
    for suffix in ("", "-wal"):
        part = store.with_name(store.name + suffix)
        if part.exists():
            shutil.copy(part, copies / part.name)
    rig.workspace.close_image()
    rig.settle()
    for part in copies.iterdir():
        shutil.copy(part, store.parent / part.name)
    rig.open(picture)
    assert len(rig.workspace.document) == 1
    assert any("did not close properly" in n.text for n in rig.notices)


def test_a_changed_image_is_told(rig: Rig, picture: Path) -> None:
    rig.open(picture)
    rig.workspace.close_image()
    rig.settle()
    cv2.imwrite(str(picture), np.full((320, 400, 3), 70, np.uint8))
    rig.open(picture)
    assert any("has changed" in n.text for n in rig.notices)


def test_export_and_import_again(rig: Rig, picture: Path, home: Path) -> None:
    rig.open(picture)
    rig.add(BOX, Shape.box(50, 50, 60, 70))
    target = home / "out.geojson"
    rig.workspace.exchange.export(target)
    rig.settle()
    assert len(read_geojson(target).table) == 2
    rig.ask.answer = 0
    rig.workspace.exchange.import_files([target])
    rig.settle()
    assert len(rig.workspace.document) == 2
    rig.ask.answer = 1
    rig.workspace.exchange.import_files([target])
    rig.settle()
    assert len(rig.workspace.document) == 4
    rig.ask.answer = None
    rig.workspace.exchange.import_files([target])
    rig.settle()
    assert len(rig.workspace.document) == 4
    rig.workspace.history.undo()
    assert len(rig.workspace.document) == 2


def test_a_failed_import_changes_nothing(rig: Rig, picture: Path, home: Path) -> None:
    rig.open(picture)
    rig.add(BOX)
    bad = home / "bad.geojson"
    bad.write_text('{"type": "FeatureCollection", "features": [{"type": "Fea')
    rig.workspace.exchange.import_files([bad])
    rig.settle()
    assert rig.notices[-1].level == "error"
    assert "bad.geojson" in rig.notices[-1].text
    assert len(rig.workspace.document) == 1


def test_an_edit_that_cannot_be_written_is_kept_and_written_later(
    rig: Rig, picture: Path, home: Path
) -> None:
    rig.open(picture)
    other = sqlite3.connect(rig.workspace.journal.path, isolation_level=None)
    other.execute(
        "CREATE TRIGGER full BEFORE INSERT ON annotation BEGIN SELECT RAISE(ABORT, 'disk full'); END"
    )
    rig.workspace.do(rig.workspace.document.adding([Annotation(BOX)]))
    rig.settle()
    assert rig.workspace.unsaved == 1
    assert rig.notices[-1].level == "error"
    assert rig.notices[-1].command == "save.retry"
    other.execute("DROP TRIGGER full")
    other.close()
    rig.workspace.retry_saving()
    rig.settle()
    assert rig.workspace.unsaved == 0
    path = rig.workspace.journal.path
    rig.workspace.close_image()
    rig.settle()
    store = ProjectStore.open(path)
    assert len(store.load().table) == 1
    store.close()


def test_clicks_select_what_is_on_top_and_then_below(rig: Rig, picture: Path) -> None:
    rig.open(picture)
    rig.add(Shape.box(0, 0, 100, 100), Shape.box(20, 20, 40, 40))
    large, small = rig.workspace.document.ids()
    rig.workspace.select_at(30, 30, 1)
    assert rig.workspace.selection.ids == (small,)
    rig.workspace.select_at(30, 30, 1)
    assert rig.workspace.selection.ids == (large,)
    rig.workspace.select_at(30, 30, 1, add=True)
    assert set(rig.workspace.selection.ids) == {small, large}
    rig.workspace.select_at(200, 200, 1)
    assert rig.workspace.selection.ids == ()


def test_locked_annotations_are_not_deleted(rig: Rig, picture: Path) -> None:
    rig.open(picture)
    document = rig.workspace.document
    rig.workspace.do(document.adding([Annotation(BOX, locked=True), Annotation(Shape.box(50, 50, 60, 60))]))
    rig.workspace.select_all()
    rig.workspace.delete_selected()
    assert [one.locked for one in document.annotations()] == [True]


def test_closing_leaves_one_file_and_no_mark(rig: Rig, picture: Path) -> None:
    rig.open(picture)
    rig.add(BOX)
    rig.close()
    assert len(list((paths.data_dir() / "autosave").iterdir())) == 1
    assert list((paths.state_dir() / "windows").iterdir()) == []


def test_closing_asks_when_an_edit_could_not_be_written(rig: Rig, picture: Path) -> None:
    rig.open(picture)
    other = sqlite3.connect(rig.workspace.journal.path, isolation_level=None)
    other.execute(
        "CREATE TRIGGER full BEFORE INSERT ON annotation BEGIN SELECT RAISE(ABORT, 'disk full'); END"
    )
    rig.workspace.do(rig.workspace.document.adding([Annotation(BOX)]))
    rig.settle()
    rig.ask.answer = None
    rig.workspace.close_image()
    assert rig.workspace.image is not None
    assert rig.workspace.unsaved == 1
    other.execute("DROP TRIGGER full")
    other.close()
    rig.workspace.close_image()
    rig.settle()
    assert rig.workspace.image is None
    rig.open(picture)
    assert len(rig.workspace.document) == 1


def full(project: Path) -> sqlite3.Connection:
    """Have a project take nothing more, until the trigger `full` is dropped."""
    other = sqlite3.connect(project, isolation_level=None)
    other.execute(
        "CREATE TRIGGER full BEFORE INSERT ON annotation BEGIN SELECT RAISE(ABORT, 'disk full'); END"
    )
    return other


def test_closing_before_all_is_written_says_what_becomes_of_it(rig: Rig, picture: Path) -> None:
    rig.open(picture)
    other = full(rig.workspace.journal.path)
    rig.workspace.do(rig.workspace.document.adding([Annotation(BOX)]))
    rig.settle()
    rig.ask.answer = 1
    rig.workspace.close_image()
    assert rig.ask.asked == [
        "1 change of picture.png could not be written to the disk. It is kept, and is written when the "
        "image is opened again. Make room on the disk to write it now. [Try Again] [Close]"
    ]
    rig.settle()
    assert rig.workspace.image is None
    other.execute("DROP TRIGGER full")
    other.close()
    rig.open(picture)
    assert len(rig.workspace.document) == 1  # as it was said


def test_closing_says_what_would_be_lost(rig: Rig, picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(editlog, "MOST_ROWS", 1)
    rig.open(picture)
    other = full(rig.workspace.journal.path)
    for count in (1, 3):
        rig.workspace.do(rig.workspace.document.adding([Annotation(BOX) for _ in range(count)]))
    rig.settle()
    rig.ask.answer = None
    rig.workspace.close_image()
    (asked,) = rig.ask.asked
    assert asked.startswith("2 changes of picture.png could not be written")
    assert "1 of them cannot be kept for the next time, and would be lost." in asked
    assert asked.endswith("[Try Again] [Close Without Saving]")
    assert rig.workspace.image is not None
    other.execute("DROP TRIGGER full")
    other.close()


def test_closing_waits_for_what_is_being_written_as_long_as_one_likes(
    rig: Rig, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.open(picture)
    gate = threading.Event()
    rig.jobs.lane("journal").submit(lambda task: gate.wait(20))
    rig.workspace.do(rig.workspace.document.adding([Annotation(BOX)]))
    rig.ask.patient = False
    rig.workspace.close_image()
    assert rig.workspace.image is not None
    assert rig.ask.asked == ["Writing 1 change of picture.png"]
    rig.ask.patient = True
    wait = rig.ask.wait
    monkeypatch.setattr(rig.ask, "wait", lambda *asked: (gate.set(), wait(*asked))[1])
    rig.workspace.close_image()
    rig.settle()
    assert rig.workspace.image is None
    assert len(rig.ask.asked) == 2  # nothing about a disk
    rig.open(picture)
    assert len(rig.workspace.document) == 1


def test_opening_an_image_twice_at_once_opens_it_once(rig: Rig, picture: Path) -> None:
    for _ in range(3):
        rig.workspace.open(picture)
    rig.settle()
    assert rig.workspace.editable
    rig.workspace.open(picture)
    rig.settle()
    assert rig.workspace.editable


def test_an_image_and_its_annotations_may_come_together(rig: Rig, picture: Path, home: Path) -> None:
    rig.open(picture)
    rig.add(BOX)
    target = home / "out.geojson"
    rig.workspace.exchange.export(target)
    rig.settle()
    other = home / "other.png"
    shutil.copy(picture, other)
    rig.workspace.open_all([target, other])
    rig.settle()
    rig.settle()
    assert rig.workspace.image.source.path == other
    assert len(rig.workspace.document) == 1


def test_closing_while_chips_are_encoded_is_quiet(rig: Rig, picture: Path) -> None:
    rig.open(picture)
    rig.workspace.session.view_rested(Bounds(0, 0, 400, 300), 1.0)
    rig.workspace.close_image()
    rig.settle()
    assert [n for n in rig.notices if n.level != "info"] == []


def test_save_as_never_takes_a_file_that_was_not_named(rig: Rig, picture: Path, home: Path) -> None:
    rig.open(picture)
    (home / "mine.gpkg").write_text("precious")
    rig.workspace.save_as(home / "mine")
    rig.settle()
    assert (home / "mine.gpkg").read_text() == "precious"
    assert rig.notices[-1].level == "warning"


def test_annotations_of_an_image_that_failed_to_open_go_nowhere(rig: Rig, picture: Path, home: Path) -> None:
    rig.open(picture)
    rig.add(BOX)
    target, bad = home / "out.geojson", home / "bad.png"
    rig.workspace.exchange.export(target)
    rig.settle()
    bad.touch()
    rig.workspace.open_all([bad, target])
    rig.settle()
    other = home / "other.png"
    shutil.copy(picture, other)
    rig.open(other)
    assert len(rig.workspace.document) == 0


def found(rig: Rig, *scores: float) -> None:
    """Candidates that wait to be looked through."""
    review = rig.workspace.review
    review.begin("Finding everything", plane=rig.workspace.plane)
    made = [
        Candidate(Shape.box(10 + 40 * k, 10, 30 + 40 * k, 30), score, Region(0, 0, 400, 300))
        for k, score in enumerate(scores)
    ]
    review.add(Batch.of(made))
    review.end()


@pytest.mark.parametrize("way", ["another image", "close", "quit"])
def test_what_was_found_is_not_dropped_without_a_question(
    way: str, rig: Rig, picture: Path, home: Path
) -> None:
    other = home / "other.png"
    cv2.imwrite(str(other), np.zeros((50, 50, 3), np.uint8))
    rig.open(picture)
    w = rig.workspace

    def leave() -> bool:
        if way == "another image":
            rig.open(other)
        elif way == "close":
            w.close_image()
        else:
            return w.may_close()
        rig.settle()
        return w.image is None or w.image.source.path == other

    found(rig, 0.9, 0.8, 0.7)
    w.review.set(2, State.REJECTED)
    assert not leave()
    assert len(w.review) == 3
    asked = rig.ask.asked[-1]
    assert "2 candidates in picture.png are ticked and not kept yet." in asked
    assert "[Keep the Ticked] [Drop]" in asked
    rig.ask.answer = 0
    assert leave()
    assert len(w.review) == 0
    count = len(rig.ask.asked)
    rig.open(picture)
    assert len(w.document) == 2
    assert len(rig.ask.asked) == count  # there is nothing to ask any more
    found(rig, 0.9)
    rig.ask.answer = 1
    assert leave()
    rig.open(picture)
    assert len(w.document) == 2
    found(rig, 0.9)
    w.review.reject_all()
    rig.ask.answer = None
    assert leave()


def test_a_search_that_runs_is_asked_about(rig: Rig, picture: Path) -> None:
    rig.open(picture)
    w, go_on = rig.workspace, threading.Event()
    rig.jobs.lane("model").submit(lambda task: go_on.wait(20))
    w.finding.automask(Where(Bounds(0, 0, 400, 300), 1.0))
    w.close_image()
    assert w.image is not None
    assert w.finding.busy
    assert "The search in picture.png is still running." in rig.ask.asked[-1]
    rig.ask.answer = 0
    w.close_image()
    go_on.set()
    assert w.image is None
    assert not w.finding.busy
