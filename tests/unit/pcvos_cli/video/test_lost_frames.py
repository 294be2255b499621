"""Frames that go into a decoder and do not come out."""

from dataclasses import dataclass
from typing import Any

import pytest

from pcvos_cli.video.faults import Faults, LostFrames


@dataclass
class Packet:
    pts: int | None
    is_keyframe: bool = False
    is_discard: bool = False
    content: bytes = b"\x10"

    def __bytes__(self) -> bytes:
        return self.content


def lost(packets: list[Packet], shown: list[int], codec: str = "h264") -> Faults:
    """Send packets, then let the frames with these timestamps come out."""
    faults = Faults()
    frames = LostFrames(codec, faults)
    for due, packet in enumerate(packets):
        frames.sent(packet, due)
    for pts in shown:
        picture: Any = Packet(pts)
        frames.decoded(picture)
    frames.close()
    return faults


def reordered(count: int) -> list[Packet]:
    return [Packet(pts ^ 1, is_keyframe=pts == 1) for pts in range(1, count + 1)]


def test_frames_may_come_out_in_another_order() -> None:
    packets = reordered(20)
    assert lost(packets, sorted(p.pts or 0 for p in packets)).sentences() == []


@pytest.mark.parametrize("codec", ["h264", "hevc", "vp9", "libdav1d", "vp8"])
def test_what_never_comes_out_is_counted(codec: str) -> None:
    packets = [Packet(pts, is_keyframe=pts == 0) for pts in range(20)]
    faults = lost(packets, [pts for pts in range(20) if pts not in (7, 8, 15)], codec)
    assert faults.sentences() == [
        "3 frame(s) could not be decoded and are missing, the first near frame 7"
    ]


def test_it_is_known_before_the_end() -> None:
    faults = Faults()
    frames = LostFrames("h264", faults)
    for pts in range(LostFrames.PATIENCE + 1):
        frames.sent(Packet(pts, is_keyframe=True), pts)
    assert (faults.lost_frames, faults.first_lost) == (1, 0)


@pytest.mark.parametrize(
    "hidden",
    [
        [Packet(1), Packet(2)],  # before any keyframe
        [Packet(10, is_keyframe=True), Packet(8), Packet(9)],  # leading pictures of an open GOP
        [Packet(10, is_keyframe=True), Packet(11, is_discard=True)],  # cut by an edit list
        [Packet(10, is_keyframe=True), Packet(None)],
    ],
)
def test_what_is_not_to_be_shown_is_not_missing(hidden: list[Packet]) -> None:
    assert lost(hidden, [10]).sentences() == []


def test_alternative_references_of_vp8_are_not_shown() -> None:
    packets = [Packet(0, is_keyframe=True), Packet(1, content=b"\x01")]
    assert lost(packets, [0], "vp8").sentences() == []
    assert lost(packets, [0], "h264").lost_frames == 1


def test_packets_of_other_codecs_need_not_be_frames() -> None:
    assert lost([Packet(0, is_keyframe=True), Packet(1)], [0], "mpeg4").sentences() == []


def test_a_corrupt_packet_is_not_counted_twice() -> None:
    faults = Faults()
    frames = LostFrames("h264", faults)
    packet = Packet(0, is_keyframe=True)
    frames.sent(packet, 0)
    frames.failed(packet)
    frames.failed(None)
    frames.close()
    assert faults.lost_frames == 0
