"""Masks drawn on a frame."""

import numpy as np
import pytest

from pcvos_cli.masks import drawing
from pcvos_cli.masks.drawing import OPACITY, draw_masks
from pcvos_cli.masks.palette import bright_colour_of


def test_inside_is_tinted_outside_is_untouched() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    before = rgb.copy()
    labels = np.zeros((60, 80), np.int32)
    labels[10:40, 10:50] = 3
    labels[20:50, 60:75] = 70000
    drawn = draw_masks(rgb, labels)
    assert np.array_equal(rgb, before)
    for object_id, box in ((3, np.s_[15:35, 15:45]), (70000, np.s_[25:45, 65:70])):
        expected = rgb[box] * (1 - OPACITY) + np.array(bright_colour_of(object_id)) * OPACITY
        assert np.abs(drawn[box] - expected).max() <= 1
    far = np.ones((60, 80), bool)
    far[6:44, 6:54] = far[16:54, 56:79] = False
    assert np.array_equal(drawn[far], rgb[far])


def test_outline_is_bright_with_a_dark_rim() -> None:
    rgb = np.full((60, 80, 3), 128, np.uint8)
    labels = np.zeros((60, 80), np.int32)
    labels[20:40, 20:60] = 1
    drawn = draw_masks(rgb, labels)
    assert drawn[20, 40].tolist() == list(bright_colour_of(1))
    assert drawn[19, 40].max() < 64


def test_no_object_leaves_the_frame() -> None:
    rgb = np.full((8, 8, 3), 77, np.uint8)
    drawn = draw_masks(rgb, np.zeros((8, 8), np.int32))
    assert np.array_equal(drawn, rgb)
    assert drawn is not rgb


def test_object_that_fills_the_frame_and_single_pixels() -> None:
    rgb = np.zeros((1, 1, 3), np.uint8)
    assert draw_masks(rgb, np.ones((1, 1), np.int32)).shape == (1, 1, 3)
    full = draw_masks(np.zeros((30, 30, 3), np.uint8), np.ones((30, 30), np.int32))
    assert full[15, 15, 0] == round(255 * OPACITY)


def test_few_objects_and_many_are_found_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    labels = np.zeros((60, 80), np.int32)
    labels[5:20, 0:30], labels[30:59, 70:80], labels[59, 79] = 2, 5, 8
    labels[40, 3] = labels[2, 77] = 1
    few = draw_masks(rgb, labels)
    monkeypatch.setattr(drawing, "FEW", 0)
    assert np.array_equal(draw_masks(rgb, labels), few)
