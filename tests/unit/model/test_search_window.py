"""Frames are encoded around their objects, where it is known where those were."""

from dataclasses import fields

import numpy as np
import pytest
import torch
from torch import Tensor

from model.config import InferenceConfig
from model.inference import segmenter as segmenter_module
from model.inference.clips import iter_clips
from model.inference.object_boxes import CellBox
from model.inference.search_window import LOOK_AROUND, REACH, renew, search_window
from model.inference.segmenter import ClipSegmenter
from model.pcvos import PCVOS
from model.types import KeyFeatures, ReferenceMask
from tests.support.weights import shipped_lite

CELLS = (20, 31)
"""Rows and columns: an even and an odd number."""


@pytest.fixture(scope="module")
def model() -> PCVOS:
    return shipped_lite()


def _masks(*boxes: CellBox | None) -> Tensor:
    masks = torch.zeros(len(boxes), 16 * CELLS[0], 16 * CELLS[1])
    for mask, box in zip(masks, boxes, strict=True):
        if box is not None:
            box.cut(mask, 16)[:] = 0.9
    return masks


def test_a_window_reaches_to_each_side_of_all_objects() -> None:
    reach = round(REACH * CELLS[0] + 0.5)
    objects = CellBox(8, 10, 12, 14), CellBox(9, 11, 14, 17)
    window = search_window(_masks(*objects), [False, False])
    assert window is not None
    around = CellBox(8 - reach, 11 + reach, 12 - reach, 17 + reach)
    assert around.top - 1 <= window.top <= around.top
    assert around.bottom <= window.bottom <= around.bottom + 1
    assert around.left - 1 <= window.left <= around.left
    assert around.right <= window.right <= around.right + 1


@pytest.mark.parametrize("place", [(0, 0), (3, 5), (17, 28), (10, 30), (19, 3)])
def test_sides_of_a_window_are_even_and_odd_as_the_frames(place: tuple[int, int]) -> None:
    row, column = place
    window = search_window(_masks(CellBox(row, row + 1, column, column + 1)), [False])
    assert window is not None
    assert window.top % 2 == window.left % 2 == 0
    assert (window.bottom - window.top) % 2 == CELLS[0] % 2
    assert (window.right - window.left) % 2 == CELLS[1] % 2
    assert window.bottom <= CELLS[0]
    assert window.right <= CELLS[1]


def test_everywhere_is_looked_for_an_object_out_of_sight_that_has_not_ended() -> None:
    masks = _masks(CellBox(8, 10, 12, 14), None)
    assert search_window(masks, [False, False]) is None
    assert search_window(masks, [False, True]) == search_window(masks[:1], [False])
    assert search_window(_masks(None), [True]) is None


def test_a_frame_that_its_objects_fill_is_encoded_whole() -> None:
    assert search_window(_masks(CellBox(2, 18, 4, 27)), [False]) is None


@torch.inference_mode()
def test_features_are_new_in_the_window_and_stay_around_it(model: PCVOS) -> None:
    generator = torch.Generator().manual_seed(0)
    before, now = torch.randn(2, 1, 3, *(16 * side for side in CELLS), generator=generator)
    window = CellBox(4, 16, 6, 25)
    old, whole = model.encode_key(before), model.encode_key(now)
    part = model.encode_key(window.cut(now, 16))
    renewed = renew(old, part, window, places=2)
    assert torch.equal(renewed.key[:, -2:], whole.key[:, -2:]), "a cell stays at its place"
    inner = CellBox(9, 11, 12, 19)
    scales = {"f8": 2, "f4": 4}
    for field in fields(KeyFeatures):
        scale = scales.get(field.name, 1)
        new, expected = getattr(renewed, field.name), getattr(whole, field.name)
        was = getattr(old, field.name)
        now_there, was_there, right = (inner.cut(x, scale) for x in (new, was, expected))
        # A feature behind stride 4 sees further than the window.
        assert (now_there - right).abs().mean() < 0.2 * (was_there - right).abs().mean()
        changed = (new != was).any(1)[0]
        window.cut(changed, scale)[:] = False
        assert not changed.any()


def _video(frames: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """A striped square that moves over noise, and its masks."""
    rng = np.random.default_rng(0)
    ground = rng.integers(60, 120, (16 * CELLS[0] + 8, 16 * CELLS[1] - 8, 3), dtype=np.uint8)
    pictures, masks = [], []
    for t in range(frames):
        picture, mask = ground.copy(), np.zeros(ground.shape[:2], bool)
        mask[100 + 2 * t : 180 + 2 * t, 150 + 3 * t : 230 + 3 * t] = True
        picture[mask] = (230, 30, 40)
        pictures.append(picture)
        masks.append(mask)
    return pictures, masks


def test_a_video_gets_nearly_the_masks_of_whole_frames(
    model: PCVOS, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames, truth = _video(26)
    reference = ReferenceMask.from_labels(0, truth[0].astype(np.uint8))
    encoded: list[int] = []
    encode = model.encode_key

    def counted(images: Tensor) -> KeyFeatures:
        encoded.append(images[0, 0].numel() // 256)
        return encode(images)

    monkeypatch.setattr(model, "encode_key", counted)
    monkeypatch.setattr(segmenter_module, "with_object_boxes", lambda model, _: model)
    masks = {}
    for in_windows in (False, True):
        encoded.clear()
        config = InferenceConfig(interval=25, locate_objects=in_windows)
        segmenter = ClipSegmenter(model, config)
        clips = list(iter_clips(frames, {0: reference}, interval=25))
        parts = [segmenter.segment(clip) for clip in clips]
        masks[in_windows] = torch.cat([part.probs[1] > 0.5 for part in parts])
    whole = 21 * 31
    # The reference, the clip's first frames, whose masks are not known, and one of ten after them.
    assert [i for i, cells in enumerate(encoded) if cells == whole][:4] == [
        0,
        1,
        2,
        2 + LOOK_AROUND,
    ]
    assert sum(encoded) < 0.6 * len(frames) * whole
    both = (masks[True] & masks[False]).sum() / (masks[True] | masks[False]).sum()
    assert both > 0.97
