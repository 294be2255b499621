"""How things in a synthetic scene move and bend, as smooth functions of time.

Time is in frames of an imagined 24 fps video, so that a larger gap between sampled frames
means a larger motion. World coordinates are pixels of the first frame, (x, y), with the
origin at its centre.
"""

from dataclasses import dataclass

import numpy as np

from model.data.deformation import Floats


@dataclass(frozen=True, slots=True)
class Curve:
    """A scalar that travels from ``start`` with acceleration, and swings.

    Attributes:
        start: Value at time 0.
        travel: Change over ``duration``, without the swing.
        bend: Acceleration: 0 is constant speed, +-1 starts or ends at rest.
        swing: Amplitude of a sine.
        period: Of the sine, in frames.
        phase: Of the sine at time 0, in radians.
        duration: In frames.
    """

    start: float
    travel: float = 0.0
    bend: float = 0.0
    swing: float = 0.0
    period: float = 24.0
    phase: float = 0.0
    duration: float = 1.0

    def at(self, times: Floats) -> Floats:
        """Return the values at ``times``."""
        progress = times / self.duration
        eased = progress + self.bend * progress * (1 - progress)
        swing = np.sin(2 * np.pi * times / self.period + self.phase) - np.sin(self.phase)
        return self.start + self.travel * eased + self.swing * swing


def random_curve(
    rng: np.random.Generator,
    duration: float,
    *,
    start: float = 0.0,
    travel: float = 0.0,
    swing: float = 0.0,
    period: tuple[float, float] = (8.0, 40.0),
) -> Curve:
    """Return a curve with random acceleration and phase, and up to ``swing`` of a sine."""
    return Curve(
        start=start,
        travel=travel,
        bend=rng.uniform(-1, 1),
        swing=rng.uniform(0, swing),
        period=rng.uniform(*period),
        phase=rng.uniform(0, 2 * np.pi),
        duration=duration,
    )


@dataclass(frozen=True, slots=True)
class Excursion:
    """A detour: away by ``(x, y)`` pixels between two times, and back."""

    x: float
    y: float
    begin: float
    end: float

    def at(self, times: Floats) -> Floats:
        """Return the offsets at ``times``, ``(T, 2)``."""
        progress = np.clip((times - self.begin) / (self.end - self.begin), 0, 1)
        return np.sin(np.pi * progress)[:, None] ** 2 * np.array([self.x, self.y])


@dataclass(frozen=True, slots=True)
class Trajectory:
    """Where an object is: position, angle, size, and its turn away from the viewer.

    Attributes:
        x: World position of the centre, pixels.
        y: World position of the centre, pixels.
        angle: Rotation in the image plane, radians.
        log_size: Natural logarithm of world pixels for each pixel of the cut-out.
        turn: Rotation about the upright axis, radians: the outline narrows by its cosine.
        shear: Horizontal shear.
        excursion: Leaves the frame and comes back.
    """

    x: Curve
    y: Curve
    angle: Curve
    log_size: Curve
    turn: Curve
    shear: Curve
    excursion: Excursion | None = None

    def centres(self, times: Floats) -> Floats:
        """Return world positions, ``(T, 2)``."""
        positions = np.stack([self.x.at(times), self.y.at(times)], axis=1)
        return positions if self.excursion is None else positions + self.excursion.at(times)

    def matrices(self, times: Floats) -> Floats:
        """Return ``(T, 3, 3)``: pixels from the cut-out's centre to world pixels."""
        angle, size = self.angle.at(times), np.exp(self.log_size.at(times))
        # At most 60 degrees: edge on, a picture has no thickness that could be seen.
        narrow = np.cos(np.pi / 3 * np.tanh(self.turn.at(times)))
        shear = self.shear.at(times)
        centres = self.centres(times)
        cosine, sine = np.cos(angle), np.sin(angle)
        result = np.zeros((len(times), 3, 3))
        result[:, 0, 0] = size * narrow * cosine
        result[:, 0, 1] = size * (shear * cosine - sine)
        result[:, 1, 0] = size * narrow * sine
        result[:, 1, 1] = size * (shear * sine + cosine)
        result[:, :2, 2] = centres
        result[:, 2, 2] = 1
        return result


@dataclass(frozen=True, slots=True)
class Camera:
    """World to frame: pan, roll, zoom, shake, and how far it follows an object.

    Attributes:
        size: ``(height, width)`` of the frame.
        x: World position of the view's centre, pixels.
        y: World position of the view's centre, pixels.
        roll: Radians.
        log_zoom: Natural logarithm of the magnification.
        shake: Sines of short period, added to x and y.
        target: The path that is followed, or ``None``.
        follow: 1 keeps the target where it was in the first frame.
    """

    size: tuple[int, int]
    x: Curve
    y: Curve
    roll: Curve
    log_zoom: Curve
    shake: tuple[Curve, Curve]
    target: Trajectory | None = None
    follow: float = 0.0

    def matrices(self, times: Floats) -> Floats:
        """Return ``(T, 3, 3)``: world pixels to frame pixels."""
        x = self.x.at(times) + self.shake[0].at(times)
        y = self.y.at(times) + self.shake[1].at(times)
        if self.target is not None:
            positions = self.target.centres(np.append(times, 0.0))
            moved = self.follow * (positions[:-1] - positions[-1])
            x, y = x + moved[:, 0], y + moved[:, 1]
        roll, zoom = self.roll.at(times), np.exp(self.log_zoom.at(times))
        cosine, sine = zoom * np.cos(roll), zoom * np.sin(roll)
        result = np.zeros((len(times), 3, 3))
        result[:, 0, 0], result[:, 0, 1] = cosine, -sine
        result[:, 1, 0], result[:, 1, 1] = sine, cosine
        result[:, 0, 2] = self.size[1] / 2 - 0.5 - (cosine * x - sine * y)
        result[:, 1, 2] = self.size[0] / 2 - 0.5 - (sine * x + cosine * y)
        result[:, 2, 2] = 1
        return result
