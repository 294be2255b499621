"""Colours of object ids."""

import numpy as np
import pytest
from PIL import Image

from pcvos_cli.masks.palette import bright_colour_of, voc_palette
from tests.support.shared import shared


def test_first_colours_are_those_of_davis() -> None:
    expected = [
        (0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128),
        (0, 128, 128), (128, 128, 128), (64, 0, 0), (192, 0, 0), (64, 128, 0),
    ]  # fmt: skip
    palette = [tuple(colour) for colour in voc_palette().tolist()]
    assert palette[:11] == expected
    assert palette[255] == (224, 224, 192)


def test_palette_is_that_of_the_data_set() -> None:
    with Image.open(shared("data", "videos", "judo", "masks", "00000.png")) as image:
        stored = image.getpalette()
    assert stored is not None
    assert stored == voc_palette().ravel().tolist()[: len(stored)]


def test_all_colours_differ() -> None:
    assert len(np.unique(voc_palette(), axis=0)) == 256
    assert len({bright_colour_of(i) for i in range(1, 65)}) == 64


def test_bright_colours_are_bright() -> None:
    assert all(max(bright_colour_of(i)) == 255 for i in range(1, 300))


def test_background_has_no_bright_colour() -> None:
    with pytest.raises(ValueError, match="begin at 1"):
        bright_colour_of(0)
