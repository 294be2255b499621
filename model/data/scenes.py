"""One synthetic scene: planned first (who, along which paths, seen by which camera), then shot."""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from model.data.cutouts import OwnScene, Props
from model.data.cutting import Cutout, bar, piece, unroll
from model.data.images import Pixels
from model.data.motion import (
    Camera,
    Curve,
    Deformation,
    Excursion,
    Floats,
    Trajectory,
    random_curve,
    random_deformation,
)
from model.data.rendering import (
    Layer,
    blur_frame,
    draw_layer,
    premultiply,
    random_finish,
    warp_background,
)
from model.data.sample import Problem
from model.data.scene_config import SyntheticConfig


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


class Director:
    """Plans one scene and shoots it.

    Args:
        props: Pictures and things.
        config: How often things happen.
        size: ``(height, width)`` of the frames, pixels.
        max_objects: Largest K.
        times: ``(T,)``: when the frames are taken; the first is 0.
        rng: The only source of randomness.
        plain: One target in the middle and nothing before it.

    Attributes:
        problems: Files that were skipped while the scene was planned.
    """

    def __init__(
        self,
        props: Props,
        config: SyntheticConfig,
        size: tuple[int, int],
        max_objects: int,
        times: Floats,
        rng: np.random.Generator,
        *,
        plain: bool = False,
    ) -> None:
        self.props = props
        self.config = config
        self.size = size
        self.max_objects = max_objects
        self.times = times
        self.duration = float(times[-1])
        self.rng = rng
        self.problems: list[Problem] = []
        self.plain = plain
        self.unit = float(min(size))

    def _chance(self, probability: float) -> bool:
        return not self.plain and bool(self.rng.random() < probability)

    def shoot(self) -> tuple[Pixels, NDArray[np.uint8]]:
        """Return frames ``(T, H, W, 3)`` and labels ``(T, H, W)``, both uint8."""
        photo, placement, parts = self._cast()
        targets = [part.path for part in parts if part.label]
        parts = [*self._fragments(parts), *self._order(parts), *self._screen(parts)]
        camera = self._camera(targets)
        views = camera.matrices(self.times)
        exposure = self.rng.uniform(0.2, 0.9) if self._chance(self.config.motion_blur) else 0.0
        layers = [self._layer(part, camera, exposure) for part in parts]
        backdrop = None
        if self._chance(self.config.moving_backdrop):
            backdrop = random_deformation(
                self.rng, strength=self.rng.uniform(0.005, 0.04), joints=0
            )
        # How the point in the middle of the view moves in a frame's time: the backdrop's blur.
        later = camera.matrices(self.times + 1)
        middle = np.array([self.size[1] / 2, self.size[0] / 2, 1.0])
        centre = np.linalg.inv(views) @ middle
        drift = exposure * (np.einsum("tij,tj->ti", later, centre)[:, :2] - middle[:2])
        finish = random_finish(self.size, self.times, self.rng)
        frames, labels = [], []
        for index, time in enumerate(self.times):
            frame = warp_background(
                photo, views[index] @ placement, self.size, backdrop, float(time)
            )
            frame = np.ascontiguousarray(blur_frame(frame, drift[index]))
            label = np.zeros(self.size, np.uint8)
            for layer in layers:
                draw_layer(frame, label, layer, index, float(time))
            frames.append(finish.apply(frame, index))
            labels.append(label)
        return np.stack(frames), np.stack(labels)

    def _cast(self) -> tuple[Pixels, Floats, list[Part]]:
        """Choose backdrop and things: photo, photo-to-world matrix, parts."""
        own = None
        if self._chance(self.config.own_scene):
            own = self.props.own_scene(self.rng, self.max_objects)
        parts: list[Part] = []
        if own is not None:
            scene, problems = own
            self.problems += problems
            photo = scene.background
            placement, scale = self._own_placement(photo, scene)
            for number, (cutout, centre) in enumerate(
                zip(scene.cutouts, scene.centres, strict=True), start=1
            ):
                world = placement @ np.array([centre[0], centre[1], 1.0])
                path = self._path(cutout, at=(world[0], world[1]), scale=scale)
                parts.append(self._part(cutout, path, number))
        else:
            photo, problems = self.props.pictures.picture(self.rng)
            self.problems += problems
            placement = self._placement(photo)
            for number in range(1, int(self.rng.integers(1, self.max_objects + 1)) + 1):
                parts += self._target(number)
        parts += self._extras(parts)
        return photo, placement, parts

    def _placement(self, photo: Pixels) -> Floats:
        """Return a photo-to-world matrix under which the photo covers more than the frame."""
        height, width = photo.shape[:2]
        cover = max(self.size[0] / height, self.size[1] / width)
        scale = cover * self.rng.uniform(1.02, 1.7)
        slack_x = (scale * width - self.size[1]) / 2
        slack_y = (scale * height - self.size[0]) / 2
        flip = -1.0 if self.rng.random() < 0.5 else 1.0
        x, y = self.rng.uniform(-slack_x, slack_x), self.rng.uniform(-slack_y, slack_y)
        return np.array(
            [
                [flip * scale, 0, x - flip * scale * width / 2],
                [0, scale, y - scale * height / 2],
                [0, 0, 1],
            ]
        )

    def _own_placement(self, photo: Pixels, scene: OwnScene) -> tuple[Floats, float]:
        """Return a photo-to-world matrix that brings the first object into view, and its scale."""
        height, width = photo.shape[:2]
        cover = max(self.size[0] / height, self.size[1] / width)
        span = max(scene.cutouts[0].rgba.shape[:2])
        scale = min(cover * self.rng.uniform(1.0, 1.8), 1.1 * self.unit / span)
        scale = max(scale, 0.75 * cover, 0.12 * self.unit / math.sqrt(scene.cutouts[0].area))
        x, y = (self.rng.normal(0, 0.15, 2) * self.unit) - scale * scene.centres[0]
        # As little mirroring beyond the photo's edges as the object's place allows.
        half_y, half_x = self.size[0] / 2, self.size[1] / 2
        x = float(np.clip(x, *sorted((half_x - scale * width, -half_x))))
        y = float(np.clip(y, *sorted((half_y - scale * height, -half_y))))
        return np.array([[scale, 0, x], [0, scale, y], [0, 0, 1]]), scale

    def _thing(self) -> Cutout:
        cutout, problems = self.props.thing(self.rng, self.config.shapes)
        self.problems += problems
        return cutout

    def _target(self, label: int) -> list[Part]:
        """Return a target: one thing, or two or three that move together."""
        cutout = self._thing()
        path = self._path(cutout)
        parts = [self._part(cutout, path, label)]
        if self._chance(self.config.compound):
            whole = math.sqrt(cutout.area)
            for _ in range(int(self.rng.integers(1, 3))):
                extra = self._thing()
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
                parts.append(replace(self._part(extra, path, label), place=place, swing=swing))
            if self.rng.random() < 0.5:
                parts.reverse()
        return parts

    def _extras(self, targets: list[Part]) -> list[Part]:
        """Return look-alikes, bystanders and occluders, none of them a target."""
        extras = []
        for part in targets:
            if self._chance(self.config.look_alike):
                extras.append(self._part(self._double(part.cutout), self._double_path(part), 0))
            if self._chance(self.config.occluder / len(targets)):
                extras.append(self._occluder(part))
        for _ in range(2):
            if self._chance(self.config.bystander):
                cutout = self._thing()
                extras.append(self._part(cutout, self._path(cutout), 0))
        return extras

    def _fragments(self, parts: list[Part]) -> list[Part]:
        """Return pieces of the targets' texture that lie still behind everything."""
        fragments = []
        for part in parts:
            if not part.label or not self._chance(self.config.fragments):
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

    def _screen(self, parts: list[Part]) -> list[Part]:
        """Return trunks, poles or branches that stand where the targets pass."""
        targets = [part for part in parts if part.label]
        if not targets or not self._chance(self.config.screen):
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
        path = self._path(part.cutout)
        size = part.path.log_size.start + self.rng.normal(0, 0.15)
        return replace(path, log_size=replace(path.log_size, start=size))

    def _occluder(self, part: Part) -> Part:
        """Return a thing that passes before the target at some time after the first frame."""
        cutout = self._thing()
        own = self._path(cutout)
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
        return self._part(cutout, path, 0)

    def _part(self, cutout: Cutout, path: Trajectory, label: int) -> Part:
        deformation = None
        if not self._chance(self.config.rigid):
            deformation = random_deformation(
                self.rng,
                strength=self.rng.uniform(0.01, 0.1),
                joints=int(self.rng.integers(0, 4)),
            )
        if cutout.rolling is None and self._chance(self.config.reveal):
            cutout = replace(cutout, rolling=unroll(cutout.rgba, self.rng))
        return Part(cutout, path, deformation, label, np.eye(3))

    def _path(
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
        if self._chance(self.config.excursion):
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

    def _camera(self, targets: list[Trajectory]) -> Camera:
        rng, duration, unit = self.rng, self.duration, self.unit
        moving = not self._chance(self.config.still_camera) and not self.plain
        follow = bool(targets) and self._chance(self.config.follow)
        pan = unit * 0.004 * math.exp(rng.normal(0, 0.9)) * duration if moving else 0.0
        pan = min(pan, 0.5 * unit) * (0.4 if follow else 1.0)
        heading = rng.uniform(0, 2 * np.pi)
        shaking = unit * rng.uniform(0, 0.012) if moving and rng.random() < 0.4 else 0.0
        strength = min(duration / 20, 1.5) if moving else 0.0
        shake = [random_curve(rng, duration, swing=shaking, period=(2.5, 7)) for _ in range(2)]
        return Camera(
            self.size,
            x=random_curve(rng, duration, travel=pan * math.cos(heading)),
            y=random_curve(rng, duration, travel=0.6 * pan * math.sin(heading)),
            roll=random_curve(rng, duration, travel=strength * rng.normal(0, 0.06)),
            log_zoom=random_curve(rng, duration, travel=strength * rng.normal(0, 0.15)),
            shake=(shake[0], shake[1]),
            target=targets[0] if follow else None,
            follow=rng.uniform(0.5, 1.05),
        )

    def _order(self, parts: list[Part]) -> list[Part]:
        """Shuffle who stands in front, parts of one target together, occluders last."""
        groups: dict[int, list[Part]] = {}
        for index, part in enumerate(parts):
            groups.setdefault(part.label or -1 - index, []).append(part)
        keys = list(groups)
        if not self.plain:
            self.rng.shuffle(keys)
        return [part for key in keys for part in groups[key]]

    def _layer(self, part: Part, camera: Camera, exposure: float) -> Layer:
        """Place a part before the camera, reduced first where it will be drawn small."""
        rng = self.rng
        rgba, rolling = premultiply(part.cutout.rgba), part.cutout.rolling
        scale = math.exp(part.path.log_size.start) * part.place[1, 1]
        if scale < 0.7:
            factor = max(1.2 * scale, 0.05)
            small = (
                max(round(rgba.shape[1] * factor), 4),
                max(round(rgba.shape[0] * factor), 4),
            )
            reduced = np.diag([rgba.shape[1] / small[0], rgba.shape[0] / small[1], 1.0])
            rgba = np.asarray(cv2.resize(rgba, small, interpolation=cv2.INTER_AREA), np.uint8)
            if rolling is not None:
                larger = (
                    max(round(rolling.shape[1] * factor), small[0] + 1),
                    max(round(rolling.shape[0] * factor), small[1] + 1),
                )
                rolling = np.asarray(
                    cv2.resize(rolling, larger, interpolation=cv2.INTER_AREA), np.uint8
                )
        else:
            reduced = np.eye(3)
        shadow = rng.uniform(0.1, 0.5) if self._chance(0.25) else 0.0
        offsets = None
        if rolling is not None:
            slack = np.array(rolling.shape[:2]) - rgba.shape[:2]
            progress = np.clip(self.times / 30, 0, 1)[:, None]
            start, end = rng.uniform(0, 1, (2, 2)) * np.maximum(slack - 1, 0)
            offsets = np.floor(start + progress * (end - start)).astype(np.int64)

        def seen(times: Floats) -> Floats:
            local = part.place
            if part.swing is not None:
                angle = part.swing.at(times)
                rotation = np.zeros((len(times), 3, 3))
                rotation[:, 0, 0] = rotation[:, 1, 1] = np.cos(angle)
                rotation[:, 0, 1], rotation[:, 1, 0] = -np.sin(angle), np.sin(angle)
                rotation[:, 2, 2] = 1
                local = local @ rotation
            return camera.matrices(times) @ part.path.matrices(times) @ local @ reduced

        matrices = seen(self.times)
        blur = exposure * (seen(self.times + 0.5) - seen(self.times - 0.5))[:, :2, 2]
        return Layer(rgba, matrices, blur, part.deformation, part.label, rolling, offsets, shadow)
