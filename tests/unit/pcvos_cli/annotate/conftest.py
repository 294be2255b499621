"""A small video that is opened, and its annotation."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from pcvos_cli.annotate.project import Project
from pcvos_cli.video.seeking import FrameFinder
from pcvos_cli.video.source import FrameSource, open_source
from tests.support.training_data import disk, photo
from tests.support.videos import write_video

FRAMES = 24
SIZE = (96, 128)


def ball(frame: int) -> np.ndarray:
    """Where the ball is on a frame, ``(H, W)`` bool."""
    return disk((48, 40 + frame), 22, SIZE)


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A striped ball that rolls to the right by a pixel a frame."""
    stripes = np.where(np.arange(SIZE[1]) // 6 % 2, 0, 1)[None, :, None]
    painted = np.where(stripes, (250, 200, 90), (230, 120, 40))
    frames = [
        np.where(ball(i)[..., None], painted, photo(1, SIZE) // 2).astype(np.uint8)
        for i in range(FRAMES)
    ]
    return write_video(tmp_path_factory.mktemp("video") / "clip.mp4", frames)


@pytest.fixture
def source(video: Path) -> Iterator[FrameSource]:
    with open_source(video) as opened:
        yield opened


@pytest.fixture
def open_project(source: FrameSource, tmp_path: Path) -> Iterator[Callable[[], Project]]:
    """Open the annotation in ``tmp_path/out``, each time as a new server would."""
    opened: list[Project] = []

    def reopen() -> Project:
        for project in opened:
            project.close()
        opened.append(Project(tmp_path / "out", FrameFinder(source)))
        return opened[-1]

    yield reopen
    for project in opened:
        project.close()


@pytest.fixture
def project(open_project: Callable[[], Project]) -> Project:
    return open_project()
