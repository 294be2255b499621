"""Accuracy beside speed: the model segments a data set, whose masks are then scored."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from model.errors import ConfigError
from pcvos_cli.batch.processes import available_cores
from pcvos_cli.benchmarking.measure import with_interval
from pcvos_cli.benchmarking.report import Accuracy, BenchmarkReport
from pcvos_cli.run.settings import SegmentSettings
from pcvos_cli.scoring.layouts import TruthDataset
from pcvos_cli.scoring.protocol import describe_protocol, make_report
from pcvos_cli.scoring.score import score_dataset
from pcvos_cli.scoring.segment_first import (
    describe_making,
    makes_the_same,
    read_making,
    segment_dataset,
)


def check_dataset(truth: TruthDataset) -> None:
    """Refuse a data set that cannot be segmented and scored, before anything is measured.

    Raises:
        ConfigError: If labels or images are missing.
    """
    if truth.unlabelled:
        raise ConfigError(f"{truth.split}: its labels are not public, so there is no accuracy")
    truth.check_images()


def add_accuracy(
    report: BenchmarkReport,
    truth: TruthDataset,
    settings: SegmentSettings,
    masks: Path,
    *,
    on_accuracy: Callable[[int, Accuracy], None] = lambda *_: None,
    on_sequence: Callable[[str, int, int], None] = lambda *_: None,
) -> BenchmarkReport:
    """Return the report with the accuracy at each clip length.

    Args:
        report: The speeds.
        truth: The data set.
        settings: As they were for ``report``.
        masks: As for ``measure_accuracy``; likewise ``on_sequence``.
        on_accuracy: Called with L and its accuracy.
        on_sequence: Called before a sequence is segmented.

    Raises:
        PCVOSError: As ``measure_accuracy``.
    """
    scores: dict[int, Accuracy] = {}
    for interval in dict.fromkeys(m.interval for m in report.measurements):
        chosen = with_interval(settings, interval)
        scores[interval] = measure_accuracy(truth, chosen, masks, on_sequence=on_sequence)
        on_accuracy(interval, scores[interval])
    measurements = tuple(replace(m, accuracy=scores[m.interval]) for m in report.measurements)
    protocol = {**report.protocol, **accuracy_protocol(truth)}
    return replace(report, protocol=protocol, measurements=measurements)


def accuracy_protocol(truth: TruthDataset) -> dict[str, Any]:
    """Say what accuracy is of, for a report."""
    return {
        "dataset": truth.name,
        "scores": describe_protocol(truth),
        "speed_and_accuracy": "FPS is that of the clip above, accuracy that of the data set",
    }


def measure_accuracy(
    truth: TruthDataset,
    settings: SegmentSettings,
    masks: Path,
    *,
    on_sequence: Callable[[str, int, int], None] = lambda *_: None,
) -> Accuracy:
    """Segment a data set and score it.

    Args:
        truth: The data set.
        settings: How to segment.
        masks: Folder of folders of masks. One whose settings give the same masks is gone on with,
            sequence by sequence; ``pcvos evaluate --output`` makes such folders too.
        on_sequence: Called with name, number and count before a sequence is segmented.

    Raises:
        PCVOSError: As ``segment_dataset`` and ``score_dataset``.
    """
    folder = _folder_for(describe_making(truth, settings), masks)
    segment_dataset(
        truth,
        folder,
        settings,
        overwrite=False,
        on_sequence=on_sequence,
        on_frames=lambda _: None,
    )
    report = make_report(truth, score_dataset(truth, folder, jobs=available_cores()), {})
    overall = report.overall
    return Accuracy(overall.JF_mean, overall.J.mean, overall.F.mean, report.groups.get("G"))


def _folder_for(making: dict[str, Any], masks: Path) -> Path:
    """Return the folder that has these masks, or the one to make."""
    for folder in sorted(path for path in masks.iterdir() if path.is_dir()):
        if makes_the_same(read_making(folder), making):
            return folder
    digest = hashlib.sha256(json.dumps(making, sort_keys=True).encode()).hexdigest()[:8]
    return masks / f"{Path(making['weights']).stem}-L{making['interval']}-{digest}"
