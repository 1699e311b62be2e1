"""`Service` and `asking`: lanes, cancels and the choice of a model, without a socket."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from samdesk.app.downloads import Downloads
from samdesk.app.jobs import Jobs
from samdesk.domain.errors import MemoryFullError, SamdeskError
from samdesk.domain.geometry import Bounds
from samdesk.domain.prompts import BoxPrompt, PointPrompt, Prompts
from samdesk.domain.tasks import Task
from samdesk.engines.cache import EmbeddingStore
from samdesk.sdk import Segmenter
from samdesk.server import Limits, ServerOptions, Service
from samdesk.server.asking import everything, find, segment, within
from samdesk.server.errors import RequestError
from samdesk.weights import Registry
from tests.fakes import FakeEngine

T = TypeVar("T")

SHIPPED = Path(__file__).parents[3] / "weights.json"


class Desk:
    """A service on the loop that a test runs; functions for the main thread run on the loop."""

    def __init__(self, folder: Path, **limits: Any) -> None:
        self.loop = asyncio.new_event_loop()
        self.jobs = Jobs(lambda function: _soon(self.loop, function))
        self.failed: list[str] = []
        self.jobs.failed.connect(lambda job: self.failed.append(str(job.error)))
        registry = Registry(SHIPPED, folder / "weights.json", folder)
        self.service = Service(
            self.jobs,
            Downloads(self.jobs, registry),
            EmbeddingStore(),
            ServerOptions(limits=Limits(**limits)),
        )

    def run(self, work: Callable[[], Awaitable[T]]) -> T:
        async def within_time() -> T:
            return await asyncio.wait_for(work(), 30)

        return self.loop.run_until_complete(within_time())

    def close(self) -> None:
        self.jobs.close()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()


def _soon(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(function)


@pytest.fixture
def desk(tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    made = Desk(tmp_path, **getattr(request, "param", {}))
    yield made
    made.close()


def test_a_job_answers_and_an_error_of_ours_is_not_the_clients(desk: Desk) -> None:
    assert desk.run(lambda: desk.service.run("requests", lambda task: 7)) == 7

    def refused(task: Task) -> None:
        raise SamdeskError("No.", "Ask nicely.")

    with pytest.raises(SamdeskError, match="No") as told:
        desk.run(lambda: desk.service.run("requests", refused))
    assert not isinstance(told.value, RequestError)
    with pytest.raises(RequestError) as failed:
        desk.run(lambda: desk.service.run("requests", lambda task: 1 // 0))
    assert failed.value.status == 500
    assert desk.service.waiting == 0


def test_steps_give_way_and_their_faults_are_told(desk: Desk) -> None:
    order: list[str] = []

    def long(task: Task) -> Any:
        for number in range(3):
            order.append(f"long {number}")
            yield
        return "ended"

    async def both() -> str:
        sweep = asyncio.ensure_future(desk.service.run_steps("model", long, priority=1))
        quick = asyncio.ensure_future(desk.service.run("model", lambda task: order.append("quick")))
        await quick
        return await sweep

    assert desk.run(both) == "ended"
    assert order.index("quick") < order.index("long 2")

    def broken(task: Task) -> Any:
        yield
        raise ValueError("a slip")

    with pytest.raises(RequestError) as failed:
        desk.run(lambda: desk.service.run_steps("model", broken))
    assert failed.value.status == 500


def test_who_leaves_cancels_what_waits_and_what_runs(desk: Desk) -> None:
    begun, go_on = threading.Event(), threading.Event()
    seen: list[str] = []

    def slow(task: Task) -> None:
        begun.set()
        go_on.wait(10)
        seen.append("cancelled" if task.cancelled else "kept on")

    async def leave() -> None:
        running = asyncio.ensure_future(desk.service.run("model", slow))
        waiting = asyncio.ensure_future(desk.service.run("model", lambda task: seen.append("never")))
        while not begun.is_set():
            await asyncio.sleep(0)
        running.cancel()
        waiting.cancel()
        await asyncio.gather(running, waiting, return_exceptions=True)
        go_on.set()
        await desk.service.run("model", lambda task: seen.append("next"))

    desk.run(leave)
    assert seen == ["cancelled", "next"]
    assert desk.service.waiting == 0


@pytest.mark.parametrize("desk", [{"waiting": 2}], indirect=True)
def test_too_many_are_refused_and_there_is_room_again(desk: Desk) -> None:
    go_on = threading.Event()

    async def crowd() -> list[Any]:
        held = [
            asyncio.ensure_future(desk.service.run("model", lambda task: go_on.wait(10))) for _ in range(2)
        ]
        await asyncio.sleep(0)
        third = await asyncio.gather(desk.service.run("model", lambda task: 1), return_exceptions=True)
        go_on.set()
        await asyncio.gather(*held)
        return third

    (refused,) = desk.run(crowd)
    assert isinstance(refused, RequestError)
    assert refused.status == 503
    assert desk.run(lambda: desk.service.run("model", lambda task: 1)) == 1


@pytest.mark.parametrize("desk", [{"waiting": 1}], indirect=True)
def test_what_follows_a_first_job_is_neither_counted_nor_refused(desk: Desk) -> None:
    go_on = threading.Event()

    def steps(task: Task) -> Any:
        yield
        return desk.service.waiting

    async def beside() -> list[int]:
        held = asyncio.ensure_future(desk.service.run("model", lambda task: go_on.wait(10)))
        await asyncio.sleep(0)
        with pytest.raises(RequestError, match="No model"):
            await desk.service.refuse(RequestError(404, "No model."))
        told = await desk.service.run("requests", lambda task: desk.service.waiting, counted=False)
        again = await desk.service.run_steps("requests", steps, counted=False)
        go_on.set()
        await held
        return [told, again, desk.service.waiting]

    assert desk.run(beside) == [1, 1, 0]


@pytest.mark.parametrize("ends_first", [True, False])
def test_a_result_that_nobody_waits_for_is_discarded(desk: Desk, ends_first: bool) -> None:
    begun, go_on = threading.Event(), threading.Event()
    discarded: list[int] = []

    def work(task: Task) -> int:
        begun.set()
        go_on.wait(10)
        return 7

    async def leave() -> None:
        asked = asyncio.ensure_future(desk.service.run("io", work, discard=discarded.append))
        await asyncio.sleep(0)
        assert begun.wait(10)
        if ends_first:  # the loop stands still, so it does not hear of it
            go_on.set()
            assert desk.jobs.lane("io").flush(10)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        go_on.set()
        assert desk.jobs.lane("io").flush(10)

    desk.run(leave)
    assert discarded == [7]
    assert desk.run(lambda: desk.service.run("io", work, discard=discarded.append)) == 7
    assert discarded == [7]


def test_memory_that_ran_out_is_not_the_clients_fault(desk: Desk) -> None:
    def greedy(task: Task) -> None:
        raise MemoryError

    with pytest.raises(RequestError, match="not enough memory") as told:
        desk.run(lambda: desk.service.run("model", greedy))
    assert told.value.status == 503


def test_a_program_that_ends_says_so(desk: Desk) -> None:
    desk.jobs.lane("model").close()
    with pytest.raises(RequestError, match="stopping"):
        desk.run(lambda: desk.service.run("model", lambda task: 1))


def test_the_main_thread_answers_or_fails(desk: Desk) -> None:
    async def asked() -> str:
        return await desk.service.on_main(lambda: threading.current_thread().name)

    assert desk.run(asked) == threading.current_thread().name
    with pytest.raises(ZeroDivisionError):
        desk.run(lambda: desk.service.on_main(lambda: 1 // 0))


def test_a_model_is_found_by_type_name_and_address(desk: Desk) -> None:
    service = desk.service
    assert service.choose(None).key == "classical"
    assert service.choose("vit_b").title == "SAM ViT-B"
    assert service.choose("sam2").type == "sam2_t"
    assert service.choose("EM organelles, ViT-T").type == "vit_t"
    weight = service.registry.of_type("sam2_l")[0]
    assert service.choose(weight.url).key == weight.name
    with pytest.raises(RequestError) as unknown:
        service.choose("yolo")
    assert unknown.value.status == 404
    assert [choice.key for choice in service.choices("vit_h")] == ["classical", "SAM ViT-H"]


def test_the_default_is_the_one_without_weights_when_it_is_gone(tmp_path: Path, desk: Desk) -> None:
    assert desk.service.default_choice().key == "classical"
    desk.service.default_model = lambda: "vit_b"
    assert desk.service.default_choice().key == "SAM ViT-B"
    desk.service.default_model = lambda: "gone"
    assert desk.service.default_choice().key == "classical"


def test_another_weight_of_the_same_name_is_another_model(tmp_path: Path, desk: Desk) -> None:
    service, registry = desk.service, desk.service.registry
    first, second = tmp_path / "first.pt", tmp_path / "second.pt"
    for path in (first, second):
        path.write_bytes(b"weights")

    def mine() -> Segmenter:
        return desk.run(lambda: service.segmenter(service.choose("Mine")))

    registry.add("Mine", type="vit_b", reference=first)
    known = mine()
    assert mine() is known
    registry.remove(service.choose("Mine").weight)
    registry.add("Mine", type="sam2_t", reference=second)
    other = mine()
    assert (known.name, other.name) == ("sam", "sam2")
    second.write_bytes(b"other weights")
    assert mine() is not other
    second.unlink()
    assert service.loaded(service.choose("Mine")) is None


def test_a_weight_that_is_not_here_is_refused_and_the_window_tells_it(desk: Desk) -> None:
    with pytest.raises(RequestError) as refused:
        desk.run(lambda: desk.service.segmenter(desk.service.choose("vit_l")))
    assert refused.value.status == 503
    assert "SAM ViT-L" in refused.value.message
    assert "samdesk weights download" in refused.value.hint
    assert desk.failed == [str(refused.value)]


def test_a_weight_that_cannot_be_loaded_is_the_servers_trouble(desk: Desk) -> None:
    weight = desk.service.registry.of_type("vit_t")[0]
    path = desk.service.registry.path(weight)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"no weights" * 100)
    image = _image()
    with pytest.raises(RequestError) as refused:
        desk.run(lambda: segment(desk.service, image, [_point(20, 20)], desk.service.choose(weight.name)))
    assert refused.value.status == 503


def test_memory_that_is_full_stays_what_it_is() -> None:
    def load(task: Task) -> Any:
        raise MemoryFullError("No memory is left.")

    segmenter = Segmenter(FakeEngine(), load=load)
    segmenter._engine = None
    with pytest.raises(MemoryFullError):
        Service.load(segmenter, Task())


def test_prompts_beyond_the_image_are_left_out() -> None:
    given = Prompts(
        (PointPrompt(5, 5), PointPrompt(-1, 5), PointPrompt(200, 5, False)),
        (BoxPrompt(Bounds(-10, -10, 20, 20)), BoxPrompt(Bounds(300, 300, 400, 400))),
    )
    left = within(given, (100, 100))
    assert left.points == (PointPrompt(5, 5),)
    assert left.boxes == (BoxPrompt(Bounds(0, 0, 20, 20)),)
    assert not within(Prompts((PointPrompt(5, 5, False),)), (100, 100))
    assert not within(Prompts((PointPrompt(500, 5),)), (100, 100))


def test_several_prompts_on_one_picture_are_encoded_once(desk: Desk) -> None:
    engine = FakeEngine()
    desk.service._segmenters["classical"] = Segmenter(engine, desk.service.store)
    choice = desk.service.choose("classical")
    image = _image()
    prompts = [_point(20, 20), _point(500, 20), _point(70, 60)]
    found = desk.run(lambda: segment(desk.service, image, prompts, choice))
    assert [len(one) > 0 for one in found] == [True, False, True]
    desk.run(lambda: segment(desk.service, image, prompts, choice))
    assert engine.encoded == 1
    assert desk.run(lambda: segment(desk.service, image, [Prompts()], choice)) == [[]]


class Held(FakeEngine):
    """Encodes nothing while `go_on` is not set; finds nothing, and tells who encoded what.

    Attributes
    ----------
    encodes : list of (str, int)
        The thread, and how wide the chip was.
    """

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()
        self.encodes: list[tuple[str, int]] = []

    def encode(self, chip: Any, task: Task) -> Any:
        self.encodes.append((threading.current_thread().name, chip.shape[1]))
        self.begun.set()
        assert self.go_on.wait(20)
        return super().encode(chip, task)

    def predict(self, *args: Any, **more: Any) -> Any:
        return []


WIDE = 2048, 600
LEFT, RIGHT = (100.0, 300.0), (1900.0, 300.0)


@pytest.fixture
def held(desk: Desk) -> Held:
    engine = Held()
    desk.service._segmenters["classical"] = Segmenter(engine, desk.service.store)
    return engine


def _asking(desk: Desk, image: Any, *points: tuple[float, float]) -> Any:
    prompts = [_point(*point) for point in points]
    choice = desk.service.choose(None)
    return asyncio.ensure_future(segment(desk.service, image, prompts, choice, downsample=1.0))


async def _until(event: threading.Event) -> None:
    while not event.is_set():
        await asyncio.sleep(0.001)


def test_many_chips_to_encode_let_others_go_first(desk: Desk, held: Held) -> None:
    wide, small = _image(31 * 512, 40), _image()
    points = [(512.0 * number, 20.0) for number in range(1, 31)]
    held.go_on.clear()

    async def both() -> int:
        many = _asking(desk, wide, *points)
        await _until(held.begun)
        quick = _asking(desk, small, (20, 20))
        await asyncio.sleep(0)
        held.go_on.set()
        await quick
        so_far = [width for _, width in held.encodes].index(120)
        await many
        return so_far

    assert desk.run(both) == 1
    assert held.encoded == 31


def test_what_is_encoded_is_answered_while_other_chips_of_a_request_are_not(desk: Desk, held: Held) -> None:
    image = _image(*WIDE)

    async def beside() -> None:
        await _asking(desk, image, LEFT)
        held.begun.clear()
        held.go_on.clear()
        both = _asking(desk, image, LEFT, RIGHT)
        await _until(held.begun)
        await _asking(desk, image, LEFT, LEFT)
        assert not both.done()
        held.go_on.set()
        await both

    desk.run(beside)
    assert [name for name, _ in held.encodes] == ["samdesk-model-0"] * 2


def test_what_had_to_make_room_meanwhile_is_encoded_where_all_is(desk: Desk, held: Held) -> None:
    image = _image(*WIDE)
    go_on = threading.Event()

    async def forgotten() -> list[Any]:
        await _asking(desk, image, LEFT, RIGHT)
        before = asyncio.ensure_future(desk.service.run("predict", lambda task: go_on.wait(10)))
        await asyncio.sleep(0)
        asked = _asking(desk, image, LEFT, RIGHT, LEFT)
        await asyncio.sleep(0)
        desk.service.store.memory.clear()
        go_on.set()
        await before
        return await asked

    assert desk.run(forgotten) == [[], [], []]
    assert [name for name, _ in held.encodes] == ["samdesk-model-0"] * 4
    assert desk.service.waiting == 0


def test_prompts_on_many_chips_are_answered_in_order(desk: Desk) -> None:
    desk.service._segmenters["classical"] = Segmenter(FakeEngine(), desk.service.store)
    image = _image(*WIDE)
    points = [RIGHT, LEFT, (5000.0, 300.0), (1000.0, 300.0), RIGHT]
    found = desk.run(lambda: _asking(desk, image, *points))
    middles = [one[0].shape.bounds.center if one else None for one in found]
    assert middles == [RIGHT, LEFT, None, (1000.0, 300.0), RIGHT]


@pytest.mark.parametrize("desk", [{"prompts": 2}], indirect=True)
def test_too_many_prompts_are_refused(desk: Desk) -> None:
    with pytest.raises(RequestError) as refused:
        desk.run(lambda: segment(desk.service, _image(), [_point(1, 1)] * 3, desk.service.choose(None)))
    assert refused.value.status == 413


def test_a_search_without_words_or_examples_finds_nothing(desk: Desk) -> None:
    beside = Prompts(boxes=(BoxPrompt(Bounds(1, 1, 5, 5), False),), text=" ")
    assert desk.run(lambda: find(desk.service, _image(), beside, desk.service.choose(None))) == []
    with pytest.raises(SamdeskError, match="cannot search"):
        desk.run(lambda: find(desk.service, _image(), Prompts(text="horse"), desk.service.choose(None)))


def test_everything_in_a_picture_larger_than_a_chip_is_seen_at_once(desk: Desk) -> None:
    image = _image(1500, 900, (slice(200, 500), slice(300, 700)))
    found = desk.run(
        lambda: everything(desk.service, image, desk.service.choose(None), {"points_per_side": 6})
    )
    areas = [one.shape.area for one in found]
    assert any(abs(area - 300 * 400) < 0.03 * 300 * 400 for area in areas)
    assert len({one.region for one in found}) == 1


def _point(x: float, y: float) -> Prompts:
    return Prompts((PointPrompt(x, y),))


def _image(
    width: int = 120, height: int = 90, block: tuple[slice, slice] = (slice(10, 40), slice(10, 50))
) -> Any:
    import cv2

    from samdesk.server.pictures import Pictures

    pixels = np.full((height, width, 3), 40, np.uint8)
    pixels[block] = (210, 180, 60)
    return Pictures(Limits()).read(cv2.imencode(".png", pixels)[1].tobytes())
