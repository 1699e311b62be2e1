"""`Opened`: images that clients opened by path, and which paths they may open.

Lives on the event loop of the server, except for `open_within`. Must not know HTTP.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from samdesk.domain.geometry import Plane, Region
from samdesk.domain.tasks import Cancelled, Task
from samdesk.images.tiles import BlockCache
from samdesk.sdk import Image, open_image
from samdesk.sdk.image import BLOCK_CACHE_BYTES
from samdesk.server.errors import RequestError

MOST = 16
"""Images that are open at once; the one used longest ago is closed for another."""

HOW = "Name its folder when the server is started: samdesk serve --images DIR"


@dataclass(slots=True, eq=False)
class _Held:
    image: Image
    users: int = 0
    is_dropped: bool = False

    def close_when_free(self) -> None:
        if self.is_dropped and not self.users:
            self.image.close()


@dataclass(frozen=True, eq=False)
class _Lent(Image):
    """The image as one request has it: when that is over, what is left of its work reads no more."""

    is_over: threading.Event = field(default_factory=threading.Event)

    def read(self, region: Region, plane: Plane = Plane()) -> NDArray[np.uint8]:
        self._check()
        try:
            return super().read(region, plane)
        except Exception:
            self._check()  # it may have been closed in this moment
            raise

    def _check(self) -> None:
        if self.is_over.is_set():
            raise Cancelled


class Opened:
    """Open images by their ids.

    Parameters
    ----------
    most : int
        How many are kept.

    Attributes
    ----------
    blocks : BlockCache
        Decoded blocks of all of them.
    """

    def __init__(self, most: int = MOST) -> None:
        self.blocks = BlockCache(BLOCK_CACHE_BYTES)
        self._most = most
        self._held: OrderedDict[str, _Held] = OrderedDict()

    @property
    def ids(self) -> tuple[str, ...]:
        """The one used longest ago first."""
        return tuple(self._held)

    def add(self, image: Image) -> str:
        """Keep an image and give its id; one that is kept already stays, and the new one is closed."""
        id = id_of(image)
        if id in self._held:
            image.close()
            self._held.move_to_end(id)
            return id
        self._held[id] = _Held(image)
        while len(self._held) > self._most:
            self.drop(next(iter(self._held)))
        return id

    def get(self, id: str) -> Image | None:
        """The image of an id; not to be kept beyond the next `await` (see `using`)."""
        held = self._held.get(id)
        return None if held is None else held.image

    @contextmanager
    def using(self, id: str) -> Iterator[Image]:
        """The image of an id, which is not closed meanwhile.

        The job of a client that has left may be at work for a while after that; it ends where it
        would read again.

        Raises
        ------
        KeyError
            When there is none.
        """
        held = self._held[id]
        self._held.move_to_end(id)
        held.users += 1
        lent = _Lent(held.image.source, held.image.display, held.image.blocks)
        try:
            yield lent
        finally:
            lent.is_over.set()
            held.users -= 1
            held.close_when_free()

    def drop(self, id: str) -> bool:
        """Forget an image, and close it once nobody uses it; False when there is none."""
        held = self._held.pop(id, None)
        if held is None:
            return False
        held.is_dropped = True
        held.close_when_free()
        return True


def id_of(image: Image) -> str:
    """Another one whenever the file is another or has changed; 32 hexadecimal digits."""
    text = f"{image.source.path}\0{image.source.identity}"
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def open_within(path: str, folders: Sequence[Path], blocks: BlockCache, task: Task) -> Image:
    """Open an image where it lies, on a lane.

    Parameters
    ----------
    path : str
        Absolute, or relative to one of the folders.
    folders : sequence of Path
        Nothing outside of them is opened or even looked at; symlinks are followed before that is
        decided.

    Raises
    ------
    RequestError
        403 when it lies elsewhere, whether it exists or not; 404 when there is no such image.
    SamdeskError
        When it cannot be read as an image.
    """
    found = _within(path, folders)
    task.check()
    return open_image(found, blocks=blocks)


def _within(path: str, folders: Sequence[Path]) -> Path:
    if not folders:
        raise RequestError(403, "This server opens no image by its path.", HOW)
    shown = path[:300]
    if not path.strip() or any(ord(letter) < 32 for letter in path):
        raise RequestError(422, "This is not the path of an image.", "Send the path of a file or OME-Zarr.")
    allowed = False
    for folder in folders:
        for root in _roots(folder):
            # by its words first: a name on another computer's share must not even be looked up
            joined = Path(os.path.normpath(root / path))
            if not joined.is_relative_to(root):
                continue
            try:
                real = joined.resolve()
                if not real.is_relative_to(folder.resolve()):
                    continue
                allowed = True
                if real.is_file() or real.is_dir():  # opening a pipe or a device would not return
                    return real
            except (OSError, RuntimeError, ValueError):
                continue
    if not allowed:
        raise RequestError(403, f"“{shown}” does not lie in a folder that may be opened from here.", HOW)
    raise RequestError(404, f"There is no image “{shown}”.", "Check the name.")


def _roots(folder: Path) -> Iterator[Path]:
    """A folder as it was named and as it really is."""
    named = Path(os.path.normpath(folder.absolute()))
    yield named
    try:
        real = named.resolve()
    except (OSError, RuntimeError):
        return
    if real != named:
        yield real
