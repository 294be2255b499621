"""Videos for batches, and what single runs make of them."""

import csv
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.cli import MODULE, pcvos, square, write_mask
from tests.support.shared import REPOSITORY
from tests.support.videos import pictures, write_video

GOOD = [f"clip{number}" for number in range(9)]
COMPARED = ["clip0", "clip3", "clip8"]


def write_twelve(folder: Path) -> Path:
    """Write twelve short videos: one breaks off, one has too small a mask, one is missing."""
    rows = [["video", "mask", "interval"]]
    for number, name in enumerate([*GOOD, "cut", "other", "missing"]):
        video, mask = folder / f"{name}.mp4", folder / f"{name}.png"
        if name != "missing":
            write_video(video, pictures(4, seed=number))
        if name == "cut":
            video.write_bytes(video.read_bytes()[:200])
        write_mask(mask, square((40, 40)) if name == "other" else None)
        rows.append([video.name, mask.name, "2" if name == "clip3" else ""])
    with (folder / "jobs.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder


def segment_one_by_one(twelve: Path, weights: Path, out: Path) -> dict[str, dict[str, bytes]]:
    """Return the files that ``pcvos segment`` makes of some, one with an interval of its own."""
    for name in COMPARED:
        interval = "2" if name == "clip3" else "3"
        video, mask = twelve / f"{name}.mp4", twelve / f"{name}.png"
        options = options_for(weights, interval)
        done = pcvos("segment", video, "-m", mask, "-o", out / name, *options)
        assert done.exit_code == 0, done.stderr
    return {name: files(out / name) for name in COMPARED}


def options_for(weights: Path, interval: str = "3") -> list[str | Path]:
    return [
        *("--weights", weights, "--interval", interval),
        *("--threads", "1", "--engine", "torch"),  # No export, so a worker is ready sooner.
    ]


def files(folder: Path) -> dict[str, bytes]:
    """Return all files but run.json, whose seconds differ."""
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and p.name != "run.json"
    }


def ledger(out: Path) -> list[dict[str, Any]]:
    lines = (out / "batch.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if "job" in row]


def check_twelve(out: Path, one_by_one: dict[str, dict[str, bytes]]) -> None:
    """Check a finished batch of the twelve."""
    last = {row["job"]: row for row in ledger(out)}
    assert {name: last[name]["exit_code"] for name in ("cut", "other", "missing")} == {
        "cut": 3,
        "other": 4,
        "missing": 3,
    }
    assert {name: files(out / name) for name in COMPARED} == one_by_one
    reports = [json.loads((out / name / "run.json").read_text()) for name in GOOD]
    assert [report["output"] for report in reports] == [str(out / name) for name in GOOD]
    assert sorted(p.name for p in out.iterdir() if p.is_dir()) == [".pictures", *GOOD]
    with (out / "summary.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["exit_code"] for row in rows] == ["0"] * 9 + ["3", "4", "3"]
    page = (out / "contact.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 9
    assert page.count("failed, exit code") == 3


def a_long_one_and_a_short_one(folder: Path) -> Path:
    """Return a folder of two videos; the long one is in the middle for some seconds."""
    for name, frames in (("long", 60), ("short", 3)):
        write_video(folder / f"{name}.mp4", pictures(frames))
        write_mask(folder / f"{name}.png")
    return folder


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*MODULE, *map(str, arguments)], cwd=REPOSITORY, stderr=subprocess.PIPE, text=True
    )


def wait_until(holds: Callable[[], Any], what: str, seconds: float = 120) -> Any:
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        time.sleep(0.05)
    return found


def workers_of(driver: int) -> list[int]:
    """Return the processes that a process has started, by /proc."""
    children = Path(f"/proc/{driver}/task/{driver}/children").read_text().split()
    return [int(child) for child in children]
