"""What installer/run, installer/run.ps1 and installer/test hand their arguments to.

They find a Python, with the help of `probe`; everything else is here and in the modules beside.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from installer import system  # noqa: E402
from installer.environment import Checkout, clean_environment, ensure, is_current  # noqa: E402
from installer.progress import InstallError, Log, Reporter  # noqa: E402

OLDEST, NEWEST = (3, 11), (3, 14)  # NEWEST: the last with ready-made builds of every pinned library

RUN_HELP = """\
usage: installer/run [--with EXTRA] [--fresh] [--install-only] [--] [SAMDESK ARGUMENTS]

Installs samdesk into .venv where that is needed, then runs it:

  installer/run                    open the window
  installer/run IMAGE              open an image
  installer/run demo               the main job on sample images, with a report
  installer/run --with models      also install SAM, MobileSAM and SAM 2 (torch); remembered
  installer/run --with models,sam3      and SAM 3 (its package comes under the SAM License)

  --with EXTRA      also install this group of optional libraries (models, sam3, dev)
  --fresh           make .venv anew
  --install-only    install, but do not start samdesk
  --help            this text; samdesk's own: installer/run -- --help

These are read up to the first argument that is samdesk's. pip's configuration and its
environment variables (PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, ...) decide where packages come from.
SAMDESK_PYTHON names another Python to use. Log: .installer/log.txt
"""

TEST_HELP = """\
usage: installer/test [PYTEST ARGUMENTS]

Installs samdesk with its models and development tools into .venv where that is needed, checks lint,
format, types and walls, then runs pytest on a private virtual screen (Xvfb). Missing Debian
packages are installed when that needs no password. Log: .installer/log.txt
"""


@dataclass(frozen=True)
class RunOptions:
    """The installer's own part of the arguments of `run`."""

    extras: tuple[str, ...] = ()
    fresh: bool = False
    install_only: bool = False
    help: bool = False


def split_arguments(arguments: Sequence[str]) -> tuple[RunOptions, list[str]]:
    """Take the installer's options off the front; the rest is samdesk's.

    Raises
    ------
    InstallError
        When `--with` has no value.
    """
    rest = list(arguments)
    extras: list[str] = []
    flags: set[str] = set()
    while rest:
        head = rest[0]
        if head in ("--help", "-h"):
            flags.add("help")
        elif head in ("--fresh", "--install-only"):
            flags.add(head[2:].replace("-", "_"))
        elif head.startswith("--with="):
            extras += head.removeprefix("--with=").split(",")
        elif head == "--with":
            if len(rest) < 2:
                raise InstallError("--with needs the name of an extra.", "For example: --with models")
            extras += rest.pop(1).split(",")
        else:
            break
        del rest[0]
    if rest and rest[0] == "--":
        del rest[0]
    return RunOptions(tuple(extras), **dict.fromkeys(flags, True)), rest


def probe() -> int:
    """An exit status: 0: this Python fits, 3: it does not, 4: it cannot make environments."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST or sys.maxsize < 2**32:
        return 3
    return 0 if importlib.util.find_spec("ensurepip") and importlib.util.find_spec("venv") else 4


def run(arguments: Sequence[str], checkout: Checkout, reporter: Reporter) -> int:
    """Install where needed, then become samdesk."""
    options, rest = split_arguments(arguments)
    if options.help:
        print(RUN_HELP, end="")
        return 0
    if options.fresh or not is_current(checkout, options.extras):
        _require(system.python_needs(), reporter)
        ensure(checkout, options.extras, reporter, options.fresh)
    if options.install_only:
        return 0
    needs = system.needs_of(rest, os.environ)
    _require([*needs, system.FONTS] if needs else [], reporter)
    # -P keeps modules in the current folder from being imported in place of libraries
    command = [str(checkout.python), "-P", "-m", "samdesk", *rest]
    return _become(command)


def _become(command: list[str]) -> NoReturn:
    if sys.platform == "win32":  # its execve returns to the shell at once
        try:
            sys.exit(subprocess.call(command, env=clean_environment()))
        except KeyboardInterrupt:
            sys.exit(130)
    os.execve(command[0], command, clean_environment())


def test(arguments: Sequence[str], checkout: Checkout, reporter: Reporter) -> int:
    """Install where needed, then check everything."""
    if list(arguments) in (["--help"], ["-h"]):
        print(TEST_HELP, end="")
        return 0
    screen_needs = (*system.QT, *system.XCB, system.VIRTUAL_SCREEN)
    lacking = system.missing([*system.python_needs(), *screen_needs, system.FONTS])
    if lacking:
        lacking = _install_packages(lacking, reporter)
    ensure(checkout, ("dev", "models", "sam3"), reporter)
    screen = system.LINUX and not set(lacking).intersection(screen_needs)
    from installer.checks import run_checks

    return run_checks(checkout, arguments, reporter, screen)


def _install_packages(lacking: list[system.Need], reporter: Reporter) -> list[system.Need]:
    prefix = system.may_install()
    if prefix is not None:
        lacking = system.install(lacking, reporter, prefix)
    if lacking:
        reporter.say(f"Missing on this system: {_names(lacking)}")
        reporter.say(system.install_hint(lacking))
    return lacking


def _require(needs: Sequence[system.Need], reporter: Reporter) -> None:
    """Stop with the command to type rather than let Qt abort; for root, as in a container, do it."""
    lacking = system.missing(needs)
    if lacking and system.may_install() == []:
        lacking = system.install(lacking, reporter, [])
    if lacking == [system.FONTS]:
        reporter.say(f"No fonts were found: text may be missing. {system.install_hint(lacking)}")
    elif lacking:
        raise InstallError(f"This system lacks {_names(lacking)}.", system.install_hint(lacking))


def _names(needs: Sequence[system.Need]) -> str:
    return ", ".join(need.what for need in needs)


VERBS = {"run": run, "test": test}


def main(arguments: Sequence[str]) -> int:
    """Do the verb that the first argument names; the exit status."""
    checkout = Checkout(ROOT)
    reporter = Reporter(Log(checkout.state / "log.txt"))
    try:
        return VERBS[arguments[0]](arguments[1:], checkout, reporter)
    except InstallError as error:
        reporter.say(f"{error.message}\n{error.hint}")
    except KeyboardInterrupt:
        reporter.say("Stopped. The same command goes on from here.")
        return 130
    except OSError as error:
        reporter.say(f"{error.filename or ROOT}: {error.strerror or error}")
        reporter.say("Can this user write here, and is there space on the disk?")
    return 1


if __name__ == "__main__":
    if sys.argv[1:] == ["probe"]:
        sys.exit(probe())
    if sys.version_info < OLDEST:
        sys.exit(f"samdesk needs Python 3.11 or newer; {sys.executable} is older.")
    sys.exit(main(sys.argv[1:]))
