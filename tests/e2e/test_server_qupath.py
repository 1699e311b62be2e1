"""QuPath's SAM extension against the real port: its requests byte by byte, and what it reads.

The requests are written down here as the extension's classes print them: its headers, the order of
its members, its quirks. Replies are read by QuPath's rules, of which one broken costs the whole
reply.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from shapely.geometry import shape as geometry_of

from tests.fakes import BrightEngine, FakeEngine
from tests.server_rig import Rig, base64_text, disc, png, running

UUID = "5d0a3f0e-6a1c-4d7e-9a53-2f4f0d8b7c11"
CLASSICAL = "samdesk:classical"
TYPES = ("vit_h", "vit_l", "vit_b", "vit_t", "sam2_l", "sam2_bp", "sam2_s", "sam2_t", "sam3")


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A server with user folders of its own, and a weight "Searcher" for SAM 3 that a fake answers."""
    folder = tmp_path_factory.mktemp("server")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAMDESK_HOME", str(folder / "home"))
        with running(folder) as one:
            path = folder / "sam3.pt"
            path.write_bytes(b"weights")
            one.on_main(lambda: one.registry.add("Searcher", type="sam3", reference=path))
            yield one


# as the extension asks


def get(rig: Rig, path: str) -> Any:
    """A GET of Apache HttpClient 5.4, which asks to talk TLS."""
    status, headers, body = rig.raw(
        f"GET {path} HTTP/1.1\r\n"
        "accept: application/json\r\n"
        "Accept-Encoding: gzip, x-gzip, deflate\r\n"
        f"Host: localhost:{rig.port}\r\n"
        "User-Agent: Apache-HttpClient/5.4.1 (Java/21)\r\n"
        "Connection: keep-alive, Upgrade\r\n"
        "Upgrade: TLS/1.2\r\n\r\n".encode()
    )
    assert status == 200, body
    assert body, "a reply without a body is an error for the client"
    return json.loads(body) if headers["content-type"] == "application/json" else body.decode()


def post(rig: Rig, path: str, body: str, status: int = 200) -> Any:
    """A POST of Apache HttpClient 5.4 with a body of Gson."""
    data = body.encode()
    head = (
        f"POST {path} HTTP/1.1\r\n"
        "accept: application/json\r\n"
        "Accept-Encoding: identity\r\n"
        f"Content-Length: {len(data)}\r\n"
        "Content-Type: application/json; charset=utf-8\r\n"
        f"Host: localhost:{rig.port}\r\n"
        "Connection: keep-alive\r\n"
        "User-Agent: Apache-HttpClient/5.4.1 (Java/21)\r\n\r\n"
    )
    found, headers, answer = rig.raw(head.encode() + data)
    assert found == status, answer
    assert answer, "a reply without a body is an error for the client"
    return json.loads(answer) if headers["content-type"] == "application/json" else answer.decode()


def upload(rig: Rig, name: str, data: bytes) -> int:
    """A frame as Apache's MultipartEntityBuilder writes it."""
    mark = "----------------1750000000000"
    body = (
        f'--{mark}\r\nContent-Disposition: form-data; name="dirname"\r\n'
        f"Content-Type: text/plain; charset=ISO-8859-1\r\n\r\n{UUID}\r\n"
        f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    ).encode()
    body += data + f"\r\n--{mark}--\r\n".encode()
    head = (
        "POST /sam/upload/ HTTP/1.1\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"Content-Type: multipart/form-data; boundary={mark}\r\n"
        f"Host: localhost:{rig.port}\r\n\r\n"
    )
    return rig.raw(head.encode() + body)[0]


# as QuPath reads


def read(reply: Any, video: bool = False) -> list[dict[str, Any]]:
    """The Features of a reply, after all checks that QuPath 0.5 to 0.8 and the extension make."""
    assert isinstance(reply, list)
    for one in reply:
        _no_nulls(one)
        assert one["type"] == "Feature"
        _check_geometry(one["geometry"], video)
        properties = one["properties"]
        assert isinstance(properties["quality"], float)
        assert math.isfinite(properties["quality"])
        if video:  # looked up among the numbers that were sent
            assert type(properties["object_idx"]) is int
        else:  # would become the name of a class
            assert "object_idx" not in properties
    return reply


def _no_nulls(value: Any) -> None:
    assert value is not None
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _no_nulls(one)


