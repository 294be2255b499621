"""What the overlay keeps of its source besides the picture: sound that plays, titles, languages."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from pcvos_cli.video.reader import VideoSource
from tests.support.videos import packets_of, pictures, write_video
from tests.unit.pcvos_cli.masks.test_writers import overlay_of, write_overlay

RATE = 48000

ASS_HEADER = b"""[Script Info]
ScriptType: v4.00+
PlayResX: 384
PlayResY: 288

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, \
Bold, Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, \
Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""

CHAPTERS = [
    {"id": n, "start": start, "end": start + 500, "time_base": Fraction(1, 1000),
     "metadata": {"title": title}}
    for n, start, title in ((1, 0, "One"), (2, 500, "Zwölf"))
]  # fmt: skip


def _write(
    path: Path,
    sounds: Sequence[tuple[str, str, dict[str, str]]],
    *,
    tags: dict[str, str] | None = None,
    timecode: str | None = None,
    subtitles: bool = False,
    chapters: Sequence[Any] = (),
    fps: Fraction | int = 24,
) -> Path:
    """Write 24 frames with tones of 440, 880, ... Hz: encoder, channel layout and tags of each."""
    with av.open(str(path), "w") as out:
        out.metadata.update(tags or {})
        out.set_chapters(list(chapters))
        video: Any = out.add_stream("libx264", rate=Fraction(fps))
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        if timecode:
            video.metadata["timecode"] = timecode
        tracks: list[Any] = []
        for encoder, layout, about in sounds:
            track: Any = out.add_stream(encoder, rate=RATE, options={"strict": "-2"})
            track.codec_context.layout = layout
            track.metadata.update(about)
            tracks.append(track)
        text: Any = out.add_stream("mov_text") if subtitles else None
        if text is not None:
            text.codec_context.subtitle_header = ASS_HEADER
        for index, rgb in enumerate(pictures(24)):
            picture = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            picture.pts, picture.time_base = index, 1 / Fraction(fps)
            out.mux(video.encode(picture))
        out.mux(video.encode(None))
        for number, track in enumerate(tracks, 1):
            _tone(out, track, 440 * number)
        if text is not None:
            packet = av.Packet(b"\0\x05hello")
            packet.stream, packet.time_base = text, Fraction(1, 1000)
            packet.pts, packet.dts, packet.duration = 0, 0, 400
            out.mux(packet)
    return path


