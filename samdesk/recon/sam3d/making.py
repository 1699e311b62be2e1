"""One object of one picture: the pipeline is asked, and what it gives becomes files, pose and camera.

Must not know how the pipeline is made, nor the wire.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samdesk.recon import wire
from samdesk.recon.mesh import Mesh, write_glb
from samdesk.recon.mesh.glb import to_z_up
from samdesk.recon.mesh.reading import texture_of
from samdesk.recon.options import ReconOptions
from samdesk.recon.pose import Camera, Pose
from samdesk.recon.worker.base import EngineError, Made, Report, Request

from . import card
from .failures import translated
from .files import read_rgba, whole
from .hooks import Watch, as_array, broken_mesh

_SAMPLES = 200
"""Points along each side of a pointmap that the camera is estimated from."""


def make(pipe: Any, request: Request, report: Report, label: str, version: str) -> Made:
    """Have the pipeline make an object, and write what is wanted of it.

    Parameters
    ----------
    pipe : object
        The pipeline.
    request : Request
    report : Report
    label, version : str
        Of the engine, for the files.

    Raises
    ------
    EngineError, Stopped
    """
    options = ReconOptions.from_json(request.options)
    formats = _formats(options, pipe)
    rgba = read_rgba(request)
    pointmap = _shared_pointmap(request, rgba)
    watch = Watch(
        pipe,
        report,
        request.out / wire.PREVIEW if options.preview else None,
        request.pointmap if pointmap is None else None,
    )
    card.reset_peak()
    try:
        with translated("making the object"), watch.listening():
            outputs = pipe.run(
                rgba,  # the mask is its alpha: as an argument of its own it would not be scaled
                None,
                seed=options.seed,
                stage1_only=False,
                with_mesh_postprocess=options.clean_mesh,
                with_texture_baking=options.texture,
                with_layout_postprocess=options.layout,
                use_vertex_color=not options.texture,
                stage1_inference_steps=max(options.steps_shape, 1),
                stage2_inference_steps=max(options.steps_look, 1),
                use_stage1_distillation=options.distill_shape,
                use_stage2_distillation=options.distill_look,
                pointmap=pointmap,
                decode_formats=formats,
            )
        # the pipeline swallows what is raised in its layout step, a cancel too
        report.check()
        with translated("writing the files"):
            return _made(request, options, outputs, watch, report, (label, version))
    finally:
        outputs = None
        card.give_back()


def _made(
    request: Request,
    options: ReconOptions,
    outputs: Mapping[str, Any],
    watch: Watch,
    report: Report,
    engine: tuple[str, str],
) -> Made:
    label, version = engine
    report.stage("export", 0, 1)
    files: dict[str, str] = {}
    details: dict[str, Any] = {
        "version": version,
        "seed_used": options.seed,
        "voxels": watch.voxels,
        "layout": _layout_word(options, outputs),
        **card.peak(),
    }
    if "iou" in outputs:
        with suppress(TypeError, ValueError):
            details["layout_iou"] = round(float(as_array(outputs["iou"]).reshape(-1)[0]), 4)
    if options.splat:
        gaussian = outputs["gaussian_4" if options.light_splat else "gaussian"][0]
        details["gaussians"] = _save_splat(request.out / wire.SPLAT, gaussian)
        files["splat"] = wire.SPLAT
        report.check()
    if options.mesh:
        extras = {"engine": label, "version": version, "seed": options.seed}
        details |= _save_mesh(request.out / wire.MESH, outputs, extras)
        files["mesh"] = wire.MESH
    pose = pose_of(outputs)
    if pose is None:
        details["pose"] = "not finite"
    camera = None if watch.points is None else camera_of(watch.points)
    report.stage("export", 1, 1)
    return Made(
        files,
        None if pose is None else pose.to_json(),
        None if camera is None else camera.to_json(),
        details,
    )


def pose_of(outputs: Mapping[str, Any]) -> Pose | None:
    """The pose in a run's outputs as plain numbers; None where one is not finite or lacks."""
    try:
        q = as_array(outputs["rotation"], np.float64).reshape(-1)[:4]
        t = as_array(outputs["translation"], np.float64).reshape(-1)[:3]
        scale = float(as_array(outputs["scale"], np.float64).mean())
    except KeyError:
        return None
    length = float(np.linalg.norm(q))
    if q.size != 4 or t.size != 3 or not np.isfinite((*q, *t, scale)).all() or not length or scale <= 0:
        return None
    w, x, y, z = (float(v / length) for v in q)
    tx, ty, tz = (float(v) for v in t)
    return Pose((w, x, y, z), (tx, ty, tz), scale)


