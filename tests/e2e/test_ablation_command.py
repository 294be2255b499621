"""``pcvos benchmark --ablation`` from arguments to the paper's tables, on a tiny data set."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from model.build import build_pcvos
from model.checkpoint import save_checkpoint
from model.config import PCVOS_LITE, InferenceConfig
from model.training.config import LossConfig, SampleConfig, TrainConfig
from model.training.recipe import config_to_dict
from pcvos_cli.benchmarking.ablation_report import (
    PROGRESSIVE_OFF,
    REFINEMENT_OFF,
    AblationReport,
)
from pcvos_cli.benchmarking.accuracy import AccuracyMeter
from pcvos_cli.run.settings import SegmentSettings
from pcvos_cli.scoring.layouts import load_dataset
from tests.support.cli import pcvos
from tests.support.datasets import moving, write_davis2017, write_youtube_vos

TINY = (
    *("--size", "32", "--repeats", "1", "--threads", "1"),
    *("--intervals", "2", "--progressive-interval", "1"),
)


@pytest.fixture(autouse=True)
def small_matrices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare each run the two seconds in which the machine's own rate is measured."""
    monkeypatch.setattr("pcvos_cli.benchmarking.machine.MATRIX_SIDE", 128)


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


def ablate(*arguments: str | Path) -> AblationReport:
    """Run with --json; stdout must hold one document and nothing else."""
    result = pcvos("benchmark", "--ablation", *TINY, *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return AblationReport.from_document(json.loads(result.stdout))


def evaluate(*arguments: str | Path) -> Any:
    result = pcvos("evaluate", "--size", "32", "--threads", "1", *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)["overall"]


def test_one_set_of_weights_gives_rows_that_are_marked(
    tmp_path: Path, data: tuple[str | Path, ...], trained: dict[str, Path]
):
    weights = ("--weights", trained["clip"])
    kept = tmp_path / "kept"
    overall = evaluate(
        *data, *weights, "--interval", "2", "--progressive-interval", "1", "--no-refinement",
        "--output", kept / "from evaluate",
    )  # fmt: skip
    before = (kept / "from evaluate" / "walk" / "00003.png").stat().st_mtime_ns

    report = ablate(*data, *weights, "--output", kept)

    assert [(r.name, r.pmm, r.pct, r.icr, r.marks) for r in report.rows] == [
        ("stcn-like", False, True, False, (REFINEMENT_OFF, PROGRESSIVE_OFF)),
        ("no-refinement", True, True, False, (REFINEMENT_OFF,)),
        ("no-progressive", False, True, True, (PROGRESSIVE_OFF,)),
        ("full", True, True, True, ()),
    ]
    accuracy = report.rows[1].cells[0].accuracy
    assert accuracy.J_mean == pytest.approx(overall["J_mean"], abs=1e-9)
    assert accuracy.JF_mean == pytest.approx(overall["JF_mean"], abs=1e-9)
    # Masks that pcvos evaluate made are used, and what was made now is used the next time.
    assert (kept / "from evaluate" / "walk" / "00003.png").stat().st_mtime_ns == before
    folders = sorted(kept.iterdir())
    assert len(folders) == 4
    masks = {path: path.stat().st_mtime_ns for path in kept.rglob("*.png")}
    truth = load_dataset("davis2017", tmp_path / "DAVIS")
    settings = SegmentSettings(
        inference=InferenceConfig(interval=2, progressive_interval=1),
        size=32,
        weights=trained["clip"],
        threads=1,
    )
    accuracy = AccuracyMeter(truth, keep=kept).measure(settings)
    assert accuracy == report.rows[3].cells[0].accuracy
    assert sorted(kept.iterdir()) == folders
    assert {path: path.stat().st_mtime_ns for path in kept.rglob("*.png")} == masks


def test_rows_with_weights_of_their_own_give_both_tables(
    tmp_path: Path, data: tuple[str | Path, ...], trained: dict[str, Path]
):
    plot, table = tmp_path / "figure1.png", tmp_path / "rows.csv"
    result = pcvos(
        "benchmark", "--ablation", *TINY, *data, "--row", f"stcn={trained['frame']}",
        "--row", f"pmm={trained['frame']}", "--row", f"ours={trained['clip']}",
        "--score", "j", "--paper", "--plot", plot, "--csv", table,
    )  # fmt: skip

    assert result.exit_code == 0, result.stderr
    lines = [line.split() for line in result.stdout.splitlines() if line]
    ours = [line for line in lines if line[0] == "ours"]
    assert ours[0][1:4] == ["✓", "✓", "✓"]  # Table 1: PMM, PCT, ICR.
    assert ours[1][1:4] == ["Clip", "5", "✓"]  # Table 2: type, NF, CS.
    assert [line[1] for line in lines if line[0] == "pmm"] == ["✓"]
    assert [len(line) for line in lines if line[0] == "stcn"] == [3]  # No check mark.
    assert "switched off" not in result.stdout  # These are the paper's kind of rows.
    assert result.stdout.count("the paper's own figures") == 2
    assert "(log scale)" in result.stdout
    assert "o stcn   x pmm   + ours" in result.stdout
    assert plot.read_bytes().startswith(b"\x89PNG")
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [(r["row"], r["type"], r["NF"], r["CS"]) for r in rows] == [
        ("stcn", "frame", "3", "False"),
        ("pmm", "frame", "3", "False"),
        ("ours", "clip", "5", "True"),
    ]
    assert float(ours[0][4]) == pytest.approx(100 * float(rows[2]["J_mean"]), abs=0.006)


def test_rows_that_are_the_same_run_are_measured_once(
    data: tuple[str | Path, ...], trained: dict[str, Path]
):
    row = trained["frame"]
    # With L = 2 and F = 2 a clip ends before progressive matching begins.
    report = ablate(
        *data, "--row", f"stcn={row}", "--row", f"pmm={row}", "--progressive-interval", "2"
    )
    assert report.rows[0].cells == report.rows[1].cells
    assert report.rows[0].pmm != report.rows[1].pmm


def test_a_labelled_youtube_vos_split_has_the_papers_score(
    tmp_path: Path, trained: dict[str, Path]
):
    root = write_youtube_vos(
        tmp_path / "YTVOS",
        "dense",
        {"clip": moving(6)},
        {"clip": {1: ("zebra", range(6)), 2: ("ant", range(6))}},
    )
    report = ablate(
        "--dataset", "youtubevos", "--root", root, "--split", "dense",
        "--row", f"ours={trained['frame']}",
    )  # fmt: skip
    assert report.protocol["score"] == "G"
    score = report.rows[0].cells[0].accuracy
    assert score.JF_mean == pytest.approx(score.G)  # One object seen, one unseen.


@pytest.mark.parametrize(
    ("rows", "code", "words"),
    [
        (("ours",), 2, "NAME=WEIGHTS"),
        (("ours={clip}", "ours={frame}"), 2, "given twice"),
        (("stcn={clip}",), 2, "add pct to the row's name"),
        (("pmm+pct={frame}",), 2, "leave pct out of"),
        (("pmm+icr={frame}",), 2, "no refinement"),
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
        (("--variants", "full"), "--variants"),
        (("--scaling",), "--scaling"),
        (("--objects", "1,2"), "--objects"),
        (("--weights", "w", "--row", "ours=w"), "--weights"),
        (("--score", "g"), "categories"),
        (("--untrained",), "--untrained"),
    ],
)
def test_options_that_do_not_go_with_an_ablation(
    data: tuple[str | Path, ...], arguments: tuple[str, ...], words: str
):
    result = pcvos("benchmark", "--ablation", *TINY, *data, *arguments)
    assert result.exit_code == 2, result.stderr
    assert words in result.stderr


@pytest.mark.parametrize(
    "arguments", [("--ablation",), ("--row", "ours=w"), ("--paper",), ("--output", "masks")]
)
def test_an_ablation_needs_a_data_set_and_its_options_an_ablation(arguments: tuple[str, ...]):
    result = pcvos("benchmark", *TINY, *arguments)
    assert result.exit_code == 2
    assert "--" in result.stderr
