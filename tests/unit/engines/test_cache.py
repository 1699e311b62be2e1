"""Embeddings in memory and on disk: what comes back, what is a miss, what is removed."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from samdesk.domain.geometry import Plane, Region
from samdesk.engines.base import Embedding
from samdesk.engines.cache import DiskCache, EmbeddingCache, EmbeddingKey, EmbeddingStore, open_store
from tests.fakes import BrightEngine

ROOM = 1 << 30
SIDE = 64
KEY = EmbeddingKey("source", "display", Plane(), Region(0.0, 512.0, 1024, 1024, 2.0), "arrays")


class ArrayEngine(BrightEngine):
    """Its embeddings are whatever arrays one likes."""

    identity = "arrays"

    def __init__(self) -> None:
        self.unpacked = 0

    def pack(self, embedding: Embedding) -> dict[str, NDArray[Any]] | None:  # type: ignore[override]
        return dict(embedding.data) or None

    def unpack(self, arrays: Mapping[str, NDArray[Any]], width: int, height: int) -> Embedding:
        self.unpacked += 1
        return embedding_of(**arrays)

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.identity


def embedding_of(**arrays: NDArray[Any]) -> Embedding:
    return Embedding("arrays", 300, 200, arrays, sum(array.nbytes for array in arrays.values()))


def noise(seed: int = 0, side: int = SIDE) -> Embedding:
    return embedding_of(a=np.random.default_rng(seed).normal(size=(side, side)).astype(np.float32))


def key_of(number: int) -> EmbeddingKey:
    return KEY._replace(chip=Region(512.0 * number, 0.0, 1024, 1024, 1.0))


def use_at(disk: DiskCache, number: int, age_s: float) -> None:
    """As if the file had been used so long ago."""
    then = time.time() - age_s
    os.utime(file_of(disk, key_of(number)), (then, then))


def file_of(disk: DiskCache, key: EmbeddingKey) -> Path:
    return disk._path(key.text)


@pytest.fixture
def disk(tmp_path: Path) -> DiskCache:
    return DiskCache(tmp_path / "embeddings", ROOM)


@pytest.fixture
def engine() -> ArrayEngine:
    return ArrayEngine()


# What comes back


def test_an_embedding_comes_back_rounded_to_half_precision(disk: DiskCache, engine: ArrayEngine) -> None:
    counts = np.arange(-3, 70_000, 1000, dtype=np.int64)
    made = embedding_of(a=noise().data["a"], counts=counts, on=np.array([True, False]))
    assert disk.get(KEY, engine) is None
    disk.put(KEY, engine, made)
    assert KEY in disk
    found = DiskCache(disk.folder, ROOM).get(KEY, engine)
    assert found is not None
    assert found.data["a"].dtype == np.float32
    np.testing.assert_array_equal(found.data["a"], made.data["a"].astype(np.float16))
    np.testing.assert_array_equal(found.data["counts"], counts)
    assert found.data["on"].tolist() == [True, False]


def test_width_and_height_come_back(disk: DiskCache) -> None:
    engine = BrightEngine()
    logits = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
    key = KEY._replace(engine="bright")
    disk.put(key, engine, Embedding("bright", 1000, 700, {"logits": logits}, logits.nbytes))
    found = disk.get(key, engine)
    assert found is not None
    assert (found.width, found.height, found.engine) == (1000, 700, "bright")


@pytest.mark.parametrize(
    "values",
    [
        [1e5, -1.0],
        [np.inf, 0.0],
        [np.nan, 2.0],
        [1e-6, -3e-7],
        [65504.0, 0.1],
        [-65600.0, 0.0],
        [0.0, 0.0],
        [],
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_value_is_lost_that_half_precision_cannot_hold(
    disk: DiskCache, engine: ArrayEngine, values: list[float], dtype: type
) -> None:
    made = np.array(values, dtype)
    disk.put(KEY, engine, embedding_of(a=made))
    found = disk.get(KEY, engine)
    assert found is not None
    assert found.data["a"].dtype == dtype
    np.testing.assert_allclose(found.data["a"], made, rtol=1e-3)


def test_what_an_engine_has_rounded_to_infinity_is_not_kept(disk: DiskCache, engine: ArrayEngine) -> None:
    disk.put(KEY, engine, embedding_of(a=np.array([1, np.inf], np.float16)))
    assert KEY not in disk


def test_arrays_of_any_layout_come_back(disk: DiskCache, engine: ArrayEngine) -> None:
    whole = np.random.default_rng(1).normal(size=(6, 8)).astype(np.float32)
    disk.put(KEY, engine, embedding_of(turned=whole.T, part=whole[::2, 1::3], one=np.array(2.5)))
    found = disk.get(KEY, engine)
    assert found is not None
    np.testing.assert_allclose(found.data["turned"], whole.T, rtol=1e-3)
    np.testing.assert_allclose(found.data["part"], whole[::2, 1::3], rtol=1e-3)
    assert found.data["one"].shape == ()


# Keys


@pytest.mark.parametrize(
    "other",
    [
        KEY._replace(source="source2"),
        KEY._replace(display="display2"),
        KEY._replace(plane=Plane(1, 0)),
        KEY._replace(plane=Plane(0, 1)),
        KEY._replace(chip=Region(0.0, 512.0, 1024, 1024, 2.0 + 1e-12)),
        KEY._replace(chip=Region(1e-9, 512.0, 1024, 1024, 2.0)),
        KEY._replace(chip=Region(0.0, 512.0, 1024, 1023, 2.0)),
        KEY._replace(engine="arrays:0"),
        KEY._replace(source='source","display', display=""),
    ],
    ids=lambda key: str(tuple(key)),
)
def test_whatever_differs_is_another_embedding(
    disk: DiskCache, engine: ArrayEngine, other: EmbeddingKey
) -> None:
    disk.put(KEY, engine, noise())
    assert other not in disk
    assert disk.get(other, engine) is None


def test_equal_keys_are_written_alike_whatever_their_numbers_are_made_of() -> None:
    chip = Region(np.float64(0), 512, np.int64(1024), 1024, 2)  # type: ignore[arg-type]
    alike = KEY._replace(plane=Plane(np.int64(0), 0), chip=chip)  # type: ignore[arg-type]
    assert alike == KEY
    assert alike.text == KEY.text


CHILD = """
import sys
from pathlib import Path
from samdesk.engines.cache import DiskCache
from tests.unit.engines.test_cache import ArrayEngine, key_of, noise

