"""How the server is set up: where it listens, who may ask, and how much.

Must not know the web stack.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

PORT = 8000
"""Where QuPath's SAM extension looks by default."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request may ask for at most.

    Attributes
    ----------
    body_bytes : int
        Of a request; those of all requests that are not answered have four times as much.
    json_bytes : int
        Of a request in JSON, which is read into memory as a whole and takes many times its size there.
    body_s : float
        Until a body is here; one from which nothing comes for `idle_s` is given up before.
    idle_s : float
    pixels : int
        Of a picture.
    prompts : int
        In one request.
    waiting : int
        Requests that wait for a model.
    reconstructions : int
        3D jobs that wait or run.
    picture_bytes : int
        Decoded pictures that are kept.
    upload_bytes : int
        Frames of videos that are kept on the disk.
    upload_age_s : float
        After so long unused, they are removed.
    """

    body_bytes: int = 256 << 20
    json_bytes: int = 64 << 20
    body_s: float = 600.0
    idle_s: float = 30.0
    pixels: int = 100_000_000
    prompts: int = 1_000
    waiting: int = 64
    reconstructions: int = 32
    picture_bytes: int = 512 << 20
    upload_bytes: int = 8 << 30
    upload_age_s: float = 6 * 3600.0


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Where the server listens, and to whom it answers.

    Attributes
    ----------
    host : str
        Address to listen on.
    port : int
        0: any that is free.
    token : str
        What a client must show; empty only on this computer's own address.
    folders : tuple of Path
        From which images may be opened by path; absolute.
    device : str
        Where models compute: as `load_segmenter` takes it.
    limits : Limits
    """

    host: str = "127.0.0.1"
    port: int = PORT
    token: str = ""
    folders: tuple[Path, ...] = ()
    device: str = "auto"
    limits: Limits = field(default_factory=Limits)

    @property
    def is_local(self) -> bool:
        """Whether only programs of this computer reach it."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether an address or a name means this computer itself."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
