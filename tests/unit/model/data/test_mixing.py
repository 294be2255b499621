"""Mixing, seeding, collating and caching."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from model.data.images import ImageCache, read_image
from model.data.mixing import Ingredient, MixedDataset, start_worker
from model.data.sample import Problem, TrainingSample, collate, keep_visible
from model.data.sampling import GapSchedule
from model.data.synthetic.video import SyntheticVideo
from model.errors import ConfigError
from model.ops.frames import normalise
from tests.support.training_data import make_photos


@dataclass
class Counted:
    """Says its name and the gap it was asked for."""

    name: str
    length: int
    problems: Sequence[Problem] = field(default_factory=list)

    def __len__(self) -> int:
        return self.length

    def sample(self, index: int, rng: np.random.Generator, *, max_gap: int = 5) -> TrainingSample:
        frames = torch.full((2, 3, 4, 4), index, dtype=torch.uint8)
        return TrainingSample(frames, frames[:, 0], max_gap, self.name)


def test_weights_and_probabilities_decide_how_often_a_source_is_drawn() -> None:
    parts = [
        Ingredient(Counted("davis", 10), weight=5),
        Ingredient(Counted("youtube", 150)),
        Ingredient(Counted("synthetic", 1), probability=0.5),
    ]
    mixed = MixedDataset(parts, seed=0)
    np.testing.assert_allclose(mixed.probabilities, [0.125, 0.375, 0.5])
    assert len(mixed) == 201
    drawn = Counter(mixed[p].source for p in range(2000))
    assert 190 < drawn["davis"] < 310
    assert 650 < drawn["youtube"] < 850


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [Ingredient(Counted("a", 3), probability=0.5)],
        [Ingredient(Counted("a", 3), weight=0)],
        [
            Ingredient(Counted("a", 3), probability=0.7),
            Ingredient(Counted("b", 3), probability=0.7),
        ],
    ],
)
def test_no_distribution_is_refused(parts: list[Ingredient]) -> None:
    with pytest.raises(ConfigError):
        MixedDataset(parts, seed=0)


def test_the_gap_follows_the_position() -> None:
    mixed = MixedDataset([Ingredient(Counted("a", 3))], seed=0, max_gap=GapSchedule(100))
    assert [mixed[p].object_count for p in (0, 50, 95)] == [5, 15, 5]


def test_workers_change_nothing_and_resuming_continues_the_same_samples() -> None:
    source = SyntheticVideo((48, 48), frame_count=3, clip_length=1)
    mixed = MixedDataset([Ingredient(source)], seed=3)

    def batches(positions: range, workers: int) -> list[torch.Tensor]:
        loader = DataLoader(
            mixed,
            batch_size=2,
            sampler=positions,
            num_workers=workers,
            collate_fn=collate,
            worker_init_fn=start_worker,
        )
        return [torch.cat([b.frames.flatten(), b.labels.flatten()]) for b in loader]

    whole = batches(range(8), 0)
    resumed = batches(range(4, 8), 1)
    assert all(torch.equal(a, b) for a, b in zip(whole[2:], resumed, strict=True))
    assert not torch.equal(whole[0], whole[1])


def test_collate_normalises_once_and_keeps_names_and_problems() -> None:
    problem = Problem("x.jpg", "broken")
    frames = torch.randint(0, 256, (2, 3, 3, 8, 8), dtype=torch.uint8)
    labels = torch.zeros(3, 8, 8, dtype=torch.uint8)
    batch = collate(
        [
            TrainingSample(frames[0], labels, 1, "a", (problem,)),
            TrainingSample(frames[1], labels, 2, "b"),
        ]
    )
    assert torch.equal(batch.frames, normalise(frames))
    assert batch.frames.dtype == torch.float32
    assert batch.labels.shape == (2, 3, 8, 8)
    assert batch.object_count.tolist() == [1, 2]
    assert (batch.sources, batch.problems, len(batch)) == (("a", "b"), (problem,), 2)
    with pytest.raises(ValueError, match="share one shape"):
        collate(
            [
                TrainingSample(frames[0], labels, 1, "a"),
                TrainingSample(frames[1, :2], labels, 1, "b"),
            ]
        )


def test_objects_hidden_in_frame_0_become_background_and_the_rest_move_up() -> None:
    labels = np.zeros((2, 10, 10), np.uint8)
    labels[0, 0, :5], labels[0, 5, :5] = 2, 5
    labels[1] = 3
    labels[1, 0] = 5
    kept, count = keep_visible(labels)
    assert count == 2
    assert kept[0, 0, 0] == 1
    assert kept[0, 5, 0] == 2
    assert np.unique(kept[1]).tolist() == [0, 2]


def test_the_cache_is_bounded_and_its_pictures_cannot_be_written_into(tmp_path: Path) -> None:
    make_photos(tmp_path, 3)
    size = 96 * 128 * 3
    cache = ImageCache(2 * size)
    reads = Counter[str]()

    def read(path: Path) -> np.ndarray:
        reads[path.name] += 1
        return read_image(path)

    for name in ("p0", "p1", "p0", "p2", "p0", "p1"):
        image = cache.get(tmp_path / f"{name}.jpg", read)
        assert cache.held_bytes <= 2 * size
    # p1 was the least recently used when p2 came.
    assert reads == {"p0.jpg": 1, "p1.jpg": 2, "p2.jpg": 1}
    with pytest.raises(ValueError, match="read-only"):
        image[0] = 0
