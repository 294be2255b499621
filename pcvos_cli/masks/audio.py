"""The audio of a source, and its subtitles, carried over into another file."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import av
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError

from pcvos_cli.masks.tags import track_tags

AAC_RATES = frozenset({8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000})
"""Samples a second that AAC can have, and players play."""

ENCODER_NAMES = {"aac": "AAC", "libopus": "Opus"}


class AudioTracks:
    """The source's audio, copied packet by packet as the video advances.

    Args:
        source: The source, opened for this alone.
        out: The file that is written.
        notes: Remarks for the user are added here.
        encoder: Of audio that the container cannot hold as it is.
        video: What the file is, in words.
        container: Its format, in words.
        copied: Codecs of audio that are copied; ``None`` for all that the container can hold.
        subtitles: Subtitle tracks of the source that are copied.

    Attributes:
        delay: Seconds that are added to every timestamp.
    """

    def __init__(
        self,
        source: InputContainer,
        out: OutputContainer,
        notes: list[str],
        *,
        encoder: str,
        video: str,
        container: str,
        copied: frozenset[str] | None,
        subtitles: Sequence[Any],
    ) -> None:
        self._out = out
        self._notes = notes
        self._encoder, self._video, self._container = encoder, video, container
        self._copied = copied
        self.delay = Fraction(0)
        self._tracks: dict[int, Any] = {}
        self._encoded: dict[int, Any] = {}
        streams: list[Any] = list(source.streams.audio)
        for stream in streams:
            self._add(stream)
        for stream in subtitles:
            self._tracks[stream.index] = out.add_stream_from_template(stream)
            streams.append(stream)
        for stream in streams:
            if stream.index in self._tracks:
                self._tracks[stream.index].metadata.update(track_tags(stream.metadata))
        self._packets: Iterator[Any] = iter(())
        if self._tracks:
            self._packets = source.demux([streams[i] for i in range(len(streams))])
        self._held: Any = None

    def _add(self, stream: Any) -> None:
        if stream.codec_context is None:
            self._notes.append(f"an audio track of unknown codec is left out of the {self._video}")
            return
        name = stream.codec_context.name
        try:
            if self._copied is not None and not {name, _kind(stream)} & self._copied:
                raise ValueError(name)
            self._tracks[stream.index] = self._out.add_stream_from_template(stream)
        except (ValueError, FFmpegError):
            rate = stream.codec_context.sample_rate
            rate = rate if self._encoder == "aac" and rate in AAC_RATES else 48_000
            layout = "mono" if stream.codec_context.channels == 1 else "stereo"
            track: Any = self._out.add_stream(self._encoder, rate=rate)
            track.codec_context.layout = layout
            track.codec_context.bit_rate = 192_000
            self._tracks[stream.index] = track
            self._encoded[stream.index] = av.AudioResampler(
                format=track.codec_context.format, layout=layout, rate=rate
            )
            channels = stream.codec_context.channels
            mixed = f", its {channels} channels mixed to stereo" if channels > 2 else ""
            self._notes.append(
                f"audio ({name}) encoded to {ENCODER_NAMES[self._encoder]}{mixed}: "
                f"{self._container} cannot hold it as it is"
            )

    def skip_until(self, seconds: float) -> None:
        """Leave out the audio that ends by a time."""
        while self._held is None:
            packet = self._next()
            if packet is None:
                return
            length = float((packet.duration or 0) * packet.time_base) if packet.size else 0.0
            if not packet.size or _seconds(packet) + self.delay + length > seconds:
                self._held = packet

    def close(self) -> None:
        """End the encoded tracks that have not come to their end."""
        for index in list(self._encoded):
            self._flush(index)

    def _flush(self, index: int) -> None:
        resampler, track = self._encoded.pop(index), self._tracks[index]
        for ready in resampler.resample(None):
            self._out.mux(track.encode(ready))
        self._out.mux(track.encode(None))

    def copy_until(self, seconds: float | None) -> None:
        """Write the audio up to a time, or all that is left."""
        while True:
            # An end-of-stream packet is empty and so counts as false: ask for None.
            packet = self._next() if self._held is None else self._held
            self._held = None
            if packet is None:
                return
            if seconds is not None and _seconds(packet) + self.delay > seconds:
                self._held = packet
                return
            self._write(packet)

    def _next(self) -> Any:
        try:
            return next(self._packets, None)
        except FFmpegError as error:
            self._packets = iter(())
            self._notes.append(f"the audio ends early: {error.strerror}")
            return None

    def _decoded(self, packet: Any) -> list[Any]:
        """Return a packet's frames, none where it is damaged."""
        try:
            return list(packet.decode())
        except FFmpegError:
            note = "damaged audio is left out"
            if note not in self._notes:
                self._notes.append(note)
            return []

    def _write(self, packet: Any) -> None:
        index = packet.stream.index  # stream_index is not set in the packet at the end
        track = self._tracks.get(index)
        if track is None:
            return
        if self.delay and packet.size:
            ticks = round(self.delay / _as_fraction(packet.time_base))
            packet.pts = None if packet.pts is None else packet.pts + ticks
            packet.dts = None if packet.dts is None else packet.dts + ticks
        resampler = self._encoded.get(index)
        if resampler is None:
            if packet.size:
                if packet.dts is None:  # audio is not reordered, so one serves for the other
                    packet.dts = packet.pts
                packet.stream = track
                self._out.mux(packet)
            return
        for frame in self._decoded(packet):
            for ready in resampler.resample(frame):
                self._out.mux(track.encode(ready))
        if not packet.size:
            self._flush(index)


def _kind(stream: Any) -> str:
    """Return the codec's own name, not that of one of its decoders."""
    return getattr(stream.codec_context.codec, "canonical_name", stream.codec_context.name)


def _seconds(packet: Any) -> float:
    return float("inf") if packet.pts is None else float(packet.pts * packet.time_base)


def _as_fraction(value: Any) -> Fraction:
    return Fraction(int(value.numerator), int(value.denominator))
