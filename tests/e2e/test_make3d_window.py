"""From a click to an object that turns in the window, as a user does it; and back with undo."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QPushButton

from samdesk.app.reconstruction import ReconJob, objects_dir
from samdesk.domain.columns import Annotation
from samdesk.images.sample import Slide
from samdesk.ui.dialogs.make3d import Make3DDialog

from .conftest import User

COFFEE = Path(skimage.__file__).parent / "data" / "coffee.png"


def outline_the_cup(user: User) -> None:
    user.open(COFFEE)
    user.drag(170, 12, 414, 206)
    user.key(Qt.Key.Key_Return)
    user.wait(lambda: len(user.workspace.document) == 1)


def make_3d(user: User) -> ReconJob:
    """Ctrl+3, Make 3D; the job once its object is there."""
    ended: list[ReconJob] = []
    user.workspace.reconstructions.finished.connect(ended.append)
    user.key(Qt.Key.Key_3, Qt.KeyboardModifier.ControlModifier)
    dialog = user.window.findChild(Make3DDialog)
    assert dialog is not None
    make = next(one for one in dialog.findChildren(QPushButton) if one.text() == "Make 3D")
    user.wait(make.isEnabled)
    make.click()
    user.wait(lambda: bool(ended))
    return ended[0]


def test_what_was_outlined_turns_in_the_window(user: User) -> None:
    outline_the_cup(user)
    (cup,) = user.workspace.document.ids()
    job = make_3d(user)
    workspace, dock = user.workspace, user.window.dock3d
    user.wait(lambda: not dock.view.busy and dock.view.scene is not None)
    assert job.state == "done"
    assert dock.isVisible()
    (known,) = workspace.document.get(cup).provenance["reconstructions"]
    assert known["label"] == "Relief (not SAM 3D)"
    journal = workspace.journal
    assert journal is not None
    folder = objects_dir(journal.path) / known["folder"]
    assert {"splat.ply", "mesh.glb", "provenance.json"} <= {path.name for path in folder.iterdir()}
    user.wait(lambda: len(dock.panel.object_model.objects) == 1)

    workspace.history.undo()
    assert "reconstructions" not in workspace.document.get(cup).provenance
    user.wait(lambda: not dock.panel.object_model.objects)
    workspace.history.redo()
    assert workspace.document.get(cup).provenance["reconstructions"] == [known]


def test_the_scale_is_that_of_the_image(user: User, slide: Slide) -> None:
    user.open(slide.path)
    nucleus = min(slide.nuclei, key=lambda one: np.hypot(one.centroid[0] - 3000, one.centroid[1] - 3000))
    workspace, view = user.workspace, user.window.dock3d.view
    workspace.do(workspace.document.adding([Annotation(nucleus)], "Add annotation"))
    workspace.select_all()
    make_3d(user)
    user.wait(lambda: not view.busy and view.scene is not None)
    assert view.scene is not None
    assert view.unit is not None
    (low, high), (unit, name) = view.scene.bounds(), view.unit
    assert name == "µm"
    size = workspace.pixel_size
    assert size is not None
    wide = nucleus.bounds.width * size.x
    assert (high[0] - low[0]) * unit == pytest.approx(wide, rel=0.1)


def test_a_dropped_mesh_is_shown_without_an_image(user: User, tmp_path: Path) -> None:
    import trimesh

    path = tmp_path / "box.stl"
    trimesh.creation.box().export(path)
    user.window.open_all([path])
    view = user.window.dock3d.view
    user.wait(lambda: not view.busy and view.scene is not None)
    assert user.window.dock3d.isVisible()
    assert user.workspace.image is None
