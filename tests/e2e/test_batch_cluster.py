"""``pcvos batch --ray`` on a real cluster of two nodes, of which one is lost."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from model.errors import ConfigError, MissingPackage
from pcvos_cli.batch.cluster import RayCluster
from pcvos_cli.batch.engine import Advanced, Ended, Expected, Started, run_tasks
from pcvos_cli.run.output_folder import PROGRESS
from tests.support import tasks
from tests.support.batch import (
    a_long_one_and_a_short_one,
    check_twelve,
    files,
    ledger,
    options_for,
    segment_one_by_one,
    start,
    wait_until,
    write_twelve,
)
from tests.support.cli import pcvos, write_mask
from tests.support.ray_cluster import TwoNodes, two_nodes
from tests.support.videos import pictures, write_video

pytestmark = [
    pytest.mark.timeout(500),
    # Ray leaves files of its own to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def nodes() -> Iterator[TwoNodes]:
    with two_nodes() as cluster:
        yield cluster


def test_twelve_videos_make_the_bytes_of_single_runs(
    nodes: TwoNodes, lite_weights: Path, tmp_path: Path
) -> None:
    (tmp_path / "videos").mkdir()
    twelve = write_twelve(tmp_path / "videos")
    out = tmp_path / "out"
    options = ["--ray", nodes.address, *options_for(lite_weights)]
    done = pcvos("batch", twelve / "jobs.csv", "-o", out, *options)
    assert done.exit_code == 1, done.stderr
    assert "9 done, 3 failed, 36 frames" in done.stdout
    check_twelve(out, segment_one_by_one(twelve, lite_weights, tmp_path / "single"))


def test_a_killed_worker_and_a_killed_driver_lose_nothing(
    nodes: TwoNodes, lite_weights: Path, tmp_path: Path
) -> None:
    (tmp_path / "videos").mkdir()
    videos = a_long_one_and_a_short_one(tmp_path / "videos")
    options = [*options_for(lite_weights, "2"), "-f", "png,rle"]
    out, single = tmp_path / "out", tmp_path / "single"
    command = ["batch", videos, "-o", out, "--ray", nodes.address, *options]
    progress = out / ".unfinished" / "long" / PROGRESS

    def reached() -> int:
        try:
            return int(json.loads(progress.read_text())["next_frame"])
        except FileNotFoundError:
            return 0

    with start(*command) as driver:
        wait_until(reached, "the long video is begun")
        for worker in ray_workers():
            os.kill(worker, signal.SIGKILL)
        before = reached()
        wait_until(lambda: reached() > before, "another worker goes on")
        driver.kill()
        driver.communicate()
    assert not (out / "long").exists()
    done = pcvos(*command, "--resume")
    assert done.exit_code == 0, done.stderr
    last = {row["job"]: row for row in ledger(out)}
    assert {row["exit_code"] for row in last.values()} == {0}
    assert json.loads((out / "long" / "run.json").read_text())["resumed_at"] > before
    mask = videos / "long.png"
    assert pcvos("segment", videos / "long.mp4", "-m", mask, "-o", single, *options).exit_code == 0
    assert files(out / "long") == files(single)
    assert not (out / ".unfinished").exists()


def ray_workers() -> list[int]:
    """Return the processes that run a task of a batch, by /proc."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                title = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if title.startswith(b"ray::_run"):
                found.append(int(folder.name))
    return found


def test_tasks_say_how_far_they_are_and_outlive_their_worker_and_their_node(
    nodes: TwoNodes, tmp_path: Path
) -> None:
    """Last in this file: a node is gone afterwards."""
    with RayCluster(nodes.address, threads=1) as engine:
        assert (engine.workers, engine.limit) == (2, 4)
        events = list(run_tasks(engine, tasks.double, range(6)))
        ends = {event.number: event for event in events if isinstance(event, Ended)}
        assert {n: end.value for n, end in ends.items()} == {n: 2 * n for n in range(6)}
        assert {type(event) for event in events} - {type(None)} <= {
            Started,
            Expected,
            Advanced,
            Ended,
        }
        events = list(run_tasks(engine, tasks.fail, ["mask", "disk", "bug"]))
        faults = {e.number: e.fault for e in events if isinstance(e, Ended)}
        assert [fault.exit_code for _, fault in sorted(faults.items()) if fault] == [4, 6, 1]
        (ended,) = [
            event
            for event in run_tasks(engine, tasks.die, [(tmp_path / "once", 1)])
            if isinstance(event, Ended)
        ]
        assert (ended.value, ended.attempts) == ("alive", 2)

        for number in range(2):
            engine.submit(number, tasks.hold, tmp_path)
        wait_until(lambda: len(list(tmp_path.glob("*.begun"))) == 2, "both nodes are at work")
        nodes.cluster.remove_node(nodes.nodes[0], allow_graceful=False)
        wait_until(lambda: len(list(tmp_path.glob("*.begun"))) == 2, "one is lost")
        (tmp_path / "go").touch()
        left: dict[int, Ended] = {}
        wait_until(
            lambda: (
                left.update({e.number: e for e in engine.poll(0.5) if isinstance(e, Ended)})
                or len(left) == 2
            ),
            "the other node does both",
        )
        assert all(end.fault is None for end in left.values())
        assert len({end.value for end in left.values()} - {0}) >= 1


def test_local_starts_a_cluster_of_its_own_and_ends_it(lite_weights: Path, tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    write_video(videos / "one.mp4", pictures(4))
    write_mask(videos / "one.png")
    out = tmp_path / "out"
    # In a process of its own: Ray keeps to one cluster a process, and this one has its own.
    driver = start("batch", videos, "-o", out, "--ray", "local", *options_for(lite_weights))
    _, said = driver.communicate(timeout=300)
    assert driver.returncode == 0, said
    single = pcvos(
        *("segment", videos / "one.mp4", "-m", videos / "one.png", "-o", tmp_path / "single"),
        *options_for(lite_weights),
    )
    assert single.exit_code == 0, single.stderr
    assert files(out / "one") == files(tmp_path / "single")


def test_without_ray_or_without_a_cluster_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="no Ray cluster answers there"):
        RayCluster("not an address", threads=1)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingPackage, match="--ray needs ray"):
        RayCluster("local", threads=1)
