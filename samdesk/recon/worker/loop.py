"""The worker's loop: one thread hears what the program says, another obeys.

Standard library only. Must not know what engines do, nor how the worker was started.
"""

from __future__ import annotations

import faulthandler
import importlib
import os
import platform
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from samdesk.recon.wire import ERROR_KINDS, MAX_LINE, PROTOCOL, TO_WORKER, WireError, decode, encode
from samdesk.recon.worker.base import EngineError, Request, Stopped, WorkerEngine

Say = Callable[[bytes], None]


class Watchdog:
    """Ends the process when no thread of Python gets a turn for too long while it works.

    The program stops a worker that hangs; this is for the worker that outlived the program while
    a library holds the interpreter's lock, so that the end of the pipe is never seen.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds = 0.0

    def watch(self, seconds: float) -> None:
        """Give it so long from now; 0 to stop watching."""
        with self._lock:
            self._seconds = seconds
            self._wind()

    def alive(self) -> None:
        """Begin the time anew, if it is watched."""
        with self._lock:
            self._wind()

    def _wind(self) -> None:
        faulthandler.cancel_dump_traceback_later()
        if self._seconds > 0:
            faulthandler.dump_traceback_later(self._seconds, exit=True)


class Loop:
    """What the worker does with each message.

    Parameters
    ----------
    target : str
        "module:Class" of the engine; imported at `hello`, so that what fails there can be told.
    say : callable
        Sends one line; from any thread.
    watchdog : Watchdog, optional
    """

    def __init__(self, target: str, say: Say, watchdog: Watchdog | None = None) -> None:
        self._target = target
        self._say_line = say
        self._watchdog = watchdog
        self._commands: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._cancelled: set[str] = set()
        self._engine: WorkerEngine | None = None
        self._config: dict[str, Any] | None = None
        self._told_at_load: dict[str, Any] = {}
        self._idle_s: float | None = None
        self._stuck_s = 0.0

    # the thread that hears

    def heard(self, message: Mapping[str, Any]) -> None:
        """Take a message: what cannot wait is done at once, the rest by `serve`."""
        if self._watchdog is not None:
            self._watchdog.alive()
        if message["type"] == "cancel":
            self._cancelled.add(str(message["job"]))
        elif message["type"] == "ping":
            self._say("pong", n=message["n"])
        else:
            self._commands.put(dict(message))

    # the thread that obeys

    def serve(self) -> None:
        """Obey until `shutdown`; unload when nothing came for long."""
        while True:
            idle_s = self._idle_s if self._config is not None else None
            try:
                message = self._commands.get(timeout=idle_s)
            except queue.Empty:
                message = {"type": "unload"}
            job = str(message.get("job", ""))
            if message["type"] == "shutdown":
                self._say("bye")
                return
            self._watch(self._stuck_s)
            self._obey(message, job)
            self._watch(0.0)
            self._cancelled.discard(job)

    def _obey(self, message: dict[str, Any], job: str) -> None:
        """Do what a message asks; whatever goes wrong is told, and the loop goes on."""
        try:
            {
                "hello": self._hello,
                "check": self._check,
                "load": self._load,
                "run": self._run,
                "unload": self._unload,
            }[message["type"]](message)
        except Stopped:
            self._say("cancelled", job=job)
        except EngineError as error:
            kind = error.kind if error.kind in ERROR_KINDS else "internal"
            if error.__cause__ is not None:
                traceback.print_exc()
            self._say("error", job=job, kind=kind, message=error.message, hint=error.hint)
        except MemoryError:
            traceback.print_exc()
            words = "The computer has no memory left for this object."
            hint = "Close other programs, or take a smaller picture."
            self._say("error", job=job, kind="oom", message=words, hint=hint)
        except ImportError as error:
            traceback.print_exc()
            words = f"A package is missing or broken in the engine's Python: {error}."
            hint = f"Install it for {sys.executable}."
            self._say("error", job=job, kind="missing_module", message=words, hint=hint)
        except BaseException as error:  # SystemExit too: an engine does not decide when the worker ends
            traceback.print_exc()
            words = f"The engine failed: {type(error).__name__}: {error}."
            hint = "The log has the details."
            self._say("error", job=job, kind="internal", message=words[:2000], hint=hint)

    def _hello(self, message: Mapping[str, Any]) -> None:
        engine = self._made()
        self._say(
            "hello",
            protocol=PROTOCOL,
            engine=self._target,
            title=engine.title,
            version=engine.version,
            device=engine.device(),
            capabilities=list(engine.capabilities),
            python=platform.python_version(),
            executable=sys.executable,
        )

    def _check(self, message: Mapping[str, Any]) -> None:
        self._say("checked", items=self._made().check(_of_engine(message["config"])))

    def _load(self, message: Mapping[str, Any]) -> None:
        config = message["config"]
        self._idle_s = config.get("_idle_s")
        self._stuck_s = float(config.get("_stuck_s", 0))
        self._watch(self._stuck_s)
        self._ensure(_of_engine(config), _Report(self, str(message.get("job", ""))))
        self._say("ready", **{"device": "", **self._told_at_load})

    def _run(self, message: Mapping[str, Any]) -> None:
        job, folder = str(message["job"]), Path(message["folder"])
        report = _Report(self, job)
        report.check()
        if self._config is None:
            raise EngineError("protocol", "The engine was asked to work before it was loaded.")
        pointmap = message.get("pointmap")
        request = Request(
            image=folder / message["image"],
            mask=folder / message["mask"],
            out=folder / message["out"],
            options=message["options"],
            pointmap=folder / pointmap if pointmap else None,
        )
        began = time.monotonic()
        made = self._made().run(request, report)
        self._say(
            "result",
            job=job,
            files=dict(made.files),
            seconds=time.monotonic() - began,
            pose=made.pose,
            camera=made.camera,
            details=dict(made.details),
        )

    def _unload(self, message: Mapping[str, Any]) -> None:
        if self._config is not None:
            self._config = None
            self._made().unload()
        self._say("unloaded")

    def _ensure(self, config: dict[str, Any], report: _Report) -> None:
        """Load, unless that is what is loaded."""
        if self._config == config:
            return
        engine = self._made()
        if self._config is not None:
            self._config = None
            engine.unload()
        try:
            self._told_at_load = dict(engine.load(config, report))
        except BaseException:
            engine.unload()
            raise
        self._config = config

    def _watch(self, seconds: float) -> None:
        if self._watchdog is not None:
            self._watchdog.watch(seconds)

    def _made(self) -> WorkerEngine:
        if self._engine is None:
            module, _, name = self._target.partition(":")
            self._engine = cast(WorkerEngine, getattr(importlib.import_module(module), name)())
        return self._engine

    def _say(self, type_: str, **members: Any) -> None:
        self._say_line(encode({"type": type_, **members}))


class _Report:
    """`Report` over the wire."""

    def __init__(self, loop: Loop, job: str) -> None:
        self._loop = loop
        self._job = job

    def check(self) -> None:
        if self._job in self._loop._cancelled:
            raise Stopped

    def stage(self, name: str, i: int, n: int) -> None:
        self._loop._say("stage", job=self._job, name=name, i=int(i), n=int(n))
        self.check()

    def preview(self, file: str) -> None:
        self._loop._say("preview", job=self._job, file=file)


def _of_engine(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config without what it tells the loop."""
    return {name: value for name, value in config.items() if not name.startswith("_")}


