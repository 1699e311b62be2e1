"""A weight from a server to a segmenter, as a notebook does it: fetched, recognised, loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from samdesk.domain.errors import SamdeskError
from samdesk.domain.tasks import Cancelled, Progress, Task
from samdesk.sdk import EnginePool, download_weight, load_segmenter
from samdesk.weights import Registry
from tests.engines.seeded_sam import mobile_sam_checkpoint
from tests.weights_server import Reply, weights_server


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    folder = tmp_path / "registry"
    return Registry(Path(__file__).parents[2] / "weights.json", folder / "weights.json", folder)


def test_a_link_becomes_a_segmenter(registry: Registry, tmp_path: Path) -> None:
    content = mobile_sam_checkpoint(tmp_path).read_bytes()
    told: list[Progress] = []
    with weights_server() as server:
        registry.add("Mine", url=server.serve("/mine", Reply(content)))
        path = download_weight("Mine", told.append, registry=registry)
    assert path.read_bytes() == content
    assert told[-1].fraction == pytest.approx(1, abs=0.2)
    assert registry.find("Mine").type == "vit_t"
    segmenter = load_segmenter("vit_t", registry=registry, pool=EnginePool())
    assert segmenter.load(Task()).title == "MobileSAM"


def test_a_page_saved_as_a_weight_is_not_used(registry: Registry) -> None:
    with weights_server() as server:
        registry.add("Page", type="vit_t", url=server.serve("/page", Reply(b"<html>Please log in</html>")))
        with pytest.raises(SamdeskError, match="is a web page"):
            download_weight("Page", registry=registry)
    with pytest.raises(SamdeskError):
        load_segmenter(weights="Page", registry=registry)


def test_a_cancelled_download_leaves_nothing_that_could_be_used(registry: Registry, tmp_path: Path) -> None:
    task = Task()
    task.cancel()
    with weights_server() as server:
        registry.add("Mine", type="vit_t", url=server.serve("/mine", Reply(b"x" * 100_000)))
        with pytest.raises(Cancelled):
            download_weight("Mine", task=task, registry=registry)
    assert registry.state(registry.find("Mine")) in ("missing", "partial")
