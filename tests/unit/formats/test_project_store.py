"""The project file keeps exactly what was accepted, and harms nothing when it cannot be opened or written."""

from __future__ import annotations

import math
import os
import sqlite3
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samdesk.domain.columns import DEFAULT_CLASSES, Annotation, AnnotationClass, Table
from samdesk.domain.document import Document, Edit
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Plane, Shape
from samdesk.domain.history import History
from samdesk.domain.tasks import Cancelled, Task
from samdesk.formats.project import ImageReference, Loaded, ProjectStore
from tests.annotation_tables import annotations, content, star_table
from tests.unit.formats.limits import full_disk, unprivileged

BOX = Shape.box(0, 0, 10, 10)


class Project:
    """A document whose edits go into a store at once, as in the program."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.document = Document()
        self.store = ProjectStore.open(path, create=True)
        self.history = History(self.document)
        self.document.changed.connect(self.store.append)

    def reopened(self) -> Loaded:
        self.store.close()
        with ProjectStore.open(self.path) as store:
            assert not store.recovered
            return store.load()

    def assert_equals(self, loaded: Loaded) -> None:
        assert loaded.classes == self.document.classes
        mine = self.document.table()
        assert content(loaded.table.with_order(mine.order)) == content(mine.recoded(loaded.classes))
        assert loaded.table.order.tolist() == mine.order.tolist()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "a.gpkg")


def files(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


# What is kept


def test_a_new_project_is_a_new_document(project: Project, tmp_path: Path) -> None:
    project.assert_equals(project.reopened())
    assert files(tmp_path) == ["a.gpkg"]


names = st.sampled_from([None, "Tumor", "New", "Größe: µ", "\u2028\u0000 '"])


@settings(deadline=None, max_examples=25)
@given(st.data())
def test_any_edits_survive(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    project = Project(tmp_path_factory.mktemp("any") / "a.gpkg")
    document = project.document
    for _ in range(data.draw(st.integers(0, 6))):
        ids = document.ids()
        some = data.draw(st.lists(st.sampled_from(ids), unique=True)) if ids else []
        match data.draw(st.integers(0, 5)):
            case 0 | 1:
                new = data.draw(st.lists(annotations(names=(None, "Tumor", "New")), max_size=4))
                fresh = {one.id: one for one in new if one.id not in document}
                project.history.do(document.adding(fresh.values()))
            case 2:
                project.history.do(document.removing(some))
            case 3:
                project.history.do(document.reclassifying(some, data.draw(names)))
            case 4:
                changed = [data.draw(st.builds(_with_id, annotations(), st.just(one))) for one in some]
                project.history.do(document.replacing(changed))
            case 5:
                if project.history.can_undo:
                    project.history.undo()
    project.assert_equals(project.reopened())


def _with_id(annotation: Annotation, one: uuid.UUID) -> Annotation:
    return Annotation(annotation.shape, id=one, class_name=annotation.class_name, extra=annotation.extra)


def test_everything_an_annotation_says_is_kept_exactly(project: Project) -> None:
    project.document.apply(
        project.document.adding(
            [
                Annotation(
                    Shape.polygon(
                        [(1 / 256, -3), (2**22 + 1 / 256, 5), (7, 1e6)], [[(8, 3), (9, 3), (8, 4)]]
                    ),
                    class_name="Größe: µ\n",
                    name="\u2028 '\" \U0001f600",
                    plane=Plane(3, -2),
                    object_type="tmaCore",
                    locked=True,
                    color=(0, 0, 0),
                    measurements={"a": 0.1, "b": math.inf, "c": 1e-300},
                    metadata={"": "x"},
                    provenance={"engine": "classical", "prompts": [[1, 2.5, True]], "none": None},
                    extra={"properties": {"label": [1, {"y": "z"}]}},
                )
            ]
        )
    )
    project.assert_equals(project.reopened())


def test_a_measurement_that_is_no_number_is_kept(project: Project) -> None:
    project.document.apply(project.document.adding([Annotation(BOX, measurements={"a": math.nan})]))
    (one,) = project.reopened().table.annotations()
    assert math.isnan(one.measurements["a"])


def test_classes_keep_their_order_and_colors(project: Project) -> None:
    classes = [AnnotationClass("z", (1, 2, 3)), *DEFAULT_CLASSES[3:1:-1], AnnotationClass("a", (0, 0, 0))]
    project.document.apply(project.document.adding([Annotation(BOX, class_name="Tumor")]))
    project.document.apply(project.document.with_classes(classes, renamed={"Tumor": "z"}))
    loaded = project.reopened()
    assert loaded.classes == tuple(classes)
    assert loaded.table.class_name(0) == "z"


def test_a_table_whose_classes_the_project_lacks_brings_them(tmp_path: Path) -> None:
    table = star_table(3).with_class("Mitosis", (9, 8, 7))
    with ProjectStore.open(tmp_path / "a.gpkg", create=True) as store:
        store.append(Edit("Import", Table.empty(), table))
        assert store.load().classes == (*DEFAULT_CLASSES, ("Mitosis", (9, 8, 7)))


def test_large_edits_survive(project: Project) -> None:
    document = project.document
    document.apply(document.adding(star_table(12_000)))
    document.apply(document.reclassifying(document.ids()[::5], "Stroma"))
    document.apply(document.replacing(document.table(document.ids()[:50]).with_class("Tumor")))
    document.replace_all(star_table(11_000, seed=1))
    project.assert_equals(project.reopened())


def test_a_class_is_changed_without_writing_shapes_again(project: Project) -> None:
    document = project.document
    document.apply(document.adding(star_table(2000)))
    log = project.path.with_name("a.gpkg-wal")
    project.store.close()
    project.store = ProjectStore.open(project.path)
    project.store.append(document.reclassifying(document.ids(), "Stroma"))
    assert log.stat().st_size < 0.7 * project.path.stat().st_size
    project.store.close()


def test_every_edit_is_in_the_journal(project: Project) -> None:
    document, store = project.document, project.store
    assert store.append(document.adding([Annotation(BOX)], "Draw")) == 1
    assert store.append(document.with_classes([])) == 2
    store.close()
    with closing(sqlite3.connect(project.path)) as db:
        rows = db.execute("SELECT title, removed, written FROM journal").fetchall()
    assert rows == [("Draw", 0, 1), ("Change classes", 0, 0)]


def test_other_values_and_the_image_are_kept(project: Project, tmp_path: Path) -> None:
    store = project.store
    image = tmp_path / "slides" / "a.svs"
    image.parent.mkdir()
    image.touch()
    reference = ImageReference(image, "a.svs", "key 1", 40_000, 30_000)
    assert store.image is None
    store.set_image(reference)
    store.set_meta("view", {"scale": 2.5, "center": [1, 2]})
    store.set_meta("gone", 1)
    store.set_meta("gone", None)
    loaded = project.reopened()
    assert loaded.meta == {"view": {"scale": 2.5, "center": [1, 2]}}
    assert loaded.image == reference
    with pytest.raises(SamdeskError, match="cannot be saved"):
        ProjectStore.open(project.path).set_meta("x", object())


def test_an_image_is_found_again_after_both_were_moved(project: Project, tmp_path: Path) -> None:
    image = tmp_path / "a.svs"
    image.touch()
    project.store.set_image(ImageReference(image, "a.svs", "key", 1, 1))
    project.store.close()
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for one in (image, project.path):
        one.rename(moved / one.name)
    with ProjectStore.open(moved / "a.gpkg") as store:
        assert store.image is not None
        assert store.image.path == moved / "a.svs"


def test_loading_tells_its_progress_and_can_be_cancelled(project: Project) -> None:
    project.document.apply(project.document.adding(star_table(5000)))
    fractions: list[float] = []
    project.store.load(Task(lambda progress: fractions.append(progress.fraction or 0)))
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    stopping = Task(lambda progress: stopping.cancel())
    with pytest.raises(Cancelled):
        project.store.load(stopping)
    project.assert_equals(project.store.load())


# Who may write


def test_a_second_window_only_reads_and_says_so(project: Project, tmp_path: Path) -> None:
    project.document.apply(project.document.adding([Annotation(BOX)]))
    with ProjectStore.open(project.path) as second:
        assert second.read_only
        assert "another window" in second.reason
        assert not second.recovered
        project.document.apply(project.document.adding([Annotation(BOX)]))
        assert len(second.load().table) == 2
        with pytest.raises(SamdeskError, match="another window"):
            second.append(project.document.adding([Annotation(BOX)]))
        project.store.close()
        assert files(tmp_path) == ["a.gpkg"]
        assert len(second.load().table) == 2
    with ProjectStore.open(project.path) as third:
        assert not third.read_only


def test_a_project_can_be_opened_for_reading(project: Project, tmp_path: Path) -> None:
    project.store.close()
    before = project.path.read_bytes()
    with ProjectStore.open(project.path, read_only=True) as store:
        assert store.read_only
        assert files(tmp_path) == ["a.gpkg"]
        with pytest.raises(SamdeskError):
            store.set_meta("x", 1)
    assert project.path.read_bytes() == before


@pytest.mark.parametrize("closed", [True, False])
def test_a_folder_that_cannot_be_written_only_reads_and_says_so(open_folder: Path, closed: bool) -> None:
    open_folder.chmod(0o777)
    project = Project(open_folder / "a.gpkg")
    project.document.apply(project.document.adding([Annotation(BOX)]))
    project.store.close()
    if not closed:  # a log is announced, and gone
        with closing(sqlite3.connect(project.path)) as db:
            db.execute("PRAGMA journal_mode = WAL").fetchone()
    open_folder.chmod(0o555)
    with unprivileged(), ProjectStore.open(project.path) as store:
        assert store.read_only
        assert "written" in store.reason
        project.assert_equals(store.load())
    assert files(open_folder) == ["a.gpkg"]


def test_a_log_that_cannot_be_read_is_not_passed_over(open_folder: Path) -> None:
    project = Project(open_folder / "a.gpkg")
    project.document.apply(project.document.adding([Annotation(BOX)]))
    crashed = open_folder / "crashed"
    crashed.mkdir()
    for name in ("a.gpkg", "a.gpkg-wal"):
        (crashed / name).write_bytes((open_folder / name).read_bytes())
        (crashed / name).chmod(0o444)
    project.store.close()
    crashed.chmod(0o555)
    with unprivileged(), pytest.raises(SamdeskError) as caught:
        ProjectStore.open(crashed / "a.gpkg")
    assert "-wal" in caught.value.hint
    crashed.chmod(0o755)


def test_a_new_project_needs_a_folder_that_can_be_written(open_folder: Path) -> None:
    open_folder.chmod(0o555)
    with unprivileged(), pytest.raises(SamdeskError, match="cannot be made"):
        ProjectStore.open(open_folder / "a.gpkg", create=True)
    with pytest.raises(SamdeskError, match="cannot be made"):
        ProjectStore.open(open_folder / "missing" / "a.gpkg", create=True)
    assert files(open_folder) == []


def test_a_closed_store_does_nothing(project: Project) -> None:
    project.store.close()
    project.store.close()
    with pytest.raises(SamdeskError, match="closed"):
        project.store.append(project.document.adding([Annotation(BOX)]))


# What is not a project


def newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE samdesk SET schema = 99, made_by = 'samdesk 9.9'")
        db.commit()


def other_geopackage(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("DROP TABLE samdesk")


def other_sqlite(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE a (b)")


def without_a_table(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("DROP TABLE annotation")


def cut_off(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def overwritten(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096 * 3 : 4096 * 60] = os.urandom(4096 * 57)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (newer, "newer samdesk (samdesk 9.9)"),
        (other_geopackage, "not a samdesk project"),
        (other_sqlite, "not a samdesk project"),
        (without_a_table, "damaged"),
        (cut_off, "damaged"),
        (overwritten, "damaged"),
        (lambda path: path.write_bytes(b""), "empty"),
        (lambda path: path.write_bytes(b"hello"), "not a samdesk project"),
        (lambda path: path.write_bytes(path.read_bytes()[:90]), "cut off"),
        (lambda path: path.write_bytes(os.urandom(5000)), "not a samdesk project"),
        (lambda path: path.unlink(), "does not exist"),
        (lambda path: (path.unlink(), path.mkdir()), "it is a folder"),
    ],
)
def test_what_is_no_project_is_refused_and_left_as_it_is(
    project: Project, tmp_path: Path, damage: Callable[[Path], object], told: str
) -> None:
    project.document.apply(project.document.adding(star_table(500)))
    project.store.close()
    damage(project.path)
    before = {name: (tmp_path / name).read_bytes() for name in files(tmp_path) if (tmp_path / name).is_file()}
    with pytest.raises(SamdeskError) as caught:
        ProjectStore.open(project.path)
    assert told in caught.value.message
    assert str(project.path) in caught.value.message
    assert caught.value.hint
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    assert not {"a.gpkg-wal", "a.gpkg.lock"} & set(files(tmp_path))


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE annotation SET geom = x'00'",
        "UPDATE annotation SET geom = substr(geom, 1, 100)",
        "DELETE FROM annotation WHERE fid = 2",
        "UPDATE annotation_attributes SET id = 'x' || fid",
        "UPDATE annotation_attributes SET position = 'x'",
        "UPDATE annotation_attributes SET object_type = 'x'",
        "UPDATE annotation_attributes SET details = '{'",
        "UPDATE classes SET color = 'red'",
    ],
)
def test_values_that_make_no_sense_are_refused(project: Project, damage: str) -> None:
    project.document.apply(project.document.adding(star_table(5)))
    project.store.close()
    with closing(sqlite3.connect(project.path)) as db:
        db.execute(damage)
        db.commit()
    with ProjectStore.open(project.path) as store, pytest.raises(SamdeskError, match="damaged"):
        store.load()


def test_a_project_without_a_file_is_made_only_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "a.gpkg"
    with pytest.raises(SamdeskError, match="does not exist"):
        ProjectStore.open(path)
    path.touch()
    with ProjectStore.open(path, create=True) as store:
        assert len(store.load().table) == 0
    (tmp_path / "a.gpkg-wal").write_bytes(b"of a project that was deleted")
    path.unlink()
    with ProjectStore.open(path, create=True) as store:
        assert len(store.load().table) == 0
    assert files(tmp_path) == ["a.gpkg"]


# Trouble while writing


def assert_usable(project: Project) -> None:
    project.assert_equals(project.store.load())
    project.document.apply(project.document.adding([Annotation(BOX)]))
    project.assert_equals(project.store.load())
    project.assert_equals(project.reopened())


def test_a_full_disk_takes_nothing_half(project: Project) -> None:
    project.document.apply(project.document.adding([Annotation(BOX)]))
    too_much = project.document.adding(star_table(20_000))
    with full_disk(1 << 20), pytest.raises(SamdeskError, match="disk is full") as caught:
        project.store.append(too_much)
    assert str(project.path) in caught.value.message
    assert caught.value.hint
    assert_usable(project)


def test_a_full_file_takes_nothing_half(project: Project) -> None:
    project.document.apply(project.document.adding([Annotation(BOX)]))
    db = project.store._connection
    assert db is not None
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    db.execute(f"PRAGMA max_page_count = {pages + 20}")
    with pytest.raises(SamdeskError, match="disk is full"):
        project.store.append(project.document.adding(star_table(20_000)))
    assert_usable(project)


def test_an_edit_that_cannot_be_written_changes_nothing(project: Project) -> None:
    document = project.document
    document.apply(document.adding([Annotation(BOX)]))
    for bad in (Annotation(BOX, name="\ud800"), Annotation(BOX, provenance={"x": object()})):
        with pytest.raises(SamdeskError):
            project.store.append(document.adding([Annotation(BOX), bad]))
    assert_usable(project)


def test_closing_on_a_full_disk_loses_nothing(project: Project) -> None:
    project.document.apply(project.document.adding(star_table(3000)))
    with full_disk(1 << 18):
        project.store.close()
    with ProjectStore.open(project.path) as store:
        assert not store.read_only
        project.assert_equals(store.load())


def test_closing_while_another_program_reads_loses_nothing(project: Project) -> None:
    project.document.apply(project.document.adding([Annotation(BOX)]))
    with closing(sqlite3.connect(project.path)) as other:
        other.execute("BEGIN")
        assert other.execute("SELECT count(*) FROM annotation").fetchone() == (1,)
        project.store.close()
    with ProjectStore.open(project.path) as store:
        project.assert_equals(store.load())


# Copies


def test_a_copy_holds_everything_and_the_project_stays_open(project: Project, tmp_path: Path) -> None:
    project.document.apply(project.document.adding(star_table(300)))
    copy = tmp_path / "copy.gpkg"
    copy.write_bytes(b"old")
    (tmp_path / "copy.gpkg-wal").write_bytes(b"of the old one")
    project.store.save_copy(copy)
    project.document.apply(project.document.adding([Annotation(BOX)]))
    with ProjectStore.open(copy) as store:
        assert not store.recovered
        assert len(store.load().table) == 300
    with ProjectStore.open(project.path) as second:  # which only reads
        second.save_copy(copy)
    with ProjectStore.open(copy) as store:
        project.assert_equals(store.load())
    project.store.close()
    assert files(tmp_path) == ["a.gpkg", "copy.gpkg"]


def test_a_copy_does_not_replace_what_is_open(project: Project, tmp_path: Path) -> None:
    project.document.apply(project.document.adding([Annotation(BOX)]))
    with pytest.raises(SamdeskError, match="another window"):
        project.store.save_copy(project.path)
    with (
        ProjectStore.open(tmp_path / "b.gpkg", create=True),
        pytest.raises(SamdeskError, match="another window"),
    ):
        project.store.save_copy(tmp_path / "b.gpkg")
    assert_usable(project)


def test_a_copy_that_fails_leaves_the_old_file(project: Project, tmp_path: Path) -> None:
    project.document.apply(project.document.adding(star_table(5000)))
    copy = tmp_path / "copy.gpkg"
    copy.write_bytes(b"old")
    with full_disk(1 << 19), pytest.raises(SamdeskError, match="disk is full") as caught:
        project.store.save_copy(copy)
    assert str(copy) in caught.value.message
    assert copy.read_bytes() == b"old"
    with pytest.raises(SamdeskError):
        project.store.save_copy(tmp_path / "missing" / "copy.gpkg")
    assert_usable(project)
    assert files(tmp_path) == ["a.gpkg", "copy.gpkg"]


def test_ids_and_order_are_those_of_the_list(project: Project) -> None:
    document = project.document
    document.apply(document.adding(star_table(20)))
    edit = document.removing(document.ids()[3:7])
    document.apply(edit)
    document.apply(document.adding([Annotation(BOX)]))
    document.apply(edit.inverse())
    loaded = project.reopened()
    assert [one.id for one in loaded.table.annotations()] == document.ids()
    assert np.all(np.diff(loaded.table.order) > 0)