def serve(target: str, commands: int, answers: int) -> None:
    """Run a `Loop` over two file descriptors; ends the process.

    Parameters
    ----------
    target : str
        "module:Class".
    commands, answers : int
        Read and written; nothing else may use them.
    """
    turn = threading.Lock()

    def say(line: bytes) -> None:
        try:
            with turn:
                while line:
                    line = line[os.write(answers, line) :]
        except OSError:
            _vanish()

    if sys.platform != "win32":
        faulthandler.register(signal.SIGUSR1)  # a program that gives it up wants to know where it was
    loop = Loop(target, say, Watchdog())

    def listen() -> None:
        with os.fdopen(commands, "rb") as stream:
            for line in iter(lambda: stream.readline(MAX_LINE + 1), b""):
                try:
                    message = decode(line, TO_WORKER)
                except WireError as error:
                    told = {"type": "error", "job": "", "kind": "protocol", "message": str(error), "hint": ""}
                    say(encode(told))
                else:
                    loop.heard(message)
        _vanish()

    threading.Thread(target=listen, name="listen", daemon=True).start()
    loop.serve()
    sys.stderr.flush()
    os._exit(0)  # no tidying up by libraries: it takes long, and some crash in it


def _vanish() -> None:
    """The program has gone: end at once, with everything that was started here."""
    if sys.platform != "win32" and os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(0)
