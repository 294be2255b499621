"""Memory read against a literal loop over eq. 1 and 2."""

import math

import pytest
import torch
from torch import Tensor

from model.memory import affinity, progressive
from model.memory.progressive import MemoryReader
from tests.support.memory import read_memory


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
    whole = read_memory(query, key, value)
    monkeypatch.setattr(progressive, "BLOCK_ELEMENTS", 3 * 17)
    assert torch.allclose(read_memory(query, key, value), whole, atol=1e-6)


@pytest.mark.parametrize("maxima", [1, 64, 1 << 23])
@pytest.mark.parametrize("tile", [16, 64, 1 << 10])
@pytest.mark.parametrize("length", [33, 64, 95, 96, 191, 192, 217])
def test_tiles_find_the_nearest(
    maxima: int, tile: int, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, size in {
        "MAXIMA": maxima, "TILE": tile, "GROUP_FROM": 1, "MOST_QUERIES": 5
    }.items():  # fmt: skip
        monkeypatch.setattr(affinity, name, size)
    generator = torch.Generator().manual_seed(length)
    query = torch.cat((torch.randn(13, 6, generator=generator), torch.ones(13, 1)), dim=1)
    keys = torch.randn(-(-length // 8) * 8, 7, generator=generator)
    keys[length:] = torch.tensor([0.0] * 6 + [torch.finfo(torch.float32).min])  # Filling.
    for tracked in (False, True):
        query.requires_grad_(tracked)
        values, rows = affinity.nearest(query, keys, length, 4)
        expected = (query @ keys[:length].t()).topk(4, dim=1)
        torch.testing.assert_close(values, expected.values)
        assert torch.equal(rows, expected.indices)


def test_a_long_memory_is_read_as_literally(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(1)
    query = torch.randn(2, 8, 5, generator=generator)
    key = torch.randn(2, 8, 1611, generator=generator)
    value = torch.randn(2, 3, 5, 1611, generator=generator)
    monkeypatch.setattr(affinity, "TILE", 256)
    usage = torch.zeros(1000)
    read = read_memory(query, key, value, top_k=20, usage=usage)
    assert torch.allclose(read.double(), literal_read(query, key, value, 20), atol=1e-5)
    one_hot = torch.eye(1611)[None, None].expand(2, -1, -1, -1)  # Read, it is the affinity.
    affinities = read_memory(query, key, one_hot, top_k=20)
    torch.testing.assert_close(usage, affinities.sum((0, 1, 3))[:1000])


@pytest.mark.parametrize("top_k", [None, 4, 22, 23, 100])
def test_what_is_remembered_is_read_like_memory(top_k: int | None) -> None:
    query, key, value = some_memory()
    generator = torch.Generator().manual_seed(2)
    later = [torch.randn(2, 3, 5, n, generator=generator) for n in (2, 3)]
    usage, expected_usage = torch.zeros(17), torch.zeros(17)
    clip = MemoryReader(key, value, usage=usage, capacity=9)
    queries = clip.queries(query)
    clip.remember(queries[:, :2], later[0])
    clip.remember(queries[:, 4:7], later[1])
    keys = torch.cat((key, query[..., 0:2], query[..., 4:7]), dim=2)
    expected = read_memory(
        query[..., 6:], keys, torch.cat((value, *later), dim=3), top_k=top_k, usage=expected_usage
    )
    torch.testing.assert_close(clip.read(queries[:, 6:], top_k=top_k), expected)
    torch.testing.assert_close(usage, expected_usage)


def test_gradients_pass_a_memory_that_grows() -> None:
    query, key, value = (x.requires_grad_() for x in some_memory(1, 1))
    clip = MemoryReader(key, value, capacity=4)
    queries = clip.queries(query)
    first = clip.read(queries[:, :4])
    clip.remember(queries[:, :4], first)
    clip.read(queries[:, 4:]).square().sum().backward()
    for x in (query, key, value):
        assert x.grad is not None
        assert x.grad.abs().sum() > 0


@pytest.mark.parametrize("length", [8 * 8 * 4, 8 * 8 * 8 * 4 + 8, 8 * 8 * 8 * 4 + 8 * 3 - 1])
def test_groups_find_the_nearest(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(affinity, "GROUP_FROM", 1)
    generator = torch.Generator().manual_seed(length)
    query = torch.cat((torch.randn(7, 6, generator=generator), torch.ones(7, 1)), dim=1)
    keys = torch.randn(-(-length // 8) * 8, 7, generator=generator)
    for compared in (keys, keys.round()):  # With ties any of the equal ones, each once.
        compared[length:] = torch.tensor([0.0] * 6 + [torch.finfo(torch.float32).min])
        values, rows = affinity.nearest(query, compared, length, 4)
        expected = (query @ compared[:length].t()).topk(4, dim=1)
        torch.testing.assert_close(values, expected.values)
        torch.testing.assert_close(values, (query @ compared.t()).gather(1, rows))
        assert all(len(set(row.tolist())) == 4 for row in rows)


@pytest.mark.parametrize("magnitude", [1e-20, 1.0, 1e6, 1e15])
@pytest.mark.parametrize("top_k", [None, 4])
def test_keys_of_any_length_give_a_convex_combination(magnitude: float, top_k: int | None) -> None:
    query, key, value = some_memory()
    read = read_memory(query * magnitude, key * magnitude, value, top_k=top_k)
    assert torch.isfinite(read).all()
    assert (read <= value.amax(-1, keepdim=True) + 1e-5).all()
    assert (read >= value.amin(-1, keepdim=True) - 1e-5).all()


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
