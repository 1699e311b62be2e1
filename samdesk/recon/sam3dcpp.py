"""SAM 3D Objects as the program ``object_infer`` of sam3d.cpp, on the processor or by Vulkan.

Runs in the worker. The program makes one file a run, a splat or a mesh, tells its progress on
stderr, and knows no pose. Must not know the wire or samdesk's own program.
"""

from __future__ import annotations

import hashlib
import os
import re
import signal
import struct
import subprocess
import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from samdesk.domain.errors import MemoryFullError, SamdeskError
from samdesk.recon import wire
from samdesk.recon.mesh import read_mesh, write_glb
from samdesk.recon.options import ReconOptions
from samdesk.recon.sam3d.failures import told
from samdesk.recon.sam3d.files import read_rgba
from samdesk.recon.worker.base import EngineError, Made, Report, Request

LABEL = "SAM 3D Objects (sam3d.cpp)"
HOMEPAGE = "https://github.com/localai-org/sam3d.cpp"
MODELS = (
    "moge_vitl",
    "ss_generator",
    "ss_decoder",
    "slat_generator",
    "slat_decoder_gs",
    "slat_decoder_mesh",
)
"""Each is a file ``<name>-<precision>.gguf``."""

MAGIC = b"S3DOBJ01"
SIDES = (3, 4096)
PIXELS = 16 << 20
THREADS = 1024
POLL_S = 0.05
GRACE_S = 0.5
"""A program that was asked to end may take so long; then it is killed: it has nothing to tidy up."""
_TAIL = 50
_KILLED = int(getattr(signal, "SIGKILL", 9))
_SOLVER_STEPS = 25
_WEIGHTS = {"depth": 5, "shape": 35, "look": 30}
_DECODING = 15
"""How long the parts of a run take, about."""

_STEP = re.compile(r"\b(ss|slat) step (\d+)/(\d+)")
_STAGES = {"ss": "shape", "slat": "look"}
_MEMORY = re.compile(r"out of memory|alloc failed|reserve failed|too large for memory|bad_alloc", re.I)
_DEVICE = re.compile(r"backend|device|vulkan", re.I)
_MODEL = re.compile(r"failed to (?:re)?load|gguf|slat_decoder|cannot open", re.I)
_VOXELS = re.compile(r"occupancy coords (\d+)")
_ERROR = re.compile(r"^\[E\]\s*(?:e2e:\s*)?(.*)$")


@dataclass(frozen=True)
class Setup:
    """What the user told.

    Attributes
    ----------
    program, module, models : Path
    device, precision : str
    threads : int
    """

    program: Path
    module: Path
    models: Path
    device: str
    precision: str
    threads: int

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Setup:
        """Read a config (the fields of the engine's row)."""
        threads = config.get("threads")
        count = int(threads) if isinstance(threads, int | float) else 0
        program, module, models = (
            Path(str(config.get(name) or "")).expanduser() for name in ("program", "module", "models")
        )
        return cls(
            program,
            module,
            models,
            str(config.get("device") or "CPU"),
            str(config.get("precision") or "f16"),
            min(count if count > 0 else os.cpu_count() or 1, THREADS),
        )

    def model(self, name: str) -> Path:
        return self.models / f"{name}-{self.precision}.gguf"

    def command(self, picture: Path, out: Path, seed: int) -> list[str]:
        """The program's line; `out` says by its suffix what is made."""
        return [
            *(str(path.absolute()) for path in (self.program, self.module)),
            self.device,
            "0",
            "-",
            *(str(path.absolute()) for path in (self.models, picture, out)),
            str(self.threads),
            self.precision,
            str(seed % (1 << 32)),
        ]


