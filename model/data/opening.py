"""From a folder to a source of training samples, by what lies in the folder."""

from pathlib import Path
from typing import Literal

from model.data.davis import davis_videos, is_davis
from model.data.images import list_images
from model.data.sample import SampleSource
from model.data.sequences import VideoSource
from model.data.static_images import StaticImages
from model.data.stills import detect_still_layout
from model.data.transforms import AugmentConfig
from model.data.youtube_vos import find_youtube_vos, youtube_vos_videos
from model.errors import InputError

DataKind = Literal["davis", "youtube-vos", "stills", "photos"]


def detect_kind(root: Path) -> DataKind:
    """Say what lies in a folder.

    Returns:
        ``davis``, ``youtube-vos``: videos with masks; ``stills``: images with masks;
        ``photos``: images alone (backgrounds, or sprites with transparency), also below.

    Raises:
        InputError: If the folder is missing or has none of these.
    """
    if not root.is_dir():
        raise InputError(f"{root}: no such folder")
    if find_youtube_vos(root):
        return "youtube-vos"
    if is_davis(root):
        return "davis"
    if detect_still_layout(root):
        return "stills"
    if list_images(root) or any(True for _ in root.rglob("*.png")):
        return "photos"
    raise InputError(
        f"{root}: no training data found",
        hint="expected DAVIS or YouTube-VOS layout, images with masks, or photographs",
    )


def open_training_source(
    root: Path,
    *,
    size: tuple[int, int],
    frame_count: int,
    clip_length: int,
    max_objects: int,
    split: str | None = None,
    augment: AugmentConfig | None = None,
) -> SampleSource:
    """Open a folder of videos or still images with masks.

    Args:
        root: The folder.
        size: ``(height, width)`` of the samples, pixels.
        frame_count: T.
        clip_length: N.
        max_objects: Largest K.
        split: A list in ``ImageSets`` (DAVIS layout only).
        augment: View and colour of videos.

    Raises:
        InputError: If the folder is missing, holds photos alone, or nothing in it is usable.
    """
    kind = detect_kind(root)
    if kind == "stills":
        return StaticImages(root, size, frame_count=frame_count, max_objects=max_objects)
    if kind == "photos":
        raise InputError(
            f"{root}: images without masks",
            hint="photos can serve as backgrounds and textures of synthetic video",
        )
    if kind == "davis":
        videos, problems = davis_videos(root, split=split, minimum=frame_count)
    else:
        videos, problems = youtube_vos_videos(root, minimum=frame_count)
    return VideoSource(
        root.name,
        root,
        videos,
        problems,
        size=size,
        frame_count=frame_count,
        clip_length=clip_length,
        max_objects=max_objects,
        augment=augment,
    )
