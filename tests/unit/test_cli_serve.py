"""`samdesk serve`: tokens, folders, the model that answers, what is printed, and a process that ends well."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from samdesk.app.jobs import Jobs, MainQueue
from samdesk.cli import main
from samdesk.cli.serve import _told, add_arguments, folders_of, greeting, model_key, token_of
from samdesk.domain.errors import SamdeskError
from samdesk.server import ServerOptions
from samdesk.weights import Registry, default_registry

LONG = "a-token-of-some-length"


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    monkeypatch.setenv("SAMDESK_HOME", str(tmp_path / "home"))
    return default_registry()


def test_a_token_comes_from_the_line_a_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SAMDESK_TOKEN", raising=False)
    assert token_of(None, None) == ""
    assert token_of(LONG, None) == LONG
    (tmp_path / "token").write_text(f"{LONG}\n")
    assert token_of(None, tmp_path / "token") == LONG
    monkeypatch.setenv("SAMDESK_TOKEN", LONG)
    assert token_of(None, None) == LONG
    made = {token_of("new", None) for _ in range(3)}
    assert len(made) == 3
    assert all(token_of(one, None) == one for one in made)


@pytest.mark.parametrize(
    "token", ["", "short", "has a blank in the middle", "a/slash/in/the/middle", "ü" * 20]
)
def test_a_token_that_is_no_good_is_refused(token: str) -> None:
    with pytest.raises(SamdeskError, match="16 to 200"):
        token_of(token, None)


def test_a_token_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SamdeskError, match="cannot be read"):
        token_of(None, tmp_path / "missing")


def test_folders_are_absolute_and_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slides").mkdir()
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)
    assert folders_of([Path("slides")]) == (tmp_path.resolve() / "slides",)
    for wrong in ("file", "missing"):
        with pytest.raises(SamdeskError, match="not a folder"):
            folders_of([Path(wrong)])


def test_the_model_is_one_that_clients_can_name(registry: Registry, tmp_path: Path) -> None:
    assert model_key(None, None, registry) == "classical"
    assert model_key("classical", None, registry) == "classical"
    with pytest.raises(SamdeskError, match="takes no weights"):
        model_key("classical", "x.pt", registry)
    with pytest.raises(SamdeskError, match="on this computer"):
        model_key("vit_b", None, registry)
    file = tmp_path / "mine.pt"
    file.write_bytes(b"weights")
    with pytest.raises(SamdeskError, match="no list"):
        model_key(None, str(file), registry)
    registry.add("Mine", type="vit_b", reference=file)
    for engine, weights in ((None, "Mine"), ("vit_b", None), ("sam", "Mine"), (None, str(file))):
        assert model_key(engine, weights, registry) == "Mine"
    with pytest.raises(SamdeskError, match="is vit_b"):
        model_key("vit_t", "Mine", registry)


def test_what_is_printed_names_the_address_for_qupath() -> None:
    url = "http://localhost:8000"
    assert greeting(url, ServerOptions())[1].endswith(" http://localhost:8000/sam/")
    kept = greeting(url, ServerOptions(token=LONG))
    assert kept[1].endswith("/t/TOKEN/sam/")
    assert not any(LONG in line for line in kept)
    open_to_all = ServerOptions(host="0.0.0.0", token=LONG)
    assert kept[2].endswith(" http://localhost:8000/t/TOKEN/docs")
    first, second, docs, third = greeting("http://0.0.0.0:8000", open_to_all, made=LONG)
    assert first == f"samdesk answers at http://{socket.gethostname()}:8000"
    assert second.endswith(f":8000/t/{LONG}/sam/")
    assert docs.endswith(f":8000/t/{LONG}/docs")
    assert third.endswith(LONG)


def test_options() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    given = parser.parse_args(["--images", "a", "b", "--images", "c", "--port", "0"])
    assert (given.images, given.port, given.host) == ([Path("a"), Path("b"), Path("c")], 0, "127.0.0.1")
    for wrong in (["--port", "70000"], ["--port", "x"], ["--token", "a", "--token-file", "b"]):
        with pytest.raises(SystemExit):
            parser.parse_args(wrong)


def test_another_address_needs_a_token(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SAMDESK_TOKEN", raising=False)
    assert main(["serve", "--host", "0.0.0.0"]) == 1
    told = capsys.readouterr().err
    assert "without being asked for a token" in told
    assert "--token new" in told


def test_a_refusal_and_the_job_behind_it_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    queue = MainQueue()
    jobs = Jobs(queue)
    error = SamdeskError("It is too large.", "Send less.")
    other = SamdeskError("The download broke off.")

    def fail(with_: SamdeskError) -> None:
        raise with_

    try:
        own = jobs.lane("serve").submit(lambda task: fail(SamdeskError("The port is taken.")))
        with _told(jobs, own) as tell_late:
            failed = [jobs.lane("io").submit(lambda task, one=one: fail(one)) for one in (error, other)]
            queue.run_until(lambda: own.finished and all(job.finished for job in failed))
            queue.drain()
            tell_late()  # the request of the first one has not told yet
            logging.getLogger("samdesk.server.app").warning("POST /sam/: 413 %s", error)
            logging.getLogger("samdesk.server.app").warning("POST /sam/: 404 nothing there")
            logging.getLogger("samdesk.server.run").warning("the server answers")
    finally:
        jobs.close()
    lines = [line[9:] for line in capsys.readouterr().err.splitlines()]
    assert lines == [
        "POST /sam/: 413 It is too large. Send less.",
        "POST /sam/: 404 nothing there",
        "The download broke off.",
    ]


@pytest.fixture
def process(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "samdesk", "serve", "--port", "0"]
    home = {**os.environ, "SAMDESK_HOME": str(tmp_path / "home")}
    with subprocess.Popen(
        command, env=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as started:
        yield started
        started.kill()


@pytest.mark.skipif(sys.platform == "win32", reason="a console event ends it there")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_the_process_answers_and_ends_well(process: subprocess.Popen[str], how: signal.Signals) -> None:
    assert process.stdout is not None
    url = process.stdout.readline().strip().rpartition(" ")[2]
    assert process.stdout.readline().endswith(f" {url}/sam/\n")
    assert process.stdout.readline().endswith(f" {url}/docs\n")
    port = int(url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=5):
        asked = time.monotonic()
        process.send_signal(how)
        assert process.wait(timeout=10) == 0
    assert time.monotonic() - asked < 3
