"""From what a client asks about an image to the chosen objects, and from those to a body.

What all clients that look like the native API share. Must not know messages.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from samdesk.domain.geometry import Plane, Shape
from samdesk.domain.prompts import Candidate, Prompts
from samdesk.domain.tasks import Task
from samdesk.sdk import Image
from samdesk.server import asking, results
from samdesk.server.errors import RequestError
from samdesk.server.masks import check_drawn, to_base64
from samdesk.server.service import Choice, Service

from .messages import Result, Strategy

DRAWN = ("rle", "png")
"""Results that have every pixel of the image."""

FOUND_SCORE = 0.5
"""What is found by text or example has at least this score, unless another is asked for."""


@dataclass(frozen=True, slots=True)
class Question:
    """One prompt of a request.

    Attributes
    ----------
    prompts : Prompts
        Image pixels.
    finds : bool
        Every instance of what the text and the boxes describe is wanted, and not the object there.
    """

    prompts: Prompts
    finds: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """An object that answers a prompt.

    Attributes
    ----------
    prompt : int
        Which of the questions, from 0.
    candidate : Candidate
    """

    prompt: int
    candidate: Candidate


async def answer(
    service: Service,
    image: Image,
    questions: Sequence[Question],
    choice: Choice,
    *,
    strategy: Strategy | None = None,
    min_score: float | None = None,
    multimask: bool | None = None,
    downsample: float | None = None,
    plane: Plane = Plane(),
    title: str = "",
) -> list[Answer]:
    """The objects that a client wants for each of several prompts, in the order of the prompts.

    Parameters
    ----------
    service, image, choice, multimask, downsample, plane, title
        As in `asking.segment`.
    questions : sequence of Question
    strategy : {"best", "largest", "smallest", "merge", "all"}, optional
        Which candidates for a prompt; by default the best one, and all that are found by text or
        example.
    min_score : float, optional
        What the model is less sure of is left out; by default nothing, and below `FOUND_SCORE`
        where it searches.

    Raises
    ------
    RequestError
        413 when there are too many prompts, 422 when the plane is not there, 503 when the model
        cannot be had.
    SamdeskError
        As `asking.segment` and `asking.find`.
    """
    most = service.options.limits.prompts
    if len(questions) > most:
        raise RequestError(
            413, f"{len(questions):,} prompts are too many for one request.", f"Send at most {most:,}."
        )
    check_plane(image, plane)
    found: list[Sequence[Candidate]] = [()] * len(questions)
    here = [number for number, one in enumerate(questions) if not one.finds]
    prompts = [questions[number].prompts for number in here]
    answers = await asking.segment(
        service, image, prompts, choice, downsample=downsample, plane=plane, multimask=multimask, title=title
    )
    for number, candidates in zip(here, answers, strict=True):
        found[number] = candidates
    for number, one in enumerate(questions):
        if one.finds:
            least = FOUND_SCORE if min_score is None else min_score
            found[number] = await asking.find(
                service,
                image,
                one.prompts,
                choice,
                downsample=downsample,
                plane=plane,
                min_score=least,
                title=title,
            )

    def chosen(task: Task) -> list[Answer]:
        kept: list[Answer] = []
        for number, candidates in enumerate(found):
            task.check()
            sure = [one for one in candidates if one.score >= (min_score or 0.0)]
            wanted = strategy or ("all" if questions[number].finds else "best")
            kept += [Answer(number, one) for one in results.pick(sure, wanted)]
        return kept

    return await service.run("requests", chosen, counted=False) if any(found) else []


def check_plane(image: Image, plane: Plane) -> None:
    """Raise `RequestError` when the image has no such plane."""
    source = image.source
    if not (0 <= plane.z < source.size_z and 0 <= plane.t < source.size_t):
        raise RequestError(
            422,
            f"There is no plane z {plane.z}, t {plane.t} in this image.",
            f"It has {source.size_z:,} z slices and {source.size_t:,} time points, counted from 0.",
        )


def check_drawable(service: Service, image: Image, result: str) -> None:
    """Raise `RequestError` when a result that has every pixel is asked for an image that is too large."""
    width, height = image.size
    most = service.options.limits.pixels
    if result in DRAWN and width * height > most:
        raise RequestError(
            413,
            f"A mask of all {width:,} × {height:,} px would be too large.",
            "Ask for “geojson” or “polygons”, which have no pixels.",
        )


async def body(
    service: Service,
    image: Image,
    answers: Sequence[Answer],
    result: Result,
    choice: Choice,
    about: Mapping[str, Any],
) -> bytes:
    """The answers as JSON, encoded on a lane; after each object what is more urgent there goes first.

    Parameters
    ----------
    service, image, choice
    answers : sequence of Answer
    result : {"geojson", "rle", "png", "polygons"}
        What each object is given as.
    about : mapping
        More members of the answer.

    Raises
    ------
    RequestError
        413 when there are too many masks to draw.
    """
    if result in DRAWN:
        check_drawn(len(answers), image.size)

    def encode(task: Task) -> Generator[None, None, bytes]:
        width, height = image.size
        head = {**about, "model": choice.key, "width": width, "height": height}
        if result == "geojson":
            candidates = [one.candidate for one in answers]
            numbers = [one.prompt for one in answers]
            drawn = results.geojson(candidates, choice.key, image.size, prompts=numbers)
            return orjson.dumps({**drawn, **head})
        objects = []
        for number, one in enumerate(answers):
            task.check()
            task.progress(number / len(answers))
            objects.append(_object(one, result, image.size))
            yield
        return orjson.dumps({**head, "objects": objects})

    return await service.run_steps("requests", encode, priority=1, counted=False)


async def picture_of_all(service: Service, image: Image, answers: Sequence[Answer]) -> bytes:
    """One PNG file of the size of the image: 255 where any of the objects is, 0 elsewhere."""

    def encode(task: Task) -> bytes:
        masks = results.pick([one.candidate for one in answers], "merge")
        shape = masks[0].shape if masks else Shape.empty()
        return results.png(shape, image.size)

    return await service.run("requests", encode, priority=1, counted=False)


def _object(one: Answer, result: Result, size: tuple[int, int]) -> dict[str, Any]:
    candidate = one.candidate
    shape = candidate.shape
    x0, y0, x1, y1 = (round(value, 2) for value in shape.bounds)
    told: dict[str, Any] = {
        "prompt": one.prompt,
        "score": round(float(candidate.score), 6),
        "box": {"x0": x0, "y0": y0, "x1": x1, "y1": y1},
        "area": round(shape.area, 2),
        "at_edge": bool(candidate.at_edge),
    }
    if result == "rle":
        told["rle"] = results.coco_rle(shape, size)
    elif result == "png":
        told["png"] = to_base64(results.png(shape, size))
    else:
        told["polygons"] = results.polygons(shape)
    return told
