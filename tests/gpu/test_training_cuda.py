"""Training on CUDA: mixed precision lowers the loss, and a run resumes there."""

from pathlib import Path

import pytest
import torch

from model.training.loop import fit
from tests.support.training import tiny_recipe, write_tiny
from tests.support.training_data import make_davis

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.mark.parametrize("amp", [True, False])
def test_a_run_goes_on_on_cuda(amp: bool, tmp_path: Path) -> None:
    davis = make_davis(tmp_path / "davis", length=6)
    recipe = tiny_recipe(
        davis,
        run={"amp": amp},
        optimiser={"ema": 0.9, "clip_norm": 1.0},
        validation={"folder": str(davis), "every": 2, "frames": 3},
    )
    init = write_tiny(tmp_path / "tiny.safetensors")
    fit(recipe, tmp_path / "run", init=init, device="cuda")
    report = fit(
        tiny_recipe(davis, steps=6, run={"amp": amp}), tmp_path / "run", resume=True, device="cuda"
    )
    assert report.finished
    assert report.steps_here == 2
