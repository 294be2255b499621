"""prefetch and BackgroundWriter: bounded, in order, errors cross, nothing hangs."""

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from model.errors import OutputError
from model.ops.timing import StageClock
from pcvos_cli.masks.writers import FrameMasks
from pcvos_cli.run import threads as module
from pcvos_cli.run.threads import (
    QUEUE_BYTES,
    READ_AHEAD,
    BackgroundWriter,
    prefetch,
    queue_length,
)

pytestmark = pytest.mark.timeout(20)


def frame(index: int) -> FrameMasks:
    labels = np.zeros((2, 2), np.int32)
    return FrameMasks(index, f"{index:05d}", index, np.zeros((2, 2, 3), np.uint8), labels)


def test_a_queue_holds_a_clip_unless_its_frames_are_large() -> None:
    small = 480 * 854 * 10
    assert queue_length(10, small) == 10
    assert queue_length(1, small) == READ_AHEAD
    for clip in (25, 1000):
        assert queue_length(clip, small) * small <= QUEUE_BYTES
    assert queue_length(25, 2160 * 3840 * 10) == READ_AHEAD


class Recorder:
    """A writer that notes its calls, and fails or blocks where it is told to."""

    def __init__(self, *, fail_at: int | str | None = None) -> None:
        self.fail_at = fail_at
        self.calls: list[object] = []
        self.threads: set[str] = set()
        self.gate: threading.Event | None = None

    def write(self, frame: FrameMasks) -> None:
        self.threads.add(threading.current_thread().name)
        if self.gate is not None:
            self.gate.wait()
        if frame.index == self.fail_at:
            raise OutputError("disk full")
        self.calls.append(frame.index)

    def close(self) -> None:
        if self.fail_at == "close":
            raise OutputError("disk full")
        self.calls.append("close")

    def abort(self) -> None:
        self.calls.append("abort")


def workers() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("pcvos-")]


def test_prefetch_keeps_order() -> None:
    with prefetch(range(100), depth=3) as items:
        assert list(items) == list(range(100))
        assert list(items) == []
    assert workers() == []


def test_prefetch_is_bounded() -> None:
    made: list[int] = []

    def numbers() -> Iterator[int]:
        for i in range(100):
            made.append(i)
            yield i

    with prefetch(numbers(), depth=3) as items:
        assert next(items) == 0
        time.sleep(0.2)
        assert len(made) <= 1 + 3 + 1  # taken, held, in hand
    assert workers() == []


def test_prefetch_raises_the_error_after_the_items_before_it() -> None:
    def numbers() -> Iterator[int]:
        yield 0
        yield 1
        raise OSError("cable pulled")

    with prefetch(numbers(), depth=8) as items:
        assert next(items) == 0
        assert next(items) == 1
        with pytest.raises(OSError, match="cable pulled"):
            next(items)
        with pytest.raises(StopIteration):
            next(items)


def test_prefetch_survives_a_worker_that_exits() -> None:
    def numbers() -> Iterator[int]:
        yield 0
        raise SystemExit(3)

    with prefetch(numbers()) as items, pytest.raises(SystemExit):
        list(items)


def test_prefetch_closes_while_the_producer_waits_for_room() -> None:
    closed = threading.Event()

    def numbers() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.set()

    with prefetch(numbers(), depth=1) as items:
        next(items)
        started = time.monotonic()
    assert time.monotonic() - started < 2
    assert closed.is_set()
    assert list(items) == []


def test_prefetch_leaves_a_stuck_producer_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.2)
    gate = threading.Event()

    def numbers() -> Iterator[int]:
        yield 0
        gate.wait()

    with prefetch(numbers()) as items:
        assert next(items) == 0
        started = time.monotonic()
    assert time.monotonic() - started < 2
    gate.set()


def test_the_end_is_noticed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL_SECONDS", 60.0)
    for items in ([], [1, 2, 3]):
        with prefetch(iter(items)) as ahead:
            time.sleep(0.05)
            assert list(ahead) == items

    def slow() -> Iterator[int]:
        yield 1
        time.sleep(0.3)  # The consumer waits for a second item meanwhile, and there is none.

    with prefetch(slow()) as ahead:
        assert list(ahead) == [1]
    for frames in (0, 3):
        recorder = Recorder()
        with BackgroundWriter({"png": recorder}) as out:
            for index in range(frames):
                out.submit(frame(index))
            time.sleep(0.05)
        assert recorder.calls == [*range(frames), "close"]


