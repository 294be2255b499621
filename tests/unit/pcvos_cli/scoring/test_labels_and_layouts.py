"""Reading label maps, and finding masks and references in data set layouts."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.errors import MaskError
from pcvos_cli.masks.label_files import label_values, read_labels
from pcvos_cli.masks.palette import voc_palette
from pcvos_cli.scoring.layouts import load_dataset, mask_stems
from pcvos_cli.scoring.score import FrameTask, score_frame
from tests.support.datasets import (
    moving,
    scene,
    write_davis2017,
    write_labels,
    write_masks,
    write_youtube_vos,
)


@pytest.mark.parametrize("kind", ["palette", "grey", "rgb", "rgba", "16-bit"])
def test_the_same_ids_from_every_kind_of_image(tmp_path: Path, kind: str) -> None:
    labels = scene({1: (2, 2), 3: (14, 20), 255: (28, 40)})
    path = tmp_path / "mask.png"
    if kind in ("palette", "grey"):
        write_labels(path, labels, palette=kind == "palette")
    elif kind == "16-bit":
        Image.fromarray(labels.astype(np.uint16)).save(path)
    else:
        Image.fromarray(voc_palette()[labels]).convert(kind.upper()).save(path)

    read = read_labels(path)

    np.testing.assert_array_equal(read, labels)
    assert read.dtype == (np.int32 if kind == "16-bit" else np.uint8)


def test_a_one_bit_image_holds_zero_and_one(tmp_path: Path) -> None:
    mask = scene({1: (2, 2)}) > 0
    Image.fromarray(mask).save(tmp_path / "mask.png")

    np.testing.assert_array_equal(read_labels(tmp_path / "mask.png"), mask)


def test_images_of_other_kinds_are_refused(tmp_path: Path) -> None:
    Image.new("LA", (8, 8)).save(tmp_path / "mask.png")

    with pytest.raises(MaskError, match="mode LA"):
        read_labels(tmp_path / "mask.png")


@pytest.mark.parametrize("count", [0, 1, 5, 15, 16, 17, 200])
@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_label_values_equal_a_set(count: int, dtype: type) -> None:
    rng = np.random.default_rng(count)
    ids = rng.permutation(np.arange(1, 256))[:count]
    pool = np.concatenate([[0], ids]).astype(dtype)
    labels = np.concatenate([pool, rng.choice(pool, 143)])[:, None].repeat(3, 1)

    assert label_values(labels) == tuple(sorted({int(v) for v in labels.ravel()} - {0}))


def test_ids_above_255_are_scored(tmp_path: Path) -> None:
    truth = np.zeros((20, 30), dtype=np.uint16)
    truth[2:8, 2:8], truth[10:18, 4:20] = 300, 255  # 255 is an id like any other here
    Image.fromarray(truth).save(tmp_path / "truth.png")
    Image.fromarray(np.where(truth == 300, 300, 0).astype(np.uint16)).save(tmp_path / "out.png")

    score = score_frame(FrameTask(tmp_path / "truth.png", tmp_path / "out.png", merged=False))

    assert score.truth_ids == (255, 300)
    assert score.values == {255: (0, 0), 300: (1, 1)}
    assert score.size == (20, 30)


def test_two_empty_masks_have_no_ids(tmp_path: Path) -> None:
    write_labels(tmp_path / "mask.png", scene({}))

    score = score_frame(FrameTask(tmp_path / "mask.png", tmp_path / "mask.png", merged=False))

    assert (score.truth_ids, score.predicted_ids, score.values) == ((), (), {})
    assert score.size == (40, 60)


def test_masks_come_in_natural_order(tmp_path: Path) -> None:
    for stem in ("img10", "img9", "img100", "b", "img9a"):
        write_labels(tmp_path / f"{stem}.png", scene({}))
    (tmp_path / "notes.txt").write_text("")

    assert mask_stems(tmp_path) == ("b", "img9", "img9a", "img10", "img100")
    assert mask_stems(tmp_path / "nowhere") == ()


def test_a_binary_folder_is_told_by_its_first_mask_that_is_not_empty(tmp_path: Path) -> None:
    binary = [np.where(m > 0, 255, 0).astype(np.uint8) for m in moving(2, ids=(1,))]
    write_masks(tmp_path / "truth" / "a", [scene({}), *binary], palette=False)
    write_masks(tmp_path / "truth" / "b", [scene({}), *moving(2)])

    a, b = load_dataset("folder", tmp_path / "truth").sequences

    assert (a.name, a.merged, b.name, b.merged) == ("a", True, "b", False)


def test_full_resolution_is_taken_where_there_is_no_480p(tmp_path: Path) -> None:
    root = write_davis2017(tmp_path, {"walk": moving(3)})
    for folder in ("Annotations", "JPEGImages"):
        (root / folder / "480p").rename(root / folder / "Full-Resolution")

    sequence = load_dataset("davis2017", root).sequences[0]

    assert sequence.masks == root / "Annotations" / "Full-Resolution" / "walk"
    assert sequence.image(1) == root / "JPEGImages" / "Full-Resolution" / "walk" / "00001.jpg"


def test_references_hold_first_labels_and_nothing_else_of_the_truth(tmp_path: Path) -> None:
    from pcvos_cli.scoring.segment_first import write_references

    truth = [scene({2: (3, t)}) if t < 5 else scene({2: (3, t), 5: (20, t)}) for t in range(11)]
    truth[0][38:] = 255
    objects = {2: ("zebra", [0, 5, 10]), 5: ("ant", [5, 10])}
    root = write_youtube_vos(tmp_path, "dense", {"v": truth}, {"v": objects})
    sequence = load_dataset("youtubevos", root, split="dense").sequences[0]

    write_references(sequence, tmp_path / "references")

    assert mask_stems(tmp_path / "references") == ("00000", "00005")
    first, fifth = (read_labels(tmp_path / "references" / f"0000{t}.png") for t in (0, 5))
    np.testing.assert_array_equal(first, scene({2: (3, 0)}))
    np.testing.assert_array_equal(fifth, scene({5: (20, 5)}))


def test_indices_of_a_palette_in_another_order_are_no_ids(tmp_path: Path) -> None:
    labels = scene({1: (2, 2)})
    swapped = Image.fromarray(1 - labels)
    swapped.putpalette([255, 255, 255, 0, 0, 0])
    swapped.save(tmp_path / "mask.png")
    with pytest.raises(MaskError, match="index 0 of the palette is #ffffff, and black is index 1"):
        read_labels(tmp_path / "mask.png")
    other = Image.fromarray(labels)
    other.putpalette([255, 255, 255, 90, 0, 0])
    other.save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "mask.png"), labels)
