"""The hashes that publishers give. Must not know files."""

from __future__ import annotations

import hashlib
from typing import Protocol

BLOCK_BYTES = 1 << 20


class RunningHash(Protocol):
    """A hash that takes bytes as they come."""

    def update(self, data: bytes, /) -> object: ...

    def hexdigest(self) -> str: ...


def new_hash(algorithm: str) -> RunningHash:
    """A hash of one of `samdesk.weights.weight.ALGORITHMS`: "sha256" or "xxh128"."""
    if algorithm == "xxh128":
        import xxhash

        return xxhash.xxh3_128()
    return hashlib.new(algorithm)
