"""Where the network runs: the device and the engine that were asked for, and what is there."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from model.config import STRIDE
from model.errors import ConfigError, EngineError
from model.inference.engine import with_onnxruntime
from model.pcvos import PCVOS
from pcvos_cli.run.settings import EngineName


def choose_device(name: str, *, amp: bool = False) -> torch.device:
    """Return the device for ``--device``; ``auto`` takes CUDA, then MPS, then the CPU.

    Args:
        name: ``auto``, ``cuda``, ``mps`` or ``cpu``.
        amp: It has to be one that is faster in half precision.

    Raises:
        ConfigError: If the device asked for is not there, or is a CPU where ``amp`` is set.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        name = next(device for device, there in available.items() if there)
    if not available[name]:
        raise ConfigError(
            f"--device {name}: torch finds no such device here", hint="use --device auto or cpu"
        )
    if amp and name == "cpu":
        raise ConfigError(
            "--amp: half precision is for CUDA and MPS, and this run is on the CPU",
            hint="leave --amp out; --size and --interval make a CPU faster",
        )
    return torch.device(name)


def device_name(device: torch.device) -> str:
    """Return what a user knows the device by."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


@contextmanager
def cpu_threads(count: int | None) -> Iterator[None]:
    """Let torch use ``count`` threads inside the block; ``None`` leaves its own choice."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True, slots=True)
class StartedEngine:
    """An engine that has been tried on the frames to come.

    Attributes:
        name: ``torch`` or ``onnxruntime``.
        model: The network, as this engine runs it.
        notes: Why ``auto`` took torch where ONNX Runtime would have been faster.
    """

    name: EngineName
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
        name: The engine that was asked for.
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
