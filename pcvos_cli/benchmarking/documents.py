"""Benchmarks as Markdown, for ``docs/benchmarks/``: what ``make bench`` ends with.

::

    python -m pcvos_cli.benchmarking.documents FOLDER

reads every ``*.json`` of ``pcvos benchmark`` in FOLDER, and figures to compare them with, and
writes ``results.md`` beside them. A picture of the same name is shown with it.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from model.errors import InputError, PCVOSError
from pcvos_cli import console
from pcvos_cli.benchmarking.ablation_report import (
    AblationReport,
    paper_tables,
    table_1,
    table_2,
)
from pcvos_cli.benchmarking.bound_report import BoundReport, bound_table
from pcvos_cli.benchmarking.comparison import MISSING, Before, comparison_table
from pcvos_cli.benchmarking.long_report import LongReport, long_table
from pcvos_cli.benchmarking.report import BenchmarkReport
from pcvos_cli.benchmarking.tables import (
    Table,
    floor_tables,
    seconds_table,
    speed_table,
    stage_tables,
)
from pcvos_cli.files import write_text

RESULTS = "results.md"

_Report = BenchmarkReport | AblationReport | LongReport | BoundReport

_HEAD = """\
# Benchmark results

Made by `make bench` from the JSON files beside it; what the figures mean and how to take them
again is in the [README](README.md).
"""


def render(folder: Path) -> str:
    """Return a Markdown page of the benchmarks in a folder, in the order of their names.

    Figures of an earlier commit (``before.json``) are compared with them at the top.

    Raises:
        InputError: If there are none, or a file is not one.
    """
    files = sorted(folder.glob("*.json"), key=lambda path: path.stem)
    found = {path: _read(path) for path in files}
    before = [report for report in found.values() if isinstance(report, Before)]
    reports = {path: report for path, report in found.items() if not isinstance(report, Before)}
    if not reports:
        raise InputError(
            f"{folder}: no JSON of pcvos benchmark", hint="make bench writes them and calls this"
        )
    by_name = {path.stem: report for path, report in reports.items()}
    parts = [_HEAD, *(_compared(figures, by_name) for figures in before)]
    return "\n".join(parts + [_section(path, report) for path, report in reports.items()])


def to_markdown(table: Table) -> str:
    """Return a table in Markdown, with its title above."""
    lines = [_row(table.header), _row(["---"] * len(table.header))]
    lines += [_row(row) for row in table.rows]
    return f"**{_escaped(table.title)}**\n\n" + "\n".join(lines) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Write the page of the folder that is named; return the exit code."""
    if len(arguments) != 1:
        console.error("name one folder", "python -m pcvos_cli.benchmarking.documents FOLDER")
        return 2
    folder = Path(arguments[0])
    try:
        write_text(folder / RESULTS, render(folder))
    except PCVOSError as error:
        console.error(str(error), error.hint)
        return error.exit_code
    console.result(str(folder / RESULTS))
    return 0


def _compared(before: Before, reports: Mapping[str, _Report]) -> str:
    """Return the section of targets."""
    parts = [
        "## Targets, before and after\n",
        f"Before: {_escaped(before.source)}. After: the sections below; `{MISSING}` is not "
        "measured here. The floor is what the multiply-adds of the model take.\n",
        to_markdown(comparison_table(before, reports)),
    ]
    return "\n".join(parts)


def _section(path: Path, report: _Report) -> str:
    protocol, machine = report.protocol, report.machine
    subject = protocol["dataset" if isinstance(report, AblationReport) else "model"]
    parts = [
        f"## {path.stem}: {subject}\n",
        f"`{protocol.get('command', '')}`\n",
        f"On {machine.describe()}; matrix products at {machine.matmul_gflops} GFLOP/s.\n",
    ]
    picture = path.with_suffix(".png")
    if picture.exists():
        parts.append(f"![{path.stem}]({picture.name})\n")
    tables, notes = _contents(report)
    parts.append(to_markdown(tables[0]))
    if isinstance(report, AblationReport | BenchmarkReport):
        parts += [f"{_escaped(sign)} {mark}\n" for mark, sign in report.marks.items()]
    parts += [f"{_escaped(note)}\n" for note in notes]
    parts += [to_markdown(table) for table in tables[1:]]
    parts.append(_protocol(protocol, machine.versions))
    return "\n".join(parts)


def _contents(report: _Report) -> tuple[list[Table], list[str]]:
    """Return the tables of a report, and the remarks that follow the first one."""
    match report:
        case AblationReport():
            return [table_1(report), *filter(None, [table_2(report)]), *paper_tables()], []
        case LongReport():
            return [long_table(report)], report.describe()
        case BoundReport():
            return [bound_table(report)], []
        case BenchmarkReport():
            tables = [speed_table(report), *filter(None, [seconds_table(report)])]
            tables += [*floor_tables(report), *stage_tables(report)]
            lines = [] if report.scaling is None else report.scaling.describe()
            return tables, [f"How cost grows, {line}" for line in lines]


def _read(path: Path) -> "_Report | Before":
    """Return the report in a file; each kind has a field that no other has.

    Raises:
        InputError: If it cannot be read, or is not one.
    """
    kinds: dict[str, Callable[[Any], _Report | Before]] = {
        "rows": AblationReport.from_document,
        "stretches": LongReport.from_document,
        "bounds": BoundReport.from_document,
        "before": Before.from_document,
    }
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        for field, read in kinds.items():
            if isinstance(document, Mapping) and field in document:
                return read(document)
        return BenchmarkReport.from_document(document)
    except (InputError, OSError, ValueError) as error:
        raise InputError(f"{path}: {error}") from error


def _protocol(protocol: Mapping[str, Any], versions: Mapping[str, str]) -> str:
    """Return how the figures were taken, folded away."""
    lines = []
    for name, value in {**protocol, "versions": versions}.items():
        text = value
        if isinstance(value, Mapping):
            text = "; ".join(f"{key.replace('_', ' ')}: {word}" for key, word in value.items())
        if name != "command":
            lines.append(f"- {name.replace('_', ' ')}: {_escaped(str(text))}")
    return "<details><summary>Protocol</summary>\n\n" + "\n".join(lines) + "\n\n</details>\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(_escaped, cells)) + " |"


def _escaped(text: str) -> str:
    for character in "*|<":
        text = text.replace(character, f"\\{character}")
    return text


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
