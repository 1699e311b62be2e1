"""From the result of a worker to a folder that stays: exports, picture, mask and provenance.

Must not know projects or annotations beyond an id.
"""

from __future__ import annotations

import json
import secrets
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import samdesk
from samdesk.domain.errors import SamdeskError
from samdesk.domain.tasks import Task
from samdesk.formats.atomic import file_error, replacing
from samdesk.recon import wire
from samdesk.recon.client import RunResult
from samdesk.recon.engines import ReconSpec
from samdesk.recon.options import FORMATS, ReconOptions

from .folder import read_description
from .made import FILES, KINDS, PROVENANCE, SCHEMA, Reconstruction
from .share import Share

if TYPE_CHECKING:
    from samdesk.recon.mesh import Mesh
    from samdesk.recon.splat import Splats

STL_MM = 50.0


def wanted(
    description: Mapping[str, Any], number: int, spec: ReconSpec, options: ReconOptions
) -> dict[str, Any]:
    """What an object depends on, as JSON values: engine, options, picture and mask.

    Parameters
    ----------
    description : mapping
        What `describe` said of the picture; see also `read_description`.
    number : int
        Of the object in it.
    spec : ReconSpec
    options : ReconOptions
        Those that the engine does not heed are left out.
    """
    told = dict(description)
    masks = told.pop("masks")
    heeded = {name: value for name, value in options.to_json().items() if name in spec.options}
    return {"engine": spec.name, "options": heeded, **told, "mask_sha256": masks[number]}


def record(
    job: Path,
    number: int,
    spec: ReconSpec,
    options: ReconOptions,
    result: RunResult,
    annotation: uuid.UUID | None = None,
) -> dict[str, Any]:
    """The provenance of an object: all of `wanted`, and what came of it."""
    return {
        **wanted(read_description(job), number, spec, options),
        "label": spec.label,
        "version": result.version,
        "device": result.device,
        "seed": options.seed if "seed" in spec.options else None,
        "annotation": None if annotation is None else str(annotation),
        "software": f"samdesk {samdesk.__version__}",
        "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "seconds": round(result.seconds, 3),
        "pose": None if result.pose is None else result.pose.to_json(),
        "camera": None if result.camera is None else result.camera.to_json(),
        "units": "relative",
        "details": dict(result.details),
    }


def publish(
    result: RunResult,
    target: Path,
    formats: Sequence[str],
    provenance: Mapping[str, Any],
    *,
    size_mm: float = STL_MM,
    job: Path | None = None,
    number: int = 0,
    task: Task | None = None,
) -> Reconstruction:
    """Put an object into a folder of its own, which appears whole or not at all.

    Parameters
    ----------
    result : RunResult
        Its files are copied, not moved.
    target : Path
        The new folder; a reconstruction that lies there is replaced.
    formats : sequence of str
        Of `FORMATS`. What the engine gave no splat or mesh for is left out.
    provenance : mapping
        See `record`.
    size_mm : float
        Longest side of an STL.
    job : Path, optional
        The job's folder, to keep picture and mask beside the object.
    number : int
        Of the object in it.
    task : Task, optional

    Raises
    ------
    SamdeskError
        When nothing of what is asked for can be made, `target` is something else, or it cannot be
        written; nothing is changed then.
    Cancelled
    """
    task = task or Task()
    unknown = [one for one in formats if one not in FORMATS]
    if unknown:
        raise SamdeskError(f"There is no format “{unknown[0]}”.", f"Choose of: {', '.join(FORMATS)}.")
    told = dict(provenance)
    if "stl" in formats:
        told["size_mm"] = size_mm
    with appearing(target) as fresh:
        files = _export(result, fresh, formats, told, size_mm, task)
        if not files:
            raise SamdeskError(
                f"{told.get('label', 'The engine')} made nothing that {', '.join(formats)} could hold.",
                "Choose other formats.",
            )
        if job is not None:
            for kind, name in (("picture", wire.IMAGE), ("mask", f"{number}/{wire.MASK}")):
                files[kind] = FILES[kind]
                _copy(job / name, fresh / FILES[kind])
        made = Reconstruction.from_json({**told, "schema": SCHEMA, "files": files}, target)
        with replacing(fresh / PROVENANCE) as file:
            file.write_text(json.dumps(made.to_json(), indent=1, ensure_ascii=False), "utf-8")
        task.check()
    return made


def _export(
    result: RunResult,
    folder: Path,
    formats: Sequence[str],
    provenance: Mapping[str, Any],
    size_mm: float,
    task: Task,
) -> dict[str, str]:
    """Make the files that are asked for and can be made; their kinds and names."""
    from samdesk.recon.mesh import read_mesh, write_obj, write_stl
    from samdesk.recon.splat import read_splats

    splat, mesh = result.files.get("splat"), result.files.get("mesh")
    label = f"{provenance.get('label', '')}, made by {provenance.get('software', 'samdesk')}".lstrip(", ")
    read: list[Mesh] = []

    def the_mesh(path: Path) -> Mesh:
        if not read:
            read.append(read_mesh(path))
        return read[0]

    files: dict[str, str] = {}
    for number, one in enumerate(formats):
        share = Share(task, number / len(formats), (number + 1) / len(formats))
        share.progress(0.0, f"Writing {one.upper()}")
        kind = KINDS[one]
        target = folder / FILES[kind]
        if one == "ply" and splat is not None:
            _copy(splat, target)
        elif one == "glb" and mesh is not None:
            _copy(mesh, target)
        elif one == "obj" and mesh is not None:
            write_obj(target, the_mesh(mesh), [label])
        elif one == "stl" and mesh is not None:
            write_stl(target, the_mesh(mesh), size_mm, label)
        elif one == "gif" and mesh is not None:
            write_turn(target, the_mesh(mesh), label, share)
        elif one == "gif" and splat is not None:
            write_turn(target, read_splats(splat), label, share)
        else:
            continue
        files[kind] = target.name
    return files


def write_turn(path: Path, thing: Mesh | Splats, label: str, task: Task | None = None) -> None:
    """Write a GIF of an object that turns once.

    Raises
    ------
    SamdeskError
    Cancelled
    """
    from samdesk.recon.turntable import turntable, write_gif

    write_gif(path, turntable(thing, task=task), comment=label)


@contextmanager
def appearing(target: Path) -> Iterator[Path]:
    """Give a new folder that takes the place of `target` when the block ends well.

    When the block raises (or is cancelled), the new folder is removed and `target` stays.

    Raises
    ------
    SamdeskError
        When `target` is there and holds no reconstruction, or cannot be written.
    """
    target = target.absolute()
    mark = secrets.token_hex(4)
    fresh, old = (target.with_name(f".{target.name[:60]}.{mark}.{end}") for end in ("tmp", "old"))
    try:
        if target.exists() and not (target / PROVENANCE).is_file():
            raise SamdeskError(
                f"{target} is there already and holds no 3D object.",
                "Choose another folder, or move it away.",
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh.mkdir()
        yield fresh
        if target.exists():
            target.rename(old)
        fresh.rename(target)
    except OSError as error:
        raise file_error(target, error, "written") from error
    finally:
        if old.exists() and not target.exists():
            old.rename(target)
        for gone in (fresh, old):
            with suppress(OSError):
                shutil.rmtree(gone)


def _copy(source: Path, target: Path) -> None:
    try:
        file = source.open("rb")
    except OSError as error:
        raise file_error(source, error, "read") from error
    with file, replacing(target) as fresh, fresh.open("wb") as copy:
        shutil.copyfileobj(file, copy, 1 << 20)
