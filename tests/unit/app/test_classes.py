"""Classes of a real workspace: each change is one undo step, and what is hidden comes back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from samdesk.app.jobs import Jobs, MainQueue
from samdesk.app.settings import Settings
from samdesk.app.workspace import Notice, Workspace
from samdesk.domain.columns import DEFAULT_CLASSES, Annotation, AnnotationClass, color_of_name, is_ignored
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Shape
from samdesk.formats.classlist import read_classes, write_classes
from samdesk.sdk import Segmenter
from tests.fakes import FakeAsk, FakeEngine

NAMES = [one.name for one in DEFAULT_CLASSES]


class Rig:
    """A workspace with an open picture, without a window."""

    def __init__(self, home: Path) -> None:
        self.main = MainQueue()
        self.jobs = Jobs(self.main)
        self.ask = FakeAsk()
        self.workspace = Workspace(
            self.jobs, Settings(home / "settings.json"), Segmenter(FakeEngine()), self.ask
        )
        self.notices: list[Notice] = []
        self.workspace.notice.connect(self.notices.append)
        self.classes = self.workspace.classes

    def open(self, path: Path) -> None:
        self.workspace.open(path)
        self.settle()

    def settle(self) -> None:
        for _ in range(3):
            self.main.run_until(lambda: self.jobs.idle, 20)
            self.main.drain()

    def add(self, *classes: str | None) -> None:
        made = [Annotation(Shape.box(0, 0, 9, 9), class_name=name) for name in classes]
        assert self.workspace.do(self.workspace.document.adding(made))

    def counts(self) -> dict[str | None, int]:
        return {name: count for name, count in self.workspace.document.counts().items() if count}

    def close(self) -> None:
        self.workspace.close()
        self.main.drain()


@pytest.fixture
def picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SAMDESK_HOME", str(tmp_path / "home"))
    path = tmp_path / "picture.png"
    cv2.imwrite(str(path), np.full((60, 80, 3), 90, np.uint8))
    return path


@pytest.fixture
def rig(picture: Path, tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    made.open(picture)
    yield made
    made.close()


def test_a_class_is_added_once_and_undone(rig: Rig) -> None:
    assert rig.classes.add("  Lymph   node ", (1, 2, 3))
    assert rig.classes.get("Lymph node").color == (1, 2, 3)
    with pytest.raises(SamdeskError, match="already"):
        rig.classes.add("Tumor")
    with pytest.raises(SamdeskError, match="needs a name"):
        rig.classes.add("  ")
    rig.workspace.history.undo()
    assert rig.classes.names == NAMES


def test_annotations_follow_a_renamed_class(rig: Rig) -> None:
    rig.add("Tumor", "Tumor", None)
    rig.workspace.choose_class("Tumor")
    rig.classes.hide(["Tumor"])
    assert rig.classes.rename("Tumor", "Carcinoma")
    assert rig.counts() == {"Carcinoma": 2, None: 1}
    assert rig.classes.names == ["Carcinoma", *NAMES[1:]]
    assert rig.workspace.active_class == "Carcinoma"
    assert rig.classes.hidden == {"Carcinoma"}
    rig.workspace.history.undo()
    assert rig.counts() == {"Tumor": 2, None: 1}
    assert rig.workspace.active_class is None


def test_what_is_hidden_follows_undo_and_redo(rig: Rig) -> None:
    rig.add("Tumor")
    rig.classes.hide(["Tumor", "Stroma", None])
    rig.classes.rename("Tumor", "Cancer")
    rig.workspace.history.undo()
    assert rig.classes.hidden == {"Tumor", "Stroma", None}
    rig.workspace.history.redo()
    assert rig.classes.hidden == {"Cancer", "Stroma", None}
    rig.classes.remove(["Stroma"])
    assert rig.classes.hidden == {"Cancer", None}  # a class that comes back is seen
    rig.ask.answer = 0
    rig.classes.rename("Cancer", "Necrosis")
    assert rig.classes.hidden == {None}  # what is joined with a class that is shown is shown


def test_renaming_onto_another_class_asks_and_joins_them(rig: Rig) -> None:
    rig.add("Tumor", "Stroma")
    assert not rig.classes.rename("Tumor", "Stroma")
    rig.ask.answer = 0
    assert rig.classes.rename("Tumor", "Stroma")
    assert rig.counts() == {"Stroma": 2}
    assert "Tumor" not in rig.classes.names
    rig.workspace.history.undo()
    assert (rig.counts(), rig.classes.names) == ({"Tumor": 1, "Stroma": 1}, NAMES)


def test_removing_a_class_that_is_used_asks(rig: Rig) -> None:
    rig.add("Tumor", "Stroma")
    assert rig.classes.remove(["Necrosis"])
    assert not rig.classes.remove(["Tumor"])
    rig.ask.answer = 0
    assert rig.classes.remove(["Tumor", "Stroma"])
    assert rig.counts() == {None: 2}
    assert not rig.classes.remove(["Tumor"])


def test_order_decides_the_number_keys(rig: Rig) -> None:
    assert rig.classes.move("Stroma", -5)
    assert rig.classes.names[:2] == ["Stroma", "Tumor"]
    assert not rig.classes.move("Stroma", -1)
    assert [rig.classes.key_of(name) for name in ("Stroma", "Tumor", None)] == ["1", "2", "0"]
    rig.classes.add("Tenth")
    assert rig.classes.key_of("Tenth") == ""
    rig.classes.press(1)
    assert rig.workspace.active_class == "Stroma"
    rig.add("Other")
    rig.workspace.select_all()
    rig.classes.press(2)
    assert (rig.counts(), rig.workspace.active_class) == ({"Tumor": 1}, "Stroma")
    rig.classes.press(0)
    assert rig.counts() == {None: 1}
    rig.classes.remove(rig.classes.names[2:])
    rig.classes.press(7)
    assert rig.counts() == {None: 1}


def test_all_of_a_class_are_selected(rig: Rig) -> None:
    rig.add("Tumor", None, "Stroma", "Tumor")
    ids = rig.workspace.document.ids()
    rig.classes.select_all_of(["Tumor"])
    assert rig.workspace.selection.ids == [ids[0], ids[3]]
    rig.classes.select_all_of([None, "Stroma"])
    assert rig.workspace.selection.ids == ids[1:3]


def test_what_is_hidden_comes_back_with_the_image(rig: Rig, picture: Path) -> None:
    told: list[None] = []
    rig.classes.hidden_changed.connect(lambda: told.append(None))
    rig.classes.toggle(["Tumor", None])
    rig.classes.toggle(["Tumor"])
    rig.classes.hide(["Stroma"])
    rig.classes.show(["Necrosis"])
    assert len(told) == 3
    rig.workspace.close_image()
    assert rig.classes.hidden == frozenset()
    rig.open(picture)
    assert rig.classes.hidden == {None, "Stroma"}
    rig.classes.show_only(["Tumor"])
    assert rig.classes.hidden == {None, *NAMES} - {"Tumor"}
    rig.classes.show_all()
    assert rig.classes.hidden == frozenset()


def test_what_is_hidden_is_not_hit(rig: Rig) -> None:
    rig.add("Tumor", "Stroma")
    below = rig.workspace.document.ids()[0]
    rig.classes.hide(["Stroma"])
    rig.workspace.select_at(5, 5, 1)
    assert rig.workspace.selection.ids == (below,)


def test_a_list_of_classes_goes_out_and_comes_back(rig: Rig, tmp_path: Path) -> None:
    path = tmp_path / "classes.json"
    rig.classes.export(path)
    rig.settle()
    assert json.loads(path.read_text())[0] == {"name": "Tumor", "color": "#c80000"}
    write_classes(path, [AnnotationClass("Tumor", (1, 1, 1)), AnnotationClass("Fat", (9, 9, 9))])
    rig.classes.import_from(path)
    rig.settle()
    assert rig.notices[-1].text == "classes.json: 1 class added, the color of 1 class changed."
    assert rig.classes.names == [*NAMES, "Fat"]
    assert rig.classes.get("Tumor").color == (1, 1, 1)
    rig.workspace.history.undo()
    assert rig.workspace.document.classes == DEFAULT_CLASSES


def test_classes_come_from_another_project(rig: Rig, tmp_path: Path) -> None:
    rig.classes.add("Fat", (9, 8, 7))
    rig.workspace.save_as(tmp_path / "other.gpkg")
    rig.settle()
    assert read_classes(tmp_path / "other.gpkg")[-1] == AnnotationClass("Fat", (9, 8, 7))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('["A", "A", "B"]', [("A", color_of_name("A")), ("B", color_of_name("B"))]),
        ('[{"name": "A", "color": [1, 2, 300]}, {"name": null}]', [("A", (1, 2, 255))]),
        ('{"pathClasses": [{"name": "A", "colorRGB": -65536}, {}]}', [("A", (255, 0, 0))]),
        ('{"classes": [{"names": ["A", "B"], "color": "#010203"}]}', [("A: B", (1, 2, 3))]),
        ('[{"name": "A", "color": "blue"}]', [("A", color_of_name("A"))]),
    ],
)
def test_lists_of_other_shapes_are_read(
    tmp_path: Path, text: str, expected: list[tuple[str, object]]
) -> None:
    path = tmp_path / "list.json"
    path.write_text(text)
    assert [tuple(one) for one in read_classes(path)] == expected


@pytest.mark.parametrize("text", ["", "{", "7", '{"type": "FeatureCollection"}', "[3]", "\x00"])
def test_what_is_no_list_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(SamdeskError, match="is not a list of classes"):
        read_classes(path)


def test_a_missing_list_is_told(tmp_path: Path) -> None:
    with pytest.raises(SamdeskError, match="does not exist"):
        read_classes(tmp_path / "none.json")


def test_ignored_classes_end_in_a_star() -> None:
    assert [is_ignored(name) for name in ("Region*", "Region", "", None)] == [True, False, False, False]
