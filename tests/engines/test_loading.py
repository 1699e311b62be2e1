"""From a name or a file to a segmenter, with a real architecture and seeded weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
from skimage import data

from samdesk.app.jobs import Jobs, MainQueue
from samdesk.app.models import CLASSICAL, Models
from samdesk.app.session import PromptSession
from samdesk.app.settings import Settings
from samdesk.domain.errors import SamdeskError
from samdesk.domain.prompts import PointPrompt, Prompts
from samdesk.domain.tasks import Cancelled, Task
from samdesk.engines.cache import open_store
from samdesk.sdk import EnginePool, Image, Segmenter, load_segmenter, open_image
from samdesk.weights import Registry
from tests.engines.seeded_sam import mobile_sam_checkpoint
from tests.fakes import FakeEngine

POINT = Prompts((PointPrompt(100, 56),))


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMDESK_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mobile_sam_checkpoint(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    shipped = Path(__file__).parents[2] / "weights.json"
    folder = tmp_path / "registry"
    return Registry(shipped, folder / "weights.json", folder)


@pytest.fixture
def image(tmp_path: Path) -> Iterator[Image]:
    path = tmp_path / "coins.png"
    cv2.imwrite(str(path), data.coins())
    opened = open_image(path)
    yield opened
    opened.close()


def test_a_file_alone_says_what_it_is(weights: Path, image: Image) -> None:
    segmenter = load_segmenter(weights=weights, pool=EnginePool())
    assert segmenter.title == "mobile_sam.pt"
    found = segmenter.segment(image, POINT)
    assert (segmenter.name, segmenter.title) == ("mobile_sam", "MobileSAM")
    assert found
    assert {one.engine for one in found} == {"mobile_sam"}
    assert found[0].timings["load"] > 0


def test_a_loaded_model_is_shared(weights: Path) -> None:
    pool = EnginePool()
    one = load_segmenter("vit_t", weights, device="cpu", pool=pool)
    two = load_segmenter(None, weights, device="cpu", pool=pool)
    assert one.engine is two.engine
    pool.clear()
    assert load_segmenter("vit_t", weights, device="cpu", pool=pool).engine is not one.engine


def test_loading_can_be_abandoned(weights: Path) -> None:
    task = Task()
    task.cancel()
    segmenter = load_segmenter(weights=weights, pool=EnginePool())
    with pytest.raises(Cancelled):
        segmenter.load(task)
    assert not segmenter.is_loaded
    assert segmenter.load(Task()).title == "MobileSAM"


@pytest.mark.parametrize("name", ["vit_b", "sam", "sam2_t"])
def test_a_file_of_another_model_is_told(weights: Path, name: str) -> None:
    with pytest.raises(SamdeskError, match="MobileSAM"):
        load_segmenter(name, weights, pool=EnginePool()).load(Task())


def test_a_file_that_is_gone_is_told(tmp_path: Path, weights: Path, image: Image) -> None:
    copy = tmp_path / "copy.pt"
    copy.write_bytes(weights.read_bytes())
    segmenter = load_segmenter(weights=copy, pool=EnginePool())
    later = load_segmenter(weights=copy, pool=EnginePool())
    segmenter.load(Task())
    copy.unlink()
    assert segmenter.segment(image, POINT)  # what is in memory goes on
    with pytest.raises(SamdeskError, match=r"copy\.pt cannot be read"):
        later.segment(image, POINT)


def test_missing_weights_say_how_to_get_them(registry: Registry) -> None:
    with pytest.raises(SamdeskError, match=r"No weights for SAM 2 Hiera-T") as told:
        load_segmenter("sam2_t", registry=registry)
    assert "samdesk weights download" in told.value.hint
    with pytest.raises(SamdeskError, match="not on this computer"):
        load_segmenter(weights="MobileSAM", registry=registry)
    with pytest.raises(SamdeskError, match="no weight file"):
        load_segmenter("vit_b", "nowhere/sam.pth", registry=registry)
    with pytest.raises(SamdeskError, match="takes no weights"):
        load_segmenter("classical", "nowhere/sam.pth", registry=registry)


def test_a_weight_of_the_registry_is_found_by_name_and_type(registry: Registry, weights: Path) -> None:
    registry.add("Mine", type="vit_t", reference=weights)
    for given in ({"weights": "Mine"}, {"name": "vit_t"}, {"name": "mobile_sam"}):
        segmenter = load_segmenter(**given, registry=registry, pool=EnginePool())  # type: ignore[arg-type]
        assert segmenter.load(Task()).title == "MobileSAM"


def test_the_second_process_finds_the_embedding_on_disk(weights: Path, image: Image, tmp_path: Path) -> None:
    folder = tmp_path / "embeddings"
    first = load_segmenter(weights=weights, cache=open_store(folder=folder), pool=EnginePool())
    before = first.segment(image, POINT)[0]
    second = load_segmenter(weights=weights, cache=open_store(folder=folder), pool=EnginePool())
    after = second.segment(image, POINT)[0]
    assert after.timings["encode"] == 0
    assert after.shape.area == pytest.approx(before.shape.area, rel=0.01)


class Rig:
    """The picker without a window: a fake stands in, the registry holds one real model."""

    def __init__(self, registry: Registry, folder: Path) -> None:
        self.main = MainQueue()
        self.jobs = Jobs(self.main)
        self.settings = Settings(folder / "settings.json")
        self.stand_in = Segmenter(FakeEngine())
        self.session = PromptSession(self.jobs, self.stand_in, lambda *_: True)
        self.models = Models(
            self.jobs, self.settings, self.session, self.stand_in, self.stand_in.cache, registry
        )
        self.told: list[str] = []
        self.jobs.failed.connect(lambda job: self.told.append(job.error.message))
        self.models.failed.connect(lambda error: self.told.append(error.message))

    def settle(self) -> None:
        self.main.run_until(lambda: self.jobs.idle, 60)
        self.main.drain()

    def row(self, key: str) -> tuple[str, str]:
        (found,) = [row for row in self.models.rows() if row.key == key]
        return found.state, found.detail


@pytest.fixture
def rig(registry: Registry, tmp_path: Path) -> Iterator[Rig]:
    made = Rig(registry, tmp_path)
    yield made
    made.jobs.close()


def test_a_chosen_model_loads_and_is_remembered(rig: Rig, registry: Registry, weights: Path) -> None:
    registry.add("Mine", type="vit_t", reference=weights)
    assert rig.row("Mine")[0] == "here"
    rig.models.choose("Mine")
    assert rig.models.is_loading
    assert rig.row("Mine")[0] == "loading"
    rig.settle()
    state, detail = rig.row("Mine")
    assert state == "loaded"
    assert "MB" in detail
    assert rig.session.segmenter.title == "MobileSAM"
    assert rig.settings["model"] == "Mine"
    rig.models.choose(CLASSICAL)
    assert rig.session.segmenter is rig.stand_in
    rig.settings["model"] = "Mine"
    rig.models.restore()
    assert rig.models.current == "Mine"


def test_a_missing_weight_is_offered_and_nothing_else_changes(rig: Rig) -> None:
    wanted: list[str] = []
    rig.models.wanted.connect(lambda weight: wanted.append(weight.name))
    rig.models.choose("MobileSAM")
    assert wanted == ["MobileSAM"]
    assert rig.models.current == CLASSICAL


def test_a_model_that_cannot_be_loaded_gives_the_classical_engine_back(rig: Rig, tmp_path: Path) -> None:
    page = tmp_path / "page.pt"
    page.write_text("<!DOCTYPE html><html><body>Please log in</body></html>")
    rig.models.open_file(page)
    rig.settle()
    assert rig.settings["model"] == CLASSICAL
    assert len(rig.told) == 1
    assert "page.pt" in rig.told[0]
    assert rig.models.current == CLASSICAL
    assert rig.session.segmenter is rig.stand_in


def test_choosing_another_model_abandons_the_one_that_loads(
    rig: Rig, registry: Registry, weights: Path
) -> None:
    registry.add("Mine", type="vit_t", reference=weights)
    rig.models.choose("Mine")
    rig.models.choose(CLASSICAL)
    rig.settle()
    assert rig.models.current == CLASSICAL
    assert not rig.told
