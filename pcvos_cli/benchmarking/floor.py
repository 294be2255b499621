"""The least a machine can take: multiply-adds by stage, at its own rate of matrix products.

The torch modules are run without values (the ``meta`` device computes shapes alone) under
torch's ``FlopCounterMode``, and what objects share is counted once. The memory read is counted
by its definition: how it searches is up to it. Comparisons, softmax, resizing and copies are no
multiply-adds: a stage of little else, such as the read, is far above its floor.

Refinement and decoder are counted for whole frames, whatever is in them: where objects are located
first (``model.network.whereabouts``), small ones take less than this floor.
"""

from collections.abc import Callable
from functools import lru_cache

import torch
from torch.utils.flop_counter import FlopCounterMode

from model.build import MASK_BLOCK, build_pcvos
from model.config import STRIDE, InferenceConfig, PCVOSConfig
from model.pcvos import PCVOS


def count_multiply_adds(
    config: PCVOSConfig,
    settings: InferenceConfig,
    size: tuple[int, int],
    *,
    objects: int,
    frames: int,
) -> dict[str, float]:
    """Count the multiply-adds a frame, by stage, on average over a video.

    The video is as ``pcvos benchmark`` runs it: the first frame with its masks, then clips of
    L frames, the last of which may be shorter and leaves nothing in the memory.

    Args:
        config: The network.
        settings: L, progressive matching, refinement, top k, bound of the memory.
        size: ``(height, width)`` of the frames, before they are padded.
        objects: Objects in each of them.
        frames: Frames of the video.
    """
    rows, columns = (-(-side // STRIDE) for side in size)
    parts = _count_parts(config, rows, columns, objects)
    clips = range(1, frames, settings.interval)
    # The first frame enters the memory, and the last one of each clip but the last.
    total = {
        "key_encoder": parts["key_encoder"] * frames,
        "memory_read": 0.0,
        "refinement": 0.0,
        "decoder": parts["decoder"] * (frames - 1),
        "value_encoder": parts["value_encoder"] * max(1, len(clips)),
    }
    refines = config.refines and settings.refinement
    settings = settings.for_model(config)
    within = settings.within if settings.decode_provisional else None
    for entered, start in enumerate(clips, start=1):
        length = min(settings.interval, frames - start)
        held = min(entered, settings.max_memory_frames or entered)
        total["memory_read"] += count_read(
            config, settings, rows * columns, objects=objects, frames=length, memory_frames=held
        )
        # With decoded provisional memory a clip is refined, and remembered, F frames at a time.
        segments = [min(within or length, length - i) for i in range(0, length, within or length)]
        total["value_encoder"] += parts["value_encoder"] * (len(segments) - 1)
        if refines:
            total["refinement"] += sum(
                _count_refinement(config, rows, columns, objects, segment) for segment in segments
            )
    if not refines:
        del total["refinement"]
    return {stage: number / frames for stage, number in total.items()}


def count_read(
    config: PCVOSConfig,
    settings: InferenceConfig,
    cells: int,
    *,
    objects: int,
    frames: int,
    memory_frames: int,
) -> int:
    """Count the multiply-adds of reading a clip from the memory.

    Each query cell is compared with each cell of the memory, C_k products; then the values of
    the best, of all objects, are summed by weight.

    Args:
        config: The network.
        settings: Progressive matching, and top k.
        cells: Of a frame.
        objects: Objects in the memory.
        frames: Frames of the clip.
        memory_frames: Frames in the memory before the clip.
    """
    # Object's mask and others' mask, block x block values a cell each.
    propagated = 2 * MASK_BLOCK**2 if config.mask_readout else 0
    values = objects * (config.value_width + propagated)
    step = settings.for_model(config).within or frames
    total = 0
    for provisional, start in enumerate(range(0, frames, step)):
        queries = min(step, frames - start) * cells
        locations = (memory_frames + provisional) * cells
        chosen = min(settings.top_k or locations, locations)
        total += queries * (locations * config.key_width + chosen * values)
    return total


def count_products(work: Callable[[], object]) -> float:
    """Count the multiply-adds of matrix products and convolutions in a piece of torch work."""
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        work()
    return counter.get_total_flops() / 2  # A multiply-add is two operations.


@lru_cache(maxsize=4)
def _network(config: PCVOSConfig) -> PCVOS:
    """Return a network that has shapes but no values."""
    with torch.device("meta"):
        return build_pcvos(config)


@lru_cache(maxsize=64)
def _count_parts(config: PCVOSConfig, rows: int, columns: int, objects: int) -> dict[str, float]:
    """Count what costs the same on every frame of ``rows`` x ``columns`` cells."""
    model = _network(config)
    with torch.device("meta"):
        picture = torch.empty(1, 3, STRIDE * rows, STRIDE * columns)
        masks = torch.empty(1, objects, STRIDE * rows, STRIDE * columns)
    with torch.no_grad():
        features = model.encode_key(picture)
        readout = model.encode_value(picture, features, masks)

    image = features.query_value, features.f8, features.f4
    return {
        "key_encoder": count_products(lambda: model.encode_key(picture)),
        "value_encoder": count_products(lambda: model.encode_value(picture, features, masks)),
        "decoder": count_products(lambda: model.decoder(readout, readout, *image)),
    }


@lru_cache(maxsize=64)
def _count_refinement(
    config: PCVOSConfig, rows: int, columns: int, objects: int, frames: int
) -> float:
    model = _network(config)
    assert model.refinement is not None
    width: int = model.value_encoder.width  # type: ignore[assignment]
    with torch.device("meta"):
        local_key = torch.empty(1, frames, config.local_key_width, rows, columns)
        readout = torch.empty(1, objects, width, frames, rows, columns)
    refinement = model.refinement
    return count_products(lambda: refinement(local_key, readout))
