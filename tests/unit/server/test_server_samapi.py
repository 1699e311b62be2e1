"""/sam/, /sam/automask/ and /sam/sam3/: which model answers, what its prompts mean, what QuPath gets."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from pydantic import ValidationError
from shapely.geometry import shape as geometry_of

from samdesk.domain.geometry import Bounds
from samdesk.domain.prompts import BoxPrompt, Prompts
from samdesk.engines.base import Embedding, MaskLogits
from samdesk.server.samapi.bodies import (
    Body,
    ConceptBody,
    ConceptVideoBody,
    PromptBody,
    VideoBody,
    in_pixel,
)
from samdesk.server.samapi.concepts import KEPT_BOXES, KEPT_PICTURES, KeptBoxes, said
from samdesk.weights.weight import TYPES
from tests.fakes import BrightEngine, FakeEngine
from tests.server_rig import Rig, base64_text, disc, png

CLASSICAL = "samdesk:classical"


@pytest.fixture
def own_weight(rig: Rig, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Makes a weight of a file that is here, for a test; gives its name."""
    made = []

    def make(name: str, type: str, **more: Any) -> str:
        path = tmp_path / f"{name}.pt"
        path.write_bytes(b"weights")
        made.append(rig.on_main(lambda: rig.registry.add(name, type=type, reference=path, **more)))
        return name

    yield make
    for weight in made:
        rig.on_main(lambda weight=weight: rig.registry.remove(weight))
    rig.forget()


