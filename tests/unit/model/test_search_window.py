"""Frames are encoded around their objects, where it is known where those were."""

import math
from collections.abc import Callable, Sequence
from dataclasses import fields

import numpy as np
import pytest
import torch
from torch import Tensor

from model.config import InferenceConfig
from model.inference import segmenter as segmenter_module
from model.inference.clips import iter_clips
from model.inference.object_boxes import CellBox
from model.inference.search_window import LOOK_AROUND, REACH, SearchWindow, renew
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


def _follow(*frames: Tensor, is_gone: bool = False, ahead: int = 2) -> CellBox | None:
    """Return the window after these frames, whose last object may be gone."""
    window = SearchWindow(ahead)
    gone = [False] * (len(frames[0]) - 1) + [is_gone]
    return [window.follow(masks, gone) for masks in frames][-1]


def _around(box: CellBox, reach: float) -> CellBox:
    """Return the cells within so many of a box, as a window of the frame has them."""
    top, left = (max(0, math.floor(start - reach)) // 2 * 2 for start in (box.top, box.left))
    bottom, right = math.ceil(box.bottom + reach), math.ceil(box.right + reach)
    return CellBox(top, bottom + (CELLS[0] - bottom) % 2, left, right + (CELLS[1] - right) % 2)


def test_a_window_reaches_to_each_side_of_all_objects() -> None:
    objects = _masks(CellBox(8, 10, 12, 14), CellBox(9, 11, 14, 17))
    window = _follow(objects, objects)
    assert window == _around(CellBox(8, 11, 12, 17), REACH * CELLS[0])


@pytest.mark.parametrize("ahead", [1, 2])
def test_what_moves_is_looked_for_further_away(ahead: int) -> None:
    before, now = _masks(CellBox(8, 10, 12, 14)), _masks(CellBox(8, 10, 13, 15))
    window = _follow(before, now, ahead=ahead)
    assert window == _around(CellBox(8, 10, 13, 15), REACH * CELLS[0] + ahead)


def test_everywhere_is_looked_until_it_is_known_how_objects_move() -> None:
    assert _follow(_masks(CellBox(8, 10, 12, 14))) is None


@pytest.mark.parametrize("place", [(0, 0), (3, 5), (17, 28), (10, 30), (19, 3)])
def test_sides_of_a_window_are_even_and_odd_as_the_frames(place: tuple[int, int]) -> None:
    row, column = place
    masks = _masks(CellBox(row, row + 1, column, column + 1))
    window = _follow(masks, masks)
    assert window is not None
    assert window.top % 2 == window.left % 2 == 0
    assert (window.bottom - window.top) % 2 == CELLS[0] % 2
    assert (window.right - window.left) % 2 == CELLS[1] % 2
    assert 0 <= window.top <= row < window.bottom <= CELLS[0]
    assert 0 <= window.left <= column < window.right <= CELLS[1]


def test_everywhere_is_looked_for_an_object_out_of_sight_that_has_not_ended() -> None:
    box = CellBox(8, 10, 12, 14)
    one_lost = _masks(box, None)
    assert _follow(one_lost, one_lost) is None
    assert _follow(one_lost, one_lost, is_gone=True) == _follow(_masks(box), _masks(box))
    assert _follow(_masks(None), _masks(None), is_gone=True) is None


def test_a_frame_that_its_objects_fill_is_encoded_whole() -> None:
    masks = _masks(CellBox(2, 18, 4, 27))
    assert _follow(masks, masks) is None


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


def _two_squares(
    frames: int, seconds: Callable[[int], tuple[int, int] | None]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """A square that rests, and another that is where ``seconds`` says, with their id maps."""
    ground = _video(1)[0][0]
    ground[100:180, 150:230] = ground[:80, :80]
    pictures, labels = [], []
    for t in range(frames):
        picture, ids = ground.copy(), np.zeros(ground.shape[:2], np.uint8)
        for object_id, corner in ((1, (30, 30)), (2, seconds(t))):
            if corner is not None:
                square = tuple(slice(start, start + 60) for start in corner)
                ids[square] = object_id
                picture[square] = ((230, 30, 40), (30, 230, 60))[object_id - 1]
        pictures.append(picture)
        labels.append(ids)
    return pictures, labels


def _found(
    segmenter: ClipSegmenter,
    frames: list[np.ndarray],
    references: dict[int, np.ndarray],
    interval: int,
    ends: Sequence[tuple[int, int]] = (),
) -> list[np.ndarray]:
    """Return the id maps of all frames."""
    given = {i: ReferenceMask.from_labels(i, labels) for i, labels in references.items()}
    clips = iter_clips(frames, given, interval=interval, ends=ends)
    return [labels.numpy() for clip in clips for labels in segmenter.segment(clip).labels()]


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_an_object_that_a_later_mask_begins_is_seen_on_its_frame(model: PCVOS) -> None:
    frames, truth = _two_squares(12, lambda t: (220, 380) if t >= 6 else None)
    references = {0: truth[0], 7: np.where(truth[7] == 2, 2, 0)}
    found = _found(ClipSegmenter(model, InferenceConfig()), frames, references, 10)
    for t in range(8, 12):
        assert _overlap(found[t] == 2, truth[t] == 2) > 0.8, f"frame {t}"


def test_an_object_out_of_sight_is_looked_for_everywhere_until_its_end(model: PCVOS) -> None:
    places = [(30, 200), (30, 200), (30, 200), None, None]
    frames, truth = _two_squares(12, lambda t: places[t] if t < 5 else (220, 380))
    segmenter = ClipSegmenter(model, InferenceConfig(interval=25))
    found = _found(segmenter, frames, {0: truth[0]}, 25, ends=[(2, 11)])
    assert not (found[4] == 2).any()
    for t in range(6, 11):
        assert _overlap(found[t] == 2, truth[t] == 2) > 0.8, f"frame {t}"


def test_what_moves_stays_in_the_window_of_frames_encoded_together(model: PCVOS) -> None:
    frames, truth = _two_squares(17, lambda t: (220, 20 + 28 * max(0, t - 4)))
    config = InferenceConfig(interval=25)
    segmenter = ClipSegmenter(model, config, frames_at_once=8)
    found = _found(segmenter, frames, {0: truth[0]}, 25)
    assert min(_overlap(f == 2, t == 2) for f, t in zip(found, truth, strict=True)) > 0.8
