"""DAVIS 2016 and 2017, any folder in their layout, and a single ``frames``/``masks`` folder."""

from pathlib import Path

from model.data.sample import Problem, UnusableItemError
from model.data.sequences import MaskedVideo, pair_frames
from model.errors import InputError


def is_davis(root: Path) -> bool:
    """Whether ``root`` is in DAVIS layout, or is one video as ``frames`` and ``masks``."""
    return all((root / name).is_dir() for name in ("JPEGImages", "Annotations")) or all(
        (root / name).is_dir() for name in ("frames", "masks")
    )


def davis_videos(
    root: Path, *, split: str | None = None, minimum: int = 7
) -> tuple[list[MaskedVideo], list[Problem]]:
    """List the videos of a folder in DAVIS layout.

    ``JPEGImages/480p/<sequence>``, or ``JPEGImages/<sequence>`` where there is no folder of
    that resolution; likewise ``Annotations``.

    Args:
        root: The folder that has ``JPEGImages``.
        split: Name of a list in ``ImageSets/2017``, ``2016`` or ``480p``, or the path of a
            list; ``None`` takes every sequence.
        minimum: Frames with masks that a video needs.

    Returns:
        The videos, sorted by name, and what was skipped.

    Raises:
        InputError: If the folder or the list is missing.
    """
    if (root / "frames").is_dir() and (root / "masks").is_dir():
        try:
            return [pair_frames(root.name, root / "frames", root / "masks", minimum)], []
        except UnusableItemError as error:
            return [], [error.problem]
    if not is_davis(root):
        raise InputError(
            f"{root}: not in DAVIS layout",
            hint="expected JPEGImages/480p/<sequence> and Annotations/480p/<sequence>",
        )
    frame_root, mask_root = (
        root / kind / "480p" if (root / kind / "480p").is_dir() else root / kind
        for kind in ("JPEGImages", "Annotations")
    )
    if split is None:
        folders = (path for path in frame_root.iterdir() if path.is_dir())
        names = sorted(path.name for path in folders if not path.name.startswith("."))
    else:
        names = read_split(root, split)
    videos, problems = [], []
    for name in names:
        try:
            videos.append(pair_frames(name, frame_root / name, mask_root / name, minimum))
        except UnusableItemError as error:
            problems.append(error.problem)
    return videos, problems


def read_split(root: Path, split: str) -> list[str]:
    """Return the sequences of a list: a name a line (2017) or pairs of files (2016).

    Raises:
        InputError: If the list is missing or empty.
    """
    candidates = [root / "ImageSets" / year / f"{split}.txt" for year in ("2017", "2016", "480p")]
    candidates += [root / "ImageSets" / f"{split}.txt", Path(split)]
    path = next((path for path in candidates if path.is_file()), None)
    if path is None:
        available = sorted(path.stem for path in (root / "ImageSets").rglob("*.txt"))
        raise InputError(
            f"{root}: no list named {split}",
            hint=f"available: {', '.join(available)}" if available else "leave the split out",
        )
    names = set()
    for line in path.read_text(encoding="utf-8-sig").replace("\\", "/").splitlines():
        entry = line.split()[0] if line.strip() else ""
        if entry:
            names.add(Path(entry).parent.name if Path(entry).suffix else entry)
    if not names:
        raise InputError(f"{path}: the list is empty")
    return sorted(names)
