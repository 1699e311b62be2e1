"""One server for the tests of a file, and one with weights for those that need a model."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.server_rig import Rig, running


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A server with the model that needs no weights; tests leave it as they found it."""
    with running(tmp_path_factory.mktemp("server")) as one:
        yield one


@pytest.fixture(scope="module")
def rig_with_weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A server on which "vit_t" has a weight of arbitrary numbers; takes seconds, torch is loaded."""
    with running(tmp_path_factory.mktemp("server")) as one:
        one.seed("vit_t")
        yield one
