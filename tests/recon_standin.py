"""A 3D engine that does as it is told, mostly harm: it runs in the real worker process.

``do`` in the options of a run (or, for all runs and for `load` and `check`, in the config) says
what; without it a small object is made: four points and a tetrahedron, in files that readers take.
Standard library only.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import stat
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from samdesk.recon.worker.base import EngineError, Made, Report, Request

FOREVER_S = 600.0
POINTS = ((-0.5, -0.5, -0.5), (0.5, -0.5, -0.5), (0.0, 0.5, -0.5), (0.0, 0.0, 0.5))
FACES = ((0, 2, 1), (0, 1, 3), (1, 2, 3), (2, 0, 3))


class StandIn:
    """Attributes as `WorkerEngine`.

    Config: ``do``, ``do_load``, ``do_check``; ``leash`` (a named pipe that this process and all it
    starts hold open), ``tell_unload`` (into that pipe), ``steps`` and ``step_s`` (how many, how long).
    """

    title = "Stand-in"
    version = "7"
    capabilities = ("splat", "mesh", "pose", "cancel", "preview")

    def __init__(self) -> None:
        self._config: dict[str, Any] = {}
        self._loads = 0
        self._runs = 0
        self._leash = 0
        self._stopped = threading.Event()

    def device(self) -> str:
        return "none"

    def check(self, config: Mapping[str, Any]) -> list[dict[str, Any]]:
        items = [
            {"name": "Weights", "ok": True, "detail": "none needed", "hint": ""},
            {"name": "Graphics card", "ok": False, "detail": "none found", "hint": "Buy one."},
            {"name": "Licence", "ok": None, "detail": "not known", "hint": ""},
        ]
        answer: list[dict[str, Any]] = self._do(config.get("do_check", "")).get("items", items)
        return answer

    def load(self, config: Mapping[str, Any], report: Report) -> dict[str, Any]:
        self._config = dict(config)
        if config.get("leash") and not self._leash:
            self._leash = os.open(config["leash"], os.O_WRONLY)
            os.set_inheritable(self._leash, True)
        report.stage("load", 0, 1)
        self._do(config.get("do_load", ""), report)
        report.stage("load", 1, 1)
        self._loads += 1
        return {"device": "stand-in", "vram_used": 0, "vram_total": 0}

    def unload(self) -> None:
        if self._config.get("tell_unload"):
            os.write(self._leash, b"unloaded\n")

    def run(self, request: Request, report: Report) -> Made:
        self._runs += 1
        files = {"splat": "splat.ply", "mesh": "mesh.glb"}
        details: dict[str, Any] = {"loads": self._loads, "runs": self._runs, "options": dict(request.options)}
        told = request.options.get("do", self._config.get("do", ""))
        steps = int(self._config.get("steps", 3))
        for step in range(steps):
            report.stage("shape", step, steps)
            self._stopped.wait(float(self._config.get("step_s", 0)))
            if step == 0:
                request.out.joinpath("preview.npy").write_bytes(_npy(POINTS))
                report.preview("preview.npy")
                given = self._do(told, report)
                files |= given.get("files", {})
                details |= given.get("details", {})
        request.out.joinpath("splat.ply").write_bytes(_splat())
        request.out.joinpath("mesh.glb").write_bytes(_glb())
        report.stage("shape", steps, steps)
        pose = {"rotation_wxyz": [1, 0, 0, 0], "translation": [0, 0, 2], "scale": 1.0}
        pose |= given.get("pose", {})
        return Made(files, pose, {"kind": "perspective", "extent": 40.0, "aspect": 1.5}, details)

    def _do(self, what: str, report: Report | None = None) -> dict[str, Any]:
        if not what:
            return {}
        function: Callable[..., dict[str, Any] | None] = getattr(Deeds, what)
        return function(report) or {}


class Deeds:
    """What it can be told to do."""

    # ends of the process

    @staticmethod
    def segfault(report: Report) -> None:
        print("about to read what is not there", file=sys.stderr, flush=True)
        ctypes.string_at(0)

    @staticmethod
    def abort(report: Report) -> None:
        os.abort()

    @staticmethod
    def divide(report: Report) -> None:
        signal.raise_signal(signal.SIGFPE)

    @staticmethod
    def bus_error(report: Report) -> None:
        signal.raise_signal(signal.SIGBUS)

    @staticmethod
    def killed(report: Report) -> None:
        """As the system does when no memory is left."""
        os.kill(os.getpid(), signal.SIGKILL)

    @staticmethod
    def exit_well(report: Report) -> None:
        os._exit(0)

    @staticmethod
    def exit_badly(report: Report) -> None:
        print("\n".join(f"last words {k}" for k in range(60)), file=sys.stderr, flush=True)
        os._exit(3)

    @staticmethod
    def stray(report: Report) -> None:
        """A grandchild that would outlive everything."""
        subprocess.Popen(["sleep", str(FOREVER_S)], close_fds=False)
        os._exit(4)

    @staticmethod
    def forked_stray(report: Report) -> None:
        """A copy of this process that holds every pipe of it."""
        if os.fork() == 0:
            time.sleep(FOREVER_S)
        os._exit(5)

    # no end

    @staticmethod
    def hire_and_hang(report: Report) -> None:
        subprocess.Popen(["sleep", str(FOREVER_S)], close_fds=False)
        time.sleep(FOREVER_S)

    @staticmethod
    def hang(report: Report) -> None:
        time.sleep(FOREVER_S)

    @staticmethod
    def say_so_and_hang(report: Report) -> None:
        report.preview("hanging.npy")
        time.sleep(FOREVER_S)

    @staticmethod
    def hang_holding_the_lock(report: Report) -> None:
        """No thread of this process gets a turn."""
        ctypes.PyDLL(None).sleep(int(FOREVER_S))

    @staticmethod
    def refuse_to_end(report: Report) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(FOREVER_S)

    @staticmethod
    def be_slow(report: Report) -> None:
        """Hears a cancel."""
        until = time.monotonic() + FOREVER_S
        step = 0
        while time.monotonic() < until:
            report.stage("shape", step % 25, 25)
            threading.Event().wait(0.01)
            step += 1

    # errors

    @staticmethod
    def fail(report: Report) -> None:
        raise ValueError("the sky fell")

    @staticmethod
    def quit_python(report: Report) -> None:
        sys.exit("enough")

    @staticmethod
    def fill_memory(report: Report) -> None:
        bytearray(1 << 62)

    @staticmethod
    def fill_card(report: Report) -> None:
        raise EngineError("oom", "The graphics card ran out of memory.", "Make fewer steps.")

    @staticmethod
    def break_card(report: Report) -> None:
        raise EngineError("cuda", "The graphics card reported an illegal address.", "It is restarted.")

    @staticmethod
    def miss_module(report: Report) -> None:
        import surely_not_installed  # type: ignore[import-not-found]  # noqa: F401

    @staticmethod
    def say_what_cannot_be_said(report: Report) -> dict[str, Any]:
        return {"details": {"size": float("nan")}}

    @staticmethod
    def name_a_missing_file(report: Report) -> dict[str, Any]:
        return {"files": {"mesh": "nothing.glb"}}

    @staticmethod
    def name_a_file_elsewhere(report: Report) -> dict[str, Any]:
        return {"files": {"mesh": "../image.png"}}

    @staticmethod
    def stand_nowhere(report: Report) -> dict[str, Any]:
        return {"pose": {"rotation_wxyz": [0, 0, 0, 0]}}

    @staticmethod
    def check_in_numbers(report: Report) -> dict[str, Any]:
        return {"items": 5}

    # looking around

    @staticmethod
    def tell_surroundings(report: Report) -> dict[str, Any]:
        import samdesk

        told = {"environment": dict(os.environ), "path": sys.path, "executable": sys.executable}
        told |= {"stub": not hasattr(samdesk, "__version__"), "session": os.getsid(0) == os.getpid()}
        return {"details": told}

    # rubbish

    @staticmethod
    def chatter(report: Report) -> None:
        """Print in every way there is; and read what is not for it."""
        print("printed by Python")
        os.write(1, b"written to 1\n")
        libc = ctypes.CDLL(None)
        libc.puts(b"put by C")
        libc.fflush(None)
        subprocess.run([sys.executable, "-c", "print('printed by a grandchild')"], check=True)
        assert sys.stdin.read() == ""
        subprocess.run(["cat"], check=True)

    @staticmethod
    def flood(report: Report) -> None:
        for step in range(40):
            sys.stderr.write("much ado about nothing\n" * 5000)
            report.stage("shape", step, 40)

    @staticmethod
    def break_the_wire(report: Report) -> None:
        _into_the_wire(b"\xff\xfe progress 12 %\n")
        time.sleep(FOREVER_S)

    @staticmethod
    def never_end_a_line(report: Report) -> None:
        _into_the_wire(b"x" * (3 << 20))
        time.sleep(FOREVER_S)

    @staticmethod
    def stop_in_the_middle(report: Report) -> None:
        _into_the_wire(b'{"type":"stage","job":')
        os._exit(0)

    @staticmethod
    def count_in_letters(report: Report) -> None:
        _speak(report, type="stage", name="shape", i="a", n=3)
        time.sleep(FOREVER_S)

    @staticmethod
    def count_without_end(report: Report) -> None:
        _speak(report, type="stage", name="shape", i=float("inf"), n=3)
        time.sleep(FOREVER_S)

    @staticmethod
    def count_too_far(report: Report) -> None:
        _speak(report, type="stage", name="shape", i=4, n=3)

    @staticmethod
    def take_no_time(report: Report) -> None:
        _speak(report, type="result", files={}, seconds="nan")

    @staticmethod
    def speak_of_others(report: Report) -> None:
        """Messages of another job, and answers that nobody asked for."""
        for told in (
            {"type": "result", "job": "other", "files": {}, "seconds": 0},
            {"type": "error", "job": "other", "kind": "oom", "message": "", "hint": ""},
            {"type": "cancelled", "job": "other"},
            {"type": "pong", "n": -1},
        ):
            _into_the_wire(json.dumps(told).encode() + b"\n")


def _speak(report: Any, **message: Any) -> None:
    """A message of this job as no engine can send it."""
    _into_the_wire(json.dumps({"job": report._job, **message}).encode() + b"\n")


def _into_the_wire(data: bytes) -> None:
    """Write to what nobody but the loop should write to."""
    import fcntl

    for descriptor in range(3, 40):
        try:
            is_pipe = stat.S_ISFIFO(os.fstat(descriptor).st_mode)
            writes = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY
        except OSError:
            continue
        if is_pipe and writes and not os.get_inheritable(descriptor):
            while data:
                data = data[os.write(descriptor, data) :]
            return
    raise AssertionError("there is no wire")


def _npy(points: tuple[tuple[float, ...], ...]) -> bytes:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({len(points)}, 3), }}"
    header = header.ljust(117) + "\n"
    data = b"".join(struct.pack("<3f", *point) for point in points)
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data


def _splat() -> bytes:
    names = "x y z nx ny nz f_dc_0 f_dc_1 f_dc_2 opacity scale_0 scale_1 scale_2 rot_0 rot_1 rot_2 rot_3"
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(POINTS)}\n"
    header += "".join(f"property float {name}\n" for name in names.split()) + "end_header\n"
    rows = (struct.pack("<17f", *p, 0, 0, 0, 1, 0, -1, 3, -2, -2, -2, 1, 0, 0, 0) for p in POINTS)
    return header.encode() + b"".join(rows)


def _glb() -> bytes:
    """The tetrahedron, y up."""
    places = b"".join(struct.pack("<3f", x, z, -y) for x, y, z in POINTS)
    corners = b"".join(struct.pack("<3H", *face) for face in FACES)
    body = places + corners
    document = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "buffers": [{"byteLength": len(body)}],
        "bufferViews": [
            {"buffer": 0, "byteOffset": 0, "byteLength": len(places), "target": 34962},
            {"buffer": 0, "byteOffset": len(places), "byteLength": len(corners), "target": 34963},
        ],
        "accessors": [
            {
                "bufferView": 0,
                "componentType": 5126,
                "count": len(POINTS),
                "type": "VEC3",
                "min": [-0.5, -0.5, -0.5],
                "max": [0.5, 0.5, 0.5],
            },
            {"bufferView": 1, "componentType": 5123, "count": 3 * len(FACES), "type": "SCALAR"},
        ],
    }
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    body += b"\0" * (-len(body) % 4)
    size = 12 + 8 + len(text) + 8 + len(body)
    return (
        struct.pack("<4sII", b"glTF", 2, size)
        + struct.pack("<I4s", len(text), b"JSON")
        + text
        + struct.pack("<I4s", len(body), b"BIN\0")
        + body
    )
