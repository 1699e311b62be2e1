"""`samdesk doctor`: versions, devices, memory, and which engines can run here.

Must not know the other commands.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import platform
import sys
from typing import Any

import samdesk
from samdesk import paths
from samdesk.app.settings import Settings
from samdesk.domain.errors import SamdeskError
from samdesk.engines.base import ENGINES, EngineSpec, import_engine
from samdesk.recon.engines import RECON_ENGINES, ReconSpec
from samdesk.sdk import usable_weights

LIBRARIES = (
    "PySide6_Essentials", "numpy", "opencv-python-headless", "shapely", "tifffile", "openslide-python",
    "vtk", "pyvista", "trimesh", "torch", "torchvision", "segment-anything", "timm", "sam2", "sam3",
    "open_clip_torch", "fastapi", "uvicorn",
)  # fmt: skip

SERVER_MODULES = (
    "fastapi",
    "fastapi_offline",
    "prometheus_client",
    "pydantic",
    "python_multipart",
    "uvicorn",
)


def run_doctor(as_json: bool) -> int:
    """Print what was found; 1 when an installed engine cannot be used."""
    found = examine()
    if as_json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        print("\n".join(_lines(found)))
    return int(any(engine["broken"] for engine in found["engines"]))


def examine() -> dict[str, Any]:
    """The facts, as JSON values."""
    told = Settings(paths.config_dir() / "settings.json")["recon"]
    return {
        "samdesk": samdesk.__version__,
        "python": f"{platform.python_version()} ({sys.executable})",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "libraries": {name: _version(name) for name in LIBRARIES},
        "devices": _devices(),
        "engines": [_engine(spec) for spec in ENGINES.values()],
        "engines_3d": [_engine_3d(spec, told.get(spec.name, {})) for spec in RECON_ENGINES.values()],
        "server": {"lacks": [name for name in SERVER_MODULES if importlib.util.find_spec(name) is None]},
        "folders": {
            "settings": str(paths.config_dir()),
            "data": str(paths.data_dir()),
            "cache": str(paths.cache_dir()),
            "log": str(paths.state_dir() / "samdesk.log"),
        },
    }


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _devices() -> list[dict[str, Any]]:
    from samdesk.engines.runtime import devices

    try:
        return [
            {"name": one.name, "title": one.title, "memory": one.memory_bytes, "free": one.free_bytes}
            for one in devices()
        ]
    except SamdeskError:
        return []
    except Exception as error:
        return [{"name": "?", "title": f"not known: {error}", "memory": None, "free": None}]


def _engine(spec: EngineSpec) -> dict[str, Any]:
    weights = usable_weights(spec)
    problem = _problem(spec)
    return {
        "name": spec.name,
        "title": spec.title,
        "types": list(spec.types),
        "runs": problem is None and (bool(weights) or not spec.needs_weights),
        "lacks_libraries": problem is not None,
        "broken": problem is not None and _installed(spec),
        "why": _why(problem, spec, weights),
        "weights": weights,
    }


def _installed(spec: EngineSpec) -> bool:
    return all(importlib.util.find_spec(package) is not None for package in spec.packages)


def _problem(spec: EngineSpec) -> SamdeskError | None:
    """Why its libraries cannot be used; None when they can."""
    for package in spec.packages:
        if importlib.util.find_spec(package) is None:
            return SamdeskError(f"{package} is not installed.", f"Run ./installer/run --with {spec.extra}")
    try:
        import_engine(spec)
    except SamdeskError as error:
        return error
    except Exception as error:
        return SamdeskError(f"{type(error).__name__}: {error}", "Its libraries do not fit together.")
    return None


def _why(problem: SamdeskError | None, spec: EngineSpec, weights: list[str]) -> str:
    if problem is not None:
        return f"{problem.message} {problem.hint}".strip()
    if spec.needs_weights and not weights:
        return "no weights here: samdesk weights list"
    return ""


def _engine_3d(spec: ReconSpec, config: dict[str, Any]) -> dict[str, Any]:
    lacking = [field.title for field in spec.fields if field.needed and not config.get(field.name)]
    why = f"not set up: {', '.join(lacking)} (in the window: 3D > 3D Engines…)" if lacking else ""
    return {"name": spec.name, "title": spec.label, "set_up": not lacking, "why": why}


def _lines(found: dict[str, Any]) -> list[str]:
    lines = [
        f"samdesk     {found['samdesk']}",
        f"Python      {found['python']}",
        f"system      {found['system']}",
    ]
    lines += ["", "Libraries"]
    lines += [f"  {name:<24} {version or '–'}" for name, version in found["libraries"].items()]
    lines += ["", "Devices"]
    lines += [_device_line(one) for one in found["devices"]] or ["  not known without torch"]
    lines += ["", "Engines"]
    for engine in found["engines"]:
        mark = "✓" if engine["runs"] else "✗" if engine["lacks_libraries"] else "○"
        lines.append(f"  {mark} {engine['title']:<22} {engine['why']}".rstrip())
        lines += [f"      {name}" for name in engine["weights"]]
    lines += ["", "3D engines"]
    lines += [
        f"  {'✓' if engine['set_up'] else '○'} {engine['title']:<28} {engine['why']}".rstrip()
        for engine in found["engines_3d"]
    ]
    lacks = ", ".join(found["server"]["lacks"])
    lines += ["", "Server", f"  ✗ lacks {lacks}: ./installer/run --fresh" if lacks else "  ✓ samdesk serve"]
    lines += ["", "Folders", *(f"  {name:<10} {path}" for name, path in found["folders"].items())]
    return lines


def _device_line(one: dict[str, Any]) -> str:
    sizes = [
        f"{one[key] / 1e9:.1f} GB{word}" for key, word in (("memory", ""), ("free", " free")) if one[key]
    ]
    return f"  {one['name']:<8} {one['title']:<30} {', '.join(sizes)}"
