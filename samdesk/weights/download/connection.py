"""A connection that can be left at any moment: sockets that never block for longer than a blink.

httpx does the talking; underneath, every wait is cut into short ones between which the caller is
asked whether to go on, so that a server that stalls does not hold up a cancel. Looking up a name
is the one wait that the system does not let us cut. Must not know files or weights.
"""

from __future__ import annotations

import os
import selectors
import socket
import ssl
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpcore
import httpx

from samdesk.domain.errors import SamdeskError

Check = Callable[[], None]
"""Raises when the wait is to be given up."""

POLL_S = 0.02
READ_BYTES = 128 << 10
"""Twice what httpcore asks for: fewer turns through the interpreter. Larger blocks cost more than they
spare, for the system then maps and clears new memory for each."""


def open_client(check: Check, connect_s: float, stall_s: float) -> httpx.Client:
    """An HTTP client that follows no redirect by itself.

    Parameters
    ----------
    check : callable
        Called every `POLL_S` seconds of every wait; what it raises ends the request.
    connect_s, stall_s : float
        Seconds until a server that does not answer, or sends nothing more, is given up.
    """
    return httpx.Client(
        transport=_Transport(check),
        timeout=httpx.Timeout(stall_s, connect=connect_s),
        follow_redirects=False,
        trust_env=False,  # the transport reads the proxy variables itself
    )


class _Transport(httpx.BaseTransport):
    """Requests through one pool per proxy, over sockets that ask before they wait."""

    def __init__(self, check: Check) -> None:
        self._backend = _Backend(check)
        self._pools: dict[tuple[str, str], httpcore.ConnectionPool] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        asked = httpcore.Request(
            request.method, url, headers=request.headers.raw, extensions=request.extensions
        )
        with _translated():
            answer = self._pool(request.url).handle_request(asked)
        return httpx.Response(answer.status, headers=answer.headers, stream=_Body(answer))

    def close(self) -> None:
        for pool in self._pools.values():
            pool.close()

    def _pool(self, url: httpx.URL) -> httpcore.ConnectionPool:
        proxy = proxy_for(str(url))
        key = (proxy, url.scheme)
        if key not in self._pools:
            tls = httpx.create_ssl_context() if url.scheme == "https" else None
            self._pools[key] = self._make_pool(proxy, tls)
        return self._pools[key]

    def _make_pool(self, proxy: str, tls: ssl.SSLContext | None) -> httpcore.ConnectionPool:
        if not proxy:
            return httpcore.ConnectionPool(ssl_context=tls, network_backend=self._backend)
        parts = urllib.parse.urlsplit(proxy)
        if parts.scheme != "http":
            raise SamdeskError(
                f"The proxy {parts.scheme}://{parts.hostname} cannot be used.",
                "Set http_proxy and https_proxy to a proxy that is reached over http.",
            )
        auth = None
        if parts.username:
            auth = (urllib.parse.unquote(parts.username), urllib.parse.unquote(parts.password or ""))
        bare = f"http://{parts.hostname}:{parts.port or 80}"
        return httpcore.HTTPProxy(bare, proxy_auth=auth, ssl_context=tls, network_backend=self._backend)


def proxy_for(url: str) -> str:
    """The proxy that the environment names for `url`, with its scheme; empty for none."""
    parts = urllib.parse.urlsplit(url)
    if urllib.request.proxy_bypass(parts.netloc.rpartition("@")[2]):
        return ""
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all") or ""
    return proxy if not proxy or "://" in proxy else f"http://{proxy}"


class _Body(httpx.SyncByteStream):
    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        assert isinstance(self._answer.stream, Iterable)
        with _translated():
            yield from self._answer.stream

    def close(self) -> None:
        self._answer.close()


@contextmanager
def _translated() -> Iterator[None]:
    """httpx's name for each error of httpcore."""
    try:
        yield
    except (
        httpcore.TimeoutException,
        httpcore.NetworkError,
        httpcore.ProtocolError,
        httpcore.ProxyError,
        httpcore.UnsupportedProtocol,
    ) as error:
        same: type[httpx.TransportError] = getattr(httpx, type(error).__name__, httpx.TransportError)
        raise same(str(error)) from error


