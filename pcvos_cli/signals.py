"""SIGTERM unwinds the stack as Ctrl-C does, so that finished masks are kept."""

import signal
from types import FrameType

INTERRUPTED = 128 + int(signal.SIGINT)
TERMINATED = 128 + int(signal.SIGTERM)


class Terminated(BaseException):
    """SIGTERM arrived. Like ``KeyboardInterrupt``, not an ``Exception``."""


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise Terminated


def raise_on_sigterm() -> None:
    """Turn SIGTERM into ``Terminated`` in the main thread."""
    signal.signal(signal.SIGTERM, _terminate)
