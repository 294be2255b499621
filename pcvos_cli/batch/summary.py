"""``summary.csv``: a line a job, for spreadsheets and scripts."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pcvos_cli.files import write_whole

SUMMARY = "summary.csv"

COLUMNS = (
    "job", "status", "exit_code", "frames", "objects", "fps", "seconds", "suspicion", "signs",
    "warnings", "error", "attempts", "worker", "input", "output",
)  # fmt: skip


def write_summary(out: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write the summary of a batch.

    Args:
        out: The batch's folder.
        rows: Lines of the ledger. Lists become texts with ``; `` between.

    Raises:
        OutputError: It cannot be written.
    """
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, restval="", extrasaction="ignore")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(value) for name, value in row.items()})
    write_whole(out / SUMMARY, text.getvalue().encode(errors="backslashreplace"))


def _cell(value: Any) -> Any:
    return "; ".join(map(str, value)) if isinstance(value, list) else value