def _check_geometry(geometry: dict[str, Any], video: bool) -> None:
    assert geometry["type"] in ("Polygon", "MultiPolygon")
    assert set(geometry) == {"type", "coordinates", *(["plane"] if video else [])}
    if video:
        assert set(geometry["plane"]) == {"c", "z", "t"}
        assert geometry["plane"]["c"] == -1
    parts = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
    for ring in (ring for part in parts for ring in part):
        assert len(ring) >= 4
        assert ring[0] == ring[-1]
        assert all(round(value, 2) == value for point in ring for value in point)
    outline = geometry_of(geometry)
    assert outline.is_valid
    assert outline.area > 0
    simple = outline.geom_type == "Polygon" and not outline.interiors
    assert not (simple and outline.equals(outline.envelope)), "it would become a prompt of the next run"


def placed(feature: dict[str, Any], downsample: float, origin: tuple[float, float]) -> Any:
    """The outline where the extension puts it in the slide."""
    outline = geometry_of(feature["geometry"])
    return shapely.transform(outline, lambda points: points * downsample + np.array(origin))


# one after the other, as a person would


@pytest.mark.parametrize("type", TYPES)
def test_the_dialog_opens_and_there_is_something_to_choose(rig: Rig, type: str):
    found = get(rig, f"/sam/weights/?type={type}")
    assert found
    assert all({"type", "name", "url"} <= set(one) for one in found)
    assert found[0]["type"] == type
    assert get(rig, f"/samweights/?type={type}") == found  # an older extension, a base without slash


def test_other_questions_are_answered_without_a_model(rig: Rig):
    assert get(rig, "/sam/progress/") == {"message": None, "percent": -1}
    assert get(rig, "/sam/weights/cancel/") == "Nothing is being downloaded."
    assert get(rig, "/sam/version/")


B64 = base64_text(png(disc()))


def test_a_point_and_then_a_rectangle(rig: Rig):
    body = (
        f'{{"type":"vit_l","point_coords":[[9,8],[100,90]],"point_labels":[0,1],"b64img":"{B64}",'
        f'"multimask_output":true,"checkpoint_url":"{CLASSICAL}"}}'
    )
    for path in ("/sam/", "/sam"):  # as the person typed the address
        found = read(post(rig, path, body))
        assert abs(geometry_of(found[0]["geometry"]).area / (math.pi * 40**2) - 1) < 0.01
    body = (
        f'{{"type":"vit_l","bbox":[-6,42,149,138],"point_coords":[[9,8]],"point_labels":[0],'
        f'"b64img":"{B64}","multimask_output":false,"checkpoint_url":"{CLASSICAL}"}}'
    )
    (one,) = read(post(rig, "/sam/", body))
    assert abs(geometry_of(one["geometry"]).area / (math.pi * 40**2) - 1) < 0.01


def test_all_points_were_outside_the_view(rig: Rig):
    body = f'{{"type":"vit_l","b64img":"{B64}","multimask_output":true,"checkpoint_url":"{CLASSICAL}"}}'
    assert post(rig, "/sam/", body) == []


def test_the_first_weight_of_a_laptop_without_any_answers(rig: Rig):
    url = get(rig, "/sam/weights/?type=vit_l")[0]["url"]
    body = {"type": "vit_l", "bbox": [42, 42, 149, 138], "b64img": B64, "multimask_output": True}
    found = read(post(rig, "/sam/", json.dumps(body | {"checkpoint_url": url})))
    assert found[0]["properties"]["sam_model"] == "classical"


def test_a_weight_that_is_not_here_says_so_where_a_person_sees_it(rig: Rig):
    before = len(rig.failed)
    url = next(one["url"] for one in get(rig, "/sam/weights/?type=vit_l") if "not downloaded" in one["name"])
    body = {"type": "vit_l", "bbox": [42, 42, 149, 138], "b64img": B64, "checkpoint_url": url}
    answer = post(rig, "/sam/", json.dumps(body), 503)
    assert "is not on this computer" in answer["detail"]
    rig.wait(lambda: len(rig.failed) > before)
    assert "is not on this computer" in str(rig.failed[-1].error)


def test_many_candidates_keep_their_own_scores(rig: Rig):
    rig.use(FakeEngine())
    body = {"type": "vit_l", "point_coords": [[100, 90]], "point_labels": [1], "b64img": B64}
    body |= {"multimask_output": True, "checkpoint_url": CLASSICAL}
    found = read(post(rig, "/sam/", json.dumps(body)))
    rig.forget()
    areas = {one["properties"]["quality"]: geometry_of(one["geometry"]).area for one in found}
    assert areas[0.8] < areas[0.9] < areas[0.7]


