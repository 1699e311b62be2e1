"""`/api/v1/reconstructions` and `/api/v1/assets`: 3D objects as jobs, and the files they left.

Must not know engines, workers or where files are kept.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field, model_validator

from samdesk.domain.geometry import Plane, Shape
from samdesk.domain.tasks import Task
from samdesk.sdk import Image
from samdesk.sdk.reconstruction import STL_MM
from samdesk.server.bounded import BoundedRoute
from samdesk.server.errors import RequestError
from samdesk.server.jobs3d import OBJECTS, Job3D, Jobs3D, Prepared, jobs3d, order_of, prepare_job
from samdesk.server.masks import check_edges, shape_in
from samdesk.server.service import Service

from .answers import check_plane
from .known import using_image
from .messages import Message, Name, OfImage, Outline, PngMask, Refusal, Rle, Wish
from .priors import shape_of

HEARTBEAT_S = 15.0
"""So often a stream of events says that it is still there."""

CHUNK = 4 << 20
"""Bytes of a file that are read and sent at once."""

TYPES = {
    ".ply": "application/octet-stream",
    ".glb": "model/gltf-binary",
    ".obj": "model/obj",
    ".mtl": "model/mtl",
    ".stl": "model/stl",
    ".gif": "image/gif",
    ".png": "image/png",
    ".json": "application/json",
}

ROOT = "/api/v1"

Format = Literal["ply", "glb", "obj", "stl", "gif"]


class Options(Wish):
    """How it is made; an engine ignores what it does not have."""

    seed: int = Field(42, ge=0, le=2**32 - 1)
    steps_shape: int = Field(25, ge=1, le=1000, description="Solver steps of the shape (SAM 3D).")
    steps_look: int = Field(25, ge=1, le=1000, description="Solver steps of the look (SAM 3D).")
    distill_shape: bool = Field(False, description="The quicker model for the shape (SAM 3D).")
    distill_look: bool = Field(False, description="The quicker model for the look (SAM 3D).")
    light_splat: bool = Field(False, description="An eighth of the Gaussians (SAM 3D).")
    clean_mesh: bool = Field(False, description="Simplify the mesh and fill its holes (SAM 3D).")
    texture: bool = Field(False, description="Bake a texture (SAM 3D).")
    layout: bool = Field(True, description="Refine the place against the picture (SAM 3D).")


class NewReconstruction(OfImage):
    """What is to be made in 3D."""

    mask: Outline | None = Field(
        None,
        description="The object: a GeoJSON Polygon or MultiPolygon in pixels of the image, COCO RLE, or "
        "a PNG.",
        examples=[{"type": "Polygon", "coordinates": [[[40, 50], [160, 50], [160, 130], [40, 50]]]}],
    )
    masks: Annotated[list[Outline], Field(min_length=1, max_length=OBJECTS, fail_fast=True)] | None = Field(
        None, description="Several objects, which are made as they stand together in one scene."
    )
    engine: Name = Field(
        "relief",
        description="`relief` needs no weights; `sam3d` and `sam3dcpp` are there once they are set up in "
        "the window.",
    )
    options: Options | None = None
    formats: Annotated[list[Format], Field(min_length=1, max_length=16, fail_fast=True)] = Field(
        default=["ply", "glb"],
        description="Files to make. There is no scene in obj or stl.",
    )
    size_mm: float = Field(STL_MM, gt=0, lt=1e5, description="Longest side of an STL.")
    z: int = Field(0, ge=0, le=1_000_000, description="z slice, from 0.")
    t: int = Field(0, ge=0, le=1_000_000, description="Time point, from 0.")

    @model_validator(mode="after")
    def _one_or_several(self) -> NewReconstruction:
        if (self.mask is None) == (self.masks is None):
            raise ValueError("give either mask, one object, or masks, several")
        return self

    @property
    def outlines(self) -> list[Outline]:
        """One for each object."""
        return [self.mask] if self.mask is not None else list(self.masks or ())


class FileInfo(Message):
    """A file."""

    name: str = Field(examples=["mesh.glb"])
    size: int = Field(description="Bytes.")
    url: str


class ReconstructionInfo(Message):
    """A reconstruction on its way, or at its end."""

    id: str
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    stage: str = Field(description="What is being done, for a person to read.")
    percent: int = Field(ge=0, le=100)
    engine: str
    label: str = Field(description="How what the engine makes is to be called.")
    formats: list[str]
    objects: int = Field(description="How many are made.")
    created: float = Field(description="Unix time in seconds.")
    ended: float | None
    error: str = Field(description="Why it failed; when it is done, why some of its objects are missing.")
    hint: str
    files: list[FileInfo] = Field(description="Once it is done.")


class ReconstructionList(Message):
    """Newest first."""

    reconstructions: list[ReconstructionInfo]


class Asset(FileInfo):
    """A file of a reconstruction."""

    id: str = Field(description="Of the reconstruction.")
    created: float = Field(description="Unix time in seconds.")


class AssetList(Message):
    """Newest first."""

    assets: list[Asset]


class Ended(Message):
    """What became of a request to delete."""

    id: str
    state: Literal["cancelled", "removed"]


_GONE: dict[int | str, dict[str, Any]] = {
    404: {"model": Refusal, "description": "There is no such reconstruction, or no such file."}
}
_EVENTS = {
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
    "description": "Each event is named by the state and its data is JSON with state, stage and percent; "
    "the last one also has error, hint and files.",
}
_FILE = {
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    "description": "The file.",
}


def router(service: Service) -> APIRouter:
    """The endpoints."""
    router = APIRouter(prefix=ROOT, tags=["reconstructions"], route_class=BoundedRoute)
    jobs = jobs3d(service)

    @router.post(
        "/reconstructions",
        status_code=202,
        summary="Make objects of a picture in 3D",
        responses={
            404: {"model": Refusal, "description": "There is no such image."},
            413: {"model": Refusal, "description": "The picture or the mask is too large."},
            422: {"model": Refusal, "description": "Nothing can be made of it."},
            503: {"model": Refusal, "description": "Too many wait, or the engine is not set up."},
        },
    )
    async def add_reconstruction(
        asked: NewReconstruction, request: Request, response: Response
    ) -> ReconstructionInfo:
        """Answers at once with the id of a job; follow it under `/reconstructions/{id}/events`."""
        async with using_image(service, asked.image, asked.data) as (_, image):
            plane = Plane(asked.z, asked.t)
            check_plane(image, plane)
            prepared = await service.run(
                "requests", lambda task: _prepared(service, jobs, asked, image, plane, task)
            )
        job = jobs.start(prepared)
        root = root_of(request)
        response.headers["Location"] = f"{root}{ROOT}/reconstructions/{job.id}"
        return _info(job, root)

    @router.get("/reconstructions", summary="All reconstructions")
    async def list_reconstructions(request: Request) -> ReconstructionList:
        root = root_of(request)
        return ReconstructionList(reconstructions=[_info(one, root) for one in jobs.all()])

    @router.get("/reconstructions/{id}", summary="How a reconstruction goes", responses=_GONE)
    async def get_reconstruction(id: str, request: Request) -> ReconstructionInfo:
        return _info(job_of(jobs, id), root_of(request))

    @router.get(
        "/reconstructions/{id}/events",
        summary="How a reconstruction goes, as it goes",
        response_class=StreamingResponse,
        responses={200: _EVENTS, **_GONE},
    )
    async def follow_reconstruction(id: str, request: Request) -> Response:
        """Server-sent events, until it is done, failed or cancelled."""
        events = _events(jobs, job_of(jobs, id), root_of(request))
        return StreamingResponse(
            events, media_type="text/event-stream", headers={"Cache-Control": "no-store"}
        )

    @router.delete(
        "/reconstructions/{id}",
        summary="Cancel a reconstruction, or remove one that is over",
        responses=_GONE,
    )
    async def delete_reconstruction(id: str) -> Ended:
        """One that waits or runs stays in the list; of one that is over the files are removed too."""
        job_of(jobs, id)
        if jobs.cancel(id):
            return Ended(id=id, state="cancelled")
        await service.run("requests", lambda task: jobs.remove(id), counted=False)
        return Ended(id=id, state="removed")

    @router.get(
        "/reconstructions/{id}/result.{format}",
        summary="What was made",
        response_class=Response,
        responses={200: _FILE, 409: {"model": Refusal, "description": "It is not done."}, **_GONE},
    )
    async def get_result(id: str, format: Format) -> Response:
        """Of several objects it is the scene."""
        job = job_of(jobs, id)
        if job.state in ("queued", "running"):
            raise RequestError(409, "The reconstruction is not done yet.", "Its events tell when it is.")
        if job.state != "done":
            raise RequestError(409, job.error or "The reconstruction was cancelled.", job.hint)
        name = job.result(format)
        if name is None:
            made = ", ".join(one.name for one in job.files)
            raise RequestError(404, f"There is no {format} of this reconstruction.", f"It has: {made}.")
        return await file_answer(service, jobs, id, name)

    @router.get("/assets", summary="All files of reconstructions")
    async def list_assets(request: Request) -> AssetList:
        root = root_of(request)
        return AssetList(
            assets=[
                Asset(**_file(one, file.name, file.size, root).model_dump(), id=one.id, created=one.created)
                for one in jobs.all()
                for file in one.files
            ]
        )

    @router.get(
        "/assets/{id}/{name:path}",
        summary="A file of a reconstruction",
        response_class=Response,
        responses={200: _FILE, **_GONE},
    )
    async def get_asset(id: str, name: str) -> Response:
        return await file_answer(service, jobs, id, name)

    return router


def root_of(request: Request) -> str:
    """What stands before the paths of this server, as a token does that is in the path; most often empty."""
    return str(request.scope.get("root_path", ""))


def job_of(jobs: Jobs3D, id: str) -> Job3D:
    """The job of an id.

    Raises
    ------
    RequestError
        404 when there is none.
    """
    job = jobs.get(id)
    if job is None:
        raise RequestError(
            404,
            f"There is no reconstruction “{id[:100]}”.",
            "The oldest are removed to make room; GET /api/v1/reconstructions lists what there is.",
        )
    return job


async def file_answer(service: Service, jobs: Jobs3D, id: str, name: str) -> Response:
    """A file of a reconstruction as an answer, read piece by piece on a lane.

    Raises
    ------
    RequestError
        404 when there is none.
    """
    path = jobs.path(id, name)
    if path is None:
        raise RequestError(
            404, f"There is no file “{name[:100]}” of such a reconstruction.", "GET /api/v1/assets lists all."
        )
    try:
        size = path.stat().st_size
    except OSError as error:
        raise RequestError(404, f"“{name[:100]}” is not there any more.", "Make the object again.") from error

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, size, CHUNK):
            yield await service.run("requests", partial(_piece, path, start), counted=False)

    headers = {
        "Content-Length": str(size),
        "Content-Disposition": f'attachment; filename="{Path(name).name}"',
        "Cache-Control": "private, max-age=3600",  # files of an id never change
    }
    return StreamingResponse(pieces(), media_type=TYPES.get(path.suffix, TYPES[".ply"]), headers=headers)


def _piece(path: Path, start: int, task: Task) -> bytes:
    with path.open("rb") as file:  # nothing stays open when the client goes
        file.seek(start)
        return file.read(CHUNK)


def _prepared(
    service: Service, jobs: Jobs3D, asked: NewReconstruction, image: Image, plane: Plane, task: Task
) -> Prepared:
    options = {} if asked.options is None else asked.options.model_dump()
    order = order_of(asked.engine, asked.formats, options, asked.size_mm)
    jobs.refuse_when_full()
    shapes = []
    for outline in asked.outlines:
        task.check()
        shapes.append(_shape(outline, image.size, service.options.limits.pixels))
    return prepare_job(image, shapes, order, task, plane)


def _shape(outline: Outline, size: tuple[int, int], most: int) -> Shape:
    if isinstance(outline, Rle | PngMask) and size[0] * size[1] > most:
        raise RequestError(413, "The image is too large for a mask of all its pixels.", "Send a polygon.")
    if isinstance(outline, PngMask):
        return shape_in(outline.png, size)
    shape = shape_of(outline, size)
    if shape.is_empty:
        width, height = size
        raise RequestError(
            422, "The outline covers nothing of the image.", f"The image is {width:,} × {height:,} px."
        )
    check_edges(shape, size)
    return shape


async def _events(jobs: Jobs3D, job: Job3D, root: str) -> AsyncIterator[str]:
    """What becomes of a job, as server-sent events; a comment now and then when nothing does.

    Source of the format: https://html.spec.whatwg.org/multipage/server-sent-events.html
    """
    yield _event(job, root)
    while not job.is_over:
        now = await jobs.moved(job, HEARTBEAT_S)
        if now is None:
            return
        yield ": still there\n\n" if now == job else _event(now, root)
        job = now


def _event(job: Job3D, root: str) -> str:
    told: dict[str, Any] = {"id": job.id, "state": job.state, "stage": job.stage, "percent": job.percent}
    if job.is_over:
        info = _info(job, root)
        told |= {"error": job.error, "hint": job.hint, "files": [one.model_dump() for one in info.files]}
    return f"event: {job.state}\ndata: {json.dumps(told, ensure_ascii=False)}\n\n"


def _info(job: Job3D, root: str) -> ReconstructionInfo:
    return ReconstructionInfo(
        id=job.id,
        state=job.state,
        stage=job.stage,
        percent=job.percent,
        engine=job.engine,
        label=job.label,
        formats=list(job.formats),
        objects=job.objects,
        created=job.created,
        ended=job.ended,
        error=job.error,
        hint=job.hint,
        files=[_file(job, one.name, one.size, root) for one in job.files],
    )


def _file(job: Job3D, name: str, size: int, root: str) -> FileInfo:
    return FileInfo(name=name, size=size, url=f"{root}{ROOT}/assets/{job.id}/{name}")
