"""What a server's answer means: go on, wait and ask again, or give up and say why.

Must not know files or sockets.
"""

from __future__ import annotations

import email.utils
import re
import time
from dataclasses import dataclass
from typing import Literal

import httpx

from samdesk.domain.errors import SamdeskError
from samdesk.weights.sources import GatedError
from samdesk.weights.verification import PAGE_HEADS
from samdesk.weights.weight import Weight

RETRY = {408, 421, 425, 429, 500, 502, 503, 504, 507, 509, 520, 521, 522, 523, 524}
"""Status codes of troubles that may pass."""

REDIRECT = {301, 302, 303, 307, 308}


class PassingError(SamdeskError):
    """A trouble that may pass.

    Attributes
    ----------
    wait : float or None
        Seconds that the server asked to wait.
    """

    def __init__(self, message: str, hint: str = "", wait: float | None = None) -> None:
        super().__init__(message, hint)
        self.wait = wait


@dataclass(frozen=True, slots=True)
class Span:
    """`Content-Range`: bytes `first`..`last` of `total`; all None where it says nothing."""

    first: int | None = None
    last: int | None = None
    total: int | None = None


def content_range(headers: httpx.Headers) -> Span:
    """Read `Content-Range`, also that of an answer 416."""
    found = re.fullmatch(
        r"\s*bytes\s+(?:(\d+)-(\d+)|\*)/(\d+|\*)\s*", headers.get("content-range", ""), re.IGNORECASE
    )
    if found is None:
        return Span()
    first, last, total = (None if text in (None, "*") else int(text) for text in found.groups())
    return Span(first, last, total)


def content_length(headers: httpx.Headers) -> int | None:
    """Bytes of the body; None when it is not said, or says nothing about the decoded file."""
    text = headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() and not is_encoded(headers) else None


def is_encoded(headers: httpx.Headers) -> bool:
    return headers.get("content-encoding", "identity").strip().lower() not in ("", "identity")


def retry_after(headers: httpx.Headers, now: float | None = None) -> float | None:
    """Seconds to wait, from `Retry-After` in either form; None when it says nothing of use."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(min(int(text), 10**9))
    try:
        when = email.utils.parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return max(0.0, when.timestamp() - (time.time() if now is None else now))


def looks_like_page(headers: httpx.Headers, head: bytes) -> bool:
    """Whether a body is a page to be read and not a file; `head` is how it begins."""
    begins = head[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if begins.startswith(PAGE_HEADS):
        return True
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind in ("text/html", "application/xhtml+xml") and begins.startswith(b"<")


def error_of(weight: Weight, answer: httpx.Response, url: httpx.URL) -> SamdeskError:
    """The error that a status code other than 200 and 206 stands for."""
    status, host = answer.status_code, url.host
    if status in RETRY:
        wait = retry_after(answer.headers)
        message = f"{host} cannot send {weight.name} now ({status} {answer.reason_phrase})."
        if status == 429:
            message = f"{host} has had too many requests from here (429)."
        return PassingError(message, "Try again later; what was received is kept.", wait)
    if status in (401, 403) and (weight.gated or _says_gated(answer.headers)):
        return gated_error(weight)
    if status == 401:
        return SamdeskError(
            f"{host} sends {weight.name} only to those who are logged in (401).",
            _login_hint(host),
        )
    if status == 403:
        return SamdeskError(
            f"{host} refuses to send {weight.name} (403).",
            f"Open {weight.homepage or weight.url} in a browser to see who may have it.",
        )
    if status in (404, 410):
        return SamdeskError(
            f"There is no file at {weight.url} ({status}).",
            f"It may have moved: look at {weight.homepage}." if weight.homepage else "Check the link.",
        )
    if status == 407:
        return SamdeskError(
            "The proxy wants a user name and a password (407).",
            "Put them into https_proxy: http://user:password@host:port.",
        )
    return SamdeskError(
        f"{host} answered {status} {answer.reason_phrase} in place of {weight.name}.".replace("  ", " "),
        "Check the link.",
    )


def gated_error(weight: Weight) -> GatedError:
    page = weight.homepage or weight.url
    return GatedError(
        f"{weight.name} is sent only to those who accepted its licence.",
        f"Accept the licence at {page}, then log in: samdesk weights login.",
        page,
    )


def page_error(weight: Weight, url: httpx.URL) -> SamdeskError:
    """The error for a page in place of a file."""
    if re.search(r"(?i)/(log-?in|sign-?in|auth|sso)\b", url.path):
        return SamdeskError(
            f"{url.host} wants a login before it sends {weight.name}.",
            "Download it with a browser, then import the file.",
        )
    return SamdeskError(
        f"{weight.url} is a web page and not a file of weights.",
        "Open it in a browser and copy the link of the download itself, or import the downloaded file.",
    )


def redirect_target(weight: Weight, answer: httpx.Response, url: httpx.URL) -> httpx.URL:
    """Where an answer 3xx leads.

    Raises
    ------
    SamdeskError
        When it leads nowhere, from https down to http, or away from the web.
    """
    try:
        target = url.join(answer.headers.get("location", ""))
    except (httpx.InvalidURL, ValueError):
        target = httpx.URL("")
    if not answer.headers.get("location") or not target.host:
        raise SamdeskError(
            f"{url.host} sends {weight.name} elsewhere without saying where.", "Check the link."
        )
    if target.scheme not in ("http", "https"):
        raise SamdeskError(
            f"{url.host} redirects to {target.scheme}:, which cannot be downloaded.", "Check the link."
        )
    if url.scheme == "https" and target.scheme == "http":
        raise SamdeskError(
            f"{url.host} redirects from https to {target.host} over plain http, where anybody on the way "
            "could change the file.",
            "Ask the publisher for an https link.",
        )
    return target


def trouble(weight: Weight, error: httpx.TransportError, url: httpx.URL) -> PassingError:
    """A broken, refused or silent connection, in words for the user."""
    host = url.host
    again = "Check the network and start it again; what was received is kept."
    why: Literal["silent", "broken", "refused", "proxy"]
    if isinstance(error, httpx.ProxyError):
        why = "proxy"
    elif isinstance(error, httpx.ConnectError):
        why = "refused"
    elif isinstance(error, httpx.TimeoutException):
        why = "silent"
    else:
        why = "broken"
    message = {
        "proxy": f"The proxy does not let through to {host}: {error}.",
        "refused": f"{host} cannot be reached: {error}.",
        "silent": f"{host} sends nothing: {error}.",
        "broken": f"The connection to {host} broke off while {weight.name} was on its way.",
    }[why]
    return PassingError(message, again)


def _says_gated(headers: httpx.Headers) -> bool:
    return "GatedRepo" in headers.get_list("x-error-code")


def _login_hint(host: str) -> str:
    if host == "huggingface.co" or host.endswith(".huggingface.co"):
        return "Log in: samdesk weights login."
    return "Download it with a browser, then import the file."
