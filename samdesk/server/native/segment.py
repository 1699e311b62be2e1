"""`/api/v1/segment` and `/api/v1/automask`: objects at prompts, of a kind, or all there are.

Must not know models, nor how answers are written.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import ConfigDict, Field, model_validator

from samdesk.domain.geometry import Bounds, Plane, Shape
from samdesk.domain.prompts import BoxPrompt, PointPrompt, Prompts
from samdesk.domain.tasks import Task
from samdesk.engines.automask import Output
from samdesk.engines.base import CHIP
from samdesk.sdk import Image
from samdesk.server import asking
from samdesk.server.bounded import BoundedRoute
from samdesk.server.errors import RequestError
from samdesk.server.masks import check_drawn
from samdesk.server.service import Choice, Service, view_downsample

from .answers import Answer, Question, answer, body, check_drawable, check_plane, picture_of_all
from .known import using_image
from .messages import (
    EXAMPLE_ID,
    INVALID,
    MOST_MARKS,
    Box,
    Coordinate,
    Message,
    MultiPolygon,
    OfImage,
    OfPlane,
    Polygon,
    Prior,
    Refusal,
    Result,
    Rle,
    Strategy,
    Where,
    Wish,
)
from .priors import shape_of

MOST_TILES = 50_000
"""Chips of one automask, which is a day's work."""

Score = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Point(Wish):
    """A click."""

    x: Coordinate
    y: Coordinate
    positive: bool = Field(True, description="false: beside the object.")


class PromptBox(Box):
    """A box around the object, or around an example."""

    positive: bool = Field(True, description="false: around what is not meant.")


class Prompt(Wish):
    """What describes one object; or, with `text` or `find`, many."""

    points: list[Point] = Field([], max_length=MOST_MARKS, fail_fast=True)
    boxes: list[PromptBox] = Field([], max_length=MOST_MARKS, fail_fast=True)
    text: str = Field(
        "",
        max_length=1000,
        description="Every object that these words name is found; the boxes are examples then. Needs a model "
        "that can search, such as SAM 3.",
    )
    find: bool = Field(
        False,
        description="Find everything that looks like the boxes, without a text. Needs such a model too.",
    )
    prior: Prior | None = Field(
        None, description="A rough outline that is to be corrected: a GeoJSON geometry, or a mask as RLE."
    )

    @model_validator(mode="after")
    def _searches_with_boxes(self) -> Prompt:
        if self.finds and (self.points or self.prior is not None):
            raise ValueError("text and find go with boxes, which are examples, not with points or prior")
        return self

    @property
    def finds(self) -> bool:
        """Whether many objects are meant."""
        return self.find or bool(self.text.strip())

    def question(self, prior: Shape | None) -> Question:
        """The same with the prior as a shape."""
        if prior is not None and prior.is_empty:
            prior = None
        points = tuple(PointPrompt(one.x, one.y, one.positive) for one in self.points)
        boxes = tuple(BoxPrompt(one.bounds(), one.positive) for one in self.boxes)
        return Question(Prompts(points, boxes, self.text.strip(), prior), self.finds)


class SegmentRequest(OfImage, OfPlane):
    """Prompts on one image, each of which is answered on its own."""

    prompts: list[Prompt] = Field(
        max_length=MOST_MARKS,
        fail_fast=True,
        description="Each is one question. The image is encoded once for those that lie close together.",
    )
    strategy: Strategy | None = Field(
        None,
        description="A model may propose several outlines for a prompt, as of a nucleus and its cell. "
        "`best`: the one it is surest of. `largest`, `smallest`: by area. `merge`: all as one object. "
        "`all`: each as an object. By default `best`, and `all` for what is found by text or example.",
    )
    multimask: bool | None = Field(
        None, description="Ask for several outlines, or for one; by default the model decides."
    )
    min_score: Score | None = Field(
        None,
        description="Objects that the model is less sure of are left out. By default none are, and those "
        "below 0.5 when searching.",
    )

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "image": EXAMPLE_ID,
                    "prompts": [
                        {"points": [{"x": 210.5, "y": 118}]},
                        {
                            "points": [{"x": 400, "y": 90, "positive": False}],
                            "boxes": [{"x0": 350, "y0": 60, "x1": 480, "y1": 190}],
                        },
                    ],
                },
                {
                    "image": EXAMPLE_ID,
                    "model": "sam3",
                    "prompts": [{"text": "nucleus"}],
                    "min_score": 0.4,
                    "result": "rle",
                },
            ]
        }
    )


