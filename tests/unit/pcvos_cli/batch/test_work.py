"""What a finished job left, looked at again."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pcvos_cli.batch.work import is_whole

NAMES = ("masks/00000.png", "masks/00001.png", "matte/00000.png", "matte/00001.png", "matte.mp4",
         "scores/00001.npz", "masks.json")  # fmt: skip


@pytest.fixture
def report(tmp_path: Path) -> Any:
    """Two frames, the second of which has the reference mask."""
    for name in NAMES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    places = {"png": "masks", "matte": "matte", "scores": "scores", "rle": "masks.json"}
    outputs = {name: str(tmp_path / place) for name, place in places.items()}
    return SimpleNamespace(outputs=outputs, frames=2, segmented_frames=1)


def test_results_that_are_all_there_are_whole(report: Any) -> None:
    assert is_whole(report)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_is_gone_is_missed(name: str, report: Any, tmp_path: Path) -> None:
    (tmp_path / name).unlink()
    assert not is_whole(report)