disk = DiskCache(Path(sys.argv[1]), int(sys.argv[2]))
engine = ArrayEngine()
"""


def child(code: str, disk: DiskCache, limit: int = ROOM) -> subprocess.Popen[str]:
    root = Path(__file__).parents[3]
    return subprocess.Popen(
        [sys.executable, "-c", CHILD + code, str(disk.folder), str(limit)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "PYTHONHASHSEED": "random"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> str:
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return out


def test_another_process_finds_it(disk: DiskCache, engine: ArrayEngine) -> None:
    disk.put(key_of(7), engine, noise(7))
    assert ended(child("print(disk.get(key_of(7), engine).data['a'].sum())", disk)).strip()


def test_others_may_read_the_files_of_a_shared_folder(disk: DiskCache, engine: ArrayEngine) -> None:
    disk.put(KEY, engine, noise())
    usual = disk.folder / "usual"
    usual.write_bytes(b"")
    assert file_of(disk, KEY).stat().st_mode == usual.stat().st_mode


# Damage


def _cut(data: bytes) -> bytes:
    return data[: len(data) * 2 // 3]


def _flip(data: bytes) -> bytes:
    return data[:-100] + bytes([data[-100] ^ 4]) + data[-99:]


@pytest.mark.parametrize(
    "damage",
    [_cut, _flip, lambda data: b"", lambda data: b"\xff" * 500, lambda data: bytes(len(data))],
    ids=["cut", "flipped", "empty", "noise", "zeros"],
)
def test_a_damaged_file_is_a_miss_and_is_removed(
    disk: DiskCache, engine: ArrayEngine, damage: Callable[[bytes], bytes]
) -> None:
    disk.put(KEY, engine, noise())
    file = file_of(disk, KEY)
    file.write_bytes(damage(file.read_bytes()))
    assert disk.get(KEY, engine) is None
    assert not file.exists()
    disk.put(KEY, engine, noise())
    assert disk.get(KEY, engine) is not None


def test_a_file_about_something_else_is_a_miss(disk: DiskCache, engine: ArrayEngine) -> None:
    disk.put(key_of(1), engine, noise())
    file_of(disk, key_of(1)).rename(file_of(disk, key_of(2)))
    assert disk.get(key_of(2), engine) is None


def test_a_file_that_the_engine_cannot_use_any_more_is_a_miss(disk: DiskCache) -> None:
    engine = BrightEngine()
    key = KEY._replace(engine="bright")
    disk.write(key, {"by another name": np.zeros(4, np.float32)}, 2, 2)
    assert disk.get(key, engine) is None
    assert key not in disk


# Room


def test_what_was_not_used_for_longest_is_removed(disk: DiskCache, engine: ArrayEngine) -> None:
    disk.put(key_of(0), engine, noise(0))
    disk.limit_bytes = round(8.5 * disk.nbytes)
    for number in range(1, 8):
        disk.put(key_of(number), engine, noise(number))
    for number in range(8):
        use_at(disk, number, 1000 - number)
    assert disk.get(key_of(0), engine) is not None  # used now
    disk.put(key_of(8), engine, noise(8))
    kept = [number for number in range(9) if key_of(number) in disk]
    assert kept == [0, 3, 4, 5, 6, 7, 8]
    assert disk.nbytes <= disk.limit_bytes


def test_what_others_write_counts(disk: DiskCache, engine: ArrayEngine) -> None:
    disk.put(key_of(0), engine, noise(0))
    use_at(disk, 0, 1000)
    disk.limit_bytes = 20 * disk.nbytes
    other = DiskCache(disk.folder, ROOM)
    for number in range(1, 30):
        other.put(key_of(number), engine, noise(number))
        use_at(disk, number, 500 - number)
    for number in range(30, 33):
        disk.put(key_of(number), engine, noise(number))
    files = list(disk.folder.iterdir())
    assert sum(file.stat().st_size for file in files) <= disk.limit_bytes
    assert key_of(32) in disk
    assert key_of(0) not in disk


def test_a_lower_limit_can_be_kept_to_at_once(disk: DiskCache, engine: ArrayEngine) -> None:
    for number in range(6):
        disk.put(key_of(number), engine, noise(number))
    disk.limit_bytes = disk.nbytes // 2
    disk.trim()
    assert 0 < disk.nbytes <= disk.limit_bytes
    disk.limit_bytes = 0
    disk.trim()
    assert disk.nbytes == 0
    disk.put(KEY, engine, noise())
    assert KEY not in disk


def test_what_is_too_large_is_not_kept(disk: DiskCache, engine: ArrayEngine) -> None:
    disk.limit_bytes = 4 * noise().nbytes // 2
    disk.put(KEY, engine, noise())  # with its header more than a quarter
    assert KEY not in disk
    disk.limit_bytes *= 2
    disk.put(KEY, engine, noise())
    assert KEY in disk


def test_clear_leaves_what_is_not_its_own(disk: DiskCache, engine: ArrayEngine) -> None:
    disk.put(KEY, engine, noise())
    (disk.folder / "notes.txt").write_text("mine")
    (disk.folder / "model.safetensors").write_text("mine")
    disk.clear()
    assert disk.nbytes == 0
    assert KEY not in disk
    assert sorted(file.name for file in disk.folder.iterdir()) == ["model.safetensors", "notes.txt"]


def test_what_a_dead_process_left_half_written_is_removed(disk: DiskCache, engine: ArrayEngine) -> None:
    disk.put(KEY, engine, noise())
    stem = file_of(disk, KEY).stem
    old, young = (disk.folder / f".{stem}.{number * 8}.tmp" for number in "01")
    for file in (old, young):
        file.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    disk.trim()
    assert not old.exists()
    assert young.exists()


def test_processes_may_write_read_and_clean_at_once(disk: DiskCache, engine: ArrayEngine) -> None:
    disk.put(key_of(0), engine, noise(0))
    limit = 12 * disk.nbytes
    code = """
