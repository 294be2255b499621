"""Weights before training: they propagate masks, whatever the trunk sees."""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from model.checkpoint import load_checkpoint, model_from
from model.config import PCVOS_LITE, PCVOS_R50, InferenceConfig
from model.errors import WeightsError
from model.inference.clips import iter_clips
from model.inference.segmenter import ClipSegmenter
from model.training.initial import principal_components, training_free
from model.types import ReferenceMask
from tests.support.cli import pcvos


def random_trunk() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    net = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    return {f"other_name_{n}": t for n, t in enumerate(net.state_dict().values())}


def textured(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (96, 128, 3), dtype=np.uint8)


def test_a_still_picture_keeps_its_mask() -> None:
    frames = [torch.randn(1, 3, 96, 96) for _ in range(2)]
    model = model_from(training_free(PCVOS_LITE, random_trunk(), frames))
    labels = torch.zeros(96, 128, dtype=torch.int32)
    labels[20:70, 30:90] = 1
    segmenter = ClipSegmenter(model, InferenceConfig(interval=2))
    picture = textured()
    reference = {0: ReferenceMask(0, labels, (1,))}
    for clip in iter_clips([picture] * 5, reference, interval=2):
        for mask in segmenter.segment(clip).labels():
            overlap = ((mask == 1) & (labels == 1)).sum() / ((mask == 1) | (labels == 1)).sum()
            assert overlap > 0.9


def test_the_same_input_gives_the_same_weights() -> None:
    frames = [torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))]
    one = training_free(PCVOS_LITE, random_trunk(), frames).state
    two = training_free(PCVOS_LITE, random_trunk(), frames).state
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_components_keep_the_most_variance_and_are_orthonormal() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(500, 6, generator=generator) * torch.tensor([9.0, 1, 5, 0.1, 3, 0.5]) + 7
    components, mean = principal_components(features, 3)
    assert torch.allclose(components.t() @ components, torch.eye(3), atol=1e-5)
    assert torch.allclose(mean, features.mean(0))
    _, _, expected = torch.pca_lowrank(features, q=6, niter=20)
    overlap = (components * expected[:, :3]).sum(0).abs()
    assert torch.allclose(overlap, torch.ones(3), atol=1e-3)


def test_a_trunk_or_model_that_does_not_fit_is_refused() -> None:
    frames = [torch.randn(1, 3, 64, 64)]
    with pytest.raises(WeightsError, match="conv_stem"):
        training_free(PCVOS_LITE, {"a": torch.zeros(3)} | random_trunk(), frames)
    with pytest.raises(WeightsError, match="1 trunk tensors"):
        training_free(PCVOS_LITE, {"a": torch.zeros(3)}, frames)
    with pytest.raises(WeightsError, match="pcvos-r50 cannot"):
        training_free(PCVOS_R50, random_trunk(), frames)


def test_the_command_writes_them(tmp_path: Path) -> None:
    torch.save(random_trunk(), tmp_path / "trunk.pth")
    (tmp_path / "photos").mkdir()
    for n in range(3):
        Image.fromarray(textured(n)[: 90 - n]).save(tmp_path / "photos" / f"{n}.png")
    out = tmp_path / "w.safetensors"
    arguments = ["--trunk", tmp_path / "trunk.pth", "--photos", tmp_path / "photos", "--every", 2]
    result = pcvos("weights", "init", *map(str, arguments), "--out", out)
    assert result.exit_code == 0, result.output
    assert load_checkpoint(out).config == PCVOS_LITE
    assert pcvos("weights", "init", *map(str, arguments), "--out", out).exit_code == 6
