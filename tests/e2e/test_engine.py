"""``--engine``: which one runs, what it changes, and what happens where one is missing."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model.errors import ConfigError, EngineError
from model.inference import engine
from pcvos_cli import segment_video
from pcvos_cli.run.device import start_engine
from pcvos_cli.run.settings import SegmentSettings
from tests.support.cli import pcvos, read_labels, write_mask
from tests.support.videos import pictures, write_video

FRAMES = 5


@pytest.fixture
def arguments(lite_weights: Path, tmp_path: Path) -> list[str | Path]:
    video = write_video(tmp_path / "in.mp4", pictures(FRAMES))
    mask = write_mask(tmp_path / "first.png")
    return [
        video, "--mask", mask, "--weights", lite_weights, "--interval", "2", "--device", "cpu",
        "--threads", "1",
    ]  # fmt: skip


def report(out: Path) -> Any:
    return json.loads((out / "run.json").read_text(encoding="utf-8"))


def test_both_engines_give_the_same_masks_and_say_which_they_are(
    arguments: list[str | Path], tmp_path: Path
) -> None:
    for choice, name in (("auto", "onnxruntime"), ("torch", "torch")):
        out = tmp_path / choice
        options = ["--engine", choice, "--format", "png,scores"]
        result = pcvos("segment", *arguments, "-o", out, *options)
        assert result.exit_code == 0, result.stderr
        assert f"({name})" in result.stdout
        run = report(out)
        assert run["engine"] == run["settings"]["engine"] == name
        assert run["notes"] == []
        assert "onnxruntime" in run["versions"]
    for index in range(FRAMES):
        with (
            np.load(tmp_path / "auto" / "scores" / f"{index:05}.npz") as actual,
            np.load(tmp_path / "torch" / "scores" / f"{index:05}.npz") as expected,
        ):
            np.testing.assert_allclose(actual["prob"], expected["prob"], atol=1e-4)
        labels, same = (
            read_labels(tmp_path / out / "masks" / f"{index:05}.png") for out in ("auto", "torch")
        )
        assert (labels == same).mean() > 0.999
    other = pcvos("segment", *arguments, "-o", tmp_path / "auto", "--engine", "torch", "--resume")
    assert other.exit_code == 6, "a run that another engine made is another run"


def test_auto_goes_on_in_torch_and_says_why(
    arguments: list[str | Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "onnxruntime_version", lambda: None)
    out = tmp_path / "out"
    result = pcvos("segment", *arguments, "-o", out, "--format", "png")
    assert result.exit_code == 0, result.stderr
    assert "torch runs the network, slower: onnxruntime is not installed" in result.stderr
    assert report(out)["engine"] == "torch"
    assert "onnxruntime is not installed" in report(out)["notes"][0]
    found = json.loads(pcvos("doctor", "--json").stdout)
    assert found["engines"] == {"torch": torch.__version__, "onnxruntime": None}
    assert "onnxruntime is not installed" in found["warnings"][0]


def test_onnxruntime_that_cannot_run_the_network_is_an_error_where_it_is_asked_for(
    arguments: list[str | Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no such\noperator")

    monkeypatch.setattr(torch.onnx, "export", fail)
    out = tmp_path / "out"
    # Exports of other tests are for another number of threads.
    engine_options = ("--engine", "onnxruntime", "--threads", "3")
    result = pcvos("segment", *arguments, "-o", out, *engine_options)
    assert result.exit_code == 2
    assert "RuntimeError: no such operator" in result.stderr
    assert "--engine torch" in result.stderr
    assert not out.exists()


def test_onnxruntime_is_for_cpus() -> None:
    def start(name: Any) -> Any:
        return start_engine(
            name,
            torch.nn.Identity(),  # type: ignore[arg-type] # Neither case looks at it.
            device=torch.device("cuda"),
            threads=None,
            weights="",
            objects=1,
            size=(48, 64),
        )

    assert start("auto").name == "torch"
    with pytest.raises(EngineError, match="for CPUs, and this run is on cuda"):
        start("onnxruntime")


def test_an_unknown_engine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--engine openvino: choose one of auto"):
        segment_video("v.mp4", ["m.png"], tmp_path, SegmentSettings(engine="openvino"))  # type: ignore[arg-type]
    assert pcvos("segment", "v.mp4", "--mask", "m.png", "--engine", "openvino").exit_code == 2


def test_a_benchmark_says_which_engine_ran(arguments: list[str | Path]) -> None:
    video, _, mask, *rest = arguments
    rest = [a for a in rest if a not in ("--interval", "2")]
    result = pcvos(
        "benchmark", "--video", video, "--mask", mask, *rest, "--intervals", "2", "--repeats", "1",
        "--engine", "torch", "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["protocol"]["engine"] == "torch"
