"""Reading, refining and decoding in object boxes gives there what whole frames give.

Around what is read there is the background of the newest memory frame, elsewhere nothing.
"""

from dataclasses import replace
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from model.build import MASK_BLOCK, build_pcvos
from model.config import PCVOS_LITE, InferenceConfig
from model.inference import object_boxes as boxes
from model.inference.object_boxes import (
    ABSENT,
    CONTEXT,
    SUPPORT,
    TRACE,
    BoxDecoder,
    BoxReader,
    BoxRefinement,
    CellBox,
    object_boxes,
    with_object_boxes,
)
from model.memory.bank import Memory
from model.memory.progressive import ProgressiveReader
from model.pcvos import PCVOS

SQUARES = MASK_BLOCK**2
WIDTH = PCVOS_LITE.value_width + 2 * SQUARES
SETTINGS = InferenceConfig(progressive=False).for_model(PCVOS_LITE)
REACH = 5
"""Cells that the decoder looks to each side: 2 at stride 16, 1 at 8, less at 4, and upsampling."""


@pytest.fixture(scope="module")
def model() -> PCVOS:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_pcvos(PCVOS_LITE).eval()
        # Starts at zero, so that it would hide all that comes before it.
        torch.nn.init.normal_(model.decoder.pred.weight, std=0.05)
    return model


def _readout(frames: int, objects: int, size: tuple[int, int], batch: int = 1) -> Tensor:
    """Return a readout whose propagated masks are empty."""
    generator = torch.Generator().manual_seed(1)
    readout = torch.rand(batch, objects, WIDTH, frames, *size, generator=generator)
    readout[:, :, -2 * SQUARES :] = 0
    return readout


def test_a_box_holds_every_cell_with_a_mask_and_its_context() -> None:
    readout = _readout(2, 2, (12, 20), batch=2)
    own = readout[:, :, -2 * SQUARES : -SQUARES]
    own[0, 0, 3, 0, 5, 9] = 0.5
    own[0, 0, 0, 0, 7, 8] = 1.1 * SUPPORT
    own[0, 0, 0, 0, 11, 19] = 0.9 * SUPPORT  # Less than the support.
    own[0, 1, 15, 1, 0, 19] = 1.0
    own[1, 1, 1, 0] = 1.0
    readout[:, :, -SQUARES:] = 1.0  # Of the others: says nothing about the object.
    c = CONTEXT
    expected = [
        [CellBox(5 - c, 8 + c, 8 - c, 10 + c), None],
        [None, CellBox(0, 1 + c, 19 - c, 20)],
        [None, CellBox(0, 12, 0, 20)],
        [None, None],
    ]
    assert object_boxes(readout, MASK_BLOCK) == expected


def test_windows_around_a_box_are_whole_or_end_with_the_frame() -> None:
    assert CellBox(3, 9, 7, 14).aligned(7, 7, (30, 54)) == CellBox(0, 14, 7, 14)
    assert CellBox(22, 29, 50, 54).aligned(7, 7, (30, 54)) == CellBox(21, 30, 49, 54)


def _show(readout: Tensor, box: CellBox) -> None:
    """Show an object in a readout ``(C_v, h, w)`` so that ``box`` is its box."""
    c = CONTEXT if box.top else 0  # At the frame's edge nothing is added.
    inner = CellBox(box.top + c, box.bottom - CONTEXT, box.left + CONTEXT, box.right - CONTEXT)
    inner.cut(readout)[-2 * SQUARES : -SQUARES] = 1


def _features(model: PCVOS, size: tuple[int, int], frames: int = 1) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(2)
    images = torch.randn(frames, 3, 16 * size[0], 16 * size[1], generator=generator)
    features = model.encode_key(images)
    assert features.local_key is not None
    return features.query_value, features.f8, features.f4, features.local_key


@torch.inference_mode()
def test_inside_a_box_an_object_is_decoded_as_on_the_whole_frame(model: PCVOS) -> None:
    size = (14, 18)
    box = CellBox(0, 13, 4, 17)
    readout = _readout(1, 2, size)[:, :, :, 0]
    _show(readout[0, 1], box)
    *image, _ = _features(model, size)
    whole = model.decoder(readout, readout, *image)
    logits = BoxDecoder(model.decoder)(readout, readout, *image)
    assert torch.equal(logits[0, 0], torch.full_like(logits[0, 0], ABSENT))
    # Its edges at the frame's edge are the frame's; within the others all is seen that matters.
    inner = CellBox(0, 13 - REACH, 4 + REACH, 17 - REACH)
    assert torch.allclose(inner.cut(logits[0, 1], 16), inner.cut(whole[0, 1], 16), atol=1e-5)
    assert not torch.allclose(box.cut(logits[0, 1], 16), box.cut(whole[0, 1], 16), atol=1e-5)
    outside = torch.ones_like(logits[0, 1], dtype=torch.bool)
    box.cut(outside, 16)[:] = False
    assert (logits[0, 1][outside] == ABSENT).all()


