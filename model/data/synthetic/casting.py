"""Who is in a synthetic scene: what things look like, and along which paths they go."""

import math
from dataclasses import dataclass, replace

import numpy as np

from model.data.deformation import Deformation, Floats, random_deformation
from model.data.sample import Problem
from model.data.synthetic.config import SyntheticConfig
from model.data.synthetic.cutouts import Props
from model.data.synthetic.cutting import Cutout, bar, piece, unroll
from model.data.synthetic.motion import Curve, Excursion, Trajectory, random_curve


@dataclass(frozen=True, slots=True)
class Part:
    """A cut-out on a path; several with one label make a compound target.

    Attributes:
        cutout: What it looks like.
        path: Where it is.
        deformation: How it bends, or ``None``.
        label: Object number, or 0 for what is no target.
        place: ``(3, 3)``: the part's own coordinates to those of the whole.
        swing: The part's own rotation, radians, or ``None``.
    """

    cutout: Cutout
    path: Trajectory
    deformation: Deformation | None
    label: int
    place: Floats
    swing: Curve | None = None


class Casting:
    """Chooses the parts of one scene.

    Args:
        props: Pictures and things.
        config: How often things happen.
        size: ``(height, width)`` of the frames, pixels.
        duration: Of the scene, in frames at 24 fps.
        rng: The only source of randomness.
        plain: One target in the middle and nothing before it.

    Attributes:
        problems: Files that were skipped.
    """

    def __init__(
        self,
        props: Props,
        config: SyntheticConfig,
        size: tuple[int, int],
        duration: float,
        rng: np.random.Generator,
        *,
        plain: bool = False,
    ) -> None:
        self.props = props
        self.config = config
        self.size = size
        self.duration = duration
        self.rng = rng
        self.plain = plain
        self.problems: list[Problem] = []
        self.unit = float(min(size))

    def chance(self, probability: float) -> bool:
        """Return ``True`` with this probability; in a plain scene never."""
        return not self.plain and bool(self.rng.random() < probability)

    def thing(self) -> Cutout:
        """Return any thing."""
        cutout, problems = self.props.thing(self.rng, self.config.shapes)
        self.problems += problems
        return cutout

    def target(self, label: int) -> list[Part]:
        """Return a target: one thing, or two or three that move together."""
        cutout = self.thing()
        path = self.path(cutout)
        parts = [self.part(cutout, path, label)]
        if self.chance(self.config.compound):
            whole = math.sqrt(cutout.area)
            for _ in range(int(self.rng.integers(1, 3))):
                extra = self.thing()
                ratio = self.rng.uniform(0.35, 0.9) * whole / math.sqrt(max(extra.area, 1))
                angle, away = self.rng.uniform(0, 2 * np.pi), self.rng.uniform(0.3, 0.7) * whole
                place = np.array(
                    [
                        [ratio, 0, away * np.cos(angle)],
                        [0, ratio, away * np.sin(angle)],
                        [0, 0, 1],
                    ]
                )
                swing = random_curve(self.rng, self.duration, swing=0.3)
                parts.append(replace(self.part(extra, path, label), place=place, swing=swing))
            if self.rng.random() < 0.5:
                parts.reverse()
        return parts

    def extras(self, targets: list[Part]) -> list[Part]:
        """Return look-alikes, bystanders and occluders, none of them a target."""
        extras = []
        for part in targets:
            if self.chance(self.config.look_alike):
                extras.append(self.part(self._double(part.cutout), self._double_path(part), 0))
            if self.chance(self.config.occluder / len(targets)):
                extras.append(self._occluder(part))
        for _ in range(2):
            if self.chance(self.config.bystander):
                cutout = self.thing()
                extras.append(self.part(cutout, self.path(cutout), 0))
        return extras

    def fragments(self, parts: list[Part]) -> list[Part]:
        """Return pieces of the targets' texture that lie still behind everything."""
        fragments = []
        for part in parts:
            if not part.label or not self.chance(self.config.fragments):
                continue
            reach = math.exp(part.path.log_size.start) * math.sqrt(part.cutout.area)
            for _ in range(int(self.rng.integers(1, 4))):
                cutout = piece(self._double(part.cutout), self.rng)
                if cutout is None:
                    continue
                x, y = part.path.centres(self.rng.uniform(0, 1, 1) * self.duration)[0]
                angle, away = self.rng.uniform(0, 2 * np.pi), reach * self.rng.uniform(0.5, 1.6)
                path = self._still(
                    x + away * math.cos(angle),
                    y + away * math.sin(angle),
                    part.path.log_size.start + self.rng.normal(0, 0.2),
                    self.rng.normal(0, 0.4),
                )
                fragments.append(Part(cutout, path, None, 0, np.eye(3)))
        return fragments

    def screen(self, parts: list[Part]) -> list[Part]:
        """Return trunks, poles or branches that stand where the targets pass."""
        targets = [part for part in parts if part.label]
        if not targets or not self.chance(self.config.screen):
            return []
        screen = []
        for _ in range(int(self.rng.integers(1, 4))):
            picture, problems = self.props.pictures.picture(self.rng)
            self.problems += problems
            cutout = bar(picture, self.rng)
            target = targets[int(self.rng.integers(len(targets)))]
            x, y = target.path.centres(self.rng.uniform(0, 1, 1) * self.duration)[0]
            upright = self.rng.random() < 0.75
            angle = self.rng.normal(0, 0.12) if upright else self.rng.uniform(0, np.pi)
            size = math.log(2.4 * self.unit / max(cutout.rgba.shape[:2]))
            path = self._still(x, y, size, angle)
            screen.append(Part(cutout, path, None, 0, np.eye(3)))
        return screen

    @staticmethod
    def _still(x: float, y: float, log_size: float, angle: float) -> Trajectory:
        still = Curve(0.0)
        return Trajectory(Curve(x), Curve(y), Curve(angle), Curve(log_size), still, still)

    def _double(self, cutout: Cutout) -> Cutout:
        """Return a copy, often mirrored and slightly recoloured."""
        rgba = cutout.rgba
        if self.rng.random() < 0.5:
            rgba = rgba[:, ::-1].copy()
        if self.rng.random() < 0.6:
            gain = np.append(np.exp(self.rng.normal(0, 0.12, 3)), 1.0)
            rgba = np.clip(rgba * gain, 0, 255).astype(np.uint8)
        return Cutout(rgba)

    def _double_path(self, part: Part) -> Trajectory:
        path = self.path(part.cutout)
        size = part.path.log_size.start + self.rng.normal(0, 0.15)
        return replace(path, log_size=replace(path.log_size, start=size))

    def _occluder(self, part: Part) -> Part:
        """Return a thing that passes before the target at some time after the first frame."""
        cutout = self.thing()
        own = self.path(cutout)
        meet = np.array([self.rng.uniform(0.25, 1.1) * self.duration])
        x, y = part.path.centres(meet)[0]
        angle = self.rng.uniform(0, 2 * np.pi)
        speed = self.unit * self.rng.uniform(0.4, 1.6) / self.duration
        dx, dy = speed * np.cos(angle), speed * np.sin(angle)
        path = replace(
            own,
            x=Curve(x - dx * meet[0], dx * self.duration, duration=self.duration),
            y=Curve(y - dy * meet[0], dy * self.duration, duration=self.duration),
            excursion=None,
        )
        return self.part(cutout, path, 0)

    def part(self, cutout: Cutout, path: Trajectory, label: int) -> Part:
        """Return a part that may bend, and may turn."""
        deformation = None
        if not self.chance(self.config.rigid):
            deformation = random_deformation(
                self.rng,
                strength=self.rng.uniform(0.01, 0.1),
                joints=int(self.rng.integers(0, 4)),
            )
        if cutout.rolling is None and self.chance(self.config.reveal):
            cutout = replace(cutout, rolling=unroll(cutout.rgba, self.rng))
        return Part(cutout, path, deformation, label, np.eye(3))

    def path(
        self,
        cutout: Cutout,
        *,
        at: tuple[float, float] | None = None,
        scale: float | None = None,
    ) -> Trajectory:
        """Return a path; ``at`` and ``scale`` fix its start."""
        rng, unit, duration = self.rng, self.unit, self.duration
        if scale is None:
            low, high = np.log(self.config.size)
            extent = unit * math.exp(rng.uniform(low, high))
            scale = extent / math.sqrt(max(cutout.area, 1.0))
            scale = min(scale, 1.3 * unit / max(cutout.rgba.shape[:2]))
        distance = unit * self.config.speed * math.exp(rng.normal(0, 0.9)) * duration
        distance = 0.0 if self.plain else min(distance, rng.uniform(0.3, 1.0) * unit)
        heading = rng.uniform(0, 2 * np.pi)
        # Things move sideways more than up and down.
        travel = distance * np.array([np.cos(heading), 0.5 * np.sin(heading)])
        if at is None:
            middle = rng.normal(0, 0.2, 2) * self.size[::-1]
            start = middle - travel * rng.uniform(0, 1)
            limit = 0.38 * np.array(self.size[::-1])
            start = np.zeros(2) if self.plain else np.clip(start, -limit, limit)
        else:
            start = np.array(at)
        excursion = None
        if self.chance(self.config.excursion):
            away, side = 1.3 * unit, rng.uniform(0, 2 * np.pi)
            begin = rng.uniform(0.05, 0.4) * duration
            end = begin + rng.uniform(0.4, 0.6) * duration
            excursion = Excursion(away * math.cos(side), away * math.sin(side), begin, end)
        extent = scale * math.sqrt(max(cutout.area, 1.0))
        turns = 0.0 if rng.random() < 0.6 else 0.6
        tilt = rng.normal(0, 0.25) if at is None else 0.0
        per_frame = min(duration / 20, 1.5)
        return Trajectory(
            x=random_curve(rng, duration, start=start[0], travel=travel[0], swing=0.05 * extent),
            y=random_curve(rng, duration, start=start[1], travel=travel[1], swing=0.06 * extent),
            angle=random_curve(
                rng, duration, start=tilt, travel=rng.normal(0, 0.25) * per_frame, swing=0.12
            ),
            log_size=random_curve(
                rng,
                duration,
                start=math.log(scale),
                travel=rng.normal(0, self.config.growth) * per_frame,
                swing=0.03,
            ),
            turn=random_curve(rng, duration, travel=rng.normal(0, turns), swing=turns),
            shear=random_curve(rng, duration, travel=rng.normal(0, 0.1), swing=0.06),
            excursion=excursion,
        )
