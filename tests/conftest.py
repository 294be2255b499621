"""Fixtures that several layers of tests share."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def lite_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole pcvos-lite checkpoint with random values."""
    from tests.support.weights import write_random_lite

    return write_random_lite(tmp_path_factory.mktemp("weights") / "random-lite.safetensors")
