"""Synthetic video: things move, bend and hide each other before photographs.

One sample is planned first (who is there, along which paths, seen by which camera), then
drawn frame by frame. What real video teaches is asked for on purpose: camera pans and a
camera that follows, articulated motion, occluders, look-alikes that are no target, things
that leave and come back, thin parts, changing light, blur, noise.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from model.data.cutouts import (
    Cutout,
    CutoutSource,
    OwnScene,
    PhotoFolder,
    Pictures,
    ProceduralPictures,
    ShapeCutouts,
    SpriteCutouts,
    StillCutouts,
)
from model.data.images import ImageCache, Pixels
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
from model.data.sample import MAX_ATTEMPTS, MIN_REFERENCE_SHARE, Problem, TrainingSample
from model.data.sampling import random_gaps
from model.data.stills import StillFolder, detect_still_layout
from model.errors import ConfigError

_NOMINAL_LENGTH = 1000


@dataclass(frozen=True, slots=True)
class SyntheticConfig:
    """How often things happen in a synthetic scene; probabilities unless said otherwise.

    Attributes:
        own_scene: Objects stay in the photo that they were cut from, whose hole is filled.
        shapes: A thing is a drawn shape although cut-outs are at hand.
        compound: A target is made of two or three things that move together.
        look_alike: A target has a double that is no target.
        bystander: One more thing that is no target; drawn up to twice.
        occluder: Something crosses before a target.
        excursion: A target leaves the frame and comes back.
        follow: The camera follows a target.
        still_camera: The camera stands still.
        rigid: A thing does not deform.
        moving_backdrop: The background bends (parallax, water, leaves).
        motion_blur: The scene is exposed long enough to blur.
        size: Smallest and largest target, square root of its area over the frame's
            shorter side.
        speed: Median speed, shorter sides a frame at 24 fps.
    """

    own_scene: float = 0.35
    shapes: float = 0.2
    compound: float = 0.2
    look_alike: float = 0.3
    bystander: float = 0.35
    occluder: float = 0.35
    excursion: float = 0.06
    follow: float = 0.5
    still_camera: float = 0.2
    rigid: float = 0.15
    moving_backdrop: float = 0.25
    motion_blur: float = 0.4
    size: tuple[float, float] = (0.14, 0.62)
    speed: float = 0.007


@dataclass(frozen=True, slots=True)
class _Part:
    """A cut-out on a path; several with one label make a compound target."""

    cutout: Cutout
    path: Trajectory
    deformation: Deformation | None
    label: int
    place: Floats
    """``(3, 3)``: the part's own coordinates to those of the whole."""
    swing: Curve | None = None
    """The part's own rotation, radians."""


