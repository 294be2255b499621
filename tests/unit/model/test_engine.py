"""ONNX Runtime's outputs equal those of the modules that were exported."""

import copy

import pytest
import torch
from torch import Tensor

from model.build import fold_batch_norms
from model.config import PCVOS_LITE, InferenceConfig
from model.errors import EngineError, OutOfMemoryError
from model.inference import engine
from model.inference.clips import iter_clips
from model.inference.engine import with_onnxruntime
from model.inference.object_boxes import CellBox
from model.inference.segmenter import ClipSegmenter
from model.pcvos import PCVOS
from model.training.frozen import OnnxTrunk
from model.types import ReferenceMask
from tests.support.weights import shipped_lite

TOLERANCE = 2e-5
"""Largest difference over the largest value: float32 sums in another order, 36 layers deep."""


@pytest.fixture(scope="module")
def model() -> PCVOS:
    return shipped_lite()


@pytest.fixture
def exports(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note each export that is loaded, by the threads it may use."""
    import onnxruntime

    loaded: list[int] = []
    real = onnxruntime.InferenceSession

    def load(graph: bytes, options: "onnxruntime.SessionOptions", **other: object) -> object:
        loaded.append(options.intra_op_num_threads)
        return real(graph, options, **other)

    monkeypatch.setattr(onnxruntime, "InferenceSession", load)
    return loaded


def assert_close(actual: Tensor, expected: Tensor) -> None:
    assert actual.shape == expected.shape
    assert (actual - expected).abs().max() <= TOLERANCE * expected.abs().max()


@torch.inference_mode()
def test_the_exported_key_encoder_is_the_key_encoder(model: PCVOS) -> None:
    onnx = with_onnxruntime(model, threads=1)
    for size in ((32, 48), (64, 32)):
        frames = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
        actual, expected = onnx.encode_key(frames), model.encode_key(frames)
        for name in ("key", "local_key", "query_value", "f16", "f8", "f4"):
            assert_close(getattr(actual, name), getattr(expected, name))


def test_layers_that_training_leaves_alone_are_the_same(model: PCVOS) -> None:
    fine = OnnxTrunk(model.key_encoder.trunk, 2, threads=1)
    frames = torch.randn(3, 3, 32, 48, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = model.encode_key(frames)
    f4, f8 = fine(frames)
    assert_close(f4, expected.f4)
    assert_close(f8, expected.f8)
    assert not f4.requires_grad
    features = model.key_encoder(frames, (f4, f8))
    assert_close(features.f16.detach(), expected.f16)
    assert_close(features.key.detach(), expected.key)
    assert features.f16.requires_grad


def test_a_trunk_that_training_leaves_alone_is_the_same(model: PCVOS) -> None:
    trunk = model.key_encoder.trunk
    frames = torch.randn(3, 3, 32, 48, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = trunk(frames)
    known = OnnxTrunk(trunk, len(trunk.widths), threads=1)(frames)
    assert len(known) == len(expected)
    for ours, theirs in zip(known, expected, strict=True):
        assert_close(ours, theirs)
    features = model.key_encoder(frames, known)
    assert features.key.requires_grad
    assert not features.f16.requires_grad


@pytest.mark.parametrize(("size", "objects"), [((64, 96), 1), ((80, 48), 3)])
@torch.inference_mode()
def test_the_exported_decoder_is_the_decoder(
    model: PCVOS, size: tuple[int, int], objects: int
) -> None:
    generator = torch.Generator().manual_seed(1)
    features = model.encode_key(torch.randn(2, 3, *size, generator=generator))
    width = PCVOS_LITE.value_width + 32
    shape = (2, objects, width, size[0] // 16, size[1] // 16)
    # As the segmenter passes them: slices of a clip's readout, not contiguous.
    readout, refined = (
        torch.rand(shape[1:2] + shape[2:3] + shape[:1] + shape[3:], generator=generator).permute(
            2, 0, 1, 3, 4
        )
        for _ in range(2)
    )
    inputs = features.query_value, features.f8, features.f4
    onnx = with_onnxruntime(model, threads=1).decoder
    assert_close(onnx(readout, refined, *inputs), model.decoder(readout, refined, *inputs))


def _probabilities(model: PCVOS) -> tuple[Tensor, list[Tensor]]:
    """Segment five frames in which a second object enters."""
    generator = torch.Generator().manual_seed(2)
    frames = [
        torch.randint(0, 256, (50, 70, 3), generator=generator, dtype=torch.uint8) for _ in range(5)
    ]
    labels = torch.zeros(50, 70, dtype=torch.int32)
    labels[10:30, 20:50] = 1
    references = {0: ReferenceMask(0, labels, (1,)), 2: ReferenceMask(2, 4 * labels, (4,))}
    segmenter = ClipSegmenter(model, InferenceConfig(interval=2))
    predictions = [segmenter.segment(c) for c in iter_clips(frames, references, interval=2)]
    return (
        torch.cat([p.probs.flatten() for p in predictions]),
        [labels for p in predictions for labels in p.labels()],
    )


@pytest.mark.parametrize("objects", [1, 3])
@torch.inference_mode()
def test_the_exported_value_encoder_is_the_value_encoder(model: PCVOS, objects: int) -> None:
    onnx = with_onnxruntime(model, threads=1)
    features = model.encode_key(torch.randn(2, 3, 64, 80))
    probs = torch.rand(2, objects, 64, 80) / objects
    expected = model.encode_value(None, features, probs)
    assert_close(onnx.encode_value(None, features, probs), expected)
    assert onnx.value_encoder.width == model.value_encoder.width


def test_a_video_gets_the_same_labels_from_both_engines(model: PCVOS) -> None:
    onnx = with_onnxruntime(model, threads=1)
    probs, labels = _probabilities(onnx)
    expected, expected_labels = _probabilities(model)
    assert (probs - expected).abs().max() < 1e-4
    agree = torch.stack(labels) == torch.stack(expected_labels)
    assert agree.float().mean() > 0.999  # A tie may fall the other way.
    assert {0, 4} <= {int(i) for i in torch.stack(labels).unique()}
    assert torch.equal(_probabilities(onnx)[0], probs), "the same twice, to the bit"


def _run_decoder(model: PCVOS) -> None:
    """Run the decoder, which is the quicker one to export."""
    readout = torch.zeros(1, 1, PCVOS_LITE.value_width + 32, 2, 2)
    features = (torch.zeros(1, width, n * 2, n * 2) for width, n in ((64, 1), (40, 2), (24, 4)))
    model.decoder(readout, readout, *features)


def test_exports_are_shared_by_networks_of_the_same_weights_only(
    model: PCVOS, exports: list[int]
) -> None:
    for _ in range(2):
        _run_decoder(with_onnxruntime(model, threads=1, weights="a"))
    assert len(exports) == 1
    others = [(1, "b"), (2, "a"), (1, ""), (1, "")]
    for count, (threads, weights) in enumerate(others, 2):
        _run_decoder(with_onnxruntime(model, threads=threads, weights=weights))
        assert len(exports) == count


@torch.inference_mode()
def test_only_so_many_exports_are_kept(
    model: PCVOS, exports: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "MAX_SESSIONS", 2)
    onnx = with_onnxruntime(model, threads=1)
    features = model.encode_key(torch.zeros(1, 3, 16, 16))
    # The third number of objects takes the place of that which was used least recently.
    for objects, made in ((2, 1), (3, 2), (2, 2), (4, 3), (2, 3), (3, 4)):
        onnx.encode_value(None, features, torch.zeros(1, objects, 16, 16))
        assert len(exports) == made


@torch.inference_mode()
def test_one_export_of_the_key_encoder_serves_all_sides_that_are_even_or_odd_alike(
    model: PCVOS, exports: list[int]
) -> None:
    onnx = with_onnxruntime(model, threads=1)
    for cells in ((4, 6), (6, 10), (2, 4), (5, 6), (3, 8), (7, 3)):
        frames = torch.randn(1, 3, *(16 * side for side in cells))
        actual, expected = onnx.encode_key(frames), model.encode_key(frames)
        for name in ("key", "local_key", "query_value", "f16", "f8", "f4"):
            assert_close(getattr(actual, name), getattr(expected, name))
    assert len(exports) == 3  # Even and even, odd and even, odd and odd.


@torch.inference_mode()
def test_one_export_of_the_decoder_serves_boxes_of_every_size(
    model: PCVOS, exports: list[int]
) -> None:
    generator = torch.Generator().manual_seed(3)
    onnx = with_onnxruntime(model, threads=1).decoder
    features = model.encode_key(torch.randn(1, 3, 80, 112, generator=generator))
    whole = torch.rand(1, 1, PCVOS_LITE.value_width + 32, 5, 7, generator=generator)
    for box in (CellBox(0, 5, 0, 7), CellBox(1, 4, 2, 3), CellBox(2, 5, 0, 6)):
        inputs = (
            box.cut(whole),
            box.cut(whole),
            box.cut(features.query_value),
            box.cut(features.f8, 2),
            box.cut(features.f4, 4),
        )
        assert_close(onnx(*inputs), model.decoder(*inputs))
    assert len(exports) == 1


@pytest.mark.parametrize("objects", [1, 2])
def test_warming_up_makes_all_that_the_frames_will_need(
    model: PCVOS, objects: int, exports: list[int]
) -> None:
    onnx = with_onnxruntime(model, threads=1, warm_up=(objects, 64, 80))
    made = len(exports)
    labels = torch.zeros(50, 70, dtype=torch.int32)
    labels[10:30, 20:50] = 1
    labels[10:20, 20:50] = objects
    frames = [torch.zeros(50, 70, 3, dtype=torch.uint8)] * 3
    segmenter = ClipSegmenter(onnx, InferenceConfig(interval=2))
    references = {0: ReferenceMask.from_labels(0, labels)}
    assert sum(len(segmenter.segment(c)) for c in iter_clips(frames, references, interval=2)) == 3
    assert len(exports) == made


def test_threads_are_those_that_were_asked_for(model: PCVOS, exports: list[int]) -> None:
    _run_decoder(with_onnxruntime(model, threads=2))
    assert exports == [2]


def test_a_missing_runtime_is_said(model: PCVOS, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "onnxruntime_version", lambda: None)
    with pytest.raises(EngineError, match="not installed"):
        with_onnxruntime(model, threads=1)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("no such operator"), EngineError),
        (MemoryError("std::bad_alloc"), OutOfMemoryError),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate"), OutOfMemoryError),
    ],
)
def test_a_failed_export_is_said(
    model: PCVOS,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    expected: type[Exception],
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(torch.onnx, "export", fail)
    with pytest.raises(expected, match=r"no such operator|bad_alloc|DefaultCPU"):
        with_onnxruntime(model, threads=1, warm_up=(1, 16, 16))


@torch.inference_mode()
def test_folded_batch_norms_compute_the_same(model: PCVOS) -> None:
    folded = copy.deepcopy(model)
    fold_batch_norms(folded)
    assert not [m for m in folded.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    frames = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    actual, expected = folded.encode_key(frames), model.encode_key(frames)
    for name in ("key", "f16", "f8", "f4"):
        assert_close(getattr(actual, name), getattr(expected, name))


def test_batch_norms_in_training_are_not_folded() -> None:
    layers = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 1), torch.nn.BatchNorm2d(1))
    with pytest.raises(ValueError, match="training mode"):
        fold_batch_norms(layers)
