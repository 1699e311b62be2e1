"""SAM 3D Objects through the real worker process, against a stand-in of its checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray
from PIL import Image

from samdesk.domain.errors import MemoryFullError, SamdeskError
from samdesk.domain.tasks import Cancelled, Task
from samdesk.recon import wire
from samdesk.recon.client import CheckItem, RunRequest, RunResult, Stage, Worker, WorkerError
from samdesk.recon.engines import RECON_ENGINES, WorkerSpec
from samdesk.recon.mesh import read_mesh
from samdesk.recon.mesh.paint import srgb_to_linear
from samdesk.recon.options import ReconOptions
from samdesk.recon.pose import FACING, Pose
from samdesk.recon.sam3d.checking import CHECKPOINTS, FULL_MEMORY, NEEDED, SOME_MEMORY, checked
from samdesk.recon.sam3d.environment import environment, hub_folder, torch_hub_folder
from samdesk.recon.sam3d.failures import explained
from samdesk.recon.sam3d.hooks import replaced
from samdesk.recon.sam3d.loading import allow, commit_of
from samdesk.recon.sam3d.making import camera_of, pose_of
from samdesk.recon.splat import read_splats
from samdesk.recon.worker.base import EngineError, Stopped
from tests.sam3d_standin import CARD, Installation, install
from tests.sam3d_standin.packages.torch import Tensor

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in's environment has links")

H, W = 120, 160
ORANGE, BLUE = (230, 120, 20), (20, 60, 200)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    pytest.importorskip("omegaconf")
    pytest.importorskip("hydra")
    return install(tmp_path_factory.mktemp("sam3d"))


@dataclass
class Bench:
    """One worker that several tests use, and a job folder for each run."""

    installed: Installation
    worker: Worker
    root: Path
    stages: list[Stage] = field(default_factory=list)
    previews: list[Path] = field(default_factory=list)
    count: int = 0

    def folder(self, mask: NDArray[np.bool_] | None = None) -> Path:
        """A job folder with a picture, and its mask as 0.png."""
        self.count += 1
        folder = self.root / f"job{self.count}"
        folder.mkdir()
        picture = np.empty((H, W, 3), np.uint8)
        picture[:] = BLUE
        chosen = ellipse() if mask is None else mask
        if chosen.shape == picture.shape[:2]:
            picture[chosen] = ORANGE
        Image.fromarray(picture).save(folder / "image.png")
        Image.fromarray(np.where(chosen, np.uint8(255), np.uint8(0))).save(folder / "0.png")
        return folder

    def run(
        self,
        folder: Path | None = None,
        *,
        pointmap: str = "",
        mask: str = "0.png",
        out: str = "out",
        cancel_at: Stage | None = None,
        **options: Any,
    ) -> RunResult:
        self.stages, self.previews = [], []
        task = Task()

        def moved(stage: Stage) -> None:
            self.stages.append(stage)
            if stage == cancel_at:
                task.cancel()

        values = ReconOptions(**{"steps_shape": 3, "steps_look": 2, **options}).to_json()
        request = RunRequest("j", folder or self.folder(), "image.png", mask, out, values, pointmap)
        return self.worker.run(request, task, moved, self.previews.append)

    def names(self) -> list[str]:
        """The stages in the order of their first word."""
        return list(dict.fromkeys(stage.name for stage in self.stages))


def ellipse() -> NDArray[np.bool_]:
    y, x = np.mgrid[:H, :W]
    return ((x - 70) / 45) ** 2 + ((y - 55) / 35) ** 2 < 1


def spec_for(installed: Installation, **changes: Any) -> WorkerSpec:
    config = {**installed.config, **changes}
    added = environment(config) | {"SAM3D_STANDIN": str(installed.told)}
    python = Path(config.pop("python"))
    return WorkerSpec("sam3d", RECON_ENGINES["sam3d"].target, python, config, added)


@pytest.fixture(scope="module")
def shared(installed: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    root = tmp_path_factory.mktemp("jobs")
    worker = Worker(spec_for(installed), root / "worker.log", cancel_grace_s=3.0, term_grace_s=1.0)
    yield Bench(installed, worker, root)
    worker.close()


@pytest.fixture
def bench(shared: Bench) -> Iterator[Bench]:
    shared.installed.tell()
    shared.installed.calls()
    shared.worker.forgive()
    yield shared
    shared.installed.tell()


# an object


def test_one_object_with_all_that_belongs_to_it(bench: Bench) -> None:
    made = bench.run(seed=7)
    assert bench.names() == ["load", "depth", "shape", "look", "splat", "mesh", "layout", "export"]
    shape = [(stage.i, stage.n) for stage in bench.stages if stage.name == "shape"]
    assert shape == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert [(s.i, s.n) for s in bench.stages if s.name == "look"] == [(0, 2), (1, 2), (2, 2)]
    assert set(made.files) == {"splat", "mesh"}
    folder = made.files["splat"].parent
    assert sorted(path.name for path in folder.iterdir()) == [wire.MESH, wire.PREVIEW, wire.SPLAT]
    assert made.pose is not None
    assert made.pose.rotation == pytest.approx(FACING)
    assert made.pose.translation == pytest.approx((-0.25, 0.375, 2.75))  # the layout step moved it
    assert made.pose.scale == pytest.approx(1.5)
    assert made.camera is not None
    assert made.camera.kind == "perspective"
    assert made.camera.extent == pytest.approx(50.0, abs=0.1)
    assert made.camera.aspect == pytest.approx(W / H)
    details = made.details
    assert details["seed_used"] == 7
    assert details["layout"] == "refined"
    assert details["layout_iou"] == 0.875
    assert details["vram_peak"] == 4_096_000_000
    assert details["gaussians"] == 32 * details["voxels"]


def test_the_pipeline_is_asked_for_what_was_chosen(bench: Bench) -> None:
    bench.run(seed=11, steps_shape=4, steps_look=1, distill_shape=True)
    (call,) = bench.installed.calls()
    assert call["seed"] == 11
    assert call["steps"] == [4, 1]
    assert call["shortcut"] == [True, False]
    assert call["decode_formats"] == ["gaussian", "mesh"]
    assert not call["with_mesh_postprocess"]
    assert not call["with_texture_baking"]
    assert call["with_layout_postprocess"]
    assert call["use_vertex_color"]
    assert call["workspace"] == str(bench.installed.checkpoints)
    assert call["spconv"] == "native"
    bench.run(seed=11, layout=False, distill_look=True)
    (call,) = bench.installed.calls()
    assert call["shortcut"] == [False, True]
    assert not call["with_layout_postprocess"]


def test_the_mask_is_whole_in_the_alpha_channel(bench: Bench) -> None:
    made = bench.run(mesh=False)
    (call,) = bench.installed.calls()
    assert call["alpha"] == [0, 255]
    splats = read_splats(made.files["splat"])
    # with the mask at 1 of 255 the stand-in, like the model, sees next to black
    assert np.abs(splats.colors.mean(0) * 255 - ORANGE).max() < 40


def test_the_notebook_takes_a_bool_mask_and_wraps_another(bench: Bench) -> None:
    """The trap that the engine must not step into, in the stand-in of the other entry point."""
    script = (
        "import json, sys, numpy as np; sys.path[:0] = [sys.argv[1], sys.argv[1] + '/notebook']\n"
        "from inference import Inference\n"
        "model = Inference(sys.argv[2]); model._pipeline.decode_formats = ['gaussian']\n"
        "image = np.full((120, 160, 3), 200, np.uint8); mask = np.zeros((120, 160), bool)\n"
        "mask[30:90, 40:120] = True\n"
        "print(len(model(image, mask)['coords']))\n"
        "try: model(image, mask.astype(np.uint8) * 255)\n"
        "except RuntimeError as error: print(error)\n"
    )
    installed = bench.installed
    command = [str(installed.python), "-c", script, str(installed.repository)]
    command.append(str(installed.checkpoints / "pipeline.yaml"))
    added = environment(installed.config) | {"SAM3D_STANDIN": str(installed.told)}
    base = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "CONDA"))}
    told = subprocess.run(command, env=base | added, capture_output=True, text=True, check=True).stdout
    assert int(told.splitlines()[-2]) > 20
    assert "numel() == 0" in told.splitlines()[-1]
    assert [call["alpha"] for call in installed.calls()] == [[0, 255]]
    del added["CONDA_PREFIX"]
    failed = subprocess.run(command, env=base | added, capture_output=True, text=True, check=False)
    assert "KeyError: 'CONDA_PREFIX'" in failed.stderr


@pytest.mark.parametrize(
    ("options", "formats", "files"),
    [
        ({"mesh": False}, ["gaussian"], {"splat"}),
        ({"mesh": False, "light_splat": True}, ["gaussian_4"], {"splat"}),
        ({"light_splat": True}, ["gaussian", "gaussian_4", "mesh"], {"splat", "mesh"}),
        ({"splat": False, "light_splat": True}, ["gaussian", "mesh"], {"mesh"}),
    ],
)
def test_only_what_is_wanted_is_decoded(
    bench: Bench, options: dict[str, Any], formats: list[str], files: set[str]
) -> None:
    made = bench.run(**options)
    (call,) = bench.installed.calls()
    assert call["decode_formats"] == formats
    assert set(made.files) == files
    if "splat" in files:
        per_voxel = 4 if options.get("light_splat") else 32
        assert made.details["gaussians"] == per_voxel * made.details["voxels"]
    if "mesh" not in files:  # the pipeline refines a pose with the mesh only
        assert made.details["layout"] == "skipped"
        assert "mesh" not in bench.names()


def test_neither_splat_nor_mesh(bench: Bench) -> None:
    with pytest.raises(WorkerError, match="Neither"):
        bench.run(splat=False, mesh=False)


def test_the_splat_stays_as_the_model_wrote_it(bench: Bench) -> None:
    made = bench.run(mesh=False)
    raw = made.files["splat"].read_bytes()
    body = np.frombuffer(raw.partition(b"end_header\n")[2], "<f4").reshape(-1, 17)
    assert np.allclose(body[:, 13:], (1.1, 0.2, 0.0, 0.1))  # of no unit length on disk
    splats = read_splats(made.files["splat"])
    assert np.allclose(np.linalg.norm(splats.rotations, axis=1), 1)


def test_the_mesh_is_y_up_with_linear_colours_normals_and_a_matt_material(bench: Bench) -> None:
    made = bench.run(splat=False)
    data = made.files["mesh"].read_bytes()
    (raw,) = trimesh.load_scene(made.files["mesh"], process=False).geometry.values()
    assert np.ptp(raw.vertices, axis=0) == pytest.approx([0.8, 1.0, 0.4], abs=0.02)  # high along y
    assert made.details["vertices"] == len(raw.vertices)
    assert made.details["faces"] == len(raw.faces)
    light = raw.visual.vertex_attributes["color"][0][:3]
    assert light == pytest.approx(srgb_to_linear(np.array((204, 127, 25))), abs=0.01)
    document = json.loads(data[20 : 20 + int.from_bytes(data[12:16], "little")])
    assert document["materials"][0]["pbrMetallicRoughness"] == {"metallicFactor": 0, "roughnessFactor": 1}
    assert "NORMAL" in document["meshes"][0]["primitives"][0]["attributes"]
    assert document["asset"]["extras"]["engine"] == "SAM 3D Objects"
    mesh = read_mesh(made.files["mesh"])  # z up again, display colours again
    assert np.ptp(mesh.vertices, axis=0) == pytest.approx([0.8, 0.4, 1.0], abs=0.02)
    assert mesh.colors is not None
    assert np.abs(mesh.colors[0].astype(int)[:3] - (204, 127, 25)).max() <= 1


def test_a_simplified_mesh_gets_its_colours_back(bench: Bench) -> None:
    made = bench.run(splat=False, clean_mesh=True)
    (call,) = bench.installed.calls()
    assert call["with_mesh_postprocess"]
    mesh = read_mesh(made.files["mesh"])
    assert mesh.colors is not None
    assert np.abs(mesh.colors.astype(int) - (204, 127, 25)).max() <= 1


def test_baking_a_texture_needs_a_package_of_its_own(bench: Bench) -> None:
    with pytest.raises(WorkerError, match="“nvdiffrast”") as caught:
        bench.run(texture=True)
    assert caught.value.kind == "missing_module"
    package = bench.installed.packages / "nvdiffrast.py"
    package.write_text("", "utf-8")
    try:
        made = bench.run(texture=True, splat=False)
    finally:
        package.unlink()
    mesh = read_mesh(made.files["mesh"])
    assert mesh.texture is not None
    assert np.abs(mesh.texture[0, 0].astype(int) - (200, 120, 30)).max() <= 2
    data = made.files["mesh"].read_bytes()
    document = json.loads(data[20 : 20 + int.from_bytes(data[12:16], "little")])
    assert document["materials"][0]["pbrMetallicRoughness"]["metallicFactor"] == 0
    assert document["asset"]["extras"]["engine"] == "SAM 3D Objects"
    assert "NORMAL" in document["meshes"][0]["primitives"][0]["attributes"]


def test_the_first_stage_is_shown_while_the_rest_goes_on(bench: Bench) -> None:
    bench.run(mesh=False)
    (path,) = bench.previews
    points = np.load(path)
    assert points.dtype == np.float32
    assert points.shape[1] == 3
    assert np.abs(points).max() < 0.5
    # x to the right, z up, as in the picture: the ellipse lies left of and above the middle
    middle = (points.min(0) + points.max(0)) / 2
    assert middle[0] == pytest.approx(70 / W - 0.5, abs=0.04)
    assert middle[2] == pytest.approx(0.5 - 55 / H, abs=0.04)
    bench.run(mesh=False, preview=False)
    assert not bench.previews


def test_a_seed_gives_the_same_again(bench: Bench) -> None:
    for seed in (5, 5, 6):
        bench.run(seed=seed)  # the layout step seeds anew, which must not be seen
    noise = [call["noise"] for call in bench.installed.calls()]
    assert noise[0] == noise[1] != noise[2]


# several objects of one picture


def test_objects_of_a_picture_share_one_pointmap(bench: Bench) -> None:
    folder = bench.folder()
    right = np.zeros((H, W), bool)
    right[20:100, 120:140] = True
    Image.fromarray(right.astype(np.uint8) * 255).save(folder / "1.png")
    first = bench.run(folder, pointmap=wire.POINTMAP)
    second = bench.run(folder, pointmap=wire.POINTMAP, mask="1.png", out="out1")
    calls = bench.installed.calls()
    assert calls[1]["depth_calls"] == calls[0]["depth_calls"]
    assert [call["given_pointmap"] for call in calls] == [False, True]
    points = np.load(folder / wire.POINTMAP)
    assert points.shape == (H, W, 3)
    assert points.dtype == np.float32
    # the far wall is cut off for the first object, and still there for the others
    assert np.isfinite(points[1:, int(0.95 * W)]).all()
    assert first.camera == second.camera


def test_a_pointmap_of_another_picture_is_refused(bench: Bench) -> None:
    folder = bench.folder()
    np.save(folder / wire.POINTMAP, np.zeros((5, 5, 3), np.float32))
    with pytest.raises(WorkerError, match="not of this picture") as caught:
        bench.run(folder, pointmap=wire.POINTMAP)
    assert caught.value.kind == "size_mismatch"
    (folder / wire.POINTMAP).write_bytes(b"rubbish")
    with pytest.raises(WorkerError, match=r"pointmap\.npy cannot be read"):
        bench.run(folder, pointmap=wire.POINTMAP)


# cancel


@pytest.mark.parametrize(
    "at",
    [
        Stage("depth", 0, 1),
        Stage("shape", 2, 40),
        Stage("look", 1, 2),
        Stage("mesh", 0, 2),
        Stage("layout", 0, 1),
    ],
)
def test_cancel_stops_at_the_next_step_and_leaves_nothing_behind(bench: Bench, at: Stage) -> None:
    slow = {"shape": "ss_generator", "look": "slat_generator", "mesh": "slat_decoder_mesh"}
    bench.installed.tell(sleep={slow.get(at.name, at.name): 0.005 if at.name == "shape" else 0.2})
    steps = at.n if at.name == "shape" else 3
    pid = bench.worker.pid
    with pytest.raises(Cancelled):
        bench.run(bench.folder(), steps_shape=steps, cancel_at=at)
    assert bench.worker.pid == pid  # stopped by a word, not by a signal
    assert not bench.installed.calls() or at.name not in ("depth", "shape")
    out = bench.root / f"job{bench.count}" / "out"
    assert {path.name for path in out.iterdir()} <= {wire.PREVIEW}
    # the step counts are as before, so that the next run has its own
    bench.installed.tell()
    made = bench.run(steps_shape=2, steps_look=1, mesh=False)
    assert made.files
    assert bench.installed.calls()[-1]["steps"] == [2, 1]


# what goes wrong


@pytest.mark.parametrize(
    ("where", "how", "kind", "words"),
    [
        ("slat_decoder_mesh", "nan", "nan_mesh", "mesh came out broken"),
        ("slat_decoder_mesh", "empty", "nan_mesh", "mesh came out broken"),
        ("slat_decoder_gs", "nan", "nan_mesh", "splat came out broken"),
        ("voxels", "empty", "mask_empty", "no body"),
        ("depth", "module", "missing_module", "lacks “no_such_kernel”"),
        ("depth", "odd", "internal", "KeyError: 'something that nobody expects'"),
    ],
)
def test_a_failure_has_its_kind_and_its_words_and_the_next_object_is_made(
    bench: Bench, where: str, how: str, kind: str, words: str
) -> None:
    fails(bench, where, how, kind, words)
    pid = bench.worker.pid
    assert bench.run(mesh=False).files
    assert bench.worker.pid == pid


def fails(bench: Bench, where: str, how: str, kind: str, words: str) -> None:
    """Fail as told, and leave nothing behind."""
    folder = bench.folder()
    bench.installed.tell(fail={where: how})
    with pytest.raises(WorkerError, match=words) as caught:
        bench.run(folder)
    assert caught.value.kind == kind
    assert caught.value.hint
    assert {path.name for path in (folder / "out").iterdir()} <= {wire.PREVIEW}
    bench.installed.tell()


def test_a_layout_that_fails_is_not_the_end(bench: Bench) -> None:
    bench.installed.tell(fail={"layout": "odd"})
    made = bench.run()
    assert made.details["layout"] == "skipped"
    assert made.pose is not None
    assert made.pose.translation == pytest.approx((-0.5, 0.125, 2.5))


def test_a_pose_that_is_no_number_is_left_out(bench: Bench) -> None:
    bench.installed.tell(fail={"pose": "nan"})
    made = bench.run(layout=False)
    assert made.pose is None
    assert made.details["pose"] == "not finite"
    assert made.files


@pytest.mark.parametrize(
    ("mask", "kind"), [(np.zeros((H, W), bool), "mask_empty"), (np.ones((H, W + 1), bool), "size_mismatch")]
)
def test_a_mask_that_does_not_do(bench: Bench, mask: NDArray[np.bool_], kind: str) -> None:
    with pytest.raises(WorkerError) as caught:
        bench.run(bench.folder(mask))
    assert caught.value.kind == kind


@pytest.mark.parametrize(
    ("where", "how", "kind", "words"),
    [
        ("slat_decoder_mesh", "oom", "oom", "graphics memory is full"),
        ("slat_generator", "cuda", "cuda", "CUDA error: an illegal memory access"),
    ],
)
def test_after_trouble_with_the_card_a_new_process_makes_the_next_object(
    bench: Bench, where: str, how: str, kind: str, words: str
) -> None:
    fails(bench, where, how, kind, words)
    assert not bench.worker.running
    assert bench.run(mesh=False).files


# loading


def test_a_pipeline_that_asks_for_something_else_is_refused(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (bench.installed.checkpoints / "pipeline.yaml").read_text("utf-8")
    (tmp_path / "pipeline.yaml").write_text(f"{text}extra:\n  deep:\n  - _target_: os.system\n", "utf-8")
    monkeypatch.setattr(bench.worker, "spec", spec_for(bench.installed, checkpoints=str(tmp_path)))
    with pytest.raises(WorkerError, match=r"asks for “os\.system”"):
        bench.run()


def test_without_a_card_or_a_package_it_says_so(installed: Installation, tmp_path: Path) -> None:
    bench = Bench(installed, Worker(spec_for(installed), tmp_path / "log"), tmp_path)
    installed.tell(gpu=None)
    try:
        with pytest.raises(WorkerError, match="needs an NVIDIA card") as caught:
            bench.run()
        assert caught.value.kind == "cuda"
        installed.tell()
        (installed.packages / "spconv.py").rename(installed.packages / "away")
        with pytest.raises(WorkerError, match="lacks “spconv”") as caught:
            bench.run()
        assert caught.value.kind == "missing_module"
    finally:
        (installed.packages / "away").rename(installed.packages / "spconv.py")
        bench.worker.close()
        installed.tell()


def test_loading_tells_each_model_and_can_be_stopped(installed: Installation, tmp_path: Path) -> None:
    """One process: stopped, then failing for want of memory, a checkpoint and MoGe, then loaded."""
    worker = Worker(spec_for(installed, attention="sdpa"), tmp_path / "log")
    bench = Bench(installed, worker, tmp_path)
    h100 = {**CARD, "name": "NVIDIA H100 80GB HBM3", "major": 9, "minor": 0}
    installed.tell(gpu=h100, sleep={"load": 0.02})
    away = installed.checkpoints / "ss_decoder.away"
    moge = installed.caches / "huggingface"
    try:
        with pytest.raises(Cancelled):
            bench.run(cancel_at=Stage("load", 3, 8))
        (installed.checkpoints / "ss_decoder.ckpt").rename(away)
        with pytest.raises(WorkerError, match=r"ss_decoder\.ckpt is not there") as caught:
            bench.run()
        assert caught.value.kind == "missing_weights"
        away.rename(installed.checkpoints / "ss_decoder.ckpt")
        hidden = moge.rename(moge.with_name("hidden"))
        with pytest.raises(WorkerError, match="cannot be fetched") as caught:
            bench.run()
        assert caught.value.kind == "missing_weights"
        hidden.rename(moge)
        installed.tell(gpu=h100, fail={"load": "oom"})
        with pytest.raises(WorkerError) as caught:
            bench.run()
        assert caught.value.kind == "oom"
        installed.tell(gpu=h100)
        installed.calls()
        bench.run(mesh=False)
        # the pipeline wants FlashAttention on this card, the user did not
        (call,) = installed.calls()
        assert (call["attention"], call["sparse"]) == ("sdpa", "sdpa")
        loads = [(stage.i, stage.n) for stage in bench.stages if stage.name == "load"]
        assert loads == [(0, 1), *((i, 8) for i in range(8)), (1, 1)]
    finally:
        worker.close()
        installed.tell()


def test_a_target_is_judged_by_where_it_was_made() -> None:
    homes = {
        "torch.os.system": os.system,
        "torch.nn.Linear": SimpleNamespace(__module__="torch.nn.modules.linear"),
        "torch.tensor": SimpleNamespace(__module__=None),
        "moge.model.v1.MoGeModel.from_pretrained": SimpleNamespace(__module__="moge.model.v1"),
    }
    for name in ("torch.nn.Linear", "torch.tensor", "moge.model.v1.MoGeModel.from_pretrained"):
        allow(name, homes.__getitem__, Path("pipeline.yaml"))
    for name in ("torch.os.system", "subprocess.Popen", "torchvision_evil.x", ""):
        with pytest.raises(EngineError, match="nothing was run"):
            allow(name, homes.__getitem__, Path("pipeline.yaml"))


# check


def items_of(items: Sequence[CheckItem]) -> dict[str, CheckItem]:
    return {item.name: item for item in items}


def test_check_finds_everything(installed: Installation, tmp_path: Path) -> None:
    worker = Worker(spec_for(installed), tmp_path / "log")
    items = items_of(worker.check(Task()))
    assert [item for item in items.values() if item.ok is False] == []
    for name in (*CHECKPOINTS, "MoGe", "DINOv2", "Repository", "pipeline.yaml", "Graphics memory"):
        assert items[name].ok, name
    packages = {name.removeprefix("Package ") for name in items if name.startswith("Package ")}
    # pytorch3d and kaolin are read from the checkout's sources, where gradio is not needed
    assert packages == {*NEEDED, "pytorch3d", "loguru", "kaolin"}
    assert items["ss_generator.ckpt"].detail == "6.2 GB"
    assert items["Graphics card"].detail == "NVIDIA RTX 6000 Ada Generation (sm_89)"
    assert "LICENSE" in items["Licence"].hint
    assert not worker.running


def test_check_says_precisely_what_is_missing(installed: Installation, tmp_path: Path) -> None:
    broken = install(tmp_path / "broken")
    (broken.packages / "spconv.py").unlink()
    (broken.packages / "kaolin.py").unlink()
    (broken.checkpoints / "ss_decoder.ckpt").unlink()
    (broken.checkpoints / "slat_decoder_gs.ckpt").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    os.truncate(broken.checkpoints / "slat_generator.ckpt", 1_200_000_000 // 2)
    os.truncate(broken.checkpoints / "ss_generator.ckpt", 3_100_000_000)
    (broken.repository / "sam3d_objects" / "pipeline" / "inference_pipeline_pointmap.py").unlink()
    (broken.caches / "torch" / "hub" / "checkpoints" / "dinov2_vitl14_reg4_pretrain.pth").unlink()
    broken.tell(gpu={**CARD, "total_memory": 16 << 30, "name": "NVIDIA A100-PCIE", "major": 12, "minor": 0})
    worker = Worker(spec_for(broken), tmp_path / "log")
    items = items_of(worker.check(Task()))
    failing = {name for name, item in items.items() if item.ok is False}
    assert failing == {
        "Package spconv",
        "Package kaolin",
        "Package flash_attn",
        "ss_decoder.ckpt",
        "slat_decoder_gs.ckpt",
        "slat_generator.ckpt",
        "Repository",
        "DINOv2",
        "Graphics card",
    }
    assert all(items[name].hint for name in failing)
    assert "inference_pipeline_pointmap.py" in items["Repository"].detail
    assert "Git LFS pointer" in items["slat_decoder_gs.ckpt"].detail
    assert items["slat_generator.ckpt"].detail == "600.0 MB of about 4.6 GB"
    assert items["ss_generator.ckpt"].ok is None
    assert "its weights" in items["DINOv2"].detail
    assert "sm_120" in items["Graphics card"].detail
    assert items["Graphics memory"].ok is None


def test_an_interpreter_that_lacks_everything_is_told_all_of_it(
    installed: Installation, tmp_path: Path
) -> None:
    """As the system's is, which many choose first: nothing but the standard library is in it."""
    venv.EnvBuilder(with_pip=False, symlinks=True).create(tmp_path / "bare")
    python = tmp_path / "bare" / "bin" / "python"
    worker = Worker(spec_for(installed, python=str(python)), tmp_path / "log")
    items = items_of(worker.check(Task()))
    assert next(name for name, item in items.items() if item.ok) == "Python"
    assert str(python) in items["Python"].detail
    packages = {name for name in items if name.startswith("Package ")}
    assert {f"Package {name}" for name in NEEDED} <= packages
    assert all(items[name].ok is False and "Install" in items[name].hint for name in packages)
    assert "setup.md" in items["Package numpy"].hint
    for name in (*CHECKPOINTS, "MoGe", "DINOv2", "Repository", "pipeline.yaml"):
        assert items[name].ok, name
    assert items["Graphics card"].ok is None
    assert items["Graphics card"].detail == "cannot be told without torch"
    assert "LICENSE" in items["Licence"].hint
    try:
        with pytest.raises(WorkerError, match="lacks “numpy”") as caught:
            Bench(installed, worker, tmp_path).run()
        assert caught.value.kind == "missing_module"
        assert "press Check" in caught.value.hint
    finally:
        worker.close()


