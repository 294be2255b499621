"""Masks drawn on a frame."""

import numpy as np

from pcvos_cli.masks.palette import OPACITY, bright_colour_of, draw_masks


def test_inside_is_tinted_outside_is_untouched() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    before = rgb.copy()
    labels = np.zeros((60, 80), np.int32)
    labels[10:40, 10:50] = 3
    labels[20:50, 60:75] = 65535
    drawn = draw_masks(rgb, labels)
    assert np.array_equal(rgb, before)
    for object_id, box in ((3, np.s_[15:35, 15:45]), (65535, np.s_[25:45, 65:70])):
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


def test_objects_are_drawn_one_by_one_however_many() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    labels = np.zeros((60, 80), np.int32)
    expected = rgb
    for object_id in range(1, 13):  # Far enough from each other for their outlines.
        y, x = divmod(object_id - 1, 4)
        alone = np.zeros_like(labels)
        alone[20 * y + 5 : 20 * y + 15, 20 * x + 5 : 20 * x + 15] = 300 * object_id
        labels += alone
        expected = draw_masks(expected, alone)
    assert np.array_equal(draw_masks(rgb, labels), expected)
