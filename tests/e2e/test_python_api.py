"""The examples of docs/how-to/python.md and batch.md run as they stand there."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import pcvos_cli
from model.errors import ConfigError, WeightsError
from pcvos_cli import ClipSegmenter, InferenceConfig, ReferenceMask, iter_clips, load_model
from tests.support.cli import pcvos, read_labels, square, write_mask
from tests.support.shared import REPOSITORY
from tests.support.videos import pictures, write_video

FRAMES = 5
GUIDE = REPOSITORY / "docs/how-to/python.md"


def examples() -> list[str]:
    return re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the examples name."""
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "video.mp4", pictures(FRAMES))
    write_mask(tmp_path / "first.png", square(value=4))
    (tmp_path / "frames").mkdir()
    for index, rgb in enumerate(pictures(FRAMES)):
        Image.fromarray(rgb).save(tmp_path / "frames" / f"{index:05}.jpg")
    return tmp_path


def test_files_to_files(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = [e for e in examples() if "segment_video" in e]
    exec(example, {})
    assert capsys.readouterr().out.endswith("out/masks\n")
    assert len(list((here / "out" / "masks").iterdir())) == FRAMES


@pytest.mark.timeout(120)
def test_many_files(here: Path) -> None:
    """In a process of its own: the workers import the script."""
    (example,) = re.findall(
        r"```python\n(.*?)```", GUIDE.with_name("batch.md").read_text(), re.DOTALL
    )
    (here / "videos").mkdir()
    (here / "video.mp4").rename(here / "videos" / "a.mp4")
    (here / "first.png").rename(here / "videos" / "a.png")
    (here / "many.py").write_text(example)
    run = subprocess.run(
        [sys.executable, "many.py"], cwd=here, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == f"a {FRAMES}"


def test_frames_of_one_s_own(here: Path) -> None:
    (example,) = [e for e in examples() if "ClipSegmenter" in e]
    exec(example, {})
    found = [np.array(Image.open(here / f"{index:05}.png")) for index in range(FRAMES)]
    np.testing.assert_array_equal(found[0], square(value=4))
    # The same as the command makes of the same frames.
    arguments = ("frames", "--mask", "first.png", "-f", "png", "--engine", "torch")
    arguments += ("--size", "native")
    assert pcvos("segment", *arguments).exit_code == 0
    for index, labels in enumerate(found):
        np.testing.assert_array_equal(
            labels, read_labels(here / "frames_masks" / "masks" / f"{index:05}.png")
        )


def test_all_public_names_are_there_and_nothing_heavy_comes_with_the_package() -> None:
    assert set(pcvos_cli.__all__) <= set(dir(pcvos_cli))
    assert all(getattr(pcvos_cli, name) is not None for name in pcvos_cli.__all__)
    with pytest.raises(AttributeError, match="no attribute 'segment_vido'"):
        _ = pcvos_cli.segment_vido
    code = "import pcvos_cli, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_a_model_from_a_file_or_the_shipped_one(lite_weights: Path) -> None:
    own, shipped = load_model(str(lite_weights)), load_model(model="pcvos-lite")
    assert not own.training
    assert own.config == shipped.config
    assert not torch.equal(next(own.parameters()), next(shipped.parameters()))
    with pytest.raises(WeightsError, match="holds pcvos-lite, not stcn-r50"):
        load_model(lite_weights, model="stcn-r50")
    with pytest.raises(WeightsError, match="no weights are shipped for pcvos-r50"):
        load_model(model="pcvos-r50")
    with pytest.raises(ConfigError, match="no such model"):
        load_model(model="pcvos-r101")


def test_a_later_mask_corrects_and_soft_masks_sum_to_one(lite_weights: Path) -> None:
    segmenter = ClipSegmenter(load_model(lite_weights), InferenceConfig(interval=3))
    references = {
        0: ReferenceMask.from_labels(0, square()),
        4: ReferenceMask.from_labels(4, square(box=(30, 30, 8, 8), value=2)),
    }
    seen: list[int] = []
    for clip in iter_clips(pictures(7), references, interval=3):
        prediction = segmenter.segment(clip)
        torch.testing.assert_close(
            prediction.probs.sum(0), torch.ones_like(prediction.probs[0]), atol=1e-5, rtol=0
        )
        for index, labels in enumerate(prediction.labels((96, 128)), clip.start):
            assert labels.shape == (96, 128)
            seen.append(index)
    assert seen == list(range(7))
    assert segmenter.object_ids == (1, 2)
