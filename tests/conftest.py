"""Fixtures that several layers of tests share."""

import signal
from pathlib import Path

import pytest

# A shell without job control starts what it puts in the background with Ctrl-C ignored, and the
# commands that tests start would inherit that: the tests that interrupt them need it heard.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def lite_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole pcvos-lite checkpoint with random values."""
    from tests.support.weights import write_random_lite

    return write_random_lite(tmp_path_factory.mktemp("weights") / "random-lite.safetensors")
