"""``pcvos evaluate`` from arguments to scores, against loops written from the definitions."""

import csv
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from model.data.images import read_label_map
from model.metrics.contour import contour_accuracy
from model.metrics.region import region_similarity
from tests.support.cli import pcvos
from tests.support.datasets import (
    SIZE,
    Labels,
    moving,
    scene,
    write_davis2016,
    write_davis2017,
    write_images,
    write_labels,
    write_masks,
    write_youtube_vos,
)
from tests.support.shared import shared
from tests.support.training_data import make_davis


def evaluate(*arguments: str | Path) -> str:
    result = pcvos("evaluate", *arguments)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def scores(*arguments: str | Path) -> Any:
    """Run with --json; stdout must hold one document and nothing else."""
    return json.loads(evaluate(*arguments, "--json"))


def mean_scores(
    predicted: list[Labels], truth: list[Labels], k: int, frames: range | list[int]
) -> tuple[float, float]:
    region = [region_similarity(predicted[t] == k, truth[t] == k) for t in frames]
    contour = [contour_accuracy(predicted[t] == k, truth[t] == k) for t in frames]
    return float(np.mean(region)), float(np.mean(contour))


def test_the_public_davis_2017_scorer_agrees() -> None:
    folder = shared("scoring", "davis2017")
    expected = json.loads((folder / "expected.json").read_text())

    document = scores(folder / "predictions", "--dataset", "davis2017", "--root", folder / "DAVIS")

    assert set(document) == {"dataset", "protocol", "overall", "per_object"}
    assert document["overall"] == pytest.approx(expected["overall"], abs=1e-6)
    assert set(document["per_object"]) == set(expected["per_object"])
    for name, values in expected["per_object"].items():
        assert document["per_object"][name] == pytest.approx(values, abs=1e-6)


def test_davis_2017_leaves_out_first_and_last_frame_and_void(tmp_path: Path) -> None:
    truth = moving(6)
    for labels in truth:
        labels[30:, 40:] = 255
    predicted = moving(6, shift=3)
    predicted[0][:] = predicted[5][:] = 0  # not scored
    predicted[3][predicted[3] == 2] = 0
    root = write_davis2017(tmp_path / "DAVIS", {"walk": truth})
    write_masks(tmp_path / "out" / "walk", predicted)

    document = scores(tmp_path / "out", "--dataset", "davis2017", "--root", root)

    assert set(document["per_object"]) == {"walk_1", "walk_2"}
    for k in (1, 2):
        expected = mean_scores(predicted, truth, k, range(1, 5))
        values = document["per_object"][f"walk_{k}"]
        assert (values["J_mean"], values["F_mean"]) == pytest.approx(expected)
    assert document["protocol"]["frames"] == "all but the first and the last of each sequence"
    assert document["protocol"]["size"] == ["40x60"]

    whole = scores(tmp_path / "out", "--dataset", "davis2017", "--root", root, "--frames", "all")
    assert whole["per_object"]["walk_1"]["J_mean"] == pytest.approx(
        mean_scores(predicted, truth, 1, range(6))[0]
    )
    assert whole["protocol"]["frames"] == "all, the first and the last included"


