"""What goes into the journal comes out of it, up to the length that counts."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from model.errors import OutputError
from pcvos_cli.masks.label_journal import LabelJournal, read_journal
from pcvos_cli.video.source import Frame

SIZE = (5, 7)


def frame(index: int) -> Frame:
    return Frame(index, f"{index:05d}", index, np.zeros((*SIZE, 3), np.uint8))


@given(
    st.lists(arrays(np.int32, SIZE, elements=st.sampled_from([0, 1, 7, 255, 60000])), max_size=4)
)
def test_labels_come_back(tmp_path_factory: pytest.TempPathFactory, maps: list[np.ndarray]) -> None:
    path = tmp_path_factory.mktemp("journal") / "labels.jsonl"
    journal = LabelJournal(path)
    for index, labels in enumerate(maps):
        journal.write(frame(index), labels, None)
    length = journal.flush()
    journal.close()
    again = list(read_journal(path, length, SIZE))
    assert len(again) == len(maps)
    for one, other in zip(again, maps, strict=True):
        assert one.dtype == np.int32
        np.testing.assert_array_equal(one, other)


def test_what_no_state_names_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    journal = LabelJournal(path)
    maps = [np.full(SIZE, value, np.int32) for value in (1, 2, 3)]
    journal.write(frame(10), maps[0], None)
    kept = journal.flush()
    journal.write(frame(11), maps[1], None)
    journal.abort()
    journal = LabelJournal(path, keep=kept, first=11)
    journal.write(frame(10), maps[0], None)  # written again by the run that resumes
    journal.write(frame(11), maps[2], None)
    length = journal.flush()
    journal.close()
    assert [int(labels[0, 0]) for labels in read_journal(path, length, SIZE)] == [1, 3]


def test_a_journal_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        LabelJournal(tmp_path / "no" / "labels.jsonl")
