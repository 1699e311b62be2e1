"""What the page of `sam3-sam3d-pipeline` asks: 3D objects of all that a text names in a picture.

Source of the messages: https://github.com/benoitmarteau/sam3-sam3d-pipeline (webapp/app.py,
webapp/static/index.html).

    POST /api/generate_3d
        form: image (a file), text_prompt, seed = 42, max_objects = 50 (1..100)
        {success, job_id, message, num_objects, glb_url, obj_url, ply_url, mask_url, preview_url,
         objects: [{index, glb_url, obj_url, ply_url, mask_url}], elapsed_time}
    GET /objects/{job_id}/{name}

The request is answered once all is made; when the client leaves before, it is cancelled. Several
objects are one scene. An address is null when there is no such file. An answer that is not 200 has
{detail}.

Must not know models, engines or where files are kept.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from starlette.datastructures import FormData, UploadFile

from samdesk.domain.prompts import Prompts
from samdesk.domain.tasks import Task
from samdesk.server import asking
from samdesk.server.errors import RequestError
from samdesk.server.forms import FILE, form_content, read_form
from samdesk.server.jobs3d import OBJECTS, Job3D, Jobs3D, Prepared, best_engine, jobs3d, order_of, prepare_job
from samdesk.server.native.reconstructions import file_answer, root_of
from samdesk.server.service import Service

MODEL = "sam3"
FORMATS = ("ply", "glb", "obj", "gif")
USUAL_OBJECTS = 50
LONGEST_TEXT = 500
LOOK_S = 60.0

_MEMBERS: dict[str, Any] = {
    "image": FILE,
    "text_prompt": {"type": "string", "maxLength": LONGEST_TEXT},
    "seed": {"type": "integer", "default": 42},
    "max_objects": {"type": "integer", "default": USUAL_OBJECTS},
}
_FORM = {"requestBody": {"required": True, "content": form_content(_MEMBERS, ["image", "text_prompt"])}}


def router(service: Service) -> APIRouter:
    """The endpoints."""
    router = APIRouter(tags=["sam3-sam3d-pipeline"])
    jobs = jobs3d(service)

    @router.post("/api/generate_3d", summary="3D objects of what a text names", openapi_extra=_FORM)
    async def generate(request: Request) -> JSONResponse:
        began = time.perf_counter()
        asked = await _read_form(request)
        image = await service.picture(asked.file)
        title = f"Looking for “{asked.text}”"
        found = await asking.find(
            service, image, Prompts(text=asked.text), service.choose(MODEL), title=title
        )
        shapes = [one.shape for one in found if not one.shape.is_empty][: asked.most]
        if not shapes:
            raise RequestError(422, f"Nothing was found for “{asked.text}”.", "Try other words.")

        def prepared(task: Task) -> Prepared:
            order = order_of(best_engine(), FORMATS, {"seed": asked.seed})
            return prepare_job(image, shapes, order, task)

        job = await _made(jobs, jobs.start(await service.run("requests", prepared)))
        return JSONResponse(_told(job, asked.text, time.perf_counter() - began, root_of(request)))

    @router.get("/objects/{job_id}/{name:path}", summary="A file that was made", response_class=Response)
    async def serve_object(job_id: str, name: str) -> Response:
        return await file_answer(service, jobs, job_id, name)

    return router


async def _made(jobs: Jobs3D, job: Job3D) -> Job3D:
    """The job once it is done; cancelled when nobody waits for it any more.

    Raises
    ------
    RequestError
        503 when it failed.
    """
    now: Job3D | None = job
    try:
        while now is not None and not now.is_over:
            now = await jobs.moved(now, LOOK_S)
    except asyncio.CancelledError:
        jobs.cancel(job.id)
        raise
    if now is None or now.state == "cancelled":
        raise RequestError(503, "It was cancelled.", "It was stopped in the window or by another client.")
    if now.state == "failed":
        raise RequestError(503, now.error, now.hint)
    return now


def _told(job: Job3D, text: str, seconds: float, root: str) -> dict[str, Any]:
    numbers = sorted(int(one.name.partition("/")[0]) for one in job.files if one.name.endswith("/mask.png"))
    several = job.objects > 1
    made = len(numbers) if several else 1
    message = f"Made {made} of {job.objects} objects for “{text}” with {job.label}. {job.error}".strip()
    return {
        "success": True,
        "job_id": job.id,
        "message": message,
        "num_objects": made,
        "glb_url": _url(job, job.result("glb"), root),
        "obj_url": _url(job, job.result("obj"), root),
        "ply_url": _url(job, job.result("ply"), root),
        "mask_url": _url(job, "mask.png", root),
        "preview_url": _url(job, job.result("gif"), root),
        "objects": [_object(job, number, several, root) for number in (numbers if several else [0])],
        "elapsed_time": seconds,
    }


def _object(job: Job3D, number: int, several: bool, root: str) -> dict[str, Any]:
    folder = f"{number}/" if several else ""
    files = {"glb": "mesh.glb", "obj": "mesh.obj", "ply": "splat.ply", "mask": "mask.png"}
    urls = {f"{kind}_url": _url(job, folder + name, root) for kind, name in files.items()}
    return {"index": number, **urls}


def _url(job: Job3D, name: str | None, root: str) -> str | None:
    there = any(one.name == name for one in job.files)
    return f"{root}/objects/{job.id}/{name}" if there else None


# the form


@dataclass(frozen=True, slots=True)
class _Asked:
    file: bytes
    text: str
    seed: int
    most: int


async def _read_form(request: Request) -> _Asked:
    async with read_form(request, files=4, fields=16) as form:
        sent = form.get("image")
        if not isinstance(sent, UploadFile):
            raise RequestError(422, "There is no picture in the form.", "Send it as the file “image”.")
        most = min(max(1, _number(form, "max_objects", USUAL_OBJECTS)), OBJECTS)
        return _Asked(await sent.read(), _text(form), _number(form, "seed", 42) % 2**32, most)


def _text(form: FormData) -> str:
    sent = form.get("text_prompt")
    text = sent.strip() if isinstance(sent, str) else ""
    if not text or len(text) > LONGEST_TEXT:
        raise RequestError(
            422,
            "It is not told what to look for.",
            f"Send it as “text_prompt”, at most {LONGEST_TEXT} letters.",
        )
    return text


def _number(form: FormData, name: str, usual: int) -> int:
    sent = form.get(name)
    if sent is None or sent == "":
        return usual
    try:
        return int(sent) if isinstance(sent, str) and len(sent) < 20 else int("")
    except ValueError:
        raise RequestError(422, f"“{name}” is not a whole number.", f"{usual} is usual.") from None
