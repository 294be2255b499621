"""A wheel carries the weights and works from any folder, with nothing of this checkout."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cli import write_mask
from tests.support.videos import pictures, write_video

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_installed_wheel_segments_with_its_own_weights(tmp_path: Path) -> None:
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    source = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", ROOT, source], check=True)
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path, source]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    # --no-deps: torch alone takes minutes, and this interpreter has what the wheel asks for.
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--target", site, wheel]
    subprocess.run(install, check=True, capture_output=True)
    # In front of the checkout's editable installation.
    environment = {**os.environ, "PYTHONPATH": str(site)}

    def run(*command: object) -> str:
        done = subprocess.run(
            [sys.executable, *map(str, command)],
            cwd=elsewhere,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert str(site) in run("-c", "import pcvos_cli, model; print(pcvos_cli.__file__)")
    assert str(site) in run("-m", "pcvos_cli", "weights", "verify")
    video = write_video(tmp_path / "in.mp4", pictures(3))
    mask = write_mask(tmp_path / "first.png")
    run("-m", "pcvos_cli", "segment", video, "--mask", mask)
    assert len(list((elsewhere / "in_masks" / "masks").iterdir())) == 3
