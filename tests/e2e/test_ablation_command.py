"""``pcvos benchmark --ablation`` from arguments to the paper's tables, on a tiny data set."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from model.build import build_pcvos
from model.checkpoint import save_checkpoint
from model.config import PCVOS_LITE
from model.training.config import LossConfig, SampleConfig, TrainConfig
from model.training.recipe import config_to_dict
from tests.support.cli import pcvos
from tests.support.datasets import moving, write_davis2017, write_youtube_vos

TINY = ("--size", "32", "--repeats", "1", "--threads", "1", "--intervals", "2")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Random weights that say how they were trained: per clip, and by frames without ICR."""
    folder = tmp_path_factory.mktemp("trained")
    cases = {
        "clip": (PCVOS_LITE, TrainConfig(samples=SampleConfig(frames=5))),
        "frame": (
            replace(PCVOS_LITE, refinement=None),
            TrainConfig(
                samples=SampleConfig(frames=3, scheme="frame"),
                loss=LossConfig(clip_supervision=False),
            ),
        ),
    }
    paths = {}
    for name, (shape, config) in cases.items():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = build_pcvos(shape)
        paths[name] = folder / f"{name}.safetensors"
        recipe = json.dumps(config_to_dict(config))
        save_checkpoint(paths[name], shape, model.state_dict(), {"recipe": recipe})
    return paths


@pytest.fixture
def data(tmp_path: Path) -> tuple[str | Path, ...]:
    root = write_davis2017(tmp_path / "DAVIS", {"walk": moving(6)})
    return ("--dataset", "davis2017", "--root", root)


def ablate(*arguments: str | Path) -> Any:
    """Run with --json; stdout must hold one document and nothing else."""
    result = pcvos("benchmark", "--ablation", *TINY, *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_masks_are_those_of_evaluate_and_are_made_once(
    tmp_path: Path, data: tuple[str | Path, ...], trained: dict[str, Path]
):
    kept = tmp_path / "kept"
    result = pcvos(
        "evaluate", "--size", "32", "--threads", "1", "--interval", "6", *data,
        "--weights", trained["frame"], "--output", kept / "from evaluate", "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    overall = json.loads(result.stdout)["overall"]

    def masks() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in kept.rglob("*.png")}

    before = masks()
    rows = ("--row", f"stcn={trained['frame']}", "--row", f"pmm={trained['frame']}")
    report = ablate(*data, *rows, "--intervals", "6", "--output", kept)

    assert [(r["pmm"], r["pct"], r["icr"]) for r in report["rows"]] == [
        (False, False, False),
        (True, False, False),
    ]
    accuracy = report["rows"][1]["cells"][0]["accuracy"]
    assert accuracy["JF_mean"] == pytest.approx(overall["JF_mean"], abs=1e-9)
    after = masks()
    # The row that pcvos evaluate has made is used; the other one is made now, and kept.
    assert before.items() < after.items()
    assert len(list(kept.iterdir())) == 2
    again = ablate(*data, *rows, "--intervals", "6", "--output", kept)
    assert again["rows"][0]["cells"][0]["accuracy"] == report["rows"][0]["cells"][0]["accuracy"]
    assert masks() == after


def test_rows_with_weights_of_their_own_give_both_tables(
    tmp_path: Path, data: tuple[str | Path, ...], trained: dict[str, Path]
):
    plot = tmp_path / "figure1.png"
    result = pcvos(
        "benchmark", "--ablation", *TINY, *data, "--row", f"stcn={trained['frame']}",
        "--row", f"pmm={trained['frame']}", "--row", f"ours={trained['clip']}", "--plot", plot,
    )  # fmt: skip

    assert result.exit_code == 0, result.stderr
    lines = [line.split() for line in result.stdout.splitlines() if line]
    ours = [line for line in lines if line[0] == "ours"]
    assert ours[0][1:4] == ["✓", "✓", "✓"]  # Table 1: PMM, PCT, ICR.
    assert ours[1][1:4] == ["Clip", "5", "✓"]  # Table 2: type, NF, CS.
    assert [line[1] for line in lines if line[0] == "pmm"] == ["✓"]
    assert [len(line) for line in lines if line[0] == "stcn"] == [3]  # No check mark.
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_rows_with_the_same_masks_are_segmented_once(
    tmp_path: Path, data: tuple[str | Path, ...], trained: dict[str, Path]
):
    row = trained["frame"]
    kept = tmp_path / "kept"
    # With L = 2 and F = 5 a clip ends before progressive matching begins.
    rows = ("--row", f"stcn={row}", "--row", f"pmm={row}", "--output", kept)
    first, second = ablate(*data, *rows)["rows"]
    assert first["cells"][0]["accuracy"] == second["cells"][0]["accuracy"]
    assert len(list(kept.iterdir())) == 1
    assert first["pmm"] != second["pmm"]


def test_a_labelled_youtube_vos_split_has_the_papers_score(
    tmp_path: Path, trained: dict[str, Path]
):
    root = write_youtube_vos(
        tmp_path / "YTVOS",
        "dense",
        {"clip": moving(6)},
        {"clip": {1: ("zebra", range(6)), 2: ("ant", range(6))}},
    )
    result = pcvos(
        "benchmark", "--ablation", *TINY, "--dataset", "youtubevos", "--root", root,
        "--split", "dense", "--row", f"ours={trained['frame']}",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert "Table 1, modules at each clip length L: G, then" in result.stdout


@pytest.mark.parametrize(
    ("rows", "code", "words"),
    [
        (("ours",), 2, "NAME=WEIGHTS"),
        (("ours={clip}", "ours={frame}"), 2, "given twice"),
        (("pmm+icr={clip}",), 2, "add pct to the row's name"),
        (("pmm+pct={frame}",), 2, "leave pct out of"),
        (("pmm+icr={frame}",), 2, "leave icr out of"),
        (("pmm+pct={clip}",), 2, "add icr to the row's name"),
        (("ours=nowhere.safetensors",), 5, "nowhere.safetensors"),
    ],
)
def test_rows_that_contradict_their_weights_are_refused(
    data: tuple[str | Path, ...],
    trained: dict[str, Path],
    rows: tuple[str, ...],
    code: int,
    words: str,
):
    named = [f"--row={text.format(**{k: str(v) for k, v in trained.items()})}" for text in rows]
    result = pcvos("benchmark", "--ablation", *TINY, *data, *named)
    assert result.exit_code == code, result.stderr
    assert words in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--objects", "1,2"), "--objects"),
        (("--weights", "w"), "--weights"),
        (("--untrained",), "--untrained"),
    ],
)
def test_options_that_do_not_go_with_an_ablation(
    data: tuple[str | Path, ...], arguments: tuple[str, ...], words: str
):
    result = pcvos("benchmark", "--ablation", "--row", "ours=w", *TINY, *data, *arguments)
    assert result.exit_code == 2, result.stderr
    assert words in result.stderr


def test_an_ablation_needs_a_data_set():
    result = pcvos("benchmark", *TINY, "--ablation", "--row", "ours=w")
    assert result.exit_code == 2
    assert "--dataset" in result.stderr
