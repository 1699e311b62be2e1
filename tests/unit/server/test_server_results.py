"""What clients get: features that QuPath takes whatever the shapes, run lengths as COCO's, masks, choices."""

from __future__ import annotations

import json
import math
from typing import Any

import cv2
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from samdesk.domain.geometry import Bounds, Region, Shape, ShapeKind
from samdesk.domain.outline import mask_to_shape, repair
from samdesk.domain.prompts import Candidate
from samdesk.formats.geojson import loads
from samdesk.server.results import (
    coco_rle,
    coco_rle_uncompressed,
    geojson,
    mask_of,
    pick,
    png,
    polygons,
    qupath_features,
)

SIZE = (400, 300)
WHOLE = Region(0, 0, *SIZE)
GRID = 0.01
"""To which QuPath rounds."""

RING = Shape.polygon(
    [(10, 10), (60, 10), (60, 50), (35, 60), (10, 50)], [[(20, 20), (30, 20), (30, 30), (20, 30)]]
)
"""One part with a hole."""

quick = settings(deadline=None, max_examples=50)


def candidate(shape: Shape, score: float = 0.75, at_edge: bool = False) -> Candidate:
    return Candidate(shape, score, WHOLE, at_edge, "fake")


def features_of(*shapes: Shape, size: tuple[int, int] = SIZE, **given: Any) -> list[dict[str, Any]]:
    return qupath_features([candidate(one) for one in shapes], "SAM fake", size, **given)


def speckled(seed: int) -> Shape:
    """Specks with holes, that meet at corners."""
    rng = np.random.default_rng(seed)
    field = rng.random(rng.integers(4, 40, 2)).astype(np.float32)
    sigma = rng.choice([0.0, 1.0, 2.0])
    return mask_to_shape((cv2.GaussianBlur(field, (0, 0), sigma) if sigma else field) < 0.5)


@st.composite
def masks(draw: st.DrawFn) -> NDArray[np.bool_]:
    height, width = draw(st.integers(1, 30)), draw(st.integers(1, 30))
    kind = draw(st.sampled_from(["empty", "full", "noise", "specks"]))
    if kind in ("empty", "full"):
        return np.full((height, width), kind == "full")
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if kind == "noise":
        return np.asarray(rng.random((height, width)) < draw(st.sampled_from([0.02, 0.5, 0.98])))
    return np.asarray(cv2.GaussianBlur(rng.random((height, width)), (0, 0), 2.0) < 0.5)


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    """Shapes as models make them, as fine as a hair and anywhere; and rings without any manners."""
    where = draw(st.sampled_from([(0.0, 0.0), (3.37, 90.004), (399.2, 250.0), (-4.0, -2.5)]))
    if draw(st.booleans()):
        step = draw(st.sampled_from([1.0, 0.37, 0.011, 0.003]))
        return speckled(draw(st.integers(0, 2**32 - 1))).scaled(step, *where)
    vertex = st.tuples(st.integers(0, 24), st.integers(0, 24))
    ring = st.lists(vertex, min_size=0, max_size=7)
    parts = draw(st.lists(st.lists(ring, min_size=1, max_size=3), min_size=1, max_size=3))
    return Shape.from_parts(parts).scaled(draw(st.sampled_from([3.0, 0.31, 0.003])), *where)


def check_geometry(geometry: dict[str, Any], size: tuple[int, int] = SIZE) -> Any:
    """As strict as QuPath's reader, and more; the shapely geometry."""
    assert geometry["type"] in ("Polygon", "MultiPolygon")
    parts = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
    assert len(parts) > (geometry["type"] == "MultiPolygon")
    for ring in (ring for part in parts for ring in part):
        assert len(ring) >= 4
        assert ring[0] == ring[-1]
        for x, y in ring:
            assert round(x, 2) == x
            assert round(y, 2) == y
            assert 0 <= x <= size[0]
            assert 0 <= y <= size[1]
    found = shapely.geometry.shape({key: geometry[key] for key in ("type", "coordinates")})
    assert found.is_valid, shapely.is_valid_reason(found)
    assert found.area > 0
    # what QuPath does with it; vertices that all but touch a side are drawn onto it
    reduced = shapely.set_precision(found, GRID)
    assert reduced.is_valid
    assert abs(reduced.area - found.area) <= GRID * found.length
    return found


