"""https: what is trusted, and that it never leads down to http."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from samdesk.domain.errors import SamdeskError
from samdesk.weights import Registry, Weight
from samdesk.weights.download import Patience, download
from tests.unit.weights.conftest import PAYLOAD
from tests.weights_server import Reply, WeightsServer, weights_server

pytest.importorskip("cryptography")

GOOD = Reply(PAYLOAD)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of this computer's own, with its key, in one file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + secret)
    return path


@pytest.fixture
def secure(certificate: Path) -> Iterator[WeightsServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with weights_server(context) as server:
        yield server


@pytest.mark.parametrize(
    "replies",
    [
        [GOOD],
        [replace(GOOD, drop_after=99_999), GOOD],
        [replace(GOOD, stall_after=99_999), GOOD],
        [replace(GOOD, drop_after=99_999, reset=True, chunked=True), GOOD],
    ],
    ids=["whole", "dropped", "stalled", "reset"],
)
def test_the_file_comes_over_https(
    replies: list[Reply],
    secure: WeightsServer,
    certificate: Path,
    registry: Registry,
    patience: Patience,
    make: Callable[..., Weight],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    weight = make(secure.serve("/file", *replies))
    download(registry, weight, patience=patience)
    assert registry.path(weight).read_bytes() == PAYLOAD


def test_a_certificate_that_nobody_vouches_for(
    secure: WeightsServer, registry: Registry, patience: Patience, make: Callable[..., Weight]
) -> None:
    weight = make(secure.serve("/file", GOOD))
    with pytest.raises(SamdeskError, match="certificate is not trusted") as caught:
        download(registry, weight, patience=patience)
    assert "SSL_CERT_FILE" in caught.value.hint
    assert secure.asked == []


def test_https_never_leads_down_to_http(
    secure: WeightsServer,
    server: WeightsServer,
    certificate: Path,
    registry: Registry,
    patience: Patience,
    make: Callable[..., Weight],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    plain = server.serve("/plain", GOOD)
    weight = make(secure.serve("/file", Reply(b"", 302, (("Location", plain),))))
    with pytest.raises(SamdeskError, match="from https to"):
        download(registry, weight, patience=patience)
    assert server.asked == []


def test_http_may_lead_up_to_https(
    secure: WeightsServer,
    server: WeightsServer,
    certificate: Path,
    registry: Registry,
    patience: Patience,
    make: Callable[..., Weight],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    better = secure.serve("/file", GOOD)
    weight = make(server.serve("/plain", Reply(b"", 301, (("Location", better),))))
    download(registry, weight, patience=patience)
    assert registry.path(weight).read_bytes() == PAYLOAD
