"""The output formats of a run: the one table of their names and places. Free of imports."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Format:
    """One format.

    Attributes:
        place: Its file or folder inside the output folder.
        pattern: Of the files in a folder, one a frame (and object, if they have a folder each);
            ``None`` for a file.
        beside: A further file, or ``None``.
        soft: It is made of soft masks, by ``pcvos_cli.matting``.
    """

    place: str
    pattern: str | None = None
    beside: str | None = None
    soft: bool = False


FORMATS = {
    "png": Format("masks", "*.png"),
    "rle": Format("masks.json"),
    "overlay": Format("overlay.mp4"),
    "scores": Format("scores", "*.npz"),
    "cutout": Format("cutout", "*.png", soft=True),
    "cutout-mov": Format("cutout.mov", soft=True),
    "cutout-webm": Format("cutout.webm", soft=True),
    "matte": Format("matte", "*.png", beside="matte.mp4", soft=True),
    "mattes": Format("mattes", "*/*.png", soft=True),
    "composite": Format("composite.mp4", soft=True),
    "csv": Format("objects.csv", beside="report.html"),
}
"""By name, in the order in which they are written."""

SOFT = frozenset(name for name, form in FORMATS.items() if form.soft)
