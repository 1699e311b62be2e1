"""Ten prompts of QuPath on one view, against samapi's way of answering them: the same engine and picture.

Run with ``python -m tests.bench.test_server_bench``. samapi's way, written anew from what it is known
to do: decode the picture of every request, find out whether it is the last one by comparing all
pixels, bring the answers to the size of the picture, and follow the longest contour of each pixel by
pixel. Both are applications that answer in this process, asked in turns. The model is MobileSAM with
seeded weights; as those give masks of thousands of specks, both sides get outlines of a usual cell or
gland in their stead. Its time, the same on both sides, is also taken off: "beside the model".
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import geojson
import httpx
import numpy as np
import PIL.Image
import torch
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from numpy.typing import NDArray
from pydantic import BaseModel

from samdesk.app.downloads import Downloads
from samdesk.app.jobs import Jobs
from samdesk.domain.geometry import Bounds
from samdesk.domain.prompts import BoxPrompt, PointPrompt, Prompts
from samdesk.domain.tasks import Task
from samdesk.engines.base import BatchLogits, Embedding, Engine, MaskLogits, predict_each
from samdesk.engines.cache import EmbeddingStore
from samdesk.images.sample import Slide
from samdesk.sdk import Segmenter, load_segmenter
from samdesk.server import ServerOptions, Service
from samdesk.server.app import make_app
from samdesk.weights import Registry
from tests.engines.seeded_sam import mobile_sam_checkpoint

WIDTH, HEIGHT = 1600, 1000
PROMPTS = 10
ROUNDS = 5
SIDE = 1024
"""Of what the model sees."""

URL = "http://localhost:8000"
SHIPPED = Path(__file__).parents[2] / "weights.json"


class TimedEngine:
    """An engine that sums up its time, and answers its own outlines around the prompt.

    Attributes
    ----------
    ms : float
        That the engine took.
    """

    def __init__(self, engine: Engine) -> None:
        self.name, self.title, self.identity = engine.name, engine.title, engine.identity
        self.device, self.nbytes = engine.device, engine.nbytes
        self._engine = engine
        self.ms = 0.0

    def encode(self, chip: NDArray[np.uint8], task: Task) -> Embedding:
        started = time.perf_counter()
        embedding = self._engine.encode(chip, task)
        self.ms += 1e3 * (time.perf_counter() - started)
        return embedding

    def predict(
        self, embedding: Embedding, prompts: Prompts, task: Task, multimask: bool | None = None
    ) -> list[MaskLogits]:
        started = time.perf_counter()
        answers = self._engine.predict(embedding, prompts, task, multimask)
        bounds = prompts.bounds
        assert bounds is not None
        answers = [
            replace(one, logits=lobed(bounds.center, 25.0 * (1 + k), one, embedding))
            for k, one in enumerate(answers)
        ]
        self.ms += 1e3 * (time.perf_counter() - started)
        return answers

    def predict_batch(
        self, embedding: Embedding, prompts: Sequence[Prompts], task: Task, multimask: bool = True
    ) -> BatchLogits:
        return predict_each(self, embedding, prompts, task, multimask)

    def pack(self, embedding: Embedding) -> Any:
        return self._engine.pack(embedding)

    def unpack(self, arrays: Any, width: int, height: int) -> Embedding:
        return self._engine.unpack(arrays, width, height)


def lobed(
    center: tuple[float, float], radius: float, answer: MaskLogits, embedding: Embedding
) -> NDArray[np.float32]:
    """Logits of an uneven disc, in pixels of the chip, on the samples of an answer."""
    height, width = answer.logits.shape
    across, down = answer.extent or (embedding.width, embedding.height)
    x = (np.arange(width) + 0.5) * across / width - center[0]
    y = ((np.arange(height) + 0.5) * down / height - center[1])[:, None]
    angle = np.arctan2(y, x)
    edge = radius * (1 + 0.12 * np.sin(3 * angle + 1) + 0.07 * np.sin(7 * angle))
    return (edge - np.hypot(x, y)).astype(np.float32)


class Sent(BaseModel):
    """What of a request's body samapi reads."""

    type: str = "vit_h"
    bbox: tuple[int, int, int, int] | None = None
    point_coords: list[tuple[int, int]] | None = None
    point_labels: list[int] | None = None
    b64img: str
    multimask_output: bool = False
    checkpoint_url: str | None = None


def samapi(engine: Engine) -> FastAPI:
    """One endpoint that answers as samapi does."""
    app = FastAPI()
    last: dict[str, Any] = {"image": None, "embedding": None}

    @app.post("/sam/")
    async def predict(sent: Sent) -> JSONResponse:
        image = np.array(PIL.Image.open(io.BytesIO(base64.b64decode(sent.b64img))))
        scale = SIDE / max(image.shape[:2])
        size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
        if last["image"] is None or not np.array_equal(last["image"], image):
            chip = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            last.update(image=image, embedding=engine.encode(np.asarray(chip, np.uint8), Task()))
        points = zip(sent.point_coords or [], sent.point_labels or [], strict=True)
        asked = Prompts(
            tuple(PointPrompt(x * scale, y * scale, label == 1) for (x, y), label in points),
            (BoxPrompt(Bounds(*(scale * side for side in sent.bbox))),) if sent.bbox else (),
        )
        answers = engine.predict(last["embedding"], asked, Task(), sent.multimask_output)
        masks = full_size(answers, size, image.shape[:2])
        features = [
            geojson.Feature(
                geometry=longest_contour(mask),
                properties={"object_idx": k - 1, "label": "object", "quality": one.score},
            )
            for k, (mask, one) in enumerate(zip(masks, answers, strict=True))
        ]
        return JSONResponse(features)

    return app


