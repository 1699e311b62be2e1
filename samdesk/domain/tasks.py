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


class InnerTask(Task):
    """A task that passes all on to another; a subclass changes what is reported.

    Parameters
    ----------
    whole : Task
        Its cancel flag is that of both.
    """

    def __init__(self, whole: Task) -> None:
        super().__init__()
        self._whole = whole

    @property
    def cancelled(self) -> bool:
        return self._whole.cancelled

    def cancel(self) -> None:
        self._whole.cancel()

    def check(self) -> None:
        self._whole.check()

    def progress(self, fraction: float | None, message: str = "") -> None:
        self._whole.progress(fraction, message)


class PartTask(InnerTask):
    """The task of one of several steps: its progress is a part of the whole's.

    Parameters
    ----------
    whole : Task
    begin, share : float
        Where the step begins in the whole, and how much of it the step is; in 0..1.
    said : callable
        From the step's message to the one of the whole.
    """

    def __init__(self, whole: Task, begin: float, share: float, said: Callable[[str], str] = str) -> None:
        super().__init__(whole)
        self._begin, self._share, self._said = begin, share, said

    def progress(self, fraction: float | None, message: str = "") -> None:
        self._whole.progress(self._begin + self._share * (fraction or 0.0), self._said(message))
