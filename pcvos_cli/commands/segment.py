"""``pcvos segment``: arguments in, one summary out."""

from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pcvos_cli import console, options
from pcvos_cli.options import INFERENCE, SETTINGS
from pcvos_cli.run.settings import FORMATS, SegmentSettings
from pcvos_cli.signals import Terminated

if TYPE_CHECKING:
    from pcvos_cli.run.plan import RunPlan
    from pcvos_cli.run.report import SegmentReport

_output = partial(typer.Option, rich_help_panel="Output")


def segment(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT", help="A video, a folder of images, or - for a video on stdin."
        ),
    ],
    mask: Annotated[
        list[str] | None,
        typer.Option(
            "--mask",
            "-m",
            metavar="M.png|FRAME=M.png|FOLDER",
            help="Mask of the objects on the run's first frame, on frame FRAME (repeatable), or "
            "a folder of masks named by frame. New ids join, known ids are corrected.",
        ),
    ] = None,
    box: Annotated[
        list[str] | None,
        typer.Option(
            "--box",
            metavar="X,Y,W,H[:ID]",
            help="In place of a mask: a box around an object on the run's first frame "
            "(repeatable). `pcvos mask` does more, and shows what it finds.",
        ),
    ] = None,
    click: Annotated[
        list[str] | None,
        typer.Option(
            "--click",
            metavar="X,Y[:ID]",
            help="In place of a mask, or beside --box: a pixel of an object (repeatable; without "
            "an ID, all of one object).",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        _output(
            "--out",
            "--output",
            "-o",
            metavar="FOLDER",
            help="Default: INPUT's name with _masks, in this folder.",
        ),
    ] = None,
    formats: Annotated[
        list[str] | None,
        _output(
            "--format",
            "-f",
            metavar="NAME,...",
            help=f"Of {', '.join(FORMATS)}. Default: {','.join(SETTINGS.formats)}.",
        ),
    ] = None,
    background: Annotated[
        str | None,
        _output(
            "--background",
            metavar="COLOUR|FILE|blur",
            help="Write composite.mp4: the objects before a colour, an image, a video, or the "
            "blurred source.",
        ),
    ] = SETTINGS.background,
    feather: Annotated[
        float,
        _output(
            "--feather",
            metavar="PX",
            min=0,
            help="Soften the edges of mattes and cut-outs further.",
        ),
    ] = SETTINGS.feather,
    choke: Annotated[
        int,
        _output(
            "--choke",
            metavar="PX",
            help="Move the edges of mattes and cut-outs inwards (outwards below 0).",
        ),
    ] = SETTINGS.choke,
    overwrite: Annotated[
        bool, _output("--overwrite", help="Replace old results.")
    ] = SETTINGS.overwrite,
    resume: Annotated[
        bool, _output("--resume", help="Continue an unfinished run.")
    ] = SETTINGS.resume,
    dry_run: Annotated[
        bool, _output("--dry-run", help="Check the input and print the plan; write nothing.")
    ] = False,
    start: Annotated[
        str | None,
        typer.Option(
            "--start",
            metavar="FRAME",
            help="First frame to segment: its index, from 0, or its name.",
        ),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--end", metavar="FRAME", help="Last frame to segment, included.")
    ] = None,
    backward: Annotated[
        bool, typer.Option("--backward", help="Also segment the frames before the first mask.")
    ] = SETTINGS.backward,
    end_object: Annotated[
        list[str] | None,
        typer.Option(
            "--end-object",
            metavar="ID@FRAME",
            help="Object ID is absent from frame FRAME on (repeatable); a later mask that lists "
            "it brings it back.",
        ),
    ] = None,
    absent: Annotated[
        list[str] | None,
        typer.Option(
            "--absent",
            metavar="ID@FRAME",
            help="Object ID is not on frame FRAME (repeatable), and may be on later ones.",
        ),
    ] = None,
    # The same by the last frame that shows the object: the name of version 0.2.
    until: Annotated[list[str] | None, typer.Option("--until", hidden=True)] = None,
    resize_mask: Annotated[
        bool,
        typer.Option("--resize-mask", help="Scale masks that have another size than the video."),
    ] = SETTINGS.resize_mask,
    fps: Annotated[str, typer.Option("--fps", help="Frame rate of a folder of images.")] = str(
        SETTINGS.fps
    ),
    value_range: Annotated[
        str | None,
        typer.Option(
            "--range",
            metavar="LOW,HIGH",
            help="Values that are shown as black and white. Default: what pictures of more than 8 "
            "bits span, on all frames.",
        ),
    ] = None,
    category: options.Category = None,
    channel: Annotated[
        int | None,
        typer.Option("--channel", metavar="N", min=0, help="Channel of a TIFF stack, from 0 on."),
    ] = SETTINGS.channel,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail at the first damaged frame of the video.")
    ] = SETTINGS.strict,
    size: options.Size = str(SETTINGS.size),
    weights: options.Weights = SETTINGS.weights,
    model: options.Model = SETTINGS.model,
    device: options.Device = SETTINGS.device,
    engine: options.Engine = SETTINGS.engine,
    amp: options.Amp = SETTINGS.amp,
    threads: options.Threads = SETTINGS.threads,
    interval: options.Interval = INFERENCE.interval,
    top_k: options.TopK = str(INFERENCE.top_k),
    progressive_interval: options.ProgressiveInterval = INFERENCE.progressive_interval,
    no_progressive: options.NoProgressive = False,
    no_refinement: options.NoRefinement = False,
    max_memory_frames: options.MaxMemoryFrames = str(INFERENCE.max_memory_frames),
    drop_strays: options.DropStrays = INFERENCE.drop_strays,
    decode_provisional: options.DecodeProvisional = INFERENCE.decode_provisional,
    cuts: options.Cuts = INFERENCE.cuts,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> None:
    """Cut objects out of a video: a mask of one frame in, masks of every frame out."""
    console.configure(quiet=quiet, verbose=verbose, debug=debug)
    settings = options.settings_of(locals())
    output = output or default_output(source)
    if bool(mask) == bool(box or click):
        raise typer.BadParameter(
            "give --mask, or --box and --click", param_hint="--mask, --box, --click"
        )
    with _reference_masks(source, mask, box or [], click or [], start) as masks:
        if dry_run:
            _dry_run(source, masks, output, settings, json=json)
        else:
            _run(source, masks, output, settings, json=json)