class AutomaskSettings(Wish):
    """How densely to ask, and what to keep; what is left out is as the model suits it."""

    points_per_side: int | None = Field(
        None, ge=1, le=512, description="Points along each side of what the model sees at once; 32."
    )
    points_per_batch: int | None = Field(
        None, ge=1, le=4096, description="Points answered at once; more need more memory; 64."
    )
    pred_iou_thresh: Score | None = Field(
        None, description="Masks that the model scores no higher are dropped; 0.88."
    )
    stability_score_thresh: Score | None = Field(
        None, description="Masks less stable are dropped; 0.95, and 0 for a model without weights."
    )
    stability_score_offset: float | None = Field(
        None, ge=0, le=100, description="How far the threshold is moved to see how stable a mask is; 1."
    )
    box_nms_thresh: Score | None = Field(
        None, description="Of two masks whose boxes overlap more, one is dropped; 0.7."
    )
    crop_n_layers: int | None = Field(
        None, ge=0, le=4, description="Layer i looks again at 2^i × 2^i crops; 0."
    )
    crop_nms_thresh: Score | None = Field(
        None, description="As `box_nms_thresh`, between crops and between tiles; 0.7."
    )
    crop_overlap_ratio: float | None = Field(
        None, ge=0, le=0.9, description="Overlap of crops, as a part of the shorter side; 0.341."
    )
    crop_n_points_downscale_factor: int | None = Field(
        None, ge=1, le=64, description="Layer i is asked at points_per_side / factor^i points on a side; 1."
    )
    min_mask_region_area: float | None = Field(
        None,
        ge=0,
        le=1e9,
        description="Smaller holes are filled and smaller pieces dropped; square pixels that the model "
        "sees; 0.",
    )
    include_image_edge: bool | None = Field(
        None, description="Keep masks of all that is looked at, most often the background; false."
    )


class AutomaskRequest(OfImage, OfPlane):
    """Every object in an image or a part of it."""

    where: Where | None = Field(
        None,
        description="Only here: a box, which cuts no object, or a GeoJSON geometry, to which objects are "
        "cut. At least half of an object must lie inside.",
    )
    options: AutomaskSettings | None = Field(None, description="How densely to ask, and what to keep.")
    output: Output = Field(
        "best",
        description="Where proposals overlap: `best` keeps the one with the highest score, `largest` and "
        "`smallest` by area, `single` asks for one proposal for each point, `all` keeps everything.",
    )

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "image": EXAMPLE_ID,
                    "where": {"x0": 0, "y0": 0, "x1": 512, "y1": 512},
                    "options": {"points_per_side": 16},
                }
            ]
        }
    )


class ObjectBox(Message):
    """The box of an object; can be sent back as a prompt."""

    x0: float
    y0: float
    x1: float
    y1: float


class Outline(Message):
    """An object."""

    prompt: int = Field(description="Which of the prompts it answers, from 0.")
    score: float = Field(description="How sure the model is, from 0 to 1.")
    box: ObjectBox
    area: float = Field(description="Square pixels.")
    at_edge: bool = Field(description="Cut by the border of what the model saw: there may be more of it.")
    rle: Rle | None = Field(None, description="With `result` rle: the mask of the whole image.")
    png: str | None = Field(
        None, description="With `result` png: the mask of the whole image in base64, 255 on the object."
    )
    polygons: list[list[list[list[float]]]] | None = Field(
        None,
        description="With `result` polygons: the parts, each a list of rings of [x, y]. The first ring of a "
        "part is its outline, the others are holes.",
    )


class _Told(Message):
    image: str = Field(description="Id of the image, for the next request.", examples=[EXAMPLE_ID])
    model: str = Field(description="Key of the model that answered.")
    width: int = Field(description="Of the image in pixels.")
    height: int


class Outlines(_Told):
    """Objects, in the order of the prompts, each with the member that `result` names."""

    objects: list[Outline]


class FeatureProperties(Message):
    """What is known about an object."""

    objectType: str = Field(description="annotation, which QuPath reads.")  # noqa: N815
    measurements: dict[str, float] = Field(description="`Score`, which QuPath shows.")
    score: float = Field(description="How sure the model is, from 0 to 1.")
    model: str
    at_edge: bool = Field(description="Cut by the border of what the model saw: there may be more of it.")
    prompt: int = Field(description="Which of the prompts it answers, from 0.")


class Feature(Message):
    """An object as a GeoJSON Feature."""

    type: Literal["Feature"]
    geometry: Polygon | MultiPolygon
    properties: FeatureProperties


class FeatureCollection(_Told):
    """The objects as GeoJSON, which QuPath and samdesk import as it is."""

    type: Literal["FeatureCollection"]
    features: list[Feature]


_MASK = "With `Accept: image/png`: one mask of the size of the image, 255 where any of the objects is."
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The objects. " + _MASK,
        "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
    },
    404: {"model": Refusal, "description": "There is no such image or model."},
    413: {"model": Refusal, "description": "More is asked for than the server allows."},
    503: {"model": Refusal, "description": "The model cannot be had now."},
}