def test_prefetch_needs_depth() -> None:
    with pytest.raises(ValueError, match="depth"), prefetch([], depth=0):
        pass


def test_writer_writes_in_order_in_one_thread_and_closes() -> None:
    one, other, clock = Recorder(), Recorder(), StageClock()
    with BackgroundWriter({"png": one, "rle": other}, depth=2, clock=clock) as sink:
        for i in range(20):
            sink.submit(frame(i))
    assert one.calls == other.calls == [*range(20), "close"]
    assert one.threads == other.threads == {"pcvos-writer"}
    assert set(clock.seconds) == {"write_png", "write_rle"}
    assert workers() == []


def test_writer_is_bounded() -> None:
    writer = Recorder()
    writer.gate = threading.Event()
    sink = BackgroundWriter({"png": writer}, depth=2)
    done = []

    def feed() -> None:
        for i in range(10):
            sink.submit(frame(i))
            done.append(i)

    feeder = threading.Thread(target=feed)
    feeder.start()
    time.sleep(0.3)
    assert len(done) <= 3
    writer.gate.set()
    feeder.join()
    sink.close()
    assert len(writer.calls) == 11


@pytest.mark.parametrize("after", ["submit", "close"])
def test_an_error_reaches_the_caller_and_aborts_all(after: str) -> None:
    broken, sound = Recorder(fail_at=1), Recorder()
    sink = BackgroundWriter({"png": broken, "rle": sound}, depth=4)

    def use() -> None:
        with sink:
            for i in range(50 if after == "submit" else 3):
                sink.submit(frame(i))

    with pytest.raises(OutputError, match="disk full"):
        use()
    assert broken.calls == [0, "abort"]
    assert sound.calls == [0, "abort"]
    with pytest.raises(OutputError, match="disk full"):
        sink.submit(frame(9))
    assert workers() == []


def test_an_error_of_close_reaches_the_caller() -> None:
    writer = Recorder(fail_at="close")
    sink = BackgroundWriter({"png": writer})
    sink.submit(frame(0))
    with pytest.raises(OutputError, match="disk full"):
        sink.close()
    assert writer.calls == [0, "abort"]


def test_an_error_of_the_caller_aborts() -> None:
    writer = Recorder()

    def use() -> None:
        with BackgroundWriter({"png": writer}) as sink:
            sink.submit(frame(0))
            while not writer.calls:
                time.sleep(0.01)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        use()
    assert writer.calls == [0, "abort"]


def test_abort_drops_what_is_queued() -> None:
    writer = Recorder()
    writer.gate = threading.Event()
    sink = BackgroundWriter({"png": writer}, depth=8)
    for i in range(8):
        sink.submit(frame(i))
    threading.Timer(0.1, writer.gate.set).start()
    sink.abort()
    sink.abort()
    assert writer.calls[-1] == "abort"
    assert len(writer.calls) <= 3
    with pytest.raises(ValueError, match="closed"):
        sink.submit(frame(9))


def test_abort_leaves_a_stuck_writer_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.2)
    writer = Recorder()
    writer.gate = threading.Event()
    sink = BackgroundWriter({"png": writer})
    sink.submit(frame(0))
    started = time.monotonic()
    sink.abort()
    assert time.monotonic() - started < 2
    writer.gate.set()


def test_no_writer_is_called_after_close() -> None:
    writer = Recorder()
    sink = BackgroundWriter({"png": writer})
    sink.close()
    sink.close()
    sink.abort()
    assert writer.calls == ["close"]
    with pytest.raises(ValueError, match="closed"):
        sink.submit(frame(0))


def test_actions_come_after_the_frames_before_them_and_their_errors_too() -> None:
    writer = Recorder()
    with BackgroundWriter({"png": writer}) as sink:
        for i in range(3):
            sink.submit(frame(i))
            sink.submit(lambda i=i: writer.calls.append(f"after {i}"))  # type: ignore[misc]
    assert writer.calls == [
        0, "after 0", 1, "after 1", 2, "after 2", "close",
    ]  # fmt: skip

    def fail() -> None:
        raise OutputError("disk full")

    broken = BackgroundWriter({"png": Recorder()})
    broken.submit(fail)
    with pytest.raises(OutputError, match="disk full"):
        broken.close()
