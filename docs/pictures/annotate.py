"""Make the picture of ``pcvos annotate``: the example video, its bunny propagated for 20 frames.

Run it with ``.venv/bin/python docs/pictures/annotate.py``.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.support.browser import Annotate, Frame, chromium, open_page  # noqa: E402

VIDEO = ROOT / "examples/bigbuckbunny.mp4"
SIZE = (720, 1280)
LAST = 20


def main() -> None:
    """Draw a box around the bunny, propagate its mask, and save what is seen."""
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        shutil.copy(VIDEO, folder)
        os.chdir(folder)  # So that the command on the page is as a user sees it.
        with Annotate(Path(VIDEO.name), Path("bunny_annotation")) as server:
            page = open_page(browser, server, device_scale_factor=1.5, color_scheme="light")
            Frame(page, SIZE).shows(0)
            with page.expect_response("**/prompt"):
                Frame(page, SIZE).drag((226, 253), (525, 562))
            name = page.get_by_label("Name of object 1")
            name.fill("Bunny")
            name.press("Enter")
            page.fill("#to", str(LAST))
            page.click("#forward")
            page.locator("#job").wait_for(state="visible")
            page.locator("#job").wait_for(state="hidden", timeout=300_000)
            Frame(page, SIZE).shows(LAST)
            assert not page.locator("#banner").is_visible(), page.inner_text("#banner")
            page.locator("#view").focus()
            picture = Path("page.png")
            page.screenshot(path=picture)
            server.end()
        Image.open(picture).convert("RGB").save(ROOT / "docs/pictures/annotate.webp", quality=80)


if __name__ == "__main__":
    main()