def test_automask_with_the_defaults_of_the_dialog(rig: Rig):
    body = (
        f'{{"type":"vit_l","b64img":"{B64}","points_per_side":16,"points_per_batch":64,"pred_iou_thresh":0.88,'
        '"stability_score_thresh":0.95,"stability_score_offset":1.0,"box_nms_thresh":0.2,"crop_n_layers":0,'
        '"crop_nms_thresh":0.7,"crop_overlap_ratio":0.3413333333333333,"crop_n_points_downscale_factor":1,'
        '"min_mask_region_area":0,"output_type":"Multi-mask (smallest)","include_image_edge":false,'
        f'"checkpoint_url":"{CLASSICAL}"}}'
    )
    assert read(post(rig, "/sam/automask/", body))


def test_sam3_by_text_and_by_examples(rig: Rig):
    rig.use(FakeEngine(), "Searcher")
    body = (
        f'{{"type":"sam3","b64img":"{B64}","text_prompt":"","positive_bboxes":[[42,42,107,96]],'
        '"negative_bboxes":[[-4,0,20,20]],"checkpoint_url":"samdesk:Searcher","reset_prompts":true,'
        '"confidence_threshold":0.4}'
    )
    found = read(post(rig, "/sam/sam3/", body))
    assert [one["properties"]["quality"] for one in found] == [0.9, 0.7, 0.5]
    found = read(post(rig, "/sam/sam3/", body.replace('"text_prompt":""', '"text_prompt":"nucleus"')))
    assert len(found) == 3
    empty = body.replace("[[42,42,107,96]]", "[]")
    assert post(rig, "/sam/sam3/", empty) == []
    rig.forget()


@pytest.fixture(scope="module")
def uploaded(rig: Rig) -> str:
    """Twelve frames of a disc that moves to the right."""
    for number in reversed(range(12)):
        done, data = cv2.imencode(".jpg", disc(center=(60.0 + 5 * number, 90.0))[..., ::-1])
        assert done
        assert upload(rig, f"{number:02}.jpg", data.tobytes()) == 200
    return UUID


@pytest.mark.parametrize(("axes", "moves", "stays"), [("XYZ", "z", "t"), ("XYT", "t", "z")])
def test_an_object_through_a_stack(rig: Rig, uploaded: str, axes: str, moves: str, stays: str):
    body = (
        f'{{"type":"sam2_t","dirname":"{uploaded}","axes":"{axes}","plane_position":2,"start_frame_idx":0,'
        '"objs":{"0":[{"obj_id":3,"bbox":[15,45,105,135],'
        '"builderAsGroovyScript":"org.elephant.sam.parameters.SAM2VideoPromptObject.builder(3)"}],'
        '"4":[{"obj_id":9,"point_coords":[[3,3]],"point_labels":[0],"builderAsGroovyScript":""}]},'
        f'"checkpointUrl":"{CLASSICAL}"}}'
    )
    found = read(post(rig, "/sam/video/", body), video=True)
    assert [one["geometry"]["plane"][moves] for one in found] == list(range(12))
    assert {one["geometry"]["plane"][stays] for one in found} == {2}
    assert {one["properties"]["object_idx"] for one in found} == {3}
    centers = [geometry_of(one["geometry"]).centroid.x for one in found]
    assert np.allclose(centers, [60.0 + 5 * number for number in range(12)], atol=1.0)


def test_sam3_through_a_stack_without_a_text(rig: Rig, uploaded: str):
    body = (
        f'{{"type":"sam3","dirname":"{uploaded}","axes":"XYT","plane_position":0,'
        '"objs":{"0":[{"obj_id":1,"text":"visual","boxes_xywh":[[0.0,0.0,9.5,9.5],[15.5,45.0,90.0,90.25]],'
        '"box_labels":[0,1],"builderAsGroovyScript":""}]},'
        f'"checkpointUrl":"{CLASSICAL}"}}'
    )
    found = read(post(rig, "/sam/sam3video/", body), video=True)
    assert [one["properties"]["object_idx"] for one in found] == [1] * 12
    nothing = f'{{"type":"sam3","dirname":"{uploaded}","axes":"XYT","plane_position":0,"objs":{{}},'
    assert post(rig, "/sam/sam3video/", f'{nothing}"checkpointUrl":"{CLASSICAL}"}}') == []


def test_registering_what_is_no_link(rig: Rig):
    body = '{"type":"vit_b","name":"Mine","url":"file:///tmp/mine.pt"}'
    assert "is a file and not a link" in post(rig, "/sam/weights/", body, 422)["error"]


