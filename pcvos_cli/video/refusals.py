"""Inputs that are neither a file nor a folder, or a file of another kind: what to do instead."""

import re
from pathlib import Path

from model.errors import InputError

_URL = re.compile(r"([a-z][a-z0-9+.-]+):/+", re.IGNORECASE)
_PATTERN = re.compile(r"%0?\d*d|[*?]")


def no_file(path: Path) -> InputError:
    """Return the error for a path that is no file and no folder."""
    text = path.as_posix()
    url = _URL.match(text)
    if url and len(url[1]) > 1:  # C:/ is a drive.
        address = text.replace(url[0], f"{url[1]}://", 1)
        live = url[1].lower() not in ("http", "https", "ftp", "file", "s3", "gs")
        return InputError(
            f"{address}: is no file: pcvos reads nothing from the network",
            hint="record it to a file first (ffmpeg -i ADDRESS -c copy video.mp4)"
            if live
            else "download it first, and give the file",
        )
    if not path.exists():
        if _PATTERN.search(path.name):
            return InputError(
                f"{path}: is a pattern of names, not a file",
                hint=f"give the folder, whose images are taken in natural order: {path.parent}/",
            )
        return InputError(f"{path}: not found", hint="check the path")
    if path.is_char_device() or path.is_socket():
        return InputError(
            f"{path}: is a device or a socket, not a file",
            hint="give a file, or send a video through a pipe: ... | pcvos segment - ...",
        )
    return InputError(f"{path}: is neither a file nor a folder", hint="check the path")
