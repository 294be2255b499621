"""JOBS: folders and lists of videos."""

import json
from pathlib import Path

import pytest

from model.errors import ConfigError, InputError
from pcvos_cli.batch.jobs import Job, check_names, default_names, read_jobs
from tests.support.cli import pcvos

OPTIONS = {"interval", "top_k", "backward"}


def make(folder: Path, *files: str) -> None:
    for name in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def found(jobs: Path) -> dict[str, tuple[str, ...]]:
    """Return the masks of each job by its name, relative to JOBS."""
    return {
        job.name: tuple(str(Path(mask).relative_to(jobs)) for mask in job.masks)
        for job in read_jobs(jobs, OPTIONS, jobs / "out")
    }


def test_a_folder_gives_videos_with_the_masks_beside_them(tmp_path: Path) -> None:
    make(tmp_path, "clip10.mp4", "clip10.png", "clip2.MOV", "clip2_masks/00000.png")
    make(tmp_path, "day 1/frames/0.jpg", "day 1/frames.png", "day 1/x/y.mkv", "day 1/x/y.png")
    make(tmp_path, "notes.txt", ".hidden.mp4", "out/z.mp4", "other/0.jpg")
    assert found(tmp_path) == {
        "clip2": ("clip2_masks",),
        "clip10": ("clip10.png",),
        "day 1/frames": ("day 1/frames.png",),
        "day 1/x/y": ("day 1/x/y.png",),
    }


def test_a_video_without_a_mask_is_a_job_that_fails(tmp_path: Path) -> None:
    make(tmp_path, "a.mp4")
    (job,) = read_jobs(tmp_path, OPTIONS, tmp_path / "out")
    assert job.fault is not None
    assert job.fault.exit_code == 3
    assert "a.png" in (job.fault.hint or "")


def test_results_of_earlier_runs_are_no_jobs(tmp_path: Path) -> None:
    """``pcvos segment clip.mp4`` writes to clip_masks, with an overlay inside."""
    make(tmp_path, "clip.mp4", "clip.png", "clip_masks/overlay.mp4", "clip_masks/run.json")
    make(tmp_path, "old/batch.jsonl", "old/x/overlay.mp4", "b/run.json", "b/overlay.mp4")
    assert found(tmp_path) == {"clip": ("clip.png",)}


def test_videos_of_one_name_keep_their_endings(tmp_path: Path) -> None:
    make(tmp_path, "a.mp4", "a.mov", "a.png")
    assert set(found(tmp_path)) == {"a.mp4", "a.mov"}


def test_davis_gives_the_first_mask_and_youtube_vos_all(tmp_path: Path) -> None:
    for stem in ("00000", "00001"):
        make(tmp_path / "davis", f"JPEGImages/480p/bear/{stem}.jpg")
        make(tmp_path / "davis", f"Annotations/480p/bear/{stem}.png")
        make(tmp_path / "vos", f"JPEGImages/ab12/{stem}.jpg", f"JPEGImages/none/{stem}.jpg")
    make(tmp_path / "vos", "Annotations/ab12/00001.png")
    assert found(tmp_path / "davis") == {"bear": ("Annotations/480p/bear/00000.png",)}
    assert found(tmp_path / "vos") == {"ab12": ("Annotations/ab12",), "none": ()}


def test_a_csv_is_read_relative_to_itself(tmp_path: Path) -> None:
    make(tmp_path, "v/a.mp4", "v/a.png", "v/b.png")
    text = (
        "\ufeffvideo,mask,interval,top-k,output,box\n"
        "v/a.mp4,v/a.png; 5=v/b.png,7,,x/first,\n"
        'v/a.mp4,,,20,,"1,2,3,4;5,6,7,8:2"\n'
    )
    (tmp_path / "jobs.csv").write_text(text, encoding="utf-8")
    first, second = read_jobs(tmp_path / "jobs.csv", OPTIONS, tmp_path / "out")
    assert first.source == tmp_path / "v/a.mp4"
    assert first.masks == (str(tmp_path / "v/a.png"), f"5={tmp_path / 'v/b.png'}")
    assert (first.name, first.options) == ("x/first", {"interval": "7"})
    assert (second.name, second.options) == ("a", {"top_k": "20"})
    assert second.boxes == ("1,2,3,4", "5,6,7,8:2")
    assert first.fault is None
    assert second.fault is None