def plain(value: Any) -> Any:
    """Through JSON as it is sent, where there is neither null nor NaN."""
    text = json.dumps(value, allow_nan=False)
    assert "null" not in text
    return json.loads(text)


def rectangle(ring: list[list[float]]) -> bool:
    area = shapely.Polygon(ring)
    return bool(area.equals(shapely.box(*area.bounds)))


class TestForQupath:
    def test_a_feature(self) -> None:
        (feature,) = features_of(RING)
        assert set(feature) == {"type", "geometry", "properties"}
        assert feature["properties"] == {
            "objectType": "annotation",
            "label": "object",
            "quality": 0.75,
            "sam_model": "SAM fake",
        }
        assert set(feature["geometry"]) == {"type", "coordinates"}
        found = check_geometry(feature["geometry"])
        assert found.equals(RING.to_shapely())
        assert len(found.interiors) == 1

    def test_a_frame_has_its_plane_and_its_object(self) -> None:
        (feature,) = features_of(RING, plane=(2, 7), object_id=3)
        assert feature["geometry"]["plane"] == {"c": -1, "z": 2, "t": 7}
        assert feature["properties"]["object_idx"] == 3
        (feature,) = features_of(RING, plane=(0, 0), object_id=0)
        assert feature["geometry"]["plane"] == {"c": -1, "z": 0, "t": 0}
        assert feature["properties"]["object_idx"] == 0

    def test_the_quality_is_that_of_the_shape(self) -> None:
        given_scores = [0.9, 0.1, 0.5]
        asked = [candidate(RING.translated(k, 0), score) for k, score in enumerate(given_scores)]
        found = qupath_features(asked, "fake", SIZE)
        assert [one["properties"]["quality"] for one in found] == given_scores
        assert [one["geometry"]["coordinates"][0][0][0] for one in found] == [10, 11, 12]

    @pytest.mark.parametrize("score", [math.nan, math.inf, np.float32("nan")])
    def test_a_score_that_is_no_number(self, score: float) -> None:
        (feature,) = qupath_features([candidate(RING, score)], "fake", SIZE)
        assert plain(feature)["properties"]["quality"] == 0

    def test_a_score_of_numpy_is_plain(self) -> None:
        (feature,) = qupath_features([candidate(RING, np.float32(0.5))], "fake", SIZE)
        assert plain(feature)["properties"]["quality"] == 0.5

    def test_what_is_left_of_nothing_is_left_out(self) -> None:
        nothing = [
            Shape.empty(),
            Shape.box(1, 1, 1.004, 50),
            Shape.box(-20, -20, -1, -1),
            Shape.box(400, 0, 420, 20),
            Shape(np.array([[1.0, 1], [2, 2], [3, 3]]), np.array([0, 3]), np.array([0, 1]), ShapeKind.LINES),
            Shape.polygon([(math.nan, 1), (2, 2), (3, 3)]),
        ]
        assert features_of(*nothing) == []
        assert len(features_of(*nothing, RING)) == 1

    def test_what_reaches_beyond_the_image_is_cut_off(self) -> None:
        (feature,) = features_of(Shape.polygon([(-50, 40), (30, -40), (90, 80)]))
        check_geometry(feature["geometry"])

    def test_holes_and_parts_are_kept(self) -> None:
        both = Shape.from_parts([*RING.to_parts(), *RING.translated(100, 0).to_parts()])
        (feature,) = features_of(both)
        found = check_geometry(feature["geometry"])
        assert [len(part.interiors) for part in found.geoms] == [1, 1]
        assert found.area == pytest.approx(both.area)

    @given(shapes())
    @quick
    def test_any_shape_becomes_what_qupath_takes(self, shape: Shape) -> None:
        features = features_of(shape)
        assert len(features) <= 1
        for feature in plain(features):
            found = check_geometry(feature["geometry"])
            inside = repair(shape)[0].to_shapely().intersection(shapely.box(0, 0, *SIZE))
            # rounding moves an outline by 0.007 px, and a cut corner costs 0.125 px² at most
            assert abs(found.area - inside.area) < 0.2 + 0.01 * inside.length

    @given(st.integers(0, 2**32 - 1), st.integers(1, 4))
    @quick
    def test_parts_and_holes_of_a_mask_are_all_there(self, seed: int, factor: int) -> None:
        shape = speckled(seed).scaled(factor)
        for feature in features_of(shape):
            found = check_geometry(feature["geometry"])
            parts = getattr(found, "geoms", [found])
            assert sorted(len(part.interiors) for part in parts) == sorted(
                len(part) - 1 for part in shape.to_parts()
            )
            assert shape.area - 0.2 < found.area <= shape.area


