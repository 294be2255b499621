"""The journal returns what was put into it, up to the length that counts."""

from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from model.errors import OutputError
from pcvos_cli.masks.journal import LabelJournal, decode_labels, encode_labels
from pcvos_cli.masks.writers import FrameMasks

SIZE = (5, 7)


def frame(index: int, labels: NDArray[np.int32]) -> FrameMasks:
    rgb = np.zeros((*SIZE, 3), np.uint8)
    return FrameMasks(index, f"ünï\udcff {index}", 40 * index, rgb, labels)


def constant(value: int) -> NDArray[np.int32]:
    return np.full(SIZE, value, np.int32)


@given(
    st.lists(arrays(np.int32, SIZE, elements=st.sampled_from([0, 1, 7, 255, 60000])), max_size=4),
    st.randoms(use_true_random=False),
)
def test_labels_come_back_in_the_order_of_the_video(
    tmp_path_factory: pytest.TempPathFactory,
    maps: list[NDArray[np.int32]],
    random: Random,
) -> None:
    path = tmp_path_factory.mktemp("journal") / "labels.jsonl"
    order = list(range(len(maps)))
    random.shuffle(order)
    journal = LabelJournal(path)
    for position in order:
        journal.write(frame(3 + position, maps[position]))
    again = LabelJournal(path, keep=journal.flush())
    for opened in (journal, again):
        entries = list(opened.entries())
        assert [entry.index for entry in entries] == [3 + i for i in range(len(maps))]
        assert [entry.pts for entry in entries] == [40 * entry.index for entry in entries]
        assert [entry.name for entry in entries] == [f"ünï\udcff {e.index}" for e in entries]
        assert opened.object_ids == {int(i) for labels in maps for i in np.unique(labels) if i}
        for index, labels in enumerate(maps, 3):
            assert index in opened
            found = opened.labels(index, SIZE)
            assert found.dtype == np.int32
            np.testing.assert_array_equal(found, labels)
        assert 2 not in opened
        assert 3 + len(maps) not in opened
        opened.close()


def test_what_no_state_names_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    journal = LabelJournal(path)
    journal.write(frame(10, constant(1)))
    kept = journal.flush()
    journal.write(frame(11, constant(2)))
    journal.abort()
    journal = LabelJournal(path, keep=kept)
    assert 11 not in journal
    journal.write(frame(10, constant(9)))  # It is there already: passed over.
    journal.write(frame(11, constant(3)))
    assert [int(journal.labels(index, SIZE)[0, 0]) for index in (10, 11)] == [1, 3]
    journal.close()
    journal.close()


@pytest.mark.parametrize("part", [0.3, 0.7])
def test_a_damaged_journal_is_not_opened(tmp_path: Path, part: float) -> None:
    path = tmp_path / "labels.jsonl"
    journal = LabelJournal(path)
    for index in range(4):
        journal.write(frame(index, constant(index)))
    length = journal.flush()
    journal.close()
    path.write_bytes(path.read_bytes()[: int(length * part)])
    with pytest.raises(ValueError, match="not a journal from byte"):
        LabelJournal(path, keep=length)


def test_a_journal_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        LabelJournal(tmp_path / "no" / "labels.jsonl")


@pytest.mark.parametrize("large", [255, 256, 60_000])
def test_ids_of_any_size_are_encoded_alike(large: int) -> None:
    small = np.zeros((20, 31), np.int32)
    small[2:12, 5:9] = 3
    small[12:14, 5:30] = 4
    codes = encode_labels(small)
    others = encode_labels(np.where(small == 4, large, small).astype(np.int32))
    assert list(codes) == [3, 4]
    assert list(others) == [3, large]
    assert list(codes.values()) == list(others.values())
    np.testing.assert_array_equal(decode_labels(codes, (20, 31)), small)
