"""The table of 3D engines. Must not import them: they run in the worker.

Adding a 3D engine: a class with the methods of `samdesk.recon.worker.base.WorkerEngine`, and a
row here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from samdesk.domain.errors import SamdeskError

from .sam3d.environment import environment


@dataclass(frozen=True, slots=True)
class ReconField:
    """One thing that the user tells an engine; a row of its settings page.

    Attributes
    ----------
    name : str
        Member of the engine's config.
    title, tip : str
    kind : {"file", "folder", "text", "number", "switch", "choice"}
    """

    name: str
    title: str
    kind: str
    default: Any
    tip: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    needed: bool = False


@dataclass(frozen=True, slots=True)
class ReconSpec:
    """A row of the table.

    Attributes
    ----------
    name, title : str
    label : str
        How its results are called wherever they are shown, and in every file's metadata.
    target : str
        "module:Class", imported in the worker.
    about, licence, licence_page, homepage : str
    fields : tuple of ReconField
        What the user must or may tell; the field "python" chooses the interpreter.
    margin : float
        How much of the surroundings the engine wants to see, as a part of the object's box.
    max_side : int
        Longest side in pixels of the picture it is given.
    poses : bool
        Tells where an object stands in front of the camera; else several are no scene.
    options : frozenset of str
        Names of the `ReconOptions` that it heeds.
    patience_s : float
        Without a word for so long while it works, it hangs.
    idle_s : float
        Gives its memory back after so long without work.
    """

    name: str
    title: str
    label: str
    target: str
    about: str
    licence: str = ""
    licence_page: str = ""
    homepage: str = ""
    fields: tuple[ReconField, ...] = ()
    margin: float = 0.1
    max_side: int = 1024
    poses: bool = True
    options: frozenset[str] = frozenset()
    patience_s: float = 120.0
    idle_s: float = 300.0


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """How to start a worker and what to tell it at `load`. Two equal ones can share a worker.

    Attributes
    ----------
    name : str
        Of the engine; names the log.
    target : str
        "module:Class".
    python : Path or None
        The interpreter; None for the one that runs this program.
    config : mapping
        JSON values for `load` and `check`.
    environment : mapping of str to str
        Added to the cleaned environment.
    path : tuple of str
        Folders put at the end of the worker's `sys.path`.
    """

    name: str
    target: str
    python: Path | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    path: tuple[str, ...] = ()
    patience_s: float = 120.0
    idle_s: float = 300.0


RECON_ENGINES = {
    row.name: row
    for row in (
        ReconSpec(
            "relief",
            "Relief",
            "Relief (not SAM 3D)",
            "samdesk.recon.relief.engine:ReliefEngine",
            "Inflates the outline to a rounded body. Needs no weights; the back is a mirrored guess.",
            options=frozenset({"splat", "mesh"}),
            patience_s=60.0,
        ),
        ReconSpec(
            "sam3d",
            "SAM 3D Objects",
            "SAM 3D Objects",
            "samdesk.recon.sam3d.engine:Sam3dEngine",
            "Meta's model, in its own Python environment with its checkpoints. Needs an NVIDIA card.",
            "SAM License",
            "https://github.com/facebookresearch/sam-3d-objects/blob/main/LICENSE",
            "https://github.com/facebookresearch/sam-3d-objects",
            (
                ReconField(
                    "python",
                    "Python",
                    "file",
                    "",
                    "The interpreter of the environment that SAM 3D was installed in",
                    needed=True,
                ),
                ReconField(
                    "repository", "Repository", "folder", "", "The checkout of sam-3d-objects", needed=True
                ),
                ReconField(
                    "checkpoints",
                    "Checkpoints",
                    "folder",
                    "",
                    "The folder that holds pipeline.yaml; checkpoints/hf in the repository if empty",
                ),
                ReconField(
                    "attention",
                    "Attention",
                    "choice",
                    "auto",
                    "Leave it automatic unless the kernel is missing",
                    (
                        ("auto", "Automatic"),
                        ("sdpa", "PyTorch"),
                        ("flash_attn", "FlashAttention"),
                        ("xformers", "xFormers"),
                    ),
                ),
                ReconField(
                    "spconv",
                    "Sparse convolution",
                    "choice",
                    "auto",
                    "Native avoids a long first run, implicit GEMM is faster afterwards",
                    (("auto", "Automatic"), ("native", "Native"), ("implicit_gemm", "Implicit GEMM")),
                ),
                ReconField(
                    "caches",
                    "Model caches",
                    "folder",
                    "",
                    "Holds huggingface and torch, as ~/.cache does; if not the usual one",
                ),
                ReconField(
                    "offline", "Use no network", "switch", True, "MoGe and DINOv2 must then be in the caches"
                ),
                ReconField(
                    "restart",
                    "Restart after each object",
                    "switch",
                    False,
                    "Slower, but frees all graphics memory",
                ),
            ),
            margin=0.6,
            max_side=1600,
            options=frozenset(
                {
                    "seed",
                    "steps_shape",
                    "steps_look",
                    "distill_shape",
                    "distill_look",
                    "splat",
                    "mesh",
                    "light_splat",
                    "clean_mesh",
                    "texture",
                    "layout",
                    "preview",
                }
            ),
            patience_s=1800.0,
            idle_s=600.0,
        ),
        ReconSpec(
            "sam3dcpp",
            "SAM 3D (sam3d.cpp)",
            "SAM 3D Objects (sam3d.cpp)",
            "samdesk.recon.sam3dcpp:Sam3dCppEngine",
            "SAM 3D Objects as a program in C++, on the processor or a Vulkan graphics card.",
            "SAM License (weights)",
            "https://github.com/facebookresearch/sam-3d-objects/blob/main/LICENSE",
            "https://github.com/localai-org/sam3d.cpp",
            (
                ReconField(
                    "program", "Program", "file", "", "The object_infer program of sam3d.cpp", needed=True
                ),
                ReconField(
                    "module", "Backend library", "file", "", "The ggml backend module to load", needed=True
                ),
                ReconField(
                    "models", "Models", "folder", "", "The folder with the six GGUF files", needed=True
                ),
                ReconField(
                    "device",
                    "Compute on",
                    "choice",
                    "CPU",
                    "",
                    (("CPU", "Processor"), ("Vulkan", "Vulkan graphics")),
                ),
                ReconField(
                    "precision",
                    "Precision",
                    "choice",
                    "f16",
                    "",
                    (("f16", "16 bit"), ("f32", "32 bit"), ("q8_0", "8 bit")),
                ),
                ReconField("threads", "Threads", "number", 0, "0 takes all"),
            ),
            margin=0.6,
            max_side=1600,
            poses=False,
            options=frozenset({"seed", "splat", "mesh"}),
            patience_s=3600.0,
        ),
    )
}


def recon_spec(name: str) -> ReconSpec:
    """The row of an engine.

    Raises
    ------
    SamdeskError
        When there is none of this name.
    """
    try:
        return RECON_ENGINES[name]
    except KeyError:
        raise SamdeskError(
            f"There is no 3D engine “{name}”.", f"Choose one of: {', '.join(RECON_ENGINES)}."
        ) from None


def worker_spec(name: str, config: Mapping[str, Any] | None = None) -> WorkerSpec:
    """How to start the worker of an engine with the user's `config` (see `ReconSpec.fields`).

    Raises
    ------
    SamdeskError
        When there is no such engine.
    """
    row = recon_spec(name)
    given = {one.name: (config or {}).get(one.name, one.default) for one in row.fields}
    python = given.pop("python", "")
    return WorkerSpec(
        name,
        row.target,
        Path(python).expanduser() if python else None,
        given,
        environment=environment(config or {}) if name == "sam3d" else {},
        patience_s=row.patience_s,
        idle_s=row.idle_s,
    )
