"""What a long function is given so that it can report progress and be cancelled.

Holds no thread and no queue: `samdesk.app.jobs` owns those.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


class Cancelled(Exception):  # noqa: N818 - not an error: the user wanted it
    """Raised inside a long function once its task was cancelled."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a task is.

    Attributes
    ----------
    fraction : float or None
        Done part in 0..1; None while it cannot be told.
    message : str
        The stage, in words for the user.
    """

    fraction: float | None = None
    message: str = ""


class Task:
    """The cancel flag and the progress outlet of one running function.

    Parameters
    ----------
    report : callable, optional
        Receives each `Progress`; called on the thread that runs the function.
    """

    def __init__(self, report: Callable[[Progress], None] | None = None) -> None:
        self._report = report
        self._cancelled = False

    @property
    def cancelled(self) -> bool:
        return self._cancelled

    def cancel(self) -> None:
        """Ask the function to stop; may be called from any thread, any number of times."""
        self._cancelled = True

    def check(self) -> None:
        """Raise `Cancelled` when the task was cancelled."""
        if self._cancelled:
            raise Cancelled

    def progress(self, fraction: float | None, message: str = "") -> None:
        """Report progress, or raise `Cancelled` when the task was cancelled."""
        self.check()
        if self._report is not None:
            self._report(Progress(fraction, message))