def test_davis_2017_counts_ids_up_to_the_largest_of_the_first_mask(tmp_path: Path) -> None:
    truth = moving(5, ids=(1, 3))
    truth[3][truth[3] == 3] = 4  # unknown to the first mask, so it is background
    root = write_davis2017(tmp_path / "DAVIS", {"walk": truth})
    write_masks(tmp_path / "out" / "walk", moving(5, ids=(1, 3)))

    values = scores(tmp_path / "out", "--dataset", "davis2017", "--root", root)["per_object"]

    assert set(values) == {"walk_1", "walk_2", "walk_3"}
    assert values["walk_2"]["J_mean"] == 1  # in neither
    assert values["walk_3"]["J_mean"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("value", [1, 255])
def test_davis_2016_is_one_object(tmp_path: Path, value: int) -> None:
    truth = moving(6, ids=(1, 2))
    root = write_davis2016(tmp_path / "DAVIS", {"walk": truth, "run": truth})
    shifted = [np.where(m > 0, value, 0).astype(np.uint8) for m in moving(6, shift=2)]
    write_masks(tmp_path / "out" / "walk", shifted)
    write_masks(tmp_path / "out" / "run", [(m > 0).astype(np.uint8) for m in truth])

    document = scores(tmp_path / "out", "--dataset", "davis2016", "--root", root)

    binary = [(m > 0).astype(np.uint8) for m in truth]
    moved = [(m > 0).astype(np.uint8) for m in shifted]
    expected = mean_scores(moved, binary, 1, range(1, 5))
    assert document["per_object"]["walk_1"]["J_mean"] == pytest.approx(expected[0])
    assert document["per_object"]["walk_1"]["F_mean"] == pytest.approx(expected[1])
    assert document["overall"]["J_mean"] == pytest.approx((expected[0] + 1) / 2)
    assert document["overall"]["JF_mean"] == pytest.approx((sum(expected) / 2 + 1) / 2)


def test_a_folder_of_masks_with_late_objects_and_gaps_in_the_ids(tmp_path: Path) -> None:
    truth = [scene({7: (3, t)}) if t < 3 else scene({7: (3, t), 40: (20, t)}) for t in range(8)]
    predicted = [
        scene({7: (3, t + 1)}) if t < 4 else scene({7: (3, t + 1), 40: (22, t)}) for t in range(8)
    ]
    write_masks(tmp_path / "truth", truth)
    write_masks(tmp_path / "out", predicted)

    values = scores(tmp_path / "out", "--dataset", "folder", "--root", tmp_path / "truth")

    assert set(values["per_object"]) == {"truth_7", "truth_40"}
    expected = mean_scores(predicted, truth, 40, range(3, 8))
    assert values["per_object"]["truth_40"]["J_mean"] == pytest.approx(expected[0])
    expected = mean_scores(predicted, truth, 7, range(8))
    assert values["per_object"]["truth_7"]["F_mean"] == pytest.approx(expected[1])

    inner = scores(
        tmp_path / "out", "--dataset", "folder", "--root", tmp_path / "truth", "--frames", "inner"
    )
    expected = mean_scores(predicted, truth, 40, range(4, 7))
    assert inner["per_object"]["truth_40"]["J_mean"] == pytest.approx(expected[0])


def test_a_folder_with_few_true_masks_scores_those(tmp_path: Path) -> None:
    truth, predicted = moving(9, ids=(1,)), moving(9, ids=(1,), shift=4)
    for t in (0, 4, 8):
        binary = np.where(truth[t] > 0, 255, 0).astype(np.uint8)
        write_labels(tmp_path / "truth" / "clip" / f"{t:05}.png", binary, palette=False)
    write_masks(tmp_path / "out" / "clip", predicted)

    values = scores(tmp_path / "out", "--dataset", "folder", "--root", tmp_path / "truth")

    expected = mean_scores(predicted, truth, 1, [0, 4, 8])
    assert values["per_object"]["clip_1"]["J_mean"] == pytest.approx(expected[0])


@pytest.fixture
def youtube_vos(tmp_path: Path) -> tuple[Path, list[Labels], list[Labels]]:
    """Two objects with a gap in the ids, the second from frame 5 on; labels on every fifth."""
    truth = [scene({2: (3, t)}) if t < 5 else scene({2: (3, t), 5: (20, t)}) for t in range(21)]
    predicted = [
        scene({2: (4, t)}) if t < 5 else scene({2: (4, t), 5: (20, t + 3)}) for t in range(21)
    ]
    write_youtube_vos(
        tmp_path / "YTVOS",
        "dense",
        {"0a1b": truth},
        {"0a1b": {2: ("zebra", range(0, 16, 5)), 5: ("ant", range(5, 21, 5))}},
    )
    write_masks(tmp_path / "out" / "0a1b", predicted)
    return tmp_path / "YTVOS", truth, predicted


def test_youtube_vos_scores_listed_frames_after_the_first_label(
    tmp_path: Path, youtube_vos: tuple[Path, list[Labels], list[Labels]]
) -> None:
    root, truth, predicted = youtube_vos

    document = scores(
        tmp_path / "out", "--dataset", "youtubevos", "--root", root, "--split", "dense"
    )

    J2, F2 = mean_scores(predicted, truth, 2, [5, 10, 15])
    J5, F5 = mean_scores(predicted, truth, 5, [10, 15, 20])
    overall = document["overall"]
    assert (overall["J_seen"], overall["F_seen"]) == pytest.approx((J2, F2))
    assert (overall["J_unseen"], overall["F_unseen"]) == pytest.approx((J5, F5))
    assert overall["G"] == pytest.approx((J2 + F2 + J5 + F5) / 4)
    assert document["protocol"]["sampling"] == "the frames that meta.json lists"


def test_youtube_vos_seen_categories_come_from_the_training_set_or_a_file(
    tmp_path: Path, youtube_vos: tuple[Path, list[Labels], list[Labels]]
) -> None:
    root, truth, predicted = youtube_vos
    run = [tmp_path / "out", "--dataset", "youtubevos", "--root", root, "--split", "dense"]
    J5, _ = mean_scores(predicted, truth, 5, [10, 15, 20])
    write_youtube_vos(root, "train", {"v": truth}, {"v": {1: ("ant", [0])}})

    assert scores(*run)["overall"]["J_seen"] == pytest.approx(J5)

    names = tmp_path / "names.txt"
    names.write_text("ant\nzebra\n")
    overall = scores(*run, "--seen", names)["overall"]
    assert overall["J_unseen"] is None
    assert overall["G"] is None  # not a mean of what there is
    assert overall["J_mean"] == pytest.approx(overall["J_seen"])


def test_a_validation_split_gives_a_checked_zip_and_no_score(tmp_path: Path) -> None:
    truth = moving(11, ids=(1, 4))
    root = write_youtube_vos(
        tmp_path / "YTVOS",
        "valid",
        {"clip": truth},
        {"clip": {1: ("cat", [0, 5, 10]), 4: ("dog", [5, 10])}},
        labelled={"clip": [0, 5]},
    )
    write_masks(tmp_path / "out" / "clip", truth)
    run = [tmp_path / "out", "--dataset", "youtubevos", "--root", root]

    text = evaluate(*run)

    assert "not public" in text
    assert not re.search(r"J&F|\d\.\d", text)
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert archive.namelist() == [f"Annotations/clip/{t:05}.png" for t in (0, 5, 10)]
        with archive.open("Annotations/clip/00005.png") as stream:
            np.testing.assert_array_equal(np.array(Image.open(stream)), truth[5])

    first = (tmp_path / "out.zip").read_bytes()
    document = scores(*run, "--overwrite", "--split", "val")
    assert document["overall"] is None
    assert document["submission"] == {"file": str(tmp_path / "out.zip"), "masks": 3}
    assert (tmp_path / "out.zip").read_bytes() == first


def test_the_table_states_the_protocol_and_every_level(tmp_path: Path) -> None:
    truth = moving(6)
    root = write_davis2017(tmp_path / "DAVIS", {"walk": truth})
    write_masks(tmp_path / "out" / "walk", truth)

    text = evaluate(tmp_path / "out", "--dataset", "davis2017", "--root", root)

    assert "frames: all but the first and the last of each sequence" in text
    rows = [line.split() for line in text.splitlines() if line]
    for name in ("overall", "walk", "1", "2"):
        row = next(r for r in rows if r[0] == name)
        assert row[1:] == ["100.00", "100.00", "100.00", "0.00", "100.00", "100.00", "0.00"]


def test_csv_and_page_compare_two_folders(tmp_path: Path) -> None:
    truth = moving(6)
    root = write_davis2017(tmp_path / "DAVIS", {"walk": truth, "<run>": truth})
    for name in ("walk", "<run>"):
        write_masks(tmp_path / "ours" / name, moving(6, shift=1))
        write_masks(tmp_path / "theirs" / name, moving(6, shift=4))

    document = scores(
        tmp_path / "ours", "--compare", tmp_path / "theirs", "--dataset", "davis2017",
        "--root", root, "--csv", tmp_path / "s.csv", "--html", tmp_path / "s.html",
    )  # fmt: skip

    assert document["compared_with"]["overall"]["J_mean"] < document["overall"]["J_mean"]
    rows = list(csv.DictReader((tmp_path / "s.csv").read_text().splitlines()))
    assert len(rows) == 2 * (1 + 2 + 4)
    assert float(rows[0]["J_mean"]) == document["overall"]["J_mean"]
    assert float(rows[7]["J_mean"]) == document["compared_with"]["overall"]["J_mean"]

    page = (tmp_path / "s.html").read_text()
    assert page.count("<svg") == 2
    assert page.count('stroke-dasharray="5 4"') == 4  # one a sequence and object
    assert page.count("data:image/jpeg") % 3 == 0  # truth, ours, theirs
    assert "ours, J" in page
    assert "theirs, J" in page
    assert "&lt;run&gt;" in page
    assert "<run>" not in page
    assert "frames: all but the first and the last" in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)  # refers to no other file


