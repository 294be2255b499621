"""Accuracy beside speed: the model segments a data set, whose masks are then scored."""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from model.errors import ConfigError
from pcvos_cli.benchmarking.measure import with_interval
from pcvos_cli.benchmarking.report import Accuracy, BenchmarkReport
from pcvos_cli.files import make_directory
from pcvos_cli.run.settings import SegmentSettings
from pcvos_cli.scoring.layouts import TruthDataset
from pcvos_cli.scoring.parallel import available_cores
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
    without = [s.name for s in truth.sequences if s.images is None]
    if without:
        raise ConfigError(
            f"no images of {without[0]}, so there is nothing to segment",
            hint="add the data set's JPEGImages",
        )


def add_accuracy(
    report: BenchmarkReport,
    truth: TruthDataset,
    settings: SegmentSettings,
    *,
    keep: Path | None = None,
    on_accuracy: Callable[[int, Accuracy], None] = lambda *_: None,
    on_sequence: Callable[[str, int, int], None] = lambda *_: None,
) -> BenchmarkReport:
    """Return the report with the accuracy at each clip length.

    Args:
        report: The speeds.
        truth: The data set.
        settings: As they were for ``report``.
        keep: As for ``AccuracyMeter``.
        on_accuracy: Called with L and its accuracy.
        on_sequence: Called with name, number and count before a sequence is segmented.

    Raises:
        PCVOSError: As ``segment_dataset`` and ``score_dataset``.
    """
    meter = AccuracyMeter(truth, keep=keep, on_sequence=on_sequence)
    scores: dict[int, Accuracy] = {}
    for interval in dict.fromkeys(m.interval for m in report.measurements):
        scores[interval] = meter.measure(with_interval(settings, interval))
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


class AccuracyMeter:
    """Segments a data set with several settings and scores each.

    Settings that give the same masks are segmented once: progressive matching, for one,
    does nothing where a clip ends before it would begin.

    Args:
        truth: The data set.
        keep: Folder for the masks, in which a later run goes on, sequence by sequence, and
            in which masks of ``pcvos evaluate --output`` are found; ``None`` keeps none.
        on_sequence: Called with name, number and count before a sequence is segmented.
    """

    def __init__(
        self,
        truth: TruthDataset,
        *,
        keep: Path | None = None,
        on_sequence: Callable[[str, int, int], None] = lambda *_: None,
    ) -> None:
        self._truth = truth
        self._keep = keep
        self._on_sequence = on_sequence
        self._measured: list[tuple[dict[str, Any], Accuracy]] = []

    def measure(self, settings: SegmentSettings) -> Accuracy:
        """Return the accuracy with some settings.

        Raises:
            PCVOSError: As ``segment_dataset`` and ``score_dataset``.
        """
        making = describe_making(self._truth, settings)
        for known, accuracy in self._measured:
            if makes_the_same(known, making):
                return accuracy
        with _folder_for(making, self._keep) as folder:
            segment_dataset(
                self._truth,
                folder,
                settings,
                overwrite=False,
                on_sequence=self._on_sequence,
                on_frames=lambda _: None,
            )
            series = score_dataset(self._truth, folder, jobs=available_cores())
            report = make_report(self._truth, series, {})
        overall = report.overall
        accuracy = Accuracy(overall.JF_mean, overall.J.mean, overall.F.mean, report.groups.get("G"))
        self._measured.append((making, accuracy))
        return accuracy


@contextmanager
def _folder_for(making: dict[str, Any], keep: Path | None) -> Iterator[Path]:
    """Give the folder of the masks: a temporary one, or the one in ``keep`` that has them."""
    if keep is None:
        with TemporaryDirectory(prefix="pcvos-benchmark-") as temporary:
            yield Path(temporary)
        return
    make_directory(keep)
    for folder in sorted(path for path in keep.iterdir() if path.is_dir()):
        if makes_the_same(read_making(folder), making):
            yield folder
            return
    digest = hashlib.sha256(json.dumps(making, sort_keys=True).encode()).hexdigest()[:8]
    yield keep / f"{Path(making['weights']).stem}-L{making['interval']}-{digest}"