def _tone(out: Any, track: Any, hertz: int) -> None:
    context = track.codec_context
    wave = (8000 * np.sin(np.arange(RATE) * 2 * np.pi * hertz / RATE)).astype(np.int16)
    resampler = av.AudioResampler(format=context.format, layout=context.layout, rate=RATE)
    for start in range(0, RATE, 1024):
        frame = av.AudioFrame.from_ndarray(wave[None, start : start + 1024], "s16", "mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
        for ready in resampler.resample(frame):
            out.mux(track.encode(ready))
    out.mux(track.encode(None))


def _loudest(path: Path) -> float:
    """Return the frequency that is the loudest in a file's first sound track, in hertz."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    with av.open(str(path)) as container:
        parts = [
            ready.to_ndarray()[0]
            for frame in container.decode(audio=0)
            for ready in resampler.resample(frame)
        ]
    wave = np.concatenate(parts)[RATE // 8 : -RATE // 8].astype(float)
    return float(np.abs(np.fft.rfft(wave)).argmax() * RATE / wave.size)


def _overlay(path: Path, **options: Any) -> tuple[Path, list[str]]:
    out = path.with_name("o.mp4")
    return out, write_overlay(VideoSource(path), out).notes


@pytest.mark.parametrize(
    ("encoder", "layout", "ending"),
    [
        ("pcm_s16le", "mono", "mov"),
        ("pcm_s24le", "stereo", "mov"),
        ("pcm_f32le", "stereo", "mov"),
        ("pcm_s16be", "5.1", "mov"),
        ("pcm_s24le", "4.0", "mkv"),
        ("pcm_s32le", "stereo", "mkv"),
        ("vorbis", "stereo", "mkv"),
        ("mp2", "stereo", "mkv"),
    ],
)
def test_sound_that_mp4_players_do_not_know_is_encoded(
    encoder: str, layout: str, ending: str, tmp_path: Path
) -> None:
    path = _write(tmp_path / f"in.{ending}", [(encoder, layout, {})])
    out, notes = _overlay(path)
    with av.open(str(out)) as container:
        assert container.streams.audio[0].codec_context.codec.canonical_name == "aac"
    assert _loudest(out) == pytest.approx(440, abs=3)
    assert ["encoded to AAC" in note for note in notes] == [True]


@pytest.mark.parametrize("encoder", ["aac", "ac3", "flac", "libmp3lame", "libopus"])
def test_sound_that_mp4_players_know_is_copied(encoder: str, tmp_path: Path) -> None:
    path = _write(tmp_path / "in.mkv", [(encoder, "stereo", {})])
    out, notes = _overlay(path)
    assert notes == []
    assert [p for _, p in packets_of(out, "audio")] == [p for _, p in packets_of(path, "audio")]


def test_damaged_sound_ends_nothing(tmp_path: Path) -> None:
    path = _write(tmp_path / "in.mkv", [("vorbis", "stereo", {})])
    content = bytearray(path.read_bytes())
    for _, packet in packets_of(path, "audio")[5:9]:
        start = content.index(packet)
        content[start : start + len(packet)] = b"\xff" * len(packet)
    path.write_bytes(content)
    out, notes = _overlay(path)
    assert _loudest(out) == pytest.approx(440, abs=3)
    assert "damaged audio is left out" in notes


@pytest.mark.parametrize("ending", ["mov", "mkv", "mp4"])
def test_languages_title_and_timecode_are_kept(ending: str, tmp_path: Path) -> None:
    sounds = [("aac", "mono", {"language": "eng"}), ("aac", "mono", {"language": "fra"})]
    tags = {"title": "Hello", "artist": "Me"}
    path = _write(tmp_path / f"in.{ending}", sounds, tags=tags, timecode="01:00:00:00")
    out, notes = _overlay(path)
    assert notes == []
    with av.open(str(out)) as container:
        assert [s.metadata["language"] for s in container.streams.audio] == ["eng", "fra"]
        assert {key: container.metadata[key] for key in tags} == tags
        assert container.streams.video[0].metadata["timecode"] == "01:00:00:00"


@pytest.mark.parametrize(
    ("timecode", "fps", "kept"),
    [("00:59:59;28", Fraction(30000, 1001), True), ("10:00:00:00", 25, True), ("", 24, True)],
)
def test_timecodes_of_usual_rates(
    timecode: str, fps: Fraction | int, kept: bool, tmp_path: Path
) -> None:
    path = _write(tmp_path / "in.mov", [], timecode=timecode or None, fps=fps)
    out, notes = _overlay(path)
    with av.open(str(out)) as container:
        assert container.streams.video[0].metadata.get("timecode", "") == timecode
    assert notes == []


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_chapters_are_kept(ending: str, tmp_path: Path) -> None:
    path = _write(tmp_path / f"in.{ending}", [], chapters=CHAPTERS)
    out, notes = _overlay(path)
    assert notes == []
    with av.open(str(out)) as container:
        found = [
            (chapter["metadata"]["title"], float(chapter["start"] * chapter["time_base"]))
            for chapter in container.chapters()
        ]
    assert found == [("One", 0.0), ("Zwölf", 0.5)]


def test_channels_that_are_mixed_are_told(tmp_path: Path) -> None:
    path = _write(tmp_path / "in.mov", [("pcm_s16le", "5.1", {})])
    assert "its 6 channels mixed to stereo" in _overlay(path)[1][0]


def test_what_is_left_out_of_a_part_is_said(tmp_path: Path) -> None:
    path = _write(
        tmp_path / "in.mov", [], timecode="01:00:00:00", subtitles=True, chapters=CHAPTERS
    )
    source = VideoSource(path)
    writer = overlay_of(source, tmp_path / "o.mp4", whole=False)
    writer.abort()
    assert writer.notes == [
        "the 2 chapters are left out of the overlay",
        "the timecode (01:00:00:00) is left out of the overlay",
        "subtitles (mov_text) are left out of the overlay",
    ]


def test_a_timecode_that_is_none_is_left_out(tmp_path: Path) -> None:
    path = write_video(tmp_path / "in.mkv")
    with av.open(str(path), metadata_errors="replace") as container:
        assert "timecode" not in container.streams.video[0].metadata
    path = _write(tmp_path / "odd.mkv", [], tags={"timecode": "soon"})
    out, notes = _overlay(path)
    assert notes == ["the timecode (soon) is left out of the overlay"]
    assert out.is_file()


def test_subtitles_that_mp4_holds_are_kept(tmp_path: Path) -> None:
    path = _write(tmp_path / "in.mov", [("aac", "mono", {})], subtitles=True)
    out, notes = _overlay(path)
    with av.open(str(out)) as container:
        (stream,) = container.streams.subtitles
        assert b"hello" in b"".join(bytes(p) for p in container.demux(stream))
    assert notes == []