import numpy as np
for step in range(150):
    number = (step * 7 + int(sys.argv[2])) % 40
    found = disk.get(key_of(number), engine)
    if found is not None:
        want = noise(number).data["a"].astype(np.float16)
        assert (found.data["a"] == want).all()
    disk.put(key_of(number), engine, noise(number))
assert disk.writable
"""
    for process in [child(code, disk, limit + k) for k in range(3)]:
        assert ended(process) == ""
    files = list(disk.folder.iterdir())
    assert not [file for file in files if file.suffix == ".tmp"]
    assert sum(file.stat().st_size for file in files) <= limit * (1 + 3 / 16)


# A disk that does not do


def test_a_folder_that_cannot_be_written_is_told_once(
    tmp_path: Path, engine: ArrayEngine, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    disk = DiskCache(tmp_path / "file" / "embeddings", ROOM)
    with caplog.at_level(logging.WARNING):
        for number in range(3):
            disk.put(key_of(number), engine, noise(number))
            assert disk.get(key_of(number), engine) is None
    assert len(caplog.records) == 1
    assert not disk.writable
    caplog.clear()


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of a file with POSIX means")
def test_a_full_disk_ends_writing_but_not_reading(disk: DiskCache, engine: ArrayEngine) -> None:
    disk.put(key_of(0), engine, noise(0))
    code = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
disk.put(key_of(1), engine, noise(1))
assert not disk.writable
assert disk.get(key_of(0), engine) is not None
print(sorted(file.suffix for file in disk.folder.iterdir()))
"""
    assert ended(child(code, disk)).strip() == "['.safetensors']"


