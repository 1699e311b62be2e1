"""A part of a task as a task of its own. Must not know what is done in it."""

from __future__ import annotations

from samdesk.domain.tasks import Task


class Share(Task):
    """Reports to `whole` as the part of it from `start` to `end`; is cancelled when it is.

    Parameters
    ----------
    whole : Task
    start, end : float
        Fractions of the whole.
    prefix : str
        Said before each message.
    """

    def __init__(self, whole: Task, start: float, end: float, prefix: str = "") -> None:
        super().__init__()
        self._whole = whole
        self._start = start
        self._span = end - start
        self._prefix = prefix

    @property
    def cancelled(self) -> bool:
        return self._whole.cancelled

    def cancel(self) -> None:
        self._whole.cancel()

    def check(self) -> None:
        self._whole.check()

    def progress(self, fraction: float | None, message: str = "") -> None:
        said = ": ".join(text for text in (self._prefix, message) if text)
        self._whole.progress(self._start + self._span * (fraction or 0.0), said)
