"""The registry of object ids and their channels."""

from collections.abc import Iterable

import torch
from torch import Tensor


class ObjectRegistry:
    """The user's object ids, ascending; channel ``k + 1`` belongs to ``object_ids[k]``."""

    def __init__(self) -> None:
        self.object_ids: tuple[int, ...] = ()

    def register(self, object_ids: Iterable[int]) -> None:
        """Add ids that are new."""
        self.object_ids = tuple(sorted({*self.object_ids, *object_ids}))

    def arrange(self, maps: Tensor, order: tuple[int, ...]) -> Tensor:
        """Put maps ``(len(order), ...)`` of the ids in ``order`` into channel order.

        Args:
            maps: One map for each id in ``order``.
            order: The ids that have a map; a subset of ``object_ids``.

        Returns:
            ``(K, ...)``; zero for ids without a map.
        """
        if order == self.object_ids:
            return maps
        arranged = maps.new_zeros((len(self.object_ids), *maps.shape[1:]))
        channel = {object_id: k for k, object_id in enumerate(self.object_ids)}
        arranged[torch.tensor([channel[i] for i in order], dtype=torch.long)] = maps
        return arranged
