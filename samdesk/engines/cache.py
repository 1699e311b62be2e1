"""`EmbeddingCache`: embeddings kept in memory, bounded by bytes. Must not know engines or images."""

from __future__ import annotations

from samdesk.domain.memory import BytesCache

from .base import Embedding


class EmbeddingCache(BytesCache[Embedding]):
    """Embeddings by key, shared by all that segment with one engine."""
