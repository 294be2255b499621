"""Region similarity J: how much of a mask and of the truth is shared."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def region_similarity(prediction: ArrayLike, truth: ArrayLike) -> float:
    """Return the intersection over union of two masks (Perazzi et al., CVPR 2016).

    Args:
        prediction: ``(H, W)``; anything but zero is the object.
        truth: ``(H, W)``, likewise.

    Returns:
        J in [0, 1]; 1 when both masks are empty, since nothing is where nothing should be.

    Raises:
        ValueError: If the masks are not two-dimensional or their shapes differ.
    """
    a, b = mask_pair(prediction, truth)
    union = np.count_nonzero(a | b)
    if union == 0:
        return 1.0
    return float(np.count_nonzero(a & b) / union)


def mask_pair(
    prediction: ArrayLike, truth: ArrayLike
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return both masks as booleans after checking that they can be compared.

    Raises:
        ValueError: If the masks are not two-dimensional or their shapes differ.
    """
    a = np.asarray(prediction, dtype=bool)
    b = np.asarray(truth, dtype=bool)
    if a.ndim != 2 or a.shape != b.shape:
        raise ValueError(f"masks must be (H, W) and alike, got {a.shape} and {b.shape}")
    return a, b
