"""`Visit`: one request on its way in, its answer on its way out, and whether the client is still there.

Must not know what is asked, nor who asks.

Source of the messages: https://asgi.readthedocs.io/en/latest/specs/www.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Receive, Scope, Send

from samdesk.server.errors import RequestError
from samdesk.server.options import Limits

from .asker import DOCS
from .body import Held, has_body, most_bytes, too_large
from .refusing import refusal

GONE = 499
"""What is counted as the status of an answer that nobody waited for; servers commonly do."""

NOTHING = "default-src 'none'; frame-ancestors 'none'"
OWN_PAGE = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}


class Visit:
    """What an application receives and sends, within limits.

    Parameters
    ----------
    scope, receive, send
        As the web server gives them.
    limits : Limits
    held : Held
        What all requests together have sent; `close` takes out the part of this one.

    Attributes
    ----------
    status : int
        Of the answer; 0 until it begins.
    is_answered : bool
        The last of the answer was sent.
    is_endless : bool
        There is no telling when it ends: the body is still to come, or the answer is a stream of
        events.
    is_gone : bool
        The client has left before it was answered.
    refused : RequestError or None
        Why the body was not taken.
    given_up : callable
        Called once when the client has gone or the body was refused.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, limits: Limits, held: Held) -> None:
        self.status = 0
        self.is_answered = False
        self._is_stream = False
        self.is_gone = False
        self.refused: RequestError | None = None
        self.given_up: Callable[[], object] = lambda: None
        self._receive, self._send = receive, send
        self._limits, self._held = limits, held
        self._most = most_bytes(scope, limits)
        self._is_own_page = scope["path"] == DOCS
        self._deadline = asyncio.get_running_loop().time() + limits.body_s
        self._came = 0
        self._is_here = asyncio.Event()
        self._is_empty = not has_body(scope)
        if self._is_empty:
            self._is_here.set()

    @property
    def is_endless(self) -> bool:
        return self._is_stream or not self._is_here.is_set()

    async def receive(self) -> Message:
        """The next part of the body. After the last there is nothing to wait for: who waits is cancelled."""
        if self._is_empty:
            self._is_empty = False
            return {"type": "http.request", "body": b"", "more_body": False}
        if not self._is_here.is_set():
            part = await self._part()
            if part is not None:
                return part
        await asyncio.Event().wait()
        raise AssertionError("nothing comes after the body")

    async def _part(self) -> Message | None:
        now = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(min(self._deadline, now + self._limits.idle_s)):
                message = await self._receive()
        except TimeoutError:
            self._refuse(RequestError(408, "The request did not come to its end in time.", "Send it again."))
            return None
        if message["type"] == "http.disconnect":
            self._leave()
            return None
        count = len(message.get("body", b""))
        self._came += count
        try:
            self._held.add(count)
        except RequestError as error:
            self._refuse(error)
            return None
        if self._came > self._most:
            self._refuse(too_large(self._most))
            return None
        if not message.get("more_body", False):
            self._is_here.set()
        return message

    def close(self) -> None:
        """The request is answered: what it sent is nobody's any more."""
        self._held.remove(self._came)
        self._came = 0

    async def watch(self) -> None:
        """Notice that the client leaves; runs beside the application."""
        await self._is_here.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self.is_answered:
            self._leave()

    def _leave(self) -> None:
        self.is_gone = True
        self.given_up()

    def _refuse(self, error: RequestError) -> None:
        self.refused = error
        self.given_up()

    async def send(self, message: Message) -> None:
        """Send a part of the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(raw=message.setdefault("headers", []))
            self._is_stream = headers.get("content-type", "").startswith("text/event-stream")
            self._protect(headers)
        elif message["type"] == "http.response.body" and not message.get("more_body", False):
            self.is_answered = True
        await self._send(message)

    def _protect(self, headers: MutableHeaders) -> None:
        for name, value in HEADERS.items():
            headers.setdefault(name, value)
        headers.setdefault("Content-Security-Policy", OWN_PAGE if self._is_own_page else NOTHING)

    async def end(self, error: RequestError) -> None:
        """Answer with an error, or end what was begun."""
        if self.is_gone or self.is_answered:
            return
        if self.status:
            await self.send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        answer = refusal(error.status, error.message, error.hint)
        headers = MutableHeaders(raw=[*answer.raw_headers])
        if error.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        if error.status == 408:
            headers["Connection"] = "close"  # what is still to come would be taken for a new request
        await self.send({"type": "http.response.start", "status": error.status, "headers": headers.raw})
        await self.send({"type": "http.response.body", "body": answer.body, "more_body": False})
