"""``pcvos batch``: many videos in, the bytes of ``pcvos segment`` out, whatever dies."""

import json
import os
import signal
from pathlib import Path

import pytest

from pcvos_cli.run.output_folder import PROGRESS, STATE
from tests.support.batch import (
    a_long_one_and_a_short_one,
    check_twelve,
    files,
    ledger,
    options_for,
    segment_one_by_one,
    start,
    wait_until,
    workers_of,
    write_twelve,
)
from tests.support.cli import pcvos, square, write_mask
from tests.support.videos import write_video

pytestmark = pytest.mark.timeout(400)


def test_a_batch_makes_the_bytes_of_single_runs_and_names_what_failed(
    lite_weights: Path, tmp_path: Path
) -> None:
    (tmp_path / "videos").mkdir()
    twelve = write_twelve(tmp_path / "videos")
    one_by_one = segment_one_by_one(twelve, lite_weights, tmp_path / "single")
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
