"""``pcvos benchmark`` from arguments to figures, on tiny clips."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.cli import pcvos, write_mask
from tests.support.datasets import moving, write_davis2016, write_davis2017
from tests.support.videos import pictures, write_video

TINY = ("--size", "32", "--repeats", "2", "--threads", "1")
MODEL = {"key_encoder", "memory_read", "refinement", "decoder", "aggregation", "value_encoder"}


def measure(weights: Path, *arguments: str | Path) -> Any:
    """Run with --json; stdout must hold one document and nothing else."""
    result = pcvos("benchmark", "--weights", weights, *TINY, *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_a_made_clip_is_measured_for_every_case(lite_weights: Path):
    document = measure(lite_weights, "--intervals", "3,2", "--objects", "2")
    assert [m["interval"] for m in document["measurements"]] == [2, 3]
    for m in document["measurements"]:
        assert m["objects"] == 2
        assert m["frames"] == 7  # The first one and two clips of 3.
        for speed in (m["fps_model"], m["fps_end_to_end"]):
            assert 0 < speed["low"] <= speed["median"] <= speed["high"]
        assert set(m["model_stages"]) == MODEL
        assert {"decode", "model", "total"} < set(m["end_to_end_stages"])
        # Stages cannot last longer than the whole, and make up most of it.
        seconds = sum(m["model_stages"].values())
        assert 0.3 / m["fps_model"]["high"] < seconds < 1.1 / m["fps_model"]["low"]
        assert m["peak_memory_mb"] > 50
    # 1 + 2 x 3 frames: reference and the first clip; with L = 2 one clip more.
    assert [m["memory_frames"] for m in document["measurements"]] == [3, 2]
    assert document["machine"]["threads"] == 1
    assert document["protocol"]["working_size"].endswith("x 32")
    assert document["protocol"]["repeats"] == 2


def test_a_video_gives_as_many_objects_as_asked_for(lite_weights: Path, tmp_path: Path):
    video = write_video(tmp_path / "v.mp4", pictures(5))
    labels = np.zeros((48, 64), np.int32)
    labels[4:20, 4:20], labels[24:40, 30:50] = 3, 9
    mask = write_mask(tmp_path / "m.png", labels)
    document = measure(
        lite_weights, "--video", video, "--mask", mask, "--objects", "1,2", "--intervals", "2"
    )
    found = [(m["objects"], m["frames"]) for m in document["measurements"]]
    assert found == [(1, 5), (2, 5)]
    assert document["protocol"]["clip"] == str(video)
    everything = measure(lite_weights, "--video", video, "--mask", mask, "--intervals", "2")
    assert [m["objects"] for m in everything["measurements"]] == [2]


def test_tables_and_the_plot_are_written(lite_weights: Path, tmp_path: Path):
    plot = tmp_path / "speed.png"
    arguments = ("benchmark", "--weights", lite_weights, *TINY, "--intervals", "2", "--plot", plot)
    result = pcvos(*arguments)
    assert result.exit_code == 0, result.stderr
    assert plot.read_bytes().startswith(b"\x89PNG")
    for text in (
        "end-to-end FPS",
        "key encoder",
        "1 CPU threads",
        "repeats: 2",
    ):
        assert text in result.stdout
    assert "Milliseconds a frame, 1 object\n" in result.stdout
    again = pcvos(*arguments)
    assert again.exit_code == 6
    assert "--overwrite" in again.stderr


@pytest.mark.parametrize("dataset", ["davis2016", "davis2017"])
def test_accuracy_is_that_of_evaluate(lite_weights: Path, tmp_path: Path, dataset: str):
    masks = {"walk": moving(5, (1, 2))}
    write = write_davis2016 if dataset == "davis2016" else write_davis2017
    root = write(tmp_path / "data", masks)
    plot = tmp_path / "figure1.png"
    data = ("--dataset", dataset, "--root", root)
    document = measure(lite_weights, "--intervals", "2", *data, "--plot", plot)
    accuracy = document["measurements"][0]["accuracy"]
    result = pcvos(
        *("evaluate", *data, "--weights", lite_weights, "--interval", "2", "--size", "32"),
        *("--threads", "1", "--output", tmp_path / "masks", "--json"),
    )
    assert result.exit_code == 0, result.stderr
    overall = json.loads(result.stdout)["overall"]
    assert accuracy.pop("G") is None  # Only YouTube-VOS has it.
    assert accuracy == {name: pytest.approx(overall[name], abs=1e-9) for name in accuracy}
    assert document["protocol"]["dataset"] == dataset
    assert plot.stat().st_size > 1000


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--intervals", "5,x"), 2, "numbers above 0"),
        (("--video", "v.mp4"), 2, "--mask"),
        (("--root", "."), 2, "--dataset"),
        (("--objects", "300"), 2, "too many"),
        (("--untrained",), 2, "--weights"),
        (("--split", "val"), 2, "--root"),
        (("--ablation",), 2, "--row"),
        (("--row", "ours=w"), 2, "--ablation"),
    ],
)
def test_wrong_arguments_are_refused(lite_weights: Path, arguments, code: int, words: str):
    result = pcvos("benchmark", "--weights", lite_weights, *TINY, *arguments)
    assert result.exit_code == code
    assert words in result.stderr


def test_a_mask_with_fewer_objects_is_refused(lite_weights: Path, tmp_path: Path):
    video = write_video(tmp_path / "v.mp4")
    mask = write_mask(tmp_path / "m.png")
    clip = ("--video", video, "--mask", mask, "--objects", "2")
    result = pcvos("benchmark", "--weights", lite_weights, *TINY, *clip)
    assert result.exit_code == 2
    assert "has 1" in result.stderr


def test_a_model_whose_weights_are_not_at_hand_is_measured_untrained():
    result = pcvos("benchmark", "--untrained", *TINY, "--intervals", "2", "--json")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["protocol"]["weights"] == "untrained-pcvos-lite.safetensors"
    assert document["protocol"]["command"].startswith("pcvos")
    assert document["measurements"][0]["fps_model"]["low"] > 0


def test_a_plot_without_matplotlib_says_what_to_install(
    lite_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    plot = tmp_path / "speed.png"
    result = pcvos("benchmark", "--weights", lite_weights, *TINY, "--plot", plot)
    assert result.exit_code == 2
    assert "--plot needs matplotlib" in result.stderr
    assert "pip install 'pcvos[plots]'" in result.stderr
    assert result.stdout == ""