def router(service: Service) -> APIRouter:
    """The endpoints."""
    router = APIRouter(prefix="/api/v1", tags=["segment"], responses=INVALID, route_class=BoundedRoute)

    @router.post(
        "/segment",
        summary="The objects at prompts, or of a kind",
        response_model=FeatureCollection | Outlines,
        responses=_ANSWERS,
    )
    async def segment(asked: SegmentRequest, request: Request) -> Response:
        """Each prompt is answered on its own: points and boxes describe one object, a text all it names.

        Prompts of which nothing lies in the image have no answer, and neither has a prompt that is
        empty.
        """
        async with _asking(service, asked, request) as of:
            found = await answer(
                service,
                of.image,
                await _questions(service, of.image, asked),
                of.choice,
                strategy=asked.strategy,
                min_score=asked.min_score,
                multimask=asked.multimask,
                downsample=asked.downsample,
                plane=of.plane,
            )
            return await _answered(service, of, found)

    @router.post(
        "/automask",
        summary="Every object in an image or a part of it",
        response_model=FeatureCollection | Outlines,
        responses=_ANSWERS,
    )
    async def automask(asked: AutomaskRequest, request: Request) -> Response:
        """Asks the model at a grid of points. Prompts of others are answered meanwhile."""
        async with _asking(service, asked, request) as of:
            where = await _where(service, of.image, asked)
            _check_tiles(of.image.size, where, asked.downsample)
            found = await asking.everything(
                service,
                of.image,
                of.choice,
                asked.options.model_dump(exclude_none=True) if asked.options else {},
                where=where,
                downsample=asked.downsample,
                plane=of.plane,
                output=asked.output,
                title=f"Finding objects in {of.image.source.name}",
            )
            return await _answered(service, of, [Answer(0, one) for one in found])

    return router


@dataclass(frozen=True, slots=True, eq=False)
class _Of:
    """What a request is about, and how it is answered: `result`, or a bare picture."""

    id: str
    image: Image
    plane: Plane
    choice: Choice
    result: Result
    bare: bool


@asynccontextmanager
async def _asking(
    service: Service, asked: SegmentRequest | AutomaskRequest, request: Request
) -> AsyncIterator[_Of]:
    """The image and the model of a request; what cannot be answered is told before a model works."""
    choice = service.choose(asked.model)
    accepted = request.headers.get("accept", "").lower().split(",")
    bare = any(one.partition(";")[0].strip() == "image/png" for one in accepted)
    plane = Plane(asked.z, asked.t)
    async with using_image(service, asked.image, asked.data) as (id, image):
        check_plane(image, plane)
        check_drawable(service, image, "png" if bare else asked.result)
        yield _Of(id, image, plane, choice, asked.result, bare)


async def _questions(service: Service, image: Image, asked: SegmentRequest) -> list[Question]:
    most = service.options.limits.prompts
    marks = sum(max(1, len(one.points) + len(one.boxes)) for one in asked.prompts)
    if marks > most:
        raise RequestError(
            413,
            f"{marks:,} prompts are too many for one request.",
            f"Send at most {most:,} points and boxes.",
        )
    priors = [one.prior for one in asked.prompts]
    if not any(priors):
        return [one.question(None) for one in asked.prompts]
    drawn = sum(isinstance(one, Rle) for one in priors)
    if drawn:
        check_drawable(service, image, "rle")
        check_drawn(drawn, image.size)

    def read(task: Task) -> Generator[None, None, list[Question]]:
        questions = []
        for one in asked.prompts:
            task.check()
            questions.append(one.question(None if one.prior is None else shape_of(one.prior, image.size)))
            yield
        return questions

    return await service.run_steps("requests", read, priority=1)


async def _where(service: Service, image: Image, asked: AutomaskRequest) -> Bounds | Shape | None:
    where = asked.where
    if where is None:
        return None
    if isinstance(where, Box):
        return where.bounds()
    shape = await service.run("requests", lambda task: shape_of(where, image.size))
    if shape.is_empty:
        raise RequestError(
            422,
            "The part to find objects in lies outside the image or is empty.",
            f"The image is {image.size[0]} × {image.size[1]} px.",
        )
    return shape


def _check_tiles(size: tuple[int, int], where: Bounds | Shape | None, downsample: float | None) -> None:
    whole = Bounds(0, 0, *size)
    box = whole if where is None else where.bounds if isinstance(where, Shape) else where
    step = CHIP / 2 * (downsample or view_downsample(size))
    seen = box.intersection(whole)
    if not seen.is_empty and seen.width / step * (seen.height / step) > MOST_TILES:
        raise RequestError(
            413, "That is too much to look at in one request.", "Raise “downsample”, or ask for parts."
        )


async def _answered(service: Service, of: _Of, answers: list[Answer]) -> Response:
    if of.bare:
        return Response(await picture_of_all(service, of.image, answers), media_type="image/png")
    told = await body(service, of.image, answers, of.result, of.choice, {"image": of.id})
    return Response(told, media_type="application/json")
