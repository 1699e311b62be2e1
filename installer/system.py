"""What Qt and the tests need of the operating system beside Python: looked for, named, installed.

Must not know the virtual environment: the wheels bring everything else along.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from installer.progress import Reporter

LINUX = sys.platform.startswith("linux")


class Need(NamedTuple):
    """A shared library (its soname), a program, `fonts` or `ensurepip`; and Debian's package that has it."""

    what: str
    package: str


# what the Qt libraries of the wheel link to and a bare system lacks; the rest comes with these
QT = (
    Need("libEGL.so.1", "libegl1"),
    Need("libGL.so.1", "libgl1"),
    Need("libdbus-1.so.3", "libdbus-1-3"),
    Need("libfontconfig.so.1", "libfontconfig1"),
    Need("libglib-2.0.so.0", "libglib2.0-0"),
    Need("libxkbcommon.so.0", "libxkbcommon0"),
)
XCB = (
    Need("libxcb-cursor.so.0", "libxcb-cursor0"),
    Need("libxcb-icccm.so.4", "libxcb-icccm4"),
    Need("libxcb-keysyms.so.1", "libxcb-keysyms1"),
    Need("libxcb-shape.so.0", "libxcb-shape0"),
    Need("libxkbcommon-x11.so.0", "libxkbcommon-x11-0"),
)
FONTS = Need("fonts", "fonts-dejavu-core")
VIRTUAL_SCREEN = Need("Xvfb", "xvfb")
FONT_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts")
WINDOWLESS = ("info", "segment")  # commands of samdesk that never touch Qt


def needs_of(arguments: Sequence[str], environ: Mapping[str, str]) -> tuple[Need, ...]:
    """What `samdesk ARGUMENTS` needs of a Linux system with this process environment."""
    if arguments and (arguments[0] in WINDOWLESS or arguments[0].startswith("-")):
        return ()
    if environ.get("WAYLAND_DISPLAY") or not environ.get("DISPLAY"):
        return QT
    if environ.get("QT_QPA_PLATFORM", "xcb").partition(":")[0] != "xcb":
        return QT
    return QT + XCB


def python_needs() -> tuple[Need, ...]:
    """What the system's own Python needs to make virtual environments; Debian keeps it apart."""
    if not sys.executable.startswith("/usr/bin/"):
        return ()
    return (Need("ensurepip", f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"),)


def missing(needs: Iterable[Need]) -> list[Need]:
    """Those of `needs` that are not there; nothing is ever missing outside Linux."""
    if not LINUX:
        return []
    return [need for need in needs if not _is_there(need.what)]


def _is_there(what: str) -> bool:
    if what == "fonts":
        folders = (Path(folder).expanduser() for folder in FONT_FOLDERS)
        return any(next(folder.rglob(f"*.{kind}"), None) for folder in folders for kind in ("ttf", "otf"))
    if what == "ensurepip":
        importlib.invalidate_caches()
        return importlib.util.find_spec(what) is not None
    if ".so." not in what:
        return shutil.which(what) is not None
    try:
        ctypes.CDLL(what)
    except OSError:
        return False
    return True


def install_hint(lacking: Sequence[Need]) -> str:
    """The command that gets what is lacking, in the words of this system's package manager."""
    if shutil.which("apt-get"):
        return f"Install it: {'' if _is_root() else 'sudo '}apt-get install {_packages(lacking)}"
    provided = " ".join(f"'{need.what}()(64bit)'" for need in lacking if ".so." in need.what)
    others = ", ".join(need.what for need in lacking if ".so." not in need.what)
    for manager in ("dnf", "zypper"):
        if shutil.which(manager) and provided:
            return f"Install it: sudo {manager} install {provided}" + (f" (and: {others})" if others else "")
    return "Install with your system's package manager what has: " + ", ".join(need.what for need in lacking)


def install(lacking: Sequence[Need], reporter: Reporter, prefix: Sequence[str]) -> list[Need]:
    """Install Debian packages.

    Parameters
    ----------
    lacking : sequence of Need
        What to install.
    reporter : Reporter
        Hears of the progress.
    prefix : sequence of str
        From `may_install`.

    Returns
    -------
    list of Need
        What is still missing afterwards.
    """
    apt = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-o", "DPkg::Lock::Timeout=60"]
    names = _packages(lacking).split()
    with reporter.stage(f"Installing Debian packages: {' '.join(names)}") as stage:
        for _ in range(2):
            # a stale list is not an error as long as the packages can be had
            reporter.run([*apt, "update", "-q"], stage=stage, detail=lambda line: "reading the package lists")
            install_command = [*apt, "install", "-q", "-y", "--no-install-recommends", *names]
            if reporter.run(install_command, stage=stage, detail=_apt_detail) == 0:
                break
        else:
            stage.outcome = "failed"
    return missing(lacking)


def may_install() -> list[str] | None:
    """The prefix that lets apt-get run without a question; None when it cannot."""
    if not shutil.which("apt-get"):
        return None
    if _is_root():
        return []
    if not shutil.which("sudo"):
        return None
    ask = ["sudo", "-n", "true"]
    quiet = subprocess.run(
        ask, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
    )
    return ["sudo", "-n"] if quiet.returncode == 0 else None


def _apt_detail(line: str) -> str | None:
    first, _, rest = line.partition(" ")
    return rest.split(" (")[0].strip() if first in ("Unpacking", "Setting") else None


def _packages(needs: Iterable[Need]) -> str:
    return " ".join(dict.fromkeys(need.package for need in needs))


def _is_root() -> bool:
    return sys.platform != "win32" and os.geteuid() == 0
