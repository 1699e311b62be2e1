"""A real HTTP server on the loopback that misbehaves as it is told.

Every path has a list of replies: one for each request, the last for all that follow. The server
speaks through plain sockets, so that it can say things no library would let it say.
"""

from __future__ import annotations

import gzip
import re
import socket
import socketserver
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType


@dataclass(frozen=True)
class Reply:
    """One answer.

    Attributes
    ----------
    body : bytes
        The whole file; what is asked for of it is sent.
    ranges : bool
        Whether `Range` is heeded.
    if_range : bool
        Whether `If-Range` is heeded.
    length : int or None
        Bytes by which `Content-Length` is wrong; None to give none and close at the end.
    range_shift : int
        Bytes by which a range begins elsewhere than asked.
    total : int or None
        A lie about the whole size in `Content-Range`.
    drop_after : int or None
        Close the connection after so many bytes of the body; with `reset` rudely.
    stall_after : int or None
        Send nothing more after so many bytes of the body.
    block, pause_s : int, float
        Send in blocks of so many bytes with a pause after each.
    raw : bytes or None
        Send this in place of anything that resembles HTTP.
    """

    body: bytes = b""
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    etag: str | None = '"one"'
    modified: str | None = None
    kind: str = "application/octet-stream"
    ranges: bool = True
    if_range: bool = True
    length: int | None = 0
    range_shift: int = 0
    total: int | None = None
    drop_after: int | None = None
    reset: bool = False
    stall_after: int | None = None
    stall_before: bool = False
    chunked: bool = False
    zipped: bool = False
    block: int = 1 << 16
    pause_s: float = 0.0
    raw: bytes | None = None


@dataclass(frozen=True)
class Asked:
    """A request as it arrived."""

    path: str
    headers: dict[str, str] = field(default_factory=dict)


class WeightsServer:
    """The server; a context manager."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.scheme = "http" if tls is None else "https"
        self.asked: list[Asked] = []
        self.closing = threading.Event()
        self._replies: dict[str, list[Reply]] = {}
        self._lock = threading.Lock()
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with suppress(OSError):  # a client that goes away is no news
                    if tls is None:
                        outer._serve(self.request)
                        return
                    with tls.wrap_socket(self.request, server_side=True) as secret:
                        outer._serve(secret)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = False
            block_on_close = True
            request_queue_size = 64

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> WeightsServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def serve(self, path: str, *replies: Reply) -> str:
        """Answer requests for `path` with these replies; gives the link."""
        with self._lock:
            self._replies[path] = list(replies)
        return self.link(path)

    def link(self, path: str) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}{path}"

    def asked_for(self, path: str) -> list[Asked]:
        with self._lock:
            return [one for one in self.asked if one.path.partition("?")[0] == path]

    def _reply(self, path: str) -> Reply:
        with self._lock:
            replies = self._replies.get(path) or self._replies.get(path.partition("?")[0])
            if not replies:
                return Reply(b"nothing here", 404)
            return replies.pop(0) if len(replies) > 1 else replies[0]

    def _serve(self, plug: socket.socket) -> None:
        plug.settimeout(20)
        while not self.closing.is_set():
            head = b""
            while b"\r\n\r\n" not in head:
                data = plug.recv(65536)
                if not data:
                    return
                head += data
            lines = head.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
            path = re.sub(r"^https?://[^/]+", "", lines[0].split()[1])
            headers = {
                k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])
            }
            with self._lock:
                self.asked.append(Asked(path, headers))
            if not self._answer(plug, self._reply(path), headers):
                return

    def _answer(self, plug: socket.socket, reply: Reply, asked: dict[str, str]) -> bool:
        """Send a reply; whether the connection can go on."""
        if reply.stall_before:
            self.closing.wait(20)
            return False
        if reply.raw is not None:
            plug.sendall(reply.raw)
            return False
        status, body, lines = reply.status, reply.body, list(reply.headers)
        start = self._start(reply, asked)
        if status == 200 and start is not None:
            total = len(body) if reply.total is None else reply.total
            if start >= len(body):
                status, body = 416, b""
                lines.append(("Content-Range", f"bytes */{total}"))
            else:
                start += reply.range_shift
                status = 206
                lines.append(("Content-Range", f"bytes {start}-{total - 1}/{total}"))
                body = body[start:]
        if reply.zipped:
            body = gzip.compress(body)
            lines.append(("Content-Encoding", "gzip"))
        if reply.etag is not None:
            lines.append(("ETag", reply.etag))
        if reply.modified is not None:
            lines.append(("Last-Modified", reply.modified))
        lines.append(("Content-Type", reply.kind))
        if reply.chunked:
            lines.append(("Transfer-Encoding", "chunked"))
        elif reply.length is None:
            lines.append(("Connection", "close"))
        else:
            lines.append(("Content-Length", str(len(body) + reply.length)))
        phrase = HTTPStatus(status).phrase
        head = f"HTTP/1.1 {status} {phrase}\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines) + "\r\n"
        plug.sendall(head.encode("latin-1"))
        return self._send_body(plug, reply, body)

    def _start(self, reply: Reply, asked: dict[str, str]) -> int | None:
        found = re.fullmatch(r"bytes=(\d+)-", asked.get("range", ""))
        if found is None or not reply.ranges:
            return None
        wanted = asked.get("if-range")
        if wanted is not None and reply.if_range and wanted not in (reply.etag, reply.modified):
            return None
        return int(found.group(1))

    def _send_body(self, plug: socket.socket, reply: Reply, body: bytes) -> bool:
        sent = 0
        limits = [n for n in (reply.drop_after, reply.stall_after) if n is not None]
        end = min([len(body), *limits])
        while sent < end and not self.closing.is_set():
            block = body[sent : min(end, sent + reply.block)]
            plug.sendall(b"%x\r\n%s\r\n" % (len(block), block) if reply.chunked else block)
            sent += len(block)
            if reply.pause_s:
                self.closing.wait(reply.pause_s)
        if reply.stall_after is not None:
            self.closing.wait(20)
            return False
        if reply.drop_after is not None:
            if reply.reset:
                plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                plug.close()
            return False
        if reply.chunked:
            plug.sendall(b"0\r\n\r\n")
        return reply.length == 0 or reply.chunked


@contextmanager
def weights_server(tls: ssl.SSLContext | None = None) -> Iterator[WeightsServer]:
    """The server, running; over TLS when given how."""
    with WeightsServer(tls) as server:
        yield server
