"""prefetch and BackgroundWriter: bounded, in order, errors cross, nothing hangs."""

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from model.errors import OutputError
from pcvos_cli.run import threads as module
from pcvos_cli.run.threads import (
    QUEUE_BYTES,
    READ_AHEAD,
    BackgroundWriter,
    prefetch,
    queue_length,
)
from pcvos_cli.video.source import Frame

pytestmark = pytest.mark.timeout(20)


def frame(index: int) -> Frame:
    return Frame(index, f"{index:05d}", index, np.zeros((2, 2, 3), np.uint8))


LABELS = np.zeros((2, 2), np.int32)


def test_a_queue_holds_a_clip_unless_its_frames_are_large() -> None:
    small = 480 * 854 * 10
    assert queue_length(10, small) == 10
    assert queue_length(1, small) == READ_AHEAD
    for clip in (25, 1000):
        assert queue_length(clip, small) * small <= QUEUE_BYTES
    assert queue_length(25, 2160 * 3840 * 10) == READ_AHEAD


class Recorder:
    """A writer that notes its calls, and fails or blocks where it is told to."""

    def __init__(self, *, wants_probs: bool = False, fail_at: int | str | None = None) -> None:
        self.wants_probs = wants_probs
        self.fail_at = fail_at
        self.calls: list[object] = []
        self.threads: set[str] = set()
        self.gate: threading.Event | None = None

    def write(
        self, frame: Frame, labels: NDArray[np.int32], probs: NDArray[np.float32] | None
    ) -> None:
        self.threads.add(threading.current_thread().name)
        if self.gate is not None:
            self.gate.wait()
        if frame.index == self.fail_at:
            raise OutputError("disk full")
        self.calls.append((frame.index, probs is not None))

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

    items = prefetch(numbers(), depth=1)
    next(items)
    started = time.monotonic()
    items.close()
    items.close()
    assert time.monotonic() - started < 2
    assert closed.is_set()
    assert list(items) == []


def test_prefetch_leaves_a_stuck_producer_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.2)
    gate = threading.Event()

    def numbers() -> Iterator[int]:
        yield 0
        gate.wait()

    items = prefetch(numbers())
    assert next(items) == 0
    started = time.monotonic()
    items.close()
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
        with BackgroundWriter([recorder]) as out:
            for index in range(frames):
                out.submit(frame(index), LABELS, None)
            time.sleep(0.05)
        assert recorder.calls == [*((index, False) for index in range(frames)), "close"]


def test_prefetch_needs_depth() -> None:
    with pytest.raises(ValueError, match="depth"):
        prefetch([], depth=0)


def test_writer_writes_in_order_in_one_thread_and_closes() -> None:
    soft, hard = Recorder(wants_probs=True), Recorder()
    probs = np.zeros((2, 1, 1), np.float32)
    with BackgroundWriter([soft, hard], depth=2) as sink:
        assert sink.wants_probs
        for i in range(20):
            sink.submit(frame(i), LABELS, probs)
    assert soft.calls == [*((i, True) for i in range(20)), "close"]
    assert hard.calls == [*((i, False) for i in range(20)), "close"]
    assert soft.threads == hard.threads == {"pcvos-writer"}
    assert workers() == []


def test_writer_is_bounded() -> None:
    writer = Recorder()
    writer.gate = threading.Event()
    sink = BackgroundWriter([writer], depth=2)
    done = []

    def feed() -> None:
        for i in range(10):
            sink.submit(frame(i), LABELS, None)
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
    sink = BackgroundWriter([broken, sound], depth=4)

    def use() -> None:
        with sink:
            for i in range(50 if after == "submit" else 3):
                sink.submit(frame(i), LABELS, None)

    with pytest.raises(OutputError, match="disk full"):
        use()
    assert broken.calls == [(0, False), "abort"]
    assert sound.calls == [(0, False), "abort"]
    with pytest.raises(OutputError, match="disk full"):
        sink.submit(frame(9), LABELS, None)
    assert workers() == []


def test_an_error_of_close_reaches_the_caller() -> None:
    writer = Recorder(fail_at="close")
    sink = BackgroundWriter([writer])
    sink.submit(frame(0), LABELS, None)
    with pytest.raises(OutputError, match="disk full"):
        sink.close()
    assert writer.calls == [(0, False), "abort"]


def test_an_error_of_the_caller_aborts() -> None:
    writer = Recorder()

    def use() -> None:
        with BackgroundWriter([writer]) as sink:
            sink.submit(frame(0), LABELS, None)
            while not writer.calls:
                time.sleep(0.01)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        use()
    assert writer.calls == [(0, False), "abort"]


def test_abort_drops_what_is_queued() -> None:
    writer = Recorder()
    writer.gate = threading.Event()
    sink = BackgroundWriter([writer], depth=8)
    for i in range(8):
        sink.submit(frame(i), LABELS, None)
    threading.Timer(0.1, writer.gate.set).start()
    sink.abort()
    sink.abort()
    assert writer.calls[-1] == "abort"
    assert len(writer.calls) <= 3
    with pytest.raises(ValueError, match="closed"):
        sink.submit(frame(9), LABELS, None)


def test_abort_leaves_a_stuck_writer_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.2)
    writer = Recorder()
    writer.gate = threading.Event()
    sink = BackgroundWriter([writer])
    sink.submit(frame(0), LABELS, None)
    started = time.monotonic()
    sink.abort()
    assert time.monotonic() - started < 2
    writer.gate.set()


def test_no_writer_is_called_after_close() -> None:
    writer = Recorder()
    sink = BackgroundWriter([writer])
    sink.close()
    sink.close()
    sink.abort()
    assert writer.calls == ["close"]
    with pytest.raises(ValueError, match="closed"):
        sink.submit(frame(0), LABELS, None)


def test_actions_come_after_the_frames_before_them_and_their_errors_too() -> None:
    writer = Recorder()
    with BackgroundWriter([writer]) as sink:
        for i in range(3):
            sink.submit(frame(i), LABELS, None)
            sink.then(lambda i=i: writer.calls.append(f"after {i}"))  # type: ignore[misc]
    assert writer.calls == [
        (0, False), "after 0", (1, False), "after 1", (2, False), "after 2", "close",
    ]  # fmt: skip

    def fail() -> None:
        raise OutputError("disk full")

    broken = BackgroundWriter([Recorder()])
    broken.then(fail)
    with pytest.raises(OutputError, match="disk full"):
        broken.close()


def test_writers_of_scores_are_passed_over_where_there_are_none() -> None:
    soft, hard = Recorder(wants_probs=True), Recorder()
    with BackgroundWriter([soft, hard]) as sink:
        sink.submit(frame(0), LABELS, None)
        sink.submit(frame(1), LABELS, np.zeros((2, 2, 2), np.float32))
    assert soft.calls == [(1, True), "close"]
    assert hard.calls == [(0, False), (1, False), "close"]
