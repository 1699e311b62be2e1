"""Where links lead: shared pages turned into the file itself, and the token for gated ones.

Must not know the network: what has to be asked is asked through a function that is given.
gdown, huggingface_hub and keyring are loaded when one of their links comes up.
"""

from __future__ import annotations

import logging
import os
import re
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass

from samdesk.domain.errors import SamdeskError

log = logging.getLogger(__name__)

KEYRING_SERVICE = "samdesk"
HUB = "huggingface.co"
TOKEN_PAGE = f"https://{HUB}/settings/tokens"

_DRIVE = {"drive.google.com", "docs.google.com", "drive.usercontent.google.com"}


class GatedError(SamdeskError):
    """The weight comes only to those who accepted its licence and say who they are.

    Attributes
    ----------
    page : str
        Where the licence is accepted.
    """

    def __init__(self, message: str, hint: str, page: str) -> None:
        super().__init__(message, hint)
        self.page = page


@dataclass(frozen=True, slots=True)
class Page:
    """A page that was read, or the head of a file.

    Attributes
    ----------
    url : str
        After all redirects.
    is_file : bool
        Whether this is the file and not a page about it.
    text : str
        The page; empty for a file.
    """

    url: str
    is_file: bool
    text: str = ""


def host_of(url: str) -> str:
    return (urllib.parse.urlsplit(url).hostname or "").lower()


def check_link(url: str) -> str:
    """A link without what surrounds it.

    Raises
    ------
    SamdeskError
        When it is not an http or https link.
    """
    url = url.strip()
    try:
        parts = urllib.parse.urlsplit(url)
        port_fits = parts.port is None or parts.port > 0
    except ValueError:
        raise SamdeskError(f"{url} is not a link.", "Copy it again from where it was given.") from None
    if (
        parts.scheme.lower() in ("http", "https")
        and parts.hostname
        and port_fits
        and not re.search(r"\s", url)
    ):
        return url
    if parts.scheme.lower() == "file" or re.match(r"^([a-zA-Z]:)?[\\/]", url):
        raise SamdeskError(f"{url} is a file and not a link.", "Import it: samdesk weights import FILE.")
    raise SamdeskError(f"{url} cannot be downloaded.", "Use a link that begins with https:// or http://.")


def direct_link(url: str) -> str:
    """The link of the file for the link of a page that shows it (Hugging Face, GitHub)."""
    parts = urllib.parse.urlsplit(url)
    host, path = host_of(url), parts.path
    if host == HUB:
        path = re.sub(r"^(/(?:[^/]+/)?[^/]+)/blob/", r"\1/resolve/", path)
    elif host == "github.com":
        path = re.sub(r"^(/[^/]+/[^/]+)/blob/", r"\1/raw/", path)
    return urllib.parse.urlunsplit(parts._replace(path=path))


def is_drive(url: str) -> bool:
    """Whether a link leads to a file that is shared on Google Drive."""
    return host_of(url) in _DRIVE


def resolve_drive(url: str, read_page: Callable[[str], Page]) -> str:
    """The link of the file itself for a link that shares it on Google Drive.

    Parameters
    ----------
    read_page : callable
        Fetches a page; keeps cookies.

    Raises
    ------
    SamdeskError
        When it is a folder, not shared with everybody, or asked for too often.
    """
    try:
        from gdown.download import get_url_from_gdrive_confirmation
        from gdown.exceptions import FileURLRetrievalError
        from gdown.parse_url import parse_url
    except ImportError as error:
        raise SamdeskError(
            "Google Drive links need gdown, which is not installed.",
            "Run ./installer/run, or pip install gdown.",
        ) from error
    host = host_of(url)
    known = url.replace(host, "drive.google.com", 1) if host == "drive.usercontent.google.com" else url
    file_id, _ = parse_url(known)
    if not file_id or "/folders/" in url:
        raise SamdeskError(
            f"{url} does not share a single file.",
            "Share the file itself and copy its link, not its folder's.",
        )
    asked = f"https://drive.google.com/uc?id={urllib.parse.quote(file_id)}&export=download"
    page = read_page(asked)
    if page.is_file:
        return page.url
    refuse_drive_page(page, url)
    try:
        return get_url_from_gdrive_confirmation(page.text)
    except FileURLRetrievalError as error:
        raise SamdeskError(
            f"Google Drive does not give the file of {url}.",
            "Set its access to “Anyone with the link”, or download it with a browser and import it.",
        ) from error


def refuse_drive_page(page: Page, url: str) -> None:
    """Raise when a page of Google Drive says that the file cannot be had now."""
    text = page.text.lower()
    if "quota exceeded" in text or "too many users" in text or "download quota" in text:
        raise SamdeskError(
            "Google Drive has sent this file to too many people today (quota exceeded).",
            f"Try again tomorrow, or copy {url} to a Drive of your own and use that link.",
        )
    if host_of(page.url) == "accounts.google.com":
        raise SamdeskError(
            f"{url} is not shared with everybody.", "Set its access to “Anyone with the link”."
        )


def token_for(url: str) -> str:
    """The token to show to the host of `url`; empty when there is none or none is wanted.

    For Hugging Face: HF_TOKEN, then the system's keyring, then huggingface_hub's own login.
    """
    if host_of(url) != HUB:
        return ""
    return os.environ.get("HF_TOKEN", "").strip() or _kept_token() or _hub_token()


def save_token(token: str) -> str:
    """Keep a Hugging Face token; says where.

    Raises
    ------
    SamdeskError
        When it does not look like one, or can be kept nowhere.
    """
    token = token.strip()
    if not re.fullmatch(r"[A-Za-z0-9_-]{8,200}", token):
        raise SamdeskError(
            "This is not a Hugging Face token.", f"Make one at {TOKEN_PAGE}; it begins with hf_."
        )
    if _keep_token(token):
        return "the system's keyring"
    try:
        import huggingface_hub

        huggingface_hub.login(token=token, add_to_git_credential=False)
    except ImportError as error:
        raise SamdeskError(
            "This computer has no keyring to keep the token in.",
            "Set HF_TOKEN, or pip install huggingface_hub.",
        ) from error
    except Exception as error:
        raise SamdeskError(
            f"Hugging Face does not take the token: {error}.", f"Make a new one at {TOKEN_PAGE}."
        ) from error
    return "the place of huggingface_hub"


def _kept_token() -> str:
    try:
        import keyring

        return keyring.get_password(KEYRING_SERVICE, HUB) or ""
    except Exception as error:  # without a keyring there is no token; each system has errors of its own
        log.info("no keyring: %s", error)
        return ""


def _keep_token(token: str) -> bool:
    try:
        import keyring

        keyring.set_password(KEYRING_SERVICE, HUB, token)
        return keyring.get_password(KEYRING_SERVICE, HUB) == token
    except Exception as error:
        log.info("no keyring: %s", error)
        return False


def _hub_token() -> str:
    try:
        from huggingface_hub import get_token
    except ImportError:
        return ""
    return get_token() or ""
