"""A real browser before a real server."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.support.cli import MODULE

CHROMIUM = Path("/usr/bin/chromium")
PATIENCE = 120.0
"""Seconds that anything may take on a busy machine."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Debian's Chromium; skip the test where there is none, but not in CI."""
    if not CHROMIUM.exists() and os.environ.get("CI") != "true":
        pytest.skip(f"{CHROMIUM} is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        try:
            yield browser
        finally:
            browser.close()


class Annotate:
    """``pcvos annotate`` as a process.

    Attributes:
        address: What it printed.
    """

    def __init__(self, video: Path, out: Path, *options: str) -> None:
        words = [*MODULE, "annotate", str(video), "--out", str(out), "--no-browser", *options]
        self.process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{43}", self.address)

    def end(self, number: int = signal.SIGINT) -> int:
        """Send a signal, and return the exit code."""
        self.process.send_signal(number)
        self.process.communicate(timeout=PATIENCE)
        return self.process.returncode

    def __enter__(self) -> "Annotate":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


def open_page(browser: Browser, server: Annotate, **options: Any) -> Page:
    """Open the page of a server; what its scripts complain of gathers in ``page.wrong``."""
    page = browser.new_page(**{"viewport": {"width": 1280, "height": 720}, **options})
    page.set_default_timeout(1000 * PATIENCE)
    expect.set_options(timeout=1000 * PATIENCE)
    page.wrong = []  # type: ignore[attr-defined]
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    page.on("console", lambda said: page.wrong.append(said.text) if said.type == "error" else None)
    page.goto(server.address)
    return page


class Frame:
    """The canvas of a page.

    Args:
        page: The page.
        size: ``(height, width)`` of the video.
    """

    def __init__(self, page: Page, size: tuple[int, int]) -> None:
        self.page = page
        self._size = size

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return where a pixel of the video is on the page, while all of it is seen."""
        box = self.page.locator("#view").bounding_box()
        assert box is not None
        height, width = self._size
        scale = min(box["width"] / width, box["height"] / height)
        return (
            box["x"] + box["width"] / 2 + (x - width / 2) * scale,
            box["y"] + box["height"] / 2 + (y - height / 2) * scale,
        )

    def click(self, x: float, y: float) -> None:
        """Click a pixel of the video."""
        self.page.mouse.click(*self.at(x, y))

    def drag(self, *places: tuple[float, float]) -> None:
        """Press at the first place, move over all, let go at the last."""
        self.page.mouse.move(*self.at(*places[0]))
        self.page.mouse.down()
        for place in places[1:]:
            self.page.mouse.move(*self.at(*place), steps=4)
        self.page.mouse.up()

    def shows(self, index: int) -> None:
        """Wait until a frame is shown with its mask."""
        self.page.wait_for_selector(f"#view[data-frame='{index}']", timeout=1000 * PATIENCE)


def wait_until(holds: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
    """Wait for something outside the page."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        time.sleep(0.05)
