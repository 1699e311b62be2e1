"""The registry: the shipped one and the user's, what they tolerate, and two processes at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

import samdesk.weights
from samdesk.domain.errors import SamdeskError
from samdesk.weights import TYPES, Hash, Registry, default_registry
from samdesk.weights.registry import shipped_registry
from samdesk.weights.weight import check_file_name, file_name_for, weight_from_json, weight_to_json

SCHEMA = json.loads(Path(samdesk.weights.__file__).with_name("weights.schema.json").read_text())
SHIPPED = json.loads(shipped_registry().read_text("utf-8"))
ENTRY = {"type": "vit_b", "name": "Mine", "file": "mine.pt", "url": "https://example.org/mine"}


@pytest.fixture
def real(tmp_path: Path) -> Registry:
    """The shipped registry with a user's that does not exist yet."""
    return Registry(shipped_registry(), tmp_path / "w" / "weights.json", tmp_path / "w")


def write_user(registry: Registry, *entries: object, **more: object) -> None:
    registry.user.parent.mkdir(parents=True, exist_ok=True)
    registry.user.write_text(json.dumps({"version": 1, "weights": entries, **more}))


def test_the_shipped_registry_keeps_to_its_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(SHIPPED, SCHEMA)


@pytest.mark.parametrize(
    "change",
    [
        {"type": "vit_x"},
        {"name": " "},
        {"file": "../a.pt"},
        {"sha256": "AB"},
        {"size": 0},
        {"url": "ftp://a/b"},
        {"gated": "no"},
    ],
    ids=str,
)
def test_the_schema_refuses(change: dict[str, object]) -> None:
    spoiled = {"version": 1, "weights": [{**SHIPPED["weights"][0], **change}]}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(spoiled, SCHEMA)


def test_every_shipped_entry_is_usable(real: Registry) -> None:
    assert real.problems == ()
    assert len(real.weights) == len(SHIPPED["weights"])
    for weight in real.weights:
        assert weight.url.startswith("https://")
        assert weight.hash is not None
        assert weight.licence
        assert weight.homepage
        assert weight.about.endswith(".")
    for key in ("name", "file", "url"):
        values = [getattr(weight, key).casefold() for weight in real.weights]
        assert len(set(values)) == len(values)


def test_every_model_type_has_a_weight_and_the_newer_one_comes_first(real: Registry) -> None:
    assert all(real.of_type(type_) for type_ in TYPES)
    assert real.of_type("sam2_t")[0].name == "SAM 2.1 Hiera-T"
    assert [weight.name for weight in real.weights if weight.gated] == ["SAM 3"]


def test_an_entry_survives_being_written_and_read(real: Registry) -> None:
    for weight in real.weights:
        assert weight_from_json(weight_to_json(weight), "shipped") == weight
    jsonschema.validate({"version": 1, "weights": [weight_to_json(w) for w in real.weights]}, SCHEMA)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("SAM ViT-B", "SAM ViT-B"),
        ("  sam vit-b ", "SAM ViT-B"),
        ("sam_vit_h_4b8939.pth", "SAM ViT-H"),
        ("vit_l", "SAM ViT-L"),
        ("mobile", "MobileSAM"),
        ("sam3", "SAM 3"),
        ("pathosam), vit-l", "Histopathology (PathoSAM), ViT-L"),
    ],
)
def test_finding(text: str, name: str, real: Registry) -> None:
    assert real.find(text).name == name


@pytest.mark.parametrize("text", ["", "nothing", "hiera", "yolo"])
def test_finding_nothing_or_too_much_lists_what_there_is(text: str, real: Registry) -> None:
    with pytest.raises(SamdeskError) as caught:
        real.find(text)
    assert "SAM 2.1 Hiera-T (sam2_t)" in caught.value.hint


def test_a_type_prefers_a_file_that_is_ready(real: Registry) -> None:
    weight = real.find("Medical imaging, ViT-B")
    real.folder.mkdir()
    real.path(weight).write_bytes(b"weights")
    assert real.find("vit_b").name == "SAM ViT-B"
    real.ledger.note(real.path(weight), "ready")
    assert real.find("vit_b") == weight