class TestRectanglesForQupath:
    @given(
        st.integers(0, 9000).map(lambda k: k / 100),
        st.integers(0, 9000).map(lambda k: k / 100),
        st.one_of(st.integers(1, 200), st.integers(1, 20000)).map(lambda k: k / 100),
        st.one_of(st.integers(1, 200), st.integers(1, 20000)).map(lambda k: k / 100),
    )
    @quick
    def test_none_is_left(self, x: float, y: float, width: float, height: float) -> None:
        box = Shape.box(x, y, x + width, y + height)
        for feature in features_of(box):
            found = check_geometry(feature["geometry"])
            assert not rectangle(feature["geometry"]["coordinates"][0])
            assert box.area - 0.2 < found.area < box.area
            assert Bounds(*found.bounds) == pytest.approx(box.bounds)
        assert bool(features_of(box)) == (box.area >= 0.00999)

    def test_vertices_on_the_sides_change_nothing(self) -> None:
        box = Shape.polygon([(0, 0), (5, 0), (10, 0), (10, 4), (10, 8), (0, 8), (0, 3)])
        (feature,) = features_of(box)
        assert not rectangle(feature["geometry"]["coordinates"][0])
        assert check_geometry(feature["geometry"]).area == pytest.approx(80 - 0.125)

    @pytest.mark.parametrize(
        "shape",
        [
            RING,
            Shape.polygon([(0, 0), (10, 0), (10, 8), (5, 9), (0, 8)]),
            Shape.polygon([(0, 0), (10, 0), (10, 8), (1, 8), (0, 7)]),
            Shape.polygon([(5, 0), (10, 5), (5, 10), (0, 5)]),
            Shape.polygon([(0, 0), (9, 0), (9, 9), (0, 9)], [[(3, 3), (6, 3), (6, 6), (3, 6)]]),
            Shape.from_parts([[[(0, 0), (9, 0), (9, 9), (0, 9)]], [[(20, 0), (29, 0), (29, 9), (20, 9)]]]),
            Shape.polygon([(0, 0), (10, 0), (10, 10), (5, 10), (5, 5), (0, 5)]),
        ],
    )
    def test_all_others_stay_as_they_are(self, shape: Shape) -> None:
        (feature,) = features_of(shape)
        assert check_geometry(feature["geometry"]).equals(shape.to_shapely())


