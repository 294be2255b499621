"""What a bounded memory costs in accuracy, and that cost a frame stops growing.

    python docs/benchmarks/long_video.py DAVIS2016 SEQUENCE --frames 2000 --bounds all,40,10

A sequence is played forwards and backwards until there are enough frames, so every frame has
a true mask. One line for each bound and rule: mean J of all frames and of the last tenth,
seconds a frame by quarters of the video (model alone), peak resident memory so far.
``usage`` is what pcvos does; ``oldest`` drops the oldest frame that is no reference.
"""

import argparse
import itertools
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from model.checkpoint import load_model
from model.config import InferenceConfig
from model.inference.clips import iter_clips
from model.inference.segmenter import ClipSegmenter
from model.memory.bank import FrameRecord
from model.metrics.region import region_similarity
from model.types import ReferenceMask

ROOT = Path(__file__).parents[2]
RULES = {"usage": FrameRecord.mean_usage, "oldest": property(lambda record: record.number)}


def to_and_fro(count: int, length: int) -> Iterator[int]:
    """Yield ``length`` indices: 0 to count - 1, back to 1, and again."""
    there_and_back = [*range(count), *range(count - 2, 0, -1)]
    return itertools.islice(itertools.cycle(there_and_back), length)


def run(
    pictures: list[Path], masks: list[Path], settings: InferenceConfig, length: int, weights: Path
) -> tuple[list[float], list[float]]:
    """Segment; return J and seconds of every frame after the first."""

    def truth(index: int) -> NDArray[np.bool_]:
        return np.array(Image.open(masks[index]).convert("L")) > 127

    order = list(to_and_fro(len(pictures), length))
    first = torch.from_numpy(truth(0).astype(np.int32))
    frames = (np.array(Image.open(pictures[index]).convert("RGB")) for index in order)
    segmenter = ClipSegmenter(load_model(weights), settings)
    scores, seconds = [], []
    for clip in iter_clips(frames, {0: ReferenceMask(0, first, (1,))}, interval=settings.interval):
        began = time.perf_counter()
        prediction = segmenter.segment(clip)
        spent = (time.perf_counter() - began) / len(prediction)
        for t, labels in enumerate(prediction.labels()):
            if clip.start + t:
                scores.append(region_similarity(labels.numpy(), truth(order[clip.start + t])))
                seconds.append(spent)
    return scores, seconds


def main() -> None:
    """Compare bounds and rules, from the smallest memory to the largest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("sequence")
    parser.add_argument("--frames", type=int, default=400)
    parser.add_argument("--bounds", default="5,10,all")
    parser.add_argument("--rules", default="usage,oldest")
    parser.add_argument("--interval", type=int, default=5)
    parser.add_argument("--weights", type=Path, default=ROOT / "weights/pcvos-lite.safetensors")
    options = parser.parse_args()
    folders = [options.root / name / "480p" for name in ("JPEGImages", "Annotations")]
    pictures, masks = (sorted((folder / options.sequence).iterdir()) for folder in folders)
    for text in options.bounds.split(","):
        bound = None if text == "all" else int(text)
        for rule in ["usage"] if bound is None else options.rules.split(","):
            settings = InferenceConfig(interval=options.interval, max_memory_frames=bound)
            with patch.object(FrameRecord, "mean_usage", RULES[rule]):
                scores, seconds = run(pictures, masks, settings, options.frames, options.weights)
            quarters = [f"{np.mean(part):.3f}" for part in np.array_split(seconds, 4)]
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(  # noqa: T201
                f"{options.sequence} {options.frames} frames, L {options.interval}, bound {text}, "
                f"{rule}: J {np.mean(scores):.4f}, last tenth "
                f"{np.mean(scores[-len(scores) // 10 :]):.4f}, s/frame {' '.join(quarters)}, "
                f"peak {peak:.0f} MB",
                flush=True,
            )


if __name__ == "__main__":
    main()
