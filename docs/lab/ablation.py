"""Train the networks of the ablation tables in ``docs/benchmarks``, one after another.

    pcvos weights init --trunk efficientnet-lite0-57934424.pth --photos DIR --out init.safetensors
    python docs/lab/ablation.py init.safetensors NETS --steps 700 --data DAVIS ...

Everything behind ``NETS`` goes to every ``pcvos train``. Networks that are finished are kept, one
that was interrupted is gone on with. At the end stands the command that scores them.
"""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from model.build import build_pcvos
from model.checkpoint import load_checkpoint, save_checkpoint

FRAME_3 = ("--scheme", "frame", "--frames", "3", "--clips", "1", "--no-clip-supervision")
FRAME_7 = ("--scheme", "frame", "--frames", "7", "--clips", "1", "--clip-supervision")
CLIP = ("--scheme", "clip", "--frames", "7", "--clips", "2", "--clip-supervision")
CLIP_NO_CS = (*CLIP[:-1], "--no-clip-supervision")

NETWORKS = {
    "stcn": ("plain", FRAME_3),
    "pct": ("plain", CLIP),
    "ours": ("refining", CLIP),
    "frame-3": ("refining", FRAME_3),
    "frame-7": ("refining", FRAME_7),
    "clip-no-cs": ("refining", CLIP_NO_CS),
}
"""Where each network starts, and how it is trained (NF and CS of the paper's table 2)."""

ROWS = {
    "stcn": "stcn",
    "pmm": "stcn",
    "pct": "pct",
    "pmm+pct": "pct",
    "pct+icr": "ours",
    "pmm+pct+icr": "ours",
    "frame, 3 frames": "frame-3",
    "frame, 7 frames": "frame-7",
    "clip, no CS": "clip-no-cs",
}
"""Rows of the tables, and the network of each."""


def make_starts(init: Path, folder: Path) -> None:
    """Write training-free weights that run as the paper's network: with refinement, and without.

    Args:
        init: What ``pcvos weights init`` made.
        folder: For ``refining.safetensors`` and ``plain.safetensors``.
    """
    checkpoint = load_checkpoint(init)
    refining = replace(
        checkpoint.config, progressive_interval=5, decode_provisional=False, short_edge=480
    )
    for name, config in (
        ("refining", refining),
        ("plain", replace(refining, refinement=None)),
    ):
        # Without local keys the image context has fewer outputs, all zero at the start.
        state = {
            key: checkpoint.state[key][tuple(map(slice, tensor.shape))].contiguous()
            for key, tensor in build_pcvos(config).state_dict().items()
        }
        save_checkpoint(folder / f"{name}.safetensors", config, state, checkpoint.metadata)


def main(init: Path, folder: Path, options: list[str]) -> None:
    """Train what is missing, and say how to score it."""
    folder.mkdir(parents=True, exist_ok=True)
    make_starts(init, folder)
    for name, (start, scheme) in NETWORKS.items():
        out = folder / name
        begin = ["--resume"] if out.exists() else ["--init", str(folder / f"{start}.safetensors")]
        subprocess.run(["pcvos", "train", "--out", str(out), *begin, *scheme, *options], check=True)
    rows = [f"--row '{row}={folder / name}/last.safetensors'" for row, name in ROWS.items()]
    sys.stdout.write(
        f"pcvos benchmark --ablation {' '.join(rows)} --dataset davis2016 --root ...\n"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
