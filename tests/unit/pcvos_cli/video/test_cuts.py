"""Cuts are found, movement is none."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pcvos_cli.video.cuts import HISTORY, CutDetector


def shot(seed: int, frames: int, *, step: int = 6, size: tuple[int, int] = (96, 160)) -> list:
    """A window that moves over a blurred picture of random colours."""
    generator = np.random.default_rng(seed)
    height, width = size
    coarse = generator.integers(0, 255, (8, 14, 3), dtype=np.uint8)
    whole = cv2.resize(coarse, (2 * width, height), interpolation=cv2.INTER_CUBIC)
    return [np.ascontiguousarray(whole[:, i * step : i * step + width]) for i in range(frames)]


def cuts(frames: list[NDArray[np.uint8]]) -> list[int]:
    detector = CutDetector()
    return [index for index, frame in enumerate(frames) if detector(frame)]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("size", [(96, 160), (480, 854), (36, 64)])
def test_a_joint_of_two_shots_is_a_cut_and_movement_is_none(
    seed: int, size: tuple[int, int]
) -> None:
    step = max(1, size[1] // 40)
    frames = [
        *shot(seed, 8, step=step, size=size),
        *shot(seed + 10, 3, step=step, size=size),
        *shot(seed, 8, step=step, size=size),
    ]
    assert cuts(frames) == [8, 11]


def test_a_cut_on_the_second_frame_is_found() -> None:
    assert cuts([*shot(0, 1), *shot(1, 5)]) == [1]


def test_noise_is_no_row_of_cuts() -> None:
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 255, (12, 18, 32, 3), dtype=np.uint8)
    assert cuts([cv2.resize(picture, (160, 96)) for picture in coarse // 2]) == []


def test_a_flash_is_two_cuts() -> None:
    frames = shot(0, 8)
    frames[5] = np.full_like(frames[5], 250)
    assert cuts(frames) == [5, 6]


def test_a_slow_change_of_light_is_no_cut() -> None:
    frame = shot(0, 1)[0].astype(float)
    assert cuts([(frame * (1 - i / 20)).astype(np.uint8) for i in range(20)]) == []


def test_only_so_many_frames_before_decide() -> None:
    frames = [*shot(0, 9, step=4), *shot(1, 3), *shot(2, 9, step=9), *shot(3, 4)]
    found = cuts(frames)
    assert found
    for start in range(HISTORY, len(frames)):
        later = [start - HISTORY + place for place in cuts(frames[start - HISTORY :])]
        assert [i for i in later if i >= start] == [i for i in found if i >= start]
