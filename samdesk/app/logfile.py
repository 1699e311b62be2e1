"""The log file: what happened, for whoever has to find out. Must not know what is logged."""

from __future__ import annotations

import logging
import logging.handlers
import os
import sys
from types import TracebackType

import samdesk
from samdesk import paths

log = logging.getLogger(__name__)


def keep_log(*versions: str) -> None:
    """Write the log beside the program's state, three files of a megabyte at most.

    Parameters
    ----------
    *versions : str
        Of what else runs here, for the first line.
    """
    handler = logging.handlers.RotatingFileHandler(
        paths.state_dir() / "samdesk.log", maxBytes=1 << 20, backupCount=2, encoding="utf-8"
    )
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(os.environ.get("SAMDESK_LOG", "INFO"))
    known = (f"samdesk {samdesk.__version__}", f"Python {sys.version.split()[0]}", *versions)
    log.info("%s", ", ".join(known))
    sys.excepthook = _log_uncaught


def _log_uncaught(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    log.critical("uncaught", exc_info=(kind, error, traceback))
    sys.__excepthook__(kind, error, traceback)
