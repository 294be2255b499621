"""Any masks, through any format and back."""

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from pcvos_cli.convert.conversion import ConversionSettings, Target, convert_masks
from pcvos_cli.labels.youtube_vis import decode_mask, run_lengths
from pcvos_cli.masks.journal import encode_labels
from tests.support.masks import contents, encode_mask, write_palette_folder

SIZES = st.tuples(st.integers(1, 17), st.integers(1, 17))


@st.composite
def videos(draw: st.DrawFn) -> list[NDArray[np.int32]]:
    size = draw(SIZES)
    ids = st.sampled_from([0, *sorted(draw(st.sets(st.integers(1, 254), max_size=4)))])
    count = draw(st.integers(1, 4))
    return [draw(arrays.arrays(np.int32, size, elements=ids)) for _ in range(count)]


@settings(deadline=None, max_examples=25)
@given(
    videos(),
    st.lists(st.sampled_from(["youtube-vis", "mots", "binary"]), min_size=1, max_size=3),
    st.integers(1, 64),
)
def test_a_chain_of_formats_gives_the_same_bytes(
    maps: list[NDArray[np.int32]], chain: list[Target], class_id: int
) -> None:
    if not any(labels.any() for labels in maps):
        maps[0][0, 0] = 1  # binary folders say nothing of frames without any object
    with tempfile.TemporaryDirectory() as folder:
        first = here = write_palette_folder(Path(folder) / "masks", maps)
        for number, target in enumerate([*chain, "davis"]):
            there = Path(folder) / f"{number}{'.json' if target == 'youtube-vis' else ''}"
            convert_masks(here, there, ConversionSettings(target, class_id=class_id))
            here = there
        assert contents(here) == contents(first)


@settings(deadline=None, max_examples=60)
@given(SIZES.flatmap(lambda size: arrays.arrays(np.bool_, size)))
def test_our_decoder_agrees_with_pycocotools(mask: NDArray[np.bool_]) -> None:
    rle = encode_mask(mask)
    assert sum(run_lengths(rle["counts"])) == mask.size
    size = (mask.shape[0], mask.shape[1])
    assert np.array_equal(decode_mask(rle, size), mask)
    assert np.array_equal(coco_mask.decode(rle).astype(bool), mask)
    listed = {"size": rle["size"], "counts": run_lengths(rle["counts"])}
    assert np.array_equal(decode_mask(listed, size), mask)


@settings(deadline=None, max_examples=60)
@given(
    SIZES.flatmap(
        lambda size: arrays.arrays(np.int32, size, elements=st.sampled_from([0, 1, 255, 70_000]))
    )
)
def test_our_encoder_gives_the_strings_of_pycocotools(labels: NDArray[np.int32]) -> None:
    expected = {int(i): encode_mask(labels == i)["counts"] for i in np.unique(labels) if i}
    codes = encode_labels(labels)
    assert codes == expected
    assert list(codes) == sorted(expected)


@settings(deadline=None, max_examples=60)
@given(st.text(alphabet=[chr(code) for code in range(40, 120)], max_size=12))
def test_any_text_is_decoded_whole_or_refused(counts: str) -> None:
    try:
        mask = decode_mask({"size": [3, 4], "counts": counts}, (3, 4))
    except ValueError:
        return
    assert mask.shape == (3, 4)
    assert np.array_equal(coco_mask.decode({"size": [3, 4], "counts": counts}) > 0, mask)
