"""Every tensor is made where the weights are, shown without a GPU.

Under ``FakeTensorMode`` nothing is computed, but shapes, types and devices are followed, so an
operation on tensors of two devices fails here as it would on a GPU.
"""

from collections.abc import Iterator

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from model.build import build_pcvos
from model.config import PCVOS_LITE, PCVOS_R50, InferenceConfig, PCVOSConfig
from model.memory.bank import Memory
from model.network.window_attention import shift_mask, window_cells
from model.pcvos import PCVOS
from model.training.step import ClipTrainer

SIZE = (128, 160)
OBJECT_COUNT = torch.tensor([2, 2])  # Its numbers are looked at: no fake tensor.
PRESETS = pytest.mark.parametrize("config", [PCVOS_LITE, PCVOS_R50], ids=lambda c: c.name)


@pytest.fixture(autouse=True)
def _fake() -> Iterator[None]:
    """Compute nothing, and keep what was not computed out of the caches."""
    for cache in (window_cells, shift_mask):
        cache.cache_clear()
    with FakeTensorMode():
        yield
    for cache in (window_cells, shift_mask):
        cache.cache_clear()


def _on_cuda(config: PCVOSConfig) -> PCVOS:
    with torch.device("cuda"):
        return build_pcvos(config)


@PRESETS
@pytest.mark.parametrize("top_k", [None, 20])
@pytest.mark.parametrize("progressive", [True, False])
def test_a_clip_is_segmented_on_the_device_of_the_weights(
    config: PCVOSConfig, top_k: int | None, progressive: bool
) -> None:
    model = _on_cuda(config)
    images = torch.empty(5, 3, *SIZE, device="cuda")
    with torch.no_grad():
        features = model.encode_key(images)
        probs = torch.empty(1, 2, *SIZE, device="cuda")
        value = model.encode_value(images, features.part(slice(0, 1)), probs, at=slice(0, 1))
        key = features.part(slice(0, 1)).key.flatten(2)
        memory = Memory(key, value.flatten(3), torch.zeros(key.shape[-1], device="cuda"))
        logits = model.segment_clip(
            features.part(slice(1, None)),
            [memory],
            frames=4,
            settings=InferenceConfig(top_k=top_k, progressive=progressive),
            images=images[1:],
        )
    assert (logits.device.type, logits.shape) == ("cuda", (1, 2, 4, *SIZE))


@PRESETS
def test_a_training_step_stays_on_the_device_of_the_weights(config: PCVOSConfig) -> None:
    model = _on_cuda(config).train()
    trainer = ClipTrainer(model, clip_length=2, clip_supervision=True, free_clips=1)
    frames = torch.empty(2, 5, 3, *SIZE, device="cuda")
    labels = torch.empty(2, 5, *SIZE, dtype=torch.uint8, device="cuda")
    losses = trainer(frames, labels, OBJECT_COUNT, 0.5)
    assert losses.total.device.type == "cuda"
    assert losses.total.requires_grad
    # A backward pass asks the CUDA driver for a stream; its devices are those of the forward pass.
    for weights in model.parameters():
        weights.grad = torch.empty_like(weights)
    optimiser = torch.optim.AdamW(model.parameters())
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    assert norm.device.type == "cuda"
