"""A session that edits without end and says what it has accepted; it is meant to be killed.

Prints two lines a step: ``accepted DIGEST`` when the document has changed and before anything is
written, ``saved DIGEST`` once it is on disk.
"""

from __future__ import annotations

import hashlib
import random
import sys
from pathlib import Path

from samdesk.app.jobs import Jobs, MainQueue
from samdesk.app.settings import Settings
from samdesk.app.workspace import Workspace
from samdesk.domain.columns import Annotation, Table
from samdesk.domain.geometry import Shape
from samdesk.sdk import Segmenter
from tests.fakes import FakeEngine


def digest(table: Table) -> str:
    """A fingerprint of all annotations in list order."""
    found = hashlib.sha256()
    for one in table.annotations():
        found.update(one.id.bytes + one.shape.coords.tobytes() + repr((one.class_name, one.locked)).encode())
    return found.hexdigest()[:16]


def main(image: Path, home: Path, seed: int) -> None:
    chance = random.Random(seed)
    queue = MainQueue()
    jobs = Jobs(queue)
    workspace = Workspace(jobs, Settings(home / "settings.json"), Segmenter(FakeEngine()))
    workspace.open(image)
    queue.run_until(lambda: workspace.image is not None)
    document, history = workspace.document, workspace.history
    document.changed.connect(lambda edit: print("accepted", digest(document.table()), flush=True), priority=1)
    for step in range(1_000_000):
        ids = document.ids()
        verb = chance.choice(["add", "add", "add", "remove", "class", "undo", "redo"])
        if verb == "undo" and history.can_undo:
            history.undo()
        elif verb == "redo" and history.can_redo:
            history.redo()
        elif verb == "remove" and len(ids) > 3:
            workspace.do(document.removing(chance.sample(ids, 2)))
        elif verb == "class" and ids:
            workspace.do(document.reclassifying([chance.choice(ids)], f"Class {step % 7}"))
        else:
            x, y = chance.uniform(0, 200), chance.uniform(0, 200)
            workspace.do(document.adding([Annotation(Shape.box(x, y, x + 20, y + 9))]))
        queue.run_until(lambda: workspace.unsaved == 0)
        print("saved", digest(document.table()), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
