"""Memory read against a literal loop over eq. 1 and 2."""

import math

import pytest
import torch
from torch import Tensor

from model.memory import affinity
from model.memory.affinity import read_memory


def literal_read(query: Tensor, key: Tensor, value: Tensor, top_k: int | None) -> Tensor:
    """Eq. 1 and 2, one query location at a time, in float64."""
    batch, width, queries = query.shape
    _, objects, value_width, length = value.shape
    out = torch.zeros(batch, objects, value_width, queries, dtype=torch.float64)
    for b in range(batch):
        for m in range(queries):
            distance = ((query[b, :, m, None].double() - key[b].double()) ** 2).sum(0)
            similarity = -distance / math.sqrt(width)
            kept = range(length)
            if top_k is not None:
                kept = sorted(kept, key=lambda n: -similarity[n].item())[:top_k]
            best = max(similarity[n] for n in kept)
            weights = {n: math.exp(similarity[n] - best) for n in kept}
            total = sum(weights.values())
            for n, weight in weights.items():
                out[b, :, :, m] += weight / total * value[b, :, :, n].double()
    return out


def some_memory(batch: int = 2, objects: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(batch, 8, 11, generator=generator)
    key = torch.randn(batch, 8, 17, generator=generator)
    value = torch.randn(batch, objects, 5, 17, generator=generator)
    return query, key, value


@pytest.mark.parametrize("top_k", [None, 1, 4, 17, 100])
def test_equals_the_literal_loop(top_k: int | None) -> None:
    query, key, value = some_memory()
    read = read_memory(query, key, value, top_k=top_k)
    assert torch.allclose(read.double(), literal_read(query, key, value, top_k), atol=1e-5)


def test_keeping_all_equals_no_top_k() -> None:
    query, key, value = some_memory()
    assert torch.equal(read_memory(query, key, value, top_k=17), read_memory(query, key, value))


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    query, key, value = some_memory()
    whole = read_memory(query, key, value, top_k=4)
    monkeypatch.setattr(affinity, "BLOCK_ELEMENTS", 3 * 17)
    assert torch.allclose(read_memory(query, key, value, top_k=4), whole, atol=1e-6)


@pytest.mark.parametrize("part", [1, 2, 3, 4, 7, 16])
def test_parts_change_nothing(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    query, key, value = some_memory()
    usage, usage_of_parts = torch.zeros(17), torch.zeros(17)
    whole = read_memory(query, key, value, top_k=4, usage=usage)
    monkeypatch.setattr(affinity, "PART", part)
    in_parts = read_memory(query, key, value, top_k=4, usage=usage_of_parts)
    assert torch.allclose(in_parts, whole, atol=1e-6)
    assert torch.allclose(usage_of_parts, usage, atol=1e-5)


@pytest.mark.parametrize("length", [6 * 4, 6 * 4 + 1, 6 * 5 + 3, 6 * 6 * 6 * 4 + 11])
def test_looking_in_groups_finds_the_best(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(affinity, "GROUP_FROM", 1)
    monkeypatch.setattr(affinity, "GROUP", 6)
    generator = torch.Generator().manual_seed(length)
    for _ in range(50):
        similarity = torch.randn(7, length, generator=generator)
        values, columns = affinity._best(similarity, 4)
        expected = similarity.topk(4, dim=1)
        assert torch.equal(values, expected.values)
        assert torch.equal(columns, expected.indices)
        tied = similarity.round()  # With ties the values are still the best, each place once.
        values, columns = affinity._best(tied, 4)
        assert torch.equal(values, tied.topk(4, dim=1).values)
        assert torch.equal(values, tied.gather(1, columns))
        assert all(len(set(row.tolist())) == 4 for row in columns)


@pytest.mark.parametrize("magnitude", [1e-20, 1.0, 1e6, 1e19, 1e37])
@pytest.mark.parametrize("top_k", [None, 4])
def test_any_finite_keys_give_a_convex_combination(magnitude: float, top_k: int | None) -> None:
    query, key, value = some_memory()
    read = read_memory(query * magnitude, key * magnitude, value, top_k=top_k)
    assert torch.isfinite(read).all()
    assert (read <= value.amax(-1, keepdim=True) + 1e-5).all()
    assert (read >= value.amin(-1, keepdim=True) - 1e-5).all()


def test_huge_keys_pick_the_nearest() -> None:
    key = torch.tensor([[[1e20, -1e20, 3e20]]])
    value = torch.tensor([[[[1.0, 2.0, 3.0]]]])
    read = read_memory(torch.tensor([[[2.9e20, -2e20]]]), key, value, top_k=2)
    assert read.flatten().tolist() == [3.0, 2.0]


def test_moving_all_keys_together_changes_nothing() -> None:
    query, key, value = some_memory()
    moved = read_memory(query + 100, key + 100, value, top_k=4)
    assert torch.allclose(moved, read_memory(query, key, value, top_k=4), atol=1e-3)


def test_objects_share_the_affinity() -> None:
    query, key, value = some_memory()
    together = read_memory(query, key, value, top_k=4)
    for k in range(3):
        alone = read_memory(query, key, value[:, k : k + 1], top_k=4)
        assert torch.allclose(together[:, k : k + 1], alone, atol=1e-6)


@pytest.mark.parametrize("top_k", [None, 4])
def test_gradients_reach_keys_and_values(top_k: int | None) -> None:
    query, key, value = (x.double().requires_grad_() for x in some_memory(1, 1))
    read_memory(query, key, value, top_k=top_k).square().sum().backward()
    for x in (query, key, value):
        assert x.grad is not None
        assert x.grad.abs().sum() > 0


def test_what_does_not_fit_is_refused() -> None:
    query, key, value = some_memory()
    with pytest.raises(ValueError, match="channels"):
        read_memory(query[:, :7], key, value)
    with pytest.raises(ValueError, match="17 memory keys but 16 memory values"):
        read_memory(query, key, value[..., :16])
    with pytest.raises(ValueError, match="empty"):
        read_memory(query, key[..., :0], value[..., :0])
    with pytest.raises(ValueError, match="at least 1, got 0"):
        read_memory(query, key, value, top_k=0)
