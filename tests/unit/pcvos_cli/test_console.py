"""Each text reaches its stream, and a bar is drawn on terminals only."""

import io

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
