"""Whole trainings of a narrow network: resuming, saving, validating."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from model.checkpoint import load_checkpoint
from model.data.sample import Problem
from model.errors import ConfigError, InputError
from model.training.distributed import Processes
from model.training.loop import fit
from model.training.pretrained import initial_model
from model.training.reporting import TrainReporter
from model.training.state import BEST, LAST, METRICS, STATE, load_state
from model.training.step import StepResult
from tests.support.training import tiny_recipe, write_tiny
from tests.support.training_data import make_davis

TIMES = ("samples_per_second", "seconds")


class CrashError(Exception):
    """Stands for a kill: nothing is saved on the way out."""


class Crashing(TrainReporter):
    def __init__(self, at: int) -> None:
        self.at = at

    def stepped(self, step: int, result: StepResult) -> None:
        if step == self.at:
            raise CrashError


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_davis(tmp_path_factory.mktemp("davis"), length=6)


@pytest.fixture(scope="module")
def init(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("init") / "tiny.safetensors")


def _recipe(data: Path, **sections: Any) -> Any:
    values: dict[str, Any] = {
        "steps": 5,
        "optimiser": {
            "name": "adamw", "rate": 1e-3, "schedule": "cosine", "warm_up": 2,
            "freeze_trunk": 2, "trunk_rate": 0.1, "clip_norm": 1.0, "ema": 0.9,
        },
        "validation": {"folder": str(data), "every": 2, "frames": 3, "size": 64},
    }  # fmt: skip
    return tiny_recipe(data, **(values | sections))


def _stop_after(steps: int) -> Callable[[], bool]:
    asked = iter(range(1000))
    return lambda: next(asked) >= steps  # First asked before the first step.


def _lines(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / METRICS).read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in TIMES} for line in lines]


def _assert_same_run(a: Path, b: Path) -> None:
    for name in (LAST, BEST):
        assert (a / name).read_bytes() == (b / name).read_bytes(), name
    old, new = load_state(a / STATE), load_state(b / STATE)
    assert old.best_score == new.best_score
    assert torch.equal(old.random["cpu"], new.random["cpu"])
    for index, values in old.optimiser["state"].items():
        for key, tensor in values.items():
            assert torch.equal(tensor, new.optimiser["state"][index][key])
    assert _lines(a) == _lines(b)


@pytest.fixture(scope="module")
def whole(data: Path, init: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    report = fit(_recipe(data), folder, init=init)
    assert report.finished
    return folder


def test_a_run_leaves_weights_scores_and_figures(whole: Path, data: Path) -> None:
    lines = _lines(whole)
    assert [line["step"] for line in lines if "loss" in line] == [1, 2, 3, 4, 5]
    scores = [line["validation"] for line in lines if "validation" in line]
    assert len(scores) == 3
    last, best = load_checkpoint(whole / LAST), load_checkpoint(whole / BEST)
    assert json.loads(last.metadata["recipe"])["data"]["sets"] == [str(data)]
    assert last.metadata["step"] == "5"
    assert float(best.metadata["validation"]) == pytest.approx(max(scores), abs=1e-4)
    averaged = load_state(whole / STATE).average
    assert averaged is not None
    exported = {name: averaged[f"module.{name}"] for name in last.state}
    assert all(torch.equal(last.state[name], exported[name]) for name in exported)


def test_layers_that_never_change_may_run_in_onnxruntime(
    data: Path, init: Path, tmp_path: Path
) -> None:
    losses = {}
    for engine in (True, False):
        recipe = _recipe(
            data,
            steps=3,
            optimiser={"freeze_stride": 8, "rate": 1e-3},
            run={"frozen_engine": engine},
            validation={"folder": ""},
        )
        fit(recipe, tmp_path / str(engine), init=init)
        losses[engine] = [line["loss"] for line in _lines(tmp_path / str(engine))]
    assert losses[True] == pytest.approx(losses[False], rel=1e-3)
    assert losses[True] != losses[False]  # It did run there: sums are in another order.
    # Stopped and resumed, such a run is still the same to the bit.
    recipe = _recipe(
        data, steps=3, optimiser={"freeze_stride": 8, "rate": 1e-3}, validation={"folder": ""}
    )
    folder = tmp_path / "stopped"
    fit(recipe, folder, init=init, should_stop=_stop_after(1))
    fit(recipe, folder, init=init, resume=True)
    assert (folder / LAST).read_bytes() == (tmp_path / "True" / LAST).read_bytes()


# Before the trunk thaws, on the very step, after it; on a saved step and between two.
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_stopped_and_resumed_run_equals_a_whole_one(
    steps: int, whole: Path, data: Path, init: Path, tmp_path: Path
) -> None:
    report = fit(_recipe(data), tmp_path, init=init, should_stop=_stop_after(steps))
    assert (report.step, report.finished) == (steps, False)
    report = fit(_recipe(data), tmp_path, resume=True)
    assert (report.step, report.finished, report.steps_here) == (5, True, 5 - steps)
    _assert_same_run(whole, tmp_path)


def test_a_killed_run_loses_the_steps_since_its_last_save_and_no_more(
    whole: Path, data: Path, init: Path, tmp_path: Path
) -> None:
    with pytest.raises(CrashError):
        fit(_recipe(data), tmp_path, init=init, reporter=Crashing(4))
    with (tmp_path / METRICS).open("a") as file:
        file.write('{"step": 4, "lo')  # The kill came in the middle of a line.
    assert load_state(tmp_path / STATE).step == 2
    fit(_recipe(data), tmp_path, resume=True)
    _assert_same_run(whole, tmp_path)


def test_a_finished_run_resumes_to_nothing(whole: Path, data: Path) -> None:
    before = (whole / LAST).read_bytes(), (whole / STATE).read_bytes()
    report = fit(_recipe(data), whole, resume=True)
    assert (report.finished, report.steps_here) == (True, 0)
    assert ((whole / LAST).read_bytes(), (whole / STATE).read_bytes()) == before


def test_another_seed_is_another_run(data: Path, init: Path, whole: Path, tmp_path: Path) -> None:
    fit(_recipe(data, seed=1, validation={}), tmp_path, init=init)
    assert _lines(tmp_path)[0]["loss"] != _lines(whole)[0]["loss"]


def test_without_weights_the_seed_decides_the_first_ones(tmp_path: Path) -> None:
    first, second = (
        initial_model(tiny_recipe(None, seed=s), "random").state_dict() for s in (0, 1)
    )
    again = initial_model(tiny_recipe(None, seed=0), "random").state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())
    assert any(not torch.equal(tensor, second[name]) for name, tensor in first.items())


def test_items_that_cannot_be_used_are_told_once_each(
    data: Path, init: Path, tmp_path: Path
) -> None:
    make_davis(tmp_path / "davis", length=6)
    (tmp_path / "davis/JPEGImages/480p/bear/00001.jpg").write_bytes(b"not a picture")
    told: list[Problem] = []

    class Listening(TrainReporter):
        def skipped(self, problem: Problem) -> None:
            told.append(problem)

    recipe = tiny_recipe(tmp_path / "davis", steps=6)
    report = fit(recipe, tmp_path / "run", init=init, reporter=Listening())
    assert len(told) == report.skipped == 1
    assert "00001.jpg" in str(told[0])


def test_data_and_weights_that_do_not_fit_are_refused(
    data: Path, init: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty"):
        fit(tiny_recipe(tmp_path / "empty"), tmp_path / "run", init=init)
    with pytest.raises(ConfigError, match=r"tiny\.safetensors is a pcvos-lite"):
        fit(tiny_recipe(data, model="pcvos-r50"), tmp_path / "run", init=init)
    with pytest.raises(ConfigError, match="a batch of 2 cannot be shared by 3 processes"):
        fit(tiny_recipe(data), tmp_path / "run", init=init, processes=Processes(0, 3, 0))
    recipe = tiny_recipe(data, validation={"folder": str(tmp_path / "empty")})
    with pytest.raises(InputError, match="not in DAVIS layout"):
        fit(recipe, tmp_path / "run", init=init)
    assert not (tmp_path / "run").exists()