def test_check_with_nothing_filled_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "torch", None)
    items = {item["name"]: item for item in checked({})}
    assert items["Repository"]["detail"] == "no folder is chosen"
    assert items["pipeline.yaml"]["detail"] == "no folder is chosen"
    assert items["MoGe"]["ok"] is False
    assert items["Graphics card"]["ok"] is None
    items = {item["name"]: item for item in checked({"repository": str(tmp_path), "offline": False})}
    assert items["Repository"]["ok"] is False
    assert "is not there" in items["pipeline.yaml"]["detail"]
    assert SOME_MEMORY < FULL_MEMORY


# the parts


def test_environment_of_a_config() -> None:
    values = environment({"python": "/opt/envs/sam3d/bin/python", "attention": "xformers", "caches": "/data"})
    assert values["CONDA_PREFIX"] == "/opt/envs/sam3d"
    assert values["ATTN_BACKEND"] == values["SPARSE_ATTN_BACKEND"] == "xformers"
    assert values["LIDRA_SKIP_INIT"] == "true"
    assert values["SPARSE_BACKEND"] == "spconv"
    assert values["SPCONV_ALGO"] == "auto"
    assert values["HF_HUB_OFFLINE"] == "1"
    assert values["PYTORCH_CUDA_ALLOC_CONF"] == "expandable_segments:True"
    assert hub_folder(values) == Path("/data/huggingface/hub")
    assert torch_hub_folder(values) == Path("/data/torch/hub")
    plain = environment({"attention": "auto", "offline": False})
    assert not {"ATTN_BACKEND", "HF_HOME", "HF_HUB_OFFLINE", "CONDA_PREFIX"} & set(plain)


