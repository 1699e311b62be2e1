"""Sequences: POST /sam/upload/ for the frames, /sam/video/ and /sam/sam3video/ to follow objects in them.

Must not know the other endpoints.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.datastructures import UploadFile

from samdesk.domain.geometry import Shape
from samdesk.domain.prompts import Candidate
from samdesk.domain.tasks import PartTask, Task
from samdesk.engines.base import Tracker, TrackPrompt
from samdesk.sdk.tracking import PictureFrames, load_tracker, track
from samdesk.server.bounded import BoundedRoute
from samdesk.server.errors import RequestError
from samdesk.server.forms import FILE, form_content, read_form
from samdesk.server.pictures import from_base64
from samdesk.server.results import qupath_features
from samdesk.server.service import Choice, Service, loading
from samdesk.server.uploads import Uploads

from .bodies import ConceptVideoBody, FollowedConceptBody, SequenceBody, VideoBody
from .concepts import finds, said
from .followed import Followed, Size, named, placed
from .frames import sweep, uploads_of
from .models import chosen, label
from .replies import written
from .routes import serve

TITLE = "QuPath: following objects"

Asked = Callable[[Size, int], Followed]

_MEMBERS: dict[str, Any] = {
    "dirname": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
    "file": FILE,
}
FORM = {"requestBody": {"required": True, "content": form_content(_MEMBERS, ["dirname", "file"])}}


def router(service: Service) -> APIRouter:
    """The endpoints of this file."""
    uploads = uploads_of(service)
    sweep(service)

    async def upload(request: Request) -> Response:
        """Keep one frame of a sequence until it is asked about."""
        sequence, name, data = await _sent(request)
        await service.run("requests", lambda task: uploads.add(sequence, name, data))
        return JSONResponse({"filename": name})

    async def video(body: VideoBody) -> Response:
        """Follow objects by points and boxes; a Feature for each object and frame where it is seen."""
        choice = await chosen(service, body.type, body.checkpoint, "sam2")
        if not any(body.objs.values()):
            return JSONResponse([])
        return await _follow(service, uploads, body, choice, lambda size, start: placed(body.objs, size))

    async def concept_video(body: ConceptVideoBody) -> Response:
        """Follow what a text names or boxes show; a Feature for each object and frame where it is seen."""
        choice = await chosen(service, body.type, body.checkpoint, "sam3")
        objs = {frame: bodies for frame, bodies in body.objs.items() if bodies}
        if not objs and said(body.text):
            objs = {body.start_frame_idx or 0: [FollowedConceptBody(text=body.text)]}
        texts = {said(one.text) for bodies in objs.values() for one in bodies}
        if not objs:
            await _tell_no_text(service)
            return JSONResponse([])
        if texts != {""} and not finds(choice):
            await service.refuse(
                RequestError(422, f"{choice.title} cannot follow what a text names.", "Choose SAM 3.")
            )
        return await _follow(service, uploads, body, choice, lambda size, start: named(objs, size, start))

    router = APIRouter(route_class=BoundedRoute)
    serve(router, "POST", "upload", upload, openapi_extra=FORM)
    serve(router, "POST", "video", video)
    serve(router, "POST", "sam3video", concept_video)
    return router


async def _tell_no_text(service: Service) -> None:
    """Tell a person why nothing comes: to the client, "nothing found" is all the same."""
    error = RequestError(
        422,
        "QuPath's SAM extension does not send the text when no rectangle is drawn.",
        "Draw a rectangle around one example on one of the frames, and run it again.",
    )
    with contextlib.suppress(RequestError):
        await service.refuse(error)


async def _sent(request: Request) -> tuple[str, str, bytes]:
    """Sequence, name and content of an uploaded frame.

    Raises
    ------
    RequestError
        413 or 422.
    """
    async with read_form(request, files=1, fields=8) as form:
        sequence, file = form.get("dirname"), form.get("file")
        if not isinstance(sequence, str) or not isinstance(file, UploadFile):
            raise RequestError(422, "A frame is missing.", "Send dirname and file.")
        return sequence, file.filename or "", await file.read()


async def _follow(
    service: Service, uploads: Uploads, body: SequenceBody, choice: Choice, asked: Asked
) -> Response:
    """The Features of what was asked, frame by frame on the lane of the models."""
    if choice.weight is not None and not service.is_here(choice.weight):
        await service.segmenter(choice)  # says that it is not
    sequence, own = body.dirname, f"sent-{secrets.token_hex(8)}"
    if not sequence and not body.b64imgs:
        raise RequestError(422, "There are no frames.", "Send dirname or b64imgs.")
    sequence = sequence or own

    def steps(task: Task) -> Generator[None, None, list[dict[str, Any]]]:
        tracker = _loaded(service, choice, PartTask(task, 0.0, 0.1))
        yield
        with uploads.frames(sequence) as files:
            frames = yield from PictureFrames.in_steps(files, service.options.limits.pixels)
            made: list[dict[str, Any]] = []
            objects = asked(frames.size, body.start_frame_idx or 0)
            if not objects.asked:
                return made
            _check_count(service, len(objects.asked))
            start, count = _span(body, objects.asked)
            on = PartTask(task, 0.1, 0.9)
            for frame, found in track(tracker, frames, objects.asked, on, start, count):
                for number, candidate in found.items():
                    several = _instances(candidate) if number in objects.many else [candidate]
                    made += qupath_features(
                        several,
                        label(choice),
                        frames.size,
                        plane=_plane(body, frame),
                        object_id=objects.names[number],
                    )
                yield
        return made

    def remove() -> None:
        service.jobs.lane("io").submit(lambda task: uploads.remove(own))

    try:
        if sequence == own:
            await service.run(
                "requests",
                lambda task: _keep(uploads, own, body.b64imgs, task),
                discard=lambda kept: remove(),
            )
        made = await service.run_steps("model", steps, title=TITLE, priority=1, counted=sequence != own)
    finally:
        if sequence == own:
            remove()
        sweep(service)
    return await written(service, lambda: made)


def _check_count(service: Service, count: int) -> None:
    most = service.options.limits.prompts
    if count > most:
        raise RequestError(413, f"{count:,} objects are too many at once.", f"Send at most {most:,}.")


def _keep(uploads: Uploads, sequence: str, texts: Sequence[str], task: Task) -> None:
    """Put frames that came within a request where uploaded ones are; all of them or none."""
    try:
        for number, text in enumerate(texts):
            task.check()
            uploads.add(sequence, f"{number:06}.png", _frame(number, text))
    except BaseException:  # the request, which would remove them, may have ended before
        uploads.remove(sequence)
        raise


def _frame(number: int, text: str) -> bytes:
    try:
        return from_base64(text)
    except RequestError as error:
        raise RequestError(422, f"Frame {number} of b64imgs is no base64 text.") from error


def _loaded(service: Service, choice: Choice, task: Task) -> Tracker:
    """The tracker of a model: the one of the last request when it is the same."""
    weight = choice.weight
    with loading():
        if weight is None:
            return load_tracker(choice.key, task=task)
        path = service.registry.path(weight)
        device = service.options.device
        return load_tracker(weight.type, path, device=device, registry=service.registry, task=task)


def _plane(body: SequenceBody, frame: int) -> tuple[int, int]:
    """z and t of a frame: its number in the sequence, to which the client adds where that begins."""
    return (frame, body.plane_position) if body.axes == "XYZ" else (body.plane_position, frame)


def _span(body: SequenceBody, asked: Sequence[TrackPrompt]) -> tuple[int, int | None]:
    """The first frame to look at, and how many."""
    start = body.start_frame_idx
    if start is None:
        start = min(one.frame for one in asked)
    more = body.max_frame_num_to_track
    return start, None if more is None else more + 1


def _instances(candidate: Candidate) -> list[Candidate]:
    """The parts of an answer for many instances, each as one."""
    return [replace(candidate, shape=Shape.from_parts([part])) for part in candidate.shape.to_parts()]
