"""The way from any thread to the GUI thread, and the last guard before Qt's event loop.

Must not know what the functions do.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from PySide6.QtCore import QObject, Qt, Signal

from samdesk.domain.errors import SamdeskError

log = logging.getLogger(__name__)

Function = Callable[[], None]


class Bridge(QObject):
    """Runs functions on the thread it was made on, in the order they came.

    Attributes
    ----------
    failed : Signal(SamdeskError)
        A function raised; the others go on.
    """

    failed = Signal(object)
    _posted = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._posted.connect(self._run, Qt.ConnectionType.QueuedConnection)

    def __call__(self, function: Function) -> None:
        """Post a function; may be called from any thread."""
        try:
            self._posted.emit(function)
        except RuntimeError:
            # the window is gone; a result that comes after it has nobody to hear it
            log.debug("dropped %r", function)

    def guarded(self, function: Callable[..., object]) -> Callable[..., None]:
        """The same function, for a Qt signal: what it raises becomes a notice."""

        def run(*arguments: object) -> None:
            try:
                function(*arguments)
            except Exception as error:
                self._report(error)

        return run

    def _run(self, function: Function) -> None:
        try:
            function()
        except Exception as error:
            self._report(error)

    def _report(self, error: Exception) -> None:
        cause: BaseException = error
        while not isinstance(cause, SamdeskError) and cause.__cause__ is not None:
            cause = cause.__cause__
        if not isinstance(cause, SamdeskError):
            log.error("unexpected error", exc_info=error)
            cause = SamdeskError(
                f"Something went wrong: {cause or type(cause).__name__}.",
                "What you accepted is saved. The log has the details.",
            )
        self.failed.emit(cause)
