"""The README's figures are those of the manifest and the benchmarks."""

import json
import re

import pytest

from pcvos_cli.weights_store import read_manifest
from tests.support.shared import REPOSITORY

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def test_the_readme_gives_the_score_of_the_shipped_weights() -> None:
    score = read_manifest()[0].score
    figures = re.findall(r"mean [JF] 0\.\d+", score)
    assert len(figures) == 2
    assert all(figure in README for figure in figures), score


def test_the_readme_gives_the_speed_of_the_benchmarks() -> None:
    document = json.loads((REPOSITORY / "docs/benchmarks/speed.json").read_text())
    (fps,) = [
        entry["fps_end_to_end"]["median"]
        for entry in document["measurements"]
        if (entry.get("variant", "full"), entry["interval"], entry["objects"]) == ("full", 10, 1)
    ]
    assert f"{1 / fps:.3f} s a frame" in README


def test_the_readme_gives_the_peak_memory_of_the_long_video() -> None:
    document = json.loads((REPOSITORY / "docs/benchmarks/long.json").read_text())
    frames = document["stretches"][-1]["last"] + 1
    assert f"memory along {frames:,} frames" in README
    assert f"{document['peak_mb'] / 1000:.2f} GB" in README


def test_the_readme_leads_to_files_that_exist() -> None:
    linked = re.findall(r"\]\(([^)#:]+)", README)
    assert linked
    assert [path for path in linked if not (REPOSITORY / path).exists()] == []


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "docs/how-it-works.md"])
def test_the_paths_that_a_page_names_exist(name: str) -> None:
    text = (REPOSITORY / name).read_text(encoding="utf-8")
    named = re.findall(r"`((?:model|pcvos_cli|tests|docs|weights)/[\w./-]*)`", text)
    assert named
    assert [path for path in named if not (REPOSITORY / path).exists()] == []
