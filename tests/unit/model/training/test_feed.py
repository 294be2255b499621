"""Which samples come when, whoever asks for them."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from model.data.mixing import Ingredient, MixedDataset
from model.data.sample import TrainingSample
from model.errors import InputError
from model.training.feed import Positions, open_feed
from model.training.sources import open_data
from tests.support.training import tiny_recipe
from tests.support.training_data import make_davis, make_pairs, make_photos


class Numbered:
    """A source whose sample tells its random draw; from ``broken`` on there is nothing left."""

    name = "numbered"
    problems = ()

    def __init__(self, broken: bool = False) -> None:
        self.broken = broken

    def __len__(self) -> int:
        return 10

    def sample(self, index: int, rng: np.random.Generator, *, max_gap: int = 5) -> TrainingSample:
        if self.broken:
            raise InputError("numbered: nothing left", hint="add data")
        frames = torch.full((3, 3, 32, 32), int(rng.integers(256)), dtype=torch.uint8)
        return TrainingSample(frames, torch.ones(3, 32, 32, dtype=torch.uint8), 1, f"{index}")


def _mixed(broken: bool = False) -> MixedDataset:
    return MixedDataset([Ingredient(Numbered(broken))], seed=3, length=24)


def test_processes_share_out_the_batches_of_one() -> None:
    whole = list(Positions(2, 5, 6, rank=0, processes=1))
    assert whole == [[12, 13, 14, 15, 16, 17], [18, 19, 20, 21, 22, 23], [24, 25, 26, 27, 28, 29]]
    shares = [list(Positions(2, 5, 6, rank=rank, processes=3)) for rank in range(3)]
    joined = [list(itertools.chain(*parts)) for parts in zip(*shares, strict=True)]
    assert joined == whole


@pytest.mark.parametrize("workers", [0, 1])
def test_a_feed_that_begins_later_goes_on_as_the_whole_one(workers: int) -> None:
    whole = list(open_feed(_mixed(), Positions(0, 6, 4, rank=0, processes=1), workers=0))
    rest = list(open_feed(_mixed(), Positions(4, 6, 4, rank=0, processes=1), workers=workers))
    assert len(whole) == 6
    assert [b.sources for b in rest] == [b.sources for b in whole[4:]]
    assert all(torch.equal(a.frames, b.frames) for a, b in zip(rest, whole[4:], strict=True))


# Through a worker too; the feed test above has shown that workers change nothing else.
@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_an_error_keeps_its_kind_its_message_and_its_hint(workers: int) -> None:
    feed = open_feed(_mixed(broken=True), Positions(0, 2, 2, rank=0, processes=1), workers=workers)
    with pytest.raises(InputError, match=r"^numbered: nothing left$") as caught:
        next(feed)
    assert caught.value.hint == "add data"


def test_no_data_means_procedural_synthetic_video() -> None:
    mixed = open_data(tiny_recipe(None))
    assert [part.source.name for part in mixed.ingredients] == ["synthetic (procedural)"]
    assert tiny_recipe(None).data.is_procedural


def test_synthetic_video_takes_its_share_beside_other_data(tmp_path: Path) -> None:
    davis, photos = make_davis(tmp_path / "davis"), make_photos(tmp_path / "photos")
    mixed = open_data(tiny_recipe(davis, data={"photos": [str(photos)], "synthetic_share": 0.2}))
    assert mixed.probabilities.tolist() == pytest.approx([0.2, 0.8])


def test_items_of_a_data_set_count_by_its_weight(tmp_path: Path) -> None:
    davis, pairs = make_davis(tmp_path / "a=b"), make_pairs(tmp_path / "pairs", 4)
    for weights, expected in (
        (("", ""), [2 / 6, 4 / 6]),
        (("=6", ""), [12 / 16, 4 / 16]),
        (("=0.5", "=1.5"), [1 / 7, 6 / 7]),
    ):
        sets = [f"{davis}{weights[0]}", f"{pairs}{weights[1]}"]
        mixed = open_data(tiny_recipe(davis, data={"sets": sets}))
        assert mixed.probabilities.tolist() == pytest.approx(expected)


def test_smaller_parts_of_videos_are_enlarged(tmp_path: Path) -> None:
    davis = make_davis(tmp_path / "davis")
    shares = []
    for area in ([1.0, 1.0], [0.25, 0.25]):
        mixed = open_data(tiny_recipe(davis, samples={"crop_area": area}))
        references = torch.stack([mixed[position].labels[0] for position in range(8)])
        shares.append(float((references > 0).float().mean()))
    assert shares[1] > 1.5 * shares[0]


def test_the_image_stage_refuses_videos(tmp_path: Path) -> None:
    davis = make_davis(tmp_path / "davis")
    with pytest.raises(InputError, match="davis: videos, but stage image trains on stills"):
        open_data(tiny_recipe(davis, stage="image"))


def test_the_gap_grows_and_is_annealed_back(tmp_path: Path) -> None:
    mixed = open_data(tiny_recipe(make_davis(tmp_path / "davis"), steps=100))
    assert callable(mixed.max_gap)
    gaps = [mixed.max_gap(position) for position in (0, 60, 100, 199)]
    assert gaps == [5, 15, 15, 5]
