"""A server that misbehaves, a registry of its own, and a file to fetch."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from samdesk.weights import Hash, Registry, Weight
from samdesk.weights.download import Patience
from tests.weights_server import WeightsServer, weights_server

PAYLOAD = random.Random(7).randbytes(300_000)
SHA256 = hashlib.sha256(PAYLOAD).hexdigest()


@pytest.fixture
def server() -> Iterator[WeightsServer]:
    with weights_server() as running:
        yield running


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    shipped = tmp_path / "shipped.json"
    shipped.write_text('{"version": 1, "weights": []}')
    folder = tmp_path / "weights"
    return Registry(shipped, folder / "weights.json", folder)


@pytest.fixture
def patience() -> Patience:
    return Patience(connect_s=2, stall_s=0.25, retries=3, backoff_s=0.01, report_s=0, spare_bytes=0)


Make = Callable[..., Weight]


@pytest.fixture
def make() -> Make:
    def made(url: str, **changes: object) -> Weight:
        values: dict[str, object] = {
            "type": "vit_b",
            "name": "Test weight",
            "file": "test.pt",
            "url": url,
            "hash": Hash("sha256", SHA256),
            "size": len(PAYLOAD),
            "homepage": "https://example.org/model",
            "source": "shipped",
        }
        return Weight(**{**values, **changes})  # type: ignore[arg-type]

    return made
