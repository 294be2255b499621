"""YouTube-VOS: the frames of ``meta.json``, seen and unseen categories, the submission."""

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from model.errors import InputError, MaskError, OutputError
from pcvos_cli.files import whole
from pcvos_cli.labels.tools import load_json
from pcvos_cli.masks.label_files import label_values, read_labels
from pcvos_cli.scoring.layouts import (
    TruthDataset,
    TruthSequence,
    mask_stems,
    prediction_folder,
)
from pcvos_cli.scoring.parallel import parallel_map

_SEEN = """
airplane ape bear bike bird boat bucket bus camel cat cow crocodile deer dog dolphin duck
eagle earless_seal elephant fish fox frisbee frog giant_panda giraffe hand hat hedgehog horse
knife leopard lion lizard monkey motorbike mouse others owl paddle parachute parrot penguin
person plant rabbit raccoon sedan shark sheep sign skateboard snail snake snowboard squirrel
surfboard tennis_racket tiger toilet train truck turtle umbrella whale zebra
"""
SEEN_CATEGORIES = frozenset(_SEEN.split())
"""The 65 categories of the training set; the validation set adds 26 others, the unseen ones.

Written down from memory, since the data set was not at hand. A data set's own
``train/meta.json`` always goes before it.
"""


def load_youtube_vos(root: Path, split: str, seen: Path | None) -> TruthDataset:
    """Read ``<root>/<split>/meta.json`` and find its masks.

    Args:
        root: Folder that holds ``valid``, ``train`` or other splits.
        split: Name of the split's folder; ``val`` is ``valid``.
        seen: File that lists seen categories: a ``meta.json`` or one a line. ``None``
            takes ``<root>/train/meta.json``, or a built-in list where that is missing.

    Raises:
        InputError: If ``meta.json`` is missing or not of the known form.
    """
    folder = root / split
    if split == "val" and not folder.is_dir():
        split, folder = "valid", root / "valid"
    videos = _videos(folder / "meta.json")
    sequences, unlabelled = [], 0
    categories: dict[str, str] = {}
    for video, objects in videos.items():
        if not objects:
            continue
        frames = tuple(sorted({stem for _, stems in objects.values() for stem in stems}))
        position = {stem: index for index, stem in enumerate(frames)}
        listed = {
            k: tuple(sorted(position[stem] for stem in stems))
            for k, (_, stems) in sorted(objects.items())
        }
        masks = folder / "Annotations" / video
        images = folder / "JPEGImages" / video
        sequences.append(
            TruthSequence(video, frames, masks, images if images.is_dir() else None, listed=listed)
        )
        unlabelled += len(set(frames) - set(mask_stems(masks)))
        categories |= {f"{video}_{k}": name for k, (name, _) in objects.items() if name}
    if not sequences:
        raise InputError(f"{folder / 'meta.json'}: lists no objects")
    seen_categories, origin = _seen_categories(root, split, seen)
    return TruthDataset(
        "youtubevos",
        split,
        tuple(sequences),
        "inner",
        unlabelled=unlabelled,
        categories=categories,
        seen_categories=seen_categories,
        seen_origin=origin,
    )


def _videos(path: Path) -> dict[str, dict[int, tuple[str, list[str]]]]:
    """Return for each video its objects: id -> (category or empty, frames)."""
    if not path.is_file():
        raise InputError(
            f"{path}: no such file",
            hint="--root takes the folder that holds the split, --split the split's folder",
        )
    document = load_json(path)
    try:
        return {
            str(video): {
                int(k): (str(entry.get("category", "")), [str(stem) for stem in entry["frames"]])
                for k, entry in content["objects"].items()
                if entry["frames"]
            }
            for video, content in document["videos"].items()
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: not a meta.json of YouTube-VOS ({type(error).__name__}: {error})",
            hint='it holds {"videos": {ID: {"objects": {K: {"category", "frames": [...]}}}}}',
        ) from error


