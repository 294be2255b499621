"""The laboratory's batches: its videos can be segmented, and its jobs do nothing."""

from pathlib import Path

import pytest

from docs.lab.batch import make_video, print_row
from pcvos_cli.batch.processes import Processes, Share
from pcvos_cli.run.pipeline import plan_video
from pcvos_cli.run.settings import SegmentSettings


def test_a_made_video_has_its_mask(tmp_path: Path, lite_weights: Path) -> None:
    make_video(tmp_path, 7, 3, (48, 64))
    settings = SegmentSettings(weights=lite_weights, engine="torch")
    plan = plan_video(tmp_path / "07.mp4", [tmp_path / "07.png"], tmp_path / "out", settings)
    assert (plan.frames, plan.object_ids, plan.source_size) == (3, (1,), (48, 64))


def test_jobs_that_do_nothing_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    with Processes(Share(1, 1)) as engine:
        print_row("one", engine, list(range(20)))
    assert capsys.readouterr().out.startswith("| one | ")
