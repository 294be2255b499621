"""Weights: round trip, published layouts, and everything that is not weights."""

import hashlib
import json
import pickle
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from model.build import build_pcvos
from model.checkpoint import (
    load_checkpoint,
    load_model,
    save_checkpoint,
)
from model.config import PCVOS_LITE, PCVOSConfig
from model.errors import ConfigError, WeightsError
from model.published import import_published
from tests.support.shared import shared


def saved(path: Path, config: PCVOSConfig = PCVOS_LITE) -> str:
    torch.manual_seed(0)
    state = build_pcvos(config).state_dict()
    return save_checkpoint(path, config, state, {"source": "a test", "b": "2", "a": "1"})


def test_a_round_trip_keeps_everything(tmp_path: Path) -> None:
    sha256 = saved(tmp_path / "w.safetensors")
    checkpoint = load_checkpoint(tmp_path / "w.safetensors")
    assert checkpoint.config == PCVOS_LITE
    assert checkpoint.metadata == {"source": "a test", "a": "1", "b": "2"}
    content = (tmp_path / "w.safetensors").read_bytes()
    assert checkpoint.sha256 == sha256 == hashlib.sha256(content).hexdigest()
    torch.manual_seed(0)
    for name, tensor in build_pcvos(PCVOS_LITE).state_dict().items():
        assert torch.equal(checkpoint.state[name], tensor)


def test_the_same_weights_give_the_same_bytes(tmp_path: Path) -> None:
    assert len({saved(tmp_path / f"{n}.safetensors") for n in range(3)}) == 1


def test_a_configuration_survives_json() -> None:
    for config in (PCVOS_LITE, replace(PCVOS_LITE, refinement=None)):
        assert PCVOSConfig.from_dict(json.loads(json.dumps(asdict(config)))) == config
    with pytest.raises(ConfigError, match="wobble"):
        PCVOSConfig.from_dict({"wobble": 3})


def test_truncated_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    saved(path)
    whole = path.read_bytes()
    for share in (0, 4, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:share])
        with pytest.raises(WeightsError, match=r"w\.safetensors"):
            load_model(path)


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    state = build_pcvos(replace(PCVOS_LITE, decoder_widths=(96, 48, 16))).state_dict()
    save_checkpoint(path, PCVOS_LITE, state, {})
    with pytest.raises(WeightsError, match="does not fit pcvos-lite"):
        load_model(path)


def test_a_web_page_is_named_as_one(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_text("<!DOCTYPE html><html>404</html>")
    with pytest.raises(WeightsError) as caught:
        load_model(path)
    assert "web page" in str(caught.value.hint)


class Exploding:
    """Writes a file when unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return (exec, (f"open({str(self.target)!r}, 'w').close()", ""))


def test_code_in_a_pickle_is_never_executed(tmp_path: Path) -> None:
    path, target = tmp_path / "w.pth", tmp_path / "executed"
    torch.save({"key_encoder.conv1.weight": Exploding(target)}, path)
    with pytest.raises(WeightsError):
        import_published(path)
    path.write_bytes(pickle.dumps(Exploding(target)))
    for read in (import_published, load_model):
        with pytest.raises(WeightsError):
            read(path)
    assert not target.exists()


def published_state() -> dict[str, torch.Tensor]:
    spec = json.loads(shared("parity", "official_state.json").read_text())
    index = {"relative_position_index": None}
    from model.network.window_attention import relative_position_index

    state = {}
    for name, shape, dtype in spec:
        if name.rsplit(".", 1)[-1] in index:
            state[name] = relative_position_index((2, 7, 7))
        else:
            state[name] = torch.zeros(shape, dtype=getattr(torch, dtype.split(".")[1]))
    return state


@pytest.mark.parametrize("refined", [True, False])
def test_published_layouts_are_recognised(refined: bool, tmp_path: Path) -> None:
    state = published_state()
    if not refined:
        state = {
            name: tensor
            for name, tensor in state.items()
            if not name.startswith(("refine_transformer.", "input_proj."))
        }
    torch.save(state, tmp_path / "w.pth")
    checkpoint = import_published(tmp_path / "w.pth")
    assert checkpoint.config.name == ("pcvos-r50" if refined else "stcn-r50")


def test_a_published_file_with_a_tensor_missing_is_refused(tmp_path: Path) -> None:
    state = published_state()
    del state["decoder.pred.bias"]
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"decoder\.pred\.bias"):
        import_published(tmp_path / "w.pth")


def test_another_projects_tensors_are_refused(tmp_path: Path) -> None:
    torch.save({"backbone.weight": torch.zeros(3)}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="does not fit"):
        import_published(tmp_path / "w.pth")
    torch.save([1, 2, 3], tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="not a dictionary of tensors"):
        import_published(tmp_path / "w.pth")
