"""Which model answers: from a model type and a checkpoint url to a `Choice`, and the list of both.

The extension chooses the first of the list that it is given, and fails when there is none. Must
not know endpoints.
"""

from __future__ import annotations

import contextlib

from samdesk.engines.base import engine_spec
from samdesk.server.errors import RequestError
from samdesk.server.service import Choice, Service
from samdesk.weights import Weight
from samdesk.weights.weight import TYPES

OURS = "samdesk:"
"""Begins the url of what comes from no link: a weight from a file, or the engine without weights."""


def listing(service: Service, type: str | None) -> list[dict[str, str]]:
    """What can be chosen for a model type, or for all, as {type, name, url}; [] for a type that is unknown.

    What is on this computer comes first. When nothing is, that is the engine without weights,
    as the first one is what answers a person who chose nothing. Only a search has no use for
    it: there, what could be downloaded comes before it, and the answer will tell so.
    """
    types = TYPES if type is None else [one for one in TYPES if one == type]
    return [row for one in types for row in _of_type(service, one)]


def _of_type(service: Service, type: str) -> list[dict[str, str]]:
    choices = service.choices(type)
    if engine_spec(type).finds:
        choices.sort(key=lambda one: one.weight is None)
    return [
        {"type": type, "name": one.title + _remark(service, one.weight), "url": url_of(one)}
        for one in choices
    ]


def _remark(service: Service, weight: Weight | None) -> str:
    if weight is None or service.is_here(weight):
        return ""
    return " (damaged)" if service.registry.state(weight) == "damaged" else " (not downloaded)"


def url_of(choice: Choice) -> str:
    """What a client sends as `checkpoint_url` to get this model."""
    if choice.weight is None:
        return OURS + choice.key
    return choice.weight.url or OURS + choice.weight.name


async def chosen(service: Service, type: str, url: str, default: str = "") -> Choice:
    """The model that a client wants.

    A url says it exactly, so that the weight it names decides even where `type` differs: the
    extension may send the type of before or after a change beside the other's url.

    Parameters
    ----------
    service : Service
    type : str
        Empty: whichever the url names, else the default.
    url : str
        Empty: the best one of the type that is on this computer.
    default : str
        An engine ("sam2"), for who names neither type nor url; empty: what is chosen in the window.

    Raises
    ------
    RequestError
        422 when there is no such type, 404 when no weight is known under this url; told in the
        window, as the extension tells nothing.
    """
    try:
        return _chosen(service, type, url.strip(), default)
    except RequestError as error:
        await service.refuse(error)


def _chosen(service: Service, type: str, url: str, default: str) -> Choice:
    if type:
        check_type(type)
    if not url:
        return service.choose(type or default or None)
    if service.registry.by_url(url) is not None:
        return service.choose(url)
    if url.startswith(OURS):
        with contextlib.suppress(RequestError):
            return service.named(url.removeprefix(OURS))
    raise RequestError(
        404,
        f"No model is known that comes from {url[:300]}.",
        "Register it in QuPath, or add it in samdesk with Segment > Weights…",
    )


def check_type(type: str) -> None:
    """Raise RequestError (422) when there is no such model type."""
    if type not in TYPES:
        raise RequestError(422, f"There is no model type “{type[:100]}”.", f"There are: {', '.join(TYPES)}.")


def label(choice: Choice) -> str:
    """What `sam_model` says of an answer."""
    return choice.type or choice.key
