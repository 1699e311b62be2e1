"""What a checkout of SAM 3D Objects imports, read from its sources without running them.

Must not know what is installed.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGE = "sam3d_objects"
START = f"{PACKAGE}.pipeline.inference_pipeline_pointmap"
_MAX_FILES = 2000
_TARGET = re.compile(rf"_target_[\"']?\s*:\s*[\"']?({PACKAGE}(?:\.\w+)+|[A-Za-z_]\w*)")


def imported(repository: Path, settings: Path) -> set[str]:
    """Top-level names of the packages that are imported when the pipeline is made.

    Followed are the statements at the level of modules, from the pipeline and from what the
    settings ask for. What is imported inside of functions or under ``try`` may be done without.

    Parameters
    ----------
    repository : Path
    settings : Path
        Folder of the checkpoints' YAML files.
    """
    found: set[str] = set()
    waiting, seen = [START, *_targets(settings)], set[str]()
    while waiting and len(seen) < _MAX_FILES:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name.partition(".")[0] != PACKAGE:
            found.add(name.partition(".")[0])
            continue
        waiting.extend(_parents(name))
        file = _file(repository, name)
        if file is not None:
            waiting.extend(_statements(file, name))
    return found - set(sys.stdlib_module_names)


def _targets(settings: Path) -> Iterator[str]:
    for path in sorted(settings.glob("*.yaml")):
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        yield from _TARGET.findall(text)


def _parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    yield from (".".join(parts[:i]) for i in range(1, len(parts)))


def _file(repository: Path, name: str) -> Path | None:
    path = repository.joinpath(*name.split("."))
    for one in (path.with_suffix(".py"), path / "__init__.py"):
        if one.is_file():
            return one
    return None


def _statements(file: Path, name: str) -> Iterator[str]:
    """Full names that a module imports when it is itself imported."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                parts = parts[: len(parts) - node.level + 1]
                base = ".".join([*parts, *([base] if base else [])])
            yield base
            if base.partition(".")[0] == PACKAGE:  # a name may be a module, too
                yield from (f"{base}.{one.name}" for one in node.names)
