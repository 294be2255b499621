"""A wheel carries every package, and the manifest tells the truth."""

import tomllib
from pathlib import Path

import pytest

from model.config import PCVOS_LITE
from model.errors import WeightsError
from pcvos_cli.weights_store import (
    file_sha256,
    read_manifest,
    resolve_weights,
    verify_shipped,
    weights_folder,
)

ROOT = Path(__file__).parents[2]

ENTRY = """
[[weights]]
name = "small"
file = "small.safetensors"
sha256 = "{sha256}"
preset = "pcvos-lite"
licence = "Apache-2.0"
score = "none"
note = "for a test"
"""


def test_every_package_is_listed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    setuptools = project["tool"]["setuptools"]
    listed = set(setuptools["packages"])
    there = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for top in ("model", "pcvos_cli")
        for path in (ROOT / top).rglob("*.py")
    }
    assert listed == there | set(setuptools["package-dir"])


def test_the_weights_are_found_as_installed() -> None:
    assert weights_folder().resolve() == (ROOT / "weights").resolve()


def test_what_the_manifest_names_is_whole() -> None:
    entries = read_manifest()
    assert PCVOS_LITE.name in {entry.preset for entry in entries}
    for entry in entries:
        assert verify_shipped(entry) == entry.sha256
    assert resolve_weights(None, None).path.is_file()


def test_a_shipped_file_that_was_changed_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "small.safetensors"
    file.write_bytes(b"weights")
    (tmp_path / "manifest.toml").write_text(ENTRY.format(sha256=file_sha256(file)))
    (entry,) = read_manifest(tmp_path)
    verify_shipped(entry)
    file.write_bytes(b"Weights")
    with pytest.raises(WeightsError, match="SHA-256"):
        verify_shipped(entry)
    file.unlink()
    with pytest.raises(WeightsError, match="no such"):
        verify_shipped(entry)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("not toml", "unreadable"),
        (ENTRY.replace("licence", "license"), "licence"),
        (ENTRY.replace("pcvos-lite", "pcvos-huge"), "pcvos-huge"),
    ],
)
def test_a_manifest_with_mistakes_says_which(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.toml").write_text(text)
    with pytest.raises(WeightsError, match=words):
        read_manifest(tmp_path)