class Sam3dCppEngine:
    """sam3d.cpp behind `samdesk.recon.worker.base.WorkerEngine`."""

    title = LABEL
    capabilities = ("splat", "mesh", "cancel")

    def __init__(self) -> None:
        self.version = ""
        self._setup: Setup | None = None

    def device(self) -> str:
        return self._setup.device if self._setup else ""

    def check(self, config: Mapping[str, Any]) -> list[dict[str, Any]]:
        setup = Setup.of(config)
        program = setup.program
        can_run = program.is_file() and os.access(program, os.X_OK)
        items = [
            _item(
                "Program",
                can_run,
                str(program)
                if can_run
                else f"{program} is not a program"
                if program.name
                else "none is chosen",
                f"Build object_infer as {HOMEPAGE} tells, and choose it.",
            ),
            _item(
                "Backend library",
                setup.module.is_file(),
                str(setup.module) if setup.module.name else "none is chosen",
                "Choose the ggml library built with the program, such as libggml-cpu or libggml-vulkan.",
            ),
        ]
        for name in MODELS:
            path = setup.model(name)
            size = path.stat().st_size if path.is_file() else 0
            good = size > 0 and _is_gguf(path)
            said = (
                f"{size / 1e6:.0f} MB"
                if good
                else f"{path} {'is not a GGUF file' if size else 'is not there'}"
            )
            hint = "Convert Meta's checkpoints with sam3d.cpp's scripts/objects/convert_sam3d_to_gguf.py."
            items.append(_item(path.name, good, said, hint))
        items.append(
            {
                "name": "Licence",
                "ok": None,
                "detail": "The weights come under the SAM License",
                "hint": "Read it: https://github.com/facebookresearch/sam-3d-objects/blob/main/LICENSE",
            }
        )
        return items

    def load(self, config: Mapping[str, Any], report: Report) -> dict[str, Any]:
        """The program loads its models itself, each run anew; so only look whether all is there."""
        report.stage("load", 0, 1)
        lacking = [item for item in self.check(config) if item["ok"] is False]
        if lacking:
            first = lacking[0]
            kind = "missing_weights" if first["name"].endswith(".gguf") else "missing_module"
            others = ", ".join(str(item["name"]) for item in lacking[1:])
            more = f" Also missing: {others}." if others else ""
            raise EngineError(kind, f"{first['name']} is missing: {first['detail']}.{more}", first["hint"])
        setup = Setup.of(config)
        self.version = _digits(setup.program)
        self._setup = setup
        report.stage("load", 1, 1)
        return {"device": setup.device, "version": self.version}

    def unload(self) -> None:
        self._setup = None

    def run(self, request: Request, report: Report) -> Made:
        setup = self._setup
        if setup is None:
            raise EngineError("internal", "sam3d.cpp is not set up.", "Try again.")
        options = ReconOptions.from_json(request.options)
        names = [wire.SPLAT] * options.splat + [wire.MESH] * options.mesh
        if not names:
            raise EngineError("internal", "Neither a splat nor a mesh was asked for.", "Choose at least one.")
        rgba = read_rgba(request)
        _refuse_size(rgba)
        details: dict[str, Any] = {
            "version": self.version,
            "seed_used": options.seed % (1 << 32),
            "precision": setup.precision,
        }
        try:
            with TemporaryDirectory(
                prefix=".sam3dcpp-", dir=request.out, ignore_cleanup_errors=True
            ) as folder:
                picture, log = Path(folder, "picture.s3dobj"), Path(folder, "program.log")
                picture.write_bytes(container(rgba))
                for name in names:
                    progress = _Progress(report, name.partition(".")[0], name is not names[0])
                    made = Path(folder, name)
                    _execute(setup.command(picture, made, options.seed), log, progress, report)
                    extras = {"engine": LABEL, "version": self.version, "seed": options.seed}
                    details |= _finished(made, request.out / name, extras) | progress.found
                    progress.done()
        except SamdeskError as error:
            raise told(error) from error
        except OSError as error:
            raise EngineError(
                "internal",
                f"{request.out} cannot be written: {error.strerror or error}.",
                "Free some space on the disk, or check the rights of the folder.",
            ) from error
        report.stage("export", 1, 1)
        return Made({name.partition(".")[0]: name for name in names}, details=details)