def camera_of(points: NDArray[np.float32]) -> Camera | None:
    """The camera that sees a pointmap (h, w, 3; x left, y up, z forward), its axis in the centre.

    The intrinsics are not among the pipeline's outputs; the focal length follows from where each
    pixel's point is: ``-x / z = (column - w / 2) / f``. The median bears what is not finite or far
    off.
    """
    h, w = points.shape[:2]
    rows = np.unique(np.linspace(0, h - 1, min(h, _SAMPLES)).astype(int))
    columns = np.unique(np.linspace(0, w - 1, min(w, _SAMPLES)).astype(int))
    x, y, z = np.moveaxis(points[np.ix_(rows, columns)].astype(np.float64), -1, 0)
    v, u = np.meshgrid(h / 2 - rows - 0.5, columns + 0.5 - w / 2, indexing="ij")
    outer = np.hypot(u, v) > 0.2 * np.hypot(w, h) / 2
    good = np.isfinite(x) & np.isfinite(y) & np.isfinite(z) & outer
    good[good] &= z[good] > 1e-6
    if not good.any():
        return None
    u, v, x, y, z = u[good], v[good], x[good], y[good], z[good]
    inverse = float(np.median((-u * x + v * y) / (z * (u * u + v * v))))
    if not np.isfinite(inverse) or inverse <= 0:
        return None
    return Camera("perspective", float(2 * np.degrees(np.arctan(inverse * h / 2))), w / h)


def _formats(options: ReconOptions, pipe: Any) -> list[str]:
    """What to decode; the mesh is finished with the full splat, so that it is always needed for one."""
    if not options.splat and not options.mesh:
        raise EngineError("internal", "Neither a splat nor a mesh was asked for.", "Choose at least one.")
    light = options.splat and options.light_splat
    if light and ("slat_decoder_gs_4" not in pipe.models or pipe.models["slat_decoder_gs_4"] is None):
        raise EngineError(
            "missing_weights",
            "The decoder of the light splat is not among the checkpoints.",
            "Turn the light splat off, or add slat_decoder_gs_4 to pipeline.yaml.",
        )
    full = options.mesh or not light
    return ["gaussian"] * full + ["gaussian_4"] * light + ["mesh"] * options.mesh


def _shared_pointmap(request: Request, rgba: NDArray[np.uint8]) -> Any:
    """The pointmap that an earlier object of the picture left, as a tensor; None where there is none."""
    if request.pointmap is None or not request.pointmap.exists():
        return None
    try:
        points = np.load(request.pointmap)
    except (OSError, ValueError) as error:
        raise EngineError(
            "internal", f"{request.pointmap.name} cannot be read: {error}", "Make the objects again."
        ) from error
    if points.shape != (*rgba.shape[:2], 3) or points.dtype != np.float32:
        raise EngineError(
            "size_mismatch",
            f"{request.pointmap.name} is not of this picture: {points.shape} for {rgba.shape[:2]}.",
            "Make the objects again.",
        )
    import torch

    return torch.from_numpy(points)


def _layout_word(options: ReconOptions, outputs: Mapping[str, Any]) -> str:
    """Whether the pose was refined: the step is skipped for masks at the border or with large holes."""
    if not options.layout:
        return "off"
    return "refined" if "iou" in outputs else "skipped"


def _save_splat(path: Path, gaussian: Any) -> int:
    points = as_array(gaussian.get_xyz)
    if not len(points) or not np.isfinite(points).all():
        raise EngineError(
            "nan_mesh",
            "The splat came out broken: it has no points, or points that are no numbers.",
            "This happens when graphics memory is short. Try again, or with another seed.",
        )
    with whole(path) as part:
        gaussian.save_ply(str(part))
    return len(points)


def _save_mesh(path: Path, outputs: Mapping[str, Any], extras: Mapping[str, Any]) -> dict[str, Any]:
    """Write what the pipeline gives as trimesh's mesh.

    Not by trimesh: that of the user's interpreter may be of any version, leaves the material out
    (viewers then show metal), and keeps display colours where linear ones belong.
    """
    made = outputs.get("glb")
    if made is None:
        raise broken_mesh()
    vertices, faces = to_z_up(np.asarray(made.vertices, np.float32)), np.asarray(made.faces)
    if not len(faces) or not np.isfinite(vertices).all():
        raise broken_mesh()
    uv, texture = texture_of(made)
    colors = _colors(made, outputs, vertices) if texture is None else None
    write_glb(path, Mesh(vertices, faces, colors=colors, uv=uv, texture=texture), extras)
    return {"vertices": len(vertices), "faces": len(faces)}


def _colors(made: Any, outputs: Mapping[str, Any], vertices: NDArray[np.float32]) -> NDArray[np.uint8] | None:
    """Display colours of the vertices (z up); a mesh that was simplified has lost its own."""
    if getattr(made.visual, "kind", None) == "vertex":
        return np.asarray(made.visual.vertex_colors, np.uint8)[:, :3]
    raw = outputs["mesh"][0]
    attributes = getattr(raw, "vertex_attrs", None)
    if attributes is None:
        return None
    try:
        from scipy.spatial import cKDTree
    except ImportError:
        return None
    nearest = cKDTree(as_array(raw.vertices)).query(vertices)[1]
    shown = np.clip(np.nan_to_num(as_array(attributes)[:, :3]), 0, 1)[nearest]
    colors: NDArray[np.uint8] = np.rint(255 * shown).astype(np.uint8)
    return colors
