"""The second visit to a view against the first, and what the disk takes for embeddings of known size.

Run with ``python -m tests.bench.test_cache_bench [sam2_t]``; with SAM 2 its weights are seeded:
the times are those of the architecture. Without a type the engine is a stand-in whose embeddings
are 4 MB, as those of SAM.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from samdesk.domain.geometry import Bounds, Plane, Region
from samdesk.domain.prompts import PointPrompt, Prompts
from samdesk.domain.tasks import Task
from samdesk.engines.base import Embedding, Engine
from samdesk.engines.cache import DiskCache, EmbeddingCache, EmbeddingKey, EmbeddingStore
from samdesk.images.sample import sample_slide
from samdesk.sdk import Image, Segmenter, open_image
from samdesk.sdk.precompute import chips_for, precompute
from samdesk.sdk.segmenter import key_of
from tests.fakes import FakeEngine

VIEW = Bounds(1000, 1000, 2024, 1768)
KEY = EmbeddingKey("source", "display", Plane(), Region(0.0, 0.0, 1024, 1024, 1.0), "stand-in")


class StandIn(FakeEngine):
    """Takes no time, and its embeddings are arrays of a given size."""

    def __init__(self, megabytes: int = 4) -> None:
        super().__init__()
        self.values = np.random.default_rng(0).normal(size=megabytes << 18).astype(np.float32)

    def encode(self, chip: NDArray[np.uint8], task: Task) -> Embedding:
        return Embedding(self.name, chip.shape[1], chip.shape[0], {"a": self.values}, self.values.nbytes)

    def pack(self, embedding: Embedding) -> dict[str, NDArray[Any]]:
        return {"a": embedding.data["a"]}

    def unpack(self, arrays: Mapping[str, NDArray[Any]], width: int, height: int) -> Embedding:
        return Embedding(self.name, width, height, dict(arrays), arrays["a"].nbytes)


@pytest.mark.parametrize("megabytes", [4, 10, 60])
@pytest.mark.parametrize("what", ["put", "get"])
def test_disk(benchmark, tmp_path: Path, megabytes: int, what: str) -> None:  # type: ignore[no-untyped-def]
    engine, disk = StandIn(megabytes), DiskCache(tmp_path)
    made = engine.encode(np.zeros((1024, 1024, 3), np.uint8), Task())
    disk.put(KEY, engine, made)
    if what == "put":
        benchmark(disk.put, KEY, engine, made)
    else:
        assert benchmark(disk.get, KEY, engine) is not None


def test_what_is_on_disk_is_told_quickly(benchmark, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    engine, disk = StandIn(1), DiskCache(tmp_path)
    keys = [KEY._replace(chip=Region(512.0 * k, 0.0, 1024, 1024, 1.0)) for k in range(60)]
    for key in keys[::2]:
        disk.put(key, engine, engine.encode(np.zeros((8, 8, 3), np.uint8), Task()))
    assert benchmark(lambda: sum(key in disk for key in keys)) == 30


def _engine(type: str, folder: Path) -> Engine:
    if not type:
        return StandIn()
    import torch

    from samdesk.engines.sam2 import Sam2Engine
    from tests.engines.seeded_sam2 import sam2_checkpoint

    torch.set_num_threads(1)  # comparable whatever else the machine does
    weights = folder / f"{type}.pt"
    if not weights.exists():
        sam2_checkpoint(folder, type).rename(weights)
    return Sam2Engine(weights, device="cpu")


def _visit(segmenter: Segmenter, image: Image) -> float:
    """Median ms of having the embedding of a chip of the view."""
    times = []
    for chip in chips_for(image, VIEW, 1.0):
        started = time.perf_counter()
        segmenter.embed(image, chip)
        times.append(1e3 * (time.perf_counter() - started))
    return statistics.median(times)


def visits(type: str, folder: Path) -> dict[str, float]:
    """The view seen twice in this process; what is on disk in `folder` before counts."""
    engine = _engine(type, folder)
    store = EmbeddingStore(EmbeddingCache(4 << 30), DiskCache(folder / "embeddings"))
    segmenter = Segmenter(engine, cache=store)
    image = open_image(sample_slide(folder, 4096).path)
    x, y = VIEW.center
    prompts = Prompts((PointPrompt(x, y),))
    before = store.has(key_of(engine, image, chips_for(image, VIEW, 1.0)[0], Plane()))
    found = {"from disk" if before else "first visit": _visit(segmenter, image)}
    found["from memory"] = _visit(segmenter, image)
    started = time.perf_counter()
    segmenter.segment(image, prompts)
    found["click on a warm chip"] = 1e3 * (time.perf_counter() - started)
    image.close()
    return found


def measure(type: str = "") -> dict[str, float]:
    """Medians in ms per chip: first visit, again from memory, and from disk in another process."""
    with tempfile.TemporaryDirectory() as name:
        found = visits(type, Path(name))
        again = subprocess.run(
            [sys.executable, "-m", "tests.bench.test_cache_bench", "again", type, name],
            capture_output=True,
            text=True,
            check=True,
        )
        found["from disk"] = json.loads(again.stdout)["from disk"]
        found["disk / first"] = found["from disk"] / found["first visit"]
        found["memory / first"] = found["from memory"] / found["first visit"]
        files = list((Path(name) / "embeddings").glob("*.safetensors"))
        found["MB on disk per chip"] = statistics.median(f.stat().st_size for f in files) / 2**20
    return found


def test_second_visit(benchmark) -> None:  # type: ignore[no-untyped-def]
    found = benchmark.pedantic(measure, rounds=1)
    benchmark.extra_info.update(found)
    assert found["memory / first"] < 1


def test_prepare(benchmark, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """What preparing costs per chip beyond the engine: reading, packing, writing."""
    image = open_image(sample_slide(tmp_path, 4096).path)
    chips = chips_for(image, VIEW, 1.0)

    def prepare() -> None:
        disk = DiskCache(tmp_path / str(time.perf_counter_ns()))
        precompute(Segmenter(StandIn(), cache=EmbeddingStore(disk=disk)), image, chips)

    benchmark.pedantic(prepare, rounds=3)
    benchmark.extra_info["chips"] = len(chips)
    image.close()


if __name__ == "__main__":
    if sys.argv[1:2] == ["again"]:
        print(json.dumps(visits(sys.argv[2], Path(sys.argv[3]))))
    else:
        for name, value in measure(*sys.argv[1:2]).items():
            print(f"{name:<24} {value:10.3f}")
