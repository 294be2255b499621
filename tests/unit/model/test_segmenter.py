"""Clips, memory updates and references, on a real but untrained lite network."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.config import InferenceConfig
from model.inference.clips import iter_clips
from model.inference.segmenter import ClipSegmenter
from model.ops.masks import soft_aggregate
from model.pcvos import PCVOS
from model.types import ReferenceMask
from tests.support.weights import shipped_lite

SIZE = (37, 50)


def reference(frame: int, boxes: dict[int, tuple[slice, slice]]) -> ReferenceMask:
    labels = torch.zeros(SIZE, dtype=torch.int32)
    for object_id, box in boxes.items():
        labels[box] = object_id
    return ReferenceMask(frame, labels, tuple(sorted(boxes)))


def pictures(count: int) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    texture = generator.integers(0, 255, (SIZE[0] + 40, SIZE[1] + 40, 3), dtype=np.uint8)
    return [texture[n : n + SIZE[0], n : n + SIZE[1]] for n in range(count)]


LEFT = (slice(5, 20), slice(5, 20))
RIGHT = (slice(10, 30), slice(28, 45))


@pytest.fixture(scope="module")
def model() -> PCVOS:
    return shipped_lite()


def run(
    model: PCVOS,
    count: int,
    references: list[ReferenceMask],
    config: InferenceConfig,
    frames_at_once: int | None = None,
) -> tuple[ClipSegmenter, list[tuple[tuple[int, ...], torch.Tensor]]]:
    segmenter = ClipSegmenter(model, config, frames_at_once=frames_at_once)
    by_frame = {r.frame_index: r for r in references}
    start = min(by_frame)
    frames = []
    for clip in iter_clips(
        pictures(count)[start:], by_frame, interval=config.interval, start=start
    ):
        prediction = segmenter.segment(clip)
        assert prediction.start == start + len(frames)
        frames += [(prediction.object_ids, prediction.probs[:, t]) for t in range(len(prediction))]
    return segmenter, frames


@given(
    count=st.integers(1, 40),
    interval=st.integers(1, 12),
    later=st.sets(st.integers(1, 60), max_size=4),
    cuts=st.sets(st.integers(1, 60), max_size=6),
)
@settings(max_examples=60, deadline=None)
def test_a_shot_begins_with_a_clip_of_one_frame(
    count: int, interval: int, later: set[int], cuts: set[int]
) -> None:
    references = {i: reference(i, {1: LEFT}) for i in {0, *later}}
    clips = list(
        iter_clips(
            range(count),
            references,
            interval=interval,
            pixels=lambda i: np.full((*SIZE, 3), i, np.uint8),
            begins_shot=lambda i: i in cuts,
        )
    )
    assert [i for c in clips for i in c.sources] == list(range(count))
    assert [c.start for c in clips if c.cut] == sorted(i for i in cuts if i < count)
    assert all(len(c.frames) == 1 and c.due for c in clips if c.cut)
    assert [c.final for c in clips] == [False] * (len(clips) - 1) + [True]
    for clip in clips:
        last = clip.start + len(clip.frames) - 1
        assert clip.reference is references.get(last)
        assert not any(i in references or i in cuts for i in range(clip.start + 1, last))


@given(
    count=st.integers(1, 40),
    interval=st.integers(1, 12),
    later=st.sets(st.integers(1, 60), max_size=4),
)
@settings(max_examples=60, deadline=None)
def test_clips_cover_every_frame_once(count: int, interval: int, later: set[int]) -> None:
    references = {i: reference(i, {1: LEFT}) for i in {0, *later}}
    frames = [np.full((*SIZE, 3), i, np.uint8) for i in range(count)]
    clips = list(iter_clips(frames, references, interval=interval))
    assert [c.start + t for c in clips for t in range(len(c.frames))] == list(range(count))
    assert [c.final for c in clips] == [False] * (len(clips) - 1) + [True]
    for clip in clips:
        end = clip.start + len(clip.frames) - 1
        assert len(clip.frames) <= interval
        assert clip.due == (len(clip.frames) == interval)
        assert not any(i in references for i in range(clip.start, end))
        assert clip.reference is references.get(end)


def test_probabilities_sum_to_one_and_have_the_frames_size(model: PCVOS) -> None:
    _, frames = run(model, 9, [reference(0, {3: LEFT, 8: RIGHT})], InferenceConfig(interval=4))
    assert len(frames) == 9
    for object_ids, probs in frames:
        assert object_ids == (3, 8)
        assert probs.shape == (3, *SIZE)
        assert torch.allclose(probs.sum(0), torch.ones(SIZE), atol=1e-5)


def test_the_reference_frame_is_the_reference(model: PCVOS) -> None:
    given_mask = reference(0, {3: LEFT, 8: RIGHT})
    _, frames = run(model, 1, [given_mask], InferenceConfig())
    ids = torch.tensor((0, 3, 8))
    assert torch.equal(ids[frames[0][1].argmax(0)].int(), given_mask.labels)


@pytest.mark.parametrize(("count", "memory"), [(1, 0), (5, 1), (6, 2), (9, 2), (10, 3)])
def test_every_lth_frame_enters_unless_nothing_follows(
    model: PCVOS, count: int, memory: int
) -> None:
    segmenter, _ = run(model, count, [reference(0, {1: LEFT})], InferenceConfig(interval=4))
    assert segmenter.memory.frames == memory


def test_a_later_object_joins_and_an_earlier_one_keeps_its_past(model: PCVOS) -> None:
    config = InferenceConfig(interval=4)
    alone = run(model, 6, [reference(0, {9: LEFT})], config)[1]
    _, frames = run(model, 9, [reference(0, {9: LEFT}), reference(5, {2: RIGHT})], config)
    assert [ids for ids, _ in frames] == [(9,)] * 5 + [(2, 9)] * 4
    for (_, probs), (_, expected) in zip(frames[:5], alone[:5], strict=True):
        assert torch.allclose(probs, expected, atol=1e-5)
    entered = frames[5][1]
    assert (entered[1][RIGHT] > 0.99).all()
    # Outside the given pixels the earlier object is still predicted, not erased. Merging
    # aggregates the prediction once more, as the published implementation does.
    outside = torch.ones(SIZE, dtype=torch.bool)
    outside[RIGHT] = False
    predicted = soft_aggregate(alone[5][1][1:])[1]
    assert torch.allclose(entered[2][outside], predicted[outside], atol=1e-4)


def test_a_clip_that_a_later_object_ends_shows_zero_before_it(model: PCVOS) -> None:
    config = InferenceConfig(interval=8)
    _, frames = run(model, 6, [reference(0, {1: LEFT}), reference(4, {2: RIGHT})], config)
    for ids, probs in frames[1:4]:
        assert ids == (1, 2)
        assert probs[2].abs().max() == 0
        assert torch.allclose(probs.sum(0), torch.ones(SIZE), atol=1e-5)


def test_a_correction_replaces_the_object_as_a_whole(model: PCVOS) -> None:
    config = InferenceConfig(interval=4)
    both = reference(0, {1: LEFT, 2: RIGHT})
    moved = (slice(22, 35), slice(2, 12))
    _, frames = run(model, 7, [both, reference(3, {1: moved})], config)
    corrected = frames[3][1]
    assert (corrected[1][moved] > 0.99).all()
    elsewhere = torch.ones(SIZE, dtype=torch.bool)
    elsewhere[moved] = False
    assert corrected[1][elsewhere].max() < 1e-3


def test_ids_do_not_matter(model: PCVOS) -> None:
    config = InferenceConfig(interval=3)
    low = run(model, 8, [reference(0, {1: LEFT, 2: RIGHT})], config)[1]
    high = run(model, 8, [reference(0, {254: RIGHT, 70: LEFT})], config)[1]
    for (_, a), (_, b) in zip(low, high, strict=True):
        assert torch.equal(a, b)


def test_the_size_of_a_pass_changes_nothing(model: PCVOS) -> None:
    config = InferenceConfig(interval=4)
    given_mask = [reference(0, {1: LEFT, 2: RIGHT})]
    single = run(model, 9, given_mask, config, frames_at_once=1)[1]
    several = run(model, 9, given_mask, config, frames_at_once=3)[1]
    for (_, a), (_, b) in zip(single, several, strict=True):
        # Sums are taken in another order; a random network amplifies that.
        assert (a - b).abs().mean() < 1e-4


@pytest.mark.parametrize("switch", [{"refinement": False}, {"progressive": False}, {"top_k": None}])
def test_every_switch_changes_the_result(model: PCVOS, switch: dict[str, None]) -> None:
    given_mask = [reference(0, {1: LEFT})]
    full = run(model, 9, given_mask, InferenceConfig(interval=8, progressive_interval=2))[1]
    config = InferenceConfig(interval=8, **{"progressive_interval": 2, **switch})
    switched = run(model, 9, given_mask, config)[1]
    assert not torch.equal(full[-1][1], switched[-1][1])


def test_the_first_clip_must_be_a_reference_frame(model: PCVOS) -> None:
    with pytest.raises(ValueError, match="frame 0 has no reference mask"):
        list(iter_clips(pictures(3), {1: reference(1, {1: LEFT})}, interval=4))


def test_reduced_precision_changes_little_and_keeps_probabilities(model: PCVOS) -> None:
    references = {0: reference(0, {1: LEFT, 2: RIGHT})}
    # An untrained network's parts of masks are strays, or outside of a box, by a hair's breadth.
    config = InferenceConfig(interval=3, drop_strays=False, locate_objects=False)
    probs = {}
    for precision in (None, torch.bfloat16):
        segmenter = ClipSegmenter(model, config, autocast=precision)
        clips = iter_clips(pictures(8), references, interval=config.interval)
        probs[precision] = torch.cat([segmenter.segment(clip).probs for clip in clips], dim=1)
    full, reduced = probs[None], probs[torch.bfloat16]
    assert reduced.dtype == torch.float32
    torch.testing.assert_close(reduced.sum(0), torch.ones_like(reduced[0]))
    assert not torch.equal(full, reduced)
    torch.testing.assert_close(full, reduced, atol=0.1, rtol=0)


@pytest.mark.parametrize("max_memory_frames", [None, 3])
def test_a_restored_segmenter_goes_on_to_the_same_bits(
    model: PCVOS, max_memory_frames: int | None
) -> None:
    references = {0: reference(0, {5: LEFT}), 4: reference(4, {2: RIGHT})}
    config = InferenceConfig(interval=3, max_memory_frames=max_memory_frames)
    whole = ClipSegmenter(model, config)
    frames = pictures(18)
    clips = list(iter_clips(frames, references, interval=3))
    expected = [whole.segment(clip) for clip in clips]
    for done in range(1, len(clips)):
        before = ClipSegmenter(model, config)
        for clip in clips[:done]:
            before.segment(clip)
        after = ClipSegmenter(model, config)
        memory = [before.memory.frame(index) for index in range(before.memory.frames)]
        after.restore(before.object_ids, memory, before.bodies)
        start = clips[done].start
        rest = list(iter_clips(frames[start:], references, interval=3, start=start, continued=True))
        assert [clip.start for clip in rest] == [clip.start for clip in clips[done:]]
        for clip, prediction in zip(rest, expected[done:], strict=True):
            again = after.segment(clip)
            assert again.object_ids == prediction.object_ids
            assert torch.equal(again.probs, prediction.probs)
    with pytest.raises(ValueError, match="new segmenter"):
        whole.restore((), [])


def test_frames_of_a_clip_come_one_by_one(model: PCVOS) -> None:
    references = {0: reference(0, {5: LEFT}), 7: reference(7, {2: RIGHT})}
    config = InferenceConfig(interval=4)
    whole, by_frame = ClipSegmenter(model, config), ClipSegmenter(model, config)
    entered = 0
    for clip in iter_clips(pictures(11), references, interval=4):
        expected = whole.segment(clip)
        for t, part in enumerate(by_frame.segment_frames(clip)):
            assert not torch.is_inference_mode_enabled(), "that is the network's business"
            assert (part.start, len(part)) == (clip.start + t, 1)
            channels = [0, *(1 + expected.object_ids.index(i) for i in part.object_ids)]
            assert torch.equal(part.probs[:, 0], expected.probs[channels, t])
            missing = [c for c in range(len(expected.probs)) if c not in channels]
            entered += len(missing)
            assert not expected.probs[missing, t].any()
        assert t == len(clip.frames) - 1
        assert by_frame.memory.frames == whole.memory.frames
    assert entered == 2  # On frames 5 and 6 the second object is not there yet.


def test_a_bound_changes_nothing_until_it_is_reached(model: PCVOS) -> None:
    given_mask = [reference(0, {1: LEFT, 2: RIGHT})]
    whole, expected = run(
        model, 26, given_mask, InferenceConfig(interval=3, max_memory_frames=None)
    )
    bounded, frames = run(model, 26, given_mask, InferenceConfig(interval=3, max_memory_frames=5))
    assert (whole.memory.frames, bounded.memory.frames) == (9, 5)
    equal = [torch.equal(a[1], b[1]) for a, b in zip(frames, expected, strict=True)]
    # Frame 15 is the sixth to enter, so the clip after it is the first to miss one.
    assert all(equal[:16])
    assert not any(equal[16:])
    numbers = [record.number for record in bounded.memory.records]
    assert numbers[0] == 0
    assert numbers[-1] == 8


def test_an_object_is_gone_from_its_end_until_a_reference_shows_it(model: PCVOS) -> None:
    references = {
        0: reference(0, {1: LEFT, 2: RIGHT}),
        9: reference(9, {2: LEFT}),
    }
    settings = InferenceConfig(interval=4)
    present: dict[bool, list[list[float]]] = {}
    for ends in (False, True):
        segmenter = ClipSegmenter(model, settings)
        given = [(2, 6)] if ends else []
        clips = iter_clips(pictures(14), references, interval=4, ends=given)
        present[ends] = []
        for clip in clips:
            probs = segmenter.segment(clip).probs
            torch.testing.assert_close(probs.sum(0), torch.ones_like(probs[0]))
            present[ends] += probs.amax((2, 3)).T.tolist()
    shown = [frame[2] > 0 for frame in present[True]]
    assert shown == [True] * 6 + [False] * 3 + [True] * 5
    assert all(frame[2] > 0 for frame in present[False])
    # Until then nothing is different, and the other object is there throughout.
    assert present[True][:6] == present[False][:6]
    assert all(frame[1] > 0 for frame in present[True])
