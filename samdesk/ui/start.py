"""Starts Qt and the first window.

The one place that makes a QApplication. Must not know the command line.
"""

from __future__ import annotations

import logging
import logging.handlers
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from PySide6.QtCore import QTimer, qVersion
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication

import samdesk
from samdesk import paths
from samdesk.app.settings import Settings
from samdesk.sdk import load_segmenter

from . import theme
from .main_window import MainWindow

log = logging.getLogger(__name__)


def run(files: Sequence[Path] = (), engine: str = "classical") -> int:
    """Open the window, the given files in it, and return when it is closed."""
    keep_log()
    share_the_interpreter()
    app = application()
    window = open_window(files, engine)
    signal.signal(signal.SIGINT, lambda *_: window.close())
    beat = QTimer()  # Python sees a signal only when it runs
    beat.timeout.connect(lambda: None)
    beat.start(200)
    return app.exec()


def application() -> QApplication:
    """The QApplication, made on the first call."""
    known = QApplication.instance()
    if isinstance(known, QApplication):
        return known
    QGuiApplication.setDesktopFileName("samdesk")
    app = QApplication(sys.argv[:1])
    app.setApplicationName("samdesk")
    app.setApplicationVersion(samdesk.__version__)
    return app


def open_window(files: Sequence[Path] = (), engine: str = "classical") -> MainWindow:
    """Make and show a window; files are opened once it is there."""
    settings = Settings(paths.config_dir() / "settings.json")
    theme.apply(application(), settings["appearance"])
    window = MainWindow(settings, load_segmenter(engine))
    window.show()
    window.tell_crashed(window.workspace.mark.take_crashed())
    window.workspace.open_all([Path(path) for path in files])
    # the engine's libraries load behind the window, before the first click needs them
    segmenter = window.workspace.session.segmenter
    window.jobs.lane("model").submit(lambda task: segmenter.engine)
    return window


def share_the_interpreter() -> None:
    """Let a thread that waits for the interpreter lock have it after 1 ms, not after 5.

    A tile is drawn by hundreds of short calls that give the lock up; with Python's own 5 ms each
    of them could cost a third of a frame, for the tile or for the window.
    """
    sys.setswitchinterval(0.001)


def keep_log() -> None:
    """Write the log beside the program's state, three files of a megabyte at most."""
    handler = logging.handlers.RotatingFileHandler(
        paths.state_dir() / "samdesk.log", maxBytes=1 << 20, backupCount=2, encoding="utf-8"
    )
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(os.environ.get("SAMDESK_LOG", "INFO"))
    log.info("samdesk %s, Python %s, Qt %s", samdesk.__version__, sys.version.split()[0], qVersion())
    sys.excepthook = _log_uncaught


def _log_uncaught(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    log.critical("uncaught", exc_info=(kind, error, traceback))
    sys.__excepthook__(kind, error, traceback)
