"""The work of ``pcvos evaluate`` once its options are read: scores, files, tables.

Free of torch until it scores.
"""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.errors import ConfigError, InputError
from pcvos_cli import console
from pcvos_cli.files import refuse_existing
from pcvos_cli.run.settings import SegmentSettings

if TYPE_CHECKING:
    from pcvos_cli.first_mask.prompts import Method
    from pcvos_cli.scoring.layouts import TruthDataset
    from pcvos_cli.scoring.page import Scored
    from pcvos_cli.scoring.report import EvaluationReport


@dataclass(frozen=True, slots=True)
class Outputs:
    """The files that are asked for besides the table."""

    json: bool
    csv: Path | None
    html: Path | None
    submission: Path | None
    overwrite: bool

    def refuse_existing(self) -> None:
        """Raise OutputError if a file is there and must not be replaced."""
        for path in (self.csv, self.html, self.submission):
            if path is not None:
                refuse_existing(path, overwrite=self.overwrite)


class LateBar(ExitStack):
    """A bar that begins once processes run: its thread would make starting them slow."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def start(self, total: int) -> None:
        """Begin the bar."""
        self._bar = self.enter_context(console.progress(self._text))
        self._bar.expect(total)

    def advance(self, count: int) -> None:
        """Move the bar."""
        self._bar.advance(count)


def segment_first(
    truth: "TruthDataset",
    output: Path,
    settings: SegmentSettings,
    *,
    overwrite: bool,
    workers: int | None,
) -> dict[str, Any]:
    """Segment the data set into ``output`` with a bar; return what made the masks.

    Raises:
        PCVOSError: As ``segment_dataset``.
    """
    from pcvos_cli.scoring.segment_first import segment_dataset

    with console.progress(f"segmenting {truth.name}") as bar:
        made_by = segment_dataset(
            truth,
            output,
            settings,
            overwrite=overwrite,
            workers=workers,
            on_sequence=lambda name, number, count: console.note(
                f"segmenting {name} ({number} of {count})"
            ),
            on_frames=bar.advance,
        )
    return {"made_by": ", ".join(f"{key} {value}" for key, value in made_by.items())}


def report_scores(
    truth: "TruthDataset",
    predictions: Path,
    compare: Path | None,
    outputs: Outputs,
    jobs: int | None,
    made_by: dict[str, Any],
) -> None:
    """Score one or two folders of predictions and write what is asked for.

    A split whose labels are not public gets its submission instead, and no score.

    Args:
        truth: The data set.
        predictions: The masks to score.
        compare: Masks to show beside them, or ``None``.
        outputs: The files to write, and whether stdout gets JSON or tables.
        jobs: Processes; ``None`` for all cores.
        made_by: What made ``predictions``, for the protocol; empty if that is not known.

    Raises:
        PCVOSError: As ``score_dataset`` and ``write_submission``; or a file cannot be written.
    """
    for folder in (predictions, compare):
        if folder is not None and not folder.is_dir():
            raise InputError(f"{folder}: no such folder of predictions")
    if truth.unlabelled:
        _submit(truth, predictions, compare, outputs, jobs)
        return
    if truth.name == "folder" and all(len(one.frames) == 1 for one in truth.sequences):
        console.warning(
            "each sequence has a true mask of one frame: if the predictions were made from it, "
            "the score says nothing"
        )
    name = predictions.resolve().name
    if compare is None:
        folders = [_score(truth, predictions, name, jobs, made_by)]
    else:
        names = (name, compare.resolve().name)
        if names[0] == names[1]:
            names = (str(predictions), str(compare))
        folders = [
            _score(truth, predictions, names[0], jobs, made_by),
            _score(truth, compare, names[1], jobs, {}),
        ]
    _write(truth, folders, outputs, jobs)


def report_prompts(truth: "TruthDataset", method: "Method", *, json: bool) -> None:
    """Score first masks and print the table, or the JSON document.

    Raises:
        PCVOSError: As ``score_prompts``.
    """
    from pcvos_cli.scoring.prompts import score_prompts, to_document, to_rows

    scores = score_prompts(truth, method, lambda name: console.note(f"first masks of {name}"))
    if json:
        console.result_json(to_document(scores, method))
        return
    console.result_table(
        f"first masks by {method}",
        ["", "objects", "IoU box", "IoU jittered", "NoC@85", "above 20", "s first", "s click"],
        to_rows(scores),
    )


def _score(
    truth: "TruthDataset",
    predictions: Path,
    name: str,
    jobs: int | None,
    made_by: dict[str, Any],
) -> "Scored":
    from pcvos_cli.batch.processes import available_cores
    from pcvos_cli.scoring.page import Scored
    from pcvos_cli.scoring.protocol import make_report
    from pcvos_cli.scoring.score import score_dataset

    with LateBar(f"scoring {name}") as bar:
        series = score_dataset(
            truth,
            predictions,
            jobs=jobs or available_cores(),
            on_start=bar.start,
            on_frames=bar.advance,
        )
    return Scored(name, predictions, make_report(truth, series, made_by), series)


def _write(
    truth: "TruthDataset", folders: "list[Scored]", outputs: Outputs, jobs: int | None
) -> None:
    """Write what is asked for, then the table or the JSON document."""
    from pcvos_cli.files import write_text
    from pcvos_cli.scoring.report import to_csv

    if outputs.csv is not None:
        write_text(outputs.csv, to_csv({folder.name: folder.report for folder in folders}))
    if outputs.html is not None:
        from pcvos_cli.scoring.page import render_page

        write_text(outputs.html, render_page(truth, folders))
    if outputs.submission is not None:
        _pack(truth, folders[0].predictions, outputs.submission, jobs)
    if outputs.json:
        document = folders[0].report.to_document()
        if len(folders) == 2:
            other = folders[1].report.to_document()
            document["compared_with"] = {
                "predictions": folders[1].name,
                "overall": other["overall"],
                "per_object": other["per_object"],
            }
        console.result_json(document)
        return
    _write_protocol(folders[0].report)
    for folder in folders:
        _write_table(folder)


def _write_protocol(report: "EvaluationReport") -> None:
    console.result(report.dataset)
    for key, value in report.protocol.items():
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        console.result(f"  {key.replace('_', ' ')}: {text}")


def _write_table(folder: "Scored") -> None:
    """Write overall, sequences and their objects; in percent, as papers do."""
    from pcvos_cli.scoring.report import score_rows

    report = folder.report
    if report.groups:
        shown = [
            f"{name.replace('_', ' ')} {'-' if value is None else f'{100 * value:.2f}'}"
            for name, value in report.groups.items()
        ]
        console.result("  ".join(shown))
    console.result_table(
        str(folder.predictions),
        ["", "J&F", "J mean", "J recall", "J decay", "F mean", "F recall", "F decay"],
        [
            [name, *(f"{100 * value:.2f}" for value in values)]
            for name, values in score_rows(report)
        ],
    )


def _submit(
    truth: "TruthDataset",
    predictions: Path,
    compare: Path | None,
    outputs: Outputs,
    jobs: int | None,
) -> None:
    """Write the zip for a split whose labels are not public, and say why there is no score."""
    from pcvos_cli.scoring.protocol import describe_protocol

    asked = {"--compare": compare, "--csv": outputs.csv, "--html": outputs.html}
    for option, value in asked.items():
        if value is not None:
            raise ConfigError(
                f"{option} needs scores, but {truth.unlabelled} frames of {truth.split} have no"
                " public labels"
            )
    folder = predictions.resolve()
    target = outputs.submission or folder.with_name(folder.name + ".zip")
    refuse_existing(target, overwrite=outputs.overwrite)
    masks = _pack(truth, predictions, target, jobs)
    reason = (
        f"no score: {truth.unlabelled} frames of {truth.split} have no labels here, since those"
        " of this split are not public; submit the zip to the benchmark's server"
    )
    if outputs.json:
        console.result_json(
            {
                "dataset": truth.name,
                "protocol": describe_protocol(truth),
                "overall": None,
                "per_object": {},
                "reason": reason,
                "submission": {"file": str(target), "masks": masks},
            }
        )
        return
    console.result(reason)
    console.result(f"{target}: {masks} masks of {len(truth.sequences)} videos, checked")


def _pack(truth: "TruthDataset", predictions: Path, target: Path, jobs: int | None) -> int:
    from pcvos_cli.batch.processes import available_cores
    from pcvos_cli.scoring.youtube_vos import write_submission

    with LateBar("checking the submission") as bar:
        return write_submission(
            truth,
            predictions,
            target,
            jobs=jobs or available_cores(),
            on_start=bar.start,
            on_frames=bar.advance,
        )
