"""The only module that writes to the terminal.

stdout carries results and nothing else; progress, notes, warnings and errors go to stderr.
Bars are drawn only where stderr is a terminal; Rich honours ``NO_COLOR``.
"""

import errno
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress


@dataclass(slots=True)
class Verbosity:
    """How much is said; set once by the command that runs.

    Attributes:
        quiet: No notes, no bars. Warnings, errors and results are still written.
        verbose: Details as well.
        debug: Tracebacks.
    """

    quiet: bool = False
    verbose: bool = False
    debug: bool = False


verbosity = Verbosity()


def configure(*, quiet: bool = False, verbose: bool = False, debug: bool = False) -> None:
    """Set the verbosity; a flag given before the command's name stays set."""
    verbosity.quiet = verbosity.quiet or quiet
    verbosity.verbose = verbosity.verbose or verbose
    verbosity.debug = verbosity.debug or debug


def reset() -> None:
    """Forget the flags of an earlier command line in this process."""
    verbosity.quiet = verbosity.verbose = verbosity.debug = False


def _stderr() -> Console:
    return Console(stderr=True, highlight=False, soft_wrap=True)


def _remark(text: Text) -> None:
    # Rich raises SystemExit where the reader of a pipe has left, older ones OSError.
    with suppress(OSError, SystemExit):
        _stderr().print(text)


def open_missing_streams() -> None:
    """Lead standard streams that are closed to nowhere.

    Else the next file that is opened takes the place of one, and gets what FFmpeg says there.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # It gets the lowest number that is free: this one.


def result(text: str) -> None:
    """Write a result to stdout; letters that its encoding lacks, as escapes.

    A stdout that is closed, or whose reader has left, is no error: what a command does is done.

    Raises:
        OSError: The disk is full that stdout goes to.
    """
    if sys.stdout is None:
        return
    encoding = sys.stdout.encoding or "utf-8"
    try:
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        sys.stdout.flush()
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.EINVAL, errno.EBADF):  # EINVAL: Windows
            raise
        with suppress(OSError):  # Python's own flush at the end would fail again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def result_json(document: Any) -> None:
    """Write one JSON document to stdout, data classes by their fields; in ASCII outside UTF-8."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    ascii_only = not encoding.lower().replace("-", "").startswith("utf")
    result(json.dumps(document, indent=2, ensure_ascii=ascii_only, default=asdict))


def duration(seconds: float) -> str:
    """Return minutes and seconds as a clock shows them, hours before them if there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def result_table(title: str | None, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write a table to stdout, at full width where stdout is not a terminal."""
    table = Table(title=title, box=None, pad_edge=False, header_style="bold", title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 400  # print(width=...) would be cut to the console's own 80.
    with console.capture() as captured:
        console.print(table)
    result(captured.get().removesuffix("\n"))


def note(text: str) -> None:
    """Write a remark to stderr, unless quiet."""
    if not verbosity.quiet:
        _remark(Text(text))


def detail(text: str) -> None:
    """Write a remark to stderr, if verbose."""
    if verbosity.verbose:
        _remark(Text(text, style="dim"))


def warning(text: str) -> None:
    """Write a warning to stderr."""
    _remark(Text.assemble(("warning: ", "yellow"), text))


def error(message: str, hint: str | None = None) -> None:
    """Write an error to stderr: what and where, then how to fix it."""
    _remark(Text.assemble(("error: ", "bold red"), " ".join(message.splitlines())))
    if hint:
        _remark(Text.assemble(("  fix: ", "bold"), " ".join(hint.splitlines())))


def trace() -> None:
    """Write the traceback of the exception being handled to stderr, if debugging."""
    if verbosity.debug:
        _remark(Text(traceback.format_exc().rstrip("\n")))


class Progress:
    """A bar on stderr; draws nothing where there is no terminal, or quiet is wanted.

    Attributes:
        drawn: Whether there is a bar to be seen.
    """

    def __init__(self, bar: "RichProgress | None") -> None:
        self._bar = bar
        self.drawn = bar is not None

    def expect(self, steps: int | None, *, done: int = 0) -> None:
        """Say how many steps there will be, ``None`` if nobody knows, and how many are done."""
        if self._bar is not None:
            self._bar.reset(self._bar.task_ids[0], total=steps, completed=done)

    def advance(self, steps: int) -> None:
        """Add finished steps."""
        if self._bar is not None:
            self._bar.advance(self._bar.task_ids[0], steps)

    def show(self, done: int, text: str) -> None:
        """Say how many steps are done and how it goes."""
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=done, text=text)


@contextmanager
def progress(title: str, *, frames: bool = True) -> Iterator[Progress]:
    """Show a bar with the steps done and the time left while the block runs.

    Args:
        title: Stands before the bar.
        frames: Steps are frames, whose FPS is shown; else a text, as ``Progress.show`` takes it.
    """
    console = _stderr()
    if verbosity.quiet or not console.is_terminal:
        yield Progress(None)
        return
    from rich import progress as bars

    class _Speed(bars.ProgressColumn):
        def render(self, task: bars.Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("  - FPS" if speed is None else f"{speed:5.1f} FPS", style="cyan")

    columns = (
        bars.TextColumn("{task.description}", markup=False),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TextColumn("{task.fields[text]}", markup=False),
        *([_Speed()] if frames else []),
        bars.TimeRemainingColumn(),
    )
    period = 60 if frames else 300
    # transient: the summary says it all once the work is done.
    with bars.Progress(
        *columns, console=console, transient=True, speed_estimate_period=period
    ) as bar:
        bar.add_task(title, total=None, text="frames" if frames else "")
        yield Progress(bar)


@contextmanager
def live(render: Callable[[], Any]) -> Iterator[bool]:
    """Draw what ``render`` returns, twice a second, while the block runs.

    Yields:
        Whether it is drawn: not where stderr is no terminal, and not when quiet.
    """
    console = _stderr()
    if verbosity.quiet or not console.is_terminal:
        yield False
        return
    from rich.live import Live

    console.soft_wrap = False
    with Live(get_renderable=render, console=console, refresh_per_second=2, transient=True):
        yield True
