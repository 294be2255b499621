"""One synthetic scene: planned first (who, along which paths, seen by which camera), then shot."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from model.data.deformation import Floats, random_deformation
from model.data.images import Pixels
from model.data.sample import Problem
from model.data.synthetic.casting import Casting, Part
from model.data.synthetic.config import SyntheticConfig
from model.data.synthetic.cutouts import OwnScene, Props
from model.data.synthetic.motion import Camera, Trajectory, random_curve
from model.data.synthetic.rendering import (
    Layer,
    blur_frame,
    draw_layer,
    premultiply,
    random_finish,
    warp_background,
)


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
        self.plain = plain
        self.unit = float(min(size))
        self.cast = Casting(props, config, size, self.duration, rng, plain=plain)

    @property
    def problems(self) -> list[Problem]:
        """Files that were skipped while the scene was planned."""
        return self.cast.problems

    def shoot(self) -> tuple[Pixels, NDArray[np.uint8]]:
        """Return frames ``(T, H, W, 3)`` and labels ``(T, H, W)``, both uint8."""
        photo, placement, parts = self._cast()
        targets = [part.path for part in parts if part.label]
        parts = [*self.cast.fragments(parts), *self._order(parts), *self.cast.screen(parts)]
        camera = self._camera(targets)
        views = camera.matrices(self.times)
        exposure = self.rng.uniform(0.2, 0.9) if self.cast.chance(self.config.motion_blur) else 0.0
        layers = [self._layer(part, camera, exposure) for part in parts]
        backdrop = None
        if self.cast.chance(self.config.moving_backdrop):
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
        if self.cast.chance(self.config.own_scene):
            own = self.props.own_scene(self.rng, self.max_objects)
        parts: list[Part] = []
        if own is not None:
            scene, problems = own
            self.cast.problems += problems
            photo = scene.background
            placement, scale = self._own_placement(photo, scene)
            for number, (cutout, centre) in enumerate(
                zip(scene.cutouts, scene.centres, strict=True), start=1
            ):
                world = placement @ np.array([centre[0], centre[1], 1.0])
                path = self.cast.path(cutout, at=(world[0], world[1]), scale=scale)
                parts.append(self.cast.part(cutout, path, number))
        else:
            photo, problems = self.props.pictures.picture(self.rng)
            self.cast.problems += problems
            placement = self._placement(photo)
            for number in range(1, int(self.rng.integers(1, self.max_objects + 1)) + 1):
                parts += self.cast.target(number)
        parts += self.cast.extras(parts)
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

    def _camera(self, targets: list[Trajectory]) -> Camera:
        rng, duration, unit = self.rng, self.duration, self.unit
        moving = not self.cast.chance(self.config.still_camera) and not self.plain
        follow = bool(targets) and self.cast.chance(self.config.follow)
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
        shadow = rng.uniform(0.1, 0.5) if self.cast.chance(0.25) else 0.0
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
