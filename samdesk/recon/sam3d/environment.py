"""The environment variables that SAM 3D Objects reads, and where its caches are.

Standard library only: the program calls this before it starts the worker. Must not know processes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SPCONV_ALGORITHMS = ("auto", "native", "implicit_gemm")
ATTENTION = ("sdpa", "flash_attn", "xformers")


def environment(config: Mapping[str, Any]) -> dict[str, str]:
    """What the worker's environment needs for a config (the fields of the engine's row).

    All of it is read while SAM 3D is imported, so that it must be there before.
    """
    values = {
        "LIDRA_SKIP_INIT": "true",  # else the package imports a module that is not shipped
        "SPARSE_BACKEND": "spconv",
        "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
    }
    if python := str(config.get("python") or ""):
        # not resolved: an environment's interpreter is often a link to another one
        folder = Path(python).expanduser().absolute().parent
        values["CONDA_PREFIX"] = str(folder.parent if folder.name in ("bin", "Scripts") else folder)
    if (attention := config.get("attention")) in ATTENTION:
        values["ATTN_BACKEND"] = values["SPARSE_ATTN_BACKEND"] = str(attention)
    spconv = config.get("spconv")
    values["SPCONV_ALGO"] = str(spconv) if spconv in SPCONV_ALGORITHMS else "auto"
    if caches := str(config.get("caches") or ""):
        folder = Path(caches).expanduser()
        values["HF_HOME"] = str(folder / "huggingface")
        values["TORCH_HOME"] = str(folder / "torch")
    if config.get("offline", True):
        values["HF_HUB_OFFLINE"] = values["TRANSFORMERS_OFFLINE"] = "1"
    return values


def hub_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where models of the Hugging Face hub are kept."""
    home = environ.get("HF_HOME") or str(_cache(environ) / "huggingface")
    return Path(environ.get("HF_HUB_CACHE") or Path(home) / "hub").expanduser()


def torch_hub_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where torch.hub keeps code and weights."""
    return Path(environ.get("TORCH_HOME") or _cache(environ) / "torch").expanduser() / "hub"


def _cache(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
