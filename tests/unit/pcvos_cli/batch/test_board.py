"""What is seen of a batch while it runs."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from pcvos_cli.batch import board as module
from pcvos_cli.batch.board import Board
from pcvos_cli.batch.engine import Advanced, Ended, Expected, Fault, Started
from pcvos_cli.batch.jobs import Job
from pcvos_cli.batch.run import Result


def job(name: str) -> Job:
    return Job(Path(f"{name}.mp4"), (f"{name}.png",), name)


def done(name: str, *signs: str, skipped: bool = False) -> Result:
    row = {"frames": 24, "fps": 6.04, "signs": list(signs)}
    return Result(job(name), None, None, row, skipped)


def failed(name: str) -> Result:
    return Result(job(name), None, Fault("no such file", "look again", 3), {})


def drawn(board: Board) -> list[str]:
    screen = Console(file=io.StringIO(), width=100)
    screen.print(board.table())
    assert isinstance(screen.file, io.StringIO)
    return [line.rstrip() for line in screen.file.getvalue().splitlines()]


def test_the_table_has_a_line_for_each_video_and_counts_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    board = Board(6)
    for number, name in enumerate(("a", "b", "c", "[d]")):
        board.note(job(name), Started(number, f"worker {number}"))
    board.note(job("a"), Ended(0, None, None, "worker 0", 1, 4.0))
    board.add(done("a"), drawn=True)
    board.note(job("b"), Ended(1, None, Fault("no such file", None, 3), "worker 1", 1, 0.1))
    board.add(failed("b"), drawn=True)
    board.note(job("c"), Expected(2, 60))
    now[0] = 110.0
    board.note(job("c"), Advanced(2, 15))
    board.note(job("c"), Advanced(2, 5))

    lines = drawn(board)
    assert [line.split()[0] for line in lines[1:]] == ["b", "a", "c", "[d]", "1"]
    assert "failed (3): no such file" in lines[1]
    assert lines[2].split() == ["a", "done", "24", "6.0"]
    # 20 frames in 10 seconds: 2 FPS, and 40 are left.
    assert lines[3].split()[-5:] == ["20", "of", "60", "2.0", "0:20"]
    assert lines[5] == "1 done, 1 failed, 2 waiting"


def test_signs_of_wrong_masks_take_the_place_of_done() -> None:
    board = Board(1)
    board.add(done("a", "object 2 is lost", "more"), drawn=True)
    assert "done: object 2 is lost" in drawn(board)[1]


def test_without_a_terminal_each_end_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    board = Board(3)
    board.add(done("a", "object 2 is lost"), drawn=False)
    board.add(done("b", skipped=True), drawn=False)
    board.add(failed("c"), drawn=False)
    said = capsys.readouterr().err.replace("\n", " ")
    assert "[1/3] a: 24 frames, 6.0 FPS; object 2 is lost" in said
    assert "[3/3] c: failed (code 3): no such file" in said
    assert " b:" not in said
    assert (board.done, board.failed, board.skipped) == (2, 1, 1)
