"""The weights that come with the package, and the manifest that describes them.

``weights/`` of the repository is installed as the package ``pcvos_weights``, so the files
are found from any folder, in an editable install and in a wheel alike. Free of torch.
"""

import hashlib
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from model.config import LITE_PROMPT, PCVOS_LITE, PRESETS, PCVOSConfig
from model.errors import ConfigError, WeightsError

if TYPE_CHECKING:
    import torch

    from model.checkpoint import Checkpoint
    from model.pcvos import PCVOS

MANIFEST = "manifest.toml"
DEFAULT_MODEL = PCVOS_LITE.name
"""The preset that ``--model`` means when it is left out."""

_IMPORT_HINT = (
    "import a published checkpoint with `pcvos weights import FILE.pth --out FILE.safetensors` "
    "and pass it with --weights"
)


@dataclass(frozen=True, slots=True)
class ShippedWeights:
    """One entry of the manifest.

    Attributes:
        name: Its name in ``weights list``.
        path: The file, whether or not it exists.
        sha256: Of the whole file, lower-case hexadecimal.
        preset: ``--model`` value that selects it; the first entry of a preset is its default.
        licence: Terms of the weights, which may differ from the code's.
        score: Its measured accuracy and on which data, as text.
        note: How it came to be.
    """

    name: str
    path: Path
    sha256: str
    preset: str
    licence: str
    score: str
    note: str


class ResolvedWeights(NamedTuple):
    """The weights that a run uses.

    Attributes:
        path: The file.
        name: The manifest's name; a user's own goes by its file name.
    """

    path: Path
    name: str


def weights_folder() -> Path:
    """Return the installed folder of the shipped weights."""
    return Path(str(files("pcvos_weights")))


def read_manifest(folder: Path | None = None) -> list[ShippedWeights]:
    """Read ``manifest.toml``.

    Args:
        folder: Where it lies; ``None`` for the installed weights.

    Raises:
        WeightsError: If it is missing, is not TOML, lacks a field, or names no known preset.
    """
    folder = folder or weights_folder()
    path = folder / MANIFEST
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8")).get("weights", [])
        return [_entry(folder, entry) for entry in entries]
    except FileNotFoundError as error:
        raise WeightsError(f"{path}: not found", hint="reinstall pcvos") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise WeightsError(f"{path}: unreadable: {error}", hint="reinstall pcvos") from error


def _entry(folder: Path, values: dict[str, Any]) -> ShippedWeights:
    fields = ("name", "file", "sha256", "preset", "licence", "score", "note")
    missing = [field for field in fields if not isinstance(values.get(field), str)]
    unknown = sorted(set(values) - set(fields))
    if missing or unknown:
        raise WeightsError(
            f"{folder / MANIFEST}: entry {values.get('name', '?')!r}: "
            f"missing {missing}, unknown {unknown}"
        )
    if values["preset"] not in {*PRESETS, LITE_PROMPT.name}:
        raise WeightsError(f"{folder / MANIFEST}: no preset is called {values['preset']!r}")
    return ShippedWeights(
        path=folder / values["file"],
        **{field: values[field] for field in fields if field != "file"},
    )


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal.

    Raises:
        WeightsError: If it is missing or cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise WeightsError(f"{path}: no such weights file") from error
    except OSError as error:
        raise WeightsError(f"{path}: unreadable: {error.strerror}") from error


def verify_shipped(entry: ShippedWeights) -> str:
    """Compare a shipped file with the manifest and return its SHA-256.

    Raises:
        WeightsError: If it is missing or its hash differs.
    """
    found = file_sha256(entry.path)
    if found != entry.sha256:
        raise WeightsError(
            f"{entry.path}: SHA-256 is {found[:12]}..., the manifest says {entry.sha256[:12]}...",
            hint="the file was changed or cut short; reinstall pcvos",
        )
    return found


def resolve_weights(weights: Path | None, model: str | None) -> ResolvedWeights:
    """Find the weights for ``--weights`` and ``--model``.

    Args:
        weights: A user's own file, which wins; or ``None`` for the shipped ones.
        model: Preset name; ``None`` means ``pcvos-lite``.

    Raises:
        ConfigError: If no preset is called ``model``.
        WeightsError: If none is shipped for the preset, or the shipped file is missing or
            has another hash than the manifest says.
    """
    if model is not None and model not in PRESETS:
        raise ConfigError(
            f"--model {model}: no such model", hint=f"choose one of {', '.join(PRESETS)}"
        )
    if weights is not None:
        return ResolvedWeights(weights, weights.name)
    return _shipped(model or DEFAULT_MODEL)


def read_weights(
    weights: Path | None, model: str | None
) -> "tuple[ResolvedWeights, Checkpoint[PCVOSConfig]]":
    """Find weights, and read them; arguments as ``resolve_weights``.

    Raises:
        ConfigError: As ``resolve_weights``.
        WeightsError: Likewise, or they cannot be read, or are not those of ``model``.
    """
    from model.checkpoint import load_checkpoint

    resolved = resolve_weights(weights, model)
    checkpoint = load_checkpoint(resolved.path)
    if model not in (None, checkpoint.config.name):
        raise WeightsError(
            f"{resolved.path}: holds {checkpoint.config.name}, not {model}",
            hint="leave --model out, or pass other --weights",
        )
    return resolved, checkpoint


def prompt_weights() -> Path:
    """Find the shipped weights that make masks of boxes and clicks.

    Raises:
        WeightsError: If the file is missing or has another hash than the manifest says.
    """
    return _shipped(LITE_PROMPT.name).path


def _shipped(preset: str) -> ResolvedWeights:
    for entry in read_manifest():
        if entry.preset == preset:
            verify_shipped(entry)
            return ResolvedWeights(entry.path, entry.name)
    raise WeightsError(f"no weights are shipped for {preset}", hint=_IMPORT_HINT)


def load_model(
    weights: Path | str | None = None,
    *,
    model: str | None = None,
    device: "torch.device | str" = "cpu",
) -> "PCVOS":
    """Load a network for use from Python.

    Args:
        weights: A user's own file; ``None`` for the shipped weights.
        model: Preset name, where the shipped weights of another than ``pcvos-lite`` are meant.
        device: Where it will run.

    Returns:
        The network, in evaluation mode, on ``device``.

    Raises:
        ConfigError: If no preset is called ``model``.
        WeightsError: If the weights are missing, corrupt, or not those of ``model``.
    """
    from model.checkpoint import model_from

    resolved, checkpoint = read_weights(None if weights is None else Path(weights), model)
    return model_from(checkpoint, name=str(resolved.path)).to(device)
