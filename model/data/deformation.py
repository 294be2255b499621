"""Smooth non-rigid motion, and the maps that warp pictures with it."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_GRID = 14


@dataclass(frozen=True, slots=True)
class Deformation:
    """Non-rigid motion in an object's own coordinates, ``-1..1`` along its longer side.

    A sum of travelling waves bends everything a little (cloth, water, breathing); joints
    swing the part that lies beyond them (limbs, heads, tails).

    Attributes:
        waves: ``(M, 6)``: amplitude x, amplitude y, wave number x, wave number y, phase and
            angular velocity (radians a frame).
        joints: ``(J, 8)``: centre x, centre y, normal x, normal y, sharpness of the hinge,
            amplitude (radians), angular velocity, phase.
    """

    waves: Floats
    joints: Floats

    def displacement(self, u: Floats, v: Floats, time: float) -> tuple[Floats, Floats]:
        """Return how far to the right and below each point's texture is found.

        At time 0 waves and joints displace too: a cut-out starts in a pose of its own.
        """
        across, down = np.zeros_like(u), np.zeros_like(v)
        for ax, ay, kx, ky, phase, speed in self.waves:
            wave = np.sin(kx * u + ky * v + phase + speed * time)
            across += ax * wave
            down += ay * wave
        for cx, cy, nx, ny, sharpness, amplitude, speed, phase in self.joints:
            du, dv = u - cx, v - cy
            beyond = 1 / (1 + np.exp(-sharpness * (du * nx + dv * ny)))
            angle = amplitude * np.sin(speed * time + phase) * beyond
            cosine, sine = np.cos(angle), np.sin(angle)
            across += cosine * du - sine * dv - du
            down += sine * du + cosine * dv - dv
        return across, down


def random_deformation(
    rng: np.random.Generator, *, strength: float, joints: int, waves: int = 4
) -> Deformation:
    """Return a deformation.

    Args:
        rng: Randomness.
        strength: Amplitude of the waves, in halves of the object's longer side.
        joints: Number of joints.
        waves: Number of waves.
    """
    angular = 2 * np.pi / rng.uniform(10, 50, waves + joints)
    numbers = rng.normal(0, 2.2, (waves, 2))
    # Longer waves may be higher. The slopes add up to less than 2.5 * waves * strength: below
    # one, nothing folds over.
    height = strength / (1 + 0.4 * np.hypot(*numbers.T)) * rng.uniform(0.3, 1, waves)
    direction = rng.uniform(0, 2 * np.pi, waves)
    wave_table = np.column_stack(
        [
            height * np.cos(direction),
            height * np.sin(direction),
            numbers,
            rng.uniform(0, 2 * np.pi, waves),
            rng.choice([-1, 1], waves) * angular[:waves],
        ]
    )
    facing = rng.uniform(0, 2 * np.pi, joints)
    joint_table = np.column_stack(
        [
            rng.uniform(-0.5, 0.5, (joints, 2)),
            np.cos(facing),
            np.sin(facing),
            rng.uniform(6, 20, joints),
            rng.uniform(0.08, 0.45, joints),
            angular[waves:],
            rng.uniform(0, 2 * np.pi, joints),
        ]
    )
    return Deformation(wave_table, joint_table)


def inverse_map(
    inverse: NDArray[np.floating],
    box: tuple[int, int, int, int],
    centre: Floats,
    half: float,
    deformation: Deformation | None,
    time: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return for every pixel of ``box`` where in the source it comes from (x and y maps).

    The affine part is exact. The deformation is smooth, so it is computed on a coarse grid
    and resized, which costs a twentieth.
    """
    left, top, right, bottom = box
    columns = np.arange(left, right, dtype=np.float32)
    rows = np.arange(top, bottom, dtype=np.float32)[:, None]
    a = inverse.astype(np.float32)
    x = (a[0, 0] * columns + a[0, 2]) + a[0, 1] * rows
    y = (a[1, 0] * columns + a[1, 2]) + a[1, 1] * rows
    if deformation is not None:
        width, height = right - left, bottom - top
        coarse_x = left + (np.arange(_GRID) + 0.5) * width / _GRID - 0.5
        coarse_y = (top + (np.arange(_GRID) + 0.5) * height / _GRID - 0.5)[:, None]
        u = (inverse[0, 0] * coarse_x + inverse[0, 1] * coarse_y + inverse[0, 2] - centre[0]) / half
        v = (inverse[1, 0] * coarse_x + inverse[1, 1] * coarse_y + inverse[1, 2] - centre[1]) / half
        for target, moved in zip((x, y), deformation.displacement(u, v, time), strict=True):
            coarse = (moved * half).astype(np.float32)
            target += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return x, y
