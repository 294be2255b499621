"""``pcvos benchmark`` from arguments to figures, on tiny clips."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pcvos_cli.benchmarking.long_report import LongReport
from pcvos_cli.benchmarking.report import SWITCHED, BenchmarkReport
from tests.support.cli import pcvos, square, write_mask
from tests.support.datasets import moving, write_davis2016, write_davis2017
from tests.support.videos import pictures, write_video

TINY = ("--size", "32", "--repeats", "2", "--threads", "1")
MODEL = {"key_encoder", "memory_read", "refinement", "decoder", "aggregation", "value_encoder"}


@pytest.fixture(autouse=True)
def small_matrices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare each run the two seconds in which the machine's own rate is measured."""
    monkeypatch.setattr("pcvos_cli.benchmarking.machine.MATRIX_SIDE", 128)


def measure(weights: Path, *arguments: str | Path) -> Any:
    """Run with --json; stdout must hold one document and nothing else."""
    result = pcvos("benchmark", "--weights", weights, *TINY, *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_a_made_clip_is_measured_for_every_case(lite_weights: Path):
    document = measure(
        lite_weights, "--intervals", "3,2", "--objects", "2", "--variants", "full,stcn-like"
    )
    report = BenchmarkReport.from_document(document)
    assert [(m.variant, m.interval) for m in report.measurements] == [
        ("full", 2),
        ("full", 3),
        ("stcn-like", 2),
        ("stcn-like", 3),
    ]
    for m in report.measurements:
        assert m.mark == ("" if m.variant == "full" else SWITCHED)
        assert m.objects == 2
        assert m.frames == 7  # The first one and two clips of 3.
        for speed in (m.fps_model, m.fps_end_to_end):
            assert 0 < speed.low <= speed.median <= speed.high
        assert set(m.model_stages) == MODEL
        assert {"decode", "model", "total"} < set(m.end_to_end_stages)
        # Stages cannot last longer than the whole, and make up most of it.
        seconds = sum(m.model_stages.values())
        assert 0.3 / m.fps_model.high < seconds < 1.1 / m.fps_model.low
        assert m.peak_memory_mb > 50
        assert m.matmul_gflops is not None
        assert m.matmul_gflops.low > 0
        assert m.floor is not None
        stages = MODEL - {"aggregation"} - ({"refinement"} if m.mark else set())
        assert set(m.floor.multiply_adds) == {*stages, "total"} == set(m.floor.times)
        total = 2e-9 * m.floor.multiply_adds["total"] / m.matmul_gflops.median
        assert m.floor.times["total"] == pytest.approx(1 / m.fps_model.median / total)
    # 1 + 2 x 3 frames: reference and the first clip; with L = 2 one clip more.
    assert [m.memory_frames for m in report.measurements] == [3, 2, 3, 2]
    assert report.machine.threads == 1
    assert report.machine.matmul_gflops.low > 0
    assert report.protocol["working_size"].endswith("x 32")
    assert report.protocol["repeats"] == 2


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


def test_scaling_fits_length_and_objects(lite_weights: Path):
    arguments = ("--intervals", "1", "--frames", "2", "--repeats", "1", "--scaling")
    arguments += ("--scaling-frames", "1,3,50")
    document = measure(lite_weights, *arguments, "--objects", "1,3")
    scaling = BenchmarkReport.from_document(document).scaling
    assert scaling is not None
    # More than the memory's bound (40), and than the video has frames.
    assert scaling.length.counts == (1, 3, 50)
    assert all(seconds > 0 for seconds in scaling.length.seconds)
    assert scaling.by_objects is not None
    assert scaling.by_objects.counts == (1, 3)
    speeds = [m["fps_model"]["median"] for m in document["measurements"]]
    assert scaling.by_objects.seconds == pytest.approx([1 / fps for fps in speeds])
    # Two points lie on their line.
    assert scaling.by_objects.fixed + scaling.by_objects.each == pytest.approx(1 / speeds[0])
    alone = pcvos("benchmark", "--weights", lite_weights, *TINY, *arguments)
    assert alone.exit_code == 0, alone.stderr
    assert "ms for each frame in the memory" in alone.stdout
    assert "for each object" not in alone.stdout  # One number of objects has no slope.


def test_tables_and_the_plot_are_written(lite_weights: Path, tmp_path: Path):
    plot = tmp_path / "speed.png"
    arguments = ("benchmark", "--weights", lite_weights, *TINY, "--intervals", "2", "--plot", plot)
    result = pcvos(*arguments)
    assert result.exit_code == 0, result.stderr
    assert plot.read_bytes().startswith(b"\x89PNG")
    for text in (
        "end-to-end FPS",
        "floor s at 67",
        "time over floor: full, 1 object",
        "key encoder",
        "GFLOP/s",
        "1 CPU threads",
        "repeats: 2",
    ):
        assert text in result.stdout
    assert "Milliseconds a frame: full, 1 object\n" in result.stdout
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
        (("--variants", "half"), 2, "half"),
        (("--video", "v.mp4"), 2, "--mask"),
        (("--root", "."), 2, "--dataset"),
        (("--objects", "300"), 2, "too many"),
        (("--untrained",), 2, "--weights"),
        (("--score", "j"), 2, "--root"),
        (("--scaling-frames", "2,100"), 2, "--scaling"),
        (("--scaling", "--scaling-frames", "2"), 2, "two numbers"),
        (("--long", "50"), 2, "one of --intervals"),
        (("--long", "50", "--intervals", "5", "--scaling"), 2, "--long"),
        (("--long", "50", "--intervals", "5", "--csv", "x.csv"), 2, "--csv"),
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


def test_what_a_model_lacks_cannot_be_switched_off():
    arguments = ("--model", "stcn-r50", "--untrained", "--variants", "stcn-like")
    result = pcvos("benchmark", *TINY, *arguments)
    assert result.exit_code == 2
    assert "no refinement" in result.stderr


def test_a_long_video_is_watched_from_its_first_frame_to_its_last(
    lite_weights: Path, tmp_path: Path
):
    video = tmp_path / "frames"
    video.mkdir()
    for index, rgb in enumerate(pictures(6, (47, 65))):
        Image.fromarray(rgb).save(video / f"{index}.png")
    mask = write_mask(tmp_path / "m.png", square((47, 65)))
    plot = tmp_path / "long.png"
    document = measure(
        *(lite_weights, "--video", video, "--mask", mask, "--long", "130", "--intervals", "5"),
        *("--max-memory-frames", "3", "--plot", plot),
    )
    report = LongReport.from_document(document)
    assert (report.frames, report.interval, report.objects) == (130, 5, 1)
    assert report.memory_frames == 3  # The settings reach the run.
    assert report.protocol["loop"].startswith("6 frames")
    assert report.protocol["source_size"] == "64 x 46"  # H.264 needs even sizes.
    assert report.protocol["weights_sha256"]
    assert [(s.first, s.last) for s in report.stretches] == [(0, 99), (100, 129)]
    assert report.fps_end_to_end > 0
    # The kernel counts pages in batches, so a peak may be told a little late.
    assert report.peak_mb >= report.run_peak_mb
    assert report.run_peak_mb > max(s.resident_mb for s in report.stretches) - 2
    assert report.stretches[-1].resident_mb > 100
    assert plot.read_bytes().startswith(b"\x89PNG")
