"""``pcvos`` and ``python -m pcvos_cli``."""

import os
import sys

from pcvos_cli.signals import INTERRUPTED, TERMINATED, Terminated, raise_on_sigterm

SPIN_COUNT = "20000"
"""How long torch's threads spin where they wait for each other, in turns of libgomp, which reads
it when torch is loaded. By itself it spins for milliseconds, and takes the cores from ONNX Runtime,
decoding and encoding. A frame of pcvos-lite at 480p on two cores, medians of 12 runs in turn:
192 ms with 358 of CPU by itself, 182 and 336 with this, 200 and 337 without any spinning."""


def main() -> None:
    """Run the command line; never returns."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
    try:
        raise_on_sigterm()
        from pcvos_cli import console

        console.open_missing_streams()
        from pcvos_cli.app import app

        app(prog_name="pcvos")
    except KeyboardInterrupt:  # Before a command began, so there is nothing to say.
        sys.exit(INTERRUPTED)
    except Terminated:
        sys.exit(TERMINATED)


if __name__ == "__main__":
    main()
