"""How good first masks are: mean IoU from boxes, and clicks that it takes (NoC).

The measure of interactive segmentation (RITM, Sofiiuk et al., ICIP 2022): each click goes to
the middle of the largest error; NoC@85 counts the clicks to an IoU of 0.85, at most 20.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from model.data.images import read_image
from model.errors import InputError
from model.metrics.region import region_similarity
from model.ops.clicks import middle_click
from pcvos_cli.first_mask.prompts import Method, Predictor, open_predictor
from pcvos_cli.masks.label_files import VOID, read_labels
from pcvos_cli.scoring.layouts import TruthDataset, TruthSequence

FRAMES = (0, 20, 40)
"""Positions in a sequence on which first masks are made, where it is as long."""

JITTER = 0.1
"""Largest shift of each side of a jittered box, as a share of the box's width or height."""

GOAL = 0.85
MOST_CLICKS = 20


@dataclass(frozen=True, slots=True)
class PromptScore:
    """Means over the objects of some frames.

    Attributes:
        objects: How many.
        box: IoU from the exact box.
        jittered: IoU from a box that is off by up to ``JITTER`` a side.
        clicks: NoC@85.
        failures: Share of objects that 20 clicks do not bring to 0.85.
        first_seconds: Median time of a mask from a box, the picture's features included.
        click_seconds: Median time of a click after the first.
    """

    objects: int
    box: float
    jittered: float
    clicks: float
    failures: float
    first_seconds: float
    click_seconds: float


@dataclass(frozen=True, slots=True)
class _Object:
    box: float
    jittered: float
    clicks: int
    reached: bool
    first_seconds: float
    click_seconds: tuple[float, ...]


def score_prompts(
    truth: TruthDataset, method: Method, on_sequence: Callable[[str], None]
) -> dict[str, PromptScore]:
    """Score first masks on frames 0, 20 and 40 of every sequence.

    Args:
        truth: The data set, with its pictures.
        method: What makes the masks.
        on_sequence: Is told the name of each sequence that begins.

    Returns:
        By sequence, and over all objects as ``mean``.

    Raises:
        InputError: A file is missing or unreadable, or no frame shows an object.
    """
    predictor = open_predictor(method)
    found: dict[str, list[_Object]] = {}
    for number, sequence in enumerate(truth.sequences):
        on_sequence(sequence.name)
        found[sequence.name] = _score_sequence(predictor, sequence, number)
    found["mean"] = [score for scores in found.values() for score in scores]
    return {name: _summary(scores) for name, scores in found.items() if scores}


def to_document(scores: dict[str, PromptScore], method: Method) -> dict[str, Any]:
    """Return what ``--json`` prints."""
    return {
        "method": method,
        "frames": list(FRAMES),
        "jitter": JITTER,
        "goal": GOAL,
        "most_clicks": MOST_CLICKS,
        "scores": {name: asdict(score) for name, score in scores.items()},
    }


def to_rows(scores: dict[str, PromptScore]) -> list[list[str]]:
    """Return the table's rows."""
    return [
        [name, str(s.objects), f"{s.box:.3f}", f"{s.jittered:.3f}", f"{s.clicks:.2f}",
         f"{s.failures:.2f}", f"{s.first_seconds:.2f}", f"{s.click_seconds:.2f}"]
        for name, s in scores.items()
    ]  # fmt: skip


def _score_sequence(predictor: Predictor, sequence: TruthSequence, number: int) -> list[_Object]:
    scores = []
    for position in FRAMES:
        if position >= len(sequence.frames):
            break
        image = sequence.image(position)
        if image is None:
            raise InputError(
                f"{sequence.name}: no picture of frame {sequence.frames[position]}",
                hint="first masks are made of pictures: give a data set that has them",
            )
        rgb = read_image(image)
        labels = read_labels(sequence.mask(position))
        if sequence.merged:
            labels = (labels > 0).astype(np.uint8)
        known = labels != VOID
        for object_id in np.unique(labels[(labels > 0) & known]):
            rng = np.random.default_rng((number, position, int(object_id)))
            scores.append(_score_object(predictor, rgb, labels == object_id, known, rng))
    return scores


def _score_object(
    predictor: Predictor,
    rgb: NDArray[np.uint8],
    true: NDArray[np.bool_],
    known: NDArray[np.bool_],
    rng: np.random.Generator,
) -> _Object:
    left, top, width, height = cv2.boundingRect(true.astype(np.uint8))
    predictor.set_image(rgb)
    started = time.perf_counter()
    by_box = predictor.predict((left, top, width, height)) & known
    first_seconds = time.perf_counter() - started
    off = rng.uniform(-JITTER, JITTER, 4) * (width, height, width, height)
    x, y, right, bottom = np.array((left, top, left + width, top + height)) + off
    by_jittered = predictor.predict((x, y, right - x, bottom - y)) & known
    clicks: list[tuple[float, float, bool]] = []
    mask = np.zeros_like(true)
    seconds = []
    while region_similarity(mask, true) < GOAL and len(clicks) < MOST_CLICKS:
        click = middle_click(mask, true)
        assert click is not None  # Below the goal, something is wrong.
        clicks.append(click)
        started = time.perf_counter()
        mask = predictor.predict(clicks=clicks, previous=mask) & known
        seconds.append(time.perf_counter() - started)
    return _Object(
        region_similarity(by_box, true),
        region_similarity(by_jittered, true),
        len(clicks),
        region_similarity(mask, true) >= GOAL,
        first_seconds,
        tuple(seconds[1:]),
    )


def _summary(scores: list[_Object]) -> PromptScore:
    later = [seconds for score in scores for seconds in score.click_seconds]
    return PromptScore(
        len(scores),
        statistics.fmean(score.box for score in scores),
        statistics.fmean(score.jittered for score in scores),
        statistics.fmean(score.clicks for score in scores),
        statistics.fmean(not score.reached for score in scores),
        statistics.median(score.first_seconds for score in scores),
        statistics.median(later) if later else 0.0,
    )
