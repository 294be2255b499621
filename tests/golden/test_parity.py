"""The paper's network gives the published implementation's numbers (shared/parity)."""

import copy
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from model.build import fold_batch_norms
from model.checkpoint import model_from, save_checkpoint
from model.config import InferenceConfig
from model.inference.clips import iter_clips
from model.inference.engine import with_onnxruntime
from model.inference.segmenter import ClipSegmenter
from model.pcvos import PCVOS
from model.published import import_published
from model.types import ReferenceMask
from tests.support.cli import pcvos
from tests.support.shared import shared

CASES = (
    "L5-one-object",
    "L10-two-objects",
    "L15-no-pmm",
    "L5-late-object-padded",
    "L5-stcn",
)
TOLERANCE = 2e-3
EQUAL_LABELS = 0.999


@dataclass(frozen=True)
class Case:
    folder: Path
    interval: int
    objects: int
    settings: InferenceConfig

    def frames(self) -> list[NDArray[np.uint8]]:
        paths = sorted((self.folder / "frames").glob("*.png"))
        return [np.array(Image.open(path).convert("RGB")) for path in paths]

    def references(self) -> dict[int, ReferenceMask]:
        references = {}
        for path in (self.folder / "masks").glob("*.png"):
            labels = torch.from_numpy(np.array(Image.open(path)).astype(np.int32))
            ids = tuple(int(i) for i in labels.unique() if i)
            references[int(path.stem)] = ReferenceMask(int(path.stem), labels, ids)
        return references


def read_case(name: str) -> Case:
    folder = shared("parity", "cases", name)
    facts = json.loads((folder / "case.json").read_text())
    settings = InferenceConfig(
        interval=facts["interval"],
        top_k=facts["top_k"],
        progressive=facts["progressive_matching"],
        refinement=facts["intra_clip_refinement"],
    )
    return Case(folder, facts["interval"], facts["objects"], settings)


def compare(case: Case, actual: NDArray[np.float32]) -> None:
    """Compare ``(frames, 1 + objects, H, W)`` with what the published code gave."""
    with np.load(case.folder / "expected.npz") as expected:
        kept = expected["frames"].astype(int)
        difference = np.abs(actual[kept] - expected["prob"].astype(np.float32)).max()
        equal = (actual.argmax(1) == expected["labels"]).mean()
    assert difference <= TOLERANCE
    assert equal >= EQUAL_LABELS


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file in the published layout, as shared/parity/make_state.py makes it."""
    path = tmp_path_factory.mktemp("published") / "published.pth"
    script = shared("parity", "make_state.py")
    subprocess.run([sys.executable, str(script), str(path)], check=True, timeout=120)
    return path


@pytest.fixture(scope="module")
def model(published: Path) -> PCVOS:
    return model_from(import_published(published))


@pytest.fixture(scope="module")
def weights(published: Path) -> Path:
    checkpoint = import_published(published)
    path = published.with_suffix(".safetensors")
    save_checkpoint(path, checkpoint.config, checkpoint.state, checkpoint.metadata)
    return path


@pytest.mark.parametrize("name", CASES)
def test_the_segmenter_gives_the_published_numbers(name: str, model: PCVOS) -> None:
    check_segmenter(name, model)


@pytest.mark.slow  # The command line's case below runs it by default.
@pytest.mark.parametrize("name", CASES)
def test_onnxruntime_gives_the_published_numbers(name: str, model: PCVOS) -> None:
    folded = copy.deepcopy(model)
    fold_batch_norms(folded)  # As the command line does.
    check_segmenter(name, with_onnxruntime(folded, threads=torch.get_num_threads()))


def check_segmenter(name: str, model: PCVOS) -> None:
    case = read_case(name)
    segmenter = ClipSegmenter(model, case.settings)
    frames = []
    for clip in iter_clips(case.frames(), case.references(), interval=case.interval):
        prediction = segmenter.segment(clip)
        for t in range(len(prediction)):
            full = np.zeros((1 + case.objects, *prediction.probs.shape[2:]), np.float32)
            full[[0, *prediction.object_ids]] = prediction.probs[:, t].numpy()
            frames.append(full)
    compare(case, np.stack(frames))


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if "late" in name else pytest.mark.slow) for name in CASES],
)
def test_the_command_line_gives_the_published_numbers(
    name: str, weights: Path, tmp_path: Path
) -> None:
    case = read_case(name)
    arguments = ["--interval", case.interval, "--size", "native", "--format", "scores"]
    if not case.settings.progressive:
        arguments.append("--no-progressive")
    if not case.settings.refinement:
        arguments.append("--no-refinement")
    result = pcvos(
        "segment",
        case.folder / "frames",
        "--mask",
        case.folder / "masks",
        "--weights",
        weights,
        "--out",
        tmp_path / "out",
        *map(str, arguments),
    )
    assert result.exit_code == 0, result.output
    scores = []
    for path in sorted((tmp_path / "out" / "scores").glob("*.npz")):
        with np.load(path) as file:
            assert file["prob"].dtype == np.float32
            scores.append(file["prob"])
    compare(case, np.stack(scores))
