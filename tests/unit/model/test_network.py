"""Encoders, refinement and decoder of both presets, narrow where width does not matter."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from model.build import MASK_BLOCK, build_pcvos
from model.config import PCVOS_LITE, PCVOS_R50, STCN_R50, InferenceConfig, PCVOSConfig
from model.errors import ConfigError
from model.memory.bank import Memory
from model.network.blocks import ObjectBlock, ResBlock
from model.network.resnet import CBAM
from model.ops.masks import cells_to_masks, masks_to_cells, soft_aggregate
from model.pcvos import PCVOS
from model.types import KeyFeatures
from pcvos_cli.run.device import cpu_threads

NARROW_R50 = replace(
    PCVOS_R50, value_width=32, local_key_width=16, query_value_width=24, decoder_widths=(16, 8, 8)
)
CONFIGS = [PCVOS_LITE, NARROW_R50]


@pytest.fixture(scope="module", params=CONFIGS, ids=lambda c: c.name)
def model(request: pytest.FixtureRequest) -> PCVOS:
    config: PCVOSConfig = request.param
    torch.manual_seed(0)
    return build_pcvos(config)


def clip_inputs(
    model: PCVOS, objects: int = 2, frames: int = 3, seed: int = 1
) -> tuple[KeyFeatures, Memory]:
    generator = torch.Generator().manual_seed(seed)
    features = model.encode_key(torch.randn(frames, 3, 64, 96, generator=generator))
    width = model.value_encoder.width
    memory = Memory(
        torch.randn(1, model.config.key_width, 24, generator=generator),
        torch.rand(1, objects, width, 24, generator=generator),
    )
    return features, memory


@torch.inference_mode()
def test_an_object_block_starts_as_the_identity_and_then_sees_the_whole_object() -> None:
    torch.manual_seed(0)
    block = ObjectBlock(8)
    x, mask = torch.randn(1, 8, 20, 20), torch.zeros(1, 1, 20, 20)
    mask[..., :3, :3] = 1
    assert torch.equal(block(x, mask), x)
    nn.init.normal_(block.narrow.weight)
    before = block(x, mask)[..., 19, 19]
    x[..., 1, 1] += 1  # Far away, and a part of the object.
    assert not torch.allclose(before, block(x, mask)[..., 19, 19])
    before = block(x, mask)[..., 19, 19]
    x[..., 1, 9] += 1  # Far away, and no part of it.
    assert torch.allclose(before, block(x, mask)[..., 19, 19])
    assert block(x, torch.zeros_like(mask)).isfinite().all()  # An object that is not there.


@torch.inference_mode()
def test_the_context_reaches_query_value_and_local_key_but_no_key() -> None:
    torch.manual_seed(0)
    encoder = build_pcvos(PCVOS_LITE).key_encoder
    frames = torch.randn(1, 3, 48, 80)  # Odd numbers of cells.
    before = encoder(frames)
    assert encoder.context is not None
    nn.init.normal_(encoder.context.out.weight)
    after = encoder(frames)
    for name in ("local_key", "query_value"):
        assert not torch.allclose(getattr(before, name), getattr(after, name))
    for name in ("key", "f16", "f8", "f4"):
        assert torch.equal(getattr(before, name), getattr(after, name))


@torch.inference_mode()
def test_strides_and_widths(model: PCVOS) -> None:
    frames = torch.randn(2, 3, 64, 96)
    features = model.encode_key(frames)
    config = model.config
    assert features.key.shape == (2, config.key_width, 4, 6)
    assert features.local_key is not None
    assert features.local_key.shape == (2, config.local_key_width, 4, 6)
    assert features.query_value.shape == (2, config.query_value_width, 4, 6)
    assert features.f8.shape[2:] == (8, 12)
    assert features.f4.shape[2:] == (16, 24)
    values = model.encode_value(frames, features, torch.rand(2, 3, 64, 96))
    assert values.shape == (2, 3, model.value_encoder.width, 4, 6)


@torch.inference_mode()
def test_objects_are_decoded_independently(model: PCVOS) -> None:
    features, memory = clip_inputs(model)
    settings = InferenceConfig(top_k=5, progressive=False)
    together = model.segment_clip(features, [memory], frames=3, settings=settings)
    assert together.shape == (1, 2, 3, 64, 96)
    for k in range(2):
        alone = Memory(memory.key, memory.value[:, k : k + 1])
        logits = model.segment_clip(features, [alone], frames=3, settings=settings)
        assert torch.allclose(logits, together[:, k : k + 1], atol=1e-3)


@pytest.mark.parametrize("asked", [None, 3])
def test_the_weights_decide_the_progressive_interval_unless_the_user_does(
    asked: int | None,
) -> None:
    chosen = InferenceConfig(progressive_interval=asked)
    for config, made_for in ((PCVOS_LITE, 2), (PCVOS_R50, 5)):
        assert chosen.for_model(config).within == (asked or made_for)
        parallel = InferenceConfig(progressive=False, progressive_interval=asked)
        assert parallel.for_model(config).within is None


def test_an_open_progressive_interval_is_no_number() -> None:
    with pytest.raises(ValueError, match="ask for_model"):
        _ = InferenceConfig().within
    with pytest.raises(ConfigError, match="progressive_interval must be at least 1, got 0"):
        PCVOSConfig(progressive_interval=0)


@torch.inference_mode()
def test_groups_equal_one_memory(model: PCVOS) -> None:
    features, memory = clip_inputs(model)
    settings = InferenceConfig(top_k=5, progressive=False)
    groups = [Memory(memory.key, memory.value[:, k : k + 1]) for k in range(2)]
    together = model.segment_clip(features, [memory], frames=3, settings=settings)
    apart = model.segment_clip(features, groups, frames=3, settings=settings)
    assert torch.allclose(together, apart, atol=1e-3)


@torch.inference_mode()
def test_decoding_in_passes_changes_nothing(model: PCVOS) -> None:
    features, memory = clip_inputs(model)
    settings = InferenceConfig(top_k=5, progressive=False)
    whole = model.segment_clip(features, [memory], frames=3, settings=settings)
    passes = (features.part(slice(0, 2)), features.part(slice(2, 3)))
    parts = list(model.segment_frames(passes, [memory], frames=3, settings=settings))
    assert [len(part) for part in parts] == [2, 1]
    assert torch.allclose(whole[0], torch.cat(parts).transpose(0, 1), atol=1e-3)


@torch.inference_mode()
def test_frames_inform_each_other_only_through_refinement(model: PCVOS) -> None:
    """Change the clip's last frame: the first one's logits move only if they are refined."""
    features, memory = clip_inputs(model, frames=2)
    other = model.encode_key(torch.randn(1, 3, 64, 96))
    changed = type(features).join([features.part(slice(0, 1)), other])
    for refinement in (True, False):
        settings = InferenceConfig(refinement=refinement, progressive=False)
        before = model.segment_clip(features, [memory], frames=2, settings=settings)[:, :, 0]
        after = model.segment_clip(changed, [memory], frames=2, settings=settings)[:, :, 0]
        assert torch.allclose(before, after, atol=1e-5) is not refinement


@cpu_threads(1)  # With more, passes of one and of two frames round too differently.
@torch.inference_mode()
def test_decoded_provisional_memory_is_what_the_memory_would_hold(model: PCVOS) -> None:
    features, memory = clip_inputs(model)
    images = torch.randn(3, 3, 64, 96)
    settings = InferenceConfig(top_k=5, progressive_interval=2, decode_provisional=True)
    actual = model.segment_clip(features, [memory], frames=3, settings=settings, images=images)
    groups = [Memory(memory.key, memory.value[:, k : k + 1]) for k in range(2)]
    apart = model.segment_clip(features, groups, frames=3, settings=settings, images=images)
    assert torch.allclose(actual, apart, atol=1e-3)

    begin, last, rest = (
        features.part(slice(0, 2)),
        features.part(slice(1, 2)),
        features.part(slice(2, 3)),
    )
    first = model.segment_clip(begin, [memory], frames=2, settings=settings)
    probs = soft_aggregate(first[:, :, 1].sigmoid(), dim=1)[:, 1:]
    value = model.encode_value(images[1:2], last, probs)
    longer = Memory(
        torch.cat((memory.key, last.key.flatten(2)), 2),
        torch.cat((memory.value, value.flatten(3)), 3),
    )
    second = model.segment_clip(rest, [longer], frames=1, settings=settings)
    assert torch.allclose(actual, torch.cat((first, second), 2), atol=1e-3)

    overwritten = []
    frames = (features.part(slice(t, t + 1)) for t in range(3))
    for logits in model.segment_frames(
        frames, [memory], frames=3, settings=settings, images=images
    ):
        overwritten.append(logits.clone())
        logits.fill_(7.0)  # The caller's to overwrite.
    assert torch.allclose(actual[0], torch.cat(overwritten).transpose(0, 1), atol=1e-3)

    readouts = replace(settings, decode_provisional=False)
    paper = model.segment_clip(features, [memory], frames=3, settings=readouts)
    assert not torch.allclose(actual[:, :, 2], paper[:, :, 2], atol=1e-3)
    if model.value_encoder.looks_at_frames:
        with pytest.raises(ValueError, match="needs the frames"):
            model.segment_clip(features, [memory], frames=3, settings=settings)
    else:
        without = model.segment_clip(features, [memory], frames=3, settings=settings)
        assert torch.equal(without, actual)


@torch.inference_mode()
def test_a_part_needs_the_features_of_its_own_frames_only(model: PCVOS) -> None:
    features, memory = clip_inputs(model)
    settings = InferenceConfig(top_k=5, progressive_interval=2, decode_provisional=True)
    images = torch.randn(3, 3, 64, 96)
    asked: list[int] = []

    def one_by_one() -> Iterator[KeyFeatures]:
        for t in range(3):
            asked.append(t)
            yield features.part(slice(t, t + 1))

    passes = model.segment_frames(
        one_by_one(), [memory], frames=3, settings=settings, images=images
    )
    assert [(len(logits), len(asked)) for logits in passes] == [(1, 2), (1, 2), (1, 3)]


@torch.inference_mode()
def test_samples_of_a_batch_have_provisional_memory_of_their_own(model: PCVOS) -> None:
    inputs = [clip_inputs(model, seed=seed) for seed in (1, 2)]
    images = [torch.randn(3, 3, 64, 96) for _ in range(2)]
    settings = InferenceConfig(top_k=5, progressive_interval=2, decode_provisional=True)
    alone = [
        model.segment_clip(features, [memory], frames=3, settings=settings, images=image)
        for (features, memory), image in zip(inputs, images, strict=True)
    ]
    features = type(inputs[0][0]).join([features for features, _ in inputs])
    memory = Memory(
        torch.cat([memory.key for _, memory in inputs]),
        torch.cat([memory.value for _, memory in inputs]),
    )
    together = model.segment_clip(
        features, [memory], frames=3, settings=settings, images=torch.cat(images)
    )
    assert torch.allclose(together, torch.cat(alone), atol=1e-3)


@torch.inference_mode()
def test_an_objects_value_depends_on_the_others(model: PCVOS) -> None:
    frames = torch.randn(1, 3, 64, 96)
    features = model.encode_key(frames)
    probs = torch.rand(1, 2, 64, 96)
    values = model.encode_value(frames, features, probs)
    probs[:, 1] = 0
    alone = model.encode_value(frames, features, probs)
    assert not torch.allclose(values[:, 0], alone[:, 0], atol=1e-3)
    single = model.encode_value(frames, features, probs[:, :1])
    assert torch.allclose(single[:, 0], alone[:, 0], atol=1e-4)


def test_stcn_is_pcvos_without_refinement() -> None:
    with torch.device("meta"):
        pcvos, stcn = build_pcvos(PCVOS_R50).state_dict(), build_pcvos(STCN_R50).state_dict()
    extra = {name.split(".")[0] for name in set(pcvos) - set(stcn)}
    assert extra == {"refinement", "key_encoder"}
    assert set(stcn) < set(pcvos)


def test_batch_norm_stays_frozen_in_training() -> None:
    model = build_pcvos(PCVOS_LITE).train()
    assert model.training
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms
    assert not any(norm.training for norm in norms)


@torch.inference_mode()
def test_lite_carries_masks_in_its_values_and_adds_to_them() -> None:
    torch.manual_seed(0)
    model = build_pcvos(PCVOS_LITE)
    frames = torch.randn(1, 3, 64, 96)
    features = model.encode_key(frames)
    probs = torch.zeros(1, 2, 64, 96)
    probs[:, 0, 16:40, 20:60] = 1
    probs[:, 1, 44:60, 4:90] = 1
    values = model.encode_value(frames, features, probs)
    squares = MASK_BLOCK**2
    own = masks_to_cells(probs[0, :, None], stride=16, block=MASK_BLOCK)
    assert torch.equal(values[0, :, -2 * squares : -squares], own)
    assert torch.equal(values[0, :, -squares:], own.flip(0))

    nn.init.zeros_(model.decoder.pred.weight)
    nn.init.zeros_(model.decoder.pred.bias)
    logits = model.decoder(values, values, features.query_value, features.f8, features.f4)
    masks = cells_to_masks(own, block=MASK_BLOCK).clamp(0.02, 0.98)
    expected = functional.interpolate(
        torch.logit(masks), scale_factor=4.0, mode="bilinear", align_corners=False
    )
    assert torch.allclose(logits[0], expected[:, 0], atol=1e-4)


@torch.inference_mode()
def test_the_lite_trunk_sees_pixels_as_its_imagenet_weights_expect() -> None:
    """Normalised here and converted there must be ``(rgb - 127) / 128``."""
    from model.ops.frames import normalise

    model = build_pcvos(PCVOS_LITE)
    trunk = model.key_encoder.trunk
    rgb = torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8)
    seen = normalise(rgb) * trunk.scale + trunk.offset
    assert torch.allclose(seen, (rgb.float() - 127) / 128, atol=1e-5)


@torch.inference_mode()
def test_cbam_by_hand() -> None:
    torch.manual_seed(0)
    cbam = CBAM(32)
    x = torch.randn(1, 32, 5, 5)
    hidden = cbam.channel_gate
    gate = torch.sigmoid(hidden(x.mean((2, 3))) + hidden(x.flatten(2).max(-1).values))
    y = x * gate[..., None, None]
    stacked = torch.stack((y.max(1).values, y.mean(1)), 1)
    assert torch.allclose(cbam(x), y * torch.sigmoid(cbam.spatial_gate(stacked)), atol=1e-6)


@pytest.mark.parametrize(("width", "kernel"), [(6, 3), (6, 1), (12, 3)])
@torch.inference_mode()
def test_a_block_with_a_shared_part_equals_the_block_on_both_together(
    width: int, kernel: int
) -> None:
    """Width 12 is the input's, so that the shortcut is the identity."""
    torch.manual_seed(0)
    block = ResBlock(12, width, shortcut_kernel=kernel)
    own, image = torch.randn(6, 7, 5, 4), torch.randn(2, 5, 5, 4)  # 3 objects on each of 2 frames
    together = torch.cat((own, image.repeat_interleave(3, dim=0)), dim=1)
    torch.testing.assert_close(block(own, block.shared_part(image)), block(together))