def container(rgba: NDArray[np.uint8]) -> bytes:
    """A picture (h, w, 4), its mask as alpha, as the program reads it."""
    h, w = rgba.shape[:2]
    return MAGIC + struct.pack("<2I", w, h) + np.ascontiguousarray(rgba, np.uint8).tobytes()


class _Progress:
    """Reads the program's log and reports stages from it.

    The first run has stages as every engine; a second one goes through all of them again, and is
    reported as one long stage, so that progress never goes back.

    Parameters
    ----------
    report : Report
    kind : {"splat", "mesh"}
        What the run makes.
    again : bool
        Whether it is a second run.
    """

    def __init__(self, report: Report, kind: str, again: bool) -> None:
        self._report = report
        self._kind = kind
        self._again = again
        self.found: dict[str, Any] = {}
        self.empty = False
        self.errors: list[str] = []
        self.tail: deque[str] = deque(maxlen=_TAIL)
        self._stage("depth", 0, 1)

    def read(self, line: str) -> None:
        """Take a line of the log.

        Raises
        ------
        Stopped
        """
        self.tail.append(line)
        if step := _STEP.search(line):
            i, n = int(step[2]), int(step[3])
            self._stage(_STAGES[step[1]], i, n)
            if step[1] == "slat" and i >= n:
                self._stage(self._kind, 0, 1)
        elif "MoGe raw points" in line:
            self._stage("depth", 1, 1)
            self._stage("shape", 0, _SOLVER_STEPS)
        elif voxels := _VOXELS.search(line):
            self.found["voxels"] = int(voxels[1])
            self.empty = not int(voxels[1])
        elif error := _ERROR.match(line):
            self.errors.append(error[1].strip())

    def done(self) -> None:
        """Say that the file is there."""
        self._stage(self._kind, 1, 1)

    def _stage(self, name: str, i: int, n: int) -> None:
        n = max(n, 1)
        i = min(i, n)
        if not self._again:
            self._report.stage(name, i, n)
            return
        before = list(_WEIGHTS).index(name) if name in _WEIGHTS else len(_WEIGHTS)
        weights = [*_WEIGHTS.values(), _DECODING]
        self._report.stage(self._kind, sum(weights[:before]) + weights[before] * i // n, sum(weights))


def _execute(command: list[str], log: Path, progress: _Progress, report: Report) -> None:
    """Run the program to its end, within this process's group so that it dies with the worker.

    It writes to a file that is read as it grows: that needs no thread, and never holds it up.

    Raises
    ------
    EngineError, Stopped
    """
    with log.open("wb") as written, log.open(encoding="utf-8", errors="replace") as lines:
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=written, stderr=subprocess.STDOUT
            )
        except OSError as error:
            raise EngineError(
                "missing_module",
                f"{command[0]} cannot be started: {error.strerror or error}.",
                "Press Check in the settings.",
            ) from error
        try:
            rest = ""
            ended = False
            while not ended:
                report.check()
                ended = _ended(process)  # before the last look at what it said
                rest = _read(lines, rest, progress)
        finally:
            _stop(process)
        if rest:
            progress.read(rest)
    if process.returncode or progress.empty:
        raise _why(process.returncode, progress)


