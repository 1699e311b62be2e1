"""Embeddings that were computed before: in memory, and on disk for the next time.

Must not know images or who asks: a key says what an embedding was made from.
"""

from .disk import DISK_BYTES, DiskCache
from .keys import EmbeddingKey
from .store import MEMORY_BYTES, EmbeddingCache, EmbeddingStore, open_store

__all__ = [
    "DISK_BYTES",
    "MEMORY_BYTES",
    "DiskCache",
    "EmbeddingCache",
    "EmbeddingKey",
    "EmbeddingStore",
    "open_store",
]
