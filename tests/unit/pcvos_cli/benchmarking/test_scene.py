"""The clip that is made where there is none."""

import numpy as np
import pytest

from model.errors import ConfigError
from pcvos_cli.benchmarking.clip import MovingShapes


@pytest.mark.parametrize("objects", [1, 2, 5])
def test_every_object_is_seen_whole_on_every_frame(objects: int):
    scene = MovingShapes((64, 114), objects)
    for index in range(0, 60, 7):
        labels = scene.labels(index)
        assert labels.shape == (64, 114)
        areas = np.bincount(labels.ravel(), minlength=objects + 1)[1:]
        assert len(areas) == objects
        # An ellipse that another hid or the border cut would be smaller than the rest.
        assert areas.min() > 0.75 * areas.max()


def test_frames_are_the_same_every_time_and_move():
    first = list(MovingShapes((64, 114), 2).frames(3))
    again = list(MovingShapes((64, 114), 2).frames(3))
    assert len(first) == 3
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], first[1])
    labels = MovingShapes((64, 114), 2).labels
    assert not np.array_equal(labels(0), labels(2))


def test_objects_look_unlike_the_background():
    scene = MovingShapes((64, 114), 1)
    frame, inside = next(scene.frames(1)).astype(int), scene.labels(0) == 1
    assert np.abs(frame[inside].mean(0) - frame[~inside].mean(0)).max() > 10


@pytest.mark.parametrize("objects", [60, 255])
def test_objects_too_many_to_be_seen_are_refused(objects: int):
    size = (48, 64) if objects == 60 else (2000, 2000)
    with pytest.raises(ConfigError, match=f"--objects {objects}"):
        MovingShapes(size, objects)
