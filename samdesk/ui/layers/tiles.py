"""`TileStore`: made tiles under a limit of bytes, and the pull loop that makes the missing ones.

A tile is an array of pixels of any meaning. Must not know Qt, images or annotations: a
`Request` brings the function that makes its tile.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samdesk.app.jobs import LANES, Jobs
from samdesk.domain.tasks import Cancelled, Task

Key = Hashable
TilePixels = NDArray[np.uint8]

LANE = "tiles"

TILE_OVERHEAD = 512
"""Bytes counted for a tile besides its pixels, so that empty tiles are bounded too."""


class Tile:
    """A made tile.

    Attributes
    ----------
    pixels : ndarray (h, w, 4) uint8, BGRA, or None
        None when there is nothing to draw (also after a failure).
    version : hashable or None
        What it was made from; None once it is out of date.
    picture : object
        What the layer made of the pixels for drawing.
    """

    __slots__ = ("nbytes", "picture", "pixels", "version")

    def __init__(self, pixels: TilePixels | None, version: Hashable) -> None:
        self.pixels = pixels
        self.version = version
        self.picture: Any = None
        self.nbytes = TILE_OVERHEAD + (0 if pixels is None else pixels.nbytes)


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """A tile that is wanted: where it goes, what it shows, and how to make it (on a worker)."""

    key: Key
    version: Hashable
    render: Callable[[Task], TilePixels | None]


class TileStore:
    """Tiles by key, least recently used dropped first, and workers that make what is wanted.

    All methods belong to the main thread; only the loop runs elsewhere.

    Parameters
    ----------
    jobs : Jobs
    limit_bytes : int
    changed : callable
        Receives the key of a tile that came in, on the main thread.
    failed : callable
        Receives the exception of a tile that could not be made, on the main thread.
    """

    def __init__(
        self,
        jobs: Jobs,
        limit_bytes: int,
        changed: Callable[[Key], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self._jobs = jobs
        self._limit = limit_bytes
        self._changed = changed
        self._failed = failed
        self._tiles: OrderedDict[Key, Tile] = OrderedDict()
        self.nbytes = 0
        self._lock = threading.Lock()
        self._wanted: list[Request] = []
        self._making: dict[Key, Hashable] = {}
        self._loops = 0

    def __len__(self) -> int:
        return len(self._tiles)

    @property
    def idle(self) -> bool:
        """Nothing is wanted and nothing is being made."""
        with self._lock:
            return not self._wanted and not self._making

    def clear(self) -> None:
        """Forget all tiles, wishes, and what is still being made."""
        with self._lock:
            self._wanted = []
            self._making = {}
        self._tiles.clear()
        self.nbytes = 0

    def get(self, key: Key) -> Tile | None:
        """The tile of `key`, fresh or not; counts as used."""
        tile = self._tiles.get(key)
        if tile is not None:
            self._tiles.move_to_end(key)
        return tile

    def is_fresh(self, key: Key, version: Hashable) -> bool:
        tile = self._tiles.get(key)
        return tile is not None and tile.version == version

    def want(self, requests: Sequence[Request]) -> None:
        """Replace what is wanted, most urgent first; what was wanted before and not begun is forgotten."""
        with self._lock:
            self._wanted = list(requests)
            start = min(LANES[LANE], len(self._wanted)) - self._loops
            self._loops += max(start, 0)
        for _ in range(start):
            self._jobs.lane(LANE).submit(self._loop)

    def invalidate(self, matches: Callable[[Key], bool]) -> None:
        """Mark tiles as out of date; they stay until a new one is there.

        What is wanted of them must be asked for anew: its function may know an old state.
        """
        for key, tile in self._tiles.items():
            if matches(key):
                tile.version = None
        with self._lock:
            self._wanted = [request for request in self._wanted if not matches(request.key)]
            for key in filter(matches, self._making):
                self._making[key] = None

    def _next(self) -> Request | None:
        with self._lock:
            for index, request in enumerate(self._wanted):
                if request.key not in self._making:
                    del self._wanted[index]
                    self._making[request.key] = request.version
                    return request
            self._loops -= 1
            return None

    def _loop(self, task: Task) -> None:
        while (request := self._next()) is not None:
            pixels, error = None, None
            try:
                pixels = request.render(task)
            except Cancelled:
                with self._lock:
                    self._loops -= 1
                raise
            except Exception as problem:
                error = problem
            self._jobs.dispatch(partial(self._arrived, request.key, pixels, error))

    def _arrived(self, key: Key, pixels: TilePixels | None, error: Exception | None) -> None:
        with self._lock:
            if key not in self._making:
                return
            tile = Tile(pixels, self._making.pop(key))
        old = self._tiles.pop(key, None)
        self._tiles[key] = tile
        self.nbytes += tile.nbytes - (0 if old is None else old.nbytes)
        while self.nbytes > self._limit and len(self._tiles) > 1:
            self.nbytes -= self._tiles.popitem(last=False)[1].nbytes
        self._changed(key)
        if error is not None:
            self._failed(error)
