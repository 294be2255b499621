"""Accuracy against speed as lines of points, for pictures and for the terminal."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Point:
    """One clip length.

    Attributes:
        fps: Frames a second of the model alone.
        score: In percent.
        interval: L.
    """

    fps: float
    score: float
    interval: int


@dataclass(frozen=True, slots=True)
class Curve:
    """A variant or a row: its name, and its points in the order of L."""

    name: str
    points: tuple[Point, ...]
