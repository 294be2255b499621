"""The tree of errors that a user can cause and mend.

::

    PCVOSError                1   unexpected
    ├── ConfigError           2   a setting that contradicts itself or the model
    │   ├── EngineError       2   an engine that is missing or cannot run the network
    │   └── MissingPackage    2   an optional package that is not installed
    ├── InputError            3   input missing, unreadable or unsupported
    ├── MaskError             4   mask and video disagree
    ├── WeightsError          5   weights missing, corrupt or of another architecture
    ├── OutputError           6   output refused, disk full
    └── OutOfMemoryError      7   host or device memory exhausted

The numbers are the exit codes of the command line. A message says what is wrong, where
(file, frame, both sizes) and, in ``hint``, how to fix it. Mistakes of our own are
``assert`` or ``ValueError``, never one of these.
"""

import errno
import sys
from typing import ClassVar


class PCVOSError(Exception):
    """Base of every error that is reported in one to three lines, without a traceback.

    Args:
        message: What is wrong and where.
        hint: How to fix it, or ``None``.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigError(PCVOSError):
    """A setting contradicts another, or the model."""

    exit_code = 2


class EngineError(ConfigError):
    """The engine asked for is missing, or cannot run the network."""


class MissingPackage(ConfigError):  # noqa: N818
    """An optional package is not installed.

    Args:
        purpose: The option or the function that needs it.
        package: Its name.
        extra: The extra of pcvos that installs it.
    """

    def __init__(self, purpose: str, package: str, extra: str) -> None:
        super().__init__(
            f"{purpose} needs {package}, which is not installed",
            hint=f"pip install 'pcvos[{extra}]'",
        )


class InputError(PCVOSError):
    """The input is missing, unreadable or of an unsupported kind."""

    exit_code = 3


class MaskError(PCVOSError):
    """A reference mask does not fit the video or cannot be understood."""

    exit_code = 4


class WeightsError(PCVOSError):
    """Weights are missing, corrupt, of another architecture, or not weights at all."""

    exit_code = 5


class OutputError(PCVOSError):
    """Output was refused (it exists, is read-only, is in use) or could not be written."""

    exit_code = 6


class OutOfMemoryError(PCVOSError):
    """Host or device memory is exhausted."""

    exit_code = 7


def as_known(error: Exception) -> PCVOSError | None:
    """Return the error as one with an exit code of its own, or ``None`` for our mistakes."""
    if isinstance(error, PCVOSError):
        return error
    if _is_out_of_memory(error):
        first_line = str(error).partition("\n")[0] or "the system gave no details"
        return OutOfMemoryError(
            f"out of memory: {first_line}", hint="try a smaller --size or a shorter --interval"
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutputError(f"no space left on the disk: {error.filename or error}")
    if isinstance(error, OSError) and error.filename and error.errno in _NOT_REACHED:
        return InputError(f"{error.filename}: cannot be reached ({error.strerror})")
    return None


_NOT_REACHED = (errno.ENAMETOOLONG, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE)
"""Errors of a path that is only asked for, which ``Path.exists`` raises."""

_OUT_OF_MEMORY = ("DefaultCPUAllocator", "bad_alloc", "Failed to allocate memory")
"""What allocators of torch and ONNX Runtime say, in errors of any class."""


def _is_out_of_memory(error: Exception) -> bool:
    torch = sys.modules.get("torch")  # An error of torch's cannot exist before its import.
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, MemoryError) or any(sign in str(error) for sign in _OUT_OF_MEMORY)
