"""What a finished run left, looked at again."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pcvos_cli.run.report import SegmentReport

NAMES = ("masks/00000.png", "masks/00001.png", "matte/00000.png", "matte/00001.png", "matte.mp4",
         "scores/00001.npz", "masks.json", "mattes/1/00000.png", "mattes/1/00001.png",
         "mattes/9/00000.png", "mattes/9/00001.png")  # fmt: skip


@pytest.fixture
def report(tmp_path: Path) -> Any:
    """Two frames, the second of which has the reference mask."""
    for name in NAMES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    outputs = dict.fromkeys(("png", "matte", "scores", "rle", "mattes"), "as seen from elsewhere")
    return SimpleNamespace(outputs=outputs, frames=2, segmented_frames=1, object_ids=(1, 9))


def missing(report: Any, folder: Path) -> str | None:
    return SegmentReport.missing(cast("SegmentReport", report), folder)


def test_of_results_that_are_all_there_none_is_missed(report: Any, tmp_path: Path) -> None:
    assert missing(report, tmp_path) is None


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_is_gone_is_missed(name: str, report: Any, tmp_path: Path) -> None:
    (tmp_path / name).unlink()
    assert (missing(report, tmp_path) or "").startswith(name.split("/")[0])
