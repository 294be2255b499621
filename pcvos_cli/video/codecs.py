"""The codecs that the FFmpeg inside PyAV can read and write."""

from dataclasses import dataclass

import av
from av.codec import Codec

ENCODERS = {"libx264": ("libx264",), "aac": ("aac",)}
"""The encoders that write the overlay."""

DECODERS = {
    "h264": ("h264",),
    "hevc": ("hevc",),
    "vp9": ("vp9", "libvpx-vp9"),
    # FFmpeg's own `av1` needs hardware that decodes it.
    "av1": ("libdav1d", "libaom-av1", "libgav1"),
}
"""The codecs of most videos: the kind, and the decoders that serve it."""


@dataclass(frozen=True, slots=True)
class CodecSupport:
    """The codecs that matter to us.

    Attributes:
        ffmpeg: Version of FFmpeg, or ``None`` where PyAV does not say.
        libraries: Version of each of its libraries.
        encoders: By kind, the name of the codec that serves it, or ``None``.
        decoders: Likewise.
    """

    ffmpeg: str | None
    libraries: dict[str, str]
    encoders: dict[str, str | None]
    decoders: dict[str, str | None]


def codec_support() -> CodecSupport:
    """Return what this installation's FFmpeg has."""
    version = getattr(av, "ffmpeg_version_info", None)
    return CodecSupport(
        ffmpeg=str(version) if version else None,
        libraries={name: ".".join(map(str, v)) for name, v in av.library_versions.items()},
        encoders={kind: _first(names, "w") for kind, names in ENCODERS.items()},
        decoders={kind: _first(names, "r") for kind, names in DECODERS.items()},
    )


def _first(names: tuple[str, ...], mode: str) -> str | None:
    for name in names:
        try:
            Codec(name, "w" if mode == "w" else "r")
        except ValueError:  # UnknownCodecError
            continue
        return name
    return None
