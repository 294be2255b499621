"""The recipes that come with the package, and the resolution of a command line into one.

``recipes/`` of the repository is installed as the package ``pcvos_recipes``. Free of torch.
"""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.config import LITE_PROMPT, PCVOS_LITE
from model.errors import ConfigError

if TYPE_CHECKING:  # Later than `pcvos --help`, which asks for the names of the recipes.
    from model.training.config import TrainConfig

SUFFIX = ".toml"


def recipes_folder() -> Path:
    """Return the installed folder of the built-in recipes."""
    return Path(str(files("pcvos_recipes")))


def recipe_names() -> list[str]:
    """Return the names of the built-in recipes."""
    return sorted(path.stem for path in recipes_folder().glob(f"*{SUFFIX}"))


def default_recipe(stage: str, model: str) -> str:
    """Return the built-in recipe for a stage and a model: small for lite, else the paper's."""
    if stage == "prompt":
        return LITE_PROMPT.name
    if model == PCVOS_LITE.name:
        return "lite-image" if stage == "image" else "lite-synthetic"
    return f"paper-{stage}"


def read_recipe(recipe: str) -> dict[str, Any]:
    """Read a recipe by built-in name, or from a file.

    Raises:
        ConfigError: If there is none, or it is not TOML.
    """
    from model.training.recipe import parse_recipe

    path = Path(recipe)
    if path.suffix != SUFFIX:
        path = recipes_folder() / f"{recipe}{SUFFIX}"
    if not path.is_file():
        raise ConfigError(
            f"--recipe {recipe}: no such recipe",
            hint=f"a .toml file, or one of {', '.join(recipe_names())}",
        )
    try:
        return parse_recipe(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"recipe {path}: unreadable: {error}") from error


def resolve_recipe(recipe: str | None, settings: Mapping[str, Any]) -> "TrainConfig":
    """Put a recipe and the settings of a command line together.

    Args:
        recipe: Name or file; ``None`` takes the built-in one for stage and model.
        settings: By dotted name; they win over the recipe.

    Raises:
        ConfigError: On an unknown recipe or setting, or a value that means nothing.
    """
    from model.training.recipe import config_from_dict, override

    if recipe is None:
        stage = str(settings.get("stage", "video"))
        model = str(settings.get("model", PCVOS_LITE.name))
        name = default_recipe(stage, model)
        recipe = name if name in recipe_names() else default_recipe("video", PCVOS_LITE.name)
    return config_from_dict(override(read_recipe(recipe), settings))
