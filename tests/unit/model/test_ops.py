"""Padding, masks and soft aggregation."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from model.ops.frames import Padding, pad, padding_to_multiple, unpad
from model.ops.masks import cells_to_masks, masks_to_cells, object_masks, others, soft_aggregate

sizes = st.tuples(st.integers(1, 50), st.integers(1, 50))


@given(sizes)
def test_pad_and_unpad_are_inverse(size: tuple[int, int]) -> None:
    x = torch.arange(2.0 * size[0] * size[1]).reshape(2, *size)
    padding = padding_to_multiple(size)
    padded = pad(x, padding)
    assert padded.shape[-2] % 16 == 0
    assert padded.shape[-1] % 16 == 0
    assert torch.equal(unpad(padded, padding), x)
    assert 0 <= padding.bottom - padding.top <= 1
    assert 0 <= padding.right - padding.left <= 1


def test_an_odd_pixel_goes_to_the_bottom_and_right() -> None:
    assert padding_to_multiple((13, 31)) == Padding(left=0, right=1, top=1, bottom=2)


@given(st.integers(1, 5), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)  # A busy machine is no failure.
def test_soft_aggregation_sums_to_one_and_commutes(objects: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    probs = torch.rand(objects, 3, 4, generator=generator)
    merged = soft_aggregate(probs)
    assert torch.allclose(merged.sum(0), torch.ones(3, 4), atol=1e-5)
    order = torch.randperm(objects, generator=generator)
    assert torch.allclose(soft_aggregate(probs[order])[1:], merged[1:][order], atol=1e-5)


def test_soft_aggregation_by_hand() -> None:
    p, q = 0.8, 0.4
    odds = [(1 - p) * (1 - q) / (1 - (1 - p) * (1 - q)), p / (1 - p), q / (1 - q)]
    expected = torch.tensor(odds) / sum(odds)
    merged = soft_aggregate(torch.tensor([p, q]))
    assert torch.allclose(merged, expected, atol=1e-6)


@pytest.mark.parametrize("dim", [1, -3])
def test_soft_aggregation_runs_along_any_axis_and_has_gradients(dim: int) -> None:
    probs = torch.rand(2, 4, 3, 6, requires_grad=True)
    merged = soft_aggregate(probs, dim=dim)
    assert_close(merged.movedim(dim, 0), soft_aggregate(probs.movedim(dim, 0)))
    merged[:, 1:].square().sum().backward()
    assert probs.grad is not None
    assert probs.grad.abs().sum() > 0


def test_soft_aggregation_is_finite_at_the_ends() -> None:
    merged = soft_aggregate(torch.tensor([[0.0, 1.0, 1.0], [0.0, 0.0, 1.0]]))
    assert torch.isfinite(merged).all()
    assert merged[:, 0].argmax() == 0
    assert merged[:, 1].argmax() == 1


def test_others_is_the_sum_of_the_other_objects() -> None:
    probs = torch.rand(2, 3, 4, 4)
    for k in range(3):
        rest = [j for j in range(3) if j != k]
        assert torch.allclose(others(probs)[:, k], probs[:, rest].sum(1))
    assert others(probs[:, :1]).abs().max() == 0


def test_cells_hold_the_mask_and_give_it_back() -> None:
    masks = torch.rand(2, 3, 32, 48)
    cells = masks_to_cells(masks, stride=16, block=4)
    assert cells.shape == (2, 3 * 16, 2, 3)
    pooled = torch.nn.functional.avg_pool2d(masks, 4)
    assert torch.equal(
        cells_to_masks(cells.unflatten(1, (3, 16)).flatten(0, 1), block=4),
        pooled.flatten(0, 1)[:, None],
    )
    assert torch.equal(masks_to_cells(pooled, stride=4, block=4), cells)


def test_object_masks_split_an_id_map() -> None:
    labels = torch.tensor([[0, 7], [300, 7]], dtype=torch.int32)
    masks = object_masks(labels, (7, 9, 300))
    assert masks.tolist() == [[[0, 1], [0, 1]], [[0, 0], [0, 0]], [[0, 0], [1, 0]]]
