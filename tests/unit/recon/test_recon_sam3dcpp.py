"""The ggml program through the real worker process, against a stand-in of it."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import struct
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from PIL import Image

from samdesk.domain.tasks import Cancelled, Task
from samdesk.recon import wire
from samdesk.recon.client import RunRequest, RunResult, Stage, Worker, WorkerError
from samdesk.recon.engines import worker_spec
from samdesk.recon.mesh import read_mesh
from samdesk.recon.mesh.paint import srgb_to_linear
from samdesk.recon.options import ReconOptions
from samdesk.recon.sam3dcpp import MODELS, Sam3dCppEngine, Setup, container
from samdesk.recon.splat import read_splats

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a script")

PROGRAM = """
import array, json, math, os, pathlib, signal, struct, sys, time

here = pathlib.Path(__file__).parent
told = json.loads((here / "told.json").read_text()) if (here / "told.json").exists() else {}
arguments = sys.argv[1:]
with (here / "calls.txt").open("a") as file:
    file.write(json.dumps({"pid": os.getpid(), "arguments": arguments}) + "\\n")
if len(arguments) not in (8, 9, 10):
    sys.exit(2)
module, backend, index, description, models, given, out, threads = arguments[:8]
say = lambda line: print(line, file=sys.stderr, flush=True)


def stop(line):
    say("[E] " + line)
    say("end-to-end graph session failed; see log output")
    sys.exit(1)


if not 1 <= int(threads) <= 1024 or backend not in ("CPU", "Vulkan"):
    sys.exit(2)
say(f"[I] backend: {backend} (stand-in)")
data = pathlib.Path(given).read_bytes()
w, h = struct.unpack_from("<2I", data, 8)
if data[:8] != b"S3DOBJ01" or len(data) != 16 + 4 * w * h:
    stop(f"e2e: invalid S3DOBJ01 input: {given}")
alpha = data[19::4]
if "error" in told:
    stop(told["error"])
if told.get("signal"):
    os.kill(os.getpid(), getattr(signal, told["signal"]))
if told.get("stubborn"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
say("[I] e2e: MoGe raw points=[-1,2] mask=[0,1] valid=9/9")
for i in range(25):
    time.sleep(told.get("step_s", 0))
    say(f"[I] e2e: ss step {i + 1}/25 done")
count = 0 if told.get("empty") else alpha.count(255)
say(f"[I] e2e: occupancy coords {count} (of 262144)")
for i in range(4, 25, 5):
    say(f"[I] e2e: slat step {i + 1}/25")
if told.get("silent"):
    sys.exit(0)
at = 16 + 4 * alpha.find(255)
color = [value / 255 for value in data[at : at + 3]]
if out.endswith(".ply"):
    names = "x y z nx ny nz f_dc_0 f_dc_1 f_dc_2 opacity scale_0 scale_1 scale_2 rot_0 rot_1 rot_2 rot_3"
    head = ["ply", "format binary_little_endian 1.0", f"element vertex {count}"]
    head += [f"property float {name}" for name in names.split()] + ["end_header", ""]
    row = [0.0] * 6 + [(value - 0.5) / 0.28209479177387814 for value in color] + [0.0] * 4 + [0.1] + [0.0] * 3
    body = array.array("f", row * count).tobytes()
    pathlib.Path(out).write_bytes("\\n".join(head).encode() + body[: -9 if told.get("short") else None])
elif out.endswith(".glb"):
    # y up, display colours as floats, no normals, a white material
    points = [0, 0, 0, 0.8, 0, 0, 0, 1, 0, 0, 0, -0.4]
    faces = [0, 1, 2, 0, 2, 3, 0, 3, 1, 1, 3, 2]
    if told.get("nan"):
        points[0] = math.nan
    if told.get("bare"):
        faces = []
    parts = [array.array("f", points), array.array("f", color * 4), array.array("I", faces)]
    parts = [part.tobytes() for part in parts]
    views, at = [], 0
    for part in parts:
        views.append({"buffer": 0, "byteOffset": at, "byteLength": len(part)})
        at += len(part)
    document = {
        "asset": {"version": "2.0", "generator": "sam3d.cpp"},
        "scene": 0, "scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [
            {"attributes": {"POSITION": 0, "COLOR_0": 1}, "indices": 2, "mode": 4, "material": 0}]}],
        "materials": [{"doubleSided": True, "pbrMetallicRoughness": {
            "baseColorFactor": [1, 1, 1, 1], "metallicFactor": 0, "roughnessFactor": 1}}],
        "buffers": [{"byteLength": at}], "bufferViews": views,
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 4, "type": "VEC3"},
            {"bufferView": 1, "componentType": 5126, "count": 4, "type": "VEC3"},
            {"bufferView": 2, "componentType": 5125, "count": len(faces), "type": "SCALAR"}],
    }
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    body = b"".join(parts)
    data = struct.pack("<5I", 0x46546C67, 2, 28 + len(text) + at, len(text), 0x4E4F534A)
    data += text + struct.pack("<2I", at, 0x004E4942) + body
    pathlib.Path(out).write_bytes(data[: -9 if told.get("short") else None])
