"""What OME-XML says about an image: names, colors, pixel size, magnification.

The order of the planes is not read here: tifffile does that.
"""

from __future__ import annotations

from xml.etree import ElementTree

from samdesk.images.readers.base import Color, Facts, make_pixel_size, micrometers, number


def read_ome(xml: str) -> Facts:
    """Read the first image; an empty answer when the XML is damaged."""
    try:
        root = ElementTree.fromstring(xml)
    except (ElementTree.ParseError, ValueError):
        return Facts()
    for element in root.iter():  # any of the schema's namespaces
        element.tag = str(element.tag).rpartition("}")[2]
    image = root.find("Image")
    pixels = None if image is None else image.find("Pixels")
    if image is None or pixels is None:
        return Facts()
    names: list[str | None] = []
    colors: list[Color | None] = []
    for channel in pixels.findall("Channel"):
        samples = int(number(channel.get("SamplesPerPixel")) or 1)
        names += [channel.get("Name") or channel.get("Fluor")] * samples
        colors += [_color(channel.get("Color"))] * samples
    if len(colors) > 1 and set(colors) == {(255, 255, 255)}:
        colors = [None] * len(colors)  # white is what the schema says when the writer said nothing
    x, y, z = (
        micrometers(number(pixels.get(f"PhysicalSize{axis}")), pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        for axis in "XYZ"
    )
    return Facts(tuple(names), tuple(colors), make_pixel_size(x, y, z), _magnification(root, image))


def _magnification(root: ElementTree.Element, image: ElementTree.Element) -> float | None:
    settings = image.find("ObjectiveSettings")
    wanted = None if settings is None else settings.get("ID")
    for objective in root.iter("Objective"):
        if wanted is None or objective.get("ID") == wanted:
            return number(objective.get("NominalMagnification"))
    return None


def _color(text: str | None) -> Color | None:
    """OME keeps RGBA in a signed 32-bit integer."""
    value = number(text)
    if value is None:
        return None
    bits = int(value) & 0xFFFFFFFF
    return bits >> 24, bits >> 16 & 255, bits >> 8 & 255
