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
    Command("view.fit", "Zoom to Fit", ("Ctrl+0", "Home"), "View", "image", lambda c: c.view.fit()),
    Command("view.full", "Full Resolution (1:1)", ("Ctrl+1",), "View", "image",
            lambda c: c.view.zoom_to(1.0)),
    Command("view.in", "Zoom In", ("+", "="), "View", "image", lambda c: c.view.zoom_by(1.5)),
    Command("view.out", "Zoom Out", ("-",), "View", "image", lambda c: c.view.zoom_by(1 / 1.5)),
    Command("view.center", "Go to Selection", ("Ctrl+Return",), "View", "selection", _center),
    Command("view.contrast", "Brightness and Contrast…", ("Shift+C",), "View/2", "image",
            lambda c: c.view.show_dialog("contrast")),
    Command("view.annotations", "Show Annotations", ("A",), "View/3", "image not reviewing",
            toggle("annotations")),
    Command("view.fill", "Fill Annotations", ("Shift+F",), "View/3", "image", toggle("fill")),
    Command("view.scale_bar", "Scale Bar", (), "View/4", "image", toggle("scale_bar")),
    Command("view.overview", "Overview", (), "View/4", "image", toggle("overview")),
    Command("view.names", "Show Names", ("N",), "View/3", "image", toggle("names"),
            "Write the names of annotations beside them, while they are few"),
    Command("view.rulers", "Rulers", (), "View/4", "image", toggle("rulers"),
            "Lengths along the edges, and where the cursor is"),
    Command("view.seen", "Show What the Model Sees", ("Shift+M",), "View/2", "image",
            lambda c: c.workspace.showing.preview(not c.workspace.showing.previewing),
            "The contrast that the models get, which your own does not change"),
    Command("view.next_pane", "Next Pane", ("F6",), "View/6", "always", lambda c: c.view.next_pane(),
            "Take the keyboard from the picture to the panels and back"),
    Command("view.previous_pane", "Previous Pane", ("Shift+F6",), "View/6", "always",
            lambda c: c.view.next_pane(back=True)),
    Command("view.jobs", "Background Work…", (), "View/6", "always", lambda c: c.view.show_jobs(),
            "All that runs or waits, with its progress and a way to cancel it"),
    Command("view.warm", "Show Prepared Areas", (), "View/4", "image", toggle("warm_chips")),
    Command("view.z_up", "Next z Slice", ("PgUp",), "View/5", "z", _step(1, 0)),
    Command("view.z_down", "Previous z Slice", ("PgDown",), "View/5", "z", _step(-1, 0)),
    Command("view.t_up", "Next Time Point", ("Ctrl+PgUp",), "View/5", "t", _step(0, 1)),
    Command("view.t_down", "Previous Time Point", ("Ctrl+PgDown",), "View/5", "t", _step(0, -1)),
)  # fmt: skip
