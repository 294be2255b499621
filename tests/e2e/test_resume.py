"""``--resume``: whatever ends a run, the next one makes the bytes of an unbroken one."""

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from model.inference.segmenter import ClipSegmenter
from model.types import Clip, ClipPrediction
from pcvos_cli.run.output_folder import STATE
from tests.support.cli import MODULE, pcvos, square, write_mask
from tests.support.shared import REPOSITORY
from tests.support.videos import pictures, write_video

pytestmark = pytest.mark.timeout(120)

FRAMES = 23
CLIPS = 9  # Frames 0 and 1 are empty, then 2 | 3-5 | 6-8 | 9 | 10-12 | 13-15 | 16-18 | 19-21 | 22


@pytest.fixture
def arguments(lite_weights: Path, tmp_path: Path) -> list[str | Path]:
    """A run with objects that enter late, sound, and every format."""
    video = write_video(tmp_path / "in.mp4", pictures(FRAMES), audio="aac")
    first = write_mask(tmp_path / "a.png", square(value=7))
    later = write_mask(tmp_path / "b.png", square(box=(30, 40, 10, 10), value=2))
    return [
        video, "--mask", f"2={first}", "--mask", f"9={later}", "--weights", lite_weights,
        "--interval", "3", "--threads", "1", "--background", "blur",
        "--format", "png,rle,overlay,scores,cutout,cutout-mov,cutout-webm,matte,mattes,csv",
    ]  # fmt: skip


def results(out: Path) -> dict[str, bytes]:
    """Return all files but run.json."""
    return {
        p.relative_to(out).as_posix(): p.read_bytes()
        for p in out.rglob("*")
        if p.is_file() and p.name != "run.json"
    }


def succeeds(*arguments: str | Path) -> Any:
    result = pcvos("segment", *arguments)
    assert result.exit_code == 0, result.stderr
    return result


def break_off(
    monkeypatch: pytest.MonkeyPatch, clips: int, error: BaseException, *, frames: int = 0
) -> None:
    """Let the segmenter raise after a number of clips, once what came before is saved.

    ``frames`` of the clip that follows are segmented, and written, before.
    """
    whole, done = ClipSegmenter.segment_frames, 0

    def segment(self: ClipSegmenter, clip: Clip) -> Iterator[ClipPrediction]:
        nonlocal done
        if done == clips:
            yield from itertools.islice(whole(self, clip), frames)
            time.sleep(0.5)
            raise error
        done += 1
        yield from whole(self, clip)

    monkeypatch.setattr(ClipSegmenter, "segment_frames", segment)


