"""The protocol of a score, in words: it is printed beside every score."""

from collections.abc import Sequence
from typing import Any

from pcvos_cli.scoring.layouts import TruthDataset
from pcvos_cli.scoring.report import EvaluationReport, seen_unseen_scores
from pcvos_cli.scoring.score import SequenceSeries


def describe_protocol(
    dataset: TruthDataset, series: Sequence[SequenceSeries] | None = None
) -> dict[str, Any]:
    """Return what is compared with what.

    Args:
        dataset: The true masks.
        series: The scores; ``None`` where none can be given.
    """
    protocol: dict[str, Any] = {}
    if dataset.split:
        protocol["split"] = dataset.split
    protocol["sequences"] = len(dataset.sequences)
    if series is not None:
        protocol["objects"] = sum(len(one.objects) for one in series)
    protocol["frames"] = _frames(dataset)
    protocol["sampling"] = (
        "the frames that meta.json lists"
        if dataset.name == "youtubevos"
        else "every frame with a true mask"
    )
    if series is not None:
        sizes = sorted({one.size for one in series})
        protocol["size"] = [f"{height}x{width}" for height, width in sizes]
    protocol["ids"] = _ids(dataset)
    if dataset.categories:
        protocol["seen"] = dataset.seen_origin
    return protocol


def make_report(
    dataset: TruthDataset, series: Sequence[SequenceSeries], extra: dict[str, Any]
) -> EvaluationReport:
    """Sum up the scores of one folder of predictions.

    Args:
        dataset: The true masks.
        series: The scores.
        extra: What else the protocol states, such as how the predictions were made.
    """
    objects = tuple(score for one in series for score in one.scores())
    groups = {}
    if dataset.categories:
        groups = seen_unseen_scores(objects, dataset.categories, dataset.seen_categories)
    protocol = describe_protocol(dataset, series) | extra
    return EvaluationReport(dataset.name, protocol, objects, groups)


def _frames(dataset: TruthDataset) -> str:
    if dataset.name == "youtubevos":
        return "of each object, from the frame after its first label"
    if dataset.ids_of_first_frame:
        if dataset.frames == "inner":
            return "all but the first and the last of each sequence"
        return "all, the first and the last included"
    if dataset.frames == "inner":
        return "all but the last, of each object from the frame after its first label"
    return "all, of each object from its first label"


def _ids(dataset: TruthDataset) -> str:
    if dataset.name == "davis2016":
        return "whatever is labelled is one object; no void"
    if dataset.name == "youtubevos":
        return "those that meta.json lists; void (255) is background"
    if dataset.ids_of_first_frame:
        return "1 to the largest in the first true mask; void (255) is background"
    return "all in the true masks; masks of 0 and 255 are id 1, else void (255) is background"
