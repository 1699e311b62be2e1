"""The errors that a user may see. Must not know who shows it."""

from __future__ import annotations


class SamdeskError(Exception):
    """Something a user can understand and act on.

    Parameters
    ----------
    message : str
        What happened; names the file or the object it happened to.
    hint : str, optional
        What the user can do now.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class MemoryFullError(SamdeskError):
    """A device or the computer has no memory left for what was asked."""