else:
    sys.exit(2)
say(f"[I] e2e: wrote {out} in 1.0s total")
"""

H, W = 40, 60
ORANGE, BLUE = (230, 120, 20), (20, 60, 200)


@dataclass
class Bench:
    """A program, its models, and one worker for several tests."""

    root: Path
    worker: Worker
    stages: list[Stage] = field(default_factory=list)
    count: int = 0

    def tell(self, **what: Any) -> None:
        (self.root / "told.json").write_text(json.dumps(what), "utf-8")

    def calls(self) -> list[dict[str, Any]]:
        path = self.root / "calls.txt"
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return [json.loads(line) for line in lines]

    def run(self, *, width: int = W, cancel_at: tuple[str, int] | None = None, **options: Any) -> RunResult:
        self.count += 1
        self.stages = []
        folder = self.root / f"job{self.count}"
        folder.mkdir()
        mask = np.zeros((H, width), bool)
        mask[10:30, : width // 2] = True
        picture = np.where(mask[..., None], np.uint8(ORANGE), np.uint8(BLUE))
        Image.fromarray(picture).save(folder / "image.png")
        Image.fromarray(mask.astype(np.uint8) * 255).save(folder / "mask.png")
        task = Task()

        def moved(stage: Stage) -> None:
            self.stages.append(stage)
            if (stage.name, stage.i) == cancel_at:
                task.cancel()

        request = RunRequest("j", folder, "image.png", "mask.png", "out", ReconOptions(**options).to_json())
        return self.worker.run(request, task, moved, lambda path: None)

    @property
    def out(self) -> list[str]:
        """Names in the out folder of the last run."""
        return sorted(path.name for path in (self.root / f"job{self.count}" / "out").iterdir())


def make_program(root: Path) -> dict[str, Any]:
    """The program with its library and models; the config for them."""
    program = root / "object_infer"
    program.write_text(f"#!{sys.executable}\n{PROGRAM}", "utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    (root / "libggml-cpu.so").write_bytes(b"\x7fELF")
    models = root / "models"
    models.mkdir()
    for name in MODELS:
        (models / f"{name}-q8_0.gguf").write_bytes(b"GGUF" + bytes(2_000_000))
    return {
        "program": str(program),
        "module": str(root / "libggml-cpu.so"),
        "models": str(models),
        "device": "CPU",
        "precision": "q8_0",
        "threads": 0,
    }


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    root = tmp_path_factory.mktemp("sam3dcpp")
    worker = Worker(worker_spec("sam3dcpp", make_program(root)), root / "worker.log")
    yield Bench(root, worker)
    worker.close()


@pytest.fixture
def bench(shared: Bench) -> Bench:
    shared.tell()
    shared.calls()
    shared.worker.forgive()
    return shared


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_splat_and_a_mesh_in_two_runs(bench: Bench) -> None:
    made = bench.run(seed=7)
    first, second = (call["arguments"] for call in bench.calls())
    assert first[1:4] == ["CPU", "0", "-"]
    assert first[7:] == [str(os.cpu_count()), "q8_0", "7"]
    assert first[6].endswith(".ply")
    assert second[6].endswith(".glb")
    assert bench.out == [wire.MESH, wire.SPLAT]
    splats = read_splats(made.files["splat"])
    assert made.details["gaussians"] == len(splats) == 20 * W // 2
    assert np.abs(splats.colors[0] * 255 - ORANGE).max() < 1
    assert made.pose is None
    assert made.device == "CPU"
    assert made.version == hashlib.sha256((bench.root / "object_infer").read_bytes()).hexdigest()[:12]
    assert made.version.encode() in made.files["mesh"].read_bytes()[:4000]


def test_the_mesh_gets_linear_colours_and_normals(bench: Bench) -> None:
    made = bench.run(splat=False)
    assert bench.out == [wire.MESH]
    data = made.files["mesh"].read_bytes()
    assert b'"NORMAL"' in data
    assert b'"metallicFactor":0.0' in data
    assert b'"engine":"SAM 3D Objects (sam3d.cpp)"' in data
    (raw,) = trimesh.load_scene(made.files["mesh"], process=False).geometry.values()
    light = raw.visual.vertex_attributes["color"][0][:3]
    assert light == pytest.approx(srgb_to_linear(np.array(ORANGE, np.uint8)), abs=1e-6)
    mesh = read_mesh(made.files["mesh"])
    assert np.ptp(mesh.vertices, axis=0) == pytest.approx([0.8, 0.4, 1.0])
    assert mesh.colors is not None
    assert mesh.colors.tolist() == [list(ORANGE)] * 4
    assert (made.details["vertices"], made.details["faces"]) == (4, 4)
    assert len(bench.calls()) == 1


def test_progress_comes_from_the_log_and_never_goes_back(bench: Bench) -> None:
    bench.run()
    order = ["load", "depth", "shape", "look", "splat", "mesh", "export"]
    places = [(order.index(stage.name), stage.i / stage.n) for stage in bench.stages]
    assert places == sorted(places)
    assert {places[i][0] for i in range(len(places)) if places[i][1] == 1} >= set(range(1, len(order)))
    assert Stage("shape", 24, 25) in bench.stages
    assert Stage("look", 5, 25) in bench.stages
    mesh = [stage.i for stage in bench.stages if stage.name == "mesh"]
    assert len(mesh) > 25  # the second run is one long stage
    bench.run(splat=False)
    assert Stage("shape", 25, 25) in bench.stages


@pytest.mark.parametrize("stubborn", [False, True])
def test_cancel_ends_the_program(bench: Bench, stubborn: bool) -> None:
    bench.tell(step_s=0.05, stubborn=stubborn)
    began = time.monotonic()
    with pytest.raises(Cancelled):
        bench.run(cancel_at=("shape", 3))
    assert time.monotonic() - began < 4
    (call,) = bench.calls()
    assert not alive(call["pid"])
    assert bench.out == []
    assert bench.worker.running  # the worker itself was not ended
    bench.tell()
    assert bench.run(mesh=False).files


@pytest.mark.parametrize(
    ("told", "kind", "words"),
    [
        ({"error": "e2e: slat flow alloc failed"}, "oom", "ran out of memory: slat flow alloc failed"),
        ({"error": "requested backend device 0 is unavailable"}, "missing_module", "cannot use the device"),
        ({"error": "e2e: failed to load ss_decoder"}, "missing_weights", "failed to load ss_decoder"),
        ({"error": "e2e: something odd"}, "internal", "failed with code 1: something odd"),
        ({"signal": "SIGSEGV"}, "internal", "crashed by signal 11"),
        ({"signal": "SIGKILL"}, "oom", "was killed"),
        ({"empty": True}, "mask_empty", "no body"),
        ({"silent": True}, "internal", r"ended without splat\.ply"),
        ({"short": True}, "internal", "ends too early"),
    ],
)
def test_what_the_program_says_is_told(bench: Bench, told: dict[str, Any], kind: str, words: str) -> None:
    bench.tell(**told)
    with pytest.raises(WorkerError, match=words) as caught:
        bench.run()
    assert caught.value.kind == kind
    assert caught.value.hint
    assert bench.out == []


@pytest.mark.parametrize("how", ["nan", "bare", "short"])
def test_a_broken_mesh(bench: Bench, how: str) -> None:
    bench.tell(**{how: True})
    with pytest.raises(WorkerError, match="broken") as caught:
        bench.run(splat=False)
    assert caught.value.kind == "nan_mesh"
    assert bench.out == []


def test_a_picture_that_is_too_large(bench: Bench) -> None:
    with pytest.raises(WorkerError, match="4097 × 40"):
        bench.run(width=4097)


def test_the_container() -> None:
    rgba = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
    assert container(rgba) == b"S3DOBJ01" + struct.pack("<II", 3, 2) + bytes(range(24))
    assert container(rgba[:, ::-1])[16:20] == bytes(rgba[0, 2])


def test_check_and_load_name_what_is_missing(tmp_path: Path) -> None:
    config = make_program(tmp_path)
    engine = Sam3dCppEngine()
    assert [item["name"] for item in engine.check(config) if item["ok"] is False] == []
    (tmp_path / "models" / "ss_decoder-q8_0.gguf").write_bytes(b"something else")
    (tmp_path / "models" / "moge_vitl-q8_0.gguf").unlink()
    (tmp_path / "object_infer").chmod(0o644)
    items = {item["name"]: item for item in engine.check(config)}
    failing = {name for name, item in items.items() if item["ok"] is False}
    if os.geteuid() != 0 or "Program" in failing:
        assert failing == {"Program", "ss_decoder-q8_0.gguf", "moge_vitl-q8_0.gguf"}
    assert "is not a GGUF file" in items["ss_decoder-q8_0.gguf"]["detail"]
    assert "is not there" in items["moge_vitl-q8_0.gguf"]["detail"]
    assert items["ss_generator-q8_0.gguf"]["detail"] == "2 MB"
    worker = Worker(worker_spec("sam3dcpp", config), tmp_path / "log")
    try:
        with pytest.raises(WorkerError, match=r"is missing.* Also missing: .*ss_decoder-q8_0\.gguf"):
            Bench(tmp_path, worker).run()
    finally:
        worker.close()
    nothing = [item for item in engine.check({}) if item["ok"] is False]
    assert nothing[0]["detail"] == "none is chosen"


def test_setup_of_a_config() -> None:
    setup = Setup.of({"program": "~/x", "threads": 5000})
    assert setup.program == Path.home() / "x"
    assert setup.threads == 1024
    assert setup.model("ss_decoder").name == "ss_decoder-f16.gguf"
    assert setup.command(Path("/in"), Path("/out.glb"), -1)[-1] == str((1 << 32) - 1)