# Memory and disk together


def test_what_was_read_from_disk_is_in_memory_then(disk: DiskCache, engine: ArrayEngine) -> None:
    disk.put(KEY, engine, noise())
    store = EmbeddingStore(EmbeddingCache(ROOM), disk)
    assert store.has(KEY)
    assert not store.is_warm(KEY)
    first = store.get(KEY, engine)
    assert store.is_warm(KEY)
    assert store.get(KEY, engine) is first
    assert engine.unpacked == 1
    assert store.nbytes == noise().nbytes


def test_writing_is_left_to_whom_it_is_lent(disk: DiskCache, engine: ArrayEngine) -> None:
    waiting: list[Callable[[], None]] = []
    store = EmbeddingStore(EmbeddingCache(ROOM), disk, waiting.append)
    assert store.put(KEY, engine, noise()) > 0
    assert store.is_warm(KEY)
    assert store.is_kept(KEY)
    assert KEY not in disk
    waiting.pop()()
    assert KEY in disk
    assert store.is_kept(KEY)


def test_a_disk_that_does_not_keep_up_is_waited_for(disk: DiskCache, engine: ArrayEngine) -> None:
    waiting: list[Callable[[], None]] = []
    store = EmbeddingStore(EmbeddingCache(ROOM), disk, waiting.append)
    store.most_waiting = 2 * noise().nbytes
    for number in range(4):
        store.put(key_of(number), engine, noise(number))
    assert len(waiting) == 2
    assert [key_of(number) in disk for number in range(4)] == [False, False, True, True]


def test_preparing_does_not_push_out_what_is_worked_on(disk: DiskCache, engine: ArrayEngine) -> None:
    store = EmbeddingStore(EmbeddingCache(2 * noise().nbytes), disk)
    for number in range(4):
        store.put(key_of(number), engine, noise(number), soon=False)
    assert [store.is_warm(key_of(number)) for number in range(4)] == [True, True, False, False]
    assert all(store.is_kept(key_of(number)) for number in range(4))


def test_without_a_disk_memory_is_all_there_is(engine: ArrayEngine) -> None:
    store = EmbeddingStore()
    assert store.get(KEY, engine) is None
    assert store.put(KEY, engine, noise()) == 0
    assert store.is_kept(KEY)
    assert store.get(KEY, engine) is not None


def test_an_engine_that_is_quick_itself_leaves_nothing_on_disk(disk: DiskCache, engine: ArrayEngine) -> None:
    store = EmbeddingStore(EmbeddingCache(ROOM), disk)
    assert store.put(KEY, engine, embedding_of()) == 0
    assert store.is_warm(KEY)
    assert not store.is_kept(KEY)


def test_window_and_command_line_open_the_same_store(
    tmp_path: Path, engine: ArrayEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMDESK_HOME", str(tmp_path))
    open_store().put(KEY, engine, noise())
    assert open_store().has(KEY)
    assert open_store(disk_bytes=0).get(KEY, engine) is not None
