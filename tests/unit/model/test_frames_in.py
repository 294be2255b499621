"""A Python user may give arrays, tensors, masks of any integer type; other input is refused."""

import numpy as np
import pytest
import torch

from model.inference.clips import iter_clips
from model.types import ReferenceMask

SIZE = (20, 30)


def ids(dtype: type = np.uint8) -> np.ndarray:
    labels = np.zeros(SIZE, dtype)
    labels[3:9, 4:12] = 7
    labels[12:15, 20:25] = 3
    return labels


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.int64])
@pytest.mark.parametrize("as_tensor", [False, True])
def test_a_mask_lists_what_is_in_it(dtype: type, as_tensor: bool) -> None:
    labels = ids(dtype)
    mask = ReferenceMask.from_labels(5, torch.from_numpy(labels) if as_tensor else labels)
    assert (mask.frame_index, mask.object_ids) == (5, (3, 7))
    assert mask.labels.dtype == torch.int32
    assert np.array_equal(mask.labels.numpy(), ids(np.int32))
    labels[:] = 1  # the user's own array stays the user's
    assert as_tensor or mask.object_ids == (3, 7)


def test_a_boolean_mask_is_object_1() -> None:
    assert ReferenceMask.from_labels(0, ids() > 0).object_ids == (1,)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.zeros(SIZE, np.uint8), "frame 4 has no object"),
        (ids(np.int32) - 1, "the id -1, below 0"),
        (ids(np.float32), r"must be \(H, W\) integers, got \(20, 30\) torch.float32"),
        (np.dstack([ids()] * 3), r"got \(20, 30, 3\)"),
    ],
)
def test_what_is_no_mask(labels: np.ndarray, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ReferenceMask.from_labels(4, labels)


def clips_of(*frames: np.ndarray | torch.Tensor) -> list[torch.Tensor]:
    references = {0: ReferenceMask.from_labels(0, ids())}
    return [clip.frames[:] for clip in iter_clips(frames, references, interval=2)]


def test_arrays_and_tensors_of_any_memory_layout_are_the_same_frames() -> None:
    rgb = np.random.default_rng(0).integers(0, 255, (*SIZE, 3), dtype=np.uint8)
    locked = rgb.copy()
    locked.setflags(write=False)  # as PIL hands them out
    bgr_reversed = np.ascontiguousarray(rgb[..., ::-1])[..., ::-1]
    (expected,) = clips_of(rgb)
    turned = np.ascontiguousarray(rgb[::-1])[::-1]
    for frame in (locked, bgr_reversed, turned, torch.from_numpy(rgb), torch.from_numpy(rgb) / 255):
        (found,) = clips_of(frame)
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ([(3, *SIZE)], r"frame 0 must be \(H, W, 3\), got \(3, 20, 30\)"),
        ([SIZE], r"frame 0 must be"),
        ([(*SIZE, 4)], r"got \(20, 30, 4\)"),
        ([(*SIZE, 3), (21, 30, 3)], r"frame 1 is \(21, 30, 3\), but those before"),
        ([(40, 30, 3)], r"mask of frame 0 is \(20, 30\), but the frame is \(40, 30\)"),
    ],
)
def test_frames_that_do_not_fit_are_named(shapes: list[tuple[int, ...]], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        clips_of(*(np.zeros(shape, np.uint8) for shape in shapes))


def test_a_mirrored_axis_of_one_pixel_is_taken() -> None:
    column = np.zeros((20, 1, 3), np.uint8)[:, ::-1]
    assert column.flags.c_contiguous  # and yet its stride is negative
    references = {0: ReferenceMask.from_labels(0, np.ones((20, 1), np.uint8))}
    (clip,) = iter_clips([column], references, interval=2)
    assert clip.frames[:].shape == (1, 3, 32, 16)
