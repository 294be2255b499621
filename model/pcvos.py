"""PCVOS: the method on one page (paper, figure 2).

::

    frames ─ encode_key ─> key, local key, query value, skips
    frame + masks ─ encode_value ─> value ─> memory
    key + memory ─ ProgressiveReader ─> readout ─ refinement ─> refined ─ decoder ─> logits

One forward path for training and inference. What differs stands outside: losses, memory
policy and post-processing.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from model.config import InferenceConfig, PCVOSConfig
from model.memory.bank import Memory
from model.memory.located import LocatedReader
from model.memory.progressive import ProgressiveReader, progressive_read
from model.network.decoder import Decoder
from model.network.encoders import KeyEncoder, ValueEncoder
from model.network.refinement import IntraClipRefinement
from model.network.whereabouts import (
    Whereabouts,
    decode_whereabouts,
    find_whereabouts,
    needed_cells,
    refine_whereabouts,
)
from model.ops.aggregation import soft_aggregate
from model.ops.joining import joined
from model.ops.masks import own_masks
from model.ops.timing import StageClock
from model.types import Images, KeyFeatures


class PCVOS(nn.Module):
    """Per-clip video object segmentation.

    Built by ``model.build.build_pcvos``.

    Args:
        config: The shape that the parts were built from.
        key_encoder: Frames to ``KeyFeatures``.
        value_encoder: Frames and masks to values.
        refinement: ``None`` leaves intra-clip refinement out.
        decoder: Readout to logits.
    """

    def __init__(
        self,
        config: PCVOSConfig,
        *,
        key_encoder: KeyEncoder,
        value_encoder: nn.Module,
        refinement: IntraClipRefinement | None,
        decoder: Decoder,
    ) -> None:
        super().__init__()
        self.config = config
        self.key_encoder = key_encoder
        self.value_encoder = value_encoder
        self.refinement = refinement
        self.decoder = decoder

    def train(self, mode: bool = True) -> "PCVOS":
        """Set training mode; batch norm stays frozen, as the paper trains with tiny batches."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def encode_key(self, frames: Tensor, fine: tuple[Tensor, Tensor] | None = None) -> KeyFeatures:
        """Encode ``(B, 3, H, W)`` normalised frames, H and W multiples of 16.

        ``fine`` as ``KeyEncoder`` takes it.
        """
        # What stands in for the key encoder at inference takes frames alone.
        given = (frames,) if fine is None else (frames, fine)
        features: KeyFeatures = self.key_encoder(*given)
        return features

    def encode_value(
        self,
        frames: Images | None,
        features: KeyFeatures,
        probs: Tensor,
        *,
        at: slice = slice(None),
    ) -> Tensor:
        """Encode what frames say about objects.

        Args:
            frames: ``(n, 3, H, W)``; asked for only where the value encoder looks at them.
            features: Key features of B of them.
            probs: ``(B, K, H, W)`` soft masks.
            at: Which of ``frames`` these are.

        Returns:
            ``(B, K, C_v, h, w)``.

        Raises:
            ValueError: If frames are looked at and there are none.
        """
        encoder: ValueEncoder = self.value_encoder  # type: ignore[assignment]
        if not encoder.looks_at_frames:
            return encoder(None, features, probs)
        if frames is None:
            raise ValueError("the value encoder of this network needs the frames themselves")
        return encoder(frames[at], features, probs)

    def segment_clip(
        self,
        features: KeyFeatures,
        memories: Sequence[Memory],
        *,
        frames: int,
        settings: InferenceConfig,
        images: Images | None = None,
        clock: StageClock | None = None,
    ) -> Tensor:
        """Segment the frames of a clip together.

        Args:
            features: Key features of ``B * T`` frames, a sample's frames adjoining.
            memories: What each group of objects reads from; batch size B.
            frames: T.
            settings: Matching and refinement switches.
            images: ``(B * T, 3, H, W)``; needed where provisional memory is decoded and the
                value encoder looks at frames.
            clock: Is charged with the stages.

        Returns:
            Logits ``(B, K, T, H, W)``, objects in the order of ``memories``.
        """
        passes = self.segment_frames(
            [features],
            memories,
            frames=frames,
            settings=settings,
            images=images,
            clock=clock,
        )
        return joined(passes).unflatten(0, (-1, frames)).transpose(1, 2)

    def segment_frames(
        self,
        features: Iterable[KeyFeatures],
        memories: Sequence[Memory],
        *,
        frames: int,
        settings: InferenceConfig,
        images: Images | None = None,
        clock: StageClock | None = None,
    ) -> Iterator[Tensor]:
        """Do what ``segment_clip`` does, a pass of the decoder at a time.

        Logits of a long clip of many objects take gigabytes; one who needs them frame by
        frame need not hold them. Nor need one have the features of all frames: they are taken
        when they are needed. With decoded provisional memory that is F frames at a time,
        otherwise all at once.

        Args:
            features: Key features of the ``B * T`` frames, some frames at a time. As many are
                decoded in one pass, which bounds the decoder's memory.
            memories: As ``segment_clip``, like all that follow.
            frames: T.
            settings: Matching and refinement switches.
            images: All of them.
            clock: Is charged with the stages but that of the features.

        Yields:
            Logits ``(b, K, H, W)`` of the next ``b`` of the ``B * T`` frames.

        Raises:
            ValueError: If ``images`` are needed and there are none.
        """
        clock = clock or StageClock()
        settings = settings.for_model(self.config)
        within = settings.within
        step = frames if within is None else within
        located = self._locates(settings, memories[0].key.device)
        if not settings.decode_provisional or (frames <= step and not located):
            passes = list(features)
            with clock("memory_read"):
                key = joined(part.key for part in passes)
                query_key = key.unflatten(0, (-1, frames)).transpose(1, 2)
                readouts = (
                    progressive_read(query_key, memory, interval=within, top_k=settings.top_k)
                    for memory in memories
                )
                readout = joined(readouts, dim=1)  # All objects, (B, K, C_v, T, h, w).
            yield from self._decode(passes, readout, settings, clock)
            return
        objects = [memory.value.shape[1] for memory in memories]
        coming = _Coming(features)
        for sample in range(memories[0].key.shape[0]):
            readers: list[ProgressiveReader] = []
            for start in range(0, frames, step):
                end = min(start + step, frames)
                passes = coming.take(end - start)
                with clock("memory_read"):
                    query_key = joined(part.key for part in passes).transpose(0, 1)[None]
                    readers = readers or [
                        self._reader(
                            memory.sample(sample),
                            (query_key.shape[3], query_key.shape[4]),
                            provisional=(frames - 1) // step,
                            settings=settings,
                        )
                        for memory in memories
                    ]
                    readouts = (reader.read(query_key, top_k=settings.top_k) for reader in readers)
                    readout = joined(readouts, dim=1)
                left = end - start
                for logits in self._decode(passes, readout, settings, clock):
                    left -= logits.shape[0]
                    # Copied, since who takes the logits may overwrite them.
                    last = logits[-1:].clone() if left == 0 and end < frames else None
                    yield logits
                if last is None:
                    continue
                with clock("value_encoder"):
                    merged = soft_aggregate(last.float().sigmoid(), dim=1)
                    frame = sample * frames + end
                    values = self.encode_value(
                        images, passes[-1].frame(-1), merged[:, 1:], at=slice(frame - 1, frame)
                    )
                    for reader, value in zip(readers, values.split(objects, dim=1), strict=True):
                        reader.remember(value)

    def _locates(self, settings: InferenceConfig, device: torch.device) -> bool:
        # On other devices many small pieces of work are slower than a large one, and gradients
        # are wanted everywhere.
        possible = self.decoder.mask_block > 0 and not torch.is_grad_enabled()
        return settings.locate_objects and possible and device.type == "cpu"

    def _reader(
        self, memory: Memory, size: tuple[int, int], *, provisional: int, settings: InferenceConfig
    ) -> ProgressiveReader:
        if not self._locates(settings, memory.key.device):
            return ProgressiveReader(memory, size, provisional=provisional)
        block = self.decoder.mask_block
        refinement = self.refinement if settings.refinement else None
        window = (1, 1) if refinement is None else refinement.window[1:]
        return LocatedReader(
            memory,
            size,
            provisional=provisional,
            masks=own_masks(block),
            needed=partial(needed_cells, mask_block=block, window=window),
        )

    def _decode(
        self,
        passes: Sequence[KeyFeatures],
        readout: Tensor,
        settings: InferenceConfig,
        clock: StageClock,
    ) -> Iterator[Tensor]:
        """Refine a readout ``(B, K, C_v, T, h, w)`` and decode it; yields as ``segment_frames``."""
        located = self._locates(settings, readout.device)
        with clock("refinement"):
            where = find_whereabouts(readout, self.decoder.mask_block) if located else None
            refined = self._refine(passes, readout, where, settings)
        # (B, K, C_v, T, h, w) -> (B * T, K, C_v, h, w), a frame's objects adjoining
        by_frame = readout.permute(0, 3, 1, 2, 4, 5).flatten(0, 1)
        refined_by_frame = refined.permute(0, 3, 1, 2, 4, 5).flatten(0, 1)
        end = 0
        for features in passes:
            with clock("decoder"):
                now = slice(end, end + len(features))
                end = now.stop
                inputs = (
                    by_frame[now],
                    refined_by_frame[now],
                    features.query_value,
                    features.f8,
                    features.f4,
                )
                logits = (
                    self.decoder(*inputs)
                    if where is None
                    else decode_whereabouts(self.decoder, *inputs, where[now])
                )
            yield logits

    def _refine(
        self,
        passes: Sequence[KeyFeatures],
        readout: Tensor,
        where: Whereabouts | None,
        settings: InferenceConfig,
    ) -> Tensor:
        """Return the refined readout, or the readout itself where refinement is off."""
        local_keys = [part.local_key for part in passes if part.local_key is not None]
        if self.refinement is None or not settings.refinement or not local_keys:
            return readout
        local_key = joined(local_keys).unflatten(0, (-1, readout.shape[3]))
        if where is not None:
            return refine_whereabouts(self.refinement, local_key, readout, where)
        refined: Tensor = self.refinement(local_key, readout)
        return refined


class _Coming:
    """Features that come some frames at a time, handed out by another number of frames."""

    def __init__(self, features: Iterable[KeyFeatures]) -> None:
        self._features = iter(features)
        self._rest: KeyFeatures | None = None  # Of what came last.

    def take(self, frames: int) -> list[KeyFeatures]:
        """Return the features of the next frames, as they came or, of the last, a part."""
        taken: list[KeyFeatures] = []
        while frames:
            now = next(self._features) if self._rest is None else self._rest
            taken.append(now if len(now) <= frames else now.part(slice(0, frames)))
            self._rest = now.part(slice(frames, None)) if len(now) > frames else None
            frames -= len(taken[-1])
        return taken
