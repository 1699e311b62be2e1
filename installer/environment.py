"""The virtual environment in the checkout: made, filled from the pinned versions, and recognized.

A run that finds the stamp of the last installation up to date touches neither the lock, nor
pip, nor the network. Must not know what is started in the environment.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from installer.progress import InstallError, Reporter

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LAYOUT = 1  # raise it when an environment made by an older installer must be installed again
# installed, so that no build needs the network later; the last two for libraries without a wheel
BUILD_TOOLS = ("hatchling", "editables", "setuptools", "wheel")
SPACE_MB = 1700
EXTRA_SPACE_MB = {"models": 1300, "sam3": 200}
# what would send pip elsewhere than into the environment, or Python's imports out of it
DROPPED = ("PYTHONHOME", "PYTHONPATH", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "__PYVENV_LAUNCHER__")


@dataclass(frozen=True)
class Checkout:
    """Where things are in a checkout."""

    root: Path

    @property
    def venv(self) -> Path:
        """The virtual environment."""
        return self.root / ".venv"

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        return self.venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    @property
    def packages(self) -> Path:
        """The environment's site-packages."""
        if os.name == "nt":
            return self.venv / "Lib" / "site-packages"
        return self.venv / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"

    @property
    def stamp(self) -> Path:
        """What was installed last."""
        return self.venv / "samdesk-installed.json"

    @property
    def mark(self) -> Path:
        """Says that the environment was made here and may be deleted again."""
        return self.venv / "made-by-samdesk-installer"

    @property
    def state(self) -> Path:
        """The installer's own folder."""
        return self.root / ".installer"

    @property
    def constraints(self) -> Path:
        """The pinned versions."""
        return self.root / "installer" / "constraints.txt"


@dataclass(frozen=True)
class Stamp:
    """What an environment holds; an empty fingerprint means an unfinished installation."""

    fingerprint: str = ""
    extras: frozenset[str] = frozenset()


def fingerprint(checkout: Checkout) -> str:
    """Hash of all that decides what an installation puts where.

    The place of the checkout is a part of it: the installation is editable, so it points there.
    """
    parts = [
        str(LAYOUT).encode(),
        f"{sys.implementation.cache_tag} {sys.platform} {platform.machine()}".encode(),
        os.fsencode(checkout.root),
        (checkout.root / "pyproject.toml").read_bytes(),
        checkout.constraints.read_bytes(),
    ]
    return hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def read_stamp(path: Path) -> Stamp:
    """The stamp in `path`; an empty one when there is none or it cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Stamp(str(content["fingerprint"]), frozenset(map(str, content["extras"])))
    except (OSError, ValueError, KeyError, TypeError):
        return Stamp()


def write_stamp(path: Path, stamp: Stamp) -> None:
    """Replace the stamp in one step."""
    fresh = path.with_suffix(".new")
    content = {"fingerprint": stamp.fingerprint, "extras": sorted(stamp.extras)}
    fresh.write_text(json.dumps(content), encoding="utf-8")
    fresh.replace(path)


def is_current(checkout: Checkout, extras: Collection[str]) -> bool:
    """Whether the environment holds samdesk with these extras, installed from what lies here now."""
    stamp = read_stamp(checkout.stamp)
    return (
        checkout.python.exists()
        and stamp.extras.issuperset(extras)
        and stamp.fingerprint == fingerprint(checkout)
    )


def clean_environment() -> dict[str, str]:
    """The process environment without what would lead out of the virtual environment."""
    return {name: value for name, value in os.environ.items() if name not in DROPPED}


def ensure(checkout: Checkout, extras: Collection[str], reporter: Reporter, fresh: bool = False) -> None:
    """Make `.venv` hold samdesk with `extras` and those asked for earlier.

    Parameters
    ----------
    checkout : Checkout
        Where to install.
    extras : collection of str
        Names of optional dependencies in pyproject.toml.
    reporter : Reporter
        Hears of the progress.
    fresh : bool
        Begin with an empty environment even if there is a good one.

    Raises
    ------
    InstallError
        When it cannot be done; the environment may be unfinished, the next call goes on.
    """
    if not fresh and is_current(checkout, extras):
        return
    _check_extras(checkout, extras)
    checkout.state.mkdir(exist_ok=True)

    def waiting() -> None:
        reporter.say("Another installation is at work in this checkout; waiting for it.")

    with locked(checkout.state / "lock", waiting) as lock:
        if not fresh and is_current(checkout, extras):
            return
        _install(checkout, extras, reporter, fresh, lock)


@contextmanager
def locked(path: Path, waiting: Callable[[], None]) -> Iterator[int]:
    """Hold the lock file `path`; its descriptor is given out for child processes to keep."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        told = False
        while not _try_lock(descriptor):
            if not told:
                waiting()
            told = True
            time.sleep(0.2)
        yield descriptor
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _check_extras(checkout: Checkout, extras: Collection[str]) -> None:
    import tomllib

    with (checkout.root / "pyproject.toml").open("rb") as file:
        known = tomllib.load(file)["project"]["optional-dependencies"]
    for extra in extras:
        if extra not in known:
            raise InstallError(f"There is no extra '{extra}'.", f"Choose from: {', '.join(known)}.")


