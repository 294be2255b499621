"""Clip after clip: predict, overrule by references, update the memory."""

import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache

import torch
from torch import Tensor

from model.config import STRIDE, InferenceConfig
from model.inference.object_boxes import CellBox, with_object_boxes
from model.inference.search_window import LOOK_AROUND, SearchWindow, renew
from model.inference.shots import LIKENESS, likeness, placeless
from model.inference.strays import StrayFilter, recall_on
from model.memory.bank import Memory, MemoryBank, MemoryFrame
from model.ops.frames import Padding, pad, unpad
from model.ops.masks import object_masks, own_cover, soft_aggregate
from model.ops.timing import StageClock
from model.pcvos import PCVOS
from model.types import Clip, ClipFrames, ClipPrediction, KeyFeatures, ReferenceMask


class ClipSegmenter:
    """Segments one video. Feed it the clips of ``iter_clips`` in order.

    Args:
        model: The network, in evaluation mode, on ``device``.
        settings: Clip length, matching and refinement switches.
        device: Where the work is done.
        autocast: Precision in which the network may work; ``None`` is that of its weights.
            Keys are compared, and masks merged, in float32 in any case.
        frames_at_once: Frames encoded or decoded in one pass. ``None`` chooses one on a
            CPU, where larger passes only cost memory, and eight elsewhere.
        clock: Is charged with the seconds of each stage.
    """

    def __init__(
        self,
        model: PCVOS,
        settings: InferenceConfig,
        *,
        device: torch.device | str = "cpu",
        autocast: torch.dtype | None = None,
        frames_at_once: int | None = None,
        clock: StageClock | None = None,
    ) -> None:
        self._settings = settings.for_model(model.config)
        self._device = torch.device(device)
        # On other devices many small pieces of work are slower than a large one.
        in_boxes = self._settings.locate_objects and self._device.type == "cpu"
        in_boxes = in_boxes and model.decoder.mask_block > 0
        self._in_boxes = in_boxes
        self._whole_frames = model
        self._model = with_object_boxes(model, self._settings) if in_boxes else model
        self._at_once = frames_at_once or (1 if self._device.type == "cpu" else 8)
        self._autocast = autocast
        self._bank = MemoryBank(settings.max_memory_frames, model.config.memory_decay)
        self._object_ids: tuple[int, ...] = ()  # Ascending; channel k + 1 is object_ids[k].
        self._absent: frozenset[int] = frozenset()
        self._strays = StrayFilter() if self._settings.drop_strays else None
        self._clock = clock or StageClock()

    @property
    def memory(self) -> MemoryBank:
        """The memory; with the other properties it is all that a later clip depends on."""
        return self._bank

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Ids of the objects that have entered, ascending."""
        return self._object_ids

    @property
    def bodies(self) -> dict[int, Tensor]:
        """Each object's body on the last frame, as ``StrayFilter.bodies``."""
        return {} if self._strays is None else self._strays.bodies()

    @property
    def absent(self) -> frozenset[int]:
        """Ids of the objects that were not found again behind the last cut."""
        return self._absent

    @torch.inference_mode()
    def restore(
        self,
        object_ids: Iterable[int],
        memory: Iterable[MemoryFrame],
        bodies: Mapping[int, Tensor] | None = None,
        absent: Iterable[int] = (),
    ) -> None:
        """Take up the state of another segmenter between two clips.

        Args:
            object_ids: The objects that have entered.
            memory: All its memory frames, in order.
            bodies: Its ``bodies``.
            absent: Its ``absent``.

        Raises:
            ValueError: If this one has a memory already.
        """
        if self._bank.frames:
            raise ValueError("only a new segmenter can be restored")
        self._object_ids = tuple(sorted({*self._object_ids, *object_ids}))
        self._absent = frozenset(absent)
        for frame in memory:
            values = {i: value.to(self._device) for i, value in frame.values.items()}
            self._bank.restore(MemoryFrame(frame.key.to(self._device), values, frame.record))
        if self._strays is not None:
            self._strays.restore(bodies or {})

    def segment(self, clip: Clip) -> ClipPrediction:
        """Segment a clip and update the memory.

        Args:
            clip: The next clip of the video.

        Returns:
            Soft masks of all objects that have entered by the clip's last frame. On a
            reference frame they are the given masks, merged with the prediction.

        Raises:
            ValueError: If the first clip is not a single reference frame.
        """
        return ClipPrediction.join(self.segment_frames(clip), len(clip.frames))

    def segment_frames(self, clip: Clip) -> Iterator[ClipPrediction]:
        """Do what ``segment`` does, and hand on each pass of the decoder when it is done.

        On a CPU a pass is a frame: what becomes of its masks need not wait for the clip, and
        no soft masks of a whole clip are held.

        Args:
            clip: The next clip of the video. All its frames must be taken before another's.

        Yields:
            Soft masks of the next frames, of all objects that have entered by then.

        Raises:
            ValueError: As ``segment``.
        """
        parts = self._segment(clip)
        while True:
            # Not around a yield: the caller's own work would be done under them.
            with (
                torch.inference_mode(),
                torch.autocast(self._device.type, self._autocast, self._autocast is not None),
            ):
                part = next(parts, None)
            if part is None:
                return
            yield part

    def _segment(self, clip: Clip) -> Iterator[ClipPrediction]:
        frames = clip.frames.to(self._device)
        stated = clip.reference is not None
        features = _ClipFeatures(self._model, frames, self._at_once, self._clock, stated=stated)
        memories = self._bank.memories()
        if memories and clip.cut and self._settings.cuts != "ignore":
            passes = self._find_again(features, frames, memories)
        elif memories:
            passes = self._predict(features, frames, memories)
        elif clip.reference is not None and len(frames) == 1:
            passes = iter([torch.ones((1, 1, *frames.size), device=self._device)])
        else:
            raise ValueError("the first clip must be a single reference frame")
        # The last pass of a part of the clip may hold frames of the next part, too.
        window = SearchWindow(self._settings.decoded_together(len(frames)) + self._at_once - 1)
        start = 0
        for probs in passes:
            end = start + probs.shape[1]
            gone = {**clip.gone, **dict.fromkeys(self._absent, 0)}
            self._leave(probs, clip.start + start, gone)
            if self._in_boxes and memories:
                is_gone = [gone.get(i, math.inf) <= clip.start + end for i in self._object_ids]
                features.window = window.follow(probs[1:, -1], is_gone)
            if end == len(frames):
                self._bank.count_usage(memories, len(frames))
                if memories and clip.due and not clip.final:
                    self._remember(frames, features, probs[1:, -1])
                if clip.reference is not None:
                    probs = self._overrule(probs, clip.reference, clip.padding)
                    if not clip.final:
                        self._remember(frames, features, probs[1:, -1], reference=True)
            yield ClipPrediction(
                clip.start + start, self._object_ids, unpad(probs, clip.padding).cpu()
            )
            start = end

    def _predict(
        self, features: "_ClipFeatures", frames: ClipFrames, memories: Sequence[Memory]
    ) -> Iterator[Tensor]:
        """Yield ``(K + 1, t, H, W)`` for the objects in the memory, a pass at a time."""
        places = cache(self._reference_places)
        passes = self._model.segment_frames(
            features,
            memories,
            frames=len(frames),
            settings=self._settings,
            images=frames,
            clock=self._clock,
        )
        for logits in passes:
            with self._clock("aggregation"):
                probs = self._merge(logits)
                shown = [features.keys.popleft() for _ in logits]
                if self._strays is not None:
                    # Without a ``mask_block`` values do not say where the object was.
                    block = self._model.decoder.mask_block
                    recalls = [recall_on(key, places) for key in shown] if block else []
                    self._strays.drop(probs, self._object_ids, recalls)
            yield probs

    def _reference_places(self, object_id: int) -> Tensor:
        """Return the keys of an object's cells on its reference frames, ``(C_k, n)``."""
        block = self._model.decoder.mask_block
        given = [i for i, record in enumerate(self._bank.records) if record.reference]
        frames = [frame for frame in map(self._bank.frame, given) if object_id in frame.values]
        own = [own_cover(frame.values[object_id], block) >= 0.5 for frame in frames]
        return torch.cat([frame.key[:, cells] for frame, cells in zip(frames, own, strict=True)], 1)

    def _find_again(
        self, features: Iterable[KeyFeatures], frames: ClipFrames, memories: Sequence[Memory]
    ) -> Iterator[Tensor]:
        """Do as ``_predict`` for the first frame of a shot, and note which objects are absent."""
        (frame,) = features
        frame, memories = placeless(frame, memories, self._model.config)
        (logits,) = self._whole_frames.segment_frames(
            [frame],
            memories,
            frames=1,
            settings=self._settings,
            images=frames,
            clock=self._clock,
        )
        with self._clock("aggregation"):
            probs = self._merge(logits)
            order = self._bank.object_ids()
            if self._settings.cuts == "stop":
                self._absent = frozenset(order)
            elif block := self._model.decoder.mask_block:
                found = [probs[1 + self._object_ids.index(i), 0] for i in order]
                like = likeness(frame, memories, torch.stack(found), block)
                self._absent = frozenset(
                    i for i, alike in zip(order, like, strict=True) if alike < LIKENESS
                )
            if self._strays is not None:
                for object_id, mask in zip(self._object_ids, probs[1:, 0], strict=True):
                    self._strays.begin(object_id, mask)
        yield probs

    def _merge(self, logits: Tensor) -> Tensor:
        """Merge logits ``(t, K, H, W)`` of the memory's objects to ``(K + 1, t, H, W)``."""
        # Half precision has no 1 - 1e-7.
        objects = logits.transpose(0, 1).float().sigmoid_()
        return soft_aggregate(self._in_channel_order(objects, self._bank.object_ids()))

    def _in_channel_order(self, maps: Tensor, order: tuple[int, ...]) -> Tensor:
        """Arrange maps ``(len(order), ...)`` of some ids as ``(K, ...)``, zero for the others."""
        if order == self._object_ids:
            return maps
        arranged = maps.new_zeros((len(self._object_ids), *maps.shape[1:]))
        arranged[[self._object_ids.index(i) for i in order]] = maps
        return arranged

    def _leave(self, probs: Tensor, first: int, gone: Mapping[int, int]) -> None:
        """Give the background what objects that are gone have of ``(K + 1, t, H, W)``."""
        for channel, object_id in enumerate(self._object_ids, start=1):
            if object_id in gone:
                absent = probs[:, max(0, gone[object_id] - first) :]
                absent[0] += absent[channel]
                absent[channel] = 0

    def _overrule(self, probs: Tensor, reference: ReferenceMask, padding: Padding) -> Tensor:
        """Merge a reference mask into the last frame of ``(K + 1, T, H, W)``.

        Each listed object is replaced as a whole; its given pixels belong to it alone.
        """
        known = self._object_ids
        self._absent -= set(reference.object_ids)
        self._object_ids = tuple(sorted({*known, *reference.object_ids}))
        objects = self._in_channel_order(probs[1:], known)
        labels = reference.labels.to(self._device)
        given = pad(object_masks(labels, reference.object_ids), padding)
        last = objects[:, -1] * (1 - given.sum(0)).clamp(min=0)
        listed = [self._object_ids.index(i) for i in reference.object_ids]
        last[listed] = given
        if self._strays is not None:
            for object_id, mask in zip(reference.object_ids, given, strict=True):
                self._strays.begin(object_id, mask)
        # Frames before it keep their probabilities; objects that enter are zero there.
        merged = torch.cat((probs[:1], objects))
        merged[:, -1] = soft_aggregate(last)
        return merged

    def _remember(
        self,
        frames: ClipFrames,
        features: "_ClipFeatures",
        probs: Tensor,
        *,
        reference: bool = False,
    ) -> None:
        """Add the clip's last frame with masks ``(K, H, W)``, in channel order, to the memory."""
        last = features.last_frame()
        with self._clock("value_encoder"):
            values = self._model.encode_value(frames, last, probs[None], at=slice(-1, None))[0]
            by_object = dict(zip(self._object_ids, values, strict=True))
            self._bank.add(last.key[0], by_object, reference=reference)