def _ended(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(POLL_S)
    except subprocess.TimeoutExpired:
        return False
    return True


def _read(lines: TextIO, rest: str, progress: _Progress) -> str:
    """Take the lines that came, and give back the one that is not whole yet."""
    *whole_lines, rest = (rest + lines.read()).split("\n")
    for line in whole_lines:
        print(line, file=sys.stderr, flush=True)
        progress.read(line.rstrip("\r"))
    return rest


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _why(code: int, progress: _Progress) -> EngineError:
    """What a run that failed means."""
    if progress.empty:
        return EngineError(
            "mask_empty",
            "SAM 3D found no body in what the mask selects.",
            "Check that the outline covers the object; another seed may help.",
        )
    # the first error is the cause, the later ones follow from it
    said = progress.errors[0] if progress.errors else progress.tail[-1] if progress.tail else ""
    everything = " ".join((*progress.errors, *progress.tail))
    reason = f": {said.rstrip('.')}." if said else "."
    if code == -_KILLED:
        return EngineError(
            "oom",
            "sam3d.cpp was killed, most likely because the computer's memory is full.",
            "Close other programs, or take the 8 bit models.",
        )
    if _MEMORY.search(everything):
        return EngineError(
            "oom",
            f"sam3d.cpp ran out of memory{reason}",
            "Take the 8 bit models, or compute on the processor.",
        )
    if code < 0:
        return EngineError(
            "internal", f"sam3d.cpp crashed by signal {-code}{reason}", "The log has the details."
        )
    if progress.errors and _MODEL.search(said):
        return EngineError(
            "missing_weights", f"sam3d.cpp cannot load a model{reason}", "Convert the models anew."
        )
    if progress.errors and _DEVICE.search(said):
        return EngineError(
            "missing_module",
            f"sam3d.cpp cannot use the device{reason}",
            "Choose the backend library that fits the device, or compute on the processor.",
        )
    return EngineError("internal", f"sam3d.cpp failed with code {code}{reason}", "The log has the details.")


def _finished(made: Path, path: Path, extras: Mapping[str, Any]) -> dict[str, Any]:
    """Check what the program made, and put it in its place, a mesh with what the program leaves out."""
    if not made.is_file():
        raise EngineError("internal", f"sam3d.cpp ended without {path.name}.", "The log has the details.")
    if path.name == wire.SPLAT:
        count = _gaussians(made.read_bytes())
        made.replace(path)
        return {"gaussians": count}
    try:
        mesh = read_mesh(made)
    except MemoryFullError:
        raise
    except SamdeskError as error:
        print(error, file=sys.stderr, flush=True)
        raise EngineError(
            "nan_mesh",
            "The mesh came out broken: it has no faces, or points that are no numbers, or is cut off.",
            "Try another seed, or make the splat only. The log has the details.",
        ) from error
    write_glb(path, mesh, extras)
    return {"vertices": len(mesh.vertices), "faces": len(mesh.faces)}


def _gaussians(data: bytes) -> int:
    head, found, _ = data[:4096].partition(b"end_header\n")
    count = re.search(rb"element vertex (\d+)", head)
    properties = len(re.findall(rb"property float ", head))
    number = int(count[1]) if count else 0
    if not head.startswith(b"ply") or not found or not number:
        raise EngineError("nan_mesh", "sam3d.cpp wrote an empty splat.", "Try another seed.")
    size = len(data) - len(head) - len(found)
    if size < number * properties * 4:
        raise EngineError("internal", "sam3d.cpp wrote a splat that ends too early.", "Is the disk full?")
    return number


def _refuse_size(rgba: NDArray[np.uint8]) -> None:
    h, w = rgba.shape[:2]
    if min(h, w) < SIDES[0] or max(h, w) > SIDES[1] or h * w > PIXELS:
        raise EngineError(
            "size_mismatch",
            f"sam3d.cpp takes pictures of {SIDES[0]} to {SIDES[1]} pixels a side; this one is {w} × {h}.",
            "Choose a larger or smaller region.",
        )


def _digits(program: Path) -> str:
    """What tells one build from another, as the program says no version; empty where it cannot be read."""
    try:
        with program.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:12]
    except OSError:
        return ""


def _is_gguf(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) == b"GGUF"
    except OSError:
        return False


def _item(name: str, ok: bool, detail: str, hint: str) -> dict[str, Any]:
    return {"name": name, "ok": ok, "detail": detail, "hint": "" if ok else hint}
