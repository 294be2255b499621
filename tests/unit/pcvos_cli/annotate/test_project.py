"""What a page works on is on disk, whole, at every moment."""

import json
import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from model.errors import ConfigError, MaskError, OutputError
from pcvos_cli.annotate.project import COLOURS, Project
from pcvos_cli.video.seeking import FrameFinder
from pcvos_cli.video.source import open_source
from tests.support.cli import read_labels, square
from tests.support.videos import pictures, write_video

Open = Callable[[], Project]


def labels_of(*values: int) -> np.ndarray:
    """A map with a square for each id, side by side."""
    out = np.zeros((96, 128), np.uint8)
    for value in values:
        out += square((96, 128), (6, 14 * value, 12, 12), value).astype(np.uint8)
    return out


def test_a_correction_is_a_reference_on_disk_and_is_there_again(open_project: Open) -> None:
    project = open_project()
    project.add_object()
    project.change_object(1, name="Bunny", colour="#123456", shown=False)
    project.choose(interval=5, formats=["rle"])
    project.correct(7, labels_of(1))
    assert np.array_equal(read_labels(project.folder / "references/00007.png"), labels_of(1))
    assert np.array_equal(read_labels(project.folder / "masks/00007.png"), labels_of(1))

    again = open_project()
    assert [(o.name, o.colour, o.shown) for o in again.objects] == [("Bunny", "#123456", False)]
    assert (again.choices.interval, again.choices.formats) == (5, ("rle",))
    assert again.references == {7: (1,)}
    assert again.masked == {7}
    assert np.array_equal(again.labels(7), labels_of(1))
    assert again.add_object().id == 2


def test_a_mask_that_is_no_reference_states_nothing(project: Project) -> None:
    project.add_object()
    project.correct(3, labels_of(1))
    project.correct(3, labels_of(1), reference=False)
    assert project.references == {}
    assert not list((project.folder / "references").iterdir())
    assert np.array_equal(project.labels(3), labels_of(1))


def test_a_reference_stands_as_it_was_drawn_over_what_was_propagated(project: Project) -> None:
    project.add_object(), project.add_object()
    project.correct(3, labels_of(1))
    propagated = labels_of(2)
    propagated[40:44] = 1
    project.put_mask(3, propagated)
    assert np.array_equal(project.labels(3), labels_of(1, 2))


def test_an_object_that_is_erased_has_ended_until_it_is_drawn_again(project: Project) -> None:
    project.add_object(), project.add_object()
    project.correct(0, labels_of(1, 2))
    for frame in range(1, 10):
        project.put_mask(frame, labels_of(1, 2))
    project.correct(4, labels_of(1))
    assert project.objects[1].ends == (3,)
    assert project.ended(3) == set()
    assert project.ended(4) == {2}
    assert np.array_equal(project.labels(9), labels_of(1))

    project.correct(8, labels_of(1, 2))
    assert project.ended(7) == {2}
    assert project.ended(9) == set()

    project.correct(4, labels_of(1, 2), reference=False)  # Undone.
    assert project.objects[1].ends == ()


def test_ends_that_say_nothing_are_no_options(project: Project) -> None:
    """``pcvos segment`` refuses them, and would end every propagation and export."""
    project.add_object(), project.add_object()
    project.correct(2, labels_of(1))
    last = project.frames.count - 1
    project.change_object(1, ends=[0, 1, 2, last - 1, last])
    project.change_object(2, ends=[5])
    assert project.settings.end_objects == ((1, 3), (1, last))


def test_a_file_of_before_a_setting_was_known_has_its_default(open_project: Open) -> None:
    project = open_project()
    project.add_object()
    project.choose(interval=5, size=240)
    file = project.folder / "annotation.json"
    saved = json.loads(file.read_text())
    del saved["settings"]["size"]
    file.write_text(json.dumps(saved))
    again = open_project()
    assert (again.choices.interval, again.choices.size) == (5, "auto")


def test_a_deleted_object_is_gone_everywhere_and_its_id_is_not_used_again(
    open_project: Open,
) -> None:
    project = open_project()
    project.add_object(), project.add_object()
    project.correct(0, labels_of(1, 2))
    project.correct(5, labels_of(2))
    project.put_mask(6, labels_of(1, 2))
    project.delete_object(2)
    assert project.references == {0: (1,)}
    assert np.array_equal(project.labels(6), labels_of(1))
    assert open_project().add_object().id == 3


