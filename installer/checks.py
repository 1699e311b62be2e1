"""The checks behind `installer/test`: lint, format, types, walls, then the tests on a private screen.

Must not know how the environment was made.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import FrameType

from installer.environment import Checkout, clean_environment
from installer.progress import InstallError, Reporter
from installer.system import LINUX

SCREEN = "1920x1200x24"
SCREEN_START_S = 30
NO_SCREEN = (
    "No virtual screen: the tests run on Qt's offscreen platform."
    " Those that need a real screen, or a library that is missing, will fail."
)
# the package has no __main__, and its script breaks when the checkout is moved
WALLS = "from importlinter.cli import lint_imports_command as run; run()"
BESIDE = ("tests/engines", "tests/unit/domain", "tests/unit/formats")
"""Tests that need no screen, and take about as long as all others: they run at the same time."""

CHECKS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Lint (ruff check)", ("-m", "ruff", "check")),
    ("Format (ruff format)", ("-m", "ruff", "format", "--check")),
    ("Types (mypy)", ("-m", "mypy")),
    ("Walls (import-linter)", ("-c", WALLS, "--no-logo")),
)


def run_checks(checkout: Checkout, arguments: Sequence[str], reporter: Reporter, screen: bool) -> int:
    """Run every check and the tests.

    Parameters
    ----------
    checkout : Checkout
        Its environment holds the tools.
    arguments : sequence of str
        For pytest.
    reporter : Reporter
        Hears of the progress; the tools' own words go to standard output.
    screen : bool
        Give the tests a virtual screen.

    Returns
    -------
    int
        0 when all passed, else the status of pytest or 1.
    """
    signal.signal(signal.SIGTERM, _stop)
    failed = [title for title, command in CHECKS if not _passes(checkout, title, command, reporter)]
    with ExitStack() as stack:
        env = _test_environment(stack.enter_context(_private_folder()))
        if screen:
            env.update(DISPLAY=stack.enter_context(virtual_screen(checkout.state)), QT_QPA_PLATFORM="xcb")
        elif LINUX:
            env.update(QT_QPA_PLATFORM="offscreen")
            reporter.say(NO_SCREEN)
        reporter.say("Tests (pytest) ...")
        if failed:
            reporter.say(f"Failed so far: {', '.join(failed)}")
        status = _run_tests(checkout, arguments, env)
    return status or int(bool(failed))


def _run_tests(checkout: Checkout, arguments: Sequence[str], env: dict[str, str]) -> int:
    """Run pytest; when nothing in particular is asked for, the tests of `BESIDE` beside all others."""
    command = [str(checkout.python), "-m", "pytest", *arguments]
    if arguments or not all((checkout.root / one).is_dir() for one in BESIDE):
        return subprocess.call(command, stdin=subprocess.DEVNULL, env=env, cwd=checkout.root)
    with tempfile.TemporaryFile() as output:
        beside = subprocess.Popen(
            [*command, *BESIDE],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=checkout.root,
            # the others look at windows, which are not to wait for a model
            preexec_fn=partial(os.nice, 10) if hasattr(os, "nice") else None,
        )
        try:
            command += [f"--ignore={one}" for one in BESIDE]
            status = subprocess.call(command, stdin=subprocess.DEVNULL, env=env, cwd=checkout.root)
            other = beside.wait()
        finally:
            beside.kill()
            beside.wait()
        output.seek(0)
        sys.stdout.write(f"{', '.join(BESIDE)}:\n")
        sys.stdout.flush()
        shutil.copyfileobj(output, sys.stdout.buffer)
        sys.stdout.flush()
    return status or other


def _passes(checkout: Checkout, title: str, command: Sequence[str], reporter: Reporter) -> bool:
    with reporter.stage(title) as stage:
        done = subprocess.run(
            [str(checkout.python), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=clean_environment(),
            cwd=checkout.root,
            check=False,
        )
        stage.outcome = "failed" if done.returncode else "passed"
    if done.returncode:
        sys.stdout.buffer.write(done.stdout)
        sys.stdout.flush()
    return done.returncode == 0


def _test_environment(folder: Path) -> dict[str, str]:
    """The same for everyone: a user's Qt settings, locale and desktop change what a window does."""
    env = {name: value for name, value in clean_environment().items() if not name.startswith("QT_")}
    if LINUX:
        for name in ("WAYLAND_DISPLAY", "DISPLAY", "XDG_SESSION_TYPE", "XDG_CURRENT_DESKTOP"):
            env.pop(name, None)
        env.update(LC_ALL="C.UTF-8", XDG_RUNTIME_DIR=str(folder))
    return env


@contextmanager
def _private_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="samdesk-tests-") as name:
        yield Path(name)


@contextmanager
def virtual_screen(logs: Path) -> Iterator[str]:
    """A private X server that ends with the block.

    Parameters
    ----------
    logs : Path
        Folder of its log file.

    Yields
    ------
    str
        The value of DISPLAY.

    Raises
    ------
    InstallError
        When it does not start.
    """
    program = shutil.which("Xvfb")
    assert program is not None, "the caller looked for it"
    log = logs / "xvfb.txt"
    reading, writing = os.pipe()
    command = [program, "-displayfd", str(writing), "-screen", "0", SCREEN, "-nolisten", "tcp", "-noreset"]
    with log.open("wb") as output, os.fdopen(reading) as told:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(writing,),
            start_new_session=True,  # Ctrl+C reaches the tests first, they may still need the screen
        )
        os.close(writing)
        try:
            ready, _, _ = select.select([told], [], [], SCREEN_START_S)
            number = told.readline().strip() if ready else ""
            if not number:
                raise InstallError("The virtual screen (Xvfb) did not start.", f"See {log}.")
            yield f":{number}"
        finally:
            process.terminate()
            process.wait()


def _stop(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)
