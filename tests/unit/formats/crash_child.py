"""A program that edits a project and tells each edit that is on the disk, until it is killed.

Run as ``crash_child.py PATH SEED FIRST``; the parent makes the same edits by `edits`.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parents[3]))

from samdesk.domain.columns import Annotation
from samdesk.domain.document import Document, Edit
from samdesk.domain.geometry import Shape
from samdesk.formats.project import ProjectStore

NAMES = (None, "Tumor", "Stroma", "New class", "Another")


def new_annotation(random: Random) -> Annotation:
    x, y, size = random.randrange(5000), random.randrange(5000), random.randrange(1, 99)
    return Annotation(
        Shape.box(x, y, x + size, y + size),
        id=uuid.UUID(int=random.getrandbits(128)),
        class_name=random.choice(NAMES),
        measurements={"size": size},
    )


def edits(document: Document, seed: int, first: int) -> Iterator[Edit]:
    """Random edits of a document as it is when the next one is asked for, the same ones for the same seed."""
    for number in count(first):
        random = Random(f"{seed} {number}")
        ids = document.ids()
        some = random.sample(ids, min(len(ids), random.randrange(1, 30)))
        match random.randrange(6) if ids else 0:
            case 0 | 1:
                many = random.choice([1, 1, 5, 400])
                yield document.adding([new_annotation(random) for _ in range(many)], f"Add {number}")
            case 2:
                yield document.removing(some, f"Delete {number}")
            case 3:
                yield document.reclassifying(some, random.choice(NAMES), f"Set class {number}")
            case 4:
                moved = [document.get(one) for one in some]
                shapes = [Annotation(one.shape.translated(1, 2), id=one.id, name="moved") for one in moved]
                yield document.replacing(shapes, f"Move {number}")
            case 5:
                yield document.with_classes(document.classes[random.randrange(2) :], f"Classes {number}")


def main(path: str, seed: str, first: str) -> None:
    store = ProjectStore.open(path, create=True)
    loaded = store.load()
    document = Document(loaded.classes)
    document.replace_all(loaded.table, loaded.classes)
    for number, edit in enumerate(edits(document, int(seed), int(first)), int(first)):
        document.apply(edit)
        store.append(edit)
        print(number, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