@torch.inference_mode()
def test_inside_its_windows_an_object_is_refined_as_on_the_whole_frame(model: PCVOS) -> None:
    size, frames = (28, 21), 2
    readout = _readout(frames, 2, size)
    # Two boxes of one object, on two frames: refined together, in rows 7 to 21.
    _show(readout[0, 0, :, 0], CellBox(8, 12, 1, 20))
    _show(readout[0, 0, :, 1], CellBox(15, 20, 3, 9))
    local_key = _features(model, size, frames)[-1][None]
    refinement = model.refinement
    assert refinement is not None
    whole = refinement(local_key, readout)
    refined = BoxRefinement(refinement, MASK_BLOCK)(local_key, readout)
    assert torch.equal(refined[:, 1], readout[:, 1])
    assert torch.equal(refined[:, 0, ..., :7, :], readout[:, 0, ..., :7, :])
    assert torch.equal(refined[:, 0, ..., 21:, :], readout[:, 0, ..., 21:, :])
    # The second layer's windows, half a window farther, have to lie inside too.
    inner = (..., slice(7 + 3, 21 - 4), slice(None))
    assert torch.allclose(refined[:, 0][inner], whole[:, 0][inner], atol=1e-5)


@pytest.mark.parametrize("size", [(4, 6), (9, 8)])
@torch.inference_mode()
def test_an_object_that_can_be_everywhere_gets_the_whole_frame(
    model: PCVOS, size: tuple[int, int]
) -> None:
    generator = torch.Generator().manual_seed(3)
    cells = size[0] * size[1]
    features = model.encode_key(torch.randn(3, 3, 16 * size[0], 16 * size[1], generator=generator))
    value = torch.rand(1, 2, WIDTH, cells, generator=generator)
    memory = Memory(torch.randn(1, PCVOS_LITE.key_width, cells, generator=generator), value)
    in_boxes, whole = (
        network.segment_clip(features, [memory], frames=3, settings=SETTINGS)
        for network in (with_object_boxes(model, SETTINGS), model)
    )
    assert torch.allclose(in_boxes, whole, atol=1e-5)


@torch.inference_mode()
def test_a_clip_is_decoded_only_where_its_objects_can_be(
    model: PCVOS, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boxes, "CONTEXT", 0)
    size = (8, 8)
    generator = torch.Generator().manual_seed(3)
    features = model.encode_key(torch.randn(1, 3, 128, 128, generator=generator))
    value = torch.rand(1, 1, WIDTH, 64, generator=generator)
    value[:, :, -2 * SQUARES :] = 0
    value.view(1, 1, WIDTH, *size)[:, :, -2 * SQUARES : -SQUARES, 2:4, 3:6] = 1
    # Each cell of the frame finds itself in the memory.
    memory = Memory(features.key.flatten(2), value)
    settings = replace(SETTINGS, top_k=1)
    network = with_object_boxes(model, settings)
    logits = network.segment_clip(features, [memory], frames=1, settings=settings)[0, 0, 0]
    assert CellBox(2, 4, 3, 6).cut(logits, 16).min() > ABSENT
    assert (logits != ABSENT).sum() == 6 * 16**2


SIZE = (9, 12)
CELLS = SIZE[0] * SIZE[1]
KEYS, LEARNED, MASKS = 8, 5, 4  # Channels of keys, of values' first part, of each kind of mask.
OWN = slice(-2 * MASKS, -MASKS)


class Scene(NamedTuple):
    key: Tensor
    memory: Memory


@pytest.fixture
def scene() -> Scene:
    """Two memory frames and a clip of four that look alike, one object at the left."""
    generator = torch.Generator().manual_seed(5)
    still = 4 * torch.randn(1, KEYS, 1, *SIZE, generator=generator)
    noise = 0.2 * torch.randn(1, KEYS, 6, *SIZE, generator=generator)
    key = still + noise
    value = torch.rand(1, 2, LEARNED + 2 * MASKS, 2 * CELLS, generator=generator)
    value[:, :, OWN] = 0
    grid = value.view(1, 2, -1, 2, *SIZE)
    grid[:, 0, OWN, :, 2:5, 1:4] = 0.9
    grid[:, 1, OWN, :, 3:6, 2:5] = 0.9
    memory = Memory(
        key[:, :, :2].flatten(2), value, torch.tensor([0.3]).repeat(CELLS), torch.zeros(2 * CELLS)
    )
    return Scene(key[:, :, 2:], memory)


def _nothing(readout: Tensor) -> Tensor:
    return torch.zeros(readout.shape[3:], dtype=torch.bool)


def _everything(readout: Tensor) -> Tensor:
    return torch.ones(readout.shape[3:], dtype=torch.bool)


def _with_masks(readout: Tensor) -> Tensor:
    """Need the cells that show an object, ``(t, h, w)``, and the row of cells below them."""
    shown = (readout[0, :, OWN] >= 0.1).any(0).any(0)
    return shown | shown.roll(1, dims=1)


