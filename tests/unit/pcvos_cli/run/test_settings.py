"""The record of a run's settings."""

import json
from dataclasses import fields, replace
from typing import Any

import pytest

from model.config import InferenceConfig
from pcvos_cli.run.settings import SegmentSettings

PLAIN = SegmentSettings()


def record(settings: SegmentSettings) -> dict[str, Any]:
    return settings.record(weights="w", sha256="0")


def test_the_record_is_as_it_will_be_read() -> None:
    settings = replace(PLAIN, end_objects=((2, 7),), start="00003")
    assert json.loads(json.dumps(record(settings))) == record(settings)
    assert record(settings)["end_objects"] == [[2, 7]]
    assert {field.name for field in fields(InferenceConfig)} <= record(settings).keys()


@pytest.mark.parametrize(
    "choice",
    [
        {"size": 240}, {"resize_mask": True}, {"start": 3}, {"end": 9}, {"backward": True},
        {"end_objects": ((1, 2),)}, {"absent": ((1, 2),)}, {"channel": 1}, {"amp": True},
        {"categories": ((1, "dog"),)},
        {"engine": "torch"}, {"strict": True}, {"formats": ("png",)}, {"model": "pcvos-r50"},
        {"inference": InferenceConfig(interval=3)}, {"formats": ("matte",), "choke": 2},
    ],
    ids=lambda choice: ",".join(choice),
)  # fmt: skip
def test_what_may_show_in_the_results_is_recorded(choice: dict[str, Any]) -> None:
    assert record(replace(PLAIN, **choice)) != record(PLAIN)


@pytest.mark.parametrize("choice", [{"resume": True}, {"overwrite": True}, {"threads": 1}])
def test_what_cannot_is_not(choice: dict[str, Any]) -> None:
    assert record(replace(PLAIN, **choice)) == record(PLAIN)