def _reference_masks(
    source: Path, masks: list[str] | None, boxes: list[str], clicks: list[str], start: str | None
) -> AbstractContextManager[list[str]]:
    """Return the masks as given, or one made of boxes and clicks, for the length of a block."""
    if masks:
        return nullcontext(masks)
    if str(source) == "-" or source.is_fifo():
        raise typer.BadParameter(
            "a pipe can be read once only, and a prompt reads its first frame before; make the "
            "mask with pcvos mask, from a file or an image",
            param_hint="--box, --click",
        )
    from pcvos_cli.first_mask.make import prompted_mask

    return prompted_mask(source, boxes, clicks, start, on_note=console.note)


def default_output(source: Path) -> Path:
    """Return the output folder for an input: its name with ``_masks``, in the current folder."""
    # `.` and `..` have no name of their own until resolved.
    name = source.resolve().name if source.is_dir() else source.stem.strip("-")
    return Path(f"{name or 'video'}_masks")


def _dry_run(
    source: Path, mask: list[str], output: Path, settings: SegmentSettings, *, json: bool
) -> None:
    from pcvos_cli.run.pipeline import plan_video

    plan = plan_video(source, mask, output, settings)
    for text in plan.notes:
        console.note(text)
    if json:
        console.result_json(plan)
    else:
        console.result("\n".join(describe(plan)))


def _run(
    source: Path, mask: list[str], output: Path, settings: SegmentSettings, *, json: bool
) -> None:
    from pcvos_cli.run.pipeline import segment_video

    finished = 0
    try:
        with console.progress(source.name) as bar:

            def start(plan: "RunPlan") -> None:
                for line in describe(plan):
                    console.detail(line)
                bar.expect(plan.frames)

            def advance(frames: int) -> None:
                nonlocal finished
                finished += frames
                bar.advance(frames)

            report = segment_video(
                source, mask, output, settings, on_start=start, on_frames=advance
            )
    except (KeyboardInterrupt, Terminated):
        if finished:
            console.note(f"finished masks are kept in {output}; --resume goes on from there")
        raise
    for text in report.notes:
        console.note(text)
    for text in report.warnings:
        console.warning(text)
    for stage, seconds in report.seconds.items():
        console.detail(f"{stage:>16}  {seconds:8.2f} s  {seconds / report.frames:7.4f} s/frame")
    if json:
        console.result_json(report)
    else:
        console.result("\n".join(summarise(report)))


def summarise(report: "SegmentReport") -> list[str]:
    """Return the lines that end a run: where the results are, then how fast it went."""
    where = [f"{name:>8}  {path}" for name, path in report.outputs.items()]
    objects = "object" if len(report.object_ids) == 1 else "objects"
    ids = ",".join(map(str, report.object_ids))
    return [
        *where,
        f"{report.frames} frames, {objects} {ids}, {report.fps_end_to_end:.2f} FPS "
        f"({report.fps_model:.2f} FPS model alone), peak {report.peak_memory_mb:.0f} MB "
        f"on {report.device} ({report.engine})",
    ]


def _stated(references: dict[int, tuple[int, ...]]) -> list[str]:
    """Return the objects of the reference frames, those of frames in a row together."""
    rows: dict[tuple[object, int], list[int]] = {}
    for place, (frame, ids) in enumerate(sorted(references.items())):
        rows.setdefault((ids, frame - place), []).append(frame)
    return [
        f"frame{'' if len(row) == 1 else 's'} {'-'.join(map(str, sorted({row[0], row[-1]})))}: "
        f"{','.join(map(str, references[row[0]]))}"
        for row in rows.values()
    ]


def describe(plan: "RunPlan") -> list[str]:
    """Return what a run will do, line by line."""
    unknown = "unknown"
    (height, width), (rows, columns) = plan.source_size, plan.working_size
    references = ", ".join(_stated(plan.references))
    memory = unknown
    if plan.expected_memory_mb is not None:
        memory = f"{plan.expected_memory_frames} frames, about {plan.expected_memory_mb:.0f} MB"
    return [
        f"   input  {plan.input}: {unknown if plan.frames is None else plan.frames} frames"
        f"{f' from {plan.start} on' if plan.start else ''}, {width} x {height}, "
        f"worked on at {columns} x {rows}",
        f" objects  {references}",
        f"   clips  {unknown if plan.clips is None else plan.clips}",
        f"  memory  {memory}",
        f" weights  {plan.weights} on {plan.device}, run by {plan.engine}",
        f"  output  {plan.output}"
        f"{'' if plan.resume_at is None else f', resumed at frame {plan.resume_at}'}",
    ]