class SyntheticVideo:
    """A source of synthetic video with exact masks.

    Without any folder it works too, with procedural pictures and drawn shapes.

    Args:
        size: ``(height, width)`` of the frames, pixels.
        frame_count: T.
        clip_length: N; decides which gaps are inter-clip.
        max_objects: Largest K.
        photos: Folders of photos, for backgrounds and textures.
        objects: Folders of annotated stills, or of sprites (images with alpha), to cut
            things out of.
        config: How often things happen.
        cache_bytes: Bound on decoded photos held, a worker.

    Raises:
        InputError: If a folder is missing or nothing in it is usable.
        ConfigError: If the sizes make no sense.
    """

    def __init__(
        self,
        size: tuple[int, int] = (256, 256),
        *,
        frame_count: int = 7,
        clip_length: int = 3,
        max_objects: int = 2,
        photos: Sequence[Path] = (),
        objects: Sequence[Path] = (),
        config: SyntheticConfig | None = None,
        cache_bytes: int = 256 << 20,
    ) -> None:
        if min(size) < 32 or frame_count < 2 or clip_length < 1 or not 1 <= max_objects <= 254:
            raise ConfigError(
                f"synthetic video: cannot make {frame_count} frames of {size[0]} x {size[1]} "
                f"with up to {max_objects} objects and clips of {clip_length}"
            )
        self.size = size
        self.frame_count = frame_count
        self.clip_length = clip_length
        self.max_objects = max_objects
        self.config = config or SyntheticConfig()
        cache = ImageCache(cache_bytes)
        self.pictures: Pictures = PhotoFolder(photos, cache) if photos else ProceduralPictures()
        self._shapes = ShapeCutouts(self.pictures)
        self.objects: list[CutoutSource] = []
        problems: list[Problem] = []
        for root in objects:
            if root.is_dir() and detect_still_layout(root) is None:
                self.objects.append(SpriteCutouts(root, cache))
            else:
                folder = StillFolder(root, cache=cache)
                problems += folder.problems
                self.objects.append(StillCutouts(folder))
        self.problems: Sequence[Problem] = problems
        self.name = "synthetic" if photos or objects else "synthetic (procedural)"
        # A set is drawn in proportion to the square root of its size.
        weights = np.sqrt([len(source) for source in self.objects])
        self._weights = weights / weights.sum() if self.objects else weights

    def __len__(self) -> int:
        """Return the number of photos and annotated items: a nominal epoch."""
        return (len(self.pictures) + sum(len(source) for source in self.objects)) or _NOMINAL_LENGTH

    def sample(self, index: int, rng: np.random.Generator, *, max_gap: int = 5) -> TrainingSample:
        """Make a sample; see ``SampleSource``. ``index`` only names it.

        Raises:
            InputError: If too many files in a row are unreadable.
        """
        gaps = random_gaps(self.frame_count, self.clip_length, rng, max_gap=max_gap)
        times = np.concatenate([[0], np.cumsum(gaps)]).astype(np.float64)
        problems: list[Problem] = []
        for attempt in range(MAX_ATTEMPTS):
            director = _Director(self, times, rng, problems, plain=attempt >= MAX_ATTEMPTS // 2)
            frames, labels = director.shoot()
            labels, count = keep_visible(labels)
            if count:
                return TrainingSample(
                    frames=torch.from_numpy(frames.transpose(0, 3, 1, 2).copy()),
                    labels=torch.from_numpy(labels),
                    object_count=count,
                    source=f"{self.name} {index}",
                    problems=tuple(problems),
                )
        raise AssertionError("a plain scene has its target in view")

    def thing(self, rng: np.random.Generator) -> tuple[Cutout, tuple[Problem, ...]]:
        """Return a random cut-out or shape."""
        if not self.objects or rng.random() < self.config.shapes:
            return self._shapes.cutout(rng)
        return self.objects[int(rng.choice(len(self.objects), p=self._weights))].cutout(rng)

    def own_scene(self, rng: np.random.Generator) -> tuple[OwnScene, tuple[Problem, ...]] | None:
        """Return objects in their own photo, or ``None`` where no folder has any."""
        stills = [
            (source, weight)
            for source, weight in zip(self.objects, self._weights, strict=True)
            if isinstance(source, StillCutouts)
        ]
        if not stills:
            return None
        chances = np.array([weight for _, weight in stills])
        chosen = int(rng.choice(len(stills), p=chances / chances.sum()))
        return stills[chosen][0].own_scene(rng, self.max_objects)


def keep_visible(labels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], int]:
    """Renumber the objects that frame 0 shows well to 1..K; the others become background.

    Args:
        labels: ``(T, H, W)`` uint8.

    Returns:
        The labels and K, possibly 0.
    """
    area = np.bincount(labels[0].ravel(), minlength=256)
    visible = area >= MIN_REFERENCE_SHARE * labels[0].size
    visible[0] = False
    table = np.zeros(256, np.uint8)
    table[visible] = np.arange(1, visible.sum() + 1)
    return table[labels], int(visible.sum())


