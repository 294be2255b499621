"""A worker process: tasks come on stdin, events go to what was stdout, both pickled.

It ends with the driver: when stdin closes, the task in hand is broken off as by SIGTERM, which
keeps what is finished. Ctrl-C, which reaches the whole group, is the driver's to answer.
"""

import contextlib
import os
import pickle
import queue
import signal
import sys
import threading
from functools import partial
from typing import Any, BinaryIO

from pcvos_cli.batch.engine import Ended, Event, SentProgress, Started, attempt
from pcvos_cli.signals import TERMINATED, Terminated, raise_on_sigterm

REPORT_SECONDS = 0.25
"""Progress is sent so often at most."""


def main() -> None:
    """Work until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise_on_sigterm()
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # What a library prints must not come between the events.
    tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(sys.stdin.buffer, tasks), daemon=True).start()
    name = str(os.getpid())
    send = partial(_send, out)
    with contextlib.suppress(BrokenPipeError, Terminated):
        while (task := tasks.get()) is not None:
            number, times, function, argument = task
            send(Started(number, name))
            progress = SentProgress(number, send, REPORT_SECONDS)
            value, fault, seconds = attempt(function, argument, progress)
            progress.flush()
            send(Ended(number, value, fault, name, times, seconds))
        return
    sys.exit(TERMINATED)


def _read(stream: BinaryIO, tasks: "queue.SimpleQueue[Any]") -> None:
    with contextlib.suppress(EOFError, OSError):
        while True:
            tasks.put(pickle.load(stream))
    tasks.put(None)
    os.kill(os.getpid(), signal.SIGTERM)


def _send(out: BinaryIO, event: Event) -> None:
    out.write(pickle.dumps(event))
    out.flush()


if __name__ == "__main__":
    main()
