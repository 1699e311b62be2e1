"""`make_app`: all endpoints under one roof, the door before them, and what an error looks like.

Must not know what the endpoints do.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES
from starlette.routing import Match

import samdesk
from samdesk.domain.errors import MemoryFullError, SamdeskError

from . import clients, native, samapi
from .door import Door
from .door.asker import TOKEN_PATH, shown_path
from .door.refusing import refusal
from .errors import RequestError
from .service import Service

log = logging.getLogger(__name__)

PACKED = ("application/octet-stream", "model/*")
"""Kinds of answers that are sent as they are: files of 3D objects, of many megabytes."""

DOCS_FILES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon.png": "image/png",
}
"""What the page of `/docs` loads, and of which kind each file is."""

GZIP_FROM = 2_000
"""Bytes from which an answer is worth compressing."""

TOLD_ERRORS = 10
"""Of those in one body, so many are told: a client that is wrong once is wrong a million times."""

OBJECTS = ("model_type", "model_attributes_type", "dict_type")
"""Kinds of pydantic's errors that say that no object stands where one is needed."""

ABOUT = """\
Segmentation and 3D objects by the models of samdesk, on this computer.

Coordinates are pixels of the image that was sent or opened: x right, y down, and integers lie on the
edges of pixels, so that pixel 5 spans 5..6.
"""


def make_app(service: Service, port: int) -> Door:
    """The application.

    Parameters
    ----------
    service : Service
    port : int
        Where it listens; a request for another host or port is refused.
    """
    app = FastAPI(
        title="samdesk",
        version=samdesk.__version__,
        description=ABOUT,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.add_exception_handler(SamdeskError, _told)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _Http(service))
    app.add_exception_handler(Exception, _unexpected)
    app.add_middleware(
        GZipMiddleware,
        minimum_size=GZIP_FROM,
        compresslevel=1,  # most clients are on this computer
        exclude_content_types=(*DEFAULT_EXCLUDED_CONTENT_TYPES, *PACKED),
    )
    for router in (*native.routers(service), *samapi.routers(service), *clients.routers(service)):
        app.include_router(router)
    _documented(app)
    return Door(app, service, port)


def _documented(app: FastAPI) -> None:
    """`/docs`, whose scripts come from the installed package, as there may be no network."""
    static = files("fastapi_offline") / "static"

    @app.get("/", include_in_schema=False)
    async def first(request: Request) -> RedirectResponse:
        return RedirectResponse(f"{request.scope.get('root_path', '')}/docs")

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:
        root = request.scope.get("root_path", "")  # where a token is in the path
        return get_swagger_ui_html(
            openapi_url=f"{root}/openapi.json",
            title="samdesk",
            swagger_js_url=f"{root}/docs-files/swagger-ui-bundle.js",
            swagger_css_url=f"{root}/docs-files/swagger-ui.css",
            swagger_favicon_url=f"{root}/docs-files/favicon.png",
        )

    @app.get("/docs-files/{name}", include_in_schema=False)
    async def docs_file(name: str) -> Response:
        if name not in DOCS_FILES:
            raise HTTPException(404)
        return Response((static / name).read_bytes(), media_type=DOCS_FILES[name])


async def _told(request: Request, error: Exception) -> Response:
    assert isinstance(error, SamdeskError)
    status = 422
    if isinstance(error, RequestError):
        status = error.status
    elif isinstance(error, MemoryFullError):
        status = 503
    log.info("%s %s: %d %s", request.method, shown_path(request.url.path), status, error)
    return refusal(status, error.message, error.hint)


async def _invalid(request: Request, error: Exception) -> Response:
    # what was sent is not sent back: it may be a picture
    assert isinstance(error, RequestValidationError)
    errors = error.errors()[:TOLD_ERRORS]
    found = [{"loc": list(one["loc"]), "msg": one["msg"], "type": one["type"]} for one in errors]
    message = _worded(errors[0]) if errors else "The body cannot be read."
    # a member's name is the client's: it may be of any length, and hold ends of lines
    log.info("%s %s: 422 %s", request.method, shown_path(request.url.path), shown_path(message))
    return refusal(422, message, "/docs tells what is expected.", found)


def _worded(error: Mapping[str, Any]) -> str:
    """What is wrong with what was sent, in one line: "point_coords.0: Input should be a valid number"."""
    place = error["loc"][1:]
    if error["type"] == "json_invalid":
        where = f" at character {place[0]}" if place else ""
        return f"The body is no JSON: {error['ctx']['error']}{where}."
    if error["type"] == "missing" and not place:
        return "A body is needed, and there is none."
    if error["type"] == "extra_forbidden":
        return f"{'.'.join(str(part) for part in place)}: there is no such member here."
    message = error["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if error["type"] in OBJECTS:
        message = 'an object is needed here, as {"name": value}'
    elif error["type"] == "value_error" and not place:
        return str(message)
    return f"{'.'.join(str(part) for part in place) or 'the body'}: {message}"


class _Http:
    """Answers what no endpoint does; tells who left out `/sam/` where it belongs."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        path = shown_path(request.scope["path"])
        status = error.status_code
        told = RequestError(status, str(error.detail), "/docs lists what there is." if status == 404 else "")
        if status in (404, 405) and _is_below_sam(request):
            told = RequestError(
                status,
                f"There is nothing at {path}, but there is at /sam{path}.",
                f"In QuPath, the Server URL ends in /sam/: {_base(request)}/sam/",
            )
            with contextlib.suppress(RequestError):  # told in the window too, as QuPath tells nothing
                await self._service.refuse(told)
        log.info("%s %s: %d %s", request.method, path, status, told)
        answer = refusal(status, told.message, told.hint)
        answer.headers.update(error.headers or {})
        return answer


def _is_below_sam(request: Request) -> bool:
    """Whether what was asked is answered at the same path below `/sam`."""
    scope = {**request.scope, "path": f"/sam{request.scope['path']}", "root_path": ""}
    return any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)


def _base(request: Request) -> str:
    """The address that was asked, as a client writes it; the token in it is not repeated."""
    token = f"{TOKEN_PATH}TOKEN" if request.scope.get("root_path") else ""
    return f"{request.url.scheme}://{request.headers['host']}{token}"


async def _unexpected(request: Request, error: Exception) -> Response:
    return refusal(500, "The server failed.", "The log has the details.")
