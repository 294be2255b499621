"""Objects cut out of frames on which the truth is known."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from model.errors import ConfigError, MaskError
from pcvos_cli.first_mask.boxes import Box, Point
from pcvos_cli.first_mask.grabcut import MAX_PIXELS, grabcut_mask

SIZE = (90, 120)
YELLOW, BLUE = (220, 200, 40), (30, 60, 220)


def scene(
    *disks: tuple[tuple[int, int], int, tuple[int, int, int]], size: tuple[int, int] = SIZE
) -> NDArray[np.uint8]:
    """Return noisy grass with disks ``((x, y), radius, colour)``."""
    rng = np.random.default_rng(5)
    rgb = np.full((*size, 3), (60, 120, 50), np.uint8)
    for centre, radius, colour in disks:
        cv2.circle(rgb, centre, radius, colour, cv2.FILLED)
    return np.clip(rgb + rng.normal(0, 8, rgb.shape), 0, 255).astype(np.uint8)


def disk(centre: tuple[int, int], radius: int, size: tuple[int, int] = SIZE) -> NDArray[np.bool_]:
    drawn = np.zeros(size, np.uint8)
    cv2.circle(drawn, centre, radius, 1, cv2.FILLED)
    return drawn > 0


def overlap(found: NDArray[np.bool_], true: NDArray[np.bool_]) -> float:
    return float((found & true).sum() / (found | true).sum())


def test_an_object_is_cut_out_of_its_box() -> None:
    rgb = scene(((50, 40), 18, YELLOW))
    kept = rgb.copy()
    labels = grabcut_mask(rgb, [Box(28, 18, 45, 45, 7)])
    assert labels.dtype == np.int32
    assert labels.shape == SIZE
    assert set(np.unique(labels)) == {0, 7}
    assert overlap(labels == 7, disk((50, 40), 18)) > 0.97
    assert np.array_equal(rgb, kept)


def test_the_same_twice_whatever_was_drawn_at_random_before() -> None:
    rgb = scene(((50, 40), 18, YELLOW), ((60, 45), 8, BLUE))
    first = grabcut_mask(rgb, [Box(25, 15, 60, 55)])
    cv2.setRNGSeed(77)
    assert np.array_equal(grabcut_mask(rgb, [Box(25, 15, 60, 55)]), first)


def test_several_objects_and_the_later_one_is_in_front() -> None:
    rgb = scene(((40, 45), 22, YELLOW), ((62, 45), 14, BLUE))
    left, right = Box(15, 20, 52, 50, 1), Box(46, 28, 34, 34, 2)
    labels = grabcut_mask(rgb, [left, right])
    front = disk((62, 45), 14)
    assert overlap(labels == 2, front) > 0.95
    assert overlap(labels == 1, disk((40, 45), 22) & ~front) > 0.95


def test_two_boxes_of_one_id_are_one_object() -> None:
    rgb = scene(((25, 40), 14, YELLOW), ((90, 50), 16, YELLOW))
    labels = grabcut_mask(rgb, [Box(9, 24, 33, 33, 3), Box(72, 32, 37, 37, 3)])
    assert overlap(labels == 3, disk((25, 40), 14) | disk((90, 50), 16)) > 0.95


def test_points_decide_what_colours_alone_leave_open() -> None:
    rgb = scene(((40, 45), 15, YELLOW), ((80, 45), 15, BLUE))
    box = Box(20, 25, 80, 40)
    both = grabcut_mask(rgb, [box]) == 1
    assert both[45, 40]
    assert both[45, 80]
    one = grabcut_mask(rgb, [box], [Point(40, 45)], [Point(80, 45)]) == 1
    assert overlap(one, disk((40, 45), 15)) > 0.9
    other = grabcut_mask(rgb, [box], [Point(80, 45, 1)], [Point(40, 45, 1)]) == 1
    assert overlap(other, disk((80, 45), 15)) > 0.9


def test_a_point_speaks_for_its_colour_around_it() -> None:
    rgb = scene(((40, 45), 15, YELLOW))
    rgb[20:70, 54:100] = BLUE  # touches the disk and is larger
    box = Box(20, 15, 85, 60)
    assert (grabcut_mask(rgb, [box]) == 1)[25:65, 60:95].mean() > 0.9
    labels = grabcut_mask(rgb, [box], background=[Point(80, 45)])
    assert (labels == 1)[25:65, 60:95].mean() < 0.05
    assert overlap(labels == 1, disk((40, 45), 15)) > 0.9


def test_one_object_s_foreground_is_the_others_background() -> None:
    rgb = scene(((40, 45), 15, YELLOW), ((80, 45), 15, BLUE))
    wide, narrow = Box(20, 25, 80, 40, 1), Box(62, 27, 36, 36, 2)
    # The wide box comes last and would take the blue disk, but for the point.
    labels = grabcut_mask(rgb, [narrow, wide], [Point(40, 45, 1), Point(80, 45, 2)])
    assert labels[45, 40] == 1
    assert labels[45, 80] == 2


def test_islands_are_dropped_unless_pointed_at() -> None:
    rgb = scene(((45, 45), 25, YELLOW), ((95, 20), 1, YELLOW))
    box = Box(15, 12, 90, 65)
    assert not grabcut_mask(rgb, [box])[10:30, 88:102].any()
    assert grabcut_mask(rgb, [box], [Point(95, 20)])[20, 95] == 1


def test_a_large_frame_is_cut_in_a_smaller_graph() -> None:
    size = (900, 1200)
    assert size[0] * size[1] > MAX_PIXELS
    rgb = scene(((600, 450), 210, YELLOW), size=size)
    labels = grabcut_mask(rgb, [Box(370, 220, 460, 460)])
    assert labels.shape == size
    assert overlap(labels == 1, disk((600, 450), 210, size)) > 0.985


@pytest.mark.parametrize("box", [Box(50, 40, 1, 1), Box(50, 40, 2, 1), Box(119, 89, 1, 1)])
def test_the_smallest_boxes(box: Box) -> None:
    rgb = scene(((50, 40), 6, YELLOW))
    point = Point(box.left, box.top)
    labels = grabcut_mask(rgb, [box], [point])
    assert labels[box.top, box.left] == 1


def test_a_frame_of_one_colour_has_only_what_is_pointed_at() -> None:
    rgb = np.full((*SIZE, 3), 90, np.uint8)
    labels = grabcut_mask(rgb, [Box(30, 30, 20, 20)], [Point(40, 40)])
    assert labels[40, 40] == 1
    assert not labels[:30].any()


@pytest.mark.parametrize(
    ("boxes", "fg", "bg", "words"),
    [
        ([Box(120, 0, 9, 9)], [], [], "outside the frame, which is 120x90"),
        ([Box(0, 0, 120, 90)], [], [], "no background"),
        ([Box(28, 18, 45, 45)], [Point(120, 5)], [], "point 120,5"),
        ([Box(28, 18, 45, 45)], [], [Point(5, 90)], "point 5,90"),
        ([Box(28, 18, 45, 45)], [Point(5, 5)], [], "outside every box"),
        ([Box(28, 18, 45, 45, 4)], [Point(5, 5, 4)], [], "box of object 4"),
        ([Box(48, 38, 5, 5)], [], [Point(50, 40)], "nothing in its box"),
        ([Box(28, 18, 45, 45, 1), Box(27, 17, 47, 47, 2)], [], [], "object 1: the objects of"),
    ],
)
def test_what_cannot_be_cut(boxes: list[Box], fg: list[Point], bg: list[Point], words: str) -> None:
    with pytest.raises(MaskError, match=words):
        grabcut_mask(scene(((50, 40), 18, YELLOW)), boxes, fg, bg)


def test_a_point_of_no_object_and_no_box() -> None:
    rgb = scene(((50, 40), 18, YELLOW))
    with pytest.raises(ConfigError, match="no box has object 2"):
        grabcut_mask(rgb, [Box(28, 18, 45, 45)], [], [Point(1, 1, 2)])
    with pytest.raises(ConfigError, match="no box"):
        grabcut_mask(rgb, [])


def test_a_background_point_makes_a_full_frame_box_possible() -> None:
    labels = grabcut_mask(
        scene(((50, 40), 18, YELLOW)), [Box(0, 0, 120, 90)], [Point(50, 40)], [Point(5, 5)]
    )
    assert overlap(labels == 1, disk((50, 40), 18)) > 0.9
