"""PCVOS: the method on one page (paper, figure 2).

::

    frames ─ encode_key ─> key, local key, query value, skips
    frame + masks ─ encode_value ─> value ─> memory
    key + memory ─ progressive_read ─> readout ─ refinement ─> refined ─ decoder ─> logits

One forward path for training and inference. What differs stands outside: losses, memory
policy and post-processing.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from model.config import InferenceConfig, PCVOSConfig
from model.memory.bank import Memory
from model.memory.progressive import extended, progressive_read
from model.network.decoder import Decoder
from model.network.encoders import KeyEncoder, ValueEncoder
from model.network.refinement import IntraClipRefinement
from model.ops.aggregation import soft_aggregate
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

    def encode_value(self, frames: Tensor, features: KeyFeatures, probs: Tensor) -> Tensor:
        """Encode what frames say about objects.

        Args:
            frames: ``(B, 3, H, W)``.
            features: Their key features.
            probs: ``(B, K, H, W)`` soft masks.

        Returns:
            ``(B, K, C_v, h, w)``.
        """
        encoder: ValueEncoder = self.value_encoder  # type: ignore[assignment]
        return encoder(frames, features, probs)

    def segment_clip(
        self,
        features: KeyFeatures,
        memories: Sequence[Memory],
        *,
        frames: int,
        settings: InferenceConfig,
        images: Images | None = None,
        decode_at_once: int | None = None,
        clock: StageClock | None = None,
    ) -> Tensor:
        """Segment the frames of a clip together.

        Args:
            features: Key features of ``B * T`` frames, a sample's frames adjoining.
            memories: What each group of objects reads from; batch size B.
            frames: T.
            settings: Matching and refinement switches.
            images: ``(B * T, 3, H, W)``; needed where provisional memory is decoded.
            decode_at_once: Frames decoded in one pass; bounds the decoder's memory.
                ``None``: all.
            clock: Is charged with the stages.

        Returns:
            Logits ``(B, K, T, H, W)``, objects in the order of ``memories``.
        """
        passes = self.segment_frames(
            features,
            memories,
            frames=frames,
            settings=settings,
            images=images,
            decode_at_once=decode_at_once,
            clock=clock,
        )
        logits = list(passes)
        merged = logits[0] if len(logits) == 1 else torch.cat(logits)
        return merged.unflatten(0, (-1, frames)).transpose(1, 2)

    def segment_frames(
        self,
        features: KeyFeatures,
        memories: Sequence[Memory],
        *,
        frames: int,
        settings: InferenceConfig,
        images: Images | None = None,
        decode_at_once: int | None = None,
        clock: StageClock | None = None,
    ) -> Iterator[Tensor]:
        """Do what ``segment_clip`` does, a pass of the decoder at a time.

        Logits of a long clip of many objects take gigabytes; one who needs them frame by
        frame need not hold them. Arguments as ``segment_clip``.

        Yields:
            Logits ``(b, K, H, W)`` of the next ``b`` of the ``B * T`` frames.

        Raises:
            ValueError: If provisional memory is to be decoded and there are no ``images``.
        """
        clock = clock or StageClock()
        settings = settings.for_model(self.config)
        within = settings.within
        if within is None or frames <= within or not settings.decode_provisional:
            yield from self._segment_at_once(
                features, memories, frames, settings, decode_at_once, clock
            )
            return
        if images is None:
            raise ValueError("provisional memory with decoded masks needs the frames themselves")
        for sample in range(0, features.key.shape[0], frames):
            held = [memory.sample(sample // frames) for memory in memories]
            for start in range(sample, sample + frames, within):
                end = min(start + within, sample + frames)
                part = features.part(slice(start, end))
                passes = self._segment_at_once(
                    part, held, end - start, settings, decode_at_once, clock
                )
                left = end - start
                for logits in passes:
                    left -= logits.shape[0]
                    # Copied, since who takes the logits may overwrite them.
                    last = logits[-1:].clone() if left == 0 and end < sample + frames else None
                    yield logits
                if last is not None:
                    with clock("value_encoder"):
                        held = self._remember_for_now(
                            held, part.frame(-1), images[end - 1 : end], last
                        )

    def _remember_for_now(
        self, memories: Sequence[Memory], features: KeyFeatures, image: Tensor, logits: Tensor
    ) -> list[Memory]:
        """Return the memories with one provisional frame more: its masks are ``logits``."""
        merged = soft_aggregate(logits.float().sigmoid(), dim=1)
        values = self.encode_value(image, features, merged[:, 1:])
        by_group = values.split([memory.value.shape[1] for memory in memories], dim=1)
        return [
            extended(memory, features.key, value)
            for memory, value in zip(memories, by_group, strict=True)
        ]

    def _segment_at_once(
        self,
        features: KeyFeatures,
        memories: Sequence[Memory],
        frames: int,
        settings: InferenceConfig,
        decode_at_once: int | None,
        clock: StageClock,
    ) -> Iterator[Tensor]:
        """Read, refine, decode."""
        with clock("memory_read"):
            readout = self._read(features, memories, frames, settings)
        with clock("refinement"):
            refined = self._refine(features, readout, frames, settings)
        # (B, K, C_v, T, h, w) -> (B * T, K, C_v, h, w), a frame's objects adjoining
        by_frame = readout.permute(0, 3, 1, 2, 4, 5).flatten(0, 1)
        refined_by_frame = refined.permute(0, 3, 1, 2, 4, 5).flatten(0, 1)
        total = by_frame.shape[0]
        step = decode_at_once or total
        for i in range(0, total, step):
            with clock("decoder"):
                image = self.decoder.image_part(
                    features.query_value[i : i + step],
                    features.f8[i : i + step],
                    features.f4[i : i + step],
                )
                logits = self.decoder(by_frame[i : i + step], refined_by_frame[i : i + step], image)
            yield logits

    def _read(
        self,
        features: KeyFeatures,
        memories: Sequence[Memory],
        frames: int,
        settings: InferenceConfig,
    ) -> Tensor:
        """Return the readout of all groups, ``(B, K, C_v, T, h, w)``."""
        query_key = features.key.unflatten(0, (-1, frames)).transpose(1, 2)
        readouts = [
            progressive_read(
                query_key,
                memory,
                interval=settings.within,
                top_k=settings.top_k,
            )
            for memory in memories
        ]
        return readouts[0] if len(readouts) == 1 else torch.cat(readouts, dim=1)

    def _refine(
        self, features: KeyFeatures, readout: Tensor, frames: int, settings: InferenceConfig
    ) -> Tensor:
        """Return the refined readout, or the readout itself where refinement is off."""
        if self.refinement is None or not settings.refinement or features.local_key is None:
            return readout
        local_key = features.local_key.unflatten(0, (-1, frames))
        refined: Tensor = self.refinement(local_key, readout)
        return refined
