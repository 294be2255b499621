"""What the page propagates is what ``pcvos segment`` writes, byte for byte."""

from pathlib import Path

import numpy as np
import pytest

from model.errors import MaskError
from pcvos_cli import segment_video
from pcvos_cli.annotate.project import Project
from pcvos_cli.annotate.propagation import Propagation
from pcvos_cli.video.source import FrameSource
from tests.unit.pcvos_cli.annotate.conftest import ball

LAST = 23


def masks(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted((folder / "masks").glob("*.png"))}


def on_ball(frame: int) -> np.ndarray:
    """The mask of the video's ball on a frame."""
    return ball(frame).astype(np.uint8)


@pytest.fixture
def drawn(project: Project) -> Project:
    """One object, drawn on frame 0; clips of 5 frames."""
    project.choose(interval=5, formats=["png"])
    project.add_object()
    project.correct(0, on_ball(0))
    return project


def by_command(project: Project, out: Path) -> dict[str, bytes]:
    references = [project.folder / "references"]
    segment_video(project.frames.info.path, references, out, project.settings)
    return masks(out)


def run(propagation: Propagation, start: int, last: int) -> list[int]:
    passed: list[int] = []

    def on_mask(frame: int) -> bool:
        passed.append(frame)
        return True

    propagation.forward(start, last, on_mask)
    return passed


def test_forward_and_again_from_a_correction(
    drawn: Project, source: FrameSource, tmp_path: Path
) -> None:
    propagation = Propagation(source, drawn)
    assert run(propagation, 0, LAST) == list(range(24))
    first = masks(drawn.folder)
    assert first == by_command(drawn, tmp_path / "first")

    # Frame 13 is in the middle of the clip of frames 11 to 15.
    drawn.correct(13, np.roll(on_ball(13), 8))
    assert run(propagation, 13, LAST) == list(range(11, 24))
    second, command = masks(drawn.folder), by_command(drawn, tmp_path / "second")
    assert {n: m for n, m in second.items() if n < "00013"} == {
        n: m for n, m in first.items() if n < "00013"
    }
    assert {n: m for n, m in second.items() if n >= "00013"} == {
        n: m for n, m in command.items() if n >= "00013"
    }
    assert second["00020.png"] != first["00020.png"]


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(
    drawn: Project, source: FrameSource, tmp_path: Path
) -> None:
    propagation = Propagation(source, drawn)
    propagation.forward(0, LAST, lambda frame: frame < 8)
    assert sorted(masks(drawn.folder)) == [f"{i:05}.png" for i in range(9)]
    assert run(propagation, 9, 12)[0] == 6
    assert run(propagation, 13, LAST)[-1] == LAST
    assert masks(drawn.folder) == by_command(drawn, tmp_path / "all")


def test_after_a_restart_the_way_there_is_made_again_and_left_as_it_was(
    drawn: Project, source: FrameSource, tmp_path: Path
) -> None:
    run(Propagation(source, drawn), 0, 10)
    drawn.put_mask(4, on_ball(0))  # What was there before stays, whatever it is.
    kept = masks(drawn.folder)["00004.png"]
    assert run(Propagation(source, drawn), 11, LAST) == list(range(24))
    command = by_command(drawn, tmp_path / "all")
    assert masks(drawn.folder) == {**command, "00004.png": kept}


def test_a_second_object_joins_on_a_later_frame(
    drawn: Project, source: FrameSource, tmp_path: Path
) -> None:
    propagation = Propagation(source, drawn)
    run(propagation, 0, LAST)
    drawn.add_object()
    both = drawn.labels(6)
    both[:48][both[:48] == 1] = 2  # The upper half of the ball.
    drawn.correct(6, both)
    run(propagation, 6, LAST)
    command = by_command(drawn, tmp_path / "both")
    assert {n: m for n, m in masks(drawn.folder).items() if n > "00005"} == {
        n: m for n, m in command.items() if n > "00005"
    }
    assert 2 in drawn.labels(6)


def test_an_object_that_ends_is_gone_in_the_page_and_in_the_command(
    drawn: Project, source: FrameSource, tmp_path: Path
) -> None:
    propagation = Propagation(source, drawn)
    run(propagation, 0, LAST)
    drawn.change_object(1, ends=[8])
    assert run(propagation, 9, LAST)[0] == 6
    assert masks(drawn.folder) == by_command(drawn, tmp_path / "all")
    assert [bool(drawn.labels(frame).any()) for frame in (8, 9, LAST)] == [True, False, False]


def test_backward_is_the_commands_backward(
    project: Project, source: FrameSource, tmp_path: Path
) -> None:
    project.choose(interval=5, formats=["png"], backward=True)
    project.add_object()
    project.correct(11, on_ball(11))
    propagation = Propagation(source, project)
    passed: list[int] = []
    propagation.backward(11, 0, lambda frame: passed.append(frame) or True)
    assert passed == list(range(10, -1, -1))
    run(propagation, 11, LAST)
    assert masks(project.folder) == by_command(project, tmp_path / "all")


def test_backward_stops_at_another_reference(drawn: Project, source: FrameSource) -> None:
    drawn.correct(10, on_ball(10))
    passed: list[int] = []
    Propagation(source, drawn).backward(10, 0, lambda frame: passed.append(frame) or True)
    assert passed == list(range(9, 0, -1))


def test_what_is_corrected_meanwhile_is_not_overwritten(
    drawn: Project, source: FrameSource
) -> None:
    mine = np.roll(on_ball(9), 7)

    def on_mask(frame: int) -> bool:
        if frame == 3:
            drawn.correct(9, mine)
        return True

    Propagation(source, drawn).forward(0, LAST, on_mask)
    assert np.array_equal(drawn.labels(9), mine)
    assert drawn.masked == set(range(24))


def test_settings_of_another_run_are_not_mixed_in(
    drawn: Project, source: FrameSource, tmp_path: Path
) -> None:
    propagation = Propagation(source, drawn)
    run(propagation, 0, LAST)
    drawn.choose(interval=3)
    run(propagation, 0, LAST)
    assert masks(drawn.folder) == by_command(drawn, tmp_path / "all")


def test_there_is_a_word_for_what_cannot_be(project: Project, source: FrameSource) -> None:
    propagation = Propagation(source, project)
    with pytest.raises(MaskError, match="no mask to propagate"):
        run(propagation, 0, LAST)
    project.add_object()
    project.correct(5, on_ball(5))
    with pytest.raises(MaskError, match="before the first reference, which is frame 5"):
        run(propagation, 4, LAST)
    with pytest.raises(MaskError, match="frame 6 is no reference"):
        propagation.backward(6, 0, lambda frame: True)
