"""Where the material lies that tests may read but the repository must not hold."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def shared(*parts: str) -> Path:
    """Return a path below the shared folder, or skip the test if it is not there.

    The folder is ``shared`` beside the repository; ``PCVOS_SHARED`` names another one.
    """
    root = Path(os.environ.get("PCVOS_SHARED", REPOSITORY.parent / "shared"))
    path = root.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"needs {path}, which is not on this machine")
    return path
