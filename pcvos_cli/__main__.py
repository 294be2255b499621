"""``pcvos`` and ``python -m pcvos_cli``."""

import sys

from pcvos_cli.signals import INTERRUPTED, TERMINATED, Terminated, raise_on_sigterm


def main() -> None:
    """Run the command line; never returns."""
    try:
        raise_on_sigterm()
        from pcvos_cli.app import app

        app(prog_name="pcvos")
    except KeyboardInterrupt:  # Before a command began, so there is nothing to say.
        sys.exit(INTERRUPTED)
    except Terminated:
        sys.exit(TERMINATED)


if __name__ == "__main__":
    main()
