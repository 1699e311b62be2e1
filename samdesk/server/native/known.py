"""Images that a client refers to by id, whether they were sent or opened by path.

Lives on the event loop of the server. Must not know HTTP.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from samdesk.sdk import Image
from samdesk.server.errors import RequestError
from samdesk.server.service import Service

from .opened import Opened, open_within

MOST_SENT = 256
"""Ids of sent pictures that are listed; the pictures themselves are kept by their bytes."""


@dataclass(slots=True, eq=False)
class _Known:
    opened: Opened = field(default_factory=Opened)
    sent: OrderedDict[str, None] = field(default_factory=OrderedDict)


def _known(service: Service) -> _Known:
    return service.part(_Known, _Known)


def image_ids(service: Service) -> tuple[str, ...]:
    """Of all images that were opened, or sent to be kept, and still are."""
    known = _known(service)
    sent = (id for id in known.sent if service.pictures.get(id) is not None)
    return (*known.opened.ids, *sent)


def image_of(service: Service, id: str) -> Image:
    """The image of an id; not to be kept beyond the next `await` (see `using_image`).

    Raises
    ------
    RequestError
        404 when there is none.
    """
    image = _known(service).opened.get(id) or service.pictures.get(id)
    if image is None:
        raise RequestError(
            404,
            f"There is no image “{id[:100]}”.",
            "It may have been forgotten to make room: send or open it again with POST /api/v1/images.",
        )
    return image


async def send_image(service: Service, file: bytes | str) -> str:
    """Keep a picture, bytes of a file or base64, and give its id; errors as `Service.picture`."""
    id = service.pictures.id_of(await service.picture(file))
    sent = _known(service).sent
    sent[id] = None
    sent.move_to_end(id)
    while len(sent) > MOST_SENT:
        sent.popitem(last=False)
    return id


async def open_path(service: Service, path: str) -> str:
    """Open an image where it lies and give its id; errors as `open_within`."""
    opened = _known(service).opened
    folders = service.options.folders
    image = await service.run(
        "io", lambda task: open_within(path, folders, opened.blocks, task), discard=Image.close
    )
    return opened.add(image)


def forget_image(service: Service, id: str) -> None:
    """Let go of an image; an opened one is closed once nobody uses it.

    Raises
    ------
    RequestError
        404 when there is none.
    """
    image_of(service, id)
    known = _known(service)
    known.sent.pop(id, None)
    if not known.opened.drop(id):
        service.pictures.forget(id)


@asynccontextmanager
async def using_image(
    service: Service, id: str | None, data: bytes | str | None = None
) -> AsyncIterator[tuple[str, Image]]:
    """The id and the image that a client means, which is not closed meanwhile.

    Parameters
    ----------
    service : Service
    id : str or None
    data : bytes or str, optional
        A picture, bytes of a file or base64, when there is no id.

    Raises
    ------
    RequestError
        404 when there is no such image, and as `Service.picture`.
    """
    opened = _known(service).opened
    if id is not None and id in opened.ids:
        with opened.using(id) as image:
            yield id, image
    elif id is not None:
        yield id, image_of(service, id)
    elif data is not None:
        picture = await service.picture(data)
        yield service.pictures.id_of(picture), picture
    else:
        raise RequestError(422, "There is no image to look at.", "Send the id of one, or its file.")