def test_adding_and_removing(real: Registry) -> None:
    added = real.add(" My  nuclei ", type="vit_b", url="https://example.org/x", hash=Hash("sha256", "0" * 64))
    assert (added.name, added.file, added.source) == ("My nuclei", "My_nuclei.pt", "user")
    again = Registry(real.shipped, real.user, real.folder)
    assert again.find("my nuclei") == added
    assert again.by_url("https://example.org/x") == added
    jsonschema.validate(json.loads(real.user.read_text()), SCHEMA)
    again.remove(added)
    assert added not in real.weights
    assert len(real.weights) == len(SHIPPED["weights"])


def test_a_user_may_take_the_place_of_a_shipped_entry(real: Registry) -> None:
    with pytest.raises(SamdeskError, match="already"):
        real.add("sam vit-b", type="vit_b", url="https://mirror.example.org/b.pth")
    changed = real.add("SAM ViT-B", type="vit_b", url="https://mirror.example.org/b.pth", replace=True)
    assert real.find("SAM ViT-B") == changed
    assert changed.file == "sam_vit_b_01ec64.pth"
    assert len(real.weights) == len(SHIPPED["weights"])
    real.remove(changed)
    assert real.find("SAM ViT-B").source == "shipped"


@pytest.mark.parametrize(
    ("name", "kind", "url"),
    [
        ("", "vit_b", "https://a.org/b"),
        ("a", "vit_q", "https://a.org/b"),
        ("a", "vit_b", "file:///etc/passwd"),
        ("a", "vit_b", "ftp://a.org/b"),
    ],
)
def test_what_cannot_be_added(name: str, kind: str, url: str, real: Registry) -> None:
    with pytest.raises(SamdeskError):
        real.add(name, type=kind, url=url)
    assert not real.user.exists()


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "/absolute",
        "C:\\Windows\\x",
        "a/b\\c",
        "nul",
        "CON.pt",
        "..",
        "...",
        "é ü",
        "\x00",
        "x" * 500,
    ],
)
def test_no_name_leaves_the_folder(name: str, real: Registry) -> None:
    made = file_name_for(name)
    assert Path(made).name == made
    assert len(made) < 130
    if name.strip():
        weight = real.add(name, type="vit_b", url="https://a.org/b")
        assert real.path(weight).parent == real.folder


@given(st.text())
def test_any_name_makes_a_file_name_that_the_registry_takes(name: str) -> None:
    check_file_name(file_name_for(name))


def test_names_that_become_the_same_file_stay_apart(real: Registry) -> None:
    files = {real.add(name, url="https://a.org/b").file for name in ("a b", "a_b", "a/b", "A?B")}
    assert len({file.casefold() for file in files}) == 4


@pytest.mark.parametrize(
    "change",
    [
        {"file": "../../evil.pt"},
        {"file": "/etc/passwd"},
        {"file": "a\\b.pt"},
        {"file": "a.pt.part"},
        {"file": ""},
        {"type": "vit_zz"},
        {"name": ""},
        {"name": 3},
        {"sha256": "xyz"},
        {"size": "large"},
        {"size": True},
        {"gated": "yes"},
        {"hash": "md5"},
        {"hash": {"algorithm": "md5", "value": "0" * 32}},
    ],
    ids=str,
)
def test_a_bad_entry_is_left_out_and_told_of(change: dict[str, object], real: Registry) -> None:
    write_user(real, {**ENTRY, **change}, {**ENTRY, "name": "Good", "file": "good.pt"})
    assert real.find("Good").file == "good.pt"
    assert len(real.weights) == len(SHIPPED["weights"]) + 1
    assert "Entry 1" in real.problems[0]
    real.add("Another", url="https://a.org/b")
    assert json.loads(real.user.read_text())["weights"][0] == {**ENTRY, **change}


