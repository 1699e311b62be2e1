"""What SAM 3D Objects needs, and whether it is there, one item each.

Neither the pipeline nor the heavy packages are imported for it, torch excepted. Must not know how
a model is run.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
import re
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from .environment import hub_folder, torch_hub_folder
from .imports import imported

SOURCE = "https://github.com/facebookresearch/sam-3d-objects"
SETUP = f"{SOURCE}/blob/main/doc/setup.md"
LICENCE = f"{SOURCE}/blob/main/LICENSE"
WEIGHTS = "https://huggingface.co/facebook/sam-3d-objects"

REPOSITORY_FILES = (
    "sam3d_objects/__init__.py",
    "sam3d_objects/pipeline/inference_pipeline.py",
    "sam3d_objects/pipeline/inference_pipeline_pointmap.py",
    "sam3d_objects/pipeline/layout_post_optimization_utils.py",
)
NEEDED = (
    "torch",
    "torchvision",
    "numpy",
    "PIL",
    "omegaconf",
    "hydra",
    "trimesh",
    "plyfile",
    "spconv",
    "moge",
)
"""Packages that are looked for in any case; the rest is read from the checkout."""

DISTRIBUTIONS = {
    "PIL": "pillow",
    "hydra": "hydra-core",
    "cv2": "opencv-python",
    "igraph": "python-igraph",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "PyYAML",
    "spconv": "spconv-cu121",
    "flash_attn": "flash-attn",
}
"""Modules whose distribution is called otherwise."""

CHECKPOINTS = {
    "ss_generator.ckpt": 6.2e9,
    "slat_generator.ckpt": 4.6e9,
    "ss_decoder.ckpt": 0.14e9,
    "slat_decoder_mesh.ckpt": 0.35e9,
    "slat_decoder_gs.ckpt": 0.16e9,
    "slat_decoder_gs_4.ckpt": 0.16e9,
}
"""Published files and about how many bytes they have."""

FULL_MEMORY, SOME_MEMORY = 31 << 30, 15 << 30
"""A card sold with 32 GB or 16 GB reports a little less."""

_NAMED = re.compile(r"^[ \t]*[\"']?(\w+_(?:ckpt|config)_path)[\"']?[ \t]*:[ \t]*[\"']?([^\s\"'#,]+)", re.M)
_LFS = b"version https://git-lfs"

Item = dict[str, Any]


def checked(config: Mapping[str, Any]) -> list[Item]:
    """All that SAM 3D needs with this config: {"name", "ok", "detail", "hint"} each."""
    return [
        _python(),
        *_repository(config),
        *_checkpoints(config),
        *_caches(config),
        *_modules(config),
        *_card(config),
        _licence(config),
    ]


def repository_of(config: Mapping[str, Any]) -> Path | None:
    """The checkout that the user points to."""
    given = str(config.get("repository") or "").strip()
    return Path(given).expanduser() if given else None


def pipeline_file(config: Mapping[str, Any]) -> Path | None:
    """pipeline.yaml: in the folder that the user points to, else where doc/setup.md puts it."""
    given = str(config.get("checkpoints") or "").strip()
    if given:
        path = Path(given).expanduser()
        return path if path.suffix in (".yaml", ".yml") else path / "pipeline.yaml"
    repository = repository_of(config)
    return repository / "checkpoints" / "hf" / "pipeline.yaml" if repository else None


def size_text(count: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} bytes"


def _item(name: str, ok: bool | None, detail: str, hint: str = "") -> Item:
    return {"name": name, "ok": ok, "detail": detail, "hint": hint}


def _python() -> Item:
    version = sys.version_info
    ok = True if version[:2] == (3, 11) else None if version >= (3, 10) else False
    hint = "" if ok else f"SAM 3D Objects was made for Python 3.11; see {SETUP}."
    return _item("Python version", ok, f"{platform.python_version()} in {sys.prefix}", hint)


def _repository(config: Mapping[str, Any]) -> Iterator[Item]:
    folder = repository_of(config)
    hint = f"Clone {SOURCE} and choose its folder."
    if folder is None or not folder.is_dir():
        yield _item(
            "Repository", False, f"{folder} is not a folder" if folder else "no folder is chosen", hint
        )
        return
    lacking = [name for name in REPOSITORY_FILES if not (folder / name).is_file()]
    if lacking:
        yield _item("Repository", False, f"{folder} lacks {', '.join(lacking)}", hint)
        return
    yield _item("Repository", True, str(folder))


def _checkpoints(config: Mapping[str, Any]) -> Iterator[Item]:
    path = pipeline_file(config)
    hint = f"Accept the licence at {WEIGHTS} and download its checkpoints as {SETUP} tells."
    if path is None:
        yield _item("pipeline.yaml", False, "no folder is chosen", hint)
        return
    try:
        named = dict(_NAMED.findall(path.read_text("utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        why = "is not there" if isinstance(error, FileNotFoundError) else f"cannot be read: {error}"
        yield _item("pipeline.yaml", False, f"{path} {why}", hint)
        return
    yield _item("pipeline.yaml", True, str(path))
    files = {name for name in named.values() if name not in ("null", "~")}
    for name in sorted(files or CHECKPOINTS):
        yield _file(path.parent / name, name, hint)


def _file(path: Path, name: str, hint: str) -> Item:
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(len(_LFS))
    except OSError as error:
        why = "is not there" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
        return _item(name, False, f"{path} {why}", hint)
    if start == _LFS:
        return _item(name, False, f"{path} is a Git LFS pointer, not the file", "Run git lfs pull there.")
    published = CHECKPOINTS.get(Path(name).name, 0)
    if published and size < 0.2 * published:
        return _item(name, False, f"{size_text(size)} of about {size_text(published)}", hint)
    if published and size < 0.9 * published:
        return _item(
            name,
            None,
            f"{size_text(size)}; published are about {size_text(published)}",
            "It may be incomplete.",
        )
    return _item(name, size > 0, size_text(size), "" if size else hint)


def _caches(config: Mapping[str, Any]) -> Iterator[Item]:
    """MoGe and DINOv2, which are fetched when the pipeline is built."""
    offline = bool(config.get("offline", True)) or bool(os.environ.get("HF_HUB_OFFLINE"))
    ok = False if offline else None
    hint = "Load SAM 3D once with the network allowed." if offline else "It will be downloaded (1.2 GB)."
    hub = hub_folder()
    moge = sorted(hub.glob("models--Ruicheng--moge*/snapshots/*/*"))
    yield _item("MoGe", True, str(hub)) if moge else _item("MoGe", ok, f"not in {hub}", hint)
    torch_hub = torch_hub_folder()
    code = any(torch_hub.glob("facebookresearch_dinov2_*"))
    weights = any((torch_hub / "checkpoints").glob("dinov2_vitl14_reg*.pth"))
    if code and weights:
        yield _item("DINOv2", True, str(torch_hub))
    else:
        lacking = " and ".join(n for n, there in (("its code", code), ("its weights", weights)) if not there)
        yield _item("DINOv2", ok, f"{lacking}: not in {torch_hub}", hint)


def _modules(config: Mapping[str, Any]) -> Iterator[Item]:
    names = set(NEEDED)
    repository, file = repository_of(config), pipeline_file(config)
    if repository is not None and file is not None:
        names |= imported(repository, file.parent)
    for module in sorted(names, key=str.lower):
        distribution = DISTRIBUTIONS.get(module, module)
        there = _found(module)
        yield _item(
            f"Package {module}",
            there,
            _version(distribution) if there else f"“{module}” cannot be imported here",
            "" if there else f"Install {distribution} into this environment as {SETUP} tells.",
        )


def _found(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "there"


def _card(config: Mapping[str, Any]) -> Iterator[Item]:
    if not _found("torch"):
        yield _item("Graphics card", None, "cannot be told without torch", f"See {SETUP}.")
        return
    try:
        torch = importlib.import_module("torch")
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    except Exception as error:  # a broken torch raises what it likes
        yield _item("Graphics card", None, f"cannot be told: torch fails with {error}", f"See {SETUP}.")
        return
    if not count:
        build = torch.version.cuda or "none"
        yield _item(
            "Graphics card",
            False,
            f"torch {torch.__version__} (CUDA: {build}) finds no NVIDIA card",
            "SAM 3D Objects runs on an NVIDIA card only. Check the driver with nvidia-smi.",
        )
        return
    card = torch.cuda.get_device_properties(0)
    yield _architecture(torch, card)
    yield _memory(card)
    if _wants_flash(card.name, config) and not _found("flash_attn"):
        yield _item(
            "Package flash_attn",
            False,
            f"SAM 3D takes FlashAttention on an {card.name}, and it is not installed",
            "Install flash-attn there, or choose PyTorch as Attention.",
        )


def _architecture(torch: Any, card: Any) -> Item:
    own = f"sm_{card.major}{card.minor}"
    built = list(torch.cuda.get_arch_list())
    # code of the same major version and a lower minor one runs, too
    fits = any(re.fullmatch(rf"sm_{card.major}(\d)", one) and int(one[-1]) <= card.minor for one in built)
    if fits or not built or f"compute_{card.major}{card.minor}" in built:
        return _item("Graphics card", True, f"{card.name} ({own})")
    return _item(
        "Graphics card",
        False,
        f"{card.name} is {own}; torch {torch.__version__} was built for {', '.join(built)}",
        "Install a torch that was built for this card, and spconv, pytorch3d and gsplat for that torch.",
    )


def _memory(card: Any) -> Item:
    total = card.total_memory
    text = f"{total / (1 << 30):.1f} GiB"
    if total >= FULL_MEMORY:
        return _item("Graphics memory", True, text)
    if total >= SOME_MEMORY:
        return _item(
            "Graphics memory",
            None,
            f"{text}; Meta asks for 32 GB",
            "It may do: make the splat only, or the light splat, and close what else uses the card.",
        )
    return _item(
        "Graphics memory", False, f"{text}; Meta asks for 32 GB, some manage with 16 GB", "Use a larger card."
    )


def _wants_flash(card: str, config: Mapping[str, Any]) -> bool:
    """Whether the pipeline would choose FlashAttention for this card by itself."""
    chosen = config.get("attention", "auto")
    return chosen == "flash_attn" or (
        chosen in ("auto", "", None) and any(name in card for name in ("A100", "H100", "H200"))
    )


def _licence(config: Mapping[str, Any]) -> Item:
    folder = repository_of(config)
    own = folder / "LICENSE" if folder else None
    where = str(own) if own and own.is_file() else LICENCE
    return _item(
        "Licence",
        None,
        "SAM License: free to use, but not for military, weapons or espionage; you accept it with Meta",
        f"Read it: {where}",
    )
