"""The folder of a job: a picture and the masks of its objects, as workers read them.

`picture.json` is written last: with it the folder is complete, and tells all that is needed to
say later where an object came from. Must not know workers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Shape
from samdesk.domain.tasks import Task
from samdesk.formats.atomic import file_error, replacing
from samdesk.recon import wire

from .damaged import DAMAGED
from .picture import Picture, mask_of

PICTURE_JSON = "picture.json"
RESULT_JSON = "result.json"
"""In the folder of each object that is done, see `samdesk.sdk.reconstruction.run.keep`."""

HASHED_BYTES = 512 << 20
"""Image files that are larger are not hashed: the hash of the part that was seen must do."""

_CHUNK = 1 << 22
_QUICK_PNG = (cv2.IMWRITE_PNG_COMPRESSION, 3)


def prepare(folder: Path, picture: Picture, shapes: Sequence[Shape], task: Task | None = None) -> None:
    """Write the picture, and the mask of each shape into a folder ``0``, ``1``, … of its own.

    Each file appears whole or not at all. What an earlier job left in the folder does not count any
    more: objects that were done there are made again.

    Parameters
    ----------
    folder : Path
        Made when missing.
    picture : Picture
    shapes : sequence of Shape
        One for each object.
    task : Task, optional

    Raises
    ------
    SamdeskError
        When a shape covers no pixel of the picture, or the folder cannot be written.
    Cancelled
    """
    task = task or Task()
    _make(folder)
    _forget(folder)
    _write_png(folder / wire.IMAGE, cv2.cvtColor(picture.pixels, cv2.COLOR_RGB2BGR))
    text = json.dumps(
        describe(picture, _written(folder, picture, shapes, task), task), indent=1, ensure_ascii=False
    )
    with replacing(folder / PICTURE_JSON) as fresh:
        fresh.write_text(text, "utf-8")


def _forget(folder: Path) -> None:
    """Remove what says that something is done in the folder, beginning with that it is prepared."""
    for path in (folder / PICTURE_JSON, folder / wire.POINTMAP, *folder.glob(f"*/{RESULT_JSON}")):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise file_error(path, error, "written") from error


def _written(
    folder: Path, picture: Picture, shapes: Sequence[Shape], task: Task
) -> Iterator[NDArray[np.bool_]]:
    """Write the masks, one at a time in memory."""
    for number, shape in enumerate(shapes):
        task.check()
        mask = mask_of(picture, shape)
        if not mask.any():
            who = "The object" if len(shapes) == 1 else f"Object {number + 1}"
            raise SamdeskError(f"{who} covers no pixel of the picture.", "Choose a larger outline.")
        _make(folder / str(number))
        _write_png(folder / str(number) / wire.MASK, mask.astype(np.uint8) * np.uint8(255))
        yield mask


def describe(
    picture: Picture, masks: Iterable[NDArray[np.bool_]], task: Task | None = None
) -> dict[str, Any]:
    """Where a picture and masks come from, as JSON values; reads the image file for its hash.

    Hashes are SHA-256. Those of picture and masks are over their raw values, row by row (RGB bytes,
    and one byte of 0 or 255 for each pixel of a mask), so that they do not depend on how a PNG is
    packed.
    """
    region = picture.region
    return {
        "image": {
            "name": picture.name,
            "identity": picture.identity,
            "sha256": file_hash(picture.path, picture.identity, task or Task()),
            "crop_sha256": hashlib.sha256(picture.pixels.tobytes()).hexdigest(),
        },
        "region": {
            "x": region.x,
            "y": region.y,
            "width": region.width,
            "height": region.height,
            "downsample": region.downsample,
        },
        "plane": {"z": picture.plane.z, "t": picture.plane.t},
        "masks": [mask_hash(mask) for mask in masks],
    }


def mask_hash(mask: NDArray[np.bool_]) -> str:
    """SHA-256 of a mask as bytes of 0 and 255, row by row."""
    return hashlib.sha256((mask.astype(np.uint8) * np.uint8(255)).tobytes()).hexdigest()


def read_description(folder: Path) -> dict[str, Any]:
    """What `describe` said of the picture in a job folder.

    Raises
    ------
    SamdeskError
        When the folder was not prepared to the end.
    """
    path = folder / PICTURE_JSON
    try:
        read = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise file_error(path, error, "read") from error
    except DAMAGED as error:
        raise SamdeskError(f"{path} is damaged: {error}.", "Start the job anew.") from error
    members = {"image", "region", "plane", "masks"}
    if not isinstance(read, dict) or not members <= read.keys() or not isinstance(read["masks"], list):
        raise SamdeskError(f"{path} does not describe a picture.", "Start the job anew.")
    return read


def is_prepared(folder: Path) -> bool:
    """Whether `prepare` came to its end."""
    return (folder / PICTURE_JSON).is_file()


def file_hash(path: Path, identity: str, task: Task) -> str | None:
    """SHA-256 of an image file; None for a folder, and for one that is large or cannot be read.

    Parameters
    ----------
    path : Path
    identity : str
        Changes when the file does; a file that has not changed is read once.
    task : Task
    """
    key = (str(path), identity)
    if key not in _KNOWN:
        while len(_KNOWN) >= _MOST_KNOWN:
            _KNOWN.pop(next(iter(_KNOWN)), None)
        _KNOWN[key] = _hash(path, task)
    return _KNOWN[key]


_KNOWN: dict[tuple[str, str], str | None] = {}
_MOST_KNOWN = 64


def _hash(path: Path, task: Task) -> str | None:
    running = hashlib.sha256()
    try:
        if not path.is_file() or path.stat().st_size > HASHED_BYTES:
            return None
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                task.check()
                running.update(chunk)
    except OSError:
        return None
    return running.hexdigest()


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise file_error(folder, error, "written") from error


def _write_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    done, data = cv2.imencode(".png", pixels, _QUICK_PNG)
    assert done
    with replacing(path) as fresh:
        fresh.write_bytes(data.tobytes())
