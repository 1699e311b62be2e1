"""The mark of a running window: told once after a crash, never after a proper end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from samdesk.app.recovery import Crashed, Mark

CRASH = """
import os, sys
from pathlib import Path
from samdesk.app.recovery import Mark
mark = Mark(Path(sys.argv[1]))
mark.set(Path(sys.argv[2]), Path(sys.argv[3]))
os._exit(9)
"""


def test_a_crashed_window_is_told_once(tmp_path: Path) -> None:
    kept = tmp_path.parent / f"{tmp_path.name}.gpkg"
    subprocess.run([sys.executable, "-c", CRASH, tmp_path, "/data/slide.svs", kept], check=False)
    mark = Mark(tmp_path)
    assert mark.take_crashed() == [Crashed(Path("/data/slide.svs"), kept)]
    assert Crashed(Path("/data/slide.svs"), kept).again == Path("/data/slide.svs")
    kept.touch()
    assert Crashed(Path("/data/slide.svs"), kept).again == kept
    assert mark.take_crashed() == []
    mark.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_running_or_closed_window_is_not_told(tmp_path: Path) -> None:
    running, closed, asking = Mark(tmp_path), Mark(tmp_path), Mark(tmp_path)
    running.set(Path("a"))
    closed.set(Path("b"))
    closed.remove()
    assert asking.take_crashed() == []
    running.remove()
    asking.remove()
