"""What the app “Sam3D Mobile” asks: masks at a click, and a 3D object of one.

Source of the messages: https://github.com/freirefx/sam3d-api (api.py), the service of
https://github.com/andrisgauracs/sam3d-mobile. All bodies are JSON, and a picture is the base64 of
its file.

    POST /segment
        {image, x, y, multimask_output = true, mask_threshold = 0, invert_mask = false}
        {success, masks: [{mask: PNG 0/255, mask_shape: [h, w], score}], input_point: [x, y],
         image_shape: [h, w]}, the best mask first
    POST /segment-binary
        {image, points: [{x, y}], previous_mask: PNG or null, mask_threshold = 0}
        {success, mask: PNG of the picture, black outside of the object, score}; each point shows a
        part of the object, and what `previous_mask` has stays
    POST /segment-sam3d, /segment-binary-sam3d
        the same by SAM 3, and the answer has {model: "sam3"} too
    POST /generate-3d
        {image, mask: PNG, seed = 42}
        {success, task_id, status: "queued"}
    GET /generate-3d-status/{task_id}
        {task_id, status: queued | processing | completed | failed, progress: 0..100}; completed also
        {ply_b64, ply_size_bytes, ply_url, gif_b64, gif_size_bytes, gif_url, mesh_b64, mesh_size_bytes,
         mesh_url, mesh_format: "glb", output_b64, output_type: "ply", output_size_bytes}; failed {error}
    GET /assets-list
        {files: [{name, size_bytes, url, created_at}], total_files, total_size_bytes}, newest first
    GET /assets/{name}
    GET /health
        is the native one; of it the app reads {status: "healthy", model_loaded: true}

An answer that is not 200 has {error}. `mask_threshold` is not heeded: an outline lies where the model
is undecided. Coordinates may lie between pixels and are of the picture upright, as it is shown.

Must not know models, engines or where files are kept.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from datetime import UTC, datetime
from functools import partial
from statistics import fmean
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import Field

from samdesk.domain.geometry import Region
from samdesk.domain.prompts import Candidate, PointPrompt, Prompts
from samdesk.domain.tasks import Task
from samdesk.sdk import Image
from samdesk.server import asking, results
from samdesk.server.bounded import BoundedRoute
from samdesk.server.errors import RequestError
from samdesk.server.jobs3d import Job3D, Jobs3D, Prepared, best_engine, jobs3d, order_of, prepare_job
from samdesk.server.masks import check_drawn, mask_in, shape_in, to_base64
from samdesk.server.native.messages import MOST_MARKS, Coordinate, Message
from samdesk.server.native.reconstructions import file_answer, job_of, root_of
from samdesk.server.service import Choice, Service

SAM3 = "sam3"
FORMATS = ("ply", "glb", "gif")

STATUS = {
    "queued": "queued",
    "running": "processing",
    "done": "completed",
    "failed": "failed",
    "cancelled": "failed",
}


class Click(Message):
    """A picture and a point on the object."""

    image: str
    x: Coordinate
    y: Coordinate
    multimask_output: bool = True
    invert_mask: bool = False


class Place(Message):
    """A point."""

    x: Coordinate
    y: Coordinate


class Clicks(Message):
    """A picture, points on parts of the object, and what is known of it."""

    image: str
    points: Annotated[list[Place], Field(min_length=1, max_length=MOST_MARKS, fail_fast=True)]
    previous_mask: str | None = None


class Wanted3D(Message):
    """A picture and the mask of the object."""

    image: str
    mask: str
    seed: int = 42


def router(service: Service) -> APIRouter:
    """The endpoints."""
    router = APIRouter(tags=["Sam3D Mobile"], route_class=BoundedRoute)
    jobs = jobs3d(service)

    async def masks(asked: Click, choice: Choice) -> dict[str, Any]:
        image = await service.picture(asked.image)
        (found,) = await _asked(service, image, [(asked.x, asked.y)], choice, asked.multimask_output)
        wanted = results.pick(found, "all" if asked.multimask_output else "best")
        told = await service.run_steps(
            "requests", partial(_masks, wanted, image, asked.invert_mask), priority=1, counted=False
        )
        width, height = image.size
        shape, point = [height, width], [asked.x, asked.y]
        return {"success": True, "masks": told, "input_point": point, "image_shape": shape}

    async def cut_out(asked: Clicks, choice: Choice) -> dict[str, Any]:
        image = await service.picture(asked.image)
        check_drawn(len(asked.points), image.size)
        found = await _asked(service, image, [(one.x, one.y) for one in asked.points], choice, None)
        best = [candidate for one in found for candidate in results.pick(one, "best")]
        mask = await service.run_steps(
            "requests", partial(_cut_out, image, best, asked.previous_mask), priority=1, counted=False
        )
        return {"success": True, "mask": mask, "score": fmean(one.score for one in best) if best else 0.0}

    @router.post("/segment", summary="Masks of what is at a point")
    async def segment(asked: Click) -> JSONResponse:
        return JSONResponse(await masks(asked, service.choose(None)))

    @router.post("/segment-sam3d", summary="Masks of what is at a point, by SAM 3")
    async def segment_by_sam3(asked: Click) -> JSONResponse:
        return JSONResponse({**await masks(asked, service.choose(SAM3)), "model": SAM3})

    @router.post("/segment-binary", summary="The picture with all but the object blackened")
    async def segment_binary(asked: Clicks) -> JSONResponse:
        return JSONResponse(await cut_out(asked, service.choose(None)))

    @router.post("/segment-binary-sam3d", summary="The same by SAM 3")
    async def segment_binary_by_sam3(asked: Clicks) -> JSONResponse:
        return JSONResponse({**await cut_out(asked, service.choose(SAM3)), "model": SAM3})

    @router.post("/generate-3d", summary="Make an object of a picture in 3D")
    async def generate(asked: Wanted3D) -> JSONResponse:
        image = await service.picture(asked.image)
        job = jobs.start(await service.run("requests", partial(_prepared, image, asked)))
        return JSONResponse({"success": True, "task_id": job.id, "status": STATUS[job.state]})

    @router.get("/generate-3d-status/{task_id}", summary="How it goes, and the files once it is done")
    async def status(task_id: str, request: Request) -> JSONResponse:
        job = job_of(jobs, task_id)
        told: dict[str, Any] = {"task_id": job.id, "status": STATUS[job.state], "progress": job.percent}
        told["engine"] = job.label
        if STATUS[job.state] == "failed":
            told["error"] = job.error or "It was cancelled."
        if job.state == "done":
            root = root_of(request)
            told |= await service.run("requests", lambda task: _outputs(jobs, job, root), counted=False)
        return JSONResponse(told)

    @router.get("/assets-list", summary="The files of all objects")
    async def assets(request: Request) -> JSONResponse:
        files = [told for job in jobs.all() for told in _assets(job, root_of(request))]
        total = sum(one["size_bytes"] for one in files)
        return JSONResponse({"files": files, "total_files": len(files), "total_size_bytes": total})

    @router.get("/assets/{name}", summary="A file of an object", response_class=Response)
    async def asset(name: str) -> Response:
        job = jobs.get(name.partition("_")[0])
        for one in job.files if job is not None else ():
            if job is not None and _flat(job, one.name) == name:
                return await file_answer(service, jobs, job.id, one.name)
        raise RequestError(404, f"There is no file “{name[:100]}”.", "GET /assets-list lists all.")

    return router


async def _asked(
    service: Service,
    image: Image,
    places: Sequence[tuple[float, float]],
    choice: Choice,
    multimask: bool | None,
) -> list[list[Candidate]]:
    """The candidates at each place."""
    width, height = image.size
    for x, y in places:
        if not (0 <= x <= width and 0 <= y <= height):
            raise RequestError(
                422,
                f"The point {x:g}, {y:g} lies outside the picture.",
                f"It is {width:,} × {height:,} px as it is shown.",
            )
    prompts = [Prompts(points=(PointPrompt(x, y),)) for x, y in places]
    return await asking.segment(service, image, prompts, choice, multimask=multimask)


def _masks(
    candidates: Sequence[Candidate], image: Image, inverted: bool, task: Task
) -> Generator[None, None, list[dict[str, Any]]]:
    width, height = image.size
    told = []
    for one in candidates:
        task.check()
        mask = results.mask_of(one.shape, image.size)
        png = results.png_file((~mask if inverted else mask).view(np.uint8) * np.uint8(255))
        told.append({"mask": to_base64(png), "mask_shape": [height, width], "score": float(one.score)})
        yield
    return told


def _cut_out(
    image: Image, candidates: Sequence[Candidate], previous: str | None, task: Task
) -> Generator[None, None, str]:
    """The picture where a candidate, or the mask from before, is; black elsewhere. PNG in base64."""
    width, height = image.size
    inside = np.zeros((height, width), np.bool_) if previous is None else mask_in(previous, image.size)
    for one in candidates:
        task.check()
        inside |= results.mask_of(one.shape, image.size)
        yield
    pixels = image.read(Region(0, 0, width, height))
    # no pixel of the object is quite black: the picture comes back as the mask from before
    return to_base64(
        results.png_file(np.where(inside[..., None], np.maximum(pixels, 1), np.uint8(0))[..., ::-1])
    )


def _prepared(image: Image, asked: Wanted3D, task: Task) -> Prepared:
    order = order_of(best_engine(), FORMATS, {"seed": asked.seed % 2**32})
    return prepare_job(image, [shape_in(asked.mask, image.size)], order, task)


def _outputs(jobs: Jobs3D, job: Job3D, root: str) -> dict[str, Any]:
    """The files of a job that is done, under the names that the app knows."""
    told: dict[str, Any] = {}
    for format, called in (("ply", "ply"), ("gif", "gif"), ("glb", "mesh")):
        name = job.result(format)
        path = None if name is None else jobs.path(job.id, name)
        file = path.read_bytes() if path is not None and path.is_file() else None
        told[f"{called}_b64"] = None if file is None else to_base64(file)
        told[f"{called}_size_bytes"] = 0 if file is None else len(file)
        told[f"{called}_url"] = None if name is None else f"{root}/assets/{_flat(job, name)}"
    told["mesh_format"] = "glb"
    output = "ply" if told["ply_b64"] is not None else "gif"
    told |= {"output_type": output, "output_b64": told[f"{output}_b64"]}
    return told | {"output_size_bytes": told[f"{output}_size_bytes"]}


def _assets(job: Job3D, root: str) -> list[dict[str, Any]]:
    ended = datetime.fromtimestamp(job.ended or job.created, UTC).isoformat()
    return [
        {
            "name": _flat(job, one.name),
            "size_bytes": one.size,
            "url": f"{root}/assets/{_flat(job, one.name)}",
            "created_at": ended,
        }
        for one in job.files
        if one.name.rpartition(".")[2] in FORMATS
    ]


def _flat(job: Job3D, name: str) -> str:
    """The name of a file among those of all jobs."""
    return f"{job.id}_{name.replace('/', '_')}"
