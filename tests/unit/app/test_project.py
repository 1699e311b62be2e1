"""Projects of several images, snapshots and going on, over real files."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import orjson
import pytest

from samdesk.app import journal as journal_module
from samdesk.app.commands import COMMANDS, WHEN, Context
from samdesk.app.jobs import Jobs, MainQueue
from samdesk.app.looking import Place
from samdesk.app.settings import Settings
from samdesk.app.workspace import Notice, Workspace
from samdesk.domain.columns import Annotation, AnnotationClass
from samdesk.domain.geometry import Shape
from samdesk.formats.project import FOLDER_FILE, ProjectStore, make_folder, read_folder, snapshots_of
from samdesk.formats.project.editlog import MOST_ROWS, log_path
from samdesk.sdk import Segmenter
from tests.annotation_tables import star_table
from tests.fakes import FakeAsk, FakeEngine
from tests.unit.formats.limits import full_disk

BOX = Shape.box(10, 10, 30, 40)


class Rig:
    """A workspace without a window, and pictures to open."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.main = MainQueue()
        self.jobs = Jobs(self.main)
        self.ask = FakeAsk()
        settings = Settings(home / "settings.json")
        self.w = Workspace(self.jobs, settings, Segmenter(FakeEngine()), self.ask)
        self.notices: list[Notice] = []
        self.w.notice.connect(self.notices.append)

    def settle(self) -> None:
        for _ in range(4):
            self.main.run_until(lambda: self.jobs.idle, 20)
            self.main.drain()

    def open(self, path: Path) -> None:
        self.w.open(path)
        self.settle()

    def add(self, count: int = 1, **more: object) -> None:
        made = [Annotation(BOX, **more) for _ in range(count)]  # type: ignore[arg-type]
        assert self.w.do(self.w.document.adding(made))
        self.settle()

    def picture(self, name: str, size: int = 60) -> Path:
        path = self.home / name
        path.parent.mkdir(exist_ok=True, parents=True)
        pixels = np.full((size, size + 20, 3), 90, np.uint8)
        pixels[5:30, 5:30] = (40, 120, 220)
        cv2.imwrite(str(path), pixels)
        return path

    def project(self, *names: str) -> Path:
        """An open project with these images."""
        folder = self.home / "study"
        self.w.project.new(folder)
        self.settle()
        self.w.project.add_images([self.picture(name) for name in names])
        self.settle()
        return folder

    def show(self, row: int) -> None:
        assert self.w.project.folder is not None
        self.w.project.open_image(self.w.project.folder.images[row].id)
        self.settle()

    def told(self, words: str) -> bool:
        return any(words in f"{one.text} {one.hint}" for one in self.notices)

    def close(self) -> None:
        self.w.close()
        self.main.drain()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SAMDESK_HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.fixture
def rig(home: Path) -> Iterator[Rig]:
    made = Rig(home)
    yield made
    made.close()


# The project folder


def test_images_are_changed_without_a_question_and_keep_their_annotations(rig: Rig) -> None:
    folder = rig.project("a.png", "b.png")
    rig.show(0)
    rig.add(2)
    first = list(rig.w.document.annotations())
    rig.show(1)
    assert len(rig.w.document) == 0
    rig.add(1)
    rig.show(0)
    assert list(rig.w.document.annotations()) == first
    project = rig.w.project
    assert [project.counts[one.id] for one in project.folder.images] == [2, 1]
    assert [project.folder.picture_of(one.id).exists() for one in project.folder.images] == [True, True]
    rig.close()
    again = Rig(rig.home)
    again.open(folder / FOLDER_FILE)
    assert [again.w.project.counts[one.id] for one in again.w.project.folder.images] == [2, 1]
    again.show(0)
    assert list(again.w.document.annotations()) == first
    assert again.w.settings["recent"][1] == str(folder / FOLDER_FILE)
    again.close()
    assert sorted(one.name for one in (folder / "images").glob("*.gpkg*")) == sorted(
        f"{one.id}.gpkg" for one in read_folder(folder).images
    )


