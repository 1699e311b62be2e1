"""Listening in on the pipeline while it makes an object, without a change to its code.

Its methods and its solvers' iterators are replaced on the instances for the time of one run. Must
not know files of a job but the shared pointmap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samdesk.recon.worker.base import EngineError, Report

from .failures import nothing_found
from .files import save_array

_SOLVERS = {"ss_generator": "shape", "slat_generator": "look"}
_LAYOUTS = ("run_post_optimization", "run_post_optimization_GS")


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Set an attribute for the time of the block, and leave `owner` as it was."""
    own = vars(owner)
    there, old = name in own, own.get(name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if there:
            setattr(owner, name, old)
        else:
            delattr(owner, name)


def as_array(tensor: Any, dtype: Any = np.float32) -> NDArray[Any]:
    """A tensor of any device and precision, or what is an array already, as an array."""
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu().float().numpy()
    return np.asarray(tensor, dtype)


class Watch:
    """What one run tells while it goes on.

    Parameters
    ----------
    pipe : object
        The pipeline.
    report : Report
    preview : Path or None
        Where the points of the first stage go, for a preview.
    shared : Path or None
        Where the picture's pointmap is to be kept; None where there is nothing to be shared, or
        where it is there already and is given to the run.

    Attributes
    ----------
    points : ndarray, (h, w, 3), or None
        The pointmap of the run, camera frame.
    voxels : int
    """

    def __init__(self, pipe: Any, report: Report, preview: Path | None, shared: Path | None) -> None:
        self._pipe = pipe
        self._report = report
        self._preview = preview
        self._shared = shared
        self.points: NDArray[np.float32] | None = None
        self.voxels = 0

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listen for the time of the block."""
        pipe = self._pipe
        with ExitStack() as stack:
            for name, stage in _SOLVERS.items():
                solver = pipe.models[name]
                # a run that is stopped leaves its own step count behind
                stack.enter_context(replaced(solver, "inference_steps", solver.inference_steps))
                steps = self._counted(solver, solver.generate_iter, stage)
                stack.enter_context(replaced(solver, "generate_iter", steps))
            methods: dict[str, Callable[..., Any]] = {
                "compute_pointmap": self._depth(pipe.compute_pointmap),
                "sample_sparse_structure": self._shape(pipe.sample_sparse_structure),
                "sample_slat": self._look(pipe.sample_slat),
                "decode_slat": self._decoded(pipe.decode_slat),
                "postprocess_slat_output": self._finished(pipe.postprocess_slat_output),
            }
            for name in _LAYOUTS:
                if hasattr(pipe, name):
                    methods[name] = self._layout(getattr(pipe, name))
            for name, method in methods.items():
                stack.enter_context(replaced(pipe, name, method))
            yield

    def _counted(self, solver: Any, iterate: Callable[..., Any], stage: str) -> Callable[..., Any]:
        def generate_iter(*args: Any, **kwargs: Any) -> Iterator[Any]:
            count = max(int(solver.inference_steps), 1)
            for i, state in enumerate(iterate(*args, **kwargs), 1):
                self._report.stage(stage, min(i, count), count)
                yield state

        return generate_iter

    def _depth(self, compute: Callable[..., Any]) -> Callable[..., Any]:
        def compute_pointmap(image: Any, pointmap: Any = None) -> Any:
            self._report.stage("depth", 0, 1)
            if pointmap is None and self._shared is not None:
                pointmap = self._keep_shared(compute, image, self._shared)
            made = compute(image, pointmap)
            self.points = as_array(made["pointmap"]).transpose(1, 2, 0)
            self._report.stage("depth", 1, 1)
            return made

        return compute_pointmap

    def _keep_shared(self, compute: Callable[..., Any], image: Any, path: Path) -> Any:
        """Compute the pointmap that all objects of the picture share, and give it as a tensor.

        What lies far behind one object is cut off for that object only, not for the others.
        """
        import torch

        with replaced(self._pipe, "clip_pointmap_beyond_scale", None):
            points = as_array(compute(image, None)["pointmap"]).transpose(1, 2, 0)
        points = np.ascontiguousarray(points)
        save_array(path, points)
        return torch.from_numpy(points)

    def _shape(self, sample: Callable[..., Any]) -> Callable[..., Any]:
        def sample_sparse_structure(*args: Any, **kwargs: Any) -> Any:
            self._report.stage("shape", 0, self._steps("ss_generator", kwargs))
            made = sample(*args, **kwargs)
            coords = as_array(made["coords"])[:, 1:4]
            if not len(coords):
                raise nothing_found()
            self.voxels = len(coords)
            if self._preview is not None:
                save_array(self._preview, ((coords + 0.5) / 64 - 0.5).astype(np.float32))
                self._report.preview(self._preview.name)
            return made

        return sample_sparse_structure

    def _look(self, sample: Callable[..., Any]) -> Callable[..., Any]:
        def sample_slat(*args: Any, **kwargs: Any) -> Any:
            self._report.stage("look", 0, self._steps("slat_generator", kwargs))
            return sample(*args, **kwargs)

        return sample_slat

    def _steps(self, solver: str, kwargs: dict[str, Any]) -> int:
        return max(int(kwargs.get("inference_steps") or self._pipe.models[solver].inference_steps), 1)

    def _decoded(self, decode: Callable[..., Any]) -> Callable[..., Any]:
        """Decode splats and mesh one after the other: each is a stage, and between them can be stopped."""

        def decode_slat(slat: Any, formats: Any) -> Any:
            splats = [name for name in formats if name != "mesh"]
            made: dict[str, Any] = {}
            if splats:
                self._report.stage("splat", 0, 1)
                made |= decode(slat, splats)
                self._report.stage("splat", 1, 1)
            if "mesh" in formats:
                self._report.stage("mesh", 0, 2)
                made |= decode(slat, ["mesh"])
                self._report.stage("mesh", 1, 2)
            return made

        return decode_slat

    def _finished(self, finish: Callable[..., Any]) -> Callable[..., Any]:
        def postprocess_slat_output(outputs: Any, *args: Any, **kwargs: Any) -> Any:
            if outputs.get("mesh"):
                _refuse_broken(outputs["mesh"][0])
            made = finish(outputs, *args, **kwargs)
            if outputs.get("mesh"):
                self._report.stage("mesh", 2, 2)
            return made

        return postprocess_slat_output

    def _layout(self, optimise: Callable[..., Any]) -> Callable[..., Any]:
        def run_post_optimization(*args: Any, **kwargs: Any) -> Any:
            # the pipeline swallows what is raised here, a cancel too: the engine asks again after it
            self._report.stage("layout", 0, 1)
            made = optimise(*args, **kwargs)
            self._report.stage("layout", 1, 1)
            return made

        return run_post_optimization


def broken_mesh() -> EngineError:
    return EngineError(
        "nan_mesh",
        "The mesh came out broken: it has no faces, or points that are no numbers.",
        "This happens when graphics memory is short. Try again, with another seed, or make the splat only.",
    )


def _refuse_broken(mesh: Any) -> None:
    if not len(mesh.faces) or not np.isfinite(as_array(mesh.vertices)).all():
        raise broken_mesh()
