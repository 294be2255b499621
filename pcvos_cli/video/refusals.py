"""Inputs that are neither a file nor a folder of images: what to do instead."""

import re
import shlex
from pathlib import Path

from model.errors import InputError
from pcvos_cli.video.folder import IMAGE_SUFFIXES, image_files, natural_key

_URL = re.compile(r"([a-z][a-z0-9+.-]+):/+", re.IGNORECASE)
_FOR_FFMPEG = {
    ".exr": "-apply_trc iec61966_2_1 ",
    ".dpx": "", ".cin": "", ".pfm": "", ".sgi": "",
}  # fmt: skip
"""Images that FFmpeg converts, and the options that it needs: EXR holds linear light."""

_OTHERS = {
    ("czi", "nd2", "lif", "oib", "oif", "vsi", "ims", "h5", "hdf5"): "export it as TIFF or "
    "OME-TIFF, in Fiji for example",
    ("braw", "r3d", "ari", "arx", "crm", "nev"): "camera raw: export it as ProRes, DNxHR or H.264 "
    "from your editing program",
    ("zip", "rar", "7z", "tar", "gz", "tgz"): "an archive: unpack it, and give what is inside",
}
"""Endings of files that hold pictures and that FFmpeg does not read, and what to do."""

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


def unreadable(path: Path, reason: str) -> InputError:
    """Return the error for a file that FFmpeg does not open."""
    ending = path.suffix[1:].lower()
    hint = (
        "the file is damaged, cut off before its index (moov), or no video at all; "
        "try ffprobe on it"
    )
    hint = next((advice for endings, advice in _OTHERS.items() if ending in endings), hint)
    return InputError(f"{path}: not a readable video ({reason})", hint=hint)


def no_images(folder: Path) -> InputError:
    """Return the error for a folder without images."""
    files = [f for f in sorted(folder.iterdir(), key=natural_key) if not f.name.startswith(".")]
    inside = next((place for place in files if place.is_dir() and image_files(place)), None)
    film = next((file for file in files if file.suffix.lower() in _FOR_FFMPEG), None)
    if (folder / "run.json").is_file():
        hint = "it holds the results of a run: give the video that they are of"
    elif film is not None:
        return InputError(
            f"{folder}: holds {film.suffix[1:].upper()} images, which pcvos does not read",
            hint=f"convert them, and give the folder frames: {_conversion(film)}",
        )
    elif inside is not None:
        hint = f"give a folder inside that has some, such as {inside}"
    else:
        hint = f"images end in {', '.join(sorted(IMAGE_SUFFIXES))}"
    return InputError(f"{folder}: the folder holds no images", hint=hint)


def _conversion(first: Path) -> str:
    """Return the command that converts a numbered sequence, which keeps its numbers, to PNG."""
    name, start = first.stem.replace("%", "%%"), ""
    numbers = list(re.finditer(r"[0-9]+", name))
    if numbers:
        begin, end = numbers[-1].span()
        start = f"-start_number {int(name[begin:end])} "
        name = f"{name[:begin]}%0{end - begin}d{name[end:]}"
    folder = str(first.parent).replace("%", "%%")
    given = shlex.quote(str(Path(folder, f"{name}{first.suffix}")))
    options = _FOR_FFMPEG[first.suffix.lower()]
    made = shlex.quote(f"frames/{name}.png")
    return f"mkdir frames && ffmpeg {options}{start}-i {given} {start}{made}"
