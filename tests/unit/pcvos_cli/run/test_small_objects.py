"""Objects that the network can hardly see are told, with what helps."""

from pathlib import Path

import pytest
import torch

from model.types import ReferenceMask
from pcvos_cli.run.small_objects import notes_on_lost, notes_on_small
from tests.support.cli import pcvos, write_mask
from tests.support.videos import pictures, write_video

WORKING, SOURCE = (480, 854), (1080, 1920)


def _reference(frame: int, **areas: int) -> ReferenceMask:
    labels = torch.zeros(WORKING, dtype=torch.int32)
    for row, (name, area) in enumerate(areas.items()):
        labels[row, :area] = int(name[1:])
    return ReferenceMask(frame, labels, tuple(int(name[1:]) for name in areas))


@pytest.mark.parametrize(
    ("area", "size"), [(255, "496"), (64, "960"), (40, "native"), (0, "native"), (256, None)]
)
def test_an_object_below_a_cell_is_told_with_a_size_that_helps(area: int, size: str | None) -> None:
    notes = notes_on_small({3: _reference(3, _1=800, _2=area)}, WORKING, SOURCE)
    if size is None:
        assert notes == []
    else:
        assert notes == [
            f"object 2 has {area} pixels on frame 3 at 854x480, less than a cell of the network "
            f"(16x16), and may get lost: try --size {size}"
        ]


def test_nothing_is_said_where_no_size_helps_and_each_object_once() -> None:
    references = {0: _reference(0, _1=9), 5: _reference(5, _1=9)}
    assert notes_on_small(references, WORKING, WORKING) == []
    assert len(notes_on_small(references, WORKING, SOURCE)) == 1


def test_an_object_on_no_frame_but_its_masks_is_told() -> None:
    given = {1: [0], 2: [0, 5], 7: [5]}
    notes = notes_on_lost(given, {1: 9, 2: 2}, WORKING, SOURCE)
    assert [note.split(":")[0] for note in notes] == [
        "object 2 is on no frame besides its mask's (0, 5)",
        "object 7 is on no frame besides its mask's (5)",
    ]
    assert all(note.endswith("try a larger --size") for note in notes)
    native = notes_on_lost(given, {}, WORKING, WORKING)[0]
    assert "--size" not in native
    assert "ffmpeg -vf crop=W:H:X:Y,scale=4*iw:-2" in native


def test_the_command_says_so(lite_weights: Path, tmp_path: Path) -> None:
    video = write_video(tmp_path / "in.mp4", pictures(2))
    mask = write_mask(tmp_path / "m.png")
    result = pcvos(
        "segment", video, "-m", mask, "-o", tmp_path / "out", "--weights", lite_weights,
        "--size", "24", "--dry-run",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert "object 1 has 36 pixels on frame 0 at 32x24" in " ".join(result.stderr.split())
    assert "--size native" in result.stderr
