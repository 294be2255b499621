"""Records that pass between the stages of the method.

Letters: B batch, T frames in a clip, K objects, C channels, H and W of the padded frame,
h = H / 16 and w = W / 16.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.ops.frames import Padding, clear_padding, normalise, unpad
from model.ops.masks import label_pixels


@dataclass(frozen=True, slots=True)
class ReferenceMask:
    """The objects that a user marks on one frame.

    Attributes:
        frame_index: 0-based index of the frame it belongs to.
        labels: ``(H, W)`` integer map of object ids. 0 leaves a pixel to the model: it may
            belong to an object that the mask does not list.
        object_ids: The ids that the mask lists, ascending. Usually the non-zero values of
            ``labels``; an object that vanished in a resize stays listed.
    """

    frame_index: int
    labels: Tensor
    object_ids: tuple[int, ...]

    @classmethod
    def from_labels(cls, frame_index: int, labels: Tensor | NDArray[Any]) -> "ReferenceMask":
        """Make one of an id map; it lists the values that are in it.

        Args:
            frame_index: 0-based index of the frame it belongs to.
            labels: ``(H, W)`` integers, the object id of each pixel, or booleans for one
                object. 0 leaves a pixel to the model.

        Raises:
            ValueError: If it has another shape or type, negative values, or no object.
        """
        ids = torch.from_numpy(np.array(labels)) if isinstance(labels, np.ndarray) else labels
        if ids.dim() != 2 or ids.dtype.is_floating_point or ids.dtype.is_complex:
            raise ValueError(
                f"the mask of frame {frame_index} must be (H, W) integers, "
                f"got {tuple(ids.shape)} {ids.dtype}"
            )
        ids = ids.to(torch.int32)
        values = [int(value) for value in ids.unique() if value != 0]
        if not values:
            raise ValueError(f"the mask of frame {frame_index} has no object: every pixel is 0")
        if values[0] < 0:
            raise ValueError(f"the mask of frame {frame_index} has the id {values[0]}, below 0")
        return cls(frame_index, ids, tuple(values))


class Images(Protocol):
    """Frames as the network takes them, by slices: a tensor is one."""

    def __getitem__(self, s: slice, /) -> Tensor:
        """Return ``(n, 3, H, W)`` normalised and padded."""
        ...


@dataclass(frozen=True, slots=True)
class ClipFrames:
    """The frames of a clip as they were read, normalised and padded when they are asked for.

    As float32 they take four times the memory: at 480p and L = 25 119 MB.

    Attributes:
        rgb: T frames ``(H', W', 3)`` of one size, uint8 or floating point in [0, 1].
        padding: Pixels added on each side, in the mean colour.
        device: Where they are handed out.
    """

    rgb: tuple[Tensor, ...]
    padding: Padding
    device: torch.device | str = "cpu"

    def __len__(self) -> int:
        """Return the number of frames, ``T``."""
        return len(self.rgb)

    @property
    def size(self) -> tuple[int, int]:
        """``(H, W)`` with the padding."""
        rows, columns = self.rgb[0].shape[:2]
        padding = self.padding
        return rows + padding.top + padding.bottom, columns + padding.left + padding.right

    def to(self, device: torch.device | str) -> "ClipFrames":
        """Return the same frames, handed out on another device."""
        return replace(self, device=device)

    def __getitem__(self, s: slice, /) -> Tensor:
        """Return ``(n, 3, H, W)`` float32, ImageNet-normalised and padded."""
        chosen = self.rgb[s]
        images = torch.empty((len(chosen), 3, *self.size), device=self.device)
        clear_padding(images, self.padding)
        for place, rgb in zip(unpad(images, self.padding), chosen, strict=True):
            # Moved as bytes: a quarter of what floats would take.
            normalise(rgb.to(self.device).permute(2, 0, 1), out=place)
        return images


@dataclass(frozen=True, slots=True)
class Clip:
    """Consecutive frames that are segmented together, between two memory updates.

    Attributes:
        start: ``frame_index`` of the first frame.
        frames: T frames; padded, their sides are multiples of 16.
        reference: Objects stated on the clip's last frame, or ``None``. The first clip of
            a video is its first reference frame alone.
        due: The clip is ``L`` frames long, so its last frame enters the memory.
        final: No frame follows, so nothing needs to enter the memory.
        sources: What each of the frames came from, as the caller of ``iter_clips`` gave it;
            the core does not look at it.
        gone: Objects that are absent, by id, each from the frame on whose index this gives.
        cut: The clip is one frame, the first of another shot.
    """

    start: int
    frames: ClipFrames
    reference: ReferenceMask | None
    due: bool
    final: bool
    sources: tuple[Any, ...] = ()
    gone: Mapping[int, int] = field(default_factory=dict)
    cut: bool = False

    @property
    def padding(self) -> Padding:
        """Pixels added on each side of the frames."""
        return self.frames.padding


@dataclass(frozen=True, slots=True)
class KeyFeatures:
    """Output of the key encoder for ``B`` frames; shared by all objects.

    Attributes:
        key: ``(B, C_k, h, w)``, compared with the memory.
        local_key: ``(B, C_k', h, w)``, compared within the clip by the refinement;
            ``None`` where the model has no refinement.
        query_value: ``(B, C, h, w)``, joins the readout in the decoder.
        f16: ``(B, C_16, h, w)``, f8 ``(B, C_8, 2h, 2w)``, f4 ``(B, C_4, 4h, 4w)``:
            trunk features at strides 16, 8 and 4.
    """

    key: Tensor
    local_key: Tensor | None
    query_value: Tensor
    f16: Tensor
    f8: Tensor
    f4: Tensor

    @classmethod
    def join(cls, parts: Sequence["KeyFeatures"]) -> "KeyFeatures":
        """Put the frames of several passes together."""
        local_keys = [p.local_key for p in parts if p.local_key is not None]
        return cls(
            concatenated(p.key for p in parts),
            concatenated(local_keys) if local_keys else None,
            concatenated(p.query_value for p in parts),
            concatenated(p.f16 for p in parts),
            concatenated(p.f8 for p in parts),
            concatenated(p.f4 for p in parts),
        )

    def __len__(self) -> int:
        """Return the number of frames, ``B``."""
        return int(self.key.shape[0])

    def part(self, s: slice) -> "KeyFeatures":
        """Return the features of some frames; views."""
        return self.map(lambda x: x[s])

    def frames_of_clips(self, batch: int, s: slice) -> "KeyFeatures":
        """Return some frames of each of ``batch`` equally long clips; views of one clip."""
        return self.map(lambda x: x.unflatten(0, (batch, -1))[:, s].flatten(0, 1))

    def map(self, change: Callable[[Tensor], Tensor]) -> "KeyFeatures":
        """Return the features with every tensor changed."""
        local_key = None if self.local_key is None else change(self.local_key)
        return KeyFeatures(
            change(self.key),
            local_key,
            change(self.query_value),
            change(self.f16),
            change(self.f8),
            change(self.f4),
        )


@dataclass(frozen=True, slots=True)
class ClipPrediction:
    """The soft masks of a clip.

    Attributes:
        start: ``frame_index`` of the first frame.
        object_ids: The user's ids, ascending; ``probs`` channel ``k + 1`` is
            ``object_ids[k]``. Only objects that have entered by this clip.
        probs: ``(K + 1, T, H, W)`` float32 at the working size, padding removed. Sums to 1
            over the channels; channel 0 is the background.
    """

    start: int
    object_ids: tuple[int, ...]
    probs: Tensor

    @classmethod
    def join(cls, parts: Iterable["ClipPrediction"], frames: int) -> "ClipPrediction":
        """Put the parts of a clip together as they come.

        Args:
            parts: In order. An object that enters with a later one is zero in those before.
            frames: T of the result.
        """
        whole: ClipPrediction | None = None
        end = 0
        for part in parts:
            start, end = end, end + len(part)
            if whole is None or whole.object_ids != part.object_ids:
                probs = part.probs.new_zeros((len(part.probs), frames, *part.probs.shape[2:]))
                if whole is not None:
                    kept = [0, *(1 + part.object_ids.index(i) for i in whole.object_ids)]
                    probs[kept, :start] = whole.probs[:, :start]
                whole = cls(whole.start if whole else part.start, part.object_ids, probs)
            whole.probs[:, start:end] = part.probs
        assert whole is not None, "a clip has frames"
        assert end == frames, f"{end} frames came, not {frames}"
        return whole

    def __len__(self) -> int:
        """Return the number of frames, ``T``."""
        return int(self.probs.shape[1])

    def labels(self, size: tuple[int, int] | None = None) -> Iterator[Tensor]:
        """Yield each frame's object ids.

        Probabilities are resized (bilinear), then compared, so edges stay smooth.

        Args:
            size: ``(height, width)`` of the output; ``None`` keeps the working size.

        Yields:
            ``(height, width)`` int32 maps of the user's object ids, 0 = background.
        """
        ids = torch.tensor((0, *self.object_ids), dtype=torch.int32, device=self.probs.device)
        for t in range(len(self)):
            yield label_pixels(self.probs[:, t], ids, size)


def concatenated(parts: Iterable[Tensor], dim: int = 0) -> Tensor:
    """Return ``torch.cat`` of one or more tensors; one alone is returned itself, not copied.

    Args:
        parts: Of one shape but for ``dim``.
        dim: The axis along which they follow each other.
    """
    tensors = list(parts)
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors, dim)
