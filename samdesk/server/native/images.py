"""`/api/v1/images`: pictures that are sent once and images that are opened where they lie.

Must not know models.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import Field, model_validator
from starlette.datastructures import UploadFile

from samdesk.sdk import Image
from samdesk.server.bounded import BoundedRoute
from samdesk.server.errors import RequestError
from samdesk.server.forms import FILE, form_content, read_form
from samdesk.server.service import Service

from .known import forget_image, image_ids, image_of, open_path, send_image
from .messages import EXAMPLE_ID, INVALID, Message, Refusal, Wish, read_message

MOST_PARTS = 16
"""Of a multipart body, of which the first file is taken."""


class OpenImage(Wish):
    """An image to open."""

    path: str | None = Field(
        None,
        max_length=4096,
        description="A whole slide, OME-TIFF, OME-Zarr or picture on the computer of the server: absolute, "
        "or relative to one of the folders that the server was started with (`samdesk serve --images DIR`).",
        examples=["slides/case-12.svs"],
    )
    data: str | None = Field(None, description="The file of a picture in base64, instead of `path`.")

    @model_validator(mode="after")
    def _one_of_both(self) -> OpenImage:
        if (self.path is None) == (self.data is None):
            raise ValueError("give either path, or data, a file in base64")
        return self


class PixelLength(Message):
    """Size of a pixel."""

    x: float
    y: float
    z: float | None = Field(description="Distance of z slices.")
    unit: str = Field(description="µm unless the file says otherwise.")


class ChannelInfo(Message):
    """A channel."""

    name: str
    color: tuple[int, int, int] = Field(description="In which it is shown: red, green, blue, 0 to 255.")


class LevelInfo(Message):
    """One resolution of the image."""

    width: int
    height: int
    downsample: float


class ImageInfo(Message):
    """An image."""

    id: str = Field(description="How requests name it.", examples=[EXAMPLE_ID])
    name: str
    width: int = Field(description="Pixels.")
    height: int
    pixel_size: PixelLength | None = Field(description="null when the file does not say.")
    magnification: float | None
    kind: str = Field(description="`rgb`, `multichannel` or `label`.")
    channels: list[ChannelInfo]
    size_z: int = Field(description="z slices.")
    size_t: int = Field(description="Time points.")
    levels: list[LevelInfo] = Field(description="Finest first.")


class ImageList(Message):
    """Images that requests can name."""

    images: list[ImageInfo]


_FILE = {"schema": FILE}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": OpenImage.model_json_schema()},
            **form_content({"file": FILE}, ["file"]),
            "image/png": _FILE,
            "image/jpeg": _FILE,
            "application/octet-stream": _FILE,
        },
    }
}
_GONE: dict[int | str, dict[str, Any]] = {404: {"model": Refusal, "description": "There is no such image."}}


def router(service: Service) -> APIRouter:
    """The endpoints."""
    router = APIRouter(prefix="/api/v1/images", tags=["images"], responses=INVALID, route_class=BoundedRoute)

    @router.post(
        "",
        status_code=201,
        summary="Send a picture once, or open an image where it lies",
        openapi_extra=_BODY,
        responses={
            403: {"model": Refusal, "description": "The path may not be opened."},
            404: {"model": Refusal, "description": "Nothing lies at the path."},
            413: {"model": Refusal, "description": "The picture has too many pixels."},
            415: {"model": Refusal, "description": "The body is of another type."},
            422: {"model": Refusal, "description": "It cannot be read as an image."},
        },
    )
    async def add_image(request: Request) -> ImageInfo:
        """The id in the answer stands for the image in other requests.

        Send a picture as the body (`curl -H "Content-Type: image/png" --data-binary @a.png`), as a
        form (`curl -F file=@a.png`), or as JSON; or open one, of any size, by its path. The same
        picture always gets the same id. Images that were not used for long are forgotten when room is
        needed; their ids then answer 404.
        """
        sent = await _read_body(request)
        if isinstance(sent, OpenImage) and sent.path is not None:
            id = await open_path(service, sent.path)
        else:
            id = await send_image(service, (sent.data or "") if isinstance(sent, OpenImage) else sent)
        return _info(id, image_of(service, id))

    @router.get("", summary="Images that requests can name")
    async def list_images() -> ImageList:
        return ImageList(images=[_info(id, image_of(service, id)) for id in image_ids(service)])

    @router.get("/{id}", summary="What is known about an image", responses=_GONE)
    async def get_image(id: str) -> ImageInfo:
        return _info(id, image_of(service, id))

    @router.delete("/{id}", status_code=204, summary="Forget an image", responses=_GONE)
    async def delete_image(id: str) -> Response:
        """An opened one is closed when the requests that use it are answered; its file stays."""
        forget_image(service, id)
        return Response(status_code=204)

    return router


async def _read_body(request: Request) -> OpenImage | bytes:
    type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if type == "application/json":
        message: OpenImage = read_message(OpenImage, await request.body())
        return message
    if type == "multipart/form-data":
        return await _first_file(request)
    if type in ("", "application/octet-stream") or type.startswith("image/"):
        return await request.body()
    raise RequestError(
        415,
        f"A body of type {type[:100]} is not read.",
        "Send the file itself as image/png, image/jpeg or application/octet-stream, a form, or JSON.",
    )


async def _first_file(request: Request) -> bytes:
    async with read_form(request, files=MOST_PARTS, fields=MOST_PARTS) as form:
        for _, value in form.multi_items():
            if isinstance(value, UploadFile):
                return await value.read()
    raise RequestError(422, "There is no file in the form.", "Send the picture as a file named “file”.")


def _info(id: str, image: Image) -> ImageInfo:
    source = image.source
    size = source.pixel_size
    return ImageInfo(
        id=id,
        name=source.name,
        width=source.width,
        height=source.height,
        pixel_size=None if size is None else PixelLength(x=size.x, y=size.y, z=size.z, unit=size.unit),
        magnification=source.magnification,
        kind=source.kind,
        channels=[ChannelInfo(name=one.name, color=one.color) for one in source.channels],
        size_z=source.size_z,
        size_t=source.size_t,
        levels=[
            LevelInfo(width=one.width, height=one.height, downsample=one.downsample) for one in source.levels
        ],
    )
