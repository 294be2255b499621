"""What a source says about itself, carried over: title, chapters, languages, timecode."""

import re
from collections.abc import Mapping
from typing import Any

from av.container import InputContainer, OutputContainer

_OF_THE_FILE = frozenset(
    {"major_brand", "minor_version", "compatible_brands", "encoder", "duration", "timecode"}
)
"""What describes the source's file and not what it shows."""

_OF_A_TRACK = ("language", "title")

TIMECODE_RATES = frozenset({24, 25, 30, 48, 50, 60, 100, 120, 150})
"""Frames a second, rounded, that FFmpeg counts timecode in."""

_TIMECODE = re.compile(r"[0-9]{2}:[0-9]{2}:[0-9]{2}[:;.][0-9]{2,3}", re.ASCII)

SUBTITLES = "mov_text"
"""The subtitles that MP4 and MOV hold."""


def carry_tags(
    source: InputContainer, out: OutputContainer, video: Any, *, whole: bool, kind: str
) -> list[str]:
    """Give a file the source's title and other tags, its chapters, and its timecode.

    Args:
        source: The source.
        out: The file that is written, before its first packet.
        video: Its video stream.
        whole: All of the source's frames come, so its chapters and its timecode hold.
        kind: What the file is, in words.

    Returns:
        What is left out, for the user.
    """
    kept = {k: v for k, v in source.metadata.items() if k.lower() not in _OF_THE_FILE}
    out.metadata.update({key.lower() if key.isupper() else key: kept[key] for key in kept})
    notes = []
    chapters = source.chapters()
    if chapters and whole:
        out.set_chapters(chapters)
    elif chapters:
        notes.append(f"the {len(chapters)} chapters are left out of the {kind}")
    timecode = _timecode(source)
    if timecode is not None:
        rate = round(video.average_rate)
        fits = rate in TIMECODE_RATES and _TIMECODE.fullmatch(timecode) is not None
        drops = not timecode[-3:].startswith(":")
        if whole and fits and not (drops and rate % 30) and out.format.name != "webm":
            video.metadata["timecode"] = timecode
        else:
            notes.append(f"the timecode ({timecode}) is left out of the {kind}")
    return notes


def track_tags(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return of a track's tags those that players choose by."""
    return {key: metadata[key] for key in _OF_A_TRACK if key in metadata}


def carried_subtitles(
    source: InputContainer, out: OutputContainer, notes: list[str], *, whole: bool, kind: str
) -> list[Any]:
    """Return the subtitle tracks that can be copied; what is left out goes into the notes."""
    carried = []
    for stream in source.streams.subtitles:
        name = getattr(stream.codec_context, "name", "of unknown codec")
        if name == SUBTITLES and whole and out.format.name in ("mp4", "mov"):
            carried.append(stream)
        else:
            notes.append(f"subtitles ({name}) are left out of the {kind}")
    return carried


def _timecode(source: InputContainer) -> str | None:
    """Return the timecode of the first frame, wherever the container keeps it."""
    for metadata in (*(s.metadata for s in source.streams), source.metadata):
        for key in ("timecode", "TIMECODE"):
            if key in metadata:
                return str(metadata[key])
    return None
