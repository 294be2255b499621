"""Single frames of a video or folder, in any order, with the indices that decoding gives them."""

import threading
from array import array
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from model.errors import InputError
from pcvos_cli.video.faults import Faults
from pcvos_cli.video.folder import FolderSource, image_files
from pcvos_cli.video.reader import VideoSource, decode_pictures, open_container, video_stream
from pcvos_cli.video.source import FrameSource, VideoInfo

CACHE_BYTES = 96 << 20
"""Decoded pictures kept, so that stepping back does not decode from the keyframe again."""

NEAR = 12
"""Frames ahead that are reached by decoding on rather than by seeking."""


class FrameFinder:
    """Frames by index, thread-safe.

    A video is sought by timestamps. They are read from its packets without decoding, and
    taken only where every packet must become a frame: a stream that starts with a keyframe,
    with a timestamp of its own for each packet. Otherwise, and where decoding shows another
    order than the packets, the whole stream is decoded once to count.

    Args:
        source: An open video or folder; stays the caller's.

    Attributes:
        info: Of the source.
        count: Frames there are.
        counted: How often they were counted anew: indices may mean other frames since.

    Raises:
        InputError: The video cannot be read.
    """

    def __init__(self, source: FrameSource) -> None:
        self.info: VideoInfo = source.info
        self.counted = 0
        self._source = source
        self._lock = threading.RLock()
        self._pictures: OrderedDict[int, av.VideoFrame] = OrderedDict()
        self._running: Iterator[tuple[int, av.VideoFrame]] | None = None
        self._next = 0
        self._container: InputContainer | None = None
        self._names: list[str] | None = None
        self._timestamps: array[int] = array("q")
        self._seekable = False
        if isinstance(source, FolderSource):
            self._names = [file.stem for file in image_files(source.info.path)]
            self.count = len(self._names)
        elif not isinstance(source, VideoSource):
            self.count = source.info.frame_count or 0
        else:
            self._use(_packet_timestamps(source) or self._decoded_timestamps())

    def name(self, index: int) -> str:
        """Return the name of a frame's outputs, as ``Frame.name``."""
        return self.info.frame_name(index) if self._names is None else self._names[index]

    def rgb(self, index: int) -> NDArray[np.uint8]:
        """Return a frame, ``(H, W, 3)`` uint8, upright.

        Raises:
            IndexError: There is no such frame.
            InputError: It cannot be read.
        """
        if not 0 <= index < self.count:
            raise IndexError(f"there is no frame {index}: the video has {self.count}")
        with self._lock:
            if isinstance(self._source, VideoSource) and self._seekable:
                picture = self._pictures.get(index) or self._find(index)
                if picture is not None:
                    return self._source.to_rgb(picture, VideoReformatter(), Faults(), index)
            frame = next(self._source.frames_from(index), None)
        if frame is None:
            raise InputError(f"{self.info.path}: frame {index} cannot be decoded")
        return frame.rgb

    def agree(self, index: int, pts: int) -> bool:
        """Compare with a frame that was decoded from the start; count anew if it differs.

        Returns:
            Whether frames had the right indices so far.
        """
        with self._lock:
            if not self._seekable:
                return True
            if index < self.count and self._timestamps[index] == pts:
                return True
            self._recount()
            return False

    def close(self) -> None:
        """Release the file. The source stays open."""
        with self._lock:
            self._stop()

    def _find(self, index: int) -> av.VideoFrame | None:
        """Decode up to a frame; ``None`` where that proved the timestamps wrong."""
        if self._running is None or not self._next <= index <= self._next + NEAR:
            self._stop()
            self._running = self._pictures_from(index)
        for position, picture in self._running:
            self._keep(position, picture)
            self._next = position + 1
            if position == index:
                return picture
        self._recount()
        return None

    def _pictures_from(self, index: int) -> Iterator[tuple[int, av.VideoFrame]]:
        """Yield pictures from the keyframe before ``index`` on, while their order is right."""
        path = self.info.path
        self._container = open_container(path)
        stream = video_stream(self._container, path)
        positions = {pts: i for i, pts in enumerate(self._timestamps)}
        expected: int | None = None
        try:
            self._container.seek(self._timestamps[index], stream=stream)
            for picture in self._container.decode(stream):
                position = positions.get(-1 if picture.pts is None else picture.pts)
                if position is None or (expected is not None and position != expected):
                    return
                if expected is None and position > index:
                    return
                expected = position + 1
                yield position, picture
        except FFmpegError:
            return

    def _keep(self, position: int, picture: av.VideoFrame) -> None:
        self._pictures[position] = picture
        self._pictures.move_to_end(position)
        room = max(2, CACHE_BYTES // (picture.width * picture.height * 3 // 2))
        while len(self._pictures) > room:
            self._pictures.popitem(last=False)

    def _stop(self) -> None:
        self._running = None
        if self._container is not None:
            self._container.close()
            self._container = None

    def _recount(self) -> None:
        self._stop()
        self._pictures.clear()
        self.counted += 1
        self._use(self._decoded_timestamps())

    def _use(self, timestamps: "array[int]") -> None:
        self._timestamps = timestamps
        self.count = len(timestamps)
        # Equal or missing timestamps tell no frame from another.
        self._seekable = all(a < b for a, b in pairwise(timestamps))

    def _decoded_timestamps(self) -> "array[int]":
        path = self.info.path
        with closing(open_container(path)) as container:
            stream = video_stream(container, path)
            pictures = decode_pictures(container, stream, Faults(), path)
            return array("q", (0 if p.pts is None else p.pts for p in pictures))


def _packet_timestamps(source: FrameSource) -> "array[int] | None":
    """Return the timestamps of all frames in order, or ``None`` where packets do not tell."""
    path = source.info.path
    try:
        with closing(open_container(path)) as container:
            stream: VideoStream = video_stream(container, path)
            if container.format.name == "avi":  # has no timestamps of presentation
                return None
            found: list[int] = []
            for packet in container.demux(stream):
                if packet.size == 0:
                    continue
                first_is_key = bool(found) or packet.is_keyframe
                if packet.pts is None or packet.is_corrupt or packet.is_discard or not first_is_key:
                    return None
                if found and packet.pts < found[0]:
                    return None  # Shown before the first keyframe: decoders drop it.
                found.append(packet.pts)
    except FFmpegError:
        return None
    found.sort()
    return array("q", found) if found and len(set(found)) == len(found) else None
