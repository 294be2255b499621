"""How weights were trained, as table 2 of the paper tells schemes apart. Free of torch."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from model.errors import WeightsError


@dataclass(frozen=True, slots=True)
class TrainingScheme:
    """A row's columns in table 2.

    Attributes:
        type: ``clip``: frames after the reference in clips (the paper's PCT); ``frame``: one
            by one, as STM and STCN train.
        frames: Frames in a sample (NF).
        clip_supervision: Whether there was the clip-level loss (CS).
        origin: Where this is known from.
    """

    type: Literal["clip", "frame"]
    frames: int
    clip_supervision: bool
    origin: str


_PUBLISHED = {
    "published PCVOS": TrainingScheme("clip", 7, True, "the paper, of its published weights"),
    "published STCN": TrainingScheme("frame", 3, False, "the paper, of STCN's published weights"),
}


def read_scheme(metadata: Mapping[str, str], name: str) -> TrainingScheme | None:
    """Return how a checkpoint was trained, or ``None`` if it does not say.

    Args:
        metadata: The checkpoint's. ``recipe`` is the resolved recipe, as JSON; weights that
            were imported have ``source`` instead. Settings that are unknown here do not
            matter: recipes of all versions are read.
        name: What to call the file in an error.

    Raises:
        WeightsError: If there is a recipe that cannot be read.
    """
    if "recipe" not in metadata:
        return _PUBLISHED.get(metadata.get("source", ""))
    try:
        recipe = json.loads(metadata["recipe"])
        kind = recipe["samples"]["scheme"]
        if kind not in ("clip", "frame"):
            raise ValueError(f"samples.scheme = {kind!r}")
        return TrainingScheme(
            kind,
            int(recipe["samples"]["frames"]),
            bool(recipe["loss"]["clip_supervision"]),
            "the recipe in the weights",
        )
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{name}: its recipe cannot be read ({error!r})") from error
