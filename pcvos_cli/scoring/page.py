"""One self-contained HTML page: scores, J over time, best and worst frames as pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from model.metrics.summary import GroupScore, ObjectScore
from pcvos_cli.masks.label_files import shrink_labels
from pcvos_cli.masks.palette import bright_colour_of, draw_masks
from pcvos_cli.scoring.layouts import TruthDataset, prediction_folder
from pcvos_cli.scoring.pictures import data_uri, outline, picture_size, read_backdrop
from pcvos_cli.scoring.plot import Line, plot_over_time
from pcvos_cli.scoring.report import EvaluationReport
from pcvos_cli.scoring.score import FrameTask, SequenceSeries, read_pair

PICTURED_SEQUENCES = 40
"""Sequences that get pictures: those with the lowest J. Keeps the page below some 20 MB."""

MEASURES = ("J mean", "J recall", "J decay", "F mean", "F recall", "F decay")

STYLE = """
:root { color-scheme: dark; }
body { font: 15px/1.5 system-ui, sans-serif; background: #14161a; color: #e6e6e6;
  margin: 2rem auto; max-width: 1000px; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
.protocol { color: #a9b0bb; margin: 0; padding-left: 1.2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 1rem 0; }
th, td { padding: .15rem .8rem .15rem 0; text-align: right; border-bottom: 1px solid #2b2f37; }
th:first-child, td:first-child { text-align: left; }
th { color: #a9b0bb; font-weight: 500; }
.lost { color: #ff8f8f; } .won { color: #8fe39a; }
.plot { width: 100%; background: #1b1e24; border-radius: 6px; }
.plot text { fill: #a9b0bb; font: 11px system-ui, sans-serif; }
.plot .grid { stroke: #2b2f37; } .plot line.mark { stroke: #6b7280; stroke-dasharray: 2 3; }
.plot text.mark { fill: #e6e6e6; }
.plot polyline { fill: none; stroke-width: 2; stroke-linecap: round; stroke-linejoin: round; }
.legend span { margin-right: 1.2rem; white-space: nowrap; }
.legend i { display: inline-block; width: 1.6rem; border-top: 3px solid; margin-right: .4rem;
  vertical-align: middle; } .legend i.dashed { border-top-style: dashed; }
.row { display: flex; gap: .5rem; margin: .6rem 0; }
figure { margin: 0; flex: 1 1 0; min-width: 0; } img { width: 100%; border-radius: 4px; }
figcaption { color: #a9b0bb; font-size: .85rem; } a { color: #8ab4ff; }
"""


@dataclass(frozen=True, slots=True)
class Scored:
    """One folder of predictions with its scores.

    Attributes:
        name: What the page calls it.
        predictions: The folder.
        report: Its summary.
        series: Its scores over time.
    """

    name: str
    predictions: Path
    report: EvaluationReport
    series: Sequence[SequenceSeries]


def render_page(dataset: TruthDataset, folders: Sequence[Scored]) -> str:
    """Render the page of one folder of predictions, or of two side by side.

    Args:
        dataset: What they were scored against.
        folders: One or two; the second is the one compared with.

    Returns:
        HTML that refers to no other file.
    """
    first = folders[0]
    title = f"{dataset.name} {dataset.split}".strip()
    headline = " and ".join(
        _percent(folder.report.overall.JF_mean)
        + (f" ({escape(folder.name)})" if len(folders) == 2 else "")
        for folder in folders
    )
    ranked = sorted(first.report.sequences.items(), key=lambda item: item[1].J.mean)
    pictured = {name for name, _ in ranked[:PICTURED_SEQUENCES]}
    parts = [
        "<!DOCTYPE html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<style>{STYLE}</style></head><body>",
        f"<h1>{escape(title)}: J&amp;F {headline}</h1>",
        _protocol(first.report),
        _overall_table(folders),
        _sequence_table(folders),
    ]
    if len(ranked) > len(pictured):
        parts.append(
            f"<p>Pictures are shown for the {len(pictured)} sequences with the lowest J.</p>"
        )
    for index, series in enumerate(first.series):
        both = [folder.series[index] for folder in folders]
        parts.append(f'<h2 id="s{index}">{escape(series.sequence.name)}</h2>')
        parts.append(_sequence(dataset, folders, both, series.sequence.name in pictured))
    parts.append("</body></html>\n")
    return "\n".join(parts)


def _protocol(report: EvaluationReport) -> str:
    items = []
    for key, value in report.protocol.items():
        text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
        items.append(f"<li>{escape(key.replace('_', ' '))}: {escape(text)}</li>")
    return f'<ul class="protocol">{"".join(items)}</ul>'


def _overall_table(folders: Sequence[Scored]) -> str:
    groups = list(folders[0].report.groups)
    rows = []
    for folder in folders:
        overall = folder.report.overall
        shown = [folder.report.groups[name] for name in groups]
        cells = [*map(_percent, shown), _percent(overall.JF_mean), *_cells(overall)]
        rows.append([escape(folder.name), *cells])
    names = [escape(name.replace("_", " ")) for name in groups]
    return _table(["predictions", *names, "J&amp;F", *MEASURES], rows)


def _sequence_table(folders: Sequence[Scored]) -> str:
    """Return a row for each sequence; with two folders, each J&F and their difference."""
    rows = []
    tables = [folder.report.sequences for folder in folders]
    for number, (name, score) in enumerate(tables[0].items()):
        link = f'<a href="#s{number}">{escape(name)}</a>'
        row = [link, str(score.objects), _percent(score.JF_mean), *_cells(score)]
        if len(tables) == 2:
            other = tables[1][name].JF_mean
            row[3:3] = [_percent(other), _difference(score.JF_mean - other)]
        rows.append(row)
    header = ["sequence", "objects", "J&amp;F", *MEASURES]
    if len(tables) == 2:
        header[3:3] = [f"J&amp;F of {escape(folders[1].name)}", "difference"]
    return _table(header, rows)


def _sequence(
    dataset: TruthDataset,
    folders: Sequence[Scored],
    series: Sequence[SequenceSeries],
    pictured: bool,
) -> str:
    sequence = series[0].sequence
    scores = series[0].scores()
    chosen = _chosen_frames(series) if pictured else {}
    plot = plot_over_time(
        _lines(folders, series),
        sequence.frames,
        [(position, reason) for position, reason in chosen.items()],
    )
    parts = [
        "<p>J over time</p>",
        plot,
        _legend(folders, series),
    ]
    parts += [
        _pictures(dataset, folders, series, position, reason) for position, reason in chosen.items()
    ]
    if len(scores) > 1:
        rows = [[str(score.object_id), *_cells(score)] for score in scores]
        parts.append(_table(["object", *MEASURES], rows))
    return "\n".join(parts)


def _lines(folders: Sequence[Scored], series: Sequence[SequenceSeries]) -> list[Line]:
    lines = []
    for number, (folder, one) in enumerate(zip(folders, series, strict=True)):
        for k, values in one.objects.items():
            name = f"object {k}, {folder.name}"
            points = list(zip(values.positions, values.J, strict=True))
            lines.append(Line(name, _css(k), number == 1, points))
    return lines


def _legend(folders: Sequence[Scored], series: Sequence[SequenceSeries]) -> str:
    parts = [
        f'<span><i style="border-color:{_css(k)}"></i>object {k}</span>' for k in series[0].objects
    ]
    if len(folders) == 2:
        parts.append(f"<span><i></i>{escape(folders[0].name)}</span>")
        parts.append(f'<span><i class="dashed"></i>{escape(folders[1].name)}</span>')
    return f'<p class="legend">{"".join(parts)}</p>'


def _chosen_frames(series: Sequence[SequenceSeries]) -> dict[int, str]:
    """Return the positions of the frames to show, in order, and why."""
    means = series[0].frame_means()
    chosen = {max(means, key=lambda p: means[p]): "best"}
    chosen.setdefault(min(means, key=lambda p: means[p]), "worst")
    if len(series) == 2:
        others = series[1].frame_means()
        apart = max(means, key=lambda p: abs(means[p] - others[p]))
        chosen.setdefault(apart, "furthest apart")
    return dict(sorted(chosen.items()))


def _pictures(
    dataset: TruthDataset,
    folders: Sequence[Scored],
    series: Sequence[SequenceSeries],
    position: int,
    reason: str,
) -> str:
    """Return a row of pictures: the truth, then each prediction with the truth outlined."""
    sequence = series[0].sequence
    stem = sequence.frames[position]
    size = picture_size(series[0].size)
    backdrop = read_backdrop(sequence.image(position), size)
    figures: list[str] = []
    for folder, one in zip(folders, series, strict=True):
        path = prediction_folder(dataset, sequence, folder.predictions) / f"{stem}.png"
        truth, prediction = read_pair(FrameTask(sequence.mask(position), path, sequence.merged))
        small_truth = shrink_labels(truth, size)
        if not figures:
            caption = f"{reason}: frame {stem}, truth"
            figures.append(_figure(data_uri(draw_masks(backdrop, small_truth)), caption))
        picture = outline(draw_masks(backdrop, shrink_labels(prediction, size)), small_truth)
        mean = one.frame_means()[position]
        figures.append(_figure(data_uri(picture), f"{folder.name}, J {_percent(mean)}"))
    return f'<div class="row">{"".join(figures)}</div>'


def _figure(source: str, caption: str) -> str:
    text = escape(caption)
    return f'<figure><img src="{source}" alt="{text}"><figcaption>{text}</figcaption></figure>'


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; all cells are HTML already."""
    head = "".join(f"<th>{cell}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>\n" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table>"


def _cells(score: ObjectScore | GroupScore) -> list[str]:
    return [
        _percent(value)
        for summary in (score.J, score.F)
        for value in (summary.mean, summary.recall, summary.decay)
    ]


def _difference(value: float) -> str:
    return f'<span class="{"won" if value >= 0 else "lost"}">{100 * value:+.1f}</span>'


def _percent(value: float | None) -> str:
    return "&ndash;" if value is None else f"{100 * value:.1f}"


def _css(object_id: int) -> str:
    red, green, blue = bright_colour_of(object_id)
    return f"rgb({red},{green},{blue})"
