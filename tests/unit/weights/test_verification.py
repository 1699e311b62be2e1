"""What a file holds decides, not what it is called; what is wrong is out of use and not lost."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import xxhash

from samdesk.domain.errors import SamdeskError
from samdesk.domain.tasks import Cancelled, Progress, Task
from samdesk.weights import Hash, Registry, Weight, import_file, verify
from samdesk.weights.download import Patience, download
from tests.unit.weights.conftest import PAYLOAD, SHA256
from tests.weights_server import Reply, WeightsServer

PAGE = b"\n <!doctype HTML><title>404</title>"


@dataclass(frozen=True)
class Holds:
    """What the stand-in for the recogniser of checkpoints finds."""

    type: str


def recognise(path: Path) -> Holds:
    """A vit_b where the right bytes are, a vit_l where they begin with L, else nothing."""
    data = path.read_bytes()
    if data == PAYLOAD:
        return Holds("vit_b")
    if data.startswith(b"L"):
        return Holds("vit_l")
    raise SamdeskError(f"{path} is no model.", "Give another file.")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "my nuclei.pth"
    path.write_bytes(PAYLOAD)
    return path


def put(registry: Registry, weight: Weight, data: bytes) -> Path:
    path = registry.path(weight)
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(data)
    return path


def test_a_right_file(registry: Registry, make: Callable[..., Weight]) -> None:
    weight = make("https://a.org/b")
    put(registry, weight, PAYLOAD)
    progress: list[Progress] = []
    finding = verify(registry, weight, Task(progress.append), recognise)
    assert (finding.verdict, finding.sha256, finding.type) == ("ready", SHA256, "vit_b")
    assert progress[-1].fraction == 1
    assert registry.state(weight) == "ready"


@pytest.mark.parametrize(
    ("data", "changes", "message"),
    [
        (b"", {}, "is empty"),
        (PAYLOAD[:-1], {}, "cut off: it has 299,999 of 300,000"),
        (PAYLOAD + b"x", {}, "another file"),
        (PAYLOAD[:-1] + b"x", {}, "its sha256 is"),
        (PAYLOAD[:-1] + b"x", {"hash": Hash("xxh128", xxhash.xxh3_128_hexdigest(PAYLOAD))}, "its xxh128 is"),
        (PAGE, {"hash": None, "size": None}, "web page"),
        (b"Large", {"hash": None, "size": None}, "type vit_l and not vit_b"),
        (b"other", {"hash": None, "size": None}, "test.pt is no model"),
    ],
)
def test_a_wrong_file_is_told_and_out_of_use(
    data: bytes, changes: dict[str, object], message: str, registry: Registry, make: Callable[..., Weight]
) -> None:
    weight = make("https://a.org/b", **changes)
    path = put(registry, weight, data)
    with pytest.raises(SamdeskError, match=message):
        verify(registry, weight, recognise=recognise)
    assert registry.state(weight) == "damaged"
    assert registry.why_damaged(weight)
    assert path.read_bytes() == data


def test_a_missing_file(registry: Registry, make: Callable[..., Weight]) -> None:
    with pytest.raises(SamdeskError, match="not there"):
        verify(registry, make("https://a.org/b"))


def test_verifying_can_be_cancelled(registry: Registry, make: Callable[..., Weight]) -> None:
    weight = make("https://a.org/b")
    put(registry, weight, PAYLOAD)
    task = Task(lambda _: task.cancel())
    with pytest.raises(Cancelled):
        verify(registry, weight, Task(lambda _: (_ for _ in ()).throw(Cancelled())))
    task.cancel()
    with pytest.raises(Cancelled):
        verify(registry, weight, task)
    assert registry.state(weight) == "unchecked"


@pytest.mark.parametrize("reference", [False, True])
def test_a_file_is_imported(reference: bool, file: Path, registry: Registry) -> None:
    weight = import_file(registry, file, reference=reference, recognise=recognise, licence="CC-BY-4.0")
    assert (weight.name, weight.type, weight.licence, weight.sha256) == (
        "my nuclei",
        "vit_b",
        "CC-BY-4.0",
        SHA256,
    )
    assert registry.state(registry.find("my nuclei")) == "ready"
    assert (registry.path(weight) == file) is reference
    assert registry.path(weight).read_bytes() == PAYLOAD
    assert registry.path(weight).suffix == ".pth"
    registry.remove(weight)
    assert file.read_bytes() == PAYLOAD
    assert [w.name for w in registry.weights] == []


def test_a_reference_follows_its_file(file: Path, registry: Registry) -> None:
    weight = import_file(registry, file, reference=True, recognise=recognise)
    file.write_bytes(PAYLOAD[:-1])
    assert registry.state(weight) == "damaged"
    with pytest.raises(SamdeskError, match="cut off"):
        verify(registry, weight, recognise=recognise)
    assert file.exists()
    file.unlink()
    assert registry.state(weight) == "missing"
    with pytest.raises(SamdeskError, match="cannot be downloaded"):
        download(registry, weight)


@pytest.mark.parametrize(
    ("data", "more", "message"),
    [
        (b"", {}, "is empty"),
        (PAGE, {}, "web page"),
        (b"other", {}, "no model"),
        (b"Large", {"type": "vit_b"}, "type vit_l and not vit_b"),
        (PAYLOAD, {"name": "Taken"}, "already"),
        (PAYLOAD, {"recognise": None}, "type of .* is not known"),
    ],
)
def test_what_is_not_imported_leaves_nothing(
    data: bytes, more: dict[str, object], message: str, file: Path, registry: Registry
) -> None:
    registry.add("Taken", url="https://a.org/b")
    file.write_bytes(data)
    with pytest.raises(SamdeskError, match=message):
        import_file(registry, file, **{"recognise": recognise, **more})  # type: ignore[arg-type]
    assert [w.name for w in registry.weights] == ["Taken"]
    assert {p.suffix for p in registry.folder.iterdir()} <= {".json", ".lock"}
    assert file.read_bytes() == data


def test_folders_and_nothing_are_not_imported(tmp_path: Path, registry: Registry) -> None:
    with pytest.raises(SamdeskError, match="is a folder"):
        import_file(registry, tmp_path, recognise=recognise)
    with pytest.raises(SamdeskError, match="no file"):
        import_file(registry, tmp_path / "none.pt", recognise=recognise)


def test_an_import_can_be_cancelled(file: Path, registry: Registry) -> None:
    task = Task()
    task.cancel()
    with pytest.raises(Cancelled):
        import_file(registry, file, recognise=recognise, task=task)
    assert [w.name for w in registry.weights] == []
    assert list(registry.folder.glob(".import-*")) == []


def test_an_imported_copy_that_went_bad_is_kept_aside(file: Path, registry: Registry) -> None:
    weight = import_file(registry, file, recognise=recognise)
    registry.path(weight).write_bytes(b"gone bad")
    with pytest.raises(SamdeskError, match="cut off") as caught:
        verify(registry, weight, recognise=recognise)
    (kept,) = registry.folder.glob("*.aside")
    assert kept.read_bytes() == b"gone bad"
    assert kept.name in caught.value.hint
    assert registry.state(weight) == "missing"


def test_what_a_users_link_brought_is_recognised(
    server: WeightsServer, registry: Registry, patience: Patience
) -> None:
    weight = registry.add("Mine", url=server.serve("/file", Reply(PAYLOAD)))
    download(registry, weight, patience=patience, recognise=recognise)
    assert registry.find("Mine").type == "vit_b"
    assert registry.state(registry.find("Mine")) == "ready"


@pytest.mark.parametrize(("data", "message"), [(b"Large", "type vit_l"), (b"other" * 99, "no model")])
def test_what_a_users_link_wrongly_brought_is_kept_aside(
    data: bytes, message: str, server: WeightsServer, registry: Registry, patience: Patience
) -> None:
    weight = registry.add("Mine", type="vit_b", url=server.serve("/file", Reply(data)))
    with pytest.raises(SamdeskError, match=message) as caught:
        download(registry, weight, patience=patience, recognise=recognise)
    (kept,) = registry.folder.glob("*.aside")
    assert kept.read_bytes() == data
    assert kept.name in caught.value.hint
    assert registry.state(weight) == "missing"


def test_what_a_shipped_link_wrongly_brought_is_deleted(
    server: WeightsServer, registry: Registry, patience: Patience, make: Callable[..., Weight]
) -> None:
    data = b"Large"
    known = Hash("sha256", hashlib.sha256(data).hexdigest())
    weight = make(server.serve("/file", Reply(data)), hash=known, size=len(data))
    with pytest.raises(SamdeskError, match="type vit_l"):
        download(registry, weight, patience=patience, recognise=recognise)
    assert registry.state(weight) == "missing"
