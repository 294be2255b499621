"""Make the pictures of the README and the model card from a run of ``make demo``.

make demo && .venv/bin/python docs/pictures/make.py
"""

from collections.abc import Sequence
from pathlib import Path

import av
from PIL import Image

ROOT = Path(__file__).parents[2]
VIDEO = ROOT / "examples/bigbuckbunny.mp4"
OVERLAY = ROOT / "out/demo/overlay.mp4"
TILE = (400, 225)


def frames(video: Path, wanted: Sequence[int]) -> list[Image.Image]:
    """Return frames of a video, at the size of a tile."""
    with av.open(str(video)) as container:
        decoded = enumerate(container.decode(video=0))
        kept = {i: frame.to_image().resize(TILE) for i, frame in decoded if i in wanted}
    return [kept[index] for index in wanted]


def grid(rows: Sequence[Sequence[Image.Image]]) -> Image.Image:
    """Return tiles in rows as one picture, with a gap between them."""
    gap = 6
    width = len(rows[0]) * (TILE[0] + gap) - gap
    picture = Image.new("RGB", (width, len(rows) * (TILE[1] + gap) - gap), "white")
    for y, row in enumerate(rows):
        for x, tile in enumerate(row):
            picture.paste(tile, (x * (TILE[0] + gap), y * (TILE[1] + gap)))
    return picture


def main() -> None:
    """Write both pictures."""
    shown = (0, 20, 45)
    before_after = grid([frames(VIDEO, shown), frames(OVERLAY, shown)])
    before_after.save(Path(__file__).with_name("before-after.webp"), quality=80)
    along = frames(OVERLAY, (20, 45, 60, 80, 105, 131))
    grid([along[:3], along[3:]]).save(Path(__file__).with_name("bigbuckbunny.jpg"), quality=85)


if __name__ == "__main__":
    main()
