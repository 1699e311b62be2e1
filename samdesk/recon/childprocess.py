"""A child process with its group, two pipes of lines, and a log: what differs between systems.

Starts no thread: the one that asks also waits. Must not know what the lines say.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

LOG_MAX = 1 << 20
LOG_KEPT = 1 << 18
"""A log that has grown beyond the one is cut down to its last lines of the other, in bytes."""

_READ = 1 << 16
_READS = 32
_TRACE_S = 0.2
_STRIPPED_OWN = ("QT_", "QML")
_STRIPPED = (
    *_STRIPPED_OWN,
    "PYTHON",
    "VIRTUAL_ENV",
    "CONDA",
    "LD_LIBRARY_PATH",
    "DYLD_",
    "__PYVENV",
    "MPLBACKEND",
)


class LineTooLongError(ValueError):
    """The child writes something without ends of lines."""


def clean_environment(python: Path | None, added: Mapping[str, str]) -> dict[str, str]:
    """The environment for a Python.

    Parameters
    ----------
    python : Path or None
        Of another environment: nothing of this program's may get into it, and it finds the
        variables of a conda environment that was activated. None for the Python that runs this
        program: what leads it to its packages stays.
    added : mapping of str to str
        What is set after that.
    """
    stripped = _STRIPPED_OWN if python is None else _STRIPPED
    made = {name: value for name, value in os.environ.items() if not name.upper().startswith(stripped)}
    made |= {"PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1"}
    if python is not None:
        folder = python.parent.absolute()
        root = folder.parent if folder.name in ("bin", "Scripts") else folder
        programs = [folder, *(root / name for name in ("Library/bin", "Scripts") if sys.platform == "win32")]
        path = os.pathsep.join([*map(str, programs), made.get("PATH", os.defpath)])
        made |= {"CONDA_PREFIX": str(root), "LIDRA_SKIP_INIT": "true", "PATH": path}
    return made | dict(added)


class Child:
    """One process, the leader of a group of its own.

    Parameters
    ----------
    command : sequence of str
    environment : mapping of str to str
    log : Path
        Takes what it writes to stderr, after what is there.
    longest : int
        Bytes of a line.

    Raises
    ------
    OSError
        When it cannot be started, or the log cannot be written.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], log: Path, longest: int = 1 << 20
    ) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log
        self._longest = longest
        self._rest = b""
        self._outbox = b""
        self._open = True
        self._swept = False
        _cut(log)
        with log.open("ab") as stream:
            stream.write(
                f"--- {datetime.now():%Y-%m-%d %H:%M:%S} {' '.join(command)}\n".encode("utf-8", "replace")
            )
            stream.flush()
            self._log_start = stream.tell()
            # in a session of its own: Ctrl+C in the terminal is for the program, and signals reach all of it
            self._process = subprocess.Popen(
                command,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
                env=dict(environment),
                start_new_session=sys.platform != "win32",
                creationflags=_CREATION,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin, self._process.stdout
        if sys.platform != "win32":
            os.set_blocking(self._in.fileno(), False)
            os.set_blocking(self._out.fileno(), False)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for a signal."""
        code = self._process.poll()
        if code is not None and not self._swept:
            self._swept = True
            # what it started must not outlive it. Only now: later its number may be another's
            self._signal_group(force=True)
        return code

    # talking

    def send(self, line: bytes) -> None:
        """Send a line; what does not fit into the pipe goes with a later `receive`."""
        self._outbox += line
        self._flush()

    def receive(self, timeout: float) -> list[bytes]:
        """Lines that came, without their ends; none when none came in time.

        After the process has ended, what it left in the pipe; then nothing, at once.

        Raises
        ------
        LineTooLongError
        """
        self._flush()
        lines: list[bytes] = []
        for turn in range(_READS):
            if not self._readable(0 if turn else timeout):
                break
            *whole, self._rest = (self._rest + self._read()).split(b"\n")
            lines += whole
            if len(self._rest) > self._longest:
                raise LineTooLongError(f"a line of more than {self._longest} bytes")
        return lines

    def _flush(self) -> None:
        try:
            while self._outbox:
                self._outbox = self._outbox[os.write(self._in.fileno(), self._outbox) :]
        except BlockingIOError:
            pass  # it does not read at present
        except OSError:
            self._outbox = b""  # it has ended, which `exit_code` tells

    def _read(self) -> bytes:
        try:
            data = os.read(self._out.fileno(), _READ)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        self._open = bool(data)
        return data

    def _readable(self, timeout: float) -> bool:
        """Whether there is something to read, or the end of it."""
        if not self._open:
            self.wait(timeout)
            return False
        if sys.platform == "win32":
            return _peek(self._out.fileno(), timeout)
        poll = select.poll()
        poll.register(self._out.fileno(), select.POLLIN)
        return bool(poll.poll(timeout * 1000))

    # ending

    def wait(self, timeout: float) -> bool:
        """Wait for its end; False when it did not come in time."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)
        return self.exit_code is not None

    def end(self, grace_s: float) -> None:
        """Ask the whole group to end, make it after `grace_s`, and close the pipes."""
        if self.exit_code is None:
            self._signal_group(force=False)
            if not self.wait(grace_s):
                self.kill()
                self.wait(grace_s)
        for stream in (self._in, self._out):
            with suppress(OSError):
                stream.close()

    def kill(self) -> None:
        """End the whole group, at once; from any thread."""
        if self._process.returncode is None:
            self._signal_group(force=True)

    def _signal_group(self, force: bool) -> None:
        if sys.platform == "win32":
            _kill_tree(self.pid)
        else:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL if force else signal.SIGTERM)

    def trace(self) -> None:
        """Have the worker write into its log where it is, where the system can do that."""
        if sys.platform == "win32":
            return
        if self.exit_code is None:
            os.kill(self.pid, signal.SIGUSR1)
            self.wait(_TRACE_S)

    # the log

    def cut_log(self) -> None:
        """Keep the log short while the process runs."""
        if sys.platform != "win32" and _cut(self._log):  # there, it would not write on behind the cut
            self._log_start = 0

    def last_lines(self, count: int) -> list[str]:
        """The end of what this process wrote to the log."""
        try:
            with self._log.open("rb") as stream:
                size = stream.seek(0, os.SEEK_END)
                stream.seek(max(self._log_start, size - _READ))
                text = stream.read(_READ).decode("utf-8", "replace")
        except OSError:
            return []
        # a progress bar writes its states into one line
        lines = (line.rsplit("\r", 1)[-1].rstrip() for line in text.replace("\r\n", "\n").split("\n"))
        return [line for line in lines if line][-count:]


