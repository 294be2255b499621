"""Seconds that can be compared: at one rate of matrix products, and against the floor.

Free of torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

REFERENCE_GFLOPS = 67.0
"""The rate of float32 matrix products at which the targets of this project are stated."""

TOTAL = "total"
"""Stands beside the stages for their sum."""


def at_reference(seconds: float, gflops: float) -> float:
    """Return what ``seconds`` would be where matrix products run at ``REFERENCE_GFLOPS``.

    Args:
        seconds: Measured.
        gflops: The rate of matrix products meanwhile.
    """
    return seconds * gflops / REFERENCE_GFLOPS


def floor_seconds(multiply_adds: float, gflops: float) -> float:
    """Return the seconds that multiply-adds take at a rate of ``gflops``: two operations each."""
    return 2 * multiply_adds / (gflops * 1e9)


@dataclass(frozen=True, slots=True)
class Floor:
    """How near the processor's limit the model is. All mappings are by stage, and ``TOTAL``.

    Attributes:
        multiply_adds: A frame.
        seconds: That these take a frame at the rate of matrix products of the same run.
        times: Seconds measured over ``seconds``: 1 is the limit.
    """

    multiply_adds: Mapping[str, float]
    seconds: Mapping[str, float]
    times: Mapping[str, float]

    @classmethod
    def of(
        cls,
        multiply_adds: Mapping[str, float],
        *,
        gflops: float,
        stages: Mapping[str, float],
        total: float,
    ) -> Self:
        """Compare what was measured with the floor.

        Args:
            multiply_adds: A frame, by stage.
            gflops: The rate of matrix products in the same run.
            stages: Measured seconds a frame, by stage; those without multiply-adds are part
                of ``total`` alone.
            total: Measured seconds a frame of the model.
        """
        counts = {**multiply_adds, TOTAL: sum(multiply_adds.values())}
        seconds = {stage: floor_seconds(count, gflops) for stage, count in counts.items()}
        measured = {**stages, TOTAL: total}
        times = {
            stage: measured[stage] / least
            for stage, least in seconds.items()
            if stage in measured and least > 0
        }
        return cls(counts, seconds, times)

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Self:
        """Read the fields back from JSON."""
        return cls(**values)

    @property
    def at_reference(self) -> float:
        """Seconds a frame, of all stages, at ``REFERENCE_GFLOPS``."""
        return floor_seconds(self.multiply_adds[TOTAL], REFERENCE_GFLOPS)
