"""A part of a video: from one frame to another, both included."""

from dataclasses import dataclass

from model.errors import ConfigError
from pcvos_cli.video.source import FrameSource


@dataclass(frozen=True, slots=True)
class FrameRange:
    """Frames ``first`` to ``last`` of a source, by index.

    Attributes:
        first: 0-based index of the first frame.
        last: Index of the last frame, included; ``None`` for the source's last.
    """

    first: int = 0
    last: int | None = None

    def __contains__(self, index: int) -> bool:
        """Whether the frame lies inside."""
        return self.first <= index and (self.last is None or index <= self.last)

    def end(self, frame_count: int | None) -> int | None:
        """Return the index after the last frame, ``None`` if nobody knows.

        Args:
            frame_count: Frames the source promises, or ``None``.
        """
        return frame_count if self.last is None else self.last + 1

    def is_whole(self, frame_count: int | None) -> bool:
        """Whether that is every frame of a source that promises ``frame_count``."""
        return self.first == 0 and self.end(frame_count) == frame_count


def find_range(start: int | str | None, end: int | str | None, source: FrameSource) -> FrameRange:
    """Read ``--start`` and ``--end``: output names or indices.

    In a folder of images whose names are numbers, a name goes before an index.

    Args:
        start: First frame; ``None`` for the source's first.
        end: Last frame, included; ``None`` for the source's last.
        source: Whose frames they name.

    Raises:
        ConfigError: A frame is not there, or the end lies before the start.
    """
    first = 0 if start is None else frame_index(f"--start {start}", start, source)
    last = None if end is None else frame_index(f"--end {end}", end, source)
    if last is not None and last < first:
        raise ConfigError(
            f"--start is frame {first}, but --end is frame {last}",
            hint="the end comes last; both frames are included",
        )
    return FrameRange(first, last)


def frame_index(option: str, value: int | str, source: FrameSource) -> int:
    """Return the index of a frame by output name or index.

    Raises:
        ConfigError: It is not there, in words that begin with ``option``.
    """
    path, count = source.info.path, source.info.frame_count
    text = str(value)
    index = value if isinstance(value, int) else source.frame_index(text)
    if index is None and text.isascii() and text.isdigit():
        index = int(text)
    if index is None or index < 0:
        raise ConfigError(
            f"{option}: {path} has no such frame",
            hint="give an index (the first frame is 0) or a frame's output name",
        )
    if count is not None and index >= count:
        raise ConfigError(
            f"{option}: {path} has {count} frames (0 to {count - 1})",
            hint="frames count from 0; without --end, the run goes on to the last",
        )
    return index
