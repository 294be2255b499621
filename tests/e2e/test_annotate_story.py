"""The story of the page, in a real browser."""

import json
import shlex
import signal
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.support.browser import Annotate, Frame, chromium, open_page, wait_until
from tests.support.cli import pcvos, read_labels

EXAMPLES = Path(__file__).parents[2] / "examples"
FRAMES = 26
SIZE = (720, 1280)
TRUTH = read_labels(EXAMPLES / "bigbuckbunny_first.png") > 0


pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first second of the demo video, copied and not encoded anew."""
    path = tmp_path_factory.mktemp("video") / "bigbuckbunny.mp4"
    with av.open(str(EXAMPLES / "bigbuckbunny.mp4")) as whole, av.open(str(path), "w") as cut:
        stream = whole.streams.video[0]
        copied = cut.add_stream_from_template(stream)
        for packet in islice(whole.demux(stream), FRAMES):
            packet.stream = copied
            cut.mux(packet)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def part(masks: dict[str, bytes], first: int, last: int = 99999) -> dict[str, bytes]:
    """Return the masks of frames ``first`` to ``last``."""
    return {n: m for n, m in masks.items() if f"{first:05}.png" <= n <= f"{last:05}.png"}


def reference(out: Path, frame: int) -> np.ndarray:
    return read_labels(out / f"references/{frame:05}.png")


def overlap(found: np.ndarray) -> float:
    return float((found & TRUTH).sum() / (found | TRUTH).sum())


def go_to(page: Page, index: int) -> None:
    page.fill("#frame", str(index))
    page.press("#frame", "Enter")
    Frame(page, SIZE).shows(index)
    page.locator("#view").focus()


def draw_the_first_mask(page: Page, out: Path) -> None:
    """A box, and a minus click that is undone before its answer, and done again."""
    frame = Frame(page, SIZE)
    rows, columns = np.nonzero(TRUTH)
    left, right, top, bottom = columns.min(), columns.max(), rows.min(), rows.max()
    with page.expect_response("**/prompt"):
        frame.drag((left - 3, top - 3), (right + 3, bottom + 3))
    boxed = reference(out, 0)
    assert overlap(boxed == 1) >= 0.8
    page.keyboard.press("x")
    clicked: list[np.ndarray] = []

    def undo_before_the_answer(route: Route) -> None:
        answer = route.fetch()
        clicked.append(reference(out, 0))
        page.keyboard.press("Control+z")
        route.fulfill(response=answer)

    page.route("**/prompt", undo_before_the_answer)
    with page.expect_response("**/prompt"):
        frame.click(left + 8, top + 8)
    page.unroute("**/prompt")
    assert clicked[0][top + 8, left + 8] == 0
    assert overlap(clicked[0] == 1) >= 0.8
    wait_until(lambda: np.array_equal(reference(out, 0), boxed), "undo")
    page.keyboard.press("Control+Shift+z")
    wait_until(lambda: np.array_equal(reference(out, 0), clicked[0]), "redo")
    name = page.get_by_label("Name of object 1")
    name.fill("Bunny")
    name.press("Enter")
    wait_until(lambda: "Bunny" in (out / "annotation.json").read_text(), "the name on disk")


def propagate(page: Page) -> None:
    # Watched in the page: a quick machine is done before a look from here.
    page.evaluate(
        """() => {
          const job = document.getElementById("job");
          window.watched = "";
          window.watcher = new MutationObserver(() => {
            if (!job.hidden) window.watched += document.getElementById("job-text").textContent;
            else if (window.watched) window.watched += " done";
          });
          window.watcher.observe(job, { attributes: true, childList: true, subtree: true });
        }"""
    )
    page.click("#forward")
    page.wait_for_function("() => window.watched.endsWith(' done')", timeout=240_000)
    assert "FPS" in page.evaluate("window.watched")
    page.evaluate("window.watcher.disconnect()")


def brush_a_correction(page: Page, out: Path) -> None:
    go_to(page, 12)
    expect(page.locator("#reference")).to_have_text("Make reference")
    page.keyboard.press("d")
    Frame(page, SIZE).drag((620, 120), (700, 130), (700, 180))
    wait_until((out / "references/00012.png").exists, "a reference from the brush")
    assert reference(out, 12)[120, 620] == 1
    expect(page.locator("#reference")).to_have_text("Is a reference")


def export(page: Page, out: Path, by_command: Path) -> None:
    """Export, and compare with what the command that is shown writes."""
    page.get_by_label("overlay").uncheck()
    expect(page.locator("#command")).to_contain_text("--format png,rle ")
    page.click("#export")
    expect(page.locator("#export-text")).to_contain_text("Done", timeout=240_000)
    words = shlex.split(page.inner_text("#command"))
    assert words[:2] == ["pcvos", "segment"]
    words[words.index("--out") + 1] = str(by_command)
    assert pcvos(*words[1:]).exit_code == 0
    exported = contents(out / "export/masks")
    assert len(exported) == FRAMES
    assert exported == contents(by_command / "masks")
    first, second = (
        json.loads((folder / "masks.json").read_text())["annotations"]
        for folder in (out / "export", by_command)
    )
    assert first == second


def test_draw_watch_correct_and_export(browser: Browser, video: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with Annotate(video, out) as server:
        page = open_page(browser, server)
        Frame(page, SIZE).shows(0)
        assert "token" not in page.url
        draw_the_first_mask(page, out)

        page.get_by_text("Settings").click()
        page.select_option("#size", "240")  # To be quick.
        page.fill("#to", "20")
        propagate(page)
        Frame(page, SIZE).shows(20)
        before = contents(out / "masks")
        assert len(before) == 21

        brush_a_correction(page, out)
        propagate(page)
        after = contents(out / "masks")
        assert part(after, 0, 11) == part(before, 0, 11)
        assert part(after, 13) != part(before, 13)

        export(page, out, tmp_path / "command")
        # What was seen is what was exported.
        assert part(contents(out / "export/masks"), 12, 20) == part(after, 12, 20)
        assert page.wrong == []
        assert server.end(signal.SIGKILL) == -signal.SIGKILL
        page.close()

    with Annotate(video, out) as server:  # Killed, started again, and everything is there.
        page = open_page(browser, server)
        Frame(page, SIZE).shows(0)
        expect(page.get_by_label("Name of object 1")).to_have_value("Bunny")
        expect(page.locator("#command")).to_contain_text("--format png,rle ")
        go_to(page, 12)
        expect(page.locator("#reference")).to_have_text("Is a reference")
        assert server.end() == 130
        page.close()
