"""The wire, the worker's loop without a process, and what is said of a process that ended."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samdesk.recon.childprocess import clean_environment
from samdesk.recon.client import _exit_words
from samdesk.recon.wire import FROM_WORKER, MAX_LINE, PROTOCOL, TO_WORKER, WireError, decode, encode
from samdesk.recon.worker import loop as loop_module
from samdesk.recon.worker.base import EngineError, Made, Report, Request, Stopped
from samdesk.recon.worker.loop import Loop

NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.none() | st.booleans() | NUMBERS | st.text()


@settings(max_examples=25)
@given(st.dictionaries(st.text(), VALUES))
def test_what_is_sent_is_what_comes(members: dict[str, Any]) -> None:
    message = {**members, "type": "ping", "n": 1}
    line = encode(message)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert decode(line, TO_WORKER) == message


def test_a_name_that_is_no_text_goes_over_the_wire() -> None:
    """As a file name of bytes that are not UTF-8 does."""
    message = {"type": "ping", "n": "caf\udce9.png"}
    assert decode(encode(message), TO_WORKER) == message


@given(st.binary(max_size=200))
def test_no_bytes_bring_the_reader_down(line: bytes) -> None:
    with suppress(WireError):
        assert decode(line, FROM_WORKER)["type"] in FROM_WORKER


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'["hello"]', "not a message"),
        (b'{"type":"sing"}', "unknown message"),
        (b'{"no":"type"}', "unknown message"),
        (b'{"type":"run","job":"1"}', "“run” lacks folder, image, mask, out, options"),
        (b'"' + b"x" * MAX_LINE + b'"', "too long"),
        (b'{"type":"ping","n":NaN}', "NaN is not a number"),
        (b'{"type":"ping","n":[-Infinity]}', "-Infinity is not a number"),
        (b'{"type":"ping","n":1e999}', "1e999 is too large"),
        (b'{"type":"ping","n":-1' + b"0" * 400 + b"}", "is too large"),
    ],
)
def test_what_is_no_message_is_said(line: bytes, says: str) -> None:
    with pytest.raises(WireError, match=says):
        decode(line, TO_WORKER)


@pytest.mark.parametrize("value", [float("nan"), [10**400], object(), b"bytes", "x" * MAX_LINE])
def test_what_cannot_be_sent_is_said(value: Any) -> None:
    with pytest.raises(WireError):
        encode({"type": "ping", "n": value})


class Engine:
    """Counts what it is asked; `run` does what `deed` does."""

    title, version, capabilities = "Counter", "1", ("splat",)
    made: list[Engine]
    deed: Callable[[Report], None]

    def __init__(self) -> None:
        self.asked: list[str] = []
        Engine.made.append(self)

    def device(self) -> str:
        return "paper"

    def check(self, config: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [{"name": name, "ok": True, "detail": "", "hint": ""} for name in config]

    def load(self, config: Mapping[str, Any], report: Report) -> dict[str, Any]:
        self.asked.append(f"load {dict(config)}")
        if "broken" in config:
            raise EngineError("missing_weights", "No weights.", "Get some.")
        return {"device": "pencil"}

    def run(self, request: Request, report: Report) -> Made:
        self.asked.append(f"run {request.image.name} {request.pointmap}")
        Engine.deed(report)
        return Made({"splat": "splat.ply"})

    def unload(self) -> None:
        self.asked.append("unload")


class Talk:
    """A loop that is driven by hand, with what it said."""

    def __init__(self, target: str = f"{__name__}:Engine") -> None:
        self.said: list[dict[str, Any]] = []
        self.loop = Loop(target, lambda line: self.said.append(decode(line, FROM_WORKER)))

    def hear(self, type_: str, **members: Any) -> None:
        self.loop.heard({"type": type_, **members})

    def run(self, job: str, **members: Any) -> None:
        self.hear("run", job=job, folder="/f", image="i.png", mask="m.png", out="o", options={}, **members)

    def serve(self) -> list[str]:
        """Obey all; what was said, each in a few words."""
        self.hear("shutdown")
        self.loop.serve()
        assert self.said.pop() == {"type": "bye"}
        return [" ".join(str(one[key]) for key in ("type", "job", "kind") if key in one) for one in self.said]


@pytest.fixture(autouse=True)
def engines() -> list[Engine]:
    Engine.made = []
    Engine.deed = lambda report: None
    return Engine.made


def test_the_engine_is_loaded_once_and_again_for_another_config(engines: list[Engine]) -> None:
    talk = Talk()
    talk.hear("hello", protocol=PROTOCOL)
    for config in ({"a": 1, "_idle_s": 9}, {"a": 1, "_idle_s": 5}, {"a": 2}):
        talk.hear("load", config=config)
        talk.run("1")
    talk.hear("unload")
    talk.hear("unload")
    assert talk.serve() == ["hello", *["ready", "result 1"] * 3, "unloaded", "unloaded"]
    (engine,) = engines
    run = "run i.png None"
    assert engine.asked == ["load {'a': 1}", run, run, "unload", "load {'a': 2}", run, "unload"]


def test_hello_tells_who_answers() -> None:
    talk = Talk()
    talk.hear("hello", protocol=PROTOCOL)
    talk.serve()
    (hello,) = talk.said
    assert hello["protocol"] == PROTOCOL
    assert (hello["title"], hello["version"], hello["device"]) == ("Counter", "1", "paper")
    assert hello["capabilities"] == ["splat"]


def test_ping_and_cancel_do_not_wait_for_the_engine() -> None:
    talk = Talk()
    going, said = threading.Event(), []

    def wait(report: Report) -> None:
        going.set()
        while True:
            report.check()

    Engine.deed = wait
    talk.hear("load", config={})
    talk.run("1")
    talk.hear("shutdown")
    thread = threading.Thread(target=talk.loop.serve)
    thread.start()
    assert going.wait(10)
    talk.hear("ping", n=7)
    said = list(talk.said)
    talk.hear("cancel", job="another")
    talk.hear("cancel", job="1")
    thread.join(10)
    assert said[-1] == {"type": "pong", "n": 7}
    assert [one["type"] for one in talk.said] == ["ready", "pong", "cancelled", "bye"]


def test_a_cancel_is_for_one_job_only() -> None:
    def work(report: Report) -> None:
        report.stage("shape", 1, 2)

    Engine.deed = work
    talk = Talk()
    talk.hear("load", config={})
    talk.hear("cancel", job="2")
    for job in "123":
        talk.run(job)
    assert talk.serve() == ["ready", "stage 1", "result 1", "cancelled 2", "stage 3", "result 3"]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (EngineError("nan_mesh", "It is broken.", "Turn it."), "nan_mesh"),
        (EngineError("no such kind", "It is broken."), "internal"),
        (MemoryError(), "oom"),
        (ModuleNotFoundError("No module named 'x'"), "missing_module"),
        (OSError("libcuda.so.1"), "internal"),
        (KeyboardInterrupt(), "internal"),
        (Stopped(), ""),
    ],
)
def test_an_error_is_told_and_the_next_job_works(error: BaseException, kind: str) -> None:
    def fail(report: Report) -> None:
        Engine.deed = lambda report: None
        raise error

    Engine.deed = fail
    talk = Talk()
    talk.hear("load", config={})
    talk.run("1")
    talk.run("2")
    told = f"error 1 {kind}" if kind else "cancelled 1"
    assert talk.serve() == ["ready", told, "result 2"]


def test_what_could_not_be_loaded_is_let_go_and_loaded_anew(engines: list[Engine]) -> None:
    talk = Talk()
    talk.run("0")
    talk.hear("load", config={"broken": 1}, job="1")
    talk.hear("load", config={}, job="2")
    assert talk.serve() == ["error 0 protocol", "error 1 missing_weights", "ready"]
    assert engines[0].asked == ["load {'broken': 1}", "unload", "load {}"]
    assert talk.said[1]["hint"] == "Get some."


def test_an_engine_that_is_not_there_is_told() -> None:
    talk = Talk("samdesk_nowhere:Engine")
    talk.hear("hello", protocol=PROTOCOL)
    assert talk.serve() == ["error  missing_module"]
    assert "samdesk_nowhere" in talk.said[0]["message"]


def test_idle_it_unloads_by_itself(engines: list[Engine]) -> None:
    talk = Talk()
    unloaded = threading.Event()

    def say(line: bytes) -> None:
        talk.said.append(decode(line, FROM_WORKER))
        if talk.said[-1]["type"] == "unloaded":
            unloaded.set()

    talk.loop._say_line = say
    talk.hear("load", config={"_idle_s": 0.01})
    thread = threading.Thread(target=talk.loop.serve)
    thread.start()
    assert unloaded.wait(10)
    talk.hear("shutdown")
    thread.join(10)
    assert engines[0].asked == ["load {}", "unload"]
    assert [one["type"] for one in talk.said] == ["ready", "unloaded", "bye"]


def test_the_watchdog_runs_only_while_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """And every word of the program winds it up again."""
    wound: list[float] = []
    monkeypatch.setattr(
        loop_module.faulthandler, "dump_traceback_later", lambda seconds, exit: wound.append(seconds)
    )
    monkeypatch.setattr(
        loop_module.faulthandler, "cancel_dump_traceback_later", lambda: wound.append(0) if wound else None
    )
    lines: list[bytes] = []
    loop = Loop(f"{__name__}:Engine", lines.append, loop_module.Watchdog())
    loop.heard({"type": "ping", "n": 1})
    assert wound == []
    loop.heard({"type": "load", "config": {"_stuck_s": 30}})
    loop.heard({"type": "shutdown"})
    Engine.deed = lambda report: loop.heard({"type": "ping", "n": 2})
    loop.serve()
    assert wound[0] == 30
    assert wound[-1] == 0


@pytest.mark.skipif(sys.platform == "win32", reason="numbers of POSIX")
@pytest.mark.parametrize(
    ("code", "says", "hints"),
    [
        (-11, "segmentation fault", "install it anew"),
        (139, "segmentation fault", "install it anew"),
        (-9, "the system ended it", "ran out of memory"),
        (137, "the system ended it", "ran out of memory"),
        (-8, "floating point exception", "spconv"),
        (-getattr(signal, "SIGBUS", 7), "bus error", "disk"),
        (-4, "this processor does not know", "another processor"),
        (-15, "somebody ended it", ""),
        (-1, "ended by SIGHUP", ""),
    ],
)
def test_how_a_process_ended_is_said_in_words(code: int, says: str, hints: str) -> None:
    words, hint = _exit_words(code)
    assert says in words
    assert hints in hint


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (0, "ended without a result"),
        (1, "exit code 1"),
        (0xC0000005, "segmentation fault"),
        (0xC0000005 - (1 << 32), "segmentation fault"),
        (0xC000013A, "exit code 3221225786"),
        (None, "pipe"),
    ],
)
def test_an_exit_code_is_said_in_words(code: int | None, says: str) -> None:
    assert says in _exit_words(code)[0]


def test_the_own_python_keeps_what_leads_it_to_its_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """What works for this program works for its own Python; another has its own way."""
    monkeypatch.setenv("PYTHONPATH", "/here")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/there")
    monkeypatch.setenv("QT_PLUGIN_PATH", "/nowhere")
    own = clean_environment(None, {})
    assert own["PYTHONPATH"] == "/here"
    assert own["LD_LIBRARY_PATH"] == "/there"
    assert not {"QT_PLUGIN_PATH", "CONDA_PREFIX", "LIDRA_SKIP_INIT"} & set(own)
    other = clean_environment(Path("/opt/env/bin/python"), {"PYTHONUTF8": "0"})
    assert not {"PYTHONPATH", "LD_LIBRARY_PATH", "QT_PLUGIN_PATH"} & set(other)
    assert other["PYTHONUTF8"] == "0"
    assert clean_environment(Path("/opt/env/python"), {})["CONDA_PREFIX"] == str(Path("/opt/env"))
