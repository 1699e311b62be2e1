"""The relief as an engine of the worker. Must not know the wire or the program at its other end.

Only the standard library is imported before `load`.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samdesk.domain.errors import SamdeskError
from samdesk.recon.engines import RECON_ENGINES
from samdesk.recon.wire import MESH, SPLAT
from samdesk.recon.worker.base import EngineError, Made, Report, Request

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .making import Relief

PACKAGES = {"numpy": "numpy", "scipy": "scipy", "skimage": "scikit-image", "cv2": "opencv-python-headless"}
"""Modules that the engine needs, and how their packages are called."""


class ReliefEngine:
    """A rounded body from the outline alone; see `samdesk.recon.relief`."""

    title = RECON_ENGINES["relief"].title
    version = "1"
    capabilities = ("splat", "mesh", "pose", "cancel")

    def device(self) -> str:
        return "processor"

    def check(self, config: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Whether each package is there. Nothing is imported."""
        return [_package(module, name) for module, name in PACKAGES.items()]

    def load(self, config: Mapping[str, Any], report: Report) -> dict[str, Any]:
        """Import what `run` needs; there is nothing else to load.

        Raises
        ------
        EngineError
            When a package is missing or does not work.
        Stopped
        """
        report.stage("load", 0, 1)
        try:
            from . import making  # noqa: F401
        except ImportError as error:
            raise EngineError(
                "missing_module",
                f"A package that the relief needs cannot be imported: {error}.",
                "Install samdesk again.",
            ) from error
        report.stage("load", 1, 1)
        return {"device": self.device()}

    def run(self, request: Request, report: Report) -> Made:
        """Blow up the object and write what is asked for.

        Raises
        ------
        EngineError
            When picture or mask cannot be read, do not fit, or the mask is empty; when the disk
            is full.
        Stopped
        """
        from .making import relief

        report.check()
        pixels, mask = _read(request.image, color=True), _read(request.mask, color=False)
        made = relief(pixels, mask > 127, report.stage)
        try:
            files = _write(made, request, report)
        except SamdeskError as error:
            raise EngineError("internal", error.message, error.hint) from error
        details = {"gaussians": len(made.splats), "faces": len(made.mesh.faces), "version": self.version}
        return Made(files, made.pose.to_json(), made.camera.to_json(), details)

    def unload(self) -> None:
        """Nothing is kept between two objects."""


def _package(module: str, name: str) -> dict[str, Any]:
    if importlib.util.find_spec(module) is None:
        return {"name": name, "ok": False, "detail": "not installed", "hint": "Install samdesk again."}
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:  # it came under another name
        version = "installed"
    return {"name": name, "ok": True, "detail": version, "hint": ""}


def _read(path: Path, *, color: bool) -> NDArray[np.uint8]:
    """The pixels of a picture: RGB, or grey."""
    import cv2
    import numpy as np

    try:
        data = np.fromfile(path, np.uint8)  # not cv2.imread: it knows no names beyond ASCII on Windows
        pixels = cv2.imdecode(data, cv2.IMREAD_COLOR if color else cv2.IMREAD_GRAYSCALE)
    except (OSError, cv2.error) as error:
        raise EngineError("internal", f"{path.name} cannot be read: {error}.") from error
    if pixels is None:
        raise EngineError("internal", f"{path.name} is not a picture.")
    return np.ascontiguousarray(pixels[..., ::-1] if color else pixels, np.uint8)


def _write(made: Relief, request: Request, report: Report) -> dict[str, str]:
    """Write the files that are asked for, and say how they are called."""
    from samdesk.recon.mesh import write_glb
    from samdesk.recon.splat import write_splats

    label = RECON_ENGINES["relief"].label
    files = {}
    report.stage("export", 0, 2)
    if request.options.get("splat", True):
        write_splats(request.out / SPLAT, made.splats, (label,))
        files["splat"] = SPLAT
    report.stage("export", 1, 2)
    if request.options.get("mesh", True):
        write_glb(request.out / MESH, made.mesh, {"engine": label, "version": ReliefEngine.version})
        files["mesh"] = MESH
    report.stage("export", 2, 2)
    return files