class Recorder(FakeEngine):
    """A fake that keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[Prompts, object]] = []
        self.searched: list[tuple[Prompts, object]] = []

    def predict(self, embedding: Embedding, prompts: Prompts, *rest: Any, **more: Any) -> list[MaskLogits]:
        self.asked.append((prompts, rest[-1] if len(rest) > 1 else more.get("multimask")))
        return super().predict(embedding, prompts, *rest, **more)

    def find(self, embedding: Embedding, prompts: Prompts, *rest: Any, **more: Any) -> list[MaskLogits]:
        self.searched.append((prompts, rest[-1]))
        return super().find(embedding, prompts, *rest, **more)


def picture(pixels: NDArray[np.uint8] | None = None) -> str:
    return base64_text(png(disc() if pixels is None else pixels))


def ask(rig: Rig, path: str = "/sam/", **body: Any) -> list[dict[str, Any]]:
    sent = {"type": "vit_l", "b64img": picture(), "checkpoint_url": CLASSICAL} | body
    answer = rig.client.post(path, json=sent)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


def refused(rig: Rig, status: int, path: str = "/sam/", **body: Any) -> str:
    sent = {"type": "vit_l", "b64img": picture(), "checkpoint_url": CLASSICAL, "bbox": [50, 40, 150, 140]}
    answer = rig.client.post(path, json=sent | body)
    assert answer.status_code == status, answer.text
    return answer.json()["error"] + " " + answer.json()["hint"]


def listed(rig: Rig, type: str) -> list[dict[str, str]]:
    answer = rig.client.get("/sam/weights/", params={"type": type})
    assert answer.status_code == 200
    return answer.json()


# which model


@pytest.mark.parametrize("type", TYPES)
def test_every_type_always_offers_something(rig: Rig, type: str):
    found = listed(rig, type)
    assert {(one["type"], tuple(sorted(one))) for one in found} == {(type, ("name", "type", "url"))}
    assert all(isinstance(value, str) and value for one in found for value in one.values())
    classical = {"type": type, "name": "Classical (no model)", "url": CLASSICAL}
    # QuPath takes the first; a search has no use for an engine that cannot search
    assert found[-1 if type == "sam3" else 0] == classical
    rest = [one for one in found if one != classical]
    assert rest
    assert all(one["name"].endswith(" (not downloaded)") for one in rest)


def test_all_types_are_listed_when_none_is_named_and_an_unknown_one_has_nothing(rig: Rig):
    everything = rig.client.get("/sam/weights/").json()
    assert {one["type"] for one in everything} == set(TYPES)
    assert listed(rig, "vit_x") == []
    assert rig.client.get("/samweights", params={"type": "vit_b"}).json() == listed(rig, "vit_b")


def test_what_is_here_comes_first_and_is_asked_by_its_url(rig: Rig, own_weight: Callable[..., str]):
    own_weight("Mine", "vit_l")
    first, second = listed(rig, "vit_l")[:2]
    assert first == {"type": "vit_l", "name": "Mine", "url": "samdesk:Mine"}
    assert second["url"] == CLASSICAL
    rig.use(FakeEngine(), "Mine")
    for more in ({"checkpoint_url": "samdesk:Mine"}, {"checkpoint_url": None}):
        (found,) = ask(rig, point_coords=[[100, 90]], point_labels=[1], **more)
        assert found["properties"]["sam_model"] == "vit_l"
        assert found["properties"]["quality"] == 0.9


def test_the_url_decides_where_the_type_says_something_else(rig: Rig, own_weight: Callable[..., str]):
    own_weight("Theirs", "vit_b", url="https://example.org/theirs.pt")
    rig.use(FakeEngine(), "Theirs")
    for name in ("checkpoint_url", "checkpointUrl"):
        more = {"checkpoint_url": None, name: "https://example.org/theirs.pt"}
        (found,) = ask(rig, type="sam2_t", bbox=[50, 40, 150, 140], **more)
        assert found["properties"]["sam_model"] == "vit_b"


def test_a_weight_that_is_not_here_is_told_to_client_and_window(rig: Rig):
    before = len(rig.failed)
    for url in (listed(rig, "vit_l")[1]["url"], None):
        assert "“SAM ViT-L” is not on this computer." in refused(rig, 503, checkpoint_url=url)
    rig.rest()
    rig.wait(lambda: len(rig.failed) >= before + 2)
    assert "“SAM ViT-L” is not on this computer." in str(rig.failed[-1].error)


def test_a_type_or_url_that_nobody_knows_is_refused(rig: Rig):
    assert "There is no model type “vit_x”." in refused(rig, 422, type="vit_x")
    for url in ("https://example.org/unknown.pt", "samdesk:Unknown", "classical", "/etc/passwd"):
        assert f"No model is known that comes from {url}." in refused(rig, 404, checkpoint_url=url)


def test_who_names_no_model_gets_the_one_of_the_window(rig: Rig):
    (found,) = ask(rig, type=None, checkpoint_url=None, bbox=[50, 40, 150, 140])
    assert found["properties"]["sam_model"] == "classical"


# prompts


def test_the_middle_of_a_pixel_is_meant(rig: Rig):
    assert [in_pixel(value) for value in (10, 10.0, -3, 10.25)] == [10.5, 10.5, -2.5, 10.25]
    engine = Recorder()
    rig.use(engine)
    ask(rig, point_coords=[[7, 8], [100, 90]], point_labels=[0, 1])
    rig.forget()
    ((prompts, multimask),) = engine.asked
    assert prompts.points == ((7.5, 8.5, False), (100.5, 90.5, True))
    assert multimask is False


def test_boxes_are_corners_on_pixel_edges_and_may_reach_beyond(rig: Rig):
    engine = Recorder()
    rig.use(engine)
    ask(rig, bbox=[-20, 40, 500, 140], point_coords=[[3, 4]], point_labels=[0])
    ask(rig, bbox=[150, 140, 50, 40])
    rig.forget()
    assert [one.boxes for one, _ in engine.asked] == [
        (BoxPrompt(Bounds(0, 40, 256, 140)),),
        (BoxPrompt(Bounds(50, 40, 150, 140)),),
    ]
    assert engine.asked[0][0].points == ((3.5, 4.5, False),)


@pytest.mark.parametrize(
    "prompts",
    [
        {},
        {"bbox": [], "point_coords": [], "point_labels": []},
        {"bbox": None, "point_coords": None, "point_labels": None},
        {"point_coords": [[10, 10]], "point_labels": [0]},
        {"point_coords": [[-1, 10], [256, 500]], "point_labels": [1, 1]},
        {"bbox": [300, 300, 400, 400]},
        {"bbox": [50, 50, 50, 90]},
    ],
)
def test_without_a_prompt_inside_there_is_nothing(rig: Rig, prompts: dict[str, Any]):
    assert ask(rig, **prompts) == []
    assert ask(rig, **prompts, checkpoint_url=None) == []  # no model is needed to say so


def test_many_candidates_with_their_own_scores_or_the_best_one(rig: Rig):
    rig.use(FakeEngine())
    point = {"point_coords": [[100, 90]], "point_labels": [1]}
    several = ask(rig, **point, multimask_output=True)
    one = ask(rig, **point, multimask_output=None)
    rig.forget()
    scores = [found["properties"]["quality"] for found in several]
    assert scores == [0.9, 0.8, 0.7]
    areas = [geometry_of(found["geometry"]).area for found in several]
    assert areas[1] < areas[0] < areas[2]
    assert [found["properties"]["quality"] for found in one] == [0.9]


def test_properties_are_what_qupath_may_read(rig: Rig):
    (found,) = ask(rig, bbox=[50, 40, 150, 140])
    assert found["type"] == "Feature"
    assert set(found["properties"]) == {"objectType", "label", "quality", "sam_model"}
    assert None not in found["properties"].values()
    assert set(found["geometry"]) == {"type", "coordinates"}


def test_a_mask_is_where_to_start_from(rig: Rig):
    engine = Recorder()
    rig.use(engine)
    mask = np.zeros((192, 256), np.uint8)
    mask[40:60, 50:90] = 1
    ask(rig, b64mask=picture(mask), point_coords=[[60, 50]], point_labels=[1])
    rig.forget()
    ((first, _),) = engine.asked
    assert first.prior is not None
    assert first.prior.bounds == Bounds(50, 40, 90, 60)
    assert first.prior.area == 800
    assert "black" in refused(rig, 422, b64mask=picture(np.zeros((192, 256), np.uint8)))
    assert "The mask is 9 × 9 px" in refused(rig, 422, b64mask=picture(np.zeros((9, 9), np.uint8)))


@pytest.mark.parametrize(
    "body",
    [
        {"b64img": None},
        {"b64img": 5},
        {"b64img": "no picture"},
        {"bbox": [1, 2, 3]},
        {"bbox": [1, 2, 3, "x"]},
        {"bbox": [1, 2, 3, 1e300]},
        {"bbox": [1, 2, 3, 10**400]},
        {"point_coords": [[1, 2, 3]], "point_labels": [1]},
        {"point_coords": [[1, 2]], "point_labels": [1, 0]},
        {"point_coords": [[1, 2]], "point_labels": [7]},
        {"point_coords": [[1, 2]] * 1001},
        {"multimask_output": "perhaps"},
        {"type": 7},
    ],
)
def test_what_makes_no_sense_is_refused(rig: Rig, body: dict[str, Any]):
    assert refused(rig, 422, **body)


# what pictures there are


def shown(pixels: NDArray[np.uint8], kind: str) -> NDArray[Any]:
    """The same picture as PNGs come: gray, with transparency, with 16 bits."""
    gray = pixels[..., 0]
    return {
        "gray": gray,
        "rgba": np.dstack([pixels, np.full(gray.shape, 255, np.uint8)]),
        "16 bit": gray.astype(np.uint16) * 200,
        "rgb": pixels,
    }[kind]


@pytest.mark.parametrize("kind", ["rgb", "gray", "rgba", "16 bit"])
def test_every_png_works(rig: Rig, kind: str):
    stored = shown(disc(), kind)
    if stored.ndim == 3:
        stored = cv2.cvtColor(stored, {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}[stored.shape[2]])
    _, data = cv2.imencode(".png", stored)
    (found,) = ask(rig, b64img=base64.b64encode(data).decode(), bbox=[50, 40, 150, 140])
    outline = geometry_of(found["geometry"])
    assert abs(outline.area / (np.pi * 40**2) - 1) < 0.02
    assert np.hypot(outline.centroid.x - 100, outline.centroid.y - 90) < 0.3


def test_holes_and_parts_are_kept_and_nothing_is_shifted(rig: Rig):
    rig.use(BrightEngine())
    pixels = np.zeros((200, 300, 3), np.uint8)
    pixels[20:80, 30:110] = 255
    pixels[40:60, 50:70] = 0
    pixels[120:150, 200:260] = 255
    (found,) = ask(rig, b64img=picture(pixels), bbox=[0, 0, 300, 200])
    rig.forget()
    outline = geometry_of(found["geometry"])
    assert found["geometry"]["type"] == "MultiPolygon"
    truth = shapely.union(
        shapely.difference(shapely.box(30, 20, 110, 80), shapely.box(50, 40, 70, 60)),
        shapely.box(200, 120, 260, 150),
    )
    assert outline.is_valid
    assert sorted(len(part.interiors) for part in outline.geoms) == [0, 1]
    assert shapely.symmetric_difference(outline, truth).area < 0.01 * truth.area
    assert abs(outline.centroid.x - truth.centroid.x) < 0.05
    assert abs(outline.centroid.y - truth.centroid.y) < 0.05


def test_a_rectangle_is_no_rectangle_for_qupath_and_an_empty_mask_no_object(rig: Rig):
    rig.use(BrightEngine())
    pixels = np.zeros((64, 64, 3), np.uint8)
    assert ask(rig, b64img=picture(pixels), bbox=[0, 0, 60, 60]) == []
    pixels[:] = 255
    (found,) = ask(rig, b64img=picture(pixels), bbox=[0, 0, 60, 60])
    rig.forget()
    (ring,) = found["geometry"]["coordinates"]
    assert len(ring) == 6
    assert abs(geometry_of(found["geometry"]).area - (64 * 64 - 0.125)) < 0.01


# automask


def discs() -> NDArray[np.uint8]:
    """Three discs on a dark ground."""
    places = ((45, 40), 22), ((140, 50), 30), ((90, 120), 18)
    return np.maximum.reduce([disc((200, 160), center, radius) for center, radius in places])


OF_QUPATH = {
    "points_per_side": 16,
    "points_per_batch": 64,
    "pred_iou_thresh": 0.88,
    "stability_score_thresh": 0.95,
    "stability_score_offset": 1.0,
    "box_nms_thresh": 0.2,
    "crop_n_layers": 0,
    "crop_nms_thresh": 0.7,
    "crop_overlap_ratio": 512 / 1500,
    "crop_n_points_downscale_factor": 1,
    "min_mask_region_area": 0,
    "include_image_edge": False,
}


def test_the_defaults_of_qupath_find_every_object_without_a_model(rig: Rig):
    found = ask(rig, "/sam/automask/", b64img=picture(discs()), output_type="Single mask", **OF_QUPATH)
    areas = [geometry_of(one["geometry"]).area for one in found]
    for radius in (18, 22, 30):
        assert any(abs(area / (np.pi * radius**2) - 1) < 0.01 for area in areas)
    assert all("object_idx" not in one["properties"] for one in found)
    assert all(0.88 < one["properties"]["quality"] <= 1 for one in found)


@pytest.mark.parametrize("output", ["all", "best quality", "smallest", "largest", None])
def test_all_outputs_are_understood(rig: Rig, output: str | None):
    wanted = output and f"Multi-mask ({output})"
    assert ask(rig, "/sam/automask", b64img=picture(discs()), output_type=wanted, points_per_side=4)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("points_per_side", 0, "1 to 512"),
        ("points_per_batch", 5000, "1 to 4096"),
        ("pred_iou_thresh", 1.5, "0 to 1"),
        ("stability_score_thresh", -0.1, "0 to 1"),
        ("crop_n_layers", 9, "0 to 4"),
        ("crop_overlap_ratio", 1, "0 to 0.9"),
        ("min_mask_region_area", -1, "0 to 1e+09"),
        ("points_per_side", 2.5, "integer"),
        ("box_nms_thresh", "x", "number"),
        ("output_type", "Some masks", "single"),
    ],
)
def test_values_out_of_range_are_refused_with_what_is_allowed(rig: Rig, name: str, value: Any, allowed: str):
    said = refused(rig, 422, "/sam/automask/", **{name: value})
    assert allowed in said
    # and before a model that is not here would be asked for
    assert allowed in refused(rig, 422, "/sam/automask/", **{name: value}, checkpoint_url=None)


# sam3


@pytest.fixture
def searcher(rig: Rig, own_weight: Callable[..., str]) -> Recorder:
    """A model that searches."""
    own_weight("Searcher", "sam3")
    engine = Recorder()
    rig.use(engine, "Searcher")
    return engine


def search(rig: Rig, **body: Any) -> list[dict[str, Any]]:
    sent = {"type": "sam3", "text_prompt": "", "positive_bboxes": [], "negative_bboxes": []}
    sent |= {"checkpoint_url": "samdesk:Searcher", "reset_prompts": True}
    return ask(rig, "/sam/sam3/", **(sent | body))


def test_text_boxes_and_threshold_reach_the_search(rig: Rig, searcher: Recorder):
    found = search(
        rig,
        text_prompt="nucleus",
        positive_bboxes=[[50, 40, 100, 90]],
        negative_bboxes=[[-10, 0, 30, 20]],
        confidence_threshold=0.4,
    )
    assert [one["properties"]["quality"] for one in found] == [0.9, 0.7, 0.5]
    assert all("object_idx" not in one["properties"] for one in found)
    ((prompts, threshold),) = searcher.searched
    assert prompts.text == "nucleus"
    assert prompts.boxes == (
        BoxPrompt(Bounds(50, 40, 150, 130)),
        BoxPrompt(Bounds(0, 0, 20, 20), False),
    )
    assert threshold == 0.4


def test_boxes_add_up_on_one_picture_until_they_are_reset(rig: Rig, searcher: Recorder):
    other = picture(disc(radius=30.0))
    a, b = [10, 10, 20, 20], [60, 60, 20, 20]
    search(rig, text_prompt="cell", positive_bboxes=[a])
    search(rig, text_prompt="", positive_bboxes=[a, b], reset_prompts=False)
    search(rig, text_prompt="", b64img=other, positive_bboxes=[b], reset_prompts=False)
    search(rig, text_prompt="dot", reset_prompts=None)
    assert search(rig, reset_prompts=True) == []  # nothing is left to search for
    search(rig, negative_bboxes=[a], text_prompt="dot", reset_prompts=False)
    seen = [(one.text, [(box.bounds[0], box.positive) for box in one.boxes]) for one, _ in searcher.searched]
    assert seen == [
        ("cell", [(10, True)]),
        ("", [(10, True), (60, True)]),
        ("", [(60, True)]),
        ("dot", [(10, True), (60, True)]),
        ("dot", [(10, False)]),
    ]


def boxes_at(count: int, *, positive: bool = True) -> tuple[BoxPrompt, ...]:
    return tuple(BoxPrompt(Bounds(n, 0, n + 1, 1), positive) for n in range(count))


def test_kept_boxes_do_not_grow_without_end():
    kept = KeptBoxes()
    boxes = boxes_at(KEPT_BOXES + 10)
    for box in boxes:
        total = kept.with_new("a", (box,), reset=False)
        kept.keep("a", total)
    assert total == boxes[10:]
    for number in range(KEPT_PICTURES):
        kept.keep(str(number), ())
    assert kept.with_new("a", (), reset=False) == ()


def test_counterexamples_do_not_push_examples_out():
    kept = KeptBoxes()
    examples, others = boxes_at(2), boxes_at(KEPT_BOXES + 10, positive=False)
    kept.keep("a", kept.with_new("a", (*examples, *others), reset=True))
    assert kept.with_new("a", (), reset=False) == (*examples, *others[10:])
    # what was just sent is asked as it is, in whole
    assert kept.with_new("a", others, reset=False) == (*examples, *others)


def test_boxes_that_were_refused_are_not_kept(rig: Rig, searcher: Recorder):
    a, b = [10, 10, 20, 20], [60, 60, 20, 20]
    search(rig, positive_bboxes=[a])
    for url, status in ((CLASSICAL, 422), (absent(rig), 503)):
        refused(rig, status, "/sam/sam3/", positive_bboxes=[b], reset_prompts=True, checkpoint_url=url)
    search(rig, negative_bboxes=[[90, 90, 9, 9]], reset_prompts=False)
    assert [box.bounds[0] for box in searcher.searched[-1][0].boxes] == [10, 90]


def absent(rig: Rig) -> str:
    """The url of a model that searches and is not on this computer."""
    return next(one["url"] for one in listed(rig, "sam3") if one["name"].endswith("(not downloaded)"))


def test_sam3_says_visual_where_there_is_no_text(rig: Rig, searcher: Recorder):
    assert [said(text) for text in (" visual ", "Visual", "", "visual field")] == ["", "", "", "visual field"]
    search(rig, text_prompt="visual", positive_bboxes=[[10, 10, 20, 20]])
    assert searcher.searched[0][0].text == ""
    assert search(rig, text_prompt="visual") == []
    assert search(rig, negative_bboxes=[[10, 10, 20, 20]]) == []
    assert len(searcher.searched) == 1


def test_a_model_that_cannot_search_says_so(rig: Rig):
    before = len(rig.failed)
    said = refused(rig, 422, "/sam/sam3/", type="sam3", text_prompt="cell")
    assert "Classical (no model) cannot search by text or example." in said
    rig.wait(lambda: len(rig.failed) > before)
    assert "“SAM 3” is not on this computer." in refused(
        rig, 503, "/sam/sam3/", type=None, checkpoint_url=None, text_prompt="cell"
    )
    assert refused(rig, 422, "/sam/sam3/", confidence_threshold=1.5)
    assert search(rig, checkpoint_url=CLASSICAL) == []


def test_sam3_answers_points_and_boxes_as_well(rig: Rig, searcher: Recorder):
    (found,) = ask(rig, type="sam3", checkpoint_url="samdesk:Searcher", point_coords=[[100, 90]])
    assert found["properties"]["sam_model"] == "sam3"


# how paths are spelled


def test_every_path_has_all_its_spellings(rig: Rig):
    paths = {path for path in rig.client.get("/openapi.json").json()["paths"] if path.startswith("/sam/")}
    assert paths == {
        "/sam/",
        *(f"/sam/{name}/" for name in ("automask", "sam3", "upload", "video", "sam3video")),
        *(f"/sam/{name}/" for name in ("version", "weights", "weights/cancel", "progress")),
    }
    for path in paths:
        name = path.removeprefix("/sam/")
        for spelled in {path, path.rstrip("/"), f"/sam{name}".rstrip("/"), f"/sam{name}"}:
            answer = rig.client.request("PATCH", spelled)
            assert answer.status_code == 405, spelled


MANY = 100_000


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (PromptBody, {"point_coords": [[0, 0]] * MANY}),
        (PromptBody, {"point_coords": [["a"] * MANY]}),
        (PromptBody, {"point_labels": ["a"] * MANY}),
        (ConceptBody, {"positive_bboxes": ["a"] * MANY}),
        (VideoBody, {"b64imgs": [1] * MANY}),
        (VideoBody, {"objs": {"0": ["a"] * MANY}}),
        (VideoBody, {"objs": {f"x{n}": [] for n in range(MANY)}}),
        (ConceptVideoBody, {"objs": {n: ["a"] * 1000 for n in range(1000)}}),
        (VideoBody, {"objs": {0: [{"point_coords": [[0, 0]] * 1000}] * 1000}}),
    ],
)
def test_far_too_much_is_refused_in_no_time_and_few_words(kind: type[Body], body: dict[str, Any]):
    began = time.perf_counter()
    with pytest.raises(ValidationError) as raised:
        kind.model_validate({"b64img": ""} | body)
    assert time.perf_counter() - began < 2  # of lists within lists, it took half a minute
    assert raised.value.error_count() <= 10


def test_bodies_are_read_without_a_server():
    body = PromptBody.model_validate({"b64img": "", "checkpointUrl": "u", "bbox": None, "spare": {"a": 1}})
    assert (body.checkpoint, body.bbox, body.type) == ("u", [], "")
