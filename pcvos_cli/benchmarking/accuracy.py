"""Accuracy beside speed: each variant segments a data set, which is then scored."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from model.errors import ConfigError
from pcvos_cli.benchmarking.measure import variant_settings
from pcvos_cli.benchmarking.report import VARIANTS, Accuracy, BenchmarkReport
from pcvos_cli.scoring.layouts import TruthDataset
from pcvos_cli.scoring.parallel import available_cores
from pcvos_cli.scoring.protocol import describe_protocol, make_report
from pcvos_cli.scoring.score import score_dataset
from pcvos_cli.scoring.segment_first import segment_dataset
from pcvos_cli.settings import SegmentSettings


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
    on_accuracy: Callable[[str, int, Accuracy], None] = lambda *_: None,
) -> BenchmarkReport:
    """Return the report with the accuracy of each variant at each clip length.

    Args:
        report: What was measured.
        truth: The data set.
        settings: As they were for ``report``.
        on_accuracy: Called with variant, L and its accuracy.

    Raises:
        PCVOSError: As ``segment_dataset`` and ``score_dataset``.
    """
    scores: dict[tuple[str, int], Accuracy] = {}
    for measured in report.measurements:
        case = (measured.variant, measured.interval)
        if case in scores:
            continue
        chosen = variant_settings(settings, VARIANTS[measured.variant], measured.interval)
        scores[case] = measure_accuracy(truth, chosen)
        on_accuracy(*case, scores[case])
    protocol = {
        **report.protocol,
        "dataset": truth.name,
        "scores": describe_protocol(truth),
        "speed_and_accuracy": "FPS is that of the clip above, accuracy that of the data set",
    }
    measurements = tuple(
        replace(m, accuracy=scores[m.variant, m.interval]) for m in report.measurements
    )
    return replace(report, protocol=protocol, measurements=measurements)


def measure_accuracy(truth: TruthDataset, settings: SegmentSettings) -> Accuracy:
    """Segment a data set into a temporary folder and score it.

    Raises:
        PCVOSError: As ``segment_dataset`` and ``score_dataset``.
    """
    with TemporaryDirectory(prefix="pcvos-benchmark-") as folder:
        segment_dataset(
            truth,
            Path(folder),
            settings,
            overwrite=True,
            on_sequence=lambda *_: None,
            on_frames=lambda _: None,
        )
        series = score_dataset(truth, Path(folder), jobs=available_cores())
        overall = make_report(truth, series, {}).overall
    return Accuracy(overall.JF_mean, overall.J.mean, overall.F.mean)
