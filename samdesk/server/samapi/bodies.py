"""What QuPath's SAM extension sends, member by member.

Unknown members are ignored, null is the same as nothing, and both spellings of `checkpoint_url`
are read: the extension writes one for pictures and the other for sequences. Must not know what
is done with it.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, Field, model_validator

from samdesk.domain.geometry import Bounds
from samdesk.domain.prompts import BoxPrompt, PointPrompt

MOST_POINTS = 1_000
MOST_FRAMES = 100_000
MOST_SAID = 20_000
"""Of frames, objects, and the values of these, in what is said about a sequence."""

FAR = 1_000_000_000

T = TypeVar("T")

Number = Annotated[float, Field(ge=-FAR, le=FAR)]
Whole = Annotated[int, Field(ge=-FAR, le=FAR)]
Index = Annotated[int, Field(ge=0, le=FAR)]
Text = Annotated[str, Field(max_length=4_000)]
# a list is told of by the first that is wrong in it: it may hold thousands
Point = Annotated[list[Number], Field(min_length=2, max_length=2), FailFast()]
Box = Annotated[list[Number], Field(min_length=4, max_length=4), FailFast()]
Points = Annotated[list[Point], Field(max_length=MOST_POINTS), FailFast()]
Labels = Annotated[list[Annotated[int, Field(ge=0, le=1)]], Field(max_length=MOST_POINTS), FailFast()]
Boxes = Annotated[list[Box], Field(max_length=MOST_POINTS), FailFast()]


def _bounded(sent: Any) -> Any:
    """What is said about a sequence, unless it is far too much: lists within lists have no one length."""
    frames = list(sent.values()) if isinstance(sent, dict) else []
    said = len(frames)
    for objects in frames:
        for one in objects if isinstance(objects, list) else ():
            members = one.values() if isinstance(one, dict) else ()
            said += 1 + sum(len(value) for value in members if isinstance(value, list))
            if said > MOST_SAID:
                break
    if said > MOST_SAID:
        raise ValueError(f"more than {MOST_SAID:,} frames, objects and points are too many at once")
    return sent


Objects = Annotated[
    dict[Index, Annotated[list[T], Field(max_length=MOST_POINTS), FailFast()]], BeforeValidator(_bounded)
]


class Body(BaseModel):
    """A JSON object of the client; null members count as left out."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, sent: Any) -> Any:
        if not isinstance(sent, dict):
            return sent
        return {name: value for name, value in sent.items() if value is not None}


class ModelBody(Body):
    """What every question has: which model shall answer.

    Attributes
    ----------
    type : str
        Model type ("vit_b", "sam2_t", ...); empty: whichever suits.
    checkpoint_url : str
        Url of a weight, "samdesk:NAME" of one without, or "samdesk:classical".
    """

    type: Text = ""
    checkpoint_url: Text = ""
    checkpoint_url_2: Text = Field("", alias="checkpointUrl")

    @property
    def checkpoint(self) -> str:
        """The url, however it is spelled."""
        return self.checkpoint_url or self.checkpoint_url_2


class Placed(Body):
    """Points and a box around one object, in pixels of the picture."""

    bbox: Annotated[list[Number], Field(max_length=4), FailFast()] = []
    point_coords: Points = []
    point_labels: Labels = []

    @model_validator(mode="after")
    def _fitting(self) -> Placed:
        if len(self.bbox) not in (0, 4):
            raise ValueError("bbox needs four numbers: x1, y1, x2, y2")
        labels, points = len(self.point_labels), len(self.point_coords)
        if labels not in (0, points):
            raise ValueError(f"{labels} point_labels do not fit {points} point_coords")
        return self

    @property
    def points(self) -> tuple[PointPrompt, ...]:
        """As prompts; without labels all say "object"."""
        labels = self.point_labels or [1] * len(self.point_coords)
        return tuple(
            PointPrompt(in_pixel(x), in_pixel(y), bool(label))
            for (x, y), label in zip(self.point_coords, labels, strict=True)
        )

    @property
    def boxes(self) -> tuple[BoxPrompt, ...]:
        return (BoxPrompt(from_corners(*self.bbox)),) if self.bbox else ()


class PromptBody(ModelBody, Placed):
    """POST /sam/: the object at points or in a box.

    Attributes
    ----------
    bbox : list of float
        x1, y1, x2, y2 on pixel edges; may reach beyond the picture.
    point_coords : list of (float, float)
        Whole numbers name a pixel and mean its middle.
    point_labels : list of int
        1 for a point on the object, 0 for one beside it.
    b64img : str
        The picture: a PNG or JPEG file as base64 text.
    b64mask : str
        A mask of the same size to start from, as a picture file.
    multimask_output : bool
        Several candidates instead of the best one.
    """

    b64img: str
    b64mask: str = ""
    multimask_output: bool = False


