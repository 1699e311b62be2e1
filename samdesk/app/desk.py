"""What the workspace offers to those who work on its document, and what only a person can answer.

Must not know who works on it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, Protocol

from samdesk.domain.document import Document, Edit, Selection
from samdesk.domain.geometry import Plane
from samdesk.sdk import Image

from .jobs import Jobs
from .journal import Journal
from .settings import Settings

Level = Literal["info", "warning", "error"]


class Choose(Protocol):
    """A question that only a person can answer."""

    def choose(self, text: str, hint: str, options: Iterable[str]) -> int | None:
        """Index of the chosen option, None when the question was dismissed."""
        ...


class Desk(Protocol):
    """The open image with its document; the workspace is one. Read on the main thread."""

    @property
    def jobs(self) -> Jobs: ...
    @property
    def settings(self) -> Settings: ...
    @property
    def image(self) -> Image | None: ...
    @property
    def plane(self) -> Plane: ...
    @property
    def document(self) -> Document: ...
    @property
    def selection(self) -> Selection: ...
    @property
    def journal(self) -> Journal | None: ...
    @property
    def ask(self) -> Choose | None: ...
    @property
    def editable(self) -> bool: ...
    @property
    def active_class(self) -> str | None: ...

    def do(self, edit: Edit) -> bool:
        """Apply an edit as one undoable step; False (with a notice) when the document is read-only."""
        ...

    def tell(self, level: Level, text: str, hint: str = "", command: str = "", about: str = "") -> None:
        """Say something to the user."""
        ...
