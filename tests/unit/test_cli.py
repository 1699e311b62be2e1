"""Arguments and the text that they produce; the programs themselves run in tests/e2e."""

from __future__ import annotations

import pytest

from samdesk.cli import main
from samdesk.cli.segment import prompts_of
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Bounds
from samdesk.domain.prompts import BoxPrompt, PointPrompt, Prompts


def test_all_prompts_describe_one_object() -> None:
    made = prompts_of(["10,20.5", "3,4,-"], ["9,9,1,2"], each=False)
    points = (PointPrompt(10, 20.5), PointPrompt(3, 4, False))
    assert made == [Prompts(points, (BoxPrompt(Bounds(1, 2, 9, 9)),))]


def test_each_makes_one_object_per_positive_prompt() -> None:
    made = prompts_of(["1,1", "2,2", "3,3,-"], ["0,0,5,5"], each=True)
    away = PointPrompt(3, 3, False)
    assert made == [
        Prompts((PointPrompt(1, 1), away)),
        Prompts((PointPrompt(2, 2), away)),
        Prompts((away,), (BoxPrompt(Bounds(0, 0, 5, 5)),)),
    ]


@pytest.mark.parametrize(
    ("points", "boxes"),
    [([], []), (["1,2,-"], []), (["1"], []), (["a,b"], []), (["1,2,3"], []), ([], ["1,2,3"]), (["nan"], [])],
)
def test_prompts_that_make_no_sense_are_refused(points: list[str], boxes: list[str]) -> None:
    with pytest.raises(SamdeskError):
        prompts_of(points, boxes, each=False)


@pytest.mark.parametrize("command", [[], ["demo"], ["segment"], ["info"]])
def test_help_teaches(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([*command, "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert "usage: samdesk" in text
    assert len(text) > 200


def test_an_error_is_one_message_and_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "/nowhere/slide.svs"]) == 1
    told = capsys.readouterr().err
    assert "slide.svs" in told
    assert "Traceback" not in told


def test_an_unusable_user_folder_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "/locked/home")

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    monkeypatch.setenv("SAMDESK_HOME", "/locked/home")
    assert main(["demo", "--out", "/locked/out"]) == 1
    assert "/locked" in capsys.readouterr().err
