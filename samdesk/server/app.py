"""`make_app`: all endpoints under one roof, the door before them, and what an error looks like.

Must not know what the endpoints do.
"""

from __future__ import annotations

import logging
from importlib.resources import files

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, Response
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES

import samdesk
from samdesk.domain.errors import MemoryFullError, SamdeskError

from . import clients, native, samapi
from .door import Door
from .door.asker import shown_path
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
    app.add_exception_handler(HTTPException, _http)
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
    found = [{"loc": list(one["loc"]), "msg": one["msg"], "type": one["type"]} for one in error.errors()]
    first = found[0] if found else {"loc": [], "msg": "it cannot be read"}
    where = ".".join(str(part) for part in first["loc"][1:]) or "the body"
    log.info(
        "%s %s: 422 %s: %s", request.method, shown_path(request.url.path), shown_path(where), first["msg"]
    )
    return refusal(422, f"{where}: {first['msg']}", "/docs tells what is expected.", found)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    hint = "/docs lists what there is." if error.status_code == 404 else ""
    log.info("%s %s: %d", request.method, shown_path(request.url.path), error.status_code)
    answer = refusal(error.status_code, str(error.detail), hint)
    answer.headers.update(error.headers or {})
    return answer


async def _unexpected(request: Request, error: Exception) -> Response:
    return refusal(500, "The server failed.", "The log has the details.")
