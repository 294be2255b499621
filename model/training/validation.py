"""Accuracy on real video, with the network as ``segment`` runs it."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from model.config import InferenceConfig
from model.data.davis import davis_videos
from model.data.images import read_image, read_label_map
from model.data.sample import UnusableItemError
from model.data.sequences import MaskedVideo
from model.errors import InputError
from model.inference.clips import iter_clips
from model.inference.prompt import PromptPredictor
from model.inference.segmenter import ClipSegmenter
from model.metrics.region import region_similarity
from model.network.prompt import PromptSegmenter
from model.pcvos import PCVOS
from model.training.config import ValidationConfig
from model.types import ReferenceMask

_VOID = 255


@dataclass(frozen=True, slots=True)
class ValidationScore:
    """Mean region similarity.

    Attributes:
        mean: Over all objects of all sequences.
        by_sequence: Over the objects of each.
    """

    mean: float
    by_sequence: dict[str, float]


def find_sequences(root: Path, frames: int) -> list[MaskedVideo]:
    """List the sequences of a folder in DAVIS layout.

    Args:
        root: As ``davis_videos``.
        frames: First frames of each sequence that are wanted; 0 takes all.

    Raises:
        InputError: If there is no sequence with at least two frames that have masks.
    """
    found, _ = davis_videos(root, minimum=2)
    if not found:
        raise InputError(f"{root}: no sequence with two frames and masks", hint="check the folder")
    end = frames or None
    return [MaskedVideo(video.name, video.frames[:end], video.masks[:end]) for video in found]


def validate(
    model: PCVOS,
    config: ValidationConfig,
    *,
    device: torch.device,
) -> ValidationScore:
    """Segment every sequence from its first mask and score the other frames.

    Args:
        model: Is set to evaluation mode; set it back.
        config: Folder, size, clip length.
        device: Of the model.

    Raises:
        InputError: If a file cannot be read.
    """
    model.eval()
    scores: dict[str, list[float]] = {}
    try:
        for sequence in find_sequences(Path(config.folder), config.frames):
            scores[sequence.name] = _score(model, sequence, config, device)
    except UnusableItemError as error:
        raise InputError(f"validation: {error.problem}") from error
    everything = [score for objects in scores.values() for score in objects]
    return ValidationScore(
        float(np.mean(everything)), {name: float(np.mean(s)) for name, s in scores.items()}
    )


PROMPT_FRAMES = 3
"""Frames of a sequence, spread over it, on which first masks are scored."""


def validate_prompts(model: PromptSegmenter, config: ValidationConfig) -> ValidationScore:
    """Score first masks from the exact boxes of the true objects; ``config.size`` is not used.

    Args:
        model: On the CPU or copied there; is set to evaluation mode, set it back.
        config: Folder, and of how many first frames of a sequence some are taken.

    Raises:
        InputError: If a file cannot be read.
    """
    predictor = PromptPredictor(model)
    scores: dict[str, list[float]] = {}
    try:
        for sequence in find_sequences(Path(config.folder), config.frames):
            found = scores[sequence.name] = []
            for index in np.linspace(0, len(sequence.frames) - 1, PROMPT_FRAMES).astype(int):
                truth = _binary_is_one(read_label_map(sequence.masks[index]))
                predictor.set_image(read_image(sequence.frames[index]))
                for i in np.unique(truth[(truth != 0) & (truth != _VOID)]):
                    mask = truth == i
                    left, top, width, height = cv2.boundingRect(mask.astype(np.uint8))
                    predicted = predictor.predict((left, top, width, height))
                    found.append(region_similarity(predicted & (truth != _VOID), mask))
    except UnusableItemError as error:
        raise InputError(f"validation: {error.problem}") from error
    return ValidationScore(
        float(np.mean([score for found in scores.values() for score in found])),
        {name: float(np.mean(found)) for name, found in scores.items()},
    )


def _score(
    model: PCVOS, sequence: MaskedVideo, config: ValidationConfig, device: torch.device
) -> list[float]:
    """Return each object's J, mean over the frames after the first."""
    truth = [_binary_is_one(read_label_map(path)) for path in sequence.masks]
    ids = tuple(int(i) for i in np.unique(truth[0]) if i not in (0, _VOID))
    if not ids:
        raise InputError(f"{sequence.masks[0]}: no object on the first frame")
    height, width = truth[0].shape
    scale = min(1.0, config.size / min(height, width))
    rows, columns = round(height * scale), round(width * scale)

    def resized(path: Path) -> NDArray[np.uint8]:
        image = read_image(path)
        if image.shape[:2] == (rows, columns):
            return image.copy()  # What torch wraps must be writable.
        return cv2.resize(image, (columns, rows), interpolation=cv2.INTER_CUBIC).astype(np.uint8)

    first = np.where(truth[0] == _VOID, 0, truth[0]).astype(np.uint8)
    first = cv2.resize(first, (columns, rows), interpolation=cv2.INTER_NEAREST).astype(np.uint8)
    reference = ReferenceMask(0, torch.from_numpy(first), ids)
    settings = InferenceConfig(interval=config.interval)
    segmenter = ClipSegmenter(model, settings, device=device)
    overlaps: dict[int, list[float]] = {i: [] for i in ids}
    frame = 0
    clips = iter_clips(map(resized, sequence.frames), {0: reference}, interval=config.interval)
    for clip in clips:
        parts = segmenter.segment_frames(clip)
        for labels in (labels for part in parts for labels in part.labels((height, width))):
            if frame:
                known = truth[frame] != _VOID
                predicted = labels.cpu().numpy()
                for i in ids:
                    overlaps[i].append(
                        region_similarity((predicted == i) & known, truth[frame] == i)
                    )
            frame += 1
    return [float(np.mean(overlaps[i])) for i in ids]


def _binary_is_one(labels: NDArray[np.uint8 | np.uint16]) -> NDArray[np.uint8 | np.uint16]:
    """Read 0/255 as one object, as DAVIS 2016 writes it."""
    values = np.unique(labels)
    if _VOID in values and set(values.tolist()) <= {0, _VOID}:
        return (labels > 0).astype(np.uint8)
    return labels