def test_a_reply_can_be_gzipped(rig: Rig):
    status, headers, _ = rig.raw(
        f"GET /sam/weights/ HTTP/1.1\r\nHost: localhost:{rig.port}\r\nAccept-Encoding: gzip\r\n\r\n".encode()
    )
    assert (status, headers["content-encoding"]) == (200, "gzip")


# where things are


WIDE, HIGH = 4096, 2048
ORIGIN = (10_240.0, 5_120.0)
ROUND = ((2011.3, 987.6, 700.4),)
PARTS = ((1200.3, 1000.6, 520.2), (2900.8, 1103.4, 420.9))
HOLE = (1200.3, 1000.6, 230.7)


def view(downsample: int, discs: Any, hole: Any = None) -> NDArray[np.uint8]:
    """Stained discs as QuPath renders them at a zoom: every pixel in the color that it is covered with."""
    ys, xs = np.mgrid[: HIGH // downsample, : WIDE // downsample] + 0.5

    def cover(x: float, y: float, radius: float) -> NDArray[np.float64]:
        away = np.hypot(xs - x / downsample, ys - y / downsample)
        return np.clip(radius / downsample - away + 0.5, 0, 1)

    covered = np.maximum.reduce([cover(*one) for one in discs])
    if hole is not None:
        covered = np.minimum(covered, 1 - cover(*hole))
    ground, stain = np.array([40, 50, 60]), np.array([215, 205, 195])  # on both sides of middle gray
    return (ground + covered[..., None] * (stain - ground)).round().astype(np.uint8)


def truth(discs: Any, hole: Any = None) -> Any:
    round_ = [shapely.Point(x, y).buffer(radius, quad_segs=256) for x, y, radius in discs]
    area = shapely.union_all(round_)
    if hole is not None:
        area = area.difference(shapely.Point(hole[:2]).buffer(hole[2], quad_segs=256))
    return shapely.transform(area, lambda points: points + np.array(ORIGIN))


def differs(outline: Any, wanted: Any, pixel: float) -> tuple[float, float]:
    """How far the centroid is off, in pixels of this size, and the area's part that is wrong."""
    away = outline.centroid.distance(wanted.centroid) / pixel
    return away, abs(outline.area / wanted.area - 1)


@pytest.mark.parametrize("downsample", [1, 4, 16])
@pytest.mark.parametrize("how", ["point", "box"])
def test_a_disc_is_where_it_is_and_as_large_at_every_zoom(rig: Rig, downsample: int, how: str):
    ((x, y, radius),) = ROUND
    low = [math.floor((value - radius) / downsample) - 8 for value in (x, y)]
    high = [math.ceil((value + radius) / downsample) + 8 for value in (x, y)]
    prompts = {
        "point": {"point_coords": [[int(x / downsample), int(y / downsample)]], "point_labels": [1]},
        "box": {"bbox": [*low, *high]},
    }
    sent = {"type": "vit_l", "b64img": base64_text(png(view(downsample, ROUND))), "multimask_output": False}
    body = json.dumps(sent | prompts[how] | {"checkpoint_url": CLASSICAL})
    (found,) = read(post(rig, "/sam/", body))
    away, wrong = differs(placed(found, downsample, ORIGIN), truth(ROUND), downsample)
    assert away < 0.05
    assert wrong < 0.01


@pytest.mark.parametrize("downsample", [1, 4, 16])
def test_a_hole_and_two_parts_are_kept_at_every_zoom(rig: Rig, downsample: int):
    points = [(*PARTS[0][:1], PARTS[0][1] - 375), PARTS[1][:2], HOLE[:2]]
    coords = [[int(x / downsample), int(y / downsample)] for x, y in points]
    sent = {"type": "vit_l", "b64img": base64_text(png(view(downsample, PARTS, HOLE)))}
    sent |= {"point_coords": coords, "point_labels": [1, 1, 0], "multimask_output": False}
    body = json.dumps(sent | {"checkpoint_url": CLASSICAL})
    seen = max(downsample, WIDE / 1024)  # image pixels in one that an engine sees
    # the first one draws outlines of its own, the second answers with the picture itself
    for engine, pixel, most in ((None, seen, 0.1), (BrightEngine(), downsample, 0.05)):
        if engine is not None:
            rig.use(engine)
        (found,) = read(post(rig, "/sam/", body))
        outline = placed(found, downsample, ORIGIN)
        assert sorted(len(part.interiors) for part in outline.geoms) == [0, 1]
        away, wrong = differs(outline, truth(PARTS, HOLE), pixel)
        assert away < most
        assert wrong < 0.01
    rig.forget()