def test_the_image_that_is_open_comes_in_with_its_annotations(rig: Rig) -> None:
    rig.project()
    rig.open(rig.picture("a.png"))
    rig.add(3)
    unnamed = rig.w.journal.path
    rig.w.project.add_current()
    rig.add(1)
    project = rig.w.project
    assert project.current == project.folder.images[0].id
    assert rig.w.journal.path == project.folder.store_of(project.current)
    assert not unnamed.exists()
    rig.w.close_image()
    rig.settle()
    rig.open(rig.home / "a.png")  # which is the project's now
    assert len(rig.w.document) == 4
    assert project.current


def test_a_class_of_one_image_is_offered_in_the_next(rig: Rig) -> None:
    rig.project("a.png", "b.png")
    rig.show(0)
    rig.add(class_name="Gland")
    document = rig.w.document
    rig.w.do(document.with_classes([*document.classes[2:], AnnotationClass("Vessel", (1, 2, 3))]))
    rig.settle()
    names = [one.name for one in document.classes]
    rig.show(1)
    assert [one.name for one in rig.w.document.classes] == names
    assert not rig.w.history.can_undo
    rig.add(class_name="Stroma")  # which the project had lost
    rig.show(0)
    assert [one.name for one in rig.w.document.classes] == [*names, "Stroma"]


def test_an_image_with_a_history_takes_the_classes_of_the_project_as_one_step(rig: Rig) -> None:
    folder = rig.project("a.png")
    shared = read_folder(folder).classes
    w = rig.w
    rig.open(rig.picture("loose.png"))
    w.classes.add("Mine")
    rig.add(class_name="Mine")
    own = w.document.classes
    w.selection.set_all()
    w.delete_selected()
    w.do(w.document.with_classes(own[3:]))
    rig.settle()
    w.project.add_current()
    rig.settle()
    assert w.document.classes[: len(shared)] == shared
    w.history.undo()
    assert w.document.classes == own[3:]
    rig.settle()
    assert set(read_folder(folder).classes) >= set(shared)  # undo is of this image
    w.history.undo()
    w.history.undo()
    assert [one.class_name for one in w.document.annotations()] == ["Mine"]
    w.history.undo()
    w.history.undo()
    rig.settle()
    assert set(read_folder(folder).classes) >= set(shared)


def test_a_class_that_is_renamed_in_one_image_is_renamed_in_the_others(rig: Rig) -> None:
    rig.project("a.png", "b.png", "c.png")
    rig.show(1)
    rig.add(2, class_name="Tumor")
    rig.w.classes.hide(["Tumor"])
    rig.show(0)
    rig.add(class_name="Tumor")
    rig.w.classes.rename("Tumor", "Cancer")
    rig.w.classes.rename("Cancer", "Carcinoma")
    rig.w.history.undo()
    rig.settle()
    folder = read_folder(rig.home / "study")
    assert [dict(image.renamed) for image in folder.images] == [{}, {"Tumor": "Cancer"}, {"Tumor": "Cancer"}]
    rig.show(1)
    assert {one.class_name for one in rig.w.document.annotations()} == {"Cancer"}
    assert "Tumor" not in rig.w.classes.names
    assert rig.w.classes.hidden == {"Cancer"}
    assert rig.told("“Tumor” is “Cancer” now")
    assert [one.name for one in rig.w.project.folder.classes].count("Tumor") == 0
    rig.w.history.undo()  # in this image alone
    assert {one.class_name for one in rig.w.document.annotations()} == {"Tumor"}
    rig.w.history.redo()
    rig.notices.clear()
    rig.show(2)
    assert not rig.w.history.can_undo  # which had none of them
    assert not rig.told("now")
    rig.show(0)
    assert {one.class_name for one in rig.w.document.annotations()} == {"Cancer"}
    assert not any(image.renamed for image in read_folder(rig.home / "study").images)


