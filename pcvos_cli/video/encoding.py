"""Writing a plain video file, for a clip that is made and not filmed."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from model.errors import OutputError
from pcvos_cli.files import output_errors
from pcvos_cli.video.codecs import codec_support
from pcvos_cli.video.reader import SCALER_THREADS


def write_video(
    path: Path, frames: Iterable[NDArray[np.uint8]], size: tuple[int, int], *, fps: int = 24
) -> None:
    """Write frames as H.264, or as MPEG-4 part 2 where FFmpeg lacks libx264.

    Args:
        path: The file; its ending chooses the container.
        frames: ``(H, W, 3)`` RGB.
        size: ``(H, W)``, both even.
        fps: Frames a second.

    Raises:
        OutputError: If it cannot be written.
    """
    encoder = codec_support().encoders["libx264"] or "mpeg4"
    try:
        with output_errors(path), av.open(f"file:{path}", "w") as container:
            stream: Any = container.add_stream(encoder, rate=Fraction(fps))
            stream.height, stream.width = size
            stream.pix_fmt = "yuv420p"
            for index, rgb in enumerate(frames):
                picture = av.VideoFrame.from_ndarray(rgb, format="rgb24")
                picture = picture.reformat(format="yuv420p", threads=SCALER_THREADS)
                picture.pts, picture.time_base = index, Fraction(1, fps)
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))
    except (av.error.FFmpegError, ValueError) as error:
        raise OutputError(f"{path}: cannot be encoded ({error})") from error