def test_a_json_lines_file_may_list_masks(tmp_path: Path) -> None:
    rows = [{"video": "a.mp4", "mask": ["a.png", "b.png"], "backward": True}, {"video": "b.mp4"}]
    path = tmp_path / "jobs.jsonl"
    path.write_text("\n\n".join(map(json.dumps, rows)))
    first, second = read_jobs(path, OPTIONS, tmp_path / "out")
    assert first.masks == (str(tmp_path / "a.png"), str(tmp_path / "b.png"))
    assert first.options == {"backward": True}
    assert second.fault is not None
    assert second.fault.exit_code == 2


def test_a_csv_of_a_spreadsheet_on_windows(tmp_path: Path) -> None:
    """Rows of empty cells at the end, spaces around cells, backslashes in paths."""
    make(tmp_path, "day 2/a.mp4", "day 2/a.png", "b.png")
    text = "video, mask ,output\r\n day 2\\a.mp4 , 0=day 2\\a.png;3=b.png ,x\\y\r\n,,\r\n , ,\r\n"
    (tmp_path / "jobs.csv").write_text(text)
    (job,) = read_jobs(tmp_path / "jobs.csv", OPTIONS, tmp_path / "out")
    assert job.source == tmp_path / "day 2/a.mp4"
    assert job.masks == (f"0={tmp_path / 'day 2/a.png'}", f"3={tmp_path / 'b.png'}")
    assert job.name == "x/y"


def test_a_json_lines_file_may_begin_with_a_mark(tmp_path: Path) -> None:
    (tmp_path / "jobs.jsonl").write_text("\ufeff" + json.dumps({"video": "a.mp4", "mask": "a.png"}))
    (job,) = read_jobs(tmp_path / "jobs.jsonl", OPTIONS, tmp_path / "out")
    assert job.source == tmp_path / "a.mp4"


def test_one_output_in_two_ways_to_write_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "jobs.csv").write_text("Video,Mask,OUTPUT\na,m,x/y\nb,m,x//y/\n")
    with pytest.raises(ConfigError, match=r"line 3: .*/b and .*line 2: .*/a would both be .* x/y"):
        check_names(read_jobs(tmp_path / "jobs.csv", OPTIONS, tmp_path / "out"))