class _ClipFeatures:
    """Key features of a clip's frames, encoded when they are asked for; iterated once.

    With decoded provisional memory they are asked for F frames at a time, so that no clip's
    features are held, and its first masks need not wait for its last frame.

    Args:
        model: Encodes them.
        frames: Of the clip.
        at_once: How many are encoded in one pass.
        clock: Is charged with it.
        stated: Whether a reference mask states objects on the last frame. They may be anywhere
            on it, so it is encoded whole.

    Attributes:
        keys: Of the frames encoded so far, ``(C_k, h, w)``, for the caller to take away.
        window: Where the next frames are encoded, for the caller to set; ``None``: everywhere.
    """

    def __init__(
        self,
        model: PCVOS,
        frames: ClipFrames,
        at_once: int,
        clock: StageClock,
        *,
        stated: bool,
    ) -> None:
        self.keys: deque[Tensor] = deque()
        self.window: CellBox | None = None
        self._passes = self._encode(model, frames, at_once, clock, stated)
        self._last: KeyFeatures | None = None

    def _encode(
        self, model: PCVOS, frames: ClipFrames, at_once: int, clock: StageClock, stated: bool
    ) -> Iterator[KeyFeatures]:
        places = 2 if model.config.position_keys else 0
        encoded_whole = 0
        for start in range(0, len(frames), at_once):
            with clock("key_encoder"):
                images = frames[start : start + at_once]
                holds_stated = stated and start + at_once >= len(frames)
                is_due = holds_stated or start - encoded_whole >= LOOK_AROUND
                window = None if is_due else self.window
                if window is None or self._last is None:
                    self._last, encoded_whole = model.encode_key(images), start
                else:
                    part = model.encode_key(window.cut(images, STRIDE))
                    before = self._last.part(slice(-1, None))
                    self._last = renew(before, part, window, places=places)
            self.keys.extend(self._last.key)
            yield self._last

    def __iter__(self) -> Iterator[KeyFeatures]:
        return self._passes

    def last_frame(self) -> KeyFeatures:
        """Return the features of the clip's last frame; those before are taken."""
        for _ in self._passes:
            pass
        assert self._last is not None, "a clip has frames"
        return self._last.part(slice(-1, None))
