"""The machine a benchmark runs on: its name, its devices, the memory in use."""

import contextlib
import platform
from pathlib import Path

import torch

from pcvos_cli.batch.processes import available_cores
from pcvos_cli.benchmarking.report import Machine
from pcvos_cli.doctor.diagnosis import cpu_model
from pcvos_cli.run.device import device_name
from pcvos_cli.run.identity import package_versions
from pcvos_cli.run.report import peak_resident_mb

_PROC = Path("/proc/self")


def describe_machine(device: torch.device) -> Machine:
    """Return the machine that ``device`` belongs to."""
    return Machine(
        device=device_name(device),
        processor=cpu_model(),
        cores=available_cores(),
        threads=torch.get_num_threads(),
        system=platform.platform(),
        versions=package_versions(),
    )


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def reset_peak_memory(device: torch.device) -> bool:
    """Forget the peaks so far; return whether the resident one could be forgotten."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with contextlib.suppress(OSError):
        (_PROC / "clear_refs").write_text("5")
        return _peak_since_reset() is not None
    return False


def peak_memory_mb() -> float:
    """Return the largest resident size since the reset, or of the process so far, in MB."""
    since = _peak_since_reset()
    return peak_resident_mb() if since is None else since


def peak_device_memory_mb(device: torch.device) -> float | None:
    """Return the largest allocation on a CUDA device since the reset, in MB."""
    if device.type != "cuda":
        return None
    return torch.cuda.max_memory_allocated(device) / 2**20


def _peak_since_reset() -> float | None:
    """Read Linux's VmHWM, which ``clear_refs`` resets; ``getrusage`` never forgets."""
    with contextlib.suppress(OSError):
        for line in (_PROC / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 2**10
    return None
