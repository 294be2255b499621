"""The plan of a run, and its report (``run.json``)."""

import json
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pcvos_cli.files import write_whole

_PACKAGES = (
    "pcvos",
    "torch",
    "torchvision",
    "onnxruntime",
    "av",
    "numpy",
    "opencv-python-headless",
)


@dataclass(frozen=True, slots=True)
class RunPlan:
    """The plan of a run, made before a frame is segmented.

    Attributes:
        input: The video or folder.
        output: The folder for the results.
        source_size: ``(height, width)`` of a displayed frame, and of masks and overlay.
        working_size: ``(height, width)`` at which the model works.
        start: Index of the run's first frame.
        resume_at: First frame that an unfinished run left to do, or ``None`` if this one
            begins at its start.
        frames: Frames of the run that the container promises, or ``None``.
        first_frame: Index of the first reference mask.
        backward: Frames before it are segmented too; else they get empty masks.
        object_ids: All ids of the run, ascending.
        references: Object ids stated on each reference frame, by frame index.
        clips: Clips to segment, or ``None`` where ``frames`` is.
        expected_memory_frames: Frames in the memory at the end, or ``None`` likewise.
        expected_memory_mb: Size of that memory with these weights' widths, in MB, or ``None``.
        weights: Name of the weights.
        device: Where the model runs.
        engine: What runs it: ``torch`` or ``onnxruntime``.
        notes: How the masks were understood (void values, colours, a resize), and why the
            engine is not the fastest for this device.
    """

    input: str
    output: str
    source_size: tuple[int, int]
    working_size: tuple[int, int]
    start: int
    frames: int | None
    first_frame: int
    backward: bool
    object_ids: tuple[int, ...]
    references: dict[int, tuple[int, ...]]
    clips: int | None
    expected_memory_frames: int | None
    expected_memory_mb: float | None
    weights: str
    device: str
    engine: str
    notes: tuple[str, ...]
    resume_at: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON-able values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class SegmentReport:
    """The report of a run; ``run.json`` holds the same.

    Attributes:
        input: The video or folder.
        output: The folder with the results.
        outputs: Path of each format written, by format.
        frames: Frames read, which is the number of masks.
        segmented_frames: Frames from the first reference mask on; with ``backward`` all.
        object_ids: The user's ids, ascending.
        source_size: ``(height, width)`` of masks and overlay.
        working_size: ``(height, width)`` at which the model worked.
        memory_frames: Frames in the memory at the end (of the way forward).
        resumed_at: Frame at which this run took over from an unfinished one, or ``None``.
            Frames before it count neither for ``fps_model`` nor for ``fps_end_to_end``.
        fps_model: Frames segmented by the seconds spent in the model alone.
        fps_end_to_end: Frames by the seconds from the first frame's decoding to the
            last file's closing; loading the weights is not in it.
        peak_memory_mb: Largest resident size of the process so far, in MB; 0 where the
            system does not tell.
        peak_device_memory_mb: Largest allocation on a CUDA device, in MB, or ``None``.
        seconds: By stage. Decoding and writing run beside the model, so the stages may add
            up to more than ``total``.
        settings: What was chosen, with the weights' name and SHA-256.
        versions: Of Python and the packages that decide the result.
        device: What the model ran on.
        engine: What ran it: ``torch`` or ``onnxruntime``.
        threads: CPU threads of torch and the engine.
        identity: SHA-256 of all that decides the results; equal for a run and its resumption.
        notes: How the masks were understood, and what is special about the outputs.
        warnings: What is damaged in the input.
        stopped: Why the input could not be read to its end, or ``None``. The results hold the
            frames before that, and the exit code is 3.
    """

    input: str
    output: str
    outputs: dict[str, str]
    frames: int
    segmented_frames: int
    object_ids: tuple[int, ...]
    source_size: tuple[int, int]
    working_size: tuple[int, int]
    memory_frames: int
    resumed_at: int | None
    fps_model: float
    fps_end_to_end: float
    peak_memory_mb: float
    peak_device_memory_mb: float | None
    seconds: dict[str, float]
    settings: dict[str, Any]
    versions: dict[str, str]
    device: str
    engine: str
    threads: int
    identity: str
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    stopped: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON-able values."""
        return asdict(self)

    @classmethod
    def read(cls, path: Path) -> "SegmentReport | None":
        """Read what ``write`` wrote; ``None`` if there is no such file."""
        try:
            values: dict[str, Any] = json.loads(path.read_bytes())
            for name, value in values.items():
                values[name] = tuple(value) if isinstance(value, list) else value
            return cls(**values)
        except (OSError, ValueError, TypeError, AttributeError):
            return None

    def write(self, path: Path) -> None:
        """Write the report as JSON, under a temporary name first.

        Raises:
            OutputError: If it cannot be written.
        """
        text = json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n"
        write_whole(path, text.encode())


def package_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide a result."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue  # OpenCV comes under several names.
    return found


def peak_resident_mb() -> float:
    """Return the largest resident size of this process so far, in MB (0 if unknown)."""
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts in KiB, macOS in bytes.
    return peak / (2**20 if platform.system() == "Darwin" else 2**10)
