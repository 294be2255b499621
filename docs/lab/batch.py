"""How fast batches are: 12 videos in five ways, and 2,000 jobs that do nothing.

``python docs/lab/batch.py videos`` prints wall times and their ratios; on a busy machine only the
ratios mean anything, and those little: the load is printed with them.
``python docs/lab/batch.py noop`` prints what a job costs the driver.
Both print Markdown.
"""

import argparse
import json
import operator
import os
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pcvos_cli.batch.cluster import RayCluster
from pcvos_cli.batch.engine import Ended, Engine, run_tasks
from pcvos_cli.batch.jobs import Job
from pcvos_cli.batch.ledger import Ledger
from pcvos_cli.batch.processes import Processes, Share
from pcvos_cli.batch.run import assignments
from pcvos_cli.console import result as say
from pcvos_cli.run.settings import SegmentSettings
from pcvos_cli.video.encoding import write_video

LOOPBACK = "127.0.0.2"
"""Ray takes 127.0.0.1 for a name of this machine, and looks for its address outside."""

PCVOS = [sys.executable, "-m", "pcvos_cli"]


def make_video(folder: Path, number: int, frames: int, size: tuple[int, int]) -> None:
    """Write a video of a disc that moves over a pattern, and its first mask."""
    height, width = size
    y, x = np.mgrid[0:height, 0:width]
    pattern = np.stack([x * 255 // width, y * 255 // height, (x + y) % 64 + 8 * number], -1)

    def disc(index: int) -> NDArray[np.bool_]:
        return (x - width // 4 - 2 * index) ** 2 + (y - height // 2) ** 2 < (height // 5) ** 2

    pictures = (
        np.where(disc(index)[..., None], (230, 60, 40), pattern).astype(np.uint8)
        for index in range(frames)
    )
    write_video(folder / f"{number:02}.mp4", pictures, size)
    Image.fromarray(disc(0).astype(np.uint8)).save(folder / f"{number:02}.png")


@contextmanager
def two_nodes() -> Iterator[str]:
    """Start a Ray cluster of two nodes on this machine, and yield its address."""
    from ray.cluster_utils import Cluster

    node: dict[str, Any] = {"node_ip_address": LOOPBACK, "object_store_memory": 100 << 20}
    cluster = Cluster()
    try:
        cluster.add_node(**node, num_cpus=0, include_dashboard=False)
        for _ in range(2):
            cluster.add_node(**node, num_cpus=1)
        yield cluster.address
    finally:
        cluster.shutdown()


def time_videos(count: int, frames: int, size: tuple[int, int]) -> None:
    """Segment the videos in all ways, and print a table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        videos = folder / "videos"
        videos.mkdir()
        for number in range(count):
            make_video(videos, number, frames, size)

        def batch(out: str, *options: str) -> None:
            run([*PCVOS, "batch", str(videos), "-o", str(folder / out), "-q", *options])

        def loop(*options: str) -> None:
            for number in range(count):
                video = videos / f"{number:02}"
                out = folder / "loop" / video.name
                arguments = [f"{video}.mp4", "-m", f"{video}.png", "-o", str(out), "-q", *options]
                run([*PCVOS, "segment", *arguments])

        def on_two_nodes() -> None:
            with two_nodes() as address:
                batch("two", "--ray", address)

        ways: dict[str, Callable[[], None]] = {
            "shell loop": loop,
            "--workers 1": lambda: batch("w1", "-w", "1"),
            "--workers 2": lambda: batch("w2", "-w", "2"),
            "--ray local": lambda: batch("local", "--ray", "local"),
            "--ray, two nodes": on_two_nodes,
        }
        height, width = size
        say(f"{count} videos of {frames} frames, {width} x {height}, {os.cpu_count()} cores\n")
        say("| way | seconds | of the loop's | load before |\n|---|---|---|---|")
        first = 0.0
        for way, work in ways.items():
            load, began = os.getloadavg()[0], time.perf_counter()
            work()
            seconds = time.perf_counter() - began
            first = first or seconds
            say(f"| {way} | {seconds:.1f} | {seconds / first:.2f} | {load:.1f} |")


def run(command: list[str]) -> None:
    """Run a command that must succeed."""
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def time_nothing(count: int) -> None:
    """Send jobs that do nothing through each engine, and print what they cost the driver."""
    settings = SegmentSettings(threads=1)
    jobs = [Job(Path(f"/videos/{n:05}.mp4"), (f"/v/{n:05}.png",), f"{n:05}") for n in range(count)]
    tasks = assignments(jobs, Path("/results"), settings, 1)
    say(f"{count} jobs that do nothing; load {os.getloadavg()[0]:.1f}\n")
    say(f"A job is sent in {len(pickle.dumps(tasks[0]))} bytes.\n")
    say("| engine | jobs a second | driver's CPU, ms a job | driver's memory after 500 jobs, MB "
          "| at the end, MB |\n|---|---|---|---|---|")  # fmt: skip
    with Processes(Share(2, 1)) as engine:
        print_row("2 processes", engine, tasks)
    with two_nodes() as address, RayCluster(address, threads=1) as engine:
        print_row("Ray, two nodes", engine, tasks)
    with tempfile.TemporaryDirectory() as name:
        row = {"job": "x", "status": "done", "signs": ["y" * 80], "identity": "z" * 64} | {
            str(n): "value" * 5 for n in range(12)
        }
        began = time.perf_counter()
        with Ledger(Path(name), {}, resume=False, overwrite=False) as ledger:
            for _ in range(count):
                ledger.add(row)
        seconds = time.perf_counter() - began
    say(f"\nThe ledger takes {count / seconds:.0f} lines of {len(json.dumps(row))} bytes a second.")


def print_row(name: str, engine: Engine, tasks: list[Any]) -> None:
    """Run the tasks and print a line."""
    ends, early = 0, 0.0
    list(run_tasks(engine, operator.is_, tasks[: 2 * engine.workers]))  # Workers start.
    began, cpu = time.perf_counter(), time.process_time()
    for event in run_tasks(engine, operator.is_, tasks):
        ends += isinstance(event, Ended)
        if ends == 500 and not early:
            early = resident_mb()
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    assert ends == len(tasks)
    say(
        f"| {name} | {ends / seconds:.0f} | {1000 * cpu / ends:.2f} | {early:.1f} "
        f"| {resident_mb():.1f} |",
    )


def resident_mb() -> float:
    """Return the memory of this process in MB: now, where the system tells."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 2**20
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("videos", "noop"))
    parser.add_argument("--count", type=int, help="Videos (12), or jobs that do nothing (2000).")
    parser.add_argument("--frames", type=int, default=21)
    parser.add_argument("--size", type=int, nargs=2, default=(240, 426), metavar=("H", "W"))
    chosen = parser.parse_args()
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
    if chosen.what == "videos":
        time_videos(chosen.count or 12, chosen.frames, tuple(chosen.size))
    else:
        time_nothing(chosen.count or 2000)


if __name__ == "__main__":
    main()
