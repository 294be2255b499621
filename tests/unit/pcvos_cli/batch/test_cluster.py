"""Weights that travel to the nodes of a cluster."""

import tempfile
from pathlib import Path

import pytest

from pcvos_cli.batch.cluster import _with_weights
from pcvos_cli.batch.jobs import Job
from pcvos_cli.batch.work import Assignment
from pcvos_cli.run.settings import SegmentSettings


def assignment(weights: Path, out: Path) -> Assignment:
    settings = SegmentSettings(weights=weights)
    return Assignment(Job(Path("a.mp4"), ("a.png",), "a", settings=settings), out)


def test_a_node_without_the_file_gets_one_and_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    wanted = assignment(tmp_path / "elsewhere" / "mine.safetensors", tmp_path)
    first = _with_weights(wanted, b"learned")
    path = first.job.settings.weights
    assert path.name == "mine.safetensors"
    assert path.read_bytes() == b"learned"
    written = path.stat().st_mtime_ns
    assert _with_weights(wanted, b"learned") == first
    assert path.stat().st_mtime_ns == written
    other = _with_weights(wanted, b"learned more").job.settings.weights
    assert other.read_bytes() == b"learned more"
    assert path.read_bytes() == b"learned"


def test_a_node_that_sees_the_file_reads_it(tmp_path: Path) -> None:
    seen = tmp_path / "mine.safetensors"
    seen.write_bytes(b"here")
    wanted = assignment(seen, tmp_path)
    assert _with_weights(wanted, b"sent") is wanted