class ConceptBody(ModelBody):
    """POST /sam/sam3/: all instances of what a text or boxes around examples describe.

    Attributes
    ----------
    text_prompt : str
        Empty, or "visual" as SAM 3 itself calls it: the boxes alone say it.
    positive_bboxes, negative_bboxes : list of (float, float, float, float)
        x, y, width, height.
    reset_prompts : bool
        Forget the boxes of earlier requests about the same picture.
    confidence_threshold : float
        Instances with a lower score are left out.
    """

    b64img: str
    text_prompt: Text = ""
    positive_bboxes: Boxes = []
    negative_bboxes: Boxes = []
    reset_prompts: bool = False
    confidence_threshold: Annotated[float, Field(ge=0, le=1)] = 0.5

    @property
    def boxes(self) -> tuple[BoxPrompt, ...]:
        sides = ((self.positive_bboxes, True), (self.negative_bboxes, False))
        return tuple(BoxPrompt(from_corner(*box), positive) for boxes, positive in sides for box in boxes)


class AutomaskBody(ModelBody):
    """POST /sam/automask/: every object in the picture.

    Members as in `samdesk.engines.automask.AutomaskOptions`; what is left out has the default
    of the model that answers. `output_type` is one of the extension's five texts.
    """

    b64img: str
    points_per_side: Whole | None = None
    points_per_batch: Whole | None = None
    pred_iou_thresh: Number | None = None
    stability_score_thresh: Number | None = None
    stability_score_offset: Number | None = None
    box_nms_thresh: Number | None = None
    crop_n_layers: Whole | None = None
    crop_nms_thresh: Number | None = None
    crop_overlap_ratio: Number | None = None
    crop_n_points_downscale_factor: Whole | None = None
    min_mask_region_area: Number | None = None
    include_image_edge: bool | None = None
    output_type: Text = "Single mask"


class RegisterBody(Body):
    """POST /sam/weights/: a link that shall become a weight."""

    type: Text
    name: Annotated[str, Field(min_length=1, max_length=200)]
    url: Annotated[str, Field(min_length=1, max_length=4_000)]


class FollowedBody(Placed):
    """An object of POST /sam/video/ on one frame; members as in `PromptBody`."""

    obj_id: Whole = 0


class FollowedConceptBody(Body):
    """An object of POST /sam/sam3video/ on one frame.

    Attributes
    ----------
    text : str
        As `text_prompt` of `ConceptBody`.
    boxes_xywh : list of (float, float, float, float)
    box_labels : list of int
        1 for an example, 0 for a counterexample; without labels all are examples.
    """

    obj_id: Whole = 0
    text: Text = ""
    boxes_xywh: Boxes = []
    box_labels: Labels = []

    @model_validator(mode="after")
    def _fitting(self) -> FollowedConceptBody:
        labels, boxes = len(self.box_labels), len(self.boxes_xywh)
        if labels not in (0, boxes):
            raise ValueError(f"{labels} box_labels do not fit {boxes} boxes_xywh")
        return self

    @property
    def boxes(self) -> tuple[BoxPrompt, ...]:
        labels = self.box_labels or [1] * len(self.boxes_xywh)
        return tuple(
            BoxPrompt(from_corner(*box), bool(label))
            for box, label in zip(self.boxes_xywh, labels, strict=True)
        )


class SequenceBody(ModelBody):
    """What is said about a sequence of frames.

    Attributes
    ----------
    dirname : str
        Under which the frames were uploaded; or
    b64imgs : list of str
        the frames themselves, as base64 text.
    axes : str
        "XYZ" or "XYT": what the frames are slices of.
    plane_position : int
        Where on the other axis.
    start_frame_idx : int, optional
        By default the first frame of which something is said.
    max_frame_num_to_track : int, optional
        Frames to follow after the first.
    """

    dirname: Text = ""
    b64imgs: Annotated[list[str], Field(max_length=MOST_FRAMES), FailFast()] = []
    axes: Annotated[str, Field(pattern="^XY[ZT]$")] = "XYT"
    plane_position: Index = 0
    start_frame_idx: Index | None = None
    max_frame_num_to_track: Index | None = None


class VideoBody(SequenceBody):
    """POST /sam/video/: objects through frames, by points and boxes.

    Attributes
    ----------
    objs : dict of int to list of FollowedBody
        By frame, from 0.
    """

    objs: Objects[FollowedBody] = {}


class ConceptVideoBody(SequenceBody):
    """POST /sam/sam3video/: objects through frames, by text and boxes.

    Attributes
    ----------
    objs : dict of int to list of FollowedConceptBody
        By frame, from 0.
    text : str
        For all frames, when `objs` has none. The extension does not send it: a search by text
        alone arrives from there without the text.
    """

    objs: Objects[FollowedConceptBody] = {}
    text: Text = ""


def in_pixel(value: float) -> float:
    """Where on one axis a coordinate of a point is: the extension rounds down to a pixel, so its middle."""
    return value + 0.5 if value == math.floor(value) else value


def from_corners(x1: float, y1: float, x2: float, y2: float) -> Bounds:
    return Bounds(min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))


def from_corner(x: float, y: float, width: float, height: float) -> Bounds:
    return from_corners(x, y, x + width, y + height)
