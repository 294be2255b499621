"""Drawing a synthetic scene: warp each layer, compose, then light, lens and sensor."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from model.data.deformation import Deformation, Floats, inverse_map
from model.data.images import Pixels
from model.data.synthetic.textures import fractal_noise

_MAX_BLUR = 17


@dataclass(frozen=True, slots=True)
class Layer:
    """An object, or a part of one, ready to be drawn on every frame.

    Attributes:
        rgba: ``(h, w, 4)`` uint8 cut-out, colours premultiplied by alpha: so no colour from
            beyond the outline is dragged in by warping or blurring.
        matrices: ``(T, 3, 3)``: pixels from the cut-out's centre to frame pixels.
        blur: ``(T, 2)``: motion during the exposure, frame pixels.
        deformation: Non-rigid motion, or ``None``.
        label: Object number, or 0 for what is not a target.
        rolling: A texture larger than the cut-out whose visible part changes over time,
            as on a turning body; or ``None``.
        offsets: ``(T, 2)`` rows and columns into ``rolling``, pixels.
        shadow: Darkening cast on what lies behind, 0..1.
    """

    rgba: Pixels
    matrices: Floats
    blur: Floats
    deformation: Deformation | None
    label: int
    rolling: Pixels | None = None
    offsets: NDArray[np.int64] | None = None
    shadow: float = 0.0

    def texture(self, index: int) -> Pixels:
        """Return the cut-out as it looks on frame ``index``."""
        if self.rolling is None or self.offsets is None:
            return self.rgba
        height, width = self.rgba.shape[:2]
        top, left = self.offsets[index]
        visible = self.rolling[top : top + height, left : left + width]
        return premultiply(np.dstack([visible, self.rgba[..., 3]]))


def premultiply(rgba: Pixels) -> Pixels:
    """Return RGBA with colours scaled by alpha."""
    alpha = rgba[..., 3]
    colour = cv2.multiply(
        np.ascontiguousarray(rgba[..., :3]), cv2.cvtColor(alpha, cv2.COLOR_GRAY2RGB), scale=1 / 255
    )
    return np.dstack([colour, alpha])


def warp_background(
    photo: Pixels,
    matrix: NDArray[np.floating],
    size: tuple[int, int],
    deformation: Deformation | None,
    time: float,
) -> Pixels:
    """Return ``(height, width, 3)``: the photo seen by the camera, mirrored beyond its edges.

    Args:
        photo: ``(h, w, 3)`` uint8.
        matrix: ``(3, 3)``: photo pixels to frame pixels.
        size: ``(height, width)`` of the frame.
        deformation: Parallax, water, leaves; ``None`` is a flat backdrop.
        time: In frames, for the deformation.
    """
    inverse: Floats = np.linalg.inv(matrix).astype(np.float64)
    height, width = size
    if deformation is None:
        warped = cv2.warpAffine(
            photo,
            inverse[:2],
            (width, height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        return np.asarray(warped, np.uint8)
    half = max(photo.shape[:2]) / 2
    centre = np.array([photo.shape[1] / 2, photo.shape[0] / 2])
    maps = inverse_map(inverse, (0, 0, width, height), centre, half, deformation, time)
    warped = cv2.remap(photo, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(warped, np.uint8)


def draw_layer(
    frame: Pixels, labels: NDArray[np.uint8], layer: Layer, index: int, time: float
) -> None:
    """Draw ``layer`` onto ``frame`` and ``labels``, in place, in front of what is there.

    A pixel belongs to the layer where its opacity, after motion blur, exceeds one half.
    """
    rgba = layer.texture(index)
    cut_height, cut_width = rgba.shape[:2]
    matrix = layer.matrices[index] @ np.array(
        [[1, 0, -cut_width / 2 + 0.5], [0, 1, -cut_height / 2 + 0.5], [0, 0, 1]]
    )
    box = _visible_box(matrix, (cut_height, cut_width), frame.shape[:2], layer.deformation)
    if box is None or abs(np.linalg.det(matrix)) < 1e-4:
        return
    left, top, right, bottom = box
    centre = np.array([cut_width / 2, cut_height / 2])
    half = max(cut_height, cut_width) / 2
    maps = inverse_map(np.linalg.inv(matrix), box, centre, half, layer.deformation, time)
    patch = cv2.remap(rgba, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    kernel = _blur_kernel(layer.blur[index])
    if kernel is not None:
        patch = np.asarray(cv2.filter2D(patch, -1, kernel), np.uint8)
    alpha = np.ascontiguousarray(patch[..., 3])
    view = frame[top:bottom, left:right]
    if layer.shadow > 0:
        _cast_shadow(view, np.asarray(alpha, np.uint8), layer.shadow)
    behind = cv2.multiply(
        np.ascontiguousarray(view), cv2.cvtColor(255 - alpha, cv2.COLOR_GRAY2RGB), scale=1 / 255
    )
    view[:] = cv2.add(behind, np.ascontiguousarray(patch[..., :3]))
    labels[top:bottom, left:right][alpha > 127] = layer.label


def _visible_box(
    matrix: Floats,
    cut_size: tuple[int, ...],
    frame_size: tuple[int, ...],
    deformation: Deformation | None,
) -> tuple[int, int, int, int] | None:
    """Return the frame pixels that the layer can reach: left, top, right, bottom."""
    height, width = cut_size
    corners = matrix @ np.array([[0, width, width, 0], [0, 0, height, height], [1, 1, 1, 1]])
    low, high = corners[:2].min(1), corners[:2].max(1)
    reach = (0.35 if deformation is not None else 0.0) * (high - low).max() + _MAX_BLUR / 2
    left, top = np.maximum(np.floor(low - reach), 0).astype(int)
    right = min(int(np.ceil(high[0] + reach)), frame_size[1])
    bottom = min(int(np.ceil(high[1] + reach)), frame_size[0])
    return (left, top, right, bottom) if right - left > 1 and bottom - top > 1 else None


def _blur_kernel(motion: Floats) -> NDArray[np.float32] | None:
    """Return a line kernel for motion in pixels, or ``None`` where it is too short to see."""
    length = float(np.hypot(*motion))
    if length < 1.5:
        return None
    steps = min(length, _MAX_BLUR - 2)
    side = 2 * int(np.ceil(steps / 2)) + 1
    kernel = np.zeros((side, side), np.float32)
    end = motion / length * steps / 2 * 16
    middle = np.array([side // 2, side // 2]) * 16
    ends = [tuple(int(v) for v in np.round(middle + sign * end)) for sign in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1.0, 1, cv2.LINE_8, 4)
    return kernel / kernel.sum()


def blur_frame(frame: Pixels, motion: Floats) -> Pixels:
    """Return the frame blurred along ``motion`` (x, y), pixels during the exposure."""
    kernel = _blur_kernel(motion)
    return frame if kernel is None else np.asarray(cv2.filter2D(frame, -1, kernel), np.uint8)


def _cast_shadow(view: Pixels, alpha: Pixels, strength: float) -> None:
    size = (max(view.shape[1] // 4, 1), max(view.shape[0] // 4, 1))
    opacity = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    sigma = 0.012 * max(view.shape) + 0.5
    shift = np.array([[1, 0, 0.3 * sigma], [0, 1, 0.5 * sigma]], np.float32)
    soft = cv2.warpAffine(cv2.GaussianBlur(opacity, (0, 0), sigma), shift, size)
    # Fade towards the edge of the box, or the box would show.
    small = soft * np.minimum.outer(_ramp(size[1]), _ramp(size[0]))
    light = cv2.resize(255 * (1 - strength * small), view.shape[1::-1]).astype(np.uint8)
    view[:] = cv2.multiply(
        np.ascontiguousarray(view), cv2.cvtColor(light, cv2.COLOR_GRAY2RGB), scale=1 / 255
    )


def _ramp(length: int) -> NDArray[np.float32]:
    position = np.arange(length, dtype=np.float32) + 0.5
    return np.minimum(np.minimum(position, length - position) / (0.15 * length), 1)


@dataclass(frozen=True, slots=True)
class Finish:
    """Light, lens and sensor: what happens to whole frames.

    Attributes:
        gamma: ``(T,)`` exponents; contrast ``(T,)``: gains about mid-grey.
        gains: ``(T, 3)``: white balance.
        shade: ``(h, w)`` uint8 light that falls on the scene (255 is all), larger than a frame,
            or ``None``.
        shade_offsets: ``(T, 2)`` rows and columns into ``shade``.
        defocus: ``(T,)`` Gaussian sigma, pixels.
        noise: ``(h, w, 3)`` int16 sensor noise, larger than a frame, or ``None``.
        noise_offsets: ``(T, 2)``.
        jpeg_quality: 1..100, or ``None`` for no compression.
    """

    gamma: Floats
    contrast: Floats
    gains: Floats
    shade: Pixels | None
    shade_offsets: NDArray[np.int64]
    defocus: Floats
    noise: NDArray[np.int16] | None
    noise_offsets: NDArray[np.int64]
    jpeg_quality: int | None

    def apply(self, frame: Pixels, index: int) -> Pixels:
        """Return the finished frame ``(H, W, 3)``."""
        height, width = frame.shape[:2]
        if self.shade is not None:
            top, left = self.shade_offsets[index]
            light = np.ascontiguousarray(self.shade[top : top + height, left : left + width])
            frame = np.asarray(
                cv2.multiply(frame, cv2.cvtColor(light, cv2.COLOR_GRAY2RGB), scale=1 / 255),
                np.uint8,
            )
        values = (np.arange(256)[:, None] / 255) ** self.gamma[index]
        values = (0.5 + self.contrast[index] * (values - 0.5)) * self.gains[index]
        table = np.clip(255 * values, 0, 255).astype(np.uint8)
        frame = np.asarray(cv2.LUT(frame, table.reshape(1, 256, 3)), np.uint8)
        if self.defocus[index] > 0.3:
            frame = np.asarray(cv2.GaussianBlur(frame, (0, 0), self.defocus[index]), np.uint8)
        if self.noise is not None:
            top, left = self.noise_offsets[index]
            grain = self.noise[top : top + height, left : left + width]
            frame = np.asarray(cv2.add(frame, grain, dtype=cv2.CV_8U), np.uint8)
        if self.jpeg_quality is not None:
            quality = [cv2.IMWRITE_JPEG_QUALITY, self.jpeg_quality]
            encoded = cv2.imencode(".jpg", frame, quality)[1]
            frame = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)
        return frame


def random_finish(size: tuple[int, int], times: Floats, rng: np.random.Generator) -> Finish:
    """Return light and camera quality that drift smoothly over ``times``."""
    count, drift = len(times), times / max(float(times[-1]), 1.0)
    drifts = rng.random() < 0.4

    def level(spread: float, change: float) -> Floats:
        return rng.normal(0, spread) + (rng.normal(0, change) if drifts else 0.0) * drift

    slack = max(size) // 8
    larger = (size[0] + slack, size[1] + slack)
    start, end = rng.integers(0, slack, (2, 2))
    shade = None
    if rng.random() < 0.3:
        pattern = fractal_noise(larger, rng, coarsest=int(rng.integers(2, 5)), octaves=3)
        edge = rng.uniform(3, 25)
        shade = 1 - rng.uniform(0.2, 0.6) / (1 + np.exp(-edge * (pattern - rng.uniform(0.4, 0.7))))
    noise = None
    if rng.random() < 0.3:
        deviation = rng.uniform(1, 8)
        noise = (rng.standard_normal((*larger, 3), np.float32) * deviation).astype(np.int16)
    defocus = np.zeros(count)
    if rng.random() < 0.25:
        defocus = np.clip(rng.uniform(0.4, 1.6) + level(0, 0.8), 0, 2.5)
    return Finish(
        gamma=np.exp(level(0.15, 0.25)),
        contrast=np.exp(level(0.1, 0.15)),
        gains=np.exp(np.stack([level(0.06, 0.06) for _ in range(3)], axis=1)),
        shade=None if shade is None else (255 * shade).astype(np.uint8),
        shade_offsets=np.round(start + drift[:, None] * (end - start)).astype(np.int64),
        defocus=defocus,
        noise=noise,
        noise_offsets=rng.integers(0, slack, (count, 2)),
        jpeg_quality=int(rng.integers(25, 90)) if rng.random() < 0.35 else None,
    )