def test_unknown_keys_are_tolerated_and_kept(real: Registry) -> None:
    write_user(real, {**ENTRY, "colour": "red"}, note="mine", version=1)
    assert real.find("Mine").type == "vit_b"
    real.set_type(real.find("Mine"), "vit_l")
    written = json.loads(real.user.read_text())
    assert written["note"] == "mine"
    assert written["weights"][0]["colour"] == "red"
    assert written["weights"][0]["type"] == "vit_l"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '"x"', '{"version": 1}', '{"weights": 3}', "\x00\x01", "[" * 100_000]
)
def test_a_broken_user_registry_is_kept_aside(text: str, real: Registry) -> None:
    real.folder.mkdir()
    real.user.write_text(text)
    assert len(real.weights) == len(SHIPPED["weights"])
    (kept,) = real.folder.glob("weights.*.damaged.json")
    assert kept.read_text() == text
    assert kept.name in real.problems[0]
    real.add("Mine", url="https://a.org/b")
    assert real.find("Mine")
    assert kept.exists()


def test_a_registry_that_cannot_be_read_is_not_overwritten(real: Registry) -> None:
    real.user.mkdir(parents=True)
    assert len(real.weights) == len(SHIPPED["weights"])
    assert real.problems
    with pytest.raises(SamdeskError):
        real.add("Mine", url="https://a.org/b")
    assert real.user.is_dir()


def test_what_another_process_wrote_is_seen(real: Registry) -> None:
    other = Registry(real.shipped, real.user, real.folder)
    assert real.by_url("https://a.org/1") is None
    other.add("One", url="https://a.org/1")
    assert real.by_url("https://a.org/1") is not None


def test_processes_that_write_at_once_lose_nothing(real: Registry) -> None:
    script = (
        "import sys; from pathlib import Path; from samdesk.weights import Registry\n"
        "shipped, user, folder, who = sys.argv[1:]\n"
        "registry = Registry(Path(shipped), Path(user), Path(folder))\n"
        "for n in range(10): registry.add(f'{who} {n}', url=f'https://a.org/{who}/{n}')\n"
    )
    command = [sys.executable, "-c", script, str(real.shipped), str(real.user), str(real.folder)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    processes = [subprocess.Popen([*command, who], env=environment) for who in ("a", "b", "c")]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    names = {weight.name for weight in real.weights if weight.source == "user"}
    assert names == {f"{who} {n}" for who in "abc" for n in range(10)}
    assert len({weight.file.casefold() for weight in real.weights}) == len(real.weights)


def test_states(real: Registry) -> None:
    weight = real.add("Mine", type="vit_b", url="https://a.org/b", size=7, hash=Hash("sha256", "0" * 64))
    path = real.path(weight)
    assert real.state(weight) == "missing"
    assert real.state(real.find("sam3")) == "gated"
    real.part(weight).write_bytes(b"wei")
    assert real.state(weight) == "partial"
    path.write_bytes(b"weights")
    assert real.state(weight) == "unchecked"
    real.ledger.note(path, "ready", sha256="0" * 64)
    assert real.state(weight) == "ready"
    path.write_bytes(b"weight!")
    os.utime(path, ns=(1, 1))
    assert real.state(weight) == "unchecked"
    real.ledger.note(path, "damaged", reason="It is a page.")
    assert real.state(weight) == "damaged"
    assert real.why_damaged(weight) == "It is a page."
    path.write_bytes(b"longer than it was")
    assert real.state(weight) == "damaged"
    assert "instead of 7" in real.why_damaged(weight)
    path.unlink()
    real.part(weight).unlink()
    assert real.state(weight) == "missing"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"mine.pt": 3}', '{"mine.pt": {"verdict": "ready"}}'])
def test_a_broken_ledger_costs_a_verification_only(text: str, real: Registry) -> None:
    weight = real.add("mine", url="https://a.org/b")
    real.path(weight).write_bytes(b"weights")
    (real.folder / "files.json").write_text(text)
    assert real.state(weight) == "unchecked"
    real.ledger.note(real.path(weight), "ready")
    assert real.state(weight) == "ready"


def test_the_registry_of_this_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMDESK_HOME", str(tmp_path))
    registry = default_registry()
    assert registry.user == tmp_path / "data" / "weights" / "weights.json"
    assert registry.find("vit_b").size == 375042383
    monkeypatch.setenv("SAMDESK_HOME", str(shipped_registry()))
    with pytest.raises(SamdeskError, match="cannot be written"):
        default_registry()


def test_the_room_loads_no_http_client() -> None:
    heavy = {"httpx", "gdown", "keyring", "rich", "torch", "numpy"}
    script = f"import sys, samdesk.weights; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
