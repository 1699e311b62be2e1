"""Commands: where one looks, and what is shown.

Must not know widgets.
"""

from __future__ import annotations

from collections.abc import Callable

from samdesk.domain.geometry import Plane

from .table import Command, Context, toggle


def _center(c: Context) -> None:
    bounds = c.workspace.annotations_bounds(c.workspace.selection.ids)
    if bounds is not None:
        c.view.show_bounds(bounds)


def _step(dz: int, dt: int) -> Callable[[Context], None]:
    def run(c: Context) -> None:
        z, t = c.workspace.plane
        c.workspace.set_plane(Plane(z + dz, t + dt))

    return run


ROWS = (
    Command("view.warm", "Show Prepared Areas", (), "View/2", "image", toggle("warm_chips")),
    Command("view.fit", "Zoom to Fit", ("Ctrl+0", "Home"), "View", "image", lambda c: c.view.fit()),
    Command("view.full", "Full Resolution (1:1)", ("Ctrl+1",), "View", "image",
            lambda c: c.view.zoom_to(1.0)),
    Command("view.in", "Zoom In", ("+", "="), "View", "image", lambda c: c.view.zoom_by(1.5)),
    Command("view.out", "Zoom Out", ("-",), "View", "image", lambda c: c.view.zoom_by(1 / 1.5)),
    Command("view.center", "Go to Selection", ("Ctrl+Return",), "View", "selection", _center),
    Command("view.contrast", "Brightness and Contrast…", ("Shift+C",), "View/2", "image",
            lambda c: c.view.show_dialog("contrast")),
    Command("view.annotations", "Show Annotations", ("A",), "View/2", "image", toggle("annotations")),
    Command("view.fill", "Fill Annotations", ("Shift+F",), "View/2", "image", toggle("fill")),
    Command("view.scale_bar", "Scale Bar", (), "View/2", "image", toggle("scale_bar")),
    Command("view.overview", "Overview", (), "View/2", "image", toggle("overview")),
    Command("view.z_up", "Next z Slice", ("PgUp",), "View/3", "z", _step(1, 0)),
    Command("view.z_down", "Previous z Slice", ("PgDown",), "View/3", "z", _step(-1, 0)),
    Command("view.t_up", "Next Time Point", ("Ctrl+PgUp",), "View/3", "t", _step(0, 1)),
    Command("view.t_down", "Previous Time Point", ("Ctrl+PgDown",), "View/3", "t", _step(0, -1)),
)  # fmt: skip
