"""How the open image is shown, how the models see it, and keeping both with the project.

The models see one contrast over the whole image, so that what they answer does not depend on
where one looked or which knob was turned last: what auto contrast gave when the image was first
opened, unless the user chose otherwise. Lives on the main thread. Must not know widgets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, Protocol, cast

from psygnal import Signal

from samdesk.images.contrast import Display
from samdesk.sdk import Image

from .journal import Journal

Mode = Literal["auto", "kept", "shown"]

MODES: dict[Mode, str] = {
    "auto": "Auto contrast of the whole image",
    "kept": "The contrast kept by “Use Current”",
    "shown": "As displayed; changes with the view",
}
"""What the models may see, in the user's words."""

META = "display"
"""The name under which the project keeps it."""


class Host(Protocol):
    """What this needs of the workspace."""

    image: Image | None

    @property
    def journal(self) -> Journal | None: ...

    def show_image_as(self, image: Image, models_too: bool) -> None:
        """Go on with the same image, shown otherwise."""
        ...


class Showing:
    """The display of one workspace's image.

    Attributes
    ----------
    mode : {"auto", "kept", "shown"}
        What the models see.
    auto, kept : Display or None
        What is fixed for these modes; None while nothing was.
    previewing : bool
        Whether the canvas shows what the models see.
    changed : Signal()
        What the models see is another thing now, or the canvas shows it or no longer does.
    """

    changed = Signal()

    def __init__(self, workspace: Host) -> None:
        self._workspace = workspace
        self.mode: Mode = "auto"
        self.auto: Display | None = None
        self.kept: Display | None = None
        self.previewing = False
        self._stored: Any = None

    def opened(self, image: Image, meta: Mapping[str, Any]) -> Image:
        """An image that was just opened, shown as its project says.

        Parameters
        ----------
        image : Image
            Shown with auto contrast.
        meta : mapping
            Of the project; what does not fit this image is passed over.
        """
        self._stored = meta.get(META)
        known = self._stored if isinstance(self._stored, dict) else {}
        count = len(image.display.channels)
        mode = known.get("model")
        self.auto = Display.from_json(known.get("auto"), count) or image.display
        self.kept = Display.from_json(known.get("kept"), count)
        self.mode = cast(Mode, mode) if mode in MODES and (mode != "kept" or self.kept) else "auto"
        self.previewing = False
        shown = Display.from_json(known.get("shown"), count) or image.display
        return replace(image, display=shown, model_display=self._model_display())

    @property
    def display(self) -> Display | None:
        """What the canvas shows."""
        image = self._workspace.image
        if image is None:
            return None
        return image.seen if self.previewing else image.display

    @property
    def provenance(self) -> dict[str, Any]:
        """What an annotation shall tell about what its model saw; nothing for the default."""
        image = self._workspace.image
        if image is None or self.mode == "auto":
            return {}
        names = [channel.name for channel in image.source.channels]
        how = "kept" if self.mode == "kept" else "as displayed"
        return {"contrast": f"{how}: {image.seen.told(names)}"}

    def see(self, mode: Mode) -> None:
        """Have the models see this from now on; drops what they are being asked."""
        image = self._workspace.image
        if image is None:
            return
        if mode == "kept" and self.kept is None:
            self.kept = image.display
        if mode != self.mode:
            self.mode = mode
            self._tell_models(image)

    def keep_current(self) -> None:
        """Have the models see what is shown now, also when that changes later."""
        image = self._workspace.image
        if image is not None and (self.mode, self.kept) != ("kept", image.display):
            self.mode, self.kept = "kept", image.display
            self._tell_models(image)

    def preview(self, on: bool) -> None:
        """Show on the canvas what the models see, or what people see again."""
        if on != self.previewing:
            self.previewing = on
            self.changed.emit()

    def keep(self) -> None:
        """Write all this into the project, if it is not there."""
        workspace = self._workspace
        if workspace.journal is None or workspace.image is None:
            return
        value = {
            "model": self.mode,
            "shown": workspace.image.display.to_json(),
            "auto": self.auto.to_json() if self.auto else None,
            "kept": self.kept.to_json() if self.kept else None,
        }
        if value != self._stored:
            self._stored = value
            workspace.journal.note(META, value)

    def _model_display(self) -> Display | None:
        return {"auto": self.auto, "kept": self.kept, "shown": None}[self.mode]

    def _tell_models(self, image: Image) -> None:
        before = image.seen
        image = replace(image, model_display=self._model_display())
        self._workspace.show_image_as(image, models_too=image.seen != before)
        self.changed.emit()
