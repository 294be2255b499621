"""The starts of the ablation's trainings."""

from pathlib import Path

import torch

from docs.lab.ablation import NETWORKS, ROWS, make_starts
from model.build import build_pcvos
from model.checkpoint import load_checkpoint, model_from, save_checkpoint
from model.config import PCVOS_LITE


def test_both_starts_are_the_same_network_with_and_without_refinement(tmp_path: Path) -> None:
    """They load, say how the paper's network runs, and share every value that both have."""
    init = tmp_path / "init.safetensors"
    save_checkpoint(init, PCVOS_LITE, build_pcvos(PCVOS_LITE).state_dict(), {"source": "a test"})
    make_starts(init, tmp_path)
    plain, refining = (
        load_checkpoint(tmp_path / f"{name}.safetensors") for name in ("plain", "refining")
    )
    model_from(plain)
    model_from(refining)
    assert (plain.config.refines, refining.config.refines) == (False, True)
    assert (plain.config.progressive_interval, plain.config.decode_provisional) == (5, False)
    for name, value in plain.state.items():
        assert torch.equal(value, refining.state[name][: len(value)] if value.ndim else value)


def test_every_row_has_a_network() -> None:
    """And every network a row."""
    assert set(ROWS.values()) == set(NETWORKS)
