"""Written masks can be read, and masks read do not depend on how they were stored."""

import json
import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask

from model.errors import MaskError
from pcvos_cli.convert.writers import YoutubeVisWriter
from pcvos_cli.masks.overlay import VideoWriter
from pcvos_cli.masks.palette import voc_palette
from pcvos_cli.masks.reference import read_reference, resize_nearest
from pcvos_cli.masks.writers import FrameMasks, PaletteWriter
from pcvos_cli.video.folder import natural_key
from pcvos_cli.video.reader import VideoSource

SIZES = st.tuples(st.integers(1, 23), st.integers(1, 23))
few = settings(deadline=None, max_examples=40)


def label_maps(largest: int) -> st.SearchStrategy[NDArray[np.int32]]:
    ids = st.one_of(st.just(0), st.integers(0, 3), st.integers(0, largest))
    return SIZES.flatmap(lambda size: arrays.arrays(np.int32, size, elements=ids))


def frame(index: int, labels: NDArray[np.int32], pts: int = 0) -> FrameMasks:
    return FrameMasks(index, f"{index:05d}", pts, np.zeros((*labels.shape, 3), np.uint8), labels)


@few
@given(label_maps(254))
def test_palette_writer_to_reference_reader(labels: NDArray[np.int32]) -> None:
    labels[0, 0] = 1
    size = (labels.shape[0], labels.shape[1])
    with tempfile.TemporaryDirectory() as folder:
        PaletteWriter(Path(folder)).write(frame(0, labels))
        mask = read_reference(Path(folder) / "00000.png", 0, size)
    assert np.array_equal(mask.labels, labels)
    assert mask.object_ids == tuple(np.unique(labels[labels > 0]).tolist())


@few
@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=4), SIZES, st.integers(1, 65535))
def test_rle_writer_to_pycocotools(seeds: list[int], size: tuple[int, int], largest: int) -> None:
    maps = [
        np.random.default_rng(s).choice([0, 0, 1, 2, largest], size).astype(np.int32) for s in seeds
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "masks.json"
        writer = YoutubeVisWriter(path, size, source="v", time_base=Fraction(1, 24), settings={})
        for index, labels in enumerate(maps):
            writer.write(frame(index, labels))
        writer.close()
        document = json.loads(path.read_text())
    for index, labels in enumerate(maps):
        rebuilt = np.zeros(size, np.int32)
        for annotation in document["annotations"]:
            rle = annotation["segmentations"][index]
            if rle is not None:
                rebuilt[coco_mask.decode(rle).astype(bool)] = annotation["id"]
        assert np.array_equal(rebuilt, labels)


@settings(deadline=None, max_examples=25)
@given(
    st.integers(0, 10**6),
    st.lists(st.integers(1, 5000), max_size=8),
    st.sampled_from(
        [Fraction(1, 24), Fraction(1001, 30000), Fraction(1, 90000), Fraction(1, 1000)]
    ),
)
def test_overlay_times_are_the_sources(start: int, steps: list[int], base: Fraction) -> None:
    pts = [start]
    for step in steps:
        pts.append(pts[-1] + step)
    size = (16, 16)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "o.mp4"
        writer = VideoWriter(path, size, fps=Fraction(24), time_base=base)
        for index, time in enumerate(pts):
            writer.write(frame(index, np.zeros(size, np.int32), time))
        writer.close()
        source = VideoSource(path)
        found = [f.pts * source.info.time_base for f in source]
    assert found == [time * base for time in pts]


@few
@given(label_maps(60000), SIZES)
def test_resize_takes_only_values_that_are_there(
    labels: NDArray[np.int32], size: tuple[int, int]
) -> None:
    resized = resize_nearest(labels, size)
    assert resized.shape == size
    assert set(np.unique(resized).tolist()) <= set(np.unique(labels).tolist())
    same = (labels.shape[0], labels.shape[1])
    assert np.array_equal(resize_nearest(labels, same), labels)


@few
@given(
    st.tuples(st.integers(1, 4), st.integers(1, 4)).flatmap(
        lambda grid: st.lists(
            st.integers(0, 254), min_size=grid[0] * grid[1], max_size=grid[0] * grid[1]
        ).map(lambda ids: np.reshape(ids, grid))
    ),
    st.integers(6, 9),
)
def test_storing_a_mask_in_another_mode_changes_nothing(
    blocks: NDArray[np.int64], side: int
) -> None:
    blocks[0, 0] = blocks[0, 0] or 1
    labels = np.kron(blocks, np.ones((side, side), np.int64)).astype(np.int32)
    size = (labels.shape[0], labels.shape[1])
    small = labels.astype(np.uint8)
    palette = voc_palette().astype(np.uint8)
    indexed = Image.fromarray(small)
    indexed.putpalette(palette.tobytes())
    alpha = np.where(small > 0, 255, 0).astype(np.uint8)
    images = {
        "palette": indexed,
        "grey": Image.fromarray(small),
        "grey with alpha": Image.fromarray(np.dstack([small, alpha])),
        "16-bit": Image.fromarray(labels.astype(np.uint16)),
        "grey as RGB": Image.fromarray(np.dstack([small] * 3)),
    }
    colours = palette[small]
    if np.ptp(
        colours, axis=2
    ).any():  # Of grey colours alone nobody can tell that they are colours.
        images["RGB of the palette"] = Image.fromarray(colours)
        images["RGBA of the palette"] = Image.fromarray(np.dstack([colours, alpha]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.png"
        for name, image in images.items():
            image.save(path)
            mask = read_reference(path, 0, size)
            assert np.array_equal(mask.labels, labels), name
            assert mask.object_ids == tuple(np.unique(blocks[blocks > 0]).tolist()), name


@few
@given(SIZES, SIZES)
def test_a_mask_of_another_size_is_refused_or_resized_to_the_frame(
    size: tuple[int, int], frame_size: tuple[int, int]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.png"
        Image.fromarray(np.full(size, 9, np.uint8)).save(path)
        if size != frame_size:
            with pytest.raises(MaskError, match=f"{size[1]}x{size[0]}.*{frame_size[1]}x"):
                read_reference(path, 0, frame_size)
        mask = read_reference(path, 0, frame_size, resize=True)
    assert np.array_equal(mask.labels, np.full(frame_size, 9))


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=20, unique=True))
def test_natural_order_is_the_order_of_the_numbers(numbers: list[int]) -> None:
    paths = [Path(f"frame {n}.png") for n in numbers]
    assert sorted(paths, key=natural_key) == [Path(f"frame {n}.png") for n in sorted(numbers)]


@given(st.lists(st.text("ab01٣²-. ", min_size=1, max_size=6), min_size=2, max_size=8))
def test_natural_order_takes_any_name(names: list[str]) -> None:
    paths = [Path("d") / f"{name}.png" for name in names]
    assert sorted(sorted(paths, key=natural_key)) == sorted(paths)
