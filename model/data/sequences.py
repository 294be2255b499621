"""Videos with masks as a source of training samples, whatever their layout on disk."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from model.data.images import Pixels, list_images, read_image, read_label_map
from model.data.sample import (
    MAX_ATTEMPTS,
    MIN_REFERENCE_SHARE,
    Problem,
    TrainingSample,
    UnusableItemError,
    keep_visible,
)
from model.data.sampling import sample_frames
from model.data.transforms import AugmentConfig, augment_video
from model.errors import InputError

VOID = 255
"""Not judged in DAVIS masks; training takes it as background."""

_WINDOW_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class MaskedVideo:
    """A video whose listed frames all have a mask.

    Attributes:
        name: Sequence name.
        frames: Image files in order.
        masks: Mask files, one a frame.
    """

    name: str
    frames: tuple[Path, ...]
    masks: tuple[Path, ...]


def pair_frames(name: str, frame_folder: Path, mask_folder: Path, minimum: int) -> MaskedVideo:
    """Return the frames of a video that have a mask, matched by stem.

    Raises:
        UnusableItemError: If fewer than ``minimum`` frames have one.
    """
    frames = {path.stem: path for path in list_images(frame_folder)}
    masks = {path.stem: path for path in list_images(mask_folder, frozenset({".png"}))}
    shared = [stem for stem in frames if stem in masks]
    if len(shared) < minimum:
        raise UnusableItemError(
            frame_folder,
            f"{len(shared)} of {len(frames)} frames have a mask in {mask_folder}; "
            f"{minimum} are needed",
        )
    return MaskedVideo(
        name, tuple(frames[stem] for stem in shared), tuple(masks[stem] for stem in shared)
    )


class VideoSource:
    """Samples of 2N + 1 frames from videos with masks.

    Args:
        name: Name of the data set.
        root: Its folder, for messages.
        videos: At least one.
        problems: What was skipped while the data set was indexed.
        size: ``(height, width)`` of the samples, pixels.
        frame_count: T.
        clip_length: N.
        max_objects: Largest K.
        augment: View and colour.

    Raises:
        InputError: If there is no video.
    """

    def __init__(
        self,
        name: str,
        root: Path,
        videos: Sequence[MaskedVideo],
        problems: Sequence[Problem],
        *,
        size: tuple[int, int] = (384, 384),
        frame_count: int = 7,
        clip_length: int = 3,
        max_objects: int = 2,
        augment: AugmentConfig | None = None,
    ) -> None:
        if not videos:
            first = f" ({len(problems)} skipped; first: {problems[0]})" if problems else ""
            raise InputError(
                f"{root}: no usable video{first}",
                hint=f"each video needs at least {frame_count} frames with masks",
            )
        self.name = name
        self.root = root
        self.videos = tuple(videos)
        self.problems = tuple(problems)
        self.size = size
        self.frame_count = frame_count
        self.clip_length = clip_length
        self.max_objects = max_objects
        self.augment = augment or AugmentConfig()

    def __len__(self) -> int:
        """Return the number of videos."""
        return len(self.videos)

    def sample(self, index: int, rng: np.random.Generator, *, max_gap: int = 5) -> TrainingSample:
        """Make a sample of video ``index``; see ``SampleSource``.

        Raises:
            InputError: If too many videos in a row cannot be used.
        """
        problems: list[Problem] = []
        for _ in range(MAX_ATTEMPTS):
            video = self.videos[index % len(self.videos)]
            try:
                frames, stored = self._read(video, rng, max_gap)
                pixels, warped = augment_video(frames, stored, self.size, rng, self.augment)
                labels, count = keep_visible(warped)
                if not count:
                    raise UnusableItemError(video.name, "its objects left the crop")
            except UnusableItemError as error:
                problems.append(error.problem)
                index = int(rng.integers(len(self.videos)))
                continue
            return TrainingSample(
                frames=torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()),
                labels=torch.from_numpy(labels),
                object_count=count,
                source=f"{self.name} {video.name}",
                problems=tuple(problems),
            )
        raise InputError(
            f"{self.root}: {MAX_ATTEMPTS} videos in a row cannot be used; last: {problems[-1]}"
        )

    def _read(
        self, video: MaskedVideo, rng: np.random.Generator, max_gap: int
    ) -> tuple[list[Pixels], list[NDArray[np.uint8]]]:
        """Choose a window whose first frame shows objects, and up to ``max_objects`` of them."""
        for _ in range(_WINDOW_ATTEMPTS):
            indices = sample_frames(
                len(video.frames), self.frame_count, self.clip_length, rng, max_gap=max_gap
            )
            reference = read_object_ids(video.masks[indices[0]])
            area = np.bincount(reference.ravel(), minlength=256)[:256]
            area[0] = 0
            ids = np.flatnonzero(area >= MIN_REFERENCE_SHARE * reference.size / 2)
            if ids.size:
                break
        else:
            raise UnusableItemError(
                video.frames[0].parent,
                f"no object on the reference frame in {_WINDOW_ATTEMPTS} windows",
            )
        chosen = rng.permutation(ids)[: self.max_objects]
        table = np.zeros(256, np.uint8)
        table[chosen] = np.arange(1, len(chosen) + 1)
        frames, labels = [], []
        for index in indices:
            frame, mask = read_image(video.frames[index]), read_object_ids(video.masks[index])
            if frame.shape[:2] != mask.shape or mask.shape != reference.shape:
                raise UnusableItemError(
                    video.masks[index],
                    f"mask is {mask.shape[0]} x {mask.shape[1]}, "
                    f"its frame {frame.shape[0]} x {frame.shape[1]} (height x width)",
                )
            frames.append(frame)
            labels.append(table[mask])
        return frames, labels


def read_object_ids(path: Path) -> NDArray[np.uint8]:
    """Read a mask of a video.

    Returns:
        ``(H, W)`` uint8 object ids, at most 254: a mask of only 0 and 255 has object 1;
        otherwise 255 is void and becomes background.

    Raises:
        UnusableItemError: If it is unreadable or has larger values.
    """
    stored = read_label_map(path)
    present = np.flatnonzero(np.bincount(stored.ravel()))
    if present[-1] > VOID:
        raise UnusableItemError(path, f"object id {present[-1]}; training takes ids up to 254")
    labels = stored.astype(np.uint8)
    if set(present.tolist()) <= {0, VOID}:
        return (labels > 0).astype(np.uint8)
    return np.where(labels == VOID, 0, labels).astype(np.uint8)
