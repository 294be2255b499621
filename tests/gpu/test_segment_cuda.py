"""The segmenter on CUDA gives the CPU's masks."""

import numpy as np
import pytest
import torch

from model.build import build_pcvos
from model.config import PCVOS_LITE, PCVOS_R50, InferenceConfig, PCVOSConfig
from model.inference.clips import iter_clips
from model.inference.segmenter import ClipSegmenter
from model.types import ReferenceMask

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"),
]


@pytest.mark.parametrize("config", [PCVOS_LITE, PCVOS_R50], ids=lambda c: c.name)
def test_cuda_agrees_with_the_cpu(config: PCVOSConfig) -> None:
    torch.manual_seed(0)
    model = build_pcvos(config)
    texture = np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)
    frames = [texture[n : n + 90, n : n + 130] for n in range(8)]
    labels = torch.zeros(90, 130, dtype=torch.int32)
    labels[20:60, 20:60] = 1
    labels[30:80, 70:110] = 2
    references = {0: ReferenceMask(0, labels, (1, 2))}
    results = {}
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        for device in ("cpu", "cuda"):
            segmenter = ClipSegmenter(model.to(device), InferenceConfig(interval=3), device=device)
            clips = iter_clips(frames, references, interval=3)
            results[device] = torch.cat([segmenter.segment(clip).probs for clip in clips], dim=1)
    finally:
        torch.backends.cudnn.allow_tf32 = before
    assert results["cuda"].device.type == "cpu"
    # A near tie at the edge of the top k may fall either way; nearly all pixels agree.
    assert (results["cpu"] - results["cuda"]).abs().mean() < 1e-3
    agree = results["cpu"].argmax(0) == results["cuda"].argmax(0)
    assert agree.float().mean() > 0.995
