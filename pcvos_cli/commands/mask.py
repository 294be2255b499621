"""``pcvos mask``: boxes and points in, the first mask out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from model.errors import OutputError
from pcvos_cli import console, options
from pcvos_cli.files import check_reachable, refuse_existing

if TYPE_CHECKING:
    from pcvos_cli.first_mask.make import FirstMask


def mask(
    source: Annotated[
        Path, typer.Argument(metavar="INPUT", help="A video, a folder of images, or an image.")
    ],
    output: Annotated[
        Path, typer.Option("--out", "--output", "-o", metavar="FILE.png", help="The mask.")
    ],
    box: Annotated[
        list[str] | None,
        typer.Option(
            "--box",
            "-b",
            metavar="X,Y,W,H[:ID]",
            help="Left, top, width, height of an object, in pixels. Repeatable: boxes without "
            "an ID are objects of their own, boxes of one ID are one object; where objects "
            "overlap, the later box is in front.",
        ),
    ] = None,
    frame: Annotated[
        str | None,
        typer.Option(
            "--frame", metavar="N", help="Index of the frame, or an image's stem. Default: first."
        ),
    ] = None,
    fg: Annotated[
        list[str] | None,
        typer.Option(
            "--fg", metavar="X,Y[:ID]", help="A pixel of an object. Repeatable. It needs no box."
        ),
    ] = None,
    bg: Annotated[
        list[str] | None,
        typer.Option(
            "--bg", metavar="X,Y[:ID]", help="A pixel of the background, or not of ID. Repeatable."
        ),
    ] = None,
    method: Annotated[
        Literal["network", "grabcut"],
        typer.Option(
            "--method", help="network: learned from objects. grabcut: by colours, in boxes."
        ),
    ] = "network",
    preview: Annotated[
        Path | None,
        typer.Option(
            "--preview", metavar="FILE.png", help="Write the frame with the outlines too."
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace old files.")] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Make the first mask from boxes and points; look at it with --preview."""
    console.configure(quiet=quiet, debug=debug)
    if not box and not fg:
        raise typer.BadParameter("give at least one of --box and --fg", param_hint="--box, --fg")
    from pcvos_cli.first_mask.boxes import parse_boxes, parse_points

    boxes = parse_boxes(box or [])
    foreground, background = parse_points(fg or [], "--fg"), parse_points(bg or [], "--bg")
    for path, option in ((output, "--out"), (preview, "--preview")):
        if path is not None:
            _check_target(path, option, source, overwrite=overwrite)
    if preview is not None and preview.resolve() == output.resolve():
        raise typer.BadParameter("is the same file as --out", param_hint="--preview")
    from pcvos_cli.files import make_directory, write_whole
    from pcvos_cli.first_mask.make import make_first_mask
    from pcvos_cli.masks.writers import encode_palette_png

    made = make_first_mask(
        source,
        boxes,
        foreground,
        background,
        frame=frame,
        method=method,
        exclude=[path for path in (output, preview) if path is not None],
    )
    files = {output: encode_palette_png(made.labels)}
    if preview is not None:
        files[preview] = _preview(made)
    for path, content in files.items():
        make_directory(path.parent)
        write_whole(path, content)
    for text in (*made.source_notes, *made.notes):
        console.note(text)
    _report(made, output, preview, json=json)


def _check_target(path: Path, option: str, source: Path, *, overwrite: bool) -> None:
    if path.suffix.lower() != ".png":
        raise typer.BadParameter(f"{path}: must end in .png", param_hint=option)
    check_reachable(path)
    if path.is_dir():
        raise OutputError(f"{path}: is a folder", hint=f"{option} takes the name of a file")
    if path.exists() and path.resolve() == source.resolve():
        raise OutputError(f"{path}: is the input", hint=f"choose another {option}")
    refuse_existing(path, overwrite=overwrite)


def _preview(made: "FirstMask") -> bytes:
    """Return the bytes of a PNG of the frame with its objects drawn in."""
    import io

    from PIL import Image

    from pcvos_cli.masks.palette import draw_masks

    content = io.BytesIO()
    Image.fromarray(draw_masks(made.frame.rgb, made.labels)).save(content, format="PNG")
    return content.getvalue()


def _report(made: "FirstMask", output: Path, preview: Path | None, *, json: bool) -> None:
    import numpy as np

    pixels = np.bincount(made.labels.ravel())
    areas = {int(i): int(pixels[i]) for i in np.flatnonzero(pixels) if i}
    height, width = made.labels.shape
    if json:
        console.result_json(
            {
                "mask": str(output),
                "preview": None if preview is None else str(preview),
                "frame": made.frame.index,
                "frame_name": made.frame.name,
                "size": [height, width],
                "areas": {str(object_id): area for object_id, area in areas.items()},
                "notes": [*made.source_notes, *made.notes],
            }
        )
        return
    listed = ", ".join(f"{object_id}: {area} pixels" for object_id, area in areas.items())
    console.result(f"{output}  frame {made.frame.name}, {width} x {height}, objects {listed}")
    if preview is not None:
        console.result(f"{preview}")
