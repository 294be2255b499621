"""Objects that the network can hardly see are told, with what helps."""

from pathlib import Path

import pytest
import torch

from model.ops.frames import larger_size
from model.types import ReferenceMask
from pcvos_cli.run.small_objects import notes_on_lost, notes_on_small
from tests.support.cli import pcvos, square, write_mask
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
    notes = notes_on_small({3: _reference(3, _1=800, _2=area)}, WORKING, SOURCE, "native")
    if size is None:
        assert notes == []
    else:
        assert notes == [
            f"object 2 has {area} pixels on frame 3 at 854x480, less than a cell of the network "
            f"(16x16), and may get lost: try --size {size}"
        ]


def test_each_object_is_told_once_and_of_a_small_video_that_auto_enlarges_it() -> None:
    references = {0: _reference(0, _1=9), 5: _reference(5, _1=9)}
    (note,) = notes_on_small(references, WORKING, WORKING, "auto")
    assert note.endswith("try --size auto")


@pytest.mark.parametrize(
    ("source", "working", "larger"),
    [
        ((1080, 1920), (544, 967), "native"),
        ((1080, 1920), (1080, 1920), None),
        ((480, 854), (480, 854), "auto"),
        ((480, 854), (360, 640), "auto"),
        ((480, 854), (544, 968), None),
        ((240, 320), (240, 320), "auto"),
        ((240, 320), (480, 640), None),
        ((320, 240), (480, 360), "auto"),
    ],
)
def test_which_size_shows_most(
    source: tuple[int, int], working: tuple[int, int], larger: str | None
) -> None:
    assert larger_size(source, working, 544) == larger


def test_an_object_on_no_frame_but_its_masks_is_told() -> None:
    given = {1: [0], 2: [0, 5], 7: [5]}
    notes = notes_on_lost(given, {1: 9, 2: 2}, "native")
    assert [note.split(":")[0] for note in notes] == [
        "object 2 is on no frame besides its mask's (0, 5)",
        "object 7 is on no frame besides its mask's (5)",
    ]
    assert all(note.endswith("try a larger --size") for note in notes)
    assert notes_on_lost(given, {}, "auto")[0].endswith("try --size auto")
    native = notes_on_lost(given, {}, None)[0]
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
    assert "try --size auto" in " ".join(result.stderr.split())


def test_a_small_video_at_its_own_size_is_told_of_auto(lite_weights: Path, tmp_path: Path) -> None:
    video = write_video(tmp_path / "in.mp4", pictures(3))
    mask = write_mask(tmp_path / "m.png", square(box=(10, 10, 8, 8)))
    told = []
    for size in ("native", "auto"):
        result = pcvos(
            "segment", video, "-m", mask, "-o", tmp_path / size, "--weights", lite_weights,
            "--size", size, "--dry-run",
        )  # fmt: skip
        assert result.exit_code == 0, result.stderr
        told.append("--size auto" in " ".join(result.stderr.split()))
    assert told == [True, False]


def test_many_objects_share_a_note() -> None:
    labels = torch.zeros(WORKING, dtype=torch.int32)
    for object_id in range(1, 10):
        labels[object_id, : 60 - object_id] = object_id
    reference = ReferenceMask(0, labels, tuple(range(1, 10)))
    (note,) = notes_on_small({0: reference}, WORKING, SOURCE, "native")
    assert "object 9 has 51 pixels" in note
    assert "(9 objects are so small, this one most)" in note
    (note,) = notes_on_lost({i: [0] for i in range(1, 10)}, {3: 2}, None)
    assert note.startswith("objects 1, 2, 4, 5, 6, 7, 8, 9 are on no frame")
