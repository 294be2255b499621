"""ONNX Runtime runs the encoders and the decoder, which are most of the time on a CPU.

What runs is an export of the same modules, made when a network starts: one forward path, and
nothing to keep in step. ``with_onnxruntime`` puts the exported parts where the modules were;
``PCVOS.segment_clip`` and the segmenter do not know which engine runs. The rest (memory read,
refinement, the paper's value encoder) stays in torch; ``docs/decisions.md`` says what each would
give.

An export holds for fixed shapes, which lets the runtime choose layouts and fold all that does
not depend on pixels. Only where windows of frames are encoded, and objects decoded in boxes of
their own, are the sides open: that takes the key encoder 2 % and the decoder a tenth more time
for the same size. An export takes lite a second, r50 five, so it is made anew by each process and
never stored.
"""

import io
import threading
import warnings
from collections import OrderedDict
from collections.abc import Hashable
from importlib.metadata import PackageNotFoundError, version
from itertools import product
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from model.config import STRIDE
from model.errors import EngineError, OutOfMemoryError, as_known
from model.network.decoder import Decoder
from model.network.encoders import KeyEncoder, SharedValueEncoder
from model.pcvos import PCVOS
from model.types import KeyFeatures, concatenated

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

MAX_SESSIONS = 6
"""Exports kept in a process, the least recently used given up first. A network needs one and
one more for each number of objects (lite one for its decoder, too). Videos of one size share
them; those of lite's key encoder and decoder serve other sizes, too."""

_OPSET = 17
_POINTWISE_CHANNELS = "mlas.nchwc_pointwise_conv_max_input_channel_batch"
_FATAL = 4  # Log level: what goes wrong is an exception; only the shell writes to a terminal.

_sessions: OrderedDict[Hashable, "InferenceSession"] = OrderedDict()
_lock = threading.Lock()  # The exporter keeps global state.


def onnxruntime_version() -> str | None:
    """Return the version of ONNX Runtime, or ``None`` where it is not installed."""
    try:
        return version("onnxruntime")
    except PackageNotFoundError:
        return None


def check_onnxruntime() -> None:
    """Export the smallest network and load it, which is all that has to work.

    Raises:
        EngineError: Saying what does not.
    """
    OnnxExport(nn.Conv2d(1, 1, 1), object(), threads=1).run(torch.zeros(1, 1, 1, 1))


def with_onnxruntime(
    model: PCVOS, *, threads: int, weights: str = "", warm_up: tuple[int, int, int] | None = None
) -> PCVOS:
    """Return a network whose encoders and decoder run in ONNX Runtime.

    The paper's value encoder, a trunk of its own, stays in torch: it takes 2 s to export and
    would save 16 ms a frame.

    Args:
        model: In evaluation mode, on the CPU; its parts are shared, not copied.
        threads: CPU threads of ONNX Runtime.
        weights: Says which weights these are (their SHA-256), so that other networks of the
            same weights in this process share the exports. Empty: they are not shared.
        warm_up: ``(objects, height, width)`` of frames to come, padded to multiples of 16.
            Exports are then made now instead of with the first frame.

    Returns:
        A network with the same results up to rounding, for inference only.

    Raises:
        EngineError: ONNX Runtime is missing, or cannot run these modules; without
            ``warm_up`` it is raised by the first frame.
    """
    identity = weights or object()
    in_boxes = model.decoder.mask_block > 0
    onnx_model = PCVOS(
        model.config,
        # They stand in for the modules, with the same calls.
        key_encoder=cast(
            KeyEncoder,
            OnnxKeyEncoder(model.key_encoder, identity, threads, in_windows=in_boxes),
        ),
        value_encoder=(
            OnnxValueEncoder(model.value_encoder, identity, threads)
            if isinstance(model.value_encoder, SharedValueEncoder)
            else model.value_encoder
        ),
        refinement=model.refinement,
        decoder=cast(Decoder, OnnxDecoder(model.decoder, identity, threads)),
    ).eval()
    if warm_up is not None:
        _warm_up(onnx_model, *warm_up)
    return onnx_model


