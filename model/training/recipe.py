"""Recipes: TOML, one table a section of ``TrainConfig``; an unknown key is an error."""

import tomllib
import types
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from model.errors import ConfigError
from model.training.config import TrainConfig

Section = TypeVar("Section")


def config_from_dict(values: Mapping[str, Any]) -> TrainConfig:
    """Read a recipe.

    Args:
        values: Plain values by name; sections are dictionaries. What is left out has its
            default.

    Raises:
        ConfigError: On an unknown key, or a value of the wrong kind or out of range.
    """
    return _section(TrainConfig, values, "")


def config_to_dict(config: TrainConfig) -> dict[str, Any]:
    """Return plain values that ``config_from_dict`` reads back."""
    return asdict(config)


def parse_recipe(text: str, name: str) -> dict[str, Any]:
    """Read the TOML of a recipe into plain values.

    Raises:
        ConfigError: If it is not TOML.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"recipe {name}: {error}") from error


def override(values: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe with some settings replaced.

    Args:
        values: Plain values, sections as dictionaries.
        settings: By dotted name, such as ``optimiser.rate``.
    """
    merged = {k: dict(v) if isinstance(v, Mapping) else v for k, v in values.items()}
    for name, value in settings.items():
        section, dot, key = name.rpartition(".")
        if not dot:
            merged[name] = value
            continue
        inner = merged.setdefault(section, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"{name}: {section} is not a section")
        inner[key] = value
    return merged


def parse_settings(texts: Sequence[str]) -> dict[str, Any]:
    """Read ``NAME=VALUE`` settings; values as in TOML, bare words as text.

    Raises:
        ConfigError: If one has no ``=``.
    """
    settings = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise ConfigError(f"{text!r} is not NAME=VALUE", hint="such as optimiser.rate=1e-4")
        try:
            settings[name.strip()] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            settings[name.strip()] = value.strip()
    return settings


def setting_names() -> list[str]:
    """Return the dotted names of all settings."""
    names = []
    for item in fields(TrainConfig):
        kind = get_type_hints(TrainConfig)[item.name]
        if is_dataclass(kind):
            names += [f"{item.name}.{inner.name}" for inner in fields(kind)]
        else:
            names.append(item.name)
    return names


def differences(old: TrainConfig, new: TrainConfig) -> list[str]:
    """Return the dotted names of the settings in which two recipes differ."""
    a, b = config_to_dict(old), config_to_dict(new)

    def value(values: dict[str, Any], name: str) -> Any:
        section, dot, key = name.rpartition(".")
        return values[section][key] if dot else values[name]

    return [name for name in setting_names() if value(a, name) != value(b, name)]


def _section(kind: type[Section], values: Any, where: str) -> Section:
    if not isinstance(values, Mapping):
        raise ConfigError(f"recipe: {where.rstrip('.')} must be a table, got {values!r}")
    hints = get_type_hints(kind)
    names = [item.name for item in fields(kind)]  # type: ignore[arg-type]
    if unknown := sorted(set(values) - set(names)):
        raise ConfigError(
            f"recipe: unknown setting {', '.join(where + name for name in unknown)}",
            hint=f"known here: {', '.join(where + name for name in names)}",
        )
    read = {name: _value(hints[name], values[name], where + name) for name in values}
    return kind(**read)


def _value(kind: Any, value: Any, name: str) -> Any:
    """Check one value against its annotation."""
    if is_dataclass(kind) and isinstance(kind, type):
        return _section(kind, value, name + ".")
    origin = get_origin(kind)
    if origin is Literal:
        if value not in get_args(kind):
            choices = ", ".join(map(str, get_args(kind)))
            raise ConfigError(f"recipe: {name} = {value!r}: choose one of {choices}")
        return value
    if origin is tuple:
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, (list, tuple)):
            raise ConfigError(f"recipe: {name} must be a list, got {value!r}")
        return tuple(_value(get_args(kind)[0], item, name) for item in items)
    assert not isinstance(kind, types.UnionType), f"{name}: settings are never optional"
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ConfigError(f"recipe: {name} must be {kind.__name__}, got {value!r}")
    return value
