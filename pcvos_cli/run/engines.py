"""Which engine runs the network: what ``--engine`` asks for, and what is there."""

from dataclasses import dataclass

import torch

from model.config import STRIDE
from model.errors import EngineError
from model.inference.engine import with_onnxruntime
from model.pcvos import PCVOS
from pcvos_cli.run.settings import EngineName


@dataclass(frozen=True, slots=True)
class StartedEngine:
    """An engine that has been tried on the frames to come.

    Attributes:
        name: ``torch`` or ``onnxruntime``.
        model: The network, as this engine runs it.
        notes: Why ``auto`` took torch where ONNX Runtime would have been faster.
    """

    name: str
    model: PCVOS
    notes: tuple[str, ...] = ()


def start_engine(
    name: EngineName,
    model: PCVOS,
    *,
    device: torch.device,
    threads: int | None,
    weights: str,
    objects: int,
    size: tuple[int, int],
) -> StartedEngine:
    """Start the engine for a run; ``auto`` is ONNX Runtime on a CPU if it works, else torch.

    Args:
        name: What was asked for.
        model: The network, on ``device``.
        device: Where the run is.
        threads: CPU threads; ``None`` for as many as torch takes.
        weights: SHA-256 of the weights.
        objects: Objects of the first reference mask.
        size: ``(height, width)`` of the frames before they are padded.

    Raises:
        EngineError: ONNX Runtime is asked for, and cannot be had or run this network.
    """
    if name == "torch" or (name == "auto" and device.type != "cpu"):
        return StartedEngine("torch", model)
    if device.type != "cpu":
        raise EngineError(
            f"--engine onnxruntime is for CPUs, and this run is on {device}",
            hint="leave --engine out, or pass --device cpu",
        )
    height, width = (-(-side // STRIDE) * STRIDE for side in size)
    try:
        faster = with_onnxruntime(
            model,
            threads=threads or torch.get_num_threads(),
            weights=weights,
            warm_up=(max(1, objects), height, width),
        )
    except EngineError as error:
        if name != "auto":
            raise
        return StartedEngine("torch", model, (f"torch runs the network, slower: {error.message}",))
    return StartedEngine("onnxruntime", faster)