def test_many_processes_give_what_one_gives(tmp_path: Path) -> None:
    truth = moving(30)
    root = write_davis2017(tmp_path / "DAVIS", {"walk": truth, "run": truth[:7]})
    write_masks(tmp_path / "out" / "walk", moving(30, shift=2))
    write_masks(tmp_path / "out" / "run", moving(7, shift=4))
    run = [tmp_path / "out", "--dataset", "davis2017", "--root", root]

    assert scores(*run, "--jobs", "3") == scores(*run, "--jobs", "1")


def test_without_predictions_the_data_set_is_segmented_first(
    tmp_path: Path, lite_weights: Path
) -> None:
    root = write_davis2016(tmp_path / "DAVIS", {"walk": moving(5), "run": moving(4)})
    out = tmp_path / "masks"
    run = [
        "--dataset", "davis2016", "--root", root, "--weights", lite_weights,
        "--interval", "2", "--output", out,
    ]  # fmt: skip

    first = scores(*run)

    assert sorted(p.name for p in (out / "walk").iterdir()) == [f"{t:05}.png" for t in range(5)]
    assert "interval 2" in first["protocol"]["made_by"]
    assert "weights_sha256" in first["protocol"]["made_by"]

    # A sequence that is there is kept; one that is not is made again, to the same masks.
    kept = (out / "walk" / "00000.png").stat().st_mtime_ns
    gone = {p.name: p.read_bytes() for p in (out / "run").iterdir()}
    for path in (out / "run").iterdir():
        path.unlink()
    (out / "run").rmdir()
    assert scores(*run) == first
    assert (out / "walk" / "00000.png").stat().st_mtime_ns == kept
    assert {p.name: p.read_bytes() for p in (out / "run").iterdir()} == gone

    refused = pcvos("evaluate", *run, "--interval", "3")
    assert refused.exit_code == 6
    assert "other settings: interval was 2, now 3" in " ".join(refused.stderr.split())
    assert scores(*run, "--interval", "3", "--overwrite")["protocol"]["made_by"].count("interval 3")


