"""``pcvos convert``: masks of a whole video from one format to another."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from pcvos_cli import console, options
from pcvos_cli.options import SETTINGS

Target = Literal["youtube-vis", "coco", "labelme", "cvat", "mots", "binary", "davis"]
_of_one = partial(typer.Option, rich_help_panel="Options of one format")


def convert(
    result: Annotated[
        Path,
        typer.Argument(
            metavar="RESULT",
            help="A folder of `pcvos segment`, of mask PNGs (palette, grey, MOTS), of <id>/ "
            "folders of binary PNGs, JSON of YouTube-VIS, COCO or labelme, XML of CVAT for video, "
            "or .npy, .npz or a TIFF of ids.",
        ),
    ],
    target: Annotated[
        Target,
        typer.Option(
            "--to",
            help="youtube-vis, coco: a JSON with RLE, by video or by frame; labelme: a JSON a "
            "frame; cvat: an XML of CVAT for video; mots: 16-bit PNGs, "
            "class * 1000 + id; binary: <id>/00000.png, 0 and 255; davis: palette PNGs.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--out", "--output", "-o", metavar="OUT", help="File (JSON) or folder.")
    ],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an old result.")] = False,
    fps: Annotated[
        str | None,
        _of_one(
            "--fps",
            help=f"youtube-vis: frame rate, where RESULT has no timestamps ({SETTINGS.fps}).",
        ),
    ] = None,
    class_id: Annotated[
        int | None, _of_one("--class-id", min=1, max=64, help="mots: class of all objects (1).")
    ] = None,
    suffix: Annotated[
        str | None, _of_one("--suffix", help="coco, labelme: ending of the frames' files (.jpg).")
    ] = None,
    category: options.Category = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Convert masks to YouTube-VIS, COCO, MOTS or binary files, or back to palette PNGs."""
    console.configure(quiet=quiet, debug=debug)
    given: dict[str, Any] = {}
    for option, of, key, value in (
        ("--fps", ("youtube-vis",), "fps", None if fps is None else options.parse_fps(fps)),
        ("--class-id", ("mots",), "class_id", class_id),
        ("--suffix", ("coco", "labelme"), "suffix", suffix),
        (
            "--category",
            ("youtube-vis", "coco", "labelme", "cvat"),
            "categories",
            options.parse_categories(category) if category else None,
        ),
    ):
        if value is not None:
            if target not in of:
                raise typer.BadParameter(
                    f"goes with --to {' or '.join(of)} only", param_hint=option
                )
            given[key] = value
    from pcvos_cli.convert.conversion import ConversionSettings, convert_masks

    settings = ConversionSettings(target, overwrite=overwrite, **given)
    with console.progress(result.name) as bar:
        report = convert_masks(result, output, settings, on_start=bar.expect, on_frames=bar.advance)
    for text in report.notes:
        console.note(text)
    if json:
        console.result_json(report)
        return
    height, width = report.size
    objects = "object" if len(report.object_ids) == 1 else "objects"
    ids = ",".join(map(str, report.object_ids)) or "none"
    console.result(
        f"{report.output}  {report.target}: {report.frames} frames, {width} x {height}, "
        f"{objects} {ids}"
    )
