"""`kill -9` at random moments: what was accepted is there when the document is opened again."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from samdesk.domain.columns import Table
from samdesk.formats.project import ProjectStore

from .scripted_session import digest

KILLS = 30


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("crash") / "picture.png"
    cv2.imwrite(str(path), np.full((256, 256), 90, np.uint8))
    return path


@pytest.mark.parametrize("seed", range(KILLS))
def test_after_a_kill_the_document_is_what_was_accepted(image: Path, tmp_path: Path, seed: int) -> None:
    """The edit that is on its way to the disk at that moment may be there or not; no other may differ."""
    chance = random.Random(seed)
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.scripted_session", image, tmp_path, str(seed)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "SAMDESK_HOME": str(tmp_path / "home")},
    )
    assert child.stdout is not None
    wanted = chance.randint(1, 60)
    lines = [child.stdout.readline() for _ in range(wanted)]
    killer = threading.Timer(chance.uniform(0, 0.02), child.send_signal, [signal.SIGKILL])
    killer.start()
    lines += child.stdout.readlines()
    killer.join()
    assert child.wait() == -signal.SIGKILL
    child.stdout.close()

    (path,) = (tmp_path / "home" / "data" / "autosave").glob("*.gpkg")
    store = ProjectStore.open(path)
    assert store.recovered
    found = digest(store.load().table)
    store.close()
    told = [line.split() for line in lines if line.endswith("\n") and len(line.split()) == 2]
    saved = [one for state, one in told if state == "saved"]
    accepted = [one for state, one in told if state == "accepted"]
    assert found in {saved[-1] if saved else digest(Table.empty()), *accepted[-1:]}
    assert not list(path.parent.glob("*-wal"))
