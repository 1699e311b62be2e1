"""`BytesCache`: values kept in memory, bounded by bytes. Must not know what they are."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Generic, Protocol, TypeVar


class Sized(Protocol):
    """Anything that knows how much memory it holds."""

    @property
    def nbytes(self) -> int: ...


V = TypeVar("V", bound=Sized)


class BytesCache(Generic[V]):
    """Values by key, the least recently used dropped first. Thread-safe.

    An empty cache is false: compare with None to find out whether there is one.

    Parameters
    ----------
    limit_bytes : int
        Memory of all values together; the newest is kept even when it alone is larger.
        May be changed at any time; it holds from the next `put` on.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._kept: OrderedDict[Hashable, V] = OrderedDict()
        self._nbytes = 0
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        return self._nbytes

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, key: Hashable) -> bool:
        with self._lock:
            return key in self._kept

    def get(self, key: Hashable) -> V | None:
        """The value, which counts as used now; None when it is not here."""
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
            return found

    def put(self, key: Hashable, value: V) -> None:
        """Keep a value, and drop the oldest until the rest fits."""
        with self._lock:
            old = self._kept.pop(key, None)
            self._nbytes += value.nbytes - (0 if old is None else old.nbytes)
            self._kept[key] = value
            while self._nbytes > self.limit_bytes and len(self._kept) > 1:
                self._nbytes -= self._kept.popitem(last=False)[1].nbytes

    def forget(self, unwanted: Callable[[Any], bool]) -> None:
        """Drop the values whose key is unwanted."""
        with self._lock:
            for key in [key for key in self._kept if unwanted(key)]:
                self._nbytes -= self._kept.pop(key).nbytes

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()
            self._nbytes = 0
