"""A double that the object touches and leaves behind, on real video."""

from pathlib import Path

import numpy as np
from PIL import Image

from tests.support.cli import pcvos
from tests.support.shared import shared

FIRST, LAST, APART = 30, 61, 58


def test_the_second_camel_is_left_behind(tmp_path: Path) -> None:
    """At frame 30 it stands behind the first one; from 56 on there is air between them."""
    frames = shared("data", "davis16-dev", "JPEGImages", "480p", "camel")
    masks = shared("data", "davis16-dev", "Annotations", "480p", "camel")
    done = pcvos(
        *("segment", frames, "-m", masks / f"{FIRST:05}.png", "--start", str(FIRST)),
        *("--end", str(LAST), "-o", tmp_path / "out", "--format", "png"),
    )
    assert done.exit_code == 0, done.stderr
    for number in range(APART, LAST + 1):
        found = np.array(Image.open(tmp_path / "out" / "masks" / f"{number:05}.png")) > 0
        true = np.array(Image.open(masks / f"{number:05}.png")) > 0
        # The second camel has some 11,000 pixels.
        assert (found & ~true).sum() < 5_000, number
        assert (found & true).sum() > 0.9 * true.sum(), number
