"""Recipes: what they hold, what they refuse."""

import tomllib
from pathlib import Path

import pytest

from model.errors import ConfigError
from model.training.config import TrainConfig
from model.training.recipe import (
    config_from_dict,
    config_to_dict,
    differences,
    override,
    parse_settings,
    setting_names,
)
from model.training.state import _plain
from pcvos_cli.commands.train import RECIPES
from pcvos_cli.training.recipes import default_recipe, read_recipe, recipe_names, resolve_recipe


def test_help_names_the_built_in_recipes() -> None:
    assert list(RECIPES) == recipe_names()


@pytest.mark.parametrize("name", recipe_names())
def test_built_in_recipes_resolve_and_survive_a_round_trip(name: str) -> None:
    config = resolve_recipe(name, {})
    assert config_from_dict(_plain(config_to_dict(config))) == config


def test_the_papers_recipes_hold_its_figures() -> None:
    image, video = resolve_recipe("paper-image", {}), resolve_recipe("paper-video", {})
    for config in (image, video):
        assert (config.optimiser.name, config.optimiser.rate) == ("adam", 1e-5)
        assert config.optimiser.weight_decay == 1e-7
        assert (config.loss.hard_from, config.loss.hard_to) == (20_000, 70_000)
        assert (config.loss.hard_share, config.samples.crop) == (0.15, 384)
        assert config.model == "pcvos-r50"
    assert (image.steps, image.batch, image.optimiser.milestones) == (300_000, 8, (150_000,))
    assert (video.steps, video.batch, video.optimiser.milestones) == (150_000, 4, (125_000,))
    assert (image.samples.frames, video.samples.frames, video.samples.clip_length) == (3, 7, 3)
    assert (video.samples.gap_base, video.samples.gap_peak) == (5, 15)


@pytest.mark.parametrize(
    ("settings", "frames", "clip_length", "supervision"),
    [
        (["samples.scheme=frame", "samples.frames=3", "loss.clip_supervision=false"], 3, 1, False),
        (["samples.scheme=frame", "samples.frames=7"], 7, 1, True),
        (["samples.frames=5"], 5, 2, True),
        (["samples.frames=9"], 9, 4, True),
        (["loss.clip_supervision=false"], 7, 3, False),
        ([], 7, 3, True),
    ],
)
def test_every_row_of_table_2_has_its_switches(
    settings: list[str], frames: int, clip_length: int, supervision: bool
) -> None:
    config = resolve_recipe("paper-video", parse_settings(settings))
    assert config.samples.frames == frames
    assert config.samples.clip_length == clip_length
    assert config.loss.clip_supervision is supervision


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"stpes": 3}, "unknown setting stpes"),
        ({"optimiser": {"lr": 1e-4}}, "unknown setting optimiser.lr"),
        ({"steps": "many"}, "steps must be int, got 'many'"),
        ({"steps": True}, "steps must be int, got True"),
        ({"optimiser": 3}, "optimiser must be a table"),
        ({"samples": {"scheme": "both"}}, "samples.scheme = 'both': choose one of clip, frame"),
        ({"samples": {"frames": 6}}, "samples.frames = 6 is not one reference and 2 clips alike"),
        ({"samples": {"free_clips": 2}}, "must leave one of 2 clips to train on, got 2"),
        ({"samples": {"scheme": "frame", "free_clips": 6}}, "must leave one of 6 clips"),
        ({"samples": {"crop": 100}}, "samples.crop must be a multiple of 16"),
        ({"samples": {"crop_area": [0.5, 0.2]}}, "samples.crop_area must be two shares"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"model": "pcvos-r500"}, "no such model"),
        ({"loss": {"hard_share": 0}}, "loss.hard_share must be in"),
        ({"loss": {"hard_from": 9, "hard_to": 3}}, "hard_to = 3"),
        ({"optimiser": {"milestones": [5, 3]}}, "milestones must rise"),
        ({"optimiser": {"rate": -1.0}}, "rate must be above 0"),
        ({"data": {"sets": 3}}, "data.sets must be a list"),
        ({"data": {"sets": ["videos=0"]}}, "the weight of videos must be above 0"),
        ({"data": {"sets": ["videos=nan"]}}, "the weight of videos must be above 0"),
        ({"run": {"workers": -1}}, "run.workers must be at least 0"),
        ({"validation": {"frames": 1}}, "validation.frames = 1"),
    ],
)
def test_mistakes_in_recipes_are_named(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config_from_dict(values)


def test_settings_override_a_recipe_with_values_as_in_toml() -> None:
    settings = parse_settings(
        [
            "steps=7",
            "optimiser.rate=2e-4",
            'data.sets=["a", "b"]',
            "data.photos=/x y",
            "model = pcvos-r50",
        ]
    )
    config = config_from_dict(override({"steps": 9, "optimiser": {"rate": 1.0}}, settings))
    assert (config.steps, config.optimiser.rate, config.model) == (7, 2e-4, "pcvos-r50")
    assert (config.data.sets, config.data.photos) == (("a", "b"), ("/x y",))


@pytest.mark.parametrize("text", ["steps", "=3"])
def test_a_setting_without_name_or_value_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is not NAME=VALUE"):
        parse_settings([text])


def test_differences_names_what_changed() -> None:
    a = TrainConfig()
    b = config_from_dict(override(config_to_dict(a), {"steps": 5, "optimiser.rate": 1.0}))
    assert differences(a, b) == ["steps", "optimiser.rate"]
    assert "samples.gap_peak" in setting_names()


def test_without_a_recipe_the_stage_and_model_choose_one() -> None:
    assert default_recipe("video", "pcvos-lite") == "lite-synthetic"
    assert resolve_recipe(None, {"stage": "image"}).samples.frames == 3
    assert resolve_recipe(None, {"model": "pcvos-r50"}).steps == 150_000
    with pytest.raises(ConfigError, match="no such model"):
        resolve_recipe(None, {"model": "nonsense"})


def test_unknown_recipes_are_refused_with_a_list(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such recipe") as caught:
        read_recipe("papers")
    assert "paper-video" in str(caught.value.hint)
    broken = tmp_path / "mine.toml"
    broken.write_text("steps = = 3")
    with pytest.raises(ConfigError, match=r"mine\.toml"):
        read_recipe(str(broken))
    broken.write_text("steps = 3")
    assert read_recipe(str(broken)) == tomllib.loads("steps = 3")
