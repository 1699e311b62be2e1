"""The program's end of the wire: one worker that is started, asked, cancelled and ended.

Starts no thread; its methods block, and look at the task's cancel flag all the while. Must not
know engines, windows or where jobs are kept.
"""

from __future__ import annotations

import itertools
import json
import math
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from samdesk.domain.errors import SamdeskError
from samdesk.domain.tasks import Cancelled, Task
from samdesk.formats.atomic import file_error

from .childprocess import Child, LineTooLongError, clean_environment
from .engines import RECON_ENGINES, WorkerSpec
from .pose import Camera, Pose
from .wire import ERROR_KINDS, FROM_WORKER, MAX_LINE, PROTOCOL, WireError, decode, encode

PROGRAM = Path(__file__).with_name("worker") / "__main__.py"

CANCEL_GRACE_S = 5.0
"""A cancelled engine may take so long to come to its next step; then its process is ended."""
TERM_GRACE_S = 3.0
"""A process that was asked to end may take so long; then it is killed."""
START_S = 60.0
"""An interpreter that has not answered by then is not going to."""
CHECK_S = 180.0
"""So long may a check of what is installed take."""
PING_S = 5.0
RESTARTS, RESTARTS_WITHIN_S = 2, 300.0
"""After more crashes in a row than restarts, all within this time, it is not started again."""

_TICK_S = 0.04
_RUBBISH_MAX = 1000
_LAST_LINES, _SHOWN_LINES, _SHOWN_CHARACTERS = 50, 5, 200
_SETTINGS = "Choose another Python in the settings of the 3D engines."
_SEE_LOG = "The log has the details."


class WorkerError(SamdeskError):
    """Why the worker made nothing.

    Parameters
    ----------
    kind : str
        One of `samdesk.recon.wire.ERROR_KINDS`, or "start", "crash", "hang", "stopped_trying".
    message, hint : str
    last_lines : iterable of str
        The end of the worker's log.

    Attributes
    ----------
    kind : str
    last_lines : tuple of str
    """

    def __init__(self, kind: str, message: str, hint: str = "", last_lines: Iterable[str] = ()) -> None:
        super().__init__(message, hint)
        self.kind = kind
        self.last_lines = tuple(last_lines)


@dataclass(frozen=True)
class CheckItem:
    """One thing that an engine needs.

    Attributes
    ----------
    name : str
    ok : bool or None
        None where it cannot be told.
    detail, hint : str
        What was found, and what to do about it.
    """

    name: str
    ok: bool | None
    detail: str = ""
    hint: str = ""


@dataclass(frozen=True)
class Stage:
    """Step `i` of `n` of a stage is done; the names are those of `worker.base.Report.stage`."""

    name: str
    i: int
    n: int


@dataclass(frozen=True)
class RunRequest:
    """One object to make.

    Attributes
    ----------
    job : str
    folder : Path
        Of the job; the other names are relative to it.
    image, mask : str
        PNG files as `samdesk.recon.wire` tells.
    out : str
        Folder of the results; made when it is not there.
    options : mapping
        `ReconOptions.to_json()`.
    pointmap : str
        The shared pointmap of the picture: read, or written when it is not there. Empty for none.
    """

    job: str
    folder: Path
    image: str
    mask: str
    out: str
    options: Mapping[str, Any]
    pointmap: str = ""


@dataclass(frozen=True)
class RunResult:
    """What was made.

    Attributes
    ----------
    files : mapping of str to Path
        "splat" and "mesh"; they exist.
    pose : Pose or None
    camera : Camera or None
    seconds : float
        Without loading.
    engine : str
        Name in the table of engines.
    version, device : str
    details : mapping
        What else the engine told.
    """

    files: Mapping[str, Path]
    pose: Pose | None
    camera: Camera | None
    seconds: float
    engine: str
    version: str = ""
    device: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