class _Backend(httpcore.NetworkBackend):
    def __init__(self, check: Check) -> None:
        self._check = check

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        self._check()
        try:
            places = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise httpcore.ConnectError(f"{host} is not known ({error.strerror or error})") from error
        except UnicodeError as error:
            raise httpcore.ConnectError(f"{host} is not a name of a computer") from error
        failed: Exception = httpcore.ConnectError(f"{host} has no address")
        for family, kind, protocol, _, place in places:
            try:
                return self._connect(family, kind, protocol, place, timeout)
            except (OSError, httpcore.ConnectTimeout) as error:
                failed = error
        if isinstance(failed, OSError):
            raise httpcore.ConnectError(failed.strerror or str(failed)) from failed
        raise failed

    def _connect(
        self, family: int, kind: int, protocol: int, place: Any, timeout: float | None
    ) -> httpcore.NetworkStream:
        plug = socket.socket(family, kind, protocol)
        try:
            plug.setblocking(False)
            with suppress(OSError):
                plug.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with suppress(BlockingIOError):
                plug.connect(place)
            _wait(plug, selectors.EVENT_WRITE, timeout, self._check, httpcore.ConnectTimeout)
            code = plug.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, os.strerror(code))
        except BaseException:
            plug.close()
            raise
        return _Stream(plug, self._check)


class _Stream(httpcore.NetworkStream):
    def __init__(self, plug: socket.socket, check: Check) -> None:
        self._plug = plug
        self._check = check

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        count = max(max_bytes, READ_BYTES)
        late, broken = httpcore.ReadTimeout, httpcore.ReadError
        return bytes(self._turn(lambda: self._plug.recv(count), timeout, late, broken))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        left = memoryview(buffer)
        while left:
            part = left
            sent = self._turn(
                lambda part=part: self._plug.send(part),  # type: ignore[misc]
                timeout,
                httpcore.WriteTimeout,
                httpcore.WriteError,
            )
            left = left[sent:]

    def close(self) -> None:
        self._plug.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        try:
            secret = ssl_context.wrap_socket(
                self._plug, server_hostname=server_hostname, do_handshake_on_connect=False
            )
        except (OSError, ValueError) as error:
            self.close()
            raise httpcore.ConnectError(str(error)) from error
        stream = _Stream(secret, self._check)
        try:
            stream._turn(secret.do_handshake, timeout, httpcore.ConnectTimeout, httpcore.ConnectError)
        except BaseException:
            stream.close()
            raise
        return stream

    def get_extra_info(self, info: str) -> Any:
        if info == "ssl_object":
            return self._plug if isinstance(self._plug, ssl.SSLSocket) else None
        if info == "socket":
            return self._plug
        if info == "is_readable":
            with selectors.DefaultSelector() as selector:
                selector.register(self._plug, selectors.EVENT_READ)
                return bool(selector.select(0))
        return None

    def _turn(
        self,
        attempt: Callable[[], Any],
        timeout: float | None,
        late: type[Exception],
        broken: type[Exception],
    ) -> Any:
        """Attempt until it does not have to wait any more."""
        while True:
            try:
                return attempt()
            except (BlockingIOError, ssl.SSLWantReadError):
                event = selectors.EVENT_READ
                if late is httpcore.WriteTimeout:
                    event = selectors.EVENT_WRITE
            except ssl.SSLWantWriteError:
                event = selectors.EVENT_WRITE
            except ssl.SSLCertVerificationError as error:
                raise httpcore.ConnectError(
                    f"its certificate is not trusted: {error.verify_message}"
                ) from error
            except OSError as error:
                raise broken(error.strerror or str(error)) from error
            _wait(self._plug, event, timeout, self._check, late)


def _wait(
    plug: socket.socket, event: int, timeout: float | None, check: Check, late: type[Exception]
) -> None:
    deadline = None if timeout is None else time.monotonic() + timeout
    with selectors.DefaultSelector() as selector:
        selector.register(plug, event)
        while True:
            check()
            if selector.select(POLL_S):
                return
            if deadline is not None and time.monotonic() >= deadline:
                raise late(f"nothing for {timeout:g} s")
