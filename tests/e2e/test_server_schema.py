"""Whatever a client sends: made-up requests, right and wrong, to every route of the OpenAPI document."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode

from samdesk.server import Limits, ServerOptions
from tests.server_rig import Rig, base64_text, disc, png, running

EXAMPLES = 8
WAIT_S = 20

PICTURE = png(disc((64, 48), (30, 20), 12))
PICTURES = {"b64img", "b64mask", "data", "image", "mask", "previous_mask"}
"""Members that hold a picture in base64, or, in the native API, the id of one."""

KNOWN = {"model": "classical", "checkpoint_url": "samdesk:classical", "type": "vit_h", "engine": "relief"}

SAID = {400, 403, 404, 405, 409, 413, 415, 422, 503}
"""Statuses of an error that the server means; 503 is a model that is not on this computer."""


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A server that can reach nothing, and whose 3D jobs are few."""
    options = ServerOptions(limits=Limits(reconstructions=1))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            patch.setenv(name, "http://127.0.0.1:9")
        with running(tmp_path_factory.mktemp("server"), options) as one:
            yield one


def test_no_request_makes_it_fail(rig: Rig) -> None:
    config = schemathesis.Config.from_dict({"phases": {"coverage": {"enabled": False}}})
    schema = schemathesis.openapi.from_dict(rig.client.get("/openapi.json").json(), config=config)
    schema.config.update(base_url=rig.url)
    image = rig.client.post("/api/v1/images", content=PICTURE, headers={"Content-Type": "image/png"}).json()[
        "id"
    ]
    asked: set[tuple[str, str]] = set()
    with requests.Session() as session:
        session.trust_env = False

        def ask(case: Case) -> None:
            furnish(case, image)
            answer = case.call(session=session, timeout=WAIT_S)
            asked.add((case.method, case.path))
            told = f"{answer.status_code} {answer.text[:300]}\n{case.as_curl_command()[:2000]}"
            assert answer.status_code < 300 or answer.status_code in SAID, told
            if answer.status_code >= 400:
                assert {"error", "hint", "detail"} <= set(answer.json()), told

        for found in schema.get_all_operations():
            operation = found.ok()
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                if mode is GenerationMode.POSITIVE or operation.body or operation.query:
                    quick(given(case=operation.as_strategy(generation_mode=mode))(ask))()
    assert len(asked) == sum(len(methods) for methods in schema.raw_schema["paths"].values())
    assert rig.client.get("/health").status_code == 200
    assert not [job for job in rig.failed if "The log has the details" in str(job.error)]


quick = settings(
    derandomize=True,
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


MALFORMED = (
    b"",
    b"null",
    b"[]",
    b"1",
    b"{",
    b"\xff\xfe{}",
    b"\xef\xbb\xbf{}",
    b"{}" * 1000,
    b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
    b"[" * 100_000,
    b'{"x":' + b"9" * 5000 + b"}",
    b'{"b64img": NaN, "image": Infinity, "data": -Infinity}',
    b'{"\\ud800": 1, "type": "\\ud800", "model": "\\udfff", "b64img": "\\ud800", "image": "\\ud800"}',
    b"--x\r\n\r\n--x--",
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="../../a"\r\n\r\nzz\r\n--x--\r\n',
    b'--x\r\nContent-Disposition: form-data; name="dirname"\r\n\r\n\x00\xff\r\n--x--\r\n',
)
KINDS = ("application/json", "application/octet-stream", "image/png", "multipart/form-data; boundary=x")
NAMES = (
    "%00",
    "%ff",
    "%ed%a0%80",
    "..",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "%5c..%5c",
    "%0a",
    "x" * 5000,
    "-1",
)


def test_no_malformed_body_makes_it_fail(rig: Rig) -> None:
    for method, path in routes(rig):
        if method in ("post", "put"):
            for body, kind in itertools.product(MALFORMED, KINDS):
                sent = {"Content-Type": kind}
                answer = rig.client.request(method, path.replace("{}", "x"), content=body, headers=sent)
                assert answer.status_code < 300 or answer.status_code in SAID, (path, kind, body[:80])


def test_no_name_in_a_path_makes_it_fail(rig: Rig) -> None:
    for method, path in routes(rig):
        for name in NAMES if "{}" in path else ():
            answer = rig.client.request(method, path.replace("{}", name))
            # a client leaves out "..": that may lead to the first page, which leads on to the documents
            assert answer.status_code in SAID | {307}, (method, path, name[:80])


def routes(rig: Rig) -> list[tuple[str, str]]:
    """Methods and paths, with {} in the place of names."""
    described = rig.client.get("/openapi.json").json()["paths"]
    return [
        (method, re.sub(r"{\w+}", "{}", path)) for path, methods in described.items() for method in methods
    ]


def furnish(case: Case, image: str) -> None:
    """Put real pictures and models in the place of some of the words that were made up."""
    body: Any = case.body
    if isinstance(body, dict):
        for name, value in body.items():
            if isinstance(value, str) and name in PICTURES and len(value) % 3 != 2:
                is_id = name == "image" and case.path.startswith("/api/v1")
                body[name] = image if is_id else base64_text(PICTURE)
            elif isinstance(value, str) and name in KNOWN and len(value) % 2 == 0:
                body[name] = KNOWN[name]
            elif isinstance(value, list) and name == "b64imgs":
                body[name] = [base64_text(PICTURE)] * len(value)
        if "automask" in case.path:  # by default a thousand points are asked about
            body.setdefault("points_per_side", 4)
            body.setdefault("options", {"points_per_side": 4})
    if case.method == "GET" and "id" in (case.path_parameters or {}):
        case.path_parameters["id"] = image