@torch.inference_mode()
def test_what_shows_an_object_is_read_as_everywhere(scene: Scene) -> None:
    whole = ProgressiveReader(scene.memory, SIZE, frames=4, interval=2)
    part = BoxReader(scene.memory, SIZE, frames=4, interval=2, masks=OWN, needed=_with_masks)
    expected: Tensor | None = None
    for start, end in ((0, 2), (2, 4)):
        if expected is not None:
            for reader in (whole, part):
                reader.remember(expected[:, :, :, -1])
        expected = whole.read(scene.key[:, :, start:end], top_k=6)
        actual = part.read(scene.key[:, :, start:end], top_k=6)
        assert actual.shape == expected.shape
        needed = _with_masks(expected)
        assert 0.1 < needed.float().mean() < 0.5
        given = (actual != 0).any(dim=(0, 1, 2))
        assert given[needed].all()
        assert given.float().mean() < 0.5
        # What shows an object is read; what does not is read, or background.
        shown = (expected[0, :, OWN] >= TRACE).any(0).any(0)
        torch.testing.assert_close(actual[..., shown], expected[..., shown], atol=1e-5, rtol=1e-5)
        assert actual[..., ~shown][:, :, OWN].max() < TRACE


@torch.inference_mode()
@pytest.mark.parametrize("remembered", [False, True])
def test_around_objects_there_is_the_background_of_the_newest_frame(
    scene: Scene, remembered: bool
) -> None:
    reader = BoxReader(scene.memory, SIZE, frames=4, interval=2, masks=OWN, needed=_everything)
    key, value = scene.memory.key[0, :, CELLS:], scene.memory.value[0, :, :, CELLS:]
    if remembered:  # Then that is the newest frame.
        reader.read(scene.key[:, :, :1], top_k=6)
        value = value.flip(-1)
        reader.remember(value[None].unflatten(-1, SIZE))
        key = scene.key[0, :, 0].flatten(1)
    actual = reader.read(scene.key[:, :, 1:2], top_k=6)[0, :, :, 0]
    query = scene.key[0, :, 1]
    for y, x in ((0, 0), (8, 11), (7, 6), (0, 5)):  # Far from the object.
        near = [
            (row, column)
            for row in range(max(0, y - 1), min(SIZE[0], y + 2))
            for column in range(max(0, x - 1), min(SIZE[1], x + 2))
        ]
        cells = torch.tensor([row * SIZE[1] + column for row, column in near])
        distance = (key[:, cells] - query[:, y, x, None]).square().sum(0)
        expected = value[:, :, cells[distance.argmin()]].clone()
        expected[:, OWN.start :] = 0
        assert torch.equal(actual[:, :, y, x], expected)


@torch.inference_mode()
def test_an_object_that_appears_elsewhere_is_found(scene: Scene) -> None:
    # What was at the left is at the right on the second part of the clip.
    scene.key[:, :, 2:] = scene.key[:, :, 2:].roll(6, dims=-1)
    whole = ProgressiveReader(scene.memory, SIZE, frames=4, interval=None)
    part = BoxReader(scene.memory, SIZE, frames=4, interval=None, masks=OWN, needed=_with_masks)
    for start, end in ((0, 2), (2, 4)):
        expected = whole.read(scene.key[:, :, start:end], top_k=6)
        shown = (expected[0, :, OWN] >= TRACE).any(0).any(0)
        actual = part.read(scene.key[:, :, start:end], top_k=6)
        torch.testing.assert_close(actual[..., shown], expected[..., shown], atol=1e-5, rtol=0)
    assert shown[..., 7:].any()
    assert not shown[..., :6].any()


@torch.inference_mode()
def test_usage_is_counted_where_something_is_read(scene: Scene) -> None:
    reader = BoxReader(scene.memory, SIZE, frames=4, interval=None, masks=OWN, needed=_nothing)
    read = (reader.read(scene.key[:, :, :2], top_k=6) != 0).any(dim=(0, 1, 2))
    assert scene.memory.usage is not None
    assert scene.memory.usage.sum().item() == pytest.approx(int(read.sum()), rel=1e-4)


@torch.inference_mode()
def test_a_memory_without_objects_is_not_read(scene: Scene) -> None:
    scene.memory.value[:, :, OWN] = 0
    reader = BoxReader(scene.memory, SIZE, frames=4, interval=None, masks=OWN, needed=_with_masks)
    assert not reader.read(scene.key, top_k=6).any()
    assert scene.memory.usage is not None
    assert not scene.memory.usage.any()


@torch.inference_mode()
def test_frames_smaller_than_a_neighbourhood_are_read(scene: Scene) -> None:
    small = scene.key[..., :1, :2]
    memory = Memory(small[:, :, 0].flatten(2), scene.memory.value[..., 25:27])
    expected = ProgressiveReader(memory, (1, 2), frames=4, interval=None).read(small, top_k=1)
    reader = BoxReader(memory, (1, 2), frames=4, interval=None, masks=OWN, needed=_with_masks)
    assert torch.equal(reader.read(small, top_k=1), expected)
