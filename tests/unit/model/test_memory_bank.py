"""The bank: keys once, values by group, provisional memory gone with the clip."""

import pytest
import torch

from model.memory.bank import Memory, MemoryBank
from tests.support.memory import progressive_read, read_memory


def frame_value(seed: int, objects: list[int]) -> tuple[torch.Tensor, dict[int, torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    key = torch.randn(4, 2, 3, generator=generator)
    return key, {i: torch.randn(5, 2, 3, generator=generator) for i in objects}


def test_a_group_reads_from_the_frame_on_which_it_entered() -> None:
    bank = MemoryBank()
    frames = [frame_value(0, [7]), frame_value(1, [7]), frame_value(2, [7, 2, 9])]
    for key, values in frames:
        bank.add(key, values)
    assert bank.object_ids() == (7, 2, 9)
    first, second = bank.memories()
    assert first.key.shape == (1, 4, 18)
    assert second.key.shape == (1, 4, 6)
    assert torch.equal(second.key[0], frames[2][0].flatten(1))
    for n, (_, values) in enumerate(frames):
        assert torch.equal(first.value[0, 0, :, 6 * n : 6 * n + 6], values[7].flatten(1))
    assert torch.equal(second.value[0, 1], frames[2][1][9].flatten(1))


def test_keys_are_stored_once() -> None:
    bank = MemoryBank()
    bank.add(*frame_value(0, [1]))
    bank.add(*frame_value(1, [1, 2]))
    first, second = bank.memories()
    storages = {m.key.untyped_storage().data_ptr() for m in (first, second)}
    assert len(storages) == 1


def test_growing_keeps_what_was_there() -> None:
    bank = MemoryBank()
    frames = [frame_value(n, [1]) for n in range(9)]
    for key, values in frames:
        bank.add(key, values)
    keys = torch.cat([key.flatten(1) for key, _ in frames], dim=1)
    assert torch.equal(bank.memories()[0].key[0], keys)


def test_an_object_without_a_value_is_refused() -> None:
    bank = MemoryBank()
    bank.add(*frame_value(0, [1, 2]))
    with pytest.raises(ValueError, match=r"objects \[2\]"):
        bank.add(*frame_value(1, [1]))


def some_clip(frames: int) -> tuple[torch.Tensor, Memory]:
    generator = torch.Generator().manual_seed(3)
    query = torch.randn(1, 4, frames, 2, 3, generator=generator)
    memory = Memory(
        torch.randn(1, 4, 10, generator=generator), torch.randn(1, 2, 5, 10, generator=generator)
    )
    return query, memory


@pytest.mark.parametrize("frames", [1, 4, 5])
def test_progressive_equals_parallel_in_clips_no_longer_than_the_interval(frames: int) -> None:
    query, memory = some_clip(frames)
    progressive = progressive_read(query, memory, interval=5, top_k=3)
    assert torch.equal(progressive, progressive_read(query, memory, interval=None, top_k=3))


def test_progressive_matches_equation_4() -> None:
    """Three segments of two frames, memory extended by hand with each segment's last frame."""
    query, memory = some_clip(6)
    key, value = memory.key, memory.value
    expected = []
    for start in (0, 2, 4):
        segment = query[:, :, start : start + 2]
        read = read_memory(segment.flatten(2), key, value).unflatten(-1, (2, 2, 3))
        expected.append(read)
        key = torch.cat((key, segment[:, :, 1].flatten(2)), dim=2)
        value = torch.cat((value, read[:, :, :, 1].flatten(3)), dim=3)
    before = memory.key.clone()
    actual = progressive_read(query, memory, interval=2)
    assert torch.allclose(actual, torch.cat(expected, dim=3), atol=1e-6)
    assert torch.equal(memory.key, before)


def test_a_bank_is_made_again_from_its_frames() -> None:
    bank, again = MemoryBank(), MemoryBank()
    given = [frame_value(n, objects) for n, objects in enumerate([[7], [7], [7, 2, 9], [2, 7, 9]])]
    for key, values in given:
        bank.add(key, values)
    early = bank.frame(1)  # a view that later growth must not change
    for n in range(4, 9):
        bank.add(*frame_value(n, [2, 7, 9]))
    assert torch.equal(early.values[7], given[1][1][7].flatten(1))
    for index, (key, values) in enumerate(given):
        frame = bank.frame(index)
        assert torch.equal(frame.key, key.flatten(1))
        assert set(frame.values) == set(values)
        for object_id, value in values.items():
            assert torch.equal(frame.values[object_id], value.flatten(1))
    for index in range(bank.frames):
        frame = bank.frame(index)
        again.restore(frame)
    assert again.records == bank.records
    assert again.object_ids() == bank.object_ids()
    for one, other in zip(again.memories(), bank.memories(), strict=True):
        assert torch.equal(one.key, other.key)
        assert torch.equal(one.value, other.value)
        assert one.value.stride() == other.value.stride()
    with pytest.raises(IndexError, match="9"):
        bank.frame(9)


def read_once(bank: MemoryBank, favourites: dict[int, float]) -> None:
    """Let the frames with these numbers receive this affinity in one query frame."""
    memories = bank.memories()
    for memory in memories:
        assert memory.usage is not None
        by_frame = memory.usage.view(-1, 6)
        for place, record in enumerate(bank.records[-len(by_frame) :]):
            by_frame[place, place % 6] = favourites.get(record.number, 0.0)
    bank.count_usage(memories, 1)


def numbers(bank: MemoryBank) -> list[int]:
    return [record.number for record in bank.records]


def test_a_full_bank_drops_the_frame_that_was_used_least() -> None:
    bank = MemoryBank(4)
    for n in range(4):
        bank.add(*frame_value(n, [1]), reference=n == 0)
        read_once(bank, {0: 0.1, 1: 5.0, 2: 2.0, 3: 3.0})
    # Frame 1 received 15 in 3 reads, frame 2 4 in 2, frame 3 3 in 1.
    assert [round(r.mean_usage, 3) for r in bank.records] == [0.1, 5, 2, 3]
    bank.add(*frame_value(4, [1]))
    assert numbers(bank) == [0, 1, 3, 4], "not the reference frame, though it is used less"
    read_once(bank, {1: 0.0, 3: 9.0, 4: 1.0})
    bank.add(*frame_value(5, [1]))
    assert numbers(bank) == [0, 1, 3, 5], "frame 1 was used more than 4, if not of late"
    bank.add(*frame_value(6, [1]))
    assert numbers(bank) == [0, 3, 5, 6], "15 in 4 reads are less than 12 in 2"
    assert bank.frames == 4
    assert bank.frames_added == 7


def test_after_frames_were_dropped_each_group_reads_what_is_left_of_its_own() -> None:
    bank, given = MemoryBank(4), {}
    objects = [[7], [7], [7, 2], [7, 2], [7, 2], [7, 2, 9], [7, 2, 9]]
    for n, present in enumerate(objects):
        given[n] = frame_value(n, present)
        bank.add(*given[n], reference=n in (0, 2, 5))
        read_once(bank, {})
    # Frames 1, 3 and 4 went: references stay, and so does the newest.
    assert numbers(bank) == [0, 2, 5, 6]
    for group, memory, first in zip(bank.groups, bank.memories(), (0, 2, 5), strict=True):
        held = [n for n in numbers(bank) if n >= first]
        keys = torch.cat([given[n][0].flatten(1) for n in held], dim=1)
        assert torch.equal(memory.key[0], keys)
        for k, object_id in enumerate(group.object_ids):
            values = [given[n][1][object_id].flatten(1) for n in held]
            assert torch.equal(memory.value[0, k], torch.cat(values, dim=1))


def test_references_beyond_the_bound_are_kept_with_the_newest_frame() -> None:
    bank = MemoryBank(2)
    for n in range(4):
        bank.add(*frame_value(n, [1]), reference=True)
    assert numbers(bank) == [0, 1, 2, 3]
    for n in range(4, 7):
        bank.add(*frame_value(n, [1]))
        assert numbers(bank) == [0, 1, 2, 3, n]


def test_usage_is_the_affinity_and_provisional_memory_is_not_counted() -> None:
    bank = MemoryBank(10)
    for n in range(3):
        bank.add(*frame_value(n, [1]))
    query = frame_value(7, [])[0][None, :, None]  # (1, 4, 1, 2, 3)
    for top_k in (4, None):
        memories = bank.memories()
        progressive_read(query, memories[0], interval=5, top_k=top_k)
        usage = memories[0].usage
        assert usage is not None
        identity = torch.eye(18)[None, None]  # read as a value it returns the affinity
        affinity = read_memory(query.flatten(2), memories[0].key, identity, top_k=top_k)
        torch.testing.assert_close(usage, affinity[0, 0].sum(1))
        assert usage.sum().item() == pytest.approx(6)
    memories = bank.memories()
    clip = torch.cat([query] * 4, dim=2)
    progressive_read(clip, memories[0], interval=1, top_k=4)
    assert memories[0].usage is not None
    assert 6 < memories[0].usage.sum() < 24, "the frame that was read before gets the rest"
    bank.count_usage(memories, 4)
    used = [record.usage for record in bank.records]
    assert sum(used) == pytest.approx(memories[0].usage.sum().item())
    assert {record.queries for record in bank.records} == {4}


def test_an_unbounded_bank_counts_nothing() -> None:
    bank = MemoryBank()
    bank.add(*frame_value(0, [1]))
    memories = bank.memories()
    assert memories[0].usage is None
    bank.count_usage(memories, 3)
    assert bank.records[0].queries == 0


def test_frames_lose_by_their_age_but_references_and_provisional_frames_nothing() -> None:
    bank = MemoryBank(decay=0.5)
    bank.add(*frame_value(0, [1]), reference=True)
    for n in range(1, 14):
        bank.add(*frame_value(n, [1] if n < 12 else [1, 2]), reference=n == 12)
    first, second = bank.memories()
    assert first.age_penalty is not None
    assert second.age_penalty is not None
    by_frame = first.age_penalty.view(14, 6)
    assert (by_frame == by_frame[:, :1]).all()
    # The oldest but the reference count as ten frames old.
    assert by_frame[:, 0].tolist() == [0, 5, 5, 5, 4.5, 4, 3.5, 3, 2.5, 2, 1.5, 1, 0, 0]
    assert second.age_penalty.tolist() == [0.0] * 12

    # The same as memory keys that lie further off by that much.
    query = torch.randn(1, 4, 2, 2, 3, generator=torch.Generator().manual_seed(9))
    read = progressive_read(query, first, interval=1, top_k=None)
    distance = torch.cdist(query[0, :, 0].flatten(1).t(), first.key[0].t()).square() / 4**0.5
    affinity = torch.softmax(-distance - first.age_penalty, dim=1)
    expected = affinity @ first.value[0, 0].t()
    torch.testing.assert_close(read[0, 0, :, 0].flatten(1).t(), expected, rtol=1e-4, atol=1e-5)


def test_ages_outlive_a_dropped_frame() -> None:
    bank = MemoryBank(3, decay=1.0)
    for n in range(5):
        bank.add(*frame_value(n, [1]), reference=n == 0)
        memories = bank.memories()
        assert memories[0].usage is not None
        memories[0].usage.add_(torch.arange(len(memories[0].usage)))  # The older the less used.
        bank.count_usage(memories, 1)
    age_penalty = bank.memories()[0].age_penalty
    assert age_penalty is not None
    assert age_penalty.view(3, 6)[:, 0].tolist() == [0, 1, 0]
