"""`/api/v1/segment` and `/api/v1/automask`: prompts, strategies, and every result read by others."""

from __future__ import annotations

import base64
import io
import json
import math
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import PIL.Image
import pytest
import shapely
import shapely.geometry
from numpy.typing import NDArray

from samdesk.domain.geometry import Bounds
from samdesk.domain.prompts import PointPrompt, Prompts
from samdesk.domain.tasks import Task
from samdesk.engines.base import Embedding, MaskLogits
from samdesk.formats.geojson import loads
from samdesk.server import Limits, ServerOptions, results
from samdesk.server.bounded import MOST_VALUES, check_values
from samdesk.server.errors import RequestError
from samdesk.server.native.priors import run_lengths
from samdesk.server.native.segment import FeatureCollection, Outlines, _check_tiles
from tests.fakes import BrightEngine, FakeEngine
from tests.images_samples import noise, write_pyramid, write_zarr
from tests.server_rig import WAIT_S, Rig, base64_text, disc, png, running

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools

SEGMENT, AUTOMASK, IMAGES = "/api/v1/segment", "/api/v1/automask", "/api/v1/images"
SIZE, CENTER, RADIUS = (256, 192), (100.0, 90.0), 40.0
PICTURE = png(disc(SIZE, CENTER, RADIUS))
ON, OFF = {"points": [{"x": 100, "y": 90}]}, {"points": [{"x": 20, "y": 20}]}
SLIDE = (1200, 900)


