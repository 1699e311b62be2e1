"""`EmbeddingStore`: memory first, then the disk, behind one `get` and one `put`.

Must not know images, nor make threads: whoever has one to spare lends it through `later`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from samdesk import paths
from samdesk.domain.memory import BytesCache
from samdesk.engines.base import Embedding, Engine

from .disk import DISK_BYTES, Arrays, DiskCache, size_on_disk
from .keys import EmbeddingKey

MEMORY_BYTES = 1 << 30

MOST_WAITING = 256 << 20
"""Bytes that may wait to be written; beyond it `put` writes itself: a disk that is too slow must not
fill the memory."""


class EmbeddingCache(BytesCache[Embedding]):
    """Embeddings by key in memory, bounded by bytes."""


class EmbeddingStore:
    """Where a Segmenter looks before it encodes. Thread-safe; engines are used on the caller's thread.

    Parameters
    ----------
    memory : EmbeddingCache, optional
    disk : DiskCache, optional
        None keeps embeddings in memory only.
    later : callable, optional
        Runs the function that it is given, soon and on another thread, so that `put` need not
        wait for the disk. By default it is run at once. May be changed at any time.
    """

    def __init__(
        self,
        memory: EmbeddingCache | None = None,
        disk: DiskCache | None = None,
        later: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:
        self.memory = EmbeddingCache(MEMORY_BYTES) if memory is None else memory
        self.disk = disk
        self.later = later
        self.most_waiting = MOST_WAITING
        self._lock = threading.Lock()
        self._waiting: dict[EmbeddingKey, int] = {}

    @property
    def nbytes(self) -> int:
        """Memory of the embeddings that are ready."""
        return self.memory.nbytes

    def is_warm(self, key: EmbeddingKey) -> bool:
        """Whether it is in memory: a prompt is answered at once."""
        return key in self.memory

    def has(self, key: EmbeddingKey) -> bool:
        """Whether it is in memory, or on disk and so there in some milliseconds."""
        return key in self.memory or (self.disk is not None and key in self.disk)

    def is_kept(self, key: EmbeddingKey) -> bool:
        """Whether it is where it stays longest: on the disk (or on its way), in memory without one."""
        if self.disk is None or not self.disk.writable:
            return self.has(key)
        with self._lock:
            if key in self._waiting:
                return True
        return key in self.disk

    def get(self, key: EmbeddingKey, engine: Engine) -> Embedding | None:
        """The embedding, from then on in memory; None when it must be encoded."""
        known = self.memory.get(key)
        if known is None and self.disk is not None:
            known = self.disk.get(key, engine)
            if known is not None:
                self.memory.put(key, known)
        return known

    def put(self, key: EmbeddingKey, engine: Engine, embedding: Embedding, *, soon: bool = True) -> int:
        """Keep an embedding.

        Parameters
        ----------
        soon : bool
            It will be used soon. False: it goes to memory only while there is room, so that
            preparing many chips does not push out those that are being worked on.

        Returns
        -------
        int
            About how much of the disk it takes; 0 when it is not kept there.
        """
        if soon or self.memory.nbytes + embedding.nbytes <= self.memory.limit_bytes:
            self.memory.put(key, embedding)
        if self.disk is None or not self.disk.writable:
            return 0
        arrays = engine.pack(embedding)
        if arrays is None or not self.disk.accepts(size_on_disk(arrays)):
            return 0
        self._write(self.disk, key, arrays, embedding)
        return size_on_disk(arrays)

    def _write(self, disk: DiskCache, key: EmbeddingKey, arrays: Arrays, embedding: Embedding) -> None:
        later, width, height = self.later, embedding.width, embedding.height
        nbytes = sum(array.nbytes for array in arrays.values())
        with self._lock:
            full = sum(self._waiting.values()) + nbytes > self.most_waiting
            self._waiting[key] = nbytes

        def write() -> None:
            try:
                disk.write(key, arrays, width, height)
            finally:
                with self._lock:
                    self._waiting.pop(key, None)

        if later is None or full:
            write()
        else:
            later(write)


def open_store(
    memory_bytes: int = MEMORY_BYTES, disk_bytes: int = DISK_BYTES, folder: Path | None = None
) -> EmbeddingStore:
    """The store that window and command line share: the user's cache folder unless another is named.

    Parameters
    ----------
    memory_bytes, disk_bytes : int
        Limits; with 0 for the disk nothing is written, but what is there is read.
    folder : Path, optional
    """
    chosen = paths.cache_dir() / "embeddings" if folder is None else folder
    return EmbeddingStore(EmbeddingCache(memory_bytes), DiskCache(chosen, disk_bytes))