def test_a_class_is_not_renamed_to_one_that_the_image_has_of_its_own(rig: Rig) -> None:
    rig.project("a.png", "b.png")
    rig.show(1)
    rig.add(class_name="Tumor")
    rig.add(class_name="Mine")
    rig.show(0)
    rig.w.classes.remove(["Mine"])
    rig.w.classes.rename("Tumor", "Mine")
    rig.settle()
    rig.show(1)
    assert {one.class_name for one in rig.w.document.annotations()} == {"Tumor", "Mine"}
    assert rig.told("has both")


def test_an_image_comes_in_with_the_annotations_that_it_has(rig: Rig) -> None:
    first, second = rig.picture("a.png"), rig.picture("b.png")
    rig.open(first)
    rig.add(3)
    before = list(rig.w.document.annotations())
    kept = rig.w.journal.path
    rig.open(second)  # and stays open
    rig.add(2)
    rig.w.project.new(rig.home / "study")
    rig.settle()
    rig.w.project.add_images([first, second, rig.picture("c.png")])
    rig.settle()
    project = rig.w.project
    assert {one.name: project.counts[one.id] for one in project.folder.images} == {
        "a.png": 3, "b.png": 2, "c.png": 0,
    }  # fmt: skip
    assert rig.told("a.png came in with its 3 annotations")
    assert kept.exists()  # the copy is the project's
    assert project.current  # the one that was open goes on in the project
    rig.open(first)
    assert project.current
    assert list(rig.w.document.annotations()) == before


def test_several_images_that_are_opened_at_once_are_all_of_the_project(rig: Rig) -> None:
    first, second = rig.picture("a.png"), rig.picture("b.png")
    rig.open(first)
    rig.add(3)
    rig.w.close_image()
    rig.project("c.png")
    rig.w.open_all([first, second])
    rig.settle()
    assert rig.w.image.source.path == first
    assert rig.w.project.current  # what is done next is kept in the project
    assert len(rig.w.document) == 3


def test_an_image_that_is_opened_while_it_is_added_goes_on_in_the_project(rig: Rig) -> None:
    rig.project("c.png")
    first = rig.picture("a.png")
    go_on = threading.Event()
    rig.jobs.lane("pictures").submit(lambda task: go_on.wait(20), priority=-2)
    rig.w.project.add_images([first])
    rig.w.open(first)
    rig.main.run_until(lambda: rig.w.image is not None, 20)
    go_on.set()
    rig.settle()
    assert rig.w.project.current


def test_joining_classes_says_what_it_means_for_the_other_images(rig: Rig) -> None:
    rig.project("a.png", "b.png")
    rig.show(0)
    rig.add(class_name="Tumor")
    rig.ask.answer = 0
    rig.w.classes.rename("Tumor", "Stroma")
    assert rig.told("“Tumor” is joined with “Stroma” in a.png alone")


def test_annotations_that_cannot_come_in_are_told(rig: Rig) -> None:
    picture = rig.picture("a.png")
    rig.open(picture)
    rig.add(3)
    kept = rig.w.journal.path
    rig.w.close_image()
    rig.settle()
    kept.write_bytes(kept.read_bytes()[:5000])
    rig.project("b.png")
    rig.w.project.add_images([picture])
    rig.settle()
    assert [one.name for one in rig.w.project.folder.images] == ["b.png", "a.png"]
    assert rig.told("came in without")


def test_a_removed_image_leaves_its_annotations_in_the_folder(rig: Rig) -> None:
    folder = rig.project("a.png", "b.png")
    rig.show(0)
    rig.add(2)
    one = rig.w.project.current
    rig.w.project.remove(one)
    rig.settle()
    assert rig.w.image is None
    assert [image.name for image in rig.w.project.folder.images] == ["b.png"]
    assert (rig.home / "a.png").exists()
    with ProjectStore.open(folder / "removed" / f"{one}.gpkg") as store:
        assert len(store.load().table) == 2


def test_what_cannot_be_read_is_told_and_the_rest_is_added(rig: Rig) -> None:
    rig.project()
    bad = rig.home / "bad.tif"
    bad.write_bytes(b"II*\0garbage")
    rig.w.project.add_images([bad, rig.picture("a.png")])
    rig.settle()
    assert [image.name for image in rig.w.project.folder.images] == ["a.png"]
    assert rig.told("bad.tif")


