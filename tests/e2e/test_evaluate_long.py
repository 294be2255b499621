"""``pcvos evaluate`` beyond 256 frames, against a literal loop of the DAVIS 2017 rules."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.metrics.contour import contour_accuracy
from model.metrics.region import region_similarity
from tests.support.cli import pcvos
from tests.support.datasets import Labels, write_labels, write_masks

FRAMES = 301
SIZE = (24, 32)


def scene(t: int, boxes: dict[int, tuple[int, int]]) -> Labels:
    """Return a map with a 6 x 8 box for each id, which wanders a little."""
    labels = np.zeros(SIZE, np.uint8)
    for k, (top, left) in boxes.items():
        left += t % 5
        labels[top : top + 6, left : left + 8] = k
    return labels


def truth_of(t: int) -> Labels:
    """Return ids 1 and 3 (2 is a gap); 3 is away for a while, 4 comes late, some is void."""
    boxes = {1: (1, 1)}
    if not 140 <= t < 200:
        boxes[3] = (9, 4)
    if t >= 100:
        boxes[4] = (17, 2)
    labels = scene(t, boxes)
    labels[:, 28:] = 255
    return labels


def prediction_of(t: int) -> Labels:
    """Return masks that drift, lose 1 in the end, keep 3 too long and see a 2 for a while."""
    boxes = {3: (9, 4 + t // 100)}
    if t < 270:
        boxes[1] = (1 + t // 90, 1)
    if 120 <= t < 150:
        boxes[2] = (17, 20)
    return scene(t, boxes)


def summary(values: list[float]) -> tuple[float, float, float]:
    """Return mean, recall and decay, by the definition."""
    n = len(values)
    edges = [int(np.round(1 + (n - 1) * i / 4 + 1e-10)) - 1 for i in range(5)]
    quarters = [values[edges[i] : edges[i + 1] + 1] for i in range(4)]
    decay = sum(quarters[0]) / len(quarters[0]) - sum(quarters[3]) / len(quarters[3])
    return sum(values) / n, sum(v > 0.5 for v in values) / n, decay


@pytest.fixture
def data(tmp_path: Path) -> tuple[str | Path, ...]:
    root = tmp_path / "DAVIS"
    (root / "ImageSets" / "2017").mkdir(parents=True)
    (root / "ImageSets" / "2017" / "val.txt").write_text("long\n")
    truth = [truth_of(t) for t in range(FRAMES)]
    write_masks(root / "Annotations" / "480p" / "long", truth)
    write_masks(tmp_path / "out" / "long", [prediction_of(t) for t in range(FRAMES)])
    return (tmp_path / "out", "--dataset", "davis2017", "--root", root, "--jobs", "1")


def test_a_long_sequence_with_gaps_late_objects_and_void(data: tuple[str | Path, ...]):
    result = pcvos("evaluate", *data, "--json")
    assert result.exit_code == 0, result.stderr
    document: dict[str, Any] = json.loads(result.stdout)

    assert set(document["per_object"]) == {"long_1", "long_2", "long_3"}
    means = []
    for k in (1, 2, 3):
        pairs = [(prediction_of(t) == k, truth_of(t) == k) for t in range(1, FRAMES - 1)]
        region = summary([region_similarity(a, b) for a, b in pairs])
        contour = summary([contour_accuracy(a, b) for a, b in pairs])
        values = document["per_object"][f"long_{k}"]
        for letter, expected in (("J", region), ("F", contour)):
            found = [values[f"{letter}_{field}"] for field in ("mean", "recall", "decay")]
            assert found == pytest.approx(expected, abs=1e-9)
        means.append((region[0] + contour[0]) / 2)
    assert document["overall"]["JF_mean"] == pytest.approx(sum(means) / 3)
    # What makes the scene hard is there: loss in the end, a false object, one kept too long.
    assert document["per_object"]["long_1"]["J_decay"] > 0.3
    assert document["per_object"]["long_2"]["J_mean"] == pytest.approx(1 - 30 / (FRAMES - 2))
    assert document["per_object"]["long_3"]["J_recall"] < 0.9


@pytest.mark.parametrize(
    ("frame", "labels", "code", "words"),
    [
        (270, None, 3, ("1 of 301 masks", "00270.png")),
        (280, scene(280, {4: (1, 1)}), 4, ("00280.png", "id 4", "1, 2, 3")),
        (290, np.zeros((25, 32), np.uint8), 4, ("00290.png", "25x32", "24x32")),
        (300, None, 3, ("00300.png",)),  # Not scored, but due.
    ],
)
def test_faults_beyond_frame_256_are_found(
    tmp_path: Path,
    data: tuple[str | Path, ...],
    frame: int,
    labels: Labels | None,
    code: int,
    words: tuple[str, ...],
):
    path = tmp_path / "out" / "long" / f"{frame:05}.png"
    path.unlink()
    if labels is not None:
        write_labels(path, labels)
    result = pcvos("evaluate", *data)
    assert result.exit_code == code, result.stderr
    assert result.stdout == ""
    for word in words:
        assert word in result.stderr