def test_colours_can_be_told_apart_by_their_lightness_or_hue(project: Project) -> None:
    """Okabe and Ito's: no two of them are the same to any kind of colour blindness."""
    assert [project.add_object().colour for _ in range(8)] == list(COLOURS)
    assert len(set(COLOURS)) == 8


def test_an_unknown_object_is_refused(project: Project) -> None:
    with pytest.raises(MaskError, match="no object 1"):
        project.correct(0, labels_of(1))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"colour": "red"}, "give #rrggbb"),
        ({"colour": "#zzzzzz"}, "give #rrggbb"),
        ({"name": " "}, "1 to 80 characters"),
        ({"name": "x" * 81}, "1 to 80 characters"),
        ({"ends": [-1]}, "no frames"),
        ({"ends": ["3"]}, "ends"),
        ({"ends": 3}, "ends"),
        ({"name": 3}, "name 3 is no str"),
        ({"shown": "no"}, "shown 'no' is no bool"),
        ({"id": 5}, "keeps its id"),
        ({"size": 5}, "settings"),
    ],
)
def test_what_an_object_cannot_be_is_refused(
    values: dict[str, object], words: str, project: Project
) -> None:
    before = project.add_object()
    with pytest.raises(ConfigError, match=words):
        project.change_object(1, **values)
    assert project.objects == [before]


@pytest.mark.parametrize(
    "values",
    [
        {"interval": 0},
        {"interval": True},
        {"interval": None},
        {"backward": 1},
        {"size": 3},
        {"size": "huge"},
        {"size": True},
        {"size": [480]},
        {"model": "gpt"},
        {"formats": []},
        {"formats": ["x"]},
        {"formats": "png"},
        {"formats": [1]},
        {"unknown": 1},
    ],
)
def test_settings_are_those_of_the_command(values: dict[str, object], project: Project) -> None:
    before = project.choices
    with pytest.raises(ConfigError):
        project.choose(**values)
    assert project.choices == before


def test_another_videos_annotation_is_refused_and_left_alone(
    project: Project, tmp_path: Path
) -> None:
    project.add_object()
    project.close()
    other = write_video(tmp_path / "other.mp4", pictures(24, (96, 128), seed=2))
    saved = (project.folder / "annotation.json").read_bytes()
    with (
        open_source(other) as source,
        pytest.raises(OutputError, match=r"another video \(clip.mp4\)"),
    ):
        Project(project.folder, FrameFinder(source))
    assert (project.folder / "annotation.json").read_bytes() == saved


def test_a_second_server_is_refused(open_project: Open, project: Project) -> None:
    with pytest.raises(OutputError, match="open in another pcvos annotate"):
        Project(project.folder, project.frames)


def test_results_that_are_no_annotation_are_left_alone(open_project: Open, tmp_path: Path) -> None:
    (tmp_path / "out" / "masks").mkdir(parents=True)
    with pytest.raises(OutputError, match="other results"):
        open_project()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 1}'])
def test_a_damaged_annotation_is_told_and_kept(
    content: str, open_project: Open, project: Project
) -> None:
    file = project.folder / "annotation.json"
    file.write_text(content)
    with pytest.raises(OutputError, match="damaged"):
        open_project()
    assert file.read_text() == content


def test_a_disk_that_fills_loses_nothing_that_was_there(
    open_project: Open, project: Project
) -> None:
    project.add_object()
    project.correct(0, labels_of(1))
    before = {p: p.read_bytes() for p in project.folder.rglob("*.*") if p.is_file()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16, hard))
    try:
        with pytest.raises(OutputError, match="cannot be written"):
            project.correct(0, np.roll(labels_of(1), 3))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {p: p.read_bytes() for p in project.folder.rglob("*.*") if p.is_file()} == before
    assert np.array_equal(open_project().labels(0), labels_of(1))


def test_the_file_is_for_people_too(project: Project) -> None:
    project.add_object()
    saved = json.loads((project.folder / "annotation.json").read_text())
    assert saved["video"]["name"] == "clip.mp4"
    assert saved["objects"][0]["name"] == "Object 1"
    assert saved["settings"]["interval"] == 10
