"""``pcvos weights``: import, list, verify."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from model.build import build_prompt_segmenter
from model.checkpoint import (
    load_checkpoint,
    load_model,
    load_prompt_segmenter,
    save_checkpoint,
)
from model.config import LITE_PROMPT, PRESETS, PromptConfig
from tests.support.cli import pcvos


def test_list_names_every_preset() -> None:
    text = pcvos("weights", "list").stdout
    document = json.loads(pcvos("weights", "list", "--json").stdout)
    assert all(name in text for name in PRESETS)
    shipped = {entry["model"] for entry in document["weights"]}
    assert shipped | set(document["models_without_weights"]) == {*PRESETS, LITE_PROMPT.name}


def test_verify_says_whole_or_fails(lite_weights: Path, tmp_path: Path) -> None:
    result = pcvos("weights", "verify", lite_weights)
    assert result.exit_code == 0, result.stderr
    assert hashlib.sha256(lite_weights.read_bytes()).hexdigest() in result.stdout
    assert "not a shipped file" in result.stdout
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(lite_weights.read_bytes()[:-100])
    assert pcvos("weights", "verify", lite_weights, cut).exit_code == 5
    assert pcvos("weights", "verify").exit_code == 0


def test_import_prints_the_hash_of_a_file_that_loads(published_stcn: Path, tmp_path: Path) -> None:
    out = tmp_path / "stcn.safetensors"
    result = pcvos("weights", "import", published_stcn, "--out", out)
    assert result.exit_code == 0, result.stderr
    sha256 = hashlib.sha256(out.read_bytes()).hexdigest()
    assert result.stdout == f"{sha256}  {out}\n"
    assert load_checkpoint(out).sha256 == sha256
    assert load_model(out).config.name == "stcn-r50"

    refused = pcvos("weights", "import", published_stcn, "--out", out)
    assert refused.exit_code == 6
    again = pcvos("weights", "import", published_stcn, "--out", out, "--overwrite", "--json")
    assert json.loads(again.stdout)["sha256"] == sha256
    wrong = pcvos("weights", "import", published_stcn, "--out", tmp_path / "x.pth")
    assert wrong.exit_code == 2


def test_import_refuses_other_networks(tmp_path: Path) -> None:
    foreign = tmp_path / "other.pth"
    torch.save({"backbone.weight": torch.zeros(3)}, foreign)
    result = pcvos("weights", "import", foreign, "--out", tmp_path / "x.safetensors")
    assert result.exit_code == 5
    assert str(foreign) in result.stderr
    assert not (tmp_path / "x.safetensors").exists()


@pytest.fixture(scope="module")
def published_stcn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file in the published STCN layout: PCVOS's without the refinement."""
    from tests.support.shared import shared

    script = shared("parity", "make_state.py")
    path = tmp_path_factory.mktemp("published") / "stcn.pth"
    subprocess.run([sys.executable, script, path], check=True, timeout=60)
    state = torch.load(path, weights_only=True)
    parts = ("refine_transformer.", "input_proj.")
    torch.save({k: v for k, v in state.items() if not k.startswith(parts)}, path)
    return path


def test_average_lies_between_its_files(lite_weights: Path, tmp_path: Path) -> None:
    first = load_checkpoint(lite_weights)
    moved = {k: v + 1 if v.is_floating_point() else v for k, v in first.state.items()}
    other, out = tmp_path / "other.safetensors", tmp_path / "average.safetensors"
    save_checkpoint(other, first.config, moved, {})
    result = pcvos(
        "weights", "average", lite_weights, other, "--out", out,
        "--share", "3", "--share", "1", "--memory-decay", "0.25",
        "--progressive-interval", "7", "--keep-strays", "--short-edge", "608",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    average = load_checkpoint(out)
    for name, tensor in first.state.items():
        if tensor.is_floating_point():
            torch.testing.assert_close(average.state[name], tensor + 0.25)
    assert average.config.memory_decay == 0.25
    assert average.config.progressive_interval == 7
    assert average.config.short_edge == 608
    assert not average.config.drop_strays
    assert average.config.decode_provisional == first.config.decode_provisional
    assert first.sha256 in average.metadata["average"]
    # Of itself it is what it was, bit by bit.
    same = tmp_path / "same.safetensors"
    assert pcvos("weights", "average", lite_weights, lite_weights, "--out", same).exit_code == 0
    assert all(torch.equal(v, first.state[k]) for k, v in load_checkpoint(same).state.items())


def test_networks_for_first_masks_have_an_average(lite_weights: Path, tmp_path: Path) -> None:
    config = PromptConfig(prompt_widths=(2, 2), decoder_widths=(4, 4, 4, 4))
    first = build_prompt_segmenter(config).state_dict()
    files = [tmp_path / f"{number}.safetensors" for number in range(2)]
    for file, step in zip(files, (0, 1), strict=True):
        moved = {k: v + step if v.is_floating_point() else v for k, v in first.items()}
        save_checkpoint(file, config, moved, {})
    out = tmp_path / "average.safetensors"
    result = pcvos("weights", "average", *files, "--out", out)
    assert result.exit_code == 0, result.stderr
    for name, tensor in load_prompt_segmenter(out).state_dict().items():
        if tensor.is_floating_point():  # Stored in half precision.
            torch.testing.assert_close(tensor, first[name] + 0.5, atol=2e-3, rtol=2e-3)
    other = tmp_path / "x.safetensors"
    assert pcvos("weights", "average", files[0], lite_weights, "--out", other).exit_code == 5
    assert pcvos("weights", "average", *files, "--drop-strays", "--out", other).exit_code == 2
    assert not other.exists()


def test_average_refuses_what_has_none(
    lite_weights: Path, published_stcn: Path, tmp_path: Path
) -> None:
    stcn, out = tmp_path / "stcn.safetensors", tmp_path / "x.safetensors"
    pcvos("weights", "import", published_stcn, "--out", stcn)
    assert pcvos("weights", "average", lite_weights, stcn, "--out", out).exit_code == 5
    for share in ("0", "1"):
        result = pcvos("weights", "average", lite_weights, stcn, "--out", out, "--share", share)
        assert result.exit_code == 2
    assert not out.exists()
