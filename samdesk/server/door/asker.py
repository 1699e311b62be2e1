"""Who asks: the name by which the server was called, the page that asks, and the token.

A page in a browser reaches every server of the computer that it runs on. Three things tell it
from a program: the Host under which a name of its own brought it here, its Origin, and what the
browser says about the site that a request comes from (Sec-Fetch-Site). Must not know what is
asked.

Sources: https://fetch.spec.whatwg.org/#origin-header, https://w3c.github.io/webappsec-fetch-metadata/
"""

from __future__ import annotations

import ipaddress
import re
import secrets
import socket
from collections.abc import Collection

from starlette.types import Scope

from samdesk.server.errors import RequestError
from samdesk.server.options import ServerOptions

HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?")

TOKEN_PATH = "/t/"
"""Before a token at the beginning of a path, for clients that cannot send headers of their own."""

DOCS = "/docs"
"""The one page that a link elsewhere may lead to."""


def header(scope: Scope, name: bytes) -> list[str]:
    """All values of a header; `name` in lower case."""
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def check_host(scope: Scope, options: ServerOptions, port: int, names: Collection[str] = frozenset()) -> str:
    """The Host that was asked, "name:port", if the server goes by that name.

    The port is not compared, as one may be forwarded to another.

    Parameters
    ----------
    scope, options, port
    names : collection of str
        What other computers may call this one: `names_of_this_computer`.

    Raises
    ------
    RequestError
        400 without exactly one, 421 when it is someone else's.
    """
    hosts = header(scope, b"host")
    if len(hosts) != 1:
        raise RequestError(400, "A request names one host; this one does not.", "Send one Host header.")
    host = hosts[0].strip().lower()
    found = HOST.fullmatch(host)
    if found is None or not _is_ours(found["name"].strip("[]"), options, names):
        raise RequestError(
            421, f"This server does not go by the name “{host[:100]}”.", f"Ask it at localhost:{port}."
        )
    return host


def _is_ours(name: str, options: ServerOptions, names: Collection[str]) -> bool:
    if name in ("localhost", "127.0.0.1", "::1", options.host.strip("[]").lower()):
        return True
    # others reach this computer at addresses that it may not know of; what a page can redirect
    # here is a name, never an address
    return not options.is_local and (_is_address(name) or name in names)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def names_of_this_computer(options: ServerOptions) -> frozenset[str]:
    """What other computers may call this one, if they may ask it at all; in lower case.

    May ask the network, for seconds where it is slow.
    """
    if options.is_local:
        return frozenset()
    name = socket.gethostname().lower()
    first = name.partition(".")[0]
    return frozenset({name, first, f"{first}.local", socket.getfqdn().lower()})


def check_page(scope: Scope, host: str) -> None:
    """Refuse what a page of another site has a browser ask.

    A link to the documentation may be followed from anywhere.

    Raises
    ------
    RequestError
        403.
    """
    own = f"{scope['scheme']}://{host}"
    origins = header(scope, b"origin")
    sites = header(scope, b"sec-fetch-site")
    foreign = any(origin.strip().lower() != own for origin in origins)
    if foreign or (any(site not in ("same-origin", "none") for site in sites) and not _is_link(scope)):
        raise RequestError(
            403, "A page of another site asked.", "Only programs and this server's own pages may."
        )


def _is_link(scope: Scope) -> bool:
    return (
        scope["method"] == "GET"
        and scope["path"] == DOCS
        and header(scope, b"sec-fetch-mode") == ["navigate"]
        and header(scope, b"sec-fetch-dest") == ["document"]
    )


def admit(scope: Scope, token: str) -> Scope:
    """The request without the token, if it shows the right one.

    The token is in the header `Authorization: Bearer TOKEN`, or the path begins with /t/TOKEN/.

    Raises
    ------
    RequestError
        401.
    """
    if not token:
        return scope
    inner = _without_token(scope, token)
    if inner is not None:
        return inner
    values = header(scope, b"authorization")
    for value in values:
        kind, _, shown = value.strip().partition(" ")
        if kind.lower() == "bearer" and _same(shown.strip().encode("latin-1"), token):
            return scope
    raise RequestError(
        401,
        "The token is wrong." if _shows_one(scope, values) else "This server asks for a token.",
        "Send the header “Authorization: Bearer TOKEN”, or put /t/TOKEN before the path.",
    )


def _shows_one(scope: Scope, values: list[str]) -> bool:
    bearer = any(value.strip().lower().startswith("bearer ") for value in values)
    return bearer or (len(scope["path"]) > len(TOKEN_PATH) and scope["path"].startswith(TOKEN_PATH))


def _without_token(scope: Scope, token: str) -> Scope | None:
    path: str = scope["path"]
    if not path.startswith(TOKEN_PATH):
        return None
    shown, _, rest = path.removeprefix(TOKEN_PATH).partition("/")
    if not _same(shown.encode("utf-8"), token):
        return None
    raw = scope.get("raw_path", b"").split(b"/", 3)
    prefix = f"{TOKEN_PATH}{shown}"
    return {**scope, "path": f"/{rest}", "raw_path": b"/" + b"".join(raw[3:]), "root_path": prefix}


def _same(shown: bytes, token: str) -> bool:
    return secrets.compare_digest(shown, token.encode("utf-8"))


def shown_path(path: str) -> str:
    """A path for the log: short, on one line, and without a token, be it right or mistyped."""
    before = ""
    if path.startswith(TOKEN_PATH):
        before = f"{TOKEN_PATH}…"
        path = "/" + path.removeprefix(TOKEN_PATH).partition("/")[2]
    return before + path[:200].encode("unicode_escape").decode("ascii")
