"""``pcvos evaluate`` refuses bad input: the message names file and numbers."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.errors import OutOfMemoryError
from pcvos_cli.scoring.parallel import parallel_map
from tests.support import cli
from tests.support.cli import pcvos, write_mask
from tests.support.datasets import (
    Labels,
    moving,
    scene,
    write_davis2016,
    write_davis2017,
    write_labels,
    write_masks,
    write_youtube_vos,
)

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def truth() -> list[Labels]:
    return moving(6)


@pytest.fixture
def davis(tmp_path: Path, truth: list[Labels]) -> Path:
    """A data set with perfect predictions beside it, in ``out``."""
    write_masks(tmp_path / "out" / "walk", truth)
    return write_davis2017(tmp_path / "DAVIS", {"walk": truth})


def refused(code: int, *arguments: str | Path) -> str:
    """Run, check that nothing but an error of at most three lines came, return it."""
    said = cli.fails("evaluate", code, *arguments)
    assert len(said.splitlines()) <= 3
    return said


def spoil_missing(out: Path, truth: list[Labels]) -> None:
    (out / "walk" / "00003.png").unlink()


def spoil_first_missing(out: Path, truth: list[Labels]) -> None:
    (out / "walk" / "00000.png").unlink()


def spoil_sequence(out: Path, truth: list[Labels]) -> None:
    (out / "walk").rename(out / "wallk")


def spoil_id(out: Path, truth: list[Labels]) -> None:
    write_labels(out / "walk" / "00002.png", scene({1: (3, 3), 3: (20, 20)}))


def spoil_void(out: Path, truth: list[Labels]) -> None:
    write_labels(out / "walk" / "00002.png", scene({255: (3, 3)}))


def spoil_size(out: Path, truth: list[Labels]) -> None:
    write_labels(out / "walk" / "00004.png", scene({1: (3, 3)}, size=(41, 60)))


def spoil_bytes(out: Path, truth: list[Labels]) -> None:
    (out / "walk" / "00004.png").write_bytes(b"")


def spoil_cut(out: Path, truth: list[Labels]) -> None:
    whole = (out / "walk" / "00004.png").read_bytes()
    (out / "walk" / "00004.png").write_bytes(whole[: len(whole) // 2])


def spoil_jpeg(out: Path, truth: list[Labels]) -> None:
    Image.fromarray(truth[4]).save(out / "walk" / "00004.png", format="JPEG")


def spoil_colours(out: Path, truth: list[Labels]) -> None:
    rgb = np.full((*truth[4].shape, 3), (1, 2, 3), dtype=np.uint8)
    Image.fromarray(rgb).save(out / "walk" / "00004.png")


@pytest.mark.parametrize(
    ("spoil", "code", "words"),
    [
        (spoil_missing, 3, ("1 of 6 masks", "00003.png")),
        (spoil_first_missing, 3, ("1 of 6 masks", "00000.png")),
        (spoil_sequence, 3, ("walk", "missing")),
        (spoil_id, 4, ("00002.png", "id 3", "1, 2")),
        (spoil_void, 4, ("00002.png", "id 255", "1, 2")),
        (spoil_size, 4, ("00004.png", "41x60", "40x60")),
        (spoil_bytes, 3, ("00004.png", "not a readable PNG")),
        (spoil_cut, 3, ("00004.png", "not a readable PNG")),
        (spoil_jpeg, 3, ("00004.png", "not a readable PNG")),
        (spoil_colours, 4, ("00004.png", "#010203")),
    ],
)
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_spoiled_predictions(
    tmp_path: Path,
    davis: Path,
    truth: list[Labels],
    spoil: Callable[[Path, list[Labels]], None],
    code: int,
    words: tuple[str, ...],
    jobs: str,
) -> None:
    spoil(tmp_path / "out", truth)

    error = refused(
        code, tmp_path / "out", "--dataset", "davis2017", "--root", davis, "--json",
        "--jobs", jobs, "--html", tmp_path / "page.html",
    )  # fmt: skip

    for word in words:
        assert word in error
    assert not (tmp_path / "page.html").exists()


def test_several_values_where_the_truth_is_one_object(tmp_path: Path, truth: list[Labels]) -> None:
    root = write_davis2016(tmp_path / "DAVIS", {"walk": truth})
    write_masks(tmp_path / "out" / "walk", truth)

    error = refused(4, tmp_path / "out", "--dataset", "davis2016", "--root", root)

    assert "holds 1, 2, but the true masks hold one object" in error


def test_davis_2016_masks_taken_for_2017(tmp_path: Path, truth: list[Labels]) -> None:
    root = write_davis2016(tmp_path / "DAVIS", {"walk": truth})
    (root / "ImageSets" / "2017").mkdir()
    (root / "ImageSets" / "2017" / "val.txt").write_text("walk\n")
    write_masks(tmp_path / "out" / "walk", truth)

    error = refused(4, tmp_path / "out", "--dataset", "davis2017", "--root", root)

    assert "--dataset davis2016" in error


def test_a_split_whose_labels_are_not_public(tmp_path: Path, davis: Path) -> None:
    for t in range(1, 6):
        (davis / "Annotations" / "480p" / "walk" / f"{t:05}.png").unlink()

    error = refused(3, tmp_path / "out", "--dataset", "davis2017", "--root", davis)

    assert "1 true masks for 6 frames" in error


def test_nothing_is_left_when_first_and_last_frame_go(tmp_path: Path) -> None:
    root = write_davis2017(tmp_path / "DAVIS", {"walk": moving(2)})
    write_masks(tmp_path / "out" / "walk", moving(2))

    error = refused(3, tmp_path / "out", "--dataset", "davis2017", "--root", root)

    assert "leave no frame to score" in error
    assert "--frames all" in error


def test_no_object_in_the_first_true_mask(tmp_path: Path) -> None:
    masks = [scene({}), *moving(4)]
    root = write_davis2017(tmp_path / "DAVIS", {"walk": masks})
    write_masks(tmp_path / "out" / "walk", masks)

    assert "no object" in refused(4, tmp_path / "out", "-d", "davis2017", "-r", root)


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("--dataset", "davis2017", "--split", "test"), 3, "--split can be val"),
        (("--dataset", "davis2016"), 3, "no such list"),
        (("--dataset", "youtubevos"), 3, "meta.json"),
        (("--dataset", "folder", "--split", "val"), 2, "--split does not apply"),
        (("--dataset", "davis2017", "--seen", "x.txt"), 2, "--seen does not apply"),
        (("--dataset", "davis2017", "--zip", "x.zip"), 2, "--zip"),
        (("--dataset", "davis2017", "--output", "x"), 2, "--output is for segmenting first"),
        (("--dataset", "youtubevos", "--frames", "all"), 2, "--frames does not apply"),
        (("--dataset", "davis2017", "--compare", "nowhere"), 3, "nowhere"),
    ],
)
def test_options_that_cannot_be_met(
    tmp_path: Path, davis: Path, arguments: tuple[str, ...], code: int, word: str
) -> None:
    assert word in refused(code, tmp_path / "out", "--root", davis, *arguments)


def test_missing_folders(tmp_path: Path, davis: Path) -> None:
    error = refused(3, tmp_path / "nowhere", "--dataset", "davis2017", "--root", davis)
    assert "nowhere" in error
    error = refused(3, tmp_path / "out", "--dataset", "davis2017", "--root", tmp_path / "gone")
    assert "gone" in error


@pytest.mark.parametrize("option", ["--csv", "--html"])
def test_existing_files_are_kept(tmp_path: Path, davis: Path, option: str) -> None:
    file = tmp_path / "old.txt"
    file.write_text("old")
    run = (tmp_path / "out", "--dataset", "davis2017", "--root", davis, option, file)

    assert "exists" in refused(6, *run)
    assert file.read_text() == "old"
    assert pcvos("evaluate", *run, "--overwrite").exit_code == 0
    assert file.read_text() != "old"


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"videos": 3}', '{"videos": {"v": {"objects": {"a": {"frames": ["0"]}}}}}', "{}"],
)
def test_a_meta_file_of_another_form(tmp_path: Path, text: str) -> None:
    (tmp_path / "valid").mkdir()
    (tmp_path / "valid" / "meta.json").write_text(text)
    (tmp_path / "out").mkdir()

    assert "meta.json" in refused(3, tmp_path / "out", "-d", "youtubevos", "-r", tmp_path)


@pytest.mark.parametrize(
    ("name", "labels", "code", "word"),
    [
        ("00005.png", None, 3, "no such file"),
        ("00005.png", scene({9: (3, 3)}), 4, "id 9"),
        ("00010.png", scene({1: (3, 3)}, size=(20, 30)), 4, "20x30"),
    ],
)
def test_a_submission_that_the_server_would_refuse(
    tmp_path: Path, name: str, labels: Labels | None, code: int, word: str
) -> None:
    truth = moving(11, ids=(1, 4))
    root = write_youtube_vos(
        tmp_path, "valid", {"clip": truth}, {"clip": {1: ("cat", [0, 5, 10]), 4: ("dog", [5, 10])}},
        labelled={"clip": [0, 5]},
    )  # fmt: skip
    write_masks(tmp_path / "out" / "clip", truth)
    path = tmp_path / "out" / "clip" / name
    path.unlink()
    if labels is not None:
        write_labels(path, labels)

    error = refused(code, tmp_path / "out", "--dataset", "youtubevos", "--root", root)

    assert name in error
    assert word in error
    assert not list(tmp_path.glob("*.zip*"))


def test_no_scores_are_written_for_a_split_without_labels(tmp_path: Path) -> None:
    truth = moving(6, ids=(1,))
    root = write_youtube_vos(
        tmp_path, "valid", {"clip": truth}, {"clip": {1: ("cat", [0, 5])}}, labelled={"clip": [0]}
    )
    write_masks(tmp_path / "out" / "clip", truth)

    error = refused(
        2, tmp_path / "out", "-d", "youtubevos", "-r", root, "--csv", tmp_path / "s.csv"
    )

    assert "no public labels" in error


def _die(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_a_killed_process_is_an_error_and_no_hang() -> None:
    with (
        pytest.raises(OutOfMemoryError, match="killed"),
        parallel_map(_die, list(range(40)), 2) as results,
    ):
        list(results)


def test_a_folder_that_pcvos_did_not_make_is_not_written_to(
    tmp_path: Path, davis: Path, lite_weights: Path
) -> None:
    error = refused(
        6, "--dataset", "davis2017", "--root", davis, "--output", tmp_path / "out",
        "--weights", lite_weights, "--overwrite",
    )  # fmt: skip

    assert "did not make" in error


def test_a_folder_of_masks_alone_cannot_be_segmented(
    tmp_path: Path, truth: list[Labels], lite_weights: Path
) -> None:
    write_masks(tmp_path / "truth", truth)

    error = refused(
        2, "--dataset", "folder", "--root", tmp_path / "truth", "--weights", lite_weights
    )

    assert "no images" in error


def test_true_masks_of_one_frame_each_are_no_measure(tmp_path: Path) -> None:
    for folder in ("true", "found"):
        (tmp_path / folder / "a").mkdir(parents=True)
        for frame in range(1 if folder == "true" else 3):
            write_mask(tmp_path / folder / "a" / f"{frame:05}.png")
    result = pcvos("evaluate", tmp_path / "found", "--dataset", "folder", "--root",
                   tmp_path / "true")  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert "the score says nothing" in " ".join(result.stderr.split())