def full_size(
    answers: Sequence[MaskLogits], size: tuple[int, int], full: tuple[int, ...]
) -> NDArray[np.bool_]:
    """The masks as the model's package makes them: to what the model sees, cut, to the picture."""
    logits = torch.from_numpy(np.stack([one.logits for one in answers]))[None]
    seen = torch.nn.functional.interpolate(logits, (SIDE, SIDE), mode="bilinear", align_corners=False)
    cut = seen[..., : size[1], : size[0]]
    whole = torch.nn.functional.interpolate(cut, full, mode="bilinear", align_corners=False)
    return (whole[0] > 0).numpy()


def longest_contour(mask: NDArray[np.bool_]) -> geojson.Polygon:
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    ring = max(contours, key=len)[:, 0].tolist()
    return geojson.Polygon([[*ring, ring[0]]])


def view(number: int) -> NDArray[np.uint8]:
    """What is on the screen: a part of the sample slide."""
    return Slide(Path("unused"), 4096).draw(400 + 100 * number, 500, WIDTH, HEIGHT)


def bodies(image: NDArray[np.uint8]) -> list[bytes]:
    """One request per object, each with the whole picture: boxes and points in turn."""
    done, data = cv2.imencode(".png", image[..., ::-1])
    assert done
    text = base64.b64encode(data).decode("ascii")
    random = np.random.default_rng(0)
    made = []
    for number in range(PROMPTS):
        x, y = random.integers((120, 120), (WIDTH - 120, HEIGHT - 120)).tolist()
        where: dict[str, Any] = {"point_coords": [[x, y]], "point_labels": [1]}
        if number % 2:
            where = {"bbox": [x - 40, y - 35, x + 40, y + 35]}
        sent = {"type": "vit_t", "b64img": text, "multimask_output": True, "checkpoint_url": "", **where}
        made.append(json.dumps(sent).encode())
    return made


@dataclass
class Side:
    """One of the two that are compared.

    Attributes
    ----------
    requests : list of list of (float, float)
        By round and prompt: ms in all, and beside the model.
    answered : int
        Bytes of the answers to one view.
    """

    ask: Callable[[bytes], Awaitable[httpx.Response]]
    engine: TimedEngine
    requests: list[list[tuple[float, float]]]
    answered: int = 0

    async def take(self, body: bytes) -> None:
        before, started = self.engine.ms, time.perf_counter()
        answer = await self.ask(body)
        taken = 1e3 * (time.perf_counter() - started)
        answer.raise_for_status()
        assert len(answer.json()) == 3
        self.answered += len(answer.content)
        self.requests[-1].append((taken, taken - (self.engine.ms - before)))

    def of_view(self, part: int) -> float:
        """Median over the rounds of the ms for all prompts of a view."""
        return statistics.median(sum(one[part] for one in view) for view in self.requests)

    def of_next(self, part: int) -> float:
        """Median of the ms of a prompt on a view that was asked about before."""
        return statistics.median(one[part] for view in self.requests for one in view[1:])


def make_service(folder: Path, loop: asyncio.AbstractEventLoop) -> Service:
    jobs = Jobs(lambda function: loop.call_soon_threadsafe(function))
    registry = Registry(SHIPPED, folder / "weights.json", folder / "weights")
    return Service(jobs, Downloads(jobs, registry), EmbeddingStore(), ServerOptions())


async def compare(folder: Path, rounds: int) -> tuple[Side, Side]:
    engine = load_segmenter("vit_t", mobile_sam_checkpoint(folder), device="cpu").engine
    service = make_service(folder, asyncio.get_running_loop())
    ours, theirs = TimedEngine(engine), TimedEngine(engine)
    service._segmenters["classical"] = Segmenter(ours, service.store)

    def asker(app: Any) -> Callable[[bytes], Awaitable[httpx.Response]]:
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=URL, timeout=None)
        headers = {"Content-Type": "application/json; charset=utf-8"}
        return lambda body: client.post("/sam/", content=body, headers=headers)

    sides = Side(asker(make_app(service, 8000)), ours, []), Side(asker(samapi(theirs)), theirs, [])
    for number in range(rounds + 1):  # the first does not count
        for side in sides:
            side.requests = [*side.requests, []] if number > 1 else [[]]
            side.answered = 0
        for body in bodies(view(number)):
            body = body.replace(b'"checkpoint_url": ""', b'"checkpoint_url": "samdesk:classical"')
            for side in sides:
                await side.take(body)
    service.jobs.close(10)
    return sides


def measure(rounds: int = ROUNDS) -> dict[str, tuple[float, float]]:
    """Ours and samapi's way, median ms, by what is measured; and the bytes of the answers."""
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = asyncio.run(compare(Path(folder), rounds))
    parts = {"": 0, ", beside the model": 1}
    found = {
        f"{PROMPTS} prompts on a view{name}": (ours.of_view(k), theirs.of_view(k))
        for name, k in parts.items()
    }
    found |= {f"the next prompt{name}": (ours.of_next(k), theirs.of_next(k)) for name, k in parts.items()}
    return found | {"answers, bytes": (ours.answered, theirs.answered)}


def test_against_samapis_way(benchmark) -> None:  # type: ignore[no-untyped-def]
    found = benchmark.pedantic(measure, rounds=1)
    benchmark.extra_info.update({name: theirs / ours for name, (ours, theirs) in found.items()})
    assert all(ours > 0 for ours, _ in found.values())


if __name__ == "__main__":
    for name, (ours, theirs) in measure().items():
        print(f"{name:<38} ours {ours:9.1f}   samapi's way {theirs:9.1f}   ratio {theirs / ours:.2f}")
