"""`kill -9` at random moments: when the document is opened again it is what was accepted, exactly."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from .scripted_session import EDITS

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="sessions are forked")

KILLS = 100
LANES = 2
LONGEST_S = 0.03
"""After a random number of edits, a session lives at most this long."""


class Sessions:
    """Starts sessions one after the other and kills them."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.scripted_session"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def run(self, chance: random.Random, edits: int, *told: object) -> list[list[str]]:
        """Let a session make about so many edits, kill it, and return what it said."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\t".join(map(str, told)) + "\n")
        lines: list[list[str]] = []
        pid, left = 0, edits
        while pid == 0 or left > 0:
            line = self._process.stdout.readline().split()
            if line[0] == "pid":
                pid = int(line[1])
                if edits == 0:
                    break
            else:
                lines.append(line)
                left -= line[0] == "did"
                assert line[0] != "ended", lines[-5:]
        time.sleep(chance.uniform(0, LONGEST_S))
        os.kill(pid, signal.SIGKILL)
        while (line := self._process.stdout.readline().split()) != ["ended"]:
            if line[0] != "pid":
                lines.append(line)
        return lines

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


class Checked:
    """What each image may hold: what was accepted, and what was being accepted at the kill."""

    def __init__(self) -> None:
        self._may: dict[str, set[str]] = {}
        self.edits = 0
        self.openings = 0

    def take(self, lines: list[list[str]]) -> None:
        for word, name, digest in lines:
            if word == "opened":
                assert digest in self._may.get(name, {digest}), f"{name} after {self.edits} edits"
                self.openings += 1
            if word == "will":
                self._may[name] = {*self._may[name], digest}
            else:
                self._may[name] = {digest}
            self.edits += word == "did"


@pytest.fixture(scope="module")
def sessions() -> Iterator[list[Sessions]]:
    made = [Sessions() for _ in range(LANES)]
    yield made
    for one in made:
        one.close()


def images(folder: Path, number: int) -> list[Path]:
    """Two small pictures in a folder of their own."""
    home = folder / f"script {number}"
    home.mkdir()
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(home / name), np.full((64, 64), 90, np.uint8))
    return [home / "a.png", home / "b.png"]


def follow(sessions: Sessions, folder: Path, number: int, kills: int, script: str, most: int) -> int:
    """Kill sessions so often, starting the script anew when it is through; return the openings checked."""
    chance, openings = random.Random(f"{script} {number}"), 0
    checked, pictures = Checked(), images(folder, number)
    for _ in range(kills):
        if checked.edits >= EDITS:
            openings += checked.openings
            number += LANES
            checked, pictures = Checked(), images(folder, number)
        told = (pictures[0].parent, number, checked.edits, script, *pictures)
        checked.take(sessions.run(chance, chance.randint(0, most), *told))
    checked.take(sessions.run(chance, 1, pictures[0].parent, number, checked.edits, script, *pictures))
    return openings + checked.openings


def kill(sessions: list[Sessions], folder: Path, kills: int, script: str, most: int) -> None:
    with ThreadPoolExecutor(LANES) as pool:
        found = pool.map(
            lambda lane: follow(sessions[lane], folder, lane, kills // LANES, script, most), range(LANES)
        )
        assert sum(found) > kills / 3


def test_a_hundred_kills_lose_nothing_that_was_accepted(sessions: list[Sessions], tmp_path: Path) -> None:
    kill(sessions, tmp_path, KILLS, "edit", 2 * EDITS // (KILLS // LANES))


@pytest.mark.parametrize("script", ["save", "switch"])
def test_nor_do_kills_while_saving_elsewhere_or_changing_images(
    sessions: list[Sessions], tmp_path: Path, script: str
) -> None:
    kill(sessions, tmp_path, 10, script, 30)
