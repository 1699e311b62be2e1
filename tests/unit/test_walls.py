"""Habits that import-linter cannot see."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "samdesk"
MODULES = sorted(PACKAGE.rglob("*.py"))
THREADS = {"Thread", "Timer", "ThreadPoolExecutor", "ProcessPoolExecutor", "QThread", "QThreadPool"}


def _names(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Name):
            yield node.id


def test_only_jobs_makes_threads() -> None:
    makers = {str(path.relative_to(PACKAGE)) for path in MODULES if THREADS & set(_names(path))}
    # the worker is another process; a thread of its own hears the cancel
    assert makers == {"app/jobs.py", "recon/worker/loop.py"}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_every_module_says_what_it_holds(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text("utf-8")))
    assert path.stem not in {"utils", "helpers", "common", "manager", "misc"}


def _loaded_by(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_samdesk_costs_nothing() -> None:
    assert not {"numpy", "cv2", "shapely", "PySide6"} & _loaded_by("import samdesk")


def test_help_needs_neither_qt_nor_numpy() -> None:
    code = "from samdesk.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass"
    assert not {"numpy", "cv2", "shapely", "PySide6"} & _loaded_by(code)


def test_the_window_comes_up_without_the_readers_and_engines() -> None:
    loaded = _loaded_by("import samdesk.ui.start")
    heavy = {"torch", "vtk", "zarr", "tifffile", "openslide", "scipy", "skimage"}
    web = {"fastapi", "starlette", "uvicorn", "pydantic", "prometheus_client"}
    assert not (heavy | web) & loaded
