"""Reading only where objects can be gives there what reading everywhere gives.

Around them there is the background of the newest memory frame, elsewhere nothing.
"""

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from model.memory import located
from model.memory.bank import Memory
from model.memory.located import LocatedReader
from model.memory.progressive import ProgressiveReader

SIZE = (9, 12)
CELLS = SIZE[0] * SIZE[1]
WIDTH, LEARNED, MASKS = 8, 5, 4  # Channels of keys, of values' first part, of each kind of mask.
OWN = slice(-2 * MASKS, -MASKS)


class Scene(NamedTuple):
    key: Tensor
    memory: Memory


@pytest.fixture
def scene() -> Scene:
    """Two memory frames and a clip of four that look alike, one object at the left."""
    generator = torch.Generator().manual_seed(5)
    still = 4 * torch.randn(1, WIDTH, 1, *SIZE, generator=generator)
    noise = 0.2 * torch.randn(1, WIDTH, 6, *SIZE, generator=generator)
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
    whole = ProgressiveReader(scene.memory, SIZE, provisional=1)
    part = LocatedReader(scene.memory, SIZE, provisional=1, masks=OWN, needed=_with_masks)
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
        shown = (expected[0, :, OWN] >= located.TRACE).any(0).any(0)
        torch.testing.assert_close(actual[..., shown], expected[..., shown], atol=1e-5, rtol=1e-5)
        assert actual[..., ~shown][:, :, OWN].max() < located.TRACE


@torch.inference_mode()
@pytest.mark.parametrize("remembered", [False, True])
def test_around_objects_there_is_the_background_of_the_newest_frame(
    scene: Scene, remembered: bool
) -> None:
    reader = LocatedReader(scene.memory, SIZE, provisional=1, masks=OWN, needed=_everything)
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
    whole = ProgressiveReader(scene.memory, SIZE, provisional=0)
    part = LocatedReader(scene.memory, SIZE, provisional=0, masks=OWN, needed=_with_masks)
    for start, end in ((0, 2), (2, 4)):
        expected = whole.read(scene.key[:, :, start:end], top_k=6)
        shown = (expected[0, :, OWN] >= located.TRACE).any(0).any(0)
        actual = part.read(scene.key[:, :, start:end], top_k=6)
        torch.testing.assert_close(actual[..., shown], expected[..., shown], atol=1e-5, rtol=0)
    assert shown[..., 7:].any()
    assert not shown[..., :6].any()


@torch.inference_mode()
def test_usage_is_counted_where_something_is_read(scene: Scene) -> None:
    reader = LocatedReader(scene.memory, SIZE, provisional=0, masks=OWN, needed=_nothing)
    read = (reader.read(scene.key[:, :, :2], top_k=6) != 0).any(dim=(0, 1, 2))
    assert scene.memory.usage is not None
    assert scene.memory.usage.sum().item() == pytest.approx(int(read.sum()), rel=1e-4)


@torch.inference_mode()
def test_a_memory_without_objects_is_not_read(scene: Scene) -> None:
    scene.memory.value[:, :, OWN] = 0
    reader = LocatedReader(scene.memory, SIZE, provisional=0, masks=OWN, needed=_with_masks)
    assert not reader.read(scene.key, top_k=6).any()
    assert scene.memory.usage is not None
    assert not scene.memory.usage.any()


@torch.inference_mode()
def test_frames_smaller_than_a_neighbourhood_are_read(scene: Scene) -> None:
    small = scene.key[..., :1, :2]
    memory = Memory(small[:, :, 0].flatten(2), scene.memory.value[..., 25:27])
    expected = ProgressiveReader(memory, (1, 2), provisional=0).read(small, top_k=1)
    reader = LocatedReader(memory, (1, 2), provisional=0, masks=OWN, needed=_with_masks)
    assert torch.equal(reader.read(small, top_k=1), expected)


def test_neighbours_end_with_the_frame() -> None:
    near = located._near(3, 4, torch.device("cpu"))
    assert near.shape == (12, 9)
    assert sorted(set(near[0].tolist())) == [0, 1, 4, 5]
    assert sorted(near[5].tolist()) == [0, 1, 2, 4, 5, 6, 8, 9, 10]
    assert sorted(set(near[11].tolist())) == [6, 7, 10, 11]