@pytest.mark.parametrize(
    ("clips", "frames", "bound"),
    [(0, 0, 40), (1, 0, 40), (3, 0, 40), (4, 2, 40), (8, 0, 40), (7, 1, 3)],
)
def test_a_resumed_run_makes_the_same_bytes(
    clips: int, frames: int, bound: int, arguments: list[str | Path], tmp_path: Path
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    arguments += ["--max-memory-frames", str(bound)]
    succeeds(*arguments, "-o", whole)
    with pytest.MonkeyPatch.context() as patch:
        break_off(patch, clips, KeyboardInterrupt(), frames=frames)
        assert pcvos("segment", *arguments, "-o", out).exit_code == 130
    assert (out / STATE).is_dir()
    assert len(list((out / STATE / "memory").glob("*.safetensors"))) == min(clips, bound)
    assert not (out / "masks.json").exists()
    refused = pcvos("segment", *arguments, "-o", out)
    assert refused.exit_code == 6
    assert ("--resume" in refused.stderr) == (clips > 0)

    report = json.loads(succeeds(*arguments, "-o", out, "--resume", "--json").stdout)
    assert report["frames"] == FRAMES
    assert report["segmented_frames"] == FRAMES - 2
    assert report["resumed_at"] == {0: None, 1: 3, 3: 9, 4: 10, 7: 19, 8: 22}[clips]
    assert results(out) == results(whole)
    assert not (out / STATE).exists()


def test_only_what_is_left_is_segmented_and_twice_broken_is_no_worse(
    arguments: list[str | Path], tmp_path: Path
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    arguments[-1] = "rle"  # without PNGs: labels come from the journal alone
    succeeds(*arguments, "-o", whole)
    for clips in (4, 2):
        with pytest.MonkeyPatch.context() as patch:
            break_off(patch, clips, KeyboardInterrupt())
            command = [*arguments, "-o", out, "--resume"]
            assert pcvos("segment", *command).exit_code == 130
    plan = json.loads(succeeds(*arguments, "-o", out, "--resume", "--dry-run", "--json").stdout)
    assert plan["resume_at"] == 16
    seen: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        segment = ClipSegmenter.segment_frames
        patch.setattr(
            ClipSegmenter,
            "segment_frames",
            lambda s, clip: (seen.append(clip.start), segment(s, clip))[1],
        )
        succeeds(*arguments, "-o", out, "--resume")
    assert seen == [16, 19, 22]
    assert results(out) == results(whole)


def test_a_part_of_a_folder_of_images_is_resumed(lite_weights: Path, tmp_path: Path) -> None:
    from PIL import Image

    folder = tmp_path / "frames"
    folder.mkdir()
    for index, rgb in enumerate(pictures(12)):
        Image.fromarray(rgb).save(folder / f"f{index}.png")
    mask = write_mask(tmp_path / "m.png")
    arguments = (folder, "--mask", mask, "--start", "f2", "--end", "f10", "--interval", "2",
                 "--weights", lite_weights)  # fmt: skip
    succeeds(*arguments, "-o", tmp_path / "whole")
    with pytest.MonkeyPatch.context() as patch:
        break_off(patch, 3, KeyboardInterrupt())
        assert pcvos("segment", *arguments, "-o", tmp_path / "out").exit_code == 130
    succeeds(*arguments, "-o", tmp_path / "out", "--resume")
    assert results(tmp_path / "out") == results(tmp_path / "whole")


def test_resume_begins_where_nothing_is_and_ends_where_all_is(
    arguments: list[str | Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = json.loads(succeeds(*arguments, "-o", out, "--resume", "--json").stdout)
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    again = succeeds(*arguments, "-o", out, "--resume", "--json")
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*")} == before
    assert "complete already" in again.stderr
    assert json.loads(again.stdout)["frames"] == first["frames"]
    other = pcvos("segment", *arguments, "-o", out, "--resume", "--interval", "4")
    assert other.exit_code == 6
    assert "no unfinished run" in other.stderr
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*")} == before
    sorted((out / "masks").iterdir())[3].unlink()
    lacking = pcvos("segment", *arguments, "-o", out, "--resume")
    assert lacking.exit_code == 6
    assert f"masks ({first['frames'] - 1} of {first['frames']} files)" in lacking.stderr
    assert "--overwrite" in lacking.stderr


def test_another_run_is_not_resumed(arguments: list[str | Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.MonkeyPatch.context() as patch:
        break_off(patch, 3, KeyboardInterrupt())
        pcvos("segment", *arguments, "-o", out)
    before = results(out)

    def refused(*command: str | Path, saying: str) -> None:
        result = pcvos("segment", *command, "-o", out, "--resume")
        assert result.exit_code == 6, result.stderr
        assert saying in " ".join(result.stderr.split())
        assert "--overwrite" in result.stderr
        assert results(out) == before

    refused(*arguments, "--interval", "4", saying="interval was 3, now 4")
    refused(*arguments, "--end", "20", saying="end was None, now 20")
    refused(*arguments, "--no-refinement", saying="refinement was True, now False")
    video = tmp_path / "in.mp4"
    same = video.read_bytes()
    write_video(video, pictures(FRAMES, seed=1), audio="aac")
    refused(*arguments, saying="the input's content")
    video.write_bytes(same)
    mask = tmp_path / "b.png"
    was = mask.read_bytes()
    write_mask(mask, square(box=(31, 40, 10, 10), value=2))
    refused(*arguments, saying="the masks' content")
    mask.write_bytes(was)
    for name in ("progress.json", "run.json", "memory/00001.safetensors", "labels.jsonl"):
        file = out / STATE / name
        content = file.read_bytes()
        file.write_bytes(content[: len(content) // 2])
        result = pcvos("segment", *arguments, "-o", out, "--resume")
        assert result.exit_code == 6, (name, result.stderr)
        assert "damaged" in result.stderr, name
        file.write_bytes(content)
    succeeds(*arguments, "-o", out, "--overwrite")
    assert not (out / STATE).exists()


def test_resume_and_overwrite_contradict_each_other(
    arguments: list[str | Path], tmp_path: Path
) -> None:
    result = pcvos("segment", *arguments, "-o", tmp_path / "out", "--resume", "--overwrite")
    assert result.exit_code == 2
    assert "--resume" in result.stderr


def start(*arguments: str | Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*MODULE, "segment", *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def kill_at(run: "subprocess.Popen[str]", path: Path, number: signal.Signals) -> int:
    """Send a signal once a file is there (or the run has ended); return the exit code."""
    deadline = time.monotonic() + 60
    try:
        while not path.exists() and run.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        run.send_signal(number)
        run.communicate(timeout=30)
    finally:
        run.kill()
    return run.returncode


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_process_is_resumed(
    number: signal.Signals, arguments: list[str | Path], tmp_path: Path
) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    succeeds(*arguments, "-o", whole)
    code = kill_at(start(*arguments, "-o", out), out / "masks" / "00010.png", number)
    assert code == (-9 if number == signal.SIGKILL else 143)
    succeeds(*arguments, "-o", out, "--resume")
    assert results(out) == results(whole)


def killed(kind: str, value: float, *arguments: str | Path) -> bool:
    """Run until it kills itself as ``killed_run`` says; return whether it did."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.killed_run", kind, str(value), *map(str, arguments)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode in (0, -9), done.stderr
    return done.returncode == -9


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_kill_9_at_random_moments(arguments: list[str | Path], tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    succeeds(*arguments, "-o", whole)
    length = json.loads((whole / "run.json").read_text())["seconds"]["total"]
    chance = random.Random(0)
    kills = 0
    for attempt in range(5):
        out = tmp_path / f"out{attempt}"
        for _ in range(3):
            seconds = length * chance.uniform(0, 1)
            kills += killed("seconds", seconds, *arguments, "-o", out, "--resume")
        succeeds(*arguments, "-o", out, "--resume")
        assert results(out) == results(whole)
    assert kills >= 8


# 23 PNGs, 21 or 23 scores, a memory file and a progress file a clip, then JSON, overlay,
# run.json and the end of the state.
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_kill_9_between_any_two_files(arguments: list[str | Path], tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    succeeds(*arguments, "-o", whole)
    chance = random.Random(0)
    # The first (the state's), some in between, and the last ones.
    moments = [1, 1.5, 2, *(chance.randrange(6, 120) / 2 for _ in range(8))]
    renames = 1 + 2 * FRAMES + (CLIPS - 1) + CLIPS + 4
    moments += [renames - 3, renames - 2, renames - 1, renames, renames + 0.5]
    for number, moment in enumerate(moments):
        out = tmp_path / f"out{number}"
        assert killed("rename", moment, *arguments, "-o", out), moment
        succeeds(*arguments, "-o", out, "--resume")
        assert results(out) == results(whole), moment
