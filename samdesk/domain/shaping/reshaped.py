"""The same annotation with another shape. Must not know how a shape is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from samdesk.domain.columns import Annotation, Attributes
from samdesk.domain.geometry import Shape

EDITED = "edited"
"""Member of an annotation's provenance: its shape was changed after it was made."""


def reshaped(annotation: Annotation, shape: Shape, *, moved: bool = False, edited: bool = True) -> Annotation:
    """The same annotation with another shape: id, class, name and provenance stay.

    Parameters
    ----------
    annotation : Annotation
    shape : Shape
        Image pixels.
    moved : bool
        The shape is the old one elsewhere, so that an ellipse is still one.
    edited : bool
        Note in the provenance, where there is one, that the shape is no longer as it was made.
    """
    extra = annotation.extra if moved else without_ellipse(annotation.extra)
    provenance = _marked(annotation.provenance) if edited else annotation.provenance
    return replace(annotation, shape=shape, extra=extra, provenance=provenance)


def edited_attributes(own: Attributes) -> Attributes:
    """The attributes of an annotation whose shape was changed; see `reshaped`."""
    return replace(own, provenance=_marked(own.provenance), extra=without_ellipse(own.extra))


def _marked(provenance: Mapping[str, Any]) -> Mapping[str, Any]:
    """Drawn by hand, it was made of nothing that the mark could be about."""
    return {**provenance, EDITED: True} if provenance else provenance


def without_ellipse(extra: Mapping[str, Any]) -> Mapping[str, Any]:
    """Members of a file less QuPath's mark of an ellipse, which would make the shape one again."""
    geometry = extra.get("geometry", {})
    if "isEllipse" not in geometry:
        return extra
    left = {name: value for name, value in geometry.items() if name != "isEllipse"}
    rest = {name: value for name, value in extra.items() if name != "geometry"}
    return {**rest, "geometry": left} if left else rest
