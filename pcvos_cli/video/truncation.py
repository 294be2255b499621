"""Files that end before their own headers say: seen by sizes, where frames cannot be counted."""

from pathlib import Path
from typing import BinaryIO

_BOXES = frozenset(
    b"ftyp styp moov moof mdat mfra sidx free skip wide uuid udta meta pdin emsg prft".split()
)
"""Boxes that may stand at the top of an MP4; anything else is something appended to it."""

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_TS_PACKETS = {0: 188, 4: 192}
"""Place of the first sync byte in MPEG-TS, and the size of the packets that it tells."""


def is_cut_off(path: Path, kind: str) -> bool:
    """Tell whether a file is shorter than its headers say, to the byte.

    A container that states no sizes, or a file that is cut between two of its parts, cannot
    be told from a whole one.

    Args:
        path: The file.
        kind: FFmpeg's name of the container.
    """
    if not path.is_file():
        return False  # A pipe has no size, and opening it again waits for ever.
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            if "mp4" in kind:
                return _mp4_end(file, size) > size
            if "matroska" in kind:
                return _matroska_end(file) > size
            if kind == "mpegts":
                return _ts_rest(file, size) > 0
    except OSError:
        return False  # It was read a moment ago; whatever this is, it is no cut.
    return False


def frames_in_index(path: Path, stream: int) -> int:
    """Return how many frames the old index (``idx1``) of an AVI lists, empty ones among them.

    Args:
        path: The file.
        stream: Number of the video stream.
    """
    with path.open("rb") as file:
        position = 12  # After RIFF, its size and AVI.
        while len(head := _at(file, position, 8)) == 8:
            length = int.from_bytes(head[4:], "little")
            if head[:4] == b"idx1":
                entries = file.read(length)
                names = {b"%02ddc" % stream, b"%02ddb" % stream}
                return sum(entries[i : i + 4] in names for i in range(0, len(entries), 16))
            position += 8 + length + length % 2
    return 0


def _at(file: BinaryIO, position: int, length: int) -> bytes:
    file.seek(position)
    return file.read(length)


def _mp4_end(file: BinaryIO, size: int) -> int:
    """Return where the last top-level box ends."""
    position = 0
    while position + 8 <= size:
        file.seek(position)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:], "big")
        if length < 8 or head[4:8] not in _BOXES:
            break  # 0 is "up to the end of the file"
        position += length
    return position


def _matroska_end(file: BinaryIO) -> int:
    """Return where the segment ends, 0 where that is left open, as live streams do."""
    if file.read(4) != _EBML:
        return 0
    header = _ebml_length(file)
    if header is None:
        return 0
    file.seek(header, 1)
    if file.read(4) != _SEGMENT:
        return 0
    length = _ebml_length(file)
    return 0 if length is None else file.tell() + length


def _ebml_length(file: BinaryIO) -> int | None:
    """Read a length of one to eight bytes; all ones is an unknown one."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    width = 9 - first[0].bit_length()
    rest = file.read(width - 1)
    bits = 7 * width
    value = int.from_bytes(first + rest, "big") & ((1 << bits) - 1)
    return None if value == (1 << bits) - 1 else value


def _ts_rest(file: BinaryIO, size: int) -> int:
    """Return the bytes of the packet that the file breaks off in."""
    head = file.read(5)
    for place, length in _TS_PACKETS.items():
        if head[place : place + 1] == b"\x47":
            return size % length
    return 0