def test_moved_images_are_relinked_together(rig: Rig) -> None:
    folder = rig.project("data/x/a.png", "data/y/b.png", "data/x/c.png")
    rig.show(0)
    rig.add(2)
    rig.w.close_image()
    rig.w.project.close()
    rig.settle()
    shutil.move(rig.home / "data", rig.home / "archive")
    rig.open(folder)
    project = rig.w.project
    ids = [one.id for one in project.folder.images]
    assert project.missing == set(ids)
    rig.show(0)
    assert rig.told("was not found")
    assert rig.w.image is None
    project.relink(ids[0], rig.home / "archive" / "x" / "a.png")
    rig.settle()
    assert project.missing == frozenset()
    assert rig.told("3 images were found")
    rig.show(0)
    assert len(rig.w.document) == 2
    assert not rig.told("has changed since")


def test_relinking_ends_with_the_project_that_it_was_asked_of(rig: Rig) -> None:
    first = rig.project("one.png")
    (rig.home / "one.png").rename(rig.home / "moved.png")
    one = rig.w.project.folder.images[0]
    other = make_folder(rig.home / "other").path
    go_on = threading.Event()
    rig.jobs.lane("pictures").submit(lambda task: go_on.wait(20), priority=-2)
    rig.w.project.relink(one.id, rig.home / "moved.png")
    rig.w.project.open(other)
    rig.main.run_until(lambda: rig.w.project.folder.path == other, 20)
    go_on.set()
    rig.settle()
    assert read_folder(other).images == ()
    assert [image.path for image in read_folder(first).images] == [one.path]
    assert rig.told("was not relinked")


def test_what_is_said_of_an_image_while_it_is_relinked_stays(rig: Rig) -> None:
    rig.project("one.png")
    (rig.home / "one.png").rename(rig.home / "moved.png")
    one = rig.w.project.folder.images[0]
    rig.w.project.relink(one.id, rig.home / "moved.png")
    rig.w.project.describe(replace(one, description="The first"))
    rig.settle()
    (now,) = rig.w.project.folder.images
    assert (now.description, now.path) == ("The first", rig.home / "moved.png")


def test_another_image_is_told_when_it_is_relinked(rig: Rig) -> None:
    rig.project("a.png")
    (rig.home / "a.png").unlink()
    one = rig.w.project.folder.images[0].id
    rig.w.project.relink(one, rig.picture("other.png", 90))
    rig.settle()
    assert rig.told("not the image that was annotated")


def test_a_second_window_only_reads_the_project(rig: Rig) -> None:
    folder = rig.project("a.png")
    second = Rig(rig.home)
    second.open(folder)
    assert second.w.project.reason
    assert not second.w.project.editable
    second.w.project.rename("Mine")
    assert second.told("cannot be changed")
    assert second.w.project.folder.name == "study"
    second.close()
    rig.w.project.rename("Mine")
    rig.settle()
    assert orjson.loads((folder / FOLDER_FILE).read_bytes())["name"] == "Mine"


def test_a_project_of_a_newer_version_is_refused(rig: Rig) -> None:
    folder = rig.project("a.png")
    rig.w.project.close()
    rig.settle()
    file = folder / FOLDER_FILE
    newer = orjson.dumps({**orjson.loads(file.read_bytes()), "version": 2, "made_by": "samdesk 9"})
    file.write_bytes(newer)
    rig.open(folder)
    assert not rig.w.project.is_open
    assert rig.told("newer samdesk")
    assert file.read_bytes() == newer
    assert not list(folder.glob("*.lock"))


# Snapshots


