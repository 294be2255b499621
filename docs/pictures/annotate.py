"""Make the picture of ``pcvos annotate``: the example video, its bunny propagated for 20 frames.

Run it with ``.venv/bin/python docs/pictures/annotate.py``.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.support.browser import Annotate, Frame, chromium, open_page  # noqa: E402

VIDEO = ROOT / "examples/bigbuckbunny.mp4"
SIZE = (720, 1280)
LAST = 20


def main() -> None:
    """Take the example's mask as a drawn one, propagate it, and save what is seen."""
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        out = Path(folder) / "annotation"
        with Annotate(VIDEO, out) as server:
            page = open_page(browser, server)
            Frame(page, SIZE).shows(0)
            with page.expect_response("**/prompt"):
                Frame(page, SIZE).drag((226, 253), (525, 562))
            name = page.get_by_label("Name of object 1")
            name.fill("Bunny")
            name.press("Enter")
            page.wait_for_timeout(2000)
            page.close()
            server.end()
        shutil.copy(ROOT / "examples/bigbuckbunny_first.png", out / "references/00000.png")
        with Annotate(VIDEO, out) as server:
            page = open_page(browser, server, device_scale_factor=1.5, color_scheme="light")
            Frame(page, SIZE).shows(0)
            page.fill("#to", str(LAST))
            page.click("#forward")
            page.locator("#job").wait_for(state="visible")
            page.locator("#job").wait_for(state="hidden", timeout=300_000)
            page.fill("#frame", str(LAST))
            page.press("#frame", "Enter")
            Frame(page, SIZE).shows(LAST)
            assert not page.locator("#banner").is_visible(), page.inner_text("#banner")
            page.locator("#view").focus()
            picture = Path(folder) / "page.png"
            page.screenshot(path=picture)
        Image.open(picture).convert("RGB").save(
            Path(__file__).with_name("annotate.webp"), quality=80
        )


if __name__ == "__main__":
    main()
