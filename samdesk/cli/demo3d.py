"""The demo's 3D part: a cup and its saucer from a photograph. Must not know the rest of the demo."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import cv2
import numpy as np

from samdesk import paths
from samdesk.domain.geometry import Bounds
from samdesk.domain.prompts import BoxPrompt, Prompts
from samdesk.domain.tasks import Task
from samdesk.formats.atomic import replacing
from samdesk.recon.client import Worker
from samdesk.recon.engines import recon_spec, worker_spec
from samdesk.recon.mesh import read_mesh
from samdesk.recon.options import ReconOptions
from samdesk.recon.turntable import turntable
from samdesk.sdk import Image, load_segmenter, open_image
from samdesk.sdk.reconstruction import Batch, Item, Order, name_item

BOXES = {"cup": Bounds(170, 12, 414, 206), "saucer": Bounds(76, 52, 484, 390)}
"""Around the objects on scikit-image's photograph of a coffee cup, as a user would drag them."""

SIDE = 320


def demo_object(out: Path, task: Task | None = None) -> Path:
    """Outline the cup and the saucer, make them 3D objects in one scene, and take its picture.

    Parameters
    ----------
    out : Path
        Receives a folder for each object, `scene.ply`, `scene.glb` and `scene.png`; made when missing.
    task : Task, optional

    Returns
    -------
    Path
        Of the picture: the scene from four sides.

    Raises
    ------
    SamdeskError
    Cancelled
    """
    task = task or Task()
    spec = recon_spec("relief")
    order = Order(spec, ReconOptions(), ("ply", "glb"))
    worker = Worker(worker_spec(spec.name), paths.state_dir() / f"3d-{spec.name}.log")
    image = open_image(_photograph())
    try:
        rows, files = Batch(worker, image, out, order, task=task).scene(_items(image, task))
    finally:
        image.close()
        worker.close()
    assert all(row.state == "done" for row in rows), [row.error for row in rows]
    sides = list(turntable(read_mesh(files["mesh"]), SIDE, 4, task=task))
    picture = out / "scene.png"
    done, data = cv2.imencode(".png", cv2.cvtColor(np.hstack(sides), cv2.COLOR_RGB2BGR))
    assert done
    with replacing(picture) as fresh:
        fresh.write_bytes(data.tobytes())
    return picture


def _photograph() -> Path:
    found = importlib.util.find_spec("skimage")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "data" / "coffee.png"


def _items(image: Image, task: Task) -> list[Item]:
    segmenter = load_segmenter("classical")
    taken: set[str] = set()
    found = []
    for name, box in BOXES.items():
        best = segmenter.segment(image, Prompts(boxes=(BoxPrompt(box),)), task=task)[0]
        found.append(Item(name_item(name, best.shape, taken), best.shape))
    return found
