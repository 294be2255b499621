"""Each text reaches its stream, and a bar is drawn on terminals only."""

import errno
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from pcvos_cli import console


@pytest.fixture(autouse=True)
def _quiet_again() -> None:
    console.reset()


def _terminal(monkeypatch: pytest.MonkeyPatch, **options: object) -> io.StringIO:
    stream = io.StringIO()
    terminal = Console(file=stream, force_terminal=True, width=120, **options)  # type: ignore[arg-type]
    monkeypatch.setattr(console, "_stderr", lambda: terminal)
    return stream


def test_a_terminal_gets_a_bar_with_frames_fps_and_time_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = _terminal(monkeypatch)
    with console.progress("a [b] c.mp4") as bar:
        bar.expect(40)
        bar.advance(10)
        bar.advance(10)
    for words in ("a [b] c.mp4", "20/40", "frames", "FPS", ":"):
        assert words in stream.getvalue()


def test_no_bar_when_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = _terminal(monkeypatch)
    console.configure(quiet=True)
    with console.progress("video") as bar:
        bar.expect(40)
        bar.advance(10)
    assert stream.getvalue() == ""


def test_no_bar_where_stderr_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with console.progress("video") as bar:
        bar.expect(40)
        bar.advance(10)
    assert capsys.readouterr() == ("", "")


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = _terminal(monkeypatch)
    console.error("broken")
    assert "\x1b[" in stream.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    stream = _terminal(monkeypatch)
    console.error("broken", "mend it")
    assert stream.getvalue().count("\x1b[3") == 0  # no foreground colour
    assert "fix: " in stream.getvalue()


def test_only_results_go_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    console.result("result")
    console.note("note")
    console.warning("odd")
    console.error("two\nlines", "do this")
    out, err = capsys.readouterr()
    assert out == "result\n"
    assert err.splitlines() == ["note", "warning: odd", "error: two lines", "  fix: do this"]


class _Stream(io.TextIOWrapper):
    """A stdout whose reader may have left."""

    def __init__(self, encoding: str, *, error: int | None = None) -> None:
        super().__init__(io.BytesIO(), encoding=encoding, write_through=True)
        self.error = error

    def flush(self) -> None:
        if self.error is not None and not self.closed:
            raise OSError(self.error, "no more")
        super().flush()

    def written(self) -> str:
        return self.buffer.getvalue().decode(self.encoding)  # type: ignore[attr-defined]


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_text_that_stdout_cannot_show_is_escaped(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = _Stream(encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    console.result("映像 \udcff")
    console.result_table("映", ["名"], [["像"]])
    shown = "映像" if encoding == "utf-8" else "\\u6620\\u50cf"
    assert stream.written().startswith(f"{shown} \\udcff\n")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "utf-8"])
def test_json_stays_json_in_every_encoding(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = _Stream(encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    document = {"input": "é 映像 \U0001f600 \udcff"}
    console.result_json(document)
    assert json.loads(stream.written()) == document
    assert ("映" in stream.written()) is (encoding == "utf-8")


@pytest.mark.parametrize("error", [errno.EPIPE, errno.EINVAL, errno.EBADF])
def test_a_reader_of_stdout_that_left_is_no_error(
    error: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", _Stream("utf-8", error=error))
    console.result("done")
    monkeypatch.setattr(sys, "stdout", None)
    console.result("done")


def test_a_full_disk_behind_stdout_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", _Stream("utf-8", error=errno.ENOSPC))
    with pytest.raises(OSError, match="no more"):
        console.result("done")


@pytest.mark.parametrize("redirect", [">&-", "2>&-", ">&- 2>&-", "| true", "2>&1 | true"])
def test_streams_that_are_closed_are_no_error(redirect: str, tmp_path: Path) -> None:
    command = f"set -o pipefail; '{sys.executable}' -m pcvos_cli weights list {redirect}"
    run = subprocess.run(["bash", "-c", command], check=False, cwd=tmp_path, timeout=60)
    assert run.returncode == 0
