"""A stand-in of the two places that SAM 3D Objects lives in: its checkout and its Python environment.

The checkout has the module paths, the classes and the call signatures of the real one, and the
behaviour that callers stumble over; nothing of it computes more than numpy can in milliseconds.
The environment is a real one, with a stand-in of torch before the packages of the tests.
"""

from __future__ import annotations

import json
import shutil
import sysconfig
import venv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
CARD = {"name": "NVIDIA RTX 6000 Ada Generation", "total_memory": 48 << 30, "major": 8, "minor": 9}
EMPTY = (
    *("torchvision", "loguru", "spconv", "pytorch3d", "gsplat", "kaolin", "utils3d"),
    *("plyfile", "xatlas", "pyvista", "pymeshfix", "igraph", "cv2"),
)
"""Packages that are only looked for."""

CHECKPOINTS = {
    "ss_generator": 6_200_000_000,
    "slat_generator": 4_600_000_000,
    "ss_decoder": 140_000_000,
    "slat_decoder_mesh": 350_000_000,
    "slat_decoder_gs": 160_000_000,
    "slat_decoder_gs_4": 160_000_000,
}


@dataclass(frozen=True)
class Installation:
    """Where everything is; what the stand-in is told can change while it runs.

    Attributes
    ----------
    root : Path
    python : Path
        The environment's interpreter.
    """

    root: Path
    python: Path

    @property
    def repository(self) -> Path:
        return self.root / "sam-3d-objects"

    @property
    def checkpoints(self) -> Path:
        return self.repository / "checkpoints" / "hf"

    @property
    def packages(self) -> Path:
        return self.root / "packages"

    @property
    def caches(self) -> Path:
        return self.root / "caches"

    @property
    def told(self) -> Path:
        return self.root / "standin.json"

    @property
    def config(self) -> dict[str, Any]:
        """As the user would fill in the engine's settings."""
        return {
            "python": str(self.python),
            "repository": str(self.repository),
            "checkpoints": "",
            "attention": "auto",
            "spconv": "native",
            "caches": str(self.caches),
            "offline": True,
            "restart": False,
        }

    def tell(self, gpu: Mapping[str, Any] | None = CARD, **more: Any) -> None:
        """Tell the stand-in what card there is, how slow it is, and where it fails."""
        self.told.write_text(json.dumps({"gpu": gpu, **more}), "utf-8")

    def calls(self) -> list[dict[str, Any]]:
        """How the pipeline's `run` was called, since the last time this was asked."""
        path = self.told.with_name("calls.jsonl")
        if not path.exists():
            return []
        lines = path.read_text("utf-8").splitlines()
        path.unlink()
        return [json.loads(line) for line in lines]


def install(root: Path) -> Installation:
    """Make an installation in which everything is there."""
    environment = root / "env"
    venv.EnvBuilder(with_pip=False, symlinks=True).create(environment)
    made = Installation(root, environment / "bin" / "python")
    shutil.copytree(HERE / "packages", made.packages, ignore=shutil.ignore_patterns("__pycache__"))
    for name in EMPTY:
        (made.packages / f"{name}.py").write_text("", "utf-8")
    (site,) = environment.glob("lib/python*/site-packages")
    own = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
    (site / "standin.pth").write_text("\n".join([str(made.packages), *sorted(own)]) + "\n", "utf-8")
    shutil.copytree(HERE / "checkout", made.repository, ignore=shutil.ignore_patterns("__pycache__"))
    for name, size in CHECKPOINTS.items():
        with (made.checkpoints / f"{name}.ckpt").open("wb") as file:
            file.truncate(size)
    snapshot = made.caches / "huggingface" / "hub" / "models--Ruicheng--moge-vitl" / "snapshots" / "1"
    snapshot.mkdir(parents=True)
    (snapshot / "model.pt").write_bytes(b"moge")
    hub = made.caches / "torch" / "hub"
    (hub / "facebookresearch_dinov2_main").mkdir(parents=True)
    (hub / "checkpoints").mkdir()
    (hub / "checkpoints" / "dinov2_vitl14_reg4_pretrain.pth").write_bytes(b"dino")
    made.tell()
    return made