def test_camera_of_points_with_holes() -> None:
    h, w = 90, 200
    v, u = np.mgrid[:h, :w] + 0.5
    z = 1 + u / w + (v / h) ** 2
    f = h / 2 / np.tan(np.radians(35) / 2)
    points = np.stack([-(u - w / 2) / f * z, -(v - h / 2) / f * z, z], -1).astype(np.float32)
    points[:, : w // 3] = np.nan
    points[::7] = np.inf
    camera = camera_of(points)
    assert camera is not None
    assert camera.extent == pytest.approx(35, abs=0.01)
    assert camera.aspect == pytest.approx(w / h)
    assert camera_of(np.full((9, 9, 3), np.nan, np.float32)) is None
    # what it is for: an object posed in the camera frame is seen where its pixels are
    world = Pose(FACING, (0, 0, 0)).to_world([[0, 1, 0]])
    assert np.isfinite(world).all()


def test_pose_of_tensors_on_the_card_and_of_arrays() -> None:
    outputs = {
        "rotation": Tensor(np.float32([[0, 0, 2, 2]]), "cuda", "bfloat16"),
        "translation": Tensor(np.float32([[1, 2, 3]]), "cuda"),
        "scale": np.float32([[0.5, 0.5, 0.5]]),
    }
    with pytest.raises(TypeError):
        np.asarray(outputs["rotation"])
    pose = pose_of(outputs)
    assert pose is not None
    assert pose.rotation == pytest.approx(FACING)
    assert pose.translation == (1.0, 2.0, 3.0)
    assert pose.scale == 0.5
    assert all(type(value) is float for value in (*pose.rotation, *pose.translation, pose.scale))
    assert pose_of({}) is None
    assert pose_of({**outputs, "rotation": np.zeros(4)}) is None


def test_replaced_leaves_no_trace() -> None:
    class Thing:
        def go(self) -> str:
            return "own"

    thing = Thing()
    with replaced(thing, "go", lambda: "other"):
        assert thing.go() == "other"
    assert "go" not in vars(thing)
    with replaced(Thing, "go", lambda self: "other"):
        assert thing.go() == "other"
    assert thing.go() == "own"


def test_the_cause_is_found_under_what_wraps_it() -> None:
    def wrapped(inner: Exception) -> Exception:
        outer = RuntimeError("Error in call to target 'x': CUDA error")
        outer.__cause__ = inner
        return outer

    assert isinstance(explained(wrapped(Stopped()), "loading"), Stopped)
    own = EngineError("oom", "ours")
    assert explained(wrapped(own), "loading") is own
    missing = explained(wrapped(ModuleNotFoundError("No module named 'x'", name="x")), "loading")
    assert isinstance(missing, EngineError)
    assert missing.kind == "missing_module"
    host = explained(MemoryError(), "loading")
    assert isinstance(host, EngineError)
    assert host.kind == "oom"


def test_our_own_errors_keep_their_words() -> None:
    full = SamdeskError("mesh.glb cannot be written: the disk is full.", "Free some space.")
    full.__cause__ = OSError(28, "No space left on device")
    for error, kind in ((full, "internal"), (MemoryFullError("mesh.glb cannot be read."), "oom")):
        found = explained(error, "writing the files")
        assert isinstance(found, EngineError)
        assert (found.kind, found.message, found.hint) == (kind, error.message, error.hint)


def test_commit_of_a_checkout(tmp_path: Path) -> None:
    assert commit_of(tmp_path) == ""
    git = tmp_path / ".git"
    (git / "refs" / "heads").mkdir(parents=True)
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    (git / "packed-refs").write_text("# pack-refs\nabcdef0123456789 refs/heads/main\n")
    assert commit_of(tmp_path) == "abcdef012345"
    (git / "refs" / "heads" / "main").write_text("0123456789abcdef\n")
    assert commit_of(tmp_path) == "0123456789ab"
    (git / "HEAD").write_text("fedcba9876543210\n")
    assert commit_of(tmp_path) == "fedcba987654"
