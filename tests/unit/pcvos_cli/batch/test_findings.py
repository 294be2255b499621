"""What is odd about masks, and how the sheet shows it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pcvos_cli.batch.findings import _look, _Object, _signs
from pcvos_cli.batch.ledger import SUMMARY, write_summary
from pcvos_cli.batch.sheet import SHEET, write_sheet
from pcvos_cli.batch.work import PICTURES
from tests.support.cli import square

FULL = square((60, 80), (10, 10, 20, 20))
NONE = square((60, 80), (0, 0, 0, 0))


def signs(frames: list[Any], *, is_ended: bool = False) -> list[str]:
    seen, names = _Object(), [f"{index:05}" for index in range(len(frames))]
    for name, labels in zip(names, frames, strict=True):
        _look(seen, labels, 1, name)
    return [text for _, text in _signs(seen, 1, names, is_ended=is_ended)]


def test_a_steady_object_is_not_odd() -> None:
    assert signs([FULL] * 5) == []
    assert signs([NONE, FULL, FULL]) == []  # It enters later.


def test_a_lost_object_is_odd_unless_the_user_said_so() -> None:
    assert signs([FULL, FULL, NONE, NONE]) == ["object 1 is lost after 00001"]
    assert signs([FULL, FULL, NONE, NONE], is_ended=True) == []
    assert signs([FULL, NONE, NONE, FULL]) == ["object 1 is missing on 2 frames, first on 00001"]
    assert signs([NONE, NONE]) == ["object 1 is on no frame"]


def test_an_area_that_jumps_is_odd() -> None:
    large = square((60, 80), (10, 10, 40, 40))
    assert signs([FULL, FULL, large]) == ["object 1 grows 4.0 times at 00002"]
    assert signs([large, FULL, FULL]) == ["object 1 shrinks 4.0 times at 00001"]
    assert signs([FULL, square((60, 80), (10, 10, 25, 25))]) == []


def test_a_part_far_away_is_odd_and_one_at_another_object_more_so() -> None:
    far = np.maximum(FULL, square((60, 80), (40, 60, 8, 8)))
    assert signs([FULL, far]) == [
        "object 1 has a part far from the rest on 1 frame, first on 00001"
    ]
    beside = np.maximum(far, square((60, 80), (40, 68, 8, 8), value=2))
    assert signs([FULL, beside]) == [
        "object 1 has a part at another object on 1 frame, first on 00001"
    ]
    near = np.maximum(FULL, square((60, 80), (10, 32, 8, 8)))  # behind a pole
    assert signs([FULL, near]) == []


def row(job: str, **values: Any) -> dict[str, Any]:
    done = {"status": "done", "exit_code": 0, "frames": 8, "objects": [1, 2], "fps": 7.25}
    return {"job": job, **done, "signs": [], "warnings": [], "suspicion": 0, **values}


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    return [
        row("fine"),
        row("x<y>/odd", suspicion=2.5, signs=["object 1 is lost after 00001"]),
        {"job": "bad", "status": "failed", "exit_code": 4, "error": "a & b", "hint": "c"},
        row("odder", suspicion=4),
    ]


def test_the_sheet_shows_failures_first_then_what_is_odd(
    rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / PICTURES).mkdir()
    (tmp_path / PICTURES / "odder.jpg").write_bytes(b"jpeg")
    (tmp_path / "odder").mkdir()
    write_sheet(tmp_path, rows)
    page = (tmp_path / SHEET).read_text(encoding="utf-8")
    order = [page.index(f">{name}<") for name in ("bad", "odder", "x&lt;y&gt;/odd", "fine")]
    assert order == sorted(order)
    assert "failed, exit code 4" in page
    assert "a &amp; b" in page
    assert 'src="data:image/jpeg;base64,anBlZw=="' in page
    assert '<a href="odder/">' in page
    assert "4 videos, 1 failed, 2 to be looked at; 24 frames" in page


def test_the_summary_has_a_line_a_job(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    write_summary(tmp_path, rows)
    head, *lines = (tmp_path / SUMMARY).read_text().splitlines()
    assert head.startswith("job,status,exit_code,frames,objects,fps,")
    assert lines[0].startswith("fine,done,0,8,1; 2,7.25,")
    assert lines[2] == "bad,failed,4,,,,,,,,a & b,,,,"
