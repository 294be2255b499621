"""The identity of a run: all that decides the bytes of its results."""

import hashlib
import json
import platform
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from model.types import ReferenceMask
from pcvos_cli.video.folder import image_files
from pcvos_cli.video.source import VideoInfo, is_pipe

_PACKAGES = (
    "pcvos",
    "torch",
    "torchvision",
    "onnxruntime",
    "av",
    "numpy",
    "opencv-python-headless",
)

_BLOCK = 1 << 16
_BLOCKS = 16


def run_identity(
    info: VideoInfo,
    references: Iterable[ReferenceMask],
    record: dict[str, Any],
    *,
    device: str,
    threads: int | None,
    behind: Sequence[Path] = (),
) -> dict[str, Any]:
    """Return it as JSON-able values, by names that a user understands.

    Args:
        info: The input. Its content counts by samples: hashing hours of video whole would
            hold up every start.
        references: Reference masks at the working size.
        record: The settings, with the SHA-256 of the weights.
        device: Device of the model; another one rounds differently.
        threads: CPU threads, for the same reason; ``None`` for torch's own choice.
        behind: The background's file or folder, if there is one.
    """
    masks = hashlib.sha256()
    for reference in references:
        masks.update(f"{reference.frame_index} {reference.object_ids}".encode())
        masks.update(reference.labels.numpy().tobytes())
    return {
        "input": info.path.name,
        "the input's content": content_digest(info.path),
        "the background's content": [content_digest(path) for path in behind],
        "the masks' content": masks.hexdigest()[:16],
        "fps": str(info.fps),
        **record,
        "device": device,
        "threads": threads or torch.get_num_threads(),
        **{f"version of {name}": number for name, number in package_versions().items()},
    }


def content_digest(path: Path) -> str:
    """Return a digest of a file, or of the images of a folder, by samples.

    Raises:
        InputError: The folder cannot be listed.
        OSError: A file cannot be read.
    """
    if is_pipe(path):
        return "a pipe"
    content = hashlib.sha256()
    for file in image_files(path) if path.is_dir() else [path]:
        content.update(file.name.encode("utf-8", "surrogateescape"))
        _sample(file, content)
    return content.hexdigest()[:16]


def identity_digest(identity: dict[str, Any]) -> str:
    """Return the SHA-256 of what decides a run's results."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def package_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide a result."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue  # OpenCV comes under several names.
    return found


def _sample(path: Path, digest: "hashlib._Hash") -> None:
    """Add a file's size and up to 16 blocks of 64 KiB, first and last among them."""
    size = path.stat().st_size
    digest.update(size.to_bytes(8, "big"))
    with path.open("rb") as file:
        for number in range(_BLOCKS):
            file.seek(max(0, size - _BLOCK) * number // (_BLOCKS - 1))
            digest.update(file.read(_BLOCK))
            if size <= _BLOCK:
                break
