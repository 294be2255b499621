"""``batch.jsonl``: who writes to a batch's folder, and what is finished; and ``summary.csv``.

The first line says how the batch was begun; each further line is a job that ended, written as
it ended. Where a job has several lines, the last one counts. A line that a kill cut off is not
read. Free of torch.
"""

import csv
import io
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Self

from model.errors import OutputError
from pcvos_cli.batch.jobs import LEDGER
from pcvos_cli.files import check_reachable, locked, output_errors, write_whole

SUMMARY = "summary.csv"
"""A line a job, for spreadsheets and scripts."""

COLUMNS = (
    "job", "status", "exit_code", "frames", "objects", "fps", "seconds", "suspicion", "signs",
    "warnings", "error", "attempts", "worker", "input", "output",
)  # fmt: skip

DONE, FAILED = "done", "failed"
_HEAD = "batch"


class Ledger:
    """A context manager that keeps other batches away from the folder.

    Args:
        folder: OUT; created if missing.
        head: How the batch is begun, as JSON-able values.
        resume: Go on with the batch that is there, if there is one.
        overwrite: Forget it.

    Attributes:
        head: How it was begun, the first time.

    Raises:
        OutputError: On entering: OUT is a file, cannot be written, is in use by another run, or
            holds a batch and neither ``resume`` nor ``overwrite`` is on.
    """

    def __init__(
        self, folder: Path, head: dict[str, Any], *, resume: bool, overwrite: bool
    ) -> None:
        self.folder = folder
        self.head = head
        self._path = folder / LEDGER
        self._resume, self._overwrite = resume, overwrite
        self._held = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as held:
            held.enter_context(locked(self.folder))
            self._open()
            held.callback(self._file.close)
            self._held = held.pop_all()
        return self

    def _open(self) -> None:
        check_batch(self.folder, resume=self._resume, overwrite=self._overwrite)
        with output_errors(self._path):
            head = read_head(self.folder) if self._resume else None
            if head is not None:
                self.head = head
                self._cut()
                self._file = self._path.open("ab")
                return
            self._file = self._path.open("wb")
        self._append({_HEAD: self.head})

    def _cut(self) -> None:
        """Cut off a line that was not finished."""
        with self._path.open("r+b") as file:
            content = file.read()
            file.truncate(content.rfind(b"\n") + 1)

    def add(self, row: dict[str, Any]) -> None:
        """Write down a job that ended; on the disk when this returns.

        Raises:
            OutputError: It cannot be written.
        """
        self._append(row)

    def _append(self, line: dict[str, Any]) -> None:
        with output_errors(self._path):
            text = json.dumps(line, ensure_ascii=False)  # Names that are no text are escaped.
            self._file.write(text.encode(errors="backslashreplace") + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())

    def rows(self) -> dict[str, dict[str, Any]]:
        """Return the last line of each job, by its name."""
        return read_rows(self.folder)

    def __exit__(self, *_: object) -> None:
        self._held.close()


def check_batch(folder: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse a folder that a batch must not write to, without touching it.

    Raises:
        OutputError: It is a file, or holds a batch and neither ``resume`` nor ``overwrite`` is on.
    """
    check_reachable(folder)
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: is a file, not a folder", hint="choose another --out")
    if (folder / LEDGER).exists() and not (resume or overwrite):
        raise OutputError(
            f"{folder}: holds a batch already",
            hint="pass --resume to go on with it, --overwrite to begin anew, or choose another "
            "--out",
        )


def read_rows(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the last line of each job of a batch, by its name; none where there is no batch."""
    return {row["job"]: row for row in _lines(folder) if "job" in row}


def read_head(folder: Path) -> dict[str, Any] | None:
    """Return how a batch was begun, or ``None`` where there is none."""
    head: Any = next(_lines(folder), {}).get(_HEAD)
    return head if isinstance(head, dict) else None


def _lines(folder: Path) -> Iterator[dict[str, Any]]:
    with suppress(FileNotFoundError), (folder / LEDGER).open("rb") as file:
        for line in file:
            with suppress(ValueError):
                row = json.loads(line)
                if isinstance(row, dict):
                    yield row


def remove_empty(folder: Path) -> None:
    """Remove a folder whose folders are all empty, and those of its folders that are."""
    with suppress(OSError):
        for entry in folder.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                remove_empty(entry)
        folder.rmdir()


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
    write_whole(out / SUMMARY, text.getvalue())


def _cell(value: Any) -> Any:
    return "; ".join(map(str, value)) if isinstance(value, list) else value
