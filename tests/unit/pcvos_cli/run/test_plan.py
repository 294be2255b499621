"""The plan's numbers are those of the run."""

from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.config import PCVOS_LITE
from model.inference.clips import iter_clips
from model.ops.frames import resize_frame, working_size
from model.types import ReferenceMask
from pcvos_cli.run.plan import bounded_memory, count_clips, memory_megabytes


@given(data=st.data(), frames=st.integers(1, 40), interval=st.integers(1, 12))
def test_clips_are_counted_as_they_come(data: st.DataObject, frames: int, interval: int) -> None:
    given_on = data.draw(st.sets(st.integers(0, frames - 1), min_size=1, max_size=4))
    start = min(given_on)
    references = {f: ReferenceMask(f, torch.ones(16, 16), (1,)) for f in given_on}
    pixels = [np.zeros((16, 16, 3), np.uint8)] * (frames - start)
    clips = list(iter_clips(pixels, references, interval=interval, start=start))
    remembered = 0
    for position, clip in enumerate(clips):
        # As ClipSegmenter: predictions when due (not the first clip), references always.
        remembered += position > 0 and clip.due and not clip.final
        remembered += clip.reference is not None and not clip.final
    assert count_clips(start, frames, references, interval) == (len(clips), remembered)


def test_unknown_lengths_stay_unknown() -> None:
    assert count_clips(0, None, {0}, 10) == (None, None)
    assert memory_megabytes(PCVOS_LITE, None, (480, 854), 1) is None


@pytest.mark.parametrize(
    ("source", "short_edge", "expected"),
    [
        ((1080, 1920), 480, (480, 853)),
        ((1920, 1080), 480, (853, 480)),
        ((480, 854), 480, (480, 854)),
        ((240, 320), 480, (240, 320)),
        ((1080, 1920), None, (1080, 1920)),
        ((2, 4000), 1, (1, 2000)),
        ((1080, 1920), "auto", (544, 967)),
        ((480, 854), "auto", (544, 968)),
        ((240, 320), "auto", (480, 640)),
        ((544, 600), "auto", (544, 600)),
    ],
)
def test_working_size(
    source: tuple[int, int], short_edge: int | Literal["auto"] | None, expected: tuple[int, int]
) -> None:
    assert working_size(source, short_edge, meant=544) == expected


def test_frames_are_resized_as_pillow_does() -> None:
    from PIL import Image

    rgb = np.random.default_rng(0).integers(0, 255, (90, 160, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(rgb).resize((71, 40), Image.Resampling.BICUBIC))
    difference = resize_frame(rgb, (40, 71)).astype(int) - expected
    assert np.abs(difference).max() <= 1


def test_a_bounded_memory_holds_references_and_the_newest_frame_in_any_case() -> None:
    assert bounded_memory(None, 40, 1) is None
    assert bounded_memory(100, None, 1) == 100
    assert bounded_memory(30, 40, 1) == 30
    assert bounded_memory(100, 40, 1) == 40
    assert bounded_memory(100, 40, 60) == 61
