"""Boxes and points as they are typed."""

import pytest

from model.errors import ConfigError
from pcvos_cli.first_mask.boxes import Box, Point, parse_boxes, parse_points


def test_boxes_without_an_id_get_the_free_ones_in_order() -> None:
    boxes = parse_boxes(["1,2,3,4", "5,6,7,8:1", "9, 9, 9, 9", "-3,0,10,10:7", "0,0,1,1:7"])
    assert [box.object_id for box in boxes] == [2, 1, 3, 7, 7]
    assert boxes[0] == Box(1, 2, 3, 4, 2)
    assert (boxes[3].left, boxes[3].top) == (-3, 0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,2,3", "not a box"),
        ("1,2,3,4,5", "not a box"),
        ("1.5,2,3,4", "not a box"),
        ("a,b,c,d", "not a box"),
        ("1,2,-3,4", "not a box"),
        ("", "not a box"),
        ("1,2,0,4", "0 x 4"),
        ("1,2,3,4:0", "1 to 254"),
        ("1,2,3,4:255", "1 to 254"),
    ],
)
def test_what_is_no_box(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_boxes([text])


def test_more_objects_than_a_palette_holds() -> None:
    assert len(parse_boxes(["0,0,1,1"] * 254)) == 254
    with pytest.raises(ConfigError, match="254"):
        parse_boxes(["0,0,1,1"] * 255)


def test_points() -> None:
    assert parse_points(["3,4", "5, 6:2"], "--fg") == [Point(3, 4), Point(5, 6, 2)]
    for text in ("3", "3,4,5", "-1,2", "1,2:", "1,2:0"):
        with pytest.raises(ConfigError, match="--bg"):
            parse_points([text], "--bg")


def test_a_box_is_cut_at_the_frame_s_edge() -> None:
    assert Box(-2, 30, 10, 90, 3).within((48, 64)) == Box(0, 30, 8, 18, 3)
    assert Box(1, 1, 4, 4).within((48, 64)) == Box(1, 1, 4, 4)
    for outside in (Box(64, 0, 5, 5), Box(0, 48, 5, 5), Box(-5, 0, 5, 5), Box(0, -9, 5, 9)):
        assert outside.within((48, 64)) is None


def test_a_box_holds_its_first_pixel_and_not_the_one_after_its_last() -> None:
    box = Box(2, 3, 4, 5)
    assert box.holds(Point(2, 3))
    assert box.holds(Point(5, 7))
    assert not box.holds(Point(6, 7))
    assert not box.holds(Point(5, 8))
