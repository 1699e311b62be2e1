"""The edit log: what was accepted and not written yet comes back, and nothing else."""

from __future__ import annotations

import shutil
import uuid
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samdesk.domain.columns import Annotation, AnnotationClass
from samdesk.domain.document import Document, Edit
from samdesk.domain.geometry import Shape
from samdesk.formats.project import ProjectStore
from samdesk.formats.project.editlog import MOST_ROWS, EditLog, log_path, read_log
from tests.annotation_tables import annotations, content, star_table
from tests.unit.formats.limits import full_disk

BOX = Shape.box(0, 0, 10, 10)


class Accepting:
    """A document whose edits are accepted and then not written, as when the program is killed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.document = Document()
        self.store = ProjectStore.open(path, create=True)
        self.noted: list[bool] = []
        self.document.changed.connect(self._accept)

    def _accept(self, edit: Edit) -> None:
        self.noted.append(self.store.accept(edit)[1])

    def add(self, *shapes: Shape, **more: object) -> None:
        document = self.document
        document.apply(document.adding([Annotation(shape, **more) for shape in shapes]))  # type: ignore[arg-type]

    def killed(self) -> Path:
        """What a kill leaves, in another folder."""
        left = self.path.parent / "left"
        left.mkdir(exist_ok=True)
        for one in self.path.parent.glob("a.gpkg*"):
            shutil.copy(one, left / one.name)
        (left / "a.gpkg.lock").unlink(missing_ok=True)
        return left / self.path.name

    def assert_comes_back(self) -> None:
        with ProjectStore.open(self.killed()) as store:
            assert store.recovered
            assert store.lost == ()
            loaded = store.load()
        mine = self.document.table()
        assert loaded.classes == self.document.classes
        assert content(loaded.table.with_order(mine.order)) == content(mine)
        assert loaded.table.order.tolist() == mine.order.tolist()
        assert not list((self.path.parent / "left").glob("*-edits*"))


@pytest.fixture
def accepting(tmp_path: Path) -> Accepting:
    return Accepting(tmp_path / "a.gpkg")


@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_any_accepted_edits_come_back(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    accepting = Accepting(tmp_path_factory.mktemp("log") / "a.gpkg")
    document = accepting.document
    for _ in range(data.draw(st.integers(1, 6))):
        ids = document.ids()
        some = ids[: data.draw(st.integers(0, 3))]
        match data.draw(st.integers(0, 4)):
            case 1 if some:
                document.apply(document.removing(some))
            case 2 if some:
                document.apply(document.reclassifying(some, data.draw(st.sampled_from([None, "New"]))))
            case 3:
                document.apply(
                    document.with_classes(document.classes[1:] or (AnnotationClass("A", (1, 2, 3)),))
                )
            case 4 if some:
                old = document.get(some[0])
                document.apply(document.replacing([Annotation(BOX, id=old.id, name="moved")]))
            case _:
                drawn = data.draw(st.lists(annotations(), max_size=3))
                document.apply(document.adding([replace(one, id=uuid.uuid4()) for one in drawn]))
    if accepting.noted:
        accepting.assert_comes_back()
    accepting.store.close()


def test_what_is_written_is_not_taken_twice(accepting: Accepting) -> None:
    first = accepting.document.adding([Annotation(BOX)], "First")
    accepting.document.apply(first)
    accepting.store.append(first, 1)
    assert log_path(accepting.path).stat().st_size < 100
    accepting.add(BOX)
    accepting.document.apply(accepting.document.removing(accepting.document.ids()[:1]))
    accepting.assert_comes_back()
    accepting.store.close()


def test_an_edit_that_is_accepted_while_another_is_written_stays(accepting: Accepting) -> None:
    edits = [accepting.document.adding([Annotation(BOX)]) for _ in range(2)]
    for edit in edits:
        accepting.document.apply(edit)
    accepting.store.append(edits[0], 1)
    found = read_log(accepting.path)
    assert found is not None
    assert [one.number for one in found.records] == [1, 2]
    accepting.assert_comes_back()
    accepting.store.close()


def test_closing_leaves_the_log_only_when_something_is_not_written(accepting: Accepting) -> None:
    accepting.add(BOX)
    accepting.store.close()
    assert log_path(accepting.path).exists()
    with ProjectStore.open(accepting.path) as store:
        assert len(store.load().table) == 1
        number, noted = store.accept(accepting.document.adding([Annotation(BOX)]))
        assert (number, noted) == (2, True)
        store.append(accepting.document.adding([Annotation(BOX)]), number)
    assert [one.name for one in accepting.path.parent.iterdir()] == ["a.gpkg"]


@pytest.mark.parametrize("cut", [1, 17, 40, 200])
def test_a_record_that_is_cut_off_was_never_accepted(accepting: Accepting, cut: int) -> None:
    accepting.add(BOX)
    accepting.add(BOX)
    left = accepting.killed()
    log = log_path(left)
    log.write_bytes(log.read_bytes()[:-cut])
    with ProjectStore.open(left) as store:
        assert len(store.load().table) == 1
        assert store.lost == ()
    accepting.store.close()


def test_a_damaged_record_is_told_and_what_is_before_it_comes_back(accepting: Accepting) -> None:
    accepting.add(BOX)
    size = log_path(accepting.path).stat().st_size
    accepting.add(BOX)
    accepting.add(BOX)
    left = accepting.killed()
    data = bytearray(log_path(left).read_bytes())
    data[size + 60] ^= 255
    log_path(left).write_bytes(data)
    with ProjectStore.open(left) as store:
        assert len(store.load().table) == 1
        assert "can no longer be read" in store.lost[0]
    assert log_path(left).with_name("a.gpkg-edits.aside1").read_bytes() == data
    accepting.store.close()


@pytest.mark.parametrize("left", [b"", b"SDED", b"something else that is much longer than a header"])
def test_a_log_that_is_none_harms_nothing(tmp_path: Path, left: bytes) -> None:
    ProjectStore.open(tmp_path / "a.gpkg", create=True).close()
    log_path(tmp_path / "a.gpkg").write_bytes(left)
    with ProjectStore.open(tmp_path / "a.gpkg") as store:
        assert len(store.load().table) == 0
        assert bool(store.lost) == (len(left) > 20)


def test_the_log_of_another_state_or_project_is_put_aside(accepting: Accepting) -> None:
    for _ in range(3):
        edit = accepting.document.adding([Annotation(BOX)])
        accepting.document.apply(edit)
        accepting.store.append(edit, len(accepting.noted))
    accepting.add(BOX)
    left = accepting.killed()
    left.unlink()
    left.with_name("a.gpkg-wal").unlink()
    log = log_path(left).read_bytes()
    ProjectStore.open(left, create=True).close()
    log_path(left).write_bytes(log)
    with ProjectStore.open(left) as store:
        assert len(store.load().table) == 0
        assert "does not belong" in store.lost[0]
    accepting.store.close()


def test_a_new_project_does_not_take_over_what_is_left_of_a_deleted_one(accepting: Accepting) -> None:
    accepting.add(BOX)
    left = accepting.killed()
    left.unlink()
    with ProjectStore.open(left, create=True) as store:
        assert len(store.load().table) == 0


def test_a_large_edit_is_told_by_its_title_and_smaller_ones_after_it_come_back(accepting: Accepting) -> None:
    accepting.document.apply(accepting.document.adding(star_table(MOST_ROWS + 1), "Import all.geojson"))
    accepting.add(BOX)
    assert accepting.noted == [False, True]
    with ProjectStore.open(accepting.killed()) as store:
        assert len(store.load().table) == 1
        assert store.lost == ("“Import all.geojson”",)
    accepting.store.close()


def test_what_cannot_be_encoded_or_written_is_left_to_the_project_file(accepting: Accepting) -> None:
    accepting.add(BOX, provenance={"x": object()})
    with full_disk(1 << 10):
        accepting.document.apply(accepting.document.adding(star_table(200)))
    accepting.add(BOX)
    assert accepting.noted == [False, False, True]
    found = read_log(accepting.path)
    assert found is not None
    assert [(one.number, one.is_whole) for one in found.records] == [(1, False), (2, False), (3, True)]
    accepting.store.close()


def test_a_project_that_is_only_read_leaves_the_log_alone(accepting: Accepting) -> None:
    accepting.add(BOX)
    left = accepting.killed()
    with ProjectStore.open(left, read_only=True) as store:
        assert len(store.load().table) == 0
    with ProjectStore.open(left) as store:
        assert len(store.load().table) == 1
    accepting.store.close()


def test_the_log_ends_when_it_is_closed(tmp_path: Path) -> None:
    log = EditLog(tmp_path / "a.gpkg", "me")
    document = Document()
    assert log.write(1, document.adding([Annotation(BOX)]))
    log.close(keep=False)
    assert not log.write(2, document.adding([Annotation(BOX)]))
    assert list(tmp_path.iterdir()) == []


def test_vertices_are_kept_exactly(accepting: Accepting) -> None:
    ring = np.array([[0, 0], [1 / 256, 3.5], [7.25, 9 + 3 / 256]])
    accepting.add(Shape.polygon(ring) if hasattr(Shape, "polygon") else Shape(ring, np.array([0, 3])))
    accepting.assert_comes_back()
    accepting.store.close()


def test_only_accepting_counts_as_another_thread_writes(accepting: Accepting) -> None:
    edits = [accepting.document.adding([Annotation(BOX)]) for _ in range(2)]
    assert accepting.store.accept(edits[0])[0] == 1
    accepting.store.append(edits[0], 7)
    assert accepting.store.accept(edits[1])[0] == 2
    accepting.store.close(forget=True)


def test_a_log_with_a_number_twice_opens(accepting: Accepting) -> None:
    for number in (1, 2, 2, 3):
        accepting.store._next = number
        accepting.add(BOX)
    accepting.assert_comes_back()
    accepting.store.close()


def test_an_edit_that_could_not_be_noted_is_told_once_it_can_be(accepting: Accepting) -> None:
    accepting.add(BOX)
    with full_disk(1 << 10):
        accepting.document.apply(accepting.document.adding(star_table(200), "Find cells"))
    accepting.add(BOX)
    with ProjectStore.open(accepting.killed()) as store:
        assert len(store.load().table) == 2
        assert store.lost == ("“Find cells”",)
    accepting.store.close()


def test_the_first_edit_that_could_not_be_noted_does_not_cost_the_later_ones(accepting: Accepting) -> None:
    with full_disk(16):
        accepting.document.apply(accepting.document.adding([Annotation(BOX)], "Draw"))
    accepting.add(BOX)
    assert accepting.noted == [False, True]
    with ProjectStore.open(accepting.killed()) as store:
        assert len(store.load().table) == 1
        assert store.lost == ("“Draw”",)
    accepting.store.close()


def test_a_gap_between_numbers_is_told(accepting: Accepting) -> None:
    for number in (1, 3):
        accepting.store._next = number
        accepting.add(BOX)
    with ProjectStore.open(accepting.killed()) as store:
        assert len(store.load().table) == 2
        assert store.lost == ("1 edit that could not be noted",)
    accepting.store.close()
