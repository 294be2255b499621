"""``pcvos train`` from the command line: flags, files, exit codes, signals."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from model.checkpoint import load_checkpoint
from model.training.state import load_state
from tests.support.cli import MODULE, pcvos, pcvos_process
from tests.support.training import write_tiny
from tests.support.training_data import make_davis, make_pairs

SMALL = ("--crop", "64", "--frames", "3", "--clips", "1", "--batch", "2", "--workers", "0")


@pytest.fixture(scope="module")
def davis(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_davis(tmp_path_factory.mktemp("davis"), length=6)


@pytest.fixture(scope="module")
def init(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("init") / "tiny.safetensors")


def _train(out: Path, init: Path, *more: object) -> list[str | Path]:
    return ["train", "--out", out, "--init", init, *SMALL, *map(str, more)]


def test_a_training_leaves_weights_state_figures_and_curves(
    davis: Path, init: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    done = pcvos(
        *_train(
            out, init, "--data", davis, "--val", davis, "--steps", 2, "--json", "--tensorboard"
        ),
        *("--set", "validation.frames=3", "--set", "run.picture_every=2"),
    )
    assert done.exit_code == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["step"], summary["finished"]) == (2, True)
    # An untrained network may score anything; what counts is that it is the figure noted.
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    scores = [line["validation"] for line in lines if "validation" in line]
    assert summary["best_score"] == max(scores)
    assert 0 <= max(scores) <= 1
    assert summary["recipe"]["samples"]["crop"] == 64
    names = {path.name for path in out.iterdir()}
    assert names == {
        "state.pt", "last.safetensors", "best.safetensors", "metrics.jsonl", "curves.png",
        "samples.png", "tensorboard",
    }  # fmt: skip
    # Two samples, a row of truths and one of predictions each; three frames beside each other.
    with Image.open(out / "samples.png") as picture:
        assert picture.size == (3 * 64, 4 * 64)
    with Image.open(out / "curves.png") as picture:
        assert picture.width > 500
    assert load_checkpoint(out / "last.safetensors").config.name == "pcvos-lite"


def test_without_matplotlib_a_training_has_no_curves_and_says_why(
    davis: Path, init: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    out = tmp_path / "run"
    done = pcvos(*_train(out, init, "--data", davis, "--steps", 1))
    assert done.exit_code == 0, done.stderr
    assert "pip install 'pcvos[train]'" in done.stderr
    assert (out / "last.safetensors").is_file()
    assert not (out / "curves.png").exists()


def test_resume_goes_on_from_the_folder_alone_and_init_starts_from_weights(
    davis: Path, init: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    pause = ("--data", davis, "--steps", 3, "--pause-after", 0)
    assert pcvos(*_train(out, init, *pause)).exit_code == 0
    assert not (out / "state.pt").exists()  # Paused before the first step.
    done = pcvos(*_train(out, init, "--data", davis, "--steps", 3))
    assert done.exit_code == 0, done.stderr
    with monkeypatch.context() as patch:  # What a run holds it need not be given again.
        patch.delattr("pcvos_cli.training.run.resolve_weights")
        again = pcvos("train", "--out", out, "--resume", "--steps", "4")
    assert again.exit_code == 0, again.stderr
    assert "resuming with another steps" in again.stderr
    assert load_state(out / "state.pt").step == 4
    second = pcvos(
        *("train", "--out", tmp_path / "second", "--init", out / "last.safetensors"),
        *("--data", davis, "--steps", "1", *SMALL),
    )
    assert second.exit_code == 0, second.stderr
    assert load_state(tmp_path / "second" / "state.pt").step == 1


def test_stills_train_the_image_stage(init: Path, tmp_path: Path) -> None:
    pairs = make_pairs(tmp_path / "pairs")
    done = pcvos(*_train(tmp_path / "run", init, "--stage", "image", "--data", pairs, "--steps", 1))
    assert done.exit_code == 0, done.stderr


def test_stage_prompt_trains_on_stills_and_video_and_resumes_bit_for_bit(
    davis: Path, tmp_path: Path
) -> None:
    pairs = make_pairs(tmp_path / "pairs")
    command = (
        *("train", "--stage", "prompt", "--crop", "64", "--batch", "2", "--workers", "0"),
        *("--threads", "1", "--data", davis, "--data", pairs, "--val", davis),
        *("--set", "optimiser.schedule=constant", "--set", "run.picture_every=1"),
        *("--set", "run.frozen_engine=false"),
    )
    start = ("--init", "random", "--steps")
    whole = pcvos(*command, *start, "3", "--out", tmp_path / "whole", "--json")
    assert whole.exit_code == 0, whole.stderr
    assert 0 <= json.loads(whole.stdout)["best_score"] <= 1
    part = pcvos(*command, *start, "1", "--out", tmp_path / "part")
    assert part.exit_code == 0, part.stderr
    rest = pcvos("train", "--out", tmp_path / "part", "--resume", "--steps", "3")
    assert rest.exit_code == 0, rest.stderr
    weights = [tmp_path / name / "last.safetensors" for name in ("whole", "part")]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    # What it exports can be started from, and is no network for `segment`.
    more = ("--init", weights[0], "--steps", "1", "--set", "run.frozen_engine=true")
    again = pcvos(*command, *more, "--out", tmp_path / "again")
    assert again.exit_code == 0, again.stderr
    checked = pcvos("weights", "verify", weights[0])
    assert "lite-prompt  ok" in checked.stdout
    mask = next((pairs / "masks").iterdir())
    refused = pcvos(
        "segment", pairs / "images", "--mask", mask, "--weights", weights[0], "-o", tmp_path / "o"
    )
    assert refused.exit_code == 5
    assert "boxes and clicks" in refused.stderr


def test_without_data_it_trains_on_drawn_video_and_says_so(tmp_path: Path) -> None:
    small = ("--steps", "1", "--crop", "64", "--batch", "1", "--workers", "0", "--threads", "1")
    done = pcvos_process("train", "--stage", "video", *small, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "no data given: training on synthetic video with drawn textures" in done.stderr
    assert "starting from the shipped weights pcvos-lite" in done.stderr
    assert "\x1b" not in done.stderr  # No bar where nobody sees it.
    assert (tmp_path / "runs/video/last.safetensors").is_file()


def test_dry_run_prints_the_resolved_recipe_and_writes_nothing(tmp_path: Path) -> None:
    done = pcvos(
        *("train", "--recipe", "paper-video", "--scheme", "frame", "--no-clip-supervision"),
        *("--frames", "3", "--set", "optimiser.rate=3e-5", "--out", tmp_path / "run", "--dry-run"),
    )
    assert done.exit_code == 0, done.stderr
    recipe = json.loads(done.stdout)
    assert recipe["samples"]["scheme"] == "frame"
    assert recipe["loss"]["clip_supervision"] is False
    assert recipe["optimiser"]["rate"] == 3e-5
    assert not (tmp_path / "run").exists()


def test_dry_run_counts_the_data_and_refuses_what_cannot_be_read(
    davis: Path, tmp_path: Path
) -> None:
    stills, photos = make_pairs(tmp_path / "stills"), tmp_path / "photos"
    (stills / "images" / "broken.jpg").write_bytes(b"no picture")
    photos.mkdir()
    Image.new("RGB", (90, 80)).save(photos / "p.jpg")
    command = ("train", *SMALL, "--out", tmp_path / "run", "--dry-run")
    data = ("--data", davis, "--data", f"{stills}=2", "--photos", photos, "--val", davis)
    done = pcvos(*command, *data)
    assert done.exit_code == 0, done.stderr
    told = " ".join(done.stderr.split())
    videos = len(list((davis / "JPEGImages/480p").iterdir()))
    pairs = len(list((stills / "masks").iterdir()))
    for words in (
        f"--data {davis}: {videos} videos",
        f"--data {stills}: {pairs} pictures with masks",
        "1 items cannot be used; the first:",
        "broken.jpg: not a readable image",
        "--photos and --objects: 1 pictures",
        f"--val {davis}: {videos} sequences",
    ):
        assert words in told
    assert json.loads(done.stdout)["data"]["sets"] == [str(davis), f"{stills}=2"]
    for file in (stills / "masks").iterdir():  # Headers that are whole, and no pixels.
        file.write_bytes(file.read_bytes()[:60])
    for option, folder, words in (
        ("--data", stills, "in a row"),
        ("--data", tmp_path / "none", "no such folder"),
        ("--photos", tmp_path / "none", "none"),
        ("--objects", tmp_path, str(tmp_path)),
        ("--val", photos, "not in DAVIS layout"),
    ):
        failed = pcvos(*command, option, folder)
        assert failed.exit_code == 3, (option, failed.stderr)
        assert words in " ".join(failed.stderr.split())
        assert failed.stdout == ""
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--set", "optimiser.lr=1"), 2, "unknown setting optimiser.lr"),
        (("--recipe", "nonsense"), 2, "no such recipe"),
        (("--frames", "6"), 2, "is not one reference and 2 clips alike"),
        (("--data", "{tmp}/none"), 3, "none: no such folder"),
        (("--val", "{tmp}"), 3, "not in DAVIS layout"),
        (("--init", "{tmp}/none.safetensors"), 5, "no weights at"),
        (("--resume",), 5, "nothing to resume"),
        (("--stage", "prompt", "--init", "random"), 3, "stage prompt has no data"),
        (("--stage", "prompt", "--model", "pcvos-lite"), 2, "knows no such model"),
        (("--model", "pcvos-r50", "--init", "{init}"), 2, "is a pcvos-lite"),
    ],
)
def test_mistakes_end_with_their_code_and_leave_no_weights(
    arguments: tuple[str, ...], code: int, message: str, init: Path, tmp_path: Path
) -> None:
    filled = [text.format(tmp=tmp_path, init=init) for text in arguments]
    done = pcvos("train", "--out", tmp_path / "run", "--steps", "1", "--workers", "0", *filled)
    assert done.exit_code == code, done.stderr
    assert message in " ".join(done.stderr.split())
    assert not (tmp_path / "run").exists()


def test_a_folder_with_a_run_is_refused_resumed_or_replaced(
    davis: Path, init: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    command = _train(out, init, "--data", davis, "--steps", 1)
    assert pcvos(*command).exit_code == 0
    refused = pcvos(*command)
    assert refused.exit_code == 6
    assert "of an earlier run" in refused.stderr
    assert "--resume" in refused.stderr
    changed = pcvos("train", "--out", out, "--resume", "--set", "optimiser.name=adam")
    assert changed.exit_code == 2
    assert "--resume cannot change optimiser.name" in changed.stderr
    assert pcvos(*command, "--overwrite").exit_code == 0


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)],
)
def test_a_signal_saves_the_run_and_ends_it(
    number: signal.Signals, code: int, davis: Path, init: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    command = _train(out, init, "--data", davis, "--steps", 5000, "--threads", 1)
    process = _start(command, tmp_path)
    _wait_for(lambda: (out / "metrics.jsonl").is_file(), process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert "the run is saved" in errors
    step = load_state(out / "state.pt").step
    assert 0 < step < 5000
    assert not (out / ".pcvos.lock").exists()
    resumed = pcvos("train", "--out", out, "--resume", "--steps", str(step + 1))
    assert resumed.exit_code == 0, resumed.stderr


@pytest.mark.slow
def test_a_killed_run_goes_on_from_its_last_save(davis: Path, init: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    often = ("--set", "run.save_every=2", "--set", "run.log_every=1")
    command = _train(out, init, "--data", davis, "--steps", 5000, "--threads", 1, *often)
    process = _start(command, tmp_path)
    _wait_for(lambda: (out / "state.pt").is_file(), process)
    time.sleep(0.7)
    process.kill()
    process.communicate(timeout=60)
    done = [json.loads(line)["step"] for line in (out / "metrics.jsonl").read_text().splitlines()]
    saved = load_state(out / "state.pt").step
    assert done[-1] - saved <= 2
    resumed = pcvos("train", "--out", out, "--resume", "--steps", str(saved + 1))
    assert resumed.exit_code == 0, resumed.stderr


@pytest.mark.slow
def test_torchrun_trains_with_two_processes(davis: Path, init: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    arguments = _train(out, init, "--data", davis, "--val", davis, "--steps", 3)
    more = ("--set", "validation.frames=2", "--set", "optimiser.freeze_trunk=1")
    done = subprocess.run(
        [*command, "-m", "pcvos_cli", *map(str, arguments), *more],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("finished") == 1  # The second process says nothing.
    assert load_state(out / "state.pt").step == 3
    resumed = pcvos("train", "--out", out, "--resume", "--steps", "4")
    assert resumed.exit_code == 0, resumed.stderr


def _start(command: list[str | Path], folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*MODULE, *map(str, command)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _wait_for(
    ready: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 60
) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)
