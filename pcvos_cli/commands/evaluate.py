"""``pcvos evaluate``: predictions and true masks in, the tables of the paper out."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from model.config import InferenceConfig
from model.errors import ConfigError, InputError, OutputError
from pcvos_cli import console, options
from pcvos_cli.options import INFERENCE, SETTINGS
from pcvos_cli.settings import SegmentSettings

if TYPE_CHECKING:
    from pcvos_cli.reports import EvaluationReport
    from pcvos_cli.scoring.layouts import TruthDataset
    from pcvos_cli.scoring.page import Scored

_OUTPUT = "Output"
_SEGMENT = "Segmenting first, without PREDICTIONS"


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
            if path is not None and path.exists() and not self.overwrite:
                raise OutputError(f"{path}: exists", hint="pass --overwrite or choose another name")


def evaluate(
    dataset: Annotated[
        Literal["davis2017", "davis2016", "youtubevos", "folder"],
        typer.Option("--dataset", "-d", help="Layout of ROOT; folder: any folders of masks."),
    ],
    root: Annotated[
        Path,
        typer.Option(
            "--root", "-r", help="Folder of the data set; for folder, that of the true masks."
        ),
    ],
    predictions: Annotated[
        Path | None,
        typer.Argument(
            metavar="PREDICTIONS",
            help="Masks to score: <sequence>/<frame>.png. Left out: segment ROOT first.",
        ),
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option("--compare", metavar="PREDICTIONS", help="Score these too, side by side."),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option("--split", help="List of sequences. Default: val (YouTube-VOS: valid)."),
    ] = None,
    frames: Annotated[
        Literal["inner", "all"] | None,
        typer.Option(
            "--frames",
            help="inner leaves out the first and the last frame (default for DAVIS), "
            "all keeps them (default for folder).",
        ),
    ] = None,
    seen: Annotated[
        Path | None,
        typer.Option(
            "--seen",
            metavar="FILE",
            help="YouTube-VOS: seen categories, a meta.json or one a line. Default: those of "
            "ROOT/train/meta.json, else the published list.",
        ),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="Processes. Default: all cores.")
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", help="All scores.", rich_help_panel=_OUTPUT),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html",
            metavar="FILE",
            help="One page: scores, J over time, best and worst frames.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    submission: Annotated[
        Path | None,
        typer.Option(
            "--zip",
            metavar="FILE",
            help="YouTube-VOS: the submission. Default, where no score can be given: "
            "PREDICTIONS.zip.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace old results.", rich_help_panel=_OUTPUT)
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            help="Masks; what is finished there is kept. Default: DATASET_SPLIT_predictions.",
            rich_help_panel=_SEGMENT,
        ),
    ] = None,
    size: options.Size = str(SETTINGS.size),
    weights: options.Weights = SETTINGS.weights,
    model: options.Model = SETTINGS.model,
    device: options.Device = SETTINGS.device,
    threads: options.Threads = SETTINGS.threads,
    interval: options.Interval = INFERENCE.interval,
    top_k: options.TopK = str(INFERENCE.top_k),
    progressive_interval: options.ProgressiveInterval = INFERENCE.progressive_interval or 1,
    no_progressive: options.NoProgressive = False,
    no_refinement: options.NoRefinement = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> None:
    """Score masks with J and F, as the DAVIS and YouTube-VOS scorers do."""
    console.configure(quiet=quiet, verbose=verbose, debug=debug)
    from pcvos_cli.scoring.layouts import load_dataset

    outputs = Outputs(json, csv, html, submission, overwrite)
    outputs.refuse_existing()
    truth = load_dataset(dataset, root, split=split, frames=frames, seen=seen)
    if submission is not None and dataset != "youtubevos":
        raise ConfigError("--zip writes a YouTube-VOS submission; no other data set has one")
    if predictions is not None and output is not None:
        raise ConfigError("--output is for segmenting first, but PREDICTIONS are given")
    settings = SegmentSettings(
        inference=InferenceConfig(
            interval=interval,
            top_k=options.parse_top_k(top_k),
            progressive_interval=None if no_progressive else progressive_interval,
            refinement=not no_refinement,
        ),
        size=options.parse_size(size),
        weights=weights,
        model=model,
        device=device,
        threads=threads,
    )
    made_by: dict[str, Any] = {}
    if predictions is None:
        predictions = output or Path(
            "_".join([*filter(None, (dataset, truth.split)), "predictions"])
        )
        made_by = _segment_first(truth, predictions, settings, overwrite=overwrite)
    for folder in (predictions, compare):
        if folder is not None and not folder.is_dir():
            raise InputError(f"{folder}: no such folder of predictions")
    if truth.unlabelled:
        _submit(truth, predictions, compare, outputs, jobs)
        return
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


def _segment_first(
    truth: "TruthDataset", output: Path, settings: SegmentSettings, *, overwrite: bool
) -> dict[str, Any]:
    from pcvos_cli.scoring.segment_first import segment_dataset

    with console.progress(f"segmenting {truth.name}") as bar:
        made_by = segment_dataset(
            truth,
            output,
            settings,
            overwrite=overwrite,
            on_sequence=lambda name, number, count: console.note(
                f"segmenting {name} ({number} of {count})"
            ),
            on_frames=bar.advance,
        )
    return {"made_by": ", ".join(f"{key} {value}" for key, value in made_by.items())}


def _score(
    truth: "TruthDataset",
    predictions: Path,
    name: str,
    jobs: int | None,
    made_by: dict[str, Any],
) -> "Scored":
    from pcvos_cli.scoring.page import Scored
    from pcvos_cli.scoring.parallel import available_cores
    from pcvos_cli.scoring.protocol import make_report
    from pcvos_cli.scoring.score import score_dataset

    with ExitStack() as stack:
        bars: list[console.Progress] = []

        def start(frames: int) -> None:
            bars.append(stack.enter_context(console.progress(f"scoring {name}")))
            bars[0].expect(frames)

        series = score_dataset(
            truth,
            predictions,
            jobs=jobs or available_cores(),
            on_start=start,
            on_frames=lambda count: bars[0].advance(count),
        )
    return Scored(name, predictions, make_report(truth, series, made_by), series)


def _write(
    truth: "TruthDataset", folders: "list[Scored]", outputs: Outputs, jobs: int | None
) -> None:
    """Write what is asked for, then the table or the JSON document."""
    from pcvos_cli.reports import to_csv

    if outputs.csv is not None:
        _write_text(outputs.csv, to_csv({folder.name: folder.report for folder in folders}))
    if outputs.html is not None:
        from pcvos_cli.scoring.page import render_page

        _write_text(outputs.html, render_page(truth, folders))
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
    from pcvos_cli.reports import score_rows

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
    if target.exists() and not outputs.overwrite:
        raise OutputError(f"{target}: exists", hint="pass --overwrite or name another with --zip")
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
    from pcvos_cli.scoring.parallel import available_cores
    from pcvos_cli.scoring.youtube_vos import write_submission

    with ExitStack() as stack:
        bars: list[console.Progress] = []

        def start(frames: int) -> None:
            bars.append(stack.enter_context(console.progress("checking the submission")))
            bars[0].expect(frames)

        return write_submission(
            truth,
            predictions,
            target,
            jobs=jobs or available_cores(),
            on_start=start,
            on_frames=lambda count: bars[0].advance(count),
        )


def _write_text(path: Path, text: str) -> None:
    """Write a file under a temporary name, then give it its own."""
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror})") from error
    finally:
        part.unlink(missing_ok=True)
