"""`samdesk weights` as a user starts it, against a server of this test's own."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.seeded_sam import mobile_sam_checkpoint
from tests.weights_server import Reply, WeightsServer, weights_server

pty = pytest.importorskip("pty", reason="needs a terminal of its own")

COMMAND = [sys.executable, "-m", "samdesk", "weights"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mobile_sam_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture
def server() -> Iterator[WeightsServer]:
    with weights_server() as running:
        yield running


def environment(home: Path) -> dict[str, str]:
    return {**os.environ, "SAMDESK_HOME": str(home), "PYTHONUNBUFFERED": "1"}


def run(home: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False, env=environment(home)
    )


def folder(home: Path) -> Path:
    return home / "data" / "weights"


def test_the_life_of_a_weight(home: Path, server: WeightsServer, checkpoint: Path) -> None:
    data = checkpoint.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    url = server.serve("/share/x7/download", Reply(data, block=1 << 20))
    assert len(json.loads(run(home, "list", "--json").stdout)) == 21

    done = run(home, "add", url, "--name", "My nuclei", "--sha256", sha256)
    assert done.returncode == 0, done.stderr
    assert run(home, "path", "my nuclei").returncode == 1
    assert server.asked == []

    done = run(home, "download", "my nuclei")
    assert done.returncode == 0, done.stderr
    target = folder(home) / "My_nuclei.pt"
    assert done.stdout.strip() == str(target)
    assert "verified" in done.stderr
    assert target.read_bytes() == data

    (info,) = [one for one in json.loads(run(home, "list", "--json").stdout) if one["name"] == "My nuclei"]
    assert (info["type"], info["state"], info["sha256"]) == ("vit_t", "ready", sha256)
    assert run(home, "path", "My nuclei").stdout.strip() == str(target)

    target.write_bytes(data[:-1] + b"?")
    done = run(home, "verify", "--json")
    assert done.returncode == 1
    assert "not the file that was published" in done.stderr
    assert json.loads(done.stdout)[0]["state"] == "damaged"

    done = run(home, "remove", "My nuclei")
    assert done.returncode == 0, done.stderr
    assert not target.exists()
    assert run(home, "info", "My nuclei").returncode == 1


def test_a_file_is_imported_as_what_it_is(home: Path, checkpoint: Path) -> None:
    done = run(home, "import", checkpoint, "--name", "Tiny", "--reference", "--json")
    assert done.returncode == 0, done.stderr
    info = json.loads(done.stdout)
    assert (info["type"], info["state"], info["path"]) == ("vit_t", "ready", str(checkpoint))
    done = run(home, "import", checkpoint, "--name", "Wrong", "--type", "vit_b")
    assert done.returncode == 1
    assert "type vit_t and not vit_b" in done.stderr


class Evil:
    """A pickle that would write a file when it is opened."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.mark}",)


def test_a_pickle_that_would_run_code_is_refused_and_put_aside(
    home: Path, server: WeightsServer, tmp_path: Path
) -> None:
    mark = tmp_path / "ran"
    evil = pickle.dumps({"model": Evil(mark)}, protocol=2)
    done = run(home, "add", server.serve("/evil.pt", Reply(evil)), "--name", "Evil", "--download")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert not mark.exists()
    assert [path.suffix for path in folder(home).glob("Evil*")] == [".aside"]


def test_stopping_with_ctrl_c_keeps_what_came(home: Path, server: WeightsServer, checkpoint: Path) -> None:
    data = checkpoint.read_bytes()
    url = server.serve("/slow", Reply(data, block=1 << 18, pause_s=0.02), Reply(data, block=1 << 20))
    assert run(home, "add", url, "--name", "Slow").returncode == 0
    process = subprocess.Popen(
        [*COMMAND, "download", "Slow"], stderr=subprocess.PIPE, text=True, env=environment(home)
    )
    assert process.stderr is not None
    for line in process.stderr:
        if " of 40.7 MB" in line and not line.startswith("Slow: 0 %"):
            break
    process.send_signal(signal.SIGINT)
    told = process.stderr.read()
    assert process.wait(10) == 130
    process.stderr.close()
    assert "are kept; start again to go on" in told
    assert "Traceback" not in told
    kept = folder(home) / "Slow.pt.part"
    assert 0 < kept.stat().st_size < len(data)

    done = run(home, "download", "Slow")
    assert done.returncode == 0, done.stderr
    assert "range" in server.asked[-1].headers
    assert (folder(home) / "Slow.pt").read_bytes() == data
    assert not kept.exists()


def test_a_terminal_gets_a_bar(home: Path, server: WeightsServer) -> None:
    run(home, "add", server.serve("/page", Reply(b"<html>no</html>", block=5)), "--name", "Page")
    inside, outside = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, "download", "Page"], stdout=outside, stderr=outside, env=environment(home)
    ) as process:
        os.close(outside)
        seen = b""
        try:
            while data := os.read(inside, 65536):
                seen += data
        except OSError:  # the other end is closed
            pass
    os.close(inside)
    assert process.returncode == 1
    assert "━".encode() in seen
    assert b"is a web page" in seen


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["download", "nothing like it"], 1, "There is no weight"),
        (["add", "file:///etc/passwd", "--name", "x"], 1, "weights import"),
        (["add", "https://a.org/x", "--name", "x", "--sha256", "12"], 1, "64 hexadecimal digits"),
        (["add", "https://a.org/x", "--name", "sam vit-b"], 1, "already"),
        (["import", "/nowhere/x.pt"], 1, "no file"),
        (["verify", "vit_b"], 1, "Download it first"),
        (["fetch"], 2, "invalid choice"),
        ([], 2, "required"),
        (["list", "--type", "yolo"], 2, "invalid choice"),
    ],
)
def test_errors_and_their_status(arguments: list[str], status: int, told: str, home: Path) -> None:
    done = run(home, *arguments)
    assert done.returncode == status
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_broken_registry_is_told_and_the_shipped_one_works(home: Path) -> None:
    folder(home).mkdir(parents=True)
    (folder(home) / "weights.json").write_text("{")
    done = run(home, "list")
    assert done.returncode == 0
    assert "SAM ViT-B" in done.stdout
    assert "damaged.json" in done.stderr
