"""How often things happen in synthetic scenes; free of torch and OpenCV, as every setting is."""

from dataclasses import dataclass, fields

from model.errors import ConfigError


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
        screen: Trunks, poles or branches stand before the scene.
        fragments: Pieces of a target's texture lie about in the background.
        excursion: A target leaves the frame and comes back.
        follow: The camera follows a target.
        still_camera: The camera stands still.
        rigid: A thing does not deform.
        reveal: A cut-out's texture slides under its outline, so that parts come into view
            which the first frame did not show, as on a body that turns.
        moving_backdrop: The background bends (parallax, water, leaves).
        motion_blur: The scene is exposed long enough to blur.
        size: Smallest and largest target, square root of its area over the frame's
            shorter side.
        min_share: Of frame 0 that a target must cover to count.
        speed: Median speed, shorter sides a frame at 24 fps.
        growth: Standard deviation of the logarithm of a thing's size after 20 frames.
    """

    own_scene: float = 0.35
    shapes: float = 0.2
    compound: float = 0.2
    look_alike: float = 0.3
    bystander: float = 0.35
    occluder: float = 0.35
    screen: float = 0.15
    fragments: float = 0.2
    excursion: float = 0.06
    follow: float = 0.5
    still_camera: float = 0.2
    rigid: float = 0.15
    reveal: float = 0.25
    moving_backdrop: float = 0.25
    motion_blur: float = 0.4
    size: tuple[float, float] = (0.14, 0.62)
    min_share: float = 0.01
    speed: float = 0.007
    growth: float = 0.22

    def __post_init__(self) -> None:
        """Refuse values that mean nothing.

        Raises:
            ConfigError: Naming the setting and the value.
        """
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name not in ("size", "speed", "growth") and not 0 <= value <= 1:
                raise ConfigError(f"scenes.{item.name} must be between 0 and 1, got {value}")
        if len(self.size) != 2 or not 0 < self.size[0] <= self.size[1]:
            raise ConfigError(f"scenes.size must be two rising sizes above 0, got {self.size}")
        for name in ("speed", "growth"):
            if getattr(self, name) < 0:
                raise ConfigError(f"scenes.{name} must be at least 0, got {getattr(self, name)}")
