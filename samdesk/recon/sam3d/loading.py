"""From a checkout and its pipeline.yaml to the pipeline that makes objects.

The notebook's own entry point is not used: it imports a web interface and plotting, and hides most
options. Must not know jobs.
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from samdesk.recon.worker.base import EngineError, Report

from .checking import SETUP, WEIGHTS, pipeline_file, repository_of
from .environment import environment
from .failures import no_cuda, translated
from .hooks import replaced

ALLOWED = frozenset({"sam3d_objects", "torch", "torchvision", "moge"})
"""Packages whose objects a pipeline.yaml may ask for: it is a program as much as a setting."""

_ATTENTION = "sam3d_objects.model.backbone.tdfy_dit.modules"


def build(config: Mapping[str, Any], report: Report) -> Any:
    """The pipeline, ready to run.

    Raises
    ------
    EngineError, Stopped
    """
    repository, file = _places(config)
    _prepare(config, repository)
    with translated("loading"):
        report.stage("load", 0, 1)
        torch = importlib.import_module("torch")
        # without a card the pipeline's modules cannot even be imported
        if not torch.cuda.is_available():
            raise no_cuda()
        _choose_attention(config)
        from hydra.utils import get_method, instantiate
        from omegaconf import OmegaConf

        settings: Any = OmegaConf.load(file)
        settings.rendering_engine = "pytorch3d"  # the other one is non-commercial
        settings.compile_model = False
        settings.workspace_dir = str(file.parent)
        plain = OmegaConf.to_container(settings, resolve=False)
        for target in sorted(set(_targets(plain))):
            allow(target, get_method, file)
        with ExitStack() as stack:
            _count_models(stack, get_method(settings["_target_"]), plain, report)
            return instantiate(settings)


def commit_of(repository: Path) -> str:
    """The short hash that a checkout stands at; empty where it cannot be told."""
    try:
        git = repository / ".git"
        if git.is_file():
            git = (repository / git.read_text("utf-8").removeprefix("gitdir:").strip()).resolve()
        head = (git / "HEAD").read_text("utf-8").strip()
        if head.startswith("ref:"):
            name = head.removeprefix("ref:").strip()
            ref = git / name
            head = ref.read_text("utf-8").strip() if ref.is_file() else _packed_ref(git, name)
        return head[:12]
    except (OSError, UnicodeDecodeError):
        return ""


def _packed_ref(git: Path, name: str) -> str:
    for line in (git / "packed-refs").read_text("utf-8").splitlines():
        if line.endswith(f" {name}"):
            return line.split()[0]
    return ""


def _places(config: Mapping[str, Any]) -> tuple[Path, Path]:
    repository, file = repository_of(config), pipeline_file(config)
    if repository is None or not (repository / "sam3d_objects").is_dir():
        raise EngineError(
            "missing_module",
            f"{repository or 'The folder of SAM 3D Objects'} is not a checkout of sam-3d-objects.",
            f"Choose the folder of the repository in the settings; {SETUP} tells how to install it.",
        )
    if file is None or not file.is_file():
        raise EngineError(
            "missing_weights",
            f"{file} is not there.",
            f"Download the checkpoints from {WEIGHTS}, or choose their folder in the settings.",
        )
    return repository.absolute(), file.absolute()


def _prepare(config: Mapping[str, Any], repository: Path) -> None:
    """Set what is read on import."""
    os.environ.setdefault("CONDA_PREFIX", sys.prefix)
    for name, value in environment(config).items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("CUDA_HOME", os.environ["CONDA_PREFIX"])
    # kernels are compiled on first use with the tools of the environment, as if it were activated
    tools = str(Path(sys.executable).absolute().parent)
    path = os.environ.get("PATH", "")
    if tools not in path.split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join(part for part in (tools, path) if part)
    if str(repository) not in sys.path:
        sys.path.insert(0, str(repository))
        importlib.invalidate_caches()


def _choose_attention(config: Mapping[str, Any]) -> None:
    """Import the attention modules first where the user chose a kernel.

    They read the choice once; the pipeline overwrites it on some cards while it is imported.
    """
    if environment(config).get("ATTN_BACKEND"):
        importlib.import_module("sam3d_objects")
        for name in ("attention", "sparse"):
            importlib.import_module(f"{_ATTENTION}.{name}")


def _targets(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "_target_" in node:
            yield str(node["_target_"])
        for value in node.values():
            yield from _targets(value)
    elif isinstance(node, list):
        for value in node:
            yield from _targets(value)


def allow(target: str, get_method: Any, file: Path) -> None:
    """Refuse a target outside `ALLOWED`, by its name or by where it was made (``torch.os.system``).

    Raises
    ------
    EngineError
    """
    allowed = target.partition(".")[0] in ALLOWED
    if allowed:
        made = get_method(target)
        made = made.func if isinstance(made, functools.partial) else made
        home = str(getattr(made, "__module__", None) or "torch")
        allowed = home.partition(".")[0] in ALLOWED
    if not allowed:
        raise EngineError(
            "internal",
            f"{file} asks for “{target}”, which a pipeline of SAM 3D has no use for; nothing was run.",
            "Download the checkpoints again.",
        )


def _count_models(stack: ExitStack, pipeline: Any, settings: Any, report: Report) -> None:
    """Report each model that the pipeline loads; between two of them it can be stopped."""
    load = getattr(pipeline, "instantiate_and_load_from_pretrained", None)
    if load is None:
        return
    # the generators' files are read twice, for the models and for what conditions them
    count = 2 + sum(key.endswith("_ckpt_path") and value is not None for key, value in settings.items())
    done = 0

    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal done
        report.stage("load", min(done, count), count)
        done += 1
        return load(*args, **kwargs)

    stack.enter_context(replaced(pipeline, "instantiate_and_load_from_pretrained", counted))
