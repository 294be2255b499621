"""What a bounded memory costs in accuracy, and that cost a frame stops growing.

    python docs/benchmarks/long_video.py DAVIS2016 dog camel --frames 400 --bounds 5,10,all

Each sequence is played forwards and backwards until there are enough frames, so every frame
has a true mask. One line for each bound and rule: mean J of all frames and of the last tenth,
seconds a frame by quarters of the video (model alone). ``usage`` is what pcvos does;
``oldest`` drops the oldest frame that is no reference. ``--json FILE`` writes what the page of
``docs/benchmarks`` shows.
"""

import argparse
import json
import shlex
import sys
import time
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from model.checkpoint import load_model
from model.config import InferenceConfig
from model.inference.clips import iter_clips
from model.inference.engine import onnxruntime_version, with_onnxruntime
from model.inference.segmenter import ClipSegmenter
from model.memory.bank import FrameRecord
from model.metrics.region import region_similarity
from model.pcvos import PCVOS
from model.types import ReferenceMask
from pcvos_cli.benchmarking.bound_report import BoundLine, BoundReport
from pcvos_cli.benchmarking.long_run import to_and_fro
from pcvos_cli.benchmarking.machine import describe_machine
from pcvos_cli.files import write_text

ROOT = Path(__file__).parents[2]
RULES = {"usage": FrameRecord.mean_usage, "oldest": property(lambda record: record.number)}


def run(
    pictures: list[Path], masks: list[Path], settings: InferenceConfig, length: int, model: PCVOS
) -> tuple[list[float], list[float]]:
    """Segment; return J and seconds of every frame after the first."""

    def truth(index: int) -> NDArray[np.bool_]:
        return np.array(Image.open(masks[index]).convert("L")) > 127

    order = list(to_and_fro(len(pictures), length))
    first = torch.from_numpy(truth(0).astype(np.int32))
    frames = (np.array(Image.open(pictures[index]).convert("RGB")) for index in order)
    segmenter = ClipSegmenter(model, settings)
    scores, seconds = [], []
    for clip in iter_clips(frames, {0: ReferenceMask(0, first, (1,))}, interval=settings.interval):
        began = time.perf_counter()
        parts = list(segmenter.segment_frames(clip))
        spent = (time.perf_counter() - began) / len(clip.frames)
        predicted = (labels for part in parts for labels in part.labels())
        for index, labels in enumerate(predicted, clip.start):
            if index:
                scores.append(region_similarity(labels.numpy(), truth(order[index])))
                seconds.append(spent)
    return scores, seconds


def compare(options: argparse.Namespace, model: PCVOS) -> list[BoundLine]:
    """Segment every sequence with every bound and rule; print a line for each."""
    lines = []
    for sequence in options.sequences:
        folders = [options.root / name / "480p" for name in ("JPEGImages", "Annotations")]
        pictures, masks = (sorted((folder / sequence).iterdir()) for folder in folders)
        for text in options.bounds.split(","):
            bound = None if text == "all" else int(text)
            for rule in ["usage"] if bound is None else options.rules.split(","):
                settings = InferenceConfig(interval=options.interval, max_memory_frames=bound)
                with patch.object(FrameRecord, "mean_usage", RULES[rule]):
                    scores, seconds = run(pictures, masks, settings, options.frames, model)
                quarters = tuple(float(np.mean(part)) for part in np.array_split(seconds, 4))
                last = float(np.mean(scores[-max(1, len(scores) // 10) :]))
                line = BoundLine(
                    sequence, options.frames, bound, rule, float(np.mean(scores)), last, quarters
                )
                print(line, flush=True)  # noqa: T201
                lines.append(line)
    return lines


def main() -> None:
    """Compare bounds and rules."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("sequences", nargs="+", metavar="SEQUENCE")
    parser.add_argument("--frames", type=int, default=400)
    parser.add_argument("--bounds", default="5,10,all")
    parser.add_argument("--rules", default="usage,oldest")
    parser.add_argument("--interval", type=int, default=5)
    parser.add_argument("--weights", type=Path, default=ROOT / "weights/pcvos-lite.safetensors")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    model = load_model(options.weights)
    engine = "torch" if onnxruntime_version() is None else "onnxruntime"
    if engine == "onnxruntime":
        model = with_onnxruntime(model, threads=torch.get_num_threads(), weights="these")
    machine = describe_machine(torch.device("cpu"))
    lines = compare(options, model)
    if options.json is not None:
        protocol = {
            "command": shlex.join(["python", *sys.argv]),
            "model": model.config.name,
            "weights": options.weights.name,
            "interval": options.interval,
            "engine": engine,
            "video": "a DAVIS 2016 sequence, forwards and backwards until there are enough frames",
            "J": "of every frame after the first, against its true mask",
            "usage": "drops the frame that was used least, as pcvos does; oldest: the oldest one "
            "that is no reference",
        }
        report = BoundReport(protocol, machine, tuple(lines))
        write_text(options.json, json.dumps(report.to_document(), indent=2) + "\n")


if __name__ == "__main__":
    main()