def test_a_snapshot_holds_the_state_before_the_first_change_and_comes_back(rig: Rig) -> None:
    picture = rig.picture("a.png")
    rig.open(picture)
    rig.add(3)
    rig.w.close_image()
    rig.settle()
    rig.open(picture)
    before = list(rig.w.document.annotations())
    rig.w.do(rig.w.document.removing(rig.w.document.ids()[:2]))
    rig.add(1, class_name="New class")
    changed = list(rig.w.document.annotations())
    (snapshot,) = snapshots_of(rig.w.journal.path)
    assert snapshot.annotations == 3
    rig.w.snapshots.restore(snapshot)
    rig.settle()
    assert list(rig.w.document.annotations()) == before
    assert "New class" not in [one.name for one in rig.w.document.classes]
    rig.w.history.undo()
    assert list(rig.w.document.annotations()) == changed
    rig.w.history.redo()
    rig.w.snapshots.restore(snapshot)
    rig.settle()
    assert rig.told("same as they were")


def test_a_damaged_project_is_opened_from_its_newest_snapshot(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "SNAPSHOT_EVERY_S", 0.0)
    picture = rig.picture("a.png")
    rig.open(picture)
    rig.add(1)
    rig.add(1)
    rig.add(1)
    path = rig.w.journal.path
    rig.w.close_image()
    rig.settle()
    broken = path.read_bytes()[:5000]
    path.write_bytes(broken)
    rig.open(picture)
    assert rig.w.image is None  # nobody wanted the snapshot
    assert path.read_bytes() == broken
    rig.ask.answer = 0
    rig.open(picture)
    assert len(rig.w.document) == 2
    assert rig.told("damaged1.gpkg")
    assert path.with_name(f"{path.stem}.damaged1.gpkg").read_bytes() == broken


def test_snapshots_go_along_when_a_document_gets_a_name(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "SNAPSHOT_EVERY_S", 0.0)
    rig.open(rig.picture("a.png"))
    rig.add(1)
    rig.add(1)
    rig.w.save_as(rig.home / "named.gpkg")
    rig.settle()
    assert [one.annotations for one in snapshots_of(rig.home / "named.gpkg")] == [1]


def test_a_project_that_is_replaced_leaves_its_snapshots_aside(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "SNAPSHOT_EVERY_S", 0.0)
    path = rig.home / "work.gpkg"
    rig.open(rig.picture("first.png"))
    rig.add(5)
    rig.w.save_as(path)
    rig.settle()
    rig.add(1)
    assert [one.annotations for one in snapshots_of(path)] == [5]
    rig.open(rig.picture("second.png"))
    rig.add(2)
    rig.add(1)
    rig.w.save_as(path)
    rig.settle()
    assert [one.annotations for one in snapshots_of(path)] == [2]  # its own
    assert [one.annotations for one in snapshots_of(rig.home / "work.replaced1.gpkg")] == [5]


# Keeping


def test_an_accepted_edit_is_noted_before_anybody_is_told(rig: Rig) -> None:
    rig.open(rig.picture("a.png"))
    log = log_path(rig.w.journal.path)
    sizes: list[int] = []
    rig.w.document.changed.connect(lambda edit: sizes.append(log.stat().st_size))
    rig.w.do(rig.w.document.adding([Annotation(BOX)]))
    assert sizes[0] > 300
    assert rig.w.saving == "saved"
    rig.settle()
    assert rig.w.journal.unsaved == 0
    assert log.stat().st_size < 100
    rig.w.close_image()
    rig.settle()
    assert not log.exists()


def test_what_is_not_safe_yet_is_told(rig: Rig) -> None:
    rig.open(rig.picture("a.png"))
    go_on = threading.Event()
    rig.jobs.lane("journal").submit(lambda task: go_on.wait(20))
    rig.w.do(rig.w.document.adding([Annotation(BOX)]))
    assert (rig.w.saving, rig.w.unsaved) == ("saved", 1)  # it outlives the program
    rig.w.do(rig.w.document.adding(star_table(MOST_ROWS + 1)))
    assert (rig.w.saving, rig.w.unsaved) == ("saving", 2)
    go_on.set()
    rig.settle()
    assert (rig.w.saving, rig.w.unsaved) == ("saved", 0)
    with full_disk(1 << 12):
        rig.w.do(rig.w.document.adding([Annotation(BOX)]))
        rig.settle()
        assert (rig.w.saving, rig.w.unsaved) == ("failed", 1)
    rig.w.retry_saving()
    rig.settle()
    assert (rig.w.saving, rig.w.unsaved) == ("saved", 0)


