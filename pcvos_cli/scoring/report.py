"""Scores of a folder of predictions, and the JSON, CSV and tables made of them."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from model.metrics.summary import GroupScore, MeasureSummary, ObjectScore, summarise_objects

FIELDS = ("mean", "recall", "decay")
"""Columns of each measure, in the order of the DAVIS tables."""


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """The scores of one folder of predictions.

    Attributes:
        dataset: As ``--dataset`` takes it.
        protocol: What was compared: frames, objects, sizes, in words.
        objects: One score an object, in the data set's order.
        groups: YouTube-VOS: ``G``, ``J_seen``, ``J_unseen``, ``F_seen``, ``F_unseen``;
            empty elsewhere. A group without objects has no number.
    """

    dataset: str
    protocol: Mapping[str, Any]
    objects: tuple[ObjectScore, ...]
    groups: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def overall(self) -> GroupScore:
        """The score of the data set: every object weighs the same."""
        return summarise_objects(self.objects)

    @property
    def sequences(self) -> dict[str, GroupScore]:
        """The score of each sequence."""
        grouped: dict[str, list[ObjectScore]] = {}
        for score in self.objects:
            grouped.setdefault(score.sequence, []).append(score)
        return {name: summarise_objects(scores) for name, scores in grouped.items()}

    def to_document(self) -> dict[str, Any]:
        """Return the JSON document of ``pcvos evaluate --json``."""
        overall = self.overall
        return {
            "dataset": self.dataset,
            "protocol": dict(self.protocol),
            "overall": {
                **self.groups,
                "JF_mean": overall.JF_mean,
                **_flat(overall.J, overall.F),
            },
            "per_object": {score.name: _flat(score.J, score.F) for score in self.objects},
        }


def to_csv(reports: Mapping[str, EvaluationReport]) -> str:
    """Return a CSV table with a row for the data set, each sequence and each object.

    Args:
        reports: By what the first column calls the predictions.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    measures = [f"{letter}_{f}" for letter in "JF" for f in FIELDS]
    header = ["predictions", "level", "sequence", "object_id", "objects", "JF_mean", *measures]
    writer.writerow(header)
    for name, report in reports.items():
        overall = report.overall
        writer.writerow([name, "overall", "", "", overall.objects, *_row(overall)])
        for sequence, group in report.sequences.items():
            writer.writerow([name, "sequence", sequence, "", group.objects, *_row(group)])
        for score in report.objects:
            row = [name, "object", score.sequence, score.object_id, 1, *_row(score)]
            writer.writerow(row)
    return text.getvalue()


def score_rows(report: EvaluationReport) -> list[tuple[str, list[float]]]:
    """Return the rows of a table: a name, then J&F and the fields of J and of F.

    Overall first, then each sequence, under it its objects if there are several.
    """
    rows = [("overall", _row(report.overall))]
    for sequence, group in report.sequences.items():
        rows.append((sequence, _row(group)))
        if group.objects > 1:
            objects = [score for score in report.objects if score.sequence == sequence]
            rows += [(f"  {score.object_id}", _row(score)) for score in objects]
    return rows


def seen_unseen_scores(
    objects: Sequence[ObjectScore], categories: Mapping[str, str], seen: frozenset[str]
) -> dict[str, float | None]:
    """Return YouTube-VOS's J and F of seen and unseen categories and their mean, G.

    An object without a category belongs to neither. G needs both groups.
    """
    values: dict[str, float | None] = {}
    for group, wanted in (("seen", True), ("unseen", False)):
        chosen = [
            score
            for score in objects
            if score.name in categories and (categories[score.name] in seen) == wanted
        ]
        score = summarise_objects(chosen) if chosen else None
        values[f"J_{group}"] = None if score is None else score.J.mean
        values[f"F_{group}"] = None if score is None else score.F.mean
    known = [value for value in values.values() if value is not None]
    G = sum(known) / 4 if len(known) == 4 else None
    return {"G": G, **values}


def _flat(region: MeasureSummary, contour: MeasureSummary) -> dict[str, float]:
    return {
        f"{letter}_{f}": getattr(summary, f)
        for letter, summary in (("J", region), ("F", contour))
        for f in FIELDS
    }


def _row(score: ObjectScore | GroupScore) -> list[float]:
    return [(score.J.mean + score.F.mean) / 2, *_flat(score.J, score.F).values()]
