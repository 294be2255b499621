"""``pcvos doctor`` on broken installations: it goes on, names what is broken, ends in order."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pcvos_cli import weights_store
from tests.support.cli import MODULE, pcvos

pytestmark = pytest.mark.timeout(90)


def doctor(code: int) -> dict[str, Any]:
    result = pcvos("doctor", "--json")
    assert result.exit_code == code, result.stdout
    found: dict[str, Any] = json.loads(result.stdout)
    assert found["exit_code"] == code
    assert found["usable"] is (code == 0)
    page = pcvos("doctor")
    assert page.exit_code == code
    for text in (*found["problems"], *found["warnings"]):
        assert text in page.stdout
    return found


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the shipped weights that takes their place."""
    copy = tmp_path / "weights"
    shutil.copytree(weights_store.weights_folder(), copy, ignore=shutil.ignore_patterns("*.py*"))
    monkeypatch.setattr(weights_store, "weights_folder", lambda: copy)
    return copy


def test_weights_that_were_changed(weights: Path) -> None:
    entry = weights_store.read_manifest()[0]
    content = bytearray(entry.path.read_bytes())
    content[len(content) // 2] ^= 1
    entry.path.write_bytes(content)
    found = doctor(5)
    assert found["weights"][0]["status"] == "corrupt"
    assert "SHA-256" in found["problems"][0]
    entry.path.unlink()
    assert doctor(5)["weights"][0]["status"] == "missing"


@pytest.mark.parametrize("text", [None, "not toml", "[[weights]]\nname = 'x'\n"])
def test_a_broken_manifest(text: str | None, weights: Path) -> None:
    if text is None:
        (weights / "manifest.toml").unlink()
    else:
        (weights / "manifest.toml").write_text(text)
    found = doctor(5)
    assert "manifest.toml" in found["problems"][0]
    assert found["packages"]["torch"]


def test_no_weights_are_shipped(weights: Path) -> None:
    (weights / "manifest.toml").write_text("")
    assert "none are shipped" in doctor(0)["warnings"][0]


def test_a_package_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    found = doctor(1)
    assert found["packages"]["av"] is None
    assert found["ffmpeg"] == {}
    assert any(text.startswith("av: cannot be imported") for text in found["problems"])
    assert found["packages"]["torch"]
    assert found["weights"]


def test_torch_whose_libraries_are_broken_in_a_process_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise OSError('libtorch.so: wrong ELF class')\n")
    done = subprocess.run(
        [*MODULE, "doctor", "--json"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=80,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    found = json.loads(done.stdout)
    assert "torch: cannot be imported: OSError: libtorch.so: wrong ELF class" in found["problems"]
    assert found["packages"]["torch"] is None
    assert found["packages"]["numpy"]
    assert found["ffmpeg"]["decoders"]["h264"]
    assert found["weights"][0]["status"] == "ok"


def test_a_codec_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pcvos_cli.video.codecs.ENCODERS", {"libx264": ("no-such-codec",)})
    monkeypatch.setattr("pcvos_cli.video.codecs.DECODERS", {"av1": ("no-such", "h264")})
    found = doctor(0)
    assert found["ffmpeg"]["encoders"] == {"libx264": None}
    assert found["ffmpeg"]["decoders"] == {"av1": "h264"}
    assert found["warnings"] == ["FFmpeg has no libx264 encoder: the overlay cannot be written"]


def test_a_folder_that_cannot_be_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refused)
    found = doctor(0)
    assert found["folder"]["writable"] is False
    assert "Permission denied" in found["warnings"][0]


def test_a_part_of_the_examination_that_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> str:
        raise RuntimeError("no such luck")

    monkeypatch.setattr("pcvos_cli.doctor.diagnosis.cpu_model", broken)
    found = doctor(1)
    assert found["problems"] == ["system: cannot be examined: RuntimeError: no such luck"]
    assert found["weights"]
