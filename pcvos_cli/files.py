"""Writing files whole: under a temporary name, then renamed; errors in words; folders locked."""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from model.errors import OutputError

LOCK = ".pcvos.lock"
"""Is in a folder while a run writes to it."""

_HINTS = {
    errno.ENOSPC: "free some space or choose another --out; finished files are kept",
    errno.EDQUOT: "your disk quota is used up; free some space or choose another --out",
    errno.EFBIG: "the file system or a limit (ulimit -f) refuses larger files",
    errno.EROFS: "the file system is read-only; choose another --out",
    errno.EACCES: "you may not write there; choose another --out or mend its permissions",
    errno.EPERM: "you may not write there; choose another --out or mend its permissions",
    errno.ENOTDIR: "a part of the path is a file, not a folder; choose another --out",
    errno.EEXIST: "a file stands where a folder is needed; choose another --out",
    errno.EISDIR: "a folder stands where the file should go; choose another --out",
    errno.ENAMETOOLONG: "the name is too long for this file system; choose another --out",
}


def temporary(path: Path) -> Path:
    """Return the name under which ``path`` is written until it is whole."""
    return path.with_name(f"{path.name}.tmp")


@contextlib.contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Turn an ``OSError`` of the body into an ``OutputError`` that names ``path``.

    Raises:
        OutputError: In place of any ``OSError``.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(
            f"{path}: cannot be written ({reason})", hint=_HINTS.get(error.errno or 0)
        ) from error


def make_directory(directory: Path) -> None:
    """Create a folder for outputs, with its parents.

    Raises:
        OutputError: It cannot be created, or is a file.
    """
    with output_errors(directory):
        directory.mkdir(parents=True, exist_ok=True)


def check_reachable(path: Path) -> None:
    """Refuse a path for outputs of which the system does not even say whether it is there."""
    with output_errors(path):
        path.exists()


@contextlib.contextmanager
def locked(
    folder: Path,
    *,
    name: str = LOCK,
    in_use: str = "another run is writing there",
    hint: str = "wait for it or change --out",
) -> Iterator[None]:
    """Keep other runs away from a folder, created if missing, while the block runs.

    Args:
        folder: The folder.
        name: Of the file that says so.
        in_use: What to say where the file is another run's.
        hint: How to go on then.

    Raises:
        OutputError: The folder is a file, cannot be written, or is in use.
    """
    from filelock import FileLock, Timeout  # Not at the top: `pcvos --help` comes by here.

    check_reachable(folder)
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: is a file, not a folder", hint="choose another --out")
    lock = FileLock(folder / name, timeout=0)
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Timeout as error:
            raise OutputError(f"{folder}: {in_use}", hint=hint) from error
    try:
        yield
    finally:
        # Unlinked while held: filelock's next holder notices a lock file that is gone.
        remove(folder / name)
        lock.release()


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Raise OutputError if a file is there and must not be replaced."""
    check_reachable(path)
    if path.exists() and not overwrite:
        raise OutputError(f"{path}: exists", hint="pass --overwrite or choose another name")


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield a temporary name to write to; the file gets its own once the body has succeeded.

    Raises:
        OutputError: In place of any ``OSError``; nothing is left behind.
    """
    partial = temporary(path)
    with output_errors(path):
        try:
            yield partial
            partial.replace(path)
        except BaseException:
            remove(partial)
            raise


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file, text in UTF-8, so that it is either whole or not there; errors as ``whole``."""
    if isinstance(content, str):
        content = content.encode(errors="backslashreplace")
    with whole(path) as partial:
        partial.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole, in UTF-8, with the folders it lies in.

    Raises:
        OutputError: It cannot be written; nothing is left behind.
    """
    make_directory(path.parent)
    write_whole(path, text)


def remove(path: Path) -> None:
    """Remove a file if it is there; an error to do so is not worth another error."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
