"""The memory: keys once for all objects, values for each, grouped by when objects entered.

A bounded bank drops a frame for every frame too many, by how much the frames are used
(XMem, Cheng and Schwing, ECCV 2022, section 3.3, which does so for single locations).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

OLDEST = 10
"""Frames older than this, counted in memory frames, lose no more than it."""


@dataclass(frozen=True, slots=True)
class Memory:
    """The keys and values that one group of objects reads.

    Attributes:
        key: ``(B, C_k, N)``.
        value: ``(B, K, C_v, N)``.
        age_penalty: ``(n,)``, what the similarities of the first n locations lose, in units of
            the softmax's exponent; ``None``: nothing.
        usage: ``(n,)`` float32, the affinity that each of the first n locations received;
            ``None`` where nobody wants to know.
    """

    key: Tensor
    value: Tensor
    age_penalty: Tensor | None = None
    usage: Tensor | None = None


@dataclass(frozen=True, slots=True)
class FrameRecord:
    """A memory frame's record: all but its keys and values.

    Attributes:
        number: How many frames had entered the memory before it.
        reference: Its masks were given by the user, so it is never dropped.
        usage: The affinity it received so far: each query location has 1 to give, for each
            group of objects. 0 in an unbounded bank, which does not count.
        queries: Query frames that could read it.
    """

    number: int
    reference: bool = False
    usage: float = 0.0
    queries: int = 0

    @property
    def mean_usage(self) -> float:
        """Affinity received from a query frame, on average; before the first one infinite."""
        return self.usage / self.queries if self.queries else float("inf")


@dataclass(frozen=True, slots=True)
class MemoryFrame:
    """One frame of the memory, as ``MemoryBank.restore`` takes it.

    Attributes:
        key: ``(C_k, h * w)``.
        values: For each object that is present, ``(C_v, h * w)``.
        record: Its place and usage.
    """

    key: Tensor
    values: Mapping[int, Tensor]
    record: FrameRecord


class _Rows:
    """A tensor that grows along its first axis, copied only when its capacity doubles."""

    def __init__(self, first: Tensor) -> None:
        self._storage = first.new_empty((2 * first.shape[0], *first.shape[1:]))
        self._length = 0
        self.append(first)

    def append(self, rows: Tensor) -> None:
        end = self._length + rows.shape[0]
        if end > self._storage.shape[0]:
            grown = self._storage.new_empty((2 * end, *self._storage.shape[1:]))
            grown[: self._length] = self._storage[: self._length]
            self._storage = grown
        self._storage[self._length : end] = rows
        self._length = end

    def drop(self, begin: int, count: int) -> None:
        """Remove ``count`` rows and close the gap."""
        # In steps of the gap, since source and target of a copy must not overlap.
        for start in range(begin + count, self._length, count):
            moved = self._storage[start : min(start + count, self._length)]
            self._storage[start - count : start - count + len(moved)] = moved
        self._length -= count

    def view(self) -> Tensor:
        return self._storage[: self._length]


@dataclass(slots=True)
class ObjectGroup:
    """Objects that entered on the same frame and so share their memory frames.

    Attributes:
        object_ids: Ids in the order of the value's object axis.
        start: Memory location (row of the bank's keys) at which the group begins.
        values: ``(N, K, C_v)``, ``N`` counted from ``start``.
    """

    object_ids: tuple[int, ...]
    start: int
    values: _Rows


class MemoryBank:
    """Keys and values of the memory frames of one video.

    A group's memory is the tail of the bank from the frame on which its objects entered,
    because every later memory frame has a value for every object that is present.

    A frame too many costs the one its place that was used least: that received the least
    affinity, divided by the number of frames that could read it. Reference frames and the
    newest frame are always kept, so where ``max_frames`` or more frames are references,
    they and the newest are the memory.

    Args:
        max_frames: Frames to hold; ``None``: all.
        decay: Penalty on a frame's similarities for each frame added since, up to
            ``OLDEST`` of them; a reference frame's nothing.
    """

    def __init__(self, max_frames: int | None = None, decay: float = 0.0) -> None:
        self._max_frames = max_frames
        self._decay = decay
        self._keys: _Rows | None = None
        self._cells = 0
        self._records: list[FrameRecord] = []
        self.groups: list[ObjectGroup] = []
        self.frames_added = 0

    @property
    def frames(self) -> int:
        """Frames in the memory."""
        return len(self._records)

    @property
    def records(self) -> tuple[FrameRecord, ...]:
        """The records of the frames, in the order in which they were added."""
        return tuple(self._records)

    def add(self, key: Tensor, values: Mapping[int, Tensor], *, reference: bool = False) -> None:
        """Add a memory frame; drop another one if there are too many.

        Args:
            key: ``(C_k, h, w)`` or ``(C_k, h * w)``.
            values: For each object present, ``(C_v, h, w)`` or ``(C_v, h * w)``. Ids that
                are new form a new group, which begins with this frame.
            reference: Never drop this frame.

        Raises:
            ValueError: If an object that entered earlier has no value here.
        """
        self._append(key, values, FrameRecord(self.frames_added, reference))
        self.frames_added += 1
        if self._max_frames is not None and self.frames > self._max_frames:
            self._drop_one()

    def restore(self, frame: MemoryFrame) -> None:
        """Add what ``frame`` of another bank returned. Errors as ``add``."""
        self._append(frame.key, frame.values, frame.record)
        self.frames_added = frame.record.number + 1

    def _append(self, key: Tensor, values: Mapping[int, Tensor], record: FrameRecord) -> None:
        known = self.object_ids()
        if missing := sorted(set(known) - set(values)):
            raise ValueError(f"no value for objects {missing}, which are in the memory")
        rows = key.flatten(1).t()  # (h * w, C_k)
        self._cells = rows.shape[0]
        start = self.frames * self._cells
        if self._keys is None:
            self._keys = _Rows(rows)
        else:
            self._keys.append(rows)
        for group in self.groups:
            group.values.append(_value_rows(values, group.object_ids))
        if entering := tuple(sorted(set(values) - set(known))):
            rows = _value_rows(values, entering)
            self.groups.append(ObjectGroup(entering, start, _Rows(rows)))
        self._records.append(record)

    def _drop_one(self) -> None:
        assert self._keys is not None
        candidates = [i for i, r in enumerate(self._records[:-1]) if not r.reference]
        if not candidates:
            return
        # Of equals the oldest.
        index = min(candidates, key=lambda i: self._records[i].mean_usage)
        del self._records[index]
        self._keys.drop(index * self._cells, self._cells)
        begin = index * self._cells
        for group in self.groups:
            if begin < group.start:
                group.start -= self._cells
            else:
                group.values.drop(begin - group.start, self._cells)

    def memories(self) -> list[Memory]:
        """Return what each group reads from, in the order of ``groups``; views, ``B`` = 1."""
        if self._keys is None:
            return []
        keys = self._keys.view().t()[None]  # (1, C_k, N)
        age_penalty = self._age_penalty(keys) if self._decay else None
        memories = []
        for group in self.groups:
            key = keys[..., group.start :]
            group_penalty = None if age_penalty is None else age_penalty[group.start :]
            usage = None
            if self._max_frames is not None:
                usage = key.new_zeros(key.shape[-1], dtype=torch.float32)
            value = group.values.view().permute(1, 2, 0)[None]
            memories.append(Memory(key, value, group_penalty, usage))
        return memories

    def _age_penalty(self, like: Tensor) -> Tensor:
        """Return what each location of the memory loses by its age, ``(N,)``."""
        newest = self.frames_added - 1
        ages = [0 if r.reference else newest - r.number for r in self._records]
        return age_penalties(ages, self._decay, self._cells, device=like.device)

    def count_usage(self, memories: list[Memory], queries: int) -> None:
        """Note how much the frames were used.

        Args:
            memories: As ``memories`` returned them, after they were read; nothing was added since.
            queries: Frames that read it.
        """
        if self._max_frames is None:
            return
        used = [0.0] * self.frames
        for group, memory in zip(self.groups, memories, strict=True):
            assert memory.usage is not None
            by_frame = memory.usage.cpu().double().view(-1, self._cells).sum(1).tolist()
            for index, usage in enumerate(by_frame, start=group.start // self._cells):
                used[index] += usage
        self._records = [
            replace(record, usage=record.usage + more, queries=record.queries + queries)
            for record, more in zip(self._records, used, strict=True)
        ]

    def frame(self, index: int) -> MemoryFrame:
        """Return one memory frame, in the order in which they were added; views.

        Restoring all of them in an empty bank makes this bank again, bit by bit. Keys and
        values are overwritten when a frame is dropped.

        Raises:
            IndexError: If there is no such frame.
        """
        if self._keys is None or not 0 <= index < self.frames:
            raise IndexError(f"no memory frame {index}: there are {self.frames}")
        keys = self._keys.view()
        begin, end = index * self._cells, (index + 1) * self._cells
        values: dict[int, Tensor] = {}
        for group in self.groups:
            if group.start <= begin:
                rows = group.values.view()[begin - group.start : end - group.start]
                values |= {i: rows[:, k].t() for k, i in enumerate(group.object_ids)}
        return MemoryFrame(keys[begin:end].t(), values, self._records[index])

    def object_ids(self) -> tuple[int, ...]:
        """Return all ids, in the order in which ``memories`` holds them."""
        return tuple(i for group in self.groups for i in group.object_ids)


def age_penalties(ages: Sequence[int], decay: float, cells: int, *, device: torch.device) -> Tensor:
    """Return what each location of a memory loses by its frame's age, ``(N,)`` float32.

    Args:
        ages: Of each memory frame, the frames added since; 0 for references.
        decay: Penalty of a frame for each, up to ``OLDEST`` of them.
        cells: Locations of a frame.
        device: Of the keys.
    """
    bounded = [min(age, OLDEST) for age in ages]
    lost = torch.tensor(bounded, dtype=torch.float32, device=device) * decay
    return lost.repeat_interleave(cells)


def _value_rows(values: Mapping[int, Tensor], object_ids: tuple[int, ...]) -> Tensor:
    """Stack ``(C_v, h, w)`` values of a group as contiguous ``(h * w, K, C_v)`` rows."""
    return torch.stack([values[i].flatten(1).t() for i in object_ids], dim=1)