def _install(checkout: Checkout, extras: Collection[str], reporter: Reporter, fresh: bool, lock: int) -> None:
    reporter.log.write(f"Python {sys.version}\n{sys.executable}\n")
    before = read_stamp(checkout.stamp)
    wanted = before.extras.union(extras)
    unfinished = Stamp("", before.extras)  # until pip is through, only what was there is promised
    if fresh or not _is_usable(checkout, reporter):
        if importlib.util.find_spec("ensurepip") is None:
            raise InstallError(
                f"{sys.executable} cannot make virtual environments.",
                "Install a complete Python 3.11 to 3.14, with the module ensurepip.",
            )
        _check_space(checkout, wanted)
        with reporter.stage(f"Making .venv with Python {sys.version_info[0]}.{sys.version_info[1]}"):
            _discard(checkout)
            checkout.venv.mkdir(exist_ok=True)
            checkout.mark.touch()
            write_stamp(checkout.stamp, unfinished)
            _make_venv(checkout, reporter, lock)
    remove_unfinished(checkout.packages)
    write_stamp(checkout.stamp, unfinished)
    target = f"{checkout.root}[{','.join(sorted(wanted))}]" if wanted else str(checkout.root)
    named = ", ".join(sorted(wanted))
    title = f"Installing the libraries (with {named})" if named else "Installing the libraries"
    with reporter.stage(title) as stage:
        for arguments in (BUILD_TOOLS, ("--no-build-isolation", "--editable", target)):
            # bytecode is written when a module is first imported: a third of the time saved here
            command = [
                *(str(checkout.python), "-m", "pip", "install", "--no-input", "--no-compile"),
                *("--disable-pip-version-check", "--progress-bar", "off", "--no-color"),
                *("--constraint", str(checkout.constraints), *arguments),
            ]
            # sam2 would build a CUDA extension that only its video tools use
            env = {**clean_environment(), "PIP_USER": "0", "PYTHONUTF8": "1", "SAM2_BUILD_CUDA": "0"}
            # the lock outlives this process if pip does
            status = reporter.run(command, stage=stage, detail=pip_detail, keep_open=(lock,), env=env)
            if status:
                raise _failure("The libraries could not be installed.", reporter)
    write_stamp(checkout.stamp, Stamp(fingerprint(checkout), wanted))


def _is_usable(checkout: Checkout, reporter: Reporter) -> bool:
    """Whether `.venv` has the running Python's version and a pip that works."""
    try:
        config = (checkout.venv / "pyvenv.cfg").read_text(encoding="utf-8")
    except OSError:
        return False
    version = re.search(r"^version(?:_info)? *= *(\d+)\.(\d+)", config, re.MULTILINE)
    if version is None or tuple(map(int, version.groups())) != sys.version_info[:2]:
        return False
    if not checkout.python.exists():
        return False
    return reporter.run([str(checkout.python), "-m", "pip", "--version"], env=clean_environment()) == 0


def _make_venv(checkout: Checkout, reporter: Reporter, lock: int) -> None:
    command = [sys.executable, "-I", "-m", "venv", "--prompt", "samdesk", str(checkout.venv)]
    if reporter.run(command, keep_open=(lock,), env=clean_environment()):
        raise _failure("The virtual environment could not be made.", reporter)