class TestGeojson:
    def test_it_is_imported_with_its_score(self) -> None:
        asked = [candidate(RING, 0.87654), candidate(Shape.empty()), candidate(Shape.box(0, 0, 9, 9), 0.5)]
        made = geojson(asked, "SAM fake", SIZE)
        found = list(loads(json.dumps(made, allow_nan=False)).table.annotations())
        assert [one.measurements for one in found] == [{"Score": 0.8765}, {"Score": 0.5}]
        assert [one.shape.area for one in found] == [RING.area, 81]

    def test_it_says_which_prompt_each_answers(self) -> None:
        asked = [candidate(RING), candidate(Shape.empty()), candidate(RING, at_edge=True)]
        made = plain(geojson(asked, "SAM fake", SIZE, prompts=[0, 1, 2]))
        assert [one["properties"]["prompt"] for one in made["features"]] == [0, 2]
        assert made["features"][1]["properties"] == {
            "objectType": "annotation",
            "measurements": {"Score": 0.75},
            "score": 0.75,
            "model": "SAM fake",
            "at_edge": True,
            "prompt": 2,
        }

    def test_nothing(self) -> None:
        assert geojson([], "SAM fake", SIZE) == {"type": "FeatureCollection", "features": []}

    @given(shapes())
    @quick
    def test_polygons_are_the_same_geometry(self, shape: Shape) -> None:
        made = geojson([candidate(shape)], "fake", (10_000, 10_000))["features"]
        parts = polygons(shape)
        inside = repair(shape)[0].bounds
        if made and inside.x0 >= 0 and inside.y0 >= 0:
            geometry = made[0]["geometry"]
            assert parts == (
                geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
            )


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # by pycocotools
class TestRunLengths:
    def test_an_example_of_the_format(self) -> None:
        mask = np.array([[0, 1, 1], [0, 1, 0]], bool)
        shape = mask_to_shape(mask)
        assert coco_rle_uncompressed(shape, (3, 2)) == {"size": [2, 3], "counts": [2, 3, 1]}
        assert coco_rle(shape, (3, 2)) == {"size": [2, 3], "counts": "231"}

    @given(masks())
    @quick
    def test_pycocotools_reads_what_was_written_and_writes_the_same(self, mask: NDArray[np.bool_]) -> None:
        coco = pytest.importorskip("pycocotools.mask")
        made = coco_rle(mask_to_shape(mask), mask.shape[::-1])
        np.testing.assert_array_equal(coco.decode(made), mask)
        assert coco.area(made) == mask.sum()
        assert made["counts"].encode() == coco.encode(np.asfortranarray(mask.view(np.uint8)))["counts"]
        long = coco_rle_uncompressed(mask_to_shape(mask), mask.shape[::-1])
        again = coco.frPyObjects(long, *long["size"])
        np.testing.assert_array_equal(coco.decode(again), mask)

    @given(st.integers(0, 2**32 - 1))
    @settings(deadline=None, max_examples=30)
    def test_runs_of_all_lengths(self, seed: int) -> None:
        coco = pytest.importorskip("pycocotools.mask")
        rng = np.random.default_rng(seed)
        flat = np.repeat(np.arange(60) % 2, (10 ** rng.uniform(0, 4.5, 60)).astype(int))
        mask = np.resize(flat, (997, len(flat) // 997 + 1)).astype(bool)
        made = coco_rle(mask_to_shape(mask), mask.shape[::-1])
        np.testing.assert_array_equal(coco.decode(made), mask)

    @given(shapes())
    @quick
    def test_they_tell_the_same_pixels_as_the_mask(self, shape: Shape) -> None:
        shape = repair(shape)[0]
        counts = coco_rle_uncompressed(shape, SIZE)["counts"]
        values = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
        np.testing.assert_array_equal(values.reshape(SIZE).T, mask_of(shape, SIZE))
        assert all(count > 0 for count in counts[1:])

    def test_nothing_and_everything(self) -> None:
        assert coco_rle_uncompressed(Shape.empty(), (4, 3))["counts"] == [12]
        assert coco_rle_uncompressed(Shape.box(-5, -5, 50, 50), (4, 3))["counts"] == [0, 12]
        assert coco_rle_uncompressed(Shape.box(0, 0, 0.2, 0.2), (4, 3))["counts"] == [12]


def test_a_png_is_the_mask() -> None:
    data = png(RING, SIZE)
    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert (found.dtype, found.shape) == (np.uint8, (300, 400))
    np.testing.assert_array_equal(found, mask_of(RING, SIZE) * np.uint8(255))
    assert found[25, 25] == 0
    assert found[45, 25] == 255


class TestPick:
    SMALL = candidate(Shape.box(0, 0, 10, 10), 0.2)
    LARGE = candidate(Shape.box(5, 5, 50, 50), 0.6, at_edge=True)
    MIDDLE = candidate(Shape.box(0, 0, 20, 20), 0.9)
    ASKED = (candidate(Shape.empty(), 1.0), SMALL, LARGE, MIDDLE)

    def test_one(self) -> None:
        assert pick(self.ASKED, "best") == [self.MIDDLE]
        assert pick(self.ASKED, "largest") == [self.LARGE]
        assert pick(self.ASKED, "smallest") == [self.SMALL]

    def test_all(self) -> None:
        assert pick(self.ASKED, "all") == [self.SMALL, self.LARGE, self.MIDDLE]

    def test_one_of_all(self) -> None:
        (one,) = pick(self.ASKED, "merge")
        assert (one.score, one.at_edge, one.engine) == (0.9, True, "fake")
        assert one.shape.area == 45 * 45 + 20 * 20 - 15 * 15
        assert pick([self.SMALL], "merge") == [self.SMALL]

    @pytest.mark.parametrize("strategy", ["best", "largest", "smallest", "merge", "all"])
    def test_nothing(self, strategy: Any) -> None:
        assert pick([], strategy) == []
        assert pick([candidate(Shape.empty())], strategy) == []

    @given(st.lists(shapes(), min_size=1, max_size=3))
    @quick
    def test_merged_shapes_are_fit_for_qupath(self, given_shapes: list[Shape]) -> None:
        merged = pick([candidate(one) for one in given_shapes], "merge")
        for feature in qupath_features(merged, "fake", SIZE):
            check_geometry(feature["geometry"])
