"""Weights before training: they propagate masks, whatever the trunk sees."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from model.build import build_pcvos
from model.checkpoint import Checkpoint, load_checkpoint, model_from
from model.config import PCVOS_LITE, PCVOS_R50, InferenceConfig
from model.errors import WeightsError
from model.inference.clips import iter_clips
from model.inference.segmenter import ClipSegmenter
from model.training.initial import extended, principal_components, training_free
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


def test_extended_weights_give_what_they_gave_until_they_are_trained(tmp_path: Path) -> None:
    torch.manual_seed(1)
    small = build_pcvos(replace(PCVOS_LITE, context=None))
    old = Checkpoint(small.config, small.state_dict(), {})
    new = model_from(extended(old, PCVOS_LITE, random_trunk()))
    frames = torch.randn(2, 3, 64, 96)
    with torch.inference_mode():
        before, after = small.encode_key(frames), new.encode_key(frames)
        torch.testing.assert_close(before.key, after.key)
        readout = torch.rand(2, 1, small.value_encoder.width, 4, 6)
        logits = [
            model.decoder(readout, readout, f.query_value, f.f8, f.f4)
            for model, f in ((small, before), (new, after))
        ]
    torch.testing.assert_close(*logits, atol=1e-4, rtol=1e-4)
    deepest = new.state_dict()["key_encoder.trunk.net.blocks.6.0.conv_pwl.weight"]
    assert any(torch.equal(deepest, t) for t in random_trunk().values())


def test_extended_weights_must_have_a_place_for_all_that_there_was() -> None:
    foreign = Checkpoint(PCVOS_LITE, {"nowhere": torch.zeros(1)}, {})
    with pytest.raises(WeightsError, match="it has no nowhere"):
        extended(foreign, PCVOS_LITE, random_trunk())


def test_extended_weights_may_lack_the_context_and_nothing_else() -> None:
    small = build_pcvos(replace(PCVOS_LITE, context=None))
    for name in ("decoder.pred.bias", "key_encoder.trunk.net.blocks.0.0.bn1.weight"):
        state = {key: tensor for key, tensor in small.state_dict().items() if key != name}
        with pytest.raises(WeightsError, match=f"they lack {name}"):
            extended(Checkpoint(small.config, state, {}), PCVOS_LITE, random_trunk())


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
