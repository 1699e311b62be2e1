"""Files that appear whole or not at all, and the picture with its mask in the alpha channel.

Must not know models.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samdesk.recon.worker.base import EngineError, Request


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give another path in the same folder, of the same suffix, that becomes `path` at a good end."""
    part = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        yield part
        part.replace(path)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def save_array(path: Path, array: NDArray[Any]) -> None:
    """Write an .npy."""
    with whole(path) as part:
        np.save(part, array)


def read_rgba(request: Request) -> NDArray[np.uint8]:
    """The picture of a request with its mask as alpha, 0 or 255.

    Returns
    -------
    ndarray, (h, w, 4) uint8

    Raises
    ------
    EngineError
        When a file cannot be read, the sizes differ, or nothing is selected.
    """
    pixels = _read(request.image, "RGB")
    mask = _read(request.mask, "L")
    if pixels.shape[:2] != mask.shape:
        raise EngineError(
            "size_mismatch",
            f"The mask is {mask.shape[1]} × {mask.shape[0]} pixels, "
            f"the picture {pixels.shape[1]} × {pixels.shape[0]}.",
            "Make the object again from its annotation.",
        )
    selected = mask > 127
    if not selected.any():
        raise EngineError("mask_empty", "The mask selects nothing.", "Choose an annotation with an area.")
    return np.dstack([pixels, np.where(selected, np.uint8(255), np.uint8(0))])


def _read(path: Path, mode: str) -> NDArray[np.uint8]:
    from PIL import Image

    try:
        with Image.open(path) as image:
            return np.asarray(image.convert(mode))
    except (OSError, SyntaxError, ValueError) as error:
        raise EngineError(
            "internal", f"{path.name} cannot be read: {error}", "Make the object again."
        ) from error
