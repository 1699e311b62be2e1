"""What a tool is, what it may ask of the workspace, and what it paints. Must not know widgets."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Literal, Protocol

from samdesk.app.jobs import Jobs
from samdesk.app.session import PromptSession
from samdesk.app.settings import Settings
from samdesk.domain.columns import Color
from samdesk.domain.document import Document, Edit, Selection
from samdesk.domain.geometry import FloatArray, Plane, Shape
from samdesk.images.source import PixelSize
from samdesk.sdk import Image

from .pointer import Pointer

Cursor = Literal["cross", "hand", "arrow", "grip", "move", "none"]
"""How the pointer looks; "grip" is over a handle, "move" over what can be moved, "none" where the
sketch shows where the pointer is."""


BAND: Color = (255, 255, 255)
"""The color of what only selects."""


@dataclass(frozen=True, slots=True, eq=False)
class Sketch:
    """What a tool paints over the picture while it is used; image pixels.

    Attributes
    ----------
    shapes : tuple of Shape
        What is being drawn, or stands in for annotations that are being changed.
    replaces : frozenset of UUID
        Annotations that are not painted meanwhile, because `shapes` stand in for them.
    color : Color or None
        Of the shapes; None for the color of what is selected.
    handles : ndarray, (n, 2) float64, or None
        Vertices that can be taken hold of.
    held : int or None
        The handle under the pointer, or the one that is dragged.
    brush : (x, y, radius) or None
        The circle of a brush.
    text : str
        A measurement beside the pointer.
    at : (x, y) or None
        Where the text stands.
    offset : (dx, dy)
        Shifts the shapes, so that what is moved keeps its outlines.
    """

    shapes: tuple[Shape, ...] = ()
    replaces: frozenset[uuid.UUID] = frozenset()
    color: Color | None = None
    handles: FloatArray | None = None
    held: int | None = None
    brush: tuple[float, float, float] | None = None
    text: str = ""
    at: tuple[float, float] | None = None
    offset: tuple[float, float] = (0.0, 0.0)


class Host(Protocol):
    """What tools act on; the workspace is one.

    Attributes
    ----------
    scale : float
        Image pixels per logical screen pixel, as the picture is shown.
    selecting : bool
        Drawing tools select what lies inside, instead of adding an annotation.
    """

    jobs: Jobs
    settings: Settings
    session: PromptSession
    document: Document
    selection: Selection
    image: Image | None
    plane: Plane
    active_class: str | None
    scale: float
    selecting: bool

    @property
    def hidden(self) -> frozenset[str | None]: ...
    @property
    def pixel_size(self) -> PixelSize | None: ...
    @property
    def editable(self) -> bool: ...

    def do(self, edit: Edit) -> bool: ...
    def select_at(self, x: float, y: float, tolerance: float, add: bool = False) -> None: ...
    def select_tool(self, name: str) -> None: ...
    def show_sketch(self, sketch: Sketch | None) -> None: ...
    def tell(self, level: Literal["info", "warning", "error"], text: str, hint: str = "") -> None: ...


class Tool(Protocol):
    """A handler of pointer events.

    Attributes
    ----------
    cursor : Cursor
    pans : bool
        A left drag that begins where the tool takes hold of nothing moves the view.
    busy : bool
        Something is being drawn: Enter finishes it, Esc drops it, Backspace takes a step back.
    """

    @property
    def cursor(self) -> Cursor: ...
    @property
    def pans(self) -> bool: ...
    @property
    def busy(self) -> bool: ...

    def press(self, pointer: Pointer) -> None: ...
    def move(self, pointer: Pointer) -> None: ...
    def release(self, pointer: Pointer) -> None: ...
    def wheel(self, pointer: Pointer, units: float) -> bool:
        """The wheel with Alt; says whether it was for the tool."""
        ...

    def finish(self) -> None:
        """End what is being drawn and keep it."""
        ...

    def back(self) -> None:
        """Take back the last step of what is being drawn."""
        ...

    def refresh(self) -> None:
        """Document, selection, plane, image or scale changed, or the tool was just chosen."""
        ...

    def leave(self) -> None:
        """The pointer has left the picture; nothing is dropped."""
        ...

    def drop(self) -> None:
        """Drop what is being drawn: Esc, or another tool was chosen."""
        ...


class QuietTool:
    """A tool without wheel, steps or handles; the others override what they need."""

    cursor: Cursor = "cross"
    pans = False
    busy = False

    def press(self, pointer: Pointer) -> None: ...
    def move(self, pointer: Pointer) -> None: ...
    def release(self, pointer: Pointer) -> None: ...
    def finish(self) -> None: ...
    def back(self) -> None: ...
    def refresh(self) -> None: ...
    def leave(self) -> None: ...
    def drop(self) -> None: ...

    def wheel(self, pointer: Pointer, units: float) -> bool:
        return False
