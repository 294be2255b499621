"""How cost grows: straight lines through seconds a frame. Free of torch."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Trend:
    """Seconds a frame, fitted by least squares as ``fixed + each * count``.

    Attributes:
        counts: What grows: frames in the memory, or objects.
        seconds: Seconds a frame of the model alone at each count.
        fixed: Seconds a frame that do not depend on the count.
        each: Seconds a frame that one more costs.
        r_squared: Share of the variance that the line explains.
    """

    counts: tuple[int, ...]
    seconds: tuple[float, ...]
    fixed: float
    each: float
    r_squared: float

    @classmethod
    def fit(cls, counts: Sequence[int], seconds: Sequence[float]) -> Self:
        """Fit a line through points of at least two different counts."""
        each, fixed = statistics.linear_regression(counts, seconds)
        residual = sum((s - fixed - each * c) ** 2 for c, s in zip(counts, seconds, strict=True))
        mean = statistics.fmean(seconds)
        total = sum((s - mean) ** 2 for s in seconds)
        r_squared = 1 - residual / total if total else 1.0
        return cls(tuple(counts), tuple(seconds), fixed, each, r_squared)

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Self:
        """Read the fields back from JSON."""
        lists = {name: tuple(values[name]) for name in ("counts", "seconds")}
        return cls(**{**values, **lists})

    @property
    def growth(self) -> float:
        """Seconds at the largest count over those at the smallest."""
        return self.seconds[-1] / self.seconds[0]

    def describe(self, what: str) -> str:
        """Return the line in words, in milliseconds.

        Args:
            what: One of what grows.
        """
        fixed, each = 1000 * self.fixed, 1000 * self.each
        return (
            f"{fixed:.2f} ms a frame {'-' if each < 0 else '+'} {abs(each):.3f} ms for each {what}"
            f" (R² {self.r_squared:.3f}, {self.counts[0]} to {self.counts[-1]};"
            f" {self.counts[-1]} take {self.growth:.2f} times the seconds of {self.counts[0]})"
        )


@dataclass(frozen=True, slots=True)
class Scaling:
    """How the model's cost grows.

    Attributes:
        variant: What was measured.
        interval: L.
        objects: Number of objects while the length grows.
        length: By frames in the memory, of which there is one each L frames of the video, up
            to a bound; measured up to any number.
        by_objects: By number of objects; ``None`` where only one number was measured.
    """

    variant: str
    interval: int
    objects: int
    length: Trend
    by_objects: Trend | None

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Self:
        """Read the fields back from JSON."""
        by_objects = values["by_objects"]
        trends = {
            "length": Trend.from_values(values["length"]),
            "by_objects": None if by_objects is None else Trend.from_values(by_objects),
        }
        return cls(**{**values, **trends})

    def describe(self) -> list[str]:
        """Return what was found, line by line."""
        case = f"{self.variant}, L {self.interval}"
        objects = f"{self.objects} object{'s' * (self.objects > 1)}"
        lines = [f"length ({case}, {objects}): {self.length.describe('frame in the memory')}"]
        if self.by_objects is not None:
            lines.append(f"objects ({case}): {self.by_objects.describe('object')}")
        return lines