def multiply_adds(config: PCVOSConfig, objects: int) -> dict[str, float]:
    """Count, in thousand millions for a 480 x 864 frame, without computing anything."""
    with torch.device("meta"):
        model = build_pcvos(config)
        frames = torch.empty(1, 3, 480, 864)
        readout = torch.empty(1, objects, model.value_encoder.width, 30, 54)
        counts = {}
        with torch.inference_mode():
            with FlopCounterMode(display=False) as counter:
                features = model.encode_key(frames)
            counts["key encoder"] = counter.get_total_flops()
            with FlopCounterMode(display=False) as counter:
                model.encode_value(frames, features, torch.empty(1, objects, 480, 864))
            counts["value encoder"] = counter.get_total_flops()
            with FlopCounterMode(display=False) as counter:
                model.decoder(readout, readout, features.query_value, features.f8, features.f4)
            counts["decoder"] = counter.get_total_flops()
    return {stage: flops / 2e9 for stage, flops in counts.items()}


@pytest.mark.parametrize(
    ("config", "whole", "image"), [(PCVOS_R50, 99.4, 38.2), (PCVOS_LITE, 1.62, 0.154)]
)
def test_the_images_part_of_the_decoder_is_computed_once(
    config: PCVOSConfig, whole: float, image: float
) -> None:
    one, three = multiply_adds(config, 1), multiply_adds(config, 3)
    each = (three["decoder"] - one["decoder"]) / 2
    assert one["decoder"] == pytest.approx(whole, rel=0.03)
    assert one["decoder"] - each == pytest.approx(image, rel=0.03)
    assert three["value encoder"] < 3 * one["value encoder"] or config is PCVOS_LITE