def _seen_categories(root: Path, split: str, seen: Path | None) -> tuple[frozenset[str], str]:
    """Return the seen categories and where they come from."""
    if seen is None and split != "train" and (root / "train" / "meta.json").is_file():
        seen = root / "train" / "meta.json"
    if seen is None:
        return SEEN_CATEGORIES, (
            "a built-in list of the 65 training categories, not checked against the data set;"
            " --seen train/meta.json takes them from there"
        )
    if not seen.is_file():
        raise InputError(f"{seen}: no such file", hint="--seen takes a meta.json or a text file")
    if seen.suffix == ".json":
        objects = [entry for video in _videos(seen).values() for entry in video.values()]
        return frozenset(name for name, _ in objects if name), str(seen)
    lines = [line.strip() for line in seen.read_text(encoding="utf-8-sig").splitlines()]
    return frozenset(line for line in lines if line), str(seen)


def write_submission(
    dataset: TruthDataset,
    predictions: Path,
    target: Path,
    *,
    jobs: int,
    on_start: Callable[[int], None] = lambda _: None,
    on_frames: Callable[[int], None] = lambda _: None,
) -> int:
    """Check the masks of the listed frames and pack them as the benchmark's server wants.

    One top folder ``Annotations/``, in it a folder a video with the frames of
    ``meta.json`` alone. The zip is read back before it gets its name.

    Args:
        dataset: A YouTube-VOS split.
        predictions: ``<video>/<frame>.png``; frames that are not listed are left out.
        target: The zip file.
        jobs: Processes.
        on_start: Called with the number of masks once the processes run.
        on_frames: Called with the number of masks that were checked.

    Returns:
        The number of masks in the zip.

    Raises:
        InputError: If a mask is missing or unreadable.
        MaskError: If a mask has another size than its frame or an id that is not listed.
        OutputError: If the zip cannot be written.
    """
    files: list[tuple[Path, str]] = []
    checks = []
    for sequence in dataset.sequences:
        assert sequence.listed is not None
        size = _frame_size(sequence)
        for stem in sequence.frames:
            path = prediction_folder(dataset, sequence, predictions) / f"{stem}.png"
            files.append((path, f"Annotations/{sequence.name}/{stem}.png"))
            checks.append((path, size, tuple(sequence.listed)))
    with parallel_map(_check_mask, checks, jobs) as results:
        on_start(len(checks))
        for _ in results:
            on_frames(1)
    with whole(target) as part:
        _write_zip(part, files)
    return len(files)


def _write_zip(path: Path, files: list[tuple[Path, str]]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file, name in files:
            # A fixed date, so that the same masks give the same bytes.
            archive.writestr(zipfile.ZipInfo(name), file.read_bytes())
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
        if damaged is not None or archive.namelist() != [name for _, name in files]:
            raise OutputError(f"{path}: reading it back failed ({damaged or 'names differ'})")


def _frame_size(sequence: TruthSequence) -> tuple[int, int] | None:
    """Return ``(height, width)`` of a video's frames, or of a label, or ``None``."""
    for position in range(len(sequence.frames)):
        path = sequence.image(position) or sequence.mask(position)
        if path.exists():
            with Image.open(path) as image:
                return image.height, image.width
    return None


def _check_mask(check: tuple[Path, tuple[int, int] | None, tuple[int, ...]]) -> None:
    path, size, ids = check
    labels = read_labels(path)
    if size is not None and labels.shape != size:
        raise MaskError(
            f"{path}: {labels.shape[0]}x{labels.shape[1]}, but the frames are {size[0]}x{size[1]}",
            hint="write masks at the size of the frames",
        )
    extra = sorted(set(label_values(labels)) - set(ids))
    if extra:
        raise MaskError(
            f"{path}: id {extra[0]} is not an object of this video"
            f" (they are {', '.join(map(str, ids))})"
        )
    with Image.open(path) as image:
        if image.format != "PNG" or image.mode not in ("P", "L"):
            raise MaskError(
                f"{path}: {image.format} of mode {image.mode}; the server reads 8-bit indices",
                hint="write masks as palette PNG (--format png)",
            )
