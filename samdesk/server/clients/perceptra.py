"""What `perceptra_seg.client.SegmentorClient` asks: an object in a box, at points, or several of them.

Source of the messages: https://github.com/tannousgeagea/perceptra-seg (service/routes.py,
perceptra_seg/client.py). All bodies are JSON, and a picture is the base64 of its file, with or
without the start of a data URL; what is at an http address is not fetched.

    POST /v1/segment/box?model=     {image, box: [x1, y1, x2, y2], output_formats = ["rle"]}
    POST /v1/segment/points?model=  {image, points: [{x, y, label: 0 | 1}], output_formats = ["rle"]}
        an object: {score, area, bbox: [x1, y1, x2, y2] or null, latency_ms, model_info: {name, backend,
        device}, request_id}, and as asked for {rle: {size: [h, w], counts: [int]}, polygons:
        [[[x, y]]], png_base64}
    POST /v1/segment?model=         {image, boxes, points, strategy = "largest" | "merge" | "all",
                                     output_formats = ["rle"]}
        a list of objects: one for each box, and one for all points together
    GET /v1/healthz                 {status: "ok", model_loaded, model_name, device, precision, ...}

`model` is sam_v1, sam_v2, sam_v3, or any that the native API lists; `bbox` holds the first and the
last column and row of the object. The coordinates of a point are the number of its pixel, so that it
is asked for the middle of that. Run lengths are COCO's. Polygons are the outlines of the parts; holes
are in the other two formats only. An answer that is not 200 has {detail}.

Must not know models.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection, Generator, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import Field

import samdesk
from samdesk.domain.geometry import Bounds, Shape
from samdesk.domain.prompts import BoxPrompt, Candidate, PointPrompt, Prompts
from samdesk.domain.tasks import Task
from samdesk.server import asking, results
from samdesk.server.bounded import BoundedRoute
from samdesk.server.errors import RequestError
from samdesk.server.masks import check_drawn, to_base64
from samdesk.server.native.messages import MOST_MARKS, Coordinate, Message, Name
from samdesk.server.service import Choice, Service

MODELS = {"sam_v1": "sam", "sam_v2": "sam2", "sam_v3": "sam3"}
"""Their names of models, and ours."""

Formats = Annotated[list[Name], Field(max_length=16, fail_fast=True)]
Four = Annotated[list[Coordinate], Field(min_length=4, max_length=4, fail_fast=True)]


class Point(Message):
    """A pixel of the object (1) or not of it (0)."""

    x: Coordinate
    y: Coordinate
    label: int = Field(ge=0, le=1)


class AskedBox(Message):
    """A picture and the box of an object."""

    image: str
    box: Four
    output_formats: Formats = Field(default=["rle"])


class AskedPoints(Message):
    """A picture and points of one object."""

    image: str
    points: Annotated[list[Point], Field(min_length=1, max_length=MOST_MARKS, fail_fast=True)]
    output_formats: Formats = Field(default=["rle"])


class Asked(Message):
    """A picture, boxes of objects, and points of one more."""

    image: str
    boxes: Annotated[list[Four], Field(max_length=MOST_MARKS, fail_fast=True)] | None = None
    points: Annotated[list[Point], Field(max_length=MOST_MARKS, fail_fast=True)] | None = None
    strategy: Literal["largest", "merge", "all"] = "largest"
    output_formats: Formats = Field(default=["rle"])


def router(service: Service) -> APIRouter:
    """The endpoints."""
    router = APIRouter(prefix="/v1", tags=["perceptra-seg"], route_class=BoundedRoute)

    @router.get("/healthz", summary="Whether the server can answer")
    async def health() -> JSONResponse:
        choice = service.default_choice()
        here = choice.weight is None or service.is_here(choice.weight)
        told = {"loaded": here, "device": service.options.device, "precision": "fp32"}
        return JSONResponse(
            {
                "status": "ok" if here else "degraded",
                "primary_model": choice.key,
                "models": {choice.key: told},
                "gpu_memory_used_mb": None,
                "build": {"samdesk": samdesk.__version__},
                "model_loaded": here,
                "model_name": choice.key,
                "device": service.options.device,
                "precision": "fp32",
            }
        )

    @router.post("/segment/box", summary="The object in a box")
    async def segment_box(asked: AskedBox, model: Name | None = None) -> JSONResponse:
        (told,) = await answer(asked.image, [_box(asked.box)], "all", asked.output_formats, model)
        return JSONResponse(told)

    @router.post("/segment/points", summary="The object at points")
    async def segment_points(asked: AskedPoints, model: Name | None = None) -> JSONResponse:
        (told,) = await answer(asked.image, [_points(asked.points)], "all", asked.output_formats, model)
        return JSONResponse(told)

    @router.post("/segment", summary="Objects in boxes, and one at points")
    async def segment(asked: Asked, model: Name | None = None) -> JSONResponse:
        prompts = [_box(one) for one in asked.boxes or ()]
        if asked.points:
            prompts.append(_points(asked.points))
        if not prompts:
            raise RequestError(422, "There is neither a box nor a point.", "Send boxes, points or both.")
        return JSONResponse(await answer(asked.image, prompts, asked.strategy, asked.output_formats, model))

    async def answer(
        sent: str,
        prompts: Sequence[Prompts],
        strategy: results.Strategy,
        formats: Collection[str],
        model: str | None,
    ) -> list[dict[str, Any]]:
        began = time.perf_counter()
        choice = service.choose(MODELS.get(model or "", model))
        image = await service.picture(_no_address(sent))
        for one in prompts:
            _refuse_outside(one, image.size)
        check_drawn(len(prompts) if strategy == "all" else 1, image.size)
        found = await asking.segment(service, image, prompts, choice)

        def encode(task: Task) -> Generator[None, None, list[dict[str, Any]]]:
            objects = [_best(one) for one in found]
            if strategy != "all":
                there = [one for one in objects if one is not None]
                objects = [next(iter(results.pick(there, strategy)), None)]
            drawn = []
            for one in objects:
                task.check()
                drawn.append(_told(one, image.size, formats))
                yield
            took = (time.perf_counter() - began) * 1e3 / len(drawn)
            about = {"latency_ms": took, "model_info": _about(choice, service.options.device)}
            return [{**one, **about, "request_id": str(uuid.uuid4())} for one in drawn]

        return await service.run_steps("requests", encode, priority=1, counted=False)

    return router


def _box(box: Sequence[float]) -> Prompts:
    bounds = Bounds(*box)
    if bounds.is_empty:
        raise RequestError(422, f"The box {box} has no area.", "Send [x1, y1, x2, y2] with x2 > x1, y2 > y1.")
    return Prompts(boxes=(BoxPrompt(bounds),))


def _points(points: Sequence[Point]) -> Prompts:
    if not any(one.label for one in points):
        raise RequestError(422, "No point is on the object.", "Send at least one with label 1.")
    return Prompts(points=tuple(PointPrompt(one.x + 0.5, one.y + 0.5, one.label == 1) for one in points))


def _refuse_outside(prompts: Prompts, size: tuple[int, int]) -> None:
    """Raise `RequestError` for what asking would leave out, as these clients want to know."""
    width, height = size
    hint = f"The picture is {width:,} × {height:,} px."
    for point in prompts.points:
        if not (0 <= point.x <= width and 0 <= point.y <= height):
            where = f"{point.x - 0.5:g}, {point.y - 0.5:g}"
            raise RequestError(422, f"The point {where} lies outside the picture.", hint)
    for box in prompts.boxes:
        if box.bounds.intersection(Bounds(0, 0, width, height)).is_empty:
            where = ", ".join(f"{value:g}" for value in box.bounds)
            raise RequestError(422, f"The box {where} lies outside the picture.", hint)


def _no_address(image: str) -> str:
    if image[:8].lower().startswith(("http://", "https://")):
        raise RequestError(
            422, "A picture at an address is not fetched.", "Send the file of the picture in base64."
        )
    return image


def _best(candidates: Sequence[Candidate]) -> Candidate | None:
    return next(iter(results.pick(candidates, "best")), None)


def _about(choice: Choice, device: str) -> dict[str, str]:
    return {"name": choice.key, "backend": "samdesk", "device": device}


def _told(found: Candidate | None, size: tuple[int, int], formats: Collection[str]) -> dict[str, Any]:
    """An object as the client reads it, or that there is none."""
    shape = Shape.empty() if found is None else found.shape
    mask = results.mask_of(shape, size)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    told: dict[str, Any] = {
        "score": 0.0 if found is None else float(found.score),
        "area": int(np.count_nonzero(mask)),
        "bbox": [int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])] if len(rows) else None,
    }
    if "rle" in formats:
        told["rle"] = results.coco_rle_uncompressed(shape, size)
    if "polygons" in formats:
        told["polygons"] = [part[0] for part in results.polygons(shape)]
    if "png" in formats:
        told["png_base64"] = to_base64(results.png(shape, size))
    return told
