"""``pcvos batch``: many videos in, the bytes of ``pcvos segment`` out, whatever dies."""

import csv
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pcvos_cli.run.output_folder import PROGRESS, STATE
from tests.support.cli import MODULE, pcvos, square, write_mask
from tests.support.shared import REPOSITORY
from tests.support.videos import pictures, write_video

pytestmark = pytest.mark.timeout(400)

GOOD = [f"clip{number}" for number in range(9)]
COMPARED = ["clip0", "clip3", "clip8"]


@pytest.fixture(scope="module")
def twelve(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve short videos: one breaks off, one has a mask of another size, one is missing."""
    folder = tmp_path_factory.mktemp("videos")
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


@pytest.fixture(scope="module")
def one_by_one(
    twelve: Path, lite_weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, bytes]]:
    """The files that ``pcvos segment`` makes of some, one of them with an interval of its own."""
    out = tmp_path_factory.mktemp("single")
    for name in COMPARED:
        interval = "2" if name == "clip3" else "3"
        video, mask = twelve / f"{name}.mp4", twelve / f"{name}.png"
        options = options_for(lite_weights, interval)
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


def test_a_batch_makes_the_bytes_of_single_runs_and_names_what_failed(
    twelve: Path, lite_weights: Path, one_by_one: dict[str, dict[str, bytes]], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = ["batch", twelve / "jobs.csv", "-o", out, *options_for(lite_weights), "-w", "2"]
    done = pcvos(*command)
    assert done.exit_code == 1, done.stderr
    assert "9 done, 3 failed, 36 frames" in done.stdout
    assert "other: failed (code 4)" in done.stderr
    check_twelve(out, one_by_one)
    assert len({row["worker"] for row in ledger(out)}) == 2

    refused = pcvos(*command)
    assert refused.exit_code == 6
    assert "--resume" in refused.stderr

    # What is complete is left alone, by what it is made of; what is not is made again.
    before = len(ledger(out))
    (out / "clip4" / "masks.json").unlink()
    write_mask(twelve / "clip5.png", square(value=2))
    again = pcvos(*command, "--resume")
    assert "7 complete already" in again.stdout
    repeated = {row["job"]: row for row in ledger(out)[before:]}
    assert sorted(repeated) == ["clip4", "clip5", "cut", "missing", "other"]
    # As pcvos segment does, it overwrites nothing unasked.
    assert (repeated["clip5"]["exit_code"], repeated["clip4"]["exit_code"]) == (6, 0)
    write_mask(twelve / "clip5.png")
    assert pcvos(*command, "--resume").exit_code == 1
    check_twelve(out, one_by_one)


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


def a_long_one_and_a_short_one(folder: Path) -> Path:
    """Return a folder of two videos; the long one is in the middle for some seconds."""
    for name, frames in (("long", 60), ("short", 3)):
        write_video(folder / f"{name}.mp4", pictures(frames))
        write_mask(folder / f"{name}.png")
    return folder


@pytest.mark.parametrize("victim", ["worker", "driver", "interrupted"])
def test_a_batch_goes_on_after_a_death_in_mid_video(
    victim: str, lite_weights: Path, tmp_path: Path
) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    a_long_one_and_a_short_one(videos)
    options = [*options_for(lite_weights, "2"), "-f", "png,rle"]
    out, single = tmp_path / "out", tmp_path / "single"
    command = ["batch", videos, "-o", out, "-w", "1", *options]
    with start(*command) as driver:
        workplace = out / ".unfinished" / "long"
        wait_until((workplace / PROGRESS).exists, "the long video is begun")
        if victim == "worker":
            (worker,) = workers_of(driver.pid)
            os.kill(worker, signal.SIGKILL)
        else:
            os.kill(driver.pid, signal.SIGKILL if victim == "driver" else signal.SIGINT)
        _, said = driver.communicate(timeout=200)
    assert driver.returncode == {"worker": 0, "driver": -9, "interrupted": 130}[victim], said
    if victim != "worker":
        assert not (out / "long").exists()
        assert workplace.is_dir()
        done = pcvos(*command, "--resume")
        assert done.exit_code == 0, done.stderr
    rows = {row["job"]: row for row in ledger(out)}
    assert rows["long"]["attempts"] == (2 if victim == "worker" else 1)
    # What was finished before is not done again.
    assert json.loads((out / "long" / "run.json").read_text())["resumed_at"] > 0
    assert (
        pcvos(
            "segment", videos / "long.mp4", "-m", videos / "long.png", "-o", single, *options
        ).exit_code
        == 0
    )
    assert files(out / "long") == files(single)
    assert not (out / ".unfinished").exists()


def test_two_batches_in_one_folder_and_unknown_columns_are_refused(
    lite_weights: Path, tmp_path: Path
) -> None:
    from filelock import FileLock

    (tmp_path / "jobs.csv").write_text("video,mask,intervall\na.mp4,a.png,3\n")
    wrong = pcvos("batch", tmp_path / "jobs.csv", "-o", tmp_path / "out")
    assert (wrong.exit_code, "'intervall'" in wrong.stderr) == (2, True)
    (tmp_path / "jobs.csv").write_text("video,mask,interval\na.mp4,a.png,x\n")
    wrong = pcvos("batch", tmp_path / "jobs.csv", "-o", tmp_path / "out")
    assert (wrong.exit_code, "interval" in wrong.stderr) == (2, True)
    (tmp_path / "jobs.csv").write_text("video,mask\na.mp4,a.png\n")
    (tmp_path / "out").mkdir()
    with FileLock(tmp_path / "out" / ".pcvos.lock"):
        busy = pcvos("batch", tmp_path / "jobs.csv", "-o", tmp_path / "out")
    assert (busy.exit_code, "another run is writing there" in busy.stderr) == (6, True)


def test_a_dry_run_tells_what_would_be_done_and_how_long(
    lite_weights: Path, tmp_path: Path
) -> None:
    a_long_one_and_a_short_one(tmp_path)
    write_video(tmp_path / "bare.mp4")
    command = ["batch", tmp_path, "-o", tmp_path / "out", *options_for(lite_weights), "--dry-run"]
    done = pcvos(*command, "-w", "1", "--json")
    assert done.exit_code == 1
    bare, long, short = json.loads(done.stdout)
    assert (bare["state"], bare["exit_code"]) == ("fails", 3)
    assert (long["plan"]["frames"], short["plan"]["frames"]) == (60, 3)
    assert long["seconds"] == pytest.approx(20 * short["seconds"])
    assert long["seconds"] > 0
    assert not (tmp_path / "out").exists()


def test_a_full_disk_in_one_job_does_not_harm_the_others(
    lite_weights: Path, tmp_path: Path
) -> None:
    """/dev/full gives whoever writes the error of a full disk."""
    a_long_one_and_a_short_one(tmp_path)
    out = tmp_path / "out"
    memory = out / ".unfinished" / "long" / STATE / "memory"
    memory.mkdir(parents=True)
    (memory / "00000.safetensors.tmp").symlink_to("/dev/full")
    done = pcvos("batch", tmp_path, "-o", out, *options_for(lite_weights), "-w", "1", "-f", "rle")
    rows = {row["job"]: row for row in ledger(out)}
    assert (rows["long"]["exit_code"], rows["short"]["exit_code"]) == (6, 0), done.stderr
    assert "No space left" in rows["long"]["error"]
