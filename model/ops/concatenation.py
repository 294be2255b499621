"""Parts of a tensor, put together."""

from collections.abc import Iterable

import torch
from torch import Tensor


def concatenated(parts: Iterable[Tensor], dim: int = 0) -> Tensor:
    """Return ``torch.cat`` of one or more tensors; one alone is returned itself, not copied.

    Args:
        parts: Of one shape but for ``dim``.
        dim: The axis along which they follow each other.
    """
    tensors = list(parts)
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors, dim)
