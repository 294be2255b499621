"""The plot and the pictures of the page."""

import base64
import re
import xml.etree.ElementTree as ET

import cv2
import numpy as np

from pcvos_cli.masks.label_files import shrink_labels
from pcvos_cli.scoring.pictures import data_uri, outline, picture_size, read_backdrop
from pcvos_cli.scoring.plot import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Line, plot_over_time
from tests.support.datasets import scene


def points_of(svg: str) -> list[list[tuple[float, float]]]:
    return [
        [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
        for line in ET.fromstring(svg).iter("polyline")
    ]


def test_a_curve_runs_from_corner_to_corner_and_breaks_at_gaps() -> None:
    frames = [f"{t:05}" for t in range(11)]
    points = [(0, 0.0), (1, 0.5), (3, 0.5), (9, 0.5), (10, 1.0)]

    svg = plot_over_time([Line("a <b>", "rgb(1,2,3)", False, points)], frames, [(3, "worst")])

    first, dot, last = points_of(svg)
    assert first[0] == (LEFT, HEIGHT - BOTTOM)
    assert last[-1] == (WIDTH - RIGHT, TOP)
    assert dot[0] == dot[1]
    assert len(first) == len(last) == 2
    assert "worst" in svg
    assert "a &lt;b&gt;" in svg


def test_a_single_frame_can_be_drawn() -> None:
    svg = plot_over_time([Line("a", "red", True, [(0, 0.25)])], ["00000"], [(0, "best")])

    assert len(points_of(svg)) == 1
    assert "stroke-dasharray" in svg


def test_the_truth_is_outlined_in_white() -> None:
    truth, backdrop = scene({1: (5, 5)}), read_backdrop(None, (40, 60))

    picture = outline(backdrop, truth)

    np.testing.assert_array_equal(picture[5, 5], (255, 255, 255))  # the truth's corner
    np.testing.assert_array_equal(picture[8, 9], backdrop[8, 9])  # inside it
    np.testing.assert_array_equal(picture[30, 50], backdrop[30, 50])


def test_pictures_are_small_and_readable() -> None:
    assert picture_size((1080, 1920)) == (270, 480)
    assert picture_size((240, 427)) == (240, 427)
    labels = np.kron(scene({3: (5, 5)}), np.ones((4, 4), dtype=np.uint8))
    np.testing.assert_array_equal(shrink_labels(labels, (40, 60)), scene({3: (5, 5)}))

    uri = data_uri(read_backdrop(None, (40, 60)))

    body = re.fullmatch("data:image/jpeg;base64,(.+)", uri)
    assert body is not None
    decoded = cv2.imdecode(np.frombuffer(base64.b64decode(body[1]), np.uint8), cv2.IMREAD_COLOR)
    assert decoded.shape == (40, 60, 3)
