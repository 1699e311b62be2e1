"""Sessions that edit as told and say what they have accepted; they are meant to be killed.

Run without arguments it imports the program once and then starts a session for each line of its
input, by a fork, which takes a hundredth of the time: ``HOME SEED FIRST SCRIPT IMAGE...``. It
answers ``pid PID``, then what the session says, then ``ended``. A session says

    opened IMAGE DIGEST     the document as it was found
    will IMAGE DIGEST       what it will be after the next edit
    did IMAGE DIGEST        the same, once `Workspace.do` (or undo, or redo) has returned
"""

from __future__ import annotations

import hashlib
import os
import random
import sys
import traceback
import uuid
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np

from samdesk.app import journal
from samdesk.app.jobs import Jobs, MainQueue
from samdesk.app.settings import Settings
from samdesk.app.workspace import Workspace
from samdesk.domain.columns import Annotation, Table
from samdesk.domain.document import Edit, Snapshot
from samdesk.domain.document.change import applied
from samdesk.domain.geometry import Shape
from samdesk.sdk import Segmenter
from tests.annotation_tables import star_table
from tests.fakes import FakeEngine

EDITS = 500
"""Of one script; a session goes on where the one before it was killed."""

SNAPSHOT_EVERY_S = 0.1
MANY = 1100
SAVE_EVERY = 7


def digest(table: Table) -> str:
    """A fingerprint of all annotations in list order: everything they say."""
    names = [None, *((one.name, one.color) for one in table.classes)]
    used = [names[number] for number in np.unique(table.class_id)]
    found = hashlib.blake2b(repr(used).encode(), digest_size=8)
    numbers = np.unique(table.class_id, return_inverse=True)[1].astype(np.int64)
    columns = (table.ids, table.object_type, table.flags, table.kind, table.z, table.t)
    offsets = (table.row_parts, table.part_rings, table.ring_coords, table.order)
    for column in (*columns, *(one.astype(np.int64) for one in offsets), table.coords, numbers):
        found.update(np.ascontiguousarray(column).tobytes())
    found.update(repr(sorted(table.attributes.items())).encode())
    return found.hexdigest()


def said(state: Snapshot) -> str:
    """A fingerprint of the classes and the annotations."""
    text = f"{state.classes} {digest(state.table())}"
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


class Session:
    """One workspace that follows a script until it is killed."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.queue = MainQueue()
        self.workspace = Workspace(
            Jobs(self.queue), Settings(home / "settings.json"), Segmenter(FakeEngine())
        )

    def say(self, word: str, state: str) -> None:
        source = self.workspace.image.source  # type: ignore[union-attr]
        os.write(1, f"{word} {source.name} {state}\n".encode())

    def open(self, image: Path) -> None:
        w = self.workspace
        w.open(image)
        self.queue.run_until(lambda: w.image is not None and w.image.source.path == image)
        self.say("opened", said(w.document.snapshot()))

    def change(self, chance: random.Random, step: int) -> None:
        """One edit; it is announced before and after."""
        w = self.workspace
        document, history = w.document, w.history
        verb = chance.choice(
            ["add", "add", "remove", "class", "shape", "undo", "redo", "classes", "bulk", "import"]
        )
        if verb == "undo" and history.can_undo:
            edit, act = history._done.newest.inverse(), history.undo
        elif verb == "redo" and history.can_redo:
            edit, act = history._undone.newest, history.redo
        else:
            edit = self.edit(verb, chance, step)
            act = lambda: w.do(edit)  # noqa: E731
        if edit.is_empty:
            return
        state = said(applied(document.snapshot(), edit))  # which is what the document does
        self.say("will", state)
        act()
        self.say("did", state)
        self.queue.drain()

    def edit(self, verb: str, chance: random.Random, step: int) -> Edit:
        document = self.workspace.document
        ids = document.snapshot().table().ids
        some = ids[chance.sample(range(len(ids)), min(len(ids), chance.randint(1, 4)))]
        if verb == "remove" and len(ids):
            many = len(ids) > 3 * MANY
            return document.removing(ids[: 2 * MANY] if many else some)
        if verb == "class" and len(ids):
            return document.reclassifying(some, f"Class {step % 7}")
        if verb == "bulk" and len(ids):
            return document.reclassifying(ids[:MANY], chance.choice([None, "Tumor", "Stroma"]))
        if verb == "shape" and len(ids):
            old = document.get(uuid.UUID(bytes=some[0].tobytes()))
            moved = Annotation(
                old.shape.translated(2, 1), id=old.id, name="moved", measurements={"step": float(step)}
            )
            return document.replacing([moved])
        if verb == "classes":
            return document.with_classes(document.classes[chance.randrange(2) :], f"Classes {step}")
        if verb == "import" and step % 10 == 0:
            return document.merging(star_table(MANY), "Import stars.geojson")
        x, y = chance.uniform(0, 200), chance.uniform(0, 200)
        return document.adding([Annotation(Shape.box(x, y, x + 20, y + 9), provenance={"score": 0.5})])


def steps(seed: int, first: int) -> Iterator[tuple[int, random.Random]]:
    return ((step, random.Random(f"{seed} {step}")) for step in count(first))


def run(home: Path, seed: int, first: int, script: str, images: list[Path]) -> None:
    """Follow a script without end."""
    journal.SNAPSHOT_EVERY_S = SNAPSHOT_EVERY_S
    session = Session(home)
    if script == "switch":
        session.open(images[1])
    session.open(images[0])
    for step, chance in steps(seed, first):
        session.change(chance, step)
        if script == "save" and step % SAVE_EVERY == 0:
            session.workspace.save_as(home / f"saved-{chance.randrange(3)}.gpkg")
        if script == "switch" and step % SAVE_EVERY == 0:
            session.open(images[step // SAVE_EVERY % 2])


def serve() -> None:
    """Start a session for each line of the input."""
    for line in sys.stdin:
        home, seed, first, script, *images = line.rstrip("\n").split("\t")
        child = os.fork()
        if child == 0:
            os.environ["SAMDESK_HOME"] = str(Path(home) / "home")
            try:
                run(Path(home), int(seed), int(first), script, [Path(one) for one in images])
            except BaseException:
                traceback.print_exc()
            os._exit(1)
        os.write(1, f"pid {child}\n".encode())
        os.waitpid(child, 0)
        os.write(1, b"ended\n")


if __name__ == "__main__":
    serve()
