"""Which part of an image, at what level, an option of the command line means.

Must not know commands.
"""

from __future__ import annotations

from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import Bounds, Plane
from samdesk.sdk import Image


def downsample_of(image: Image, level_um: float | None, downsample: float | None) -> float:
    """Image pixels per pixel that the engine sees, from --level-um or --downsample; 1 without.

    Raises
    ------
    SamdeskError
        When the image gives no pixel size, or the number makes no sense.
    """
    if level_um is None:
        chosen = 1.0 if downsample is None else downsample
    elif image.pixel_size is None or image.pixel_size.unit != "µm":
        raise SamdeskError(f"{image.source.name} gives no pixel size.", "Use --downsample.")
    else:
        chosen = level_um / image.pixel_size.x
    if not 0 < chosen < 1e6:
        raise SamdeskError(f"A downsample of {chosen:g} makes no sense.", "Give a positive number.")
    return max(1.0, chosen)


def plane_of(image: Image, z: int, t: int) -> Plane:
    """The plane of --z and --t.

    Raises
    ------
    SamdeskError
        When the image has no such plane.
    """
    source = image.source
    if not (0 <= z < source.size_z and 0 <= t < source.size_t):
        raise SamdeskError(
            f"{source.name} has no plane z {z}, t {t}.",
            f"It has {source.size_z} z slices and {source.size_t} time points, counted from 0.",
        )
    return Plane(z, t)


def region_of(image: Image, text: str | None) -> Bounds:
    """The part of the image in image pixels that --region X,Y,W,H means; all of it without.

    Raises
    ------
    SamdeskError
        When the text cannot be read, or lies outside the image.
    """
    whole = Bounds(0, 0, *image.size)
    if text is None:
        return whole
    try:
        x, y, width, height = (float(value) for value in text.split(","))
    except ValueError:
        raise SamdeskError(f"--region {text} is not a region.", "Write X,Y,W,H in pixels.") from None
    part = Bounds(x, y, x + width, y + height).intersection(whole)
    if part.is_empty:
        raise SamdeskError(
            f"The region {text} lies outside the image or is empty.",
            f"{image.source.name} is {image.size[0]} × {image.size[1]} px.",
        )
    return part