def test_youtube_vos_is_segmented_on_all_frames_from_first_labels_alone(
    tmp_path: Path, lite_weights: Path
) -> None:
    truth = [scene({2: (3, t)}) if t < 5 else scene({2: (3, t), 5: (20, t)}) for t in range(11)]
    root = write_youtube_vos(
        tmp_path / "YTVOS",
        "dense",
        {"clip": truth},
        {"clip": {2: ("zebra", [0, 5, 10]), 5: ("ant", [5, 10])}},
    )
    for t in set(range(11)) - {0, 5, 10}:
        (root / "dense" / "JPEGImages" / "clip" / f"{t:05}.jpg").unlink()
    write_images(root / "all_frames" / "dense_all_frames" / "JPEGImages" / "clip", truth)

    document = scores(
        "--dataset", "youtubevos", "--root", root, "--split", "dense", "--weights", lite_weights,
        "--output", tmp_path / "masks",
    )  # fmt: skip

    made = [np.array(Image.open(p)) for p in sorted((tmp_path / "masks" / "clip").iterdir())]
    assert len(made) == 11
    assert all(m.shape == SIZE for m in made)
    assert all(5 not in m for m in made[:5])
    np.testing.assert_array_equal(made[0], truth[0])
    np.testing.assert_array_equal(made[5] == 5, truth[5] == 5)
    J2, _ = mean_scores(made, truth, 2, [5, 10])
    assert document["overall"]["J_seen"] == pytest.approx(J2)


def test_first_masks_are_scored_from_boxes_and_clicks(tmp_path: Path) -> None:
    root = make_davis(tmp_path / "davis", names=("bear",), length=3)
    (root / "ImageSets" / "2017" / "val.txt").write_text("bear\n")
    labels = read_label_map(root / "Annotations" / "480p" / "bear" / "00000.png")
    noise = np.random.default_rng(0).integers(0, 30, (*labels.shape, 3))
    plain = Image.fromarray((noise + 80 * labels[..., None]).astype(np.uint8))
    plain.save(root / "JPEGImages" / "480p" / "bear" / "00000.jpg")
    common = ("evaluate", "-d", "davis2017", "-r", root, "--prompts", "grabcut")
    document = json.loads(pcvos(*common, "--json").stdout)
    assert document["method"] == "grabcut"
    mean = document["scores"]["mean"]
    assert mean == document["scores"]["bear"]
    assert mean["objects"] == 2  # Both disks on frame 0: the sequence has no frame 20.
    assert 0.5 < mean["box"] <= 1
    assert 1 <= mean["clicks"] <= 20
    table = pcvos(*common).stdout
    assert "NoC@85" in table
    assert "bear" in table
    refused = pcvos(*common, root)
    assert refused.exit_code == 2
    assert "leave PREDICTIONS out" in refused.stderr
