"""Starts Qt and the first window.

The one place that makes a QApplication. Must not know the command line.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import QTimer, qVersion
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication

import samdesk
from samdesk import paths
from samdesk.app.logfile import keep_log
from samdesk.app.settings import Settings
from samdesk.app.workspace import Server
from samdesk.domain.errors import SamdeskError
from samdesk.engines.base import engine_spec
from samdesk.engines.cache import open_store
from samdesk.sdk import find_weights, load_segmenter

from . import theme
from .main_window import MainWindow
from .view3d import share_surface_format


def run(
    files: Sequence[Path] = (),
    model: tuple[str | None, str | None] | None = None,
    load_server: Callable[[], Server] | None = None,
) -> int:
    """Open the window, the given files in it, and return when it is closed.

    Parameters
    ----------
    files : sequence of Path
    model : (name, weights), optional
        As `load_segmenter` takes them; by default the model of the last time.
    load_server : callable, optional
        Loads what answers other programs; None when this build cannot.
    """
    keep_log(f"Qt {qVersion()}")
    share_the_interpreter()
    app = application()
    window = open_window(files, model, load_server)
    close_on_signals(window)
    beat = QTimer()  # Python sees a signal only when it runs
    beat.timeout.connect(lambda: None)
    beat.start(200)
    return app.exec()


def close_on_signals(window: MainWindow) -> None:
    """Close the window properly when the program is asked to end; only Ctrl+C lets it ask back."""

    def end(*_: object) -> None:
        window.end()

    signal.signal(signal.SIGINT, lambda *_: window.close())
    for name in ("SIGTERM", "SIGHUP"):  # a log out or shut down waits for nobody
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), end)


def application() -> QApplication:
    """The QApplication, made on the first call."""
    known = QApplication.instance()
    if isinstance(known, QApplication):
        return known
    QGuiApplication.setDesktopFileName("samdesk")
    share_surface_format()
    app = QApplication(sys.argv[:1])
    app.setApplicationName("samdesk")
    app.setApplicationVersion(samdesk.__version__)
    return app


def open_window(
    files: Sequence[Path] = (),
    model: tuple[str | None, str | None] | None = None,
    load_server: Callable[[], Server] | None = None,
) -> MainWindow:
    """Make and show a window; files are opened once it is there. Parameters as `run`."""
    settings = Settings(paths.config_dir() / "settings.json")
    chosen = find_weights(*model) if model is not None and _needs_weights(*model) else None
    theme.apply(application(), settings["appearance"])
    store = open_store(int(settings["embeddings_mb"]) << 20, int(settings["embeddings_disk_mb"]) << 20)
    window = MainWindow(settings, load_segmenter("classical", cache=store), load_server)
    window.show()
    window.raise_floating()
    crashed = window.workspace.mark.take_crashed()
    window.tell_crashed(crashed)
    window.workspace.reconstructions.restore()
    if not files and not crashed and settings["restore_session"]:
        window.workspace.open_last()
    window.open_all([Path(path) for path in files])
    # the engine's libraries load behind the window, before the first click needs them
    stand_in = window.workspace.session.segmenter
    window.jobs.lane("sketch").submit(stand_in.load, done=lambda job: window.workspace.session.refresh())
    models = window.workspace.models
    try:
        if chosen is not None and model is not None:
            models.open_file(chosen[0], model[0] or chosen[1] or None)
        elif model is None:
            models.restore()
    except SamdeskError as error:  # the window is of use without it
        models.failed.emit(error)
    window.workspace.serving.restore()
    return window


def _needs_weights(name: str | None, weights: str | None) -> bool:
    return weights is not None or (name is not None and engine_spec(name).needs_weights)


def share_the_interpreter() -> None:
    """Let a thread that waits for the interpreter lock have it after 1 ms, not after 5.

    A tile is drawn by hundreds of short calls that give the lock up; with Python's own 5 ms each
    of them could cost a third of a frame, for the tile or for the window.
    """
    sys.setswitchinterval(0.001)
