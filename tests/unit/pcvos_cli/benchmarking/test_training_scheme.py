"""Weights say how they were trained."""

import json

import pytest

from model.errors import WeightsError
from model.training.config import LossConfig, SampleConfig, TrainConfig
from model.training.recipe import config_to_dict
from pcvos_cli.benchmarking.training_scheme import TrainingScheme, read_scheme


def test_the_scheme_comes_from_the_recipe_that_training_stores():
    config = TrainConfig(
        samples=SampleConfig(frames=4, scheme="frame"), loss=LossConfig(clip_supervision=False)
    )
    scheme = read_scheme({"recipe": json.dumps(config_to_dict(config))}, "w")
    assert scheme == TrainingScheme("frame", 4, False, "the recipe in the weights")
    ours = read_scheme({"recipe": json.dumps(config_to_dict(TrainConfig()))}, "w")
    assert ours is not None
    assert (ours.type, ours.frames, ours.clip_supervision) == ("clip", 7, True)


def test_published_weights_are_those_of_the_paper_and_others_say_nothing():
    pcvos = read_scheme({"source": "published PCVOS"}, "w")
    stcn = read_scheme({"source": "published STCN"}, "w")
    assert pcvos is not None
    assert stcn is not None
    assert (pcvos.type, pcvos.frames, pcvos.clip_supervision) == ("clip", 7, True)
    assert (stcn.type, stcn.frames, stcn.clip_supervision) == ("frame", 3, False)
    assert read_scheme({"source": "training-free initialisation"}, "w") is None
    assert read_scheme({}, "w") is None


@pytest.mark.parametrize(
    "recipe",
    [
        "{",
        "[]",
        "{}",
        '{"samples": {"scheme": "both", "frames": 7}, "loss": {"clip_supervision": 1}}',
    ],
)
def test_a_recipe_that_cannot_be_read_is_an_error(recipe: str):
    with pytest.raises(WeightsError, match=r"w\.safetensors: its recipe"):
        read_scheme({"recipe": recipe}, "w.safetensors")
