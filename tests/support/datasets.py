"""Tiny data sets in the layouts of DAVIS and YouTube-VOS, and predictions for them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pcvos_cli.masks.palette import voc_palette

SIZE = (40, 60)

Labels = NDArray[np.uint8]


def scene(objects: Mapping[int, tuple[int, int]], size: tuple[int, int] = SIZE) -> Labels:
    """Return a map with a 10 x 14 box for each id, at (top, left)."""
    labels = np.zeros(size, dtype=np.uint8)
    for k, (top, left) in objects.items():
        labels[top : top + 10, left : left + 14] = k
    return labels


def moving(count: int, ids: Sequence[int] = (1, 2), shift: int = 0) -> list[Labels]:
    """Return ``count`` maps whose boxes wander; ``shift`` moves them sideways."""
    return [
        scene({k: (3 + 12 * n, 2 + t + shift) for n, k in enumerate(ids)}) for t in range(count)
    ]


def write_labels(path: Path, labels: Labels, *, palette: bool = True) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(labels)
    if palette:
        image.putpalette(voc_palette().ravel().tolist())
    image.save(path)


def write_masks(folder: Path, masks: Sequence[Labels], *, palette: bool = True) -> Path:
    """Write ``00000.png`` and so on."""
    for t, labels in enumerate(masks):
        write_labels(folder / f"{t:05}.png", labels, palette=palette)
    return folder


def write_images(folder: Path, masks: Sequence[Labels]) -> None:
    """Write a frame for each mask, with the objects to be seen."""
    folder.mkdir(parents=True, exist_ok=True)
    for t, labels in enumerate(masks):
        rgb = np.full((*labels.shape, 3), (60, 90, 120), dtype=np.uint8)
        rgb[labels > 0] = voc_palette()[labels[labels > 0]]
        Image.fromarray(rgb).save(folder / f"{t:05}.jpg")


def write_davis2017(root: Path, sequences: Mapping[str, Sequence[Labels]]) -> Path:
    (root / "ImageSets" / "2017").mkdir(parents=True)
    (root / "ImageSets" / "2017" / "val.txt").write_text("\n".join(sequences) + "\n")
    for name, masks in sequences.items():
        write_masks(root / "Annotations" / "480p" / name, masks)
        write_images(root / "JPEGImages" / "480p" / name, masks)
    return root


def write_davis2016(root: Path, sequences: Mapping[str, Sequence[Labels]]) -> Path:
    """Masks are 0 and 255; the list holds pairs of files, one a frame."""
    lines = []
    for name, masks in sequences.items():
        binary = [np.where(labels > 0, 255, 0).astype(np.uint8) for labels in masks]
        write_masks(root / "Annotations" / "480p" / name, binary, palette=False)
        write_images(root / "JPEGImages" / "480p" / name, masks)
        for t in range(len(masks)):
            frame = f"480p/{name}/{t:05}"
            lines.append(f"/JPEGImages/{frame}.jpg /Annotations/{frame}.png")
    (root / "ImageSets" / "480p").mkdir(parents=True)
    (root / "ImageSets" / "480p" / "val.txt").write_text("\n".join(lines) + "\n")
    return root


def write_youtube_vos(
    root: Path,
    split: str,
    videos: Mapping[str, Sequence[Labels]],
    objects: Mapping[str, Mapping[int, tuple[str, Sequence[int]]]],
    *,
    labelled: Mapping[str, Sequence[int]] | None = None,
) -> Path:
    """Write a split; ``objects[video][id]`` is a category and the frames that list it.

    ``labelled`` are the frames that get a true mask; left out, all listed ones do.
    """
    meta: dict[str, object] = {}
    for video, masks in videos.items():
        listed = objects[video]
        meta[video] = {
            "objects": {
                str(k): {"category": category, "frames": [f"{t:05}" for t in frames]}
                for k, (category, frames) in listed.items()
            }
        }
        every = {t for _, frames in listed.values() for t in frames}
        for t in sorted(every) if labelled is None else labelled[video]:
            write_labels(root / split / "Annotations" / video / f"{t:05}.png", masks[t])
        write_images(root / split / "JPEGImages" / video, masks)
    (root / split / "meta.json").write_text(json.dumps({"videos": meta}))
    return root
