"""`EmbeddingCache`: embeddings kept in memory, bounded by bytes. Must not know engines or images."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable

from .base import Embedding


class EmbeddingCache:
    """Embeddings by key, the least recently used dropped first. Thread-safe.

    Parameters
    ----------
    limit_bytes : int
        Memory of all embeddings together; the newest is kept even when it alone is larger.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._kept: OrderedDict[Hashable, Embedding] = OrderedDict()
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

    def get(self, key: Hashable) -> Embedding | None:
        """The embedding, which counts as used now; None when it is not here."""
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
            return found

    def put(self, key: Hashable, embedding: Embedding) -> None:
        """Keep an embedding, and drop the oldest until the rest fits."""
        with self._lock:
            old = self._kept.pop(key, None)
            self._nbytes += embedding.nbytes - (old.nbytes if old else 0)
            self._kept[key] = embedding
            while self._nbytes > self._limit and len(self._kept) > 1:
                self._nbytes -= self._kept.popitem(last=False)[1].nbytes

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()
            self._nbytes = 0
