"""`open_source`: which reader opens a file, and the table of readers.

A reader is a function of a path that returns an `ImageSource`, or None when the file is not of
its family, and raises `SamdeskError` when it is but cannot be read. A new format is one module
and one row.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from samdesk.domain.errors import SamdeskError
from samdesk.images.readers.base import unsupported
from samdesk.images.source import ImageSource


class Reader(NamedTuple):
    """A row of the table: readers whose suffix fits are asked first, then the others in order."""

    name: str
    suffixes: tuple[str, ...]
    target: str


def _row(name: str, suffixes: str, target: str) -> Reader:
    return Reader(name, tuple(suffixes.split()), f"{__name__}.{target}")


READERS: tuple[Reader, ...] = (
    _row("OME-Zarr", ".zarr .zattrs .zgroup zarr.json", "omezarr:open_zarr"),
    _row("Slide", ".svs .ndpi .mrxs .scn .vms .vmu .bif .svslide .dcm .tif .tiff", "openslide:open_slide"),
    _row("TIFF", ".tif .tiff .btf .tf8 .lsm .stk .qptiff", "tiff:open_tiff"),
    _row("Picture", ".png .jpg .jpeg .jpe .jfif .bmp .dib .webp", "flat:open_flat"),
)

SUFFIXES: tuple[str, ...] = tuple(
    sorted({suffix for reader in READERS for suffix in reader.suffixes if suffix.startswith(".")})
)
"""For file dialogs; what is in a file counts, not its name."""


def open_source(path: str | Path) -> ImageSource:
    """Open an image of any supported format.

    Parameters
    ----------
    path : str or Path
        A file, or the folder of an OME-Zarr image.

    Returns
    -------
    ImageSource

    Raises
    ------
    SamdeskError
        When there is no such file, or it is empty, damaged or of a format that no reader knows.
    """
    path = Path(path).expanduser().absolute()
    _check_there(path)
    lower = path.name.lower()
    first = [reader for reader in READERS if lower.endswith(reader.suffixes)]
    for reader in (*first, *(r for r in READERS if r not in first)):
        try:
            source = _load(reader)(path)
        except OSError as error:
            raise SamdeskError(
                f"“{path.name}” cannot be read: {error.strerror or error}.",
                "Check that the disk is there and that you may read the file.",
            ) from error
        if source is not None:
            return source
    if path.is_dir():
        raise SamdeskError(
            f"“{path.name}” is a folder and not an OME-Zarr image.",
            "Choose a file, or the folder that holds .zattrs or zarr.json.",
        )
    raise unsupported(path, "it is not an image in a format that samdesk reads")


def _check_there(path: Path) -> None:
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        hint = "Check the name, and that the disk is there."
        raise SamdeskError(f"“{path}” does not exist.", hint) from None
    except (OSError, ValueError) as error:
        raise SamdeskError(
            f"“{path}” cannot be reached: {error}.", "Check the name, and that you may read it."
        ) from error
    if not size and path.is_file():
        raise SamdeskError(f"“{path.name}” is empty (0 bytes).", "Copy it again from where it came from.")


def _load(reader: Reader) -> Callable[[Path], ImageSource | None]:
    module, _, function = reader.target.partition(":")
    opener: Callable[[Path], ImageSource | None] = getattr(importlib.import_module(module), function)
    return opener