@pytest.mark.parametrize(
    ("name", "text", "error", "words"),
    [
        ("a.csv", "video,masks\na.mp4,a.png\n", ConfigError, "line 1: there is no column 'masks'"),
        ("a.csv", "\nvideo,frmaes\na.mp4,\n", ConfigError, "line 2: there is no column 'frmaes'"),
        ("a.csv", "video,mask,,\na,b,,c\n", InputError, "line 2, cell 4: its column has no name"),
        (
            "a.jsonl",
            '{"video": "a"}\n{"vdeo": 1}',
            ConfigError,
            "line 2: there is no column 'vdeo'",
        ),
        ("a.csv", "mask\na.png\n", InputError, "line 1: there is no column video"),
        ("a.csv", "a.mp4,a.png\n", InputError, "line 1: there is no column video"),
        ("a.csv", "video,mask\n,a.png\n", InputError, "line 2 names no video"),
        ("a.csv", "video,mask\na,b\n\na,b,c\n", InputError, "line 4, cell 3: has more cells"),
        ("a.csv", "video,mask\n", InputError, "no video"),
        ("a.csv", "", InputError, "no video"),
        ("a.csv", "video,mask,mask\na,b,c\n", InputError, "line 1: there are two columns mask"),
        ("a.csv", 'video,mask\na,b\n"c\nd"x,e\n', InputError, "line 3: not a readable CSV row"),
        ("a.csv", 'video,mask\na,b\n"c,d\n\n\n', InputError, "line 3: not a readable CSV row"),
        ("a.csv", b"video\n\xff.mp4\n", InputError, "line 2: is not UTF-8 .byte 0xff"),
        ("a.jsonl", '\n{"video": a}', InputError, "line 2, column 11: not JSON"),
        ("a.jsonl", "[1]", InputError, "line 1: is no JSON object"),
        ("a.txt", "", InputError, "no list of jobs"),
        ("a.csv", None, InputError, "cannot be read"),
        ("a", None, InputError, "not found"),
    ],
)
def test_what_is_wrong_with_a_list_is_said(
    name: str, text: str | bytes | None, error: type[Exception], words: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(error, match=words) as told:
        read_jobs(path, OPTIONS, tmp_path / "out")
    assert isinstance(told.value, (InputError, ConfigError))
    assert told.value.hint is not None or text is None


@pytest.mark.parametrize("kind", ["size", "cuts", "backward", "fps"])
def test_a_cell_that_cannot_be_read_is_named(kind: str, tmp_path: Path) -> None:
    """With its file, line and column; nothing is begun."""
    cells = {
        "size": ("size,cuts\na.mp4,a.png,480,stop\nb.mp4,b.png,tall,stop", "column size: "),
        "cuts": ("size,cuts\na.mp4,a.png,,\nb.mp4,b.png,480,halt", "column cuts: "),
        "backward": ("backward\na.mp4,a.png,yes\nb.mp4,b.png,maybe", "column backward: is 'maybe'"),
        "fps": ("size,fps\na.mp4,a.png,480,24\nb.mp4,b.png,480,-1", "column fps: "),
    }
    text, words = cells[kind]
    (tmp_path / "jobs.csv").write_text(f"video,mask,{text}\n")
    result = pcvos("batch", tmp_path / "jobs.csv", "-o", tmp_path / "out")
    assert result.exit_code == 2, result.stderr
    assert f"jobs.csv: line 3, {words}" in " ".join(result.stderr.split())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le with a mark"])
@pytest.mark.parametrize("parted", [";", "\t"])
def test_lists_as_spreadsheets_of_other_countries_write_them(
    encoding: str, parted: str, tmp_path: Path
) -> None:
    make(tmp_path, "Größe, 1.mp4", "m.png", "n.png")
    rows = [("video", "mask", "size"), ("Größe, 1.mp4", '"m.png;2=n.png"', "480")]
    text = "\r\n".join(parted.join(row) for row in rows) + "\r\n"
    marked = encoding.endswith("mark")
    content = ("\ufeff" + text).encode("utf-16-le") if marked else text.encode(encoding)
    (tmp_path / "jobs.csv").write_bytes(content)
    (job,) = read_jobs(tmp_path / "jobs.csv", {"size"}, tmp_path / "out")
    assert job.source == tmp_path / "Größe, 1.mp4"
    assert job.masks == (str(tmp_path / "m.png"), f"2={tmp_path / 'n.png'}")
    assert job.options == {"size": "480"}


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a", "a"], "would both be written to a"),
        (["a", "a/b"], "inside the folder of"),
        (["../a"], "no folder inside"),
        (["/a"], "no folder inside"),
        (["a/.unfinished"], "no folder inside"),
    ],
)
def test_jobs_do_not_write_into_each_other(names: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        check_names([Job(Path("v.mp4"), name=name) for name in names])


def test_two_rows_of_one_video_need_outputs() -> None:
    with pytest.raises(ConfigError, match=r"both be written to v\.mp4"):
        default_names([Job(Path("v.mp4")), Job(Path("v.mp4"))])


def test_a_folder_of_data_sets_is_told_to_give_one(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        (tmp_path / "mose" / split / "JPEGImages").mkdir(parents=True)
    with pytest.raises(InputError, match="holds no video") as told:
        read_jobs(tmp_path / "mose", OPTIONS, tmp_path / "out")
    assert told.value.hint == f"give a data set inside, such as {tmp_path / 'mose' / 'train'}"
