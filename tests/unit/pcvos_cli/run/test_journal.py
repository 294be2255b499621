"""What goes into the journal comes out of it, up to the length that counts."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from model.errors import OutputError
from pcvos_cli.masks import coco
from pcvos_cli.run.journal import LabelJournal, read_journal
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


def test_a_map_that_cannot_change_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[int] = []
    encode = coco._encode_labels
    monkeypatch.setattr(coco, "_encode_labels", lambda m: (encoded.append(1), encode(m))[1])
    labels = np.zeros((20, 30), np.int32)
    labels[3:9, 4:7] = 5
    first = coco.encode_labels(labels)
    labels[3:9, 4:8] = 5
    assert coco.encode_labels(labels) != first, "it was changed, so it is encoded again"
    labels.flags.writeable = False
    before = len(encoded)
    again = [coco.encode_labels(labels) for _ in range(3)]
    assert len(encoded) == before + 1
    assert again[0] == again[1] == again[2]
    assert coco.encode_labels(labels.copy()) == again[0]


@pytest.mark.parametrize("large", [255, 256, 70_000])
def test_ids_that_fit_no_byte_are_encoded_alike(large: int) -> None:
    small = np.zeros((20, 31), np.int32)
    small[2:12, 5:9] = 3
    small[12:14, 5:30] = 4
    codes = coco.encode_labels(small)
    others = coco.encode_labels(np.where(small == 4, large, small).astype(np.int32))
    assert list(codes) == [3, 4]
    assert list(others) == [3, large]
    assert list(codes.values()) == list(others.values())
