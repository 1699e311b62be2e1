"""`/health`, `/metrics`, models, weights, and the documents of the native API."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from samdesk.domain.errors import SamdeskError
from samdesk.server.native.segment import AutomaskRequest, SegmentRequest
from tests.fakes import FakeEngine
from tests.server_rig import Rig, disc, png, running
from tests.weights_server import Reply, WeightsServer, weights_server

PAYLOAD = random.Random(5).randbytes(200_000)
STALLS = Reply(PAYLOAD, stall_after=150_000, block=3_000, pause_s=0.01)
NAMES = ("Kerne µ/2 #1", "Slow one", "Broken", "Imported")


class _Kind:
    type = "vit_b"


@pytest.fixture(scope="module")
def source() -> Iterator[WeightsServer]:
    with weights_server() as server:
        yield server


@pytest.fixture(scope="module")
def fetching(tmp_path_factory: pytest.TempPathFactory, source: WeightsServer) -> Iterator[Rig]:
    """A server whose registry has links of this computer's own."""
    folder = tmp_path_factory.mktemp("weights")
    replies = (Reply(PAYLOAD), STALLS, Reply(b"", status=404))
    links = [source.serve(f"/{number}", reply) for number, reply in enumerate(replies)]
    entries = [
        {
            "type": "vit_b",
            "name": name,
            "file": f"w{number}.pt",
            "url": link,
            "sha256": hashlib.sha256(PAYLOAD).hexdigest(),
            "size": len(PAYLOAD),
            "licence": "Apache-2.0",
            "homepage": "",
            "gated": False,
            "about": "For tests.",
        }
        for number, (name, link) in enumerate(zip(NAMES, [*links, ""], strict=True))
    ]
    shipped = folder / "shipped.json"
    shipped.write_text(json.dumps({"version": 1, "weights": entries}), encoding="utf-8")
    with running(folder, shipped=shipped) as rig:
        rig.service.downloads._recognise = lambda path: _Kind()
        yield rig


def address(name: str, rest: str = "") -> str:
    return f"/api/v1/weights/{quote(name, safe='')}{rest}"


def state(rig: Rig, name: str) -> dict[str, Any]:
    answer = rig.client.get(address(name))
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def test_health_answers_before_any_model_is_loaded(rig: Rig) -> None:
    rig.forget()
    for path in ("/health", "/api/v1/health"):
        told = rig.client.get(path).json()
        assert told["status"] == "healthy"
        assert told["version"]
        assert told["engine"] == {"key": "classical", "title": "Classical (no model)"}
        assert (told["models_loaded"], told["device"]) == (False, "auto")
        assert {"loaded", "model_id", "routes", "error"} <= told["sam2"].keys() & told["sam3"].keys()
    assert not rig.service._segmenters
    rig.use(FakeEngine())
    told = rig.client.get("/health").json()
    assert (told["models_loaded"], told["device"]) == (True, "cpu")
    rig.forget()


def test_metrics_are_those_of_prometheus(rig: Rig) -> None:
    answer = rig.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert "samdesk_waiting 0.0" in answer.text
    assert "samdesk_embeddings_bytes" in answer.text


def test_models_say_what_they_are(rig: Rig) -> None:
    models = {one["key"]: one for one in rig.client.get("/api/v1/models").json()["models"]}
    assert set(models) == {"classical", *(one.name for one in rig.registry.weights if one.type)}
    plain = models["classical"]
    assert plain["here"]
    assert plain["is_default"]
    assert not plain["loaded"]
    assert not plain["finds"]
    assert "No model" in plain["about"]
    for weight in rig.registry.weights:
        told = models[weight.name]
        assert (told["type"], told["licence"], told["size"]) == (weight.type, weight.licence, weight.size)
        assert not told["here"]
    assert any(one["finds"] for one in models.values())


def test_a_default_model_that_is_gone_does_not_make_the_server_ill(tmp_path: Path) -> None:
    with running(tmp_path, default_model="no such model") as rig:
        assert rig.client.get("/health").json()["engine"]["key"] == "classical"
        assert rig.client.get("/api/v1/models").status_code == 200
        assert rig.client.get("/v1/healthz").json()["model_name"] == "classical"


def test_a_weight_is_downloaded(fetching: Rig) -> None:
    name = NAMES[0]
    listed = fetching.client.get("/api/v1/weights").json()["weights"]
    assert [one["name"] for one in listed] == list(NAMES)
    told = state(fetching, name)
    assert (told["state"], told["type"], told["size"]) == ("missing", "vit_b", len(PAYLOAD))
    assert told["licence"] == "Apache-2.0"
    assert told["title"] == "SAM ViT-B"
    answer = fetching.client.post(address(name, "/download"))
    assert answer.status_code == 202
    assert answer.json()["state"] in ("queued", "receiving", "checking")
    fetching.wait(lambda: state(fetching, name)["state"] == "ready")
    assert (fetching.registry.folder / "w0.pt").read_bytes() == PAYLOAD
    again = fetching.client.post(address(name, "/download"))
    assert (again.status_code, again.json()["state"]) == (200, "ready")


