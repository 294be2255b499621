"""The facts of a machine that a bug report needs; each part survives another's failure."""

import importlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from model.errors import WeightsError
from pcvos_cli.batch.processes import available_cores

PACKAGES = {
    "numpy": "numpy",
    "torch": "torch",
    "torchvision": "torchvision",
    "av": "av",
    "cv2": "opencv-python-headless",
    "PIL": "pillow",
    "pycocotools": "pycocotools",
    "safetensors": "safetensors",
}
"""Modules that `segment` imports, and the distributions they come in."""

_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "PYTORCH_ALLOC_CONF")
UNUSABLE = 1


@dataclass(slots=True)
class Diagnosis:
    """The state of an installation.

    Attributes:
        pcvos: Its version, or ``None`` if it is not installed as a package.
        system: Operating system, Python, CPU, cores, memory in MB.
        packages: Version of each module; ``None`` where it cannot be imported.
        torch: Threads, CPU instructions, CUDA version; empty without torch.
        devices: The devices that ``--device`` takes here, with names.
        engines: The engines that ``--engine`` takes, with versions; ``None`` where one fails.
        ffmpeg: As ``CodecSupport``; empty without PyAV.
        weights: Name, file, SHA-256 and whether it is what the manifest says.
        folder: The current folder: whether it can be written to, and MB left.
        environment: Variables that change threads and devices.
        problems: Why `segment` cannot work.
        warnings: Parts that will not work, though the rest does.
        weights_are_corrupt: Shipped weights are missing or not what the manifest says.
    """

    pcvos: str | None = None
    system: dict[str, Any] = field(default_factory=dict)
    packages: dict[str, str | None] = field(default_factory=dict)
    torch: dict[str, Any] = field(default_factory=dict)
    devices: dict[str, str] = field(default_factory=dict)
    engines: dict[str, str | None] = field(default_factory=dict)
    ffmpeg: dict[str, Any] = field(default_factory=dict)
    weights: list[dict[str, Any]] = field(default_factory=list)
    folder: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    weights_are_corrupt: bool = False

    @property
    def exit_code(self) -> int:
        """0 usable, 5 shipped weights missing or corrupt, 1 unusable otherwise."""
        if self.weights_are_corrupt:
            return WeightsError.exit_code
        return UNUSABLE if self.problems else 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON-able values."""
        values = asdict(self)
        del values["weights_are_corrupt"]
        return {"usable": self.exit_code == 0, "exit_code": self.exit_code, **values}


def diagnose() -> Diagnosis:
    """Look at everything; no failure of a part ends it."""
    found = Diagnosis()
    parts: dict[str, Callable[[Diagnosis], None]] = {
        "system": _system,
        "packages": _packages,
        "torch": _torch,
        "engines": _engines,
        "FFmpeg": _ffmpeg,
        "weights": _weights,
        "current folder": _folder,
    }
    for name, look in parts.items():
        try:
            look(found)
        except Exception as error:  # A broken installation breaks in any way.
            found.problems.append(f"{name}: cannot be examined: {_words(error)}")
    return found


def _system(found: Diagnosis) -> None:
    try:
        found.pcvos = version("pcvos")
    except PackageNotFoundError:
        found.problems.append("pcvos: is not installed as a package; run pip install")
    found.system = {
        "os": platform.platform(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "executable": sys.executable,
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "usable_cores": available_cores(),
        "memory_mb": _memory_mb(),
    }
    found.environment = {name: os.environ[name] for name in _VARIABLES if name in os.environ}


def cpu_model() -> str:
    """Return the CPU's name, or what comes nearest to it."""
    if platform.system() == "Darwin":
        command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
            return done.stdout.strip()
        except (OSError, subprocess.SubprocessError):
            return platform.processor()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine() or "unknown"


def _memory_mb() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20
    except (AttributeError, OSError, ValueError):  # Windows
        return None


def _packages(found: Diagnosis) -> None:
    for module, distribution in PACKAGES.items():
        try:
            imported = importlib.import_module(module)
            number = getattr(imported, "__version__", None) or version(distribution)
            found.packages[module] = str(number)
        except Exception as error:  # Shared libraries fail with any exception.
            found.packages[module] = None
            found.problems.append(f"{module}: cannot be imported: {_words(error)}")


def _torch(found: Diagnosis) -> None:
    if found.packages.get("torch") is None:
        return
    import torch

    found.torch = {
        "threads": torch.get_num_threads(),
        "interop_threads": torch.get_num_interop_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cuda": torch.version.cuda,
    }
    found.devices = {"cpu": found.system.get("cpu", "cpu")}
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            memory = torch.cuda.get_device_properties(index).total_memory // 2**20
            found.devices[f"cuda:{index}"] = f"{torch.cuda.get_device_name(index)}, {memory} MB"
    if torch.backends.mps.is_available():
        found.devices["mps"] = "Apple GPU"


def _engines(found: Diagnosis) -> None:
    number = found.packages.get("torch")
    if number is None:
        return
    from model.errors import EngineError
    from model.inference.engine import check_onnxruntime, onnxruntime_version

    found.engines = {"torch": number, "onnxruntime": None}
    try:
        check_onnxruntime()
        found.engines["onnxruntime"] = onnxruntime_version()
    except EngineError as error:
        found.warnings.append(f"onnxruntime: torch runs the network, slower: {error.message}")


def _ffmpeg(found: Diagnosis) -> None:
    if found.packages.get("av") is None:
        return
    from pcvos_cli.video.codecs import codec_support

    support = codec_support()
    found.ffmpeg = asdict(support)
    effects = {"encoders": "the overlay cannot be written", "decoders": "such videos stay unread"}
    for kind, effect in effects.items():
        for name, codec in found.ffmpeg[kind].items():
            if codec is None:
                found.warnings.append(f"FFmpeg has no {name} {kind[:-1]}: {effect}")


def _weights(found: Diagnosis) -> None:
    from pcvos_cli.weights_store import read_manifest, verify_shipped

    try:
        entries = read_manifest()
    except (WeightsError, ModuleNotFoundError) as error:
        found.weights_are_corrupt = True
        found.problems.append(f"weights: {error}")
        return
    for entry in entries:
        status = "ok"
        try:
            verify_shipped(entry)
        except WeightsError as error:
            status = "corrupt" if entry.path.is_file() else "missing"
            found.weights_are_corrupt = True
            found.problems.append(f"weights: {error.message}; {error.hint or 'reinstall pcvos'}")
        found.weights.append(
            {
                "name": entry.name,
                "model": entry.preset,
                "file": str(entry.path),
                "sha256": entry.sha256,
                "status": status,
            }
        )
    if not entries:
        found.warnings.append("weights: none are shipped; every run needs --weights")


def _folder(found: Diagnosis) -> None:
    reason = None
    try:
        here = Path.cwd()
        found.folder = {"path": str(here), "writable": True}
        with tempfile.TemporaryFile(dir=here):
            pass
        found.folder["free_mb"] = shutil.disk_usage(here).free // 2**20
    except OSError as error:
        reason = error.strerror or str(error)
    if reason is not None:
        found.folder["writable"] = False
        found.warnings.append(f"current folder: cannot be written to ({reason}); use --out")


def _words(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
