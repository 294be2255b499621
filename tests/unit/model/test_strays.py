"""Strays: what is dropped from a mask, and above all what is not."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from model.config import PCVOS_LITE, PCVOS_R50, InferenceConfig
from model.inference.strays import RECALLED, Recall, StrayFilter, recalled

SIZE = (160, 240)
ID = 7

Box = tuple[int, int, int, int]  # top, left, height, width
BODY: Box = (60, 40, 40, 40)
# Reach: 0.1 of 160 pixels and 0.1 of 40: 20 pixels.
NEAR: Box = (60, 92, 20, 20)
FAR: Box = (60, 140, 20, 20)


def mask(*boxes: Box) -> Tensor:
    result = torch.zeros(SIZE)
    for top, left, height, width in boxes:
        result[top : top + height, left : left + width] = 1
    return result


def clip(*masks: Tensor) -> Tensor:
    objects = torch.stack(masks)[None] * 0.9
    return torch.cat((1 - objects, objects))


def following(*boxes: Box) -> StrayFilter:
    filter_ = StrayFilter()
    filter_.begin(ID, mask(*boxes))
    return filter_


def after(filter_: StrayFilter, *boxes: Box) -> Tensor:
    """Return the mask, 0 and 1, that is left of a frame with these parts."""
    probs = clip(mask(*boxes))
    filter_.drop(probs, (ID,))
    torch.testing.assert_close(probs.sum(0), torch.ones_like(probs[0]))
    return (probs[1, 0] > 0.5).float()


def test_a_small_part_far_away_goes_to_the_background_with_its_rim() -> None:
    probs = clip(mask(BODY, FAR))
    probs[1, 0, 60:80, 161] = 0.3
    following(BODY).drop(probs, (ID,))
    assert torch.equal(probs[1, 0] > 0, mask(BODY) > 0)
    assert (probs[0, 0, 60:80, 140:160] == 1).all()


def test_a_part_within_reach_stays() -> None:
    assert torch.equal(after(following(BODY), BODY, NEAR), mask(BODY, NEAR))


def test_reach_grows_with_the_body() -> None:
    wide: Box = (20, 20, 110, 60)
    part: Box = (60, 98, 16, 16)  # 18 pixels away
    assert torch.equal(after(following(wide), wide, part), mask(wide, part))
    farther: Box = (60, 108, 16, 16)
    assert torch.equal(after(following(wide), wide, farther), mask(wide))


def test_what_was_taken_in_nearby_and_is_left_behind_is_dropped() -> None:
    filter_ = following(BODY)
    for moved in range(0, 60, 10):
        body: Box = (60, 40 + moved, 40, 40)
        left = after(filter_, body, (60, 20, 12, 12))
        gap = 40 + moved - 32
        assert torch.equal(left, mask(body) if gap > 20 else mask(body, (60, 20, 12, 12))), gap


def test_a_larger_part_far_away_is_no_stray() -> None:
    large: Box = (40, 140, 60, 60)
    assert torch.equal(after(following(BODY), BODY, large), mask(BODY, large))


def test_an_object_that_jumps_or_comes_back_elsewhere_is_kept() -> None:
    filter_ = following(BODY)
    assert after(filter_).sum() == 0
    assert torch.equal(after(filter_, FAR, NEAR), mask(FAR, NEAR))
    # From there on both are its body.
    assert torch.equal(after(filter_, FAR, NEAR), mask(FAR, NEAR))
    assert torch.equal(after(following(BODY), FAR), mask(FAR))


def test_parts_of_the_reference_mask_stay_however_far_apart() -> None:
    filter_ = following(BODY, FAR)
    for step in range(3):
        parts: tuple[Box, Box] = ((60, 40 - 8 * step, 40, 40), (60, 140 + 8 * step, 20, 20))
        assert torch.equal(after(filter_, *parts), mask(*parts))


def test_an_object_cut_in_two_by_something_narrow_stays_whole() -> None:
    filter_ = following(BODY)
    for cut in range(44, 72, 6):
        halves = mask(BODY)
        halves[:, cut : cut + 8] = 0
        probs = clip(halves)
        filter_.drop(probs, (ID,))
        assert torch.equal((probs[1, 0] > 0.5).float(), halves)


def test_frames_of_a_clip_follow_each_other_and_objects_do_not_mix() -> None:
    filter_ = following(BODY)
    filter_.begin(9, mask(FAR))
    frames = [mask((60, 40 + 10 * t, 40, 40), FAR) for t in range(2)]
    objects = torch.stack([torch.stack(frames) * 0.6, torch.stack([mask(BODY, FAR)] * 2) * 0.3])
    objects[1] = torch.stack([mask(FAR)] * 2) * 0.3
    probs = torch.cat((1 - objects.sum(0, keepdim=True), objects))
    expected = probs.clone()
    expected[1] *= torch.stack([mask((60, 40 + 10 * t, 40, 40)) for t in range(2)])
    filter_.drop(probs, (ID, 9))
    assert torch.equal(probs[1:], expected[1:])


def test_an_object_without_a_body_is_left_alone() -> None:
    probs = clip(mask(BODY, FAR))
    expected = probs.clone()
    StrayFilter().drop(probs, (ID,))
    assert torch.equal(probs, expected)


def drop_asking(recall: Recall, *boxes: Box) -> tuple[Tensor, list[Box]]:
    """Return what is left of a frame with these parts, and the parts that were asked about.

    All is four times as large, so that a quarter of the reach is some cells.
    """
    asked = []

    def asking(object_id: int, part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> float:
        assert object_id == ID
        assert whole[part].all()
        rows, columns = np.nonzero(part)
        low = int(rows.min()), int(columns.min())
        asked.append((*low, int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1))
        return recall(object_id, part, whole)

    filter_ = StrayFilter()
    filter_.begin(ID, large(mask(BODY)))
    probs = clip(large(mask(*boxes)))
    filter_.drop(probs, (ID,), [asking])
    return (probs[1, 0] > 0.5).float(), asked


def large(pixels: Tensor) -> Tensor:
    return pixels.repeat_interleave(4, 0).repeat_interleave(4, 1)


def test_within_reach_only_parts_that_are_recalled_stay() -> None:
    close: Box = (104, 40, 12, 12)  # An occluder passes between.
    for share, left in ((RECALLED, (BODY, NEAR, close)), (RECALLED / 2, (BODY, close))):
        kept, asked = drop_asking(lambda *_, share=share: share, BODY, NEAR, close)
        assert torch.equal(kept, large(mask(*left)))
        assert asked == [NEAR]


def test_parts_beyond_reach_and_the_body_are_not_asked_about() -> None:
    kept, asked = drop_asking(lambda *_: 1.0, BODY, FAR)
    assert torch.equal(kept, large(mask(BODY)))
    assert asked == []


def key_of(*boxes: tuple[Box, float, float]) -> Tensor:
    """A key ``(3, 6, 10)`` of cells of 4 x 4 pixels: in each box two channels, 1 elsewhere."""
    key = torch.zeros(3, 6, 10)
    key[2] = 1
    for (top, left, height, width), *looks in boxes:
        key[:, top : top + height, left : left + width] = torch.tensor([*looks, 0.0])[:, None, None]
    return key


def test_a_part_of_the_object_has_its_places_and_a_double_has_none() -> None:
    head, trunk, double = (0, 0, 2, 3), (2, 0, 4, 3), (2, 6, 3, 3)
    frame = key_of((head, 1, 0), (trunk, 0, 1), (double, 0.1, 1))
    # Two frames were given: 12 places on the head, 24 on the trunk.
    reference = torch.tensor([[1.0, 0, 0]] * 12 + [[0, 1.0, 0]] * 24).T
    parts = [torch.zeros(6, 10) for _ in range(3)]
    for part, (top, left, height, width) in zip(parts, (head, trunk, double), strict=True):
        part[top : top + height, left : left + width] = 1
    whole = torch.stack(parts).sum(0)  # 6, 12 and 9 of 27 cells.
    shares = [recalled(reference, frame, part, whole) for part in parts]
    assert shares == pytest.approx([12 / 36 * 27 / 6, 24 / 36 * 27 / 12, 0])


def test_of_few_places_nothing_is_said() -> None:
    frame, part = key_of(((0, 0, 4, 4), 1, 0)), torch.zeros(6, 10)
    part[0, 0] = 1
    whole = torch.zeros(6, 10)
    whole[:4, :4] = 1
    reference = torch.tensor([[0.0, 1, 0]] * 79).T
    assert recalled(reference, frame, part, whole) == float("inf")  # 79 / 16 are below 5.
    assert recalled(torch.cat([reference] * 2, 1), frame, part, whole) < float("inf")
    assert recalled(reference[:, :0], frame, part, whole) == float("inf")
    assert recalled(reference, frame, part * 0, whole * 0) == float("inf")


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31 - 1))
def test_a_restored_filter_goes_on_equally_and_nothing_is_ever_added(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand((4, 1, 10, 15), generator=generator) ** 2
    masks = torch.nn.functional.interpolate(noise, SIZE, mode="bilinear")[:, 0]
    whole = StrayFilter()
    whole.begin(ID, masks[0])
    for frame in masks[1:]:
        again = StrayFilter()
        again.restore({i: body.clone() for i, body in whole.bodies().items()})
        first, second = (torch.stack((1 - frame, frame))[:, None].clone() for _ in range(2))
        whole.drop(first, (ID,))
        again.drop(second, (ID,))
        assert torch.equal(first, second)
        assert (first[1, 0] <= frame).all()
        torch.testing.assert_close(first.sum(0), torch.ones_like(first[0]))


@pytest.mark.parametrize("asked", [None, True, False])
def test_the_weights_decide_unless_the_user_does(asked: bool | None) -> None:
    chosen = InferenceConfig(drop_strays=asked)
    assert chosen.for_model(PCVOS_LITE).drop_strays is (True if asked is None else asked)
    assert chosen.for_model(PCVOS_R50).drop_strays is (False if asked is None else asked)
