"""A part of a task as a task of its own. Must not know what is done in it."""

from __future__ import annotations

from samdesk.domain.tasks import PartTask, Task


class Share(PartTask):
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
        super().__init__(
            whole, start, end - start, lambda message: ": ".join(text for text in (prefix, message) if text)
        )