def _cut(log: Path) -> bool:
    """Cut the log down to its end when it is too long."""
    try:
        if log.stat().st_size <= LOG_MAX:
            return False
        with log.open("r+b") as stream:
            stream.seek(-LOG_KEPT, os.SEEK_END)
            kept = stream.read(LOG_KEPT)
            stream.seek(0)
            stream.write(kept)
            stream.truncate()
    except OSError:
        return False
    return True


if sys.platform == "win32":
    _CREATION = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW

    def _peek(descriptor: int, timeout: float) -> bool:
        import ctypes
        import msvcrt
        from ctypes import wintypes

        peek = ctypes.windll.kernel32.PeekNamedPipe
        handle = wintypes.HANDLE(msvcrt.get_osfhandle(descriptor))
        waiting = wintypes.DWORD()
        until = time.monotonic() + timeout
        while peek(handle, None, 0, None, ctypes.byref(waiting), None):
            if waiting.value:
                return True
            if time.monotonic() >= until:
                return False
            time.sleep(0.01)
        return True  # the pipe has ended; reading says so

    def _kill_tree(pid: int) -> None:
        with suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(
                ["taskkill", "/F", "/T", "/PID", str(pid)],
                capture_output=True,
                timeout=10,
                creationflags=subprocess.CREATE_NO_WINDOW,
            )
else:
    _CREATION = 0
