"""`PartTask`: a share of a task's progress. Must not know what is done."""

from __future__ import annotations

from collections.abc import Callable

from samdesk.domain.tasks import Task


class PartTask(Task):
    """The task of one of several steps: their progress as a part of the whole, and its cancel flag.

    Parameters
    ----------
    whole : Task
    begin, share : float
        Where the step begins in the whole, and how much of it the step is; in 0..1.
    said : callable
        From the step's message to the one of the whole.
    """

    def __init__(self, whole: Task, begin: float, share: float, said: Callable[[str], str]) -> None:
        super().__init__()
        self._whole, self._begin, self._share, self._said = whole, begin, share, said

    @property
    def cancelled(self) -> bool:
        return self._whole.cancelled

    def cancel(self) -> None:
        self._whole.cancel()

    def check(self) -> None:
        self._whole.check()

    def progress(self, fraction: float | None, message: str = "") -> None:
        self._whole.progress(self._begin + self._share * (fraction or 0.0), self._said(message))
