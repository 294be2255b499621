"""Writers that cannot write: code 6, no half files, never a hang."""

import contextlib
import os
import resource
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from model.errors import OutputError
from pcvos_cli.convert.writers import YoutubeVisWriter
from pcvos_cli.masks.overlay import VideoWriter
from pcvos_cli.masks.writers import FrameMasks, MaskWriter, PaletteWriter, ScoresWriter
from pcvos_cli.run.threads import BackgroundWriter

pytestmark = pytest.mark.timeout(30)

SIZE = (128, 160)
BASE = Fraction(1, 25)

MAKERS: dict[str, Callable[[Path], MaskWriter]] = {
    "png": lambda out: PaletteWriter(out / "masks"),
    "rle": lambda out: YoutubeVisWriter(
        out / "masks.json", SIZE, source="v", time_base=BASE, settings={}
    ),
    "overlay": lambda out: VideoWriter(out / "overlay.mp4", SIZE, fps=1 / BASE, time_base=BASE),
    "scores": lambda out: ScoresWriter(out / "scores"),
}


def write(writer: MaskWriter | BackgroundWriter, index: int) -> None:
    rng = np.random.default_rng(index)
    rgb = rng.integers(0, 255, (*SIZE, 3), dtype=np.uint8)
    labels = rng.integers(0, 3, SIZE, dtype=np.int32)
    probs = rng.random((3, *SIZE), dtype=np.float32)
    frame = FrameMasks(index, f"{index:05d}", index, rgb, labels, probs)
    if isinstance(writer, BackgroundWriter):
        writer.submit(frame)
    else:
        writer.write(frame)


def files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


@contextlib.contextmanager
def full_disk(limit: int) -> Iterator[None]:
    """Let no file grow beyond ``limit`` bytes: the errors of a full disk, without root."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def run(writer: MaskWriter | BackgroundWriter, frames: int) -> None:
    for index in range(frames):
        write(writer, index)
    writer.close()


@pytest.mark.parametrize("kind", MAKERS)
def test_full_disk(tmp_path: Path, kind: str) -> None:
    writer = MAKERS[kind](tmp_path)
    with full_disk(3000), pytest.raises(OutputError, match="cannot be") as caught:
        run(writer, 200)
    writer.abort()
    assert str(tmp_path) in caught.value.message
    assert caught.value.exit_code == 6
    assert not [name for name in files(tmp_path) if name.endswith((".tmp", ".mp4", ".json"))]


@pytest.mark.parametrize("kind", MAKERS)
def test_full_disk_behind_the_queue(tmp_path: Path, kind: str) -> None:

    def use() -> None:
        with BackgroundWriter({kind: MAKERS[kind](tmp_path)}) as sink:
            run(sink, 200)

    with full_disk(3000), pytest.raises(OutputError, match="cannot be"):
        use()
    assert not [name for name in files(tmp_path) if name.endswith((".tmp", ".mp4", ".json"))]


def test_full_disk_keeps_the_masks_that_were_finished(tmp_path: Path) -> None:
    writer = MAKERS["png"](tmp_path)
    write(writer, 0)
    with full_disk(3000), pytest.raises(OutputError):
        write(writer, 1)
    writer.abort()
    assert files(tmp_path) == {"masks/00000.png"}


@pytest.mark.parametrize("kind", MAKERS)
def test_a_file_where_the_folder_should_be(tmp_path: Path, kind: str) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match="cannot be written") as caught:
        MAKERS[kind](tmp_path / "out")
    assert caught.value.hint
    assert files(tmp_path) == {"out"}


@pytest.mark.parametrize("kind", MAKERS)
def test_a_folder_that_vanishes(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "out"
    writer = MAKERS[kind](out)
    write(writer, 0)
    out.rename(tmp_path / "elsewhere")
    with pytest.raises(OutputError):
        run(writer, 2)
    writer.abort()


@pytest.mark.parametrize("kind", ["rle", "overlay"])
def test_a_folder_where_the_file_should_be(tmp_path: Path, kind: str) -> None:
    name = {"rle": "masks.json", "overlay": "overlay.mp4"}[kind]
    (tmp_path / name / "kept").mkdir(parents=True)
    writer = MAKERS[kind](tmp_path)
    with pytest.raises(OutputError, match="cannot be written"):
        run(writer, 2)
    assert files(tmp_path) == set()
    assert (tmp_path / name / "kept").is_dir()


@pytest.mark.parametrize("kind", MAKERS)
def test_read_only_folder(tmp_path: Path, kind: str) -> None:
    if os.geteuid() == 0:
        pytest.skip("runs as root, who may write everywhere")
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="Permission denied"):
            MAKERS[kind](tmp_path)
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("name", ["with space", "new\nline", "ünï=cødé %03d", "a:b"])
def test_strange_folder_names_work(tmp_path: Path, name: str) -> None:
    for make in MAKERS.values():
        run(make(tmp_path / name), 2)
    found = {p.relative_to(tmp_path / name).as_posix() for p in (tmp_path / name).rglob("*.*")}
    assert {"masks.json", "overlay.mp4", "masks/00001.png", "scores/00001.npz"} <= found
    assert not any(path.endswith(".tmp") for path in found)