def ring_of_light() -> NDArray[np.uint8]:
    """A bright ring and a bright square beside it: one shape with a hole and two parts."""
    ys, xs = np.mgrid[:192, :256] + 0.5
    away = np.hypot(xs - 90, ys - 96)
    lit = ((away > 20) & (away < 60)) | ((xs > 200) & (xs < 230) & (ys > 40) & (ys < 70))
    return np.repeat((lit * 255).astype(np.uint8)[..., None], 3, axis=2)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A server that may open one folder, and draws up to half a megapixel."""
    home = tmp_path_factory.mktemp("native")
    folder = home / "images"
    folder.mkdir()
    write_pyramid(folder / "slide.ome.tif", disc(SLIDE, (600, 450), 200), 2, 256)
    write_zarr(folder / "stack.zarr", noise((2, 3, 64, 96), seed=3), "tzyx")
    limits = Limits(pixels=500_000, prompts=40)
    with running(home, ServerOptions(folders=(folder,), limits=limits)) as rig:
        yield rig


@pytest.fixture(scope="module")
def picture(desk: Rig) -> str:
    id: str = desk.client.post(IMAGES, files={"file": PICTURE}).json()["id"]
    return id


@pytest.fixture
def fake(desk: Rig) -> Iterator[FakeEngine]:
    engine = FakeEngine()
    desk.use(engine)
    yield engine
    desk.forget()


@pytest.fixture
def bright(desk: Rig) -> Iterator[str]:
    """Id of a picture on which an engine finds exactly what is bright."""
    desk.use(BrightEngine())
    yield desk.client.post(IMAGES, files={"file": png(ring_of_light())}).json()["id"]
    desk.forget()


def ask(rig: Rig, path: str = SEGMENT, /, **body: Any) -> Any:
    answer = rig.client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(rig: Rig, path: str = SEGMENT, /, **body: Any) -> tuple[int, str]:
    answer = rig.client.post(
        path, content=json.dumps(body), headers={"Content-Type": "application/json"}
    )  # httpx itself cannot write half a surrogate
    told = answer.json()
    assert set(told) == {"error", "hint", "detail"}
    return answer.status_code, f"{told['error']} {told['hint']}"


def test_a_point_gives_a_feature_that_others_read(desk: Rig, picture: str) -> None:
    told = ask(desk, image=picture, prompts=[ON])
    FeatureCollection.model_validate(told)
    assert (told["image"], told["model"], told["width"], told["height"]) == (picture, "classical", *SIZE)
    (feature,) = told["features"]
    shape = shapely.geometry.shape(feature["geometry"])
    assert shape.is_valid
    assert math.dist((shape.centroid.x, shape.centroid.y), CENTER) < 0.5
    assert shape.area == pytest.approx(math.pi * RADIUS**2, rel=0.02)
    assert feature["properties"]["prompt"] == 0
    assert 0 < feature["properties"]["score"] <= 1
    (read,) = loads(json.dumps(told)).table.annotations()
    assert read.shape.area == pytest.approx(shape.area, rel=1e-4)  # on a grid of its own


def test_the_file_may_come_along_and_is_known_afterwards(desk: Rig, fake: FakeEngine) -> None:
    data = base64_text(png(disc(radius=33)))
    first = ask(desk, data=data, prompts=[ON])
    again = ask(desk, image=first["image"], prompts=[ON])
    assert again == first
    assert fake.encoded == 1


def test_several_prompts_encode_once_and_keep_their_order(desk: Rig, picture: str, fake: FakeEngine) -> None:
    box = {"boxes": [{"x0": 180, "y0": 150, "x1": 120, "y1": 90}]}  # the corners in any order
    outside = {"points": [{"x": 900, "y": 90}]}
    prompts = [OFF, outside, {"text": "disc"}, box, {}, ON]
    told = ask(desk, image=picture, prompts=prompts, result="polygons")
    assert fake.encoded == 1
    assert [one["prompt"] for one in told["objects"]] == [0, 2, 2, 2, 3, 5]
    middle = told["objects"][4]["box"]
    assert ((middle["x0"] + middle["x1"]) / 2, (middle["y0"] + middle["y1"]) / 2) == (150, 120)
    back = ask(desk, image=picture, prompts=[{"boxes": [middle]}], result="polygons")  # it is a prompt itself
    assert back["objects"][0]["box"] == pytest.approx(middle, abs=1.0)


def test_strategies_choose_among_the_proposals(desk: Rig, picture: str, fake: FakeEngine) -> None:
    def areas(**more: Any) -> list[float]:
        told = ask(desk, image=picture, prompts=[ON], result="polygons", **more)
        return [one["area"] for one in told["objects"]]

    best, half, double = (math.pi * (20 * factor) ** 2 for factor in (1, 0.5, 2))
    assert areas() == areas(strategy="best") == pytest.approx([best], rel=0.01)
    assert areas(strategy="largest") == areas(strategy="merge") == pytest.approx([double], rel=0.01)
    assert areas(strategy="smallest") == pytest.approx([half], rel=0.01)
    assert areas(strategy="all") == pytest.approx([best, half, double], rel=0.01)
    assert areas(strategy="all", min_score=0.75) == pytest.approx([best, half], rel=0.01)
    assert areas(strategy="all", multimask=False) == pytest.approx([best], rel=0.01)
    assert areas(min_score=0.95) == []


def test_a_text_finds_all_and_examples_do_too(desk: Rig, picture: str, fake: FakeEngine) -> None:
    def scores(prompt: dict[str, Any], **more: Any) -> list[float]:
        told = ask(desk, image=picture, prompts=[prompt], **more)
        return [round(one["properties"]["score"], 3) for one in told["features"]]

    box = {"x0": 10, "y0": 10, "x1": 50, "y1": 50}
    assert scores({"text": " nucleus "}) == [0.9, 0.7, 0.5]
    assert scores({"text": "nucleus"}, min_score=0.6) == [0.9, 0.7]
    assert scores({"text": "nucleus"}, min_score=0) == [0.9, 0.7, 0.5, 0.3]
    assert scores({"text": "nucleus"}, strategy="best") == [0.9]
    assert len(scores({"text": "nucleus"}, strategy="merge")) == 1
    assert scores({"find": True, "boxes": [box, {**box, "positive": False}]}) == [0.9, 0.7, 0.5]
    assert scores({"find": True, "boxes": [{**box, "positive": False}]}) == []
    for wrong in ({"text": "a", **ON}, {"find": True, **ON}, {"text": "a", "prior": square(0, 0, 5)}):
        status, says = refused(desk, image=picture, prompts=[wrong])
        assert status == 422
        assert "examples" in says


def test_a_model_that_cannot_search_says_so(desk: Rig, picture: str) -> None:
    status, says = refused(desk, image=picture, prompts=[{"text": "nucleus"}])
    assert status == 422
    assert "cannot search" in says


def square(x: float, y: float, side: float) -> dict[str, Any]:
    ring = [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]
    return {"type": "Polygon", "coordinates": [ring]}


def test_results_agree_with_each_other_and_with_other_readers(desk: Rig, bright: str) -> None:
    truth = ring_of_light()[..., 0] > 0

    def one(result: str) -> dict[str, Any]:
        told = ask(desk, image=bright, prompts=[ON], result=result)
        if result != "geojson":
            Outlines.model_validate(told)
        (found,) = told["features" if result == "geojson" else "objects"]
        kept: dict[str, Any] = found
        return kept

    geometry = shapely.geometry.shape(one("geojson")["geometry"])
    assert geometry.geom_type == "MultiPolygon"
    assert sum(len(part.interiors) for part in geometry.geoms) == 1
    assert geometry.area == pytest.approx(truth.sum(), rel=0.01)

    polygons = one("polygons")["polygons"]
    again = shapely.MultiPolygon([(rings[0], rings[1:]) for rings in polygons])
    assert again.is_valid
    assert again.equals(geometry)

    mask = np.asarray(PIL.Image.open(io.BytesIO(base64.b64decode(one("png")["png"]))))
    assert (mask.dtype, mask.shape, set(np.unique(mask))) == (np.uint8, truth.shape, {0, 255})
    assert (mask > 0).sum() == pytest.approx(truth.sum(), rel=0.01)
    assert ((mask > 0) != truth).sum() < 0.01 * truth.sum()

    rle = one("rle")["rle"]
    assert rle["size"] == [192, 256]
    coco = pytest.importorskip("pycocotools.mask")
    assert (coco.decode(rle) == (mask > 0)).all()
    x, y, width, height = coco.toBbox(rle)
    box = one("rle")["box"]
    assert (box["x0"], box["y0"]) == pytest.approx((x, y), abs=1)
    assert (box["x1"], box["y1"]) == pytest.approx((x + width, y + height), abs=1)


def test_a_bare_picture_has_all_objects(desk: Rig, picture: str, fake: FakeEngine) -> None:
    def mask(*prompts: dict[str, Any]) -> NDArray[np.uint8]:
        answer = desk.client.post(
            SEGMENT,
            json={"image": picture, "prompts": prompts},
            headers={"Accept": "application/json;q=0.1, image/PNG"},
        )
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
        return np.asarray(PIL.Image.open(io.BytesIO(answer.content)))

    both = mask(ON, OFF)
    assert both.shape == (192, 256)
    assert (both == np.maximum(mask(ON), mask(OFF))).all()
    assert not mask().any()
    answer = desk.client.post(SEGMENT, json={"image": "no", "prompts": []}, headers={"Accept": "image/png"})
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/json")


class PriorEngine(FakeEngine):
    """Answers with a disc in the middle of the prior, whose area it keeps."""

    area = 0.0

    def predict(
        self, embedding: Embedding, prompts: Prompts, task: Task, multimask: bool | None = None
    ) -> list[MaskLogits]:
        assert prompts.prior is not None
        self.area = prompts.prior.area
        asked = Prompts((PointPrompt(*prompts.prior.centroid),))
        return super().predict(embedding, asked, task, multimask)


def test_a_prior_comes_as_outline_or_as_run_lengths(desk: Rig, picture: str) -> None:
    engine = PriorEngine()
    desk.use(engine)
    mask = np.zeros((192, 256), np.uint8)
    mask[40:60, 30:70] = 1
    flat = mask.T.ravel()
    runs = np.diff(np.flatnonzero(np.diff(flat, prepend=2, append=2)))
    counts = [int(n) for n in (runs if flat[0] == 0 else [0, *runs])]
    corners = [[30, 40], [70, 40], [70, 60], [30, 60]]
    inside = [[30, 60], [70, 40], [70, 60], [30, 40]]  # crosses itself
    priors: list[tuple[dict[str, Any], float]] = [
        ({"type": "Polygon", "coordinates": [corners]}, 800),
        ({"type": "MultiPolygon", "coordinates": [[[[*at, 5.0] for at in corners]]]}, 800),
        ({"type": "Polygon", "coordinates": [inside]}, 400),
        ({"size": [192, 256], "counts": counts}, 800),
        ({"size": [192, 256], "counts": compressed(mask)}, 800),
        (square(-1e8, -1e8, 2e8), 256 * 192),
    ]
    for prior, area in priors:
        told = ask(desk, image=picture, prompts=[{"prior": prior}], result="polygons")
        assert len(told["objects"]) == 1
        assert engine.area == pytest.approx(area)
        if area == 800:
            box = told["objects"][0]["box"]
            assert ((box["x0"] + box["x1"]) / 2, (box["y0"] + box["y1"]) / 2) == (50, 50)
    assert ask(desk, image=picture, prompts=[{"prior": square(500, 500, 9)}])["features"] == []
    desk.forget()


def compressed(mask: NDArray[np.uint8]) -> str:
    coco = pytest.importorskip("pycocotools.mask")
    text: str = coco.encode(np.asfortranarray(mask))["counts"].decode("ascii")
    return text


def test_run_lengths_are_read_as_coco_writes_them() -> None:
    coco = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(4)
    for height, width, density in [(1, 1, 1), (7, 5, 0.5), (300, 200, 0.02), (64, 64, 0), (900, 700, 0.001)]:
        mask = (rng.random((height, width)) < density).astype(np.uint8)
        counts = run_lengths(compressed(mask))
        assert counts.sum() == height * width
        back = np.repeat(np.arange(len(counts)) % 2, counts).reshape(width, height).T
        assert (back == coco.decode(coco.encode(np.asfortranarray(mask)))).all()


@pytest.mark.parametrize(
    ("prior", "says"),
    [
        ({"size": [192, 255], "counts": [49152]}, "256"),
        ({"size": [192, 256], "counts": [49151]}, "add up"),
        ({"size": [192, 256], "counts": []}, "add up"),
        ({"size": [192, 256], "counts": ""}, "add up"),
        ({"size": [192, 256], "counts": [2**63, 1]}, "too large"),
        ({"size": [192, 256], "counts": "ooooooooooooooooooooo"}, "no end"),
        ({"size": [192, 256], "counts": "oooooooooooooooooooo0"}, "too large"),
        ({"size": [192, 256], "counts": "O"}, "add up"),
        ({"size": [192, 256], "counts": "é"}, "letters"),
        ({"size": [192, 256], "counts": "zzz zzz"}, "letters"),
        ({"type": "Polygon", "coordinates": []}, "coordinates"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}, "coordinates"),
        ({"type": "Point", "coordinates": [0, 0]}, "type"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1e300, 1], [1, 1]]]}, "coordinates"),
        ("text", "prior"),
    ],
)
def test_a_prior_that_is_none_is_refused(desk: Rig, picture: str, prior: Any, says: str) -> None:
    status, told = refused(desk, image=picture, prompts=[{"prior": prior}])
    assert status == 422
    assert says in told


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"prompts": [ON]}, 422, "either"),
        ({"image": "a", "data": "b", "prompts": [ON]}, 422, "either"),
        ({"image": "f" * 64, "prompts": [ON]}, 404, "POST /api/v1/images"),
        ({"data": "no picture", "prompts": [ON]}, 422, "base64"),
        ({}, 422, "prompts"),
        ({"prompts": None}, 422, "prompts"),
        ({"prompts": [ON], "model": "no such model"}, 404, "GET /api/v1/models"),
        ({"prompts": [ON], "model": "sam2_t"}, 503, "samdesk weights download"),
        ({"prompts": [ON], "z": 1}, 422, "no plane"),
        ({"prompts": [ON], "t": -1}, 422, "t:"),
        ({"prompts": [ON], "downsample": 0}, 422, "downsample"),
        ({"prompts": [ON], "strategy": "worst"}, 422, "strategy"),
        ({"prompts": [ON], "result": "tiff"}, 422, "result"),
        ({"prompts": [ON] * 41}, 413, "41 prompts"),
        ({"prompts": [{"points": [{"x": 1, "y": 1}] * 41}]}, 413, "41 prompts"),
        ({"prompts": [{"boxes": [{"x0": 0, "y0": 0, "x1": 1, "y1": 1}] * 1001}]}, 422, "boxes"),
        ({"prompts": [{"text": "\ud800"}]}, 422, "text"),
        ({"prompts": [{"text": "x" * 1001}]}, 422, "1000"),
        ({"prompts": [ON], "min_score": 2}, 422, "min_score"),
    ],
)
def test_what_makes_no_sense_is_refused(
    desk: Rig, picture: str, body: dict[str, Any], status: int, says: str
) -> None:
    if "prompts" in body and "image" not in body and "data" not in body and "either" not in says:
        body = {"image": picture, **body}
    found, told = refused(desk, **body)
    assert (found, says in told) == (status, True), told


@pytest.mark.parametrize("text", ['{"x": NaN, "y": 1}', '{"x": 1e999, "y": 1}', '{"x": -Infinity, "y": 1}'])
def test_numbers_are_finite(desk: Rig, picture: str, text: str) -> None:
    body = f'{{"image": "{picture}", "prompts": [{{"points": [{text}]}}]}}'
    answer = desk.client.post(SEGMENT, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.json()["error"]


@pytest.mark.parametrize("downsample", [0.1, 1, 7.3, 65536])
def test_any_downsample_is_answered(desk: Rig, picture: str, fake: FakeEngine, downsample: float) -> None:
    told = ask(desk, image=picture, prompts=[ON], downsample=downsample)
    assert len(told["features"]) <= 1


def test_a_slide_is_asked_by_its_path(desk: Rig) -> None:
    slide = desk.client.post(IMAGES, json={"path": "slide.ome.tif"}).json()["id"]
    middle = {"points": [{"x": 600, "y": 450}]}
    told = ask(desk, image=slide, prompts=[middle], downsample=2)
    shape = shapely.geometry.shape(told["features"][0]["geometry"])
    assert math.dist((shape.centroid.x, shape.centroid.y), (600, 450)) < 1
    assert shape.area == pytest.approx(math.pi * 200**2, rel=0.02)
    for result in ("rle", "png"):
        status, says = refused(desk, image=slide, prompts=[middle], result=result)
        assert (status, "geojson" in says) == (413, True)
    assert refused(desk, AUTOMASK, image=slide, result="png")[0] == 413
    answer = desk.client.post(
        SEGMENT, json={"image": slide, "prompts": [middle]}, headers={"Accept": "image/png"}
    )
    assert answer.status_code == 413


def test_planes_of_a_stack_are_asked_alone(desk: Rig) -> None:
    stack = desk.client.post(IMAGES, json={"path": "stack.zarr"}).json()["id"]
    prompt = {"points": [{"x": 30, "y": 30}]}
    told = [ask(desk, image=stack, prompts=[prompt], z=z, t=t) for z, t in ((0, 0), (2, 1))]
    assert [one["image"] for one in told] == [stack, stack]
    for body in ({"z": 3}, {"t": 2}):
        status, says = refused(desk, image=stack, prompts=[prompt], **body)
        assert (status, "3 z slices and 2 time points" in says) == (422, True)
        assert refused(desk, AUTOMASK, image=stack, **body)[0] == 422


def test_everything_is_found(desk: Rig, picture: str) -> None:
    told = ask(desk, AUTOMASK, image=picture, options={"points_per_side": 4})
    FeatureCollection.model_validate(told)
    shapes = [shapely.geometry.shape(one["geometry"]) for one in told["features"]]
    assert any(math.dist((one.centroid.x, one.centroid.y), CENTER) < 1 for one in shapes)


def test_everything_is_found_in_a_part_and_told_in_any_way(desk: Rig, picture: str, fake: FakeEngine) -> None:
    options = {"points_per_side": 3, "box_nms_thresh": 0.9, "stability_score_thresh": 0}
    all_there_is = ask(desk, AUTOMASK, image=picture, options=options)["features"]
    assert len(all_there_is) == 9
    for result in ("rle", "png", "polygons"):
        objects = ask(desk, AUTOMASK, image=picture, options=options, result=result)["objects"]
        assert [bool(one[result]) for one in objects] == [True] * 9
    corner = {"x0": 250, "y0": 185, "x1": 180, "y1": 20}
    for one in ask(desk, AUTOMASK, image=picture, where=corner, options=options)["features"]:
        shape = shapely.geometry.shape(one["geometry"])
        assert shape.intersection(shapely.box(180, 20, 250, 185)).area >= 0.5 * shape.area
    part = square(60, 50, 60)
    found = ask(desk, AUTOMASK, image=picture, where=part, options=options, output="all")["features"]
    assert found
    inside = shapely.geometry.shape(part).buffer(0.02)
    assert all(inside.covers(shapely.geometry.shape(one["geometry"])) for one in found)


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"where": {"x0": 900, "y0": 900, "x1": 990, "y1": 990}}, 422, "outside the image"),
        ({"where": square(900, 900, 9)}, 422, "outside the image"),
        ({"where": {"x0": 1, "y0": 1, "x1": 1, "y1": 5}}, 422, "empty"),
        ({"where": {"type": "LineString", "coordinates": [[0, 0], [5, 5]]}}, 422, "where"),
        ({"options": {"points_per_side": 0}}, 422, "points_per_side"),
        ({"options": {"crop_n_layers": 2, "crop_n_points_downscale_factor": 64}}, 422, "crop layer"),
        ({"output": "some"}, 422, "output"),
        ({"model": "vit_b"}, 503, "samdesk weights download"),
    ],
)
def test_an_automask_that_makes_no_sense_is_refused(
    desk: Rig, picture: str, body: dict[str, Any], status: int, says: str
) -> None:
    found, told = refused(desk, AUTOMASK, image=picture, **body)
    assert (found, says in told) == (status, True), told


@pytest.mark.parametrize(
    ("path", "before", "value", "count", "status", "says"),
    [
        (SEGMENT, '"data": "", "prompts": [', '"a"', 200_000, 422, "prompts.0"),
        (SEGMENT, '"data": "", "prompts": [', "{}", 1_001, 422, "1000"),
        (SEGMENT, '"data": "", "prompts": [', "0", 1_000_000, 413, "1,000,000"),
        (AUTOMASK, '"data": "", "where": [', "0", 1_000_000, 413, "1,000,000"),
        ("/v1/segment", '"image": "", "boxes": [', "0", 200_000, 422, "boxes.0"),
        ("/v1/segment/points", '"image": "", "points": [', "0", 200_000, 422, "points.0"),
        ("/segment-binary", '"image": "", "points": [', "0", 200_000, 422, "points.0"),
        ("/segment-binary", '"image": "", "points": [', "0", 1_000_000, 413, "1,000,000"),
    ],
)
def test_long_lists_are_refused_in_few_words(
    desk: Rig, path: str, before: str, value: str, count: int, status: int, says: str
) -> None:
    body = "{" + before + ",".join([value] * count) + "]}"
    answer = desk.client.post(path, content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, says in answer.text) == (status, True), answer.text[:500]
    assert len(answer.content) < 1_000


@pytest.mark.parametrize(
    "prior",
    [
        {"type": "Polygon", "coordinates": [[["a", "b"]] * 1_000]},
        {"type": "MultiPolygon", "coordinates": [[[["a", "b"]] * 1_000]] * 9},
        {"type": "MultiPolygon", "coordinates": [[[0, 0]] * 1_000]},
        {"size": [192, 256], "counts": [-1] * 1_000},
        {"size": [192, 256], "counts": [0] * 500_001},
    ],
)
def test_an_outline_is_read_as_what_it_says_it_is(desk: Rig, picture: str, prior: Any) -> None:
    body = {"image": picture, "prompts": [{"prior": prior}]}
    found = desk.client.post(SEGMENT, json=body)
    assert found.status_code == 422
    assert len(found.json()["detail"]) <= 2  # one, and that a list is no text
    kind = prior.get("type", "Rle")
    assert {one["loc"][4] for one in found.json()["detail"]} == {kind}


def test_values_are_counted_by_what_is_between_them() -> None:
    check_values(b"[" + b"1," * (MOST_VALUES - 1) + b"1]")
    check_values(b'{"data":"' + b"A" * (4 << 20) + b'"}')
    with pytest.raises(RequestError, match="values"):
        check_values(b" " * 999 + b"[" + b"1," * (MOST_VALUES + 1) + b"1]")


def test_what_is_drawn_gives_way_after_each_object(
    desk: Rig, picture: str, fake: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    ended = threading.Event()
    lane, draw = desk.jobs.lane("requests"), results.png

    def drawn(*of: Any) -> bytes:
        if not order:
            lane.submit(lambda task: order.append("asked meanwhile"))
        order.append("drawn")
        return draw(*of)

    monkeypatch.setattr(results, "png", drawn)
    lane.submit(lambda task: ended.wait(WAIT_S))  # the other of its two threads
    try:
        ask(desk, image=picture, prompts=[ON], strategy="all", result="png")
    finally:
        ended.set()
    assert order == ["drawn", "asked meanwhile", "drawn", "drawn"]


def test_too_many_masks_are_not_drawn(
    desk: Rig, picture: str, fake: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("samdesk.server.masks.DRAWN_PIXELS", 2 * SIZE[0] * SIZE[1])
    body = {"image": picture, "prompts": [ON] * 3}
    for result in ("rle", "png"):
        assert refused(desk, **body, result=result)[0] == 413
        assert ask(desk, image=picture, prompts=[ON] * 2, result=result)["objects"]
    assert len(ask(desk, **body)["features"]) == 3
    prior = {"prior": {"size": [SIZE[1], SIZE[0]], "counts": [9, SIZE[0] * SIZE[1] - 9]}}
    assert refused(desk, image=picture, prompts=[prior] * 3)[0] == 413
    sent = base64_text(PICTURE)
    points = [{"x": 100, "y": 90}] * 3
    status, told = refused(desk, "/segment-binary", image=sent, points=points)
    assert (status, "3 masks" in told) == (413, True)
    boxes = {"image": sent, "boxes": [[60, 50, 140, 130]] * 3}
    assert refused(desk, "/v1/segment", **boxes, strategy="all")[0] == 413
    assert desk.client.post("/v1/segment", json=boxes).status_code == 200


def test_too_much_to_look_at_is_refused() -> None:
    whole = (100_000, 80_000)
    for fine in (None, 1.0):
        _check_tiles(whole, None, fine)
    _check_tiles(whole, Bounds(0, 0, 5000, 5000), 0.1)
    _check_tiles(whole, Bounds(-9, -9, -1, -1), 0.1)  # told of when it is looked for
    with pytest.raises(RequestError, match="downsample") as found:
        _check_tiles(whole, None, 0.5)
    assert found.value.status == 413


@pytest.mark.parametrize(
    ("body", "member"),
    [
        ({"prompts": [{"points": [{"x": 9, "y": 9, "label": 0}]}]}, "prompts.0.points.0.label"),
        ({"prompts": [{"points": [{"x": 9, "y": 9}]}], "rezult": "rle"}, "rezult"),
        ({"points": [{"x": 9, "y": 9}]}, "points"),
    ],
)
def test_a_member_that_is_misspelt_is_refused(rig: Rig, body: dict[str, Any], member: str) -> None:
    answer = rig.client.post("/api/v1/segment", json={"data": "", "prompts": [], **body})
    assert answer.status_code == 422
    assert answer.json()["error"] == f"{member}: there is no such member here."
