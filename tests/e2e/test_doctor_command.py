"""``pcvos doctor`` tells the truth about this machine."""

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from pcvos_cli.weights_store import read_manifest
from tests.support.cli import pcvos


def test_json_says_what_is_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    result = pcvos("doctor", "--json")
    assert result.exit_code == 0, result.stdout
    assert result.stderr == ""
    found = json.loads(result.stdout)
    assert (found["usable"], found["exit_code"]) == (True, 0)
    assert found["problems"] == found["warnings"] == []
    assert found["pcvos"] == version("pcvos")
    assert found["system"]["python"] == platform.python_version()
    assert found["system"]["cores"] == os.cpu_count()
    assert 1 <= found["system"]["usable_cores"] <= found["system"]["cores"]
    assert found["packages"]["torch"] == torch.__version__
    assert found["packages"]["pycocotools"] == version("pycocotools")
    assert None not in found["packages"].values()
    assert found["torch"]["threads"] == torch.get_num_threads()
    assert ("cuda:0" in found["devices"]) == torch.cuda.is_available()
    assert set(found["ffmpeg"]["encoders"]) == {"libx264", "aac"}
    assert set(found["ffmpeg"]["decoders"]) == {"h264", "hevc", "vp9", "av1"}
    assert found["ffmpeg"]["libraries"]["libavcodec"]
    assert found["weights"] == [
        {
            "name": entry.name,
            "model": entry.preset,
            "file": str(entry.path),
            "sha256": entry.sha256,
            "status": "ok",
        }
        for entry in read_manifest()
    ]
    assert found["folder"]["path"] == str(tmp_path)
    assert found["folder"]["writable"] is True
    assert found["environment"]["OMP_NUM_THREADS"] == "3"
    assert list(tmp_path.iterdir()) == []


def test_the_page_for_people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = dict(
        line.strip().split("  ", 1) for line in pcvos("doctor").stdout.strip().splitlines()
    )
    assert lines["pcvos"].startswith(version("pcvos"))
    assert f"torch {torch.__version__}" in lines["packages"]
    assert f"{torch.get_num_threads()} threads" in lines["torch"]
    assert "h264 ok" in lines["decoders"]
    assert all(entry.sha256[:12] in lines["weights"] for entry in read_manifest())
    assert "writable" in lines["folder"]
    assert lines["verdict"] == "usable"
    assert "MISSING" not in str(lines)
