"""Which objects are meant: outlines of a mask, a label image, a GeoJSON file or a text.

Must not know what is made of them.
"""

from __future__ import annotations

import argparse
import heapq
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from samdesk.cli.place import plane_of
from samdesk.domain.columns import Annotation
from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Plane, Shape, ShapeKind
from samdesk.domain.outline import labels_to_shapes, mask_to_shape
from samdesk.domain.prompts import Prompts
from samdesk.domain.tasks import Task
from samdesk.engines.cache import open_store
from samdesk.formats.atomic import file_error
from samdesk.formats.geojson import read_geojson
from samdesk.sdk import Image, Segmenter
from samdesk.sdk.reconstruction import Item, Share, name_item

Load = Callable[..., Segmenter]
"""As `load_segmenter`."""


@dataclass(frozen=True)
class Found:
    """The objects to make; the outlines are taken one by one, however many there are."""

    total: int
    items: Iterable[Item]


def items_of(options: argparse.Namespace, image: Image, load: Load, task: Task) -> Found:
    """The objects that the command line means.

    Raises
    ------
    SamdeskError
        When there is none, or a file cannot be read.
    """
    if options.largest is not None and options.largest < 1:
        raise SamdeskError(f"--largest {options.largest} leaves nothing.", "Give a number from 1 on.")
    if options.class_name is not None and options.geojson is None:
        raise SamdeskError("--class chooses among the outlines of --geojson.", "Give --geojson FILE too.")
    if options.geojson is not None:
        return _from_geojson(options.geojson, options.class_name, options.largest, task)
    plane = plane_of(image, options.z, options.t)
    if options.mask is not None:
        named = [(options.mask.stem, mask_to_shape(read_mask(options.mask, image)))]
    elif options.labels is not None:
        labelled = labels_to_shapes(read_labels(options.labels, image))
        named = [(f"{options.labels.stem}-{label}", shape) for label, shape in labelled.items()]
    elif options.text is not None:
        named = _from_text(options, image, plane, load, task)
    else:
        raise SamdeskError(
            "There is nothing to make an object of.", "Give --mask, --labels, --geojson or --text."
        )
    if options.largest is not None:
        named = heapq.nlargest(options.largest, named, key=lambda one: one[1].area)
    taken: set[str] = set()
    return Found(len(named), [Item(name_item(text, shape, taken), shape, plane) for text, shape in named])


def _from_geojson(path: Path, class_name: str | None, largest: int | None, task: Task) -> Found:
    # the file is read in no time beside what is made of it
    imported = read_geojson(path, Share(task, 0.0, 0.0))
    table = imported.table
    if imported.report.skipped:
        print(imported.report.summary(), file=sys.stderr)
    areas: list[tuple[float, int]] = []
    classes = set()
    for row, one in enumerate(table.annotations()):
        classes.add(one.class_name or "none")
        if one.shape.kind is ShapeKind.AREA and class_name in (None, one.class_name):
            areas.append((one.shape.area if largest is not None else 0.0, row))
    if not areas:
        if class_name is not None and class_name not in classes:
            raise SamdeskError(
                f"{path} holds no annotation of the class “{class_name}”.",
                f"Its classes are: {', '.join(sorted(classes)) or 'none'}.",
            )
        raise SamdeskError(f"{path} holds no area.", "Give outlines, not lines or points.")
    if largest is not None:
        areas = heapq.nlargest(largest, areas, key=lambda one: one[0])

    def items() -> Iterator[Item]:
        taken: set[str] = set()
        for _, row in areas:
            yield _item(table.annotation(row), taken)

    return Found(len(areas), items())


def _item(one: Annotation, taken: set[str]) -> Item:
    called = one.name or one.class_name or "object"
    return Item(name_item(called, one.shape, taken), one.shape, one.plane, one.id, one.class_name or "")


def _from_text(
    options: argparse.Namespace, image: Image, plane: Plane, load: Load, task: Task
) -> list[tuple[str, Shape]]:
    name = "sam3" if options.weights is None else None
    segmenter = load(name, options.weights, device=options.device, cache=open_store())
    task.progress(None, f"Looking for “{options.text}”")
    found = segmenter.find(
        image, Prompts(text=options.text), plane=plane, min_score=options.min_score, task=task
    )
    if not found:
        raise SamdeskError(
            f"Nothing was found in {image.source.name} for “{options.text}”.",
            "Try other words, or a lower --min-score.",
        )
    return [(options.text, one.shape) for one in found]


# files


def read_mask(path: Path, image: Image) -> NDArray[np.bool_]:
    """The pixels of a mask file that are of the object, (h, w) bool.

    A picture with transparency is an object where it is opaque, any other where it is not black. Of
    a soft mask, which has shades up to white, the brighter half counts.

    Raises
    ------
    SamdeskError
        When it cannot be read, is not as large as the image, or is empty.
    """
    pixels = _read(path)
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
        alpha = pixels[..., -1]
        pixels = pixels[..., :-1] if (alpha == alpha.max()).all() else alpha
    if pixels.ndim == 3:
        pixels = pixels.max(axis=2)
    _check_size(path, pixels, image)
    top = pixels.max()
    is_soft = pixels.dtype.kind == "f" or top in (255, 65535)
    mask: NDArray[np.bool_] = pixels > top / 2 if is_soft else pixels != 0
    if not mask.any() or top <= 0:
        raise SamdeskError(f"{path} is black everywhere.", "A mask is white where the object is.")
    return mask


def read_labels(path: Path, image: Image) -> NDArray[Any]:
    """The labels of a file, (h, w) integers; 0 is the ground.

    Raises
    ------
    SamdeskError
        When it cannot be read, is no label image, or is not as large as the image.
    """
    labels = _read(path)
    if labels.ndim != 2 or labels.dtype.kind not in "iu":
        raise SamdeskError(f"{path} is not a label image.", "It has one whole number for each pixel.")
    _check_size(path, labels, image)
    if not labels.any():
        raise SamdeskError(f"{path} holds no label.", "Objects are numbered from 1.")
    return labels


def _read(path: Path) -> NDArray[Any]:
    try:
        data = np.fromfile(path, np.uint8)  # cv2.imread takes no Unicode paths on Windows
    except OSError as error:
        raise file_error(path, error, "read") from error
    if bytes(data[:4]) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return _read_tiff(path)
    pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if len(data) else None
    if pixels is None:
        raise SamdeskError(f"{path} cannot be read as a picture.", "A mask is a PNG or TIFF file.")
    return np.asarray(pixels)


def _read_tiff(path: Path) -> NDArray[Any]:
    import tifffile

    try:
        pixels = np.squeeze(tifffile.imread(path))
    except Exception as error:  # what a damaged file raises is not told
        raise SamdeskError(f"{path} cannot be read: {error}.", "Is it complete?") from error
    if pixels.ndim not in (2, 3):
        raise SamdeskError(f"{path} cannot be read as a picture.", "A mask has one page.")
    return np.asarray(pixels)


def _check_size(path: Path, pixels: NDArray[Any], image: Image) -> None:
    width, height = image.size
    if pixels.shape[:2] != (height, width):
        turned = " It is turned on its side." if pixels.shape[:2] == (width, height) else ""
        raise SamdeskError(
            f"{path} is {pixels.shape[1]:,} × {pixels.shape[0]:,} px, "
            f"{image.source.name} is {width:,} × {height:,} px.{turned}",
            "A mask has the size of its image, as it is shown.",
        )
