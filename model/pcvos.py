"""PCVOS: the method on one page (paper, figure 2).

::

    frames ─ encode_key ─> key, local key, query value, skips
    frame + masks ─ encode_value ─> value ─> memory
    key + memory ─ ProgressiveReader ─> readout ─ refinement ─> refined ─ decoder ─> logits

One forward path for training and inference. What differs stands outside: losses, memory
policy and post-processing.
"""

from collections.abc import Iterable, Iterator, Sequence

from torch import Tensor, nn

from model.config import InferenceConfig, PCVOSConfig
from model.memory.bank import Memory
from model.memory.progressive import ProgressiveReader, ReaderFactory
from model.network.decoder import Decoder
from model.network.encoders import KeyEncoder, ValueEncoder
from model.network.refinement import IntraClipRefinement
from model.ops.masks import soft_aggregate
from model.ops.timing import StageClock
from model.types import Images, KeyFeatures, concatenated


class PCVOS(nn.Module):
    """Per-clip video object segmentation.

    Built by ``model.build.build_pcvos``.

    Args:
        config: The shape that the parts were built from.
        key_encoder: Frames to ``KeyFeatures``.
        value_encoder: Frames and masks to values.
        refinement: ``None`` leaves intra-clip refinement out.
        decoder: Readout to logits.
        reader: Opens the memory for a clip.
    """

    def __init__(
        self,
        config: PCVOSConfig,
        *,
        key_encoder: KeyEncoder,
        value_encoder: nn.Module,
        refinement: IntraClipRefinement | None,
        decoder: Decoder,
        reader: ReaderFactory = ProgressiveReader,
    ) -> None:
        super().__init__()
        self.config = config
        self.key_encoder = key_encoder
        self.value_encoder = value_encoder
        self.refinement = refinement
        self.decoder = decoder
        self.reader = reader

    def train(self, mode: bool = True) -> "PCVOS":
        """Set training mode; batch norm stays frozen, as the paper trains with tiny batches."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def encode_key(self, frames: Tensor, known: Sequence[Tensor] = ()) -> KeyFeatures:
        """Encode ``(B, 3, H, W)`` normalised frames, H and W multiples of 16.

        ``known`` as ``KeyEncoder`` takes it.
        """
        # What stands in for the key encoder at inference takes frames alone.
        features: KeyFeatures = self.key_encoder(frames, *([known] if known else []))
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
            memories: The memory of each group of objects; batch size B.
            frames: T.
            settings: Matching and refinement switches.
            images: ``(B * T, 3, H, W)``; needed where provisional memory is decoded and the
                value encoder looks at frames.
            clock: Is charged with the stages.

        Returns:
            Logits ``(B, K, T, H, W)``, objects in the order of ``memories``.
        """
        settings = settings.for_model(self.config)
        batch = memories[0].key.shape[0]
        part = settings.decoded_together(frames)
        passes = self.segment_frames(
            (features.frames_of_clips(batch, slice(t, t + part)) for t in range(0, frames, part)),
            memories,
            frames=frames,
            settings=settings,
            images=images,
            clock=clock,
        )
        by_sample = (logits.unflatten(0, (batch, -1)) for logits in passes)
        return concatenated(by_sample, dim=1).transpose(1, 2)

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
        """Segment a clip as ``segment_clip`` does, and yield each pass of the decoder.

        A clip is worked through in parts: read, refine, decode, and where more follows,
        remember. The paper's clip is one part, with readouts as provisional memory inside
        (eq. 4). With decoded provisional memory a part has F frames, and the masks of its last
        frame become provisional memory for the next.

        Logits of a long clip of many objects take gigabytes, and features hundreds of
        megabytes: neither need be held for the whole clip.

        Args:
            features: Key features of the clip's frames, some frames at a time, taken when
                they are needed. As many are decoded in one pass, which bounds the decoder's
                memory. Of a batch, each part's frames together, a sample's frames adjoining.
            memories: As ``segment_clip``, like all that follow.
            frames: T.
            settings: Matching and refinement switches.
            images: All of them.
            clock: Is charged with the stages but that of the features.

        Yields:
            Logits ``(b, K, H, W)`` of the next ``b`` frames, for the caller to overwrite.

        Raises:
            ValueError: If ``images`` are needed and there are none.
        """
        clock = clock or StageClock()
        settings = settings.for_model(self.config)
        batch = memories[0].key.shape[0]
        part = settings.decoded_together(frames)
        coming = _FrameQueue(features)
        readers: list[ProgressiveReader] = []
        for start in range(0, frames, part):
            end = min(start + part, frames)
            passes = coming.take(batch * (end - start))
            with clock("memory_read"):
                key = concatenated(features.key for features in passes)
                query_key = key.unflatten(0, (batch, -1)).transpose(1, 2)
                size = (key.shape[2], key.shape[3])
                readers = readers or [
                    self.reader(memory, size, frames=frames, interval=settings.within)
                    for memory in memories
                ]
                readouts = (reader.read(query_key, top_k=settings.top_k) for reader in readers)
                readout = concatenated(readouts, dim=1)  # All objects, (B, K, C_v, t, h, w).
            with clock("refinement"):
                refined = self._refine(passes, readout, settings)
            lengths = [len(features) for features in passes]
            own, own_refined = (_by_frame(x).split(lengths) for x in (readout, refined))
            for i, now in enumerate(passes):
                with clock("decoder"):
                    logits = self.decoder(own[i], own_refined[i], now.query_value, now.f8, now.f4)
                if now is passes[-1] and end < frames:
                    with clock("value_encoder"):
                        last = logits.unflatten(0, (batch, -1))[:, -1].float().sigmoid()
                        values = self.encode_value(
                            images,
                            now.frames_of_clips(batch, slice(-1, None)),
                            soft_aggregate(last, dim=1)[:, 1:],
                            at=slice(end - 1, None, frames),
                        )
                        objects = [memory.value.shape[1] for memory in memories]
                        for reader, value in zip(readers, values.split(objects, 1), strict=True):
                            reader.remember(value)
                yield logits

    def _refine(
        self, passes: Sequence[KeyFeatures], readout: Tensor, settings: InferenceConfig
    ) -> Tensor:
        """Return the refined readout, or the readout itself where refinement is off."""
        local_keys = [part.local_key for part in passes if part.local_key is not None]
        if self.refinement is None or not settings.refinement or not local_keys:
            return readout
        local_key = concatenated(local_keys).unflatten(0, (-1, readout.shape[3]))
        refined: Tensor = self.refinement(local_key, readout)
        return refined


def _by_frame(readout: Tensor) -> Tensor:
    """``(B, K, C_v, T, h, w)`` to ``(B * T, K, C_v, h, w)``, the objects of a frame adjoining."""
    return readout.permute(0, 3, 1, 2, 4, 5).flatten(0, 1)


class _FrameQueue:
    """Takes key features in other numbers of frames than they come in."""

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
