"""The memory: keys once for all objects, values for each, grouped by when objects entered."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Memory:
    """What one group of objects reads from.

    Attributes:
        key: ``(B, C_k, N)``.
        value: ``(B, K, C_v, N)``.
    """

    key: Tensor
    value: Tensor


@dataclass(frozen=True, slots=True)
class MemoryFrame:
    """One frame of the memory, as ``MemoryBank.add`` takes it.

    Attributes:
        key: ``(C_k, h * w)``.
        values: For each object that is present, ``(C_v, h * w)``.
    """

    key: Tensor
    values: Mapping[int, Tensor]


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

    def view(self) -> Tensor:
        return self._storage[: self._length]


class ObjectGroup:
    """Objects that entered on the same frame and so share their memory frames.

    Attributes:
        object_ids: Ids in the order of the value's object axis.
        start: Memory location (row of the bank's keys) at which the group begins.
    """

    def __init__(self, object_ids: tuple[int, ...], start: int, values: Tensor) -> None:
        self.object_ids = object_ids
        self.start = start
        self._values = _Rows(values)

    def append(self, values: Tensor) -> None:
        """Add one memory frame's values, ``(h * w, K, C_v)``."""
        self._values.append(values)

    def values(self) -> Tensor:
        """Return ``(N, K, C_v)``, ``N`` counted from the group's start."""
        return self._values.view()


class MemoryBank:
    """Keys and values of all memory frames of one video.

    A group's memory is the tail of the bank from the frame on which its objects entered,
    because every later memory frame has a value for every object that is present.
    """

    def __init__(self) -> None:
        self._keys: _Rows | None = None
        self.groups: list[ObjectGroup] = []
        self.frames = 0

    def add(self, key: Tensor, values: Mapping[int, Tensor]) -> None:
        """Add a memory frame.

        Args:
            key: ``(C_k, h, w)`` or ``(C_k, h * w)``.
            values: For each object present, ``(C_v, h, w)`` or ``(C_v, h * w)``. Ids that
                are new form a new group, which begins with this frame.

        Raises:
            ValueError: If an object that entered earlier has no value here.
        """
        known = [object_id for group in self.groups for object_id in group.object_ids]
        if missing := sorted(set(known) - set(values)):
            raise ValueError(f"no value for objects {missing}, which are in the memory")
        rows = key.flatten(1).t()  # (h * w, C_k)
        start = 0 if self._keys is None else self._keys.view().shape[0]
        if self._keys is None:
            self._keys = _Rows(rows)
        else:
            self._keys.append(rows)
        for group in self.groups:
            group.append(_value_rows(values, group.object_ids))
        if entering := tuple(sorted(set(values) - set(known))):
            self.groups.append(ObjectGroup(entering, start, _value_rows(values, entering)))
        self.frames += 1

    def memories(self) -> list[Memory]:
        """Return what each group reads from, in the order of ``groups``; views, ``B`` = 1."""
        if self._keys is None:
            return []
        keys = self._keys.view().t()[None]  # (1, C_k, N)
        return [
            Memory(keys[..., group.start :], group.values().permute(1, 2, 0)[None])
            for group in self.groups
        ]

    def frame(self, index: int) -> MemoryFrame:
        """Return one memory frame, in the order in which they were added; views.

        Adding all of them to an empty bank makes this bank again, bit by bit.

        Raises:
            IndexError: If there is no such frame.
        """
        if self._keys is None or not 0 <= index < self.frames:
            raise IndexError(f"no memory frame {index}: there are {self.frames}")
        keys = self._keys.view()
        cells = keys.shape[0] // self.frames
        begin, end = index * cells, (index + 1) * cells
        values: dict[int, Tensor] = {}
        for group in self.groups:
            if group.start <= begin:
                rows = group.values()[begin - group.start : end - group.start]
                values |= {i: rows[:, k].t() for k, i in enumerate(group.object_ids)}
        return MemoryFrame(keys[begin:end].t(), values)

    def object_ids(self) -> tuple[int, ...]:
        """Return all ids, in the order in which ``memories`` holds them."""
        return tuple(i for group in self.groups for i in group.object_ids)


def _value_rows(values: Mapping[int, Tensor], object_ids: tuple[int, ...]) -> Tensor:
    """Stack ``(C_v, h, w)`` values of a group as contiguous ``(h * w, K, C_v)`` rows."""
    return torch.stack([values[i].flatten(1).t() for i in object_ids], dim=1)
