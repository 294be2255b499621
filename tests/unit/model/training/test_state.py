"""The state of a run on disk."""

import io
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model.errors import OutputError, WeightsError
from model.training.config import OptimiserConfig, TrainConfig
from model.training.optimisation import build_optimiser
from model.training.state import TrainState, load_state, random_states, save_state
from tests.support.training import TINY, tiny_model, tiny_recipe


def _state() -> TrainState:
    model = tiny_model()
    optimiser = build_optimiser(model, OptimiserConfig())
    return TrainState(
        config=tiny_recipe(None, seed=7),
        model_config=TINY,
        step=3,
        seconds=1.5,
        best_score=0.25,
        model=model.state_dict(),
        average=None,
        optimiser=optimiser.state_dict(),
        scaler={},
        random=random_states(),
    )


def test_a_state_survives_the_disk(tmp_path: Path) -> None:
    state = _state()
    save_state(tmp_path / "run" / "state.pt", state)
    read = load_state(tmp_path / "run" / "state.pt")
    assert (read.config, read.model_config, read.step) == (state.config, TINY, 3)
    assert (read.seconds, read.best_score) == (1.5, 0.25)
    assert all(torch.equal(read.model[name], tensor) for name, tensor in state.model.items())
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["state.pt"]


def test_a_failed_save_leaves_the_old_state_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.pt"
    save_state(path, _state())
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OutputError, match=r"cannot write .*state\.pt.*No space left"):
        save_state(path, replace(_state(), step=4))
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["state.pt"]


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('a pickle was executed')",))


def _zipped(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>not found</html>", pickle.dumps(_Evil()), _zipped(_Evil()), None],
    ids=["empty", "html", "code", "zipped code", "truncated"],
)
def test_what_is_no_state_is_refused_and_never_executed(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "state.pt"
    save_state(path, _state())
    if content is None:
        content = path.read_bytes()[:-2000]
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"state\.pt"):
        load_state(path)


def test_a_state_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    torch.save({"format": 99}, path)
    with pytest.raises(WeightsError, match="not a training state of this version"):
        load_state(path)
    torch.save({"format": 1, "config": {"steps": 0}, "model_config": {}}, path)
    with pytest.raises(WeightsError, match="steps must be at least 1"):
        load_state(path)
    with pytest.raises(WeightsError, match="nothing to resume"):
        load_state(tmp_path / "none.pt")


def test_the_default_recipe_is_plain_enough_to_store(tmp_path: Path) -> None:
    save_state(tmp_path / "state.pt", replace(_state(), config=TrainConfig()))
    assert load_state(tmp_path / "state.pt").config == TrainConfig()
