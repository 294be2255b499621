"""YouTube-VOS: ``train/JPEGImages``, ``train/Annotations``, ``train/meta.json``."""

import json
from pathlib import Path

from model.data.sample import Problem, UnusableItemError
from model.data.sequences import MaskedVideo, pair_frames
from model.errors import InputError


def find_youtube_vos(root: Path) -> Path | None:
    """Return the folder that has ``meta.json`` beside ``JPEGImages``: ``root`` or its ``train``."""
    for folder in (root, root / "train"):
        if (folder / "meta.json").is_file() and (folder / "JPEGImages").is_dir():
            return folder
    return None


def youtube_vos_videos(root: Path, *, minimum: int = 7) -> tuple[list[MaskedVideo], list[Problem]]:
    """List the training videos of YouTube-VOS.

    Objects start on different frames; a sample only takes those on its reference frame.

    Args:
        root: The data set, or its ``train`` folder.
        minimum: Frames with masks that a video needs.

    Returns:
        The videos, in the order of ``meta.json``, and what was skipped.

    Raises:
        InputError: If the layout or ``meta.json`` is not that of YouTube-VOS.
    """
    folder = find_youtube_vos(root)
    if folder is None:
        raise InputError(
            f"{root}: not YouTube-VOS",
            hint="expected train/meta.json, train/JPEGImages and train/Annotations",
        )
    meta = folder / "meta.json"
    try:
        names = sorted(json.loads(meta.read_bytes())["videos"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{meta}: not the meta.json of YouTube-VOS ({error})") from error
    videos, problems = [], []
    for name in names:
        try:
            videos.append(
                pair_frames(
                    name, folder / "JPEGImages" / name, folder / "Annotations" / name, minimum
                )
            )
        except UnusableItemError as error:
            problems.append(error.problem)
    return videos, problems