def test_edits_made_while_it_is_saved_elsewhere_are_all_in_the_new_file(rig: Rig) -> None:
    rig.open(rig.picture("a.png"))
    rig.add(1)
    old = rig.w.journal.path
    rig.w.save_as(rig.home / "named.gpkg")
    for _ in range(5):
        rig.w.do(rig.w.document.adding([Annotation(BOX)]))
    assert rig.w.may_close()  # which waits for the move, too
    rig.w.close_image()
    rig.settle()
    with ProjectStore.open(rig.home / "named.gpkg") as store:
        assert len(store.load().table) == 6
    assert not old.exists()
    assert not list(old.parent.glob("*-edits"))


def test_closing_while_it_is_saved_elsewhere_leaves_nothing_open(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture, named = rig.picture("a.png"), rig.home / "named.gpkg"
    go_on = _slow_copies(monkeypatch)
    rig.open(picture)
    rig.add(2)
    unnamed = rig.w.journal.path
    rig.w.save_as(named)
    rig.w.do(rig.w.document.adding([Annotation(BOX)]))
    rig.w._close_image()  # as when the user does not wait
    go_on.set()
    rig.settle()
    assert _opened_alone(named) == 3
    assert not list(unnamed.parent.glob("*.gpkg*"))
    rig.open(picture)
    assert rig.w.journal.path == named
    go_on.clear()
    rig.w.save_as(rig.home / "again.gpkg")
    threading.Timer(0.1, go_on.set).start()
    rig.close()  # which ends without the main thread
    assert _opened_alone(rig.home / "again.gpkg") == 3
    assert rig.w.settings["projects"][str(picture)] == str(rig.home / "again.gpkg")
    assert _opened_alone(named) == 3


def test_saving_elsewhere_twice_ends_in_the_second_file(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = _slow_copies(monkeypatch)
    rig.open(rig.picture("a.png"))
    rig.add(2)
    rig.w.save_as(rig.home / "one.gpkg")
    rig.w.save_as(rig.home / "two.gpkg")
    go_on.set()
    rig.settle()
    assert rig.w.journal.path == rig.home / "two.gpkg"
    assert _opened_alone(rig.home / "one.gpkg") == 2


def test_what_is_noted_while_it_is_saved_elsewhere_is_in_the_new_file(rig: Rig) -> None:
    rig.open(rig.picture("a.png"))
    rig.add(1)
    rig.w.save_as(rig.home / "named.gpkg")
    lane = rig.jobs.lane("journal")
    assert lane.flush(20)  # copied, and the main thread does not know yet
    rig.w.classes.hide(["Tumor"])
    assert lane.flush(20)
    rig.settle()
    rig.w.close_image()
    rig.settle()
    with ProjectStore.open(rig.home / "named.gpkg") as store:
        assert store.meta["hidden_classes"] == ["Tumor"]


def _slow_copies(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Let copies of projects wait for this."""
    go_on, copy = threading.Event(), ProjectStore.save_copy

    def slow(store: ProjectStore, path: Path) -> None:
        assert go_on.wait(20)
        copy(store, path)

    monkeypatch.setattr(ProjectStore, "save_copy", slow)
    return go_on


def _opened_alone(path: Path) -> int:
    """The number of annotations of a project that nobody has open and that was closed."""
    assert [one.name for one in path.parent.glob(f"{path.name}*")] == [path.name]
    with ProjectStore.open(path) as store:
        assert not store.reason
        assert not store.recovered
        return len(store.load().table)


def test_a_moved_image_can_be_located(rig: Rig) -> None:
    picture = rig.picture("a.png")
    rig.open(picture)
    rig.add(2)
    rig.w.save_as(rig.home / "p.gpkg")
    rig.settle()
    rig.w.close_image()
    rig.settle()
    moved = rig.home / "elsewhere.png"
    shutil.move(picture, moved)
    rig.ask.answer, rig.ask.files = 0, [moved]
    rig.open(rig.home / "p.gpkg")
    assert rig.w.image.source.path == moved
    assert len(rig.w.document) == 2
    assert not [one for one in rig.notices if one.level != "info"]


def test_the_next_start_goes_on_where_the_last_one_ended(rig: Rig) -> None:
    folder = rig.project("a.png", "b.png")
    rig.show(1)
    rig.w.looking.note(Place(12.0, 34.0, 0.5))
    rig.close()
    again = Rig(rig.home)
    again.w.open_last()
    again.settle()
    assert again.w.project.folder.path == folder
    assert again.w.image.source.path == rig.home / "b.png"
    assert again.w.looking.take() == Place(12.0, 34.0, 0.5)
    again.w.close_image()
    again.w.project.close()
    again.open(rig.home / "a.png")
    assert again.w.looking.take() is None
    again.close()


# Where annotations are kept, whichever way an image is opened


def test_saving_in_a_project_leaves_the_image_in_it(rig: Rig) -> None:
    rig.project("a.png")
    rig.show(0)
    rig.add(3)
    kept, copy = rig.w.journal.path, rig.home / "mine.gpkg"
    rig.ask.files = [copy]
    run("file.save", rig)
    assert rig.told("Everything is saved")
    assert rig.notices[-1].command == "file.save_copy"
    assert not copy.exists()
    assert not WHEN[COMMANDS["file.save_as"].when](rig.w)
    run("file.save_copy", rig)
    rig.add(2)
    assert rig.w.journal.path == kept
    assert rig.w.project.current
    assert rig.w.project.counts[rig.w.project.current] == 5
    assert _opened_alone(copy) == 3
    rig.w.save_as(rig.home / "other.gpkg")  # whoever asks
    rig.settle()
    assert rig.w.journal.path == kept
    assert _opened_alone(rig.home / "other.gpkg") == 5


def test_a_copy_never_takes_the_place_of_what_is_open(rig: Rig) -> None:
    rig.project("a.png", "b.png")
    rig.show(1)
    rig.add(1)
    other = rig.w.journal.path
    rig.show(0)
    rig.add(2)
    for place in (rig.w.journal.path, other):
        before = place.read_bytes()
        rig.w.save_copy(place)
        rig.settle()
        assert place.read_bytes() == before
        assert rig.notices[-1].level in ("warning", "error")


@pytest.mark.parametrize("way", ["added", "added while shown", "known from before"])
def test_an_image_opened_alone_comes_with_its_project(rig: Rig, way: str) -> None:
    picture = rig.picture("a.png")
    folder = rig.project("b.png")
    if way == "added while shown":
        rig.open(picture)
        rig.w.project.add_current()
    else:
        rig.w.project.add_images([picture])
    rig.settle()
    rig.show(1)
    rig.add(3)
    rig.close()
    settings = rig.home / "settings.json"
    if way == "known from before":  # by a program that did not note it
        settings.write_bytes(orjson.dumps(orjson.loads(settings.read_bytes()) | {"projects": {}}))
        again = Rig(rig.home)
        again.open(folder)
        again.close()
    again = Rig(rig.home)
    again.open(picture)
    assert again.w.project.folder.path == folder
    assert again.w.project.current
    assert len(again.w.document) == 3
    again.close()
    assert not list((rig.home / "home").rglob("autosave/*.gpkg"))


def test_an_image_of_another_project_is_opened_with_the_annotations_it_has(rig: Rig) -> None:
    rig.project("a.png")
    rig.show(0)
    rig.add(3)
    kept = rig.w.journal.path
    rig.w.project.new(rig.home / "second")
    rig.settle()
    rig.open(rig.picture("b.png"))
    rig.open(rig.home / "a.png")
    assert rig.w.project.folder.path == rig.home / "second"
    assert (rig.w.journal.path, len(rig.w.document)) == (kept, 3)


def test_an_image_whose_project_is_damaged_or_forgot_it_is_opened_nevertheless(rig: Rig) -> None:
    folder = rig.project("a.png")
    rig.show(0)
    rig.add(3)
    kept = rig.w.journal.path
    rig.w.close_image()
    rig.w.project.close()
    rig.settle()
    file = folder / FOLDER_FILE
    whole = file.read_bytes()
    file.write_bytes(b"{")
    rig.open(rig.home / "a.png")
    assert (rig.w.journal.path, len(rig.w.document)) == (kept, 3)
    rig.w.close_image()
    file.write_bytes(orjson.dumps(orjson.loads(whole) | {"images": []}))
    rig.open(rig.home / "a.png")
    assert len(rig.w.document) == 3
    rig.w.close_image()
    rig.w.project.close()
    rig.settle()
    file.write_bytes(whole)
    rig.open(file)
    rig.w.project.remove(rig.w.project.folder.images[0].id)
    rig.settle()
    rig.w.project.close()
    rig.open(rig.home / "a.png")
    assert not rig.w.project.is_open
    assert rig.w.journal.path.parent.name == "autosave"


def test_files_given_with_an_image_of_a_project_are_imported_into_it(rig: Rig) -> None:
    rig.project("a.png")
    rig.show(0)
    rig.add(1)
    notes = rig.home / "more.geojson"
    rig.w.exchange.export(notes)
    rig.settle()
    rig.w.delete_selected()
    rig.w.do(rig.w.document.removing(rig.w.document.ids()))
    rig.close()
    again = Rig(rig.home)
    again.w.open_all([rig.home / "a.png", notes])
    again.settle()
    assert again.w.project.current
    assert len(again.w.document) == 1
    again.close()


def test_an_image_that_was_relinked_is_found_at_its_new_place(rig: Rig) -> None:
    rig.project("a.png")
    rig.show(0)
    rig.add(2)
    one = rig.w.project.current
    rig.w.close_image()
    rig.settle()
    elsewhere = rig.home / "far" / "a.png"
    elsewhere.parent.mkdir()
    shutil.move(rig.home / "a.png", elsewhere)
    rig.w.project.open_image(one)
    rig.settle()
    assert (rig.notices[-1].command, rig.notices[-1].about) == ("project.relink", one)
    rig.ask.files = [elsewhere]
    run("project.relink", rig)
    assert len(rig.w.document) == 2  # it was wanted
    rig.close()
    again = Rig(rig.home)
    again.open(elsewhere)
    assert again.w.project.current == one
    assert len(again.w.document) == 2
    again.close()


def test_the_last_file_is_opened_again_in_its_project(rig: Rig) -> None:
    folder = rig.project("a.png")
    rig.show(0)
    rig.add(2)
    rig.close()
    again = Rig(rig.home)
    run("file.open_again", again)
    assert again.w.project.folder.path == folder
    assert len(again.w.document) == 2
    again.close()


def test_a_new_project_gets_a_folder_of_its_own(rig: Rig) -> None:
    rig.ask.files = [rig.home / "not there" / "study"]
    run("project.new", rig)
    assert (rig.home / "not there" / "study" / FOLDER_FILE).is_file()


def run(name: str, rig: Rig) -> None:
    COMMANDS[name].run(Context(rig.w, None, rig.ask))  # type: ignore[arg-type]
    rig.settle()


def test_the_next_start_shows_an_image_beside_another_project_again(rig: Rig) -> None:
    rig.project("a.png")
    rig.show(0)
    rig.add(3)
    rig.w.project.new(rig.home / "second")
    rig.settle()
    assert not rig.w.project.current
    rig.close()
    again = Rig(rig.home)
    again.w.open_last()
    again.settle()
    assert again.w.project.folder.path == rig.home / "second"
    assert len(again.w.document) == 3
    again.close()


def test_a_program_that_cannot_write_does_not_say_that_all_is_saved(rig: Rig) -> None:
    rig.project("a.png")
    rig.show(0)
    with full_disk(1 << 12):
        rig.w.do(rig.w.document.adding([Annotation(BOX)]))
        rig.settle()
        rig.notices.clear()
        run("file.save", rig)
        assert not rig.told("Everything is saved")
        assert rig.notices[0].command == "save.retry"
