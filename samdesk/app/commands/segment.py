"""Commands: candidates, models and what is prepared for them.

Must not know widgets.
"""

from __future__ import annotations

import shapely

from samdesk.domain.geometry import Bounds, Shape

from .table import Command, Context, toggle

WEIGHT_FILTER = "Weights (*.pt *.pth *.safetensors *.ckpt);;All files (*)"
PREPARE_EXACTLY = 200
"""Up to so many annotations their outlines decide what is prepared, beyond it the box around them."""


def _prepare_view(c: Context) -> None:
    bounds, scale = c.view.looking_at()
    c.workspace.prepare(bounds, "the view", scale)


def _prepare_selection(c: Context) -> None:
    w = c.workspace
    where: Bounds | Shape | None = w.annotations_bounds(w.selection.ids)
    if where is None:
        return
    chosen = [w.document.get(i).shape.to_shapely() for i in w.selection.ids[:PREPARE_EXACTLY]]
    what = "the annotation" if len(chosen) == 1 else f"{len(w.selection.ids):,} annotations"
    if len(chosen) == len(w.selection.ids):
        where = Shape.from_shapely(shapely.union_all(chosen))
    w.prepare(where, what, c.view.looking_at()[1])


def _prepare_image(c: Context) -> None:
    if c.workspace.image is not None:
        c.workspace.prepare(Bounds(0, 0, *c.workspace.image.size), "the image", c.view.looking_at()[1])


def _open_weights(c: Context) -> None:
    for path in c.ask.open_files("Open a weight file", WEIGHT_FILTER)[:1]:
        c.workspace.models.open_file(path)


def _refine(c: Context) -> None:
    c.workspace.keeping.refine_selected(c.view.looking_at()[1])


def _drop(c: Context) -> None:
    c.workspace.tool.leave()
    c.workspace.session.drop()


ROWS = (
    Command("segment.accept", "Keep the Candidate", ("Return", "Enter"), "Segment/2", "candidate",
            lambda c: c.workspace.session.accept()),
    Command("segment.drop", "Drop the Candidate", ("Esc",), "Segment/2", "prompts", _drop),
    Command("segment.take_back", "Take Back the Last Point", ("Backspace",), "Segment/2", "prompts",
            lambda c: c.workspace.session.take_back()),
    Command("segment.next", "Next Candidate", ("X",), "Segment/2", "several candidates",
            lambda c: c.workspace.session.cycle()),
    Command("segment.previous", "Previous Candidate", ("Shift+X",), "Segment/2", "several candidates",
            lambda c: c.workspace.session.cycle(-1)),
    Command("segment.refine", "Refine with SAM", ("Shift+R",), "Segment/2", "refinable", _refine,
            "Make the selected annotation a prompt again: clicks correct it, Enter replaces its shape"),
    Command("segment.refine_all", "Refine All Selected", (), "Segment/2", "editable selection",
            lambda c: c.workspace.refining.start(c.view.looking_at()[1]),
            "Ask the model for each of them anew, and look through what it makes of them"),
    Command("weights.show", "Weights…", (), "Segment/4", "always", lambda c: c.view.show_dialog("weights"),
            "Download, check and remove the files of models, or add one of your own"),
    Command("model.open", "Open Weight File…", (), "Segment/4", "always", _open_weights),
    Command("segment.hover", "Preview Under the Cursor", (), "Segment/3", "always", toggle("hover")),
    Command("segment.auto", "Keep Every Click at Once", ("Shift+Return",), "Segment/3", "always",
            toggle("auto_accept"),
            "For counting: what a click or box finds is kept when the model has answered, without Enter"),
    Command("prepare.view", "Prepare This View", ("Shift+P",), "Segment/5", "image", _prepare_view,
            "Encode it now, so that clicks are answered at once"),
    Command("prepare.selection", "Prepare the Selection", (), "Segment/5", "selection",
            _prepare_selection),
    Command("prepare.image", "Prepare the Whole Image", (), "Segment/5", "image", _prepare_image),
    Command("find.show", "Find…", ("Ctrl+F",), "Segment/6", "image", lambda c: c.view.show_find(),
            "Search by words or example, or outline everything"),
)  # fmt: skip