def test_a_download_is_given_up_while_it_runs(fetching: Rig) -> None:
    name = NAMES[1]
    assert fetching.client.post(address(name, "/download")).status_code == 202
    fetching.wait(lambda: (state(fetching, name)["fraction"] or 0) >= 0.2)
    told = fetching.client.delete(address(name, "/download"))
    assert told.status_code == 200
    assert told.json()["state"] == "partial"
    assert told.json()["fraction"] is None
    assert fetching.client.delete(address(name, "/download")).status_code == 200  # nothing is under way


def test_what_fails_is_told(fetching: Rig) -> None:
    assert fetching.client.post(address(NAMES[2], "/download")).status_code == 202
    fetching.wait(lambda: state(fetching, NAMES[2])["trouble"])
    assert "404" in state(fetching, NAMES[2])["detail"]
    answer = fetching.client.post(address(NAMES[3], "/download"))
    assert answer.status_code == 422
    assert "no address" in answer.json()["error"]


@pytest.mark.parametrize("name", ["nothing", "../../etc/passwd", "a" * 3000, "ÿ\u2028", "download"])
def test_unknown_weights_are_not_found(fetching: Rig, name: str) -> None:
    for call, rest in (("GET", ""), ("POST", "/download"), ("DELETE", "/download")):
        answer = fetching.client.request(call, address(name, rest))
        assert answer.status_code == 404
        assert "weight" in answer.json()["error"]
        assert len(answer.text) < 2000


def test_the_document_is_valid_and_complete(rig: Rig) -> None:
    document = rig.client.get("/openapi.json").json()
    wanted = {
        ("get", "/health"),
        ("get", "/metrics"),
        ("get", "/api/v1/health"),
        ("get", "/api/v1/models"),
        ("get", "/api/v1/images"),
        ("post", "/api/v1/images"),
        ("get", "/api/v1/images/{id}"),
        ("delete", "/api/v1/images/{id}"),
        ("post", "/api/v1/segment"),
        ("post", "/api/v1/automask"),
        ("get", "/api/v1/weights"),
        ("get", "/api/v1/weights/{name}"),
        ("post", "/api/v1/weights/{name}/download"),
        ("delete", "/api/v1/weights/{name}/download"),
    }
    described = {
        (verb, path): one for path, verbs in document["paths"].items() for verb, one in verbs.items()
    }
    assert wanted <= described.keys()
    assert all(described[one]["summary"] for one in wanted)
    ids = [one["operationId"] for one in described.values()]
    assert len(ids) == len(set(ids))
    told = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))
    assert told <= set(document["components"]["schemas"])
    schemas = document["components"]["schemas"]
    for example in schemas["SegmentRequest"]["examples"]:
        SegmentRequest.model_validate(example)
    for example in schemas["AutomaskRequest"]["examples"]:
        AutomaskRequest.model_validate(example)
    for name in ("SegmentRequest", "AutomaskRequest", "AutomaskSettings", "WeightInfo", "ModelInfo"):
        fields = schemas[name]["properties"]
        untold = [key for key, one in fields.items() if not ("description" in one or key in PLAIN)]
        assert not untold, f"{name}: {untold} are not described"


PLAIN = ("title", "licence", "homepage", "about", "text")


def test_the_examples_work(rig: Rig) -> None:
    id = rig.client.post("/api/v1/images", files={"file": png(disc((500, 150)))}).json()["id"]
    schemas = rig.client.get("/openapi.json").json()["components"]["schemas"]
    first, second = schemas["SegmentRequest"]["examples"]
    rig.use(FakeEngine())
    answer = rig.client.post("/api/v1/segment", json={**first, "image": id})
    assert answer.status_code == 200
    assert {one["properties"]["prompt"] for one in answer.json()["features"]} == {0, 1}
    answer = rig.client.post("/api/v1/segment", json={**second, "image": id})
    assert answer.status_code == 503  # SAM 3 is not here
    assert "samdesk weights download" in answer.json()["hint"]
    (only,) = schemas["AutomaskRequest"]["examples"]
    small = rig.client.post("/api/v1/images", files={"file": png(disc((48, 32)))}).json()["id"]
    assert rig.client.post("/api/v1/automask", json={**only, "image": small}).status_code == 200
    rig.forget()
    for job in rig.failed:
        assert isinstance(job.error, SamdeskError)


def test_the_page_needs_no_network(rig: Rig) -> None:
    page = rig.client.get("/docs")
    assert page.status_code == 200
    assert not re.search(r"(?:https?:)?//", re.sub(r"<!--.*?-->", "", page.text).replace("// ", ""))
    for address in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        assert rig.client.get(address).status_code == 200, address
