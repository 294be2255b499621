"""The model alone, on a job made by hand."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from model.build import build_pcvos
from model.config import PCVOS_LITE, InferenceConfig
from model.inference.clips import iter_clips
from model.ops.timing import StageClock
from model.types import ReferenceMask
from pcvos_cli.benchmarking.measure import run_model
from pcvos_cli.run.frames import new_segmenter
from pcvos_cli.run.settings import SegmentSettings

SETTINGS = SegmentSettings(inference=InferenceConfig(interval=2, max_memory_frames=2))


@pytest.fixture
def job() -> Any:
    torch.manual_seed(0)
    labels = torch.zeros(32, 48, dtype=torch.int32)
    labels[8:20, 8:30] = 1
    return SimpleNamespace(
        model=build_pcvos(PCVOS_LITE),
        device=torch.device("cpu"),
        references={0: ReferenceMask(0, labels, (1,))},
    )


FRAMES = [np.full((32, 48, 3), 40 * index, np.uint8) for index in range(5)]


def test_stages_wait_for_cuda_only_where_they_are_measured(
    job: Any, monkeypatch: pytest.MonkeyPatch
):
    waits: list[None] = []
    monkeypatch.setattr("model.ops.timing.torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("model.ops.timing.torch.cuda.synchronize", lambda: waits.append(None))
    run = run_model(job, FRAMES, SETTINGS)
    assert run.seconds > 0
    assert run.memory_frames == 2
    # At both ends of every stage, of which each of the three clips has some.
    assert len(waits) >= 2 * 3
    waits.clear()
    clock = StageClock()
    segmenter = new_segmenter(job, clock, SETTINGS)
    for clip in iter_clips(FRAMES, job.references, interval=2):
        segmenter.segment(clip)
    assert clock.seconds
    assert not waits