class _Director:
    """Plans one scene and shoots it."""

    def __init__(
        self,
        source: SyntheticVideo,
        times: Floats,
        rng: np.random.Generator,
        problems: list[Problem],
        *,
        plain: bool,
    ) -> None:
        self.source = source
        self.config = source.config
        self.times = times
        self.duration = float(times[-1])
        self.rng = rng
        self.problems = problems
        self.plain = plain
        self.unit = float(min(source.size))

    def chance(self, probability: float) -> bool:
        return not self.plain and bool(self.rng.random() < probability)

    def shoot(self) -> tuple[Pixels, NDArray[np.uint8]]:
        """Return frames ``(T, H, W, 3)`` and labels ``(T, H, W)``, both uint8."""
        photo, placement, parts = self.cast()
        targets = [part.path for part in parts if part.label]
        parts = self.order(parts)
        camera = self.camera(targets)
        views = camera.matrices(self.times)
        exposure = self.rng.uniform(0.2, 0.9) if self.chance(self.config.motion_blur) else 0.0
        layers = [self.layer(part, camera, exposure) for part in parts]
        backdrop = None
        if self.chance(self.config.moving_backdrop):
            backdrop = random_deformation(
                self.rng, strength=self.rng.uniform(0.005, 0.04), joints=0
            )
        # How the point in the middle of the view moves in a frame's time: the backdrop's blur.
        later = camera.matrices(self.times + 1)
        middle = np.array([self.source.size[1] / 2, self.source.size[0] / 2, 1.0])
        centre = np.linalg.inv(views) @ middle
        drift = exposure * (np.einsum("tij,tj->ti", later, centre)[:, :2] - middle[:2])
        finish = random_finish(self.source.size, self.times, self.rng)
        frames, labels = [], []
        for index, time in enumerate(self.times):
            frame = warp_background(
                photo, views[index] @ placement, self.source.size, backdrop, float(time)
            )
            frame = np.ascontiguousarray(blur_frame(frame, drift[index]))
            label = np.zeros(self.source.size, np.uint8)
            for layer in layers:
                draw_layer(frame, label, layer, index, float(time))
            frames.append(finish.apply(frame, index))
            labels.append(label)
        return np.stack(frames), np.stack(labels)

    def cast(self) -> tuple[Pixels, Floats, list[_Part]]:
        """Choose backdrop and things: photo, photo-to-world matrix, parts."""
        own = None
        if self.chance(self.config.own_scene):
            own = self.source.own_scene(self.rng)
        parts: list[_Part] = []
        if own is not None:
            scene, problems = own
            self.problems += problems
            photo = scene.background
            placement, scale = self.own_placement(photo, scene)
            for number, (cutout, centre) in enumerate(
                zip(scene.cutouts, scene.centres, strict=True), start=1
            ):
                world = placement @ np.array([centre[0], centre[1], 1.0])
                path = self.path(cutout, at=(world[0], world[1]), scale=scale)
                parts.append(self.part(cutout, path, number))
        else:
            photo, problems = self.source.pictures.picture(self.rng)
            self.problems += problems
            placement = self.placement(photo)
            for number in range(1, int(self.rng.integers(1, self.source.max_objects + 1)) + 1):
                parts += self.target(number)
        parts += self.extras(parts)
        return photo, placement, parts

    def placement(self, photo: Pixels) -> Floats:
        """Return a photo-to-world matrix under which the photo covers more than the frame."""
        height, width = photo.shape[:2]
        cover = max(self.source.size[0] / height, self.source.size[1] / width)
        scale = cover * self.rng.uniform(1.02, 1.7)
        slack_x = (scale * width - self.source.size[1]) / 2
        slack_y = (scale * height - self.source.size[0]) / 2
        flip = -1.0 if self.rng.random() < 0.5 else 1.0
        x, y = self.rng.uniform(-slack_x, slack_x), self.rng.uniform(-slack_y, slack_y)
        return np.array(
            [
                [flip * scale, 0, x - flip * scale * width / 2],
                [0, scale, y - scale * height / 2],
                [0, 0, 1],
            ]
        )

    def own_placement(self, photo: Pixels, scene: OwnScene) -> tuple[Floats, float]:
        """Return a photo-to-world matrix that brings the first object into view, and its scale."""
        height, width = photo.shape[:2]
        cover = max(self.source.size[0] / height, self.source.size[1] / width)
        span = max(scene.cutouts[0].rgba.shape[:2])
        scale = min(cover * self.rng.uniform(1.0, 1.8), 1.1 * self.unit / span)
        scale = max(scale, 0.75 * cover, 0.12 * self.unit / math.sqrt(scene.cutouts[0].area))
        x, y = (self.rng.normal(0, 0.15, 2) * self.unit) - scale * scene.centres[0]
        # As little mirroring beyond the photo's edges as the object's place allows.
        half_y, half_x = self.source.size[0] / 2, self.source.size[1] / 2
        x = float(np.clip(x, *sorted((half_x - scale * width, -half_x))))
        y = float(np.clip(y, *sorted((half_y - scale * height, -half_y))))
        return np.array([[scale, 0, x], [0, scale, y], [0, 0, 1]]), scale

    def thing(self) -> Cutout:
        cutout, problems = self.source.thing(self.rng)
        self.problems += problems
        return cutout

    def target(self, label: int) -> list[_Part]:
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

    def extras(self, targets: list[_Part]) -> list[_Part]:
        """Return look-alikes, bystanders and occluders, none of them a target."""
        extras = []
        for part in targets:
            if self.chance(self.config.look_alike):
                extras.append(self.part(self.double(part.cutout), self.double_path(part), 0))
            if self.chance(self.config.occluder / len(targets)):
                extras.append(self.occluder(part))
        for _ in range(2):
            if self.chance(self.config.bystander):
                cutout = self.thing()
                extras.append(self.part(cutout, self.path(cutout), 0))
        return extras

    def double(self, cutout: Cutout) -> Cutout:
        """Return a copy, often mirrored and slightly recoloured."""
        rgba = cutout.rgba
        if self.rng.random() < 0.5:
            rgba = rgba[:, ::-1].copy()
        if self.rng.random() < 0.6:
            gain = np.append(np.exp(self.rng.normal(0, 0.12, 3)), 1.0)
            rgba = np.clip(rgba * gain, 0, 255).astype(np.uint8)
        return Cutout(rgba)

    def double_path(self, part: _Part) -> Trajectory:
        path = self.path(part.cutout)
        size = part.path.log_size.start + self.rng.normal(0, 0.15)
        return replace(path, log_size=replace(path.log_size, start=size))

    def occluder(self, part: _Part) -> _Part:
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

    def part(self, cutout: Cutout, path: Trajectory, label: int) -> _Part:
        deformation = None
        if not self.chance(self.config.rigid):
            deformation = random_deformation(
                self.rng,
                strength=self.rng.uniform(0.01, 0.11),
                joints=int(self.rng.integers(0, 4)),
            )
        return _Part(cutout, path, deformation, label, np.eye(3))

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
            middle = rng.normal(0, 0.2, 2) * self.source.size[::-1]
            start = middle - travel * rng.uniform(0, 1)
            limit = 0.38 * np.array(self.source.size[::-1])
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
                travel=rng.normal(0, 0.22) * per_frame,
                swing=0.03,
            ),
            turn=random_curve(rng, duration, travel=rng.normal(0, turns), swing=turns),
            shear=random_curve(rng, duration, travel=rng.normal(0, 0.1), swing=0.06),
            excursion=excursion,
        )

    def camera(self, targets: list[Trajectory]) -> Camera:
        rng, duration, unit = self.rng, self.duration, self.unit
        moving = not self.chance(self.config.still_camera) and not self.plain
        follow = bool(targets) and self.chance(self.config.follow)
        pan = unit * 0.004 * math.exp(rng.normal(0, 0.9)) * duration if moving else 0.0
        pan = min(pan, 0.5 * unit) * (0.4 if follow else 1.0)
        heading = rng.uniform(0, 2 * np.pi)
        shaking = unit * rng.uniform(0, 0.012) if moving and rng.random() < 0.4 else 0.0
        strength = min(duration / 20, 1.5) if moving else 0.0
        shake = [random_curve(rng, duration, swing=shaking, period=(2.5, 7)) for _ in range(2)]
        return Camera(
            self.source.size,
            x=random_curve(rng, duration, travel=pan * math.cos(heading)),
            y=random_curve(rng, duration, travel=0.6 * pan * math.sin(heading)),
            roll=random_curve(rng, duration, travel=strength * rng.normal(0, 0.06)),
            log_zoom=random_curve(rng, duration, travel=strength * rng.normal(0, 0.15)),
            shake=(shake[0], shake[1]),
            target=targets[0] if follow else None,
            follow=rng.uniform(0.5, 1.05),
        )

    def order(self, parts: list[_Part]) -> list[_Part]:
        """Shuffle who stands in front, parts of one target together, occluders last."""
        groups: dict[int, list[_Part]] = {}
        for index, part in enumerate(parts):
            groups.setdefault(part.label or -1 - index, []).append(part)
        keys = list(groups)
        if not self.plain:
            self.rng.shuffle(keys)
        return [part for key in keys for part in groups[key]]

    def layer(self, part: _Part, camera: Camera, exposure: float) -> Layer:
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
        shadow = rng.uniform(0.1, 0.5) if self.chance(0.25) else 0.0
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
