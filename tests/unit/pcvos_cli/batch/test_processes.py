"""Worker processes: what they return, and what becomes of the others when one dies."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pcvos_cli.batch.engine import Advanced, Ended, Expected, Function, Started, run_tasks
from pcvos_cli.batch.ledger import Ledger
from pcvos_cli.batch.processes import Processes, Share, available_memory, divide
from tests.support import tasks
from tests.support.shared import REPOSITORY

ONE, TWO = Share(1, 1), Share(2, 1)


def ends(engine: Processes, function: Function, arguments: list[Any]) -> dict[int, Ended]:
    events = run_tasks(engine, function, arguments)
    return {event.number: event for event in events if isinstance(event, Ended)}


def test_results_come_with_their_numbers_and_workers_are_used_again() -> None:
    with Processes(TWO) as engine:
        events = list(run_tasks(engine, tasks.double, range(7)))
    found = [event for event in events if isinstance(event, Ended)]
    assert {event.number: event.value for event in found} == {i: 2 * i for i in range(7)}
    assert len({event.worker for event in found}) <= 2
    for number in range(7):
        own = [type(e) for e in events if e is not None and e.number == number]
        assert own == [Started, Expected, Advanced, Ended]


def test_no_more_is_asked_for_than_workers_can_take() -> None:
    """So a list of any length costs no memory."""
    taken, over = 0, 0

    def arguments() -> Any:
        nonlocal taken
        for number in range(9):
            taken += 1
            assert taken - over <= 2
            yield number

    with Processes(TWO) as engine:
        for event in run_tasks(engine, tasks.double, arguments()):
            over += isinstance(event, Ended)
    assert over == 9


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_drivers_memory_is_flat_over_500_jobs(tmp_path: Path) -> None:
    def resident_mb() -> float:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGESIZE") / 2**20

    sizes, over = [], 0
    ledger = Ledger(tmp_path / "out", {}, resume=False, overwrite=False)
    with Processes(TWO) as engine, ledger:
        for event in run_tasks(engine, tasks.double, ([number] * 1000 for number in range(500))):
            if isinstance(event, Ended):
                over += 1
                ledger.add({"job": str(event.number), "value": len(event.value)})
                sizes.append(resident_mb())
        assert len(ledger.rows()) == over == 500
    assert sizes[-1] - sizes[50] < 4  # The results alone are 8 MB.


def test_an_error_has_its_exit_code_and_ours_its_traceback() -> None:
    with Processes(ONE) as engine:
        found = ends(engine, tasks.fail, ["mask", "disk", "bug"])
    mask, disk, bug = (found[number].fault for number in range(3))
    assert mask is not None
    assert disk is not None
    assert bug is not None
    assert (mask.exit_code, mask.message, mask.hint) == (4, "too small", "draw it larger")
    assert (disk.exit_code, disk.trace) == (6, "")
    assert (bug.exit_code, bug.message) == (1, "unexpected ZeroDivisionError: by zero")
    assert "tests/support/tasks.py" in bug.trace


def test_the_task_of_a_killed_worker_is_begun_again_and_the_others_go_on(tmp_path: Path) -> None:
    once, twice = (tmp_path / "once", 1), (tmp_path / "twice", 2)
    with Processes(TWO) as engine:
        found = ends(engine, tasks.die, [once, twice, (tmp_path / "never", 0)])
    assert [found[n].value for n in (0, 2)] == ["alive", "alive"]
    assert [found[n].attempts for n in range(3)] == [2, 2, 1]
    fault = found[1].fault
    assert fault is not None
    assert fault.exit_code == 7
    assert "killed 2 times (signal 9)" in fault.message


def test_each_worker_has_its_threads_and_its_gpu() -> None:
    with Processes(Share(1, 3, ("GPU-b",))) as engine:
        found = ends(engine, tasks.environment, ["OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"])
    assert [found[0].value, found[1].value] == ["3", "GPU-b"]


def test_closing_breaks_a_task_off_as_sigterm_does(tmp_path: Path) -> None:
    with Processes(ONE) as engine:
        engine.submit(0, tasks.wait_and_say, tmp_path / "said")
        wait_for(tmp_path / "said.begun")
    assert (tmp_path / "said").read_text() == "broken off"


def test_workers_end_with_a_killed_driver(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path\n"
        "from pcvos_cli.batch.processes import Processes, Share\n"
        "from tests.support.tasks import wait_and_say\n"
        "engine = Processes(Share(1, 1))\n"
        f"engine.submit(0, wait_and_say, Path({str(tmp_path / 'said')!r}))\n"
        "engine.poll(300)\n"
        "engine.poll(300)\n"
    )
    driver = subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY)
    wait_for(tmp_path / "said.begun")
    driver.kill()
    driver.wait()
    wait_for(tmp_path / "said")


@pytest.mark.parametrize(
    ("cores", "memory", "tasks", "asked", "expected"),
    [
        (2, 8e9, 10, {}, (2, 1)),
        (16, 6e9, 10, {}, (4, 4)),
        (16, None, 3, {}, (3, 5)),
        (2, 1e8, 10, {}, (1, 2)),
        (8, 64e9, 10, {"workers": 3}, (3, 2)),
        (8, 64e9, 10, {"threads": 4}, (2, 4)),
        (2, 64e9, 10, {"workers": 5}, (5, 1)),
        (2, 64e9, 0, {}, (1, 2)),
    ],
)
def test_a_machine_is_divided_by_cores_and_memory(
    cores: int,
    memory: float | None,
    tasks: int,
    asked: dict[str, int],
    expected: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = "pcvos_cli.batch.processes"
    monkeypatch.setattr(f"{module}.available_cores", lambda: cores)
    monkeypatch.setattr(f"{module}.available_memory", lambda: memory and int(memory))
    share = divide(tasks, **asked)
    assert (share.workers, share.threads) == expected


def test_a_gpu_has_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pcvos_cli.batch.processes.visible_gpus", lambda: ("0", "1", "2"))
    monkeypatch.setattr("pcvos_cli.batch.processes.available_cores", lambda: 12)
    assert divide(50, gpu=True) == Share(3, 4, ("0", "1", "2"))


def test_the_free_memory_is_known_on_linux() -> None:
    memory = available_memory()
    assert sys.platform != "linux" or (memory is not None and memory > 1e6)


def wait_for(path: Path, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"not within {seconds:g} s: {path}"
        time.sleep(0.05)
