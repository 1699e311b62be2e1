"""What every client asks in the end: the object at some prompts, all instances of a concept, everything.

The endpoints translate to these and back. Must not know any client's format.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from samdesk.domain.geometry import Bounds, Plane, Shape
from samdesk.domain.prompts import BoxPrompt, Candidate, Prompts
from samdesk.domain.tasks import Task
from samdesk.engines.automask import Output
from samdesk.sdk import Image, MaskOptions
from samdesk.sdk.automask import automask_steps, options_for

from .errors import RequestError
from .service import Choice, Service, view_downsample


async def segment(
    service: Service,
    image: Image,
    prompts: Sequence[Prompts],
    choice: Choice,
    *,
    downsample: float | None = None,
    plane: Plane = Plane(),
    multimask: bool | None = None,
    title: str = "",
) -> list[list[Candidate]]:
    """The candidates for each of several prompts, best first; encoded once where they share a chip.

    Parameters
    ----------
    service : Service
    image : Image
    prompts : sequence of Prompts
        Image pixels on pixel edges. What lies outside the image is left out; a prompt of which no
        point or box that says "here" is left has no candidates.
    choice : Choice
    downsample : float, optional
        Image pixels per pixel that the model sees; by default all of the image is seen at once.
    plane : Plane
    multimask : bool, optional
        As in `MaskOptions`.
    title : str
        What the window's job bar shows; empty for nothing.

    Raises
    ------
    RequestError
        When there are too many prompts, or the model cannot be had.
    SamdeskError
        As `Segmenter.segment`.
    """
    _check_count(service, len(prompts))
    asked = [within(one, image.size) for one in prompts]
    if not any(asked):
        return [[] for _ in asked]
    segmenter = await service.segmenter(choice)
    scale = view_downsample(image.size) if downsample is None else downsample
    options = MaskOptions(multimask=multimask)
    chips = {place: segmenter.chip(image, one, scale) for place, one in enumerate(asked) if one}
    places = list(chips)

    def answer(number: int, task: Task) -> list[Candidate]:
        place = places[number]
        return segmenter.segment(
            image, asked[place], plane=plane, chip=chips[place], options=options, task=task
        )

    found = await service.ask(segmenter, image, list(chips.values()), answer, plane=plane, title=title)
    answers = dict(zip(places, found, strict=True))
    _count(service, found)
    return [answers.get(place, []) for place in range(len(asked))]


async def find(
    service: Service,
    image: Image,
    prompts: Prompts,
    choice: Choice,
    *,
    downsample: float | None = None,
    plane: Plane = Plane(),
    min_score: float = 0.5,
    title: str = "",
    counted: bool = True,
) -> list[Candidate]:
    """Every instance of what a text, or example boxes, describe; [] when neither is there.

    Parameters as in `segment`; the boxes of `prompts` are examples, `counted` is as in `Service.run`.

    Raises
    ------
    RequestError
        503 when the model cannot be had.
    SamdeskError
        When this model cannot search, and as `Segmenter.find`.
    """
    _check_count(service, len(prompts.boxes))
    asked = replace(prompts, boxes=_boxes_within(prompts.boxes, image.size), points=(), prior=None)
    if not asked.text.strip() and not any(box.positive for box in asked.boxes):
        return []
    segmenter = await service.segmenter(choice)
    scale = view_downsample(image.size) if downsample is None else downsample
    chip = segmenter.chip(image, asked, scale)

    def answer(number: int, task: Task) -> list[Candidate]:
        return segmenter.find(
            image, asked, downsample=scale, plane=plane, chip=chip, min_score=min_score, task=task
        )

    (found,) = await service.ask(segmenter, image, [chip], answer, plane=plane, title=title, counted=counted)
    _count(service, [found])
    return found


async def everything(
    service: Service,
    image: Image,
    choice: Choice,
    options: Mapping[str, Any],
    *,
    where: Bounds | Shape | None = None,
    output: Output = "best",
    downsample: float | None = None,
    plane: Plane = Plane(),
    title: str = "",
) -> list[Candidate]:
    """Every object in an image or a part of it, best first; prompts of others are answered meanwhile.

    Parameters
    ----------
    service, image, choice, downsample, plane, title
        As in `segment`.
    options : mapping
        Members of `AutomaskOptions` that differ from the engine's defaults.
    where : Bounds or Shape, optional
        Image pixels.
    output : Output

    Raises
    ------
    RequestError
        503 when the model cannot be had.
    SamdeskError
        When an option makes no sense, or `where` lies outside the image.
    """
    segmenter = await service.segmenter(choice)
    scale = view_downsample(image.size) if downsample is None else downsample
    given = options_for(segmenter, **options)

    def steps(task: Task) -> Generator[None, None, list[Candidate]]:
        service.load(segmenter, task)
        return (
            yield from automask_steps(
                segmenter,
                image,
                where,
                given,
                downsample=scale,
                plane=plane,
                output=output,
                task=task,
            )
        )

    return await service.run_steps("model", steps, title=title, priority=1)


def within(prompts: Prompts, size: tuple[int, int]) -> Prompts:
    """What of the prompts of one object meets the image; nothing when no positive prompt is left."""
    width, height = size
    points = tuple(one for one in prompts.points if 0 <= one.x <= width and 0 <= one.y <= height)
    boxes = _boxes_within(prompts.boxes, size)
    left = replace(prompts, points=points, boxes=boxes)
    says_where = any(one.positive for one in points) or any(one.positive for one in boxes)
    return left if says_where or left.prior is not None else Prompts()


def _boxes_within(boxes: Sequence[BoxPrompt], size: tuple[int, int]) -> tuple[BoxPrompt, ...]:
    whole = Bounds(0, 0, *size)
    cut = [(box.bounds.intersection(whole), box.positive) for box in boxes]
    return tuple(BoxPrompt(bounds, positive) for bounds, positive in cut if not bounds.is_empty)


def _check_count(service: Service, count: int) -> None:
    most = service.options.limits.prompts
    if count > most:
        raise RequestError(413, f"{count:,} prompts are too many for one request.", f"Send at most {most:,}.")


def _count(service: Service, answers: Sequence[Sequence[Candidate]]) -> None:
    for candidates in answers:
        if candidates:
            one = candidates[0]
            for stage, milliseconds in one.timings.items():
                service.metrics.model_took(stage, one.engine, milliseconds / 1e3)
