"""What clients of the native API say and are told: the words that several endpoints share.

Must not know endpoints, nor what is done with the values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from fastapi.exceptions import RequestValidationError
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)

from samdesk.domain.geometry import Bounds, Shape

FARTHEST = 1e9
"""Coordinates further from the corner of the image belong to no image."""

MOST_MARKS = 1_000
"""Prompts of one request, points of one prompt, and boxes of one prompt."""

MOST_PLACES = 200_000
"""Positions of one ring, rings of one part, and parts."""

MOST_RUNS = 500_000
"""Run lengths that are listed."""

MOST_LETTERS = 8_000_000
"""Of run lengths in COCO's text, which is several times as short as the list."""

Coordinate = Annotated[float, Field(ge=-FARTHEST, le=FARTHEST, allow_inf_nan=False)]
# of a list with many faults the first one is told: each of them would cost more than its member
Position = Annotated[list[Coordinate], Field(min_length=2, max_length=4, fail_fast=True)]
Ring = Annotated[list[Position], Field(min_length=3, max_length=MOST_PLACES, fail_fast=True)]
Rings = Annotated[list[Ring], Field(min_length=1, max_length=MOST_PLACES, fail_fast=True)]
Name = Annotated[str, Field(max_length=1000)]

Result = Literal["geojson", "rle", "png", "polygons"]
Strategy = Literal["best", "largest", "smallest", "merge", "all"]

EXAMPLE_ID = "6b1f0c8d2f5e4a79b6a1c3d4e5f60718"


class Message(BaseModel):
    """What is sent or answered; members of other names are left alone."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False, protected_namespaces=())


class Wish(Message):
    """What is sent; a member that is not known is refused, as it may be a known one misspelt."""

    model_config = ConfigDict(extra="forbid")


class Refusal(Message):
    """An answer that is not what was asked for."""

    error: str = Field(description="What happened, for a person to read.")
    hint: str = Field(description="What can be done about it; may be empty.")
    detail: Any = Field(description="The same as one text; for a body that is wrong, the list of what is.")


INVALID: dict[int | str, dict[str, Any]] = {
    400: {"model": Refusal, "description": "The body is no text."},
    422: {"model": Refusal, "description": "What is asked makes no sense."},
}
"""For routers: FastAPI would document its own form of these answers, which app.py replaces."""


class Box(Wish):
    """A box with its sides along the axes; any two opposite corners."""

    x0: Coordinate
    y0: Coordinate
    x1: Coordinate
    y1: Coordinate

    def bounds(self) -> Bounds:
        """The same with the corners in order."""
        return Bounds(
            min(self.x0, self.x1), min(self.y0, self.y1), max(self.x0, self.x1), max(self.y0, self.y1)
        )


class Polygon(Message):
    """A GeoJSON Polygon: the first ring is the outline, the others are holes."""

    type: Literal["Polygon"]
    coordinates: Rings

    def shape(self) -> Shape:
        """The shape as it was sent; may be invalid."""
        return _shape([self.coordinates])


class MultiPolygon(Message):
    """A GeoJSON MultiPolygon: one object of several parts."""

    type: Literal["MultiPolygon"]
    coordinates: Annotated[list[Rings], Field(min_length=1, max_length=MOST_PLACES, fail_fast=True)]

    def shape(self) -> Shape:
        """The shape as it was sent; may be invalid."""
        return _shape(self.coordinates)


def _shape(parts: Sequence[Sequence[Sequence[Sequence[float]]]]) -> Shape:
    return Shape.from_parts(
        [[np.array([place[:2] for place in ring], np.float64) for ring in part] for part in parts]
    )


class Rle(Message):
    """A mask as COCO writes it: run lengths down the columns, background first."""

    size: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=2, max_length=2)] = Field(
        description="Height and width."
    )
    counts: (
        Annotated[str, Field(max_length=MOST_LETTERS)]
        | Annotated[list[Annotated[int, Field(ge=0)]], Field(max_length=MOST_RUNS, fail_fast=True)]
    ) = Field(description="COCO's compressed text, or the run lengths themselves.")


class PngMask(Message):
    """A mask as a picture of the size of the image."""

    png: str = Field(description="A PNG file in base64, white (or opaque) where the object is.")


_KINDS = {"size": "Rle", "counts": "Rle", "png": "PngMask"} | dict.fromkeys(("x0", "y0", "x1", "y1"), "Box")


def _kind(sent: object) -> str | None:
    """What a client says where: by its type, else by its members. Nothing else is tried."""
    if isinstance(sent, Message):
        return type(sent).__name__
    if not isinstance(sent, Mapping):
        return None
    told = sent.get("type")
    if told in ("Polygon", "MultiPolygon"):
        return str(told)
    return next((kind for member, kind in _KINDS.items() if member in sent), None)


_BY_KIND = Discriminator(
    _kind,
    custom_error_type="no_outline",
    custom_error_message="it has neither the type Polygon or MultiPolygon nor the members of what else may "
    "stand here",
)
_Polygon = Annotated[Polygon, Tag("Polygon")]
_MultiPolygon = Annotated[MultiPolygon, Tag("MultiPolygon")]
_Rle = Annotated[Rle, Tag("Rle")]

Prior = Annotated[_Polygon | _MultiPolygon | _Rle, _BY_KIND]
Where = Annotated[Annotated[Box, Tag("Box")] | _Polygon | _MultiPolygon, _BY_KIND]
Outline = Annotated[_Polygon | _MultiPolygon | _Rle | Annotated[PngMask, Tag("PngMask")], _BY_KIND]


class OfImage(Wish):
    """Which image is asked about: one that is known here, or one that comes along."""

    image: Name | None = Field(
        None,
        description="Id of an image that was sent or opened before, as POST /api/v1/images gave it.",
        examples=[EXAMPLE_ID],
    )
    data: str | None = Field(
        None,
        description="The file of a picture (PNG, JPEG, ...) in base64, instead of `image`. The answer's "
        "`image` is its id, with which it need not be sent again.",
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> OfImage:
        if (self.image is None) == (self.data is None):
            raise ValueError("give either image, an id, or data, a file in base64")
        return self


class OfPlane(Wish):
    """Which plane of the image, how far the model looks, and what is answered."""

    model: Name | None = Field(
        None,
        description="Key of a model from GET /api/v1/models, or a model type such as `sam2_t`. Without "
        "it the model that the program uses.",
        examples=["classical"],
    )
    downsample: float | None = Field(
        None,
        ge=0.1,
        le=65536,
        description="Image pixels along each side of a pixel that the model sees; it sees 1024 of those. By "
        "default it sees all of the image at once, which suits a picture but not a whole slide.",
    )
    z: int = Field(0, ge=0, le=1_000_000, description="z slice, from 0.")
    t: int = Field(0, ge=0, le=1_000_000, description="Time point, from 0.")
    result: Result = Field(
        "geojson",
        description="`geojson`: a FeatureCollection. `polygons`: bare coordinates. `rle`: COCO RLE of the "
        "whole image. `png`: a mask of the whole image in base64, 255 on the object. The last two are "
        "refused for images too large for them.",
    )


def read_message(kind: type[Any], body: bytes) -> Any:
    """A message from a JSON body that FastAPI did not read itself; its errors as FastAPI's own."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        found: list[Mapping[str, Any]] = [
            {**one, "loc": ("body", *one["loc"])}
            for one in error.errors(include_url=False, include_input=False)
        ]
        raise RequestValidationError(found) from error