def _discard(checkout: Checkout) -> None:
    """Move an old environment out of the way, then delete it: never half of one under its name."""
    for leftover in checkout.state.glob("discarded-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    if checkout.mark.exists():
        old = checkout.state / f"discarded-{os.getpid()}"
        try:
            checkout.venv.replace(old)
        except OSError as error:
            raise InstallError(
                f"The old environment {checkout.venv} is in use: {error.strerror}.",
                "Close every samdesk window and every program that uses it, then try again.",
            ) from error
        shutil.rmtree(old, ignore_errors=True)
    elif checkout.venv.exists() and any(checkout.venv.iterdir()):
        raise InstallError(
            f"{checkout.venv} has to be made anew, but was not made by this installer.",
            "Move it away or delete it, then try again.",
        )


def remove_unfinished(packages: Path) -> None:
    """Make pip see what an interrupted pip left half done in site-packages as not installed.

    pip writes INSTALLER last; a name that begins with `~` is a package it was replacing.
    """
    for info in packages.glob("*.dist-info"):
        if not (info / "INSTALLER").exists():
            shutil.rmtree(info)
    for leftover in packages.glob("~*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _check_space(checkout: Checkout, extras: Collection[str]) -> None:
    needed = SPACE_MB + sum(EXTRA_SPACE_MB.get(extra, 0) for extra in extras)
    free = shutil.disk_usage(checkout.root).free // 2**20
    if free < needed:
        raise InstallError(
            f"Not enough disk space in {checkout.root}: {free} MB free, about {needed} MB needed.",
            "Free some space or move the checkout to a larger disk.",
        )


def pip_detail(line: str) -> str | None:
    """What a line of pip's output tells the user, None for nothing."""
    if line.startswith("Installing collected packages: "):
        return f"unpacking {line.count(',') + 1} packages"
    loading = re.match(r"\s*(?:Downloading|Using cached|Processing) (\S+)(?: \(([\d.]+ [kMG]?B)\))?", line)
    if loading is None:
        return None
    name, _, rest = re.split(r"[/\\]", loading[1])[-1].partition("-")
    version = rest.partition("-")[0]
    return " ".join(filter(None, (name, version, loading[2] and f"({loading[2]})")))


SYSTEMS = "Linux (glibc 2.34; on ARM 2.39), macOS 14 and Windows (x64), or newer, have all of them."
# the first that matches is the likely cause: pip goes on after lost connections, so they come late
CAUSES = (
    (
        r"Errno 28|No space left|WinError 112|not enough space",
        "the disk is full. Free some space here and in the folder for temporary files (TMPDIR).",
    ),
    (r"MemoryError|-> -9$", "there was not enough memory. Close other programs and try again."),
    (
        r"WinError (5|32)\b",
        "a file is in use or protected. Close every samdesk window and try again.",
    ),
    (
        r"Errno 13|Permission denied|Errno 30",
        "a folder cannot be written. Was it made by another user, or by a run with sudo?",
    ),
    (
        r"File name too long|Errno 36|WinError 206|Long Path support",
        "a path is too long. Move the checkout to a folder with a shorter name.",
    ),
    (
        r"Forced include not found|(?:Readme|License) file does not exist",
        "files of the checkout are missing: `git status` shows which.",
    ),
    (
        r"Failed building|Failed to build|metadata-generation-failed|Microsoft Visual C\+\+",
        f"a library has no ready-made build for this system, and building it failed. {SYSTEMS}",
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED|SSLError",
        "the package index's certificate is not trusted. Behind a company proxy, set PIP_CERT"
        " to its certificate file.",
    ),
    (
        r"NewConnectionError|ConnectTimeout|ReadTimeout|NameResolution|name resolution|getaddrinfo"
        r"|ProxyError|Connection(?:Reset|Refused)|Connection refused|RemoteDisconnected|IncompleteRead"
        r"|Network is unreachable|connection broken",
        "the package index could not be reached. Check the network or the proxy (HTTPS_PROXY);"
        " another index can be named in pip's own configuration (PIP_INDEX_URL).",
    ),
    (
        r"DO NOT MATCH THE HASHES|BadZipFile|zlib\.error",
        "a download was damaged. Try again; if it stays, clear pip's cache with `pip cache purge`.",
    ),
    (
        r"No matching distribution|ResolutionImpossible|conflicting dependencies",
        "a library is not offered here for this system in the version that installer/constraints.txt"
        f" names. {SYSTEMS} An index of your own must hold these versions.",
    ),
    (
        r"No module named '?pip|not a supported wheel|no such option",
        "the environment's pip is broken or too old. Begin anew with --fresh.",
    ),
)


def likely_cause(text: str) -> str:
    """What most likely went wrong, from a log; empty when it does not tell."""
    for pattern, cause in CAUSES:
        if re.search(pattern, text, re.MULTILINE):
            return cause
    return ""


def _failure(message: str, reporter: Reporter) -> InstallError:
    cause = likely_cause(reporter.log.text())
    return InstallError(
        message,
        f"The last lines of the log:\n\n{reporter.log.tail()}\n\nThe whole log: {reporter.log.path}\n"
        + (f"Most likely {cause}\n" if cause else "")
        + "What was downloaded is kept: the same command goes on from here.",
    )
