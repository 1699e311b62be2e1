"""What the user sees of an installation: one line per stage, and a log file of everything.

Must not know what is being installed.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TextIO

TICK_S = 0.1
SPINNER = "|/-\\"


class InstallError(Exception):
    """Something the user can act on.

    Attributes
    ----------
    message : str
        What happened.
    hint : str
        What to do about it.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Log:
    """A text file that is begun anew by the first write of this process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._begun = False

    def write(self, text: str) -> None:
        """Append `text`, at once."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a" if self._begun else "w", encoding="utf-8") as file:
            file.write(text)
        self._begun = True

    def text(self) -> str:
        """What this process wrote."""
        return self.path.read_text(encoding="utf-8") if self._begun else ""

    def tail(self, lines: int = 12) -> str:
        """The last lines, for an error message."""
        return "\n".join(self.text().rstrip().splitlines()[-lines:])


class Stage:
    """One line of progress; a context manager. Set `detail` while it runs, `outcome` to end otherwise."""

    def __init__(self, title: str, stream: TextIO, live: bool) -> None:
        self.title = title
        self.detail = ""
        self.outcome = "done"
        self._stream = stream
        self._live = live
        self._ended = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)
        self._width = 0
        self._begun = 0.0

    def __enter__(self) -> Stage:
        self._begun = time.monotonic()
        if self._live:
            self._ticker.start()
        else:
            self._print(f"{self.title} ...\n")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._ended.set()
            self._ticker.join()
            self._print("\r" + " " * self._width + "\r")
        outcome = self.outcome
        if kind is not None:
            outcome = "stopped" if issubclass(kind, KeyboardInterrupt) else "failed"
        self._print(f"{self.title}: {outcome} ({time.monotonic() - self._begun:.1f} s)\n")

    def _tick(self) -> None:
        turn = 0
        while not self._ended.wait(TICK_S):
            turn += 1
            detail = f": {self.detail}" if self.detail else ""
            seconds = int(time.monotonic() - self._begun)
            line = f"{SPINNER[turn % len(SPINNER)]} {self.title}{detail} ({seconds} s)"
            line = line[: shutil.get_terminal_size().columns - 1]
            self._print("\r" + line.ljust(self._width))
            self._width = len(line)

    def _print(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


class Reporter:
    """Speaks to the user on standard error, so that a command's own output stays clean."""

    def __init__(self, log: Log, stream: TextIO | None = None) -> None:
        self.log = log
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty() and os.environ.get("TERM") != "dumb"

    def say(self, text: str) -> None:
        """Print a line."""
        print(text, file=self._stream, flush=True)

    def stage(self, title: str) -> Stage:
        """A line that moves on a terminal and is printed at both ends elsewhere."""
        return Stage(title, self._stream, self._live)

    def run(
        self,
        command: Sequence[str],
        *,
        stage: Stage | None = None,
        detail: Callable[[str], str | None] = lambda line: None,
        keep_open: Sequence[int] = (),
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> int:
        """Run a command with its output in the log.

        Parameters
        ----------
        command : sequence of str
            The program and its arguments; it gets no standard input.
        stage : Stage, optional
            Where `detail(line)` is shown when it is not None.
        detail : callable
            What a line of output tells the user.
        keep_open : sequence of int
            File descriptors that the command inherits (not on Windows).
        env, cwd
            As for `subprocess.Popen`.

        Returns
        -------
        int
            The exit status.
        """
        self.log.write(f"$ {shlex.join(command)}\n")
        inherited = () if sys.platform == "win32" else tuple(keep_open)
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=env,
            cwd=cwd,
            pass_fds=inherited,
        ) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    self.log.write(line)
                    told = detail(line)
                    if stage is not None and told is not None:
                        stage.detail = told
            except BaseException:
                process.terminate()
                raise
        self.log.write(f"-> {process.returncode}\n")
        return process.returncode
