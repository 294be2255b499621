"""Run ``pcvos`` inside the test process, or as a process of its own."""

import subprocess
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner, Result

from pcvos_cli.app import app
from pcvos_cli.masks.writers import encode_palette_png

MODULE = [sys.executable, "-m", "pcvos_cli"]


def pcvos(*arguments: str | Path) -> Result:
    """Run a command in this process; streams and exit code are in the result."""
    return CliRunner().invoke(app, [str(a) for a in arguments])


def fails(command: str, code: int, *arguments: str | Path, saying: str = "") -> str:
    """Run a command that fails, with these words and no traceback; return its stderr."""
    result = pcvos(command, *arguments)
    assert result.exit_code == code, result.stderr
    assert result.stdout == ""
    assert saying in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
    return str(result.stderr)


def pcvos_process(
    *arguments: str | Path, cwd: Path, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run a command as a process and wait for it."""
    return subprocess.run(
        [*MODULE, *map(str, arguments)],
        cwd=cwd,
        timeout=timeout,
        capture_output=True,
        text=True,
        check=False,
    )


def square(
    size: tuple[int, int] = (48, 64),
    box: tuple[int, int, int, int] = (6, 0, 12, 12),
    value: int = 1,
) -> NDArray[np.int32]:
    """Return an id map with one rectangle ``(top, left, height, width)``."""
    labels = np.zeros(size, np.int32)
    top, left, height, width = box
    labels[top : top + height, left : left + width] = value
    return labels


def write_mask(path: Path, labels: NDArray[np.int32] | None = None) -> Path:
    """Write a palette PNG; by default the square of ``pictures()``'s first frame."""
    path.write_bytes(encode_palette_png(square() if labels is None else labels))
    return path


def read_labels(path: Path) -> NDArray[np.uint8]:
    """Read the ids of a mask file."""
    with Image.open(path) as image:
        assert image.mode == "P"
        return np.array(image)
