"""The folder a run writes to: checked, locked against a second run, cleared of an old one."""

import shutil
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

from model.errors import OutputError
from pcvos_cli.files import check_reachable, locked
from pcvos_cli.masks.formats import FORMATS

REPORT = "run.json"
PLACES = {name: form.place for name, form in FORMATS.items()}
"""File or folder of each format inside the output folder."""

MASKS, RLE, SCORES = (PLACES[name] for name in ("png", "rle", "scores"))

STATE = ".pcvos-resume"
"""Folder with what an unfinished run needs to be resumed; see ``resume``."""

PROGRESS = f"{STATE}/progress.json"
"""Is there once something is finished."""

_PER_FRAME = {form.place: form.pattern for form in FORMATS.values() if form.pattern}
_FILES = (
    *(form.place for form in FORMATS.values() if not form.pattern),
    *(form.beside for form in FORMATS.values() if form.beside),
    REPORT,
)


class OutputFolder:
    """A context manager around an output folder.

    Entering creates and locks it and refuses one that holds another run's results.
    Nothing is deleted before ``clear``, so a run that fails early destroys nothing.

    Args:
        path: The folder; parents are created.
        overwrite: Accept a folder that holds results.
        resume: The same, to go on with them.
        inputs: Files and folders that the run reads; ``clear`` must not delete any of them.

    Raises:
        OutputError: On entering, if it is a file, read-only, in use by another run, or
            holds results and neither ``overwrite`` nor ``resume`` is on.
    """

    def __init__(
        self,
        path: Path,
        *,
        overwrite: bool,
        resume: bool = False,
        inputs: tuple[Path, ...] = (),
    ) -> None:
        self.path = path
        self._overwrite = overwrite or resume
        self._inputs = inputs
        self._lock = ExitStack()
        self._created: list[Path] = []

    def __enter__(self) -> Self:
        check_refusal(self.path, overwrite=self._overwrite, inputs=self._inputs)
        self._created = [p for p in (self.path, *self.path.parents) if not p.exists()]
        self._lock.enter_context(locked(self.path))
        return self

    def clear(self) -> None:
        """Delete an earlier run's results, but for its saved state, and nothing else.

        Raises:
            OutputError: If one cannot be deleted.
        """
        self._delete(_results(self.path) + _leftovers(self.path))
        self._remove_empty()

    def clear_unfinished(self) -> None:
        """Delete the half-written files of a run that was killed; errors as ``clear``."""
        self._delete(_leftovers(self.path))

    @property
    def holds_results(self) -> bool:
        """Whether there are results of an earlier run."""
        return bool(_results(self.path))

    def _delete(self, files: list[Path]) -> None:
        try:
            for path in files:
                path.unlink()
        except OSError as error:
            raise OutputError(f"{error.filename}: cannot replace: {error.strerror}") from error

    def _remove_empty(self) -> None:
        """Remove folders for files of a frame each that have none."""
        for folder, pattern in _PER_FRAME.items():
            inside = (self.path / folder).glob("[0-9]*") if "/" in pattern else ()
            for place in (*inside, self.path / folder):
                with suppress(OSError):
                    place.rmdir()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._lock.close()
        # A run that failed before its first mask leaves no trace.
        if kind is not None and not self.holds_results and not (self.path / PROGRESS).exists():
            shutil.rmtree(self.path / STATE, ignore_errors=True)
            if self._created:
                self._remove_empty()
        for path in self._created if kind is not None else ():
            try:
                path.rmdir()
            except OSError:
                break


def check_refusal(path: Path, *, overwrite: bool, inputs: tuple[Path, ...] = ()) -> None:
    """Refuse a folder that a run must not write to, without touching it.

    Raises:
        OutputError: If it is a file, holds results and ``overwrite`` is off, or if
            overwriting would delete one of ``inputs``.
    """
    check_reachable(path)
    there = next((place for place in (path, *path.parents) if place.exists()), None)
    if there is not None and not there.is_dir():
        raise OutputError(f"{there}: is a file, not a folder", hint="choose another --out")
    results = _results(path)
    if (path / PROGRESS).is_file() and not overwrite:
        raise OutputError(
            f"{path}: holds an unfinished run ({len(results)} result files)",
            hint="pass --resume to go on with it, --overwrite to begin anew, or choose "
            "another --out",
        )
    if results and not overwrite:
        raise OutputError(
            f"{path}: holds {len(results)} result files of an earlier run",
            hint="pass --overwrite to replace them, or choose another --out",
        )
    ours = {(path / name).resolve() for name in (*_PER_FRAME, *_FILES)}
    for source in inputs:
        resolved = source.resolve()
        if any(target == resolved or target in resolved.parents for target in ours):
            raise OutputError(
                f"{path}: {source} is an input of this run and would be overwritten",
                hint="choose another --out",
            )


def _results(path: Path) -> list[Path]:
    """Return what a run has written, all of it files of ours by name."""
    return _ours(path, "", "")


def _leftovers(path: Path) -> list[Path]:
    """Return likewise what a killed run left unfinished."""
    return _ours(path, "*.tmp", ".tmp")


def _ours(path: Path, of_a_file: str, of_a_frame: str) -> list[Path]:
    """Return files by the endings that they have beyond the names of results."""
    whole = [file for name in _FILES for file in path.glob(name + of_a_file)]
    frames = [
        file
        for folder, pattern in _PER_FRAME.items()
        for file in sorted((path / folder).glob(pattern + of_a_frame))
    ]
    return [file for file in whole if file.is_file()] + frames