@torch.inference_mode()
def _warm_up(model: PCVOS, objects: int, height: int, width: int) -> None:
    features = model.encode_key(torch.zeros(1, 3, height, width))
    value_width: int = model.value_encoder.width  # type: ignore[assignment]
    # One by one where each has a box of its own.
    at_once = 1 if model.decoder.mask_block else objects
    readout = torch.zeros(1, at_once, value_width, *features.key.shape[-2:])
    model.decoder(readout, readout, features.query_value, features.f8, features.f4)
    if not model.value_encoder.looks_at_frames:
        model.encode_value(None, features, torch.zeros(1, objects, height, width))


class OnnxKeyEncoder(nn.Module):
    """Stands in for a ``KeyEncoder``, one frame at a time.

    Args:
        encoder: The module.
        identity: As ``weights`` of ``with_onnxruntime``.
        threads: CPU threads.
        in_windows: One export serves frames and windows of all sizes. A side of an even number
            of cells is padded otherwise than one of an odd number, so there is one for each.
    """

    def __init__(
        self, encoder: KeyEncoder, identity: Hashable, threads: int, *, in_windows: bool
    ) -> None:
        super().__init__()
        axes = ({2: "h", 3: "w"},) if in_windows else None
        graph = _KeyGraph(encoder)
        self._exports = {
            odd: OnnxExport(graph, (identity, "key encoder", odd), threads, axes)
            for odd in product((0, 1), repeat=2)
        }

    def forward(self, frames: Tensor) -> KeyFeatures:
        """Encode ``(B, 3, H, W)`` as ``KeyEncoder`` does."""
        height, width = (side // STRIDE for side in frames.shape[2:])
        run = self._exports[height % 2, width % 2].run
        return KeyFeatures.join([_features(run(one)) for one in frames.split(1)])


_CELLS = {3: "h", 4: "w"}
_BOX_AXES = (_CELLS, _CELLS, {2: "h", 3: "w"}, {2: "h8", 3: "w8"}, {2: "h4", 3: "w4"})
"""Sides of a decoder's inputs, open where an object is decoded in a box of its own."""


class OnnxDecoder(nn.Module):
    """Stands in for a ``Decoder``, one frame with all its objects at a time."""

    def __init__(self, decoder: Decoder, identity: Hashable, threads: int) -> None:
        super().__init__()
        self.mask_block = decoder.mask_block
        axes = _BOX_AXES if decoder.mask_block else None
        self._export = OnnxExport(decoder, (identity, "decoder"), threads, axes)

    def forward(
        self, readout: Tensor, refined: Tensor, query_value: Tensor, f8: Tensor, f4: Tensor
    ) -> Tensor:
        """Decode the objects of some frames, as ``Decoder`` does."""
        return self._export.run_by_frame(readout, refined, query_value, f8, f4)


class OnnxValueEncoder(nn.Module):
    """Stands in for a ``SharedValueEncoder``, one frame with all its objects at a time."""

    looks_at_frames = False

    def __init__(self, encoder: SharedValueEncoder, identity: Hashable, threads: int) -> None:
        super().__init__()
        self.width = encoder.width
        self._export = OnnxExport(_ValueGraph(encoder), (identity, "value encoder"), threads)

    def forward(self, frames: Tensor | None, features: KeyFeatures, probs: Tensor) -> Tensor:
        """Encode masks; see ``ValueEncoder``."""
        del frames
        return self._export.run_by_frame(features.f16, features.f8, probs)


class _KeyGraph(nn.Module):
    def __init__(self, encoder: KeyEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, frames: Tensor) -> tuple[Tensor, ...]:
        f: KeyFeatures = self.encoder(frames)
        local_key = () if f.local_key is None else (f.local_key,)
        return (f.key, f.query_value, f.f16, f.f8, f.f4, *local_key)


def _features(outputs: tuple[Tensor, ...]) -> KeyFeatures:
    """Read what a ``_KeyGraph`` returns."""
    key, query_value, f16, f8, f4, *local_key = outputs
    return KeyFeatures(key, local_key[0] if local_key else None, query_value, f16, f8, f4)


class _ValueGraph(nn.Module):
    def __init__(self, encoder: SharedValueEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, f16: Tensor, f8: Tensor, probs: Tensor) -> Tensor:
        return self.encoder.from_features(f16, f8, probs)


class OnnxExport:
    """Runs an ONNX export of a module, made for each combination of input shapes.

    Args:
        module: Takes and returns tensors.
        name: Exports of one name are shared: says which weights and which module these are.
        threads: CPU threads.
        open_axes: By input, the axes whose length may differ from call to call, and their names.

    Raises:
        EngineError: ONNX Runtime is missing.
    """

    def __init__(
        self,
        module: nn.Module,
        name: Hashable,
        threads: int,
        open_axes: tuple[dict[int, str], ...] | None = None,
    ) -> None:
        if onnxruntime_version() is None:
            raise EngineError("onnxruntime is not installed", hint="pip install onnxruntime")
        self._module = module.eval()
        self._name = (name, threads)
        self._threads = threads
        self._open_axes = open_axes

    def run(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return what the module would, sharing the memory of the runtime's arrays.

        Raises:
            EngineError: It cannot be exported, loaded or run.
        """
        session = self._session(inputs)
        # The exporter leaves out what a module does not look at.
        named = dict(zip(_names(inputs), inputs, strict=True))
        feed = {i.name: named[i.name].contiguous().numpy() for i in session.get_inputs()}
        try:
            return tuple(torch.from_numpy(array) for array in session.run(None, feed))
        except Exception as error:  # The runtime raises classes of its own.
            raise _known(error) from error

    def run_by_frame(self, *inputs: Tensor) -> Tensor:
        """Return the one output of a module that is given B frames, run frame by frame."""
        frames = zip(*(tensor.split(1) for tensor in inputs), strict=True)
        return concatenated(self.run(*frame)[0] for frame in frames)

    def _session(self, inputs: tuple[Tensor, ...]) -> "InferenceSession":
        open_axes = self._open_axes or ({},) * len(inputs)
        fixed = (
            tuple(size for axis, size in enumerate(tensor.shape) if axis not in open_)
            for tensor, open_ in zip(inputs, open_axes, strict=True)
        )
        key = (self._name, tuple(fixed))
        with _lock:
            session = _sessions.get(key)
            if session is None:
                session = _sessions[key] = _open_session(
                    self._module, inputs, self._threads, self._open_axes
                )
                while len(_sessions) > MAX_SESSIONS:
                    _sessions.popitem(last=False)
            _sessions.move_to_end(key)
        return session


def _open_session(
    module: nn.Module,
    inputs: tuple[Tensor, ...],
    threads: int,
    open_axes: tuple[dict[int, str], ...] | None = None,
) -> "InferenceSession":
    """Export a module for these shapes, but for ``open_axes``, and load the export.

    Raises:
        EngineError: If either fails.
    """
    try:
        import onnxruntime

        graph = io.BytesIO()
        with torch.inference_mode(), warnings.catch_warnings():
            # torch's TorchScript exporter is deprecated, but it takes a second and no
            # other package. The one that follows it took 216 s for open shapes.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module,
                inputs,
                graph,  # type: ignore[arg-type] # Typed for the exporter that follows.
                dynamo=False,
                input_names=_names(inputs),
                dynamic_axes=dict(zip(_names(inputs), open_axes, strict=True))
                if open_axes
                else None,
                opset_version=_OPSET,
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = _FATAL
        # Its plan of all buffers as one block stays beside those of the first run: 65 MB.
        options.enable_mem_pattern = False
        # Threads that wait by spinning hold up torch's, which work in between.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # 128 by itself: lite's key encoder takes 3 to 5 % longer.
        options.add_session_config_entry(_POINTWISE_CHANNELS, "64")
        return onnxruntime.InferenceSession(
            graph.getvalue(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # Exporter and runtime raise classes of their own.
        raise _known(error) from error


def _names(inputs: tuple[Tensor, ...]) -> list[str]:
    """Name a graph's inputs by their place."""
    return [f"input{i}" for i in range(len(inputs))]


def _known(error: Exception) -> EngineError | OutOfMemoryError:
    """Return what an error of torch's exporter or of the runtime means for the user."""
    known = as_known(error)
    if isinstance(known, OutOfMemoryError):
        return known
    words = " ".join(str(error).split())[:300]
    return EngineError(
        f"ONNX Runtime cannot run this network here ({type(error).__name__}: {words})",
        hint="--engine torch does without it",
    )