class Worker:
    """A process that is started when it is needed. For one thread at a time, but for `kill`.

    Parameters
    ----------
    spec : WorkerSpec
    log : Path
        Takes what the process prints; appended to, and kept below about a megabyte.
    cancel_grace_s, term_grace_s, start_s, check_s, ping_s : float
        As the constants of this module.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        log: Path,
        *,
        cancel_grace_s: float = CANCEL_GRACE_S,
        term_grace_s: float = TERM_GRACE_S,
        start_s: float = START_S,
        check_s: float = CHECK_S,
        ping_s: float = PING_S,
    ) -> None:
        self.spec = spec
        self.log = log
        row = RECON_ENGINES.get(spec.name)
        self._title = spec.name if row is None else row.title
        self._cancel_grace_s = cancel_grace_s
        self._term_grace_s = term_grace_s
        self._start_s = start_s
        self._check_s = check_s
        self._ping_s = ping_s
        self._child: Child | None = None
        self._hello: dict[str, Any] = {}
        self._killed = False
        self._crashes: list[float] = []
        self._inbox: deque[dict[str, Any]] = deque()
        self._rubbish = 0
        self._serial = itertools.count(1)

    @property
    def pid(self) -> int | None:
        """Of the process and its group; None when it does not run."""
        child = self._child
        return None if child is None or child.exit_code is not None else child.pid

    @property
    def running(self) -> bool:
        return self.pid is not None

    # what it is asked

    def check(self, task: Task) -> tuple[CheckItem, ...]:
        """Look whether everything is there; the first item is the interpreter.

        A process that was started for this is ended again, as the check may hold graphics memory.

        Raises
        ------
        Cancelled
        """
        self._killed = False
        keep, crashes = self.running, list(self._crashes)
        items = [CheckItem("Python", None, str(self._python))]
        try:
            self._start(task)
            told = " ".join(str(self._hello.get(name, "")) for name in ("python", "executable"))
            items = [CheckItem("Python", True, told.strip())]
            self._send("check", config=dict(self.spec.config))
            answer = self._wait_for("checked", "", task, self._check_s)
            try:
                items += [_item(one) for one in answer["items"]]
            except TypeError as error:
                raise self._rambled(error) from error
        except WorkerError as error:
            # what the engine says of itself was said by a Python that works
            if items[0].ok or (error.kind in ERROR_KINDS and error.kind != "protocol"):
                items[0] = CheckItem("Python", True, items[0].detail)
                items.append(CheckItem(self._title, False, error.message, error.hint))
            else:
                items = [CheckItem("Python", False, error.message, error.hint)]
        except BaseException:
            keep = False
            raise
        finally:
            self._crashes = crashes
            if not keep:
                self._end()
        return tuple(items)

    def run(
        self,
        request: RunRequest,
        task: Task,
        on_stage: Callable[[Stage], None],
        on_preview: Callable[[Path], None],
    ) -> RunResult:
        """Make one object; the process is started and the engine loaded when they are not.

        Parameters
        ----------
        request : RunRequest
        task : Task
            Its cancel flag is looked at all the time; nothing is reported to it.
        on_stage : callable
            May raise, which stops the job.
        on_preview : callable
            Receives a file of points, (n, 3) float32 .npy in the object frame.

        Raises
        ------
        Cancelled, WorkerError
        """
        task.check()
        self._killed = False
        self._refuse_after_crashes()
        job = f"{request.job}#{next(self._serial)}"
        out = request.folder / request.out

        def moved(message: Mapping[str, Any]) -> None:
            if message["type"] == "stage":
                try:
                    stage = _stage(message)
                except ValueError as error:
                    raise self._rambled(error) from error
                on_stage(stage)
            elif message["type"] == "preview":
                on_preview(out / Path(str(message["file"])).name)

        try:
            try:
                out.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise file_error(out, error, "written") from error
            self._start(task)
            self._send("load", job=job, config=self._config())
            ready = self._wait_for("ready", job, task, self.spec.patience_s, moved)
            self._send(
                "run",
                job=job,
                folder=str(request.folder.absolute()),
                image=request.image,
                mask=request.mask,
                out=request.out,
                options=dict(request.options),
                pointmap=request.pointmap,
            )
            answer = self._wait_for("result", job, task, self.spec.patience_s, moved)
            result = self._result(out, answer, ready)
        except WorkerError as error:
            if error.kind in ("oom", "cuda"):
                self.close()  # only a new process has all the memory, and a graphics card that works
            raise
        except BaseException:
            self._stop(job)
            raise
        self._crashes.clear()
        if self.spec.config.get("restart"):
            self.close()
        return result

    def unload(self) -> None:
        """Have the engine give its memory back; a process that does not is ended."""
        if not self.running:
            return
        self._send("unload")
        try:
            self._wait_for("unloaded", "", Task(), self._cancel_grace_s)
        except (WorkerError, Cancelled):
            self._end()

    def forgive(self) -> None:
        """Forget its crashes: the user wants to try again."""
        self._crashes.clear()

    def close(self) -> None:
        """End the process and whatever it started."""
        if self.running and self._child is not None:
            self._send("shutdown")
            self._child.wait(self._term_grace_s)
        self._end()

    def kill(self) -> None:
        """End the process at once, from any thread; a job that runs is cancelled."""
        self._killed = True
        child = self._child
        if child is not None:
            child.kill()

    # starting and ending

    @property
    def _python(self) -> Path:
        return self.spec.python or Path(sys.executable)

    def _config(self) -> dict[str, Any]:
        stuck_s = 2 * self.spec.patience_s + 2 * self._ping_s
        return {"_idle_s": self.spec.idle_s, "_stuck_s": stuck_s, **self.spec.config}

    def _refuse_after_crashes(self) -> None:
        now = time.monotonic()
        self._crashes = [at for at in self._crashes if now - at < RESTARTS_WITHIN_S]
        if len(self._crashes) > RESTARTS:
            raise WorkerError(
                "stopped_trying",
                f"{self._title} failed {len(self._crashes)} times in a row, so it is not started again.",
                f"Look into {self.log} for the reason, then try again.",
            )

    def _start(self, task: Task) -> None:
        """Start the process and greet it, unless it runs."""
        if self.running:
            return
        self._end()
        python = self._python
        if python.is_dir():
            raise WorkerError("start", f"{python} is a folder, not a Python interpreter.", _SETTINGS)
        if not python.is_file():
            raise WorkerError("start", f"There is no Python at {python}.", _SETTINGS)
        command = [str(python), "-u", str(PROGRAM), "--engine", self.spec.target]
        for folder in self.spec.path:
            command += ["--path", folder]
        try:
            environment = clean_environment(self.spec.python, self.spec.environment)
            self._child = Child(command, environment, self.log, MAX_LINE)
        except OSError as error:
            if error.filename not in (None, str(python)):
                told = file_error(Path(error.filename), error, "written")
                raise WorkerError("start", told.message, told.hint) from error
            why = error.strerror or error
            raise WorkerError("start", f"{python} cannot be started: {why}.", _SETTINGS) from error
        self._rubbish = 0
        self._send("hello", protocol=PROTOCOL)
        try:
            self._hello = self._wait_for("hello", "", task, self._start_s)
        except WorkerError:
            self._end()
            raise

    def _stop(self, job: str) -> None:
        """Have the worker give up a job; end its process when it does not."""
        if self._hello and self.running and not self._killed:
            self._send("cancel", job=job)
            until = time.monotonic() + self._cancel_grace_s
            with suppress(_Ended, WireError, LineTooLongError):
                while time.monotonic() < until and not self._killed:
                    while self._inbox:
                        if _ends(self._inbox.popleft(), job):
                            return
                    self._receive()
        self._end()

    def _end(self) -> None:
        if self._child is not None:
            self._child.end(self._term_grace_s)  # `kill` can still reach it meanwhile
        self._child = None
        self._hello = {}
        self._inbox.clear()

    # talking

    def _send(self, type_: str, **members: Any) -> None:
        assert self._child is not None
        try:
            self._child.send(encode({"type": type_, **members}))
        except WireError as error:
            raise WorkerError("internal", f"What was asked of {self._title} {error}.") from error

    def _receive(self) -> None:
        """Take in the messages that come within a tick."""
        assert self._child is not None
        ended = self._child.exit_code is not None
        lines = self._child.receive(_TICK_S)
        self._child.cut_log()
        if ended and not lines:
            raise _Ended
        self._inbox += (message for line in lines if (message := self._decoded(line)) is not None)

    def _decoded(self, line: bytes) -> dict[str, Any] | None:
        if self._hello:
            return decode(line, FROM_WORKER)
        told = _json(line)
        if told.get("type") == "hello" and told.get("protocol") != PROTOCOL:
            raise WireError(f"it speaks version {told.get('protocol')} and this program version {PROTOCOL}")
        try:
            return decode(line, FROM_WORKER)
        except WireError:
            # a script around the interpreter may print something before it starts it
            self._rubbish += 1
            if self._rubbish > _RUBBISH_MAX:
                raise
            return None

    def _wait_for(
        self,
        wanted: str,
        job: str,
        task: Task,
        patience_s: float,
        heard: Callable[[Mapping[str, Any]], None] = lambda message: None,
    ) -> dict[str, Any]:
        """The message of a type; `heard` receives what comes of the job until then.

        Raises
        ------
        Cancelled, WorkerError
        """
        now = moved = pinged = answered = time.monotonic()
        every = min(self._ping_s, patience_s / 4)
        while True:
            if task.cancelled or self._killed:
                raise Cancelled
            try:
                self._receive()
            except _Ended:
                raise self._crashed() from None
            except (WireError, LineTooLongError) as error:
                raise self._rambled(error) from error
            now = time.monotonic()
            while self._inbox:
                message = self._inbox.popleft()
                if message["type"] == "pong":
                    answered = now
                elif message.get("job", job) != job:
                    continue
                elif message["type"] == wanted:
                    return message
                elif message["type"] == "error":
                    raise self._told(message)
                elif message["type"] == "cancelled":
                    raise Cancelled
                else:
                    moved = now
                    heard(message)
            if now - moved > patience_s:
                raise self._hung(patience_s, now - answered < 2.5 * every)
            if now - pinged > every:
                pinged = now
                self._send("ping", n=next(self._serial))

    def _result(self, out: Path, answer: Mapping[str, Any], ready: Mapping[str, Any]) -> RunResult:
        """The answer as values.

        Raises
        ------
        WorkerError
            When a file is missing or a value is not what it should be.
        """
        details = answer.get("details") or {}
        try:
            files = {str(kind): _made(out, str(name)) for kind, name in answer["files"].items()}
            pose, camera = answer.get("pose"), answer.get("camera")
            return RunResult(
                files,
                None if pose is None else Pose.from_json(pose),
                None if camera is None else Camera.from_json(camera),
                _seconds(answer["seconds"]),
                self.spec.name,
                str(details.get("version") or self._hello["version"]),
                str(details.get("device") or ready["device"] or self._hello["device"]),
                dict(details),
            )
        except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
            raise WorkerError(
                "protocol", f"{self._title} answered with a result that is not right: {error}.", _SEE_LOG
            ) from error

    # what went wrong

    def _told(self, message: Mapping[str, Any]) -> WorkerError:
        lines = [] if self._child is None else self._child.last_lines(_LAST_LINES)
        return WorkerError(str(message["kind"]), str(message["message"]), str(message["hint"]), lines)

    def _crashed(self) -> WorkerError:
        code = None if self._child is None else self._child.exit_code
        words, hint = _exit_words(code)
        if self._killed:
            raise Cancelled
        how = "stopped" if self._hello else "could not start"
        return self._broken("crash", f"{self._title} {how}: {words}.", hint)

    def _hung(self, patience_s: float, answers: bool) -> WorkerError:
        if not self._hello:
            words = f"{self._python} gave no answer within {_duration(patience_s)}."
            return self._broken("hang", words, _SETTINGS)
        if self._child is not None:
            self._child.trace()
        words = f"{self._title} made no progress for {_duration(patience_s)} and was ended."
        hint = "Its process still answered." if answers else "Its process did not answer any more either."
        return self._broken("hang", words, hint)

    def _rambled(self, error: Exception) -> WorkerError:
        if not self._hello:
            words = f"{self._python} did not start the 3D worker: {error}."
            return self._broken("protocol", words, _SETTINGS)
        words = f"{self._title} sent something that is not a message and was ended: {error}."
        return self._broken("protocol", words, "The log may tell which package does that.")

    def _broken(self, kind: str, message: str, hint: str) -> WorkerError:
        """End the process, count it, and say why with the end of its log."""
        lines = [] if self._child is None else self._child.last_lines(_LAST_LINES)
        self._end()
        self._crashes.append(time.monotonic())
        shown = [line[:_SHOWN_CHARACTERS] for line in _telling(lines)]
        said = "\n".join([hint, "Its log ends with:", *shown] if shown else [hint])
        return WorkerError(kind, message, said.strip(), lines)


class _Ended(Exception):  # noqa: N818 - what it means is said where it is caught
    """The process has ended, and everything it said was read."""


def _ends(message: Mapping[str, Any], job: str) -> bool:
    """Whether a worker that was asked to stop has nothing to do any more."""
    kind = message["type"]
    return kind == "ready" or (kind in ("cancelled", "result", "error") and message["job"] == job)


def _json(line: bytes) -> dict[str, Any]:
    """A line as an object, empty when it is none."""
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _stage(told: Mapping[str, Any]) -> Stage:
    """A stage that was told.

    Raises
    ------
    ValueError
    """
    i, n = told["i"], told["n"]
    if type(i) is not int or type(n) is not int or min(i, n) < 0:
        raise ValueError(f"step {str(i)[:20]} of {str(n)[:20]}")
    return Stage(str(told["name"]), min(i, n), n)


def _seconds(told: Any) -> float:
    """How long it took.

    Raises
    ------
    ValueError
    """
    if type(told) not in (int, float) or not 0 <= told < math.inf:
        raise ValueError(f"it took {str(told)[:20]} seconds")
    return float(told)


def _item(told: Any) -> CheckItem:
    if not isinstance(told, Mapping):
        return CheckItem(str(told), None)
    ok = told.get("ok")
    return CheckItem(
        str(told.get("name", "")),
        ok if isinstance(ok, bool) else None,
        str(told.get("detail", "")),
        str(told.get("hint", "")),
    )


def _made(out: Path, name: str) -> Path:
    """A file that was made.

    Raises
    ------
    ValueError
    """
    path = out / name
    if Path(name).name != name:
        raise ValueError(f"“{name}” is not the name of a file")
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    return path


def _telling(lines: list[str]) -> list[str]:
    """The few lines that say most: the last, or those around the place where it stopped."""
    for at, line in enumerate(lines):
        if line.startswith("Current thread"):
            fatal = next((k for k in range(at) if lines[k].startswith("Fatal Python error")), None)
            before = [] if fatal is None else lines[max(0, fatal - 2) : fatal + 1]
            return [*before, *lines[at + 1 : at + 3]]
    return lines[-_SHOWN_LINES:]


def _duration(seconds: float) -> str:
    """A time to be read."""
    if seconds < 120:
        return f"{seconds:.3g} seconds"
    return f"{seconds / 60:.0f} minutes"


_EXITS = {
    "SIGSEGV": (
        "it touched memory that is not its own (segmentation fault)",
        "A compiled package probably does not fit the PyTorch or CUDA it runs with; install it anew.",
    ),
    "SIGBUS": ("memory it used was taken away (bus error)", "The disk or the shared memory may be full."),
    "SIGFPE": (
        "a calculation that the processor refuses (floating point exception)",
        "Some builds of spconv do this; a newer one may help.",
    ),
    "SIGILL": (
        "an instruction that this processor does not know",
        "A package in its Python was built for another processor.",
    ),
    "SIGABRT": ("a library gave up (abort)", "The log may say why."),
    "SIGKILL": (
        "the system ended it",
        "The computer probably ran out of memory: close other programs, or take a smaller picture.",
    ),
    "SIGTERM": ("somebody ended it", ""),
}
_WINDOWS_EXITS = {
    0xC0000005: "SIGSEGV",
    0xC00000FD: "SIGSEGV",
    0xC0000094: "SIGFPE",
    0xC000001D: "SIGILL",
    0xC0000409: "SIGABRT",
    0xC0000017: "SIGKILL",
}


def _exit_words(code: int | None) -> tuple[str, str]:
    """How a process ended, and what may help."""
    if code is None:
        return "its pipe was closed", ""
    name = _WINDOWS_EXITS.get(code & 0xFFFFFFFF, "")
    number = -code if code < 0 else code - 128  # a shell around it adds 128
    if not name and 0 < number < 65:
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = f"signal {number}"
    if name in _EXITS:
        return _EXITS[name]
    if name:
        return f"ended by {name}", ""
    if code == 0:
        return "it ended without a result", "A package in its Python may have ended it."
    return f"exit code {code}", ""
