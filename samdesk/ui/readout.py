"""The cursor read-out: where the cursor is in pixels and in the unit of the image, and the values there.

Must not know the canvas.
"""

from __future__ import annotations

from collections.abc import Callable

from samdesk.app.workspace import Workspace
from samdesk.sdk import pixel_text
from samdesk.ui.elided import Elided

VALUES_UP_TO = 4.0
"""Pixel values are shown up to this many image pixels per screen pixel: beyond it the pixel under
the cursor is not the one that is seen."""


class Readout:
    """Writes into a label of the status bar.

    Parameters
    ----------
    workspace : Workspace
    label : Elided
    scale : callable
        Image pixels per screen pixel, now.
    """

    def __init__(self, workspace: Workspace, label: Elided, scale: Callable[[], float]) -> None:
        self._workspace = workspace
        self._label = label
        self._scale = scale

    def show(self, x: float | None, y: float | None) -> None:
        """Tell about this place in image pixels; None for nowhere."""
        image = self._workspace.image
        if x is None or y is None or image is None:
            self._label.setText("")
            return
        text = f"{x:,.1f}, {y:,.1f} px"
        size = image.pixel_size
        if size is not None:
            text += f"   {x * size.x:,.1f}, {y * size.y:,.1f} {size.unit}"
        self._label.setText(text)
        if self._scale() <= VALUES_UP_TO:
            plane = self._workspace.plane
            self._workspace.jobs.lane("tiles").submit(
                lambda task: pixel_text(image, plane, x, y),
                key="pixel values",
                done=lambda job: self._add(text, job.result),
            )

    def _add(self, place: str, values: str | None) -> None:
        if values and self._label.text() == place:
            self._label.setText(f"{place}   {values}")
